package records

import "encoding/binary"

// The readers below take the bytes and a position, and return the value and the position after it, or -1 when the bytes end
// or the number is longer than its type allows. Lengths and deltas are nearly always one byte, hence the split.

// varint reads a zigzag int32 of at most 5 bytes.
func varint(p []byte, at int) (v int32, next int) {
	if uint(at) < uint(len(p)) && p[at] < 0x80 {
		u := p[at]
		return int32(u>>1) ^ -int32(u&1), at + 1
	}
	return longVarint(p, at)
}

func longVarint(p []byte, at int) (v int32, next int) {
	var u uint32
	for shift := 0; shift < 35; shift += 7 {
		if uint(at) >= uint(len(p)) {
			return 0, -1
		}
		b := p[at]
		at++
		u |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return int32(u>>1) ^ -int32(u&1), at
		}
	}
	return 0, -1
}

// varlong reads a zigzag int64 of at most 10 bytes.
func varlong(p []byte, at int) (v int64, next int) {
	var u uint64
	for shift := 0; shift < 70; shift += 7 {
		if uint(at) >= uint(len(p)) {
			return 0, -1
		}
		b := p[at]
		at++
		u |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(u>>1) ^ -int64(u&1), at
		}
	}
	return 0, -1
}

// appendVarint writes what varint reads; Go's own varint is the same zigzag.
func appendVarint(dst []byte, v int32) []byte { return binary.AppendVarint(dst, int64(v)) }

// varintSize is the number of bytes of a varint.
func varintSize(v int64) int {
	u := uint64(v)<<1 ^ uint64(v>>63)
	n := 1
	for ; u >= 0x80; u >>= 7 {
		n++
	}
	return n
}
