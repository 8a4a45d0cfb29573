package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/bench/raw"
)

type options struct {
	addr, topic    string
	pid            int
	conns, window  int
	partitions     int
	batch, batches int
	record, acks   int
	max            int
	dir            string
	bytes          float64
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "wire:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("wire", flag.ContinueOnError)
	fs.StringVar(&o.addr, "addr", "127.0.0.1:9092", "the broker")
	fs.StringVar(&o.topic, "topic", "wire", "the topic, created if it is missing")
	fs.IntVar(&o.pid, "pid", 0, "the broker's process, for its CPU time")
	fs.IntVar(&o.conns, "conns", 4, "connections")
	fs.IntVar(&o.window, "window", 4, "requests in flight on each connection")
	fs.IntVar(&o.partitions, "partitions", 12, "partitions of the topic")
	fs.IntVar(&o.batch, "batch", 16<<10, "bytes of a batch")
	fs.IntVar(&o.batches, "batches", 8, "batches in a request, each for a partition of its own")
	fs.IntVar(&o.record, "record", 1000, "bytes of a record")
	fs.IntVar(&o.max, "max", 1<<20, "most bytes of a fetch")
	fs.IntVar(&o.acks, "acks", 1, "acks of a produce")
	fs.StringVar(&o.dir, "dir", ".", "where base writes its files: the disk of the broker's log directory")
	fs.Float64Var(&o.bytes, "bytes", 1e9, "bytes to send or fetch")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if fs.Arg(0) == "base" {
		return base(ctx, &o, out)
	}
	b, err := newBench(ctx, &o)
	if err != nil {
		return err
	}
	jobs := map[string][]job{"produce": {b.produce}, "fetch": {b.fetch}, "tail": {b.produce, b.tail}, "heap": {b.heap}}[fs.Arg(0)]
	if jobs == nil {
		return errors.New("say produce, fetch, tail, heap or base")
	}
	return b.measure(ctx, out, fs.Arg(0), jobs)
}

// job is the work of one connection. It returns when the bytes are done.
type job func(ctx context.Context, index int) error

type bench struct {
	o        *options
	produced atomic.Int64
	fetched  atomic.Int64
	requests atomic.Int64
	done     chan struct{} // closed when the last producer is done
}

func (b *bench) measure(ctx context.Context, out io.Writer, name string, jobs []job) error {
	brokerBefore, err := raw.CPUOf(b.o.pid)
	if err != nil {
		return err
	}
	selfBefore := raw.SelfCPU()
	start := time.Now()
	var wg, producers sync.WaitGroup
	errs := make(chan error, len(jobs)*b.o.conns)
	for j, work := range jobs {
		for i := range b.o.conns {
			if j == 0 {
				producers.Add(1)
			}
			wg.Go(func() {
				if err := work(ctx, i); err != nil {
					errs <- err
				}
				if j == 0 {
					producers.Done()
				}
			})
		}
	}
	producers.Wait()
	close(b.done)
	wg.Wait()
	took := time.Since(start)
	select {
	case err := <-errs:
		return err
	default:
	}
	brokerAfter, err := raw.CPUOf(b.o.pid)
	if err != nil {
		return err
	}
	gb := float64(b.produced.Load()+b.fetched.Load()) / 1e9
	fmt.Fprintf(out, "%s: %.0f MB/s (%.0f MB produced, %.0f MB fetched, %d requests, %v)", name, gb*1000/took.Seconds(),
		float64(b.produced.Load())/1e6, float64(b.fetched.Load())/1e6, b.requests.Load(), took.Round(time.Millisecond))
	if b.o.pid != 0 {
		fmt.Fprintf(out, ", broker %.0f CPU ms/GB (%.1f us/request)", (brokerAfter-brokerBefore).Seconds()*1000/gb,
			float64((brokerAfter-brokerBefore).Microseconds())/float64(b.requests.Load()))
	}
	fmt.Fprintf(out, ", client %.0f CPU ms/GB\n", (raw.SelfCPU()-selfBefore).Seconds()*1000/gb)
	return nil
}
