package replica_test

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// eventually waits for what workers bring about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(soon); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal(what, "did not come about")
		}
	}
}

func TestPublish_OpensNewTopics(t *testing.T) {
	w := newWorld(t)
	w.create("first", topicID(9), 2) // the first image says what is there
	w.create(topic, topicID(1), 3)
	eventually(t, "three logs", func() bool { return w.logs.created() == 3 })
	w.mustProduce(protocol.TopicPartition{Topic: "first", Partition: 1}, batch("a"))
	if got := w.logs.created(); got != 4 {
		t.Errorf("got %d logs, want 4: the first image's are opened when needed", got)
	}
}

// TestPublish_MakesTheLastFolder makes a topic that nothing is written to: its last folder tells how many partitions it has.
func TestPublish_MakesTheLastFolder(t *testing.T) {
	w := newWorld(t)
	w.create("first", topicID(9), 1)
	w.create(topic, topicID(1), 3)
	w.create("single", topicID(2), 1)
	folders := func() (names []string) {
		entries, err := w.logs.fs.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	last := topic + "-2"
	eventually(t, "four logs and a folder", func() bool { return w.logs.created() == 4 && slices.Equal(folders(), []string{last}) })
	w.mustProduce(tp0, batch("a"))
	if d := cmp.Diff([]string{topic + "-0", last}, folders()); d != "" {
		t.Error(d)
	}
}

func TestPublish_DeletesAndRecreates(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("old"))
	w.publish(&metadata.RemoveTopicRecord{ID: topicID(1)})
	res := w.read(consumer, from(tp0, 0))
	wantKind(t, res.Err, errcode.KindUnknownTopicOrPartition)
	w.create(topic, topicID(2), 1)
	if got := w.mustProduce(tp0, batch("new")); got != 0 {
		t.Errorf("got base offset %d in the new topic, want 0", got)
	}
	if d := cmp.Diff([]string{"new"}, values(t, w.read(consumer, from(tp0, 0)), 0)); d != "" {
		t.Error(d)
	}
	if id := <-w.logs.deleted; id != topicID(1) {
		t.Errorf("deleted the folder of %v", id)
	}
	q := from(tp0, 0)
	q.ID = topicID(1)
	wantKind(t, w.read(consumer, q).Err, errcode.KindInconsistentTopicID)

	// Deleted and created again in one image.
	w.publish(
		&metadata.RemoveTopicRecord{ID: topicID(2)}, &metadata.TopicRecord{Name: topic, ID: topicID(3)},
		&metadata.PartitionRecord{TopicID: topicID(3), PartitionState: image.Partition{
			Replicas: []protocol.NodeID{self}, ISR: []protocol.NodeID{self}, Leader: self,
		}},
	)
	if got := values(t, w.read(consumer, from(tp0, 0)), 0); len(got) != 0 {
		t.Errorf("got %q in the newest topic, want nothing", got)
	}
}

// A folder that could not be deleted, as the disk was full, goes when there is room again.
func TestPublish_DeletesWhatCouldNotBeDeleted(t *testing.T) {
	w := newWorldWith(t, replica.Options{DeletionRetry: time.Millisecond})
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("old"))
	w.logs.keepFolders(errFull)
	w.publish(&metadata.RemoveTopicRecord{ID: topicID(1)})
	eventually(t, "tried again", func() bool { return w.logs.refusals() >= 3 })
	w.logs.keepFolders(nil)
	if id := <-w.logs.deleted; id != topicID(1) {
		t.Errorf("deleted the folder of %v", id)
	}
}

// Nor does it keep a topic of the same name away for longer.
func TestPublish_RecreatesWhatCouldNotBeDeleted(t *testing.T) {
	w := newWorldWith(t, replica.Options{DeletionRetry: time.Hour})
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("old"))
	w.logs.keepFolders(errFull)
	w.publish(&metadata.RemoveTopicRecord{ID: topicID(1)})
	w.create(topic, topicID(2), 1)
	parts := to(tp0, batch("refused"))
	wait(t, w.start(-1, soon, parts))
	wantKind(t, parts[0].Result.Err, errcode.KindKafkaStorageError)
	w.logs.keepFolders(nil)
	if got := w.mustProduce(tp0, batch("new")); got != 0 {
		t.Errorf("got base offset %d in the new topic, want 0", got)
	}
	if d := cmp.Diff([]string{"new"}, values(t, w.read(consumer, from(tp0, 0)), 0)); d != "" {
		t.Error(d)
	}
}

var errFull = errcode.New(errcode.KindKafkaStorageError, "the disk is full")

// A replica that is moved to another broker goes with its folder, and comes back empty.
func TestPublish_ReplicaIsMovedAway(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("old"))
	other := protocol.NodeID(2)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Replicas: nodes(self, 2), ISR: nodes(self, 2)})
	parts := to(tp0, batch("waits for the other"))
	waiting := w.start(-1, soon, parts)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Replicas: nodes(2), ISR: nodes(2), Leader: &other})
	wait(t, waiting)
	wantKind(t, parts[0].Result.Err, errcode.KindNotLeaderForPartition)
	wantKind(t, w.read(consumer, from(tp0, 0)).Err, errcode.KindNotLeaderForPartition)
	if id := <-w.logs.deleted; id != topicID(1) {
		t.Errorf("deleted the folder of %v", id)
	}
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), Replicas: nodes(2, self)})
	f, err := w.Follow(protocol.TopicIDPartition{Topic: topic, ID: topicID(1)}, w.epoch())
	if err != nil {
		t.Fatal(err)
	}
	if at := f.Position(); at.LogEndOffset != 0 {
		t.Errorf("the new replica begins with %d records", at.LogEndOffset)
	}
}

func TestPublish_FolderOfAnotherTopicIsSetAside(t *testing.T) {
	w := newWorld(t)
	w.logs.folders[tp0] = topicID(7)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	if d := cmp.Diff([]string{tp0.String()}, w.logs.aside); d != "" {
		t.Error(d)
	}
}

func TestReconcile(t *testing.T) {
	w := newWorld(t)
	stray := protocol.TopicPartition{Topic: "stray", Partition: 4}
	w.logs.folders[stray] = topicID(7)
	w.create(topic, topicID(1), 2)
	if err := w.Reconcile(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{stray.String()}, w.logs.aside); d != "" {
		t.Error(d)
	}
	eventually(t, "folders of the partitions that had none", func() bool { return w.logs.created() == 2 })
}

func TestPublish_ConfigReachesTheLogs(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	for i, res := range []image.Resource{{Type: image.ResourceTopic, Name: topic}, {Type: image.ResourceBroker}} {
		want := int32(100_000 + i)
		w.logs.config.MaxMessageBytes = want
		w.publish(&metadata.ConfigRecord{ResourceType: res.Type, ResourceName: res.Name, Name: "max.message.bytes", Value: new("1")})
		eventually(t, "the new config", func() bool {
			l, _, err := w.logs.Get(tp0)
			return err == nil && l.Config().MaxMessageBytes == want
		})
	}
}

func TestManager_TenThousandPartitions(t *testing.T) {
	w := newWorld(t)
	recs := []metadata.Record{}
	for i := range 100 {
		id := topicID(byte(i))
		recs = append(recs, &metadata.TopicRecord{Name: fmt.Sprintf("t%d", i), ID: id})
		for p := range 100 {
			recs = append(recs, &metadata.PartitionRecord{TopicID: id, Partition: int32(p), PartitionState: image.Partition{
				Replicas: []protocol.NodeID{self}, ISR: []protocol.NodeID{self}, Leader: self,
			}})
		}
	}
	w.version++
	if err := w.builder.Apply(w.version, &metadata.Command{Records: recs}); err != nil {
		t.Fatal(err)
	}
	_, d := w.builder.Build()
	start := time.Now()
	w.Publish(d)
	t.Logf("hosted 10,000 partitions in %v", time.Since(start))
	if s := w.Stats(); s.Partitions != 10_000 || s.Leaders != 10_000 {
		t.Errorf("got %+v", s)
	}
	if got := w.logs.created(); got != 0 {
		t.Errorf("opened %d logs, want none before they are used", got)
	}
}

func TestManager_Stats(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 2)
	w.mustProduce(tp0, batch("a", "b"))
	seen := 0
	w.Each(func(s replica.LeaderStats) {
		seen++
		if !s.Preferred || s.ISR != 1 || s.Replicas != 1 || s.UnderMinISR {
			t.Errorf("got %+v", s)
		}
		if s.TopicPartition == tp0 && (!s.Open || s.HighWatermark != 2 || s.LogEndOffset != 2 || s.Size == 0) {
			t.Errorf("got %+v", s)
		}
	})
	if s := w.Stats(); seen != 2 || s.Leaders != 2 || s.AtMinISR != 2 || s.UnderReplicated != 0 {
		t.Errorf("saw %d partitions and %+v", seen, s)
	}
	w.elect(topicID(1), 2)
	if s := w.Stats(); s.Leaders != 1 || s.Partitions != 2 {
		t.Errorf("after another leader: got %+v", s)
	}
}

// TestManager_Concurrently appends, reads, waits and elects at once: nobody sees what is not synced, the high watermark
// does not fall, and each acknowledged record is where it was acknowledged.
func TestManager_Concurrently(t *testing.T) {
	w := newWorld(t)
	id := topicID(1)
	w.create(topic, id, 1)
	w.mustProduce(tp0, batch("first"))
	const producers, each = 8, 60
	var running, electing sync.WaitGroup
	var stop atomic.Bool
	acked := make([]map[int64]string, producers)
	for n := range producers {
		acked[n] = make(map[int64]string)
		running.Go(func() {
			for i := range each {
				value := fmt.Sprintf("%d-%d", n, i)
				parts := to(tp0, batch(value))
				wait(t, w.start([]int16{1, -1}[i%2], soon, parts))
				switch res := parts[0].Result; errcode.KindOf(res.Err) {
				case errcode.KindNone:
					acked[n][res.BaseOffset] = value
				case errcode.KindNotLeaderForPartition:
				default:
					t.Error(res.Err)
				}
			}
		})
	}
	electing.Go(func() {
		pace := time.NewTicker(time.Millisecond)
		defer pace.Stop()
		for !stop.Load() {
			w.elect(id, self)
			<-pace.C
		}
	})
	electing.Go(func() {
		var hw int64
		for !stop.Load() {
			res := w.Read(nil, consumer, []replica.ReadPartition{from(tp0, hw)})[0]
			if res.Err != nil {
				t.Error(res.Err)
				return
			}
			if res.Records != nil {
				res.Records.Close()
			}
			if res.HighWatermark < hw {
				t.Errorf("high watermark fell from %d to %d", hw, res.HighWatermark)
			}
			l, _, err := w.logs.Get(tp0)
			if err != nil || res.HighWatermark > l.SyncedEndOffset() {
				t.Errorf("high watermark %d is above the synced end %d (%v)", res.HighWatermark, l.SyncedEndOffset(), err)
			}
			if hw = res.HighWatermark; res.Records == nil {
				done, _ := w.await(consumer, 10*time.Millisecond, from(tp0, hw))
				wait(t, done)
			}
		}
	})
	running.Wait()
	stop.Store(true)
	electing.Wait()
	all := values(t, w.read(replica.ReadOptions{ReplicaID: -1, MaxBytes: 1 << 24}, func() replica.ReadPartition {
		q := from(tp0, 0)
		q.MaxBytes = 1 << 24
		return q
	}()), 0)
	total := 0
	for n := range acked {
		for offset, value := range acked[n] {
			total++
			if int(offset) >= len(all) || all[offset] != value {
				t.Errorf("%q was acknowledged at offset %d and is not there", value, offset)
			}
		}
	}
	t.Logf("%d of %d acknowledged", total, producers*each)
	eventually(t, "the end of all waits", func() bool {
		s := w.Stats()
		return s.DelayedProduces == 0 && s.DelayedFetches == 0
	})
}

func TestManager_RefusesWaitsAboveTheLimit(t *testing.T) {
	logs := newMemLogs(t)
	m := replica.New(replica.Options{NodeID: self, Logs: logs, Logger: slog.New(slog.DiscardHandler), MaxDelayed: 1})
	w := &world{Manager: m, t: t, logs: logs, builder: image.NewBuilder(image.Empty())}
	logs.synced = m.Synced
	t.Cleanup(func() { m.Close(); logs.close() })
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	eventually(t, "the end of its wait", func() bool { return w.Stats().DelayedProduces == 0 })
	logs.hold()
	first, second := to(tp0, batch("b")), to(tp0, batch("c"))
	one := w.start(-1, soon, first)
	two := w.start(-1, soon, second)
	wait(t, two)
	wantKind(t, second[0].Result.Err, errcode.KindRequestTimedOut)
	logs.release()
	wait(t, one)
	wantKind(t, first[0].Result.Err, errcode.KindNone)
}
