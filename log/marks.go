package log

import (
	"sync"

	"github.com/distributedmq/dmq/log/segment"
)

// mark says where in the log an offset is: the first batch at or above offset begins at position in the segment, or will. It is
// no use for another segment that begins at the same offset, as a compacted one does.
type mark struct {
	offset, position int64
	segment          *segment.Segment
}

// marks remembers where recent log ends were. High watermarks are among them, so that a read up to the high watermark
// need not look for its end.
type marks struct {
	mu   sync.Mutex
	ring []mark // of the last writes; allocated with the first
	next int
	kept [markSyncs]mark // of the last syncs
	keep int
}

const (
	markRounds = 16
	markSyncs  = 4
	hintCount  = 8
)

func (m *marks) add(k mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ring == nil {
		m.ring = make([]mark, markRounds)
		m.forget(0)
	}
	m.ring[m.next] = k
	m.next = (m.next + 1) % len(m.ring)
}

// synced notes that offset, the end of a recent write, is being synced: it will be a high watermark.
func (m *marks) synced(offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.ring {
		if k.offset == offset {
			m.kept[m.keep] = k
			m.keep = (m.keep + 1) % markSyncs
			return
		}
	}
}

// find returns the mark of exactly offset.
func (m *marks) find(offset int64) (mark, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.ring {
		if k.offset == offset {
			return k, true
		}
	}
	for _, k := range m.kept {
		if m.ring != nil && k.offset == offset {
			return k, true
		}
	}
	return mark{}, false
}

// truncate forgets what lies above the new log end.
func (m *marks) truncate(end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(end + 1)
}

// forget removes the marks from offset on. Under mu.
func (m *marks) forget(offset int64) {
	for i := range m.ring {
		if m.ring[i].offset >= offset {
			m.ring[i].offset = noOffset
		}
	}
	for i := range m.kept {
		if m.kept[i].offset >= offset {
			m.kept[i].offset = noOffset
		}
	}
}

// hints remembers where readers left off: who reads on need not look up where he is.
type hints struct {
	mu   sync.Mutex
	ring []mark // allocated with the first read; offset is where the read began
	next int
}

// add notes a read that ended at k, having begun at position start.
func (h *hints) add(k mark, start int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.ring { // a reader goes on
		if h.ring[i].segment == k.segment && h.ring[i].position == start {
			h.ring[i] = k
			return
		}
	}
	if len(h.ring) < hintCount {
		h.ring = append(h.ring, k)
		return
	}
	h.ring[h.next] = k
	h.next = (h.next + 1) % hintCount
}

// find returns the position in segment s where a read ended that began at or before offset, the furthest one; 0 when
// there is none.
func (h *hints) find(s *segment.Segment, offset int64) int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	var best mark
	for _, k := range h.ring {
		if k.segment == s && k.offset <= offset && k.offset >= best.offset && k.position > best.position {
			best = k
		}
	}
	return best.position
}

func (h *hints) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring, h.next = nil, 0
}
