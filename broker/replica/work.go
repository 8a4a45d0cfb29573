package replica

import (
	"slices"
	"sync"
)

// worker runs jobs on a fixed number of goroutines. Its queue holds at most a few jobs for each partition that the
// metadata names, since the metadata is where they come from.
type worker struct {
	mu     sync.Mutex // guards the fields below
	more   sync.Cond
	jobs   []job
	closed bool

	running sync.WaitGroup
}

type job struct {
	run   func()
	lasts bool // run even if the worker is closed first
}

func (w *worker) start(n int) {
	w.more.L = &w.mu
	for range n {
		w.running.Go(w.run)
	}
}

func (w *worker) run() {
	for {
		w.mu.Lock()
		for len(w.jobs) == 0 && !w.closed {
			w.more.Wait()
		}
		if len(w.jobs) == 0 {
			w.mu.Unlock()
			return
		}
		j := w.jobs[0]
		w.jobs[0] = job{}
		w.jobs = w.jobs[1:]
		w.mu.Unlock()
		j.run()
	}
}

func (w *worker) add(run func())        { w.enqueue(job{run: run}) }
func (w *worker) addLasting(run func()) { w.enqueue(job{run: run, lasts: true}) }

func (w *worker) enqueue(j job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.jobs = append(w.jobs, j)
	w.more.Signal()
}

// close drops the jobs that need not be done and returns when the others are.
func (w *worker) close() {
	w.mu.Lock()
	w.closed = true
	w.jobs = slices.DeleteFunc(w.jobs, func(j job) bool { return !j.lasts })
	w.mu.Unlock()
	w.more.Broadcast()
	w.running.Wait()
}
