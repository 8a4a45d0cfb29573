package cleaner

import (
	"hash/maphash"
	"math/bits"
	"unsafe"

	"github.com/distributedmq/dmq/protocol/records"
)

// keyMap holds the newest offset of each key of the dirty part of a log. Keys are not kept but 128 bits of hash: two different
// keys that share all of them would cost the older one its record, which is as likely as 128 coin tosses that all come up
// heads. The hash is keyed with random seeds that nobody is told (two runs of maphash), so that who chooses keys cannot choose
// ones that collide, as he could with MD5, which Kafka's cleaner uses, or with any other fixed function. It also is many
// times faster than MD5.
//
// Open addressing with linear probing. The slots are spread over shards that grow one by one, so that memory follows the number
// of keys, and growing needs little more than what it ends with. Looking a key up mostly is waiting for memory: locate does so
// for many keys at once.
type keyMap struct {
	seed1, seed2 maphash.Seed
	shards       []shard
	shift        int // hash bits that do not choose the shard
	mostSlots    int // of a shard
	mostEntries  int // of a full shard

	located []located // of the last locate
	touched int64     // keeps the compiler from leaving the touching out
}

// located is where a key belongs.
type located struct {
	shard        *shard
	hash1, hash2 uint64
}

type shard struct {
	slots   []slot
	entries int
}

// slot is free when next is 0.
type slot struct {
	hash1, hash2 uint64
	next         int64 // the offset after the key's newest record
}

const (
	slotSize   = int64(unsafe.Sizeof(slot{})) // 24, as in Kafka: a buffer holds as many keys
	mostShards = 64
	leastSlots = 64 // of a shard that holds anything
	growAt     = 0.75
)

// newKeyMap returns an empty map that takes at most so many bytes, and of its slots at most the share loadFactor.
func newKeyMap(bytes int64, loadFactor float64) *keyMap {
	slots := int(max(bytes/slotSize, 2))
	shards := mostShards
	for shards > 1 && slots/shards < 4096 { // in small ones chance would fill one long before the others
		shards /= 2
	}
	m := &keyMap{
		seed1: maphash.MakeSeed(), seed2: maphash.MakeSeed(), shards: make([]shard, shards), shift: 64 - bits.TrailingZeros(uint(shards)),
		mostSlots: slots / shards,
	}
	m.mostEntries = max(1, min(int(float64(m.mostSlots)*loadFactor), m.mostSlots-1)) // one is free, where probing ends
	return m
}

// locate finds out where the keys of a group belong, and has the processor fetch all those places. The result is good until
// the next call.
func (m *keyMap) locate(group []records.Keyed) []located {
	m.located = m.located[:0]
	for i := range group {
		hash1, hash2 := maphash.Bytes(m.seed1, group[i].Key), maphash.Bytes(m.seed2, group[i].Key)
		m.located = append(m.located, located{&m.shards[hash1>>m.shift], hash1, hash2})
	}
	touched := int64(0)
	for i := range m.located {
		l := &m.located[i]
		if n := uint64(len(l.shard.slots)); n > 0 {
			touched += l.shard.slots[first(l.hash2, n)].next
		}
	}
	m.touched = touched
	return m.located
}

// put notes that a key's newest record is at offset. It reports whether there was room.
func (m *keyMap) put(l *located, offset int64) bool {
	s := l.shard
	at := s.find(l.hash1, l.hash2)
	if at >= 0 && s.slots[at].next != 0 {
		s.slots[at].next = offset + 1
		return true
	}
	if s.entries >= m.mostEntries {
		return false
	}
	if len(s.slots) < m.mostSlots && float64(s.entries+1) > growAt*float64(len(s.slots)) {
		s.grow(min(m.mostSlots, max(leastSlots, 2*len(s.slots))))
		at = s.find(l.hash1, l.hash2)
	}
	s.slots[at] = slot{l.hash1, l.hash2, offset + 1}
	s.entries++
	return true
}

// get returns the offset of a key's newest record; -1 when there is none.
func (m *keyMap) get(l *located) int64 {
	if at := l.shard.find(l.hash1, l.hash2); at >= 0 {
		return l.shard.slots[at].next - 1
	}
	return -1
}

// first is the slot of n in which a hash is looked for first. The shard was chosen by the other half of the hash.
func first(hash2, n uint64) uint64 {
	high, _ := bits.Mul64(hash2, n)
	return high
}

// find returns the slot of a hash, or the free one where it belongs; -1 when the shard has no slots yet.
func (s *shard) find(hash1, hash2 uint64) int {
	n := uint64(len(s.slots))
	if n == 0 {
		return -1
	}
	for i := first(hash2, n); ; i++ {
		if i == n {
			i = 0
		}
		if p := &s.slots[i]; p.next == 0 || p.hash1 == hash1 && p.hash2 == hash2 {
			return int(i)
		}
	}
}

func (s *shard) grow(slots int) {
	old := s.slots
	s.slots = make([]slot, slots)
	for _, p := range old {
		if p.next != 0 {
			s.slots[s.find(p.hash1, p.hash2)] = p
		}
	}
}

// entries counts the keys.
func (m *keyMap) entries() (n int) {
	for i := range m.shards {
		n += m.shards[i].entries
	}
	return n
}

// bytes is the memory of the slots.
func (m *keyMap) bytes() (n int64) {
	for i := range m.shards {
		n += int64(len(m.shards[i].slots)) * slotSize
	}
	return n
}

// utilization is how full the map is, 1 when no shard takes another key.
func (m *keyMap) utilization() float64 {
	return float64(m.entries()) / float64(m.mostEntries*len(m.shards))
}
