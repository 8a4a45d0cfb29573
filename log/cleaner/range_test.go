package cleaner_test

import (
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/protocol/records"
)

func (l *testLog) cleanable(t *testing.T, now int64) cleaner.Range {
	t.Helper()
	r, err := cleaner.Cleanable(l.Log, at(now))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// putAt appends a batch of one record with a timestamp and rolls.
func (l *testLog) putAt(t *testing.T, ts int64) {
	t.Helper()
	l.putBatch(t, batchOf(t, records.BuilderOptions{}, ts, "key=value"))
	l.roll(t)
}

func TestCleanable_IsCleanThenDirtyThenUncleanable(t *testing.T) {
	l := newLog(t, nil)
	if r := l.cleanable(t, 5000); r != (cleaner.Range{}) || r.Ratio() != 0 {
		t.Errorf("an empty log: %+v", r)
	}
	l.put(t, "a=1")
	l.sync(t)
	if r := l.cleanable(t, 5000); r.DirtyBytes != 0 || r.FirstUncleanable != 0 {
		t.Errorf("only the active segment: %+v", r)
	}
	l.roll(t)
	l.put(t, "b=1")
	l.roll(t)
	r := l.cleanable(t, 5000)
	if r.FirstDirty != 0 || r.FirstUncleanable != 2 || r.DirtyBytes != l.Size() || r.CleanBytes != 0 || r.Ratio() != 1 {
		t.Errorf("two dirty segments of %d bytes: %+v", l.Size(), r)
	}
	l.clean(t, at(5000))
	l.put(t, "a=2")
	l.roll(t)
	r = l.cleanable(t, 5000)
	if r.FirstDirty != 2 || r.FirstUncleanable != 3 || r.CleanBytes+r.DirtyBytes != l.Size() || r.Ratio() <= 0.3 || r.Ratio() >= 0.35 {
		t.Errorf("one dirty batch behind two clean ones: %+v of %d bytes", r, l.Size())
	}
	if err := l.AdvanceLogStartOffset(3); err != nil {
		t.Fatal(err)
	}
	if r = l.cleanable(t, 5000); r.DirtyBytes != 0 || r.FirstDirty != 3 {
		t.Errorf("everything was deleted: %+v", r)
	}
}

func TestCleanable_MinCompactionLag(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.Config.MinCompactionLagMs = 100 })
	for _, ts := range []int64{1000, 1050, 1010, 1200} {
		l.putAt(t, ts)
	}
	for now, want := range map[int64]int64{
		1099: 0, // all are too young
		1100: 1,
		1149: 1, // the second is, and the third, which is older, stands behind it
		1150: 3,
		1300: 4,
	} {
		if r := l.cleanable(t, now); r.FirstUncleanable != want {
			t.Errorf("at %d the first uncleanable offset is %d, want %d", now, r.FirstUncleanable, want)
		}
	}
}

func TestCleanable_MaxCompactionLag(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.Config.MaxCompactionLagMs = 100 })
	l.putAt(t, 1000)
	l.putAt(t, 900)
	for now, want := range map[int64]time.Duration{950: 0, 1000: 0, 1001: time.Millisecond, 1500: 500 * time.Millisecond} {
		if r := l.cleanable(t, now); r.Delay != want {
			t.Errorf("at %d the delay is %v, want %v", now, r.Delay, want)
		}
	}
	l.clean(t, at(2000))
	if r := l.cleanable(t, 9000); r.Delay != 0 {
		t.Errorf("the delay is %v although nothing is dirty", r.Delay)
	}
}

// max.compaction.lag.ms rolls the active segment with the next append: nothing could be compacted before.
func TestAppend_RollsForMaxCompactionLag(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.Config.MaxCompactionLagMs = 100 })
	for _, ts := range []int64{1000, 1100, 1101} {
		l.putBatch(t, batchOf(t, records.BuilderOptions{}, ts, "key=value"))
	}
	if n := l.SegmentCount(); n != 1 {
		t.Errorf("%d segments of a topic whose policy is not compact", n)
	}
	l = newLog(t, func(o *commitlog.Options) { o.Config.MaxCompactionLagMs = 100 })
	for _, ts := range []int64{1000, 1100, 1101} {
		if _, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, ts, "key=value"), 0, commitlog.FromClient); err != nil {
			t.Fatal(err)
		}
	}
	if n := l.SegmentCount(); n != 2 {
		t.Errorf("%d segments, want 2", n)
	}
}
