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

	codecCount = iota
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
func (c Codec) Valid() bool { return c >= None && c < codecCount }

// ParseCodec reads a codec's name; "uncompressed", the word of topic configs, is None.
func ParseCodec(name string) (Codec, error) {
	if name == "uncompressed" {
		return None, nil
	}
	for c := range Codec(codecCount) {
		if c.String() == name {
			return c, nil
		}
	}
	return None, fmt.Errorf("parse codec %q: %w", name, ErrUnknownCodec)
}

// Levels returns the levels that compression.<codec>.level may have. A codec without levels returns three zeros.
func (c Codec) Levels() (lowest, highest, byDefault int) {
	switch c {
	case Gzip:
		return 1, 9, -1
	case LZ4:
		return 1, 17, 9
	case Zstd:
		return -131072, 22, 3
	default:
		return 0, 0, 0
	}
}

// level resolves DefaultLevel and refuses what Kafka would refuse. Gzip's -1 means its default, as in Kafka.
func (c Codec) level(l int) (int, error) {
	lowest, highest, byDefault := c.Levels()
	switch {
	case l == DefaultLevel || l == byDefault || lowest == highest:
		return byDefault, nil
	case l < lowest || l > highest:
		return 0, fmt.Errorf("compress with %s: level %d is outside %d..%d", c, l, lowest, highest)
	default:
		return l, nil
	}
}
