package records_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// keepBy keeps the records whose number is set in mask.
func keepBy(mask uint64) func([]records.Keyed) {
	n := -1
	return func(group []records.Keyed) {
		for i := range group {
			n++
			group[i].Keep = mask>>(n%64)&1 != 0
		}
	}
}

// chosen is what keepBy leaves of records.
func chosen(all []records.Record, mask uint64) (out []records.Record) {
	for i, r := range all {
		if mask>>(i%64)&1 != 0 {
			out = append(out, r)
		}
	}
	return out
}

// checkEdited compares an edited batch with what was to stay of the original.
func checkEdited(t *testing.T, b records.Batch, want []records.Record, horizon int64) {
	t.Helper()
	edited, rest, err := records.Split(b)
	if err != nil || len(rest) > 0 {
		t.Fatalf("split the edited batch: %v, %d bytes are left", err, len(rest))
	}
	if err := edited.VerifyCRC(); err != nil {
		t.Fatal(err)
	}
	got, err := collect(edited.Iterate)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(want, got) { // some are large
		t.Fatalf("records (-want +got):\n%s", cmp.Diff(want, got))
	}
	largest := records.NoTimestamp
	for _, r := range want {
		largest = max(largest, r.Timestamp)
	}
	if edited.MaxTimestamp() != largest && edited.TimestampType() == records.CreateTime {
		t.Errorf("largest timestamp is %d, want %d", edited.MaxTimestamp(), largest)
	}
	if horizon != records.NoTimestamp && (!edited.HasDeleteHorizon() || edited.BaseTimestamp() != horizon) {
		t.Errorf("delete horizon is %v, %d, want %d", edited.HasDeleteHorizon(), edited.BaseTimestamp(), horizon)
	}
}

func TestEditor_KeepsWhatItIsTold(t *testing.T) {
	var e records.Editor // one for all: nothing may stay behind
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd", "logappendtime", "commit-marker"} {
		b := mustSplit(t, golden(t, "v2-"+name))
		all, err := collect(b.Iterate)
		if err != nil {
			t.Fatal(err)
		}
		for _, mask := range []uint64{1, 2, 0b110, 0b1011, 0b10101, ^uint64(1), ^uint64(0)} {
			for _, horizon := range []int64{records.NoTimestamp, 0, 1_700_000_000_123} {
				left := chosen(all, mask)
				kept, err := e.Scan(b, 1<<20, keepBy(mask))
				if err != nil {
					t.Fatal(err)
				}
				if int(kept.Records) != len(left) || kept.All != (len(left) == len(all)) {
					t.Fatalf("%s: kept %+v of %d, want %d", name, kept, len(all), len(left))
				}
				if len(left) == 0 {
					continue
				}
				out, err := e.AppendTo([]byte("before"), horizon)
				if err != nil || !bytes.HasPrefix(out, []byte("before")) {
					t.Fatalf("append: %.10q, %v", out, err)
				}
				edited := records.Batch(out[len("before"):])
				checkEdited(t, edited, left, horizon)
				sameHeader(t, b, edited)
			}
		}
	}
}

// sameHeader: all that says where a batch belongs stays.
func sameHeader(t *testing.T, b, edited records.Batch) {
	t.Helper()
	const horizon = 0x40
	fields := func(b records.Batch) string {
		return fmt.Sprint(b.BaseOffset(), b.LastOffset(), b.PartitionLeaderEpoch(), b.Attributes()&^horizon, b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.LastSequence())
	}
	if fields(b) != fields(edited) {
		t.Fatalf("header is %s, was %s", fields(edited), fields(b))
	}
}

func TestEditor_SeesKeysAndTombstones(t *testing.T) {
	b := records.NewBuilder(records.BuilderOptions{BaseOffset: 5})
	b.Append(1, []byte("a"), []byte("1"))
	b.Append(2, nil, []byte("2"))
	b.Append(3, []byte{}, nil)
	batch, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	var e records.Editor
	kept, err := e.Scan(batch, 0, func(group []records.Keyed) {
		for i, r := range group {
			seen = append(seen, fmt.Sprintf("%d %q %v %v", r.Offset, r.Key, r.Key == nil, r.Tombstone))
			group[i].Keep = r.Offset == 7
		}
	})
	if err != nil || !kept.Tombstones || kept.Records != 1 || kept.All {
		t.Fatalf("kept %+v, %v", kept, err)
	}
	if diff := cmp.Diff([]string{`5 "a" false false`, `6 "" true false`, `7 "" false true`}, seen); diff != "" {
		t.Error(diff)
	}
}

// TestEditor_MakesBatchesOfLegacyMessages edits what Apache Kafka's own classes wrote.
func TestEditor_MakesBatchesOfLegacyMessages(t *testing.T) {
	var e records.Editor
	for magic := range 2 {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4"} {
			for _, mask := range []uint64{1, 2, 0b1011, ^uint64(0)} {
				for rest := golden(t, fmt.Sprintf("v%d-%s", magic, codec)); len(rest) > 0; {
					m, next, err := records.SplitLegacy(rest)
					if err != nil {
						t.Fatal(err)
					}
					rest = next
					all, err := collect(m.Iterate)
					if err != nil {
						t.Fatal(err)
					}
					left := chosen(all, mask)
					if _, err := e.ScanLegacy(m, 1<<20, keepBy(mask)); err != nil {
						t.Fatal(err)
					}
					if len(left) == 0 {
						continue
					}
					out, err := e.AppendTo(nil, records.NoTimestamp)
					if err != nil {
						t.Fatal(err)
					}
					for i := range left {
						left[i].Attributes, left[i].OffsetDelta = 0, int32(left[i].Offset-left[0].Offset)
					}
					checkEdited(t, out, left, records.NoTimestamp)
					if b := records.Batch(out); b.Codec().String() != codec || b.LastOffset() != left[len(left)-1].Offset || b.PartitionLeaderEpoch() != -1 {
						t.Errorf("v%d %s became a batch of %s, [%d, %d], leader epoch %d", magic, codec, b.Codec(), b.BaseOffset(), b.LastOffset(), b.PartitionLeaderEpoch())
					}
				}
			}
		}
	}
}

func TestAppendEmpty(t *testing.T) {
	b := build(t, records.BuilderOptions{
		BaseOffset: 40, PartitionLeaderEpoch: 3, Codec: compress.LZ4, HasProducer: true, ProducerID: 7, ProducerEpoch: 2, BaseSequence: 11, Transactional: true,
	})
	empty := records.Batch(b.AppendEmpty(nil))
	if err := empty.VerifyCRC(); err != nil {
		t.Fatal(err)
	}
	if empty.RecordCount() != 0 || len(empty) != records.HeaderSize || empty.Codec() != compress.None || empty.MaxTimestamp() != b.MaxTimestamp() || !empty.IsTransactional() {
		t.Errorf("empty batch %x", []byte(empty))
	}
	if empty.LastOffset() != b.LastOffset() || empty.LastSequence() != b.LastSequence() || empty.PartitionLeaderEpoch() != 3 || empty.ProducerEpoch() != 2 {
		t.Errorf("empty batch [%d, %d] ends with sequence %d", empty.BaseOffset(), empty.LastOffset(), empty.LastSequence())
	}
	gap := records.Batch(records.AppendGap(nil, 99, 5))
	if err := gap.VerifyCRC(); err != nil {
		t.Fatal(err)
	}
	if gap.BaseOffset() != 99 || gap.LastOffset() != 99 || gap.HasProducerID() || gap.PartitionLeaderEpoch() != 5 || gap.RecordCount() != 0 {
		t.Errorf("gap batch %x", []byte(gap))
	}
}

func TestEditor_DoesNotAllocate(t *testing.T) {
	bld := records.NewBuilder(records.BuilderOptions{})
	for i := range 100 {
		bld.Append(int64(i), []byte("key"), []byte("value"))
	}
	b, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var e records.Editor
	var dst []byte
	keep := func(group []records.Keyed) {
		for i := range group {
			group[i].Keep = group[i].Offset%3 != 0
		}
	}
	allocs := testing.AllocsPerRun(20, func() {
		if _, err := e.Scan(b, 1<<20, keep); err != nil {
			t.Fatal(err)
		}
		if dst, err = e.AppendTo(dst[:0], 5000); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 && !raceEnabled {
		t.Errorf("editing a batch makes %v allocations", allocs)
	}
}

// FuzzEditor edits whatever comes: no panic, typed errors, and what is written reads as what was kept.
func FuzzEditor(f *testing.F) {
	files, err := filepath.Glob("testdata/*.bin")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		if b := golden(f, filepath.Base(file[:len(file)-len(".bin")])); len(b) < 8<<10 {
			f.Add(b, uint64(0b1011), int64(-1))
			f.Add(b, ^uint64(0), int64(1<<40))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, mask uint64, horizon int64) {
		horizon = max(horizon, records.NoTimestamp)
		var e records.Editor
		batch, _, err := records.Split(b)
		var all []records.Record
		var kept records.Kept
		if err == nil {
			all, _ = collect(batch.Iterate)
			kept, err = e.Scan(batch, fuzzLimit, keepBy(mask))
		} else {
			m, _, lerr := records.SplitLegacy(b)
			if lerr != nil {
				return
			}
			all, _ = collect(m.Iterate)
			kept, err = e.ScanLegacy(m, fuzzLimit, keepBy(mask))
		}
		if err != nil {
			if errcode.KindOf(err) == errcode.KindUnknown {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		out, err := e.AppendTo(nil, horizon)
		if kept.Records == 0 || err != nil {
			return
		}
		left := chosen(all, mask)
		got, err := collect(records.Batch(out).Iterate)
		if err != nil || len(got) != len(left) {
			t.Fatalf("%d records of %d are left, %v", len(got), len(left), err)
		}
		for i := range got {
			if got[i].Offset != left[i].Offset || got[i].Timestamp != left[i].Timestamp || !bytes.Equal(got[i].Key, left[i].Key) || !bytes.Equal(got[i].Value, left[i].Value) {
				t.Fatalf("record %d is %+v, was %+v", i, got[i], left[i])
			}
		}
	})
}
