package chaos

import (
	"bytes"
	"encoding/binary"

	"github.com/distributedmq/dmq/compat-tests/history"
)

// A record is the value, its length and as many bytes that follow from the value: so a record that was damaged or mixed up
// with another one is seen.

const payloadHead = 12

// payload is the record of a value.
func payload(v history.Value, size int) []byte {
	b := make([]byte, payloadHead, payloadHead+size)
	binary.BigEndian.PutUint64(b, uint64(v))
	binary.BigEndian.PutUint32(b[8:], uint32(size))
	x := uint64(v)*0x9e3779b97f4a7c15 | 1
	for len(b) < payloadHead+size {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b = binary.LittleEndian.AppendUint64(b, x)[:min(len(b)+8, payloadHead+size)]
	}
	return b
}

// valueOf is the value of a record, -1 when it is none.
func valueOf(b []byte) history.Value {
	if len(b) < payloadHead {
		return -1
	}
	v := history.Value(binary.BigEndian.Uint64(b))
	if size := binary.BigEndian.Uint32(b[8:]); int(size) != len(b)-payloadHead || v <= 0 || !bytes.Equal(b, payload(v, int(size))) {
		return -1
	}
	return v
}
