package records_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const now = 1_700_000_000_000

// producerOptions are a topic's defaults.
func producerOptions() records.ValidateOptions {
	return records.ValidateOptions{
		Now: now, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000,
		TargetProducer: true, MaxMessageBytes: 1048588,
	}
}

// put16, put32 and put64 overwrite a header field.
func put16(b records.Batch, at int, v uint16) { binary.BigEndian.PutUint16(b[at:], v) }
func put32(b records.Batch, at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }
func put64(b records.Batch, at int, v uint64) { binary.BigEndian.PutUint64(b[at:], v) }

// TestValidate_Refuses walks every rule of Kafka's log with every codec.
func TestValidate_Refuses(t *testing.T) {
	for _, tc := range []struct {
		name   string
		edit   func(b records.Batch)
		opts   func(o *records.ValidateOptions)
		stale  bool // leave the CRC as it was
		want   errcode.Kind
		plain  bool // only without compression
		packed bool // only with compression
	}{
		{name: "base offset", edit: func(b records.Batch) { b.SetBaseOffset(1) }, want: errcode.KindInvalidRecord},
		{name: "too large", opts: func(o *records.ValidateOptions) { o.MaxMessageBytes = 100 }, want: errcode.KindMessageTooLarge},
		{
			name: "too large comes before crc", edit: func(b records.Batch) { b[80]++ }, stale: true,
			opts: func(o *records.ValidateOptions) { o.MaxMessageBytes = 100 }, want: errcode.KindMessageTooLarge,
		},
		{name: "crc", edit: func(b records.Batch) { b[80]++ }, stale: true, want: errcode.KindCorruptMessage},
		{name: "unknown codec", edit: func(b records.Batch) { put16(b, 21, 5) }, want: errcode.KindUnsupportedCompressionType},
		{name: "negative span", edit: func(b records.Batch) { put32(b, 23, math.MaxUint32) }, want: errcode.KindInvalidRecord},
		{name: "span of -2^31", edit: func(b records.Batch) { put32(b, 23, 1<<31) }, want: errcode.KindInvalidRecord},
		{name: "no records", edit: func(b records.Batch) { put32(b, 57, 0) }, want: errcode.KindInvalidRecord},
		{name: "negative count", edit: func(b records.Batch) { put32(b, 57, math.MaxUint32) }, want: errcode.KindInvalidRecord},
		{name: "span is not count", edit: func(b records.Batch) { put32(b, 57, 199) }, want: errcode.KindInvalidRecord},
		{name: "control", edit: func(b records.Batch) { b[22] |= 0x20 }, want: errcode.KindInvalidRecord},
		{name: "producer without sequence", edit: func(b records.Batch) { put64(b, 43, 9); put32(b, 53, math.MaxUint32) }, want: errcode.KindInvalidRecord},
		{name: "more records counted", edit: func(b records.Batch) { put32(b, 57, 201); put32(b, 23, 200) }, want: errcode.KindInvalidRecord},
		{name: "fewer records counted", edit: func(b records.Batch) { put32(b, 57, 199); put32(b, 23, 198) }, want: errcode.KindInvalidRecord},
		{name: "not what the codec says", edit: func(b records.Batch) { b[22] = b[22]&^7 | (b[22]&7)%4 + 1 }, want: errcode.KindInvalidRecord, packed: true},
		{name: "claims to be compressed", edit: func(b records.Batch) { b[22] |= 1 }, want: errcode.KindInvalidRecord, plain: true},
		{name: "bomb", opts: func(o *records.ValidateOptions) { o.MaxDecompressed = 10_000 }, want: errcode.KindMessageTooLarge, packed: true},
		{name: "record length", edit: func(b records.Batch) { b[61]++ }, want: errcode.KindInvalidRecord, plain: true},
		{name: "old timestamp", opts: func(o *records.ValidateOptions) { o.Now = now + 100_000; o.TimestampBeforeMaxMs = 1000 }, want: errcode.KindInvalidTimestamp},
		{name: "timestamp in the future", opts: func(o *records.ValidateOptions) { o.Now = now - 4_000_000 }, want: errcode.KindInvalidTimestamp},
		{name: "no keys", opts: func(o *records.ValidateOptions) { o.Compacted = true }, want: errcode.KindInvalidRecord},
		{name: "keys and timestamps", opts: func(o *records.ValidateOptions) { o.Compacted = true; o.Now = now - 4_000_000 }, want: errcode.KindInvalidTimestamp},
		{
			name: "producer's log append time", edit: func(b records.Batch) { b[22] |= 8 },
			opts: func(o *records.ValidateOptions) { o.TimestampType = records.LogAppendTime }, want: errcode.KindInvalidTimestamp,
		},
	} {
		for _, c := range codecs {
			if tc.plain && c != compress.None || tc.packed && c == compress.None {
				continue
			}
			t.Run(tc.name+" "+c.String(), func(t *testing.T) {
				b := build(t, records.BuilderOptions{Codec: c, PartitionLeaderEpoch: -1})
				if tc.edit != nil {
					tc.edit(b)
				}
				if !tc.stale {
					b.SealCRC()
				}
				o := producerOptions()
				if tc.opts != nil {
					tc.opts(&o)
				}
				_, err := records.Validate(b, o)
				if got := errcode.KindOf(err); got != tc.want {
					t.Errorf("got %s (%v), want %s", errcode.Name(int16(got)), err, errcode.Name(int16(tc.want)))
				}
			})
		}
	}
}

func TestValidate_ListsBadRecords(t *testing.T) {
	bld := records.NewBuilder(records.BuilderOptions{})
	bld.Append(now, []byte("k"), nil)
	bld.Append(now, nil, []byte("no key"))
	bld.Append(now+4_000_000, []byte("k"), nil)
	bld.Append(now+4_000_000, nil, nil) // the key counts first
	b, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	o := producerOptions()
	o.Compacted = true
	_, err = records.Validate(b, o)
	var re *records.RecordErrors
	if !errors.As(err, &re) {
		t.Fatalf("got %v", err)
	}
	const noKey = "a record of a compacted topic must have a key"
	want := &records.RecordErrors{
		Kind: errcode.KindInvalidTimestamp,
		Msg:  "one or more records were rejected because of their timestamp",
		Records: []records.RecordError{
			{1, noKey},
			{2, fmt.Sprintf("timestamp %d is outside the topic's window [%d, %d]", now+4_000_000, int64(math.MinInt64)+now+1, now+3_600_000)},
			{3, noKey},
		},
	}
	if diff := cmp.Diff(want, re); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestValidate_BoundsRecordErrors(t *testing.T) {
	bld := records.NewBuilder(records.BuilderOptions{})
	for range 50_000 {
		bld.Append(now, nil, nil)
	}
	b, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	o := producerOptions()
	o.Compacted = true
	_, err = records.Validate(b, o)
	var re *records.RecordErrors
	if !errors.As(err, &re) || len(re.Records) != 4096 || !strings.HasPrefix(re.Msg, "50000 records") {
		t.Errorf("%v", err)
	}
}

// TestValidate_Timestamps pins what becomes of the maximum timestamp.
func TestValidate_Timestamps(t *testing.T) {
	for _, c := range codecs {
		t.Run(c.String(), func(t *testing.T) {
			good := build(t, records.BuilderOptions{Codec: c})

			b := records.Batch(bytes.Clone(good))
			put64(b, 35, 12345) // a producer's wrong maximum
			b.SealCRC()
			res, err := records.Validate(b, producerOptions())
			if err != nil {
				t.Fatal(err)
			}
			if res.MaxTimestamp != good.MaxTimestamp() || res.OffsetOfMaxTimestamp != 196 || !bytes.Equal(res.Batch, good) || res.Rewritten {
				t.Errorf("maximum %d at %d, want %d at 196", res.MaxTimestamp, res.OffsetOfMaxTimestamp, good.MaxTimestamp())
			}

			o := producerOptions()
			o.TimestampType = records.LogAppendTime
			o.Now = now + 1e12 // no window applies
			res, err = records.Validate(bytes.Clone(good), o)
			if err != nil {
				t.Fatal(err)
			}
			if res.MaxTimestamp != o.Now || res.OffsetOfMaxTimestamp != 0 || res.Batch.TimestampType() != records.LogAppendTime ||
				res.Batch.MaxTimestamp() != o.Now || res.Batch.VerifyCRC() != nil || res.Batch.BaseTimestamp() != good.BaseTimestamp() {
				t.Errorf("log append time: %+v", res)
			}
		})
	}
	bld := records.NewBuilder(records.BuilderOptions{})
	bld.Append(records.NoTimestamp, nil, nil)
	b, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	o := producerOptions()
	o.TimestampBeforeMaxMs = 1
	if res, err := records.Validate(b, o); err != nil || res.MaxTimestamp != records.NoTimestamp || res.OffsetOfMaxTimestamp != 0 {
		t.Errorf("record without timestamp: %+v, %v", res, err)
	}
}

// TestValidate_Recompresses covers every pair of codecs.
func TestValidate_Recompresses(t *testing.T) {
	for _, from := range codecs {
		for _, to := range codecs {
			for _, ts := range []records.TimestampType{records.CreateTime, records.LogAppendTime} {
				b := build(t, records.BuilderOptions{
					Codec: from, PartitionLeaderEpoch: -1,
					HasProducer: true, ProducerID: 5, ProducerEpoch: 2, BaseSequence: 10, Transactional: true,
				})
				orig := bytes.Clone(b)
				o := producerOptions()
				o.TargetProducer, o.TargetCodec, o.TimestampType = false, to, ts
				res, err := records.Validate(b, o)
				if err != nil {
					t.Fatalf("%s to %s: %v", from, to, err)
				}
				if res.Rewritten != (from != to) || res.Rewritten && !bytes.Equal(b, orig) {
					t.Errorf("%s to %s: rewritten %v, or the source was changed", from, to, res.Rewritten)
				}
				out := res.Batch
				if out.Codec() != to || out.VerifyCRC() != nil || out.ProducerID() != 5 || out.ProducerEpoch() != 2 || out.BaseSequence() != 10 ||
					!out.IsTransactional() || out.LastOffsetDelta() != 199 || out.PartitionLeaderEpoch() != -1 || out.TimestampType() != ts ||
					out.MaxTimestamp() != res.MaxTimestamp {
					t.Errorf("%s to %s: header %x", from, to, []byte(out[:61]))
				}
				want := goldenRecords(2)
				for i := range want {
					want[i].Offset = int64(i)
					if ts == records.LogAppendTime {
						want[i].Timestamp = now
					}
				}
				got, err := collect(out.Iterate)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s to %s (-want +got):\n%s", from, to, diff)
				}
			}
		}
	}
}

// TestValidate_RecompressedTooLarge: the size counts again after recompression.
func TestValidate_RecompressedTooLarge(t *testing.T) {
	b := build(t, records.BuilderOptions{Codec: compress.Zstd})
	o := producerOptions()
	o.TargetProducer, o.TargetCodec, o.MaxMessageBytes = false, compress.None, int32(len(b))
	if _, err := records.Validate(b, o); errcode.KindOf(err) != errcode.KindMessageTooLarge {
		t.Errorf("got %v", err)
	}
}

// TestValidate_RepairsOffsetDeltas: some clients number records wrongly.
func TestValidate_RepairsOffsetDeltas(t *testing.T) {
	for _, c := range codecs {
		raw := []byte{}
		for i := range 3 {
			raw = append(raw, 12, 0, 0, byte(2*(7-i)), 1, 1, 0) // deltas 7, 6, 5
		}
		comp, err := compress.Compress(make([]byte, 61), c, compress.DefaultLevel, raw)
		if err != nil {
			t.Fatal(err)
		}
		b := records.Batch(comp)
		copy(b, build(t, records.BuilderOptions{Codec: c})[:61])
		put32(b, 8, uint32(len(b)-12))
		put32(b, 57, 3)
		put32(b, 23, 2)
		b.SealCRC()
		res, err := records.Validate(b, producerOptions())
		if err != nil {
			t.Fatal(err)
		}
		got, err := collect(res.Batch.Iterate)
		if err != nil || !res.Rewritten || len(got) != 3 || got[0].OffsetDelta != 0 || got[2].OffsetDelta != 2 || res.Batch.Codec() != c {
			t.Errorf("%s: %+v, %v", c, got, err)
		}
	}
}

// TestValidate_Internal: the broker's own batches and replicated ones.
func TestValidate_Internal(t *testing.T) {
	marker := mustSplit(t, golden(t, "v2-commit-marker"))
	o := producerOptions()
	if _, err := records.Validate(marker, o); errcode.KindOf(err) != errcode.KindInvalidRecord {
		t.Errorf("a client's marker: %v", err)
	}
	o.AllowControl, o.TargetProducer, o.TargetCodec = true, false, compress.Zstd
	if res, err := records.Validate(marker, o); err != nil || res.Rewritten {
		t.Errorf("a coordinator's marker: %+v, %v", res, err)
	}
	o = producerOptions()
	o.FromLeader, o.MaxMessageBytes, o.Compacted = true, 1, true
	b := mustSplit(t, golden(t, "v2-gzip"))
	if res, err := records.Validate(b, o); err != nil || res.MaxTimestamp != b.MaxTimestamp() {
		t.Errorf("replicated: %v", err)
	}
	b[100]++
	if _, err := records.Validate(b, o); errcode.KindOf(err) != errcode.KindCorruptMessage {
		t.Errorf("replicated and corrupt: %v", err)
	}
}

// TestValidate_LargeRecords covers records around and above the walker's window.
func TestValidate_LargeRecords(t *testing.T) {
	for _, size := range []int{64<<10 - 20, 64<<10 - 10, 64 << 10, 200 << 10, 900 << 10} {
		for _, c := range codecs {
			bld := records.NewBuilder(records.BuilderOptions{Codec: c})
			big := bytes.Repeat([]byte("0123456789"), size/10)
			bld.Append(now, []byte("small"), []byte("small"))
			bld.Append(now+3, big, nil, records.Header{Key: "h", Value: []byte("v")}, records.Header{Key: "null"})
			bld.Append(now+1, nil, big, records.Header{Key: string(big[:size/2]), Value: big[:size/2]})
			bld.Append(now, []byte("small"), []byte("small"))
			b, err := bld.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			o := producerOptions()
			o.MaxMessageBytes = 10 << 20
			res, err := records.Validate(b, o)
			if err != nil || res.MaxTimestamp != now+3 || res.OffsetOfMaxTimestamp != 1 {
				t.Fatalf("%s with records of %d: %+v, %v", c, size, res, err)
			}
			o.Compacted = true
			var re *records.RecordErrors
			if _, err := records.Validate(b, o); !errors.As(err, &re) || len(re.Records) != 1 || re.Records[0].Index != 2 {
				t.Fatalf("%s with records of %d: %v", c, size, err)
			}
			o.MaxDecompressed = 2*size + 100
			if _, err := records.Validate(b, o); c != compress.None && errcode.KindOf(err) != errcode.KindMessageTooLarge {
				t.Fatalf("%s with records of %d above the limit: %v", c, size, err)
			}
		}
	}
}

func TestMaxDecompressed(t *testing.T) {
	for in, want := range map[int32]int{0: 1 << 20, 1048588: 10485880, 50 << 20: 100 << 20, 200 << 20: 200 << 20} {
		if got := records.MaxDecompressed(in); got != want {
			t.Errorf("MaxDecompressed(%d) = %d, want %d", in, got, want)
		}
	}
}

// TestValidate_Allocations: a batch that stays as it is costs none.
func TestValidate_Allocations(t *testing.T) {
	for _, c := range codecs {
		b := build(t, records.BuilderOptions{Codec: c})
		o := producerOptions()
		got := testing.AllocsPerRun(100, func() {
			if _, err := records.Validate(b, o); err != nil {
				t.Fatal(err)
			}
		})
		if got > 0 && !raceEnabled {
			t.Errorf("%s: %v allocations", c, got)
		}
	}
}

// TestValidate_BombsTakeLittleMemory: refusing one batch that decompresses to far above the limit costs a window, not the limit.
func TestValidate_BombsTakeLittleMemory(t *testing.T) {
	zeros := make([]byte, 24<<20)
	for _, c := range codecs[1:] {
		for _, size := range []int{len(zeros), 1 << 10} { // one huge record, many small ones
			bld := records.NewBuilder(records.BuilderOptions{Codec: c})
			for n := 0; n < len(zeros); n += size {
				bld.Append(now, nil, zeros[:size])
			}
			b, err := bld.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			o := producerOptions()
			o.MaxMessageBytes, o.MaxDecompressed = 10<<20, 16<<20
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = records.Validate(b, o)
			runtime.ReadMemStats(&after)
			if errcode.KindOf(err) != errcode.KindMessageTooLarge {
				t.Errorf("%s with records of %d: %v", c, size, err)
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 12<<20 {
				t.Errorf("%s with records of %d: %d bytes allocated", c, size, got)
			}
		}
	}
}
