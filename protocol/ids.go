package protocol

import (
	"encoding/base64"
	"fmt"
	"io"
	"strconv"
)

// NodeID names a broker or controller (Kafka's node.id); -1 is "none".
type NodeID int32

// LeaderEpoch counts the leaders of one partition; it rises at every change of leader and is stamped on each batch.
type LeaderEpoch int32

// PartitionEpoch counts the changes of one partition's leader, ISR or replicas (KIP-497).
type PartitionEpoch int32

// BrokerEpoch names one registration of a broker: the metadata log position at which it registered.
type BrokerEpoch int64

// ProducerID names an idempotent or transactional producer for ever.
type ProducerID int64

// ProducerEpoch fences older incarnations of a producer id.
type ProducerEpoch int16

// TopicID is Kafka's Uuid: 16 bytes, written as 22 characters of URL-safe base64 without padding.
// It also names directories and incarnations.
type TopicID [16]byte

// NewTopicID draws a random id from r. Like Kafka's Uuid.randomUuid it never returns a reserved id (the first
// hundred values) nor one whose text begins with '-', which command lines would take for a flag.
func NewTopicID(r io.Reader) (TopicID, error) {
	for {
		var id TopicID
		if _, err := io.ReadFull(r, id[:]); err != nil {
			return TopicID{}, fmt.Errorf("draw a random id: %w", err)
		}
		id[6] = id[6]&0x0f | 0x40 // version 4
		id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
		if id.String()[0] != '-' {
			return id, nil
		}
	}
}

// ParseTopicID reads the 22-character form.
func ParseTopicID(s string) (TopicID, error) {
	var id TopicID
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return TopicID{}, fmt.Errorf("parse id %q: want 22 characters of URL-safe base64", s)
	}
	copy(id[:], b)
	return id, nil
}

// IsZero reports whether the id is unset.
func (t TopicID) IsZero() bool { return t == TopicID{} }

// String returns the 22-character form.
func (t TopicID) String() string { return base64.RawURLEncoding.EncodeToString(t[:]) }

// TopicPartition names one partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns Kafka's form, which is also the name of the partition's folder: topic-partition.
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// TopicIDPartition names one partition of one incarnation of a topic.
type TopicIDPartition struct {
	ID        TopicID
	Topic     string
	Partition int32
}

// TopicPartition drops the id.
func (t TopicIDPartition) TopicPartition() TopicPartition {
	return TopicPartition{Topic: t.Topic, Partition: t.Partition}
}
