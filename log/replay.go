package log

import (
	"errors"

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
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
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
	err := replayInto(u, b)
	if err != nil {
		u.Discard()
		return err
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
func (l *Log) backfill(end int64) error {
	if l.producers.ProducerCount() == 0 {
		return nil
	}
	snapshot, ok := l.producers.LatestSnapshotOffset()
	if !ok {
		return nil
	}
	list := l.list()
	i := segmentFor(list, max(snapshot-1, 0))
	var batches []producerstate.Batch
	err := list[i].WalkTail(snapshot, backfillBytes, func(b *segment.Batch) {
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
	l.producers.Backfill(batches)
	return nil
}
