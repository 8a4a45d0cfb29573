package guard

import "encoding/binary"

// request is a row of the table: the number of the body's layout for each version from min on.
type request struct {
	key     int16
	name    string
	min     int16
	layouts []uint16
}

// layout is a struct, or an element of an array, in one version.
type layout struct {
	min      uint16 // bytes of the smallest value
	mem      uint16 // bytes of the decoded value
	flexible bool   // ends with tagged fields
	steps    []step
	tags     []tagged // known ones, by tag
}

// step is one field, or a run of fields of fixed size. arg is their size, or the layout of the element or struct.
type step struct {
	op  op
	arg uint16
}

type tagged struct {
	tag uint32
	step
}

type op uint8

const (
	opFixed op = iota
	opString
	opNullString
	opCompactString
	opCompactNullString
	opBytes
	opNullBytes
	opCompactBytes
	opCompactNullBytes
	opArray
	opNullArray
	opCompactArray
	opCompactNullArray
	opStruct
	opNullStruct
	opRefuse // a tag that this version does not have
)

// walker goes once over a body. Each method takes what it reads off b and reports whether it was in order; where not, b is
// what was left and fault says why.
type walker struct {
	b     []byte
	size  int // of the whole body
	cost  int // estimated memory of what was walked
	fault fault
}

func (w *walker) fail(f fault) bool {
	w.fault = f
	return false
}

func (w *walker) structure(l *layout) bool {
	for i := range l.steps {
		if !w.step(l.steps[i]) {
			return false
		}
	}
	return !l.flexible || w.tags(l.tags)
}

func (w *walker) step(s step) bool {
	switch s.op {
	case opFixed:
		return w.skip(int(s.arg))
	case opString, opNullString:
		if len(w.b) < 2 {
			return w.fail(faultShort)
		}
		n := int(int16(binary.BigEndian.Uint16(w.b)))
		w.b = w.b[2:]
		return w.bytes(n, s.op == opNullString)
	case opCompactString, opCompactNullString:
		n, ok := w.uvarint()
		if !ok {
			return false
		}
		if n > maxString+1 {
			return w.fail(faultString)
		}
		return w.bytes(int(n)-1, s.op == opCompactNullString)
	case opBytes, opNullBytes:
		n, ok := w.int32()
		return ok && w.bytes(n, s.op == opNullBytes)
	case opCompactBytes, opCompactNullBytes:
		n, ok := w.uvarint()
		return ok && w.bytes(int(n)-1, s.op == opCompactNullBytes)
	case opArray, opNullArray:
		n, ok := w.int32()
		return ok && w.array(n, s.op == opNullArray, &layouts[s.arg])
	case opCompactArray, opCompactNullArray:
		n, ok := w.uvarint()
		return ok && w.array(int(n)-1, s.op == opCompactNullArray, &layouts[s.arg])
	case opStruct:
		return w.structure(&layouts[s.arg])
	case opNullStruct:
		return w.nullStruct(&layouts[s.arg])
	default:
		return w.fail(faultTagVersion)
	}
}

func (w *walker) skip(n int) bool {
	if n > len(w.b) {
		return w.fail(faultShort)
	}
	w.b = w.b[n:]
	return true
}

func (w *walker) int32() (int, bool) {
	if len(w.b) < 4 {
		return 0, w.fail(faultShort)
	}
	n := int(int32(binary.BigEndian.Uint32(w.b)))
	w.b = w.b[4:]
	return n, true
}

// uvarint reads at most 32 bits in at most five bytes. The result fits an int also where that has 32 bits, except for
// values that every caller refuses.
func (w *walker) uvarint() (uint, bool) {
	if len(w.b) > 0 && w.b[0] < 0x80 {
		n := uint(w.b[0])
		w.b = w.b[1:]
		return n, true
	}
	var n uint32
	for i, c := range w.b {
		if i == 4 && c > 0x0f {
			return 0, w.fail(faultVarint)
		}
		n |= uint32(c&0x7f) << (7 * i)
		if c < 0x80 {
			if int32(n) < 0 {
				break
			}
			w.b = w.b[i+1:]
			return uint(n), true
		}
	}
	if len(w.b) < 5 {
		return 0, w.fail(faultShort)
	}
	return 0, w.fail(faultVarint)
}

// bytes skips a value with its length; negative is null.
func (w *walker) bytes(n int, null bool) bool {
	if n < 0 {
		if null {
			return true
		}
		return w.fail(faultNull)
	}
	if null {
		w.cost += 16 // a pointer to a string
	}
	return w.skip(n)
}

func (w *walker) array(n int, null bool, l *layout) bool {
	switch {
	case n < 0 && null, n == 0:
		return true
	case n < 0:
		return w.fail(faultNull)
	case n > len(w.b)/max(1, int(l.min)):
		return w.fail(faultArray)
	}
	if !w.spend(n * int(l.mem)) {
		return false
	}
	if len(l.steps) == 1 && l.steps[0].op == opFixed && !l.flexible {
		w.b = w.b[n*int(l.min):] // checked above
		return true
	}
	for range n {
		if !w.structure(l) {
			return false
		}
	}
	return true
}

func (w *walker) spend(n int) bool {
	w.cost += n
	if w.cost > w.size*costPerByte+freeCost {
		return w.fail(faultCost)
	}
	return true
}

func (w *walker) nullStruct(l *layout) bool {
	if len(w.b) == 0 {
		return w.fail(faultShort)
	}
	present := int8(w.b[0])
	w.b = w.b[1:]
	switch {
	case present == -1:
		return true
	case present < 0: // null for Kafka, present for kmsg
		return w.fail(faultStruct)
	default:
		return w.spend(int(l.mem)) && w.structure(l)
	}
}

// tags walks over the tagged fields at the end of a struct.
func (w *walker) tags(known []tagged) bool {
	count, ok := w.uvarint()
	if !ok || count == 0 {
		return ok
	}
	if count > MaxUnknownTags+uint(len(known)) {
		return w.fail(faultTagCount)
	}
	unknown := 0
	for next := uint(0); count > 0; count-- {
		tag, ok := w.uvarint()
		if !ok {
			return false
		}
		if tag < next {
			return w.fail(faultTagOrder)
		}
		next = tag + 1
		size, ok := w.uvarint()
		if !ok {
			return false
		}
		if size > uint(len(w.b)) {
			return w.fail(faultShort)
		}
		if s, ok := lookup(known, tag); ok {
			if !w.tag(s, int(size)) {
				return false
			}
			continue
		}
		unknown++
		w.b = w.b[size:]
	}
	if unknown > MaxUnknownTags {
		return w.fail(faultTagCount)
	}
	return w.spend(tagCost(unknown))
}

// tagCost is what kmsg's map of unknown tagged fields takes, with what it grew out of.
func tagCost(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= 8:
		return 340
	default:
		return 340 + 160*n
	}
}

func lookup(known []tagged, tag uint) (step, bool) {
	for i := range known {
		if uint(known[i].tag) == tag {
			return known[i].step, true
		}
	}
	return step{}, false
}

// tag walks over a known tagged field, which has to fill its size.
func (w *walker) tag(s step, size int) bool {
	all := w.b
	w.b = all[:size]
	if ok := w.step(s); !ok || len(w.b) > 0 {
		w.b = all[size-len(w.b):]
		return ok && w.fail(faultTagSize)
	}
	w.b = all[size:]
	return true
}
