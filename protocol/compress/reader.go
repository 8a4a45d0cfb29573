package compress

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Reader decompresses one payload piece by piece in bounded memory: whatever the input claims, it holds no more than its
// codec's window (at most 8 MiB) or block (at most 4 MiB, and no more than the input could fill), never the whole output.
// A bare snappy block, and a zstd frame with a window above 8 MiB, cannot be read in pieces: they take up to the limit.
//
// At most GOMAXPROCS readers are open at a time; NewReader waits for one of them to be closed. Decompression is bound by the
// processor, so nothing is lost, and the memory of all connections together has a bound. Never wait for anything while one
// is open, and open no second one.
type Reader struct {
	codec Codec
	left  int // bytes that may still come out
	err   error
	s     stream
}

// stream is one codec's part of a Reader. Read returns io.EOF at the end of the payload and any other error for a bad one.
type stream interface {
	io.Reader
	// reset begins a payload; limit is the most that may come out of it.
	reset(src []byte, limit int) error
	// release drops the payload and gives up buffers too large to keep.
	release()
}

// pools keep readers, one pool per codec: their windows and tables are what makes decompression expensive to start.
var pools [codecCount]sync.Pool

// slots bounds the readers that are open at a time.
var slots = make(chan struct{}, runtime.GOMAXPROCS(0))

// NewReader begins to decompress src, of which at most limit bytes may come out. The caller must Close it.
func NewReader(c Codec, src []byte, limit int) (*Reader, error) {
	if !c.Valid() {
		return nil, fmt.Errorf("decompress %s: %w", c, ErrUnknownCodec)
	}
	slots <- struct{}{}
	r, ok := pools[c].Get().(*Reader)
	if !ok {
		r = &Reader{codec: c, s: newStream(c)}
	}
	r.left, r.err = limit, nil
	if err := r.s.reset(src, limit); err != nil {
		r.err = r.corrupt(err)
	}
	return r, nil
}

func newStream(c Codec) stream {
	switch c {
	case Gzip:
		return new(gzipStream)
	case Snappy:
		return new(snappyStream)
	case LZ4:
		return new(lz4Stream)
	case Zstd:
		return new(zstdStream)
	default:
		return new(plainStream)
	}
}

// Read returns io.EOF at the end, ErrTooLarge once more than the limit has come, ErrCorrupt for a bad payload.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(p) > r.left+1 {
		p = p[:r.left+1] // one more than allowed tells the end from an excess
	}
	n, err := r.s.Read(p)
	if n > r.left {
		n, err = r.left, ErrTooLarge
	}
	r.left -= n
	if err != nil {
		r.err = r.corrupt(err)
	}
	return n, r.err
}

// Close gives the reader back.
func (r *Reader) Close() {
	r.s.release()
	pools[r.codec].Put(r)
	<-slots
}

func (r *Reader) corrupt(err error) error {
	if err == io.EOF || errors.Is(err, ErrTooLarge) { //nolint:errorlint // io.EOF is never wrapped: a wrapped one is a truncation
		return err
	}
	return fmt.Errorf("decompress %s: %w: %w", r.codec, ErrCorrupt, err)
}

// plainStream is the codec None.
type plainStream struct{ src []byte }

func (s *plainStream) reset(src []byte, _ int) error { s.src = src; return nil }
func (s *plainStream) release()                      { s.src = nil }

func (s *plainStream) Read(p []byte) (int, error) {
	n := copy(p, s.src)
	s.src = s.src[n:]
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}
