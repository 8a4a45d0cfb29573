package group

import (
	"cmp"
	"slices"
	"strings"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
)

// offsets are the committed offsets of a shard's groups, and those of transactions that have not ended.
//
// There may be millions: an offset is one element of a slice, and a topic's name is kept once for all groups.
type offsets struct {
	groups  offsetStore
	pending map[int64]offsetStore // by producer id: what its transaction has committed so far
	open    openOffsets
	names   map[string]string // of topics, each to the one copy of it

	records []coordlog.Record // scratch space of OffsetCommit
	bytes   []byte
}

func newOffsets() offsets {
	return offsets{
		groups: make(offsetStore), pending: make(map[int64]offsetStore), names: make(map[string]string),
		open: openOffsets{partitions: make(map[groupPartition]int), groups: make(map[string]int)},
	}
}

// intern returns the one copy of a topic's name.
func (o *offsets) intern(topic []byte) string {
	name, ok := o.names[string(topic)]
	if !ok {
		name = string(topic)
		o.names[name] = name
	}
	return name
}

// forgetNames lets go of the names of topics that are gone.
func (o *offsets) forgetNames(topics []DeletedTopic) {
	for _, t := range topics {
		delete(o.names, t.Name)
	}
}

// groupPartition names the offset of a group in a partition.
type groupPartition struct {
	group, topic string
	partition    int32
}

func (p groupPartition) compare(q groupPartition) int {
	return cmp.Or(strings.Compare(p.group, q.group), strings.Compare(p.topic, q.topic), cmp.Compare(p.partition, q.partition))
}

// offsetStore has the offsets of groups, by group id. No group is empty in it.
type offsetStore map[string]*groupOffsets

// groupOffsets are the offsets of one group, sorted by topic. No topic is empty in it.
type groupOffsets struct{ topics []*topicOffsets }

// topicOffsets are the offsets of one group in one topic, sorted by partition.
type topicOffsets struct {
	topic      string
	partitions []committedOffset
}

// committedOffset is what a group has committed for a partition (Kafka's OffsetAndMetadata).
type committedOffset struct {
	partition       int32
	leaderEpoch     int32 // -1: not known
	offset          int64
	recordOffset    int64            // where the commit lies in the log
	commitTimestamp int64            // milliseconds
	expireTimestamp int64            // milliseconds; -1: by retention
	topicID         protocol.TopicID // zero: not known
	metadata        string
}

func (s offsetStore) put(groupID, topic string, c committedOffset) {
	g := s[groupID]
	if g == nil {
		g = new(groupOffsets)
		s[groupID] = g
	}
	i, found := g.find(topic)
	if !found {
		g.topics = slices.Insert(g.topics, i, &topicOffsets{topic: topic})
	}
	t := g.topics[i]
	i, found = t.find(c.partition)
	if found {
		t.partitions[i] = c
	} else {
		t.partitions = slices.Insert(t.partitions, i, c)
	}
}

func (s offsetStore) remove(groupID, topic string, partition int32) {
	g := s[groupID]
	if g == nil {
		return
	}
	i, found := g.find(topic)
	if !found {
		return
	}
	t := g.topics[i]
	j, found := t.find(partition)
	if !found {
		return
	}
	t.partitions = slices.Delete(t.partitions, j, j+1)
	if len(t.partitions) == 0 {
		g.topics = slices.Delete(g.topics, i, i+1)
	}
	if len(g.topics) == 0 {
		delete(s, groupID)
	}
}

func (g *groupOffsets) find(topic string) (int, bool) {
	return slices.BinarySearchFunc(g.topics, topic, func(t *topicOffsets, topic string) int { return strings.Compare(t.topic, topic) })
}

// in returns the group's offsets in a topic; nil: none. A nil g has none.
func (g *groupOffsets) in(topic string) *topicOffsets {
	if g == nil {
		return nil
	}
	if i, found := g.find(topic); found {
		return g.topics[i]
	}
	return nil
}

// find is quick for the commonest topic, which has offsets of its partitions 0 to n.
func (t *topicOffsets) find(partition int32) (int, bool) {
	if i := int(partition); i >= 0 && i < len(t.partitions) && t.partitions[i].partition == partition {
		return i, true
	}
	return slices.BinarySearchFunc(t.partitions, partition, func(c committedOffset, partition int32) int { return int(c.partition) - int(partition) })
}

// of returns the offset of a partition; nil: none. It is good until the next record is replayed. A nil t has none.
func (t *topicOffsets) of(partition int32) *committedOffset {
	if t == nil {
		return nil
	}
	if i, found := t.find(partition); found {
		return &t.partitions[i]
	}
	return nil
}

// replayOffsetCommit applies the commit of an offset, or its end.
func (s *State) replayOffsetCommit(r coordlog.Record) error {
	key, err := schema.DecodeOffsetCommitKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		s.offsets.removeAll(string(key.Group), string(key.Topic), key.Partition)
		return nil
	}
	value, err := schema.DecodeOffsetCommitValue(r.Value)
	if err != nil {
		return err
	}
	g := s.groups[string(key.Group)]
	if g == nil { // it commits without having members: what Kafka calls a simple group
		g = newClassicGroup(string(key.Group), r.Timestamp)
		s.groups[g.id()] = g
	}
	topic := s.offsets.intern(key.Topic)
	c := committedOffset{
		partition: key.Partition, leaderEpoch: value.LeaderEpoch, offset: value.Offset, recordOffset: r.Offset,
		commitTimestamp: value.CommitTimestampMillis, expireTimestamp: value.ExpireTimestampMillis,
		topicID: value.TopicID, metadata: value.Metadata,
	}
	if r.ProducerID < 0 {
		s.offsets.groups.put(g.id(), topic, c)
	} else {
		s.offsets.putPending(r.ProducerID, g.id(), topic, c)
	}
	return nil
}
