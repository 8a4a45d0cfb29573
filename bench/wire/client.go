package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	produceVersion = 9
	fetchVersion   = 12
)

// newBench makes the topic and waits until it can be used.
func newBench(ctx context.Context, o *options) (*bench, error) {
	c, err := raw.Connect(ctx, o.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version, create.TimeoutMillis = 5, 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = o.topic, int32(o.partitions), 1
	create.Topics = append(create.Topics, t)
	if _, err := c.Call(create); err != nil {
		return nil, err
	}
	for ctx.Err() == nil {
		meta := kmsg.NewPtrMetadataRequest()
		meta.Version = 9
		mt := kmsg.NewMetadataRequestTopic()
		mt.Topic = &o.topic
		meta.Topics = append(meta.Topics, mt)
		got, err := c.Call(meta)
		if err != nil {
			return nil, err
		}
		resp, ok := got.(*kmsg.MetadataResponse)
		if ok && len(resp.Topics) == 1 && resp.Topics[0].ErrorCode == 0 && len(resp.Topics[0].Partitions) == o.partitions {
			return &bench{o: o, done: make(chan struct{})}, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil, ctx.Err()
}

// batch is one record batch of about n bytes.
func batch(n, record int) ([]byte, error) {
	b := records.NewBuilder(records.BuilderOptions{})
	now := time.Now().UnixMilli()
	value := make([]byte, record)
	for i := range value {
		value[i] = byte(i * 31)
	}
	for size := records.HeaderSize; size < n; size += record + 10 {
		b.Append(now, nil, value[:min(record, n-size)])
	}
	return b.Bytes()
}

// produce sends requests, at most window ahead of their responses.
func (b *bench) produce(ctx context.Context, index int) error {
	c, err := raw.Connect(ctx, b.o.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	one, err := batch(b.o.batch, b.o.record)
	if err != nil {
		return err
	}
	var frames [][]byte
	for first := index * b.o.batches; len(frames) < b.o.partitions; first += b.o.conns * b.o.batches {
		req := kmsg.NewPtrProduceRequest()
		req.Version, req.Acks, req.TimeoutMillis = produceVersion, int16(b.o.acks), 30_000
		t := kmsg.NewProduceRequestTopic()
		t.Topic = b.o.topic
		for i := range b.o.batches {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = int32((first+i)%b.o.partitions), one
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
		frames = append(frames, raw.Frame(req))
	}
	perRequest := int64(len(one) * b.o.batches)
	slots := make(chan struct{}, b.o.window)
	sent := make(chan error, 1)
	go func() {
		defer close(slots)
		for i := 0; ctx.Err() == nil && b.produced.Add(perRequest) <= int64(b.o.bytes); i++ {
			slots <- struct{}{}
			if err := c.Write(frames[i%len(frames)]); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	for n := 0; ; n++ {
		// A slot is freed when its response has come, so that the window is full all the time.
		got, err := peek(c, slots)
		if err != nil {
			return err
		}
		if !got {
			return <-sent
		}
		b.requests.Add(1)
	}
}

// peek reads the response to the oldest request in flight, if there is one or is going to be one.
func peek(c *raw.Client, slots chan struct{}) (bool, error) {
	resp := kmsg.NewPtrProduceResponse()
	resp.Version = produceVersion
	_, open := <-slots
	if !open {
		return false, nil
	}
	if _, err := c.Read(resp); err != nil {
		return false, err
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return false, fmt.Errorf("produce to %s-%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return true, nil
}

// fetch reads partitions from their beginning to their end, again and again until the bytes are done.
func (b *bench) fetch(ctx context.Context, index int) error {
	return b.consume(ctx, index, earliest, func(bool) bool { return b.fetched.Load() < int64(b.o.bytes) })
}

// tail follows the end of partitions until the producers are done and all is read.
func (b *bench) tail(ctx context.Context, index int) error {
	return b.consume(ctx, index, latest, func(empty bool) bool {
		select {
		case <-b.done:
			return !empty
		default:
			return true
		}
	})
}

// heap follows the end of its partitions, appends a little to each, and reads that again and again.
func (b *bench) heap(ctx context.Context, index int) error {
	c, err := raw.Connect(ctx, b.o.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	one, err := batch(b.o.batch, b.o.record)
	if err != nil {
		return err
	}
	first := make(map[int32]int64)
	for p := int32(index); p < int32(b.o.partitions); p += int32(b.o.conns) {
		if first[p], err = b.offset(c, p, latest); err != nil {
			return err
		}
		if _, _, err := b.fetchOne(c, p, first[p]); err != nil { // who reads at the end has what comes kept in memory
			return err
		}
		for range 640 << 10 / len(one) {
			if err := b.produceOne(c, p, one); err != nil {
				return err
			}
		}
	}
	for ctx.Err() == nil && b.fetched.Load() < int64(b.o.bytes) {
		for p := range first {
			n, _, err := b.fetchOne(c, p, first[p])
			if err != nil {
				return err
			}
			b.fetched.Add(int64(n))
			b.requests.Add(1)
		}
	}
	return nil
}

func (b *bench) produceOne(c *raw.Client, partition int32, batch []byte) error {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = produceVersion, 1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = b.o.topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got, err := c.Call(req)
	if err != nil {
		return err
	}
	resp, ok := got.(*kmsg.ProduceResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return fmt.Errorf("produce to %s-%d: got another response", b.o.topic, partition)
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// Where consumers begin.
const (
	latest   = -1
	earliest = -2
)

func (b *bench) consume(ctx context.Context, index int, from int64, more func(empty bool) bool) error {
	c, err := raw.Connect(ctx, b.o.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	offsets := make(map[int32]int64)
	for p := index; p < b.o.partitions; p += b.o.conns {
		if offsets[int32(p)], err = b.offset(c, int32(p), from); err != nil {
			return err
		}
	}
	for empty := false; ctx.Err() == nil && more(empty); {
		empty = true
		for p := range offsets {
			n, next, err := b.fetchOne(c, p, offsets[p])
			if err != nil {
				return err
			}
			if n == 0 && from == earliest { // again from the beginning
				next = 0
			}
			offsets[p] = next
			empty = empty && n == 0
			b.fetched.Add(int64(n))
			b.requests.Add(1)
		}
	}
	return nil
}

// offset asks for the first or the last offset of a partition.
func (b *bench) offset(c *raw.Client, partition int32, at int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version = 4
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = b.o.topic
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, at
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got, err := c.Call(req)
	if err != nil {
		return 0, err
	}
	resp, ok := got.(*kmsg.ListOffsetsResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, fmt.Errorf("list offsets of %s-%d: got another response", b.o.topic, partition)
	}
	rp := &resp.Topics[0].Partitions[0]
	return rp.Offset, kerr.ErrorForCode(rp.ErrorCode)
}

func (b *bench) fetchOne(c *raw.Client, partition int32, offset int64) (n int, next int64, err error) {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = fetchVersion, 5, 1, int32(b.o.max)
	req.SessionEpoch = -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = b.o.topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, int32(b.o.max)
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got, err := c.Call(req)
	if err != nil {
		return 0, 0, err
	}
	resp, ok := got.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, 0, fmt.Errorf("fetch of %s-%d: got another response", b.o.topic, partition)
	}
	rp := &resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
		return 0, 0, fmt.Errorf("fetch of %s-%d at %d: %w", b.o.topic, partition, offset, err)
	}
	next = offset
	for rest := rp.RecordBatches; len(rest) >= records.HeaderSize; {
		batch, more, err := records.Split(rest)
		if errors.Is(err, records.ErrShort) {
			break // Kafka cuts what is over the limit in the middle of a batch
		}
		if err != nil {
			return 0, 0, err
		}
		next, rest = batch.NextOffset(), more
	}
	return len(rp.RecordBatches), next, nil
}
