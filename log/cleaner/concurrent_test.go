package cleaner_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/protocol/records"
)

// TestCompact_WhileTheLogIsUsed appends, reads, looks up and deletes while the log is compacted again and again.
func TestCompact_WhileTheLogIsUsed(t *testing.T) {
	for name, flush := range map[string]int64{"durable": 1, "os flush": math.MaxInt64} {
		t.Run(name, func(t *testing.T) {
			var log atomic.Pointer[commitlog.Log]
			l := newLog(t, func(o *commitlog.Options) {
				o.Config.SegmentBytes, o.Config.IndexIntervalBytes, o.Config.FlushMessages = 2000, 0, flush
				o.Config.FileDeleteDelayMs = 0 // readers lose files as early as they can
				o.TailCache = commitlog.NewTailCache(32 << 10)
				o.Synced = func(end int64) {
					if l := log.Load(); l != nil {
						l.UpdateHighWatermark(end)
					}
				}
			})
			log.Store(l.Log)
			u := &usage{t: t, l: l.Log, newest: map[string]string{}, done: make(chan struct{})}
			var wg sync.WaitGroup
			for seed := range uint64(3) {
				wg.Go(func() { u.read(rand.New(rand.NewPCG(seed, 1))) })
			}
			wg.Go(u.compact)
			wg.Go(u.retain)
			u.append(1500)
			close(u.done)
			wg.Wait()
			l.roll(t)
			l.clean(t, at(5000))
			got := committed(t, l.Log)
			if len(got) != len(u.newest) {
				t.Fatalf("%d keys are left, want %d", len(got), len(u.newest))
			}
			for k, v := range u.newest {
				if got[k] != v {
					t.Errorf("%s is %s, want %s", k, got[k], v)
				}
			}
			if u.passes.Load() == 0 || u.reads.Load() == 0 {
				t.Errorf("%d passes and %d reads came to an end", u.passes.Load(), u.reads.Load())
			}
		})
	}
}

// usage is what goes on at once in TestCompact_WhileTheLogIsUsed.
type usage struct {
	t             *testing.T
	l             *commitlog.Log
	newest        map[string]string // of the appender alone
	done          chan struct{}
	passes, reads atomic.Int64
}

func (u *usage) over() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

func (u *usage) append(batches int) {
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range batches {
		key, value := fmt.Sprintf("key-%d", rnd.IntN(20)), fmt.Sprintf("%d", i)
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(1000+int64(i), []byte(key), []byte(value))
		b.Append(1000+int64(i), []byte("same"), []byte(value))
		batch, err := b.Bytes()
		if err != nil {
			u.t.Error(err)
			return
		}
		if _, err := u.l.AppendAsLeader(batch, 0, commitlog.FromClient); err != nil {
			u.t.Error(err)
			return
		}
		u.newest[key], u.newest["same"] = value, value
	}
	if err := u.l.Flush(u.t.Context()); err != nil {
		u.t.Error(err)
	}
	u.l.UpdateHighWatermark(u.l.SyncedEndOffset())
}

func (u *usage) compact() {
	for !u.over() {
		r, err := cleaner.Cleanable(u.l, at(5000))
		if err != nil {
			u.t.Error(err)
			return
		}
		switch _, err := cleaner.Compact(u.t.Context(), u.l, r, limits(), at(5000)); {
		case err == nil && r.DirtyBytes > 0:
			u.passes.Add(1)
		case err != nil && !errors.Is(err, commitlog.ErrReplaced):
			u.t.Error(err)
			return
		}
	}
}

// retain finds nothing to remove, since nothing lies below the log start offset.
func (u *usage) retain() {
	for !u.over() {
		if _, err := u.l.DeleteOldSegments(at(5000)); err != nil {
			u.t.Error(err)
			return
		}
	}
}

func (u *usage) read(rnd *rand.Rand) {
	for !u.over() {
		hw := u.l.HighWatermark()
		from := rnd.Int64N(hw + 1)
		last := int64(-1)
		err := eachBatchBy(u.l, from, hw, rnd.IntN(3000), func(b records.Batch) error {
			return b.Iterate(math.MaxInt32, func(r *records.Record) error {
				if r.Offset <= last {
					return fmt.Errorf("offset %d comes after %d", r.Offset, last)
				}
				last = r.Offset
				return nil
			})
		})
		if err != nil {
			u.t.Errorf("read from %d to %d: %v", from, hw, err)
			return
		}
		if _, _, _, _, err := u.l.OffsetForTimestamp(1000 + rnd.Int64N(1500)); err != nil {
			u.t.Errorf("look a time up: %v", err)
			return
		}
		if _, err := u.l.AbortedTxns(from, hw); err != nil {
			u.t.Errorf("look for aborted transactions: %v", err)
			return
		}
		u.l.BytesBetween(from, hw)
		u.reads.Add(1)
	}
}
