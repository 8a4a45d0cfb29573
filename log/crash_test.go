package log_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// crashRun is a workload whose acknowledgements are written down.
type crashRun struct {
	mu    sync.Mutex
	acked map[int64]string // offset: value
	saved commitlog.Options
}

func (r *crashRun) ack(offset int64, value string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked[offset] = value
}

// checkpoint is what logdir would have written.
func (r *crashRun) checkpoint(l *commitlog.Log) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.saved.RecoveryPoint, r.saved.LogStartOffset, r.saved.HighWatermark = l.RecoveryPoint(), l.LogStartOffset(), l.HighWatermark()
}

// snapshot is the state to compare a crash at this moment with.
func (r *crashRun) snapshot() (acked map[int64]string, saved commitlog.Options) {
	r.mu.Lock()
	defer r.mu.Unlock()
	acked = make(map[int64]string, len(r.acked))
	maps.Copy(acked, r.acked)
	return acked, r.saved
}

func crashConfig(o *commitlog.Options) {
	o.Config.SegmentBytes = 20_000
	o.Config.IndexIntervalBytes = 100
	o.Config.FileDeleteDelayMs = 0
	o.Config.RetentionMs = -1
	o.Config.RetentionBytes = 30_000
}

// workload appends batches, some at once, and waits for each to be durable. It goes on over failures.
func (r *crashRun) workload(t *testing.T, fs vfs.FS) {
	l, err := openTestLog(t, fs, func(o *commitlog.Options) {
		crashConfig(o)
		o.RecoveryPointLowered = func() {}
	})
	if err != nil {
		return
	}
	producers := map[bool]int32{}
	for i := range 24 {
		values := []string{fmt.Sprintf("v%d", i), strings.Repeat("x", 3000*(i%4))}
		o := records.BuilderOptions{}
		if i%3 == 0 {
			o = records.BuilderOptions{HasProducer: true, ProducerID: 7, BaseSequence: producers[true]}
		}
		info, err := l.AppendAsLeader(batchOf(t, o, values...), int32(i/5), commitlog.FromClient)
		if err != nil {
			continue
		}
		if o.HasProducer {
			producers[true] += 2
		}
		if i%2 == 0 { // the next one joins its sync
			continue
		}
		if l.Flush(t.Context()) == nil && l.SyncedEndOffset() > info.LastOffset {
			r.ack(info.FirstOffset, values[0])
			r.ack(info.LastOffset, values[1])
			l.UpdateHighWatermark(l.SyncedEndOffset())
		}
		if i%4 == 1 {
			r.checkpoint(l.Log)
		}
		if i == 17 {
			l.DeleteOldSegments(time.UnixMilli(5000))
		}
	}
	l.UpdateHighWatermark(l.SyncedEndOffset())
	c := l.Config()
	c.RetentionMs = 1
	l.SetConfig(c)
	l.DeleteOldSegments(time.UnixMilli(1e6))
	if l.Close() == nil {
		r.checkpoint(l.Log)
	}
}

// verify opens what a crash left and checks that nothing acknowledged is missing or different.
func verify(t *testing.T, mem *vfs.Mem, acked map[int64]string, saved commitlog.Options) {
	t.Helper()
	l, err := openTestLog(t, mem, func(o *commitlog.Options) {
		crashConfig(o)
		o.RecoveryPoint, o.LogStartOffset, o.HighWatermark = saved.RecoveryPoint, saved.LogStartOffset, saved.HighWatermark
	})
	if err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	got := map[int64]string{}
	values, err := readValues(l.Log, l.LogStartOffset(), l.LogEndOffset(), 700)
	if err != nil {
		t.Fatalf("read after a crash: %v", err)
	}
	for _, v := range values {
		offset, value, _ := strings.Cut(v, "=")
		var n int64
		fmt.Sscan(offset, &n)
		got[n] = value
	}
	for offset, want := range acked {
		if offset < l.LogStartOffset() {
			continue
		}
		if v, ok := got[offset]; !ok || v != want {
			t.Fatalf("acknowledged offset %d is %q, %v, want %q; the log has [%d, %d): %v", offset, v, ok, want, l.LogStartOffset(), l.LogEndOffset(), values)
		}
	}
	end := l.LogEndOffset()
	info, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, "after"), 9, commitlog.FromClient)
	if err != nil || info.FirstOffset != end {
		t.Fatalf("append after a crash got offset %d, %v, want %d", info.FirstOffset, err, end)
	}
	for offset := range acked {
		if offset >= end {
			t.Fatalf("offset %d was acknowledged and is given again", offset)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// countOps runs the workload once and counts the operations that change anything.
func countOps(t *testing.T) int {
	n := 0
	var mu sync.Mutex
	r := &crashRun{acked: map[int64]string{}}
	r.workload(t, vfs.Inject(newMem(t), func(op vfs.Op, _ string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if op.Changes() {
			n++
		}
		return nil
	}))
	if len(r.acked) < 10 {
		t.Fatalf("only %d records were acknowledged without any failure", len(r.acked))
	}
	return n
}

// TestLog_SurvivesACrashAtEveryOperation cuts the power before each operation.
func TestLog_SurvivesACrashAtEveryOperation(t *testing.T) {
	total := countOps(t)
	for n := 1; n <= total; n++ {
		for _, survive := range []int{0, 30, 70, 100} {
			t.Run(fmt.Sprintf("op=%d/survive=%d", n, survive), func(t *testing.T) {
				mem := newMem(t)
				r := &crashRun{acked: map[int64]string{}}
				var clone *vfs.Mem
				var acked map[int64]string
				var saved commitlog.Options
				var mu sync.Mutex
				count := 0
				r.workload(t, vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
					mu.Lock()
					defer mu.Unlock()
					if !op.Changes() {
						return nil
					}
					if count++; count == n {
						acked, saved = r.snapshot()
						clone = mem.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(uint64(n), uint64(survive))), SurvivePercent: survive})
					}
					return nil
				}))
				if clone == nil {
					t.Skip("the operation did not come this time")
				}
				verify(t, clone, acked, saved)
			})
		}
	}
}

// TestLog_SurvivesEveryFailure fails each operation, for good or for once, and cuts the power at the end.
func TestLog_SurvivesEveryFailure(t *testing.T) {
	total := countOps(t)
	for n := 1; n <= total; n++ {
		for _, failure := range []error{syscall.EIO, syscall.ENOSPC} {
			t.Run(fmt.Sprintf("op=%d/%v", n, failure), func(t *testing.T) {
				mem := newMem(t)
				r := &crashRun{acked: map[int64]string{}}
				var mu sync.Mutex
				count := 0
				r.workload(t, vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
					mu.Lock()
					defer mu.Unlock()
					if !op.Changes() {
						return nil
					}
					if count++; count == n {
						return failure
					}
					return nil
				}))
				for _, survive := range []int{0, 50, 100} {
					acked, saved := r.snapshot()
					rnd := rand.New(rand.NewPCG(uint64(n), uint64(survive)))
					verify(t, mem.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: survive}), acked, saved)
				}
			})
		}
	}
}

// TestLog_GoesOnAfterAFullDisk fails writes for a while.
func TestLog_GoesOnAfterAFullDisk(t *testing.T) {
	mem := newMem(t)
	l := newTestLog(t, mem, crashConfig)
	l.mustAppend(t, "before")
	l.sync(t)
	used, err := mem.Usage("/")
	if err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(used.Total - used.Free + 30)
	_, err = l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, "does not fit"), 0, commitlog.FromClient)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want ENOSPC", err)
	}
	if got := l.readAll(t, 0, l.LogEndOffset()); len(got) != 1 {
		t.Fatalf("read %v while the disk is full", got)
	}
	mem.SetCapacity(0)
	if info := l.mustAppend(t, "fits"); info.FirstOffset != 1 {
		t.Fatalf("offset %d after the disk was full, want 1", info.FirstOffset)
	}
	l.sync(t)
	if len(l.failed) > 0 {
		t.Fatalf("the log failed: %v", l.failed)
	}
	verify(t, mem.CrashClone(vfs.CrashOptions{}), map[int64]string{0: "before", 1: "fits"}, commitlog.Options{RecoveryPoint: 2, HighWatermark: 2})
}

// TestLog_FailedSyncEndsTheLog: a sync that failed is not tried again, and nothing is acknowledged after it.
func TestLog_FailedSyncEndsTheLog(t *testing.T) {
	mem := newMem(t)
	var mu sync.Mutex
	fail, syncs := false, 0
	l := newTestLog(t, vfs.Inject(mem, func(op vfs.Op, _ string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if op == vfs.OpSyncData && fail {
			syncs++
			return syscall.EIO
		}
		return nil
	}), nil)
	l.mustAppend(t, "good")
	l.sync(t)
	mu.Lock()
	fail = true
	mu.Unlock()
	l.mustAppend(t, "lost")
	if err := l.Flush(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("flush got %v, want EIO", err)
	}
	if _, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, "more"), 0, commitlog.FromClient); err == nil {
		t.Fatal("an append succeeded after a failed sync")
	}
	if _, err := l.Read(0, 100, 1, true); err == nil {
		t.Fatal("a read succeeded after a failed sync")
	}
	l.Flush(t.Context())
	l.Close()
	mu.Lock()
	defer mu.Unlock()
	if syncs != 1 || len(l.failed) != 1 || l.SyncedEndOffset() != 1 {
		t.Fatalf("%d syncs failed, Failed was called %d times, synced end offset %d; want 1, 1, 1", syncs, len(l.failed), l.SyncedEndOffset())
	}
}

// TestLog_KeepsItsOffsetsWhenAllIsDeleted: the name of the new segment, which says where the log goes on, is durable before
// the old ones go.
func TestLog_KeepsItsOffsetsWhenAllIsDeleted(t *testing.T) {
	for survive := range 101 {
		mem := newMem(t)
		l := newTestLog(t, mem, func(o *commitlog.Options) {
			o.Config.FileDeleteDelayMs = 0
			o.Config.RetentionMs = 1
		})
		for range 5 {
			l.mustAppend(t, "a", "b")
		}
		l.sync(t)
		if n, err := l.DeleteOldSegments(time.UnixMilli(1e6)); n != 1 || err != nil {
			t.Fatalf("deleted %d segments, %v, want 1", n, err)
		}
		rnd := rand.New(rand.NewPCG(1, uint64(survive)))
		again := newTestLog(t, mem.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: survive}), nil)
		if got := again.LogEndOffset(); got != 10 {
			t.Fatalf("survive=%d: log end offset %d after a crash, want 10", survive, got)
		}
	}
}
