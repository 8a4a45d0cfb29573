package chaos

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/history"
	"github.com/distributedmq/dmq/compat-tests/replicas"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Figures are what a run, or several, came to.
type Figures struct {
	Faults map[Fault]int
	*history.Result
	Replicas *replicas.Result

	skipped []Fault // that cannot be had here
	why     string
}

func newFigures() *Figures {
	return &Figures{
		Faults: map[Fault]int{}, Result: &history.Result{Anomalies: map[history.AnomalyKind]int64{}}, Replicas: &replicas.Result{},
	}
}

// Broken says what does not hold of what clients were told and of what the disks hold, or "".
func (f *Figures) Broken() string {
	var found []string
	for _, k := range slices.Sorted(maps.Keys(f.Anomalies)) {
		if k == history.Unread { // the cluster did not come back in time: that is for other checks
			continue
		}
		found = append(found, fmt.Sprintf("%d %s", f.Anomalies[k], k))
	}
	if n := len(f.Replicas.Mismatches); n > 0 {
		found = append(found, fmt.Sprintf("%d partitions differ", n))
	}
	return strings.Join(found, ", ")
}

// add takes the figures of one more run in.
func (f *Figures) add(o *Figures) {
	for k, n := range o.Faults {
		f.Faults[k] += n
	}
	f.skipped, f.why = o.skipped, o.why
	f.Acked, f.Refused, f.Unknown, f.Read = f.Acked+o.Acked, f.Refused+o.Refused, f.Unknown+o.Unknown, f.Read+o.Read
	f.Final, f.Commits = f.Final+o.Final, f.Commits+o.Commits
	for k, n := range o.Anomalies {
		f.Anomalies[k] += n
	}
	r := f.Replicas
	r.Partitions, r.Batches, r.Bytes = r.Partitions+o.Replicas.Partitions, r.Batches+o.Replicas.Batches, r.Bytes+o.Replicas.Bytes
	r.Mismatches = append(r.Mismatches, o.Replicas.Mismatches...)
}

func (f *Figures) print(out io.Writer, name string) {
	total := 0
	var kinds []string
	for _, k := range slices.Sorted(maps.Keys(f.Faults)) {
		total += f.Faults[k]
		kinds = append(kinds, fmt.Sprintf("%s %d", k, f.Faults[k]))
	}
	fmt.Fprintf(out, "%s: %d faults (%s)\n", name, total, strings.Join(kinds, ", "))
	fmt.Fprintf(out, "%s: %d records acknowledged, %d unknown, %d offsets read, %d commits; lost %d, unseen %d, duplicated %d, reordered %d, skipped %d, disagreeing %d\n",
		name, f.Acked, f.Unknown, f.Read, f.Commits, f.Anomalies[history.Lost], f.Anomalies[history.Unseen], f.Anomalies[history.Duplicated],
		f.Anomalies[history.Reordered], f.Anomalies[history.Skipped], f.Anomalies[history.Disagreeing])
	fmt.Fprintf(out, "%s: %d batches of replicas compared byte for byte, %d MiB, in %d partitions; %d differ\n",
		name, f.Replicas.Batches, f.Replicas.Bytes>>20, f.Replicas.Partitions, len(f.Replicas.Mismatches))
	if len(f.skipped) > 0 {
		fmt.Fprintf(out, "NOT RUN: chaos %v: %s\n", f.skipped, f.why)
	}
}

// maxRun is how long one cluster lives: what it holds is read and compared in a time that goes with it.
const maxRun = 2 * time.Minute

// RunAll lets faults loose for the whole Duration, in runs of at most two minutes each, whose seeds follow on Seed. Folders of
// runs that passed are removed.
func RunAll(ctx context.Context, o Options) *report.Report {
	all := report.New(o.Out, "chaos")
	sum := newFigures()
	runs := 0
	for left := o.Duration; left > 0; left -= maxRun {
		one := o
		one.Seed, one.Duration, one.Dir = o.Seed+uint64(runs), min(left, maxRun), filepath.Join(o.Dir, fmt.Sprintf("run-%d", runs+1))
		runs++
		if err := os.Mkdir(one.Dir, 0o755); err != nil {
			all.Fail("folder", err)
			break
		}
		r, fig := Run(ctx, one)
		all.Passed, all.Failed, all.Failures = all.Passed+r.Passed, all.Failed+r.Failed, append(all.Failures, r.Failures...)
		if fig != nil {
			sum.add(fig)
		}
		if r.Failed == 0 && !o.Keep {
			all.Check("remove the folder", func() error { return os.RemoveAll(one.Dir) })
		}
		if ctx.Err() != nil {
			break
		}
	}
	if runs > 1 {
		sum.print(o.Out, fmt.Sprintf("chaos: all %d runs", runs))
	}
	return all
}
