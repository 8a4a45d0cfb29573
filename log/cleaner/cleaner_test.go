package cleaner_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// room is a Cleaner with the logs that it works on.
type room struct {
	*cleaner.Cleaner
	said bytes.Buffer

	mu      sync.Mutex
	logs    []cleaner.Log
	cleaned []string // folders of logs, in the order in which they were compacted
}

func (r *room) set(logs ...*testLog) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.logs = nil
	for _, l := range logs {
		r.logs = append(r.logs, cleaner.Log{Log: l.Log, Dir: "/data"})
	}
}

// newRoom starts a Cleaner. It is to be used in a bubble: its clock is the bubble's.
func newRoom(t *testing.T, cfg cleaner.Config, logs ...*testLog) *room {
	t.Helper()
	r := &room{}
	r.set(logs...)
	r.Cleaner = cleaner.New(cleaner.Options{
		Config: cfg, Logger: slog.New(slog.NewTextHandler(&r.said, nil)),
		Logs: func() []cleaner.Log {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.logs
		},
		Cleaned: func(l cleaner.Log) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.cleaned = append(r.cleaned, l.Log.Dir())
		},
	})
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// named opens a log of another folder.
func named(t *testing.T, fs vfs.FS, name string, change func(*commitlog.Options)) *testLog {
	t.Helper()
	return newLogOn(t, fs, func(o *commitlog.Options) {
		o.Dir, o.TopicPartition.Topic = "/data/"+name+"-0", name
		if change != nil {
			change(o)
		}
	})
}

func dirty(t *testing.T, l *testLog, batches int) {
	t.Helper()
	for range batches {
		l.put(t, "a="+strings.Repeat("x", 1000))
	}
	l.roll(t)
}

func TestCleaner_TakesTheDirtiestLogFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem(t)
		little, much := named(t, mem, "little", nil), named(t, mem, "much", nil)
		other := named(t, mem, "other", func(o *commitlog.Options) { o.Config.MinCleanableRatio = 0.99 })
		for _, l := range []*testLog{little, much, other} {
			dirty(t, l, 4)
			l.clean(t, time.Now())
		}
		dirty(t, little, 2)
		dirty(t, much, 5)
		dirty(t, other, 5)
		r := newRoom(t, cleaner.DefaultConfig(), little, much, other)
		synctest.Wait()
		r.mu.Lock()
		want(t, r.cleaned, "/data/much-0", "/data/little-0")
		r.mu.Unlock()
		s := r.Stats()
		if s.Passes != 2 || s.Failed != 0 || s.BytesRead == 0 || s.BytesWritten == 0 || s.RecordsRemoved != 7 || s.MaxDirtyPercent != 83 || s.RecopyPercent == 0 || s.KeyMapBytes == 0 {
			t.Errorf("stats are %+v", s)
		}

		dirty(t, little, 3)
		time.Sleep(14 * time.Second)
		synctest.Wait()
		if got := r.Stats(); got.Passes != 2 || got.SinceLastRun != 14*time.Second {
			t.Errorf("before the backoff is over: %+v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if got := r.Stats(); got.Passes != 3 {
			t.Errorf("after the backoff: %+v", got)
		}
	})
}

func TestCleaner_WithoutThreadsDoesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, nil)
		dirty(t, l, 4)
		cfg := cleaner.DefaultConfig()
		cfg.Threads = 0
		r := newRoom(t, cfg, l)
		time.Sleep(time.Hour)
		synctest.Wait()
		if r.Stats().Passes != 0 {
			t.Error("a log was compacted")
		}
		cfg.Threads = 2
		r.Reconfigure(cfg)
		synctest.Wait()
		if s := r.Stats(); s.Passes != 1 || s.Threads != 2 {
			t.Errorf("with two threads: %+v", s)
		}
	})
}

func TestCleaner_KeepsToItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, nil)
		for range 20 {
			dirty(t, l, 100) // 2 MB in all, of which hardly anything stays
		}
		cfg := cleaner.DefaultConfig()
		cfg.BytesPerSec = 100_000
		r := newRoom(t, cfg, l)
		began := time.Now()
		for r.Stats().Passes == 0 {
			time.Sleep(time.Second)
		}
		// 4 MB are read, less the burst of 1 MiB.
		if took := time.Since(began); took < 30*time.Second || took > 50*time.Second {
			t.Errorf("a pass over 4 MB took %v at 100,000 bytes a second", took)
		}
	})
}

// A pass that waits for its rate is broken off at once.
func TestCleaner_CloseDoesNotWaitForAPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, nil)
		for range 30 {
			dirty(t, l, 100)
		}
		cfg := cleaner.DefaultConfig()
		cfg.BytesPerSec = 1
		r := newRoom(t, cfg, l)
		time.Sleep(time.Minute)
		cfg.Backoff = time.Minute
		r.Reconfigure(cfg)
		synctest.Wait()
		if s := r.Stats(); s.Aborted != 1 {
			t.Errorf("another configuration did not break the pass off: %+v", s)
		}
		began := time.Now()
		r.Close()
		if took := time.Since(began); took > time.Second {
			t.Errorf("closing took %v", took)
		}
		noLeftovers(t, l)
	})
}

func noLeftovers(t *testing.T, l *testLog) {
	t.Helper()
	entries, err := l.fs.ReadDir(l.Dir())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), segment.CleanedSuffix) || strings.HasSuffix(e.Name(), segment.SwapSuffix) {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// Closing or deleting a log breaks off its compaction and waits for that.
func TestCleaner_StopsWhenTheLogIsClosed(t *testing.T) {
	for name, stop := range map[string]func(*testLog) error{
		"close":  func(l *testLog) error { return l.Close() },
		"delete": func(l *testLog) error { return l.Delete() },
		"begin anew": func(l *testLog) error {
			l.UpdateHighWatermark(l.LogEndOffset())
			return l.TruncateFullyAndStartAt(7)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLog(t, nil)
				for range 30 {
					dirty(t, l, 100)
				}
				cfg := cleaner.DefaultConfig()
				cfg.BytesPerSec = 100
				r := newRoom(t, cfg, l)
				time.Sleep(time.Minute)
				synctest.Wait()
				if err := stop(l); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if s := r.Stats(); s.Aborted != 1 || s.Failed != 0 || len(s.Uncleanable) != 0 {
					t.Errorf("stats are %+v", s)
				}
				noLeftovers(t, l)
				if l.CleanedOffset() != 0 {
					t.Errorf("cleaned up to %d", l.CleanedOffset())
				}
			})
		})
	}
}

func TestCleaner_LeavesADamagedLogAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem(t)
		l, good := named(t, mem, "damaged", nil), named(t, mem, "good", nil)
		l.put(t, "a=1")
		l.put(t, "a=2")
		l.roll(t)
		l.put(t, "a=3")
		l.roll(t)
		before := l.batches(t)
		flip(t, mem, l.Dir()+"/"+segment.FileName(0, segment.LogSuffix), 100) // in the second batch
		r := newRoom(t, cleaner.DefaultConfig(), l, good)
		synctest.Wait()
		s := r.Stats()
		if s.Failed != 1 || s.Uncleanable["/data"].Partitions != 1 || s.Uncleanable["/data"].Bytes != l.Size() {
			t.Errorf("stats are %+v", s)
		}
		if said := r.said.String(); !strings.Contains(said, "log.uncleanable") || !strings.Contains(said, "topic=damaged") {
			t.Errorf("the log says %s", said)
		}
		dirty(t, good, 4)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Failed != 1 || s.Passes != 1 {
			t.Errorf("stats are %+v: a damaged log was tried again, or keeps others from being compacted", s)
		}
		if l.SegmentCount() != 3 {
			t.Errorf("%d segments, want all three", l.SegmentCount())
		}
		flip(t, mem, l.Dir()+"/"+segment.FileName(0, segment.LogSuffix), 100) // as it was: nothing was changed
		l.drop()
		again := named(t, mem, "damaged", nil)
		again.UpdateHighWatermark(again.LogEndOffset())
		want(t, again.batches(t), before...)
		r.set(good)
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := r.Stats(); len(s.Uncleanable) != 0 {
			t.Errorf("a log that is gone is still uncleanable: %+v", s)
		}
	})
}

// flip inverts a byte of a file.
func flip(t *testing.T, fs vfs.FS, name string, position int64) {
	t.Helper()
	f, err := fs.OpenFile(name, vfs.ReadWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	if _, err := f.ReadAt(b, position); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, position); err != nil {
		t.Fatal(err)
	}
}

// Every byte of the log may be damaged: nothing is ever dropped for it, and compaction says so.
func TestCompact_NothingDamagedIsDropped(t *testing.T) {
	mem := newMem(t)
	l := newLogOn(t, mem, nil)
	l.put(t, "a=1")
	l.put(t, "b=1", "a=2")
	l.roll(t)
	l.put(t, "b=2")
	l.roll(t)
	size := l.Segments()[0].Size()
	second := int64(len(batchOf(t, records.BuilderOptions{}, 1000, "a=1")))
	for position := range size {
		if at := position % second; position < 2*second && at >= 12 && at < 16 { // the leader epoch may be any
			continue
		}
		clone := mem.CrashClone(vfs.CrashOptions{SurvivePercent: 100})
		damaged := newLogOn(t, clone, func(o *commitlog.Options) {
			o.CleanShutdown, o.RecoveryPoint, o.HighWatermark = true, l.LogEndOffset(), l.LogEndOffset()
		})
		name := testDir + "/" + segment.FileName(0, segment.LogSuffix)
		flip(t, clone, name, position)
		before, err := vfs.ReadFile(clone, name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = damaged.tryClean(t.Context(), at(5000))
		if _, ok := errors.AsType[*commitlog.CorruptError](err); !ok {
			t.Errorf("byte %d was damaged: got %v, want a *CorruptError", position, err)
		}
		after, err := vfs.ReadFile(clone, name)
		if err != nil || !bytes.Equal(before, after) {
			t.Errorf("byte %d was damaged: the segment was changed, %v", position, err)
		}
		noLeftovers(t, damaged)
		damaged.drop()
	}
}

func TestCompact_OneAtATime(t *testing.T) {
	l := newLog(t, nil)
	dirty(t, l, 3)
	hold, err := l.BeginCompaction(func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.tryClean(t.Context(), at(5000)); !errors.Is(err, commitlog.ErrCompacting) {
		t.Errorf("got %v, want ErrCompacting", err)
	}
	hold.End()
	l.clean(t, at(5000))
}

// Where retention removes a segment of the group, the pass is broken off and the log stays as retention left it.
func TestCompact_RetentionIsFaster(t *testing.T) {
	l := newLog(t, nil)
	for range 3 {
		dirty(t, l, 1)
	}
	r := l.cleanable(t, 5000)
	once := sync.OnceFunc(func() {
		if err := l.AdvanceLogStartOffset(1); err != nil {
			t.Error(err)
		}
		if n, err := l.DeleteOldSegments(at(5000)); n != 1 || err != nil {
			t.Errorf("deleted %d segments, %v", n, err)
		}
	})
	lim := limits()
	lim.Pause = func(context.Context, int) error { once(); return nil }
	if _, err := cleaner.Compact(t.Context(), l.Log, r, lim, at(5000)); !errors.Is(err, commitlog.ErrReplaced) {
		t.Errorf("got %v, want ErrReplaced", err)
	}
	noLeftovers(t, l)
	if got := l.all(t); len(got) != 2 {
		t.Errorf("records %v, want those at 1 and 2", got)
	}
	l.clean(t, at(5000))
	if got := l.all(t); len(got) != 1 {
		t.Errorf("records %v, want the one at 2", got)
	}
}

// A directory that takes no appends takes no compaction either; the log is tried again.
func TestCleaner_WaitsWhileTheDirectoryIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var full error
		l := newLog(t, func(o *commitlog.Options) {
			o.Admit = func() error {
				mu.Lock()
				defer mu.Unlock()
				return full
			}
		})
		dirty(t, l, 3)
		mu.Lock()
		full = errors.New("full")
		mu.Unlock()
		r := newRoom(t, cleaner.DefaultConfig(), l)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Passes != 0 || len(s.Uncleanable) != 0 || s.Failed < 9 || s.Failed > 11 {
			t.Errorf("stats are %+v, want about one attempt a minute", s)
		}
		noLeftovers(t, l)
		mu.Lock()
		full = nil
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := r.Stats(); s.Passes != 1 {
			t.Errorf("stats are %+v", s)
		}
	})
}

// A quiet log whose only segment has waited for max.compaction.lag.ms is rolled and compacted.
func TestCleaner_RollsAQuietLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t, func(o *commitlog.Options) { o.Config.MaxCompactionLagMs, o.Now = 60_000, time.Now })
		now := time.Now().UnixMilli()
		l.putBatch(t, batchOf(t, records.BuilderOptions{}, now, "a=1", "a=2"))
		l.sync(t)
		r := newRoom(t, cleaner.DefaultConfig(), l)
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if r.Stats().Passes != 0 || l.SegmentCount() != 1 {
			t.Error("the log was compacted too early")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if s := r.Stats(); s.Passes != 1 || s.MaxCompactionDelay <= 0 {
			t.Errorf("stats are %+v", s)
		}
		want(t, l.all(t), "1:a=2")
		time.Sleep(time.Hour)
		synctest.Wait()
		if s := r.Stats(); s.Passes != 1 {
			t.Errorf("%d passes over a log that does not change", s.Passes)
		}
	})
}
