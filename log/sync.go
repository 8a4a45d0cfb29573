package log

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
)

// maxUnsynced is how many bytes may be written in durable mode beyond what has been synced; then appends wait. It bounds
// what a crash can tear, and so lets recovery tell a torn tail from corruption.
const maxUnsynced = 32 << 20

// syncPhase is where a log's sync stands.
type syncPhase uint8

const (
	syncIdle    syncPhase = iota
	syncQueued            // in the Syncer's queue, or just taken from it: all that is written will be synced
	syncRunning           // what is written now is not covered
	syncAgain             // as syncRunning, and another one is to follow
)

// syncState is what is to be synced and how far that has come.
type syncState struct {
	recoveryPoint atomic.Int64 // everything below it is durable; written with mu held
	visible       atomic.Int64 // SyncedEndOffset; written with mu held

	mu        sync.Mutex // guards the fields below
	cond      *sync.Cond // of mu: progress, or the end of the log
	phase     syncPhase
	started   uint64             // syncs that were begun
	finished  uint64             // and ended
	segments  []*segment.Segment // rolled ones, to be synced with their indexes
	snapshots []string           // producer snapshots to be synced
	dir       bool               // names were added to the folder
	cuts      uint64             // truncations: a sync that one overtook proves nothing
	written   int64              // bytes appended since the log was opened
	synced    int64              // of those, durable
	timer     *delayed           // of flush.ms
}

func (s *syncState) init(recoveryPoint, visible int64) {
	s.cond = sync.NewCond(&s.mu)
	s.recoveryPoint.Store(recoveryPoint)
	s.visible.Store(visible)
}

// SyncedEndOffset is the offset up to which records may be acknowledged and shown: in durable mode the synced ones, else
// all.
func (l *Log) SyncedEndOffset() int64 { return l.sync.visible.Load() }

// RecoveryPoint is the offset up to which everything is durable. Recovery after a crash begins there.
func (l *Log) RecoveryPoint() int64 { return l.sync.recoveryPoint.Load() }

// wrote counts appended bytes.
func (s *syncState) wrote(bytes int64) {
	s.mu.Lock()
	s.written += bytes
	s.mu.Unlock()
}

// show raises the visible end.
func (s *syncState) show(end int64) {
	s.mu.Lock()
	s.visible.Store(max(end, s.visible.Load()))
	s.mu.Unlock()
}

// wake wakes those that wait for progress, to see that there will be none.
func (s *syncState) wake() {
	s.mu.Lock()
	s.cond.Broadcast()
	s.mu.Unlock()
}

// rolled notes that a new segment was created and the one before it is complete.
func (s *syncState) rolled(old *segment.Segment, snapshot string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = append(s.segments, old)
	if snapshot != "" {
		s.snapshots = append(s.snapshots, snapshot)
	}
	s.dir = true
}

// waitForRoom waits, in durable mode, until less than maxUnsynced bytes are unsynced.
func (s *syncState) waitForRoom(l *Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.written-s.synced >= maxUnsynced && l.config.Load().durable() && l.usable() == nil {
		s.cond.Wait()
	}
}

// scheduleSync has everything written so far synced by a worker.
func (l *Log) scheduleSync() {
	s := &l.sync
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.usable() != nil {
		return
	}
	switch s.phase {
	case syncIdle:
		s.phase = syncQueued
		l.o.Syncer.enqueue(l)
	case syncRunning:
		s.phase = syncAgain
	case syncQueued, syncAgain:
	}
}

// flushWithin has everything synced after so many milliseconds, unless that is under way.
func (s *syncState) flushWithin(l *Log, ms int64) {
	if ms == math.MaxInt64 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer == nil {
		delay := time.Duration(min(ms, int64(math.MaxInt64)/int64(time.Millisecond))) * time.Millisecond
		s.timer = l.o.Syncer.after(delay, l.scheduleSync)
	}
}

// runSync is called by a worker. One runs at a time for a log.
func (l *Log) runSync() {
	s := &l.sync
	s.mu.Lock()
	s.phase = syncRunning
	s.started++
	s.timer.stop()
	s.timer = nil
	s.mu.Unlock()

	shown := noOffset
	if !l.failed() {
		var err error
		if shown, err = l.syncOnce(); err != nil {
			l.fail(err) //nolint:errcheck // nobody to tell here but Failed
		}
	}

	s.mu.Lock()
	s.finished++
	again := s.phase == syncAgain && !l.failed()
	s.phase = syncIdle
	if again {
		s.phase = syncQueued
		l.o.Syncer.enqueue(l) // behind the logs that wait
	}
	s.cond.Broadcast()
	s.mu.Unlock()
	if shown != noOffset && l.o.Synced != nil {
		l.o.Synced(shown)
	}
}

// failed reports whether the directory failed; a log that was closed has not.
func (l *Log) failed() bool {
	err := l.usable()
	return err != nil && !errors.Is(err, ErrClosed)
}

// syncOnce makes durable what is written when it is called. It returns the new visible end if that has moved.
func (l *Log) syncOnce() (shown int64, err error) {
	if l.folderless.Load() {
		return noOffset, nil
	}
	s := &l.sync
	s.mu.Lock()
	written, cuts := s.written, s.cuts
	s.mu.Unlock()
	// The end comes before the segments, and the active one before the rolled ones: whatever lies below the end is in
	// one of them, since roll hands over the old segment before it shows the new one.
	end := l.end.Load()
	active := l.active()
	rolled, snapshots, dir := s.take()
	l.marks.synced(end)

	if err := l.syncFiles(rolled, snapshots, active, dir); err != nil {
		return noOffset, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cuts != cuts {
		if s.phase == syncRunning {
			s.phase = syncAgain
		}
		return noOffset, nil
	}
	s.synced = max(s.synced, written)
	s.recoveryPoint.Store(max(end, s.recoveryPoint.Load()))
	if visible := s.visible.Load(); end > visible {
		s.visible.Store(end)
		return end, nil
	}
	return noOffset, nil
}

// take returns what is to be synced beside the active segment, and forgets it.
func (s *syncState) take() (rolled []*segment.Segment, snapshots []string, dir bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rolled, snapshots, dir = s.segments, s.snapshots, s.dir
	s.segments, s.snapshots, s.dir = nil, nil, false
	return rolled, snapshots, dir
}

// syncFiles is all that has to be durable before the recovery point may move (invariant 4).
func (l *Log) syncFiles(rolled []*segment.Segment, snapshots []string, active *segment.Segment, dir bool) error {
	for _, old := range rolled {
		if err := old.SyncAll(); err != nil {
			return err
		}
	}
	if err := active.SyncLog(); err != nil {
		return err
	}
	for _, path := range snapshots {
		if err := syncFile(l.fs, path); err != nil {
			return err
		}
	}
	if err := l.epochs.Flush(); err != nil {
		return err
	}
	if dir {
		return l.fs.SyncDir(l.o.Dir)
	}
	return nil
}

// syncFile syncs a file by name; one that is gone meanwhile needs no sync.
func syncFile(fsys vfs.FS, path string) error {
	f, err := fsys.OpenFile(path, vfs.ReadWrite, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.SyncData(), f.Close())
}

// Flush makes everything durable that was written before the call.
func (l *Log) Flush(ctx context.Context) error {
	if err := l.usable(); err != nil {
		return err
	}
	s := &l.sync
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	want := s.started + 1 // the first sync that is not begun yet
	s.mu.Unlock()
	l.scheduleSync()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.finished < want {
		if err := l.usable(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.cond.Wait()
	}
	return l.usable()
}

// WaitSynced waits until SyncedEndOffset is at least offset, or the log was truncated below it. The sync has been scheduled by
// whoever wrote up to there.
func (l *Log) WaitSynced(ctx context.Context, offset int64) error {
	if l.SyncedEndOffset() >= offset {
		return l.usable()
	}
	s := &l.sync
	defer context.AfterFunc(ctx, s.wake)()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.visible.Load() < offset && l.end.Load() >= offset {
		if err := l.usable(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.cond.Wait()
	}
	return l.usable()
}

// waitIdle waits until no sync is queued or running. No new one may be scheduled meanwhile.
func (s *syncState) waitIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.stop()
	s.timer = nil
	for s.phase != syncIdle {
		s.cond.Wait()
	}
}

// cut lowers everything to a new log end. It reports whether the recovery point was lowered.
func (s *syncState) cut(end int64) (lowered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	s.visible.Store(min(end, s.visible.Load()))
	if lowered = s.recoveryPoint.Load() > end; lowered {
		s.recoveryPoint.Store(end)
	}
	return lowered
}

// drop forgets segments that need no sync any more.
func (s *syncState) drop(gone []*segment.Segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segments = slices.DeleteFunc(s.segments, func(old *segment.Segment) bool { return slices.Contains(gone, old) })
}

// restart sets everything to the beginning of an empty log.
func (s *syncState) restart(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts++
	s.recoveryPoint.Store(offset)
	s.visible.Store(offset)
}
