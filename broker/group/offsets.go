package group

import (
	"cmp"
	"strings"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// offsets are the committed offsets of a shard's groups, and those of transactions that have not ended.
//
// There may be millions: an offset is one element of a slice (see offsetStore), and a topic's name is kept once for all groups.
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
