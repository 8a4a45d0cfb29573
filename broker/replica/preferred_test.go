package replica_test

import (
	"math"
	"testing"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// inRacks puts brokers 1 and 4 into rack a, 2 and 3 into rack b, all in sync with one record, and 3 with one more.
func inRacks(t *testing.T, rackAware bool) *world {
	t.Helper()
	w := newWorldWith(t, replica.Options{RackAware: rackAware})
	for id, rack := range map[protocol.NodeID]string{1: "a", 2: "b", 3: "b", 4: "c"} {
		w.publish(&metadata.RegisterBrokerRecord{ID: id, Epoch: epochOf(id), Rack: &rack, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "h", Port: 1}}})
	}
	w.publish(&metadata.TopicRecord{Name: topic, ID: topicID(1)}, &metadata.PartitionRecord{TopicID: topicID(1), PartitionState: image.Partition{
		Replicas: nodes(1, 2, 3, 4), ISR: nodes(1, 2, 3), Leader: self,
	}})
	w.mustProduceAcked(batch("a"))
	w.mustProduceAcked(batch("b"))
	w.follow(2, 1)
	w.follow(3, 2)
	w.follow(4, 2)
	return w
}

func reader(rack string) replica.ReadOptions {
	o := consumer
	o.AnyReplica, o.Rack, o.Listener = true, rack, "PLAINTEXT"
	return o
}

func TestRead_PrefersAReplicaInTheReadersRack(t *testing.T) {
	w := inRacks(t, true)
	tests := []struct {
		name   string
		o      replica.ReadOptions
		offset int64
		want   protocol.NodeID
	}{
		{"the one that has most", reader("b"), 0, 3},
		{"the leader's rack", reader("a"), 0, -1},
		{"no rack", reader(""), 0, -1},
		{"nobody there", reader("d"), 0, -1},
		{"only one that is not in sync", reader("c"), 0, -1},
		{"a listener that it does not have", func() replica.ReadOptions { o := reader("b"); o.Listener = "OTHER"; return o }(), 0, -1},
		{"an old client", func() replica.ReadOptions { o := reader("b"); o.AnyReplica = false; return o }(), 0, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := w.read(tt.o, from(tp0, tt.offset))
			if res.Err != nil || res.Preferred != tt.want {
				t.Fatalf("got %d and %v, want %d", res.Preferred, res.Err, tt.want)
			}
			if (res.Records == nil) != (tt.want >= 0) {
				t.Errorf("got records %v with preferred replica %d", res.Records, res.Preferred)
			}
			if !w.Enough(tt.o, []replica.ReadResult{res}) {
				t.Error("it would be waited for")
			}
		})
	}
	w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 3, Epoch: epochOf(3), Fenced: new(true)})
	if res := w.read(reader("b"), from(tp0, 1)); res.Preferred != 2 {
		t.Errorf("with broker 3 fenced: got %d, want 2", res.Preferred)
	}
	if res := w.read(reader("b"), from(tp0, 2)); res.Preferred != -1 {
		t.Errorf("an offset that only the leader has: got %d, want none", res.Preferred)
	}
}

// stamped is a batch as a leader has it.
func stamped(offset int64, epoch int32, b []byte) []byte {
	records.Batch(b).SetBaseOffset(offset)
	records.Batch(b).SetPartitionLeaderEpoch(epoch)
	return b
}

func TestRead_PrefersNobodyUnlessConfigured(t *testing.T) {
	w := inRacks(t, false)
	if res := w.read(reader("b"), from(tp0, 0)); res.Preferred != -1 || res.Records == nil {
		t.Errorf("got %+v, want the records", res)
	}
}

// A follower answers who may read from it, up to its own high watermark, which its leader tells it.
func TestRead_FromAFollower(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a"))
	w.follow(2, 1)
	w.elect(topicID(1), 2)
	if res := w.read(reader("b"), from(tp0, 0)); len(values(t, res, 0)) != 1 || res.HighWatermark != 1 {
		t.Fatalf("got %+v, want a record", res)
	}
	wantKind(t, w.read(consumer, from(tp0, 0)).Err, errcode.KindNotLeaderForPartition)
	wantKind(t, w.read(follower(3), from(tp0, 0)).Err, errcode.KindNotLeaderForPartition)
	q := from(tp0, 0)
	q.CurrentLeaderEpoch = 0
	wantKind(t, w.read(reader("b"), q).Err, errcode.KindFencedLeaderEpoch)
	wantKind(t, w.read(reader("b"), from(tp0, 2)).Err, errcode.KindOffsetOutOfRange)

	f, err := w.Follow(protocol.TopicIDPartition{ID: topicID(1), Topic: topic}, 1)
	if err != nil {
		t.Fatal(err)
	}
	waited, _ := w.await(reader("b"), soon, from(tp0, 1))
	if err := f.Append(1, stamped(1, 1, batch("b"))); err != nil {
		t.Fatal(err)
	}
	if err := f.Advance(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	if isDone(waited) {
		t.Error("a reader is woken before the high watermark has moved")
	}
	if res := w.read(reader("b"), from(tp0, 1)); res.Err != nil || res.Records != nil {
		t.Errorf("above the high watermark: got %+v, want nothing", res)
	}
	if err := f.Advance(t.Context(), math.MaxInt64, 0); err != nil {
		t.Fatal(err)
	}
	wait(t, waited)
	if res := w.read(reader("b"), from(tp0, 1)); len(values(t, res, 1)) != 1 {
		t.Errorf("got %+v, want the second record", res)
	}
	wantKind(t, w.read(reader("b"), from(protocol.TopicPartition{Topic: topic, Partition: 1}, 0)).Err, errcode.KindUnknownTopicOrPartition)
}
