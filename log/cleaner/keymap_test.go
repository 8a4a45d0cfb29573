package cleaner

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/distributedmq/dmq/protocol/records"
)

func TestKeyMap_IsAMap(t *testing.T) {
	for _, bytes := range []int64{1, 100, 5000, 1 << 20} {
		t.Run(fmt.Sprint(bytes), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(1, uint64(bytes)))
			m, model := newKeyMap(bytes, 0.9), map[string]int64{}
			for offset := range int64(20_000) {
				key := fmt.Sprintf("key-%d", rnd.IntN(15_000))
				_, known := model[key]
				put := m.putKey([]byte(key), offset)
				if known && !put {
					t.Fatalf("%s was in the map and could not be put again", key)
				}
				if put {
					model[key] = offset
				}
				if m.bytes() > max(bytes, 2*slotSize) {
					t.Fatalf("the map takes %d bytes of %d", m.bytes(), bytes)
				}
			}
			if m.entries() != len(model) {
				t.Fatalf("%d entries, want %d", m.entries(), len(model))
			}
			for n := range 15_000 {
				key := fmt.Sprintf("key-%d", n)
				want, known := model[key]
				if !known {
					want = -1
				}
				if got := m.getKey([]byte(key)); got != want {
					t.Fatalf("%s is at %d, want %d", key, got, want)
				}
			}
			if u := m.utilization(); u > 1 {
				t.Errorf("utilization %v", u)
			}
		})
	}
}

// Kafka's map takes so many keys in a buffer of that size: 24 bytes each, up to the load factor.
func TestKeyMap_TakesAsManyKeysAsKafkas(t *testing.T) {
	const bytes = 4 << 20
	m := newKeyMap(bytes, 0.9)
	n := 0
	for ; m.putKey(binary.BigEndian.AppendUint64(nil, uint64(n)), int64(n)); n++ {
	}
	if kafka := bytes / 24 * 9 / 10; float64(n) < 0.95*float64(kafka) || n > kafka {
		t.Errorf("the map is full with %d keys, Kafka's with %d", n, kafka)
	}
	if m.bytes() > bytes {
		t.Errorf("the map takes %d bytes of %d", m.bytes(), bytes)
	}
}

// The default buffer is 128 MiB, and must not be taken for a few keys.
func TestKeyMap_MemoryFollowsTheKeys(t *testing.T) {
	for _, keys := range []int{0, 1, 1000, 100_000} {
		m := newKeyMap(DefaultConfig().KeyBytes, DefaultConfig().LoadFactor)
		for n := range keys {
			for range 2 {
				m.putKey(binary.BigEndian.AppendUint64(nil, uint64(n)), int64(n))
			}
		}
		if most := mostShards*leastSlots*slotSize + int64(keys)*3*slotSize; m.bytes() > most {
			t.Errorf("%d keys take %d bytes, want at most %d", keys, m.bytes(), most)
		}
	}
}

func TestKeyMap_DoesNotAllocateForKeysItHas(t *testing.T) {
	m := newKeyMap(1<<20, 0.9)
	key := []byte("a key of some length")
	m.putKey(key, 1)
	if n := testing.AllocsPerRun(100, func() { m.putKey(key, 2); m.getKey(key) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkKeyMap(b *testing.B) {
	for _, keys := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			m := newKeyMap(128<<20, 0.9)
			group := make([]records.Keyed, 32)
			for i := range group {
				group[i].Key = []byte("key-0123456789abcdef")
			}
			n := 0
			for b.Loop() { // one iteration is one group
				for i := range group {
					binary.BigEndian.PutUint64(group[i].Key[4:], uint64(n*7919%keys))
					n++
				}
				located := m.locate(group)
				for i := range located {
					m.put(&located[i], int64(n))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/key")
		})
	}
}

func (m *keyMap) putKey(key []byte, offset int64) bool {
	return m.put(&m.locate([]records.Keyed{{Key: key}})[0], offset)
}

func (m *keyMap) getKey(key []byte) int64 { return m.get(&m.locate([]records.Keyed{{Key: key}})[0]) }
