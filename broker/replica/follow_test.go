package replica_test

import (
	"testing"

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
