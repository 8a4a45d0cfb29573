package records

import (
	"errors"

	"github.com/distributedmq/dmq/protocol/compress"
)

// Sizes of the format.
const (
	HeaderSize  = 61 // bytes before the records of a batch
	LogOverhead = 12 // base offset and length: what stands before the counted bytes
	Magic       = 2  // the format version of every Batch
)

// Values that mean "none" in a header.
const (
	NoTimestamp     int64 = -1
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	NoSequence      int32 = -1
	NoLeaderEpoch   int32 = -1
)

// TimestampType says whose clock a batch's timestamps come from.
type TimestampType int8

// Kafka's timestamp types.
const (
	CreateTime TimestampType = iota
	LogAppendTime
)

// The structural errors of Split that are not corruption.
var (
	ErrShort  = errors.New("record batch is incomplete")
	ErrLegacy = errors.New("message set of an older format")
)

// Batch is exactly one record batch of magic 2: a view, not a copy.
type Batch []byte

// Split cuts the first batch off b after a structural check only (size and magic): ErrShort when its tail is missing,
// an *errcode.Error of KindCorruptMessage when it cannot be a batch, ErrLegacy for a message set of magic 0 or 1.
func Split(b []byte) (batch Batch, rest []byte, err error) { panic("not yet") }

func (b Batch) BaseOffset() int64            { panic("not yet") }
func (b Batch) LastOffset() int64            { panic("not yet") }
func (b Batch) NextOffset() int64            { panic("not yet") }
func (b Batch) Size() int                    { return len(b) }
func (b Batch) PartitionLeaderEpoch() int32  { panic("not yet") }
func (b Batch) Magic() int8                  { panic("not yet") }
func (b Batch) CRC() uint32                  { panic("not yet") }
func (b Batch) Attributes() int16            { panic("not yet") }
func (b Batch) Codec() compress.Codec        { panic("not yet") }
func (b Batch) TimestampType() TimestampType { panic("not yet") }
func (b Batch) IsTransactional() bool        { panic("not yet") }
func (b Batch) IsControl() bool              { panic("not yet") }
func (b Batch) HasDeleteHorizon() bool       { panic("not yet") }
func (b Batch) LastOffsetDelta() int32       { panic("not yet") }
func (b Batch) BaseTimestamp() int64         { panic("not yet") }
func (b Batch) MaxTimestamp() int64          { panic("not yet") }
func (b Batch) ProducerID() int64            { panic("not yet") }
func (b Batch) HasProducerID() bool          { panic("not yet") }
func (b Batch) ProducerEpoch() int16         { panic("not yet") }
func (b Batch) BaseSequence() int32          { panic("not yet") }
func (b Batch) LastSequence() int32          { panic("not yet") }
func (b Batch) RecordCount() int32           { panic("not yet") }
func (b Batch) Payload() []byte              { panic("not yet") }
func (b Batch) VerifyCRC() error             { panic("not yet") }
func (b Batch) SetBaseOffset(offset int64)   { panic("not yet") }

func (b Batch) SetPartitionLeaderEpoch(epoch int32) { panic("not yet") }
func (b Batch) StampLogAppendTime(ts int64)         { panic("not yet") }

// Iterate calls fn for each record; compressed batches are decompressed up to limit bytes. The Record and what it points to
// are only good during the call.
func (b Batch) Iterate(limit int, fn func(*Record) error) error { panic("not yet") }

// Record is one record of a batch. Nil keys and values are null, empty ones are not.
type Record struct {
	Offset, Timestamp int64
	Attributes        int8
	Key, Value        []byte
	Headers           []Header
	OffsetDelta       int32
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}
