package group

import (
	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// Replay implements coordlog.Machine. Records of types that are not served are passed over, as Kafka passes over those of a
// newer release: they stay in the log for whoever serves them.
func (s *State) Replay(r coordlog.Record) error {
	t, err := schema.TypeOf(r.Key)
	if err != nil {
		return err
	}
	switch t {
	case schema.OffsetCommit, schema.OffsetCommitLegacy:
		return s.replayOffsetCommit(r)
	case schema.GroupMetadata:
		return replay(r, schema.DecodeGroupMetadataValue, s.replayGroupMetadata)
	case schema.ConsumerGroupMetadata:
		return replay(r, schema.DecodeConsumerGroupMetadataValue, s.replayConsumerGroupMetadata)
	case schema.ConsumerGroupPartitionMetadata:
		return replay(r, schema.DecodeConsumerGroupPartitionMetadataValue, s.replayConsumerGroupPartitionMetadata)
	case schema.ConsumerGroupMemberMetadata:
		return replay(r, schema.DecodeConsumerGroupMemberMetadataValue, s.replayConsumerGroupMemberMetadata)
	case schema.ConsumerGroupTargetAssignmentMetadata:
		return replay(r, schema.DecodeConsumerGroupTargetAssignmentMetadataValue, s.replayConsumerGroupTargetAssignmentMetadata)
	case schema.ConsumerGroupTargetAssignmentMember:
		return replay(r, schema.DecodeConsumerGroupTargetAssignmentMemberValue, s.replayConsumerGroupTargetAssignmentMember)
	case schema.ConsumerGroupCurrentMemberAssignment:
		return replay(r, schema.DecodeConsumerGroupCurrentMemberAssignmentValue, s.replayConsumerGroupCurrentMemberAssignment)
	case schema.ConsumerGroupRegularExpression:
		return replay(r, schema.DecodeConsumerGroupRegularExpressionValue, s.replayConsumerGroupRegularExpression)
	default:
		return nil
	}
}

// replay decodes a record about a group and applies it. The value is nil for a tombstone.
func replay[V any](r coordlog.Record, decode func([]byte) (*V, error), apply func(schema.Key, *V) error) error {
	key, err := schema.DecodeKey(r.Key)
	if err != nil {
		return err
	}
	if r.Value == nil {
		return apply(key, nil)
	}
	value, err := decode(r.Value)
	if err != nil {
		return err
	}
	return apply(key, value)
}

// record returns the record that gives key a value.
func record(key schema.Key, value interface{ Append(dst []byte) []byte }) coordlog.Record {
	return coordlog.NewRecord(key.Append(nil), value.Append(nil))
}

// tombstone returns the record that ends key.
func tombstone(key schema.Key) coordlog.Record { return coordlog.NewRecord(key.Append(nil), nil) }

// Loaded implements coordlog.Machine.
func (s *State) Loaded(fx coordlog.Effects) {
	s.loadedOffsets(fx)
	s.loadedClassic(fx)
	s.loadedConsumer(fx)
}
