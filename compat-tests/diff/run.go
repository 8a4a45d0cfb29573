package diff

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/compat-tests/report"
)

// casePrefix starts every topic name of the cases.
const casePrefix = "diff-"

// Options say what Run compares.
type Options struct {
	Name    string // of the run, in its report
	Cases   []Case
	A, B    Target
	Only    string // run the cases whose name matches this expression
	Workers int
	// Expect applies expected.txt: differences it names are counted, not failed. Off when Kafka is compared with Kafka.
	Expect bool
	// Plant changes one field of B's answer in the first case, to prove that it is found.
	Plant   bool
	Dump    bool // print both transcripts of every case that runs
	Summary bool // after the cases, print the differences that are not meant, grouped over versions
	Verbose bool
	Out     io.Writer
	// Restart restarts both brokers, for cases that go on after it.
	Restart func() error
}

// Run runs the cases and reports each; a case passes when every difference it shows is expected.
func Run(o Options) (*report.Report, error) {
	r := report.New(o.Out, o.Name)
	r.Verbose = o.Verbose
	only, err := regexp.Compile(o.Only)
	if err != nil {
		return nil, err
	}
	expected, err := Expectations()
	if err != nil {
		return nil, err
	}
	if !o.Expect {
		expected = nil
	}
	var cases []Case
	for _, c := range o.Cases {
		if only.MatchString(c.Name) {
			cases = append(cases, c)
		}
	}
	began := time.Now()
	if err := errors.Join(ready(o.A), ready(o.B)); err != nil {
		return nil, err
	}
	results, took, err := runAll(o, cases)
	if err != nil {
		return nil, err
	}
	meant := 0
	var rest []Difference
	for i, c := range cases {
		var unmeant []Difference
		for _, d := range results[i] {
			if expect(expected, d) {
				meant++
			} else {
				unmeant = append(unmeant, d)
			}
		}
		rest = append(rest, unmeant...)
		r.Check(c.Name, func() error { return describe(unmeant) })
	}
	if o.Only == "" {
		for _, e := range expected {
			if e.matched == 0 && runOf(e.Case) == o.Name {
				r.Fail("expected.txt", fmt.Errorf("line %d matches nothing any more: %s | %s", e.line, e.Case, e.Path))
			}
		}
	}
	if o.Summary {
		summarise(o.Out, rest)
	}
	if o.Verbose {
		slowest(o, cases, took)
	}
	fmt.Fprintf(o.Out, "%s: %d cases, %s against %s, %d differences that are meant, %s\n", o.Name, len(cases), o.A.Name, o.B.Name, meant, time.Since(began).Round(time.Millisecond))
	return r, nil
}

// runOf is the run that an expectation is for.
func runOf(pattern string) string {
	switch {
	case strings.HasPrefix(pattern, lifePrefix):
		return "life"
	case strings.HasPrefix(pattern, threePrefix):
		return "three"
	case strings.HasPrefix(pattern, votersPrefix):
		return "voters"
	}
	return "diff"
}

func expect(expected []*Expectation, d Difference) bool {
	found := false
	for _, e := range expected {
		if e.matches(d) {
			e.matched++
			found = true
		}
	}
	return found
}

func describe(ds []Difference) error {
	if len(ds) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d differences", len(ds))
	for i, d := range ds {
		if i == 12 {
			text += fmt.Sprintf("\n  … and %d more", len(ds)-i)
			break
		}
		text += fmt.Sprintf("\n  %s: %s, ours %s", d.Path, d.A, d.B)
	}
	return fmt.Errorf("%s", text)
}

// runAll runs the parallel cases with o.Workers, then the serial ones, and then, after a restart, those that go on after it.
func runAll(o Options, cases []Case) (results [][]Difference, took []time.Duration, err error) {
	results, took = make([][]Difference, len(cases)), make([]time.Duration, len(cases))
	pairs := make([]*pair, len(cases))
	run := func(i int) {
		began := time.Now()
		pairs[i] = newPair(o, cases[i], i)
		pairs[i].play(cases[i].Run)
		took[i] = time.Since(began)
		if cases[i].AfterRestart == nil {
			results[i] = pairs[i].compare(o)
		}
	}
	inParallel(o.Workers, cases, func(c Case) bool { return !c.Serial }, run)
	inParallel(1, cases, func(c Case) bool { return c.Serial }, run)
	again := func(c Case) bool { return c.AfterRestart != nil }
	if !slices.ContainsFunc(cases, again) {
		return results, took, nil
	}
	if err := o.Restart(); err != nil {
		return nil, nil, err
	}
	if err := errors.Join(ready(o.A), ready(o.B)); err != nil {
		return nil, nil, err
	}
	inParallel(o.Workers, cases, again, func(i int) {
		pairs[i].play(cases[i].AfterRestart)
		results[i] = pairs[i].compare(o)
	})
	return results, took, nil
}

// inParallel runs those cases that are chosen, some at a time.
func inParallel(workers int, cases []Case, chosen func(Case) bool, run func(i int)) {
	work := make(chan int)
	var wg sync.WaitGroup
	for range max(1, workers) {
		wg.Go(func() {
			for i := range work {
				run(i)
			}
		})
	}
	for i, c := range cases {
		if chosen(c) {
			work <- i
		}
	}
	close(work)
	wg.Wait()
}

// slowest prints which cases took longest.
func slowest(o Options, cases []Case, took []time.Duration) {
	order := make([]int, len(cases))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(took[b] - took[a]) })
	for _, i := range order[:min(len(order), 30)] {
		fmt.Fprintf(o.Out, "%s: %6s %s\n", o.Name, took[i].Round(time.Millisecond), cases[i].Name)
	}
}

// pair is one case played on both brokers.
type pair struct {
	name  string
	index int
	a, b  *Session
}

func newPair(o Options, c Case, index int) *pair {
	prefix := fmt.Sprintf("%s%04d-", casePrefix, index)
	p := &pair{name: c.Name, index: index, a: newSession(o.A, prefix), b: newSession(o.B, prefix)}
	p.a.shard, p.b.shard = index%offsetsPartitions, index%offsetsPartitions
	return p
}

// play runs a part of the case against both brokers at once. Its connections end with it.
func (p *pair) play(part func(*Session)) {
	var wg sync.WaitGroup
	for _, s := range []*Session{p.a, p.b} {
		wg.Go(func() { s.play(part) })
	}
	wg.Wait()
}

func (p *pair) compare(o Options) []Difference {
	if o.Dump {
		dump(o.Out, p.name, o.A.Name, p.a.transcript)
		dump(o.Out, p.name, o.B.Name, p.b.transcript)
	}
	if o.Plant && p.index == 0 {
		plant(p.b.transcript)
	}
	return Compare(p.name, p.a.transcript, p.b.transcript)
}

// play runs a part of a case, unless an earlier part broke off.
func (s *Session) play(part func(*Session)) {
	if s.broke {
		return
	}
	defer s.close()
	defer func() {
		switch p := recover().(type) {
		case nil:
		case broken:
			s.broke = true
			s.record("the case broke off", s.clean(p.err.Error()))
		default:
			s.broke = true
			s.record("the case broke off", fmt.Sprintf("panic: %v", p))
		}
	}()
	part(s)
}

// plant changes one number of a transcript.
func plant(entries []Entry) {
	for _, e := range entries {
		if m, ok := e.Tree.(map[string]any); ok {
			for k, v := range m {
				if n, ok := v.(int64); ok {
					m[k] = n + 1
					return
				}
			}
			m["planted"] = true
		}
	}
}

// dump prints a transcript, for the person who writes a case or mends a difference.
func dump(w io.Writer, name, broker string, entries []Entry) {
	var text strings.Builder
	for _, e := range entries {
		tree, err := json.MarshalIndent(e.Tree, "    ", "  ")
		if err != nil {
			tree = []byte(err.Error())
		}
		fmt.Fprintf(&text, "%s | %s | %s\n    %s\n", broker, name, e.Step, tree)
	}
	_, _ = io.WriteString(w, text.String())
}

var (
	versionOfCase = regexp.MustCompile(` v-?\d+$`)
	topicOfCase   = regexp.MustCompile(casePrefix + `\d+-`)
)

// summarise prints each kind of difference once, with how often and where it was seen first.
func summarise(w io.Writer, ds []Difference) {
	type kind struct{ name, path, a, b string }
	seen := map[kind][]string{}
	var order []kind
	for _, d := range ds {
		k := kind{versionOfCase.ReplaceAllString(d.Case, ""), topicOfCase.ReplaceAllString(d.Path, ""), topicOfCase.ReplaceAllString(d.A, ""), topicOfCase.ReplaceAllString(d.B, "")}
		if seen[k] == nil {
			order = append(order, k)
		}
		seen[k] = append(seen[k], strings.TrimSpace(versionOfCase.FindString(d.Case)))
	}
	for _, k := range order {
		fmt.Fprintf(w, "SUM %s [%s] %s | kafka: %s | dmq: %s\n", k.name, strings.Join(slices.Compact(seen[k]), " "), k.path, k.a, k.b)
	}
}
