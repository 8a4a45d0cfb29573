package compress

import (
	"errors"
	"fmt"
	"math"
)

// Codec is a compression codec by the number that stands in a batch's attributes.
type Codec int8

// Kafka's codecs.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

// DefaultLevel asks for the codec's own default level.
const DefaultLevel = math.MinInt32

// The errors of this package.
var (
	ErrTooLarge     = errors.New("decompressed data is larger than the limit")
	ErrCorrupt      = errors.New("compressed data is corrupt")
	ErrUnknownCodec = errors.New("unknown compression codec")
)

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	switch c {
	case None:
		return "none"
	case Gzip:
		return "gzip"
	case Snappy:
		return "snappy"
	case LZ4:
		return "lz4"
	case Zstd:
		return "zstd"
	default:
		return fmt.Sprintf("codec-%d", int8(c))
	}
}

// Valid reports whether Kafka knows the codec.
func (c Codec) Valid() bool { return c >= None && c <= Zstd }

// ParseCodec reads a codec's name; "uncompressed", the word of topic configs, is None.
func ParseCodec(name string) (Codec, error) {
	for c := None; c <= Zstd; c++ {
		if c.String() == name {
			return c, nil
		}
	}
	if name == "uncompressed" {
		return None, nil
	}
	return None, fmt.Errorf("parse codec %q: %w", name, ErrUnknownCodec)
}
