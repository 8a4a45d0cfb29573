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
}

// Run runs the cases and reports each; a case passes when every difference it shows is expected.
func Run(o Options) (*report.Report, error) {
	r := report.New(o.Out, "diff")
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
	for _, c := range Cases() {
		if only.MatchString(c.Name) {
			cases = append(cases, c)
		}
	}
	began := time.Now()
	if err := errors.Join(ready(o.A), ready(o.B)); err != nil {
		return nil, err
	}
	results, took := runAll(o, cases)
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
			if e.matched == 0 {
				r.Fail("expected.txt", fmt.Errorf("line %d matches nothing any more: %s | %s", e.line, e.Case, e.Path))
			}
		}
	}
	if o.Summary {
		summarise(o.Out, rest)
	}
	if o.Verbose {
		slowest(o.Out, cases, took)
	}
	fmt.Fprintf(o.Out, "diff: %d cases, %s against %s, %d differences that are meant, %s\n", len(cases), o.A.Name, o.B.Name, meant, time.Since(began).Round(time.Millisecond))
	return r, nil
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

// runAll runs the parallel cases with o.Workers, then the serial ones.
func runAll(o Options, cases []Case) (results [][]Difference, took []time.Duration) {
	results, took = make([][]Difference, len(cases)), make([]time.Duration, len(cases))
	run := func(i int) {
		began := time.Now()
		results[i] = runCase(o, cases[i], i)
		took[i] = time.Since(began)
	}
	work := make(chan int)
	var wg sync.WaitGroup
	for range max(1, o.Workers) {
		wg.Go(func() {
			for i := range work {
				run(i)
			}
		})
	}
	for i, c := range cases {
		if !c.Serial {
			work <- i
		}
	}
	close(work)
	wg.Wait()
	for i, c := range cases {
		if c.Serial {
			run(i)
		}
	}
	return results, took
}

// slowest prints which cases took longest.
func slowest(w io.Writer, cases []Case, took []time.Duration) {
	order := make([]int, len(cases))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(took[b] - took[a]) })
	for _, i := range order[:min(len(order), 30)] {
		fmt.Fprintf(w, "diff: %6s %s\n", took[i].Round(time.Millisecond), cases[i].Name)
	}
}

// runCase runs one case against both brokers at once.
func runCase(o Options, c Case, index int) []Difference {
	prefix := fmt.Sprintf("%s%04d-", casePrefix, index)
	var a, b []Entry
	var wg sync.WaitGroup
	wg.Go(func() { a = transcript(o.A, c, prefix) })
	wg.Go(func() { b = transcript(o.B, c, prefix) })
	wg.Wait()
	if o.Dump {
		dump(o.Out, c.Name, o.A.Name, a)
		dump(o.Out, c.Name, o.B.Name, b)
	}
	if o.Plant && index == 0 {
		plant(b)
	}
	return Compare(c.Name, a, b)
}

func transcript(t Target, c Case, prefix string) (out []Entry) {
	s := newSession(t, prefix)
	defer s.close()
	defer func() {
		if p := recover(); p != nil {
			if b, ok := p.(broken); ok {
				s.record("the case broke off", s.clean(b.err.Error()))
			} else {
				s.record("the case broke off", fmt.Sprintf("panic: %v", p))
			}
			out = s.transcript
		}
	}()
	c.Run(s)
	return s.transcript
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
