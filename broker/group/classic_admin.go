package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// This file is what offsets and administration ask of a classic group.

var _ group = (*classicGroup)(nil)

func (g *classicGroup) id() string           { return g.groupID }
func (g *classicGroup) kind() protocolKind   { return classicKind }
func (g *classicGroup) state() string        { return g.phase.String() }
func (g *classicGroup) protocolType() string { return g.typ }
func (g *classicGroup) memberCount() int     { return len(g.members) }
func (g *classicGroup) groupEpoch() int32    { return g.generation }
func (g *classicGroup) empty() bool          { return g.phase == classicEmpty }

// checkCommit says why a member may not commit offsets.
//
// Case A: somebody who is no member commits for an empty group: an administrator, or a consumer that assigns its partitions itself.
//
// Case B: a member of the current generation commits, while the generation does not wait for its assignments.
//
// Case C: a transaction commits for whom it does not say, as old clients do.
func (g *classicGroup) checkCommit(c commit) (partitionCheck, error) {
	if c.generation < 0 && g.phase == classicEmpty { // Case A
		return nil, nil
	}
	switch {
	case c.generation >= 0 || c.memberID != "" || c.instanceID != nil: // Case B
		if kind := g.check(c.memberID, c.instanceID); kind != errcode.KindNone {
			return nil, &errcode.Error{Kind: kind}
		}
		if c.generation != g.generation {
			return nil, errcode.New(errcode.KindIllegalGeneration, "generation %d is not that of group %s, %d", c.generation, g.groupID, g.generation)
		}
	case !c.transactional: // else Case C
		return nil, errcode.New(errcode.KindUnknownMemberID, "group %s has members, and only they commit for it", g.groupID)
	}
	if !c.transactional && g.phase == classicCompleting {
		return nil, errcode.New(errcode.KindRebalanceInProgress, "group %s is rebalancing", g.groupID)
	}
	return nil, nil
}

// checkFetch lets anybody fetch the offsets of a classic group.
func (g *classicGroup) checkFetch(*string, int32) error { return nil }

func (g *classicGroup) checkOffsetDelete() error {
	if g.phase != classicEmpty && g.typ != consumerProtocolType {
		return errcode.New(errcode.KindNonEmptyGroup, "group %s has members", g.groupID)
	}
	return nil
}

func (g *classicGroup) checkDelete() error {
	if g.phase != classicEmpty {
		return errcode.New(errcode.KindNonEmptyGroup, "group %s has members", g.groupID)
	}
	return nil
}

// subscribed reports whether a member consumes the topic. Of consumers whose subscriptions are not known it is to be feared.
func (g *classicGroup) subscribed(topic string) bool {
	if g.topics == nil {
		return g.typ == consumerProtocolType
	}
	_, found := g.topics[topic]
	return found
}

// expiry says since when offsets may expire.
//
// Case A: the group never had members: since they were committed.
//
// Case B: the group is empty: since it is, or, where a record is too old to say that, since they were committed.
//
// Case C: the members are consumers whose subscriptions are known: those of other topics, since they were committed.
//
// Case D: otherwise, nobody can tell what the members use.
func (g *classicGroup) expiry() expiry {
	committed := expiry{since: func(commitTimestamp int64) (int64, bool) { return commitTimestamp, true }}
	switch {
	case g.typ == "": // Case A
		return committed
	case g.phase == classicEmpty: // Case B
		if g.changedAt == -1 {
			return committed
		}
		emptied := g.changedAt
		return expiry{since: func(int64) (int64, bool) { return emptied, true }}
	case g.typ == consumerProtocolType && g.topics != nil && g.phase == classicStable: // Case C
		return committed
	default: // Case D
		return expiry{since: func(int64) (int64, bool) { return 0, false }}
	}
}

func (g *classicGroup) tombstones() []coordlog.Record {
	return []coordlog.Record{tombstone(schema.Key{Type: schema.GroupMetadata, Group: g.groupID})}
}

// describe is how DescribeGroups shows the group. What members say is shown only in a group that has agreed on a protocol.
func (g *classicGroup) describe() (kmsg.DescribeGroupsResponseGroup, error) {
	d := kmsg.NewDescribeGroupsResponseGroup()
	d.Group, d.State, d.ProtocolType = g.groupID, g.state(), g.typ
	if g.phase == classicStable {
		d.Protocol = *g.protocol
	}
	d.Members = make([]kmsg.DescribeGroupsResponseGroupMember, 0, len(g.members))
	for m := range g.inOrder() {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID, member.ClientID, member.ClientHost = m.memberID, m.instanceID, m.clientID, m.clientHost
		member.MemberAssignment = m.assignment
		if g.phase == classicStable {
			member.ProtocolMetadata = m.metadata(*g.protocol)
		}
		d.Members = append(d.Members, member)
	}
	return d, nil
}
