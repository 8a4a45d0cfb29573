package replica_test

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestAppend_IsReadAfterTheSyncOnly(t *testing.T) {
	for _, acks := range []int16{1, -1} {
		t.Run(fmt.Sprintf("acks=%d", acks), func(t *testing.T) {
			w := newWorld(t)
			w.create(topic, topicID(1), 1)
			if got := w.mustProduce(tp0, batch("a")); got != 0 {
				t.Errorf("got base offset %d, want 0", got)
			}
			w.logs.hold()
			parts := to(tp0, batch("b", "c"))
			done := w.start(acks, soon, parts)
			if isDone(done) {
				t.Fatal("acknowledged before the sync")
			}
			if res := w.read(consumer, from(tp0, 0)); res.HighWatermark != 1 || len(values(t, res, 0)) != 1 {
				t.Errorf("before the sync: got high watermark %d and %q, want 1 and a", res.HighWatermark, values(t, res, 0))
			}
			if res := w.read(consumer, from(tp0, 1)); res.Err != nil || res.Records != nil {
				t.Errorf("at the high watermark: got %+v, want nothing and no error", res)
			}
			w.logs.release()
			wait(t, done)
			if res := parts[0].Result; res.Err != nil || res.BaseOffset != 1 || res.LogAppendTime != -1 {
				t.Errorf("got %+v, want base offset 1", res)
			}
			res := w.read(consumer, from(tp0, 1))
			if d := cmp.Diff([]string{"b", "c"}, values(t, res, 1)); d != "" || res.HighWatermark != 3 || res.LastStableOffset != 3 {
				t.Errorf("after the sync: %s%+v", d, res)
			}
		})
	}
}

func TestAppend_AcksZeroWaitsForNothing(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.logs.hold()
	parts := to(tp0, batch("a"))
	if !isDone(w.start(0, soon, parts)) || parts[0].Result.Err != nil {
		t.Errorf("got %+v, want it done at once", parts[0].Result)
	}
}

func TestAppend_KafkasFlushModeWaitsForNoSync(t *testing.T) {
	w := newWorld(t)
	w.logs.config.FlushMessages = math.MaxInt64
	w.create(topic, topicID(1), 1)
	w.logs.hold()
	for _, acks := range []int16{1, -1} {
		if !isDone(w.start(acks, soon, to(tp0, batch("a")))) {
			t.Errorf("acks=%d waits", acks)
		}
	}
	if got := values(t, w.read(consumer, from(tp0, 0)), 0); len(got) != 2 {
		t.Errorf("got %q, want both records", got)
	}
}

func TestAppend_Refuses(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 2)
	w.publish(&metadata.PartitionChangeRecord{TopicID: id, Partition: 1, Leader: new(protocol.NodeID(2)), ISR: []protocol.NodeID{2}, Replicas: []protocol.NodeID{2, 1}})
	other := topicID(2)
	w.publish(&metadata.TopicRecord{Name: "elsewhere", ID: other}, &metadata.PartitionRecord{TopicID: other, PartitionState: image.Partition{
		Replicas: []protocol.NodeID{3}, ISR: []protocol.NodeID{3}, Leader: 3, LeaderEpoch: 7,
	}})
	broken := batch("a")
	broken[len(broken)-1] ^= 1
	tests := []struct {
		name   string
		tp     protocol.TopicPartition
		id     protocol.TopicID
		b      []byte
		want   errcode.Kind
		leader replica.Leader
	}{
		{"unknown topic", protocol.TopicPartition{Topic: "nope"}, protocol.TopicID{}, batch("a"), errcode.KindUnknownTopicOrPartition, replica.Leader{ID: -1, Epoch: -1}},
		{"unknown partition", protocol.TopicPartition{Topic: topic, Partition: 2}, protocol.TopicID{}, batch("a"), errcode.KindUnknownTopicOrPartition, replica.Leader{ID: -1, Epoch: -1}},
		{"another topic id", tp0, other, batch("a"), errcode.KindInconsistentTopicID, replica.Leader{ID: -1, Epoch: -1}},
		{"a follower here", protocol.TopicPartition{Topic: topic, Partition: 1}, id, batch("a"), errcode.KindNotLeaderForPartition, replica.Leader{ID: 2, Epoch: 1}},
		{"no replica here", protocol.TopicPartition{Topic: "elsewhere"}, protocol.TopicID{}, batch("a"), errcode.KindNotLeaderForPartition, replica.Leader{ID: 3, Epoch: 7}},
		{"a broken batch", tp0, id, broken, errcode.KindCorruptMessage, replica.Leader{ID: -1, Epoch: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			parts := to(tt.tp, tt.b)
			parts[0].ID = tt.id
			wait(t, w.start(-1, soon, parts))
			res := parts[0].Result
			wantKind(t, res.Err, tt.want)
			if res.CurrentLeader != tt.leader || res.BaseOffset != -1 || res.LogAppendTime != -1 || res.LogStartOffset != -1 {
				t.Errorf("got %+v, want leader %+v and nothing else", res, tt.leader)
			}
		})
	}
}

func TestAppend_OfACoordinatorInAnotherEpoch(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.elect(topicID(1), self)
	for _, tt := range []struct {
		epoch protocol.LeaderEpoch
		want  errcode.Kind
	}{{0, errcode.KindNotLeaderForPartition}, {2, errcode.KindNotLeaderForPartition}, {1, errcode.KindNone}} {
		parts := to(tp0, batch("a"))
		parts[0].LeaderEpoch = tt.epoch
		done := make(chan struct{})
		if w.Append(replica.AppendOptions{Acks: -1, Timeout: soon, Origin: replica.FromCoordinator}, parts, func() { close(done) }) {
			close(done)
		}
		wait(t, done)
		wantKind(t, parts[0].Result.Err, tt.want)
		if want := (replica.Leader{ID: self, Epoch: 1}); tt.want != errcode.KindNone && parts[0].Result.CurrentLeader != want {
			t.Errorf("got leader %+v, want %+v", parts[0].Result.CurrentLeader, want)
		}
	}
	if got := values(t, w.read(consumer, from(tp0, 0)), 0); len(got) != 1 {
		t.Errorf("got %q, want what was appended in the right epoch", got)
	}
}

func TestAppend_MinISR(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 1)
	w.minISR.Store(2)
	w.mustProduce(tp0, batch("a replica of one is always enough"))
	w.publish(&metadata.PartitionChangeRecord{TopicID: id, Replicas: []protocol.NodeID{1, 2}})
	wantKind(t, w.produce(tp0, batch("b")).Err, errcode.KindNotEnoughReplicas)
	parts := to(tp0, batch("c"))
	wait(t, w.start(1, soon, parts))
	wantKind(t, parts[0].Result.Err, errcode.KindNone)
	if res := w.read(consumer, from(tp0, 1)); res.Records != nil || res.HighWatermark != 1 {
		t.Errorf("got %+v: the high watermark moves below min.insync.replicas", res)
	}
	if s := w.Stats(); s.UnderMinISR != 1 || s.UnderReplicated != 1 {
		t.Errorf("got %+v", s)
	}
	w.publish(&metadata.PartitionChangeRecord{TopicID: id, Replicas: []protocol.NodeID{1}})
	if res := w.read(consumer, from(tp0, 1)); res.HighWatermark != 2 {
		t.Errorf("got %+v: the high watermark does not move when enough are in sync again", res)
	}
}

func TestAppend_WaitEnds(t *testing.T) {
	tests := []struct {
		name string
		end  func(w *world)
		want errcode.Kind
	}{
		{"by the timeout", func(*world) {}, errcode.KindRequestTimedOut},
		{"by another leader", func(w *world) { w.elect(topicID(1), 2) }, errcode.KindNotLeaderForPartition},
		{"by another epoch of the same leader", func(w *world) { w.elect(topicID(1), self) }, errcode.KindNotLeaderForPartition},
		{"by the deletion of the topic", func(w *world) { w.publish(&metadata.RemoveTopicRecord{ID: topicID(1)}) }, errcode.KindUnknownTopicOrPartition},
		{"by the failure of the disk", func(w *world) { w.logs.breakSyncs(errors.New("EIO")); w.logs.release() }, errcode.KindKafkaStorageError},
		{"by the end of the manager", func(w *world) { w.logs.release(); w.Close() }, errcode.KindNone}, // synced before
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.logs.failed = w.DirFailed
			w.create(topic, topicID(1), 1)
			w.mustProduce(tp0, batch("a"))
			w.logs.hold()
			timeout := soon
			if tt.want == errcode.KindRequestTimedOut {
				timeout = 10 * time.Millisecond
			}
			parts := to(tp0, batch("b"))
			done := w.start(-1, timeout, parts)
			if tt.want != errcode.KindRequestTimedOut && isDone(done) {
				t.Fatal("acknowledged before the sync")
			}
			tt.end(w)
			wait(t, done)
			res := parts[0].Result
			if tt.want == errcode.KindNone && errcode.KindOf(res.Err) == errcode.KindNotLeaderForPartition {
				return // the manager was faster than the sync
			}
			wantKind(t, res.Err, tt.want)
		})
	}
}

func TestAppend_SeveralPartitions(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 3)
	parts := make([]replica.Append, 0, 4)
	for i := range int32(4) { // the last does not exist
		parts = append(parts, to(protocol.TopicPartition{Topic: topic, Partition: i}, batch("x"))[0])
	}
	wait(t, w.start(-1, soon, parts))
	for i := range parts {
		want := errcode.KindNone
		if i == 3 {
			want = errcode.KindUnknownTopicOrPartition
		}
		wantKind(t, parts[i].Result.Err, want)
	}
}

func TestRead_Epochs(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 1)
	w.mustProduce(tp0, batch("a", "b")) // epoch 0: offsets 0, 1
	w.elect(id, self)
	w.mustProduce(tp0, batch("c")) // epoch 1: offset 2
	w.elect(id, self)
	w.elect(id, self)
	w.mustProduce(tp0, batch("d")) // epoch 3: offset 3
	leader := replica.Leader{ID: self, Epoch: 3}
	none := replica.Leader{ID: -1, Epoch: -1}
	tests := []struct {
		name          string
		current, last protocol.LeaderEpoch
		offset        int64
		want          errcode.Kind
		diverging     replica.EpochEnd
		leader        replica.Leader
	}{
		{"current epoch", 3, -1, 0, 0, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"older epoch", 2, -1, 0, errcode.KindFencedLeaderEpoch, replica.EpochEnd{Epoch: -1, EndOffset: -1}, leader},
		{"newer epoch", 4, -1, 0, errcode.KindUnknownLeaderEpoch, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"last fetched is the newest", 3, 3, 4, 0, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"last fetched fits", 3, 0, 2, 0, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"last fetched ended earlier", 3, 0, 3, 0, replica.EpochEnd{Epoch: 0, EndOffset: 2}, none},
		{"last fetched newer than any", 3, 4, 4, errcode.KindOffsetOutOfRange, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"below the log", 3, -1, -1, errcode.KindOffsetOutOfRange, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"behind the log", 3, -1, 5, errcode.KindOffsetOutOfRange, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
		{"at the end of the log", 3, -1, 4, 0, replica.EpochEnd{Epoch: -1, EndOffset: -1}, none},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := from(tp0, tt.offset)
			q.CurrentLeaderEpoch, q.LastFetchedEpoch = tt.current, tt.last
			res := w.read(consumer, q)
			wantKind(t, res.Err, tt.want)
			if res.Diverging != tt.diverging || res.CurrentLeader != tt.leader {
				t.Errorf("got diverging %+v and leader %+v, want %+v and %+v", res.Diverging, res.CurrentLeader, tt.diverging, tt.leader)
			}
			if res.Err != nil && (res.HighWatermark != -1 || res.LogStartOffset != -1 || res.Records != nil) {
				t.Errorf("got %+v with an error", res)
			}
			if tt.diverging.Epoch >= 0 && (res.Records != nil || res.HighWatermark != 4 || !w.Enough(consumer, []replica.ReadResult{res})) {
				t.Errorf("got %+v with a diverging epoch", res)
			}
		})
	}
	for requested, want := range map[protocol.LeaderEpoch]replica.EpochEnd{
		0: {Epoch: 0, EndOffset: 2}, 1: {Epoch: 1, EndOffset: 3}, 3: {Epoch: 3, EndOffset: 4}, 4: {Epoch: -1, EndOffset: -1},
	} {
		if got, err := w.EndOffsetForEpoch(tp0, -1, requested); err != nil || got != want {
			t.Errorf("end of epoch %d: got %+v and %v, want %+v", requested, got, err, want)
		}
	}
	_, err := w.EndOffsetForEpoch(tp0, 2, 1)
	wantKind(t, err, errcode.KindFencedLeaderEpoch)
}

func TestRead_Limits(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 4)
	size := len(batch("0123456789"))
	for i := range int32(3) { // the last one stays empty
		for range 3 {
			w.mustProduce(protocol.TopicPartition{Topic: topic, Partition: i}, batch("0123456789"))
		}
	}
	q := func(partition int32, maxBytes int) replica.ReadPartition {
		r := from(protocol.TopicPartition{Topic: topic, Partition: partition}, 0)
		r.MaxBytes = maxBytes
		return r
	}
	tests := []struct {
		name     string
		maxBytes int
		parts    []replica.ReadPartition
		want     []int // batches
	}{
		{"everything", 1 << 20, []replica.ReadPartition{q(0, 1<<20), q(1, 1<<20)}, []int{3, 3}},
		{"whole batches only", 1 << 20, []replica.ReadPartition{q(0, 2*size+size/2), q(1, size)}, []int{2, 1}},
		{"the first one that has any gives at least one", 1, []replica.ReadPartition{q(3, 1), q(0, 1), q(1, 1)}, []int{0, 1, 0}},
		{"even with a limit of nothing", 0, []replica.ReadPartition{q(0, 0), q(1, 0)}, []int{1, 0}},
		{"the limit of the request", 4 * size, []replica.ReadPartition{q(0, 1<<20), q(1, 1<<20), q(2, 1<<20)}, []int{3, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := make([]int, 0, len(tt.parts))
			for _, res := range w.Read(nil, replica.ReadOptions{ReplicaID: -1, MaxBytes: tt.maxBytes}, tt.parts) {
				got = append(got, len(values(t, res, 0)))
				if res.Records != nil {
					res.Records.Close()
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("batches (-want +got)\n%s", d)
			}
		})
	}
}

func TestRead_LogEndSeesWhatIsNotSynced(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	w.logs.hold()
	w.start(0, soon, to(tp0, batch("b")))
	o := consumer
	o.Isolation = replica.ReadLogEnd
	if got := values(t, w.read(o, from(tp0, 0)), 0); len(got) != 2 {
		t.Errorf("got %q, want both", got)
	}
}

func TestListOffset(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 1)
	empty, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: replica.MaxTimestamp})
	if want := (replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}); err != nil || empty != want {
		t.Errorf("largest timestamp of nothing: got %+v and %v, want %+v", empty, err, want)
	}
	w.mustProduce(tp0, batchAt(1000, "a", "b")) // 1000, 1001
	w.elect(id, self)
	w.mustProduce(tp0, batchAt(3000, "c")) // offset 2
	w.mustProduce(tp0, batchAt(2000, "d")) // offset 3
	w.logs.hold()
	w.start(0, soon, to(tp0, batchAt(9000, "e"))) // offset 4, not visible
	tests := []struct {
		name      string
		timestamp int64
		want      replica.FoundOffset
	}{
		{"latest", replica.Latest, replica.FoundOffset{Offset: 4, Timestamp: -1, LeaderEpoch: 1}},
		{"earliest", replica.Earliest, replica.FoundOffset{Offset: 0, Timestamp: -1, LeaderEpoch: 0}},
		{"earliest local", replica.EarliestLocal, replica.FoundOffset{Offset: 0, Timestamp: -1, LeaderEpoch: 0}},
		{"latest tiered", replica.LatestTiered, replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}},
		{"earliest pending upload", replica.EarliestPendingUpload, replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}},
		{"before all", 0, replica.FoundOffset{Offset: 0, Timestamp: 1000, LeaderEpoch: 0}},
		{"inside a batch", 1001, replica.FoundOffset{Offset: 1, Timestamp: 1001, LeaderEpoch: 0}},
		{"in the next batch", 1002, replica.FoundOffset{Offset: 2, Timestamp: 3000, LeaderEpoch: 1}},
		{"not visible yet", 3001, replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}},
		{"after all", 9001, replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: tt.timestamp})
			if err != nil || got != tt.want {
				t.Errorf("got %+v and %v, want %+v", got, err, tt.want)
			}
		})
	}
	if got, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: 1, Timestamp: replica.Latest, Isolation: replica.ReadLogEnd}); err != nil || got.Offset != 5 {
		t.Errorf("log end: got %+v and %v, want 5", got, err)
	}
	w.logs.release()
	_, err = w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: 0, Timestamp: replica.Latest})
	wantKind(t, err, errcode.KindFencedLeaderEpoch)
}

func TestListOffset_NotAvailableUntilTheEpochIsReached(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 1)
	w.mustProduce(tp0, batchAt(1000, "a"))
	w.logs.hold()
	w.start(0, soon, to(tp0, batchAt(2000, "b")))
	w.elect(id, self) // begins at offset 2, with the high watermark at 1
	for _, timestamp := range []int64{replica.Latest, replica.MaxTimestamp, 1500} {
		_, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: timestamp})
		wantKind(t, err, errcode.KindOffsetNotAvailable)
	}
	for _, timestamp := range []int64{replica.Earliest, 500} { // what is visible does not depend on it
		if got, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: timestamp}); err != nil || got.Offset != 0 {
			t.Errorf("timestamp %d: got %+v and %v, want offset 0", timestamp, got, err)
		}
	}
	w.logs.release()
	w.mustProduce(tp0, batchAt(3000, "c"))
	if got, err := w.ListOffset(replica.ListOffset{TopicPartition: tp0, CurrentLeaderEpoch: -1, Timestamp: replica.Latest}); err != nil || got.Offset != 3 {
		t.Errorf("got %+v and %v, want 3", got, err)
	}
}

func TestDeleteRecords(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	for range 5 {
		w.mustProduce(tp0, batch("x"))
	}
	low := func(offset int64) (int64, error) { return w.AwaitLowWatermark(t.Context(), tp0, offset) }
	if deleted, err := w.DeleteRecords(tp0, 2); err != nil || deleted != 2 {
		t.Errorf("got %d and %v, want 2", deleted, err)
	}
	if deleted, err := w.DeleteRecords(tp0, 1); err != nil || deleted != 1 {
		t.Errorf("below the log start: got %d and %v, want 1", deleted, err)
	}
	if got, err := low(1); err != nil || got != 2 {
		t.Errorf("got low watermark %d and %v, want 2", got, err)
	}
	for _, bad := range []int64{6, -2} {
		deleted, err := w.DeleteRecords(tp0, bad)
		wantKind(t, err, errcode.KindOffsetOutOfRange)
		if deleted != -1 {
			t.Errorf("offset %d: got %d, want -1", bad, deleted)
		}
	}
	res := w.read(consumer, from(tp0, 1))
	wantKind(t, res.Err, errcode.KindOffsetOutOfRange)
	if res := w.read(consumer, from(tp0, 2)); res.LogStartOffset != 2 || len(values(t, res, 2)) != 3 {
		t.Errorf("got %+v, want three records from offset 2", res)
	}
	if deleted, err := w.DeleteRecords(tp0, replica.HighWatermark); err != nil || deleted != 5 {
		t.Errorf("all: got %d and %v, want 5", deleted, err)
	}
	w.logs.config.CleanupCompact, w.logs.config.CleanupDelete = true, false
	w.logs.Reconfigure(topic)
	_, err := w.DeleteRecords(tp0, replica.HighWatermark)
	wantKind(t, err, errcode.KindPolicyViolation)
}

func TestProducers(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	if got, err := w.Producers(tp0); err != nil || len(got) != 0 {
		t.Errorf("got %+v and %v, want none", got, err)
	}
	_, err := w.Producers(protocol.TopicPartition{Topic: "nope"})
	wantKind(t, err, errcode.KindUnknownTopicOrPartition)
}

// What several requests bring is appended in their order, and each has an answer of its own.
func TestAppendAll_AnswersEachRequest(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 2)
	tp1 := protocol.TopicPartition{Topic: topic, Partition: 1}
	w.logs.hold()
	both := append(to(tp0, batch("a", "b")), to(tp1, batch("x"))...)
	unknown := append(to(protocol.TopicPartition{Topic: topic, Partition: 9}, batch("?")), to(tp0, batch("c"))...)
	wrong := append(to(tp0, batch("d")), to(tp1, []byte("no batch"))...)
	foreign := to(tp0, batch("e"))
	foreign[0].ID = topicID(7)
	done := make([]chan struct{}, 4)
	requests := make([]replica.AppendRequest, len(done))
	for i, parts := range [][]replica.Append{both, unknown, wrong, foreign} {
		done[i] = make(chan struct{})
		requests[i] = replica.AppendRequest{
			AppendOptions: replica.AppendOptions{Acks: -1, Timeout: soon}, Parts: parts, Done: func() { close(done[i]) },
		}
	}
	w.AppendAll(requests)
	for i, final := range []bool{false, false, false, true} {
		if requests[i].Final != final || isDone(done[i]) {
			t.Errorf("request %d: final %t, called %t before the sync", i, requests[i].Final, isDone(done[i]))
		}
	}
	w.logs.release()
	for i := range done {
		if !requests[i].Final {
			wait(t, done[i])
		}
	}
	for i, want := range []struct {
		got  *replica.AppendResult
		base int64
		kind errcode.Kind
	}{
		{&both[0].Result, 0, 0},
		{&both[1].Result, 0, 0},
		{&unknown[0].Result, -1, errcode.KindUnknownTopicOrPartition},
		{&unknown[1].Result, 2, 0},
		{&wrong[0].Result, 3, 0},
		{&wrong[1].Result, -1, errcode.KindInvalidRecord},
		{&foreign[0].Result, -1, errcode.KindInconsistentTopicID},
	} {
		if errcode.KindOf(want.got.Err) != want.kind || want.got.BaseOffset != want.base {
			t.Errorf("append %d: got offset %d and %v, want %+v", i, want.got.BaseOffset, want.got.Err, want)
		}
	}
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, values(t, w.read(consumer, from(tp0, 0)), 0)); d != "" {
		t.Error(d)
	}
}
