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

var errBatchSize = errors.New("record batch is larger than its length field can say")

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

	b.out = appendRecord(b.out, delta, b.count, key, value, headers...)
	b.count++
}

// appendRecord appends a record. Attributes are not in use.
func appendRecord(dst []byte, timestampDelta int64, offsetDelta int32, key, value []byte, headers ...Header) []byte {
	size := 1 + varintSize(timestampDelta) + varintSize(int64(offsetDelta)) + fieldSize(key) + fieldSize(value) + varintSize(int64(len(headers)))
	for i := range headers {
		size += varintSize(int64(len(headers[i].Key))) + len(headers[i].Key) + fieldSize(headers[i].Value)
	}
	dst = appendVarint(dst, int32(size))
	dst = append(dst, 0)
	dst = binary.AppendVarint(dst, timestampDelta)
	dst = appendVarint(dst, offsetDelta)
	dst = appendField(dst, key)
	dst = appendField(dst, value)
	dst = appendVarint(dst, int32(len(headers)))
	for i := range headers {
		dst = appendVarint(dst, int32(len(headers[i].Key)))
		dst = append(dst, headers[i].Key...)
		dst = appendField(dst, headers[i].Value)
	}
	return dst
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
		return nil, errBatchSize
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
	h := header{
		baseOffset: b.o.BaseOffset, leaderEpoch: b.o.PartitionLeaderEpoch, flags: flags, lastOffsetDelta: b.count - 1,
		baseTimestamp: b.baseTimestamp, maxTimestamp: maxTimestamp,
		producerID: producerID, producerEpoch: producerEpoch, baseSequence: sequence, count: b.count,
	}
	h.put(out)
}
