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

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

type options struct {
	addr, topic string
	pid, conns  int
	seconds     float64
	offsets     int
	total       int
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "groups:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("groups", flag.ContinueOnError)
	fs.StringVar(&o.addr, "addr", "127.0.0.1:9092", "the broker")
	fs.StringVar(&o.topic, "topic", "groups", "the topic, created if it is missing")
	fs.IntVar(&o.pid, "pid", 0, "the broker's process, for its CPU time")
	fs.IntVar(&o.conns, "conns", 32, "connections")
	fs.Float64Var(&o.seconds, "seconds", 5, "for how long")
	fs.IntVar(&o.offsets, "offsets", 10, "partitions in a commit or fetch")
	fs.IntVar(&o.total, "total", 1_000_000, "offsets that fill commits")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if member, ok := map[string]func(context.Context, *crowd, *raw.Client) error{"join": joinClassic, "joinconsumer": joinConsumer}[fs.Arg(0)]; ok {
		o.topic = fmt.Sprintf("%s-%d", o.topic, o.conns)
		if err := createTopic(ctx, &o, o.conns); err != nil {
			return err
		}
		return rebalance(ctx, &o, out, fs.Arg(0), member)
	}
	load, ok := map[string]load{
		"heartbeat": classic(heartbeat), "commit": classic(commit), "fetch": classic(fetch), "consumer": consumer, "fill": fill,
	}[fs.Arg(0)]
	if !ok {
		return errors.New("say heartbeat, commit, fetch, consumer, fill, join or joinconsumer")
	}
	if err := createTopic(ctx, &o, 100); err != nil {
		return err
	}
	return measure(ctx, &o, out, fs.Arg(0), load)
}

// load makes a connection ready and returns what it does again and again; io.EOF: it is done.
type load func(ctx context.Context, o *options, c *raw.Client, index int) (step func() error, err error)

// measure runs a load on all connections.
func measure(ctx context.Context, o *options, out io.Writer, name string, prepare load) error {
	steps := make([]func() error, o.conns)
	errs := make(chan error, o.conns)
	each := func(f func(i int) error) error {
		var wg sync.WaitGroup
		for i := range o.conns {
			wg.Go(func() {
				if err := f(i); err != nil {
					errs <- err
				}
			})
		}
		wg.Wait()
		select {
		case err := <-errs:
			return err
		default:
			return nil
		}
	}
	err := each(func(i int) (err error) {
		c, err := raw.Connect(ctx, o.addr)
		if err == nil {
			steps[i], err = prepare(ctx, o, c, i)
		}
		return err
	})
	if err != nil {
		return err
	}
	before, err := raw.CPUOf(o.pid)
	if err != nil {
		return err
	}
	var requests, slowest atomic.Int64
	start := time.Now()
	end := start.Add(time.Duration(o.seconds * float64(time.Second)))
	if name == "fill" {
		end = start.Add(time.Hour)
	}
	err = each(func(i int) error {
		for ctx.Err() == nil && time.Now().Before(end) {
			began := time.Now()
			switch err := steps[i](); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			requests.Add(1)
			if took := int64(time.Since(began)); took > slowest.Load() {
				slowest.Store(took)
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	after, err := raw.CPUOf(o.pid)
	if err != nil {
		return err
	}
	n := float64(requests.Load())
	fmt.Fprintf(out, "%s: %.0f requests/s (%.0f in %v, each %v at a connection, slowest %v)", name, n/took.Seconds(), n, took.Round(time.Millisecond),
		(took * time.Duration(o.conns) / time.Duration(max(requests.Load(), 1))).Round(time.Microsecond), time.Duration(slowest.Load()).Round(time.Millisecond))
	if o.pid != 0 {
		cpu := (after - before).Seconds()
		fmt.Fprintf(out, ", broker %.1f CPU us/request, %.0f requests per CPU second", cpu*1e6/n, n/cpu)
	}
	fmt.Fprintln(out)
	return nil
}

func createTopic(ctx context.Context, o *options, partitions int) error {
	c, err := raw.Connect(ctx, o.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 5, 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = o.topic, int32(partitions), 1
	req.Topics = append(req.Topics, t)
	_, err = c.Call(req)
	return err
}
