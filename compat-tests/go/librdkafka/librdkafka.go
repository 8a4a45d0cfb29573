// Package librdkafka drives confluent-kafka-go, with the librdkafka it brings along, through the matrix.
package librdkafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"

	"github.com/distributedmq/dmq/compat-tests/go/matrix"
)

type client struct {
	addr     string
	admin    *kafka.AdminClient
	consumer *kafka.Consumer
}

// New returns a client of the broker at addr.
func New(addr string) (matrix.Client, error) {
	admin, err := kafka.NewAdminClient(&kafka.ConfigMap{"bootstrap.servers": addr})
	if err != nil {
		return nil, err
	}
	c, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": addr, "group.id": "compat", "enable.auto.commit": false, "fetch.message.max.bytes": 4 << 20, "fetch.wait.max.ms": 20, "auto.offset.reset": "error"})
	if err != nil {
		return nil, err
	}
	return &client{addr: addr, admin: admin, consumer: c}, nil
}

func (c *client) Close() error {
	c.admin.Close()
	return c.consumer.Close()
}

func (c *client) Code(err error) int16 {
	var ke kafka.Error
	if errors.As(err, &ke) {
		return int16(ke.Code())
	}
	return -1
}

func (c *client) CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error {
	res, err := c.admin.CreateTopics(ctx, []kafka.TopicSpecification{{Topic: topic, NumPartitions: max(partitions, 1), ReplicationFactor: matrix.Replicas(), Config: configs}}, kafka.SetAdminOperationTimeout(10*time.Second))
	if err != nil {
		return err
	}
	if partitions == 0 { // the library refuses to ask
		return kafka.NewError(kafka.ErrInvalidPartitions, "not asked", false)
	}
	if res[0].Error.Code() != kafka.ErrNoError {
		return res[0].Error
	}
	return nil
}

func (c *client) Produce(_ context.Context, topic string, o matrix.ProduceOptions, records []matrix.Record) error {
	cfg := kafka.ConfigMap{"bootstrap.servers": c.addr, "compression.type": o.Codec, "acks": o.Acks, "enable.idempotence": o.Idempotent, "linger.ms": 1, "message.timeout.ms": 20000}
	if o.MaxBytes > 0 {
		cfg["message.max.bytes"] = o.MaxBytes
	}
	p, err := kafka.NewProducer(&cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	delivered := make(chan kafka.Event, len(records))
	for _, r := range records {
		m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: 0}, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: h.Value})
		}
		if err := p.Produce(m, delivered); err != nil {
			return err
		}
	}
	var first error
	for range records {
		if m, ok := (<-delivered).(*kafka.Message); ok && m.TopicPartition.Error != nil && first == nil {
			first = m.TopicPartition.Error
		}
	}
	return first
}

func (c *client) Consume(_ context.Context, topic string, offset int64, n int) ([]matrix.Record, error) {
	if err := c.consumer.Assign([]kafka.TopicPartition{{Topic: &topic, Partition: 0, Offset: kafka.Offset(offset)}}); err != nil {
		return nil, err
	}
	defer func() { _ = c.consumer.Unassign() }()
	var out []matrix.Record
	for end := time.Now().Add(20 * time.Second); len(out) < n; {
		m, err := c.consumer.ReadMessage(time.Until(end))
		if err != nil {
			return out, fmt.Errorf("after %d records: %w", len(out), err)
		}
		r := matrix.Record{Key: m.Key, Value: m.Value, Timestamp: m.Timestamp, Offset: int64(m.TopicPartition.Offset)}
		for _, h := range m.Headers {
			r.Headers = append(r.Headers, matrix.Header{Key: h.Key, Value: h.Value})
		}
		out = append(out, r)
	}
	return out, nil
}

func (c *client) OffsetAt(_ context.Context, topic string, at time.Time) (int64, error) {
	res, err := c.consumer.OffsetsForTimes([]kafka.TopicPartition{{Topic: &topic, Partition: 0, Offset: kafka.Offset(at.UnixMilli())}}, 10000)
	if err != nil {
		return 0, err
	}
	return int64(res[0].Offset), res[0].Error
}

func (c *client) Offsets(_ context.Context, topic string, partition int32) (low, high int64, err error) {
	// librdkafka remembers for a while that a topic was not there; asking for metadata makes it look again.
	if _, err := c.consumer.GetMetadata(&topic, false, 10000); err != nil {
		return 0, 0, err
	}
	return c.consumer.QueryWatermarkOffsets(topic, partition, 10000)
}
