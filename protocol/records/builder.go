package records

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/distributedmq/dmq/protocol/compress"
)

// BuilderOptions are the header fields of a batch to build. The zero value is an uncompressed batch of CreateTime at offset 0
// and leader epoch 0, without a producer.
type BuilderOptions struct {
	BaseOffset           int64
	PartitionLeaderEpoch int32
	Codec                compress.Codec
	Level                int // 0 means compress.DefaultLevel
	TimestampType        TimestampType
	LogAppendTime        int64 // the timestamp of every record when TimestampType is LogAppendTime
	HasProducer          bool  // ProducerID, ProducerEpoch and BaseSequence count
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	Transactional        bool
	Control              bool
}

// ErrEmpty is what Bytes returns when nothing was appended.
var ErrEmpty = errors.New("record batch has no records")

// Builder makes one batch of records appended in order. It is not safe for concurrent use.
type Builder struct {
	o             BuilderOptions
	out           []byte // header room, then the records as they are
	count         int32
	baseTimestamp int64
	maxTimestamp  int64
}

// NewBuilder begins a batch.
func NewBuilder(o BuilderOptions) *Builder {
	b := &Builder{o: o}
	b.Reset()
	return b
}

// Reset begins another batch with the same options and the same memory: what Bytes returned before is overwritten.
func (b *Builder) Reset() {
	b.out = append(b.out[:0], make([]byte, HeaderSize)...)
	b.count, b.baseTimestamp, b.maxTimestamp = 0, NoTimestamp, NoTimestamp
}

// Append adds a record with the next offset. Nil keys, values and header values are null.
func (b *Builder) Append(ts int64, key, value []byte, headers ...Header) {
	if b.count == 0 {
		b.baseTimestamp = ts
	}
	b.maxTimestamp = max(b.maxTimestamp, ts)
	delta := ts - b.baseTimestamp

	size := 1 + varintSize(delta) + varintSize(int64(b.count)) + fieldSize(key) + fieldSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + fieldSize(headers[i].Value)
	}
	b.out = appendVarint(b.out, int32(size))
	b.out = append(b.out, 0) // attributes: none are in use
	b.out = binary.AppendVarint(b.out, delta)
	b.out = appendVarint(b.out, b.count)
	b.out = appendField(b.out, key)
	b.out = appendField(b.out, value)
	b.out = appendVarint(b.out, int32(len(headers)))
	for i := range headers {
		b.out = appendVarint(b.out, int32(len(headers[i].Key)))
		b.out = append(b.out, headers[i].Key...)
		b.out = appendField(b.out, headers[i].Value)
	}
	b.count++
}

func fieldSize(p []byte) int {
	if p == nil {
		return varintSize(-1)
	}
	return varintSize(int64(len(p))) + len(p)
}

func appendField(dst, p []byte) []byte {
	if p == nil {
		return appendVarint(dst, -1)
	}
	return append(appendVarint(dst, int32(len(p))), p...)
}

// Count is the number of records appended.
func (b *Builder) Count() int { return int(b.count) }

// Size is the number of bytes the batch takes uncompressed.
func (b *Builder) Size() int { return len(b.out) }

// Bytes finishes the batch. Uncompressed, it is the builder's own memory, good until Reset or Append.
func (b *Builder) Bytes() (Batch, error) {
	if b.count == 0 {
		return nil, ErrEmpty
	}
	out := b.out
	if b.o.Codec != compress.None {
		level := b.o.Level
		if level == 0 {
			level = compress.DefaultLevel
		}
		var err error
		out, err = compress.Compress(make([]byte, HeaderSize, HeaderSize+len(b.out)/2), b.o.Codec, level, b.out[HeaderSize:])
		if err != nil {
			return nil, err
		}
	}
	if len(out)-LogOverhead > math.MaxInt32 {
		return nil, errors.New("record batch is larger than its length field can say")
	}
	b.header(out)
	return Batch(out), nil
}

func (b *Builder) header(out []byte) {
	flags, maxTimestamp := uint16(b.o.Codec), b.maxTimestamp
	if b.o.TimestampType == LogAppendTime {
		flags, maxTimestamp = flags|attrLogAppendTime, b.o.LogAppendTime
	}
	if b.o.Transactional {
		flags |= attrTransactional
	}
	if b.o.Control {
		flags |= attrControl
	}
	producerID, producerEpoch, sequence := NoProducerID, NoProducerEpoch, NoSequence
	if b.o.HasProducer {
		producerID, producerEpoch, sequence = b.o.ProducerID, b.o.ProducerEpoch, b.o.BaseSequence
	}
	be := binary.BigEndian
	be.PutUint64(out[atBaseOffset:], uint64(b.o.BaseOffset))
	be.PutUint32(out[atLength:], uint32(len(out)-LogOverhead))
	be.PutUint32(out[atLeaderEpoch:], uint32(b.o.PartitionLeaderEpoch))
	out[atMagic] = Magic
	be.PutUint16(out[atAttributes:], flags)
	be.PutUint32(out[atLastOffsetDelta:], uint32(b.count-1))
	be.PutUint64(out[atBaseTimestamp:], uint64(b.baseTimestamp))
	be.PutUint64(out[atMaxTimestamp:], uint64(maxTimestamp))
	be.PutUint64(out[atProducerID:], uint64(producerID))
	be.PutUint16(out[atProducerEpoch:], uint16(producerEpoch))
	be.PutUint32(out[atBaseSequence:], uint32(sequence))
	be.PutUint32(out[atRecordCount:], uint32(b.count))
	Batch(out).sealCRC()
}
