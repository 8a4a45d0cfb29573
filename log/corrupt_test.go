package log_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// logFile is the path of the .log file of the segment that begins at base.
func logFile(base int64) string {
	return filepath.Join(testDir, segment.FileName(base, segment.LogSuffix))
}

// edit changes bytes of a file in place, as a bad disk would.
func edit(t *testing.T, fs vfs.FS, path string, fn func(f vfs.File, size int64) error) {
	t.Helper()
	f, err := fs.OpenFile(path, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(fn(f, info.Size()), f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func flip(at int64) func(vfs.File, int64) error {
	return func(f vfs.File, _ int64) error {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return err
		}
		b[0] ^= 0x10
		_, err := f.WriteAt(b[:], at)
		return err
	}
}

// batchSize is the size of most batches of filled.
const batchSize = 1000

// filled is a filesystem with a log of so many batches of one record and size bytes, in segments of at most segmentBytes,
// left by a killed process.
func filled(t *testing.T, batches, size int, segmentBytes int32) *vfs.Mem {
	t.Helper()
	mem := newMem(t)
	l := newTestLog(t, mem, config(func(c *commitlog.Config) { c.SegmentBytes = segmentBytes }))
	for i := range batches {
		value := fmt.Sprintf("%05d", i)
		pad := size - 77
		if size > 8000 {
			pad -= 2 // longer lengths
		}
		b := batchOf(t, records.BuilderOptions{}, value+strings.Repeat("x", pad))
		if len(b) != size {
			t.Fatalf("batch of %d bytes, want %d", len(b), size)
		}
		l.mustAppendBatch(t, b)
	}
	l.sync(t)
	return mem.CrashClone(vfs.CrashOptions{SurvivePercent: 100})
}

func TestOpen_TellsATornTailFromCorruption(t *testing.T) {
	const segments = 5_100 // bytes: five batches each
	cut := func(size int64) func(vfs.File, int64) error {
		return func(f vfs.File, _ int64) error { return f.Truncate(size) }
	}
	tests := []struct {
		name          string
		batches       int
		size          int // of a batch; 0: batchSize
		segmentBytes  int32
		damage        func(t *testing.T, fs vfs.FS)
		recoveryPoint int64
		highWatermark int64
		osFlush       bool

		corrupt string // the text of the error; "" is none
		end     int64  // log end offset
		files   int    // side files
		lost    int64
	}{
		{name: "nothing is wrong", batches: 10, recoveryPoint: 4, end: 10},
		{
			name: "the last batch has a flipped bit", batches: 10, recoveryPoint: 4, highWatermark: 9, end: 9, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(9*batchSize+500)) },
		},
		{
			name: "the last batch is cut off", batches: 10, recoveryPoint: 9, end: 9, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), cut(9*batchSize+300)) },
		},
		{
			name: "not even a header is left of the last batch", batches: 10, recoveryPoint: 9, end: 9, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), cut(9*batchSize+20)) },
		},
		{
			name: "the last batches are missing", batches: 10, recoveryPoint: 8, end: 8,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), cut(8*batchSize)) },
		},
		{
			name: "zeros at the end", batches: 10, recoveryPoint: 10, end: 10,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), cut(12*batchSize)) },
		},
		{
			name: "a hole of zeros, and more behind it", batches: 10, recoveryPoint: 4, end: 5, files: 1,
			damage: func(t *testing.T, fs vfs.FS) {
				edit(t, fs, logFile(0), func(f vfs.File, _ int64) error {
					_, err := f.WriteAt(make([]byte, batchSize), 5*batchSize)
					return err
				})
			},
		},
		{
			name: "a flipped bit below the recovery point", batches: 10, recoveryPoint: 5, corrupt: "wrong CRC; records from offset 4 to 5 were synced",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+500)) },
		},
		{
			name: "a flipped bit below the high watermark", batches: 10, recoveryPoint: 4, highWatermark: 5, corrupt: "wrong CRC",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+500)) },
		},
		{
			name: "the same in OS-flush mode is lost", batches: 10, recoveryPoint: 4, highWatermark: 7, osFlush: true, end: 4, files: 1, lost: 3,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+500)) },
		},
		{
			name: "in OS-flush mode below the recovery point", batches: 10, recoveryPoint: 5, osFlush: true, corrupt: "wrong CRC",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+500)) },
		},
		{
			name: "a length of nonsense below the recovery point", batches: 10, recoveryPoint: 5, corrupt: "were synced",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+8)) },
		},
		{
			name: "synced batches are missing", batches: 10, recoveryPoint: 9, corrupt: "records from offset 8 to 9 were synced and are missing",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), cut(8*batchSize)) },
		},
		{
			name: "an offset that jumped ahead", batches: 10, recoveryPoint: 9, corrupt: "larger than that of the next batch",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(4*batchSize+6)) },
		},
		{
			name: "an offset that fell back", batches: 300, recoveryPoint: 299, corrupt: "out of order",
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(272*batchSize+7)) },
		},
		{
			name: "a flipped bit that as much follows as can be unsynced", batches: 43, size: 1e6, recoveryPoint: 4, end: 10, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(10*1e6+500)) },
		},
		{
			name: "a flipped bit that more follows than can be unsynced", batches: 46, size: 1e6, recoveryPoint: 4,
			corrupt: "further on than bytes can be unsynced",
			damage:  func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(10*1e6+500)) },
		},
		{
			name: "a length of nonsense that more follows than can be unsynced", batches: 46, size: 1e6, recoveryPoint: 4,
			corrupt: "further on than bytes can be unsynced",
			damage:  func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(10*1e6+8)) },
		},
		{
			name: "the same in OS-flush mode is torn", batches: 46, size: 1e6, recoveryPoint: 4, osFlush: true, end: 10, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(0), flip(10*1e6+500)) },
		},
		{
			name: "a torn segment and another behind it", batches: 12, segmentBytes: segments, recoveryPoint: 4, end: 7, files: 2,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(5), flip(2*batchSize+500)) },
		},
		{
			name: "a segment that ends early", batches: 12, segmentBytes: segments, recoveryPoint: 4, end: 8, files: 1,
			damage: func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(5), cut(3*batchSize)) },
		},
		{
			name: "a segment that ends early though it was synced", batches: 12, segmentBytes: segments, recoveryPoint: 10,
			corrupt: "records from offset 8 to 10 were synced and are missing",
			damage:  func(t *testing.T, fs vfs.FS) { edit(t, fs, logFile(5), cut(3*batchSize)) },
		},
		{
			name: "a segment that is missing", batches: 17, segmentBytes: segments, recoveryPoint: 4, end: 5, files: 2,
			damage: func(t *testing.T, fs vfs.FS) {
				if err := fs.Remove(logFile(5)); err != nil {
					t.Fatal(err)
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.segmentBytes == 0 {
				tt.segmentBytes = 1 << 30
			}
			size := max(tt.size, batchSize)
			mem := filled(t, tt.batches, size, tt.segmentBytes)
			if tt.damage != nil {
				tt.damage(t, mem)
			}
			before := files(t, mem)
			l, err := openTestLog(t, mem, func(o *commitlog.Options) {
				o.RecoveryPoint, o.HighWatermark = tt.recoveryPoint, tt.highWatermark
				if tt.osFlush {
					o.Config.FlushMessages = math.MaxInt64
				}
			})
			if tt.corrupt != "" {
				var corrupt *commitlog.CorruptError
				if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), tt.corrupt) {
					t.Fatalf("got %v, want a CorruptError with %q", err, tt.corrupt)
				}
				if !maps.EqualFunc(before, files(t, mem), bytes.Equal) {
					t.Fatal("the .log files were changed")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			rec := l.Recovery()
			if l.LogEndOffset() != tt.end || len(rec.CutFiles) != tt.files || rec.LostOffsets != tt.lost {
				t.Fatalf("log end offset %d, %+v; want %d, %d side files, %d lost", l.LogEndOffset(), rec, tt.end, tt.files, tt.lost)
			}
			if got := l.readAll(t, 0, tt.end); int64(len(got)) != tt.end {
				t.Fatalf("read %d records, want %d", len(got), tt.end)
			}
			checkSideFiles(t, mem, before, rec)
			l.mustAppend(t, "more")
			l.sync(t)
			if got := l.readAll(t, tt.end, tt.end+1); len(got) != 1 {
				t.Fatalf("read %v behind the cut", got)
			}
		})
	}
}

// files is the content of all .log files.
func files(t *testing.T, fs vfs.FS) map[string][]byte {
	t.Helper()
	entries, err := fs.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]byte{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), segment.LogSuffix) {
			continue
		}
		if all[e.Name()], err = vfs.ReadFile(fs, filepath.Join(testDir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// checkSideFiles checks that every byte that was cut off is kept.
func checkSideFiles(t *testing.T, fs vfs.FS, before map[string][]byte, rec commitlog.Recovery) {
	t.Helper()
	var was, kept []byte
	for _, b := range before {
		was = append(was, b...)
	}
	for _, name := range rec.CutFiles {
		b, err := vfs.ReadFile(fs, name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(was, b) {
			t.Fatalf("%s does not hold bytes of the log", name)
		}
		kept = append(kept, b...)
	}
	if missing := rec.CutBytes - int64(len(kept)); len(rec.CutFiles) > 0 && missing >= batchSize {
		t.Fatalf("%d bytes were cut and %d are kept", rec.CutBytes, len(kept))
	}
}

// TestRead_NeverServesDamage flips a bit in a segment that recovery does not look at.
func TestRead_NeverServesDamage(t *testing.T) {
	for _, at := range []struct {
		name     string
		position int64
	}{{"payload", 500}, {"length", 8}, {"magic", 16}, {"crc", 17}} {
		t.Run(at.name, func(t *testing.T) {
			mem := filled(t, 20, batchSize, 10_100) // two segments of ten batches
			edit(t, mem, logFile(0), flip(4*batchSize+at.position))
			l := newTestLog(t, mem, func(o *commitlog.Options) { o.RecoveryPoint = 20 })
			var corrupt *commitlog.CorruptError
			for range 2 { // the second time it is known
				got, err := readValues(l.Log, 0, 20, 1<<20)
				if !errors.As(err, &corrupt) || corrupt.Position != 4*batchSize {
					t.Fatalf("got %v, want a CorruptError at %d", err, 4*batchSize)
				}
				if len(got) > 4 {
					t.Fatalf("read %d records", len(got))
				}
			}
			if got := l.readAll(t, 0, 4); len(got) != 4 {
				t.Fatalf("read %d records before the damage, want 4", len(got))
			}
			if got := l.readAll(t, 10, 20); len(got) != 10 {
				t.Fatalf("read %d records of the next segment, want 10", len(got))
			}
			if l.mustAppend(t, "more").FirstOffset != 20 {
				t.Fatal("the log does not go on")
			}
		})
	}
}

// TestOpen_MakesADamagedEpochCheckpointAnew: the batches name the leader epochs they were appended in.
func TestOpen_MakesADamagedEpochCheckpointAnew(t *testing.T) {
	mem := newMem(t)
	l := newTestLog(t, mem, config(func(c *commitlog.Config) { c.SegmentBytes = 250 }))
	for epoch := range int32(5) {
		for range 2 {
			if _, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, "a", "b"), epoch, commitlog.FromClient); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := l.EpochEntries()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := vfs.WriteFileAtomic(mem, filepath.Join(testDir, "leader-epoch-checkpoint"), []byte("0\nnonsense\n")); err != nil {
		t.Fatal(err)
	}
	again := newTestLog(t, mem, func(o *commitlog.Options) { o.CleanShutdown, o.RecoveryPoint = true, 20 })
	if got := again.EpochEntries(); !slices.Equal(got, want) || len(got) != 5 {
		t.Fatalf("got %v, want %v", got, want)
	}
}
