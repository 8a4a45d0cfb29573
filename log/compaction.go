package log

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
)

// Why a compaction cannot begin or go on. Neither is a fault.
var (
	ErrCompacting = errors.New("log is being compacted already")
	ErrReplaced   = errors.New("segments that were to be compacted are gone")
)

// Compaction is the right to replace older segments of a log by compacted ones. There is one at a time for a log. It is
// used by one goroutine. Appends and reads go on meanwhile; closing or deleting the log cancels it and waits for End.
type Compaction struct {
	l      *Log
	cancel context.CancelCauseFunc
	over   chan struct{} // closed by End
	stale  bool          // the log began anew: what was read of it counts no more; guarded by Log.layout
}

// compactions is the compaction that is under way.
type compactions struct {
	mu      sync.Mutex // guards the fields below
	running *Compaction
	closed  bool
}

// BeginCompaction begins a compaction; End must follow. cancel is called when the log is closed meanwhile. It fails with
// ErrCompacting while another one is under way.
func (l *Log) BeginCompaction(cancel context.CancelCauseFunc) (*Compaction, error) {
	s := &l.compactions
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err := l.usable(); {
	case err != nil:
		return nil, err
	case s.closed:
		return nil, ErrClosed
	case s.running != nil:
		return nil, ErrCompacting
	}
	s.running = &Compaction{l: l, cancel: cancel, over: make(chan struct{})}
	return s.running, nil
}

// End gives the right back.
func (c *Compaction) End() {
	s := &c.l.compactions
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = nil
	close(c.over)
}

// close cancels what is under way and waits for its end. None begins afterwards.
func (s *compactions) close() {
	s.mu.Lock()
	s.closed = true
	c := s.running
	s.mu.Unlock()
	if c != nil {
		c.cancel(ErrClosed)
		<-c.over
	}
}

// invalidate makes what is under way fail at its next step: the log begins anew. The caller holds Log.layout.
func (s *compactions) invalidate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		s.running.stale = true
		s.running.cancel(ErrReplaced)
	}
}

// Segments are the log's segments at the moment, in order; the last is the active one.
func (l *Log) Segments() []*segment.Segment { return l.list() }

// FirstDirtyOffset is the offset from which on the log was not compacted yet.
func (l *Log) FirstDirtyOffset() int64 { return max(l.cleaned.Load(), l.logStart.Load()) }

// CleanedOffset is what is checkpointed of FirstDirtyOffset; 0 when the log was never compacted.
func (l *Log) CleanedOffset() int64 { return l.cleaned.Load() }

// LastBatches says of each producer which batch its state rests on.
func (l *Log) LastBatches() map[int64]producerstate.LastBatch {
	l.lock()
	defer l.unlock()
	return l.producers.LastBatches()
}

// Usable returns why the log takes no more calls, nil while it does.
func (c *Compaction) Usable() error { return c.l.usable() }

// Err returns why the log takes no more calls: it was closed, or its directory failed. nil while it does.
func (l *Log) Err() error { return l.usable() }

// Admit returns why nothing may be written now: the directory is full or dead.
func (c *Compaction) Admit() error { return c.l.admit() }

// Fail ends the log because its directory failed, unless err is only a full disk. It returns what there is to report.
func (c *Compaction) Fail(err error) error { return c.l.failIO(err) }

// ReadFailed explains an error of a segment: damage is reported, what retention removed meanwhile is ErrReplaced, and all else
// ends the log.
func (c *Compaction) ReadFailed(err error) error {
	if corrupt, ok := errors.AsType[*CorruptError](err); ok {
		c.l.reportDamage(corrupt)
		return err
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) {
		return ErrReplaced
	}
	return c.l.failIO(err)
}

// Corrupt notes that the batch at a position is damaged: it is not served from now on, and the error is reported.
func (c *Compaction) Corrupt(s *segment.Segment, position int64, cause error) error {
	corrupt := s.Damaged(position, cause)
	c.l.reportDamage(corrupt)
	return corrupt
}

// AbortedTxns are the aborted transactions with records in [from, to), in the order in which they ended.
func (c *Compaction) AbortedTxns(from, to int64) ([]segment.AbortedTxn, error) {
	return c.l.abortedTxns(from, to)
}

// Create makes a segment that Replace can put into the log. Its files are .cleaned until then: a crash leaves nothing of it.
// It ends with Replace or Discard before the next one is created: recovery takes a .cleaned file to mean that .swap files
// behind it are not complete.
func (c *Compaction) Create(baseOffset int64) (*segment.Segment, error) {
	o := c.l.segmentOptions(baseOffset)
	o.Suffix = segment.CleanedSuffix
	return segment.Create(o)
}

// Discard removes what Create made and Replace did not take. In a log that has failed it is left to recovery, which knows how
// far Replace came.
func (c *Compaction) Discard(fresh *segment.Segment) error {
	if c.l.failed() {
		return nil
	}
	if err := fresh.Remove(); err != nil {
		return c.l.fail(err)
	}
	return nil
}

// Replace puts fresh, which is sealed and begins where the first of old does, in the place of old. old must be neighbours,
// and fresh must end behind the beginning of the last of them: that is how recovery knows which segments to remove. fresh
// belongs to the log then. With an error it does not, and the log is as before, unless it has failed.
//
// Kafka's protocol (LocalLog.replaceSegments), with a sync of the folder between its steps: the names of .cleaned files become
// .swap, old files become .deleted, .swap goes away. A crash before the second sync leaves the old segments, one after it
// leaves the new one. Readers see the new one from then on. The append lock is held only for that moment.
func (c *Compaction) Replace(fresh *segment.Segment, old []*segment.Segment) error {
	l := c.l
	l.layout.Lock()
	defer l.layout.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if at := slices.Index(l.list(), old[0]); c.stale || at < 0 || !slices.Equal(l.list()[at:min(at+len(old), len(l.list()))], old) {
		return ErrReplaced
	}
	last := old[len(old)-1]
	invariant(last != l.active() && fresh.BaseOffset() == old[0].BaseOffset() && fresh.NextOffset() > last.BaseOffset(),
		"replace segments [%d, %d] of %s by one with [%d, %d)", old[0].BaseOffset(), last.BaseOffset(), l.o.TopicPartition,
		fresh.BaseOffset(), fresh.NextOffset())
	if err := l.fs.SyncDir(l.o.Dir); err != nil { // else a crash could lose some of the names, and the rest would look complete
		return l.fail(err)
	}
	if err := fresh.RenameLog(segment.SwapSuffix); err != nil {
		return l.failIO(err)
	}
	if err := l.swap(fresh, old); err != nil {
		return l.fail(err) // half done: only recovery can tell what is there
	}
	return nil
}

// swap does the rest of Replace. The .log file loses its .swap first: recovery takes a .log.swap to mean that the other files
// are those of old segments.
func (l *Log) swap(fresh *segment.Segment, old []*segment.Segment) error {
	if err := l.renameSynced(func() error { return fresh.Rename(segment.SwapSuffix) }); err != nil {
		return err
	}
	if err := l.install(fresh, old); err != nil {
		return err
	}
	for _, s := range old {
		if err := s.MarkDeleted(); err != nil {
			return err
		}
	}
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return err
	}
	if err := l.renameSynced(func() error { return fresh.RenameLog("") }); err != nil {
		return err
	}
	if err := l.renameSynced(func() error { return fresh.Rename("") }); err != nil {
		return err
	}
	l.lock()
	defer l.unlock()
	for _, s := range old[1:] {
		if err := l.producers.RemoveSnapshot(s.BaseOffset()); err != nil {
			return err
		}
	}
	l.scheduleRemoval(old)
	return nil
}

func (l *Log) renameSynced(rename func() error) error {
	if err := rename(); err != nil {
		return err
	}
	return l.fs.SyncDir(l.o.Dir)
}

// install shows a compacted segment in the place of others, for whose files it makes room.
func (l *Log) install(fresh *segment.Segment, old []*segment.Segment) error {
	l.lock()
	defer l.unlock()
	list := l.list()
	at := slices.Index(list, old[0])
	replaced := slices.Replace(slices.Clone(list), at, at+len(old), fresh)
	l.segments.Store(&replaced)
	l.sync.drop(old)
	l.hints.reset()
	l.tail.dropBelow(list[at+len(old)].BaseOffset()) // the transaction index no longer knows what may be in there
	l.logger.Debug("replaced segments by a compacted one", slog.Int64("offset", fresh.BaseOffset()), slog.Int("segments", len(old)),
		slog.Int64("bytes", fresh.Size()))
	return l.freeNames(old)
}

// Done notes that everything below offset was compacted.
func (c *Compaction) Done(offset int64) error {
	l := c.l
	l.layout.Lock()
	defer l.layout.Unlock()
	if c.stale {
		return ErrReplaced
	}
	l.cleaned.Store(offset)
	return nil
}
