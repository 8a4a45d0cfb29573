package group

import (
	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// The records of a consumer group. Those of a member are written in this order: what it says of itself, its target, what it owns;
// and removed in the opposite one, so that what remains of a torn history is a member that owns nothing.

func memberRecord(groupID string, m *consumerMember) coordlog.Record {
	return record(schema.Key{Type: schema.ConsumerGroupMemberMetadata, Group: groupID, Member: m.id}, &schema.ConsumerGroupMemberMetadataValue{
		InstanceID: m.instanceID, RackID: m.rackID, ClientID: m.clientID, ClientHost: m.clientHost,
		SubscribedTopicNames: m.topics, SubscribedTopicRegex: m.regex,
		RebalanceTimeoutMillis: m.rebalanceTimeout, ServerAssignor: m.assignor, Classic: m.classic,
	})
}

func epochRecord(groupID string, epoch int32, hash int64) coordlog.Record {
	return record(schema.Key{Type: schema.ConsumerGroupMetadata, Group: groupID},
		&schema.ConsumerGroupMetadataValue{Epoch: epoch, MetadataHash: hash})
}

func targetRecord(groupID, memberID string, target assignor.Assignment) coordlog.Record {
	v := &schema.ConsumerGroupTargetAssignmentMemberValue{TopicPartitions: make([]schema.TopicPartitions, len(target))}
	for i, t := range target {
		v.TopicPartitions[i] = schema.TopicPartitions(t)
	}
	return record(schema.Key{Type: schema.ConsumerGroupTargetAssignmentMember, Group: groupID, Member: memberID}, v)
}

func targetEpochRecord(groupID string, assignmentEpoch int32, timestampMillis int64) coordlog.Record {
	return record(schema.Key{Type: schema.ConsumerGroupTargetAssignmentMetadata, Group: groupID},
		&schema.ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: assignmentEpoch, AssignmentTimestampMillis: timestampMillis})
}

func currentRecord(groupID string, m *consumerMember) coordlog.Record {
	return record(schema.Key{Type: schema.ConsumerGroupCurrentMemberAssignment, Group: groupID, Member: m.id}, &schema.ConsumerGroupCurrentMemberAssignmentValue{
		MemberEpoch: m.epoch, PreviousMemberEpoch: m.previousEpoch, State: int8(m.state),
		AssignedPartitions: m.assigned, PartitionsPendingRevocation: m.revoking,
	})
}

func regexRecord(groupID, pattern string, r *resolvedRegex) coordlog.Record {
	return record(schema.Key{Type: schema.ConsumerGroupRegularExpression, Group: groupID, Regex: pattern},
		&schema.ConsumerGroupRegularExpressionValue{Topics: r.topics, Version: r.version, TimestampMillis: r.timestamp})
}

// memberTombstones are the records that remove a member.
func memberTombstones(groupID, memberID string) []coordlog.Record {
	return []coordlog.Record{
		tombstone(schema.Key{Type: schema.ConsumerGroupCurrentMemberAssignment, Group: groupID, Member: memberID}),
		tombstone(schema.Key{Type: schema.ConsumerGroupTargetAssignmentMember, Group: groupID, Member: memberID}),
		tombstone(schema.Key{Type: schema.ConsumerGroupMemberMetadata, Group: groupID, Member: memberID}),
	}
}
