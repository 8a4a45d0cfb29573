// Package sarama drives IBM/sarama through the matrix.
package sarama

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/IBM/sarama"

	"github.com/distributedmq/dmq/compat-tests/go/matrix"
)

type client struct {
	addr   string
	client sarama.Client
	admin  sarama.ClusterAdmin
}

func config() *sarama.Config {
	c := sarama.NewConfig()
	c.Version = sarama.V4_1_0_0
	c.ClientID = "compat"
	c.Producer.Return.Successes = true
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Retry.Max = 3
	c.Consumer.Return.Errors = true
	c.Consumer.Fetch.Default = 4 << 20
	c.Consumer.MaxWaitTime = 50 * time.Millisecond
	return c
}

// New returns a client of the broker at addr.
func New(addr string) (matrix.Client, error) {
	cl, err := sarama.NewClient([]string{addr}, config())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(cl)
	if err != nil {
		return nil, err
	}
	return &client{addr: addr, client: cl, admin: admin}, nil
}

func (c *client) Close() error { return c.admin.Close() }

func (c *client) Code(err error) int16 {
	var ke sarama.KError
	if errors.As(err, &ke) {
		return int16(ke)
	}
	var te *sarama.TopicError
	if errors.As(err, &te) {
		return int16(te.Err)
	}
	return -1
}

func (c *client) CreateTopic(_ context.Context, topic string, partitions int, configs map[string]string) error {
	m := map[string]*string{}
	for k, v := range configs {
		m[k] = &v
	}
	if err := c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: int16(matrix.Replicas()), ConfigEntries: m}, false); err != nil {
		return err
	}
	return c.client.RefreshMetadata(topic)
}

func (c *client) Produce(_ context.Context, topic string, o matrix.ProduceOptions, records []matrix.Record) (err error) {
	codecs := map[string]sarama.CompressionCodec{"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD}
	cfg := config()
	cfg.Producer.Compression = codecs[o.Codec]
	cfg.Producer.RequiredAcks = sarama.RequiredAcks(o.Acks)
	if o.Idempotent {
		cfg.Producer.Idempotent = true
		cfg.Net.MaxOpenRequests = 1
	}
	if o.MaxBytes > 0 {
		cfg.Producer.MaxMessageBytes = o.MaxBytes
	}
	p, err := sarama.NewSyncProducer([]string{c.addr}, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	var list []*sarama.ProducerMessage
	for _, r := range records {
		m := &sarama.ProducerMessage{Topic: topic, Timestamp: r.Timestamp}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
		}
		list = append(list, m)
	}
	err = p.SendMessages(list)
	var all sarama.ProducerErrors
	if errors.As(err, &all) && len(all) > 0 {
		return all[0].Err
	}
	return err
}

func (c *client) Consume(ctx context.Context, topic string, offset int64, n int) (out []matrix.Record, err error) {
	cons, err := sarama.NewConsumer([]string{c.addr}, config())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cons.Close()) }()
	pc, err := cons.ConsumePartition(topic, 0, offset)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, pc.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for len(out) < n {
		select {
		case m := <-pc.Messages():
			r := matrix.Record{Key: m.Key, Value: m.Value, Timestamp: m.Timestamp, Offset: m.Offset}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, matrix.Header{Key: string(h.Key), Value: h.Value})
			}
			out = append(out, r)
		case err := <-pc.Errors():
			return out, err
		case <-ctx.Done():
			return out, fmt.Errorf("after %d records: %w", len(out), ctx.Err())
		}
	}
	return out, nil
}

func (c *client) OffsetAt(_ context.Context, topic string, at time.Time) (int64, error) {
	return c.client.GetOffset(topic, 0, at.UnixMilli())
}

func (c *client) Offsets(_ context.Context, topic string, partition int32) (low, high int64, err error) {
	if low, err = c.client.GetOffset(topic, partition, sarama.OffsetOldest); err != nil {
		return 0, 0, err
	}
	high, err = c.client.GetOffset(topic, partition, sarama.OffsetNewest)
	return low, high, err
}
