package image

import (
	"hash/maphash"
	"iter"
	"maps"
	"reflect"
)

// shardCount is how many maps a Table has. A change copies one of them, so it costs a 256th of copying all.
const shardCount = 256

// hashSeed spreads keys over shards. Tables of one process share it, so that they can share shards.
var hashSeed = maphash.MakeSeed() //nolint:gochecknoglobals // constant for the life of the process

// Table is an immutable map that is cheap to change: the next version shares everything but the shards that differ. The zero
// value is empty.
type Table[K comparable, V any] struct {
	shards *[shardCount]map[K]V // nil: empty
	n      int
}

func shardOf[K comparable](k K) int { return int(maphash.Comparable(hashSeed, k) % shardCount) }

// Lookup returns the value of a key, and whether there is one.
func (t Table[K, V]) Lookup(k K) (v V, ok bool) {
	if t.shards == nil {
		return v, false
	}
	v, ok = t.shards[shardOf(k)][k]
	return v, ok
}

// Get returns the value of a key, or the zero value.
func (t Table[K, V]) Get(k K) V {
	v, _ := t.Lookup(k)
	return v
}

// Len returns the number of keys.
func (t Table[K, V]) Len() int { return t.n }

// All yields keys and values in no order.
func (t Table[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if t.shards == nil {
			return
		}
		for _, shard := range t.shards {
			if len(shard) == 0 { // cheaper than to range over it, and most are in a small table
				continue
			}
			for k, v := range shard {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Keys yields the keys in no order.
func (t Table[K, V]) Keys() iter.Seq[K] {
	return func(yield func(K) bool) {
		for k := range t.All() {
			if !yield(k) {
				return
			}
		}
	}
}

// Values yields the values in no order.
func (t Table[K, V]) Values() iter.Seq[V] {
	return func(yield func(V) bool) {
		for _, v := range t.All() {
			if !yield(v) {
				return
			}
		}
	}
}

// Equal reports whether two tables have the same keys with deeply equal values.
func (t Table[K, V]) Equal(other Table[K, V]) bool {
	if t.n != other.n {
		return false
	}
	for k, v := range t.All() {
		if o, ok := other.Lookup(k); !ok || !reflect.DeepEqual(v, o) {
			return false
		}
	}
	return true
}

// With returns a table in which the key has this value.
func (t Table[K, V]) With(k K, v V) Table[K, V] {
	var e tableEdit
	set(&e, &t, k, v)
	return t
}

// Without returns a table that lacks the key.
func (t Table[K, V]) Without(k K) Table[K, V] {
	var e tableEdit
	remove(&e, &t, k)
	return t
}

// tableEdit says which parts of a table that is being changed are copies already, and ours to write to.
type tableEdit struct {
	array  bool
	shards *[shardCount]bool
}

// writable returns the shard of a key, ready to be written to.
func writable[K comparable, V any](e *tableEdit, t *Table[K, V], k K) map[K]V {
	if !e.array {
		shards := new([shardCount]map[K]V)
		if t.shards != nil {
			*shards = *t.shards
		}
		t.shards, e.array, e.shards = shards, true, new([shardCount]bool)
	}
	i := shardOf(k)
	if !e.shards[i] {
		e.shards[i] = true
		if t.shards[i] = maps.Clone(t.shards[i]); t.shards[i] == nil {
			t.shards[i] = make(map[K]V)
		}
	}
	return t.shards[i]
}

func set[K comparable, V any](e *tableEdit, t *Table[K, V], k K, v V) {
	shard := writable(e, t, k)
	before := len(shard)
	shard[k] = v
	t.n += len(shard) - before
}

func remove[K comparable, V any](e *tableEdit, t *Table[K, V], k K) {
	if _, ok := t.Lookup(k); ok {
		delete(writable(e, t, k), k)
		t.n--
	}
}
