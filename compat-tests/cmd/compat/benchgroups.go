package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/bench/groups"
	"github.com/distributedmq/dmq/bench/raw"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// contender is a broker that is measured, in one of its modes.
type contender struct {
	name, kind string
	properties map[string]string
	cluster    *peer.Cluster // of one node, or more
}

// contenders are the brokers as they are by default, and each in the other's way to be durable.
func contenders() []*contender {
	return []*contender{
		{name: "dmq", kind: "dmq"},
		{name: "dmq, OS flush", kind: "dmq", properties: map[string]string{"log.flush.interval.messages": "9223372036854775807"}},
		{name: "Kafka", kind: "kafka"},
		{name: "Kafka, synced", kind: "kafka", properties: map[string]string{"log.flush.interval.messages": "1"}},
	}
}

// groupIntervals are the same for all: these, and not the broker, would dictate how long a rebalance takes.
var groupIntervals = map[string]string{
	"group.initial.rebalance.delay.ms":         "0",
	"group.consumer.assignment.interval.ms":    "0",
	"group.consumer.heartbeat.interval.ms":     "500",
	"group.consumer.min.heartbeat.interval.ms": "500",
}

// groupBench runs the benchmarks.
type groupBench struct {
	against  []*contender
	run      *regexp.Regexp
	duration time.Duration
	warmUp   int
	offsets  int
	out      io.Writer
}

// benchGroups measures what groups cost, in turn on every contender. Each thing is measured after it was done -warm times,
// because a JVM is slow at first.
func benchGroups(ctx context.Context, args []string) (code int, err error) {
	b := groupBench{out: os.Stdout}
	fs := flag.NewFlagSet("bench-groups", flag.ContinueOnError)
	names := fs.String("brokers", "dmq/dmq, OS flush/Kafka", "which are compared, the last with the others; also: Kafka, synced")
	run := fs.String("run", "", "only what matches: load, rebalance, or the name of a request")
	fs.DurationVar(&b.duration, "duration", 3*time.Second, "of each load")
	fs.IntVar(&b.warmUp, "warm", 2, "how often everything is done before it is measured")
	fs.IntVar(&b.offsets, "offsets", 1_000_000, "that a restarted broker loads")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if b.run, err = regexp.Compile(*run); err != nil {
		return 2, err
	}
	var done func() error
	if b.against, done, err = startContenders(ctx, *names, 1, groupIntervals); err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, done()) }()
	return 0, b.all(ctx)
}

// startContenders starts those that are named, with slashes between their names; done ends them.
func startContenders(ctx context.Context, names string, nodes int, properties map[string]string) (all []*contender, done func() error, err error) {
	var ends []func() error
	done = func() (err error) {
		for _, end := range ends {
			err = errors.Join(err, end())
		}
		return err
	}
	for _, c := range contenders() {
		if !slices.Contains(strings.Split(names, "/"), c.name) {
			continue
		}
		o := peer.Options{Properties: map[string]string{}, JVM: peer.ServerJVM}
		maps.Copy(o.Properties, properties)
		maps.Copy(o.Properties, c.properties)
		var end func() error
		if c.cluster, end, err = startNodes(ctx, c.kind, nodes, peer.ClusterOptions{Options: o}); err != nil {
			return nil, nil, errors.Join(err, done())
		}
		all, ends = append(all, c), append(ends, end)
	}
	return all, done, nil
}

func (c *contender) broker() *peer.Broker { return c.cluster.Nodes[0] }

func (c *contender) target() groups.Broker {
	return groups.Broker{Addr: c.broker().Addr, PID: c.broker().PID()}
}

func (b *groupBench) all(ctx context.Context) error {
	fmt.Fprintf(b.out, "%-58s %-16s %12s %12s %8s\n", "", "", "per CPU s", "per s", "ratio")
	for _, l := range groups.Loads() {
		name := fmt.Sprintf("%s, %d connections, %d in flight", l.Name, l.Connections, l.InFlight)
		if !b.run.MatchString(name) {
			continue
		}
		if err := b.load(ctx, name, l); err != nil {
			return err
		}
	}
	for _, protocol := range []groups.Protocol{groups.Classic, groups.Consumer} {
		if name := "rebalance, " + string(protocol); b.run.MatchString(name) {
			if err := b.rebalance(ctx, name, protocol); err != nil {
				return err
			}
		}
	}
	if b.run.MatchString("load") {
		return b.restart(ctx)
	}
	return nil
}

// warmed does something on all contenders in turn, until it counts, and returns what it came to on each.
func warmed[T any](b *groupBench, do func(c *contender) (T, error)) ([]T, error) {
	got := make([]T, len(b.against))
	for range b.warmUp + 1 {
		for i, c := range b.against {
			var err error
			if got[i], err = do(c); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", c.name, err, c.cluster.LogTails(5))
			}
		}
	}
	return got, nil
}

func (b *groupBench) load(ctx context.Context, name string, l groups.Load) error {
	rates, err := warmed(b, func(c *contender) (groups.Rate, error) { return l.Run(ctx, c.target(), b.duration) })
	if err != nil {
		return err
	}
	last := rates[len(rates)-1]
	for i, r := range rates {
		fmt.Fprintf(b.out, "%-58s %-16s %12.0f %12.0f %8.1f\n", name, b.against[i].name, r.PerCPUSecond(), r.PerSecond(), r.PerCPUSecond()/last.PerCPUSecond())
	}
	return nil
}

func (b *groupBench) rebalance(ctx context.Context, name string, protocol groups.Protocol) error {
	all, err := warmed(b, func(c *contender) ([]groups.Rebalanced, error) { return groups.Rebalance(ctx, c.target(), protocol) })
	if err != nil {
		return err
	}
	for size := range groups.Sizes {
		last := all[len(all)-1][size]
		for i := range all {
			r := all[i][size]
			b.print(fmt.Sprintf("%s, to %d", name, r.Members), b.against[i], r.Took, r.CPU, last.CPU)
		}
	}
	return nil
}

func (b *groupBench) print(name string, c *contender, took, cpu, last time.Duration) {
	fmt.Fprintf(b.out, "%-58s %-16s %12s %12s %8.1f\n", name, c.name, fmt.Sprintf("%.2f s CPU", cpu.Seconds()), fmt.Sprintf("%d ms", took.Milliseconds()), last.Seconds()/max(cpu, 10*time.Millisecond).Seconds())
}

// restarted is a restart of a broker, until it has loaded its offsets.
type restarted struct{ ready, took, readyCPU, cpu time.Duration }

// restart measures how long offsets take to load. The CPU time of a start without any is taken off.
func (b *groupBench) restart(ctx context.Context) error {
	all := make([]restarted, len(b.against))
	for i, c := range b.against {
		few, err := c.restart(ctx, 0)
		if err != nil {
			return err
		}
		many, err := c.restart(ctx, b.offsets)
		if err != nil {
			return err
		}
		many.readyCPU = few.cpu
		all[i] = many
	}
	last := all[len(all)-1]
	for i, r := range all {
		b.print(fmt.Sprintf("load %d offsets, from start of process", b.offsets), b.against[i], r.took, r.cpu, last.cpu)
		b.print(fmt.Sprintf("load %d offsets, from answering; beyond an empty start", b.offsets), b.against[i], r.took-r.ready, r.cpu-r.readyCPU, last.cpu-last.readyCPU)
	}
	return nil
}

func (c *contender) restart(ctx context.Context, offsets int) (r restarted, err error) {
	if _, err := groups.Fill(ctx, c.target(), offsets); err != nil {
		return r, err
	}
	if err := c.broker().Stop(); err != nil {
		return r, err
	}
	began := time.Now()
	if err := c.broker().Restart(ctx); err != nil {
		return r, err
	}
	end, err := groups.Loaded(ctx, c.target())
	if err != nil {
		return r, err
	}
	cpu, err := raw.CPUOf(c.broker().PID())
	return restarted{ready: c.broker().StartTook, took: end.Sub(began), cpu: cpu}, err
}
