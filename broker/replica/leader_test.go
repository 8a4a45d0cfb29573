package replica_test

import (
	"context"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func nodes(ids ...protocol.NodeID) []protocol.NodeID { return ids }

// replicate makes a topic with one partition whose replicas are brokers 1 to 3, led by this one, and registers those.
func (w *world) replicate(isr ...protocol.NodeID) {
	w.t.Helper()
	for _, id := range nodes(1, 2, 3) {
		w.register(id)
	}
	w.publish(&metadata.TopicRecord{Name: topic, ID: topicID(1)}, &metadata.PartitionRecord{TopicID: topicID(1), PartitionState: image.Partition{
		Replicas: nodes(1, 2, 3), ISR: isr, Leader: self,
	}})
}

// register registers a broker, unfenced, in broker epoch 10 times its id.
func (w *world) register(id protocol.NodeID) {
	w.t.Helper()
	w.publish(&metadata.RegisterBrokerRecord{ID: id, Epoch: epochOf(id)})
}

func epochOf(id protocol.NodeID) protocol.BrokerEpoch { return protocol.BrokerEpoch(10 * id) }

func follower(id protocol.NodeID) replica.ReadOptions {
	return replica.ReadOptions{ReplicaID: id, BrokerEpoch: epochOf(id), Isolation: replica.ReadLogEnd, MinBytes: 1, MaxBytes: 1 << 20}
}

// follow has a follower fetch from an offset on.
func (w *world) follow(id protocol.NodeID, offset int64) replica.ReadResult {
	w.t.Helper()
	q := from(tp0, offset)
	q.CurrentLeaderEpoch, q.LogStartOffset = w.epoch(), 0
	return w.read(follower(id), q)
}

// epoch is the leader epoch of partition 0.
func (w *world) epoch() protocol.LeaderEpoch {
	img, _ := w.builder.Build()
	return protocol.LeaderEpoch(img.Partition(tp0).LeaderEpoch)
}

// highWatermark is what a consumer is told.
func (w *world) highWatermark() int64 {
	w.t.Helper()
	res := w.read(consumer, from(tp0, 0))
	if res.Err != nil {
		w.t.Fatal(res.Err)
	}
	return res.HighWatermark
}

func TestLeader_AcknowledgesWhatAllInSyncHave(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	parts := to(tp0, batch("a", "b"))
	done := w.start(-1, soon, parts)
	res := w.follow(2, 0)
	if got := values(t, res, 0); len(got) != 2 || res.HighWatermark != 0 {
		t.Fatalf("the follower gets %q and high watermark %d, want all up to the log end and 0", got, res.HighWatermark)
	}
	w.follow(3, 0)
	w.follow(2, 2)
	if isDone(done) || w.highWatermark() != 0 {
		t.Fatal("acknowledged before the second follower has it")
	}
	w.follow(3, 2)
	wait(t, done)
	if res := w.follow(2, 2); res.HighWatermark != 2 {
		t.Errorf("a follower is told of high watermark %d, want 2", res.HighWatermark)
	}
	if res := parts[0].Result; res.Err != nil || res.BaseOffset != 0 {
		t.Errorf("got %+v", res)
	}
	if got := w.highWatermark(); got != 2 {
		t.Errorf("got high watermark %d, want 2", got)
	}
}

func TestLeader_WaitsForItsOwnSync(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	w.follow(2, 0)
	w.logs.hold()
	done := w.start(-1, soon, to(tp0, batch("a")))
	w.follow(2, 1)
	w.follow(3, 1)
	if isDone(done) || w.highWatermark() != 0 {
		t.Fatal("acknowledged before the leader has synced it")
	}
	w.logs.release()
	wait(t, done)
}

func TestLeader_CountsTheRealInSyncReplicas(t *testing.T) {
	w := newWorld(t)
	w.minISR.Store(2)
	w.replicate(1)
	wantKind(t, w.produce(tp0, batch("a")).Err, errcode.KindNotEnoughReplicas)
	parts := to(tp0, batch("b"))
	wait(t, w.start(1, soon, parts))
	if parts[0].Result.Err != nil || w.highWatermark() != 0 {
		t.Errorf("acks=1: got %v and high watermark %d, want it stored but not committed", parts[0].Result.Err, w.highWatermark())
	}
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1, 2)})
	done := w.start(-1, soon, to(tp0, batch("c")))
	w.follow(2, 2)
	wait(t, done)
	if got := w.highWatermark(); got != 2 {
		t.Errorf("got high watermark %d, want 2", got)
	}
}

// The set shrinks while an append waits: what remains has it, but too few do.
func TestLeader_InSyncReplicasShrinkWhileAnAppendWaits(t *testing.T) {
	w := newWorld(t)
	w.minISR.Store(2)
	w.replicate(1, 2, 3)
	w.follow(2, 0)
	parts := to(tp0, batch("a"))
	done := w.start(-1, soon, parts)
	w.follow(2, 1)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1, 2)})
	wait(t, done) // enough are left
	if parts[0].Result.Err != nil {
		t.Fatal(parts[0].Result.Err)
	}
	parts = to(tp0, batch("b"))
	done = w.start(-1, soon, parts)
	w.publish(
		&metadata.BrokerRegistrationChangeRecord{ID: 2, Epoch: epochOf(2), Fenced: new(true)},
		&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1)})
	if isDone(done) || w.highWatermark() != 1 {
		t.Fatalf("the high watermark is %d with too few in sync, want 1", w.highWatermark())
	}
	w.minISR.Store(1)
	w.Synced(tp0, 2)
	wait(t, done)
	if got := w.highWatermark(); got != 2 || parts[0].Result.Err != nil {
		t.Errorf("got high watermark %d and %v", got, parts[0].Result.Err)
	}
}

func TestLeader_EndsWaitsWhenItResigns(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	parts := to(tp0, batch("a"))
	done := w.start(-1, soon, parts)
	w.elect(topicID(1), 2)
	wait(t, done)
	wantKind(t, parts[0].Result.Err, errcode.KindNotLeaderForPartition)
	if want := (replica.Leader{ID: 2, Epoch: 1}); parts[0].Result.CurrentLeader != want {
		t.Errorf("got leader %+v, want %+v", parts[0].Result.CurrentLeader, want)
	}
}

func TestLeader_RefusesFollowers(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	w.mustProduceAcked(batch("a"))
	tests := []struct {
		name  string
		o     replica.ReadOptions
		epoch protocol.LeaderEpoch
		at    int64
		want  errcode.Kind
	}{
		{"that have no replica", follower(4), 0, 1, errcode.KindUnknownLeaderEpoch},
		{"that have no replica and no epoch", follower(4), -1, 1, errcode.KindNotLeaderForPartition},
		{"that are this broker", follower(self), 0, 1, errcode.KindUnknownLeaderEpoch},
		{"of a newer epoch", follower(2), 1, 1, errcode.KindUnknownLeaderEpoch},
		{"beyond the log end", follower(2), 0, 2, errcode.KindOffsetOutOfRange},
		{"of an earlier life", func() replica.ReadOptions { o := follower(2); o.BrokerEpoch--; return o }(), 0, 1, errcode.KindNotLeaderForPartition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := from(tp0, tt.at)
			q.CurrentLeaderEpoch = tt.epoch
			wantKind(t, w.read(tt.o, q).Err, tt.want)
		})
	}
	if got := w.highWatermark(); got != 0 {
		t.Errorf("a refused fetch moved the high watermark to %d", got)
	}
}

// mustProduceAcked appends with acks=1.
func (w *world) mustProduceAcked(b []byte) {
	w.t.Helper()
	parts := to(tp0, b)
	wait(w.t, w.start(1, soon, parts))
	if parts[0].Result.Err != nil {
		w.t.Fatal(parts[0].Result.Err)
	}
}

func TestLeader_ADivergingFetchSaysNothing(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a"))
	w.elect(topicID(1), self)
	w.mustProduceAcked(batch("b"))
	q := from(tp0, 2)
	q.CurrentLeaderEpoch, q.LastFetchedEpoch = 1, 0
	res := w.read(follower(2), q)
	if want := (replica.EpochEnd{Epoch: 0, EndOffset: 1}); res.Err != nil || res.Diverging != want {
		t.Fatalf("got %+v, want it to diverge at %+v", res, want)
	}
	if got := w.highWatermark(); got != 0 {
		t.Errorf("got high watermark %d, want 0", got)
	}
}

// A new leader starts with what it knew of the high watermark, and waits for its followers to come to its own log's end.
func TestLeader_BeginsAnEpochBelowItsStart(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a"))
	w.elect(topicID(1), self)
	q := replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: replica.Latest}
	_, err := w.ListOffset(q)
	wantKind(t, err, errcode.KindOffsetNotAvailable)
	w.follow(2, 0)
	_, err = w.ListOffset(q)
	wantKind(t, err, errcode.KindOffsetNotAvailable)
	w.follow(2, 1)
	if found, err := w.ListOffset(q); err != nil || found.Offset != 1 {
		t.Errorf("got %+v and %v, want offset 1", found, err)
	}
}

func TestLeader_AppendsEndFollowersWaits(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2, 3)
	q := from(tp0, 0)
	q.CurrentLeaderEpoch = 0
	if res := w.read(follower(2), q); res.Err != nil || res.Records != nil {
		t.Fatalf("got %+v, want nothing yet", res)
	}
	waited, _ := w.await(follower(2), soon, q)
	consumed, _ := w.await(consumer, soon, from(tp0, 0))
	w.logs.hold() // a follower reads what is not synced yet
	done := w.start(-1, soon, to(tp0, batch("a")))
	wait(t, waited)
	if isDone(consumed) {
		t.Error("a consumer is woken before the high watermark moved")
	}
	w.logs.release()
	w.follow(3, 1)
	w.follow(2, 1)
	wait(t, done)
	wait(t, consumed)
}

// What was fetched after a wait was noted when the wait began.
func TestLeader_AReadAgainSaysNothingNew(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a"))
	o := follower(2)
	o.Again = true
	q := from(tp0, 1)
	if res := w.read(o, q); res.Err != nil || w.highWatermark() != 0 {
		t.Errorf("got %v and high watermark %d, want nothing noted", res.Err, w.highWatermark())
	}
}

// A follower that is about to join holds the high watermark back until it has joined or is late.
func TestLeader_WaitsForAFollowerThatIsAboutToJoin(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.follow(3, 0) // at the log end: caught up
	done := w.start(-1, soon, to(tp0, batch("a")))
	w.follow(2, 1)
	if isDone(done) {
		t.Fatal("the high watermark runs ahead of a follower that is about to join")
	}
	w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 3, Epoch: epochOf(3), Fenced: new(true)})
	w.Synced(tp0, 1)
	select {
	case <-done:
	case <-time.After(soon):
		t.Error("a fenced broker holds the high watermark back")
	}
}

func TestDeleteRecords_WaitsForFollowers(t *testing.T) {
	w := newWorld(t)
	w.replicate(1, 2)
	w.mustProduceAcked(batch("a", "b"))
	w.follow(2, 2)
	w.follow(3, 2)
	q := from(tp0, 2)
	q.CurrentLeaderEpoch, q.LogStartOffset = 0, 0
	waited, _ := w.await(follower(2), soon, q)
	if _, err := w.DeleteRecords(tp0, 1); err != nil {
		t.Fatal(err)
	}
	wait(t, waited) // the follower hears of it at once
	low := make(chan int64)
	go func() {
		got, err := w.AwaitLowWatermark(t.Context(), tp0, 1)
		if err != nil {
			t.Error(err)
		}
		low <- got
	}()
	start := func(id protocol.NodeID, offset int64) {
		q.LogStartOffset = offset
		if res := w.read(follower(id), q); res.Err != nil || res.LogStartOffset != 1 {
			t.Errorf("got %+v, want log start offset 1", res)
		}
	}
	start(2, 1)
	w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 3, Epoch: epochOf(3), Fenced: new(true)}) // it is not waited for
	start(2, 1)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1, 2)})
	if got := <-low; got != 1 {
		t.Errorf("got low watermark %d, want 1", got)
	}

	w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 3, Epoch: epochOf(3), Fenced: new(false)})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := w.AwaitLowWatermark(ctx, tp0, 1)
	wantKind(t, err, errcode.KindRequestTimedOut)
	if got != 0 {
		t.Errorf("got low watermark %d, want 0", got)
	}
	w.elect(topicID(1), 2)
	_, err = w.AwaitLowWatermark(t.Context(), tp0, 1)
	wantKind(t, err, errcode.KindNotLeaderForPartition)
}
