package records

import (
	"sync"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Record is one record of a batch. Nil keys and values are null, empty ones are not.
type Record struct {
	Offset, Timestamp int64
	Attributes        int8
	Key, Value        []byte
	Headers           []Header
	OffsetDelta       int32
}

// Header is one header of a record. A nil value is null.
type Header struct {
	Key   string
	Value []byte
}

// fields is one parsed record: where its parts lie in the bytes it was parsed from.
type fields struct {
	attributes     int8
	timestampDelta int64
	offsetDelta    int32
	keySize        int32 // negative: null
	valueSize      int32
	keyAt, valueAt int
	headers        int32
	headersAt      int
}

// The ways in which records can be malformed. All are INVALID_RECORD to the client, as in Kafka.
var (
	errRecordSize    = errcode.New(errcode.KindInvalidRecord, "record is longer or shorter than its length says")
	errRecordField   = errcode.New(errcode.KindInvalidRecord, "record has a malformed field")
	errRecordHeaders = errcode.New(errcode.KindInvalidRecord, "record has an impossible number of headers")
	errRecordsEnd    = errcode.New(errcode.KindInvalidRecord, "records end before the batch's record count is reached")
	errRecordsLeft   = errcode.New(errcode.KindInvalidRecord, "bytes are left after the last record of the batch")
	errRecordCount   = errcode.New(errcode.KindInvalidRecord, "record batch has a negative record count")
)

// parseRecord parses the record at position at and returns the position after it.
func parseRecord(p []byte, at int, f *fields) (next int, err error) {
	size, at := varint(p, at)
	if at < 0 {
		return 0, errRecordsEnd
	}
	if size < 0 || int(size) > len(p)-at {
		return 0, errRecordSize
	}
	end := at + int(size)
	if err := parseBody(p[:end], at, f); err != nil {
		return 0, err
	}
	return end, nil
}

// parseBody parses the record whose body is p[at:].
func parseBody(p []byte, at int, f *fields) error {
	if at >= len(p) {
		return errRecordField
	}
	f.attributes = int8(p[at])
	if f.timestampDelta, at = varlong(p, at+1); at < 0 {
		return errRecordField
	}
	if f.offsetDelta, at = varint(p, at); at < 0 {
		return errRecordField
	}
	if f.keySize, f.keyAt, at = field(p, at); at < 0 {
		return errRecordField
	}
	if f.valueSize, f.valueAt, at = field(p, at); at < 0 {
		return errRecordField
	}
	if f.headers, at = varint(p, at); at < 0 {
		return errRecordField
	}
	f.headersAt = at
	if f.headers != 0 {
		if at = skipHeaders(p, at, f.headers); at < 0 {
			return errRecordHeaders
		}
	}
	if at != len(p) {
		return errRecordSize
	}
	return nil
}

// field reads the length of a key or value at position at, and where it begins; next is -1 when it does not fit.
func field(p []byte, at int) (size int32, begin, next int) {
	size, begin = varint(p, at)
	if begin < 0 || int(size) > len(p)-begin {
		return 0, 0, -1
	}
	return size, begin, begin + max(int(size), 0)
}

// skipHeaders returns the position after n headers, or -1 when they are malformed. A header key cannot be null.
func skipHeaders(p []byte, at int, n int32) int {
	if n < 0 || int(n) > len(p)-at {
		return -1
	}
	for ; n > 0 && at >= 0; n-- {
		var size int32
		if size, _, at = field(p, at); at < 0 || size < 0 {
			return -1
		}
		_, _, at = field(p, at)
	}
	return at
}

// slice cuts a key or value out of the bytes it was parsed from: nil when null.
func slice(p []byte, at int, size int32) []byte {
	if size < 0 {
		return nil
	}
	return p[at : at+int(size) : at+int(size)]
}

// fill makes the record that f describes; headers were checked by parseBody.
func (r *Record) fill(p []byte, f *fields) {
	r.Attributes, r.OffsetDelta = f.attributes, f.offsetDelta
	r.Key = slice(p, f.keyAt, f.keySize)
	r.Value = slice(p, f.valueAt, f.valueSize)
	r.Headers = r.Headers[:0]
	at := f.headersAt
	for range f.headers {
		size, begin, next := field(p, at)
		key := string(slice(p, begin, size))
		size, begin, at = field(p, next)
		r.Headers = append(r.Headers, Header{Key: key, Value: slice(p, begin, size)})
	}
}

// clock makes the timestamps of a batch's records.
type clock struct {
	base, appended int64
	logAppend      bool
}

func (b Batch) clock() clock {
	return clock{base: b.BaseTimestamp(), appended: b.MaxTimestamp(), logAppend: b.TimestampType() == LogAppendTime}
}

func (c *clock) of(delta int64) int64 {
	if c.logAppend {
		return c.appended
	}
	return c.base + delta
}

// Iterate calls fn for each record in order; a compressed batch is decompressed first, to at most limit bytes
// (compress.ErrTooLarge). The Record and what it points to are only good during the call. An error of fn ends it and is
// returned as it is; malformed records are an *errcode.Error of KindInvalidRecord. The CRC is not looked at.
func (b Batch) Iterate(limit int, fn func(*Record) error) error {
	payload, count := b.Payload(), b.RecordCount()
	switch {
	case count < 0:
		return errRecordCount
	case count == 0: // compaction leaves such batches: nothing in them is looked at
		return nil
	}
	if c := b.Codec(); c != compress.None {
		buf := getBuffer()
		defer buf.put()
		var err error
		if buf.b, err = compress.Decompress(buf.b[:0], c, payload, limit); err != nil {
			return decompressError(err)
		}
		payload = buf.b
	}
	base, clock := b.BaseOffset(), b.clock()
	var r Record
	var f fields
	at := 0
	for range count {
		next := quickRecord(payload, at, &f)
		if next < 0 {
			var err error
			if next, err = parseRecord(payload, at, &f); err != nil {
				return err
			}
		}
		at = next
		r.fill(payload, &f)
		r.Offset, r.Timestamp = base+int64(f.offsetDelta), clock.of(f.timestampDelta)
		if err := fn(&r); err != nil {
			return err
		}
	}
	if at != len(payload) {
		return errRecordsLeft
	}
	return nil
}

// buffer is a pooled byte slice.
type buffer struct{ b []byte }

// keepBuffer is the largest buffer that goes back to the pool.
const keepBuffer = 1 << 20

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) put() {
	if cap(b.b) <= keepBuffer {
		buffers.Put(b)
	}
}
