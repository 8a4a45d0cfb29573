package log_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
)

// TestTruncateTo_ForgetsALeaderEpochWithoutRecords is about a replica that led in an epoch, wrote nothing in it, and follows a
// leader that does not know the epoch: asked for it again and again, it would never get on.
func TestTruncateTo_ForgetsALeaderEpochWithoutRecords(t *testing.T) {
	fs := newMem(t)
	l := newTestLog(t, fs, nil)
	l.mustAppend(t, "a", "b")
	l.sync(t)
	if err := l.AssignEpoch(3, 2); err != nil {
		t.Fatal(err)
	}
	if err := l.TruncateTo(3); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.EpochEntries()); got != "[{0 0} {3 2}]" {
		t.Fatalf("leader epochs %s after a truncation above the log end", got)
	}
	if err := l.TruncateTo(2); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.EpochEntries(), l.LogEndOffset()); got != "[{0 0}] 2" {
		t.Fatalf("leader epochs and log end %s", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := newTestLog(t, fs, func(o *commitlog.Options) { o.CleanShutdown = true })
	if got := fmt.Sprint(again.EpochEntries()); got != "[{0 0}]" {
		t.Errorf("leader epochs %s after a restart", got)
	}
}

func TestWaitSynced(t *testing.T) {
	start := func(t *testing.T) (*testLog, *gate) {
		t.Helper()
		g := newGate(newMem(t))
		l := newTestLog(t, g, nil)
		t.Cleanup(func() { g.hold(false) })
		l.mustAppend(t, "a")
		l.sync(t)
		g.hold(true)
		l.mustAppend(t, "b")
		return l, g
	}
	wait := func(ctx context.Context, l *testLog, offset int64) <-chan error {
		done := make(chan error, 1)
		go func() { done <- l.WaitSynced(ctx, offset) }()
		return done
	}
	t.Run("what is synced is not waited for", func(t *testing.T) {
		l, _ := start(t)
		if err := l.WaitSynced(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
	t.Run("until it is synced", func(t *testing.T) {
		l, g := start(t)
		done := wait(t.Context(), l, 2)
		select {
		case err := <-done:
			t.Fatalf("did not wait: %v", err)
		default:
		}
		g.hold(false)
		if err := <-done; err != nil || l.SyncedEndOffset() != 2 {
			t.Errorf("got %v at %d", err, l.SyncedEndOffset())
		}
	})
	t.Run("until it is given up", func(t *testing.T) {
		l, _ := start(t)
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		done := wait(ctx, l, 2)
		cancel(reason)
		if err := <-done; !errors.Is(err, reason) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not for what was cut off", func(t *testing.T) {
		l, g := start(t)
		done := wait(t.Context(), l, 2)
		g.hold(false)
		if err := l.TruncateTo(1); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("not when acknowledgements do not", func(t *testing.T) {
		l := newTestLog(t, newMem(t), config(func(c *commitlog.Config) { c.FlushMessages = 1 << 40 }))
		l.mustAppend(t, "a")
		if err := l.WaitSynced(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}
