package compress

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdWindow is the largest window a reader keeps: what RFC 8878 asks every decoder to support, and all that Java's
	// client uses up to level 19. Frames that declare more (Java's levels 20 to 22 do, however little they hold) are
	// read with this one, which is the same as long as no match reaches back further.
	zstdWindow     = 8 << 20
	zstdWindowByte = 13 << 3 // its window descriptor: exponent 10+13, mantissa 0
	zstdSingle     = 1 << 5  // frame header descriptor: no window descriptor follows, the window is the content
	zstdEncWindow  = 2 << 20 // Java's window at its default level
)

// zstdStream reads frames in pieces.
type zstdStream struct {
	dec     *zstd.Decoder
	head    [20]byte // the header of a frame whose window was cut down
	src     headed
	cut     bool
	written int
}

// headed reads head, then rest.
type headed struct {
	head []byte
	rest bytes.Reader
}

func (h *headed) Read(p []byte) (int, error) {
	if len(h.head) > 0 {
		n := copy(p, h.head)
		h.head = h.head[n:]
		return n, nil
	}
	return h.rest.Read(p)
}

func (s *zstdStream) reset(src []byte, limit int) error {
	if s.dec == nil {
		// One block at a time and no goroutines.
		var err error
		s.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecodeBuffersBelow(0), zstd.WithDecoderMaxWindow(zstdWindow), zstd.WithDecoderMaxMemory(zstdWindow))
		if err != nil {
			return err
		}
	}
	if len(src) == 0 {
		return errTruncated
	}
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return err
	}
	if h.HasFCS && h.FrameContentSize > uint64(limit) {
		return ErrTooLarge
	}
	s.cut, s.written, s.src.head = false, 0, nil
	if h.WindowSize > zstdWindow || h.SingleSegment && h.FrameContentSize > zstdWindow {
		src = s.cutWindow(src, h.HeaderSize, h.SingleSegment)
	}
	s.src.rest.Reset(src)
	return s.dec.Reset(&s.src)
}

// cutWindow sets a header with a smaller window before the rest of the frame: magic, descriptor, window, and then the
// dictionary id and content size as they are.
func (s *zstdStream) cutWindow(src []byte, headerSize int, single bool) (rest []byte) {
	fields := src[6:headerSize]
	if single {
		fields = src[5:headerSize]
	}
	s.src.head = append(append(s.head[:0], src[:4]...), src[4]&^zstdSingle, zstdWindowByte)
	s.src.head = append(s.src.head, fields...)
	s.cut = true
	return src[headerSize:]
}

func (s *zstdStream) Read(p []byte) (int, error) {
	n, err := s.dec.Read(p)
	s.written += n
	switch {
	case err == nil || err == io.EOF: //nolint:errorlint // never wrapped
		return n, err
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded),
		s.cut && s.written >= zstdWindow-zstdBlock: // a match from before the window
		return n, ErrTooLarge
	default:
		return n, err
	}
}

// zstdBlock is the largest block: what may be missing from written when a block fails.
const zstdBlock = 128 << 10

func (s *zstdStream) release() {
	s.src.head = nil
	s.src.rest.Reset(nil)
	if s.dec != nil {
		_ = s.dec.Reset(nil) // only drops the payload
	}
}

// zstdWriters has a pool for each of the encoder's four speeds.
var zstdWriters [zstd.SpeedBestCompression + 1]sync.Pool

func compressZstd(dst []byte, level int, src []byte) ([]byte, error) {
	speed := zstd.EncoderLevelFromZstd(level)
	enc, ok := zstdWriters[speed].Get().(*zstd.Encoder)
	if !ok {
		var err error
		enc, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(speed),
			zstd.WithWindowSize(zstdEncWindow), zstd.WithLowerEncoderMem(true), zstd.WithZeroFrames(true))
		if err != nil {
			return dst, err
		}
	}
	dst = enc.EncodeAll(src, dst)
	zstdWriters[speed].Put(enc)
	return dst, nil
}
