package metadata

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/distributedmq/dmq/protocol"
)

// encoder appends primitive values.
type encoder struct{ buf []byte }

func (e *encoder) uvarint(v uint64)       { e.buf = binary.AppendUvarint(e.buf, v) }
func (e *encoder) varint(v int64)         { e.buf = binary.AppendVarint(e.buf, v) }
func (e *encoder) id(v protocol.TopicID)  { e.buf = append(e.buf, v[:]...) }
func (e *encoder) node(v protocol.NodeID) { e.varint(int64(v)) }

func (e *encoder) bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.buf = append(e.buf, b)
}

func (e *encoder) string(v string) {
	e.uvarint(uint64(len(v)))
	e.buf = append(e.buf, v...)
}

func (e *encoder) nullableString(v *string) {
	e.bool(v != nil)
	if v != nil {
		e.string(*v)
	}
}

func (e *encoder) nodes(v []protocol.NodeID) {
	e.uvarint(uint64(len(v)))
	for _, n := range v {
		e.node(n)
	}
}

func (e *encoder) ids(v []protocol.TopicID) {
	e.uvarint(uint64(len(v)))
	for _, id := range v {
		e.id(id)
	}
}

func (e *encoder) endpoints(v []Endpoint) {
	e.uvarint(uint64(len(v)))
	for _, p := range v {
		e.string(p.Name)
		e.string(p.Host)
		e.uvarint(uint64(p.Port))
		e.varint(int64(p.SecurityProtocol))
	}
}

// features writes in sorted order: the same value has the same bytes.
func (e *encoder) features(v map[string]FeatureRange) {
	e.uvarint(uint64(len(v)))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		e.string(name)
		e.varint(int64(v[name].Min))
		e.varint(int64(v[name].Max))
	}
}

// decoder reads primitive values. The first fault sticks; after it every read gives a zero value.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		d.buf = nil
	}
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.buf)
	if n <= 0 || (n > 1 && d.buf[n-1] == 0) { // the shortest form only, so that equal records have equal bytes
		d.fail("bad unsigned integer")
		return 0
	}
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// ranged reads an integer that must fit its type.
func (d *decoder) ranged(low, high int64) int64 {
	v := d.varint()
	if v < low || v > high {
		d.fail("%d is not within %d and %d", v, low, high)
		return 0
	}
	return v
}

func (d *decoder) int8() int8            { return int8(d.ranged(math.MinInt8, math.MaxInt8)) }
func (d *decoder) int16() int16          { return int16(d.ranged(math.MinInt16, math.MaxInt16)) }
func (d *decoder) int32() int32          { return int32(d.ranged(math.MinInt32, math.MaxInt32)) }
func (d *decoder) node() protocol.NodeID { return protocol.NodeID(d.int32()) }

func (d *decoder) bool() bool {
	if len(d.buf) == 0 || d.buf[0] > 1 {
		d.fail("bad boolean")
		return false
	}
	v := d.buf[0] == 1
	d.buf = d.buf[1:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.buf)) {
		d.fail("%d bytes claimed, %d left", n, len(d.buf))
		return nil
	}
	v := d.buf[:n]
	d.buf = d.buf[n:]
	return v
}

func (d *decoder) string() string { return string(d.bytes(d.uvarint())) }

func (d *decoder) nullableString() *string {
	if !d.bool() {
		return nil
	}
	s := d.string()
	return &s
}

func (d *decoder) id() (v protocol.TopicID) {
	copy(v[:], d.bytes(uint64(len(v))))
	return v
}

// count reads the length of a list whose elements take at least size bytes each.
func (d *decoder) count(size int) int {
	n := d.uvarint()
	if n > uint64(len(d.buf)/size) {
		d.fail("list of %d claimed, %d bytes left", n, len(d.buf))
		return 0
	}
	return int(n)
}

// list reads a list, nil when it is empty.
func list[T any](d *decoder, size int, read func() T) []T {
	n := d.count(size)
	if n == 0 {
		return nil
	}
	v := make([]T, n)
	for i := range v {
		v[i] = read()
	}
	return v
}

func (d *decoder) nodes() []protocol.NodeID { return list(d, 1, d.node) }
func (d *decoder) ids() []protocol.TopicID  { return list(d, 16, d.id) }

func (d *decoder) endpoints() []Endpoint {
	n := d.count(4)
	if n == 0 {
		return nil
	}
	v := make([]Endpoint, n)
	for i := range v {
		v[i].Name = d.string()
		v[i].Host = d.string()
		port := d.uvarint()
		if port > math.MaxUint16 {
			d.fail("port %d", port)
			return nil
		}
		v[i].Port = uint16(port)
		v[i].SecurityProtocol = d.int16()
	}
	return v
}

func (d *decoder) features() map[string]FeatureRange {
	n := d.count(3)
	if n == 0 {
		return nil
	}
	v := make(map[string]FeatureRange, n)
	last := ""
	for i := range n {
		name := d.string()
		if i > 0 && name <= last {
			d.fail("features out of order")
			return nil
		}
		last = name
		v[name] = FeatureRange{Min: d.int16(), Max: d.int16()}
	}
	return v
}

// AppendRecord appends one record.
func AppendRecord(dst []byte, r Record) []byte {
	k, _ := kindOf(r.Type())
	var body encoder
	r.encode(&body)
	e := encoder{dst}
	e.uvarint(uint64(r.Type()))
	e.uvarint(k.version)
	e.uvarint(uint64(len(body.buf)))
	return append(e.buf, body.buf...)
}

// ReadRecord reads the record at the beginning of b and returns what follows it.
func ReadRecord(b []byte) (r Record, rest []byte, err error) {
	d := decoder{buf: b}
	t, version := d.uvarint(), d.uvarint()
	body := decoder{buf: d.bytes(d.uvarint())}
	if d.err != nil {
		return nil, nil, fmt.Errorf("read record header: %w", d.err)
	}
	if t > math.MaxUint16 {
		return nil, nil, &UnsupportedError{What: fmt.Sprintf("type %d", t), Version: version, Unknown: true}
	}
	k, ok := kindOf(Type(t))
	if !ok {
		return nil, nil, &UnsupportedError{What: Type(t).String(), Version: version, Unknown: true}
	}
	if version > k.version {
		return nil, nil, &UnsupportedError{What: k.name + " record", Version: version, Supports: k.version}
	}
	r = k.make()
	r.decode(&body, version)
	if body.err == nil && len(body.buf) > 0 {
		body.fail("%d bytes too many", len(body.buf))
	}
	if body.err != nil {
		return nil, nil, fmt.Errorf("read %s record: %w", k.name, body.err)
	}
	return r, d.buf, nil
}

// Command is the unit of the metadata log.
type Command struct {
	Records []Record
	// Revision, when Conditional, is the number of commands that must have been applied before this one; otherwise the
	// command is void. It lets a controller build one decision on the expected outcome of the one before.
	Conditional bool
	Revision    int64
}

const (
	commandFormat   = 1
	flagConditional = 1
)

// Encode returns the bytes of the command.
func (c *Command) Encode() []byte {
	e := encoder{make([]byte, 0, 16+64*len(c.Records))}
	flags := byte(0)
	if c.Conditional {
		flags |= flagConditional
	}
	e.buf = append(e.buf, commandFormat, flags)
	if c.Conditional {
		e.varint(c.Revision)
	}
	e.uvarint(uint64(len(c.Records)))
	for _, r := range c.Records {
		e.buf = AppendRecord(e.buf, r)
	}
	return e.buf
}

// DecodeCommand reads a command.
func DecodeCommand(b []byte) (*Command, error) {
	d := decoder{buf: b}
	format := d.bytes(2)
	if d.err != nil {
		return nil, fmt.Errorf("read command: %w", d.err)
	}
	if format[0] != commandFormat {
		return nil, &UnsupportedError{What: "command format", Version: uint64(format[0]), Supports: commandFormat}
	}
	if format[1]&^flagConditional != 0 {
		return nil, &UnsupportedError{What: "command flags", Version: uint64(format[1]), Supports: flagConditional}
	}
	c := &Command{Conditional: format[1]&flagConditional != 0}
	if c.Conditional {
		c.Revision = d.varint()
	}
	n := d.count(3)
	if d.err != nil {
		return nil, fmt.Errorf("read command: %w", d.err)
	}
	c.Records = make([]Record, 0, min(n, 1024))
	rest := d.buf
	for i := range n {
		r, next, err := ReadRecord(rest)
		if err != nil {
			return nil, fmt.Errorf("read command: record %d of %d: %w", i, n, err)
		}
		c.Records = append(c.Records, r)
		rest = next
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("read command: %w: %d bytes too many", ErrMalformed, len(rest))
	}
	return c, nil
}
