package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/failover"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// failoverBench runs the measurements of failover, in turn on each kind of broker.
type failoverBench struct {
	kinds  []string
	rounds int
	large  int // partitions
	run    *regexp.Regexp
	out    io.Writer
	times  map[string]map[string][]time.Duration // by measurement and kind
}

// The measurements.
const (
	coldStart        = "three cold nodes, to the first record that three acknowledged"
	controllerKilled = "controller killed, to the next topic"
	leaderKilled     = "leader of a partition killed, to the next acknowledged record"
	brokerKilled     = "broker killed, to its fencing"
	rollingGap       = "rolling restart, longest time without an acknowledgement"
	largeTopic       = "many partitions, controller killed, to the next topic"
	largeFenced      = "many partitions, controller killed, until a third of them is led by others"
	largeRestart     = "many partitions, start of the killed node, until it has caught up"
)

// benchFailover measures failover with three nodes: compat bench-failover [-rounds 20] [-brokers dmq/kafka] [-run controller]
// [-partitions 100000].
func benchFailover(ctx context.Context, args []string) (code int, err error) {
	b := failoverBench{out: os.Stdout, times: map[string]map[string][]time.Duration{}}
	fs := flag.NewFlagSet("bench-failover", flag.ContinueOnError)
	kinds := fs.String("brokers", "dmq/kafka", "which are measured")
	run := fs.String("run", "", "only what matches: cold, controller, leader or rolling")
	fs.IntVar(&b.large, "partitions", 0, "instead, kill the controller of a cluster with so many, on brokers without a process")
	fs.IntVar(&b.rounds, "rounds", 20, "how often each thing is measured; medians are shown")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	b.kinds = strings.Split(*kinds, "/")
	if b.run, err = regexp.Compile(*run); err != nil {
		return 2, err
	}
	measurements := []func(ctx context.Context, kind string) error{b.cold, b.running}
	if b.large > 0 {
		measurements = []func(ctx context.Context, kind string) error{b.many}
	}
	for _, measure := range measurements {
		for _, kind := range b.kinds {
			if err := measure(ctx, kind); err != nil {
				return 2, fmt.Errorf("%s: %w", kind, err)
			}
		}
	}
	b.print()
	return 0, nil
}

// add notes a figure.
func (b *failoverBench) add(what, kind string, took time.Duration) {
	if b.times[what] == nil {
		b.times[what] = map[string][]time.Duration{}
	}
	b.times[what][kind] = append(b.times[what][kind], took)
}

// cold measures how long three new nodes take.
func (b *failoverBench) cold(ctx context.Context, kind string) error {
	if !b.run.MatchString("cold") {
		return nil
	}
	for range b.rounds {
		err := b.fresh(ctx, kind, nil, func(c *peer.Cluster) error {
			took, err := failover.Cold(ctx, c)
			b.add(coldStart, kind, took)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// fresh lays out a cluster in a new folder, and removes it after use.
func (b *failoverBench) fresh(ctx context.Context, kind string, properties map[string]string, use func(*peer.Cluster) error) error {
	c, done, err := layNodes(ctx, kind, peer.ClusterOptions{Nodes: 3, Options: peer.Options{JVM: peer.ServerJVM, Properties: properties}})
	if err != nil {
		return err
	}
	if err = use(c); err != nil {
		err = fmt.Errorf("%w\n%s", err, c.LogTails(5))
	}
	return errors.Join(err, done())
}

// running measures what happens to a cluster that runs.
func (b *failoverBench) running(ctx context.Context, kind string) error {
	return b.fresh(ctx, kind, nil, func(c *peer.Cluster) error {
		if err := c.Start(ctx); err != nil {
			return err
		}
		bench, err := failover.New(ctx, c)
		if err != nil {
			return err
		}
		defer bench.Close()
		for range b.rounds {
			if err := b.round(ctx, kind, bench); err != nil {
				return err
			}
		}
		return nil
	})
}

// many kills the controller of new clusters with many partitions.
func (b *failoverBench) many(ctx context.Context, kind string) error {
	for range b.rounds {
		err := b.fresh(ctx, kind, failover.LargeProperties(), func(c *peer.Cluster) error {
			if err := c.Start(ctx); err != nil {
				return err
			}
			began := time.Now()
			large, err := failover.NewLarge(ctx, c, b.large)
			if err != nil {
				return err
			}
			defer large.Close()
			created := time.Since(began)
			f, err := large.ControllerKilled(ctx)
			b.add(largeTopic, kind, f.Topic)
			b.add(largeFenced, kind, f.Fenced)
			b.add(largeRestart, kind, f.Restart)
			fmt.Fprintf(b.out, "%d partitions, %s: created in %.1f s; %.0f MB (RSS), %.0f MB of metadata on the disk of the controller's node\n",
				b.large, kind, created.Seconds(), float64(f.RSS)/1e6, float64(f.Stored)/1e6)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// round measures everything once.
func (b *failoverBench) round(ctx context.Context, kind string, bench *failover.Bench) error {
	if b.run.MatchString("controller") {
		took, err := bench.ControllerKilled(ctx)
		if err != nil {
			return err
		}
		b.add(controllerKilled, kind, took)
	}
	if b.run.MatchString("leader") {
		acked, fenced, err := bench.LeaderKilled(ctx)
		if err != nil {
			return err
		}
		b.add(leaderKilled, kind, acked)
		b.add(brokerKilled, kind, fenced)
	}
	if b.run.MatchString("rolling") {
		r, err := bench.RollingRestart(ctx)
		if err != nil {
			return err
		}
		b.add(rollingGap, kind, r.Gap)
		fmt.Fprintf(b.out, "rolling restart, %s: %d records acknowledged, %d failed, %d errors of the consumer, %.1f s\n", kind, r.Acked, r.Failed, r.Consumer, r.Took.Seconds())
	}
	return nil
}

// print shows medians, and how often the last kind takes as long.
func (b *failoverBench) print() {
	fmt.Fprintf(b.out, "%-76s %-6s %10s %10s %10s %7s\n", "seconds", "", "median", "fastest", "slowest", "ratio")
	for _, what := range []string{coldStart, controllerKilled, leaderKilled, brokerKilled, rollingGap, largeTopic, largeFenced, largeRestart} {
		last := b.times[what][b.kinds[len(b.kinds)-1]]
		for _, kind := range b.kinds {
			times := b.times[what][kind]
			if len(times) == 0 {
				continue
			}
			fmt.Fprintf(b.out, "%-76s %-6s %10.3f %10.3f %10.3f %7.1f\n", what, kind, median(times).Seconds(), slices.Min(times).Seconds(), slices.Max(times).Seconds(),
				median(last).Seconds()/median(times).Seconds())
		}
	}
}

func median[T time.Duration | float64](all []T) T {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
