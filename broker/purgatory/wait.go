package purgatory

import "sync/atomic"

// Wait is one held operation.
//
// Its state makes sure that one goroutine at a time runs the operation's methods: whoever sets trying is the runner, and
// whoever finds it set leaves its event there for the runner, which looks for one before it lets go.
type Wait[K comparable] struct {
	purgatory *Purgatory[K]
	op        Operation
	state     atomic.Uint32
	links     []link[K]
	room      [1]link[K] // of a wait with one key
	due       int64      // guarded by timer.mu, as is at
	at        int        // in the heap, from 1; 0: not there
}

// The bits of Wait.state.
const (
	trying uint32 = 1 << iota
	done          // nothing else is set then
	again         // events, left for the runner:
	expire
	cancel
	shut
	events = again | expire | cancel | shut
)

// Cancel completes the operation as Cancelled unless it has been completed.
func (w *Wait[K]) Cancel() { w.post(cancel) }

// post makes an event known. It reports whether this call completed the operation.
func (w *Wait[K]) post(e uint32) bool {
	for {
		s := w.state.Load()
		switch {
		case s&done != 0:
			return false
		case s&trying != 0:
			if w.state.CompareAndSwap(s, s|e) {
				return false
			}
		default:
			if w.state.CompareAndSwap(s, trying) {
				return w.run(e)
			}
		}
	}
}

// run works off events until there are none; the caller has set trying. It reports whether the operation was completed.
func (w *Wait[K]) run(e uint32) bool {
	for {
		switch {
		case e&shut != 0:
			w.finish(Closed)
			return true
		case e&cancel != 0:
			w.finish(Cancelled)
			return true
		case e&expire != 0:
			w.finish(Expired)
			return true
		case w.op.Try():
			w.finish(Satisfied)
			return true
		}
		// Let go, unless an event has come meanwhile.
		s := w.state.Load()
		for s&events == 0 {
			if w.state.CompareAndSwap(s, s&^trying) {
				return false
			}
			s = w.state.Load()
		}
		e = w.state.Swap(trying) & events
	}
}

// finish takes the wait out of the purgatory and completes the operation. Only the runner calls it, once.
func (w *Wait[K]) finish(o Outcome) {
	w.state.Store(done)
	for i := range w.links {
		w.purgatory.unlink(&w.links[i])
	}
	w.purgatory.timer.remove(w)
	w.op.Complete(o)
	w.purgatory.leave()
}
