package purgatory

import (
	"math"
	"sync"
	"time"
)

// timer is a heap of deadlines and the goroutine that waits for the first.
//
// Most waits are completed long before their deadline, so removing one does not wake the goroutine: it finds out when
// the time it was armed for comes.
type timer[K comparable] struct {
	base time.Time // deadlines are nanoseconds since
	wake chan struct{}
	quit chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below and Wait.due, Wait.at
	heap    []*Wait[K] // heap[0] is not used: children of i are 2i and 2i+1
	armed   int64      // when the goroutine looks next
	stopped bool
}

const never = math.MaxInt64

func (t *timer[K]) start() {
	t.base = time.Now()
	t.wake, t.quit = make(chan struct{}, 1), make(chan struct{})
	t.heap = make([]*Wait[K], 1)
	t.armed = never
	t.wg.Go(t.loop)
}

// stop ends the goroutine and returns the waits that are left. No wait can be added from then on.
func (t *timer[K]) stop() []*Wait[K] {
	t.mu.Lock()
	if !t.stopped {
		t.stopped = true
		close(t.quit)
	}
	left := append([]*Wait[K](nil), t.heap[1:]...)
	t.mu.Unlock()
	t.wg.Wait()
	return left
}

func (t *timer[K]) loop() {
	tm := time.NewTimer(time.Hour)
	defer tm.Stop()
	var due []*Wait[K]
	for {
		var next time.Duration
		due, next = t.expired(due[:0])
		for i, w := range due {
			w.post(expire)
			due[i] = nil
		}
		tm.Reset(next)
		select {
		case <-tm.C:
		case <-t.wake:
		case <-t.quit:
			return
		}
	}
}

// expired takes out the waits whose deadline has passed and arms for the next.
func (t *timer[K]) expired(due []*Wait[K]) ([]*Wait[K], time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := int64(time.Since(t.base))
	for len(t.heap) > 1 && t.heap[1].due <= now {
		due = append(due, t.heap[1])
		t.removeLocked(t.heap[1])
	}
	t.armed = never
	if len(t.heap) > 1 {
		t.armed = t.heap[1].due
	}
	return due, time.Duration(t.armed - now)
}

// add puts w in the heap, unless the timer has been stopped.
func (t *timer[K]) add(w *Wait[K], deadline time.Time) bool {
	due := int64(never)
	if !deadline.IsZero() {
		due = int64(deadline.Sub(t.base))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stopped {
		return false
	}
	w.due = due
	t.heap = append(t.heap, w)
	t.up(len(t.heap)-1, w)
	if due < t.armed {
		t.armed = due // so that the next one does not wake the goroutine for nothing
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	return true
}

func (t *timer[K]) remove(w *Wait[K]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.removeLocked(w)
}

func (t *timer[K]) removeLocked(w *Wait[K]) {
	if w.at == 0 {
		return
	}
	i, last := w.at, len(t.heap)-1
	moved := t.heap[last]
	t.heap[last] = nil
	t.heap = t.heap[:last]
	w.at = 0
	if i == last {
		return
	}
	if i > 1 && moved.due < t.heap[i/2].due {
		t.up(i, moved)
	} else {
		t.down(i, moved)
	}
}

// up places w at i or above.
func (t *timer[K]) up(i int, w *Wait[K]) {
	for i > 1 && w.due < t.heap[i/2].due {
		t.set(i, t.heap[i/2])
		i /= 2
	}
	t.set(i, w)
}

// down places w at i or below.
func (t *timer[K]) down(i int, w *Wait[K]) {
	for {
		child := 2 * i
		if child >= len(t.heap) {
			break
		}
		if child+1 < len(t.heap) && t.heap[child+1].due < t.heap[child].due {
			child++
		}
		if t.heap[child].due >= w.due {
			break
		}
		t.set(i, t.heap[child])
		i = child
	}
	t.set(i, w)
}

func (t *timer[K]) set(i int, w *Wait[K]) {
	t.heap[i] = w
	w.at = i
}
