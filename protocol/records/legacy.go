package records

import (
	"encoding/binary"
	"errors"
	"hash/crc32"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Legacy is exactly one message of format version 0 or 1, as logs older than Kafka 0.11 hold them: a single record, or, when
// compressed, a wrapper whose value is a set of such messages. Nothing writes them any more; they are read and served as
// they are.
//
//	 0  offset      int64   of the record; of the last record inside a wrapper
//	 8  size        int32   bytes after this field
//	12  crc         uint32  CRC-32 (IEEE) of everything after it
//	16  magic       int8    0 or 1
//	17  attributes  int8    bits 0-2 codec, 3 timestamp type (magic 1)
//	18  timestamp   int64   magic 1 only
//	    key, value  int32 length (-1 null) and bytes each
//
// Offsets inside a wrapper are absolute with magic 0 and relative with magic 1, where the last one stands for the wrapper's.
type Legacy []byte

// SplitLegacy cuts the first message off b, where Split returned ErrLegacy. Errors are those of Split, and
// KindCorruptMessage for a message of magic 2.
func SplitLegacy(b []byte) (m Legacy, rest []byte, err error) {
	size, magic, err := frame(b)
	switch {
	case err != nil:
		return nil, b, err
	case magic >= Magic:
		return nil, b, errcode.New(errcode.KindCorruptMessage, "message has magic %d where an older one was expected", magic)
	case size < legacyFields(magic)+8:
		return nil, b, errcode.New(errcode.KindCorruptMessage, "message of %d bytes is smaller than its header", size)
	case len(b) < size:
		return nil, b, ErrShort
	}
	return Legacy(b[:size:size]), b[size:], nil
}

const (
	atLegacyCRC        = 12
	atLegacyAttributes = 17
	atLegacyTimestamp  = 18
)

// legacyFields is where the key begins.
func legacyFields(magic int8) int {
	if magic == 0 {
		return atLegacyTimestamp
	}
	return atLegacyTimestamp + 8
}

// LastOffset is the offset of the record, or of the last one in a wrapper.
func (m Legacy) LastOffset() int64 { return int64(binary.BigEndian.Uint64(m[atBaseOffset:])) }

// Magic is the format version: 0 or 1.
func (m Legacy) Magic() int8 { return int8(m[atMagic]) }

// Codec is the compression codec by number.
func (m Legacy) Codec() compress.Codec { return compress.Codec(m[atLegacyAttributes] & attrCodec) }

// TimestampType is CreateTime for magic 0.
func (m Legacy) TimestampType() TimestampType {
	if m.Magic() > 0 && m[atLegacyAttributes]&attrLogAppendTime != 0 {
		return LogAppendTime
	}
	return CreateTime
}

// MaxTimestamp is the timestamp of the record, or the largest in a wrapper; NoTimestamp for magic 0.
func (m Legacy) MaxTimestamp() int64 {
	if m.Magic() == 0 {
		return NoTimestamp
	}
	return int64(binary.BigEndian.Uint64(m[atLegacyTimestamp:]))
}

// CRC is the stored checksum.
func (m Legacy) CRC() uint32 { return binary.BigEndian.Uint32(m[atLegacyCRC:]) }

// VerifyCRC checks the stored checksum: KindCorruptMessage when it is wrong.
func (m Legacy) VerifyCRC() error {
	if sum := crc32.ChecksumIEEE(m[atMagic:]); sum != m.CRC() {
		return errcode.New(errcode.KindCorruptMessage, "message is corrupt: stored crc %08x, computed %08x", m.CRC(), sum)
	}
	return nil
}

var errLegacyFields = errcode.New(errcode.KindInvalidRecord, "message has a malformed key or value")

// record fills key, value and timestamp; offsets are the caller's.
func (m Legacy) record(r *Record) error {
	var ok bool
	p := m[legacyFields(m.Magic()):]
	if r.Key, p, ok = legacyField(p); !ok {
		return errLegacyFields
	}
	if r.Value, p, ok = legacyField(p); !ok || len(p) != 0 {
		return errLegacyFields
	}
	r.Timestamp, r.Attributes = m.MaxTimestamp(), int8(m[atLegacyAttributes])
	return nil
}

func legacyField(p Legacy) (field []byte, rest Legacy, ok bool) {
	if len(p) < 4 {
		return nil, nil, false
	}
	n := int(int32(binary.BigEndian.Uint32(p)))
	p = p[4:]
	if n < 0 {
		return nil, p, true
	}
	if n > len(p) {
		return nil, nil, false
	}
	return p[:n:n], p[n:], true
}

// Iterate calls fn for each record, as Batch.Iterate does.
func (m Legacy) Iterate(limit int, fn func(*Record) error) error {
	var outer Record
	if err := m.record(&outer); err != nil {
		return err
	}
	c := m.Codec()
	if c == compress.None {
		outer.Offset = m.LastOffset()
		return fn(&outer)
	}
	if c > compress.LZ4 || outer.Value == nil {
		return errcode.New(errcode.KindInvalidRecord, "wrapper message with codec %s and a value of %d bytes", c, len(outer.Value))
	}
	decompress := compress.Decompress
	if c == compress.LZ4 && m.Magic() == 0 {
		decompress = func(dst []byte, _ compress.Codec, src []byte, limit int) ([]byte, error) {
			return compress.DecompressOldLZ4(dst, src, limit)
		}
	}
	buf := getBuffer()
	defer buf.put()
	var err error
	if buf.b, err = decompress(buf.b[:0], c, outer.Value, limit); err != nil {
		return decompressError(err)
	}
	return m.inner(buf.b, fn)
}

// inner walks the set inside a wrapper, twice: relative offsets count back from the last.
func (m Legacy) inner(set []byte, fn func(*Record) error) error {
	var base int64
	if m.Magic() > 0 {
		last := int64(-1)
		err := eachLegacy(set, func(in Legacy) error { last = in.LastOffset(); return nil })
		if err != nil {
			return err
		}
		// A wrapper at 0 comes from librdkafka versions that left the offset out.
		if outer := m.LastOffset(); outer != 0 {
			if base = outer - last; base < 0 {
				return errcode.New(errcode.KindInvalidRecord, "wrapper message at offset %d ends with relative offset %d", outer, last)
			}
		}
	}
	var r Record
	return eachLegacy(set, func(in Legacy) error {
		if in.Codec() != compress.None {
			return errcode.New(errcode.KindInvalidRecord, "message inside a compressed message is compressed")
		}
		if err := in.record(&r); err != nil {
			return err
		}
		r.Offset = base + in.LastOffset()
		if m.TimestampType() == LogAppendTime {
			r.Timestamp = m.MaxTimestamp()
		}
		return fn(&r)
	})
}

// eachLegacy calls fn for each whole message; like Kafka it leaves an incomplete one at the end alone.
func eachLegacy(set []byte, fn func(Legacy) error) error {
	for n := 0; ; n++ {
		in, rest, err := SplitLegacy(set)
		switch {
		case errors.Is(err, ErrShort) && n > 0:
			return nil
		case errors.Is(err, ErrShort):
			return errcode.New(errcode.KindInvalidRecord, "compressed message holds no messages")
		case err != nil:
			return err
		}
		if err := fn(in); err != nil {
			return err
		}
		set = rest
	}
}
