package producerstate

import (
	"encoding/binary"
	"math"

	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Values that mean "none".
const (
	NoEpoch     = records.NoProducerEpoch
	NoSequence  = records.NoSequence
	NoTimestamp = records.NoTimestamp

	NoOffset           int64 = -1
	NoCoordinatorEpoch int32 = -1
)

// Origin says where records come from, and so how far they are checked.
type Origin uint8

const (
	// OriginReplication is copied from a leader or read back from disk, and taken as it is.
	OriginReplication Origin = iota
	// OriginCoordinator is written by a coordinator of this broker: producer epochs are checked, sequences are not.
	OriginCoordinator
	// OriginClient is sent by a client: everything is checked.
	OriginClient
)

// Batch is what the manager needs to know of a data batch with a producer id.
type Batch struct {
	ProducerID    int64
	ProducerEpoch int16
	Transactional bool
	BaseSequence  int32
	LastSequence  int32
	BaseOffset    int64
	LastOffset    int64
	MaxTimestamp  int64
}

// FromBatch picks it out of a data batch whose offsets have been assigned.
func FromBatch(b records.Batch) Batch {
	return Batch{
		ProducerID:    b.ProducerID(),
		ProducerEpoch: b.ProducerEpoch(),
		Transactional: b.IsTransactional(),
		BaseSequence:  b.BaseSequence(),
		LastSequence:  b.LastSequence(),
		BaseOffset:    b.BaseOffset(),
		LastOffset:    b.LastOffset(),
		MaxTimestamp:  b.MaxTimestamp(),
	}
}

// Marker is what the manager needs to know of a control batch that ends a transaction.
type Marker struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32
	Abort            bool
	Offset           int64 // of the control record
	Timestamp        int64 // of the control record
	// TransactionVersion is that of the request which wrote the marker: from 2 on the producer epoch must have been bumped
	// (KIP-890). It is not stored in the log: replicated and replayed markers have 0.
	TransactionVersion int16
}

// ParseMarker reads a control batch. ok is false when it ends no transaction: it holds no record (compaction took it), or
// its type is none of Kafka's two.
func ParseMarker(b records.Batch) (mk Marker, ok bool, err error) {
	err = b.Iterate(maxControlBytes, func(r *records.Record) error {
		if ok {
			return nil // Kafka looks at the first record only
		}
		mk.Abort, mk.CoordinatorEpoch, ok, err = ParseEndTxn(r.Key, r.Value)
		mk.Timestamp = r.Timestamp
		return err
	})
	if err != nil || !ok {
		return Marker{}, false, err
	}
	mk.ProducerID, mk.ProducerEpoch, mk.Offset = b.ProducerID(), b.ProducerEpoch(), b.BaseOffset()
	return mk, true, nil
}

// maxControlBytes bounds what a control batch may decompress to; Kafka does not compress them and needs 78 bytes.
const maxControlBytes = 1 << 16

// Types of control records that end a transaction.
const (
	controlAbort  = 0
	controlCommit = 1
)

// ParseEndTxn reads the key (int16 version, int16 type) and value (int16 version, int32 coordinator epoch) of a control
// record. ok is false when its type ends no transaction. Later versions are read as the ones known, as in Kafka.
func ParseEndTxn(key, value []byte) (abort bool, coordinatorEpoch int32, ok bool, err error) {
	if len(key) < 4 || int16(binary.BigEndian.Uint16(key)) < 0 {
		return false, 0, false, errcode.New(errcode.KindInvalidRecord, "control record key %x is not a version and a type", key)
	}
	kind := int16(binary.BigEndian.Uint16(key[2:]))
	if kind != controlAbort && kind != controlCommit {
		return false, 0, false, nil
	}
	if len(value) < 6 || int16(binary.BigEndian.Uint16(value)) < 0 {
		return false, 0, false, errcode.New(errcode.KindInvalidRecord, "end marker value %x is not a version and a coordinator epoch", value)
	}
	return kind == controlAbort, int32(binary.BigEndian.Uint32(value[2:])), true, nil
}

// BatchMetadata is a remembered batch.
type BatchMetadata struct {
	LastOffset   int64
	Timestamp    int64 // the largest of the batch
	LastSequence int32
	OffsetDelta  int32 // last offset - base offset
}

// BaseOffset is the offset of the batch's first record.
func (m BatchMetadata) BaseOffset() int64 { return m.LastOffset - int64(m.OffsetDelta) }

// BaseSequence is the sequence of the batch's first record; sequences wrap from the largest int32 to 0.
func (m BatchMetadata) BaseSequence() int32 { return decrementSequence(m.LastSequence, m.OffsetDelta) }

func decrementSequence(sequence, by int32) int32 {
	if sequence < by {
		return math.MaxInt32 - (by - sequence) + 1
	}
	return sequence - by
}

// follows reports whether next is the sequence after last.
func follows(last, next int32) bool {
	return int64(next) == int64(last)+1 || (next == 0 && last == math.MaxInt32)
}
