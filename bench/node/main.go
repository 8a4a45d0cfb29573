// Node measures what an operator notices of one dmq process: the time from starting it to the first acknowledged record
// of a new client, its memory and CPU when idle, a start with many partitions, and topics created per second.
//
//	go build -o bin/dmq ./cmd/dmq && go run ./bench/node -bin bin/dmq
//
// Each figure is the median of -runs runs, with the least and the most beside it. -start-only measures any other command
// that serves Kafka on -addr, such as Apache Kafka's start script: go run ./bench/node -start-only -addr HOST:PORT -- COMMAND.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/bench/raw"
)

const mb = 1 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

type bench struct {
	bin, addr string
	runs      int
	command   []string // instead of bin
}

func run() error {
	var b bench
	flag.StringVar(&b.bin, "bin", "bin/dmq", "the binary")
	flag.StringVar(&b.addr, "addr", "127.0.0.1:19392", "where to listen")
	flag.IntVar(&b.runs, "runs", 5, "runs of each measurement")
	startOnly := flag.Bool("start-only", false, "only start to first acknowledged record, of the command behind --")
	flag.Parse()
	b.command = flag.Args()
	ctx := context.Background()
	if err := b.repeat("start to first acked record, ms", func(dir string) (float64, error) { return b.firstAck(ctx, dir) }); err != nil || *startOnly {
		return err
	}
	if err := b.idle(ctx); err != nil {
		return err
	}
	if err := b.repeat("topics created per second, 16 clients", func(dir string) (float64, error) { return b.topics(ctx, dir, 16, 2000) }); err != nil {
		return err
	}
	return b.manyPartitions(ctx)
}

// repeat measures in fresh folders.
func (b *bench) repeat(name string, measure func(dir string) (float64, error)) error {
	var all []float64
	for range b.runs {
		dir, err := os.MkdirTemp("", "dmq-bench-")
		if err != nil {
			return err
		}
		v, err := measure(dir)
		if err := errors.Join(err, os.RemoveAll(dir)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, v)
	}
	slices.Sort(all)
	fmt.Printf("%-42s %10.1f   (%.1f to %.1f)\n", name, all[len(all)/2], all[0], all[len(all)-1])
	return nil
}

func (b *bench) start(ctx context.Context, dir string) (*exec.Cmd, error) {
	cmd := exec.CommandContext(ctx, b.bin, "serve", "--set", "listeners=PLAINTEXT://"+b.addr, "--set", "log.dirs="+dir, "--set", "dmq.admin.listen=", "--set", "num.partitions=1")
	if len(b.command) > 0 {
		cmd = exec.CommandContext(ctx, b.command[0], b.command[1:]...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, cmd.Start()
}

func stop(cmd *exec.Cmd) error {
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil {
		return err
	}
	_ = cmd.Wait() // what a signal ends has no exit code of interest
	return nil
}

func (b *bench) client() (*kgo.Client, error) {
	return kgo.NewClient(kgo.SeedBrokers(b.addr), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(0),
		kgo.RetryBackoffFn(func(int) time.Duration { return 5 * time.Millisecond }), kgo.MetadataMinAge(10*time.Millisecond))
}

func (b *bench) ack(ctx context.Context) error {
	cl, err := b.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return cl.ProduceSync(ctx, &kgo.Record{Topic: "first", Value: []byte("first")}).FirstErr()
}

func (b *bench) firstAck(ctx context.Context, dir string) (ms float64, err error) {
	began := time.Now()
	cmd, err := b.start(ctx, dir)
	if err != nil {
		return 0, err
	}
	err = b.ack(ctx)
	took := time.Since(began)
	return float64(took.Microseconds()) / 1000, errors.Join(err, stop(cmd))
}

// idle reads memory and CPU of a node that served one record and is then left alone.
func (b *bench) idle(ctx context.Context) error {
	return b.repeat("idle memory (RSS), MB", func(dir string) (float64, error) {
		cmd, err := b.start(ctx, dir)
		if err != nil {
			return 0, err
		}
		err = b.ack(ctx)
		before, beforeErr := raw.CPUOf(cmd.Process.Pid)
		time.Sleep(3 * time.Second) // the measurement itself: an idle interval
		after, afterErr := raw.CPUOf(cmd.Process.Pid)
		rss, rssErr := raw.RSSOf(cmd.Process.Pid)
		fmt.Printf("%-42s %10.2f\n", "  idle CPU, % of a core", 100*(after-before).Seconds()/3)
		return float64(rss) / mb, errors.Join(err, beforeErr, afterErr, rssErr, stop(cmd))
	})
}

func (b *bench) topics(ctx context.Context, dir string, clients, total int) (perSecond float64, err error) {
	cmd, err := b.start(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, stop(cmd)) }()
	if err := b.ack(ctx); err != nil {
		return 0, err
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for range clients {
		wg.Go(func() {
			cl, err := b.client()
			if err != nil {
				failed.Store(&err)
				return
			}
			defer cl.Close()
			adm := kadm.NewClient(cl)
			for {
				n := next.Add(1)
				if n > int64(total) {
					return
				}
				if _, err := adm.CreateTopic(ctx, 1, 1, nil, "topic-"+strconv.FormatInt(n, 10)); err != nil {
					failed.Store(&err)
					return
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	if e := failed.Load(); e != nil {
		return 0, *e
	}
	return float64(total) / took.Seconds(), nil
}

// manyPartitions measures a restart with 10,000 partitions, after a clean stop.
func (b *bench) manyPartitions(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "dmq-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd, err := b.start(ctx, dir)
	if err != nil {
		return err
	}
	if err := b.ack(ctx); err != nil {
		return err
	}
	cl, err := b.client()
	if err != nil {
		return err
	}
	for i := range 10 {
		if _, err := kadm.NewClient(cl).CreateTopic(ctx, 1000, 1, nil, "wide-"+strconv.Itoa(i)); err != nil {
			return err
		}
	}
	cl.Close()
	if err := stop(cmd); err != nil {
		return err
	}
	var all []float64
	for range b.runs {
		began := time.Now()
		if cmd, err = b.start(ctx, dir); err != nil {
			return err
		}
		err := b.ack(ctx)
		all = append(all, float64(time.Since(began).Microseconds())/1000)
		rss, rssErr := raw.RSSOf(cmd.Process.Pid)
		if err := errors.Join(err, rssErr, stop(cmd)); err != nil {
			return err
		}
		fmt.Printf("%-42s %10.1f\n", "  memory (RSS) with 10,000 partitions, MB", float64(rss)/mb)
	}
	slices.Sort(all)
	fmt.Printf("%-42s %10.1f   (%.1f to %.1f)\n", "restart to acked, 10,000 partitions, ms", all[len(all)/2], all[0], all[len(all)-1])
	return nil
}
