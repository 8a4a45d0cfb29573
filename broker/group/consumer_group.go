package group

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// consumerGroup is a group whose partitions the coordinator assigns (KIP-848).
//
// Three epochs rise one after another. The group epoch does with every change of members, subscriptions or topics. The assignor
// then makes a target assignment, whose epoch is that of the group it was made for. And each member moves to the epoch of the
// target assignment when it has given up what it is not to own; what it is still to get, it gets once others have given it up.
//
//	group epoch ≥ assignment epoch ≥ member epochs
//
// Everything that is not said to be in memory only comes from records, and changes where they are replayed.
//
// Invariants
//
//  1. A partition has one owner: partitionEpochs has the member epoch of the one that owns it or is yet to give it up, and only an
//     owner with a higher epoch can take its place.
//  2. topics, regexes, assignors and protocols count the members that there are.
type consumerGroup struct {
	groupID             string
	epoch               int32
	metadataHash        int64 // of the topics that the members are subscribed to
	assignmentEpoch     int32 // -1: the target assignment was removed
	assignmentTimestamp int64 // when the target assignment was made, in milliseconds; 0: not known
	members             map[string]*consumerMember
	static              map[string]string // instance id → member id
	targets             map[string]assignor.Assignment
	resolved            map[string]*resolvedRegex // by pattern

	partitionEpochs map[protocol.TopicID]map[int32]int32
	topics          map[string]subscribers
	regexes         map[string]int // pattern → members subscribed to it
	assignors       map[string]int // name → members that want it
	protocols       map[string]int // name → members of the classic protocol that know it
	classicMembers  int
	stable          map[int32]int // epoch → members in it that own what they are to own

	persisted         bool // there is a record of the group itself, and not only of its members
	partitionMetadata bool // there is a record of a kind that is no longer written: it is to be removed

	// In memory only.

	index       topicIndex // of the groups of the shard; nil: it is not one of them
	latestNames []string   // see shareNames
	refresh     bool       // topics may have changed: the hash is to be computed again
	resolving   bool       // the patterns are being matched
	assigning   bool       // an assignor is at work on another goroutine
	assignArmed bool       // a timer will have it work
	notBefore   time.Time  // when the next target assignment may be made, after one that could not be written
	rebalancing time.Time  // when the group began to rebalance; zero: all members own what they are to own
}

// subscribers count who is subscribed to a topic.
type subscribers struct {
	byName  int // members
	byRegex int // patterns
}

func newConsumerGroup(groupID string) *consumerGroup {
	return &consumerGroup{
		groupID: groupID, epoch: 1, assignmentEpoch: 1, refresh: true,
		members: make(map[string]*consumerMember), static: make(map[string]string),
		targets: make(map[string]assignor.Assignment), resolved: make(map[string]*resolvedRegex),
		partitionEpochs: make(map[protocol.TopicID]map[int32]int32), topics: make(map[string]subscribers),
		regexes: make(map[string]int), assignors: make(map[string]int), protocols: make(map[string]int),
		stable: make(map[int32]int),
	}
}

var _ group = (*consumerGroup)(nil)

func (g *consumerGroup) id() string           { return g.groupID }
func (g *consumerGroup) kind() protocolKind   { return consumerKind }
func (g *consumerGroup) protocolType() string { return consumerProtocolType }
func (g *consumerGroup) memberCount() int     { return len(g.members) }
func (g *consumerGroup) groupEpoch() int32    { return g.epoch }
func (g *consumerGroup) empty() bool          { return len(g.members) == 0 }

// state implements group.
func (g *consumerGroup) state() string {
	switch {
	case g.empty():
		return "Empty"
	case g.epoch > g.assignmentEpoch:
		return "Assigning"
	case !g.reconciled():
		return "Reconciling"
	default:
		return "Stable"
	}
}

// reconciled reports whether all members own what the target assignment gives them.
func (g *consumerGroup) reconciled() bool { return g.stable[g.assignmentEpoch] == len(g.members) }

// checkCommit implements group.
//
// Case A: a commit from outside of the group is good while the group is empty.
//
// Case B: a transaction need not say for which member it commits.
//
// Case C: a member commits in the epoch that it was last told.
//
// Case D: a member commits in an older epoch: it may, for the partitions that it has owned since then.
func (g *consumerGroup) checkCommit(c commit) (partitionCheck, error) {
	if c.generation < 0 && g.empty() { // Case A
		return nil, nil
	}
	if c.transactional && c.generation == -1 && c.memberID == "" && c.instanceID == nil { // Case B
		return nil, nil
	}
	m, err := g.member(c.memberID)
	if err != nil {
		return nil, err
	}
	if !c.transactional && !m.isClassic() && c.version < 9 {
		return nil, errcode.New(errcode.KindUnsupportedVersion, "members that use the consumer protocol commit with version 9 or above")
	}
	switch {
	case c.generation == m.epoch: // Case C
		return nil, nil
	case c.generation > m.epoch:
		return nil, m.stale("epoch %d is newer than the member's epoch %d", c.generation, m.epoch)
	default: // Case D
		return func(topic string, topicID protocol.TopicID, partition int32) error {
			return m.checkAssignmentEpoch(c.generation, topic, topicID, partition)
		}, nil
	}
}

// checkAssignmentEpoch says why a member may not commit for a partition in an epoch that is older than its own.
func (m *consumerMember) checkAssignmentEpoch(epoch int32, topic string, topicID protocol.TopicID, partition int32) error {
	assignmentEpoch, found := m.assigned.find(topicID, partition)
	if !found {
		assignmentEpoch, found = m.revoking.find(topicID, partition)
	}
	switch {
	case !found:
		return m.stale("partition %s-%d is not assigned to the member", topic, partition)
	case epoch < assignmentEpoch:
		return m.stale("epoch %d is older than %d, in which %s-%d was assigned to the member", epoch, assignmentEpoch, topic, partition)
	default:
		return nil
	}
}

// stale is the error for a wrong epoch, in the terms of the protocol that the member speaks.
func (m *consumerMember) stale(format string, args ...any) error {
	kind := errcode.KindStaleMemberEpoch
	if m.isClassic() {
		kind = errcode.KindIllegalGeneration
	}
	return errcode.New(kind, format, args...)
}

// checkFetch implements group.
func (g *consumerGroup) checkFetch(memberID *string, memberEpoch int32) error {
	if memberID == nil && memberEpoch < 0 {
		return nil
	}
	id := ""
	if memberID != nil {
		id = *memberID
	}
	m, err := g.member(id)
	if err != nil {
		return err
	}
	if memberEpoch != m.epoch {
		return m.stale("epoch %d is not the member's epoch %d", memberEpoch, m.epoch)
	}
	return nil
}

// checkOffsetDelete implements group.
func (g *consumerGroup) checkOffsetDelete() error { return nil }

// renew implements group. Only heartbeats keep a session.
func (g *consumerGroup) renew(coordlog.Effects, string) {}

// checkDelete implements group.
func (g *consumerGroup) checkDelete() error {
	if !g.empty() {
		return &errcode.Error{Kind: errcode.KindNonEmptyGroup}
	}
	return nil
}

// subscribed implements group.
func (g *consumerGroup) subscribed(topic string) bool { _, ok := g.topics[topic]; return ok }

// expiry implements group.
func (g *consumerGroup) expiry() expiry {
	return expiry{since: func(commitTimestamp int64) (int64, bool) { return commitTimestamp, true }}
}

// tombstones implements group.
func (g *consumerGroup) tombstones() []coordlog.Record {
	return g.tombstonesOf(slices.Sorted(maps.Keys(g.members)))
}

// tombstonesOf are the records that remove the group with these members.
func (g *consumerGroup) tombstonesOf(memberIDs []string) []coordlog.Record {
	var out []coordlog.Record
	each := func(t schema.KeyType) {
		for _, id := range memberIDs {
			out = append(out, tombstone(schema.Key{Type: t, Group: g.groupID, Member: id}))
		}
	}
	each(schema.ConsumerGroupCurrentMemberAssignment)
	each(schema.ConsumerGroupTargetAssignmentMember)
	out = append(out, tombstone(schema.Key{Type: schema.ConsumerGroupTargetAssignmentMetadata, Group: g.groupID}))
	each(schema.ConsumerGroupMemberMetadata)
	for _, pattern := range slices.Sorted(maps.Keys(g.resolved)) {
		out = append(out, tombstone(schema.Key{Type: schema.ConsumerGroupRegularExpression, Group: g.groupID, Regex: pattern}))
	}
	return append(out,
		tombstone(schema.Key{Type: schema.ConsumerGroupPartitionMetadata, Group: g.groupID}),
		tombstone(schema.Key{Type: schema.ConsumerGroupMetadata, Group: g.groupID}))
}

// member returns a member, or UNKNOWN_MEMBER_ID.
func (g *consumerGroup) member(id string) (*consumerMember, error) {
	if m := g.members[id]; m != nil {
		return m, nil
	}
	return nil, errcode.New(errcode.KindUnknownMemberID, "member %s is not a member of group %s", id, g.groupID)
}

// staticMember returns the member of an instance id, or nil.
func (g *consumerGroup) staticMember(instanceID *string) *consumerMember {
	if instanceID == nil {
		return nil
	}
	return g.members[g.static[*instanceID]]
}

// setMember puts a member in the place of an older value of it, or adds it.
func (g *consumerGroup) setMember(m *consumerMember) error {
	old := g.members[m.id]
	if old != nil {
		m.session = old.session
	}
	g.members[m.id] = m
	g.countStable(old, -1)
	g.countStable(m, 1)
	if old == nil || !old.sameMetadata(m) { // most records are about what a member owns
		g.count(old, -1)
		g.count(m, 1)
		if old != nil {
			g.removeStatic(old)
		}
		if m.isStatic() {
			g.static[*m.instanceID] = m.id
		}
	}
	if old != nil && old.sameAssignment(m) {
		return nil
	}
	g.release(old)
	return g.own(m)
}

// removeMember removes a member, if there is one of that id, and its target.
func (g *consumerGroup) removeMember(id string) {
	m := g.members[id]
	delete(g.targets, id)
	if m == nil {
		return
	}
	delete(g.members, id)
	g.countStable(m, -1)
	g.count(m, -1)
	g.removeStatic(m)
	g.release(m)
}

// removeStatic frees a member's instance id, if it has one and no other has taken it over.
func (g *consumerGroup) removeStatic(m *consumerMember) {
	if m.isStatic() && g.static[*m.instanceID] == m.id {
		delete(g.static, *m.instanceID)
	}
}

func (g *consumerGroup) countStable(m *consumerMember, n int) {
	if m != nil && m.state == memberStable {
		countName(g.stable, m.epoch, n)
	}
}

// count adds n to the counts of what a member says of itself.
func (g *consumerGroup) count(m *consumerMember, n int) {
	if m == nil {
		return
	}
	for _, topic := range m.topics {
		g.countTopic(topic, subscribers{byName: n})
	}
	if m.hasRegex() {
		countName(g.regexes, *m.regex, n)
	}
	if m.assignor != nil {
		countName(g.assignors, *m.assignor, n)
	}
	if m.isClassic() {
		g.classicMembers += n
		for _, p := range m.classic.SupportedProtocols {
			countName(g.protocols, p.Name, n)
		}
	}
}

func countName[K comparable](counts map[K]int, name K, n int) {
	if counts[name] += n; counts[name] == 0 {
		delete(counts, name)
	}
}

// own notes that a member owns its partitions.
func (g *consumerGroup) own(m *consumerMember) error {
	for _, partitions := range []ownedPartitions{m.assigned, m.revoking} {
		for _, t := range partitions {
			epochs := g.partitionEpochs[t.TopicID]
			if epochs == nil {
				epochs = make(map[int32]int32, len(t.Partitions))
				g.partitionEpochs[t.TopicID] = epochs
			}
			for _, p := range t.Partitions {
				if owner, owned := epochs[p]; owned && owner >= m.epoch {
					return fmt.Errorf("group %s gives %s-%d to member %s in epoch %d, but it has an owner in epoch %d",
						g.groupID, t.TopicID, p, m.id, m.epoch, owner)
				}
				epochs[p] = m.epoch
			}
		}
	}
	return nil
}

// release notes that a member owns nothing. What another one has taken over in the meantime stays with that one: in a compacted
// log, its record may come before that of the member which gave it up.
func (g *consumerGroup) release(m *consumerMember) {
	if m == nil {
		return
	}
	for _, partitions := range []ownedPartitions{m.assigned, m.revoking} {
		for _, t := range partitions {
			epochs := g.partitionEpochs[t.TopicID]
			for _, p := range t.Partitions {
				if owner, owned := epochs[p]; owned && owner == m.epoch {
					delete(epochs, p)
				}
			}
			if len(epochs) == 0 {
				delete(g.partitionEpochs, t.TopicID)
			}
		}
	}
}

// free reports whether nobody owns a partition.
func (g *consumerGroup) free(id protocol.TopicID, partition int32) bool {
	_, owned := g.partitionEpochs[id][partition]
	return !owned
}

// setResolved notes the topics of a pattern; nil: it has none any more.
func (g *consumerGroup) setResolved(pattern string, r *resolvedRegex) {
	if old := g.resolved[pattern]; old != nil {
		for _, topic := range old.topics {
			g.countTopic(topic, subscribers{byRegex: -1})
		}
		delete(g.resolved, pattern)
	}
	if r != nil {
		for _, topic := range r.topics {
			g.countTopic(topic, subscribers{byRegex: 1})
		}
		g.resolved[pattern] = r
	}
}
