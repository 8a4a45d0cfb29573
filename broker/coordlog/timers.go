package coordlog

import (
	"container/heap"
	"time"
)

// timers are a shard's named timers: a heap by time, and one clock that is armed for the first. A timer that is put off, as
// those of members are with each heartbeat, does not touch the clock: it is armed anew when it fires too early.
type timers struct {
	base   time.Time // times are nanoseconds since
	byName map[string]*timer
	heap   timerHeap
	seq    int64
	clock  *time.Timer // wakes the loop
	armed  int64       // what for; never: not at all
}

const never = 1<<63 - 1

type timer struct {
	name  string
	at    int64
	seq   int64 // timers at the same time run in the order in which they were set
	f     func(fx Effects)
	index int
}

func newTimers(wake func()) timers {
	t := timers{base: time.Now(), byName: make(map[string]*timer), armed: never, clock: time.AfterFunc(time.Hour, wake)}
	t.clock.Stop()
	return t
}

func (t *timers) set(name string, at time.Time, now time.Time, f func(fx Effects)) {
	t.seq++
	e := t.byName[name]
	if e == nil {
		e = &timer{name: name, at: int64(at.Sub(t.base)), seq: t.seq, f: f}
		t.byName[name] = e
		heap.Push(&t.heap, e)
	} else {
		e.at, e.seq, e.f = int64(at.Sub(t.base)), t.seq, f
		heap.Fix(&t.heap, e.index)
	}
	t.arm(now)
}

func (t *timers) cancel(name string) {
	if e := t.byName[name]; e != nil {
		heap.Remove(&t.heap, e.index)
		delete(t.byName, name)
	}
}

// due takes out the first timer if its time has come.
func (t *timers) due(now time.Time) func(fx Effects) {
	if len(t.heap) == 0 || t.heap[0].at > int64(now.Sub(t.base)) {
		return nil
	}
	e := heap.Pop(&t.heap).(*timer)
	delete(t.byName, e.name)
	return e.f
}

// arm sets the clock if the first timer comes before what it is set for.
func (t *timers) arm(now time.Time) {
	if len(t.heap) == 0 || t.heap[0].at >= t.armed {
		return
	}
	t.armed = t.heap[0].at
	t.clock.Reset(time.Duration(t.armed - int64(now.Sub(t.base))))
}

// rearm sets the clock for the first timer, whether it has fired or not.
func (t *timers) rearm(now time.Time) {
	t.armed = never
	t.arm(now)
}

func (t *timers) clear() {
	if t.clock != nil {
		t.clock.Stop()
	}
	*t = timers{}
}

// timerHeap implements heap.Interface.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if h[i].at != h[j].at {
		return h[i].at < h[j].at
	}
	return h[i].seq < h[j].seq
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	e := x.(*timer)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
