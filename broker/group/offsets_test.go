package group

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// newTestState returns a state that follows these settings.
func newTestState(settings *Settings) *State {
	return NewState(Env{Settings: func() Settings { return *settings }, Logger: slog.New(slog.DiscardHandler)})
}

// commitRecord is the record of an offset that a simple group committed now.
func commitRecord(now time.Time, group, topic string, partition int32) coordlog.Record {
	v := schema.OffsetCommitValue{Offset: 1, LeaderEpoch: -1, CommitTimestampMillis: now.UnixMilli(), ExpireTimestampMillis: -1}
	return coordlog.NewRecord(schema.AppendOffsetCommitKey(nil, group, topic, partition), v.Append(nil))
}

// TestOffsets_ExpireInRuns: when very many offsets expire at once, they do so in several runs, between which others have their
// turn; a group and its offsets are gone after the last.
func TestOffsets_ExpireInRuns(t *testing.T) {
	settings := &Settings{OffsetsRetention: time.Hour, OffsetsRetentionCheck: time.Minute}
	shard := coordtest.New(newTestState(settings))
	const groups, partitions = 30, 1000
	for g := range groups {
		for p := range int32(partitions) {
			if err := shard.Append(commitRecord(shard.Now(), fmt.Sprintf("g%02d", g), "t", p)); err != nil {
				t.Fatal(err)
			}
		}
	}
	shard.MaxBatch = 2 * tombstoneBatchBytes
	counters := shard.Machine.env.Counters
	shard.Advance(time.Hour - time.Millisecond)
	if n := counters.OffsetExpirations.Load(); n != 0 {
		t.Fatalf("%d offsets expired before their time", n)
	}
	*settings = Settings{OffsetsRetention: time.Hour - time.Millisecond, OffsetsRetentionCheck: time.Minute}
	shard.Do(func(fx coordlog.Effects, s *State) { s.expireOffsets(fx) })
	if n := counters.OffsetExpirations.Load(); n != expiredPerRun {
		t.Errorf("%d offsets expired in the first run, want %d", n, expiredPerRun)
	}
	shard.Advance(0)
	if n := counters.OffsetExpirations.Load(); n != groups*partitions {
		t.Errorf("%d offsets expired in the end, want %d", n, groups*partitions)
	}
	if n := len(shard.Machine.groups); n != 0 {
		t.Errorf("%d groups are left", n)
	}
	if timers := shard.Timers(); len(timers) != 1 || timers[0] != expiryTimer+" in 1m0s" {
		t.Errorf("timers: %q", timers)
	}
}

// TestOffsetCommit_Allocations: what a commit allocates does not grow with its partitions.
func TestOffsetCommit_Allocations(t *testing.T) {
	fx := &benchEffects{state: newTestState(benchSettings())}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group = 9, "g"
	topic := kmsg.OffsetCommitRequestTopic{Topic: "orders"}
	for p := range int32(500) {
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition = p
		topic.Partitions = append(topic.Partitions, partition)
	}
	req.Topics = append(req.Topics, topic)
	commit := func() { fx.state.OffsetCommit(fx, Caller{}, req, func(*kmsg.OffsetCommitResponse) {}) }
	if n := testing.AllocsPerRun(10, commit); n > 10 {
		t.Errorf("a commit of 500 partitions: %v allocations, want at most 10", n)
	}
}

// TestReplay_Unknown: what cannot be understood is not passed over in silence; what is not served is.
func TestReplay_Unknown(t *testing.T) {
	good := commitRecord(coordtest.Epoch, "g", "t", 0)
	for _, tt := range []struct {
		name       string
		key, value []byte
		fails      bool
	}{
		{"no key", nil, nil, true},
		{"half a key", good.Key[:5], good.Value, true},
		{"half a value", good.Key, good.Value[:5], true},
		{"a value of a newer version", good.Key, []byte{0, 9}, true},
		{"half a group's key", []byte{0, 2, 0, 9}, nil, true},
		{"a share group", []byte{0, 11, 0, 1, 'g'}, []byte{0, 0, 1}, false},
		{"a type of a newer Kafka", []byte{0, 99}, []byte{1}, false},
	} {
		s := newTestState(benchSettings())
		if err := s.Replay(coordlog.NewRecord(tt.key, tt.value)); (err != nil) != tt.fails {
			t.Errorf("%s: got error %v", tt.name, err)
		}
		if len(s.groups) != 0 {
			t.Errorf("%s: made a group", tt.name)
		}
	}
}
