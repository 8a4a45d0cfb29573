package log

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/distributedmq/dmq/log/segment"
)

// Sizes of the tail cache.
const (
	// DefaultTailCacheBytes is what a TailCache holds when it is not told.
	DefaultTailCacheBytes = 64 << 20

	minChunk     = 16 << 10
	maxChunk     = 512 << 10
	maxTail      = 1 << 20 // of one log
	idleMultiple = 4       // a tail nobody reads is dropped after so many times maxTail was appended
)

// TailCache keeps the newest batches of logs that are read at their end on the heap, so that such a read needs no system
// call. It bounds the memory for all logs of a process. Who reads at the end of a log switches its tail on; when nobody
// does for a while, or others need the room more, it is switched off again.
type TailCache struct {
	limit int64

	mu    sync.Mutex // guards the fields below; taken after tail.mu, another tail.mu only by TryLock
	used  int64
	clock uint64
	tails []*tail // those that hold chunks
	free  [32][]*chunk
	spare int64 // bytes in free, part of used
}

// NewTailCache returns an empty cache of at most so many bytes; 0 is DefaultTailCacheBytes.
func NewTailCache(limit int64) *TailCache {
	if limit <= 0 {
		limit = DefaultTailCacheBytes
	}
	return &TailCache{limit: limit}
}

// Used is the number of bytes in use.
func (c *TailCache) Used() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.used
}

// tail is the newest batches of one log: chunks that follow each other without a gap.
type tail struct {
	cache *TailCache

	wanted atomic.Bool // somebody reads at the end
	filled atomic.Bool // there are chunks

	mu     sync.Mutex // guards the fields below
	chunks []*chunk
	unread int64  // bytes appended since the last hit
	used   uint64 // TailCache.clock at the last hit; guarded by cache.mu
}

// chunk is a run of batches. Bytes once written are not changed until the last reference is gone.
type chunk struct {
	refs  atomic.Int32 // one of the tail, one of each slice
	buf   []byte       // its length is what is used
	class int
	base  int64 // first offset
	ends  []batchEnd
}

// batchEnd is the end of a batch in a chunk.
type batchEnd struct {
	nextOffset int64
	position   int
}

func (k *chunk) nextOffset() int64 { return k.ends[len(k.ends)-1].nextOffset }

// append copies batches that were just written.
func (t *tail) append(bufs [][]byte, batches []segment.Batch) {
	if t.cache == nil || !t.wanted.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range batches {
		t.unread += int64(len(bufs[i]))
		if t.unread > idleMultiple*maxTail {
			t.wanted.Store(false)
			t.dropLocked()
			return
		}
		t.appendBatch(bufs[i], &batches[i])
	}
}

func (t *tail) appendBatch(b []byte, d *segment.Batch) {
	if n := len(t.chunks); n > 0 && t.chunks[n-1].nextOffset() != d.BaseOffset {
		t.dropLocked() // a gap: what is there no longer reaches the end
	}
	k := t.room(len(b))
	if k == nil {
		t.dropLocked()
		return
	}
	if len(k.ends) == 0 {
		k.base = d.BaseOffset
	}
	k.buf = append(k.buf, b...)
	k.ends = append(k.ends, batchEnd{d.NextOffset(), len(k.buf)})
	t.filled.Store(true)
}

// room returns a chunk with room for n bytes; nil when there is none to be had. Chunks grow while a tail stays in use.
func (t *tail) room(n int) *chunk {
	size := minChunk
	if last := len(t.chunks) - 1; last >= 0 {
		k := t.chunks[last]
		if cap(k.buf)-len(k.buf) >= n {
			return k
		}
		size = min(2*cap(k.buf), maxChunk)
	}
	if n > maxTail {
		return nil
	}
	total := 0
	for _, k := range t.chunks {
		total += cap(k.buf)
	}
	size = max(size, n)
	for len(t.chunks) > 0 && total+size > maxTail {
		total -= cap(t.chunks[0].buf)
		t.cache.release(t.chunks[0])
		t.chunks = slices.Delete(t.chunks, 0, 1)
	}
	k := t.cache.get(t, size)
	if k != nil {
		t.chunks = append(t.chunks, k)
	}
	return k
}

// read returns batches from offset on as Log.Read does. ok is false when the tail does not hold them.
func (t *tail) read(offset, maxOffset int64, maxBytes int, minOne bool) (parts []tailPart, ok bool) {
	if !t.filled.Load() {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.chunks) == 0 || offset < t.chunks[0].base {
		return nil, false
	}
	for _, k := range t.chunks {
		if offset >= k.nextOffset() {
			continue
		}
		part, more := k.cut(offset, maxOffset, maxBytes, minOne && len(parts) == 0)
		if len(part.b) > 0 {
			k.refs.Add(1)
			parts = append(parts, part)
			maxBytes -= len(part.b)
			offset = part.nextOffset
		}
		if !more {
			break
		}
	}
	t.unread = 0
	t.cache.touch(t)
	return parts, true
}

// tailPart is part of a chunk, with a reference to it.
type tailPart struct {
	chunk      *chunk
	b          []byte
	baseOffset int64
	nextOffset int64
}

// cut returns the batches from the one with offset on. more reports whether those of the next chunk may follow.
func (k *chunk) cut(offset, maxOffset int64, maxBytes int, minOne bool) (part tailPart, more bool) {
	first, _ := slices.BinarySearchFunc(k.ends, offset+1, func(e batchEnd, next int64) int { return cmp.Compare(e.nextOffset, next) })
	start, base := 0, k.base
	if first > 0 {
		start, base = k.ends[first-1].position, k.ends[first-1].nextOffset
	}
	end := first
	for end < len(k.ends) && k.ends[end].nextOffset <= maxOffset {
		if k.ends[end].position-start > maxBytes && !(minOne && end == first) {
			break
		}
		end++
	}
	if end == first {
		return tailPart{}, false
	}
	stop := k.ends[end-1].position
	return tailPart{chunk: k, b: k.buf[start:stop:stop], baseOffset: base, nextOffset: k.ends[end-1].nextOffset}, end == len(k.ends)
}

// bytesBetween is the number of bytes from the batch with offset from to the one with offset to.
func (t *tail) bytesBetween(from, to int64) (bytes int64, ok bool) {
	if !t.filled.Load() {
		return 0, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.chunks) == 0 || from < t.chunks[0].base {
		return 0, false
	}
	for _, k := range t.chunks {
		if from < k.nextOffset() && to > k.base {
			bytes += int64(k.position(to) - k.position(from))
		}
	}
	return bytes, true
}

// position is where the batch with offset begins, or the end.
func (k *chunk) position(offset int64) int {
	i, _ := slices.BinarySearchFunc(k.ends, offset+1, func(e batchEnd, next int64) int { return cmp.Compare(e.nextOffset, next) })
	if i == 0 {
		return 0
	}
	return k.ends[i-1].position
}

// drop empties the tail.
func (t *tail) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted.Store(false)
	t.dropLocked()
}

// dropBelow empties the tail if it reaches below offset. It fills again.
func (t *tail) dropBelow(offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.chunks) > 0 && t.chunks[0].base < offset {
		t.dropLocked()
	}
}

func (t *tail) dropLocked() {
	for _, k := range t.chunks {
		t.cache.release(k)
	}
	if t.chunks != nil {
		t.cache.forget(t)
	}
	t.chunks = nil
	t.filled.Store(false)
}

// class is the size class of n bytes: the exponent of the next power of two.
func class(n int) int { return bits.Len(uint(n - 1)) }

// get returns an empty chunk of at least size bytes, taking room from tails that were not read lately; nil when there is
// none. The caller holds t.mu.
func (c *TailCache) get(t *tail, size int) *chunk {
	cl := class(size)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free[cl]); n > 0 {
		k := c.free[cl][n-1]
		c.free[cl] = c.free[cl][:n-1]
		c.spare -= int64(cap(k.buf))
		c.register(t)
		k.refs.Store(1)
		return k
	}
	need := int64(1) << cl
	if c.used+need > c.limit {
		c.reclaim(t, need)
	}
	if c.used+need > c.limit {
		return nil
	}
	c.used += need
	c.register(t)
	k := &chunk{buf: make([]byte, 0, need), class: cl}
	k.refs.Store(1)
	return k
}

func (c *TailCache) register(t *tail) {
	if len(t.chunks) == 0 {
		c.clock++
		t.used = c.clock
		c.tails = append(c.tails, t)
	}
}

// reclaim makes room for need bytes: first of chunks that nobody uses, then by emptying the tails that were read the longest
// ago. Under mu.
func (c *TailCache) reclaim(except *tail, need int64) {
	c.dropFree()
	for c.used+need > c.limit {
		var oldest *tail
		for _, t := range c.tails {
			if t != except && (oldest == nil || t.used < oldest.used) {
				oldest = t
			}
		}
		if oldest == nil || !oldest.mu.TryLock() {
			return
		}
		for _, k := range oldest.chunks {
			c.releaseLocked(k)
		}
		oldest.chunks = nil
		oldest.filled.Store(false)
		c.forgetLocked(oldest)
		oldest.mu.Unlock()
		c.dropFree()
	}
}

func (c *TailCache) dropFree() {
	for i := range c.free {
		for _, k := range c.free[i] {
			c.used -= int64(cap(k.buf))
		}
		clear(c.free[i])
		c.free[i] = c.free[i][:0]
	}
	c.spare = 0
}

// touch notes a hit.
func (c *TailCache) touch(t *tail) {
	c.mu.Lock()
	c.clock++
	t.used = c.clock
	c.mu.Unlock()
}

func (c *TailCache) forget(t *tail) {
	c.mu.Lock()
	c.forgetLocked(t)
	c.mu.Unlock()
}

func (c *TailCache) forgetLocked(t *tail) {
	if i := slices.Index(c.tails, t); i >= 0 {
		c.tails = slices.Delete(c.tails, i, i+1)
	}
}

// release gives up a reference to a chunk.
func (c *TailCache) release(k *chunk) {
	if k.refs.Add(-1) > 0 {
		return
	}
	c.mu.Lock()
	c.reuseLocked(k)
	c.mu.Unlock()
}

func (c *TailCache) releaseLocked(k *chunk) {
	if k.refs.Add(-1) == 0 {
		c.reuseLocked(k)
	}
}

// reuseLocked keeps a chunk that nobody refers to for the next tail, as long as a quarter of the limit is not idle.
func (c *TailCache) reuseLocked(k *chunk) {
	k.buf, k.ends = k.buf[:0], k.ends[:0]
	size := int64(cap(k.buf))
	if c.spare+size > c.limit/4 {
		c.used -= size
		return
	}
	c.spare += size
	c.free[k.class] = append(c.free[k.class], k)
}
