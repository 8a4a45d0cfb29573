package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol"
)

// protocolKind is the protocol that a group's members speak (Kafka's GroupType).
type protocolKind string

// The kinds.
const (
	classicKind  protocolKind = "classic"
	consumerKind protocolKind = "consumer"
)

// group is what a classic and a consumer group have in common: what offsets and administration ask of either.
// Its errors carry an errcode.Kind, Kafka's for the request.
type group interface {
	id() string
	kind() protocolKind
	// state is Kafka's name: Empty, PreparingRebalance, CompletingRebalance, Stable, Dead, Assigning, Reconciling.
	state() string
	// protocolType is what the members say they are: "consumer" for consumers; "" where nobody has said.
	protocolType() string
	memberCount() int
	groupEpoch() int32 // of a classic group its generation
	empty() bool       // no members

	// checkCommit says why a member may not commit offsets. version is that of the request, and transactional is
	// TxnOffsetCommit. check, if it is not nil, has the last word for each partition (KIP-1251: a member of an older epoch
	// may commit what it has owned since then); one that it refuses fails the whole request.
	checkCommit(c commit) (check partitionCheck, err error)
	// renew notes that a member was heard of: it committed offsets, which checkCommit allowed. Only in a classic group that is
	// stable or prepares a rebalance that keeps the member's session alive.
	renew(fx coordlog.Effects, memberID string)
	// checkFetch says why a member may not fetch offsets (OffsetFetch v9+). A nil memberID with epoch -1 is no member.
	checkFetch(memberID *string, memberEpoch int32) error
	// checkOffsetDelete says why no offset may be deleted: GROUP_ID_NOT_FOUND for a dead group, NON_EMPTY_GROUP for
	// one of another type than consumer.
	checkOffsetDelete() error
	// checkDelete says why the group may not be deleted.
	checkDelete() error
	// subscribed reports whether a member consumes the topic: its offsets are neither deleted nor expired then. Where that cannot be
	// known, as with protocol types other than consumer, it is true while there are members.
	subscribed(topic string) bool
	// expiry says since when the offsets of topics that nobody is subscribed to may expire: see offsets.go.
	expiry() expiry
	// describe is the group as DescribeGroups shows it. It fails with GROUP_ID_NOT_FOUND for one that is not classic.
	describe() (kmsg.DescribeGroupsResponseGroup, error)
	// tombstones are the records that remove the group from the log. Offsets are not among them.
	tombstones() []coordlog.Record
}

// commit is who wants to commit.
type commit struct {
	memberID      string
	instanceID    *string
	generation    int32 // or member epoch; -1: none
	transactional bool
	version       int16
}

// partitionCheck says why a member may not commit offsets of a partition. topicID is zero where the request did not name it.
type partitionCheck func(topic string, topicID protocol.TopicID, partition int32) error

// expiry is the rule by which a group's offsets grow old (Kafka's OffsetExpirationCondition).
type expiry struct {
	// since returns the time, in milliseconds, from which the age of an offset counts, given when it was committed; ok is
	// false while offsets of the group do not expire at all.
	since func(commitTimestamp int64) (millis int64, ok bool)
}
