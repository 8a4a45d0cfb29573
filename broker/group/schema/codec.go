package schema

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/distributedmq/dmq/protocol"
)

// ErrMalformed says that a record's bytes are not what its type and version say.
var ErrMalformed = errors.New("malformed record")

// VersionError says that a value is of a version that this program does not read.
type VersionError struct {
	Record  string
	Version int16
}

// Error implements error.
func (e *VersionError) Error() string {
	return fmt.Sprintf("%s value of version %d: it was written by a newer Kafka", e.Record, e.Version)
}

// encoder appends fields. flexible says how strings, bytes and arrays begin.
type encoder struct {
	buf      []byte
	flexible bool
}

func (e *encoder) int8(v int8)   { e.buf = append(e.buf, byte(v)) }
func (e *encoder) int16(v int16) { e.buf = binary.BigEndian.AppendUint16(e.buf, uint16(v)) }

func (e *encoder) int32(v int32) { e.buf = binary.BigEndian.AppendUint32(e.buf, uint32(v)) }

func (e *encoder) int64(v int64)         { e.buf = binary.BigEndian.AppendUint64(e.buf, uint64(v)) }
func (e *encoder) uvarint(v int)         { e.buf = binary.AppendUvarint(e.buf, uint64(v)) }
func (e *encoder) id(v protocol.TopicID) { e.buf = append(e.buf, v[:]...) }
func (e *encoder) nullableString(v *string) {
	switch {
	case v != nil:
		e.string(*v)
	case e.flexible:
		e.uvarint(0)
	default:
		e.int16(-1)
	}
}

func (e *encoder) string(v string) {
	if len(v) > math.MaxInt16 {
		panic(fmt.Sprintf("schema: a string of %d bytes in a record", len(v)))
	}
	if e.flexible {
		e.uvarint(len(v) + 1)
	} else {
		e.int16(int16(len(v)))
	}
	e.buf = append(e.buf, v...)
}

// length begins bytes and arrays.
func (e *encoder) length(n int) {
	if e.flexible {
		e.uvarint(n + 1)
	} else {
		e.int32(int32(n))
	}
}

func (e *encoder) bytes(v []byte) {
	e.length(len(v))
	e.buf = append(e.buf, v...)
}

func (e *encoder) strings(v []string) {
	e.length(len(v))
	for _, s := range v {
		e.string(s)
	}
}

func (e *encoder) int32s(v []int32) {
	e.length(len(v))
	for _, n := range v {
		e.int32(n)
	}
}

// noTags ends a struct of a flexible version.
func (e *encoder) noTags() {
	if e.flexible {
		e.uvarint(0)
	}
}

// oneTag ends a struct that has the tagged field 0, whose bytes value writes.
func (e *encoder) oneTag(value func(*encoder)) {
	field := encoder{flexible: true}
	value(&field)
	e.uvarint(1)
	e.uvarint(0)
	e.uvarint(len(field.buf))
	e.buf = append(e.buf, field.buf...)
}

// decoder reads fields. The first fault sticks; after it every read gives a zero value.
type decoder struct {
	buf      []byte
	flexible bool
	fault    string
}

// err returns the fault as an error about a record.
func (d *decoder) err(record string) error {
	if d.fault == "" {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", record, ErrMalformed, d.fault)
}

func (d *decoder) fail(fault string) {
	if d.fault == "" {
		d.fault = fault
		d.buf = nil
	}
}

// take returns the next n bytes, which alias the record.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.buf) {
		d.fail("more bytes claimed than there are")
		return nil
	}
	v := d.buf[:n:n]
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) int8() int8 {
	if b := d.take(1); b != nil {
		return int8(b[0])
	}
	return 0
}

func (d *decoder) int16() int16 {
	if b := d.take(2); b != nil {
		return int16(binary.BigEndian.Uint16(b))
	}
	return 0
}

func (d *decoder) int32() int32 {
	if b := d.take(4); b != nil {
		return int32(binary.BigEndian.Uint32(b))
	}
	return 0
}

func (d *decoder) int64() int64 {
	if b := d.take(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

func (d *decoder) id() (v protocol.TopicID) {
	copy(v[:], d.take(len(v)))
	return v
}

func (d *decoder) uvarint() int {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || v > math.MaxInt32 {
		d.fail("bad varint")
		return 0
	}
	d.buf = d.buf[n:]
	return int(v)
}

// stringLength returns -1 for null.
func (d *decoder) stringLength() int {
	if d.flexible {
		return d.uvarint() - 1
	}
	return int(d.int16())
}

// text returns a string's bytes, which alias the record.
func (d *decoder) text() []byte {
	n := d.stringLength()
	if n < 0 {
		d.fail("null where a string must be")
		return nil
	}
	return d.take(n)
}

func (d *decoder) string() string { return string(d.text()) }

func (d *decoder) nullableString() *string {
	n := d.stringLength()
	if n < 0 {
		return nil
	}
	s := string(d.take(n))
	return &s
}

// length returns that of bytes or of an array; -1 for null.
func (d *decoder) length() int {
	if d.flexible {
		return d.uvarint() - 1
	}
	return int(d.int32())
}

func (d *decoder) nullableBytes() []byte {
	n := d.length()
	if n < 0 {
		return nil
	}
	return append([]byte{}, d.take(n)...)
}

func (d *decoder) bytes() []byte {
	b := d.nullableBytes()
	if b == nil {
		d.fail("null where bytes must be")
	}
	return b
}

// nullableList reads an array of elements of at least size bytes each.
func nullableList[T any](d *decoder, size int, read func() T) []T {
	n := d.length()
	if n < 0 {
		return nil
	}
	if n > len(d.buf)/size {
		d.fail("more elements claimed than there is room for")
		return nil
	}
	list := make([]T, n)
	for i := range list {
		if d.fault != "" {
			return nil
		}
		list[i] = read()
	}
	return list
}

func list[T any](d *decoder, size int, read func() T) []T {
	v := nullableList(d, size, read)
	if v == nil {
		d.fail("null where an array must be")
	}
	return v
}

func (d *decoder) strings() []string {
	size := 2
	if d.flexible {
		size = 1
	}
	return list(d, size, d.string)
}

func (d *decoder) int32s() []int32 { return list(d, 4, d.int32) }

// tagged ends a struct of a flexible version. It returns the tagged field 0, which the caller reads and then hands to ends; ok is
// false where there is none.
func (d *decoder) tagged() (field decoder, ok bool) {
	if !d.flexible {
		return field, false
	}
	for range d.uvarint() {
		if d.fault != "" {
			return field, false
		}
		tag := d.uvarint()
		if b := d.take(d.uvarint()); tag == 0 {
			field, ok = decoder{buf: b, flexible: true}, true
		}
	}
	return field, ok && d.fault == ""
}

// ends takes over the fault of a tagged field that was read.
func (d *decoder) ends(field *decoder) {
	if len(field.buf) > 0 {
		field.fail("a tagged field is longer than its value")
	}
	if field.fault != "" {
		d.fail(field.fault)
	}
}

// value begins to decode a value: it reads the version, the first flexible of which and the highest are given.
func value(record string, b []byte, flexible, highest int16) (d decoder, version int16, err error) {
	d.buf = b
	version = d.int16()
	if d.fault == "" && (version < 0 || version > highest) {
		return d, 0, &VersionError{Record: record, Version: version}
	}
	d.flexible = version >= flexible
	return d, version, d.err(record)
}
