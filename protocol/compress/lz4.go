package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/pierrec/lz4/v4"
)

// The LZ4 frame format, as far as Kafka has it: one frame of independent blocks.
//
//	magic 0x184D2204 (little-endian)
//	FLG   bits 7-6 version 1, 5 blocks independent, 4 block checksums, 3 content size, 2 content checksum, 0 dictionary id
//	BD    bits 6-4 largest block: 4 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB
//	[content size, 8 bytes]
//	HC    second byte of the xxHash32 of the descriptor
//	blocks: uint32 size (high bit: stored as it is), data, [xxHash32 of the data]
//	uint32 0, [xxHash32 of the content]
const (
	lz4Magic           = 0x184D2204
	lz4FlagBlocksum    = 1 << 4
	lz4FlagContentSize = 1 << 3
	lz4Stored          = 1 << 31
	lz4MostTimes       = 255 // no lz4 sequence yields more than 255 bytes for one

	// lz4Header is what Java writes: version 1, independent blocks of at most 64 KiB.
	lz4Header = "\x04\x22\x4d\x18\x60\x40\x82"
	lz4Block  = 64 << 10
)

var (
	errLZ4Frame    = errors.New("not a frame that Kafka reads")
	errLZ4Checksum = errors.New("checksum is wrong")
)

type lz4Stream struct {
	blocks
	blockMax  int
	blockSums bool
}

// DecompressOldLZ4 is Decompress for the LZ4 frames in message sets of magic 0: their writers put the header checksum
// over the wrong bytes (KAFKA-3160), so it is not looked at.
func DecompressOldLZ4(dst, src []byte, limit int) ([]byte, error) {
	hc := 6
	if len(src) > 4 && src[4]&lz4FlagContentSize != 0 {
		hc += 8
	}
	if len(src) <= hc {
		return Decompress(dst, LZ4, src, limit)
	}
	fixed := bytes.Clone(src)
	fixed[hc] = byte(xxh32(src[4:hc]) >> 8)
	return Decompress(dst, LZ4, fixed, limit)
}

func (s *lz4Stream) reset(src []byte, _ int) error {
	s.begin(src)
	h, err := s.take(6)
	if err != nil {
		return err
	}
	flg, bd := h[4], h[5]
	switch {
	case binary.LittleEndian.Uint32(h) != lz4Magic,
		flg&0b1110_0011 != 0b0110_0000, // version 1, independent, reserved bit and dictionary unset
		bd&0b1000_1111 != 0, bd>>4 < 4:
		return errLZ4Frame
	}
	s.blockMax = 1 << (2*(bd>>4) + 8)
	s.blockSums = flg&lz4FlagBlocksum != 0
	descriptor := src[4:6]
	if flg&lz4FlagContentSize != 0 {
		if _, err := s.take(8); err != nil {
			return err
		}
		descriptor = src[4:14]
	}
	hc, err := s.take(1)
	if err != nil {
		return err
	}
	if byte(xxh32(descriptor)>>8) != hc[0] {
		return errLZ4Checksum
	}
	return nil
}

func (s *lz4Stream) Read(p []byte) (int, error) { return s.read(p, s.next) }

// next reads one block. Like Kafka it does not look at the content checksum, nor at what follows the frame.
func (s *lz4Stream) next() error {
	head, err := s.take(4)
	if err != nil {
		return err
	}
	size := binary.LittleEndian.Uint32(head)
	stored := size&lz4Stored != 0
	size &^= lz4Stored
	if size == 0 {
		s.done = true
		return nil
	}
	if size > uint32(s.blockMax) {
		return errLZ4Frame
	}
	block, err := s.take(int(size))
	if err != nil {
		return err
	}
	if s.blockSums {
		sum, err := s.take(4)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(sum) != xxh32(block) {
			return errLZ4Checksum
		}
	}
	if stored {
		s.out = block
		return nil
	}
	s.out, err = s.uncompress(block)
	return err
}

// uncompress decompresses a block into a buffer that grows when it turns out to be too small. What a frame says of its largest
// block is no guide: several clients say 4 MiB of every batch, and one of so many bytes for each is dearer than all the rest.
func (s *lz4Stream) uncompress(block []byte) ([]byte, error) {
	most := min(s.blockMax, lz4MostTimes*len(block))
	size := min(most, max(lz4Block, 4*len(block), cap(s.buf)))
	for {
		buf := s.room(size)
		n, err := lz4.UncompressBlock(block, buf)
		if err == nil {
			return buf[:n], nil
		}
		if size == most {
			return nil, err
		}
		size = min(most, 4*size)
	}
}

// compressLZ4 writes the fast format at the default level and high compression at any other, as Kafka does.
func compressLZ4(dst []byte, level int, src []byte) ([]byte, error) {
	_, _, byDefault := LZ4.Levels()
	dst = append(dst, lz4Header...)
	for chunk := range slices.Chunk(src, lz4Block) {
		at := len(dst)
		dst = slices.Grow(dst, 4+lz4.CompressBlockBound(len(chunk)))
		room := dst[at+4 : cap(dst)]
		var n int
		var err error
		if level == byDefault {
			n, err = lz4.CompressBlock(chunk, room, nil)
		} else {
			n, err = lz4.CompressBlockHC(chunk, room, lz4.CompressionLevel(1<<(8+min(level, 9))), nil, nil)
		}
		if err != nil {
			return dst[:at], err
		}
		head := uint32(n)
		if n == 0 || n >= len(chunk) { // incompressible
			n = copy(room, chunk)
			head = uint32(n) | lz4Stored
		}
		binary.LittleEndian.PutUint32(dst[at:at+4], head)
		dst = dst[:at+4+n]
	}
	return append(dst, 0, 0, 0, 0), nil
}
