package guard

import (
	"encoding/binary"
	"math/rand/v2"
)

// Version is a request in one version.
type Version struct {
	Name         string
	Key, Version int16
}

// Versions lists every request and version that the table knows.
func Versions() []Version {
	var all []Version
	for i := range requests {
		for v := range requests[i].layouts {
			all = append(all, Version{requests[i].name, requests[i].key, requests[i].min + int16(v)})
		}
	}
	return all
}

// Depth is how deep the deepest layout nests.
func Depth() int {
	deepest := 0
	for i := range requests {
		for _, l := range requests[i].layouts {
			deepest = max(deepest, depth(&layouts[l]))
		}
	}
	return deepest
}

func depth(l *layout) int {
	deepest := 0
	look := func(s step) {
		if s.op >= opArray && s.op <= opNullStruct {
			deepest = max(deepest, depth(&layouts[s.arg]))
		}
	}
	for _, s := range l.steps {
		look(s)
	}
	for _, t := range l.tags {
		look(t.step)
	}
	return deepest + 1
}

// Body writes bodies along the table, independently of how the walker reads them.
type Body struct {
	Rand    *rand.Rand
	Tags    bool // known tagged fields, sometimes
	Unknown int  // at most so many unknown tagged fields in a struct, from tag 1000 on
	Budget  int  // stop growing arrays at so many bytes; values are then the smallest
	Dense   bool // arrays are as long as the budget allows, of the smallest values

	b      []byte
	nested bool
	inner  int
}

// Make returns a body that Check is to accept, unless it is Dense with Unknown.
func (g *Body) Make(key, version int16) []byte {
	g.b, g.nested = nil, false
	r := find(key)
	g.structure(&layouts[r.layouts[version-r.min]])
	return g.b
}

func (g *Body) small() bool { return g.Dense || len(g.b) >= g.Budget }

func (g *Body) structure(l *layout) {
	for _, s := range l.steps {
		g.step(s)
	}
	if !l.flexible {
		return
	}
	var known []tagged
	for _, t := range l.tags {
		if g.Tags && t.op != opRefuse && g.Rand.IntN(2) == 0 {
			known = append(known, t)
		}
	}
	unknown := 0
	if g.Unknown > 0 && (g.Dense || g.Rand.IntN(2) == 0) {
		unknown = 1 + g.Rand.IntN(g.Unknown)
	}
	g.uvarint(len(known) + unknown)
	for _, t := range known {
		outer := g.b
		g.b = nil
		g.step(t.step)
		inner := g.b
		g.b = outer
		g.uvarint(int(t.tag))
		g.uvarint(len(inner))
		g.b = append(g.b, inner...)
	}
	for i := range unknown {
		g.uvarint(1000 + i)
		g.bytesCompact(g.length(4), 0)
	}
}

// length is a small random number.
func (g *Body) length(most int) int {
	if g.small() {
		return 0
	}
	return g.Rand.IntN(most + 1)
}

func (g *Body) null() bool { return !g.Dense && g.Rand.IntN(4) == 0 }

func (g *Body) step(s step) {
	switch s.op {
	case opFixed:
		g.random(int(s.arg))
	case opString, opNullString:
		if s.op == opNullString && g.null() {
			g.b = binary.BigEndian.AppendUint16(g.b, 0xffff)
			return
		}
		n := g.length(12)
		g.b = binary.BigEndian.AppendUint16(g.b, uint16(n))
		g.random(n)
	case opCompactString, opCompactNullString:
		g.compact(s.op == opCompactNullString)
	case opBytes, opNullBytes:
		if s.op == opNullBytes && g.null() {
			g.b = binary.BigEndian.AppendUint32(g.b, 0xffffffff)
			return
		}
		n := g.length(40)
		g.b = binary.BigEndian.AppendUint32(g.b, uint32(n))
		g.random(n)
	case opCompactBytes, opCompactNullBytes:
		g.compact(s.op == opCompactNullBytes)
	case opArray, opNullArray, opCompactArray, opCompactNullArray:
		g.array(s)
	case opStruct:
		g.structure(&layouts[s.arg])
	case opNullStruct:
		if g.null() {
			g.b = append(g.b, 0xff)
			return
		}
		g.b = append(g.b, 1)
		g.structure(&layouts[s.arg])
	case opRefuse:
		panic("not to be written")
	}
}

func (g *Body) compact(null bool) {
	if null && g.null() {
		g.uvarint(0)
		return
	}
	g.bytesCompact(g.length(12), 1)
}

func (g *Body) bytesCompact(n, bias int) {
	g.uvarint(n + bias)
	g.random(n)
}

func (g *Body) array(s step) {
	compact := s.op == opCompactArray || s.op == opCompactNullArray
	if null := s.op == opNullArray || s.op == opCompactNullArray; null && g.null() {
		if compact {
			g.uvarint(0)
		} else {
			g.b = binary.BigEndian.AppendUint32(g.b, 0xffffffff)
		}
		return
	}
	var n int
	switch left := g.Budget - len(g.b); {
	case left <= 0:
	case g.nested: // in an array that takes what there is
		n = g.inner
	case g.Dense && g.Rand.IntN(3) > 0:
		n = g.dense(&layouts[s.arg], left)
		defer func() { g.nested = false }()
	default:
		n = g.Rand.IntN(4)
	}
	if compact {
		g.uvarint(n + 1)
	} else {
		g.b = binary.BigEndian.AppendUint32(g.b, uint32(n))
	}
	for range n {
		g.structure(&layouts[s.arg])
	}
}

// dense returns how many elements fit, from the size of one, and makes their own arrays as long as inner says.
func (g *Body) dense(l *layout, left int) int {
	g.nested, g.inner = true, g.Rand.IntN(3)
	if g.Rand.IntN(2) == 0 {
		left /= 2 // the other half is for what follows
	}
	outer := g.b
	g.b = nil
	for range 8 {
		g.structure(l)
	}
	size := len(g.b)/8 + 1
	g.b = outer
	return left / size
}

func (g *Body) random(n int) {
	for range n {
		g.b = append(g.b, byte(g.Rand.Uint32()))
	}
}

func (g *Body) uvarint(n int) { g.b = binary.AppendUvarint(g.b, uint64(n)) }
