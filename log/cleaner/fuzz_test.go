package cleaner_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// FuzzCompact compacts segments of any bytes, cut in two anywhere. Nothing may panic; what is left must be records that were
// there, in their order, of each key the newest; and where compaction fails, nothing may have changed in the segment where it did.
func FuzzCompact(f *testing.F) {
	tb := f
	seed := func(batches ...records.Batch) {
		var b []byte
		offset := int64(0)
		for _, batch := range batches {
			batch.SetBaseOffset(offset)
			offset = batch.NextOffset()
			b = append(b, batch...)
		}
		for _, cut := range []uint16{0, uint16(len(batches[0])), 0xffff} {
			f.Add(b, cut, int64(5000), uint8(0))
			f.Add(b, cut, int64(1), uint8(1))
		}
	}
	seed(batchOf(tb, records.BuilderOptions{}, 1000, "a=1", "a=2", "b"), batchOf(tb, records.BuilderOptions{Codec: compress.LZ4}, 1000, "b=1", "=x"))
	seed(batchOf(tb, txn(7, 0), 1000, "a=1"), marker(tb, 7, false), batchOf(tb, txn(7, 1), 1000, "a=2"), marker(tb, 7, true))
	seed(batchOf(tb, idempotent(7, 0), 1000, "a=1"), batchOf(tb, idempotent(7, 1), 1000, "a"), marker(tb, 8, true))
	for _, name := range []string{"v0-gzip", "v1-none", "v1-lz4", "v2-zstd"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "protocol", "records", "testdata", name+".bin"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:min(len(b), 4<<10)], uint16(0), int64(5000), uint8(0))
	}
	f.Fuzz(func(t *testing.T, data []byte, cut uint16, now int64, few uint8) {
		if len(data) > 1<<16 {
			return
		}
		fuzzCompact(t, repair(data), int(cut), max(0, now), few)
	})
}

// repair gives batches right offsets and checksums: else hardly any would be looked at.
func repair(data []byte) []byte {
	out := bytes.Clone(data)
	for rest, offset := out, int64(0); ; {
		b, next, err := records.Split(rest)
		if err != nil {
			return out
		}
		if b.BaseOffset() < offset || b.BaseOffset() > 1<<20 {
			b.SetBaseOffset(offset)
		}
		b.StampLogAppendTime(b.MaxTimestamp() + 1) // seals the CRC
		if b.LastOffset() < offset || b.LastOffset() > 1<<21 {
			return out
		}
		offset, rest = b.NextOffset(), next
	}
}

func fuzzCompact(t *testing.T, data []byte, cut int, now int64, few uint8) {
	t.Helper()
	mem := newMem(t)
	if err := mem.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFileAtomic(mem, testDir+"/"+segment.FileName(0, segment.LogSuffix), data); err != nil {
		t.Fatal(err)
	}
	l, err := open(t, mem, func(o *commitlog.Options) { o.Config.SegmentBytes = int32(cut) + 100 })
	if err != nil {
		return
	}
	defer l.drop()
	l.UpdateHighWatermark(l.LogEndOffset())
	if l.Roll() != nil || l.Flush(t.Context()) != nil {
		return
	}
	before := contents(l)
	lim := limits()
	if few&1 != 0 {
		lim.KeyBytes = 1
	}
	for range 3 {
		r, err := cleaner.Cleanable(l.Log, at(now))
		if err != nil {
			return
		}
		if _, err := cleaner.Compact(t.Context(), l.Log, r, lim, at(now)); err != nil {
			if l.Err() != nil {
				t.Fatalf("the log failed: %v", err)
			}
			if errors.Is(err, commitlog.ErrReplaced) {
				t.Fatal(err)
			}
		}
		checkSubset(t, before, contents(l))
		now += 2 * retention
	}
}

// contents are the records of a log, those of older formats too. Batches with malformed records are left out: those of aborted
// transactions are removed unread.
func contents(l *testLog) (out []string) {
	show := func(r *records.Record) error {
		out = append(out, fmt.Sprintf("%d %d %q %v %x", r.Offset, r.Timestamp, r.Key, r.Value == nil, r.Value))
		return nil
	}
	for _, s := range l.Segments() {
		data, err := vfs.ReadFile(l.fs, s.LogPath())
		if err != nil {
			return out
		}
		for len(data) > 0 {
			b, rest, err := records.Split(data)
			if errors.Is(err, records.ErrLegacy) {
				var m records.Legacy
				if m, rest, err = records.SplitLegacy(data); err == nil {
					_ = m.Iterate(1<<22, show)
				}
			} else if err == nil {
				_ = b.Iterate(1<<22, show)
			}
			if err != nil {
				return out
			}
			data = rest
		}
	}
	return out
}

// checkSubset: after is what is left of before.
func checkSubset(t *testing.T, before, after []string) {
	t.Helper()
	i := 0
	for _, r := range after {
		for i < len(before) && before[i] != r {
			i++
		}
		if i == len(before) {
			t.Fatalf("%s was not there, or not in this order: %q", r, before)
		}
		i++
	}
}
