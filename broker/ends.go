package broker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	// maxEndsAsked bounds the partitions of one ListOffsets to another broker.
	maxEndsAsked = 10_000
	// endsKept is how long an answer is good: no longer than it takes to measure.
	endsKept = 10 * time.Second
	// endsWithin is how long other brokers may take to answer.
	endsWithin = time.Second
)

// ends tells of the logs of partitions (lag.EndOffsets): of those that this broker leads from their logs, which that opens, and
// of others what their leaders last said, who are asked by learn.
type ends struct {
	self     protocol.NodeID
	replicas *replica.Manager
	image    func() *image.Image
	ask      func(ctx context.Context, leader protocol.NodeID, req kmsg.Request) (kmsg.Response, error)
	logger   *slog.Logger

	mu    sync.Mutex // guards known
	known map[protocol.TopicPartition]learnt
}

type learnt struct {
	offset int64
	at     time.Time
}

// EndOffset is the high watermark.
func (e *ends) EndOffset(tp protocol.TopicPartition) (int64, bool) {
	if p := e.image().Partition(tp); p != nil && p.Leader != e.self {
		e.mu.Lock()
		defer e.mu.Unlock()
		l, ok := e.known[tp]
		return l.offset, ok && time.Since(l.at) < endsKept
	}
	found, err := e.replicas.ListOffset(replica.ListOffset{TopicPartition: tp, CurrentLeaderEpoch: replica.Unset, Timestamp: replica.Latest})
	return found.Offset, err == nil
}

// learn asks other brokers where the partitions end in which groups have committed offsets, all at once and each with as few
// requests as will do. Of partitions whose leader does not answer in time nothing is known.
func (e *ends) learn(ctx context.Context, groups ...*group.Snapshot) {
	ctx, cancel := context.WithTimeout(ctx, endsWithin)
	defer cancel()
	img := e.image()
	byLeader := make(map[protocol.NodeID]map[protocol.TopicPartition]struct{})
	for _, g := range groups {
		for _, o := range g.Offsets {
			tp := protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}
			p := img.Partition(tp)
			if p == nil || p.Leader == e.self || p.Leader < 0 {
				continue
			}
			if byLeader[p.Leader] == nil {
				byLeader[p.Leader] = make(map[protocol.TopicPartition]struct{})
			}
			byLeader[p.Leader][tp] = struct{}{}
		}
	}
	var asking sync.WaitGroup
	for leader, partitions := range byLeader {
		asking.Go(func() { e.askLeader(ctx, leader, partitions) })
	}
	asking.Wait()
	e.forget()
}

// forget drops what is too old.
func (e *ends) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for tp, l := range e.known {
		if time.Since(l.at) >= endsKept {
			delete(e.known, tp)
		}
	}
}

func (e *ends) askLeader(ctx context.Context, leader protocol.NodeID, partitions map[protocol.TopicPartition]struct{}) {
	topics := make(map[string][]int32)
	n := 0
	send := func() {
		if err := e.list(ctx, leader, topics); err != nil {
			e.logger.DebugContext(ctx, "ask for the ends of logs", slog.Int("leader", int(leader)), slog.Any("err", err))
		}
		clear(topics)
		n = 0
	}
	for tp := range partitions {
		topics[tp.Topic] = append(topics[tp.Topic], tp.Partition)
		if n++; n == maxEndsAsked {
			send()
		}
	}
	if n > 0 {
		send()
	}
}

// list sends one ListOffsets and notes the answers.
func (e *ends) list(ctx context.Context, leader protocol.NodeID, topics map[string][]int32) error {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = replica.Unset
	for name, partitions := range topics {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = name
		for _, index := range partitions {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = index, replica.Latest
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	resp, err := e.ask(ctx, leader, req)
	if err != nil {
		return err
	}
	r, ok := resp.(*kmsg.ListOffsetsResponse)
	if !ok {
		return nil // of another API: it says nothing
	}
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range r.Topics {
		for _, p := range r.Topics[i].Partitions {
			if p.ErrorCode == 0 {
				e.known[protocol.TopicPartition{Topic: r.Topics[i].Topic, Partition: p.Partition}] = learnt{p.Offset, now}
			}
		}
	}
	return nil
}

// WrittenAt reads the header of the batch that holds the offset, or of the first one where the log begins beyond it. A
// replica of another leader's will do.
func (e *ends) WrittenAt(tp protocol.TopicPartition, offset int64) (time.Time, bool) {
	res := e.read(tp, offset)
	if res.Err != nil {
		found, err := e.replicas.ListOffset(replica.ListOffset{
			TopicPartition: tp, CurrentLeaderEpoch: replica.Unset, Timestamp: replica.Earliest, FromAnyReplica: true,
		})
		if err != nil || found.Offset <= offset {
			return time.Time{}, false
		}
		res = e.read(tp, found.Offset)
	}
	if res.Records == nil {
		return time.Time{}, false
	}
	header := make([]byte, records.HeaderSize)
	n, err := res.Records.ReadAt(header, 0)
	if closeErr := res.Records.Close(); err != nil || closeErr != nil || n < len(header) {
		return time.Time{}, false
	}
	written, ok := firstTimestamp(records.Batch(header))
	return time.UnixMilli(written), ok
}

// read asks for one batch, whatever its size; only what is read of it is read.
func (e *ends) read(tp protocol.TopicPartition, offset int64) replica.ReadResult {
	part := replica.ReadPartition{
		TopicIDPartition: protocol.TopicIDPartition{Topic: tp.Topic, Partition: tp.Partition},
		FetchOffset:      offset, CurrentLeaderEpoch: replica.Unset, LastFetchedEpoch: replica.Unset,
	}
	return e.replicas.Read(nil, replica.ReadOptions{ReplicaID: replica.Unset, AnyReplica: true, Isolation: replica.ReadLogEnd}, []replica.ReadPartition{part})[0]
}

// firstTimestamp is the timestamp of a batch's first record. Where the broker stamped the batch, and where compaction has put
// something else in its place, it is the latest in the batch. ok is false for records without timestamps.
func firstTimestamp(header records.Batch) (millis int64, ok bool) {
	millis = header.BaseTimestamp()
	if header.TimestampType() == records.LogAppendTime || header.HasDeleteHorizon() {
		millis = header.MaxTimestamp()
	}
	return millis, millis >= 0
}
