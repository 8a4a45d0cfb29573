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
	queue   []*Log     // from next on
	next    int
	workers int
	closed  bool
	timers  map[*delayed]struct{}

	wg sync.WaitGroup // of the workers and running timers

	requests sync.Pool // of *request
	worker   func()    // made once: a goroutine for it costs no allocation
}

// NewSyncer returns a Syncer of at most so many workers; 0 is DefaultSyncWorkers.
func NewSyncer(workers int) *Syncer {
	if workers <= 0 {
		workers = DefaultSyncWorkers
	}
	s := &Syncer{limit: workers, timers: make(map[*delayed]struct{})}
	s.worker = func() {
		defer s.wg.Done()
		s.work()
	}
	return s
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
	if s.next > 0 && len(s.queue) == cap(s.queue) { // before it grows, the room of those that were taken is used
		left := copy(s.queue, s.queue[s.next:])
		clear(s.queue[left:])
		s.queue, s.next = s.queue[:left], 0
	}
	s.queue = append(s.queue, l)
	if s.workers < s.limit {
		s.workers++
		s.wg.Add(1)
		go s.worker()
	}
}

func (s *Syncer) work() {
	for {
		s.mu.Lock()
		if s.next == len(s.queue) {
			s.queue, s.next = s.queue[:0], 0
			s.workers--
			s.mu.Unlock()
			return
		}
		l := s.queue[s.next]
		s.queue[s.next] = nil
		s.next++
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
