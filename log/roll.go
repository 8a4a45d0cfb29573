package log

import (
	"slices"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// makeRoom rolls if the batch d, whose last offset will be lastOffset, does not go into the active segment any more. What is
// staged is written before.
func (l *Log) makeRoom(rd *round, d *segment.Batch, lastOffset int64) error {
	if active := l.active(); active.IndexRoom() <= len(rd.batches) && len(rd.batches) > 0 {
		if err := l.flushRound(rd); err != nil { // so that the indexes show how full they are
			return err
		}
	}
	roll, err := l.shouldRoll(rd, d, lastOffset)
	if err != nil || !roll {
		return l.ioError(err)
	}
	if err := l.flushRound(rd); err != nil {
		return err
	}
	if err := l.settle(); err != nil { // the first batch of a log that is copied may already be too far for its first segment
		return err
	}
	base := max(d.BaseOffset,
		// a follower's batch behind a gap
		rd.end)
	return l.ioError(l.roll(base))
}

func (l *Log) ioError(err error) error {
	if err == nil {
		return nil
	}
	return l.failIO(err)
}

// shouldRoll follows Kafka's LogSegment.shouldRoll.
func (l *Log) shouldRoll(rd *round, d *segment.Batch, lastOffset int64) (bool, error) {
	cfg, active := l.config.Load(), l.active()
	size := active.Size() + rd.bytes
	if size == 0 {
		return !active.Fits(lastOffset), nil
	}
	if size > int64(cfg.SegmentBytes)-int64(d.Size) || active.IndexRoom() <= 0 || !active.Fits(lastOffset) {
		return true, nil
	}
	var age int64
	if active.Size() == 0 && rd.batches[0].MaxTimestamp != records.NoTimestamp {
		age = d.MaxTimestamp - rd.batches[0].MaxTimestamp
	} else {
		var err error
		if age, err = active.Age(l.o.Now(), d.MaxTimestamp); err != nil {
			return false, err
		}
	}
	return age > cfg.maxSegmentMs()-l.jitter(cfg, active.BaseOffset()), nil
}

// roll begins a new segment at base. Under mu, with nothing staged.
func (l *Log) roll(base int64) error {
	old := l.active()
	if old.BaseOffset() == base {
		return nil // it is empty
	}
	fresh, err := segment.Create(l.segmentOptions(base))
	if err != nil {
		return err
	}
	l.producers.SetMapEndOffset(base)
	snapshot, err := l.producers.TakeSnapshot(false)
	if err != nil && !segment.IsNoSpace(err) { // without it, opening reads further back
		return err
	}
	if err := old.BecomeInactive(); err != nil {
		return err
	}
	// A sync that sees the new segment as active must also see that the old one is still to be synced.
	l.sync.rolled(old, snapshot)
	list := append(slices.Clone(l.list()), fresh)
	l.segments.Store(&list)
	l.scheduleSync()
	return nil
}

// Roll begins a new segment, unless the active one is empty.
func (l *Log) Roll() error {
	l.lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if l.active().Size() == 0 {
		return nil
	}
	return l.ioError(l.roll(l.end.Load()))
}
