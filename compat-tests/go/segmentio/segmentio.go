// Package segmentio drives segmentio/kafka-go through the matrix.
package segmentio

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/distributedmq/dmq/compat-tests/go/matrix"
)

type client struct {
	addr   string
	client *kafka.Client
}

// New returns a client of the broker at addr.
func New(addr string) (matrix.Client, error) {
	return &client{addr: addr, client: &kafka.Client{Addr: kafka.TCP(addr), Timeout: 10 * time.Second}}, nil
}

func (c *client) Close() error { return nil }

func (c *client) Code(err error) int16 {
	var list kafka.WriteErrors
	if errors.As(err, &list) {
		for _, e := range list {
			if e != nil {
				err = e
				break
			}
		}
	}
	var tooLarge kafka.MessageTooLargeError
	if errors.As(err, &tooLarge) {
		return int16(kafka.MessageSizeTooLarge)
	}
	var ke kafka.Error
	if errors.As(err, &ke) {
		return int16(ke)
	}
	return -1
}

func (c *client) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	t := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: matrix.Replicas()}
	for k, v := range configs {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	resp, err := c.client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t}})
	if err != nil {
		return err
	}
	if err := resp.Errors[topic]; err != nil {
		return err
	}
	return nil
}

func (c *client) Produce(ctx context.Context, topic string, o matrix.ProduceOptions, records []matrix.Record) (err error) {
	codecs := map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	w := &kafka.Writer{
		Addr: kafka.TCP(c.addr), Topic: topic, RequiredAcks: kafka.RequiredAcks(o.Acks), Compression: codecs[o.Codec], BatchTimeout: time.Millisecond, BatchSize: 1000,
		BatchBytes: int64(max(o.MaxBytes, 1<<20)), MaxAttempts: 3,
		Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 }),
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	var list []kafka.Message
	for _, r := range records {
		m := kafka.Message{Key: r.Key, Value: r.Value, Time: r.Timestamp}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		list = append(list, m)
	}
	return w.WriteMessages(ctx, list...)
}

func (c *client) Consume(ctx context.Context, topic string, offset int64, n int) (out []matrix.Record, err error) {
	r := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{c.addr}, Topic: topic, Partition: 0, MaxBytes: 10 << 20, MaxWait: 100 * time.Millisecond})
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := r.SetOffset(offset); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for len(out) < n {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return out, fmt.Errorf("after %d records: %w", len(out), err)
		}
		rec := matrix.Record{Key: m.Key, Value: m.Value, Timestamp: m.Time, Offset: m.Offset}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, matrix.Header{Key: h.Key, Value: h.Value})
		}
		out = append(out, rec)
	}
	return out, nil
}

func (c *client) list(ctx context.Context, topic string, req kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	resp, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {req}}})
	if err != nil {
		return kafka.PartitionOffsets{}, err
	}
	for _, p := range resp.Topics[topic] {
		if p.Partition == req.Partition {
			return p, p.Error
		}
	}
	return kafka.PartitionOffsets{}, errors.New("the answer has no such partition")
}

func (c *client) OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error) {
	p, err := c.list(ctx, topic, kafka.TimeOffsetOf(0, at))
	if err != nil {
		return 0, err
	}
	for offset := range p.Offsets {
		return offset, nil
	}
	return -1, nil
}

func (c *client) Offsets(ctx context.Context, topic string, partition int32) (low, high int64, err error) {
	first, err := c.list(ctx, topic, kafka.FirstOffsetOf(int(partition)))
	if err != nil {
		return 0, 0, err
	}
	last, err := c.list(ctx, topic, kafka.LastOffsetOf(int(partition)))
	return first.FirstOffset, last.LastOffset, err
}
