package cleaner

import (
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// maxDecompressed bounds what a batch that was let into the log is decompressed to.
const maxDecompressed = 100 << 20

// filter decides what stays of each batch. The decisions are those of Kafka's Cleaner, but for two in favour of readers:
//
//   - A batch gets its delete horizon only when all of it was compacted. Kafka starts the clock of a tombstone while older
//     records of its key are still there: a reader could meet one of those and find the tombstone gone.
//   - An end marker that a producer's state rests on stays whole, not as an empty batch, which would not tell the epoch.
type filter struct {
	keys       *keyMap
	txns       *transactions
	last       map[int64]producerstate.LastBatch
	cleanUpTo  int64 // last offset that keys covers; what lies behind it stays
	nowMs      int64
	horizonMs  int64 // of what is marked now
	highWater  int64
	keepLegacy bool // tombstones of older formats in the current segment are not due

	editor    records.Editor
	expired   bool // tombstones of the current batch are due
	unchanged bool // the current batch stays as it is
	stats     *Result
}

// apply appends to dst what stays of a batch, all of whose bytes are in b.Head. Of an abort marker that stays because of its
// transaction's records that transaction is returned.
func (f *filter) apply(dst []byte, b *segment.Batch) (out []byte, aborted *segment.AbortedTxn, err error) {
	f.unchanged = false
	if b.Magic < records.Magic {
		out, err = f.legacy(dst, b)
		return out, nil, err
	}
	v2 := b.V2()
	if !v2.IsControl() {
		out, err = f.data(dst, v2)
		return out, nil, err
	}
	spent, aborted, err := f.txns.control(v2)
	if err != nil {
		return dst, nil, err
	}
	out, err = f.control(dst, v2, spent)
	return out, aborted, err
}

// data appends what stays of a batch of records.
func (f *filter) data(dst []byte, b records.Batch) ([]byte, error) {
	if f.txns.data(b) {
		f.stats.RecordsRead += int64(b.RecordCount())
		return f.empty(dst, b), nil
	}
	if b.BaseOffset() > f.cleanUpTo {
		f.stats.RecordsRead += int64(b.RecordCount())
		f.stats.RecordsWritten += int64(b.RecordCount())
		return f.whole(dst, b), nil
	}
	f.expired = b.HasDeleteHorizon() && f.nowMs >= b.BaseTimestamp()
	kept, err := f.editor.Scan(b, maxDecompressed, f.retain)
	if err != nil {
		return dst, err
	}
	f.stats.RecordsWritten += int64(kept.Records)
	horizon := records.NoTimestamp
	if kept.Tombstones && !b.HasDeleteHorizon() && b.LastOffset() <= f.cleanUpTo {
		horizon = f.horizonMs
	}
	switch {
	case kept.Records == 0:
		return f.empty(dst, b), nil
	case kept.All && horizon == records.NoTimestamp:
		return f.whole(dst, b), nil
	default:
		return f.editor.AppendTo(dst, horizon)
	}
}

// retain decides about records of the current batch.
func (f *filter) retain(group []records.Keyed) {
	f.stats.RecordsRead += int64(len(group))
	located := f.keys.locate(group)
	for i := range group {
		r := &group[i]
		switch {
		case r.Offset > f.cleanUpTo:
			r.Keep = true
		case r.Key == nil:
			f.stats.RecordsInvalid++
		default:
			r.Keep = r.Offset >= f.keys.get(&located[i]) && (!r.Tombstone || !f.expired)
		}
	}
}

func retainAll(group []records.Keyed) {
	for i := range group {
		group[i].Keep = true
	}
}

// empty appends a batch without its records where its header is still needed: the state of a producer rests on it, or the
// high watermark stands right behind it.
func (f *filter) empty(dst []byte, b records.Batch) []byte {
	if !f.isLast(b) && b.NextOffset() != f.highWater {
		return dst
	}
	if b.RecordCount() == 0 {
		return f.whole(dst, b)
	}
	return b.AppendEmpty(dst)
}

// isLast reports whether the state of b's producer rests on it. A marker does so where no data batch is known.
func (f *filter) isLast(b records.Batch) bool {
	if !b.HasProducerID() {
		return false
	}
	last, live := f.last[b.ProducerID()]
	switch {
	case !live:
		return false
	case last.Offset != producerstate.NoOffset:
		return b.LastOffset() == last.Offset
	default:
		return b.IsControl() && b.ProducerEpoch() == last.ProducerEpoch
	}
}

// control appends what stays of a control batch. A spent marker goes in two steps, as a tombstone does: marked with a
// delete horizon now, removed when that has passed.
func (f *filter) control(dst []byte, b records.Batch, spent bool) ([]byte, error) {
	f.stats.RecordsRead += int64(b.RecordCount())
	switch {
	case b.RecordCount() == 0, spent && b.HasDeleteHorizon() && b.BaseTimestamp() <= f.nowMs && !f.isLast(b):
		return f.empty(dst, b), nil
	case spent && !b.HasDeleteHorizon() && b.LastOffset() <= f.cleanUpTo:
		kept, err := f.editor.Scan(b, maxDecompressed, retainAll)
		if err != nil {
			return dst, err
		}
		f.stats.RecordsWritten += int64(kept.Records)
		return f.editor.AppendTo(dst, f.horizonMs)
	}
	f.stats.RecordsWritten += int64(b.RecordCount())
	return f.whole(dst, b), nil
}

// whole appends a batch that stays as it is.
func (f *filter) whole(dst []byte, b records.Batch) []byte {
	f.unchanged = true
	return append(dst, b...)
}

// legacy appends what stays of a message of an older format, as a batch of the current one, which is what Kafka's cleaner does
// with them. A message has no delete horizon: the age of its segment decides about tombstones.
func (f *filter) legacy(dst []byte, b *segment.Batch) ([]byte, error) {
	f.expired = !f.keepLegacy
	kept, err := f.editor.ScanLegacy(records.Legacy(b.Head), maxDecompressed, f.retain)
	if err != nil {
		return dst, err
	}
	f.stats.RecordsWritten += int64(kept.Records)
	if kept.Records == 0 {
		if b.NextOffset() == f.highWater {
			return records.AppendGap(dst, b.LastOffset, records.NoLeaderEpoch), nil
		}
		return dst, nil
	}
	horizon := records.NoTimestamp
	if kept.Tombstones && b.LastOffset <= f.cleanUpTo {
		horizon = f.horizonMs
	}
	return f.editor.AppendTo(dst, horizon)
}
