package group

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// check checks what the comments of the types promise.
func (t *topicOffsets) check() error {
	if !slices.IsSortedFunc(t.blocks, func(a, b offsetBlock) int { return cmp.Compare(a.number, b.number) }) {
		return errors.New("blocks are not in order")
	}
	count := 0
	for _, b := range t.blocks {
		count += len(b.offsets)
		if len(b.offsets) == 0 || len(b.offsets) != bits.OnesCount64(b.present) {
			return fmt.Errorf("block %d has %d offsets and %b present", b.number, len(b.offsets), b.present)
		}
		for i, c := range b.offsets {
			if at, bit := b.place(c.partition); at != i || b.present&bit == 0 || blockOf(c.partition) != b.number {
				return fmt.Errorf("block %d has partition %d at %d, which belongs at %d", b.number, c.partition, i, at)
			}
		}
	}
	if count == 0 || count != t.count {
		return fmt.Errorf("there are %d offsets, %d counted", count, t.count)
	}
	return nil
}

// TestOffsetStore_Model: a topic's offsets are a map by partition, whatever the partitions are.
func TestOffsetStore_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		store, want := make(offsetStore), make(map[int32]int64)
		partition := rapid.OneOf(rapid.Int32Range(0, 200), rapid.Int32Range(-70, 70), rapid.SampledFrom([]int32{math.MinInt32, math.MaxInt32, -1, 63, 64}))
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				c := committedOffset{partition: partition.Draw(t, "partition"), offset: rapid.Int64().Draw(t, "offset")}
				store.put("g", "t", c)
				want[c.partition] = c.offset
			},
			"remove": func(t *rapid.T) {
				p := partition.Draw(t, "partition")
				store.remove("g", "t", p)
				delete(want, p)
			},
			"": func(t *rapid.T) {
				topic := store["g"].in("t")
				if len(want) == 0 {
					if len(store) != 0 {
						t.Fatalf("something is left of nothing: %v", store)
					}
					return
				}
				if err := topic.check(); err != nil {
					t.Fatal(err)
				}
				var got []int32
				for c := range topic.all() {
					got = append(got, c.partition)
				}
				if keys := slices.Sorted(maps.Keys(want)); !slices.Equal(got, keys) {
					t.Fatalf("got partitions %d, want %d", got, keys)
				}
				for p, offset := range want {
					if c := topic.of(p); c == nil || c.offset != offset || c.partition != p {
						t.Fatalf("partition %d: got %+v, want offset %d", p, c, offset)
					}
				}
				p := partition.Draw(t, "another")
				if _, ok := want[p]; ok != (topic.of(p) != nil) {
					t.Fatalf("partition %d: got %+v, want one: %t", p, topic.of(p), ok)
				}
			},
		})
	})
}
