package replication

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

// patience is how long a round may take at most.
const patience = 2 * time.Minute

// Bench measures one cluster.
type Bench struct {
	Cluster    *peer.Cluster
	Partitions int // of each topic, with three replicas each
	RecordSize int

	rounds int
}

// Cost is what moving records took.
type Cost struct {
	Records int
	Bytes   int64 // of the records' values
	Took    time.Duration
	CPU     time.Duration // of all nodes
}

// MBPerSecond is the throughput in 10⁶ bytes.
func (c Cost) MBPerSecond() float64 { return float64(c.Bytes) / 1e6 / c.Took.Seconds() }

// CPUPerGB is in seconds for 10⁹ bytes.
func (c Cost) CPUPerGB() float64 { return c.CPU.Seconds() / (float64(c.Bytes) / 1e9) }

// Latency is how long records waited for their acknowledgement, from when they were due to be sent.
type Latency struct {
	P50, P99 time.Duration
	Cost
}

// Throughput produces so many bytes as fast as they are acknowledged, in batches of at most batchBytes, and then consumes them from the
// beginning.
func (b *Bench) Throughput(ctx context.Context, total int64, batchBytes int32) (produced, consumed Cost, err error) {
	err = b.round(ctx, func(ctx context.Context, topic string) (err error) {
		if produced, err = b.produce(ctx, topic, int(total)/b.RecordSize, kgo.ProducerBatchMaxBytes(batchBytes)); err != nil {
			return err
		}
		consumed, err = b.consume(ctx, topic, produced.Records)
		return err
	})
	return produced, consumed, err
}

// Paced produces so many records a second, each sent at once, for a while.
func (b *Bench) Paced(ctx context.Context, perSecond int, d time.Duration) (l Latency, err error) {
	err = b.round(ctx, func(ctx context.Context, topic string) (err error) {
		l, err = b.paced(ctx, topic, perSecond, d)
		return err
	})
	return l, err
}

// measured is what moving records costs, which do counts.
func (b *Bench) measured(do func() (records int, err error)) (Cost, error) {
	before, err := b.Cluster.CPU()
	if err != nil {
		return Cost{}, err
	}
	began := time.Now()
	records, err := do()
	took := time.Since(began)
	after, cpuErr := b.Cluster.CPU()
	return Cost{Records: records, Bytes: int64(records) * int64(b.RecordSize), Took: took, CPU: after - before}, errors.Join(err, cpuErr)
}

// round has do work on a new topic.
func (b *Bench) round(ctx context.Context, do func(ctx context.Context, topic string) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client, err := b.client()
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	b.rounds++
	topic := fmt.Sprintf("replication-%d", b.rounds)
	created, err := admin.CreateTopic(ctx, int32(b.Partitions), 3, nil, topic)
	if err = errors.Join(err, created.Err); err != nil {
		return err
	}
	if err = do(ctx, topic); err != nil {
		return err
	}
	deleted, err := admin.DeleteTopic(ctx, topic)
	return errors.Join(err, deleted.Err)
}

func (b *Bench) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(b.Cluster.Bootstrap(), ",")...),
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, opts...)...)
}

// acks counts the records that a client was answered, and keeps the first error.
type acks struct {
	mu    sync.Mutex // guards the fields below
	acked int
	err   error
}

func (a *acks) answered(_ *kgo.Record, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err == nil:
		a.acked++
	case a.err == nil:
		a.err = err
	}
}

// producer returns a client that has sent a record to every partition, so that it knows their leaders.
func (b *Bench) producer(ctx context.Context, topic string, opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := b.client(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		return nil, err
	}
	var first []*kgo.Record
	for i := range b.Partitions {
		first = append(first, &kgo.Record{Partition: int32(i), Value: make([]byte, b.RecordSize)})
	}
	if err := client.ProduceSync(ctx, first...).FirstErr(); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

func (b *Bench) produce(ctx context.Context, topic string, records int, opts ...kgo.Opt) (Cost, error) {
	client, err := b.producer(ctx, topic, opts...)
	if err != nil {
		return Cost{}, err
	}
	defer client.Close()
	value := make([]byte, b.RecordSize)
	return b.measured(func() (int, error) {
		var a acks
		for i := range records {
			client.Produce(ctx, &kgo.Record{Partition: int32(i % b.Partitions), Value: value}, a.answered)
		}
		err := client.Flush(ctx)
		return a.acked, errors.Join(err, a.err)
	})
}

// consume consumes the records of a topic, those that producer sent among them.
func (b *Bench) consume(ctx context.Context, topic string, records int) (Cost, error) {
	client, err := b.client(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return Cost{}, err
	}
	defer client.Close()
	records += b.Partitions
	return b.measured(func() (got int, err error) {
		for got < records {
			fetches := client.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				return got, err
			}
			got += fetches.NumRecords()
		}
		return got, nil
	})
}

func (b *Bench) paced(ctx context.Context, topic string, perSecond int, d time.Duration) (Latency, error) {
	client, err := b.producer(ctx, topic, kgo.ProducerLinger(0))
	if err != nil {
		return Latency{}, err
	}
	defer client.Close()
	waits := make([]time.Duration, int(d.Seconds()*float64(perSecond)))
	value := make([]byte, b.RecordSize)
	cost, err := b.measured(func() (int, error) {
		var a acks
		began := time.Now()
		for i := range waits {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(perSecond))
			time.Sleep(time.Until(due)) // the load itself
			client.Produce(ctx, &kgo.Record{Partition: int32(i % b.Partitions), Value: value}, func(r *kgo.Record, err error) {
				waits[i] = time.Since(due)
				a.answered(r, err)
			})
		}
		err := client.Flush(ctx)
		return a.acked, errors.Join(err, a.err)
	})
	slices.Sort(waits)
	return Latency{P50: waits[len(waits)/2], P99: waits[len(waits)*99/100], Cost: cost}, err
}
