package schema

import "strconv"

// KeyType is the type of a record, the first field of its key.
type KeyType int16

// The types that are served. The names are Kafka's.
const (
	OffsetCommitLegacy                    KeyType = 0 // as OffsetCommit
	OffsetCommit                          KeyType = 1
	GroupMetadata                         KeyType = 2
	ConsumerGroupMetadata                 KeyType = 3
	ConsumerGroupPartitionMetadata        KeyType = 4 // before Kafka 4.1; now only its tombstones are written
	ConsumerGroupMemberMetadata           KeyType = 5
	ConsumerGroupTargetAssignmentMetadata KeyType = 6
	ConsumerGroupTargetAssignmentMember   KeyType = 7
	ConsumerGroupCurrentMemberAssignment  KeyType = 8
	ConsumerGroupRegularExpression        KeyType = 16
)

// The types of Kafka 4.4 that are known only.
const (
	ShareGroupMemberMetadata             KeyType = 10
	ShareGroupMetadata                   KeyType = 11
	ShareGroupTargetAssignmentMetadata   KeyType = 12
	ShareGroupTargetAssignmentMember     KeyType = 13
	ShareGroupCurrentMemberAssignment    KeyType = 14
	ShareGroupStatePartitionMetadata     KeyType = 15
	StreamsGroupMetadata                 KeyType = 17
	StreamsGroupMemberMetadata           KeyType = 19
	StreamsGroupTargetAssignmentMetadata KeyType = 20
	StreamsGroupTargetAssignmentMember   KeyType = 21
	StreamsGroupCurrentMemberAssignment  KeyType = 22
	StreamsGroupTopology                 KeyType = 23
)

var typeNames = map[KeyType]string{
	OffsetCommitLegacy:                    "LegacyOffsetCommit",
	OffsetCommit:                          "OffsetCommit",
	GroupMetadata:                         "GroupMetadata",
	ConsumerGroupMetadata:                 "ConsumerGroupMetadata",
	ConsumerGroupPartitionMetadata:        "ConsumerGroupPartitionMetadata",
	ConsumerGroupMemberMetadata:           "ConsumerGroupMemberMetadata",
	ConsumerGroupTargetAssignmentMetadata: "ConsumerGroupTargetAssignmentMetadata",
	ConsumerGroupTargetAssignmentMember:   "ConsumerGroupTargetAssignmentMember",
	ConsumerGroupCurrentMemberAssignment:  "ConsumerGroupCurrentMemberAssignment",
	ConsumerGroupRegularExpression:        "ConsumerGroupRegularExpression",
	ShareGroupMemberMetadata:              "ShareGroupMemberMetadata",
	ShareGroupMetadata:                    "ShareGroupMetadata",
	ShareGroupTargetAssignmentMetadata:    "ShareGroupTargetAssignmentMetadata",
	ShareGroupTargetAssignmentMember:      "ShareGroupTargetAssignmentMember",
	ShareGroupCurrentMemberAssignment:     "ShareGroupCurrentMemberAssignment",
	ShareGroupStatePartitionMetadata:      "ShareGroupStatePartitionMetadata",
	StreamsGroupMetadata:                  "StreamsGroupMetadata",
	StreamsGroupMemberMetadata:            "StreamsGroupMemberMetadata",
	StreamsGroupTargetAssignmentMetadata:  "StreamsGroupTargetAssignmentMetadata",
	StreamsGroupTargetAssignmentMember:    "StreamsGroupTargetAssignmentMember",
	StreamsGroupCurrentMemberAssignment:   "StreamsGroupCurrentMemberAssignment",
	StreamsGroupTopology:                  "StreamsGroupTopology",
}

// Known reports whether Kafka 4.4 has records of the type.
func (t KeyType) Known() bool { return typeNames[t] != "" }

// String returns Kafka's name.
func (t KeyType) String() string {
	if name := typeNames[t]; name != "" {
		return name
	}
	return "type " + strconv.Itoa(int(t))
}

// TypeOf returns the type of a record.
func TypeOf(key []byte) (KeyType, error) {
	d := decoder{buf: key}
	t := KeyType(d.int16())
	return t, d.err("key")
}

// OffsetCommitKey names a committed offset. Its texts alias the record that it was decoded from, since offsets are many and
// their names are not.
type OffsetCommitKey struct {
	Group     []byte
	Topic     []byte
	Partition int32
}

// DecodeOffsetCommitKey reads the key of an OffsetCommit, or of a legacy one.
func DecodeOffsetCommitKey(b []byte) (OffsetCommitKey, error) {
	d := decoder{buf: b}
	d.int16()
	k := OffsetCommitKey{Group: d.text(), Topic: d.text(), Partition: d.int32()}
	return k, d.err("OffsetCommit key")
}

// AppendOffsetCommitKey appends the key of an OffsetCommit.
func AppendOffsetCommitKey(dst []byte, group, topic string, partition int32) []byte {
	e := encoder{buf: dst}
	e.int16(int16(OffsetCommit))
	e.string(group)
	e.string(topic)
	e.int32(partition)
	return e.buf
}

// Key is the key of a record about a group, which are all that are served but committed offsets.
type Key struct {
	Type   KeyType
	Group  string
	Member string // of the types whose name has Member in it
	Regex  string // of ConsumerGroupRegularExpression
}

// second returns the second field of the key, nil where it has none.
func (k *Key) second() *string {
	switch k.Type {
	case ConsumerGroupMemberMetadata, ConsumerGroupTargetAssignmentMember, ConsumerGroupCurrentMemberAssignment:
		return &k.Member
	case ConsumerGroupRegularExpression:
		return &k.Regex
	default:
		return nil
	}
}

// Append appends the key.
func (k Key) Append(dst []byte) []byte {
	e := encoder{buf: dst}
	e.int16(int16(k.Type))
	e.string(k.Group)
	if s := k.second(); s != nil {
		e.string(*s)
	}
	return e.buf
}

// DecodeKey reads the key of a record about a group.
func DecodeKey(b []byte) (Key, error) {
	d := decoder{buf: b}
	k := Key{Type: KeyType(d.int16()), Group: d.string()}
	if s := k.second(); s != nil {
		*s = d.string()
	}
	return k, d.err("key")
}
