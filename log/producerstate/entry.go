package producerstate

import "github.com/distributedmq/dmq/protocol/errcode"

// WindowBatches is how many batches of a producer are remembered: the most that a client may have in flight on one
// connection with idempotence, so that each of them can be retried.
const WindowBatches = 5

// Entry describes one producer, as DescribeProducers shows it.
type Entry struct {
	ProducerID            int64
	ProducerEpoch         int16
	CoordinatorEpoch      int32 // of the last end marker, or NoCoordinatorEpoch
	LastSequence          int32 // or NoSequence
	LastOffset            int64 // or NoOffset
	LastTimestamp         int64
	CurrentTxnFirstOffset int64 // or NoOffset
}

// entry is the state of one producer. It holds no pointer, so that saving it before an update is a plain copy.
type entry struct {
	producerID       int64
	lastTimestamp    int64
	txnFirstOffset   int64  // NoOffset when no transaction is open
	touched          uint64 // number of the update that last saved this entry
	coordinatorEpoch int32
	producerEpoch    int16
	count            uint8                        // batches in use
	batches          [WindowBatches]BatchMetadata // oldest first
}

func newEntry(producerID int64) entry {
	return entry{
		producerID: producerID, producerEpoch: NoEpoch, coordinatorEpoch: NoCoordinatorEpoch,
		lastTimestamp: NoTimestamp, txnFirstOffset: NoOffset,
	}
}

func (e *entry) lastBatch() BatchMetadata {
	if e.count == 0 {
		return BatchMetadata{LastOffset: NoOffset, LastSequence: NoSequence, Timestamp: NoTimestamp}
	}
	return e.batches[e.count-1]
}

func (e *entry) describe() Entry {
	last := e.lastBatch()
	return Entry{
		ProducerID: e.producerID, ProducerEpoch: e.producerEpoch, CoordinatorEpoch: e.coordinatorEpoch,
		LastSequence: last.LastSequence, LastOffset: last.LastOffset, LastTimestamp: e.lastTimestamp,
		CurrentTxnFirstOffset: e.txnFirstOffset,
	}
}

// setEpoch moves to another producer epoch, whose window is empty.
func (e *entry) setEpoch(producerEpoch int16) {
	if e.producerEpoch != producerEpoch {
		e.producerEpoch = producerEpoch
		e.count = 0
	}
}

func (e *entry) addBatch(m BatchMetadata) {
	if e.count == WindowBatches {
		copy(e.batches[:], e.batches[1:])
		e.count--
	}
	e.batches[e.count] = m
	e.count++
}

// findDuplicate looks for exactly the batch's sequence range in its producer epoch.
func (e *entry) findDuplicate(b Batch) (BatchMetadata, bool) {
	if b.ProducerEpoch != e.producerEpoch {
		return BatchMetadata{}, false
	}
	for _, m := range e.batches[:e.count] {
		if m.LastSequence == b.LastSequence && m.BaseSequence() == b.BaseSequence {
			return m, true
		}
	}
	return BatchMetadata{}, false
}

// check tells whether a data batch may follow:
//
//	Case A: replication                       → always
//	Case B: producer epoch below the entry's  → INVALID_PRODUCER_EPOCH
//	Case C: a coordinator writes              → no sequences to check
//	Case D: another producer epoch            → must begin at sequence 0, unless nothing is known of the producer
//	Case E: the same producer epoch           → must follow the last sequence; after a marker bumped the epoch, begin at 0
//	Case F: not transactional inside a transaction → INVALID_TXN_STATE (in every origin, as in Kafka)
func (e *entry) check(b Batch, o Origin) error {
	if o != OriginReplication && b.ProducerEpoch < e.producerEpoch {
		return errcode.New(errcode.KindInvalidProducerEpoch, "epoch of producer %d at offset %d is %d, which is smaller than the last seen epoch %d",
			b.ProducerID, b.BaseOffset, b.ProducerEpoch, e.producerEpoch)
	}
	if o == OriginClient {
		if err := e.checkSequence(b); err != nil {
			return err
		}
	}
	if e.txnFirstOffset != NoOffset && !b.Transactional {
		return errcode.New(errcode.KindInvalidTxnState, "expected transactional write from producer %d at offset %d", b.ProducerID, b.BaseOffset)
	}
	return nil
}

func (e *entry) checkSequence(b Batch) error {
	switch {
	case e.producerEpoch == NoEpoch:
		return nil // unknown, or all its records were deleted: any sequence
	case b.ProducerEpoch != e.producerEpoch:
		if b.BaseSequence != 0 {
			return errcode.New(errcode.KindOutOfOrderSequenceNumber,
				"invalid sequence number for new epoch of producer %d at offset %d: %d (request epoch), %d (seq. number), %d (current producer epoch)",
				b.ProducerID, b.BaseOffset, b.ProducerEpoch, b.BaseSequence, e.producerEpoch)
		}
	case !follows(e.lastBatch().LastSequence, b.BaseSequence):
		return errcode.New(errcode.KindOutOfOrderSequenceNumber,
			"out of order sequence number for producer %d at offset %d: %d (incoming seq. number), %d (current end sequence number)",
			b.ProducerID, b.BaseOffset, b.BaseSequence, e.lastBatch().LastSequence)
	}
	return nil
}

// checkMarker tells whether an end marker may follow. From transaction version 2 on its epoch must be above the
// producer's, except for a repeat of a marker that is already in the log, and except at the largest epoch there is.
func (e *entry) checkMarker(mk Marker, o Origin) error {
	if o == OriginReplication {
		return nil
	}
	bumped := mk.TransactionVersion >= 2
	stale := mk.ProducerEpoch < e.producerEpoch
	if bumped && mk.ProducerEpoch == e.producerEpoch {
		stale = e.txnFirstOffset != NoOffset && mk.ProducerEpoch != maxProducerEpoch
	}
	if stale {
		return errcode.New(errcode.KindInvalidProducerEpoch, "epoch of producer %d at offset %d is %d, last seen epoch %d (transaction version %d)",
			mk.ProducerID, mk.Offset, mk.ProducerEpoch, e.producerEpoch, mk.TransactionVersion)
	}
	if mk.CoordinatorEpoch < e.coordinatorEpoch {
		return errcode.New(errcode.KindTransactionCoordinatorFenced,
			"invalid coordinator epoch for producer %d at offset %d: %d (zombie), %d (current)",
			mk.ProducerID, mk.Offset, mk.CoordinatorEpoch, e.coordinatorEpoch)
	}
	return nil
}

const maxProducerEpoch int16 = 1<<15 - 1
