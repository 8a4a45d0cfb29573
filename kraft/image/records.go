package image

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Records yields the records that rebuild the image from nothing, in an order that depends on the image only. They carry
// everything but Version, Revision and FeaturesEpoch.
func (i *Image) Records() iter.Seq[metadata.Record] {
	return func(yield func(metadata.Record) bool) {
		_ = i.clusterRecords(yield) && i.brokerRecords(yield) && i.topicRecords(yield) && i.configRecords(yield)
	}
}

func (i *Image) clusterRecords(yield func(metadata.Record) bool) bool {
	if i.ClusterID != "" && !yield(&metadata.ClusterRecord{ClusterID: i.ClusterID}) {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(i.Features)) {
		if !yield(&metadata.FeatureLevelRecord{Name: name, Level: i.Features[name]}) {
			return false
		}
	}
	for _, id := range slices.Sorted(maps.Keys(i.Controllers)) {
		c := i.Controllers[id]
		r := &metadata.RegisterControllerRecord{ID: c.ID, IncarnationID: c.IncarnationID, DirectoryID: c.DirectoryID, Endpoints: c.Endpoints, Features: c.Features}
		if !yield(r) {
			return false
		}
	}
	if i.NextProducerID > 0 {
		return yield(&metadata.ProducerIDsRecord{BrokerID: NoLeader, BrokerEpoch: -1, NextProducerID: i.NextProducerID})
	}
	return true
}

func (i *Image) brokerRecords(yield func(metadata.Record) bool) bool {
	for _, id := range slices.Sorted(maps.Keys(i.Brokers)) {
		b := i.Brokers[id]
		ok := yield(&metadata.RegisterBrokerRecord{
			ID: b.ID, Epoch: b.Epoch, IncarnationID: b.IncarnationID, Endpoints: b.Endpoints, Rack: b.Rack,
			Fenced: b.Fenced, InControlledShutdown: b.InControlledShutdown, LogDirs: b.LogDirs, CordonedDirs: b.CordonedDirs, Features: b.Features,
			RegisteredAt: b.RegisteredAt,
		})
		if !ok {
			return false
		}
	}
	return true
}

func (i *Image) topicRecords(yield func(metadata.Record) bool) bool {
	for _, name := range slices.Sorted(i.Topics.Keys()) {
		t := i.Topics.Get(name)
		if !yield(&metadata.TopicRecord{Name: t.Name, ID: t.ID, CreatedAt: t.CreatedAt}) {
			return false
		}
		for p := range t.Partitions {
			r := &metadata.PartitionRecord{TopicID: t.ID, Partition: int32(p), PartitionState: t.Partitions[p]}
			if !yield(r) {
				return false
			}
		}
	}
	return true
}

func (i *Image) configRecords(yield func(metadata.Record) bool) bool {
	resources := slices.SortedFunc(maps.Keys(i.Configs), func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Name, b.Name))
	})
	for _, resource := range resources {
		configs := i.Configs[resource]
		for _, name := range slices.Sorted(maps.Keys(configs)) {
			value := configs[name]
			r := &metadata.ConfigRecord{ResourceType: resource.Type, ResourceName: resource.Name, Name: name, Value: &value}
			if !yield(r) {
				return false
			}
		}
	}
	return true
}

// Header is the part of an image that its records do not carry.
type Header struct {
	Version, Revision, FeaturesEpoch int64
}

// Header returns the part of the image that Records does not carry.
func (i *Image) Header() Header { return Header{i.Version, i.Revision, i.FeaturesEpoch} }

// FromRecords rebuilds an image.
func FromRecords(h Header, records iter.Seq2[metadata.Record, error]) (*Image, error) {
	b := NewBuilder(Empty())
	for r, err := range records {
		if err != nil {
			return nil, err
		}
		if broker, ok := r.(*metadata.RegisterBrokerRecord); ok && broker.Epoch == 0 {
			return nil, fmt.Errorf("broker %d without epoch: %w", broker.ID, metadata.ErrMalformed)
		}
		if reason := b.applyRecord(r); reason != "" {
			return nil, &RejectedError{Record: r.Type(), Reason: reason}
		}
	}
	img := b.next
	img.Version, img.Revision, img.FeaturesEpoch = h.Version, h.Revision, h.FeaturesEpoch
	return &img, nil
}

// Diff compares two images from scratch, for readers who did not see every step between them.
func Diff(prev, next *Image) *Delta {
	d := &Delta{Prev: prev, Next: next}
	for name, t := range next.Topics.All() {
		if prev.Topics.Get(name) != t {
			mark(&d.ChangedTopics, name, t)
		}
	}
	for _, name := range slices.Sorted(prev.Topics.Keys()) {
		if t := prev.Topics.Get(name); next.TopicNames.Get(t.ID) != name {
			d.DeletedTopics = append(d.DeletedTopics, t)
		}
	}
	changed := func(id protocol.NodeID) { mark(&d.ChangedBrokers, id, struct{}{}) }
	for id, b := range next.Brokers {
		if prev.Brokers[id] != b {
			changed(id)
		}
	}
	for id := range prev.Brokers {
		if next.Brokers[id] == nil {
			changed(id)
		}
	}
	for r, configs := range next.Configs {
		if !maps.Equal(prev.Configs[r], configs) {
			mark(&d.ChangedConfigs, r, struct{}{})
		}
	}
	for r := range prev.Configs {
		if next.Configs[r] == nil {
			mark(&d.ChangedConfigs, r, struct{}{})
		}
	}
	d.FeaturesChanged = !maps.Equal(prev.Features, next.Features)
	d.ControllersChanged = len(prev.Controllers) > 0 || len(next.Controllers) > 0
	return d
}
