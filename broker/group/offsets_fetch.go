package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// OffsetFetch returns what a group has committed: one group of an OffsetFetch v1 to v10. Topics in the request have a name
// and, from v10 on, an id; nil asks for all. A group or partition without a commit has offset -1, which is no error.
//
// An offset that was committed for another incarnation of the topic than the request names is none. Where all are asked for,
// the topics of the answer have no id. With requireStable, a partition with an offset in an open transaction is
// UNSTABLE_OFFSET_COMMIT (KIP-447). Errors are those of the group; before v2 there is no field for that, and the handler gives them to the
// partitions.
func (s *State) OffsetFetch(fx coordlog.Effects, g *kmsg.OffsetFetchRequestGroup, requireStable bool, reply func(kmsg.OffsetFetchResponseGroup)) {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = g.Group
	found, err := s.checkFetch(g)
	switch {
	case err != nil:
		resp.ErrorCode = errcode.Of(err)
	case g.Topics != nil:
		resp.Topics = s.fetchOffsets(g, found, requireStable)
	default:
		resp.Topics = s.fetchAllOffsets(g.Group, found, requireStable)
	}
	reply(resp)
}

// checkFetch returns the group's offsets, nil where it has none or does not exist.
func (s *State) checkFetch(g *kmsg.OffsetFetchRequestGroup) (*groupOffsets, error) {
	known := s.groups[g.Group]
	if known == nil {
		return nil, nil
	}
	err := known.checkFetch(g.MemberID, g.MemberEpoch)
	if errcode.KindOf(err) == errcode.KindGroupIDNotFound {
		return nil, nil
	}
	return s.offsets.groups[g.Group], err
}

func (s *State) fetchOffsets(g *kmsg.OffsetFetchRequestGroup, found *groupOffsets, requireStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, len(g.Topics))
	for i := range g.Topics {
		from, to := &g.Topics[i], &topics[i]
		to.Topic, to.TopicID = from.Topic, from.TopicID
		to.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(from.Partitions))
		offsets, texts := found.in(from.Topic), make([]string, len(from.Partitions))
		for j, partition := range from.Partitions {
			c := offsets.of(partition)
			if c != nil && anotherTopic(c.topicID, from.TopicID) {
				c = nil
			}
			to.Partitions[j] = s.fetchedOffset(g.Group, from.Topic, partition, c, requireStable, &texts[j])
		}
	}
	return topics
}

// anotherTopic reports whether two ids are known to differ.
func anotherTopic(a, b protocol.TopicID) bool { return a != b && !a.IsZero() && !b.IsZero() }

func (s *State) fetchAllOffsets(groupID string, found *groupOffsets, requireStable bool) []kmsg.OffsetFetchResponseGroupTopic {
	if found == nil {
		return nil
	}
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, len(found.topics))
	for i, from := range found.topics {
		to, texts := &topics[i], make([]string, from.count)
		to.Topic = from.topic
		to.Partitions = make([]kmsg.OffsetFetchResponseGroupTopicPartition, 0, from.count)
		for c := range from.all() {
			p := s.fetchedOffset(groupID, from.topic, c.partition, c, requireStable, &texts[len(to.Partitions)])
			to.Partitions = append(to.Partitions, p)
		}
	}
	return topics
}

// fetchedOffset returns the answer for a partition. text is where its metadata may be put: the answer is encoded when c may have changed.
func (s *State) fetchedOffset(
	groupID, topic string, partition int32, c *committedOffset, requireStable bool, text *string,
) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.OffsetFetchResponseGroupTopicPartition{Partition: partition, Offset: -1, LeaderEpoch: -1, Metadata: text}
	switch {
	case requireStable && s.offsets.open.has(groupID, topic, partition):
		p.ErrorCode = int16(errcode.KindUnstableOffsetCommit)
	case c != nil:
		p.Offset, p.LeaderEpoch, *text = c.offset, c.leaderEpoch, c.metadata
	}
	return p
}
