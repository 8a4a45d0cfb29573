package compress

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// growthRatio is the first guess at how much larger decompressed data is; the buffer then doubles as data arrives.
const growthRatio = 4

// Decompress appends the decompressed src to dst. Never more than limit bytes are appended: ErrTooLarge.
// What it returns with an error is dst, unchanged in length.
func Decompress(dst []byte, c Codec, src []byte, limit int) ([]byte, error) {
	if c == None {
		if len(src) > limit {
			return dst, ErrTooLarge
		}
		return append(dst, src...), nil
	}
	r, err := NewReader(c, src, limit)
	if err != nil {
		return dst, err
	}
	defer r.Close()

	start := len(dst)
	out := dst
	for {
		if len(out) == cap(out) {
			out = slices.Grow(out, min(max(len(out)-start, growthRatio*len(src)), limit)+1)
		}
		n, err := r.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out[:start], err
		}
	}
}

// Compress appends the compressed src to dst. The level is one of the codec's (see Codec.Levels) or DefaultLevel.
func Compress(dst []byte, c Codec, level int, src []byte) ([]byte, error) {
	if !c.Valid() {
		return dst, fmt.Errorf("compress with %s: %w", c, ErrUnknownCodec)
	}
	level, err := c.level(level)
	if err != nil {
		return dst, err
	}
	switch c {
	case Gzip:
		return compressGzip(dst, level, src)
	case Snappy:
		return compressSnappy(dst, src), nil
	case LZ4:
		return compressLZ4(dst, level, src)
	case Zstd:
		return compressZstd(dst, level, src)
	default:
		return append(dst, src...), nil
	}
}
