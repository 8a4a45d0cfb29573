package group

import (
	"iter"
	"math/bits"
	"slices"
	"strings"

	"github.com/distributedmq/dmq/protocol"
)

// offsetStore has the offsets of groups, by group id. No group is empty in it.
type offsetStore map[string]*groupOffsets

// groupOffsets are the offsets of one group, sorted by topic. No topic is empty in it.
type groupOffsets struct{ topics []*topicOffsets }

// topicOffsets are the offsets of one group in one topic. No block is empty in it.
type topicOffsets struct {
	topic  string
	count  int
	blocks []offsetBlock // sorted by number
}

// offsetBlock has the offsets of neighbouring partitions: few enough that one more is quickly put between the others, in whatever
// order they come, and a slice all the same.
type offsetBlock struct {
	number  int32  // the block is of the partitions from number*blockSize on
	present uint64 // which of them have an offset
	offsets []committedOffset
}

const (
	blockBits = 6
	blockSize = 1 << blockBits // the bits of offsetBlock.present
)

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
	g.topics[i].put(c)
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
	g.topics[i].remove(partition)
	if g.topics[i].count == 0 {
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

func (t *topicOffsets) put(c committedOffset) {
	i, found := t.find(c.partition)
	if !found {
		t.blocks = slices.Insert(t.blocks, i, offsetBlock{number: blockOf(c.partition)})
	}
	b := &t.blocks[i]
	at, bit := b.place(c.partition)
	if b.present&bit != 0 {
		b.offsets[at] = c
		return
	}
	b.offsets = slices.Insert(b.offsets, at, c)
	b.present |= bit
	t.count++
}

func (t *topicOffsets) remove(partition int32) {
	i, found := t.find(partition)
	if !found {
		return
	}
	b := &t.blocks[i]
	at, bit := b.place(partition)
	if b.present&bit == 0 {
		return
	}
	b.offsets = slices.Delete(b.offsets, at, at+1)
	b.present &^= bit
	t.count--
	if b.present == 0 {
		t.blocks = slices.Delete(t.blocks, i, i+1)
	}
}

// of returns the offset of a partition; nil: none. It is good until the next record is replayed. A nil t has none.
func (t *topicOffsets) of(partition int32) *committedOffset {
	if t == nil {
		return nil
	}
	i, found := t.find(partition)
	if !found {
		return nil
	}
	b := &t.blocks[i]
	if at, bit := b.place(partition); b.present&bit != 0 {
		return &b.offsets[at]
	}
	return nil
}

// all returns the offsets in the order of their partitions. They are good until the next record is replayed.
func (t *topicOffsets) all() iter.Seq[*committedOffset] {
	return func(yield func(*committedOffset) bool) {
		for i := range t.blocks {
			for j := range t.blocks[i].offsets {
				if !yield(&t.blocks[i].offsets[j]) {
					return
				}
			}
		}
	}
}

// blockOf returns the number of the block that a partition belongs to.
func blockOf(partition int32) int32 { return partition >> blockBits }

// find returns the position of a partition's block. It is quick for the commonest topic, which has no gaps.
func (t *topicOffsets) find(partition int32) (int, bool) {
	number := blockOf(partition)
	if i := int(number); i >= 0 && i < len(t.blocks) && t.blocks[i].number == number {
		return i, true
	}
	return slices.BinarySearchFunc(t.blocks, number, func(b offsetBlock, number int32) int { return int(b.number) - int(number) })
}

// place returns the position that a partition has in the block, or would have, and its bit.
func (b *offsetBlock) place(partition int32) (at int, bit uint64) {
	bit = 1 << (uint32(partition) % blockSize)
	return bits.OnesCount64(b.present & (bit - 1)), bit
}
