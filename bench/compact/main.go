// Compact measures log compaction of a broker, ours or Apache Kafka: megabytes of log per second of the broker's CPU time.
//
//	dmq serve --set log.cleaner.backoff.ms=200
//	go run ./bench/compact -addr 127.0.0.1:9092 -pid $(pgrep -x dmq) -data ./data
//
// For each shape of records it fills a topic that nothing is compacted of (min.cleanable.dirty.ratio=1), notes the broker's CPU
// time, allows compaction, and waits until the cleaner's offset checkpoint says that all closed segments are done. What the
// broker spends idle is measured before and taken off. A first round that does not count warms a JVM up. The broker has to run
// with log.cleaner.backoff.ms=200, and -data is its log directory.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/bench/raw"
)

type options struct {
	addr, data string
	pid        int
	bytes      float64
	rounds     int
}

// shape is one kind of log.
type shape struct {
	size  int // of a record
	codec string
	keep  int // percent of the records that are the newest of their key
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "compact:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var o options
	fs := flag.NewFlagSet("compact", flag.ContinueOnError)
	fs.StringVar(&o.addr, "addr", "127.0.0.1:9092", "the broker")
	fs.StringVar(&o.data, "data", "./data", "its log directory")
	fs.IntVar(&o.pid, "pid", 0, "its process, for its CPU time")
	fs.Float64Var(&o.bytes, "bytes", 256e6, "uncompressed bytes of records in a log")
	fs.IntVar(&o.rounds, "rounds", 3, "rounds that count, of each shape")
	if err := fs.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	for _, size := range []int{100, 1024} {
		for _, codec := range []string{"none", "lz4", "zstd"} {
			for _, keep := range []int{10, 100} {
				if err := o.measure(ctx, out, shape{size, codec, keep}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// measure prints the median of the rounds.
func (o *options) measure(ctx context.Context, out io.Writer, s shape) error {
	var perCPU, perSecond []float64
	for round := range o.rounds + 1 {
		r, err := o.round(ctx, s, round)
		if err != nil {
			return err
		}
		if round > 0 {
			perCPU, perSecond = append(perCPU, r.mb/r.cpu.Seconds()), append(perSecond, r.mb/r.took.Seconds())
		}
	}
	slices.Sort(perCPU)
	slices.Sort(perSecond)
	_, err := fmt.Fprintf(out, "%5d B, %-5s, %3d %% stays: %6.0f MB per CPU second (%.0f to %.0f), %.0f MB/s\n", s.size, s.codec, s.keep,
		perCPU[len(perCPU)/2], perCPU[0], perCPU[len(perCPU)-1], perSecond[len(perSecond)/2])
	return err
}

type result struct {
	mb        float64
	cpu, took time.Duration
}

func (o *options) round(ctx context.Context, s shape, round int) (r result, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.addr), kgo.ProducerBatchCompression(codec(s.codec)), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.ProducerBatchMaxBytes(16<<10), kgo.ProducerLinger(5*time.Millisecond))
	if err != nil {
		return r, err
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	topic := fmt.Sprintf("compact-%d-%s-%d-%d-%d", s.size, s.codec, s.keep, round, os.Getpid())
	hold, allow := "1", "0.01"
	_, err = admin.CreateTopic(ctx, 1, 1, map[string]*string{
		"cleanup.policy": new("compact"), "segment.bytes": new("4194304"), "min.cleanable.dirty.ratio": &hold,
	}, topic)
	if err != nil {
		return r, err
	}
	if err := o.fill(ctx, cl, topic, s); err != nil {
		return r, err
	}
	bytes, end, err := o.closed(topic)
	if err != nil {
		return r, err
	}
	r.mb = float64(bytes) / 1e6
	idle, err := o.idle(ctx)
	if err != nil {
		return r, err
	}
	before, err := raw.CPUOf(o.pid)
	if err != nil {
		return r, err
	}
	began := time.Now()
	if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "min.cleanable.dirty.ratio", Value: &allow}}, topic); err != nil {
		return r, err
	}
	if err := o.wait(ctx, topic, end); err != nil {
		return r, err
	}
	r.took = time.Since(began)
	after, err := raw.CPUOf(o.pid)
	if err != nil {
		return r, err
	}
	r.cpu = after - before - time.Duration(idle*float64(r.took))
	_, err = admin.DeleteTopics(ctx, topic)
	return r, err
}

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

// fill writes the keys in random order, with values like JSON.
func (o *options) fill(ctx context.Context, cl *kgo.Client, topic string, s shape) error {
	rnd := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same data each time
	count := int(o.bytes) / s.size
	keys := max(1, count*s.keep/100)
	errs := make(chan error, 1)
	for _, n := range rnd.Perm(count) {
		value := make([]byte, 0, s.size)
		for len(value) < s.size-30 {
			value = fmt.Appendf(value, `{"order":%08d,"state":"paid"},`, rnd.IntN(1e8))
		}
		value = value[:s.size-30]
		r := &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "user-%016d", n%keys), Value: value}
		cl.Produce(ctx, r, func(_ *kgo.Record, err error) {
			if err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// closed returns the bytes of the topic's closed segments, and the offset where they end.
func (o *options) closed(topic string) (bytes, end int64, err error) {
	names, err := filepath.Glob(filepath.Join(o.data, topic+"-0", "*.log"))
	if err != nil || len(names) < 2 {
		return 0, 0, errors.Join(err, fmt.Errorf("%s has %d segments in %s", topic, len(names), o.data))
	}
	slices.Sort(names)
	for _, name := range names[:len(names)-1] {
		info, err := os.Stat(name)
		if err != nil {
			return 0, 0, err
		}
		bytes += info.Size()
	}
	end, err = strconv.ParseInt(strings.TrimSuffix(filepath.Base(names[len(names)-1]), ".log"), 10, 64)
	return bytes, end, err
}

// idle is how much of a processor the broker takes doing nothing.
func (o *options) idle(ctx context.Context) (float64, error) {
	const quiet, watched = 2 * time.Second, 3 * time.Second
	if err := sleep(ctx, quiet); err != nil {
		return 0, err
	}
	before, err := raw.CPUOf(o.pid)
	if err != nil {
		return 0, err
	}
	if err := sleep(ctx, watched); err != nil {
		return 0, err
	}
	after, err := raw.CPUOf(o.pid)
	return float64(after-before) / float64(watched), err
}

// wait returns when the cleaner's checkpoint has reached an offset.
func (o *options) wait(ctx context.Context, topic string, end int64) error {
	deadline := time.Now().Add(10 * time.Minute)
	for time.Now().Before(deadline) {
		done, err := o.cleaned(topic)
		if err != nil || done >= end {
			return err
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was not compacted within ten minutes: is the cleaner on?", topic)
}

// cleaned is what cleaner-offset-checkpoint says of a topic's first partition.
func (o *options) cleaned(topic string) (int64, error) {
	f, err := os.Open(filepath.Join(o.data, "cleaner-offset-checkpoint"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), topic+" 0 "); ok {
			return strconv.ParseInt(rest, 10, 64)
		}
	}
	return 0, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
