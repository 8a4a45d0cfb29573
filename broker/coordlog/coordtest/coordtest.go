// Package coordtest runs a coordinator's machine without a log: time and commits are the test's to move. For tests only.
//
// A Shard is not safe for concurrent use. Its answers are held back until Commit, as a real shard holds them back until
// the records are committed; with AutoCommit, which is the default, they leave at once.
package coordtest

import (
	"bytes"
	"slices"
	"strconv"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Shard is a machine with a log in memory.
type Shard[M coordlog.Machine] struct {
	Machine    M
	Log        []coordlog.Record // everything appended, in order
	MaxBatch   int               // bytes; 0: without limit
	HoldBack   bool              // answers wait for Commit
	Background bool              // work of Go waits for RunBackground; else it runs at once, after the operation

	now     time.Time
	markers []coordlog.Marker
	replies []func()
	timers  map[string]timer
	work    []func() func(coordlog.Effects)
	next    int64
	seq     int
}

type timer struct {
	at  time.Time
	seq int // timers at the same time run in the order in which they were set
	f   func(coordlog.Effects)
}

// Epoch is when a new shard's clock begins.
var Epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// New returns a shard with an empty log, after Loaded.
func New[M coordlog.Machine](m M) *Shard[M] {
	s := &Shard[M]{Machine: m, now: Epoch, timers: make(map[string]timer)}
	m.Loaded(s)
	return s
}

// Reload replays the log into another machine, as after a fail-over, and returns its shard at the same time of day.
func (s *Shard[M]) Reload(m M) (*Shard[M], error) {
	next := &Shard[M]{
		Machine: m, Log: slices.Clone(s.Log), MaxBatch: s.MaxBatch, now: s.now, timers: make(map[string]timer),
		next: s.next, markers: slices.Clone(s.markers),
	}
	markers := s.markers
	for _, r := range s.Log {
		for len(markers) > 0 && markers[0].Offset < r.Offset {
			if err := m.ReplayMarker(markers[0]); err != nil {
				return nil, err
			}
			markers = markers[1:]
		}
		if err := next.replay(r); err != nil {
			return nil, err
		}
	}
	for _, marker := range markers {
		if err := m.ReplayMarker(marker); err != nil {
			return nil, err
		}
	}
	m.Loaded(next)
	next.RunBackground()
	return next, nil
}

// Do runs an operation, and what it started in the background unless Background is set.
func (s *Shard[M]) Do(op func(fx coordlog.Effects, m M)) {
	op(s, s.Machine)
	if !s.Background {
		s.RunBackground()
	}
}

// Commit lets the answers out that were held back, and returns how many those were.
func (s *Shard[M]) Commit() int {
	out := s.replies
	s.replies = nil
	for _, send := range out {
		send()
	}
	return len(out)
}

// Advance moves the clock by d and runs the timers that fall due, each at its own time.
func (s *Shard[M]) Advance(d time.Duration) {
	end := s.now.Add(d)
	for {
		name, at, found := s.due(end)
		if !found {
			break
		}
		f := s.timers[name].f
		delete(s.timers, name)
		if at.After(s.now) {
			s.now = at
		}
		s.Do(func(fx coordlog.Effects, _ M) { f(fx) })
	}
	s.now = end
}

func (s *Shard[M]) due(end time.Time) (name string, at time.Time, found bool) {
	best := 0
	for n, t := range s.timers {
		if t.at.After(end) || found && (t.at.After(at) || t.at.Equal(at) && t.seq > best) {
			continue
		}
		name, at, best, found = n, t.at, t.seq, true
	}
	return name, at, found
}

// Timers lists the timers that are set, sorted, as "name in duration".
func (s *Shard[M]) Timers() []string {
	var out []string
	for name, t := range s.timers {
		out = append(out, name+" in "+t.at.Sub(s.now).String())
	}
	slices.Sort(out)
	return out
}

// RunBackground runs the work that waits, and what that starts.
func (s *Shard[M]) RunBackground() {
	for len(s.work) > 0 {
		work := s.work[0]
		s.work = s.work[1:]
		if f := work(); f != nil {
			f(s)
		}
	}
}

// Now implements coordlog.Effects.
func (s *Shard[M]) Now() time.Time { return s.now }

// Append implements coordlog.Effects.
func (s *Shard[M]) Append(records ...coordlog.Record) error {
	size := 0
	for _, r := range records {
		size += len(r.Key) + len(r.Value)
	}
	if s.MaxBatch > 0 && size > s.MaxBatch {
		return errcode.New(errcode.KindMessageTooLarge, "records of %s bytes do not fit into a batch", strconv.Itoa(size))
	}
	for _, r := range records {
		r.Offset, r.Timestamp = s.next, s.now.UnixMilli()
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		s.next++
		s.Log = append(s.Log, r)
		if err := s.replay(r); err != nil {
			panic("a machine cannot replay its own record: " + err.Error())
		}
	}
	return nil
}

// replay lets the machine see a copy of the record, and spoils that afterwards: its bytes are not to be kept.
func (s *Shard[M]) replay(r coordlog.Record) error {
	r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
	err := s.Machine.Replay(r)
	for _, b := range [][]byte{r.Key, r.Value} {
		for i := range b {
			b[i] = 0xdd
		}
	}
	return err
}

// EndTransaction appends a marker of a producer.
func (s *Shard[M]) EndTransaction(producerID int64, commit bool) {
	m := coordlog.Marker{Offset: s.next, ProducerID: producerID, Commit: commit}
	s.next++
	s.markers = append(s.markers, m)
	if err := s.Machine.ReplayMarker(m); err != nil {
		panic("a machine cannot replay a marker: " + err.Error())
	}
}

// Reply implements coordlog.Effects.
func (s *Shard[M]) Reply(send func()) {
	if !s.HoldBack {
		send()
		return
	}
	s.replies = append(s.replies, send)
}

// SetTimer implements coordlog.Effects.
func (s *Shard[M]) SetTimer(name string, at time.Time, f func(coordlog.Effects)) {
	s.seq++
	s.timers[name] = timer{at: at, seq: s.seq, f: f}
}

// CancelTimer implements coordlog.Effects.
func (s *Shard[M]) CancelTimer(name string) { delete(s.timers, name) }

// Go implements coordlog.Effects.
func (s *Shard[M]) Go(work func() func(coordlog.Effects)) { s.work = append(s.work, work) }
