package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// OffsetDelete removes committed offsets: v0. The topics and partitions of the request exist. What members of the group are
// subscribed to stays: GROUP_SUBSCRIBED_TO_TOPIC. Deleting what is not there is no error.
func (s *State) OffsetDelete(fx coordlog.Effects, req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	if err := s.deleteOffsets(fx, req, resp); err != nil {
		resp.ErrorCode, resp.Topics = errcode.Of(err), nil
	}
	reply(resp)
}

func (s *State) deleteOffsets(fx coordlog.Effects, req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse) error {
	g := s.groups[req.Group]
	if g == nil {
		return groupNotFound(req.Group)
	}
	if err := g.checkOffsetDelete(); err != nil {
		return err
	}
	var ended []groupPartition
	resp.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i := range req.Topics {
		from, to := &req.Topics[i], &resp.Topics[i]
		to.Topic = from.Topic
		to.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(from.Partitions))
		subscribed := g.subscribed(from.Topic)
		offsets := s.offsets.groups[req.Group].in(from.Topic)
		for j := range from.Partitions {
			p := &to.Partitions[j]
			p.Partition = from.Partitions[j].Partition
			switch {
			case subscribed:
				p.ErrorCode = int16(errcode.KindGroupSubscribedToTopic)
			case offsets.of(p.Partition) != nil || s.offsets.open.has(req.Group, from.Topic, p.Partition):
				ended = append(ended, groupPartition{req.Group, from.Topic, p.Partition})
			}
		}
	}
	if err := s.endOffsets(fx, ended); err != nil {
		return err
	}
	s.env.Counters.OffsetDeletions.Add(int64(len(ended)))
	return nil
}

// DeletedTopic is a topic that the cluster does not have any more.
type DeletedTopic struct {
	Name string
	ID   protocol.TopicID
}

// TopicsDeleted removes the offsets of topics that were deleted. Those of a new topic with an old one's name stay.
func (s *State) TopicsDeleted(fx coordlog.Effects, topics []DeletedTopic) error {
	var ended []groupPartition
	collect := func(store offsetStore) {
		for id, g := range store {
			for _, topic := range topics {
				t := g.in(topic.Name)
				if t == nil {
					continue
				}
				for c := range t.all() {
					if !anotherTopic(c.topicID, topic.ID) {
						ended = append(ended, groupPartition{id, topic.Name, c.partition})
					}
				}
			}
		}
	}
	collect(s.offsets.groups)
	for _, store := range s.offsets.pending {
		collect(store)
	}
	slices.SortFunc(ended, groupPartition.compare)
	if err := s.endOffsets(fx, slices.Compact(ended)); err != nil {
		return err
	}
	s.offsets.forgetNames(topics)
	return nil
}

// tombstoneBatchBytes bounds a batch of tombstones. It is far from what fits into one by default, so that a topic with a lower
// max.message.bytes is served too.
const tombstoneBatchBytes = 64 << 10

// endOffsets appends the tombstones of offsets, in as many batches as it takes.
func (s *State) endOffsets(fx coordlog.Effects, ended []groupPartition) error {
	o := &s.offsets
	for len(ended) > 0 {
		o.records, o.bytes = o.records[:0], o.bytes[:0]
		for len(ended) > 0 && len(o.bytes) < tombstoneBatchBytes {
			p, start := ended[0], len(o.bytes)
			ended = ended[1:]
			o.bytes = schema.AppendOffsetCommitKey(o.bytes, p.group, p.topic, p.partition)
			o.records = append(o.records, coordlog.NewRecord(o.bytes[start:], nil))
		}
		if err := appendAnswered(fx, o.records); err != nil {
			return err
		}
	}
	return nil
}
