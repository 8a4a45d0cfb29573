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
	"syscall"
	"time"

	"github.com/distributedmq/dmq/compat-tests/replication"
)

// replicationBench runs the measurements of replication, in turn on each contender.
type replicationBench struct {
	against  []*contender
	benches  []*replication.Bench // parallel to against
	run      *regexp.Regexp
	rounds   int
	bytes    int64
	rate     int
	duration time.Duration
	out      io.Writer
	figures  map[string][][]float64 // by what they are of, for each contender
	order    []string               // of figures
}

// benchReplication measures produce and consume with three nodes, three replicas of which two have to be in sync, and acks=all:
// compat bench-replication [-rounds 3] [-brokers dmq/Kafka] [-run paced].
func benchReplication(ctx context.Context, args []string) (code int, err error) {
	b := replicationBench{out: os.Stdout, figures: map[string][][]float64{}}
	fs := flag.NewFlagSet("bench-replication", flag.ContinueOnError)
	names := fs.String("brokers", "dmq/Kafka/Kafka, synced", "which are compared; also: dmq, OS flush")
	run := fs.String("run", "", "only what matches: large, small or paced")
	partitions := fs.Int("partitions", 6, "of the topic")
	fs.IntVar(&b.rounds, "rounds", 3, "how often each thing is measured, after a round that does not count; medians are shown")
	fs.Int64Var(&b.bytes, "bytes", 500e6, "that are produced and consumed in a round")
	fs.IntVar(&b.rate, "rate", 2000, "paced records a second")
	fs.DurationVar(&b.duration, "duration", 5*time.Second, "of paced load")
	if err := fs.Parse(args); err != nil {
		return 2, nil
	}
	if b.run, err = regexp.Compile(*run); err != nil {
		return 2, err
	}
	var done func() error
	if b.against, done, err = startContenders(ctx, *names, 3, nil); err != nil {
		return 2, err
	}
	defer func() { err = errors.Join(err, done()) }()
	for _, c := range b.against {
		b.benches = append(b.benches, &replication.Bench{Cluster: c.cluster, Partitions: *partitions, RecordSize: 1 << 10})
	}
	if err := b.all(ctx); err != nil {
		return 2, err
	}
	return 0, nil
}

// all does everything on every contender in turn, once to warm up, and then as often as it is measured.
func (b *replicationBench) all(ctx context.Context) error {
	for round := range b.rounds + 1 {
		if round == 1 { // what was measured of cold JVMs does not count
			b.figures, b.order = map[string][][]float64{}, nil
		}
		for i, c := range b.against {
			if err := b.round(ctx, i); err != nil {
				return fmt.Errorf("%s, round %d: %w\n%s", c.name, round, err, c.cluster.LogTails(5))
			}
		}
	}
	b.print()
	return nil
}

// batches are the limits of the client's batches: its default, and that of Java's client, which moves a fifth of the bytes.
var batches = []struct {
	name  string
	bytes int32
	share int64
}{{"large batches (1 MB at most)", 1000012, 1}, {"small batches (16 KiB at most)", 16 << 10, 5}}

func (b *replicationBench) round(ctx context.Context, i int) error {
	bench := b.benches[i]
	for _, batch := range batches {
		if !b.run.MatchString(batch.name) {
			continue
		}
		syscall.Sync() // what the one before left to the OS is not to be written during the next
		produced, consumed, err := bench.Throughput(ctx, b.bytes/batch.share, batch.bytes)
		if err != nil {
			return err
		}
		b.add(i, "produce, "+batch.name+": MB/s", produced.MBPerSecond())
		b.add(i, "produce, "+batch.name+": records/s", float64(produced.Records)/produced.Took.Seconds())
		b.add(i, "produce, "+batch.name+": CPU s/GB, all nodes", produced.CPUPerGB())
		b.add(i, "consume, "+batch.name+": MB/s", consumed.MBPerSecond())
		b.add(i, "consume, "+batch.name+": CPU s/GB, all nodes", consumed.CPUPerGB())
	}
	if name := fmt.Sprintf("paced, %d records/s", b.rate); b.run.MatchString(name) {
		syscall.Sync()
		l, err := bench.Paced(ctx, b.rate, b.duration)
		if err != nil {
			return err
		}
		b.add(i, name+": p50 ms", l.P50.Seconds()*1e3)
		b.add(i, name+": p99 ms", l.P99.Seconds()*1e3)
		b.add(i, name+": CPU s/GB, all nodes", l.CPUPerGB())
	}
	rss, err := bench.Cluster.RSS()
	b.add(i, "memory (RSS) of all nodes, MB", float64(rss)/1e6)
	return err
}

// add notes a figure of a contender.
func (b *replicationBench) add(i int, what string, figure float64) {
	if b.figures[what] == nil {
		b.figures[what] = make([][]float64, len(b.against))
		b.order = append(b.order, what)
	}
	b.figures[what][i] = append(b.figures[what][i], figure)
}

// print shows medians, with the least and the most.
func (b *replicationBench) print() {
	for _, what := range b.order {
		fmt.Fprintln(b.out, what)
		for i, c := range b.against {
			sorted := slices.Sorted(slices.Values(b.figures[what][i]))
			fmt.Fprintf(b.out, "    %-16s %12.2f   (%.2f to %.2f)\n", c.name, median(sorted), sorted[0], sorted[len(sorted)-1])
		}
	}
}
