package group

import (
	"slices"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
)

// Member epochs with a meaning of their own.
const (
	joinEpoch        int32 = 0  // of a member that wants to join, or has not been given an epoch yet
	leaveEpoch       int32 = -1 // of a member that leaves, or has left
	leaveStaticEpoch int32 = -2 // of a static member that leaves for a while, and keeps what it was assigned
)

// memberState is where a member is on its way from what it owns to what it is to own. The values are those in its record.
type memberState int8

// The states. A member is in one of the last two of an epoch, and in the first before it can move on to the next one:
//
//	          ┌──────────────────────────────────────────────┐
//	          ▼      (it has revoked them)                   │
//	Stable ─► UnrevokedPartitions ─► UnreleasedPartitions ─► Stable
const (
	// memberStable: it owns what it is to own.
	memberStable memberState = 0
	// memberUnrevoked: it has to give partitions up. Its epoch rises when it has said that it no longer has them.
	memberUnrevoked memberState = 1
	// memberUnreleased: it has the epoch of the target assignment, but others have not given up all of its partitions yet.
	memberUnreleased memberState = 2
	// memberUnknown: a newer release wrote the record. The member has to begin anew.
	memberUnknown memberState = 127
)

// ownedPartitions are partitions that a member owns, in the order of the topics' ids and ascending, each with the epoch in which
// it was given to the member. They are immutable.
type ownedPartitions []schema.AssignedPartitions

// find returns the epoch in which the member was given a partition.
func (o ownedPartitions) find(id protocol.TopicID, partition int32) (assignmentEpoch int32, found bool) {
	t, found := o.topic(id)
	if !found {
		return 0, false
	}
	i, found := slices.BinarySearch(t.Partitions, partition)
	if !found {
		return 0, false
	}
	return t.AssignmentEpochs[i], true
}

func (o ownedPartitions) topic(id protocol.TopicID) (schema.AssignedPartitions, bool) {
	i, found := slices.BinarySearchFunc(o, id, func(t schema.AssignedPartitions, id protocol.TopicID) int {
		return assignor.CompareIDs(t.TopicID, id)
	})
	if !found {
		return schema.AssignedPartitions{}, false
	}
	return o[i], true
}

func (o ownedPartitions) equal(p ownedPartitions) bool {
	return len(o) == len(p) && (len(o) == 0 || &o[0] == &p[0] || slices.EqualFunc(o, p, func(a, b schema.AssignedPartitions) bool {
		return a.TopicID == b.TopicID && slices.Equal(a.Partitions, b.Partitions) && slices.Equal(a.AssignmentEpochs, b.AssignmentEpochs)
	}))
}

// inEpoch returns the same partitions, as if all had been given in one epoch.
func (o ownedPartitions) inEpoch(assignmentEpoch int32) ownedPartitions {
	out := slices.Clone(o)
	for i := range out {
		out[i].AssignmentEpochs = slices.Repeat([]int32{assignmentEpoch}, len(out[i].Partitions))
	}
	return out
}

// asOwned returns the partitions of an assignment as owned, all since one epoch.
func asOwned(a assignor.Assignment, assignmentEpoch int32) ownedPartitions {
	var out ownedPartitions
	for _, t := range a {
		out = append(out, schema.AssignedPartitions{TopicID: t.TopicID, Partitions: t.Partitions})
	}
	return out.inEpoch(assignmentEpoch)
}

// consumerMember is a member of a consumer group, as its records say. It is immutable, but for its session.
type consumerMember struct {
	id               string
	epoch            int32
	previousEpoch    int32
	state            memberState
	instanceID       *string
	rackID           *string
	rebalanceTimeout int32 // milliseconds; -1: not known
	clientID         string
	clientHost       string
	topics           []string // that it is subscribed to by name; sorted
	regex            *string  // that topics it is subscribed to match; "" is none, too
	assignor         *string
	assigned         ownedPartitions
	revoking         ownedPartitions               // what it has to give up
	classic          *schema.ClassicMemberMetadata // of a member that speaks the classic protocol

	session *session
}

// session is when a member is given up. It is in memory only, and the same for all successive values of a member.
type session struct {
	timer    string
	expire   func(coordlog.Effects)
	deadline time.Time
	armed    time.Time // when the timer fires, at or before deadline; zero: it is not set

	expectsJoin bool // a member of the classic protocol was told to join again
}

// newConsumerMember returns a member of which nothing is known.
func newConsumerMember(id string) *consumerMember {
	none := ""
	return &consumerMember{id: id, previousEpoch: -1, rebalanceTimeout: -1, regex: &none}
}

// with returns a copy of the member that change was made to.
func (m *consumerMember) with(change func(*consumerMember)) *consumerMember {
	c := *m
	change(&c)
	return &c
}

// inNewEpoch returns a copy in another epoch, which may be the same.
func (m *consumerMember) inNewEpoch(epoch int32, state memberState, assigned, revoking ownedPartitions) *consumerMember {
	return m.with(func(c *consumerMember) {
		c.previousEpoch, c.epoch = c.epoch, epoch
		c.state, c.assigned, c.revoking = state, assigned, revoking
	})
}

func (m *consumerMember) isStatic() bool { return m.instanceID != nil }

func (m *consumerMember) isClassic() bool { return m.classic != nil }

// hasRegex reports whether the member is subscribed to a pattern.
func (m *consumerMember) hasRegex() bool { return m.regex != nil && *m.regex != "" }

// reconciledTo reports whether the member owns what the target assignment of an epoch gives it.
func (m *consumerMember) reconciledTo(assignmentEpoch int32) bool {
	return m.state == memberStable && m.epoch == assignmentEpoch
}

// sameMetadata reports whether both say the same of themselves.
func (m *consumerMember) sameMetadata(o *consumerMember) bool {
	return equalPointers(m.instanceID, o.instanceID) && equalPointers(m.rackID, o.rackID) &&
		m.rebalanceTimeout == o.rebalanceTimeout && m.clientID == o.clientID && m.clientHost == o.clientHost &&
		sameNames(m.topics, o.topics) && equalPointers(m.regex, o.regex) && equalPointers(m.assignor, o.assignor) &&
		equalClassic(m.classic, o.classic)
}

// sameAssignment reports whether both have got as far in their reconciliation.
func (m *consumerMember) sameAssignment(o *consumerMember) bool {
	return m.epoch == o.epoch && m.previousEpoch == o.previousEpoch && m.state == o.state &&
		m.assigned.equal(o.assigned) && m.revoking.equal(o.revoking)
}

func equalClassic(a, b *schema.ClassicMemberMetadata) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.SessionTimeoutMillis == b.SessionTimeoutMillis &&
		slices.EqualFunc(a.SupportedProtocols, b.SupportedProtocols, func(a, b schema.ClassicProtocol) bool {
			return a.Name == b.Name && string(a.Metadata) == string(b.Metadata)
		})
}

// sameNames is slices.Equal, and quick where they are the very same.
func sameNames(a, b []string) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

func equalPointers[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
