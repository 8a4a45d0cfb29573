package raftstore

import (
	"bytes"
	"log/slog"
	"slices"
	"sort"
	"sync"
)

// Disk is the memory behind a store: it outlives the Store opened on it, as a disk does.
type Disk struct {
	mu   sync.Mutex
	keys [][]byte // sorted
	vals [][]byte
	fail func() error // before each commit; nil: never
}

// NewDisk returns an empty disk.
func NewDisk() *Disk { return &Disk{} }

// Memory returns an empty store in memory.
func Memory() *Store {
	s, err := NewDisk().Open(slog.New(slog.DiscardHandler), func(error) {})
	if err != nil {
		panic("invariant: an empty disk opens: " + err.Error())
	}
	return s
}

// Open opens the store on the disk. fatal is called once, when a write fails.
func (d *Disk) Open(logger *slog.Logger, fatal func(error)) (*Store, error) {
	return newStore(d, logger, fatal)
}

// Clone returns a copy of the disk as it is now: what a crash at this moment would leave.
func (d *Disk) Clone() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{keys: slices.Clone(d.keys), vals: slices.Clone(d.vals)} // keys and values are never written to
}

// FailWrites makes every commit ask fn first; an error fails it.
func (d *Disk) FailWrites(fn func() error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = fn
}

// Corrupt flips a bit in the last value that match picks, as a failing disk might.
func (d *Disk) Corrupt(match func(key, value []byte) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := len(d.keys) - 1; i >= 0; i-- {
		if v := bytes.Clone(d.vals[i]); len(v) > 0 && match(d.keys[i], v) {
			v[len(v)/2] ^= 1
			d.vals[i] = v
			return
		}
	}
}

func (d *Disk) find(key []byte) (int, bool) {
	i := sort.Search(len(d.keys), func(i int) bool { return bytes.Compare(d.keys[i], key) >= 0 })
	return i, i < len(d.keys) && bytes.Equal(d.keys[i], key)
}

func (d *Disk) get(key []byte) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i, ok := d.find(key)
	if !ok {
		return nil, errNotFound
	}
	return bytes.Clone(d.vals[i]), nil
}

func (d *Disk) scan(low, high []byte, reverse bool, fn func(key, value []byte) bool) error {
	d.mu.Lock()
	i, _ := d.find(low)
	j, _ := d.find(high)
	keys, vals := slices.Clone(d.keys[i:j]), slices.Clone(d.vals[i:j])
	d.mu.Unlock()
	if reverse {
		slices.Reverse(keys)
		slices.Reverse(vals)
	}
	for i := range keys {
		if !fn(keys[i], vals[i]) {
			break
		}
	}
	return nil
}

func (d *Disk) commit(b *batch, _ bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(); err != nil {
			return err
		}
	}
	for _, o := range b.ops {
		i, ok := d.find(o.key)
		switch {
		case o.end != nil:
			j, _ := d.find(o.end)
			d.keys, d.vals = slices.Delete(d.keys, i, j), slices.Delete(d.vals, i, j)
		case ok:
			d.vals[i] = bytes.Clone(o.value)
		default:
			d.keys = slices.Insert(d.keys, i, bytes.Clone(o.key))
			d.vals = slices.Insert(d.vals, i, bytes.Clone(o.value))
		}
	}
	return nil
}

func (d *Disk) close() error { return nil }
