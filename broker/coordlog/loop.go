package coordlog

import (
	"errors"
	"log/slog"
	"runtime"
	"time"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// Pauses before a machine is built again, doubled each time until a commit succeeds.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 5 * time.Second
)

// loop is the shard's own goroutine. It lives as long as the leadership.
func (s *shard) loop() {
	defer s.end()
	pause := firstPause
	for {
		if s.load() && s.serve() {
			pause = firstPause
		}
		if !s.sleep(pause) {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// sleep waits, and reports whether the shard is to go on.
func (s *shard) sleep(d time.Duration) bool {
	if s.hasResigned() {
		<-s.quit
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.quit:
		return false
	}
}

func (s *shard) hasResigned() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == resigned
}

// load builds a machine and takes operations from then on. It reports whether it does.
func (s *shard) load() bool {
	s.mu.Lock()
	s.patient = s.core.patience > 0 && s.state != resigned
	s.mu.Unlock()
	patience := time.AfterFunc(s.core.patience, s.losePatience)
	m, end, err := s.build()
	patience.Stop()
	s.mu.Lock()
	defer s.leave()
	switch {
	case s.state == resigned:
		return false
	case err != nil:
		s.loadFailed(err)
		s.state = failed
		s.failEarly(errNotCoordinator)
		return false
	}
	s.machine, s.state = m, active
	s.log.end, s.log.committed = end, end
	s.timers = newTimers(s.signal)
	s.do(m.Loaded)
	s.admitEarly()
	return true
}

// loadFailed tells people. That another epoch has begun is no failure: this shard is about to be told.
func (s *shard) loadFailed(err error) {
	switch kind := errcode.KindOf(err); {
	case errors.Is(err, errEnded), kind == errcode.KindFencedLeaderEpoch, kind == errcode.KindNotLeaderForPartition:
	default:
		s.core.counters.loadFailures.Add(1)
		s.core.logger.Warn("load", slog.String("event", "coordinator.load.failed"), s.attr(), slog.Any("err", err))
	}
}

func (s *shard) attr() slog.Attr { return slog.Int("partition", int(s.id.Partition)) }

// serve does what operations leave to the loop, until the leadership ends or the machine was thrown away. It reports
// whether anything was committed.
func (s *shard) serve() bool {
	worked := false
	for {
		select {
		case <-s.quit:
			return worked
		case <-s.wake:
		}
		runtime.Gosched() // those who are about to submit may do so first: their records go into the same batch
		for again := true; again; {
			var committed, alive bool
			again, committed, alive = s.turn()
			worked = worked || committed
			if !alive {
				return worked
			}
		}
	}
}

// turn is one round of the loop. again says that there may be more to do, alive that there still is a machine.
func (s *shard) turn() (again, committed, alive bool) {
	s.mu.Lock()
	if s.machine != nil {
		committed = s.landed()
	}
	if s.machine != nil && s.state == active {
		s.runPosts()
		s.runTimers()
	}
	var b *batch
	if alive = s.machine != nil && s.broken == nil; alive && !s.writing {
		b = s.log.launch()
		s.writing = b != nil
	}
	s.unlock()
	if b != nil {
		s.write(b)
		s.mu.Lock()
		s.writing = false
		s.mu.Unlock()
	}
	return b != nil, committed, alive
}
