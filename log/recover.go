package log

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"

	"github.com/distributedmq/dmq/log/epoch"
	"github.com/distributedmq/dmq/log/segment"
)

// Recovery is what Open found to do after an unclean stop.
type Recovery struct {
	Checked      int   // segments whose batches were checked
	CheckedBytes int64 // in them
	CutOffset    int64 // where a torn tail was cut off; -1: there was none
	CutBytes     int64
	CutFiles     []string // where the cut bytes are kept
	// LostOffsets is how many offsets below the checkpointed high watermark were cut off or missing: possible in OS-flush
	// mode only.
	LostOffsets int64
}

// recover brings the segments, of whose folder names are the files, into a state that can be appended to and returns the log end offset. Leader epochs are those of
// the batches then; the producer state is left to loadProducers.
func (l *Log) recover(names []string) (end int64, err error) {
	l.recovery.CutOffset = noOffset
	if l.folderless.Load() {
		return 0, nil
	}
	if err := l.dropUnusedRoll(); err != nil {
		return 0, err
	}
	list := l.list()
	first, err := l.firstToCheck(list, names)
	if err != nil {
		return 0, err
	}
	if first == len(list) {
		last := list[first-1]
		end, err = last.LoadEnd()
		if err == nil {
			end, err = l.checkEnd(last, end)
		}
		if _, damaged := errors.AsType[*segment.BadBatchError](err); !damaged {
			return end, errors.Join(err, l.active().Activate(end))
		}
		l.logger.Warn("the log was closed cleanly and is damaged at its end all the same", slog.Any("err", err))
		first--
	}
	if end, err = l.recoverFrom(first); err != nil {
		return 0, err
	}
	return end, l.active().Activate(end)
}

// firstToCheck returns the index of the segment from which on batches have to be checked: after an unclean stop the one with
// the recovery point, and always one whose transaction index is damaged, since only checking makes that anew.
func (l *Log) firstToCheck(list []*segment.Segment, names []string) (int, error) {
	first := len(list)
	if !l.o.CleanShutdown {
		// A recovery point at the beginning of a segment does not say whether the roll before it was completed: the indexes of
		// the segment before may not have been synced.
		first = segmentFor(list, l.o.RecoveryPoint-1)
	}
	for i, s := range list[:first] {
		if !slices.Contains(names, segment.FileName(s.BaseOffset(), segment.TxnIndexSuffix)) {
			continue
		}
		sound, err := s.CheckTxnIndex()
		if err != nil {
			return 0, err
		}
		if !sound {
			l.logger.Warn("build a transaction index anew", slog.String("path", s.LogPath()))
			return i, nil
		}
	}
	return first, nil
}

// dropUnusedRoll removes an empty last segment that begins below the end of the one before it: its roll failed, and the
// log went on without it.
func (l *Log) dropUnusedRoll() error {
	list := l.list()
	n := len(list) - 1
	if n == 0 || list[n].Size() > 0 {
		return nil
	}
	before := list[n-1]
	before.SetLimit(math.MaxInt64)
	end, err := before.LoadEnd()
	if _, ok := errors.AsType[*segment.BadBatchError](err); ok {
		err, end = nil, list[n].BaseOffset()
	}
	if err != nil {
		return err
	}
	if end <= list[n].BaseOffset() {
		before.SetLimit(list[n].BaseOffset())
		return nil
	}
	l.logger.Warn("remove an empty segment that was never used", slog.String("path", list[n].LogPath()))
	if err := list[n].Remove(); err != nil {
		return err
	}
	list = slices.Clone(list[:n])
	l.segments.Store(&list)
	return nil
}

// floor is the offset below which nothing can be torn.
func (l *Log) floor() int64 {
	if l.o.Config.durable() {
		return max(l.o.RecoveryPoint, l.o.HighWatermark)
	}
	return l.o.RecoveryPoint
}

// recoverFrom checks the segments from index first on.
func (l *Log) recoverFrom(first int) (end int64, err error) {
	list := l.list()
	if err := l.producersAt(list, first); err != nil {
		return 0, err
	}
	// What the checkpoint says of these segments may be older or younger than they are: their batches know.
	checkpointed := l.epochs.Entries()
	l.epochs.TruncateFromEnd(list[first].BaseOffset())
	for i := first; i < len(list); i++ {
		s := list[i]
		before := s.Size()
		res, err := s.Recover(func(b *segment.Batch) error {
			l.restoreEpochs(checkpointed, b)
			return l.recoverBatch(s, b)
		})
		if err != nil {
			return 0, err
		}
		l.recovery.Checked++
		l.recovery.CheckedBytes += before
		end = res.NextOffset
		if res.Bad == nil && (i+1 == len(list) || l.joins(end, list[i+1])) {
			continue
		}
		if err := l.judge(list[i:], res); err != nil {
			return 0, err
		}
		if err := l.cutOff(list, i, res); err != nil {
			return 0, err
		}
		break
	}
	if l.recovery.Checked > 0 {
		l.logger.Info("recovered", slog.String("event", "log.recovered"), slog.Int("segments", l.recovery.Checked),
			slog.Int64("bytes", l.recovery.CheckedBytes), slog.Int64("log_end_offset", end))
	}
	return l.checkEnd(l.active(), end)
}

// joins reports whether the segment after one that ends at end can follow it. Compaction leaves gaps.
func (l *Log) joins(end int64, next *segment.Segment) bool {
	return end == next.BaseOffset() || end < next.BaseOffset() && l.o.Config.CleanupCompact
}

// checkEnd returns the log end offset, or an error when records that were durable are missing at the end of s.
func (l *Log) checkEnd(s *segment.Segment, end int64) (int64, error) {
	from := max(end, l.o.LogStartOffset) // what lay below was deleted
	if from < l.floor() {
		return 0, l.missing(s, from, l.floor())
	}
	if lost := l.o.HighWatermark - from; lost > 0 {
		l.recovery.LostOffsets = lost
		l.logger.Error("records that consumers may have seen are lost: they were not synced (flush.messages is not 1)",
			slog.String("event", "log.lost"), slog.Int64("from", from), slog.Int64("to", l.o.HighWatermark))
	}
	if end < l.o.LogStartOffset {
		return l.restartAt(l.o.LogStartOffset)
	}
	return end, nil
}

func (l *Log) missing(s *segment.Segment, from, to int64) error {
	return &CorruptError{
		Path: s.LogPath(), Position: s.Size(),
		Err: fmt.Errorf("records from offset %d to %d were synced and are missing", from, to),
	}
}

// restartAt begins anew at offset: everything before it was deleted on request, and what came after it never was durable.
func (l *Log) restartAt(offset int64) (int64, error) {
	l.logger.Warn("begin anew at the log start offset, which is above all records", slog.Int64("offset", offset))
	for _, s := range l.list() {
		if err := s.MarkDeleted(); err != nil {
			return 0, err
		}
		if err := s.Remove(); err != nil {
			return 0, err
		}
	}
	fresh, err := segment.Create(l.segmentOptions(offset))
	if err != nil {
		return 0, err
	}
	l.segments.Store(&[]*segment.Segment{fresh})
	l.epochs.Clear()
	if err := l.producers.TruncateFullyAndStartAt(offset); err != nil {
		return 0, err
	}
	return offset, l.fs.SyncDir(l.o.Dir)
}

// producersAt loads the producer state at the beginning of a segment: recovering its transaction index takes that.
func (l *Log) producersAt(list []*segment.Segment, i int) error {
	base := list[i].BaseOffset()
	start := max(min(l.o.LogStartOffset, base), list[0].BaseOffset())
	if err := l.producers.TruncateAndReload(start, base, l.nowMs()); err != nil {
		return err
	}
	return l.replay(list[:i], base)
}

// restoreEpochs notes again which leader epochs began in the gap that compaction left before b: the batches that told are
// gone. Without, an epoch would seem to begin later than it did, and a follower would keep what it should truncate.
func (l *Log) restoreEpochs(checkpointed []epoch.Entry, b *segment.Batch) {
	end := l.producers.MapEndOffset() // of the batch before
	if end >= b.BaseOffset {
		return
	}
	for _, e := range checkpointed {
		latest, ok := l.epochs.Latest()
		if e.StartOffset >= end && e.StartOffset < b.BaseOffset && e.LeaderEpoch <= b.LeaderEpoch && (!ok || e.LeaderEpoch > latest) {
			l.epochs.Assign(e.LeaderEpoch, e.StartOffset)
		}
	}
}

// recoverBatch takes over what a checked batch says of leader epoch and producer.
func (l *Log) recoverBatch(s *segment.Segment, b *segment.Batch) error {
	l.assignEpochOf(b)
	return l.replayBatch(s, b, true)
}

// judge tells a torn tail from corruption (doc.go, case A and B). left begins with the segment that res is of.
func (l *Log) judge(left []*segment.Segment, res segment.Recovered) error {
	s := left[0]
	if from := max(res.NextOffset, l.o.LogStartOffset); from < l.floor() {
		if res.Bad == nil {
			return l.missing(s, from, min(l.floor(), left[1].BaseOffset()))
		}
		return &CorruptError{Path: s.LogPath(), Position: res.Bad.Position, Err: fmt.Errorf(
			"%w; records from offset %d to %d were synced", res.Bad.Err, from, l.floor())}
	}
	if !l.o.Config.durable() {
		return nil
	}
	far, err := l.validBeyond(left, res)
	if err != nil || far == nil {
		return err
	}
	return &CorruptError{Path: s.LogPath(), Position: res.Size, Err: fmt.Errorf(
		"%w; valid batches follow in %s, further on than bytes can be unsynced", cutReason(res), far.LogPath())}
}

var errGap = errors.New("records are missing before the next segment")

func cutReason(res segment.Recovered) error {
	if res.Bad == nil {
		return errGap
	}
	return res.Bad
}

// validBeyond looks for a valid batch further than maxUnsynced behind the end of the good ones, and returns its segment.
func (l *Log) validBeyond(left []*segment.Segment, res segment.Recovered) (*segment.Segment, error) {
	skip := res.Size + maxUnsynced // in left[0], then in those behind it
	for i, s := range left {
		size := s.Size()
		if i == 0 {
			size = l.fileSize(s)
		}
		if size <= skip {
			skip -= size
			continue
		}
		found, err := s.FindValid(skip, res.NextOffset)
		if err != nil || found {
			return s, err
		}
		skip = 0
	}
	return nil, nil
}

// fileSize is the size of a segment's file, of which Recover may count less.
func (l *Log) fileSize(s *segment.Segment) int64 {
	info, err := l.fs.Stat(s.LogPath())
	if err != nil {
		return s.Size()
	}
	return info.Size()
}

// cutOff cuts a torn tail: the end of segment i behind its valid batches, and all segments after it. What is cut is kept.
func (l *Log) cutOff(list []*segment.Segment, i int, res segment.Recovered) error {
	s := list[i]
	l.recovery.CutOffset = res.NextOffset
	if err := l.keepTail(s, res); err != nil {
		return err
	}
	if err := s.CutAt(res.Size, res.NextOffset); err != nil {
		return err
	}
	for _, later := range list[i+1:] {
		l.recovery.CutBytes += later.Size()
		name, err := l.setAside(later)
		if err != nil {
			return err
		}
		l.recovery.CutFiles = append(l.recovery.CutFiles, name)
	}
	kept := slices.Clone(list[:i+1])
	l.segments.Store(&kept)
	l.logger.Warn("cut off a torn tail", slog.String("event", "log.cut"), slog.String("path", s.LogPath()),
		slog.Int64("offset", res.NextOffset), slog.Int64("bytes", l.recovery.CutBytes), slog.Any("kept_in", l.recovery.CutFiles),
		slog.Any("reason", cutReason(res)))
	return l.pruneSideFiles()
}
