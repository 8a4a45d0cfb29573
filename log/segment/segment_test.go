package segment_test

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"testing"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
)

func TestSegment_FindsEveryOffset(t *testing.T) {
	for _, base := range []int64{0, 1_000_000_000_000} {
		mem := newMem(t)
		s := fill(t, mem, base, 60)
		checkFinds(t, mem, s) // the newest index entries are in memory
		if err := s.BecomeInactive(); err != nil {
			t.Fatal(err)
		}
		checkFinds(t, mem, s)
		checkFinds(t, mem, reopen(t, mem, base, base+120))
	}
}

func TestSegment_FindsTimes(t *testing.T) {
	mem := newMem(t)
	s := fill(t, mem, 0, 60)
	if err := s.BecomeInactive(); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*segment.Segment{s, reopen(t, mem, 0, 120)} {
		for ts := int64(900); ts < 1900; ts += 3 {
			want, found := int64(-1), false
			for i := 0; i < 120 && !found; i++ {
				if stamp(i/2)+int64(i%2) >= ts {
					want, found = int64(i), true
				}
			}
			got, ok, err := s.FindTimestamp(ts, 0)
			if err != nil || ok != found || ok && (got.Offset != want || got.LeaderEpoch != 3) {
				t.Fatalf("time %d: got %+v, %v, %v, want offset %d, %v", ts, got, ok, err, want, found)
			}
		}
		largest := stamp(59) + 1
		if got, ok, err := s.FindMaxTimestamp(); err != nil || !ok || got.Timestamp != largest || got.Offset != 119 {
			t.Fatalf("largest time: got %+v, %v, %v, want %d at 119", got, ok, err, largest)
		}
	}
}

func TestSegment_TruncatesAtEveryOffset(t *testing.T) {
	for offset := int64(0); offset <= 80; offset++ {
		mem := newMem(t)
		s := fill(t, mem, 0, 40)
		end, err := s.EndBefore(offset)
		if err != nil || end != offset/2*2 {
			t.Fatalf("truncating to %d ends at %d, %v, want %d", offset, end, err, offset/2*2)
		}
		if err := s.Truncate(end); err != nil {
			t.Fatal(err)
		}
		for i := end / 2; i < 40; i++ { // it goes on as if nothing had been there
			add(t, s, batch(t, 2*i, stamp(int(i)), 2, 50))
		}
		checkFinds(t, mem, s)
		if got, ok, err := s.FindMaxTimestamp(); err != nil || !ok || got.Offset != 79 {
			t.Fatalf("truncated to %d: largest time %+v, %v, %v", offset, got, ok, err)
		}
	}
}

// TestFiles_StayBelowTheLimit uses many more segments than may be open, from many goroutines.
func TestFiles_StayBelowTheLimit(t *testing.T) {
	mem := newMem(t)
	var mu sync.Mutex
	open, most := 0, 0
	counted := vfs.Inject(mem, func(op vfs.Op, name string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if len(name) < 4 || name[len(name)-4:] != segment.LogSuffix {
			return nil
		}
		switch op {
		case vfs.OpOpen:
			open++
			most = max(most, open)
		case vfs.OpClose:
			open--
		default:
		}
		return nil
	})
	const limit, count = 8, 64
	files := segment.NewFiles(counted, limit)
	var all []*segment.Segment
	for i := range count {
		o := options(counted, int64(1000*i))
		o.Files = files
		s, err := segment.Create(o)
		if err != nil {
			t.Fatal(err)
		}
		add(t, s, batch(t, int64(1000*i), 1, 2, 10))
		if err := s.SyncLog(); err != nil { // a file with unsynced writes is not closed
			t.Fatal(err)
		}
		all = append(all, s)
	}
	mu.Lock()
	open, most = files.Open(), 0 // Create has opened and closed files, too
	mu.Unlock()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				s := all[(i*7+g*13)%count]
				r, ok, err := s.Find(segment.Query{Offset: s.BaseOffset(), MaxOffset: 1 << 62, MaxBytes: 1 << 20})
				if err != nil || !ok || r.End != s.Size() {
					t.Errorf("find in %v: %+v, %v, %v", s, r, ok, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if got := files.Open(); got > limit {
		t.Fatalf("%d files are open, the limit is %d", got, limit)
	}
	if most > limit+8 { // those in use come on top, and one opened twice at once
		t.Fatalf("%d files were open at once, the limit is %d", most, limit)
	}
}

// TestSegment_IsReadableWhileDeleted: who has found batches reads them to the end.
func TestSegment_IsReadableWhileDeleted(t *testing.T) {
	mem := newMem(t)
	s := fill(t, mem, 0, 3)
	h, err := s.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.MarkDeleted(), s.Remove()); err != nil {
		t.Fatal(err)
	}
	entries, err := mem.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Fatalf("%v, %v are left", entries, err)
	}
	if n, err := h.ReadAt(make([]byte, s.Size()), 0); int64(n) != s.Size() {
		t.Fatalf("read %d of %d bytes: %v", n, s.Size(), err)
	}
	h.Close()
	if _, err := s.Acquire(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want that the file is gone", err)
	}
}

func TestParseFileName(t *testing.T) {
	tests := []struct {
		name   string
		offset int64
		suffix string
		ok     bool
	}{
		{"00000000000000000042.log", 42, ".log", true},
		{"00000000000000000042.log.deleted", 42, ".log.deleted", true},
		{"00000000000000000042.torn.1", 42, ".torn.1", true},
		{"42.log", 0, "", false},
		{"leader-epoch-checkpoint", 0, "", false},
		{"0000000000000000004x.log", 0, "", false},
		{"99999999999999999999.log", 0, "", false},
		{"-0000000000000000042.log", 0, "", false},
	}
	for _, tt := range tests {
		offset, suffix, ok := segment.ParseFileName(tt.name)
		if offset != tt.offset || suffix != tt.suffix || ok != tt.ok {
			t.Errorf("%s: got %d, %q, %v", tt.name, offset, suffix, ok)
		}
	}
	if got, want := segment.FileName(42, segment.LogSuffix), fmt.Sprintf("%020d.log", 42); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
