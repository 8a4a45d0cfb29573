package fsm

import (
	"encoding/binary"
	"hash/crc32"
)

// Seal adds the checksum, so that a fuzzer gets behind it.
func Seal(b []byte) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(nil), b...), crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}
