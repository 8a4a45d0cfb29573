package replica_test

import (
	"encoding/binary"
	"testing"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Above the high watermark that a follower knows there may be records that were acknowledged: the next leader epoch alone is
// no reason to cut them off (KIP-101, I8).
func TestFollow_KeepsWhatIsAboveTheHighWatermark(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	other := protocol.NodeID(2)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Leader: &other})
	tip := protocol.TopicIDPartition{Topic: topic, ID: topicID(1)}
	f, err := w.Follow(tip, w.epoch())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Append(0, batch("a", "b")); err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	next := protocol.NodeID(3)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Leader: &next})
	if f, err = w.Follow(tip, w.epoch()); err != nil {
		t.Fatal(err)
	}
	if at := f.Position(); at.LogEndOffset != 2 {
		t.Errorf("in the next leader epoch the log ends at %d, want 2", at.LogEndOffset)
	}
}

// What a compacted log has below the cut may lack records that were superseded by what is cut off. The leader of an unclean election
// has them, and so must its copy.
func TestFollow_BeginsACompactedLogAnewAfterAnUncleanElection(t *testing.T) {
	for _, tc := range []struct {
		name      string
		compacted bool
		want      int64
	}{{"compacted", true, 0}, {"not compacted", false, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.logs.config.CleanupCompact, w.logs.config.CleanupDelete = tc.compacted, !tc.compacted
			w.replicate(1, 2, 3)
			other, recovering := protocol.NodeID(2), metadata.Recovering
			w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Leader: &other})
			tip := protocol.TopicIDPartition{Topic: topic, ID: topicID(1)}
			f, err := w.Follow(tip, w.epoch())
			if err != nil {
				t.Fatal(err)
			}
			if err := f.Append(0, batch("a", "b")); err != nil {
				t.Fatal(err)
			}
			if err := f.Append(2, batchFrom(2, "c")); err != nil {
				t.Fatal(err)
			}
			if err := f.Advance(t.Context(), 3, 0); err != nil {
				t.Fatal(err)
			}
			last := f.Position().LastEpoch
			next := protocol.NodeID(3)
			w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Leader: &next, LeaderRecoveryState: &recovering})
			if f, err = w.Follow(tip, w.epoch()); err != nil {
				t.Fatal(err)
			}
			if err := f.Truncate(replica.EpochEnd{Epoch: last, EndOffset: 2}); err != nil {
				t.Fatal(err)
			}
			if at := f.Position(); at.LogEndOffset != tc.want {
				t.Errorf("fetches from %d on, want %d", at.LogEndOffset, tc.want)
			}
			if got := w.Stats().Lost; got != 1 {
				t.Errorf("counts %d records that were lost, want 1", got)
			}
		})
	}
}

// batchFrom is a batch as a leader has it at an offset.
func batchFrom(offset int64, values ...string) []byte {
	b := batch(values...)
	binary.BigEndian.PutUint64(b, uint64(offset))
	return b
}
