package listener

import (
	"context"
	"sync"
	"sync/atomic"
)

// budget is a bound on bytes held by many connections.
//
// Who wants more than is left waits in line. When it runs short the shed functions are asked to cut off connections that
// hold bytes without getting on. Since a frame's buffer grows, connections could hold everything and all wait for more:
// when nobody but those in line holds bytes, the first in line gets what it wants beyond the limit, so that there is
// always one that gets on.
type budget struct {
	limit int64

	used    atomic.Int64
	active  atomic.Int64 // leases of which the holder is not in line
	waiting atomic.Int32

	mu   sync.Mutex // guards the fields below
	line []*waiter
	shed []func()
}

type waiter struct {
	bytes   int64
	granted chan struct{}
}

// take leases n bytes at once if they are there and nobody is in line.
func (b *budget) take(n int64) bool {
	if !b.reserve(n) {
		return false
	}
	b.active.Add(1)
	return true
}

// reserve sets n bytes aside, if they are there and nobody is in line, for a holder whose getting on does not depend on
// them. unreserve ends it.
func (b *budget) reserve(n int64) bool {
	if b.waiting.Load() > 0 {
		return false
	}
	if b.used.Add(n) > b.limit {
		b.unreserve(n)
		return false
	}
	return true
}

// force leases n bytes whether they are there or not.
func (b *budget) force(n int64) {
	b.used.Add(n)
	b.active.Add(1)
}

// wait leases n bytes, for a holder of held other leases, when its turn comes.
func (b *budget) wait(ctx context.Context, n int64, held int64) error {
	w := &waiter{bytes: n, granted: make(chan struct{})}
	b.active.Add(-held)
	defer b.active.Add(held)
	b.mu.Lock()
	b.line = append(b.line, w)
	b.waiting.Add(1)
	b.grantLocked()
	shed := b.shed
	b.mu.Unlock()
	for _, f := range shed {
		f()
	}
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, o := range b.line {
		if o == w {
			b.line = append(b.line[:i], b.line[i+1:]...)
			b.waiting.Add(-1)
			b.grantLocked()
			return context.Cause(ctx)
		}
	}
	b.used.Add(-n) // it was granted meanwhile
	b.active.Add(-1)
	b.grantLocked()
	return context.Cause(ctx)
}

// free ends a lease of n bytes.
func (b *budget) free(n int64) {
	b.active.Add(-1)
	b.unreserve(n)
}

func (b *budget) unreserve(n int64) {
	b.used.Add(-n)
	if b.waiting.Load() > 0 {
		b.mu.Lock()
		b.grantLocked()
		b.mu.Unlock()
	}
}

func (b *budget) grantLocked() {
	for len(b.line) > 0 {
		w := b.line[0]
		if b.used.Load()+w.bytes > b.limit && b.active.Load() > 0 {
			return
		}
		b.used.Add(w.bytes)
		b.active.Add(1)
		b.line = b.line[1:]
		b.waiting.Add(-1)
		close(w.granted)
	}
}

// short reports whether somebody is in line.
func (b *budget) short() bool { return b.waiting.Load() > 0 }

// onShort registers f to be called when bytes run short. It must not block and may be called on any goroutine.
func (b *budget) onShort(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shed = append(b.shed, f)
}
