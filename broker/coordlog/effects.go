package coordlog

import (
	"time"

	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// A shard is the Effects of what runs on its loop.
var _ Effects = (*shard)(nil)

// Now implements Effects.
func (s *shard) Now() time.Time { return s.now }

// Append implements Effects.
func (s *shard) Append(recs ...Record) error {
	if s.broken != nil {
		return errBroken
	}
	if len(recs) == 0 {
		return nil
	}
	b, err := s.roomFor(recs)
	if err != nil {
		return err
	}
	now := s.now.UnixMilli()
	for i := range recs {
		r := recs[i]
		r.Offset, r.Timestamp = s.log.end, now
		if err := s.machine.Replay(r); err != nil {
			s.broken = errcode.New(errcode.KindUnknown, "a machine cannot replay its own record: %w", err)
			return errBroken
		}
		b.builder.Append(now, r.Key, r.Value)
		s.log.end++
	}
	return nil
}

// roomFor returns the batch that the records go into. Those of one operation's append are always in the same, so that they
// are in the log all or none.
func (s *shard) roomFor(recs []Record) (*batch, error) {
	size, limit := sizeOf(recs), s.core.maxBatchBytes()
	owner := producer{recs[0].ProducerID, recs[0].Epoch}
	if b := s.log.open; b != nil {
		if b.owner == owner && b.builder.Size()+size <= limit {
			s.log.grow(size)
			return b, nil
		}
		s.log.seal()
	}
	if records.HeaderSize+size > limit && !s.core.compressTo(owner, recs, limit) {
		return nil, errcode.New(errcode.KindMessageTooLarge, "%d records of %d bytes do not fit into a batch of %d", len(recs), size, limit)
	}
	s.log.begin(&batch{builder: s.core.builder(owner), base: s.log.end, owner: owner})
	s.log.grow(size)
	return s.log.open, nil
}

// recordOverhead is the most that a record takes beside its key and value.
const recordOverhead = 21

func sizeOf(recs []Record) int {
	size := 0
	for i := range recs {
		size += recordOverhead + len(recs[i].Key) + len(recs[i].Value)
	}
	return size
}

// Reply implements Effects.
func (s *shard) Reply(send func()) {
	s.log.wait(answer{send: send})
	s.release()
}

// SetTimer implements Effects.
func (s *shard) SetTimer(name string, at time.Time, f func(fx Effects)) {
	s.timers.set(name, at, s.now, f)
}

// CancelTimer implements Effects.
func (s *shard) CancelTimer(name string) { s.timers.cancel(name) }

// Go implements Effects.
func (s *shard) Go(work func() func(fx Effects)) {
	run := s.run
	s.core.inBackground(func() {
		then := attempt(work)
		if then == nil {
			return
		}
		s.post(func(fx Effects) {
			if s.run == run {
				then(fx)
			}
		})
	})
}

// attempt runs work. A panic is left to the loop, as if an operation had panicked.
func attempt(work func() func(fx Effects)) (then func(fx Effects)) {
	defer func() {
		if v := recover(); v != nil {
			then = func(Effects) { panic(v) }
		}
	}()
	return work()
}
