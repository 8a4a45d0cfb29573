package log

import (
	"math"

	"github.com/distributedmq/dmq/log/epoch"
	"github.com/distributedmq/dmq/log/segment"
)

// OffsetForTimestamp finds the first record whose timestamp is at least ts. leaderEpoch is -1 where the batch has none. What
// is found may lie above the high watermark.
func (l *Log) OffsetForTimestamp(ts int64) (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	start := l.logStart.Load()
	return l.findTime(func(list []*segment.Segment) (segment.TimestampOffset, bool, error) {
		for _, s := range list {
			if s.NextOffset() <= start {
				continue
			}
			largest, err := s.LargestTimestamp()
			if err != nil {
				return segment.TimestampOffset{}, false, err
			}
			if largest < ts {
				continue
			}
			if t, ok, err := s.FindTimestamp(ts, start); err != nil || ok {
				return t, ok, err
			}
		}
		return segment.TimestampOffset{}, false, nil
	})
}

// OffsetOfMaxTimestamp finds the first record with the largest timestamp.
func (l *Log) OffsetOfMaxTimestamp() (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	return l.findTime(func(list []*segment.Segment) (segment.TimestampOffset, bool, error) {
		var latest *segment.Segment
		largest := int64(math.MinInt64)
		for _, s := range list {
			ts, err := s.MaxTimestamp()
			if err != nil {
				return segment.TimestampOffset{}, false, err
			}
			if ts > largest {
				latest, largest = s, ts
			}
		}
		return latest.FindMaxTimestamp()
	})
}

func (l *Log) findTime(look func(list []*segment.Segment) (segment.TimestampOffset, bool, error)) (offset, timestamp int64, leaderEpoch int32, found bool, err error) {
	if err := l.usable(); err != nil {
		return 0, 0, 0, false, err
	}
	var t segment.TimestampOffset
	err = l.onSegments(func(list []*segment.Segment) (err error) {
		t, found, err = look(list)
		return err
	})
	if err != nil {
		return 0, 0, 0, false, l.readError(err, l.logStart.Load())
	}
	return t.Offset, t.Timestamp, t.LeaderEpoch, found, nil
}

// LatestEpoch is the newest leader epoch that the log knows.
func (l *Log) LatestEpoch() (leaderEpoch int32, ok bool) { return l.epochs.Latest() }

// EpochForOffset is the leader epoch that the record at offset was, or would be, appended in.
func (l *Log) EpochForOffset(offset int64) (leaderEpoch int32, ok bool) {
	return l.epochs.EpochForOffset(offset)
}

// EndOffsetForEpoch answers OffsetForLeaderEpoch: the largest known leader epoch not above the one asked for, and the offset
// behind its last record; both -1 when there is none.
func (l *Log) EndOffsetForEpoch(leaderEpoch int32) (found int32, endOffset int64) {
	return l.epochs.EndOffsetFor(leaderEpoch, l.end.Load())
}

// AssignEpoch notes durably that a leader epoch begins at offset.
func (l *Log) AssignEpoch(leaderEpoch int32, offset int64) error {
	l.lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	if !l.epochs.Assign(leaderEpoch, offset) || l.unsettled { // settle flushes it
		return nil
	}
	return l.ioError(l.epochs.Flush())
}

// EpochEntries are all leader epochs that the log knows, in order.
func (l *Log) EpochEntries() []epoch.Entry { return l.epochs.Entries() }
