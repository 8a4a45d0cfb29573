package log

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// AdvanceLogStartOffset makes offset the first that may be read (DeleteRecords), at most the high watermark. A lower one than
// the log start offset changes nothing. Segments that lie below it go with the next DeleteOldSegments.
func (l *Log) AdvanceLogStartOffset(offset int64) error {
	l.lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if hw := l.highWatermark.Load(); offset > hw {
		return errcode.New(errcode.KindOffsetOutOfRange, "log start offset %d would be above the high watermark %d", offset, hw)
	}
	return l.ioError(l.advanceStart(offset))
}

// advanceStart moves the log start offset up. Under mu.
func (l *Log) advanceStart(offset int64) error {
	if offset <= l.logStart.Load() {
		return nil
	}
	l.logStart.Store(offset)
	l.producers.LogStartOffsetIncremented(offset)
	l.publishUnstable()
	if l.epochs.TruncateFromStart(offset) {
		l.scheduleSync() // which writes the checkpoint
	}
	return nil
}

// DeleteOldSegments removes the segments at the front that retention does not keep, and returns how many those are: all
// whose records lie below the log start offset, and, where cleanup.policy has delete, those beyond retention.bytes and
// retention.ms. No segment with a record at or above the high watermark goes. Their files remain under .deleted for
// file.delete.delay.ms.
func (l *Log) DeleteOldSegments(now time.Time) (deleted int, err error) {
	err = l.changeLayout(func() error {
		deleted, err = l.deleteOldSegments(now)
		return err
	})
	return deleted, err
}

func (l *Log) deleteOldSegments(now time.Time) (deleted int, err error) {
	cfg := l.config.Load()
	rules := []rule{l.belowStart()}
	if cfg.CleanupDelete {
		rules = append(rules, l.tooMuch(cfg), tooOld(cfg, now))
	}
	for _, r := range rules {
		n, err := l.deleteWhile(r)
		deleted += n
		if err != nil {
			return deleted, l.failIO(err)
		}
	}
	l.producers.RemoveExpired(now.UnixMilli())
	return deleted, nil
}

// rule says whether a segment, whose records lie below end, goes. It is asked from the oldest segment on.
type rule func(s *segment.Segment, end int64, active bool) (bool, error)

func (l *Log) belowStart() rule {
	return func(_ *segment.Segment, end int64, active bool) (bool, error) {
		return !active && end <= l.logStart.Load(), nil
	}
}

func (l *Log) tooMuch(cfg *Config) rule {
	excess := l.Size() - cfg.RetentionBytes
	return func(s *segment.Segment, _ int64, _ bool) (bool, error) {
		if cfg.RetentionBytes < 0 || excess < s.Size() {
			return false, nil
		}
		excess -= s.Size()
		return true, nil
	}
}

func tooOld(cfg *Config, now time.Time) rule {
	return func(s *segment.Segment, _ int64, _ bool) (bool, error) {
		if cfg.RetentionMs < 0 {
			return false, nil
		}
		largest, err := s.LargestTimestamp()
		return err == nil && now.UnixMilli()-largest > cfg.RetentionMs, err
	}
}

// deleteWhile removes segments from the front as long as the rule says so. Under mu.
func (l *Log) deleteWhile(r rule) (int, error) {
	list := l.list()
	hw := l.highWatermark.Load()
	n := 0
	for ; n < len(list); n++ {
		s, end := list[n], l.end.Load()
		active := n == len(list)-1
		if !active {
			end = list[n+1].BaseOffset()
		}
		if end > hw || active && s.Size() == 0 {
			break
		}
		goes, err := r(s, end, active)
		if err != nil {
			return 0, err
		}
		if !goes {
			break
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, l.deleteFirst(n)
}

// deleteFirst removes the first n segments. Where those are all, a new one is made before, durably: its name is what keeps
// the log's offsets from beginning anew.
func (l *Log) deleteFirst(n int) error {
	if n == len(l.list()) {
		if err := l.roll(l.end.Load()); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.o.Dir); err != nil {
			return err
		}
	}
	list := l.list()
	gone, kept := list[:n], slices.Clone(list[n:])
	if err := l.advanceStart(kept[0].BaseOffset()); err != nil {
		return err
	}
	l.segments.Store(&kept)
	l.logger.Info("deleted old segments", slog.String("event", "log.deleted"), slog.Int("segments", n),
		slog.Int64("log_start_offset", l.logStart.Load()))
	return l.removeSegments(gone)
}

// removeSegments takes the files of segments that are in the list no more out of the way, one by one and durably: if one came
// back after a crash and its neighbour did not, the log would have a hole. They are removed later.
func (l *Log) removeSegments(gone []*segment.Segment) error {
	if err := l.freeNames(gone); err != nil {
		return err
	}
	for _, s := range gone {
		if err := s.MarkDeleted(); err != nil {
			return err
		}
		if err := l.fs.SyncDir(l.o.Dir); err != nil {
			return err
		}
		if err := l.producers.RemoveSnapshot(s.BaseOffset()); err != nil {
			return err
		}
	}
	l.sync.drop(gone)
	l.scheduleRemoval(gone)
	return nil
}

// freeNames removes at once what waits under the .deleted names that segments are about to get: earlier segments that
// began at the same offsets. Who still reads one of those would find the other's records in its place. Under mu.
func (l *Log) freeNames(segments []*segment.Segment) error {
	var err error
	for _, r := range l.removals {
		r.segments = slices.DeleteFunc(r.segments, func(earlier *segment.Segment) bool {
			same := slices.ContainsFunc(segments, func(s *segment.Segment) bool { return s.BaseOffset() == earlier.BaseOffset() })
			if same {
				err = errors.Join(err, earlier.Remove())
			}
			return same
		})
	}
	return err
}

// scheduleRemoval has the files of segments, which are .deleted, removed later. Under mu.
func (l *Log) scheduleRemoval(gone []*segment.Segment) {
	delay := time.Duration(max(0, l.config.Load().FileDeleteDelayMs)) * time.Millisecond
	r := &removal{segments: slices.Clone(gone)}
	r.timer = l.o.Syncer.after(delay, func() { l.removeFiles(r) })
	l.removals = append(l.removals, r)
}

// removal is segments whose files are to be removed.
type removal struct {
	segments []*segment.Segment
	timer    *delayed
}

// removeFiles removes the files of a removal when its time has come.
func (l *Log) removeFiles(r *removal) {
	l.layout.Lock() // meanwhile nobody may take the names
	defer l.layout.Unlock()
	l.lock()
	i := slices.Index(l.removals, r)
	if i >= 0 {
		l.removals = slices.Delete(l.removals, i, i+1)
	}
	l.unlock()
	if i < 0 {
		return
	}
	for _, s := range r.segments {
		if err := s.Remove(); err != nil { // the next start tries again
			l.logger.Warn("cannot remove the files of a deleted segment", slog.String("path", s.LogPath()), slog.Any("err", err))
		}
	}
}
