package storm

import (
	"sync"
	"sync/atomic"
)

// recorder collects the history of a run. It is written by every client of the run at once.
type recorder struct {
	clock                                   atomic.Int64
	members, joined, left, crashed, refused atomic.Int64

	mu sync.Mutex // guards the fields below
	h  History
}

// tick is the next moment.
func (r *recorder) tick() int64 { return r.clock.Add(1) }

func (r *recorder) note(fn func(h *History)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fn(&r.h)
}

// acked is how many records were acknowledged so far.
func (r *recorder) acked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.h.Acked)
}
