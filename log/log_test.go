package log_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
)

func TestLog_AppendsAndReadsBack(t *testing.T) {
	l := newTestLog(t, newMem(t), nil)
	first := l.mustAppend(t, "a", "b")
	second := l.mustAppend(t, "c")
	if first.FirstOffset != 0 || first.LastOffset != 1 || second.FirstOffset != 2 || second.LogAppendTime != -1 {
		t.Fatalf("got %+v and %+v", first, second)
	}
	l.sync(t)
	if got, want := l.SyncedEndOffset(), int64(3); got != want {
		t.Fatalf("synced end offset %d, want %d", got, want)
	}
	if diff := cmp.Diff([]string{"0=a", "1=b", "2=c"}, l.readAll(t, 0, 3)); diff != "" {
		t.Fatal(diff)
	}
	if diff := cmp.Diff([]string{"1=b"}, l.readAll(t, 1, 2)); diff != "" {
		t.Fatal(diff)
	}
}

func TestLog_IsThereAfterACleanClose(t *testing.T) {
	mem := newMem(t)
	l := newTestLog(t, mem, config(func(c *commitlog.Config) { c.SegmentBytes = 300 }))
	for range 10 {
		l.mustAppend(t, "x", "y")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := l.SegmentCount(); n < 3 {
		t.Fatalf("%d segments, want several", n)
	}
	again := newTestLog(t, mem, func(o *commitlog.Options) { o.CleanShutdown = true; o.RecoveryPoint = 20 })
	if got := again.LogEndOffset(); got != 20 {
		t.Fatalf("log end offset %d, want 20", got)
	}
	if got := again.readAll(t, 0, 20); len(got) != 20 {
		t.Fatalf("read %d records, want 20: %v", len(got), got)
	}
	if r := again.Recovery(); r.Checked != 0 {
		t.Fatalf("checked %d segments after a clean close", r.Checked)
	}
}
