package records_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// benchBatch is about 16 KiB of records with values of the given size.
func benchBatch(tb testing.TB, c compress.Codec, value int) records.Batch {
	tb.Helper()
	bld := records.NewBuilder(records.BuilderOptions{Codec: c, PartitionLeaderEpoch: -1})
	word := []byte("lorem ipsum dolor sit amet, consectetur adipisici elit, sed eiusmod tempor incidunt ut labore. ")
	for i := 0; bld.Size() < 16<<10; i++ {
		v := bytes.Repeat(word, value/len(word)+1)[i%7:]
		bld.Append(now+int64(i%50), fmt.Appendf(nil, "key-%d", i), v[:value])
	}
	b, err := bld.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkValidate(b *testing.B) {
	for _, value := range []int{10, 80, 1000} {
		for _, c := range codecs {
			if c != compress.None && value != 80 {
				continue
			}
			b.Run(fmt.Sprintf("codec=%s/value=%d", c, value), func(b *testing.B) {
				batch := benchBatch(b, c, value)
				o := producerOptions()
				b.SetBytes(16 << 10) // uncompressed
				b.ReportAllocs()
				for b.Loop() {
					if _, err := records.Validate(batch, o); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(batch.RecordCount()), "ns/record")
			})
		}
	}
}

func BenchmarkVerifyCRC(b *testing.B) {
	batch := benchBatch(b, compress.None, 1000)
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.VerifyCRC(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIterate(b *testing.B) {
	for _, c := range codecs {
		b.Run("codec="+c.String(), func(b *testing.B) {
			batch := benchBatch(b, c, 80)
			b.SetBytes(16 << 10)
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.Iterate(limit, func(*records.Record) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	key, value := []byte("key-12345"), bytes.Repeat([]byte("v"), 80)
	bld := records.NewBuilder(records.BuilderOptions{})
	b.SetBytes(16 << 10)
	b.ReportAllocs()
	for b.Loop() {
		bld.Reset()
		for bld.Size() < 16<<10 {
			bld.Append(now, key, value)
		}
		if _, err := bld.Bytes(); err != nil {
			b.Fatal(err)
		}
	}
}
