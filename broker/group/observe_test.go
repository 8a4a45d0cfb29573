package group

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
)

func TestState_Snapshots(t *testing.T) {
	counters := new(Counters)
	settings := Settings{OffsetMetadataMaxBytes: 4096, OffsetsRetention: time.Hour, OffsetsRetentionCheck: time.Hour}
	env := Env{Settings: func() Settings { return settings }, Logger: slog.New(slog.DiscardHandler), Counters: counters}
	shard := coordtest.New(NewState(env))
	commit := func(group, topic string, partition int32, offset int64) {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 8, group, -1
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = partition, offset
		req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
		shard.Do(func(fx coordlog.Effects, s *State) {
			s.OffsetCommit(fx, Caller{}, req, func(resp *kmsg.OffsetCommitResponse) {
				if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
					t.Errorf("commit %s %s-%d: error %d", group, topic, partition, code)
				}
			})
		})
	}
	commit("b", "orders", 1, 5)
	commit("b", "orders", 0, 3)
	commit("b", "audit", 0, 1)
	commit("a", "orders", 0, 9)
	commit("b", "orders", 0, 4)
	b := Snapshot{ID: "b", Type: "classic", State: "Empty", Offsets: []SnapshotOffset{{"audit", 0, 1}, {"orders", 0, 4}, {"orders", 1, 5}}}
	want := []Snapshot{{ID: "a", Type: "classic", State: "Empty", Offsets: []SnapshotOffset{{"orders", 0, 9}}}, b}
	if diff := cmp.Diff(want, shard.Machine.Snapshots()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(&b, shard.Machine.Snapshot("b")); diff != "" {
		t.Error(diff)
	}
	for i, got := range shard.Machine.Summaries() {
		if want[i].Offsets = nil; cmp.Diff(want[i], got) != "" || !shard.Machine.Exists(got.ID) {
			t.Errorf("summary %d is %v", i, got)
		}
	}
	if got := shard.Machine.Snapshot("c"); got != nil {
		t.Errorf("a group that there is not: %v", got)
	}
	if n := counters.OffsetCommits.Load(); n != 5 {
		t.Errorf("%d commits were counted, want 5", n)
	}
	shard.Advance(3 * time.Hour)
	if n := counters.OffsetExpirations.Load(); n != 4 {
		t.Errorf("%d expirations were counted, want 4", n)
	}
	for _, g := range shard.Machine.Snapshots() {
		if len(g.Offsets) > 0 {
			t.Errorf("%s still has offsets", g.ID)
		}
	}
}
