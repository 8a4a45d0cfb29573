package records

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
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

// Where each field begins.
const (
	atBaseOffset      = 0
	atLength          = 8
	atLeaderEpoch     = 12
	atMagic           = 16
	atCRC             = 17
	atAttributes      = 21 // the CRC covers everything from here
	atLastOffsetDelta = 23
	atBaseTimestamp   = 27
	atMaxTimestamp    = 35
	atProducerID      = 43
	atProducerEpoch   = 51
	atBaseSequence    = 53
	atRecordCount     = 57
)

// The bits of the attributes. Kafka writes no others.
const (
	attrCodec         = 0b0000_0111
	attrLogAppendTime = 0b0000_1000
	attrTransactional = 0b0001_0000
	attrControl       = 0b0010_0000
	attrDeleteHorizon = 0b0100_0000
	attrKnown         = 0b0111_1111
)

// smallestLength is the least a counted length can be: a message of magic 0 without key and value.
const smallestLength = 14

// The structural errors of Split that are not corruption.
var (
	ErrShort  = errors.New("record batch is incomplete")
	ErrLegacy = errors.New("message set of an older format")
)

// TimestampType says whose clock a batch's timestamps come from.
type TimestampType int8

// Kafka's timestamp types.
const (
	CreateTime TimestampType = iota
	LogAppendTime
)

// String returns Kafka's name of the type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}

// castagnoli is the CRC-32C table; hash/crc32 uses the processor's instruction for it.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Batch is exactly one record batch of magic 2: a view, not a copy. Only Split and Builder make valid ones; the accessors
// panic on fewer than HeaderSize bytes.
type Batch []byte

// Split cuts the first batch off b after a structural check only (size and magic). It returns ErrShort when bytes are missing
// at the end, ErrLegacy when a message set of magic 0 or 1 begins there (see SplitLegacy), and an *errcode.Error of
// KindCorruptMessage when no batch can begin so.
func Split(b []byte) (batch Batch, rest []byte, err error) {
	size, magic, err := frame(b)
	switch {
	case err != nil:
		return nil, b, err
	case magic < Magic:
		return nil, b, ErrLegacy
	case size < HeaderSize:
		return nil, b, errcode.New(errcode.KindCorruptMessage, "record batch of %d bytes is smaller than its header", size)
	case len(b) < size:
		return nil, b, ErrShort
	}
	return Batch(b[:size:size]), b[size:], nil
}

// frame reads size and magic of the batch or message set at the start of b.
func frame(b []byte) (size int, magic int8, err error) {
	if len(b) < LogOverhead {
		return 0, 0, ErrShort
	}
	length := int32(binary.BigEndian.Uint32(b[atLength:]))
	if length < smallestLength {
		return 0, 0, errcode.New(errcode.KindCorruptMessage, "record batch length %d is below the smallest possible %d", length, smallestLength)
	}
	if len(b) <= atMagic {
		return 0, 0, ErrShort
	}
	if magic = int8(b[atMagic]); magic < 0 || magic > Magic {
		return 0, 0, errcode.New(errcode.KindCorruptMessage, "record batch has unknown magic %d", magic)
	}
	return LogOverhead + int(length), magic, nil
}

// SizeOf returns the size in bytes of the batch (or legacy message) that begins with head, which need not hold all of it:
// atMagic+1 = 17 bytes are enough. It makes the checks of Split except completeness.
func SizeOf(head []byte) (int, error) {
	size, magic, err := frame(head)
	if err == nil && magic == Magic && size < HeaderSize {
		return 0, errcode.New(errcode.KindCorruptMessage, "record batch of %d bytes is smaller than its header", size)
	}
	return size, err
}

// BaseOffset is the offset of the first record the batch had when it was made.
func (b Batch) BaseOffset() int64 { return int64(binary.BigEndian.Uint64(b[atBaseOffset:])) }

// LastOffset is the offset of the last record, inclusive.
func (b Batch) LastOffset() int64 { return b.BaseOffset() + int64(b.LastOffsetDelta()) }

// NextOffset is the offset that follows the batch.
func (b Batch) NextOffset() int64 { return b.LastOffset() + 1 }

// Size is the number of bytes of the batch.
func (b Batch) Size() int { return len(b) }

// PartitionLeaderEpoch is the epoch of the leader that appended the batch.
func (b Batch) PartitionLeaderEpoch() int32 {
	return int32(binary.BigEndian.Uint32(b[atLeaderEpoch:]))
}

// Magic is the format version: 2.
func (b Batch) Magic() int8 { return int8(b[atMagic]) }

// CRC is the stored checksum.
func (b Batch) CRC() uint32 { return binary.BigEndian.Uint32(b[atCRC:]) }

// Attributes are the raw flag bits.
func (b Batch) Attributes() int16 { return int16(binary.BigEndian.Uint16(b[atAttributes:])) }

// flags is the half of the attributes in use.
func (b Batch) flags() byte { return b[atAttributes+1] }

// Codec is the compression codec by number; it may be one that does not exist.
func (b Batch) Codec() compress.Codec { return compress.Codec(b.flags() & attrCodec) }

// TimestampType says whether the records' own timestamps count, or MaxTimestamp for all of them.
func (b Batch) TimestampType() TimestampType {
	if b.flags()&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// IsTransactional reports whether the batch belongs to a transaction.
func (b Batch) IsTransactional() bool { return b.flags()&attrTransactional != 0 }

// IsControl reports whether the records are the broker's own (transaction markers and the like), hidden from applications.
func (b Batch) IsControl() bool { return b.flags()&attrControl != 0 }

// HasDeleteHorizon reports whether BaseTimestamp is the time from which compaction may drop tombstones and markers.
func (b Batch) HasDeleteHorizon() bool { return b.flags()&attrDeleteHorizon != 0 }

// LastOffsetDelta is the distance from the base offset to the last offset; compaction leaves it as it was.
func (b Batch) LastOffsetDelta() int32 {
	return int32(binary.BigEndian.Uint32(b[atLastOffsetDelta:]))
}

// BaseTimestamp is what the records' timestamps are relative to, in ms.
func (b Batch) BaseTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[atBaseTimestamp:])) }

// MaxTimestamp is the largest timestamp of the records, in ms.
func (b Batch) MaxTimestamp() int64 { return int64(binary.BigEndian.Uint64(b[atMaxTimestamp:])) }

// ProducerID is the idempotent producer that made the batch, or NoProducerID.
func (b Batch) ProducerID() int64 { return int64(binary.BigEndian.Uint64(b[atProducerID:])) }

// HasProducerID reports whether an idempotent producer made the batch.
func (b Batch) HasProducerID() bool { return b.ProducerID() > NoProducerID }

// ProducerEpoch fences older producers of the same id.
func (b Batch) ProducerEpoch() int16 { return int16(binary.BigEndian.Uint16(b[atProducerEpoch:])) }

// BaseSequence is the producer's sequence number of the first record.
func (b Batch) BaseSequence() int32 { return int32(binary.BigEndian.Uint32(b[atBaseSequence:])) }

// LastSequence is the sequence number of the last record.
func (b Batch) LastSequence() int32 {
	if base := b.BaseSequence(); base != NoSequence {
		return AddSequence(base, b.LastOffsetDelta())
	}
	return NoSequence
}

// RecordCount is the number of records left in the batch.
func (b Batch) RecordCount() int32 { return int32(binary.BigEndian.Uint32(b[atRecordCount:])) }

// Payload is the records, compressed or not.
func (b Batch) Payload() []byte { return b[HeaderSize:] }

// AddSequence moves a sequence number on; after 2^31-1 comes 0.
func AddSequence(sequence, n int32) int32 {
	if sequence > math.MaxInt32-n {
		return n - (math.MaxInt32 - sequence) - 1
	}
	return sequence + n
}

// VerifyCRC checks the stored checksum: an *errcode.Error of KindCorruptMessage when it is wrong.
func (b Batch) VerifyCRC() error {
	if sum := b.checksum(); sum != b.CRC() {
		return errcode.New(errcode.KindCorruptMessage, "record batch is corrupt: stored crc %08x, computed %08x", b.CRC(), sum)
	}
	return nil
}

func (b Batch) checksum() uint32 { return crc32.Checksum(b[atAttributes:], castagnoli) }

// SetBaseOffset stamps the offset; the CRC does not cover it.
func (b Batch) SetBaseOffset(offset int64) {
	binary.BigEndian.PutUint64(b[atBaseOffset:], uint64(offset))
}

// SetPartitionLeaderEpoch stamps the epoch of the appending leader; the CRC does not cover it.
func (b Batch) SetPartitionLeaderEpoch(epoch int32) {
	binary.BigEndian.PutUint32(b[atLeaderEpoch:], uint32(epoch))
}

// StampLogAppendTime gives every record the timestamp ts and makes the CRC anew.
func (b Batch) StampLogAppendTime(ts int64) { b.setMaxTimestamp(LogAppendTime, ts) }

// setMaxTimestamp writes timestamp type and maximum timestamp, and the CRC only where they change.
func (b Batch) setMaxTimestamp(t TimestampType, maxTimestamp int64) {
	if b.TimestampType() == t && b.MaxTimestamp() == maxTimestamp {
		return
	}
	flags := b.flags() & attrKnown &^ attrLogAppendTime
	if t == LogAppendTime {
		flags |= attrLogAppendTime
	}
	binary.BigEndian.PutUint16(b[atAttributes:], uint16(flags))
	binary.BigEndian.PutUint64(b[atMaxTimestamp:], uint64(maxTimestamp))
	b.sealCRC()
}

func (b Batch) sealCRC() { binary.BigEndian.PutUint32(b[atCRC:], b.checksum()) }
