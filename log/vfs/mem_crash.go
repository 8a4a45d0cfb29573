package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashOptions says what a power cut leaves.
type CrashOptions struct {
	// Rand draws what survives; the same seed and history leave the same disk. It may be nil for 0 and 100 percent.
	Rand *rand.Rand
	// SurvivePercent is the chance, 0 to 100, of each unsynced block, size and name change to survive. 0 leaves exactly what
	// was synced. 100 leaves everything: a killed process on a machine that runs on.
	SurvivePercent int
}

// CrashClone returns the filesystem as a power cut at this moment would leave it. m itself goes on unchanged, its open
// files and locks included; the clone has neither. What survives of a file is drawn for each block of 4 KiB, of which
// one may be torn between sectors; what survives of a folder for each change of its names, a rename being one change.
func (m *Mem) CrashClone(o CrashOptions) *Mem {
	m.mu.RLock()
	defer m.mu.RUnlock()
	c := &crasher{dice: dice{rand: o.Rand, percent: o.SurvivePercent}, done: make(map[*memNode]*memNode)}
	clone := &Mem{locks: make(map[string]bool), capacity: m.capacity}
	clone.root = c.node(m.root)
	for old, fresh := range c.done {
		if !old.dir {
			clone.used += uint64(fresh.blocks.size)
		}
	}
	return clone
}

type crasher struct {
	dice
	done map[*memNode]*memNode
}

func (c *crasher) node(n *memNode) *memNode {
	if fresh := c.done[n]; fresh != nil {
		fresh.links++
		return fresh
	}
	fresh := &memNode{dir: n.dir, perm: n.perm, modTime: n.modTime, links: 1}
	c.done[n] = fresh
	if !n.dir {
		fresh.blocks = n.blocks.crash(&c.dice)
		return fresh
	}
	names := maps.Clone(n.synced)
	for _, change := range n.pending {
		if c.survives() {
			change.apply(names)
		}
	}
	fresh.live, fresh.synced = make(map[string]*memNode, len(names)), make(map[string]*memNode, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) { // in order, so that a seed repeats
		child := c.node(names[name])
		fresh.live[name], fresh.synced[name] = child, child
	}
	return fresh
}

// dice draws what survives.
type dice struct {
	rand    *rand.Rand
	percent int
}

func (d *dice) survives() bool {
	switch {
	case d.percent <= 0:
		return false
	case d.percent >= 100:
		return true
	}
	return d.rand.IntN(100) < d.percent
}

// partly reports whether a change that did not survive whole left something.
func (d *dice) partly() bool { return d.percent > 0 && d.rand.IntN(2) == 0 }

// tear returns a copy of the block now, or, one time in eight, a mix of its sectors and those of old.
func (d *dice) tear(old, now *[blockSize]byte) *[blockSize]byte {
	var mixed, zero [blockSize]byte
	if old == nil {
		old = &zero
	}
	if now == nil {
		now = &zero
	}
	if d.percent >= 100 || d.rand.IntN(8) > 0 {
		mixed = *now // a copy, since the file that goes on writes its own blocks in place
		return &mixed
	}
	for at := 0; at < blockSize; at += sectorSize {
		src := old
		if d.rand.IntN(2) == 0 {
			src = now
		}
		copy(mixed[at:at+sectorSize], src[at:])
	}
	return &mixed
}
