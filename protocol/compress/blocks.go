package compress

import (
	"errors"
	"io"
)

// keepBlock is the largest block buffer that a pooled reader keeps.
const keepBlock = 256 << 10

var errTruncated = errors.New("data ends in the middle")

// blocks is the common half of the codecs that consist of independent blocks: it hands out the decompressed block at hand
// and asks for the next when that is used up.
type blocks struct {
	src  []byte // compressed data not yet used
	buf  []byte // room for decompressed blocks
	out  []byte // what of the current block was not read yet: in buf, or in src when the block was stored as it is
	done bool
}

func (b *blocks) begin(src []byte) { b.src, b.out, b.done = src, nil, false }

func (b *blocks) release() {
	b.src, b.out = nil, nil
	if cap(b.buf) > keepBlock {
		b.buf = nil
	}
}

// room returns a buffer of n bytes.
func (b *blocks) room(n int) []byte {
	if cap(b.buf) < n {
		b.buf = make([]byte, max(n, 32<<10))
	}
	return b.buf[:n]
}

// take cuts n bytes off the compressed data.
func (b *blocks) take(n int) ([]byte, error) {
	if n < 0 || n > len(b.src) {
		return nil, errTruncated
	}
	p := b.src[:n]
	b.src = b.src[n:]
	return p, nil
}

// read fills p from the blocks that next yields; next sets out, or done at the end.
func (b *blocks) read(p []byte, next func() error) (int, error) {
	for len(b.out) == 0 {
		if b.done {
			return 0, io.EOF
		}
		if err := next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, b.out)
	b.out = b.out[n:]
	return n, nil
}
