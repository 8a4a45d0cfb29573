package lag_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
	"github.com/distributedmq/dmq/protocol"
)

var start = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// fakeLogs have a record every second from start on, and count the reads.
type fakeLogs struct {
	ends  map[string]int64
	reads int
}

func (f *fakeLogs) EndOffset(tp protocol.TopicPartition) (int64, bool) {
	end, ok := f.ends[tp.Topic]
	return end, ok
}

func (f *fakeLogs) WrittenAt(tp protocol.TopicPartition, offset int64) (time.Time, bool) {
	f.reads++
	return start.Add(time.Duration(offset) * time.Second), tp.Topic != "damaged"
}

func snapshot(id string, offsets ...group.SnapshotOffset) *group.Snapshot {
	return &group.Snapshot{ID: id, Offsets: offsets}
}

func measure(tr *lag.Tracker, now time.Time, groups ...*group.Snapshot) [][]lag.Partition {
	return measureIn(context.Background(), tr, now, groups...)
}

func measureIn(ctx context.Context, tr *lag.Tracker, now time.Time, groups ...*group.Snapshot) [][]lag.Partition {
	r := tr.Begin(now)
	defer r.End()
	var out [][]lag.Partition
	for _, g := range groups {
		out = append(out, r.Measure(ctx, g))
	}
	return out
}

func TestRound_Measure(t *testing.T) {
	logs := &fakeLogs{ends: map[string]int64{"orders": 100, "damaged": 100}}
	now := start.Add(130 * time.Second)
	got := measure(lag.NewTracker(logs), now, snapshot("g",
		group.SnapshotOffset{Topic: "damaged", Offset: 90}, group.SnapshotOffset{Topic: "gone", Offset: 5},
		group.SnapshotOffset{Topic: "orders", Partition: 0, Offset: 90}, group.SnapshotOffset{Topic: "orders", Partition: 1, Offset: 100},
		group.SnapshotOffset{Topic: "orders", Partition: 2, Offset: 120},
	))[0]
	want := []lag.Partition{
		{Topic: "damaged", Committed: 90, End: 100, Lag: 10, Behind: -1},
		{Topic: "gone", Committed: 5, End: -1, Lag: -1, Behind: -1},
		{Topic: "orders", Partition: 0, Committed: 90, End: 100, Lag: 10, Behind: 40 * time.Second},
		{Topic: "orders", Partition: 1, Committed: 100, End: 100},
		{Topic: "orders", Partition: 2, Committed: 120, End: 100}, // records that it had seen were lost
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	total, behind := lag.Total(got)
	if total != 20 || behind != 40*time.Second {
		t.Errorf("in all %d records and %s behind", total, behind)
	}
	if total, behind := lag.Total(got[1:2]); total != 0 || behind >= 0 {
		t.Errorf("of an unknown end: %d records and %s behind", total, behind)
	}
}

func TestTracker_ReadsOnce(t *testing.T) {
	logs := &fakeLogs{ends: map[string]int64{"orders": 100}}
	tr := lag.NewTracker(logs)
	for i := range 3 {
		got := measure(tr, start.Add(time.Duration(100+i)*time.Second), snapshot("g", group.SnapshotOffset{Topic: "orders", Offset: 90}))[0]
		if want := time.Duration(10+i) * time.Second; got[0].Behind != want || logs.reads != 1 {
			t.Errorf("round %d: %s behind after %d reads, want %s after 1", i, got[0].Behind, logs.reads, want)
		}
	}
	measure(tr, start, snapshot("g", group.SnapshotOffset{Topic: "orders", Offset: 91}))
	measure(tr, start) // the group is deleted
	measure(tr, start, snapshot("g", group.SnapshotOffset{Topic: "orders", Offset: 91}))
	if logs.reads != 3 {
		t.Errorf("%d reads, want 3: one when the group moved, one when it came back", logs.reads)
	}
}

func TestRound_Measure_NoTime(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	logs := &fakeLogs{ends: map[string]int64{"orders": 100}}
	got := measureIn(ctx, lag.NewTracker(logs), start, snapshot("g", group.SnapshotOffset{Topic: "orders", Offset: 90}))[0]
	want := []lag.Partition{{Topic: "orders", Committed: 90, End: lag.Skipped, Lag: lag.Skipped, Behind: lag.Skipped}}
	if diff := cmp.Diff(want, got); diff != "" || logs.reads > 0 {
		t.Errorf("%s, %d reads", diff, logs.reads)
	}
}

func TestTracker_ClockAhead(t *testing.T) {
	logs := &fakeLogs{ends: map[string]int64{"orders": 100}}
	if got := measure(lag.NewTracker(logs), start, snapshot("g", group.SnapshotOffset{Topic: "orders", Offset: 50}))[0]; got[0].Behind != 0 {
		t.Errorf("%s behind a record from the future", got[0].Behind)
	}
}

func TestTracker_Bound(t *testing.T) {
	logs := &fakeLogs{ends: map[string]int64{"orders": 1 << 40}}
	g := snapshot("g")
	for p := range int32(lag.MaxReads + 10) {
		g.Offsets = append(g.Offsets, group.SnapshotOffset{Topic: "orders", Partition: p})
	}
	tr := lag.NewTracker(logs)
	for round, want := range []int{10, 0} { // what was read stays known, so that the rest has its turn
		missing := 0
		for _, p := range measure(tr, start, g)[0] {
			if p.Behind < 0 {
				missing++
			}
		}
		if missing != want || logs.reads > lag.MaxReads*(round+1) {
			t.Errorf("round %d: %d not known after %d reads, want %d", round, missing, logs.reads, want)
		}
	}
}
