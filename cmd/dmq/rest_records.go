package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/client"
)

const (
	// restBatchRecords and restBatchBytes bound what one request carries.
	restBatchRecords = 500
	restBatchBytes   = 512 << 10
	// restWait is how long a request waits for records.
	restWait = 5 * time.Second
)

// produceREST is produce by the admin port.
func (a *app) produceREST(ctx context.Context, urls, topic string, o produceOptions) error {
	if o.codec != "none" {
		return usage("leave out --compression", "records go by the admin port as they are")
	}
	acks, ok := map[string]int64{"all": -1, "-1": -1, "1": 1, "0": 0}[o.acks]
	if !ok {
		return usage("choose one of all, 1, 0", "unknown acks %q", o.acks)
	}
	read, err := o.reader(a.in)
	if err != nil {
		return err
	}
	headers, err := parseHeaders(o.headers)
	if err != nil {
		return err
	}
	cl, err := a.restClient(urls)
	if err != nil {
		return err
	}
	p := &restProduction{a: a, cl: cl, topic: topic, acks: acks, batches: make(map[int32]*api.Produce), production: production{partitions: map[int32]*producedPartition{}}}
	if err := p.begin(ctx); err != nil {
		return err
	}
	finished := make(chan error, 1)
	go func() { finished <- p.run(ctx, read, headers, o) }() // reading may block for ever: it is left behind on a signal
	select {
	case err = <-finished:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	sum, _ := p.result(topic)
	if sum.Records > 0 || err == nil {
		if printErr := a.print(sum.result()); err == nil {
			err = printErr
		}
	}
	if f, ok := errors.AsType[*failure](err); ok && sum.Records > 0 {
		f.code = codePartly
	}
	return err
}

// restProduction collects records in batches, one for each partition, and sends what is full.
type restProduction struct {
	a           *app
	cl          *client.Client
	topic       string
	acks        int64
	partitioner kgo.TopicPartitioner
	count       int // partitions of the topic
	batches     map[int32]*api.Produce
	bytes       map[int32]int
	production
}

func (p *restProduction) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.a.timeout))
	defer cancel()
	var t api.Topic
	if err := p.cl.Any(ctx, http.MethodGet, topicPath(p.topic), nil, &t); err != nil {
		f := restTopicFailure(ctx, p.cl, p.topic, err)
		if errors.Is(f.cause, kerr.UnknownTopicOrPartition) {
			f.next = "Create it: dmq topic create " + p.topic
		}
		return f
	}
	p.count, p.bytes = len(t.Partitions), make(map[int32]int)
	p.partitioner = givenPartition{kgo.StickyKeyPartitioner(nil)}.ForTopic(p.topic)
	return nil
}

func (p *restProduction) run(ctx context.Context, read func() (*kgo.Record, error), headers []kgo.RecordHeader, o produceOptions) error {
	for {
		r, err := read()
		if errors.Is(err, io.EOF) {
			return p.flush(ctx)
		}
		if err != nil {
			return errors.Join(usage("see: dmq produce --help", "the input does not have the expected form: %s", err), p.flush(ctx))
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		o.complete(r, headers)
		if err := p.add(ctx, r); err != nil {
			return err
		}
	}
}

// add puts a record into the batch of its partition.
func (p *restProduction) add(ctx context.Context, r *kgo.Record) error {
	partition := int32(p.partitioner.Partition(r, p.count))
	m := api.ProduceRecord{Key: r.Key, Value: r.Value}
	if !r.Timestamp.IsZero() {
		m.Timestamp = new(r.Timestamp.UnixMilli())
	}
	size := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		if m.Headers == nil {
			m.Headers = make(map[string][]byte)
		}
		m.Headers[h.Key] = h.Value
		size += len(h.Key) + len(h.Value)
	}
	b := p.batches[partition]
	if b != nil && p.bytes[partition]+size > restBatchBytes {
		if err := p.send(ctx, partition); err != nil {
			return err
		}
		b = nil
	}
	if b == nil {
		b = &api.Produce{Topic: p.topic, Partition: &partition, RequiredAcks: &p.acks, TimeoutMs: new(min(time.Duration(p.a.timeout), 30*time.Second).Milliseconds())}
		p.batches[partition], p.bytes[partition] = b, 0
	}
	b.Messages = append(b.Messages, m)
	if p.bytes[partition] += size; len(b.Messages) >= restBatchRecords {
		return p.send(ctx, partition)
	}
	return nil
}

func (p *restProduction) flush(ctx context.Context) error {
	for partition := range p.batches {
		if err := p.send(ctx, partition); err != nil {
			return err
		}
	}
	return nil
}

// send sends the batch of a partition.
func (p *restProduction) send(ctx context.Context, partition int32) error {
	b := p.batches[partition]
	delete(p.batches, partition)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.a.timeout))
	defer cancel()
	var answer api.ProduceAnswer
	if err := p.cl.Any(ctx, http.MethodPost, "/storage/messages", b, &answer); err != nil {
		f := restTopicFailure(ctx, p.cl, p.topic, err)
		if errors.Is(f.cause, kerr.MessageTooLarge) {
			f.next = "Allow larger ones: dmq topic config set " + p.topic + " max.message.bytes=N"
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.failed += int64(len(b.Messages))
		return f
	}
	for _, r := range answer.Results {
		p.delivered(&kgo.Record{Partition: partition, Offset: r.Offset}, nil)
	}
	return nil
}

// consumeREST is consume by the admin port.
func (a *app) consumeREST(ctx context.Context, urls string, topics []string, o consumeOptions) error {
	show, err := a.printer(o)
	if err != nil {
		return err
	}
	begin, err := parseFrom(o.from, time.Now())
	switch {
	case err != nil:
		return err
	case o.group != "":
		return usage("leave out --admin-url", "--group does not go by the admin port")
	case o.committed:
		return usage("leave out --admin-url", "--read-committed does not go by the admin port")
	case begin.timed:
		return usage("begin with start, end, an offset or -10", "--from @TIME does not go by the admin port")
	}
	o.follow = o.follow || begin.end && begin.back == 0
	cl, err := a.restClient(urls)
	if err != nil {
		return err
	}
	rest, err := a.restRanges(ctx, cl, topics, begin, o)
	if err != nil {
		return err
	}
	return a.readREST(ctx, cl, rest, show, o)
}

// restRange is what is to be read of a partition.
type restRange struct {
	topic     string
	partition int32
	from, to  int64 // to is exclusive, and does not count with --follow
}

// restRanges turns --from into offsets.
func (a *app) restRanges(ctx context.Context, cl *client.Client, topics []string, begin position, o consumeOptions) ([]restRange, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	var out []restRange
	for _, name := range topics {
		var t api.Topic
		if err := cl.Any(ctx, http.MethodGet, topicPath(name), nil, &t); err != nil {
			return nil, restTopicFailure(ctx, cl, name, err)
		}
		for _, p := range o.partitions {
			if p < 0 || int(p) >= len(t.Partitions) {
				return nil, noPartition(topicPartition{name, p})
			}
		}
		for _, p := range restTopic(&t).Partitions {
			if len(o.partitions) > 0 && !slices.Contains(o.partitions, p.Partition) {
				continue
			}
			first, last := p.LogStartOffset, p.HighWatermark
			if first < 0 || last < 0 {
				return nil, &failure{code: codeUnreachable, what: fmt.Sprintf("the offsets of %s-%d cannot be read now", name, p.Partition), next: "See it: dmq topic describe " + name}
			}
			from := begin.offset
			switch {
			case begin.end:
				from = last - begin.back
			case begin.start:
				from = first
			}
			if from = min(max(from, first), last); from < last || o.follow {
				out = append(out, restRange{name, p.Partition, from, last})
			}
		}
	}
	return out, nil
}

// readREST prints the records of all partitions, which are read side by side.
func (a *app) readREST(ctx context.Context, cl *client.Client, rest []restRange, show printer, o consumeOptions) error {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel() // before it waits
	type batch struct {
		records []api.ConsumeRecord
		err     error
		done    bool
	}
	batches := make(chan batch)
	for _, r := range rest {
		reading.Go(func() {
			for at := r.from; o.follow || at < r.to; {
				records, next, err := a.pollREST(ctx, cl, r, at)
				if !o.follow {
					records = slices.DeleteFunc(records, func(m api.ConsumeRecord) bool { return m.Offset >= r.to })
				}
				select {
				case batches <- batch{records: records, err: err}:
				case <-ctx.Done():
					return
				}
				at = next
			}
			select {
			case batches <- batch{done: true}:
			case <-ctx.Done():
			}
		})
	}
	out := bufio.NewWriterSize(a.out, 64<<10)
	var line []byte
	printed := int64(0)
	for left := len(rest); left > 0; {
		var b batch
		select {
		case b = <-batches:
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), out.Flush())
		}
		if b.done {
			left--
		}
		if b.err != nil {
			return errors.Join(b.err, out.Flush())
		}
		for i := range b.records {
			line = show(line[:0], restRecord(&b.records[i]))
			if _, err := out.Write(line); err != nil {
				return err
			}
			if printed++; printed == o.count {
				return out.Flush()
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
	return out.Flush()
}

// pollREST reads some records of a partition and says where to read on.
func (a *app) pollREST(ctx context.Context, cl *client.Client, r restRange, at int64) (records []api.ConsumeRecord, next int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, restWait+time.Duration(a.timeout))
	defer cancel()
	q := api.Consume{
		Topic: r.topic, Partition: &r.partition, Offset: &at, MaxMessages: new(int64(restBatchRecords)), MaxWaitMs: new(restWait.Milliseconds()),
		Isolation: api.ReadUncommitted, // as without --admin-url
	}
	var answer api.ConsumeAnswer
	if err := cl.Any(ctx, http.MethodPost, "/storage/consume", q, &answer); err != nil {
		return nil, at, restTopicFailure(ctx, cl, r.topic, err)
	}
	return answer.Messages, answer.NextOffset, nil
}

// restRecord is a record as printers know it.
func restRecord(m *api.ConsumeRecord) *kgo.Record {
	r := &kgo.Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Timestamp: time.UnixMilli(m.Timestamp), Key: m.Key, Value: m.Value}
	for name, value := range m.Headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: value})
	}
	slices.SortFunc(r.Headers, func(x, y kgo.RecordHeader) int { return strings.Compare(x.Key, y.Key) })
	return r
}
