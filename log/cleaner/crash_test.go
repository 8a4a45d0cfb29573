package cleaner_test

import (
	"fmt"
	"io/fs"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// crashConfig makes segments of two or three batches, of which two or three are merged.
func crashConfig(o *commitlog.Options) {
	o.Config.SegmentBytes = 900
	o.Config.IndexIntervalBytes = 0
}

// fillForCrash writes a log in which there is something of everything to compact, and syncs it. The aborted transaction's
// records and its marker are in different segments.
func fillForCrash(t testing.TB, fsys vfs.FS) *testLog {
	t.Helper()
	l := newLogOn(t, fsys, crashConfig)
	l.clock = 9000
	value := strings.Repeat("x", 60)
	l.put(t, "a=1"+value, "b=1"+value)
	l.putWith(t, records.BuilderOptions{Codec: compress.Zstd}, "c=1", "d=1", "e=1")
	l.putWith(t, txn(7, 0), "a=aborted", "f=aborted")
	l.roll(t)
	l.putWith(t, txn(8, 0), "b=2"+value, "g=2")
	l.put(t, "c", "h=1"+value)
	l.roll(t)
	l.end(t, 7, false)
	l.putWith(t, idempotent(9, 0), "i=1")
	l.end(t, 8, true)
	l.roll(t)
	l.putWith(t, idempotent(9, 1), "i=2", "a=2"+value)
	l.put(t, "d=2", "d=3"+value)
	l.roll(t)
	l.put(t, "h=2"+value, "i=3"+value)
	l.roll(t)
	l.put(t, "e=2")
	l.sync(t)
	return l
}

// committed is what a read_committed reader makes of the log: the newest value of each key, where a tombstone is none.
func committed(t testing.TB, l *commitlog.Log) map[string]string {
	t.Helper()
	if lso := l.LastStableOffset(); lso != l.LogEndOffset() {
		t.Fatalf("last stable offset is %d, the log ends at %d: a transaction hangs", lso, l.LogEndOffset())
	}
	aborted, err := l.AbortedTxns(0, l.LogEndOffset())
	if err != nil {
		t.Fatal(err)
	}
	ended := map[commitlog.AbortedTxn]bool{}
	out := map[string]string{}
	err = eachBatch(l, l.LogStartOffset(), l.LogEndOffset(), func(b records.Batch) error {
		if b.IsControl() {
			for _, a := range aborted {
				ended[a] = ended[a] || a.ProducerID == b.ProducerID() && a.FirstOffset < b.BaseOffset()
			}
			return nil
		}
		if b.IsTransactional() {
			for _, a := range aborted {
				if a.ProducerID == b.ProducerID() && a.FirstOffset <= b.BaseOffset() && !ended[a] {
					return nil
				}
			}
		}
		return b.Iterate(math.MaxInt32, func(r *records.Record) error {
			if out[string(r.Key)] = string(r.Value); r.Value == nil {
				delete(out, string(r.Key))
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// crashWant is what committed gives of the log of fillForCrash, before and after it is compacted.
func crashWant(t testing.TB) (values map[string]string, compacted []string) {
	l := fillForCrash(t, newMem(t))
	values = committed(t, l.Log)
	l.clean(t, at(5000))
	if diff := cmp.Diff(values, committed(t, l.Log)); diff != "" {
		t.Fatalf("compaction changed the newest values: %s", diff)
	}
	if l.SegmentCount() > 4 {
		t.Fatalf("%d segments are left: none were merged", l.SegmentCount())
	}
	return values, l.all(t)
}

// recovered opens what a crash left, and checks it before and after it is compacted again.
func recovered(t *testing.T, mem *vfs.Mem, before marks, values map[string]string, compacted []string) {
	t.Helper()
	l, err := open(t, mem, func(o *commitlog.Options) {
		crashConfig(o)
		o.RecoveryPoint, o.HighWatermark = before.recoveryPoint, before.highWatermark
	})
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	if l.LogEndOffset() != before.end {
		t.Fatalf("log end offset is %d after a crash, want %d", l.LogEndOffset(), before.end)
	}
	l.UpdateHighWatermark(l.LogEndOffset())
	if diff := cmp.Diff(values, committed(t, l.Log)); diff != "" {
		t.Fatalf("newest values after a crash: %s", diff)
	}
	checkTimes(t, l.Log)
	l.clean(t, at(5000))
	want(t, l.all(t), compacted...)
	checkTimes(t, l.Log)
	checkFiles(t, mem, l.Log)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	outlived(t, mem, before, values)
}

// outlived lets the markers go, and then has everything made anew from the batches that are left.
func outlived(t *testing.T, mem *vfs.Mem, before marks, values map[string]string) {
	t.Helper()
	l := newLogOn(t, mem, func(o *commitlog.Options) {
		crashConfig(o)
		o.CleanShutdown, o.RecoveryPoint, o.HighWatermark = true, before.end, before.end
	})
	for _, now := range []int64{6000, 7000, 8000} {
		l.put(t, "z=1")
		l.roll(t)
		l.clean(t, at(now))
	}
	l.drop()
	l = newLogOn(t, mem.CrashClone(vfs.CrashOptions{SurvivePercent: 100}), crashConfig)
	l.UpdateHighWatermark(l.LogEndOffset())
	got := committed(t, l.Log)
	delete(got, "z")
	if diff := cmp.Diff(values, got); diff != "" {
		t.Fatalf("newest values, recovered from the batches alone: %s", diff)
	}
}

// checkTimes holds lookups by time against a read of everything.
func checkTimes(t *testing.T, l *commitlog.Log) {
	t.Helper()
	var all []records.Record
	err := eachBatch(l, 0, l.LogEndOffset(), func(b records.Batch) error {
		return b.Iterate(math.MaxInt32, func(r *records.Record) error {
			all = append(all, records.Record{Offset: r.Offset, Timestamp: r.Timestamp})
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		i := slices.IndexFunc(all, func(other records.Record) bool { return other.Timestamp >= r.Timestamp })
		offset, ts, _, found, err := l.OffsetForTimestamp(r.Timestamp)
		if err != nil || !found || offset != all[i].Offset || ts != all[i].Timestamp {
			t.Fatalf("time %d is found at offset %d (%d, %v, %v), want %d", r.Timestamp, offset, ts, found, err, all[i].Offset)
		}
	}
}

// checkFiles: nothing half done is left, and no snapshot of a segment that is no more.
func checkFiles(t *testing.T, mem *vfs.Mem, l *commitlog.Log) {
	t.Helper()
	entries, err := mem.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		base, suffix, _ := segment.ParseFileName(e.Name())
		known := slices.ContainsFunc(l.Segments(), func(s *segment.Segment) bool { return s.BaseOffset() == base })
		if strings.HasSuffix(suffix, segment.CleanedSuffix) || strings.HasSuffix(suffix, segment.SwapSuffix) || suffix == producerstate.SnapshotSuffix && !known {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// marks are the checkpoints before the compaction.
type marks struct{ recoveryPoint, highWatermark, end int64 }

// injected runs a compaction of the log of fillForCrash and calls fn before each of its operations that change the disk.
func injected(t *testing.T, fn func(n int, mem *vfs.Mem) error) (l *testLog, before marks, err error) {
	t.Helper()
	mem := newMem(t)
	var mu sync.Mutex
	n, on := 0, false
	fsys := vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if !on || !op.Changes() {
			return nil
		}
		n++
		return fn(n, mem)
	})
	l = fillForCrash(t, fsys)
	before = marks{l.RecoveryPoint(), l.HighWatermark(), l.LogEndOffset()}
	mu.Lock()
	on = true
	mu.Unlock()
	_, err = l.tryClean(t.Context(), at(5000))
	mu.Lock()
	on = false
	mu.Unlock()
	return l, before, err
}

func countOps(t *testing.T) int {
	total := 0
	if _, _, err := injected(t, func(n int, _ *vfs.Mem) error { total = n; return nil }); err != nil {
		t.Fatal(err)
	}
	if total < 40 {
		t.Fatalf("a compaction has only %d operations", total)
	}
	return total
}

// TestCompact_SurvivesACrashAtEveryOperation cuts the power before each operation of a compaction.
func TestCompact_SurvivesACrashAtEveryOperation(t *testing.T) {
	values, compacted := crashWant(t)
	for n := range countOps(t) + 1 {
		for seed, survive := range []int{0, 20, 50, 50, 50, 50, 80, 100} {
			t.Run(fmt.Sprintf("op=%d/survive=%d/%d", n, survive, seed), func(t *testing.T) {
				var clone *vfs.Mem
				_, before, err := injected(t, func(i int, mem *vfs.Mem) error {
					if i == n {
						clone = mem.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), uint64(seed))), SurvivePercent: survive})
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if clone != nil {
					recovered(t, clone, before, values, compacted)
				}
			})
		}
	}
}

// TestCompact_SurvivesACrashWhileACrashIsRecovered cuts the power again, in the recovery of an interrupted swap.
func TestCompact_SurvivesACrashWhileACrashIsRecovered(t *testing.T) {
	values, compacted := crashWant(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	for n := range countOps(t) + 1 {
		var clone *vfs.Mem
		_, before, _ := injected(t, func(i int, mem *vfs.Mem) error {
			if i == n {
				clone = mem.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: 70})
			}
			return nil
		})
		if clone == nil || !interrupted(t, clone) {
			continue
		}
		for second := 1; ; second++ {
			var again *vfs.Mem
			count := 0
			inner := clone.CrashClone(vfs.CrashOptions{SurvivePercent: 100})
			var mu sync.Mutex
			fsys := vfs.Inject(inner, func(op vfs.Op, _ string, _ int) error {
				mu.Lock()
				defer mu.Unlock()
				if op.Changes() {
					if count++; count == second {
						again = inner.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: 50})
					}
				}
				return nil
			})
			l, err := open(t, fsys, func(o *commitlog.Options) {
				crashConfig(o)
				o.RecoveryPoint, o.HighWatermark = before.recoveryPoint, before.highWatermark
			})
			if err != nil {
				t.Fatal(err)
			}
			l.drop()
			if again == nil {
				break
			}
			recovered(t, again, before, values, compacted)
		}
	}
}

// interrupted reports whether a crash left a swap to complete.
func interrupted(t *testing.T, mem *vfs.Mem) bool {
	t.Helper()
	entries, err := mem.ReadDir(testDir)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), segment.SwapSuffix) })
}

// TestCompact_SurvivesAFailureOfEveryOperation fails each operation, with a broken and with a full disk.
func TestCompact_SurvivesAFailureOfEveryOperation(t *testing.T) {
	values, compacted := crashWant(t)
	for _, fault := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for n := 1; n <= countOps(t); n++ {
			t.Run(fmt.Sprintf("%v/op=%d", fault, n), func(t *testing.T) {
				var disk *vfs.Mem
				l, before, err := injected(t, func(i int, mem *vfs.Mem) error {
					disk = mem
					if i == n {
						return fault
					}
					return nil
				})
				if err == nil && fault == syscall.EIO && l.Err() == nil {
					t.Log("an operation whose failure hurts nobody")
				}
				if l.Err() == nil { // the log goes on as if nothing had been
					if diff := cmp.Diff(values, committed(t, l.Log)); diff != "" {
						t.Fatalf("newest values after %v: %s", fault, diff)
					}
					l.clean(t, at(5000))
					want(t, l.all(t), compacted...)
				}
				l.drop()
				recovered(t, disk.CrashClone(vfs.CrashOptions{SurvivePercent: 100}), before, values, compacted)
			})
		}
	}
}

// A disk that stays full stops compaction again and again, and loses nothing; with room again it goes on.
func TestCompact_FullDisk(t *testing.T) {
	values, compacted := crashWant(t)
	mem := newMem(t)
	l := fillForCrash(t, mem)
	usage, err := mem.Usage("/")
	if err != nil {
		t.Fatal(err)
	}
	for room := range uint64(300) {
		mem.SetCapacity(usage.Total - usage.Free + room)
		if _, err := l.tryClean(t.Context(), at(5000)); err == nil || l.Err() != nil {
			t.Fatalf("with %d bytes of room: got %v, and the log says %v", room, err, l.Err())
		}
		if diff := cmp.Diff(values, committed(t, l.Log)); diff != "" {
			t.Fatalf("newest values: %s", diff)
		}
	}
	mem.SetCapacity(0)
	l.clean(t, at(5000))
	want(t, l.all(t), compacted...)
	if !maps.Equal(values, committed(t, l.Log)) {
		t.Error("newest values changed")
	}
}
