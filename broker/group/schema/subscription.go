package schema

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ConsumerProtocolVersion is the highest of Kafka's consumer protocol. A higher one has its fields, and more behind them.
const ConsumerProtocolVersion = 3

// DecodeSubscription reads what a classic member of protocol type "consumer" says of itself: the metadata of a protocol that
// it offers (Kafka's ConsumerProtocolSubscription).
func DecodeSubscription(b []byte) (kmsg.ConsumerMemberMetadata, error) {
	v := kmsg.NewConsumerMemberMetadata()
	d := decoder{buf: b}
	v.Version = d.consumerProtocolVersion()
	v.Topics = d.strings()
	v.UserData = d.nullableBytes()
	if v.Version >= 1 {
		v.OwnedPartitions = list(&d, 6, func() kmsg.ConsumerMemberMetadataOwnedPartition {
			return kmsg.ConsumerMemberMetadataOwnedPartition{Topic: d.string(), Partitions: d.int32s()}
		})
	}
	if v.Version >= 2 {
		v.Generation = d.int32()
	}
	if v.Version >= 3 {
		v.Rack = d.nullableString()
	}
	return v, d.err("subscription")
}

// DecodeSubscriptionTopics reads nothing but the topics of a subscription. It understands every version, since all begin as
// version 0 does.
func DecodeSubscriptionTopics(b []byte) ([]string, error) {
	d := decoder{buf: b}
	d.int16()
	topics := d.strings()
	d.nullableBytes()
	return topics, d.err("subscription")
}

// DecodeAssignment reads what a classic member of protocol type "consumer" was given (Kafka's ConsumerProtocolAssignment).
func DecodeAssignment(b []byte) (kmsg.ConsumerMemberAssignment, error) {
	v := kmsg.NewConsumerMemberAssignment()
	d := decoder{buf: b}
	v.Version = d.consumerProtocolVersion()
	v.Topics = list(&d, 6, func() kmsg.ConsumerMemberAssignmentTopic {
		return kmsg.ConsumerMemberAssignmentTopic{Topic: d.string(), Partitions: d.int32s()}
	})
	v.UserData = d.nullableBytes()
	return v, d.err("assignment")
}

func (d *decoder) consumerProtocolVersion() int16 {
	v := d.int16()
	if v < 0 {
		d.fail("negative version")
	}
	return min(v, ConsumerProtocolVersion)
}
