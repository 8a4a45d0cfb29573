package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Consume reads records of one partition.
type Consume struct {
	Topic         string `json:"topic" required:"true"`
	Partition     *int32 `json:"partition" required:"true"`
	Offset        *int64 `json:"offset" required:"true" doc:"where to begin"`
	ConsumerGroup string `json:"consumerGroup,omitempty" doc:"taken for the original's clients: no offset is committed"`
	MaxMessages   *int64 `json:"maxMessages,omitempty" doc:"100 when left out"`
	MaxWaitMs     *int64 `json:"maxWaitMs,omitempty" doc:"how long to wait for a record; 500 when left out"`
	MaxBytes      *int64 `json:"maxBytes,omitempty" doc:"of the batches read, or fewer while others read much; 1048576 when left out"`
	Isolation     string `json:"isolationLevel,omitempty" enum:"read_committed,read_uncommitted" doc:"whether records of transactions that are open or were aborted are left out, as by read_committed, the default"`
}

// Values of isolationLevel.
const (
	ReadCommitted   = "read_committed"
	ReadUncommitted = "read_uncommitted"
)

// ConsumeAnswer holds records.
type ConsumeAnswer struct {
	Messages      []ConsumeRecord `json:"messages"`
	HighWaterMark int64           `json:"highWaterMark" doc:"the offset behind the last record that every consumer may see"`
	NextOffset    int64           `json:"nextOffset" doc:"where to read on: behind the last message, and behind what is none, such as control records"`
	Success       bool            `json:"success"`
	ErrorCode     string          `json:"errorCode"`
}

// ConsumeRecord is one record.
type ConsumeRecord struct {
	Key       []byte            `json:"key" doc:"base64; null: none"`
	Value     []byte            `json:"value" doc:"base64; null: a tombstone"`
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Timestamp int64             `json:"timestamp"`
	Headers   map[string][]byte `json:"headers" doc:"base64 by name; of several with one name the last"`
}

const (
	// consumeMost bounds the records of an answer.
	consumeMost = 10_000
	// consumeBytesMost bounds what is read for one, and what the records of one have together.
	consumeBytesMost = 16 << 20
	// batchMost bounds a batch once it is decompressed.
	batchMost = 64 << 20

	consumeMessages = 100
	consumeBytes    = 1 << 20
	consumeWait     = 500 * time.Millisecond
)

// bounds are the limits of a Consume.
type bounds struct {
	messages int
	bytes    int32
	wait     time.Duration
}

func (q *Consume) check() (bounds, error) {
	b := bounds{messages: consumeMessages, bytes: consumeBytes}
	var err error
	switch {
	case q.Topic == "":
		return b, invalid("topic is missing")
	case q.Partition == nil:
		return b, invalid("partition is missing")
	case q.Offset == nil:
		return b, invalid("offset is missing")
	case *q.Offset < 0:
		return b, errcode.New(errcode.KindOffsetOutOfRange, "offset %d is negative", *q.Offset)
	case q.Isolation != "" && q.Isolation != ReadCommitted && q.Isolation != ReadUncommitted:
		return b, invalid("isolationLevel %q is not one of %s and %s", short(q.Isolation), ReadCommitted, ReadUncommitted)
	}
	if n := q.MaxMessages; n != nil {
		if *n < 1 || *n > consumeMost {
			return b, invalid("maxMessages %d is not one of 1 to %d", *n, consumeMost)
		}
		b.messages = int(*n)
	}
	if n := q.MaxBytes; n != nil {
		if *n < 1 || *n > consumeBytesMost {
			return b, invalid("maxBytes %d is not one of 1 to %d", *n, consumeBytesMost)
		}
		b.bytes = int32(*n)
	}
	b.wait, err = wait(q.MaxWaitMs, consumeWait, "maxWaitMs")
	return b, err
}

func (a *API) consume(ctx context.Context, r *http.Request, q *Consume) (any, error) {
	limits, err := q.check()
	if err != nil {
		return nil, err
	}
	t, leader, err := a.partitionFor(q.Topic, *q.Partition)
	if err != nil {
		return nil, err
	}
	if err := a.elsewhere(r, leader); err != nil {
		return nil, err
	}
	granted, done := a.reading.some(int64(limits.bytes), readingLeast)
	defer done()
	limits.bytes = int32(granted)
	resp, err := a.o.Cluster.Ask(ctx, leader, q.request(t, limits))
	if err != nil {
		return nil, err
	}
	made, err := a.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer made()
	fetched := resp.(*kmsg.FetchResponse)
	if err := kafkaError(fetched.ErrorCode, nil); err != nil {
		return nil, err
	}
	if len(fetched.Topics) == 0 || len(fetched.Topics[0].Partitions) == 0 {
		return nil, errcode.New(errcode.KindUnknown, "broker %d did not answer for the partition", leader)
	}
	answer, err := q.answer(&fetched.Topics[0].Partitions[0], limits)
	if err != nil {
		return nil, err
	}
	text, err := encode(answer)
	return encoded(text), err
}

// request makes Kafka's request of it.
func (q *Consume) request(t *image.Topic, limits bounds) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = int32(limits.wait.Milliseconds()), 1, limits.bytes
	if q.Isolation != ReadUncommitted {
		req.IsolationLevel = 1
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = t.Name, t.ID
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = *q.Partition, *q.Offset, limits.bytes
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func (q *Consume) answer(p *kmsg.FetchResponseTopicPartition, limits bounds) (*ConsumeAnswer, error) {
	if err := kafkaError(p.ErrorCode, nil); err != nil {
		return nil, err
	}
	c := collector{q: q, end: p.HighWatermark, most: limits.messages, room: consumeBytesMost, next: *q.Offset, out: []ConsumeRecord{}, aborted: p.AbortedTransactions}
	slices.SortFunc(c.aborted, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	if err := c.batches(p.RecordBatches); err != nil && !errors.Is(err, errEnough) {
		return nil, errcode.New(errcode.KindCorruptMessage, "records of topic %q, partition %d from offset %d on: %w", q.Topic, *q.Partition, *q.Offset, err)
	}
	return &ConsumeAnswer{Messages: c.out, HighWaterMark: p.HighWatermark, NextOffset: c.next, Success: true, ErrorCode: errcode.Name(0)}, nil
}

// collector takes records out of batches.
type collector struct {
	q    *Consume
	end  int64 // no record from here on
	most int
	room int   // bytes left
	next int64 // behind what was looked at
	out  []ConsumeRecord

	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction // by first offset; those that have begun are taken out
	open    []int64                                              // producers whose transaction at hand was aborted
}

var errEnough = errors.New("there are enough records")

// batches walks record batches, and the message sets of before 0.11 that a log may begin with. The last one may be cut.
func (c *collector) batches(b []byte) error {
	for len(b) > 0 {
		batch, rest, err := records.Split(b)
		switch {
		case errors.Is(err, records.ErrShort):
			return nil
		case errors.Is(err, records.ErrLegacy):
			rest, err = c.legacy(b)
		case err == nil:
			err = c.batch(batch)
		}
		if err != nil {
			return err
		}
		if batch != nil {
			c.passed(batch.NextOffset())
		}
		b = rest
	}
	return nil
}

// batch takes the records of a batch, unless they are the broker's own or of an aborted transaction.
func (c *collector) batch(b records.Batch) error {
	for len(c.aborted) > 0 && c.aborted[0].FirstOffset <= b.LastOffset() {
		c.open = append(c.open, c.aborted[0].ProducerID)
		c.aborted = c.aborted[1:]
	}
	i := slices.Index(c.open, b.ProducerID())
	switch {
	case b.IsControl() && i >= 0: // an aborted transaction ends with it
		c.open = slices.Delete(c.open, i, i+1)
		return nil
	case b.IsControl(), b.IsTransactional() && i >= 0:
		return nil
	default:
		return b.Iterate(batchMost, c.add)
	}
}

// passed notes that everything below an offset was looked at.
func (c *collector) passed(offset int64) { c.next = max(c.next, min(offset, c.end)) }

func (c *collector) legacy(b []byte) (rest []byte, err error) {
	message, rest, err := records.SplitLegacy(b)
	if errors.Is(err, records.ErrShort) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := message.Iterate(batchMost, c.add); err != nil {
		return nil, err
	}
	c.passed(message.LastOffset() + 1)
	return rest, nil
}

func (c *collector) add(r *records.Record) error {
	if r.Offset < *c.q.Offset {
		return nil // the batch begins before
	}
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += len(h.Key) + len(h.Value)
	}
	if r.Offset >= c.end || len(c.out) == c.most || size > c.room && len(c.out) > 0 {
		return errEnough
	}
	c.room -= size
	c.next = r.Offset + 1
	m := ConsumeRecord{
		Key: bytes.Clone(r.Key), Value: bytes.Clone(r.Value), Topic: c.q.Topic, Partition: *c.q.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
		Headers: make(map[string][]byte, len(r.Headers)),
	}
	for _, h := range r.Headers {
		m.Headers[h.Key] = bytes.Clone(h.Value)
	}
	c.out = append(c.out, m)
	return nil
}
