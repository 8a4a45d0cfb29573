package log

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
)

// replay brings the producer state up to end by reading the headers of what follows it in the log. Under mu.
func (l *Log) replay(list []*segment.Segment, end int64) error {
	from := l.producers.MapEndOffset()
	if from >= end {
		return nil
	}
	for _, s := range list[segmentFor(list, from):] {
		if s.BaseOffset() >= end {
			break
		}
		err := s.Walk(max(from, s.BaseOffset()), func(b *segment.Batch) (bool, error) {
			if b.BaseOffset >= end {
				return false, nil
			}
			return true, l.replayBatch(s, b, false)
		})
		if corrupt, ok := errors.AsType[*CorruptError](err); ok {
			l.reportDamage(corrupt) // what lies behind it is unknown, but the rest of the log can be used
			continue
		}
		if err != nil {
			return err
		}
	}
	l.producers.SetMapEndOffset(end)
	return nil
}

// replayBatch takes a batch of the log into the producer state. With index, aborted transactions are added to the
// segment's transaction index.
func (l *Log) replayBatch(s *segment.Segment, b *segment.Batch, index bool) error {
	next := b.NextOffset()
	if b.Magic < 2 || !b.V2().HasProducerID() {
		l.producers.SetMapEndOffset(next)
		return nil
	}
	u := l.producers.Begin()
	if err := replayInto(u, b); err != nil { // what was written once is in the log, whatever is wrong with it
		u.Discard()
		l.logger.Warn("a batch does not fit the state of its producer", slog.Int64("offset", b.BaseOffset), slog.Any("err", err))
		l.producers.SetMapEndOffset(next)
		return nil
	}
	return l.completeTxns(u.Commit(next), s, index)
}

func replayInto(u *producerstate.Update, b *segment.Batch) error {
	v2 := b.V2()
	if !v2.IsControl() {
		return u.Append(producerstate.FromBatch(v2), producerstate.OriginReplication)
	}
	if !b.Whole {
		return nil // no marker is as large
	}
	marker, ok, err := producerstate.ParseMarker(v2)
	if err != nil || !ok {
		return err
	}
	return u.AppendMarker(marker, producerstate.OriginReplication)
}

// backfillBytes is how much of the log's end is looked at for the batches before those that a snapshot names: enough for
// what producers have in flight.
const backfillBytes = 4 << 20

// backfill widens the windows of producers after a snapshot was loaded.
func (l *Log) backfill() error {
	if l.producers.ProducerCount() == 0 {
		return nil
	}
	snapshot, ok := l.producers.LatestSnapshotOffset()
	if !ok {
		return nil
	}
	list := l.list()
	left := int64(backfillBytes)
	var found [][]producerstate.Batch // the newest segment first
	for i := segmentFor(list, max(snapshot-1, 0)); i >= 0 && left > 0; i-- {
		var batches []producerstate.Batch
		err := list[i].WalkTail(snapshot, left, func(b *segment.Batch) {
			if b.Magic < 2 || b.LastOffset >= snapshot {
				return
			}
			if v2 := b.V2(); v2.HasProducerID() && !v2.IsControl() {
				batches = append(batches, producerstate.FromBatch(v2))
			}
		})
		if err != nil && !errors.As(err, new(*CorruptError)) {
			return err
		}
		found = append(found, batches)
		left -= list[i].Size()
	}
	slices.Reverse(found)
	l.producers.Backfill(slices.Concat(found...))
	return nil
}
