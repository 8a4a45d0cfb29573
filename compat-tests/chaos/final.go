package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/history"
	"github.com/distributedmq/dmq/protocol/records"
)

// ends are the ends of all partitions of topics, at rest.
func (c *cluster) ends(ctx context.Context, topics ...string) (map[history.Partition]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ends := map[history.Partition]int64{}
	err := await(ctx, "list the ends", func() error {
		list, err := c.admin.ListEndOffsets(ctx, topics...)
		if err == nil {
			err = list.Error()
		}
		list.Each(func(o kadm.ListedOffset) {
			ends[history.Partition{Topic: o.Topic, Partition: o.Partition}] = o.Offset
		})
		if err == nil && len(ends) < len(topics) {
			err = fmt.Errorf("%d partitions", len(ends))
		}
		return err
	})
	return ends, err
}

// readAll reads every partition from its start to its end through each of its replicas.
func (c *cluster) readAll(ctx context.Context, h *history.Writer, ends map[history.Partition]int64) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	all, err := c.states(ctx, loadTopics...)
	if err != nil {
		return err
	}
	ids, err := c.topicIDs(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range all {
		for _, node := range s.replicas {
			r := replicaReader{c: c, h: h, node: node, partition: s.Partition, id: ids[s.Topic], end: ends[s.Partition]}
			if err := r.read(ctx); err != nil {
				errs = append(errs, fmt.Errorf("read %s through node %d: %w", s.Partition, node, err))
			}
		}
	}
	return errors.Join(errs...)
}

func (c *cluster) topicIDs(ctx context.Context) (map[string][16]byte, error) {
	topics, err := c.admin.ListTopics(ctx, loadTopics...)
	ids := map[string][16]byte{}
	for _, t := range topics {
		ids[t.Topic] = t.ID
	}
	return ids, err
}

// replicaReader reads one replica, whoever leads: since KIP-392 followers serve consumers up to the high watermark they know.
type replicaReader struct {
	c         *cluster
	h         *history.Writer
	node      int32
	partition history.Partition
	id        [16]byte
	end, next int64
}

func (r *replicaReader) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for r.next < r.end {
		if err := await(ctx, fmt.Sprintf("read offset %d of %d", r.next, r.end), func() error { return r.fetch(ctx) }); err != nil {
			return err
		}
	}
	r.h.Add(history.Op{Kind: history.Finished, Proc: procFinal + r.node, Outcome: history.OK, Node: r.node, Partition: r.partition, Offset: r.end})
	return nil
}

// fetch reads on. It fails while there is nothing, since there has to be.
func (r *replicaReader) fetch(ctx context.Context) error {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 500, 1, 8<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = r.partition.Topic, r.id
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = r.partition.Partition, r.next, 4<<20
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	got, err := r.c.client.Broker(int(r.node)).RetriableRequest(ctx, req)
	if err != nil {
		return err
	}
	resp, ok := got.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return errors.Join(errors.New("no answer for the partition"), kerr.ErrorForCode(resp.ErrorCode))
	}
	out := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(out.ErrorCode); err != nil {
		return err
	}
	return r.take(out.RecordBatches)
}

// take notes the records of whole batches.
func (r *replicaReader) take(b []byte) error {
	op := history.Op{Kind: history.Poll, Proc: procFinal + r.node, Outcome: history.OK, Final: true, Node: r.node, Partition: r.partition}
	before := r.next
	for len(b) > 0 {
		batch, rest, err := records.Split(b)
		if errors.Is(err, records.ErrShort) {
			break
		}
		if err != nil {
			return err
		}
		if err := batch.VerifyCRC(); err != nil {
			return err
		}
		if err := batch.Iterate(64<<20, func(x *records.Record) error {
			if x.Offset >= r.next {
				op.Records = append(op.Records, history.Record{Offset: x.Offset, Value: valueOf(x.Value)})
			}
			return nil
		}); err != nil {
			return err
		}
		r.next, b = batch.NextOffset(), rest
	}
	if len(op.Records) > 0 {
		r.h.Add(op)
	}
	if r.next == before {
		return errors.New("nothing is there")
	}
	return nil
}
