package fetcher

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// place finds out where partitions are to be fetched from whose fetch offset the leader refused.
//
//	Case A: the leader's log start offset is above the log end: the log begins anew there
//	Case B: it is not: the log goes on further than the leader's, or in epochs that the leader does not know, and is
//	        truncated to where the leader says that the newest epoch of both ends
//	Case C: the leader knows no epoch of the log, or the log none, so that there is nothing to go by: after an unclean election
//	        the log begins anew where the leader's begins, else the partition is left alone
func (l *loop) place(ctx context.Context, misfits []*followed) {
	starts, err := l.logStarts(ctx, misfits)
	if err != nil {
		l.delayAll(misfits, err)
		return
	}
	var diverged []*followed
	for _, p := range misfits {
		start := starts[p.key()]
		switch {
		case start.err != nil:
			l.delay(p, start.err)
		case start.offset > p.at.LogEndOffset: // Case A
			l.moved(p, p.follower.Restart(start.offset))
		case p.at.LastEpoch < 0: // an empty log, and the leader's does not reach it: Case C
			l.moved(p, p.follower.Restart(start.offset))
		default:
			diverged = append(diverged, p)
		}
	}
	if len(diverged) > 0 {
		l.truncate(ctx, diverged, starts)
	}
}

// truncate is Cases B and C.
func (l *loop) truncate(ctx context.Context, diverged []*followed, starts map[key]answer) {
	ends, err := l.epochEnds(ctx, diverged)
	if err != nil {
		l.delayAll(diverged, err)
		return
	}
	for _, p := range diverged {
		switch end := ends[p.key()]; {
		case end.err != nil:
			l.delay(p, end.err)
		case end.epoch < 0: // Case C
			l.moved(p, p.follower.Restart(starts[p.key()].offset))
		default: // Case B
			l.moved(p, p.follower.Truncate(replica.EpochEnd{Epoch: protocol.LeaderEpoch(end.epoch), EndOffset: end.offset}))
		}
	}
}

func (l *loop) delayAll(parts []*followed, err error) {
	for _, p := range parts {
		l.delay(p, err)
	}
}

// answer is what a leader says of one partition.
type answer struct {
	epoch  int32
	offset int64
	err    error
}

var errNotAnswered = errors.New("the leader's answer does not name the partition")

// byName finds partitions in answers that name topics.
func byName(parts []*followed) (answers map[key]answer, find func(topic string, partition int32) (key, bool)) {
	answers = make(map[key]answer, len(parts))
	names := make(map[protocol.TopicPartition]key, len(parts))
	for _, p := range parts {
		answers[p.key()] = answer{err: errNotAnswered}
		names[p.TopicPartition()] = p.key()
	}
	return answers, func(topic string, partition int32) (key, bool) {
		k, ok := names[protocol.TopicPartition{Topic: topic, Partition: partition}]
		return k, ok
	}
}

// logStarts asks for the leader's log start offsets.
func (l *loop) logStarts(ctx context.Context, parts []*followed) (map[key]answer, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = int32(l.f.o.NodeID)
	for _, p := range parts {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = p.Topic
		in := kmsg.NewListOffsetsRequestTopicPartition()
		in.Partition, in.CurrentLeaderEpoch, in.Timestamp = p.Partition, int32(p.leaderEpoch), replica.Earliest
		t.Partitions = append(t.Partitions, in)
		req.Topics = append(req.Topics, t)
	}
	got, err := l.request(ctx, req, 0)
	if err != nil {
		return nil, err
	}
	resp, ok := got.(*kmsg.ListOffsetsResponse)
	if !ok {
		return nil, fmt.Errorf("offsets answered with %T", got)
	}
	answers, find := byName(parts)
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			out := &resp.Topics[i].Partitions[j]
			if k, ok := find(resp.Topics[i].Topic, out.Partition); ok {
				answers[k] = answer{offset: out.Offset, err: errorOf(out.ErrorCode)}
			}
		}
	}
	return answers, nil
}

// epochEnds asks where the leader epochs end that the logs have last.
func (l *loop) epochEnds(ctx context.Context, parts []*followed) (map[key]answer, error) {
	req := kmsg.NewPtrOffsetForLeaderEpochRequest()
	req.ReplicaID = int32(l.f.o.NodeID)
	for _, p := range parts {
		t := kmsg.NewOffsetForLeaderEpochRequestTopic()
		t.Topic = p.Topic
		in := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		in.Partition, in.CurrentLeaderEpoch, in.LeaderEpoch = p.Partition, int32(p.leaderEpoch), int32(p.at.LastEpoch)
		t.Partitions = append(t.Partitions, in)
		req.Topics = append(req.Topics, t)
	}
	got, err := l.request(ctx, req, 0)
	if err != nil {
		return nil, err
	}
	resp, ok := got.(*kmsg.OffsetForLeaderEpochResponse)
	if !ok {
		return nil, fmt.Errorf("leader epochs answered with %T", got)
	}
	answers, find := byName(parts)
	for i := range resp.Topics {
		for j := range resp.Topics[i].Partitions {
			out := &resp.Topics[i].Partitions[j]
			if k, ok := find(resp.Topics[i].Topic, out.Partition); ok {
				answers[k] = answer{epoch: out.LeaderEpoch, offset: out.EndOffset, err: errorOf(out.ErrorCode)}
			}
		}
	}
	return answers, nil
}

func errorOf(code int16) error {
	if code == 0 {
		return nil
	}
	return &errcode.Error{Kind: errcode.Kind(code)}
}
