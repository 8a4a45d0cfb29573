package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/golang/snappy"
)

// The xerial framing: magic, then two big-endian int32 (version of the writer, lowest version of a reader that understands it).
const (
	xerialMagic      = "\x82SNAPPY\x00"
	xerialHeader     = xerialMagic + "\x00\x00\x00\x01\x00\x00\x00\x01"
	xerialChunk      = 32 << 10 // what one block holds, as Java writes it
	xerialVersion    = 1
	snappyMostTimes  = 22 // no snappy element yields more than 64 bytes from 3
	snappyFewestSize = 64 // and no block is held to that ratio below this
)

var errSnappyLength = errors.New("snappy block claims more than it can hold")

type snappyStream struct {
	blocks
	bare  bool // the payload is one snappy block without framing
	limit int
}

func (s *snappyStream) reset(src []byte, limit int) error {
	s.begin(src)
	s.limit = limit
	s.bare = !bytes.HasPrefix(src, []byte(xerialMagic))
	if s.bare {
		return nil
	}
	return s.header()
}

// header skips a framing header: at the start, and wherever framed streams were joined.
func (s *snappyStream) header() error {
	h, err := s.take(len(xerialHeader))
	if err != nil {
		return err
	}
	if v := binary.BigEndian.Uint32(h[len(xerialMagic):]); v < xerialVersion {
		return errors.New("framing version below 1")
	}
	return nil
}

func (s *snappyStream) Read(p []byte) (int, error) { return s.read(p, s.next) }

func (s *snappyStream) next() error {
	if s.bare {
		s.done = true
		return s.decode(s.src)
	}
	if len(s.src) == 0 {
		s.done = true
		return nil
	}
	if bytes.HasPrefix(s.src, []byte(xerialMagic)) {
		return s.header()
	}
	size, err := s.take(4)
	if err != nil {
		return err
	}
	block, err := s.take(int(int32(binary.BigEndian.Uint32(size))))
	if err != nil {
		return err
	}
	return s.decode(block)
}

func (s *snappyStream) decode(block []byte) error {
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	if n > snappyFewestSize+snappyMostTimes*len(block) {
		return errSnappyLength
	}
	if n > s.limit {
		return ErrTooLarge
	}
	s.out, err = snappy.Decode(s.room(n), block)
	return err
}

func compressSnappy(dst, src []byte) []byte {
	dst = append(dst, xerialHeader...)
	for chunk := range slices.Chunk(src, xerialChunk) {
		at := len(dst)
		dst = slices.Grow(dst, 4+snappy.MaxEncodedLen(len(chunk)))
		block := snappy.Encode(dst[at+4:cap(dst)], chunk)
		dst = dst[:at+4+len(block)]
		binary.BigEndian.PutUint32(dst[at:], uint32(len(block)))
	}
	return dst
}
