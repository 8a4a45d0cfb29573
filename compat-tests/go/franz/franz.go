// Package franz drives franz-go (kgo and kadm) through the matrix.
package franz

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/compat-tests/go/matrix"
)

type client struct {
	addr  string
	admin *kadm.Client
}

// New returns a client of the broker at addr.
func New(addr string) (matrix.Client, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MetadataMinAge(10*time.Millisecond)) // else it remembers for 5 s that a new topic is not there
	if err != nil {
		return nil, err
	}
	return &client{addr: addr, admin: kadm.NewClient(cl)}, nil
}

func (c *client) Close() error { c.admin.Close(); return nil }

func (c *client) Code(err error) int16 {
	var ke *kerr.Error
	if errors.As(err, &ke) {
		return ke.Code
	}
	return -1
}

func (c *client) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	m := map[string]*string{}
	for k, v := range configs {
		m[k] = &v
	}
	resp, err := c.admin.CreateTopic(ctx, int32(partitions), int16(matrix.Replicas()), m, topic)
	if err != nil {
		return err
	}
	return resp.Err
}

func (c *client) Produce(ctx context.Context, topic string, o matrix.ProduceOptions, records []matrix.Record) error {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	acks := map[int]kgo.Acks{0: kgo.NoAck(), 1: kgo.LeaderAck(), -1: kgo.AllISRAcks()}
	opts := []kgo.Opt{kgo.SeedBrokers(c.addr), kgo.RequiredAcks(acks[o.Acks]), kgo.ProducerBatchCompression(codecs[o.Codec]), kgo.RecordPartitioner(kgo.ManualPartitioner())}
	if !o.Idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if o.MaxBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(int32(o.MaxBytes)), kgo.BrokerMaxWriteBytes(10<<20))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var list []*kgo.Record
	for _, r := range records {
		k := &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		list = append(list, k)
	}
	return cl.ProduceSync(ctx, list...).FirstErr()
}

func (c *client) Consume(ctx context.Context, topic string, offset int64, n int) ([]matrix.Record, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(offset)}}))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var out []matrix.Record
	for len(out) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			return out, fmt.Errorf("after %d records: %w", len(out), err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			m := matrix.Record{Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Offset: r.Offset}
			for _, h := range r.Headers {
				m.Headers = append(m.Headers, matrix.Header{Key: h.Key, Value: h.Value})
			}
			out = append(out, m)
		})
	}
	return out[:n], nil
}

func (c *client) OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error) {
	l, err := c.admin.ListOffsetsAfterMilli(ctx, at.UnixMilli(), topic)
	if err != nil {
		return 0, err
	}
	o, _ := l.Lookup(topic, 0)
	return o.Offset, o.Err
}

func (c *client) Offsets(ctx context.Context, topic string, partition int32) (low, high int64, err error) {
	starts, err := c.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	ends, err := c.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, 0, err
	}
	s, ok := starts.Lookup(topic, partition)
	e, _ := ends.Lookup(topic, partition)
	if !ok {
		return 0, 0, kerr.UnknownTopicOrPartition // kadm asks only for partitions that metadata names
	}
	return s.Offset, e.Offset, errors.Join(s.Err, e.Err)
}
