package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/distributedmq/dmq/compat-tests/history"
	"github.com/distributedmq/dmq/compat-tests/replicas"
	"github.com/distributedmq/dmq/compat-tests/report"
)

// Options say what a run is like.
type Options struct {
	Binary     string            // of dmq
	Dir        string            // of the run; everything is left in it when a check fails
	Env        []string          // for the nodes, beside this process's
	Properties map[string]string // of the nodes, over those of every run
	Seed       uint64
	Duration   time.Duration // of the faults
	Faults     []Fault
	Rate       int  // records a second of each producer
	Plain      bool // no namespaces and disks, although this machine has them
	OneByOne   bool // no fault comes before all replicas are in sync again, so that no two nodes lose what they had not synced
	Keep       bool // leaves the folder of a run that passed, too
	Out        io.Writer
}

// Run lets the schedule of the seed loose on a cluster of three nodes and checks what its clients were told. It says on Out what
// it does, and closes with the figures. Figures are nil when it did not come that far.
func Run(ctx context.Context, o Options) (*report.Report, *Figures) {
	r := report.New(o.Out, "chaos")
	x := &execution{Options: o, r: r, began: time.Now()}
	if o.Plain {
		x.why = "asked for"
	} else if err := CanIsolate(ctx); err != nil {
		x.why = err.Error()
	}
	form := "a network namespace and a disk for each node"
	if x.why != "" {
		form = "plain processes on loopback: " + x.why
	}
	fmt.Fprintf(o.Out, "chaos: seed %d, %s, %s\n", o.Seed, o.Duration, form)
	if !r.Check("nodes", func() (err error) { x.c, err = newCluster(ctx, o, x.why == ""); return err }) {
		return r, nil
	}
	fig := x.run(ctx)
	if r.Failed > 0 {
		r.Check("keep what is there", x.keep)
		fmt.Fprintf(o.Out, "chaos: seed %d failed: history, logs and data are in %s\n", o.Seed, o.Dir)
	}
	r.Check("take down", x.c.close)
	return r, fig
}

// execution is one run.
type execution struct {
	Options
	r     *report.Report
	c     *cluster
	began time.Time
	why   string // the nodes are not isolated; empty: they are
}

func (x *execution) run(ctx context.Context) *Figures {
	file, err := os.Create(filepath.Join(x.Dir, "history.jsonl"))
	if err != nil {
		x.r.Fail("history", err)
		return nil
	}
	defer file.Close()
	h := history.NewWriter(file)
	l := &load{seeds: x.c.seeds(), seed: x.Seed, rate: x.Rate, h: h}
	if !x.r.Check("start", func() error { return x.c.start(ctx) }) || !x.r.Check("topics", func() error { return x.c.createTopics(ctx) }) {
		return nil
	}
	stop, drain, err := l.start(ctx)
	if err != nil {
		x.r.Fail("load", err)
		return nil
	}
	n := &nemesis{c: x.c, out: x.Out, oneByOne: x.OneByOne, now: func() time.Duration { return time.Since(x.began) }, done: map[Fault]int{}}
	can, not := supported(x.Faults, x.why == "")
	x.r.Check("faults", func() error { return n.run(ctx, Schedule(x.Seed, can, x.Duration)) })
	ends := x.settle(ctx, h, stop, drain)
	if err := h.Flush(); err != nil {
		x.r.Fail("history", err)
	}
	fig := newFigures()
	fig.Faults, fig.skipped, fig.why = n.done, not, x.why
	x.r.Check("what clients were told", func() (err error) {
		fig.Result, err = checkFile(file.Name())
		return errors.Join(err, fig.Result.Err())
	})
	fig.Replicas = x.compare(ctx, ends)
	x.r.Check("no node panicked", x.c.panicked)
	x.r.Check("something was tested", func() error {
		if fig.Acked < 1000 || fig.Final < fig.Acked || fig.Commits == 0 {
			return fmt.Errorf("%d records acknowledged, %d read at the end, %d commits", fig.Acked, fig.Final, fig.Commits)
		}
		return nil
	})
	fig.print(x.Out, fmt.Sprintf("chaos: seed %d", x.Seed))
	return fig
}

// settle heals everything and holds the cluster to what it has to come back to (I27), then has the whole log read.
func (x *execution) settle(ctx context.Context, h *history.Writer, stop func(context.Context) error, drain func(context.Context, map[history.Partition]int64) error) map[history.Partition]int64 {
	x.r.Check("heal", func() error { return x.c.heal(ctx) })
	x.r.Check("nodes after healing", func() error { return x.c.ready(ctx, 60*time.Second, nil) })
	began := time.Now()
	x.r.Check("leaders within 10 s", func() error { return x.c.led(ctx, 10*time.Second) })
	x.r.Check("replicas in sync within 30 s", func() error { return x.c.inSync(ctx, 30*time.Second) })
	fmt.Fprintf(x.Out, "chaos: all replicas in sync %s after healing\n", time.Since(began).Round(time.Millisecond))
	x.r.Check("every produce is resolved within 60 s", func() error {
		ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
		defer cancel()
		return stop(ctx)
	})
	var ends map[history.Partition]int64
	x.r.Check("ends", func() (err error) { ends, err = x.c.ends(ctx, loadTopics...); return err })
	x.r.Check("the group has read everything within 30 s", func() error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return drain(ctx, ends)
	})
	x.r.Check("read everything through every replica", func() error { return x.c.readAll(ctx, h, ends) })
	return ends
}

func checkFile(name string) (*history.Result, error) {
	c := history.NewChecker()
	f, err := os.Open(name)
	if err != nil {
		return c.Finish(), err
	}
	defer f.Close()
	err = history.ReadLines(f, c.Add)
	return c.Finish(), err
}

// offsetsTopic is compared as well: it is to be compacted, but not before its first segment is full.
const offsetsTopic = "__consumer_offsets"

// compare stops the nodes and compares their disks.
func (x *execution) compare(ctx context.Context, ends map[history.Partition]int64) *replicas.Result {
	res := &replicas.Result{}
	x.r.Check("replicas are the same byte for byte", func() error {
		all, err := x.c.states(ctx, append([]string{offsetsTopic}, loadTopics...)...)
		if err != nil {
			return err
		}
		offsets, err := x.c.ends(ctx, offsetsTopic)
		if err != nil {
			return err
		}
		maps.Copy(offsets, ends)
		if err := x.c.each(nil, (*node).Stop); err != nil {
			return err
		}
		dirs := map[int32]string{}
		for _, n := range x.c.nodes[1:] {
			dirs[int32(n.id)] = n.data
		}
		var partitions []replicas.Partition
		for _, s := range all {
			partitions = append(partitions, replicas.Partition{Topic: s.Topic, Partition: s.Partition.Partition, HighWatermark: offsets[s.Partition], Nodes: s.replicas})
		}
		res = replicas.Compare(dirs, partitions)
		return res.Err()
	})
	return res
}

// keep copies the disks beside the logs: they are taken down.
func (x *execution) keep() error {
	return x.c.each(nil, func(n *node) error {
		if n.disk == nil {
			return nil
		}
		err := n.Kill()
		return errors.Join(err, run(context.Background(), "cp", "-a", n.data, filepath.Join(n.dir, "data")))
	})
}
