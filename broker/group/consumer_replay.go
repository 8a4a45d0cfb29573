package group

import (
	"slices"
	"strconv"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// The records of consumer groups are replayed in the order in which they were written, but a compacted log lacks some: those that
// later ones have taken the place of, and tombstones that are old. So each is taken for what it says by itself, and none has to have
// come before.

// replayed returns the group that a record is about. A group of offsets only makes place for it, since it has no record of its own.
func (s *State) replayed(groupID string) (*consumerGroup, error) {
	switch existing := s.groups[groupID].(type) {
	case *consumerGroup:
		return existing, nil
	case *classicGroup:
		if existing.typ != "" || !existing.empty() || len(existing.pendingJoin) > 0 {
			return nil, notConsumerGroup(groupID)
		}
	}
	g := newConsumerGroup(groupID)
	g.index = s.topicIndex
	s.groups[groupID] = g
	return g, nil
}

// forgotten returns the group that a tombstone is about, or nil.
func (s *State) forgotten(groupID string) *consumerGroup {
	g, _ := s.groups[groupID].(*consumerGroup)
	return g
}

// drop removes a group of which no record is left, unless it is one that its members' records have just begun.
func (s *State) dropConsumerGroup(g *consumerGroup) {
	if !g.persisted && g.empty() && len(g.targets) == 0 && len(g.resolved) == 0 {
		s.topicIndex.removeGroup(g)
		delete(s.groups, g.groupID)
	}
}

func (s *State) replayConsumerGroupMetadata(k schema.Key, v *schema.ConsumerGroupMetadataValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			g.persisted = false
			s.dropConsumerGroup(g)
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	g.persisted, g.epoch, g.metadataHash = true, v.Epoch, v.MetadataHash
	return nil
}

func (s *State) replayConsumerGroupPartitionMetadata(k schema.Key, v *schema.ConsumerGroupPartitionMetadataValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			g.partitionMetadata = false
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	g.partitionMetadata = true
	return nil
}

func (s *State) replayConsumerGroupMemberMetadata(k schema.Key, v *schema.ConsumerGroupMemberMetadataValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			g.removeMember(k.Member)
			s.dropConsumerGroup(g)
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	return g.setMember(g.memberOrNew(k.Member).with(func(m *consumerMember) {
		m.instanceID, m.rackID, m.clientID, m.clientHost = v.InstanceID, v.RackID, v.ClientID, v.ClientHost
		m.topics, m.regex = g.shareNames(sortedSet(v.SubscribedTopicNames)), v.SubscribedTopicRegex
		m.rebalanceTimeout, m.assignor, m.classic = v.RebalanceTimeoutMillis, v.ServerAssignor, v.Classic
	}))
}

func (s *State) replayConsumerGroupTargetAssignmentMetadata(k schema.Key, v *schema.ConsumerGroupTargetAssignmentMetadataValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			g.assignmentEpoch, g.assignmentTimestamp = -1, 0
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	g.assignmentEpoch, g.assignmentTimestamp = v.AssignmentEpoch, v.AssignmentTimestampMillis
	return nil
}

func (s *State) replayConsumerGroupTargetAssignmentMember(k schema.Key, v *schema.ConsumerGroupTargetAssignmentMemberValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			delete(g.targets, k.Member)
			s.dropConsumerGroup(g)
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	g.targets[k.Member] = asTarget(v.TopicPartitions)
	return nil
}

func (s *State) replayConsumerGroupCurrentMemberAssignment(k schema.Key, v *schema.ConsumerGroupCurrentMemberAssignmentValue) error {
	if v == nil {
		g := s.forgotten(k.Group)
		if g == nil || g.members[k.Member] == nil {
			return nil
		}
		return g.setMember(g.members[k.Member].with(func(m *consumerMember) {
			m.epoch, m.previousEpoch, m.assigned, m.revoking = leaveEpoch, leaveEpoch, nil, nil
		}))
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	return g.setMember(g.memberOrNew(k.Member).with(func(m *consumerMember) {
		m.epoch, m.previousEpoch = v.MemberEpoch, v.PreviousMemberEpoch
		switch state := memberState(v.State); state {
		case memberStable, memberUnrevoked, memberUnreleased:
			m.state = state
		default:
			m.state = memberUnknown
		}
		m.assigned = owned(v.AssignedPartitions, v.MemberEpoch)
		m.revoking = owned(v.PartitionsPendingRevocation, v.MemberEpoch)
	}))
}

func (s *State) replayConsumerGroupRegularExpression(k schema.Key, v *schema.ConsumerGroupRegularExpressionValue) error {
	if v == nil {
		if g := s.forgotten(k.Group); g != nil {
			g.setResolved(k.Regex, nil)
			s.dropConsumerGroup(g)
		}
		return nil
	}
	g, err := s.replayed(k.Group)
	if err != nil {
		return err
	}
	g.setResolved(k.Regex, &resolvedRegex{topics: sortedSet(v.Topics), version: v.Version, timestamp: v.TimestampMillis})
	return nil
}

// shareNames returns the subscription of the member before, if it is the same: those of a group's members mostly are.
func (g *consumerGroup) shareNames(names []string) []string {
	if !sameNames(g.latestNames, names) {
		g.latestNames = names
	}
	return g.latestNames
}

func (g *consumerGroup) memberOrNew(id string) *consumerMember {
	if m := g.members[id]; m != nil {
		return m
	}
	return newConsumerMember(id)
}

// asTarget brings the topics and partitions of a record in order. It is never nil.
func asTarget(topics []schema.TopicPartitions) assignor.Assignment {
	out := make(assignor.Assignment, 0, len(topics))
	for _, t := range topics {
		slices.Sort(t.Partitions)
		if t.Partitions = slices.Compact(t.Partitions); len(t.Partitions) > 0 {
			out = append(out, assignor.TopicPartitions(t))
		}
	}
	slices.SortFunc(out, func(a, b assignor.TopicPartitions) int { return assignor.CompareIDs(a.TopicID, b.TopicID) })
	return slices.CompactFunc(out, func(a, b assignor.TopicPartitions) bool { return a.TopicID == b.TopicID })
}

// owned brings the topics and partitions of a record in order. Where it does not say in which epochs they were given, it was the
// member's.
func owned(topics []schema.AssignedPartitions, memberEpoch int32) ownedPartitions {
	out := make(ownedPartitions, 0, len(topics))
	for _, t := range topics {
		if len(t.Partitions) == 0 {
			continue
		}
		if len(t.AssignmentEpochs) != len(t.Partitions) {
			t.AssignmentEpochs = slices.Repeat([]int32{max(memberEpoch, 0)}, len(t.Partitions))
		}
		out = append(out, inOrder(t))
	}
	slices.SortFunc(out, func(a, b schema.AssignedPartitions) int { return assignor.CompareIDs(a.TopicID, b.TopicID) })
	return slices.CompactFunc(out, func(a, b schema.AssignedPartitions) bool { return a.TopicID == b.TopicID })
}

// inOrder sorts partitions together with their epochs.
func inOrder(t schema.AssignedPartitions) schema.AssignedPartitions {
	ascending := func(i int) bool { return i == 0 || t.Partitions[i-1] < t.Partitions[i] }
	sorted := true
	for i := range t.Partitions {
		sorted = sorted && ascending(i)
	}
	if sorted {
		return t
	}
	epochs := make(map[int32]int32, len(t.Partitions))
	for i, p := range t.Partitions {
		epochs[p] = t.AssignmentEpochs[i]
	}
	slices.Sort(t.Partitions)
	t.Partitions = slices.Compact(t.Partitions)
	t.AssignmentEpochs = t.AssignmentEpochs[:len(t.Partitions)]
	for i, p := range t.Partitions {
		t.AssignmentEpochs[i] = epochs[p]
	}
	return t
}

// loadedConsumer starts the sessions of the members that were loaded, and the time of those that have to give partitions up.
func (s *State) loadedConsumer(fx coordlog.Effects) {
	for _, g := range s.groups {
		g, ok := g.(*consumerGroup)
		if !ok || g.empty() {
			continue
		}
		s.newTopics = s.env.Image().Version // whatever was added before this broker looked
		o := s.consumer(fx, g)
		o.note(Event{Kind: GroupLoaded, Reason: "with " + strconv.Itoa(len(g.members)) + " members"})
		for _, m := range g.members {
			o.keepConsumerSession(m)
			if m.state == memberUnrevoked {
				o.watchRevocation(m)
			}
		}
		o.tell(false)
		o.assignLater()
	}
}
