package raftstore

// engine is the ordered key-value store below a Store.
type engine interface {
	// get returns a copy of the value, or errNotFound.
	get(key []byte) ([]byte, error)
	// scan calls fn for the keys from low up to but without high in order, or in reverse, until fn returns false. The slices
	// are valid during the call only.
	scan(low, high []byte, reverse bool, fn func(key, value []byte) bool) error
	// commit applies the batch atomically and returns once it is durable; with lazy set, durable no later than the next
	// commit that is not lazy.
	commit(b *batch, lazy bool) error
	close() error
}

// batch is a set of writes, in order.
type batch struct{ ops []op }

// op sets key to value, or deletes the keys from key up to but without end.
type op struct {
	key, value, end []byte
}

func (b *batch) set(key, value []byte)       { b.ops = append(b.ops, op{key: key, value: value}) }
func (b *batch) deleteRange(key, end []byte) { b.ops = append(b.ops, op{key: key, end: end}) }

// after returns the smallest key above all keys with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
