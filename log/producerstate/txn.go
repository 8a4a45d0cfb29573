package producerstate

import (
	"cmp"
	"slices"
)

// CompletedTxn is a transaction whose end marker was appended.
type CompletedTxn struct {
	ProducerID  int64
	FirstOffset int64
	LastOffset  int64 // of the marker
	Aborted     bool
}

// txn is an open or decided transaction.
type txn struct {
	producerID  int64
	firstOffset int64
	lastOffset  int64 // of the marker, once decided
}

// txnList is sorted by first offset. New transactions mostly begin at the log's end, so that adding is appending.
type txnList []txn

func (l txnList) search(firstOffset int64) (int, bool) {
	return slices.BinarySearchFunc(l, firstOffset, func(t txn, offset int64) int { return cmp.Compare(t.firstOffset, offset) })
}

func (l *txnList) add(t txn) {
	i, found := l.search(t.firstOffset)
	if found {
		(*l)[i] = t
		return
	}
	*l = slices.Insert(*l, i, t)
}

func (l *txnList) remove(firstOffset int64) (txn, bool) {
	i, found := l.search(firstOffset)
	if !found {
		return txn{}, false
	}
	t := (*l)[i]
	*l = slices.Delete(*l, i, i+1)
	return t, true
}

func (l *txnList) removeEndedBelow(offset int64) {
	if len(*l) > 0 {
		*l = slices.DeleteFunc(*l, func(t txn) bool { return t.lastOffset < offset })
	}
}

func (l txnList) first() (int64, bool) {
	if len(l) == 0 {
		return NoOffset, false
	}
	return l[0].firstOffset, true
}

// FirstUndecidedOffset is the first offset of the oldest open transaction.
func (m *Manager) FirstUndecidedOffset() (int64, bool) { return m.ongoing.first() }

// FirstUnstableOffset is the first offset of the oldest transaction that is open, or decided by a marker at or above the
// high watermark. read_committed consumers stop there.
func (m *Manager) FirstUnstableOffset() (int64, bool) {
	undecided, open := m.ongoing.first()
	decided, waiting := m.unreplicated.first()
	switch {
	case open && waiting:
		return min(undecided, decided), true
	case waiting:
		return decided, true
	default:
		return undecided, open
	}
}

// HighWatermarkUpdated forgets the decided transactions whose markers lie below the high watermark.
func (m *Manager) HighWatermarkUpdated(highWatermark int64) {
	m.unreplicated.removeEndedBelow(highWatermark)
}

// LastStableOffset is what the transaction index stores with a completed transaction: where read_committed consumers may
// read up to once t is replicated. The transactions of t's own producer do not count.
func (m *Manager) LastStableOffset(t CompletedTxn) int64 {
	for _, open := range m.ongoing {
		if open.producerID != t.ProducerID {
			return open.firstOffset
		}
	}
	return t.LastOffset + 1
}

// CompleteTxn moves a transaction from open to decided: it stays unstable until the high watermark passes its marker.
// The caller has written the transaction index before. One that is not open is not unstable either, and is left alone.
func (m *Manager) CompleteTxn(t CompletedTxn) {
	open, ok := m.ongoing.remove(t.FirstOffset)
	if !ok {
		return
	}
	open.lastOffset = t.LastOffset
	m.unreplicated.add(open)
}
