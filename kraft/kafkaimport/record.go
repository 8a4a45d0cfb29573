package kafkaimport

import (
	"fmt"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

type (
	beginTransaction struct{}
	endTransaction   struct{}
	abortTransaction struct{}
)

func (beginTransaction) apply(*state) error { return nil }
func (endTransaction) apply(*state) error   { return nil }
func (abortTransaction) apply(*state) error { return nil }

// skipped is a record that is not taken over.
type skipped struct {
	what   string
	missed bool // somebody may miss it
}

func (r skipped) apply(s *state) error {
	if r.missed {
		s.skipped[r.what]++
	}
	return nil
}

type topicRecord struct {
	name string
	id   protocol.TopicID
}

func decodeTopic(f *fields, _ uint64) record {
	r := topicRecord{name: f.string(), id: f.id()}
	f.tags(noTags)
	return r
}

func (r topicRecord) apply(s *state) error {
	if _, ok := s.names[r.name]; ok {
		return fmt.Errorf("topic %q is created twice", r.name)
	}
	if err := protocol.ValidateTopicName(r.name); err != nil {
		return err
	}
	if r.id.IsZero() || s.topics[r.id] != nil {
		return fmt.Errorf("topic %q has the id %s, which is not its own", r.name, r.id)
	}
	s.topics[r.id] = &topic{name: r.name, id: r.id, partitions: make(map[int32]*metadata.PartitionState)}
	s.names[r.name] = r.id
	return nil
}

type removeTopicRecord struct{ id protocol.TopicID }

func decodeRemoveTopic(f *fields, _ uint64) record {
	r := removeTopicRecord{f.id()}
	f.tags(noTags)
	return r
}

func (r removeTopicRecord) apply(s *state) error {
	t := s.topics[r.id]
	if t == nil {
		return fmt.Errorf("topic %s is removed, but there is none", r.id)
	}
	delete(s.topics, r.id)
	delete(s.names, t.name)
	delete(s.configs, image.Resource{Type: image.ResourceTopic, Name: t.name})
	return nil
}

type partitionRecord struct {
	topic protocol.TopicID
	index int32
	metadata.PartitionState
}

func decodePartition(f *fields, version uint64) record {
	r := &partitionRecord{index: f.int32(), topic: f.id()}
	r.Replicas, r.ISR, r.Removing, r.Adding = f.nodes(), f.nodes(), f.nodes(), f.nodes()
	r.Leader, r.LeaderEpoch, r.PartitionEpoch = f.node(), f.int32(), f.int32()
	if version >= 1 {
		r.Directories = f.ids()
	}
	f.tags(func(tag uint64, v *fields) {
		switch tag {
		case 0:
			r.LeaderRecoveryState = v.int8()
		case 1:
			r.ELR = v.nodes()
		case 2:
			r.LastKnownELR = v.nodes()
		}
	})
	return r
}

func (r *partitionRecord) apply(s *state) error {
	t := s.topics[r.topic]
	if t == nil {
		return fmt.Errorf("partition %d of the topic %s, which does not exist", r.index, r.topic)
	}
	if r.index < 0 || t.partitions[r.index] != nil || len(r.Replicas) == 0 || r.LeaderEpoch < 0 || r.PartitionEpoch < 0 {
		return fmt.Errorf("partition %d of topic %s is not a new partition", r.index, t.name)
	}
	p := r.PartitionState
	t.partitions[r.index] = &p
	return nil
}

type partitionChangeRecord struct {
	topic protocol.TopicID
	index int32
	metadata.PartitionChangeRecord
}

// noLeaderChange is how Kafka says that the leader stays.
const noLeaderChange protocol.NodeID = -2

func decodePartitionChange(f *fields, _ uint64) record {
	r := &partitionChangeRecord{index: f.int32(), topic: f.id()}
	f.tags(func(tag uint64, v *fields) {
		switch tag {
		case 0:
			r.ISR = v.nodes()
		case 1:
			if leader := v.node(); leader != noLeaderChange {
				r.Leader = &leader
			}
		case 2:
			r.Replicas = v.nodes()
		case 3:
			r.Removing = v.nodes()
		case 4:
			r.Adding = v.nodes()
		case 5:
			if state := v.int8(); state >= 0 {
				r.LeaderRecoveryState = &state
			}
		case 6:
			r.ELR = v.nodes()
		case 7:
			r.LastKnownELR = v.nodes()
		case 8:
			r.Directories = v.ids()
		}
	})
	return r
}

func (r *partitionChangeRecord) apply(s *state) error {
	t := s.topics[r.topic]
	if t == nil || t.partitions[r.index] == nil {
		return fmt.Errorf("partition %d of the topic %s is changed, but does not exist", r.index, r.topic)
	}
	image.Merge(t.partitions[r.index], &r.PartitionChangeRecord)
	return nil
}

type configRecord struct {
	resource image.Resource
	name     string
	value    *string
}

func decodeConfig(f *fields, _ uint64) record {
	r := configRecord{resource: image.Resource{Type: f.int8(), Name: f.string()}, name: f.string(), value: f.nullable()}
	f.tags(noTags)
	return r
}

func (r configRecord) apply(s *state) error {
	configs := s.configs[r.resource]
	switch {
	case r.value == nil:
		delete(configs, r.name)
	case configs == nil:
		s.configs[r.resource] = map[string]string{r.name: *r.value}
	default:
		configs[r.name] = *r.value
	}
	return nil
}

type featureLevelRecord struct {
	name  string
	level int16
}

func decodeFeatureLevel(f *fields, _ uint64) record {
	r := featureLevelRecord{f.string(), f.int16()}
	f.tags(noTags)
	return r
}

func (r featureLevelRecord) apply(s *state) error {
	if r.level == 0 {
		delete(s.features, r.name)
	} else {
		s.features[r.name] = r.level
	}
	return nil
}

type producerIDsRecord struct{ next int64 }

func decodeProducerIDs(f *fields, _ uint64) record {
	f.int32() // broker id
	f.int64() // broker epoch
	r := producerIDsRecord{f.int64()}
	f.tags(noTags)
	return r
}

func (r producerIDsRecord) apply(s *state) error {
	s.nextPID = max(s.nextPID, r.next)
	return nil
}

type clearELRRecord struct{ topic string }

func decodeClearELR(f *fields, _ uint64) record {
	r := clearELRRecord{f.string()}
	f.tags(noTags)
	return r
}

func (r clearELRRecord) apply(s *state) error {
	for name, id := range s.names {
		if r.topic != "" && r.topic != name {
			continue
		}
		for _, p := range s.topics[id].partitions {
			p.ELR, p.LastKnownELR = nil, nil
		}
	}
	return nil
}
