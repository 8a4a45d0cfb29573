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
			u := &usage{t: t, l: l.Log, newest: map[string]string{}}
			u.append(300, u.compact, u.retain, u.reader(1), u.reader(2))
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
		})
	}
}

// usage is what goes on at once in TestCompact_WhileTheLogIsUsed.
type usage struct {
	t      *testing.T
	l      *commitlog.Log
	newest map[string]string // of the appender alone
}

// append appends so many batches and sets the others, each on a goroutine of its own, to work once for each batch, if they are
// not at work; in between it waits until all of them are.
func (u *usage) append(batches int, others ...func() error) {
	var wg sync.WaitGroup
	turns := make([]chan struct{}, len(others))
	for i, work := range others {
		turns[i] = make(chan struct{})
		wg.Go(func() {
			for range turns[i] {
				if err := work(); err != nil {
					u.t.Error(err)
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(7, 7))
	for n := range batches {
		u.appendBatch(n, rnd.IntN(20))
		for _, turn := range turns {
			if n%10 == 9 {
				turn <- struct{}{}
				continue
			}
			select {
			case turn <- struct{}{}:
			default:
			}
		}
	}
	for _, turn := range turns {
		close(turn)
	}
	wg.Wait()
}

func (u *usage) appendBatch(n, k int) {
	key, value := fmt.Sprintf("key-%d", k), fmt.Sprintf("%d", n)
	b := records.NewBuilder(records.BuilderOptions{})
	b.Append(1000+int64(n), []byte(key), []byte(value))
	b.Append(1000+int64(n), []byte("same"), []byte(value))
	batch, err := b.Bytes()
	if err != nil {
		u.t.Error(err)
		return
	}
	if _, err := u.l.AppendAsLeader(batch, 0, commitlog.FromClient); err != nil {
		u.t.Error(err)
	}
	u.newest[key], u.newest["same"] = value, value
}

func (u *usage) compact() error {
	r, err := cleaner.Cleanable(u.l, at(5000))
	if err != nil {
		return err
	}
	if _, err = cleaner.Compact(u.t.Context(), u.l, r, limits(), at(5000)); errors.Is(err, commitlog.ErrReplaced) {
		return nil
	}
	return err
}

// retain finds nothing to remove, since nothing lies below the log start offset.
func (u *usage) retain() error {
	_, err := u.l.DeleteOldSegments(at(5000))
	return err
}

func (u *usage) reader(seed uint64) func() error {
	rnd := rand.New(rand.NewPCG(seed, 1))
	return func() error {
		hw := u.l.HighWatermark()
		from, last := rnd.Int64N(hw+1), int64(-1)
		err := eachBatchBy(u.l, from, hw, 200+rnd.IntN(3000), func(b records.Batch) error {
			return b.Iterate(math.MaxInt32, func(r *records.Record) error {
				if r.Offset <= last {
					return fmt.Errorf("offset %d comes after %d", r.Offset, last)
				}
				last = r.Offset
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("read from %d to %d: %w", from, hw, err)
		}
		if _, _, _, _, err := u.l.OffsetForTimestamp(1000 + rnd.Int64N(hw+1)); err != nil {
			return fmt.Errorf("look a time up: %w", err)
		}
		if _, err := u.l.AbortedTxns(from, hw); err != nil {
			return fmt.Errorf("look for aborted transactions: %w", err)
		}
		u.l.BytesBetween(from, hw)
		return nil
	}
}
