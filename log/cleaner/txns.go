package cleaner

import (
	"cmp"
	"slices"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// transactions follows, on a walk over decided batches in the order of their offsets, which of them belong to aborted
// transactions, and which end markers have outlived their transaction's records. (Kafka's CleanedTransactionMetadata.)
type transactions struct {
	ahead     []segment.AbortedTxn // that begin at or behind where the walk is, by first offset
	aborted   map[int64]*abortedTxn
	committed map[int64]struct{} // producers of which a batch was seen that an end marker has to follow
}

// abortedTxn is an aborted transaction that the walk is in, by producer id.
type abortedTxn struct {
	segment.AbortedTxn
	seen bool // a batch of it
}

func newTransactions() *transactions {
	return &transactions{aborted: make(map[int64]*abortedTxn), committed: make(map[int64]struct{})}
}

// expect adds aborted transactions that overlap what the walk comes to next. One that is known already may be among them.
func (t *transactions) expect(list []segment.AbortedTxn) {
	if len(list) == 0 {
		return
	}
	t.ahead = append(t.ahead, list...)
	slices.SortFunc(t.ahead, func(a, b segment.AbortedTxn) int {
		return cmp.Or(cmp.Compare(a.FirstOffset, b.FirstOffset), cmp.Compare(a.LastOffset, b.LastOffset))
	})
	t.ahead = slices.Compact(t.ahead)
}

// reach begins the aborted transactions that have begun by offset.
func (t *transactions) reach(offset int64) {
	n := 0
	for ; n < len(t.ahead) && t.ahead[n].FirstOffset <= offset; n++ {
		a := t.ahead[n]
		if t.aborted[a.ProducerID] == nil {
			t.aborted[a.ProducerID] = &abortedTxn{AbortedTxn: a}
		}
	}
	t.ahead = t.ahead[n:]
}

// data takes a batch that is not a control batch and reports whether it was aborted.
func (t *transactions) data(b records.Batch) bool {
	t.reach(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if a := t.aborted[b.ProducerID()]; a != nil {
		a.seen = true
		return true
	}
	t.committed[b.ProducerID()] = struct{}{}
	return false
}

// control takes a control batch. spent reports that nothing hangs on it any more: no batch of the transaction that it ends
// was seen on this walk, or an earlier compaction has emptied it. Of a marker that ends an aborted transaction with batches
// the transaction is returned: its entry in the transaction index stays.
func (t *transactions) control(b records.Batch) (spent bool, aborted *segment.AbortedTxn, err error) {
	t.reach(b.LastOffset())
	if b.RecordCount() == 0 {
		return true, nil, nil
	}
	marker, isEnd, err := producerstate.ParseMarker(b)
	if err != nil || !isEnd {
		return false, nil, err
	}
	if !marker.Abort {
		_, seen := t.committed[marker.ProducerID]
		delete(t.committed, marker.ProducerID)
		return !seen, nil, nil
	}
	a := t.aborted[marker.ProducerID]
	delete(t.aborted, marker.ProducerID)
	if a == nil || !a.seen {
		return true, nil, nil
	}
	return false, &a.AbortedTxn, nil
}
