package log

import (
	"sync"
	"time"
)

// DefaultSyncWorkers is how many syncs a Syncer runs at once when it is not told. Syncs of different files share journal
// commits of the filesystem: many at once cost hardly more than one.
const DefaultSyncWorkers = 32

// Syncer runs the syncs of all logs of a process on a bounded number of goroutines, which exist only while there is work.
// A log is in its queue at most once, so that the queue is as long as there are logs at most.
type Syncer struct {
	limit int

	mu      sync.Mutex // guards the fields below
	queue   []*Log
	workers int
	closed  bool
	timers  map[*delayed]struct{}

	wg sync.WaitGroup // of the workers and running timers

	requests sync.Pool // of *request
}

// NewSyncer returns a Syncer of at most so many workers; 0 is DefaultSyncWorkers.
func NewSyncer(workers int) *Syncer {
	if workers <= 0 {
		workers = DefaultSyncWorkers
	}
	return &Syncer{limit: workers, timers: make(map[*delayed]struct{})}
}

// Close waits until the queue is empty. What was to be done later is not done any more. The logs are closed before.
func (s *Syncer) Close() {
	s.mu.Lock()
	s.closed = true
	var stopped []*delayed
	for d := range s.timers {
		stopped = append(stopped, d)
	}
	s.mu.Unlock()
	for _, d := range stopped {
		d.stop()
	}
	s.wg.Wait()
}

// enqueue has l.runSync called by a worker.
func (s *Syncer) enqueue(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, l)
	if s.workers < s.limit {
		s.workers++
		s.wg.Go(s.work)
	}
}

func (s *Syncer) work() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.workers--
			s.mu.Unlock()
			return
		}
		l := s.queue[0]
		s.queue[0] = nil
		if s.queue = s.queue[1:]; len(s.queue) == 0 {
			s.queue = nil
		}
		s.mu.Unlock()
		l.runSync()
	}
}

// delayed is something that is done later.
type delayed struct {
	s     *Syncer
	timer *time.Timer
}

// after has fn called by a goroutine after d, unless the result is stopped or the Syncer closed before. The result is nil
// when it is closed already.
func (s *Syncer) after(d time.Duration, fn func()) *delayed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	t := &delayed{s: s}
	s.timers[t] = struct{}{}
	s.wg.Add(1)
	t.timer = time.AfterFunc(d, func() {
		defer s.wg.Done()
		s.mu.Lock()
		delete(s.timers, t)
		s.mu.Unlock()
		fn()
	})
	return t
}

// stop keeps fn from being called, unless it is too late for that.
func (d *delayed) stop() {
	if d == nil || !d.timer.Stop() {
		return
	}
	d.s.mu.Lock()
	delete(d.s.timers, d)
	d.s.mu.Unlock()
	d.s.wg.Done()
}
