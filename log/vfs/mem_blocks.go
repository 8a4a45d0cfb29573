package vfs

// blockSize is the unit in which a crash keeps or loses bytes, sectorSize the unit in which it tears a block.
const (
	blockSize  = 4096
	sectorSize = 512
)

// blocks is the content of a file, as readers see it and as the disk is sure to hold it. Blocks are shared between the
// two (and between clones) until written: block i of live may be changed in place only while i is in owned.
type blocks struct {
	size   int64
	live   []*[blockSize]byte // nil: zeros
	owned  map[int]struct{}
	dirty  map[int]struct{} // live[i] differs from synced[i] and the next sync writes it
	lost   map[int]struct{} // live[i] differs from synced[i] but a failed sync has marked it clean
	synced []*[blockSize]byte

	syncedSize int64
	sizeLost   bool // the size differs, but a failed sync has marked it clean
}

func blockCount(size int64) int { return int((size + blockSize - 1) / blockSize) }

func (b *blocks) readAt(p []byte, off int64) int {
	if off >= b.size {
		return 0
	}
	p = p[:min(int64(len(p)), b.size-off)]
	for done := 0; done < len(p); {
		pos := off + int64(done)
		i, at := int(pos/blockSize), int(pos%blockSize)
		n := min(blockSize-at, len(p)-done)
		if blk := b.live[i]; blk != nil {
			copy(p[done:done+n], blk[at:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

// writeAt writes inside the size.
func (b *blocks) writeAt(p []byte, off int64) {
	for len(p) > 0 {
		i, at := int(off/blockSize), int(off%blockSize)
		n := copy(b.own(i)[at:], p)
		p = p[n:]
		off += int64(n)
	}
}

// own returns block i for writing.
func (b *blocks) own(i int) *[blockSize]byte {
	b.markDirty(i)
	if _, ok := b.owned[i]; !ok {
		fresh := new([blockSize]byte)
		if b.live[i] != nil {
			*fresh = *b.live[i]
		}
		b.live[i] = fresh
		if b.owned == nil {
			b.owned = make(map[int]struct{})
		}
		b.owned[i] = struct{}{}
	}
	return b.live[i]
}

func (b *blocks) markDirty(i int) {
	if b.dirty == nil {
		b.dirty = make(map[int]struct{})
	}
	b.dirty[i] = struct{}{}
	delete(b.lost, i)
}

func (b *blocks) truncate(size int64) {
	if size == b.size {
		return
	}
	b.sizeLost = false
	count := blockCount(size)
	if size < b.size {
		for i := count; i < len(b.live); i++ {
			delete(b.owned, i)
			b.markDirty(i)
		}
		b.live = b.live[:count]
		if at := size % blockSize; at > 0 && b.live[count-1] != nil {
			clear(b.own(count - 1)[at:]) // bytes beyond the end read as zeros when the file grows again
		}
	}
	for len(b.live) < count {
		b.live = append(b.live, nil)
	}
	b.size = size
}

func (b *blocks) sync() {
	count := max(len(b.live), len(b.synced))
	for i := range b.dirty {
		if i >= count {
			continue
		}
		for len(b.synced) <= i {
			b.synced = append(b.synced, nil)
		}
		b.synced[i] = nil
		if i < len(b.live) {
			b.synced[i] = b.live[i]
		}
	}
	clear(b.dirty)
	clear(b.owned)
	if !b.sizeLost {
		b.syncedSize = b.size
		b.synced = b.synced[:min(len(b.synced), blockCount(b.size))]
	}
}

func (b *blocks) failSync() {
	if b.lost == nil {
		b.lost = make(map[int]struct{})
	}
	for i := range b.dirty {
		b.lost[i] = struct{}{}
	}
	clear(b.dirty)
	b.sizeLost = b.size != b.syncedSize
}

// crash returns what a power cut leaves, as a file that is all synced.
func (b *blocks) crash(d *dice) blocks {
	var out blocks
	out.size = b.crashSize(d)
	out.live = make([]*[blockSize]byte, blockCount(out.size))
	for i := range out.live {
		var old, now *[blockSize]byte
		if i < len(b.synced) {
			old = b.synced[i]
		}
		if i < len(b.live) {
			now = b.live[i]
		}
		out.live[i] = old
		// A block cut off by a truncate that did not survive is as it was.
		_, dirty := b.dirty[i]
		if dirty && i < len(b.live) && d.survives() {
			out.live[i] = d.tear(old, now)
		}
	}
	if at := out.size % blockSize; at > 0 {
		i := len(out.live) - 1
		if last := out.live[i]; last != nil {
			trimmed := *last
			clear(trimmed[at:])
			out.live[i] = &trimmed
		}
	}
	out.syncedSize = out.size
	out.synced = append([]*[blockSize]byte(nil), out.live...)
	return out
}

// crashSize: a size that changed since the last sync is kept, forgotten, or, when it grew, kept in part.
func (b *blocks) crashSize(d *dice) int64 {
	if b.size == b.syncedSize || b.sizeLost {
		return b.syncedSize
	}
	if d.survives() {
		return b.size
	}
	if b.size > b.syncedSize && d.partly() {
		return b.syncedSize + d.rand.Int64N(b.size-b.syncedSize)
	}
	return b.syncedSize
}
