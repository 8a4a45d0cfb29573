package compress_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/protocol/compress"
)

const limit = 64 << 20

var codecs = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}

// payloads are shapes that reach every branch of the codecs: empty, tiny, repeating, text, incompressible, larger than a
// block of any codec.
func payloads() map[string][]byte {
	r := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 300<<10)
	_, _ = r.Read(noise)
	text := []byte(strings.Repeat("the quick brown fox jumps over the lazy dog; ", 9000))
	return map[string][]byte{
		"empty":     {},
		"one byte":  {7},
		"zeros":     make([]byte, 5<<20),
		"text":      text,
		"noise":     noise,
		"mixed":     append(append(bytes.Clone(noise[:70<<10]), text...), noise...),
		"one block": text[:32<<10],
		"64 KiB":    text[:64<<10],
	}
}

func TestCompress_RoundTrip(t *testing.T) {
	for _, c := range codecs {
		lowest, highest, _ := c.Levels()
		levels := []int{compress.DefaultLevel, lowest, highest}
		if c == compress.Zstd {
			levels = append(levels, 1, 3, 7, 12)
		}
		for name, src := range payloads() {
			for _, level := range levels {
				prefix := []byte("before")
				comp, err := compress.Compress(bytes.Clone(prefix), c, level, src)
				if err != nil {
					t.Fatalf("%s level %d %s: compress: %v", c, level, name, err)
				}
				comp, ok := bytes.CutPrefix(comp, prefix)
				if !ok {
					t.Fatalf("%s: Compress overwrote dst", c)
				}
				got, err := compress.Decompress(bytes.Clone(prefix), c, comp, limit)
				if err != nil {
					t.Fatalf("%s level %d %s: decompress: %v", c, level, name, err)
				}
				if !bytes.Equal(got, append(prefix, src...)) {
					t.Errorf("%s level %d %s: got %d bytes, want %d", c, level, name, len(got), len(src)+len(prefix))
				}
			}
		}
	}
}

func TestCompress_FranzReadsOurs(t *testing.T) {
	dec := kgo.DefaultDecompressor()
	for _, c := range codecs {
		for name, src := range payloads() {
			if c == compress.Snappy && len(src) == 0 {
				continue // a framing header and nothing else, which franz-go refuses and no batch has
			}
			comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
			if err != nil {
				t.Fatal(err)
			}
			got, err := dec.Decompress(comp, kgo.CompressionCodecType(c))
			if err != nil {
				t.Errorf("%s %s: %v", c, name, err)
			} else if !bytes.Equal(got, src) {
				t.Errorf("%s %s: got %d bytes, want %d", c, name, len(got), len(src))
			}
		}
	}
}

func TestDecompress_ReadsFranz(t *testing.T) {
	for c, codec := range map[compress.Codec]kgo.CompressionCodec{
		compress.Gzip: kgo.GzipCompression(), compress.Snappy: kgo.SnappyCompression(),
		compress.LZ4: kgo.Lz4Compression(), compress.Zstd: kgo.ZstdCompression(),
	} {
		enc, err := kgo.DefaultCompressor(codec)
		if err != nil {
			t.Fatal(err)
		}
		for name, src := range payloads() {
			comp, used := enc.Compress(new(bytes.Buffer), src)
			if used != kgo.CompressionCodecType(c) {
				t.Fatalf("franz-go used codec %d, want %s", used, c)
			}
			got, err := compress.Decompress(nil, c, comp, limit)
			if err != nil {
				t.Errorf("%s %s: %v", c, name, err)
			} else if !bytes.Equal(got, src) {
				t.Errorf("%s %s: got %d bytes, want %d", c, name, len(got), len(src))
			}
		}
	}
}

// TestDecompress_Limit pins the bound: exactly the limit is fine, one byte more is not, and a bomb costs no memory.
func TestDecompress_Limit(t *testing.T) {
	src := make([]byte, 100_000)
	for _, c := range codecs {
		comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := compress.Decompress(nil, c, comp, len(src)); err != nil || len(got) != len(src) {
			t.Errorf("%s at the limit: %d bytes, %v", c, len(got), err)
		}
		for _, limit := range []int{len(src) - 1, 1, 0} {
			got, err := compress.Decompress([]byte("kept"), c, comp, limit)
			if !errors.Is(err, compress.ErrTooLarge) || string(got) != "kept" {
				t.Errorf("%s with limit %d: %q, %v, want ErrTooLarge", c, limit, got, err)
			}
		}
	}
}

// TestDecompress_ZstdLargeWindow covers frames that declare a window above what is kept: they are read as long as they do
// not use it.
func TestDecompress_ZstdLargeWindow(t *testing.T) {
	noise := payloads()["noise"]
	near := bytes.Repeat(noise, 30) // repeats within the window
	far := append(append(bytes.Clone(noise), make([]byte, 9<<20)...), noise...)
	for _, tc := range []struct {
		name   string
		src    []byte
		single bool
		want   error
	}{
		{"small", noise, false, nil},
		{"small, size known", noise, true, nil},
		{"near matches", near, false, nil},
		{"near matches, size known", near, true, nil},
		{"far matches", far, false, compress.ErrTooLarge},
		{"far matches, size known", far, true, compress.ErrTooLarge},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var buf bytes.Buffer
			w, err := zstd.NewWriter(&buf, zstd.WithWindowSize(32<<20), zstd.WithEncoderConcurrency(1),
				zstd.WithEncoderLevel(zstd.SpeedBestCompression))
			if err != nil {
				t.Fatal(err)
			}
			comp := w.EncodeAll(tc.src, nil)
			if !tc.single {
				for part := tc.src; len(part) > 0; part = part[min(len(part), 100<<10):] {
					if _, err := w.Write(part[:min(len(part), 100<<10)]); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				comp = buf.Bytes()
			}
			got, err := compress.Decompress(nil, compress.Zstd, comp, len(tc.src))
			if !errors.Is(err, tc.want) || err == nil && !bytes.Equal(got, tc.src) {
				t.Errorf("got %d bytes, %v, want %v", len(got), err, tc.want)
			}
			if _, err := compress.Decompress(nil, compress.Zstd, comp, len(tc.src)-1); !errors.Is(err, compress.ErrTooLarge) {
				t.Errorf("below the size: %v, want ErrTooLarge", err)
			}
		})
	}
}

func TestDecompress_Corrupt(t *testing.T) {
	src := []byte(strings.Repeat("some text that compresses; ", 3000))
	for _, c := range codecs[1:] {
		comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
		if err != nil {
			t.Fatal(err)
		}
		for n := range len(comp) - 1 {
			if c == compress.Snappy && n > 16 {
				break // may end at the boundary of a block: then it is shorter, not corrupt
			}
			if got, err := compress.Decompress(nil, c, comp[:n], limit); !errors.Is(err, compress.ErrCorrupt) && (c != compress.Snappy || n != 16) {
				t.Fatalf("%s cut to %d of %d: %d bytes, %v, want ErrCorrupt", c, n, len(comp), len(got), err)
			}
		}
		for i := range comp { // any answer but a panic or an excess
			bad := bytes.Clone(comp)
			bad[i] ^= 0x55
			_, _ = compress.Decompress(nil, c, bad, limit)
		}
	}
	for name, src := range map[string][]byte{
		"block larger than its frame allows": append([]byte("\x04\x22\x4d\x18\x60\x40\x82"), 1, 0, 1, 0),
		"dependent blocks":                   []byte("\x04\x22\x4d\x18\x40\x40\xc0\x00\x00\x00\x00"),
		"wrong header checksum":              []byte("\x04\x22\x4d\x18\x60\x40\x83\x00\x00\x00\x00"),
		"legacy frame":                       []byte("\x02\x21\x4c\x18\x00\x00\x00\x00\x00\x00\x00\x00"),
	} {
		if _, err := compress.Decompress(nil, compress.LZ4, src, limit); !errors.Is(err, compress.ErrCorrupt) {
			t.Errorf("lz4 %s: %v, want ErrCorrupt", name, err)
		}
	}
	if _, err := compress.Decompress(nil, 7, src, limit); !errors.Is(err, compress.ErrUnknownCodec) {
		t.Errorf("codec 7: %v, want ErrUnknownCodec", err)
	}
	if _, err := compress.Compress(nil, 7, compress.DefaultLevel, src); !errors.Is(err, compress.ErrUnknownCodec) {
		t.Errorf("codec 7: %v, want ErrUnknownCodec", err)
	}
	for _, c := range codecs[1:] {
		if _, highest, _ := c.Levels(); highest > 0 {
			if _, err := compress.Compress(nil, c, highest+1, src); err == nil {
				t.Errorf("%s: level %d was accepted", c, highest+1)
			}
		}
	}
}

// TestDecompress_SnappyFraming covers what snappy-java accepts beside what it writes.
func TestDecompress_SnappyFraming(t *testing.T) {
	one, err := compress.Compress(nil, compress.Snappy, 0, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := compress.Compress(nil, compress.Snappy, 0, []byte("two"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := compress.Decompress(nil, compress.Snappy, append(bytes.Clone(one), two...), limit)
	if err != nil || string(got) != "onetwo" {
		t.Errorf("joined streams: %q, %v", got, err)
	}
	bare := one[20:]
	got, err = compress.Decompress(nil, compress.Snappy, bare, limit)
	if err != nil || string(got) != "one" {
		t.Errorf("bare block: %q, %v", got, err)
	}
	for name, bad := range map[string][]byte{
		"version 0":          append([]byte("\x82SNAPPY\x00\x00\x00\x00\x00\x00\x00\x00\x01"), one[16:]...),
		"negative length":    append(bytes.Clone(one[:16]), 0xff, 0xff, 0xff, 0xff),
		"claims 4 GiB":       {0xff, 0xff, 0xff, 0xff, 0x0f, 0x00},
		"claims 60 MiB":      append(binary.AppendUvarint(nil, 60<<20), 0),
		"half a length":      append(bytes.Clone(one), 0, 0),
		"s2 repeat copy":     {4, 0x00, 'a', 0x05, 0x00},
		"header without end": []byte("\x82SNAPPY\x00\x00"),
	} {
		if got, err := compress.Decompress(nil, compress.Snappy, bad, limit); !errors.Is(err, compress.ErrCorrupt) {
			t.Errorf("%s: %q, %v, want ErrCorrupt", name, got, err)
		}
	}
}

func TestReader_Pieces(t *testing.T) {
	src := payloads()["mixed"]
	for _, c := range codecs {
		comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range []int{1000, 64 << 10, 1 << 20} {
			r, err := compress.NewReader(c, comp, len(src))
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			buf := make([]byte, piece)
			for err == nil {
				var n int
				n, err = r.Read(buf)
				got = append(got, buf[:n]...)
			}
			r.Close()
			if !errors.Is(err, io.EOF) || !bytes.Equal(got, src) {
				t.Errorf("%s in pieces of %d: %d bytes of %d, %v", c, piece, len(got), len(src), err)
			}
		}
	}
}

func TestParseCodec(t *testing.T) {
	for _, c := range codecs {
		if got, err := compress.ParseCodec(c.String()); err != nil || got != c {
			t.Errorf("ParseCodec(%q) = %v, %v", c, got, err)
		}
	}
	if got, err := compress.ParseCodec("uncompressed"); err != nil || got != compress.None {
		t.Errorf("uncompressed: %v, %v", got, err)
	}
	if _, err := compress.ParseCodec("brotli"); !errors.Is(err, compress.ErrUnknownCodec) {
		t.Errorf("brotli: %v", err)
	}
	if compress.Codec(5).Valid() || compress.Codec(5).String() != "codec-5" {
		t.Error("codec 5 is valid")
	}
}

// bombs are small inputs that decompress to far more than the limit of the fuzz target.
func bombs(tb testing.TB) map[compress.Codec][]byte {
	tb.Helper()
	src := make([]byte, 16<<20)
	all := make(map[compress.Codec][]byte)
	for _, c := range codecs[1:] {
		comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
		if err != nil {
			tb.Fatal(err)
		}
		all[c] = comp
	}
	return all
}

func FuzzDecompress(f *testing.F) {
	const fuzzLimit = 1 << 20
	for _, c := range codecs {
		for _, src := range [][]byte{{}, []byte("hello hello hello"), bytes.Repeat([]byte("ab"), 40_000)} {
			comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(int8(c), comp)
		}
	}
	for c, bomb := range bombs(f) {
		if len(bomb) < 64<<10 {
			f.Add(int8(c), bomb)
		}
	}
	f.Fuzz(func(t *testing.T, codec int8, src []byte) {
		c := compress.Codec(codec)
		got, err := compress.Decompress(nil, c, src, fuzzLimit)
		switch {
		case err == nil && len(got) > fuzzLimit:
			t.Fatalf("%d bytes are above the limit", len(got))
		case err == nil && len(got) > 0:
			again, err := compress.Compress(nil, c, compress.DefaultLevel, got)
			if err != nil {
				t.Fatal(err)
			}
			if back, err := compress.Decompress(nil, c, again, fuzzLimit); err != nil || !bytes.Equal(back, got) {
				t.Fatalf("round trip of %d bytes: %d bytes, %v", len(got), len(back), err)
			}
		case err != nil && !errors.Is(err, compress.ErrTooLarge) && !errors.Is(err, compress.ErrCorrupt) && !errors.Is(err, compress.ErrUnknownCodec):
			t.Fatalf("untyped error %v", err)
		}
	})
}

func BenchmarkDecompress(b *testing.B) {
	for _, c := range codecs[1:] {
		for _, size := range []int{16 << 10, 256 << 10} {
			comp, src := benchPayload(b, c, size)
			b.Run(fmt.Sprintf("codec=%s/size=%dKiB", c, size>>10), func(b *testing.B) {
				dst := make([]byte, 0, len(src)+1)
				b.SetBytes(int64(len(src)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := compress.Decompress(dst, c, comp, limit); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, c := range codecs[1:] {
		_, src := benchPayload(b, c, 256<<10)
		b.Run("codec="+c.String(), func(b *testing.B) {
			dst := make([]byte, 0, len(src)+len(src)/2)
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := compress.Compress(dst, c, compress.DefaultLevel, src); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// benchPayload is JSON-like text that compresses about four times.
func benchPayload(tb testing.TB, c compress.Codec, size int) (comp, src []byte) {
	tb.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for len(src) < size {
		src = fmt.Appendf(src, `{"user":%d,"action":"click","page":"/items/%d","ms":%d}`, r.IntN(1e6), r.IntN(1000), r.IntN(1e9))
	}
	src = src[:size]
	comp, err := compress.Compress(nil, c, compress.DefaultLevel, src)
	if err != nil {
		tb.Fatal(err)
	}
	return comp, src
}

// A frame that allows blocks of 4 MiB, as several clients write them, must not cost a buffer of that size for each batch.
func TestDecompress_LZ4BlocksTakeWhatTheyHold(t *testing.T) {
	var frame bytes.Buffer
	w := lz4.NewWriter(&frame)
	if err := w.Apply(lz4.BlockSizeOption(lz4.Block4Mb)); err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var want []byte
	for len(want) < 16<<10 {
		want = fmt.Appendf(want, `{"number": %d}, `, rnd.Int64())
	}
	if _, err := w.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var got []byte
	decompress := func() {
		var err error
		if got, err = compress.Decompress(got[:0], compress.LZ4, frame.Bytes(), 1<<20); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v", len(got), err)
		}
	}
	decompress()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		decompress()
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / 100; each > 256<<10 {
		t.Errorf("a batch of 16 KiB takes %d bytes to decompress", each)
	}
}
