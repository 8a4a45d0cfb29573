package records_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

var codecs = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}

// kmsgBatch decodes a batch and its records with franz-go's types and codecs.
func kmsgBatch(t *testing.T, b []byte) (kmsg.RecordBatch, []kmsg.Record) {
	t.Helper()
	var kb kmsg.RecordBatch
	if err := kb.ReadFrom(b); err != nil {
		t.Fatalf("kmsg reads the batch: %v", err)
	}
	raw, err := kgo.DefaultDecompressor().Decompress(kb.Records, kgo.CompressionCodecType(kb.Attributes&7))
	if err != nil {
		t.Fatalf("franz-go decompresses the batch: %v", err)
	}
	var all []kmsg.Record
	for len(raw) > 0 {
		var r kmsg.Record
		size, n := binary.Varint(raw)
		if err := r.ReadFrom(raw[:n+int(size)]); err != nil {
			t.Fatalf("kmsg reads record %d: %v", len(all), err)
		}
		all, raw = append(all, r), raw[n+int(size):]
	}
	return kb, all
}

// TestBuilder_FranzReadsOurs decodes what the builder makes with kmsg and franz-go's codecs.
func TestBuilder_FranzReadsOurs(t *testing.T) {
	want := goldenRecords(2)
	for _, c := range codecs {
		for _, ts := range []records.TimestampType{records.CreateTime, records.LogAppendTime} {
			b := build(t, records.BuilderOptions{
				BaseOffset: 42, PartitionLeaderEpoch: 6, Codec: c, TimestampType: ts, LogAppendTime: 99,
				HasProducer: true, ProducerID: 5, ProducerEpoch: 2, BaseSequence: 10, Transactional: true,
			})
			kb, all := kmsgBatch(t, b)
			if kb.FirstOffset != 42 || kb.PartitionLeaderEpoch != 6 || kb.Magic != 2 || kb.NumRecords != 200 ||
				kb.LastOffsetDelta != 199 || kb.ProducerID != 5 || kb.ProducerEpoch != 2 || kb.FirstSequence != 10 ||
				int(kb.Length) != len(b)-12 || kb.MaxTimestamp != b.MaxTimestamp() || kb.FirstTimestamp != want[0].Timestamp {
				t.Errorf("%s: header %+v", c, kb)
			}
			if got := crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)); uint32(kb.CRC) != got {
				t.Errorf("%s: crc %08x, want %08x", c, uint32(kb.CRC), got)
			}
			for i, r := range all {
				w := want[i]
				if int(r.OffsetDelta) != i || !bytes.Equal(r.Key, w.Key) || (r.Key == nil) != (w.Key == nil) || !bytes.Equal(r.Value, w.Value) ||
					(r.Value == nil) != (w.Value == nil) || len(r.Headers) != len(w.Headers) || r.TimestampDelta64 != w.Timestamp-want[0].Timestamp {
					t.Fatalf("%s: record %d is %+v, want %+v", c, i, r, w)
				}
			}
		}
	}
}

// TestBatch_ReadsFranz takes batches as franz-go's producer sends them and validates them without a change.
func TestBatch_ReadsFranz(t *testing.T) {
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		t.Run(name, func(t *testing.T) {
			b := franzBatch(t, codec)
			orig := bytes.Clone(b)
			res, err := records.Validate(b, producerOptions())
			if err != nil {
				t.Fatal(err)
			}
			if res.Rewritten || !bytes.Equal(res.Batch, orig) {
				t.Error("the batch was changed")
			}
			all, err := collect(b.Iterate)
			if err != nil || len(all) != 200 {
				t.Fatalf("%d records, %v", len(all), err)
			}
		})
	}
}

// franzBatch captures the batch of a produce request of franz-go.
func franzBatch(t *testing.T, codec kgo.CompressionCodec) records.Batch {
	t.Helper()
	enc, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	kb := kmsg.RecordBatch{
		PartitionLeaderEpoch: -1, Magic: 2, LastOffsetDelta: 199, NumRecords: 200, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
	}
	for i, r := range goldenRecords(2) {
		if i == 0 {
			kb.FirstTimestamp = r.Timestamp
		}
		kb.MaxTimestamp = max(kb.MaxTimestamp, r.Timestamp)
		kr := kmsg.Record{TimestampDelta64: r.Timestamp - kb.FirstTimestamp, OffsetDelta: int32(i), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			kr.Headers = append(kr.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		body := kr.AppendTo(nil)[1:] // the length is 0 and takes one byte
		kb.Records = append(binary.AppendVarint(kb.Records, int64(len(body))), body...)
	}
	if enc != nil {
		comp, used := enc.Compress(new(bytes.Buffer), kb.Records)
		kb.Records, kb.Attributes = comp, int16(used)
	}
	kb.Length = int32(49 + len(kb.Records))
	b := kb.AppendTo(nil)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return mustSplit(t, b)
}

func TestSplit(t *testing.T) {
	whole := golden(t, "v2-gzip")
	two := append(bytes.Clone(whole), whole...)
	b, rest, err := records.Split(two)
	if err != nil || len(b) != len(whole) || len(rest) != len(whole) || cap(b) != len(b) {
		t.Fatalf("two batches: %d and %d bytes, %v", len(b), len(rest), err)
	}
	for n := range whole {
		if _, rest, err := records.Split(whole[:n]); !errors.Is(err, records.ErrShort) || len(rest) != n {
			t.Fatalf("cut to %d: %v, want ErrShort", n, err)
		}
	}
	edit := func(at int, v ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], v)
		return b
	}
	for name, b := range map[string][]byte{
		"magic 3":         edit(16, 3),
		"magic -1":        edit(16, 0xff),
		"length 13":       edit(8, 0, 0, 0, 13),
		"length negative": edit(8, 0xff, 0xff, 0xff, 0xff),
		"no header":       edit(8, 0, 0, 0, 48),
	} {
		_, _, err := records.Split(b)
		if errcode.KindOf(err) != errcode.KindCorruptMessage {
			t.Errorf("%s: %v, want CORRUPT_MESSAGE", name, err)
		}
		if _, sizeErr := records.SizeOf(b[:17]); (sizeErr == nil) != (err == nil) {
			t.Errorf("%s: SizeOf %v, Split %v", name, sizeErr, err)
		}
	}
	if _, _, err := records.Split(edit(8, 0x7f, 0xff, 0xff, 0xff)); !errors.Is(err, records.ErrShort) {
		t.Errorf("2 GiB claimed: %v, want ErrShort", err)
	}
	if n, err := records.SizeOf(whole[:17]); n != len(whole) || err != nil {
		t.Errorf("SizeOf = %d, %v, want %d", n, err, len(whole))
	}
}

// TestBatch_StampsLeaveTheCRCRight stamps what a leader stamps.
func TestBatch_StampsLeaveTheCRCRight(t *testing.T) {
	b := mustSplit(t, golden(t, "v2-lz4"))
	crc := b.CRC()
	b.SetBaseOffset(math.MaxInt64 - 1000)
	b.SetPartitionLeaderEpoch(77)
	if b.BaseOffset() != math.MaxInt64-1000 || b.PartitionLeaderEpoch() != 77 || b.CRC() != crc || b.VerifyCRC() != nil {
		t.Error("stamping offset and epoch")
	}
	b.StampLogAppendTime(1_900_000_000_000)
	if b.TimestampType() != records.LogAppendTime || b.MaxTimestamp() != 1_900_000_000_000 || b.VerifyCRC() != nil || b.Codec() != compress.LZ4 {
		t.Error("stamping log append time")
	}
	b[100]++
	if err := b.VerifyCRC(); errcode.KindOf(err) != errcode.KindCorruptMessage {
		t.Errorf("flipped byte: %v", err)
	}
}

func TestAddSequence(t *testing.T) {
	for _, tc := range []struct{ seq, n, want int32 }{
		{0, 0, 0},
		{5, 3, 8},
		{math.MaxInt32, 0, math.MaxInt32},
		{math.MaxInt32, 1, 0},
		{math.MaxInt32 - 2, 5, 2},
	} {
		if got := records.AddSequence(tc.seq, tc.n); got != tc.want {
			t.Errorf("AddSequence(%d, %d) = %d, want %d", tc.seq, tc.n, got, tc.want)
		}
	}
}

func TestBuilder_ResetAndEmpty(t *testing.T) {
	bld := records.NewBuilder(records.BuilderOptions{})
	if _, err := bld.Bytes(); !errors.Is(err, records.ErrEmpty) {
		t.Errorf("empty: %v", err)
	}
	bld.Append(5, nil, []byte("a"))
	bld.Append(7, []byte{}, nil)
	b, err := bld.Bytes()
	if err != nil || bld.Count() != 2 || bld.Size() != len(b) {
		t.Fatalf("%d records, %d bytes for %d, %v", bld.Count(), bld.Size(), len(b), err)
	}
	bld.Reset()
	bld.Append(9, nil, []byte("b"))
	if b, err = bld.Bytes(); err != nil {
		t.Fatal(err)
	}
	got, err := collect(b.Iterate)
	want := []records.Record{{Timestamp: 9, Value: []byte("b")}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}

// TestIterate_Limit and stops at the caller's error.
func TestIterate_Limit(t *testing.T) {
	b := mustSplit(t, golden(t, "v2-zstd"))
	if err := b.Iterate(1000, func(*records.Record) error { return nil }); errcode.KindOf(err) != errcode.KindMessageTooLarge || !errors.Is(err, compress.ErrTooLarge) {
		t.Errorf("limit: %v", err)
	}
	n := 0
	if err := b.Iterate(limit, func(*records.Record) error { n++; return context.Canceled }); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("%d records, %v", n, err)
	}
}
