package kafkaimport

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/distributedmq/dmq/protocol"
)

// errBody says that a record's bytes are not what its type and version say.
var errBody = errors.New("malformed record")

// UnsupportedError says that a record was written by a newer Kafka than is understood.
type UnsupportedError struct {
	Record   string
	Version  uint64
	Supports uint64
}

// Error implements error.
func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s record of version %d: this program reads up to %d; the data was written by a newer Kafka", e.Record, e.Version, e.Supports)
}

// fields reads Kafka's flexible encoding. The first fault sticks; after it every read gives a zero value.
type fields struct {
	buf []byte
	err error
}

func (f *fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = fmt.Errorf("%w: %s", errBody, fmt.Sprintf(format, args...))
		f.buf = nil
	}
}

func (f *fields) uvarint() uint64 {
	v, n := binary.Uvarint(f.buf)
	if n <= 0 || v > 1<<32-1 {
		f.fail("bad varint")
		return 0
	}
	f.buf = f.buf[n:]
	return v
}

func (f *fields) take(n uint64) []byte {
	if n > uint64(len(f.buf)) {
		f.fail("%d bytes claimed, %d left", n, len(f.buf))
		return nil
	}
	v := f.buf[:n]
	f.buf = f.buf[n:]
	return v
}

func (f *fields) fixed(n int) []byte {
	if b := f.take(uint64(n)); b != nil {
		return b
	}
	return make([]byte, n)
}

func (f *fields) int8() int8   { return int8(f.fixed(1)[0]) }
func (f *fields) int16() int16 { return int16(binary.BigEndian.Uint16(f.fixed(2))) }
func (f *fields) int32() int32 { return int32(binary.BigEndian.Uint32(f.fixed(4))) }
func (f *fields) int64() int64 { return int64(binary.BigEndian.Uint64(f.fixed(8))) }

func (f *fields) id() (v protocol.TopicID) {
	copy(v[:], f.fixed(len(v)))
	return v
}

// nullable reads a compact string, nil for null.
func (f *fields) nullable() *string {
	n := f.uvarint()
	if n == 0 {
		return nil
	}
	s := string(f.take(n - 1))
	return &s
}

func (f *fields) string() string {
	s := f.nullable()
	if s == nil {
		f.fail("null where a string must be")
		return ""
	}
	return *s
}

// compactList reads a compact array of elements of a size; null and empty differ: nil and not.
func compactList[T any](f *fields, size int, read func() T) []T {
	n := f.uvarint()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(f.buf)/size) {
		f.fail("list of %d claimed, %d bytes left", n-1, len(f.buf))
		return nil
	}
	list := make([]T, n-1)
	for i := range list {
		list[i] = read()
	}
	return list
}

func (f *fields) node() protocol.NodeID { return protocol.NodeID(f.int32()) }

func (f *fields) nodes() []protocol.NodeID { return compactList(f, 4, f.node) }
func (f *fields) ids() []protocol.TopicID  { return compactList(f, 16, f.id) }

// tags reads the tagged fields at the end of a struct; take gets each with a reader of its bytes.
func (f *fields) tags(take func(tag uint64, value *fields)) {
	n := f.uvarint()
	last := int64(-1)
	for range n {
		if f.err != nil {
			return
		}
		tag := f.uvarint()
		value := fields{buf: f.take(f.uvarint())}
		if int64(tag) <= last {
			f.fail("tags out of order")
			return
		}
		last = int64(tag)
		take(tag, &value)
		if value.err != nil {
			f.fail("tag %d: %v", tag, value.err)
			return
		}
	}
}

func noTags(uint64, *fields) {}

// record is a decoded metadata record of Kafka.
type record interface{ apply(s *state) error }

// kind is how to read one type of record.
type kind struct {
	name    string
	version uint64 // the newest that is understood
	decode  func(f *fields, version uint64) record
}

// onlyTags reads a record whose fields are of no interest.
func onlyTags(r record) func(f *fields, version uint64) record {
	return func(f *fields, _ uint64) record {
		f.tags(noTags)
		return r
	}
}

// kindOf is the table of Kafka's record types, by api key.
func kindOf(key uint64) (kind, bool) {
	skip := func(name string, missed bool) (kind, bool) {
		return kind{name, 1<<15 - 1, func(f *fields, _ uint64) record {
			f.buf = nil
			return skipped{name, missed}
		}}, true
	}
	switch key {
	case 2:
		return kind{"Topic", 0, decodeTopic}, true
	case 3:
		return kind{"Partition", 2, decodePartition}, true
	case 4:
		return kind{"Config", 0, decodeConfig}, true
	case 5:
		return kind{"PartitionChange", 2, decodePartitionChange}, true
	case 9:
		return kind{"RemoveTopic", 0, decodeRemoveTopic}, true
	case 12:
		return kind{"FeatureLevel", 0, decodeFeatureLevel}, true
	case 15:
		return kind{"ProducerIds", 0, decodeProducerIDs}, true
	case 23:
		return kind{"BeginTransaction", 0, onlyTags(beginTransaction{})}, true
	case 24:
		return kind{"EndTransaction", 0, onlyTags(endTransaction{})}, true
	case 25:
		return kind{"AbortTransaction", 0, onlyTags(abortTransaction{})}, true
	case 28:
		return kind{"ClearElr", 0, decodeClearELR}, true
	case 0, 1, 7, 8, 17, 20, 21, 27, 29: // registrations, which are made anew; no-ops; the end of ZooKeeper
		return skip("registration", false)
	case 10, 26:
		return skip("delegation token", key == 10)
	case 11, 22:
		return skip("SCRAM credential", key == 11)
	case 14:
		return skip("client quota", true)
	case 18, 19:
		return skip("access control entry", key == 18)
	default:
		return kind{}, false
	}
}

// decodeRecord reads the value of a record.
func decodeRecord(value []byte) (record, error) {
	f := fields{buf: value}
	frame, key, version := f.uvarint(), f.uvarint(), f.uvarint()
	if f.err != nil {
		return nil, f.err
	}
	if frame != 1 {
		return nil, &UnsupportedError{Record: "metadata frame", Version: frame, Supports: 1}
	}
	k, ok := kindOf(key)
	if !ok {
		return nil, &UnsupportedError{Record: fmt.Sprintf("metadata (type %d)", key), Version: version}
	}
	if version > k.version {
		return nil, &UnsupportedError{Record: k.name, Version: version, Supports: k.version}
	}
	r := k.decode(&f, version)
	if f.err == nil && len(f.buf) > 0 {
		f.fail("%d bytes too many", len(f.buf))
	}
	if f.err != nil {
		return nil, fmt.Errorf("%s record: %w", k.name, f.err)
	}
	return r, nil
}
