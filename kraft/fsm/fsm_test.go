package fsm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	hraft "github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/kraft/fsm"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// command draws a command; some do not fit the image.
func command(t *rapid.T) *metadata.Command {
	topic := func() protocol.TopicID { return protocol.TopicID{byte(rapid.IntRange(1, 6).Draw(t, "topic"))} }
	node := func() protocol.NodeID { return protocol.NodeID(rapid.IntRange(1, 3).Draw(t, "node")) }
	record := rapid.Custom(func(t *rapid.T) metadata.Record {
		switch rapid.IntRange(0, 11).Draw(t, "kind") {
		case 0, 1:
			id := topic()
			return &metadata.TopicRecord{Name: fmt.Sprintf("topic-%d", rapid.IntRange(1, 4).Draw(t, "name")), ID: id, CreatedAt: 5}
		case 2:
			return &metadata.RemoveTopicRecord{ID: topic()}
		case 3, 4:
			return &metadata.PartitionRecord{
				TopicID: topic(), Partition: int32(rapid.IntRange(0, 2).Draw(t, "partition")),
				PartitionState: metadata.PartitionState{Replicas: []protocol.NodeID{node()}, ISR: []protocol.NodeID{1}, Leader: node()},
			}
		case 5:
			r := &metadata.PartitionChangeRecord{TopicID: topic(), Partition: int32(rapid.IntRange(0, 2).Draw(t, "partition"))}
			if rapid.Bool().Draw(t, "leader") {
				r.Leader = new(node())
			}
			if rapid.Bool().Draw(t, "isr") {
				r.ISR = []protocol.NodeID{node()}
			}
			return r
		case 6:
			r := &metadata.ConfigRecord{
				ResourceType: rapid.SampledFrom([]int8{2, 4}).Draw(t, "type"), ResourceName: fmt.Sprintf("topic-%d", rapid.IntRange(1, 4).Draw(t, "resource")),
				Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"),
			}
			if rapid.Bool().Draw(t, "set") {
				r.Value = new("v")
			}
			return r
		case 7:
			return &metadata.RegisterBrokerRecord{ID: node(), IncarnationID: topic(), Features: map[string]metadata.FeatureRange{"f": {Max: 1}}}
		case 8:
			return &metadata.BrokerRegistrationChangeRecord{ID: node(), Epoch: protocol.BrokerEpoch(rapid.IntRange(1, 40).Draw(t, "epoch")), Fenced: new(true)}
		case 9:
			return &metadata.ProducerIDsRecord{NextProducerID: int64(rapid.IntRange(1, 100).Draw(t, "pid"))}
		case 10:
			return &metadata.FeatureLevelRecord{Name: "f", Level: int16(rapid.IntRange(0, 2).Draw(t, "level"))}
		default:
			return &metadata.RegisterControllerRecord{ID: node()}
		}
	})
	c := &metadata.Command{Records: rapid.SliceOfN(record, 1, 4).Draw(t, "records")}
	if rapid.IntRange(0, 4).Draw(t, "conditional") == 0 {
		c.Conditional, c.Revision = true, int64(rapid.IntRange(0, 30).Draw(t, "revision"))
	}
	return c
}

// entries makes raft entries of commands, with nudges and a configuration in between.
func entries(t *rapid.T) []*hraft.Log {
	n := rapid.IntRange(1, 40).Draw(t, "n")
	var logs []*hraft.Log
	for i := range n {
		l := &hraft.Log{Index: uint64(i + 1), Term: 1, Type: hraft.LogCommand}
		switch rapid.IntRange(0, 9).Draw(t, "entry") {
		case 0: // nudge
		case 1:
			l.Type = hraft.LogConfiguration
		default:
			l.Data = command(t).Encode()
		}
		logs = append(logs, l)
	}
	return logs
}

func newFSM(t *rapid.T, p ...image.Publisher) *fsm.FSM {
	return fsm.New(slog.New(slog.DiscardHandler), func(err error) { t.Errorf("fatal: %v", err) }, p...)
}

// applyInBatches applies entries in batches of random sizes.
func applyInBatches(t *rapid.T, f *fsm.FSM, logs []*hraft.Log) (responses []any) {
	for len(logs) > 0 {
		n := rapid.IntRange(1, len(logs)).Draw(t, "batch")
		responses = append(responses, f.ApplyBatch(logs[:n])...)
		logs = logs[n:]
	}
	return responses
}

func snapshotOf(t *rapid.T, f *fsm.FSM) []byte {
	var b bytes.Buffer
	if err := fsm.EncodeSnapshot(&b, f.Image()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// equal treats nil and empty alike: that difference cannot be seen through an image.
var equal = cmpopts.EquateEmpty()

// TestFSM_IsDeterministic applies the same log in batches of different sizes, and from a snapshot on: all must end alike,
// and answer alike.
func TestFSM_IsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		logs := entries(t)
		a, b := newFSM(t), newFSM(t)
		one := applyInBatches(t, a, logs)
		two := applyInBatches(t, b, logs)
		if diff := cmp.Diff(a.Image(), b.Image(), equal); diff != "" {
			t.Fatalf("batches matter: %s", diff)
		}
		for i := range one {
			if fmt.Sprint(one[i]) != fmt.Sprint(two[i]) {
				t.Fatalf("entry %d answered %v and %v", i, one[i], two[i])
			}
		}
		cut := rapid.IntRange(0, len(logs)).Draw(t, "cut")
		c, d := newFSM(t), newFSM(t)
		applyInBatches(t, c, append([]*hraft.Log{{}}, logs[:cut]...))
		snapshot := snapshotOf(t, c)
		if err := d.Restore(io.NopCloser(bytes.NewReader(snapshot))); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.Image(), d.Image(), equal); diff != "" {
			t.Fatalf("restored: %s", diff)
		}
		if again := snapshotOf(t, d); !bytes.Equal(snapshot, again) {
			t.Fatal("the snapshot of a restored image has other bytes")
		}
		applyInBatches(t, d, append([]*hraft.Log{{}}, logs[cut:]...))
		if diff := cmp.Diff(a.Image(), d.Image(), equal); diff != "" {
			t.Fatalf("from a snapshot at %d on: %s", cut, diff)
		}
	})
}

// follower rebuilds the image from deltas alone.
type follower struct {
	t      *rapid.T
	last   *image.Image
	topics map[string]*image.Topic
}

func (f *follower) Publish(d *image.Delta) {
	if f.last != nil && d.Prev != f.last {
		f.t.Fatal("a delta does not follow on from the one before")
	}
	f.last = d.Next
	for _, gone := range d.DeletedTopics {
		if f.topics[gone.Name].ID != gone.ID {
			f.t.Fatalf("topic %s is deleted with another id", gone.Name)
		}
		delete(f.topics, gone.Name)
	}
	for name, topic := range d.ChangedTopics {
		if old := f.topics[name]; old != nil && old.ID != topic.ID {
			f.t.Fatalf("topic %s got another id without being deleted", name)
		}
		f.topics[name] = topic
	}
	if diff := cmp.Diff(maps.Collect(d.Next.Topics.All()), f.topics, equal); diff != "" {
		f.t.Fatalf("deltas do not add up: %s", diff)
	}
	full := image.Diff(d.Prev, d.Next)
	for id := range full.ChangedBrokers {
		if _, ok := d.ChangedBrokers[id]; !ok {
			f.t.Fatalf("broker %d changed silently", id)
		}
	}
	for r := range full.ChangedConfigs {
		if _, ok := d.ChangedConfigs[r]; !ok {
			f.t.Fatalf("configs of %v changed silently", r)
		}
	}
	if full.FeaturesChanged && !d.FeaturesChanged {
		f.t.Fatal("features changed silently")
	}
}

// TestFSM_DeltasAddUp follows deltas, joins late and survives the install of a snapshot.
func TestFSM_DeltasAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		early := &follower{t: t, topics: map[string]*image.Topic{}}
		f := newFSM(t, early)
		applyInBatches(t, f, entries(t))
		late := &follower{t: t, topics: map[string]*image.Topic{}}
		f.Subscribe(late)
		other := newFSM(t)
		applyInBatches(t, other, entries(t))
		if err := f.Restore(io.NopCloser(bytes.NewReader(snapshotOf(t, other)))); err != nil {
			t.Fatal(err)
		}
		if early.last != f.Image() || late.last != f.Image() {
			t.Fatal("a publisher was not told")
		}
	})
}

func TestFSM_StopsAtWhatItCannotRead(t *testing.T) {
	for name, data := range map[string][]byte{"garbage": {1, 2, 3}, "newer": {9, 0, 0}} {
		t.Run(name, func(t *testing.T) {
			var fatal []error
			f := fsm.New(slog.New(slog.DiscardHandler), func(err error) { fatal = append(fatal, err) })
			good := (&metadata.Command{Records: []metadata.Record{&metadata.ClusterRecord{ClusterID: "c"}}}).Encode()
			responses := f.ApplyBatch([]*hraft.Log{{Index: 1, Data: good}, {Index: 2, Data: data}, {Index: 3, Data: good}})
			if responses[0] != nil || responses[1] == nil || responses[2] == nil || len(fatal) != 1 || !errors.Is(f.Err(), fatal[0]) {
				t.Errorf("responses %v, fatal %v, err %v", responses, fatal, f.Err())
			}
			if f.Image().Version != 1 {
				t.Errorf("version %d: something was applied after the gap", f.Image().Version)
			}
			if _, err := f.Snapshot(); err == nil {
				t.Error("a state with a gap gave a snapshot")
			}
		})
	}
}

// sink keeps a snapshot in memory.
type sink struct {
	bytes.Buffer
	err error // of Close
}

func (s *sink) ID() string    { return "" }
func (s *sink) Cancel() error { return nil }
func (s *sink) Close() error  { return s.err }

// TestFSM_SnapshotAfter counts bytes from one snapshot to the next: one that failed does not count.
func TestFSM_SnapshotAfter(t *testing.T) {
	f := fsm.New(slog.New(slog.DiscardHandler), func(err error) { t.Errorf("fatal: %v", err) })
	data := (&metadata.Command{Records: []metadata.Record{&metadata.FeatureLevelRecord{Name: "f", Level: 1}}}).Encode()
	due := f.SnapshotAfter(int64(3 * len(data)))
	index := uint64(0)
	apply := func(want bool) {
		t.Helper()
		index++
		f.Apply(&hraft.Log{Index: index, Type: hraft.LogCommand, Data: data})
		got := false
		select {
		case <-due:
			got = true
		default:
		}
		if got != want {
			t.Errorf("a snapshot is due after command %d: %v", index, got)
		}
	}
	persist := func(s hraft.FSMSnapshot, fails error) {
		t.Helper()
		if err := s.Persist(&sink{err: fails}); !errors.Is(err, fails) {
			t.Fatal(err)
		}
	}
	take := func() hraft.FSMSnapshot {
		t.Helper()
		s, err := f.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	apply(false)
	apply(false)
	apply(true)
	persist(take(), io.ErrShortWrite)
	apply(true)
	s := take()
	apply(true) // it is not written yet
	apply(true)
	persist(s, nil)
	apply(true) // two came while it was written
	persist(take(), nil)
	apply(false)
}

func sample(t *testing.T) []byte {
	t.Helper()
	f := fsm.New(slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	c := (&metadata.Command{Records: []metadata.Record{
		&metadata.ClusterRecord{ClusterID: "c"}, &metadata.TopicRecord{Name: "t", ID: protocol.TopicID{1}},
	}}).Encode()
	f.Apply(&hraft.Log{Index: 1, Data: c})
	var b bytes.Buffer
	if err := fsm.EncodeSnapshot(&b, f.Image()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshot_DamageIsFound(t *testing.T) {
	good := sample(t)
	if _, err := fsm.DecodeSnapshot(good); err != nil {
		t.Fatal(err)
	}
	for i := range good {
		for _, bit := range []byte{1, 128} {
			bad := bytes.Clone(good)
			bad[i] ^= bit
			if _, err := fsm.DecodeSnapshot(bad); err == nil {
				t.Errorf("bit %d of byte %d flipped unnoticed", bit, i)
			}
		}
		if _, err := fsm.DecodeSnapshot(good[:i]); err == nil {
			t.Errorf("cut at %d unnoticed", i)
		}
	}
}

func TestSnapshot_FailedRestoreKeepsTheImage(t *testing.T) {
	f := fsm.New(slog.New(slog.DiscardHandler), func(err error) { t.Error(err) })
	if err := f.Restore(io.NopCloser(bytes.NewReader(sample(t)))); err != nil {
		t.Fatal(err)
	}
	want := f.Image()
	if err := f.Restore(io.NopCloser(bytes.NewReader([]byte("nonsense")))); err == nil || f.Image() != want {
		t.Errorf("nonsense restored: %v", err)
	}
}

// FuzzMetadataSnapshot checks that any bytes are refused or read, within bounded memory.
func FuzzMetadataSnapshot(f *testing.F) {
	f.Add([]byte("dmqimage\x01\x02\x02\x00\x01\x00\x02\x01c\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		img, err := fsm.DecodeSnapshot(fsm.Seal(b))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := fsm.EncodeSnapshot(&out, img); err != nil {
			t.Fatal(err)
		}
		again, err := fsm.DecodeSnapshot(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(img, again, equal); diff != "" {
			t.Fatal(diff)
		}
	})
}

func BenchmarkSnapshot(b *testing.B) {
	f := fsm.New(slog.New(slog.DiscardHandler), func(err error) { b.Error(err) })
	for i := range 10_000 {
		id := protocol.TopicID{byte(i), byte(i >> 8), 1}
		records := []metadata.Record{&metadata.TopicRecord{Name: fmt.Sprintf("topic-%d", i), ID: id}}
		for p := range 10 {
			records = append(records, &metadata.PartitionRecord{TopicID: id, Partition: int32(p), PartitionState: metadata.PartitionState{
				Replicas: []protocol.NodeID{1, 2, 3}, ISR: []protocol.NodeID{1, 2, 3}, Leader: 1, Directories: make([]protocol.TopicID, 3),
			}})
		}
		f.Apply(&hraft.Log{Index: uint64(i + 1), Data: (&metadata.Command{Records: records}).Encode()})
	}
	var out bytes.Buffer
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			out.Reset()
			if err := fsm.EncodeSnapshot(&out, f.Image()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(out.Len())/(1<<20), "MB")
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := fsm.DecodeSnapshot(out.Bytes()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
