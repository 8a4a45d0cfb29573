package records_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// FuzzRecordBatch feeds bytes to everything that reads batches: no panic, typed errors, bounded output, and what Validate
// accepts every reader understands.
func FuzzRecordBatch(f *testing.F) {
	files, err := filepath.Glob("testdata/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b := golden(f, filepath.Base(file[:len(file)-len(".bin")]))
		if len(b) < 8<<10 { // large seeds make a slow fuzzer
			f.Add(b, uint8(0))
		}
	}
	bld := records.NewBuilder(records.BuilderOptions{PartitionLeaderEpoch: -1})
	bld.Append(now, []byte("key"), []byte("value"), records.Header{Key: "h", Value: []byte("v")}, records.Header{Key: "n"})
	bld.Append(now+5, nil, nil)
	bld.Append(now-5, []byte{}, []byte{})
	small, err := bld.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	for _, flags := range []uint8{0, 1, 2, 0x0c, 0xff} {
		f.Add([]byte(small), flags)
	}
	f.Fuzz(func(t *testing.T, b []byte, flags uint8) {
		for range 8 {
			batch, rest, err := records.Split(b)
			if errors.Is(err, records.ErrLegacy) {
				rest = fuzzLegacy(t, b)
			} else if err != nil {
				return
			} else {
				fuzzBatch(t, batch, flags)
			}
			if len(rest) >= len(b) {
				return
			}
			b = rest
		}
	})
}

const fuzzLimit = 1 << 20

func fuzzBatch(t *testing.T, b records.Batch, flags uint8) {
	t.Helper()
	_ = b.VerifyCRC()
	b = bytes.Clone(b)
	b.SetBaseOffset(0)
	b.SealCRC()
	o := producerOptions()
	o.MaxDecompressed = fuzzLimit
	o.Compacted = flags&1 != 0
	if flags&2 != 0 {
		o.TimestampType = records.LogAppendTime
	}
	if c := compress.Codec(flags >> 2 & 7); c.Valid() && c > 0 {
		o.TargetProducer, o.TargetCodec = false, c
	}
	o.AllowControl = flags&32 != 0
	res, err := records.Validate(b, o)
	if err != nil {
		if errcode.KindOf(err) == errcode.KindUnknown {
			t.Fatalf("untyped error %v", err)
		}
		return
	}
	if err := res.Batch.VerifyCRC(); err != nil {
		t.Fatal(err)
	}
	n, largest := int32(0), records.NoTimestamp
	err = res.Batch.Iterate(fuzzLimit, func(r *records.Record) error {
		if !o.AllowControl && (r.Offset != int64(n) || o.Compacted && r.Key == nil) {
			t.Fatalf("record %d: %+v", n, r)
		}
		n++
		largest = max(largest, r.Timestamp)
		return nil
	})
	if err != nil || n != res.Batch.RecordCount() {
		t.Fatalf("an accepted batch of %d records yields %d, %v", res.Batch.RecordCount(), n, err)
	}
	if n > 0 && largest != res.MaxTimestamp && res.MaxTimestamp != o.Now {
		t.Fatalf("maximum timestamp %d, want %d", res.MaxTimestamp, largest)
	}
}

func fuzzLegacy(t *testing.T, b []byte) (rest []byte) {
	t.Helper()
	m, rest, err := records.SplitLegacy(b)
	if err != nil {
		return b
	}
	_ = m.VerifyCRC()
	err = m.Iterate(fuzzLimit, func(*records.Record) error { return nil })
	if err != nil && errcode.KindOf(err) == errcode.KindUnknown {
		t.Fatalf("untyped error %v", err)
	}
	return rest
}
