package log

import (
	"log/slog"
	"slices"

	"github.com/distributedmq/dmq/log/segment"
)

// TruncateTo removes every record from offset on: a follower whose log parted from its leader's there. Where offset is inside a
// batch the whole batch goes. At or above the log end there is no record to go, but maybe a leader epoch that began there and
// has none: this replica once led in it, and the leader knows nothing of it.
//
// Nothing below the high watermark may go: that is a broken invariant.
func (l *Log) TruncateTo(offset int64) error {
	return l.changeLayout(func() error {
		if offset >= l.end.Load() {
			l.epochs.TruncateFromEnd(offset)
			if l.unsettled {
				return nil // as AssignEpoch
			}
			return l.ioError(l.epochs.Flush())
		}
		hw := l.highWatermark.Load()
		invariant(offset >= hw, "truncate %s to %d, below its high watermark %d", l.o.TopicPartition, offset, hw)
		if err := l.truncate(offset); err != nil {
			return l.fail(err) // half done: only recovery can tell what is there
		}
		return nil
	})
}

// ForgetHighWatermark lowers the high watermark to the log start offset: what this log knows to be committed may have been given
// up by an unclean election. From then on it says only what it is told from now on.
func (l *Log) ForgetHighWatermark() error {
	return l.changeLayout(func() error {
		l.compactions.invalidate() // of what may yet be truncated
		if l.uncommit(l.logStart.Load()) && l.o.RecoveryPointLowered != nil {
			l.o.RecoveryPointLowered()
		}
		return nil
	})
}

// changeLayout calls fn, which removes segments, with layout and the append lock held.
func (l *Log) changeLayout(fn func() error) error {
	l.layout.Lock()
	defer l.layout.Unlock()
	if err := l.usable(); err != nil {
		return err
	}
	l.lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return fn()
}

// truncate removes from the back. Under mu. The order is such that after a crash at any point the log is as it was, or
// as it is to be, or has lost more of what was to go: the checkpoint of the recovery point goes first.
func (l *Log) truncate(offset int64) error {
	list := l.list()
	keep := segmentFor(list, offset)
	kept, gone := list[keep], list[keep+1:]
	end, err := kept.EndBefore(offset)
	if err != nil {
		return err
	}
	if start := l.logStart.Load(); end < start {
		return l.startAt(start) // of the first batch only the deleted part would be left
	}
	l.forgetAbove(end)
	l.cutSync(end, false)
	if len(gone) > 0 {
		list = slices.Clone(list[:keep+1])
		l.segments.Store(&list)
		gone = slices.Clone(gone)
		slices.Reverse(gone) // from the end, so that no hole can come
		if err := l.removeSegments(gone); err != nil {
			return err
		}
		l.sync.drop([]*segment.Segment{kept})
	}
	if err := kept.Truncate(end); err != nil {
		return err
	}
	// If what was cut could come back after a crash, it could do so between batches that were appended later.
	if err := l.syncFiles(nil, nil, kept, len(gone) > 0); err != nil {
		return err
	}
	l.cutSync(end, false) // a sync may have come in between
	l.epochs.TruncateFromEnd(end)
	if err := l.epochs.Flush(); err != nil {
		return err
	}
	if err := l.reloadProducers(end); err != nil {
		return err
	}
	l.logger.Info("truncated", slog.String("event", "log.truncated"), slog.Int64("offset", end))
	l.scheduleSync()
	return nil
}

// uncommit lowers the high watermark to end, where it is above that.
func (l *Log) uncommit(end int64) (lowered bool) {
	if lowered = l.highWatermark.Load() > end; lowered {
		l.highWatermark.Store(end)
	}
	return lowered
}

// cutSync lowers what is said to be durable, and compacted, to end. uncommitted says that the high watermark was.
func (l *Log) cutSync(end int64, uncommitted bool) {
	uncleaned := l.cleaned.Load() > end
	if uncleaned {
		l.cleaned.Store(0)
	}
	if (l.sync.cut(end) || uncleaned || uncommitted) && l.o.RecoveryPointLowered != nil {
		l.o.RecoveryPointLowered()
	}
}

// forgetAbove makes the new end visible and forgets what was remembered of the records above it.
func (l *Log) forgetAbove(end int64) {
	l.tail.drop()
	l.marks.truncate(end)
	l.hints.reset()
	l.end.Store(end)
}

// reloadProducers makes the producer state that of the log up to end. Under mu.
func (l *Log) reloadProducers(end int64) error {
	if err := l.producers.TruncateAndReload(l.logStart.Load(), end, l.nowMs()); err != nil {
		return err
	}
	if err := l.replay(l.list(), end); err != nil {
		return err
	}
	if err := l.backfill(); err != nil {
		return err
	}
	l.producers.HighWatermarkUpdated(l.highWatermark.Load())
	l.publishUnstable()
	return nil
}

// TruncateFullyAndStartAt removes everything and begins anew at offset: a follower whose leader has nothing older. Nothing is
// left of what the log knew of leader epochs and producers.
func (l *Log) TruncateFullyAndStartAt(offset int64) error {
	return l.changeLayout(func() error {
		if err := l.settle(); err != nil { // what is checkpointed from here on speaks of this folder
			return err // nothing has changed
		}
		if err := l.startAt(offset); err != nil {
			return l.fail(err)
		}
		return nil
	})
}

func (l *Log) startAt(offset int64) error {
	gone := l.list()
	// The new segment comes first where its name is free, so that a crash leaves one or the other.
	early := offset > l.end.Load()
	var fresh *segment.Segment
	var err error
	if early {
		if fresh, err = l.createAt(offset); err != nil {
			return err
		}
	}
	l.compactions.invalidate()
	uncommitted := l.uncommit(offset)
	l.logStart.Store(min(offset, l.logStart.Load()))
	l.cutSync(0, uncommitted)
	if err := l.removeSegments(gone); err != nil {
		return err
	}
	if !early {
		if fresh, err = l.createAt(offset); err != nil {
			return err
		}
	}
	l.logStart.Store(offset)
	l.highWatermark.Store(offset)
	l.segments.Store(&[]*segment.Segment{fresh})
	l.forgetAbove(offset)
	l.epochs.Clear()
	if err := l.epochs.Flush(); err != nil {
		return err
	}
	if err := l.producers.TruncateFullyAndStartAt(offset); err != nil {
		return err
	}
	l.publishUnstable()
	l.sync.restart(offset)
	l.logger.Info("began anew", slog.String("event", "log.restarted"), slog.Int64("offset", offset))
	return l.fs.SyncDir(l.o.Dir)
}

// createAt makes a segment with a durable name.
func (l *Log) createAt(offset int64) (*segment.Segment, error) {
	s, err := segment.Create(l.segmentOptions(offset))
	if err != nil {
		return nil, err
	}
	return s, l.fs.SyncDir(l.o.Dir)
}
