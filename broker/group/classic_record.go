package group

import (
	"strconv"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// A classic group is one record: its members, what they said to the protocol that was agreed upon, and their assignments. It is
// written when the group is created, when the leader has assigned, when a static member came back, and when the last member
// is gone. What lies between, a rebalance, is in memory only: after a fail-over the members of the last generation that was
// completed are there again, and join again.

// metadata returns the group's value, with these members and assignments. A member without an assignment has an empty one.
func (g *classicGroup) metadata(members []*classicMember, leader string, assignments map[string][]byte) *schema.GroupMetadataValue {
	v := &schema.GroupMetadataValue{
		ProtocolType: g.typ, Generation: g.generation, Protocol: g.protocol, CurrentStateTimestampMillis: g.changedAt,
		Members: make([]schema.GroupMetadataMember, 0, len(members)),
	}
	if leader != "" {
		v.Leader = &leader
	}
	for _, m := range members {
		v.Members = append(v.Members, schema.GroupMetadataMember{
			MemberID: m.memberID, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			RebalanceTimeoutMillis: int32(m.rebalanceTimeout.Milliseconds()), SessionTimeoutMillis: int32(m.sessionTimeout.Milliseconds()),
			Subscription: m.metadata(*g.protocol), Assignment: assignments[m.memberID],
		})
	}
	return v
}

// emptyMetadata is the value of a group that has just been created.
func emptyMetadata(now time.Time) *schema.GroupMetadataValue {
	return &schema.GroupMetadataValue{CurrentStateTimestampMillis: now.UnixMilli()}
}

// classicRecord returns the record of a classic group.
func classicRecord(groupID string, v *schema.GroupMetadataValue) coordlog.Record {
	return record(schema.Key{Type: schema.GroupMetadata, Group: groupID}, v)
}

// append writes the group's record.
func (o classicOp) append(v *schema.GroupMetadataValue) error {
	o.g.appending = true
	defer func() { o.g.appending = false }()
	return o.fx.Append(classicRecord(o.g.groupID, v))
}

// appendFailure is what members are told when their group's record could not be written (Kafka's words for it).
func appendFailure(err error) errcode.Kind {
	switch kind := errcode.KindOf(err); kind {
	case errcode.KindUnknownTopicOrPartition, errcode.KindNotEnoughReplicas, errcode.KindRequestTimedOut:
		return errcode.KindCoordinatorNotAvailable
	case errcode.KindNotLeaderForPartition, errcode.KindKafkaStorageError:
		return errcode.KindNotCoordinator
	case errcode.KindMessageTooLarge, errcode.KindRecordListTooLarge, errcode.KindInvalidFetchSize:
		return errcode.KindUnknown
	default:
		return kind
	}
}

// replayGroupMetadata applies the record of a classic group.
//
// Case A: a tombstone. The group is gone.
//
// Case B: the group's own record, which it has just appended. It gives the members their assignments. What else is in it, the
// group has, and knows more than records do: all protocols of its members, and who waits for an answer.
//
// Case C: a record from the log. The group is what it was then.
func (s *State) replayGroupMetadata(key schema.Key, v *schema.GroupMetadataValue) error {
	groupID := key.Group
	g, known := s.groups[groupID].(*classicGroup)
	switch {
	case v == nil: // Case A
		delete(s.groups, groupID)
	case known && g.appending: // Case B
		for i := range v.Members {
			if m := g.members[v.Members[i].MemberID]; m != nil {
				m.assignment = v.Members[i].Assignment
			}
		}
	default: // Case C
		s.groups[groupID] = restoreClassicGroup(groupID, v)
	}
	return nil
}

// restoreClassicGroup returns the group that a record describes.
func restoreClassicGroup(groupID string, v *schema.GroupMetadataValue) *classicGroup {
	g := newClassicGroup(groupID, v.CurrentStateTimestampMillis)
	g.generation, g.typ, g.protocol = v.Generation, v.ProtocolType, v.Protocol
	if len(v.Members) > 0 {
		g.phase = classicStable
		if g.protocol == nil {
			g.protocol = new(string)
		}
	}
	for i := range v.Members {
		m := restoreClassicMember(&v.Members[i], v.ProtocolType, *g.protocol)
		g.remove(m.memberID)
		if m.isStatic() {
			g.remove(g.static[*m.instanceID])
		}
		g.add(m)
	}
	if v.Leader != nil && g.members[*v.Leader] != nil {
		g.leader = *v.Leader
	}
	g.topics = g.subscriptions()
	return g
}

func restoreClassicMember(r *schema.GroupMetadataMember, protocolType, protocol string) *classicMember {
	m := &classicMember{
		memberID: r.MemberID, instanceID: r.InstanceID, clientID: r.ClientID, clientHost: r.ClientHost,
		rebalanceTimeout: millis(r.RebalanceTimeoutMillis), sessionTimeout: millis(r.SessionTimeoutMillis),
		protocolType: protocolType, protocols: []classicProtocol{{name: protocol, metadata: r.Subscription}}, assignment: r.Assignment,
	}
	if r.RebalanceTimeoutMillis == -1 { // records of version 0 do not have it
		m.rebalanceTimeout = m.sessionTimeout
	}
	return m
}

// loadedClassic starts the sessions of the members that were loaded. A group that has more of them than it may is rebalanced.
func (s *State) loadedClassic(fx coordlog.Effects) {
	maxSize := s.env.Settings().MaxSize
	for _, g := range s.groups {
		g, ok := g.(*classicGroup)
		if !ok || len(g.members) == 0 {
			continue
		}
		o := s.classic(fx, g)
		o.note(Event{Kind: GroupLoaded, Reason: "with " + strconv.Itoa(len(g.members)) + " members"})
		for m := range g.inOrder() {
			o.keepSession(m, m.sessionTimeout)
		}
		if len(g.members) > maxSize {
			o.prepareRebalance("the group was loaded with " + strconv.Itoa(len(g.members)) + " members, more than group.max.size allows")
		}
	}
}
