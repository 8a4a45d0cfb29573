package segment

import (
	"encoding/binary"
	"errors"
	"io"
	"math"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// Limits of the search in FindValid: a payload may be full of what looks like headers.
const (
	salvageWindow = 1 << 20
	maxCandidates = 4096
)

// FindValid reports whether a valid batch begins anywhere at or after position whose offsets may follow minOffset. It looks at
// every byte, since what lies before is damaged and nothing says where batches begin.
func (s *Segment) FindValid(position, minOffset int64) (bool, error) {
	h, err := s.file.acquire()
	if err != nil {
		return false, err
	}
	defer s.file.release()
	info, err := h.Stat()
	if err != nil {
		return false, err
	}
	return findValid(h, position, info.Size(), minOffset)
}

func findValid(h vfs.File, position, size, minOffset int64) (bool, error) {
	buf := make([]byte, min(salvageWindow, max(0, size-position)))
	candidates := 0
	for size-position >= headerSize {
		n, err := h.ReadAt(buf[:min(int64(len(buf)), size-position)], position)
		if n < headerSize {
			if err == nil || errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		for i := 0; i+headerSize <= n; i++ {
			if buf[i+16] != records.Magic || !plausible(buf[i:i+headerSize], size-position-int64(i), minOffset) {
				continue
			}
			if candidates++; candidates > maxCandidates {
				return false, nil
			}
			at := position + int64(i)
			_, err := NewScanner(h, at, size, minOffset, true).Next()
			if err == nil {
				return true, nil
			}
			if _, ok := errors.AsType[*BadBatchError](err); !ok {
				return false, err
			}
		}
		position += int64(n - headerSize + 1)
	}
	return false, nil
}

// plausible reports whether a batch may begin with head: everything but the CRC is in order.
func plausible(head []byte, left, minOffset int64) bool {
	be := binary.BigEndian
	base, length := int64(be.Uint64(head)), int64(int32(be.Uint32(head[8:])))
	delta, count := int32(be.Uint32(head[23:])), int32(be.Uint32(head[57:]))
	return base >= minOffset && base-minOffset <= math.MaxInt32 &&
		length >= headerSize-records.LogOverhead && length+records.LogOverhead <= left &&
		head[21] == 0 && head[22] < 0x80 && delta >= 0 && count >= 0 && int64(count) <= int64(delta)+1
}
