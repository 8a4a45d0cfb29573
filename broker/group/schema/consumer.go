package schema

import "github.com/distributedmq/dmq/protocol"

// All values of consumer groups have only version 0, which is flexible.

func consumerValue(dst []byte) encoder {
	e := encoder{buf: dst, flexible: true}
	e.int16(0)
	return e
}

// ConsumerGroupMetadataValue is a consumer group.
type ConsumerGroupMetadataValue struct {
	Epoch        int32
	MetadataHash int64 // of the topics that the group is subscribed to; 0: not computed
}

// Append appends the value.
func (v *ConsumerGroupMetadataValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.int32(v.Epoch)
	if v.MetadataHash == 0 {
		e.noTags()
	} else {
		e.oneTag(func(f *encoder) { f.int64(v.MetadataHash) })
	}
	return e.buf
}

// DecodeConsumerGroupMetadataValue reads the value.
func DecodeConsumerGroupMetadataValue(b []byte) (*ConsumerGroupMetadataValue, error) {
	d, _, err := value("ConsumerGroupMetadata", b, 0, 0)
	if err != nil {
		return nil, err
	}
	v := &ConsumerGroupMetadataValue{Epoch: d.int32()}
	if f, ok := d.tagged(); ok {
		v.MetadataHash = f.int64()
		d.ends(&f)
	}
	return v, d.err("ConsumerGroupMetadata value")
}

// ConsumerGroupPartitionMetadataValue is what a consumer group knew of its topics, before Kafka 4.1.
type ConsumerGroupPartitionMetadataValue struct {
	Topics []TopicMetadata
}

// TopicMetadata is a topic of ConsumerGroupPartitionMetadata.
type TopicMetadata struct {
	TopicID       protocol.TopicID
	TopicName     string
	NumPartitions int32
	Partitions    []PartitionMetadata
}

// PartitionMetadata are the racks of a partition's replicas.
type PartitionMetadata struct {
	Partition int32
	Racks     []string
}

// Append appends the value.
func (v *ConsumerGroupPartitionMetadataValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.length(len(v.Topics))
	for i := range v.Topics {
		t := &v.Topics[i]
		e.id(t.TopicID)
		e.string(t.TopicName)
		e.int32(t.NumPartitions)
		e.length(len(t.Partitions))
		for _, p := range t.Partitions {
			e.int32(p.Partition)
			e.strings(p.Racks)
			e.noTags()
		}
		e.noTags()
	}
	e.noTags()
	return e.buf
}

// DecodeConsumerGroupPartitionMetadataValue reads the value.
func DecodeConsumerGroupPartitionMetadataValue(b []byte) (*ConsumerGroupPartitionMetadataValue, error) {
	d, _, err := value("ConsumerGroupPartitionMetadata", b, 0, 0)
	if err != nil {
		return nil, err
	}
	partition := func() PartitionMetadata {
		p := PartitionMetadata{Partition: d.int32(), Racks: d.strings()}
		d.tagged()
		return p
	}
	topic := func() TopicMetadata {
		t := TopicMetadata{TopicID: d.id(), TopicName: d.string(), NumPartitions: d.int32()}
		t.Partitions = list(&d, 6, partition)
		d.tagged()
		return t
	}
	v := &ConsumerGroupPartitionMetadataValue{Topics: list(&d, 23, topic)}
	d.tagged()
	return v, d.err("ConsumerGroupPartitionMetadata value")
}

// ConsumerGroupMemberMetadataValue is what a member of a consumer group said of itself.
type ConsumerGroupMemberMetadataValue struct {
	InstanceID             *string
	RackID                 *string
	ClientID               string
	ClientHost             string
	SubscribedTopicNames   []string // sorted
	SubscribedTopicRegex   *string
	RebalanceTimeoutMillis int32 // -1: not known
	ServerAssignor         *string
	Classic                *ClassicMemberMetadata // of a member that speaks the classic protocol; nil: it speaks the consumer protocol
}

// ClassicMemberMetadata is what a consumer group knows of a member that speaks the classic protocol.
type ClassicMemberMetadata struct {
	SessionTimeoutMillis int32
	SupportedProtocols   []ClassicProtocol
}

// ClassicProtocol is one that a classic member offers.
type ClassicProtocol struct {
	Name     string
	Metadata []byte // see DecodeSubscription
}

// Append appends the value.
func (v *ConsumerGroupMemberMetadataValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.nullableString(v.InstanceID)
	e.nullableString(v.RackID)
	e.string(v.ClientID)
	e.string(v.ClientHost)
	e.strings(v.SubscribedTopicNames)
	e.nullableString(v.SubscribedTopicRegex)
	e.int32(v.RebalanceTimeoutMillis)
	e.nullableString(v.ServerAssignor)
	e.oneTag(v.Classic.append) // null, too: without the field, Kafka reads an empty struct
	return e.buf
}

func (m *ClassicMemberMetadata) append(e *encoder) {
	if m == nil {
		e.uvarint(0)
		return
	}
	e.uvarint(1)
	e.int32(m.SessionTimeoutMillis)
	e.length(len(m.SupportedProtocols))
	for _, p := range m.SupportedProtocols {
		e.string(p.Name)
		e.bytes(p.Metadata)
		e.noTags()
	}
	e.noTags()
}

// DecodeConsumerGroupMemberMetadataValue reads the value.
func DecodeConsumerGroupMemberMetadataValue(b []byte) (*ConsumerGroupMemberMetadataValue, error) {
	d, _, err := value("ConsumerGroupMemberMetadata", b, 0, 0)
	if err != nil {
		return nil, err
	}
	v := &ConsumerGroupMemberMetadataValue{
		InstanceID:             d.nullableString(),
		RackID:                 d.nullableString(),
		ClientID:               d.string(),
		ClientHost:             d.string(),
		SubscribedTopicNames:   d.strings(),
		SubscribedTopicRegex:   d.nullableString(),
		RebalanceTimeoutMillis: d.int32(),
		ServerAssignor:         d.nullableString(),
	}
	if f, ok := d.tagged(); ok {
		v.Classic = classicMemberMetadata(&f)
		d.ends(&f)
	}
	return v, d.err("ConsumerGroupMemberMetadata value")
}

func classicMemberMetadata(d *decoder) *ClassicMemberMetadata {
	if d.uvarint() == 0 {
		return nil
	}
	m := &ClassicMemberMetadata{SessionTimeoutMillis: d.int32()}
	m.SupportedProtocols = list(d, 3, func() ClassicProtocol {
		p := ClassicProtocol{Name: d.string(), Metadata: d.bytes()}
		d.tagged()
		return p
	})
	d.tagged()
	return m
}

// ConsumerGroupTargetAssignmentMetadataValue says which target assignment a consumer group has.
type ConsumerGroupTargetAssignmentMetadataValue struct {
	AssignmentEpoch           int32
	AssignmentTimestampMillis int64 // when it was computed; 0: not known
}

// Append appends the value.
func (v *ConsumerGroupTargetAssignmentMetadataValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.int32(v.AssignmentEpoch)
	if v.AssignmentTimestampMillis == 0 {
		e.noTags()
	} else {
		e.oneTag(func(f *encoder) { f.int64(v.AssignmentTimestampMillis) })
	}
	return e.buf
}

// DecodeConsumerGroupTargetAssignmentMetadataValue reads the value.
func DecodeConsumerGroupTargetAssignmentMetadataValue(b []byte) (*ConsumerGroupTargetAssignmentMetadataValue, error) {
	d, _, err := value("ConsumerGroupTargetAssignmentMetadata", b, 0, 0)
	if err != nil {
		return nil, err
	}
	v := &ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: d.int32()}
	if f, ok := d.tagged(); ok {
		v.AssignmentTimestampMillis = f.int64()
		d.ends(&f)
	}
	return v, d.err("ConsumerGroupTargetAssignmentMetadata value")
}

// TopicPartitions are partitions of one topic.
type TopicPartitions struct {
	TopicID    protocol.TopicID
	Partitions []int32
}

// ConsumerGroupTargetAssignmentMemberValue is what a member is to own.
type ConsumerGroupTargetAssignmentMemberValue struct {
	TopicPartitions []TopicPartitions
}

// Append appends the value.
func (v *ConsumerGroupTargetAssignmentMemberValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.length(len(v.TopicPartitions))
	for _, t := range v.TopicPartitions {
		e.id(t.TopicID)
		e.int32s(t.Partitions)
		e.noTags()
	}
	e.noTags()
	return e.buf
}

// DecodeConsumerGroupTargetAssignmentMemberValue reads the value.
func DecodeConsumerGroupTargetAssignmentMemberValue(b []byte) (*ConsumerGroupTargetAssignmentMemberValue, error) {
	d, _, err := value("ConsumerGroupTargetAssignmentMember", b, 0, 0)
	if err != nil {
		return nil, err
	}
	v := &ConsumerGroupTargetAssignmentMemberValue{TopicPartitions: list(&d, 18, func() TopicPartitions {
		t := TopicPartitions{TopicID: d.id(), Partitions: d.int32s()}
		d.tagged()
		return t
	})}
	d.tagged()
	return v, d.err("ConsumerGroupTargetAssignmentMember value")
}

// ConsumerGroupCurrentMemberAssignmentValue is what a member of a consumer group owns, and where it is in its reconciliation.
type ConsumerGroupCurrentMemberAssignmentValue struct {
	MemberEpoch                 int32
	PreviousMemberEpoch         int32
	State                       int8
	AssignedPartitions          []AssignedPartitions
	PartitionsPendingRevocation []AssignedPartitions
}

// AssignedPartitions are partitions of one topic, each with the epoch in which the member was given it.
type AssignedPartitions struct {
	TopicID          protocol.TopicID
	Partitions       []int32
	AssignmentEpochs []int32 // as many as Partitions; none: written before Kafka 4.3
}

// Append appends the value.
func (v *ConsumerGroupCurrentMemberAssignmentValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.int32(v.MemberEpoch)
	e.int32(v.PreviousMemberEpoch)
	e.int8(v.State)
	for _, topics := range [][]AssignedPartitions{v.AssignedPartitions, v.PartitionsPendingRevocation} {
		e.length(len(topics))
		for i := range topics {
			topics[i].append(&e)
		}
	}
	e.noTags()
	return e.buf
}

func (t *AssignedPartitions) append(e *encoder) {
	e.id(t.TopicID)
	e.int32s(t.Partitions)
	if len(t.AssignmentEpochs) == 0 {
		e.noTags()
	} else {
		e.oneTag(func(f *encoder) { f.int32s(t.AssignmentEpochs) })
	}
}

// DecodeConsumerGroupCurrentMemberAssignmentValue reads the value.
func DecodeConsumerGroupCurrentMemberAssignmentValue(b []byte) (*ConsumerGroupCurrentMemberAssignmentValue, error) {
	d, _, err := value("ConsumerGroupCurrentMemberAssignment", b, 0, 0)
	if err != nil {
		return nil, err
	}
	topic := func() AssignedPartitions {
		t := AssignedPartitions{TopicID: d.id(), Partitions: d.int32s()}
		if f, ok := d.tagged(); ok {
			t.AssignmentEpochs = nullableList(&f, 4, f.int32)
			d.ends(&f)
		}
		return t
	}
	v := &ConsumerGroupCurrentMemberAssignmentValue{
		MemberEpoch:         d.int32(),
		PreviousMemberEpoch: d.int32(),
		State:               d.int8(),
	}
	v.AssignedPartitions = list(&d, 18, topic)
	v.PartitionsPendingRevocation = list(&d, 18, topic)
	d.tagged()
	return v, d.err("ConsumerGroupCurrentMemberAssignment value")
}

// ConsumerGroupRegularExpressionValue are the topics that a regular expression of a consumer group matched.
type ConsumerGroupRegularExpressionValue struct {
	Topics          []string
	Version         int64 // of the metadata that it was matched against
	TimestampMillis int64
}

// Append appends the value.
func (v *ConsumerGroupRegularExpressionValue) Append(dst []byte) []byte {
	e := consumerValue(dst)
	e.strings(v.Topics)
	e.int64(v.Version)
	e.int64(v.TimestampMillis)
	e.noTags()
	return e.buf
}

// DecodeConsumerGroupRegularExpressionValue reads the value.
func DecodeConsumerGroupRegularExpressionValue(b []byte) (*ConsumerGroupRegularExpressionValue, error) {
	d, _, err := value("ConsumerGroupRegularExpression", b, 0, 0)
	if err != nil {
		return nil, err
	}
	v := &ConsumerGroupRegularExpressionValue{Topics: d.strings(), Version: d.int64(), TimestampMillis: d.int64()}
	d.tagged()
	return v, d.err("ConsumerGroupRegularExpression value")
}
