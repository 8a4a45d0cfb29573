package segment_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

const dir = "/p"

func options(fs vfs.FS, base int64) segment.Options {
	return segment.Options{
		FS: fs, Dir: dir, BaseOffset: base, Files: segment.NewFiles(fs, 0), IndexIntervalBytes: 200, IndexBytes: 10 << 20,
		Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.UnixMilli(1000) },
	}
}

func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return m
}

func path(base int64, suffix string) string {
	return filepath.Join(dir, segment.FileName(base, suffix))
}

// batch builds a batch of n records at base. Its records have the timestamps ts, ts+1 and so on.
func batch(t testing.TB, base, ts int64, n, size int) records.Batch {
	t.Helper()
	b := records.NewBuilder(records.BuilderOptions{BaseOffset: base, PartitionLeaderEpoch: 3})
	for i := range n {
		b.Append(ts+int64(i), nil, []byte(strings.Repeat("x", size)))
	}
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fill appends count batches of two records each to a new segment, with timestamps that rise and fall.
func fill(t testing.TB, fs vfs.FS, base int64, count int) *segment.Segment {
	t.Helper()
	s, err := segment.Create(options(fs, base))
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		add(t, s, batch(t, base+int64(2*i), stamp(i), 2, 50))
	}
	return s
}

func stamp(i int) int64 { return 1000 + int64(10*i) + int64(i%5*40) }

func add(t testing.TB, s *segment.Segment, b records.Batch) {
	t.Helper()
	if err := s.Append([][]byte{b}, []segment.Batch{segment.Describe(b)}); err != nil {
		t.Fatal(err)
	}
}

// reopen opens the files of a segment as another process would.
func reopen(t testing.TB, fs vfs.FS, base, limit int64) *segment.Segment {
	t.Helper()
	info, err := fs.Stat(path(base, segment.LogSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return segment.Open(options(fs, base), info.Size(), limit)
}

// checkFinds looks up every offset and some times, and compares with a walk over the file.
func checkFinds(t testing.TB, fs vfs.FS, s *segment.Segment) {
	t.Helper()
	data, err := vfs.ReadFile(fs, path(s.BaseOffset(), segment.LogSuffix))
	if err != nil {
		t.Fatal(err)
	}
	data = data[:s.Size()]
	position, last := int64(0), s.BaseOffset()
	for rest := data; len(rest) > 0; {
		b, next, err := records.Split(rest)
		if err != nil {
			t.Fatal(err)
		}
		for offset := last; offset <= b.LastOffset(); offset++ {
			if err := checkFind(s, offset, b, position); err != nil {
				t.Fatal(err)
			}
		}
		position, last, rest = position+int64(len(b)), b.NextOffset(), next
	}
	if _, ok, err := s.Find(segment.Query{Offset: last, MaxOffset: 1 << 62, MaxBytes: 1 << 20}); ok || err != nil {
		t.Fatalf("found something behind the end: %v, %v", ok, err)
	}
}

func checkFind(s *segment.Segment, offset int64, b records.Batch, position int64) error {
	r, ok, err := s.Find(segment.Query{Offset: offset, MaxOffset: b.NextOffset(), MaxBytes: 1, MinOne: true})
	if err != nil || !ok {
		return fmt.Errorf("find %d: %v, %w", offset, ok, errors.Join(err))
	}
	if r.Start != position || r.End != position+int64(len(b)) || r.BaseOffset != b.BaseOffset() {
		return fmt.Errorf("find %d: got %+v, want the batch at %d of %d bytes", offset, r, position, len(b))
	}
	return nil
}

// valid is how many bytes of valid batches in order begin data, found the simple way.
func valid(data []byte, base int64) (size int, next int64) {
	next = base
	for rest := data; ; {
		b, after, err := records.Split(rest)
		if errors.Is(err, records.ErrLegacy) {
			m, after, err := records.SplitLegacy(rest)
			if err != nil || m.VerifyCRC() != nil || m.LastOffset() < next || m.LastOffset()-base > 1<<31-1 {
				return size, next
			}
			size, next, rest = size+len(m), m.LastOffset()+1, after
			continue
		}
		if err != nil || b.VerifyCRC() != nil || b.LastOffset() < b.BaseOffset() || b.BaseOffset() < next || b.LastOffset()-base > 1<<31-1 {
			return size, next
		}
		size, next, rest = size+len(b), b.NextOffset(), after
	}
}
