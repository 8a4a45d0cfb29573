package group

import (
	"container/list"
	"iter"
	"slices"
	"time"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// consumerProtocolType is the protocol type of consumers, whose metadata the coordinator can read.
const consumerProtocolType = "consumer"

// classicState is where a classic group stands. A group that Kafka calls Dead is none of ours any more.
type classicState uint8

// The states. They change so:
//
//	             ┌───────────────────────────────────────────┐
//	             ▼                                           │
//	Empty ⇄ PreparingRebalance ⇄ CompletingRebalance ─► Stable
const (
	// classicEmpty: there are no members; the group is kept for its offsets.
	classicEmpty classicState = iota
	// classicPreparing: the members are waited for to join; who has joined waits.
	classicPreparing
	// classicCompleting: the members have joined a generation, and the leader is waited for to assign the partitions.
	classicCompleting
	// classicStable: every member has an assignment or can have it.
	classicStable
)

// String returns Kafka's name of the state.
func (s classicState) String() string {
	switch s {
	case classicEmpty:
		return "Empty"
	case classicPreparing:
		return "PreparingRebalance"
	case classicCompleting:
		return "CompletingRebalance"
	default:
		return "Stable"
	}
}

// classicGroup is a group whose members assign the partitions among themselves: one of them, the leader, does.
//
// Invariants
//
//  1. awaitingJoin is the number of members with a parked join, and supported counts the members that can work with a protocol.
//  2. pendingJoin and the members have no id in common; pendingSync is part of the members.
//  3. There is a leader when there are members, and it is one of them.
//  4. All members of a group have its protocol type, and there is a protocol that all of them know.
//  5. Only a group in PreparingRebalance has parked joins, and only one in CompletingRebalance has parked syncs.
type classicGroup struct {
	groupID    string
	phase      classicState
	previous   classicState // the state before
	changedAt  int64        // when it came into that state, in milliseconds; -1: not known, from an old record
	generation int32
	typ        string  // the protocol type of its members; "" until there was one
	protocol   *string // what the members of the generation have agreed upon; nil: nothing
	leader     string  // member id; "": none

	members      map[string]*classicMember
	order        list.List           // the same, in the order in which they came: see inOrder
	static       map[string]string   // instance id → member id
	pendingJoin  map[string]struct{} // ids that were given out and have not joined yet
	pendingSync  map[string]struct{} // members that have not synced since the generation began
	awaitingJoin int
	supported    map[string]int // protocol → members that know it

	// newMember is set when one joins during the initial delay, which is extended then.
	newMember bool
	// topics are those that the members of the generation are subscribed to; nil: not known.
	topics map[string]struct{}
	// rebalancing is when the members were last asked to join, after they had an assignment; zero: they have one.
	rebalancing time.Time
	// appending is set while the group's own record is replayed: see State.replayGroupMetadata.
	appending bool
}

// newClassicGroup returns an empty group.
func newClassicGroup(groupID string, nowMillis int64) *classicGroup {
	return &classicGroup{
		groupID: groupID, changedAt: nowMillis,
		members: make(map[string]*classicMember), static: make(map[string]string),
		pendingJoin: make(map[string]struct{}), pendingSync: make(map[string]struct{}), supported: make(map[string]int),
	}
}

// transition moves the group to a state.
func (g *classicGroup) transition(to classicState, now time.Time) {
	g.previous, g.phase, g.changedAt = g.phase, to, now.UnixMilli()
}

// inOrder returns the members, the oldest first. The one at hand may be removed.
func (g *classicGroup) inOrder() iter.Seq[*classicMember] {
	return func(yield func(*classicMember) bool) {
		for e := g.order.Front(); e != nil; {
			m := e.Value.(*classicMember)
			e = e.Next()
			if !yield(m) {
				return
			}
		}
	}
}

// add makes m a member. Its instance id, if it has one, must be free.
func (g *classicGroup) add(m *classicMember) {
	if len(g.members) == 0 {
		g.typ = m.protocolType
	}
	if g.leader == "" {
		g.leader = m.memberID
	}
	g.members[m.memberID] = m
	m.place = g.order.PushBack(m)
	if m.isStatic() {
		g.static[*m.instanceID] = m.memberID
	}
	g.count(m, 1)
	delete(g.pendingJoin, m.memberID)
}

// remove takes a member, or an id that was given out, from the group. Its parked requests must have been answered.
func (g *classicGroup) remove(memberID string) {
	delete(g.pendingJoin, memberID)
	delete(g.pendingSync, memberID)
	m := g.members[memberID]
	if m == nil {
		return
	}
	g.count(m, -1)
	delete(g.members, memberID)
	g.order.Remove(m.place)
	if m.isStatic() {
		delete(g.static, *m.instanceID)
	}
	if g.leader == memberID {
		g.leader = ""
		for oldest := range g.inOrder() {
			g.leader = oldest.memberID
			break
		}
	}
}

// replace puts a member in the place of another: a static member that came back under another id. The parked requests of the
// old one must have been answered.
func (g *classicGroup) replace(old, successor *classicMember) {
	g.count(old, -1)
	g.count(successor, 1)
	delete(g.members, old.memberID)
	g.members[successor.memberID] = successor
	successor.place = old.place
	successor.place.Value = successor
	g.static[*successor.instanceID] = successor.memberID
	if g.leader == old.memberID {
		g.leader = successor.memberID
	}
	if _, waiting := g.pendingSync[old.memberID]; waiting {
		delete(g.pendingSync, old.memberID)
		g.pendingSync[successor.memberID] = struct{}{}
	}
}

// update notes what a member says when it joins again.
func (g *classicGroup) update(m *classicMember, j *join) {
	g.count(m, -1)
	m.protocols, m.rebalanceTimeout, m.sessionTimeout = j.protocols, j.rebalanceTimeout, j.sessionTimeout
	g.count(m, 1)
}

// count adds n to the counts of the protocols that m knows.
func (g *classicGroup) count(m *classicMember, n int) {
	for _, p := range m.protocols {
		if g.supported[p.name] += n; g.supported[p.name] == 0 {
			delete(g.supported, p.name)
		}
	}
}

// park keeps the answer to a member's join until the others have joined.
func (g *classicGroup) park(m *classicMember, reply func(*kmsg.JoinGroupResponse)) {
	g.answerJoin(m, joinRefused(m.memberID, errcode.KindRebalanceInProgress)) // nobody waits for the answer to an older join
	m.joinReply = reply
	g.awaitingJoin++
}

// answerJoin answers a member's parked join, if there is one.
func (g *classicGroup) answerJoin(m *classicMember, resp *kmsg.JoinGroupResponse) {
	if m.awaitingJoin() {
		g.awaitingJoin--
		m.answerJoin(resp)
	}
}

// answerAll answers everything that is parked with an error.
func (g *classicGroup) answerAll(kind errcode.Kind) {
	for m := range g.inOrder() {
		g.answerJoin(m, joinRefused(m.memberID, kind))
		m.answerSync(syncRefused(kind))
	}
}

// allJoined reports whether nobody is waited for any more.
func (g *classicGroup) allJoined() bool {
	return g.awaitingJoin == len(g.members) && len(g.pendingJoin) == 0
}

// supports reports whether a member with such protocols can be part of the group.
func (g *classicGroup) supports(protocolType string, protocols []classicProtocol) bool {
	if g.phase == classicEmpty {
		return protocolType != "" && len(protocols) > 0
	}
	return g.typ != "" && g.typ == protocolType && slices.ContainsFunc(protocols, func(p classicProtocol) bool {
		return g.supported[p.name] == len(g.members)
	})
}

// check says why somebody may not speak for a member.
func (g *classicGroup) check(memberID string, instanceID *string) errcode.Kind {
	if instanceID != nil {
		switch existing, found := g.static[*instanceID]; {
		case !found:
			return errcode.KindUnknownMemberID
		case existing != memberID:
			return errcode.KindFencedInstanceID
		}
	}
	if g.members[memberID] == nil {
		return errcode.KindUnknownMemberID
	}
	return errcode.KindNone
}

// maxRebalanceTimeout is how long the group waits for its slowest member.
func (g *classicGroup) maxRebalanceTimeout() time.Duration {
	var longest time.Duration
	for m := range g.inOrder() {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

// selectProtocol returns the protocol that most of the members like best among those that all of them know; ok is false when
// there is none. Between equals, Kafka takes the one that comes first in a Java HashMap, and so do we.
func selectProtocol(members []*classicMember) (winner string, ok bool) {
	counts := make(map[string]int)
	for _, m := range members {
		for _, p := range m.protocols {
			counts[p.name]++
		}
	}
	candidates := make(map[string]struct{})
	for name, n := range counts {
		if n == len(members) {
			candidates[name] = struct{}{}
		}
	}
	votes := make(map[string]int)
	var voted []string // in the order of the first vote
	for _, m := range members {
		if name, ok := m.vote(candidates); ok {
			if votes[name]++; votes[name] == 1 {
				voted = append(voted, name)
			}
		}
	}
	for _, name := range voted {
		more := votes[name] - votes[winner]
		if !ok || more > 0 || more == 0 && hashMapBucket(name) < hashMapBucket(winner) {
			winner, ok = name, true
		}
	}
	return winner, ok
}

// hashMapBucket is where a small Java HashMap keeps a string.
func hashMapBucket(s string) uint32 {
	var h uint32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(unit)
	}
	return (h ^ h>>16) & 15
}

// subscriptions returns the topics that the members are subscribed to; nil when that cannot be known: they are no consumers,
// have not agreed on a protocol yet, or one of them cannot be understood.
func (g *classicGroup) subscriptions() map[string]struct{} {
	if g.typ != consumerProtocolType || len(g.members) > 0 && g.protocol == nil {
		return nil
	}
	topics := make(map[string]struct{})
	for m := range g.inOrder() {
		names, err := schema.DecodeSubscriptionTopics(m.metadata(*g.protocol))
		if err != nil {
			return nil
		}
		for _, name := range names {
			topics[name] = struct{}{}
		}
	}
	return topics
}
