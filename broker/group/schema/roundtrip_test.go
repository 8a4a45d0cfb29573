package schema

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/distributedmq/dmq/protocol"
)

var anID = protocol.TopicID{1, 2, 3, 15: 16}

func roundTrip[V any](t *testing.T, name string, want *V, encode func(*V) []byte, decode func([]byte) (*V, error)) {
	t.Helper()
	b := encode(want)
	got, err := decode(b)
	if err != nil {
		t.Fatalf("%s: decode %x: %v", name, b, err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: (-want +got)\n%s", name, d)
	}
	for n := range b {
		if _, err := decode(b[:n]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %d of %d bytes: got error %v, want ErrMalformed", name, n, len(b), err)
		}
	}
	if _, err := decode(append(b, 1, 2, 3)); err != nil {
		t.Errorf("%s: bytes behind the value: %v", name, err)
	}
	b[1] = 9
	if v, ok := errors.AsType[*VersionError](func() error { _, err := decode(b); return err }()); !ok || v.Version != 9 {
		t.Errorf("%s: version 9: got error %v, want a VersionError", name, err)
	}
}

// byValue makes a decoder that returns a value fit roundTrip.
func byValue[V any](decode func([]byte) (V, error)) func([]byte) (*V, error) {
	return func(b []byte) (*V, error) { v, err := decode(b); return &v, err }
}

func TestRoundTrip_OffsetCommit(t *testing.T) {
	v := func(mod func(*OffsetCommitValue)) *OffsetCommitValue {
		v := &OffsetCommitValue{Offset: 1 << 40, LeaderEpoch: -1, Metadata: "meta", CommitTimestampMillis: 1700000000000, ExpireTimestampMillis: -1}
		mod(v)
		return v
	}
	values := map[int16]*OffsetCommitValue{
		0: v(func(*OffsetCommitValue) {}),
		1: v(func(v *OffsetCommitValue) { v.ExpireTimestampMillis = 1700000001000 }),
		2: v(func(v *OffsetCommitValue) { v.Metadata = "" }),
		3: v(func(v *OffsetCommitValue) { v.LeaderEpoch = 7 }),
		4: v(func(v *OffsetCommitValue) { v.LeaderEpoch, v.TopicID = 7, anID }),
	}
	for version, want := range values {
		encode := func(v *OffsetCommitValue) []byte { return v.append(nil, version) }
		roundTrip(t, "OffsetCommit v"+string('0'+rune(version)), want, encode, byValue(DecodeOffsetCommitValue))
	}
	if b := values[1].Append(nil); b[1] != 1 {
		t.Errorf("a commit that expires: got version %d, want 1", b[1])
	}
	if b := values[4].Append(nil); b[1] != 4 {
		t.Errorf("a commit: got version %d, want 4", b[1])
	}
}

func TestRoundTrip_GroupMetadata(t *testing.T) {
	for version := range int16(5) {
		want := &GroupMetadataValue{
			ProtocolType: "consumer", Generation: 3, Protocol: new("range"), Leader: new("m1"), CurrentStateTimestampMillis: -1,
			Members: []GroupMetadataMember{
				{MemberID: "m1", ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: -1, SessionTimeoutMillis: 10000, Subscription: []byte{1}, Assignment: []byte{2, 3}},
				{MemberID: "m2", ClientID: "", ClientHost: "/::1", RebalanceTimeoutMillis: -1, SessionTimeoutMillis: 1, Subscription: []byte{}, Assignment: []byte{}},
			},
		}
		if version >= 1 {
			want.Members[0].RebalanceTimeoutMillis = 300000
		}
		if version >= 2 {
			want.CurrentStateTimestampMillis = 1700000000000
		}
		if version >= 3 {
			want.Members[1].InstanceID = new("i2")
		}
		encode := func(v *GroupMetadataValue) []byte { return v.append(nil, version) }
		roundTrip(t, "GroupMetadata v"+string('0'+rune(version)), want, encode, DecodeGroupMetadataValue)
	}
}

func encode[V appender](v V) []byte { return v.Append(nil) }

func TestRoundTrip_ConsumerGroups(t *testing.T) {
	roundTrip(t, "metadata", &ConsumerGroupMetadataValue{Epoch: 5}, encode, DecodeConsumerGroupMetadataValue)
	roundTrip(t, "metadata with hash", &ConsumerGroupMetadataValue{Epoch: 5, MetadataHash: -8}, encode, DecodeConsumerGroupMetadataValue)
	roundTrip(t, "partition metadata", &ConsumerGroupPartitionMetadataValue{Topics: []TopicMetadata{
		{TopicID: anID, TopicName: "t", NumPartitions: 2, Partitions: []PartitionMetadata{{Partition: 1, Racks: []string{"a", "b"}}, {}}},
		{},
	}}, encode, DecodeConsumerGroupPartitionMetadataValue)
	roundTrip(t, "member", &ConsumerGroupMemberMetadataValue{
		InstanceID: new("i"), RackID: new("r"), ClientID: "c", ClientHost: "/h", SubscribedTopicNames: []string{"a", "b"},
		SubscribedTopicRegex: new("a.*"), RebalanceTimeoutMillis: 9, ServerAssignor: new("range"),
	}, encode, DecodeConsumerGroupMemberMetadataValue)
	roundTrip(t, "classic member", &ConsumerGroupMemberMetadataValue{RebalanceTimeoutMillis: -1, Classic: &ClassicMemberMetadata{
		SessionTimeoutMillis: 45000, SupportedProtocols: []ClassicProtocol{{Name: "range", Metadata: []byte{0, 1}}, {}},
	}}, encode, DecodeConsumerGroupMemberMetadataValue)
	roundTrip(t, "target", &ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: 2}, encode, DecodeConsumerGroupTargetAssignmentMetadataValue)
	roundTrip(t, "target with time", &ConsumerGroupTargetAssignmentMetadataValue{AssignmentEpoch: 2, AssignmentTimestampMillis: 1}, encode,
		DecodeConsumerGroupTargetAssignmentMetadataValue)
	roundTrip(t, "target member", &ConsumerGroupTargetAssignmentMemberValue{TopicPartitions: []TopicPartitions{{TopicID: anID, Partitions: []int32{0, 2}}, {}}},
		encode, DecodeConsumerGroupTargetAssignmentMemberValue)
	roundTrip(t, "current", &ConsumerGroupCurrentMemberAssignmentValue{
		MemberEpoch: 2, PreviousMemberEpoch: 1, State: 3,
		AssignedPartitions:          []AssignedPartitions{{TopicID: anID, Partitions: []int32{0, 2}, AssignmentEpochs: []int32{1, 2}}},
		PartitionsPendingRevocation: []AssignedPartitions{{TopicID: anID, Partitions: []int32{1}}},
	}, encode, DecodeConsumerGroupCurrentMemberAssignmentValue)
	roundTrip(t, "regex", &ConsumerGroupRegularExpressionValue{Topics: []string{"a"}, Version: 7, TimestampMillis: 8}, encode, DecodeConsumerGroupRegularExpressionValue)
}

func TestKeys(t *testing.T) {
	for _, want := range []Key{
		{Type: GroupMetadata, Group: "g"},
		{Type: ConsumerGroupMetadata, Group: ""},
		{Type: ConsumerGroupPartitionMetadata, Group: "g"},
		{Type: ConsumerGroupMemberMetadata, Group: "g", Member: "m"},
		{Type: ConsumerGroupTargetAssignmentMetadata, Group: "g"},
		{Type: ConsumerGroupTargetAssignmentMember, Group: "g", Member: "m"},
		{Type: ConsumerGroupCurrentMemberAssignment, Group: "g", Member: ""},
		{Type: ConsumerGroupRegularExpression, Group: "g", Regex: "a.*"},
	} {
		b := want.Append(nil)
		if got, err := DecodeKey(b); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if typ, err := TypeOf(b); err != nil || typ != want.Type || !typ.Known() {
			t.Errorf("got type %v, %v, want %v", typ, err, want.Type)
		}
		for n := range b {
			if _, err := DecodeKey(b[:n]); !errors.Is(err, ErrMalformed) {
				t.Errorf("%+v: %d of %d bytes: got error %v, want ErrMalformed", want, n, len(b), err)
			}
		}
	}
	b := AppendOffsetCommitKey(nil, "group", "topic", 7)
	got, err := DecodeOffsetCommitKey(b)
	if err != nil || string(got.Group) != "group" || string(got.Topic) != "topic" || got.Partition != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestKeyType_String(t *testing.T) {
	for typ, want := range map[KeyType]string{GroupMetadata: "GroupMetadata", StreamsGroupTopology: "StreamsGroupTopology", 9: "type 9", -1: "type -1"} {
		if got := typ.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if KeyType(18).Known() || KeyType(24).Known() {
		t.Error("types 18 and 24 are known")
	}
}
