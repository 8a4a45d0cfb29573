package image_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

func topicRecords(name string, id byte, partitions int) []metadata.Record {
	records := []metadata.Record{&metadata.TopicRecord{Name: name, ID: protocol.TopicID{id}}}
	for i := range partitions {
		records = append(records, &metadata.PartitionRecord{
			TopicID: protocol.TopicID{id}, Partition: int32(i),
			PartitionState: metadata.PartitionState{Replicas: []protocol.NodeID{1}, ISR: []protocol.NodeID{1}, Leader: 1},
		})
	}
	return records
}

// build applies commands to an image, all in one batch.
func build(t *testing.T, prev *image.Image, commands ...[]metadata.Record) (*image.Image, *image.Delta) {
	t.Helper()
	b := image.NewBuilder(prev)
	for i, records := range commands {
		if err := b.Apply(prev.Version+int64(i)+1, &metadata.Command{Records: records}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Build()
}

func TestBuilder_LeavesTheOldImageAlone(t *testing.T) {
	old, _ := build(t, image.Empty(), topicRecords("a", 1, 2), topicRecords("b", 2, 1), []metadata.Record{
		&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: "a", Name: "k", Value: new("v")},
		&metadata.RegisterBrokerRecord{ID: 1, Fenced: true},
		&metadata.FeatureLevelRecord{Name: "f", Level: 1},
		&metadata.RegisterControllerRecord{ID: 1},
	})
	want, err := image.FromRecords(old.Header(), withoutErrors(old))
	if err != nil {
		t.Fatal(err)
	}
	build(t, old,
		[]metadata.Record{
			&metadata.PartitionChangeRecord{TopicID: protocol.TopicID{1}, Partition: 1, Leader: new(protocol.NodeID(-1)), ISR: []protocol.NodeID{}},
			&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: "a", Name: "k", Value: new("w")},
			&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: "a", Name: "l", Value: new("w")},
		},
		[]metadata.Record{&metadata.RemoveTopicRecord{ID: protocol.TopicID{2}}},
		topicRecords("c", 3, 1),
		[]metadata.Record{
			&metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 3, Fenced: new(false)},
			&metadata.FeatureLevelRecord{Name: "f", Level: 2},
			&metadata.RegisterControllerRecord{ID: 2},
			&metadata.RemoveTopicRecord{ID: protocol.TopicID{1}},
		},
	)
	if diff := cmp.Diff(want, old); diff != "" {
		t.Errorf("building the next image changed the old one: %s", diff)
	}
}

func withoutErrors(img *image.Image) func(yield func(metadata.Record, error) bool) {
	return func(yield func(metadata.Record, error) bool) {
		for r := range img.Records() {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func TestBuilder_Epochs(t *testing.T) {
	img, _ := build(t, image.Empty(), topicRecords("a", 1, 1))
	change := func(r metadata.PartitionChangeRecord) image.Partition {
		r.TopicID = protocol.TopicID{1}
		img, _ = build(t, img, []metadata.Record{&r})
		return img.Topics.Get("a").Partitions[0]
	}
	if p := change(metadata.PartitionChangeRecord{ISR: []protocol.NodeID{1, 2}}); p.LeaderEpoch != 0 || p.PartitionEpoch != 1 {
		t.Errorf("an ISR change: epochs %d/%d", p.LeaderEpoch, p.PartitionEpoch)
	}
	if p := change(metadata.PartitionChangeRecord{Leader: new(protocol.NodeID(2))}); p.LeaderEpoch != 1 || p.PartitionEpoch != 2 || p.Leader != 2 {
		t.Errorf("a new leader: %+v", p)
	}
	if p := change(metadata.PartitionChangeRecord{Leader: new(protocol.NodeID(2))}); p.LeaderEpoch != 2 {
		t.Errorf("the same leader again: epoch %d", p.LeaderEpoch)
	}
	if b, _ := build(t, img, []metadata.Record{&metadata.RegisterBrokerRecord{ID: 1}}); int64(b.Brokers[1].Epoch) != b.Version {
		t.Errorf("broker epoch %d at %d", b.Brokers[1].Epoch, b.Version)
	}
}

func TestBuilder_CommandsAreAtomic(t *testing.T) {
	base, _ := build(t, image.Empty(), topicRecords("a", 1, 1))
	b := image.NewBuilder(base)
	good := topicRecords("b", 2, 2)
	if err := b.Apply(10, &metadata.Command{Records: good}); err != nil {
		t.Fatal(err)
	}
	for name, records := range map[string][]metadata.Record{
		"topic exists":              append(topicRecords("c", 3, 1), topicRecords("b", 4, 1)...),
		"topic id exists":           append(topicRecords("c", 3, 1), topicRecords("d", 2, 1)...),
		"no name":                   append(topicRecords("c", 3, 1), &metadata.TopicRecord{ID: protocol.TopicID{9}}),
		"unknown topic":             append(topicRecords("c", 3, 1), &metadata.RemoveTopicRecord{ID: protocol.TopicID{9}}),
		"a hole in the partitions":  append(topicRecords("c", 3, 1), &metadata.PartitionRecord{TopicID: protocol.TopicID{3}, Partition: 2}),
		"a partition of nobody":     append(topicRecords("c", 3, 1), &metadata.PartitionRecord{TopicID: protocol.TopicID{3}, Partition: 1}),
		"a partition of no topic":   append(topicRecords("c", 3, 1), &metadata.PartitionRecord{TopicID: protocol.TopicID{9}}),
		"change of no partition":    append(topicRecords("c", 3, 1), &metadata.PartitionChangeRecord{TopicID: protocol.TopicID{2}, Partition: 2}),
		"change of no topic":        append(topicRecords("c", 3, 1), &metadata.PartitionChangeRecord{TopicID: protocol.TopicID{9}}),
		"config of no topic":        append(topicRecords("c", 3, 1), &metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: "x", Name: "k"}),
		"unknown broker":            append(topicRecords("c", 3, 1), &metadata.UnregisterBrokerRecord{ID: 1}),
		"old broker epoch":          {&metadata.RegisterBrokerRecord{ID: 1}, &metadata.BrokerRegistrationChangeRecord{ID: 1, Epoch: 5}},
		"producer ids handed back":  {&metadata.ProducerIDsRecord{NextProducerID: 10}, &metadata.ProducerIDsRecord{NextProducerID: 10}},
		"another cluster's command": {&metadata.ClusterRecord{ClusterID: "a"}, &metadata.ClusterRecord{ClusterID: "b"}},
	} {
		err := b.Apply(11, &metadata.Command{Records: records})
		if _, ok := errors.AsType[*image.RejectedError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Apply(11, &metadata.Command{Conditional: true, Revision: 1, Records: topicRecords("c", 3, 1)}); !errors.Is(err, image.ErrStaleRevision) {
		t.Errorf("a stale command: %v", err)
	}
	got, delta := b.Build()
	want, _ := build(t, base, good)
	want.Version = 10
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("void commands left something behind: %s", diff)
	}
	if names := slices.Collect(maps.Keys(delta.ChangedTopics)); !slices.Equal(names, []string{"b"}) {
		t.Errorf("void commands are in the delta: %v", names)
	}
	if same, none := b.Build(); same != got || none != nil {
		t.Error("a batch without commands made a new image")
	}
}

func TestBuilder_Delta(t *testing.T) {
	base, _ := build(t, image.Empty(), topicRecords("a", 1, 1), topicRecords("b", 2, 1), []metadata.Record{
		&metadata.ConfigRecord{ResourceType: image.ResourceTopic, ResourceName: "a", Name: "k", Value: new("v")},
	})
	next, d := build(t, base,
		[]metadata.Record{&metadata.RemoveTopicRecord{ID: protocol.TopicID{1}}},
		topicRecords("a", 3, 2), // made anew under the same name
		topicRecords("gone", 4, 1),
		[]metadata.Record{&metadata.RemoveTopicRecord{ID: protocol.TopicID{4}}},
		topicRecords("again", 1, 1), // with the id of one that was deleted, and deleted, too
		[]metadata.Record{&metadata.RemoveTopicRecord{ID: protocol.TopicID{1}}},
		[]metadata.Record{&metadata.RegisterBrokerRecord{ID: 7}},
	)
	if d.Prev != base || d.Next != next {
		t.Error("the delta is between other images")
	}
	if len(d.ChangedTopics) != 1 || d.ChangedTopics["a"] != next.Topics.Get("a") || len(next.Topics.Get("a").Partitions) != 2 {
		t.Errorf("changed topics %v", d.ChangedTopics)
	}
	if len(d.DeletedTopics) != 1 || d.DeletedTopics[0] != base.Topics.Get("a") {
		t.Errorf("deleted topics %v", d.DeletedTopics)
	}
	if _, ok := d.ChangedConfigs[image.Resource{Type: image.ResourceTopic, Name: "a"}]; !ok || len(next.Configs) != 0 {
		t.Errorf("changed configs %v, configs %v", d.ChangedConfigs, next.Configs)
	}
	if _, ok := d.ChangedBrokers[7]; !ok || d.FeaturesChanged || d.ControllersChanged {
		t.Errorf("delta %+v", d)
	}
}

func TestImage_Lookups(t *testing.T) {
	img, _ := build(t, image.Empty(), topicRecords("a", 1, 1), []metadata.Record{
		&metadata.RegisterBrokerRecord{ID: 1, Endpoints: []image.Endpoint{{Name: "A", Port: 1}}},
	})
	if img.Topic("a") == nil || img.Topic("b") != nil || img.TopicByID(protocol.TopicID{1}) != img.Topic("a") || img.TopicByID(protocol.TopicID{2}) != nil {
		t.Error("topics")
	}
	for tp, want := range map[protocol.TopicPartition]bool{{Topic: "a"}: true, {Topic: "a", Partition: 1}: false, {Topic: "a", Partition: -1}: false, {Topic: "b"}: false} {
		if got := img.Partition(tp) != nil; got != want {
			t.Errorf("partition %s: %v", tp, got)
		}
	}
	if e, ok := img.Brokers[1].Endpoint("A"); !ok || e.Port != 1 {
		t.Errorf("endpoint %v", e)
	}
	if _, ok := img.Brokers[1].Endpoint("B"); ok || !img.Brokers[1].Active() {
		t.Error("endpoint B")
	}
	if empty := image.Empty(); empty.Topic("a") != nil || empty.TopicByID(protocol.TopicID{1}) != nil || empty.Partition(protocol.TopicPartition{}) != nil {
		t.Error("the empty image has something")
	}
}
