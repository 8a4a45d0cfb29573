package group

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// A group changes its protocol while its members consume. It becomes a consumer group when the first member of the consumer protocol
// joins; the others go on with the classic protocol in it (see consumer_classic.go). And it becomes a classic group again when the
// last member of the consumer protocol is gone. Neither is more than a batch of records: the members keep what they own.

func (p MigrationPolicy) upgrades() bool { return p == MigrationUpgrade || p == MigrationBidirectional }

func (p MigrationPolicy) downgrades() bool {
	return p == MigrationDowngrade || p == MigrationBidirectional
}

// upgrade begins an operation on the consumer group that a classic one becomes when it is committed.
//
// Case A: the classic group is empty. It makes place for a new one.
//
// Case B: its members are consumers whose assignments can be read. They become members of the consumer group.
func (s *State) upgrade(fx coordlog.Effects, classic *classicGroup) (*consumerOp, error) {
	g, reason := newConsumerGroup(classic.groupID), "the group was empty, and a member of the consumer protocol joins"
	settled := true
	if !classic.empty() { // Case B
		if err := s.checkUpgrade(classic); err != nil {
			return nil, err
		}
		reason = "the first member of the consumer protocol joins"
		keeps, err := s.fillFromClassic(g, classic)
		if err != nil {
			return nil, errcode.New(errcode.KindGroupIDNotFound, "upgrade classic group %s: %w", classic.groupID, err)
		}
		settled = classic.phase == classicStable && !keeps
	}
	o := s.consumer(fx, g)
	o.unsettled = !settled
	o.add(classic.tombstones()...)
	o.add(g.creation()...)
	o.note(Event{Kind: ProtocolChanged, Reason: "to consumer: " + reason})
	o.then = func(o *consumerOp) {
		s.releaseClassic(fx, classic)
		for _, m := range o.g.members {
			if m.isClassic() {
				o.keepClassicSession(m)
			}
		}
	}
	return o, nil
}

// checkUpgrade says why a classic group with members stays one.
func (s *State) checkUpgrade(g *classicGroup) error {
	settings := s.env.Settings()
	var reason string
	switch {
	case !settings.MigrationPolicy.upgrades():
		reason = "upgrades are disabled"
	case g.typ != consumerProtocolType:
		reason = "its members are no consumers"
	case len(g.members) > settings.ConsumerMaxSize:
		reason = "it has more members than a consumer group may have"
	default:
		return nil
	}
	return errcode.New(errcode.KindGroupIDNotFound, "classic group %s cannot become a consumer group: %s", g.groupID, reason)
}

// fillFromClassic makes the members of a classic group those of g, in the epoch of their generation and with what they were assigned
// in it. Members that join their first generation are in the epoch in which a group begins: 0 means something else.
//
// A cooperative member goes on with what it owned when it joined until it is told otherwise, which it may not have been yet. keeps
// reports whether there are such: what they said to own is theirs, too, unless it was assigned to another. (Kafka does not look.)
func (s *State) fillFromClassic(g *consumerGroup, classic *classicGroup) (keeps bool, err error) {
	g.epoch = max(classic.generation, g.epoch)
	g.assignmentEpoch = g.epoch
	img := s.env.Image()
	said := make(map[string]assignor.Assignment, len(classic.members))
	for old := range classic.inOrder() {
		m, subscription, err := fromClassicMember(img, classic, old, g.epoch)
		if err != nil {
			return false, err
		}
		g.targets[m.id] = asAssignment(m.assigned)
		if err := g.setMember(m); err != nil { // two members were assigned the same
			return false, err
		}
		said[m.id] = asTarget(targetTopics(ownedByID(img, subscription.OwnedPartitions)))
	}
	for _, m := range g.membersAfter(nil) {
		kept := g.unowned(said[m.id])
		if len(kept) == 0 {
			continue
		}
		keeps = true
		err := g.setMember(m.with(func(m *consumerMember) { m.assigned = merge(m.assigned, asOwned(kept, g.epoch)) }))
		if err != nil {
			return false, err
		}
	}
	g.metadataHash = s.metadataHash(g.topics)
	return keeps, nil
}

// unowned returns the partitions of an assignment that nobody owns.
func (g *consumerGroup) unowned(a assignor.Assignment) assignor.Assignment {
	var out assignor.Assignment
	for _, t := range a {
		t.Partitions = slices.DeleteFunc(slices.Clone(t.Partitions), func(p int32) bool { return !g.free(t.TopicID, p) })
		if len(t.Partitions) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// fromClassicMember returns a member with what it was assigned, and what it said when it joined.
func fromClassicMember(img *image.Image, g *classicGroup, old *classicMember, epoch int32) (*consumerMember, *kmsg.ConsumerMemberMetadata, error) {
	target := assignor.Assignment{}
	if len(old.assignment) > 0 { // it may not have synced yet
		a, err := schema.DecodeAssignment(old.assignment)
		if err != nil {
			return nil, nil, err
		}
		if len(a.UserData) > 0 {
			return nil, nil, errcode.New(errcode.KindUnsupportedVersion, "what its custom assignor says to its members would be lost")
		}
		target = assignmentByID(img, a.Topics)
	}
	metadata := old.protocols[0].metadata
	if g.protocol != nil {
		metadata = old.metadata(*g.protocol)
	}
	subscription, err := schema.DecodeSubscription(metadata)
	if err != nil {
		return nil, nil, err
	}
	return newConsumerMember(old.memberID).with(func(m *consumerMember) {
		m.epoch, m.previousEpoch = epoch, epoch
		m.instanceID, m.rackID = old.instanceID, nonEmpty(subscription.Rack)
		m.rebalanceTimeout = int32(old.rebalanceTimeout.Milliseconds())
		m.clientID, m.clientHost = old.clientID, old.clientHost
		m.topics = sortedSet(subscription.Topics)
		m.assigned = asOwned(target, epoch)
		m.classic = &schema.ClassicMemberMetadata{
			SessionTimeoutMillis: int32(old.sessionTimeout.Milliseconds()), SupportedProtocols: recordProtocols(old.protocols),
		}
	}), &subscription, nil
}

func recordProtocols(protocols []classicProtocol) []schema.ClassicProtocol {
	out := make([]schema.ClassicProtocol, len(protocols))
	for i, p := range protocols {
		out[i] = schema.ClassicProtocol{Name: p.name, Metadata: p.metadata}
	}
	return out
}

// assignmentByID returns the partitions that exist.
func assignmentByID(img *image.Image, topics []kmsg.ConsumerMemberAssignmentTopic) assignor.Assignment {
	var out []schema.TopicPartitions
	for _, t := range topics {
		if topic := img.Topic(t.Topic); topic != nil {
			out = append(out, schema.TopicPartitions{TopicID: topic.ID, Partitions: existing(topic, t.Partitions)})
		}
	}
	return asTarget(out)
}

// existing returns those of the partitions that a topic has.
func existing(topic *image.Topic, partitions []int32) []int32 {
	return slices.DeleteFunc(slices.Clone(partitions), func(p int32) bool { return p < 0 || int(p) >= len(topic.Partitions) })
}

func targetTopics(owned []kmsg.ConsumerGroupHeartbeatRequestTopic) []schema.TopicPartitions {
	out := make([]schema.TopicPartitions, len(owned))
	for i, t := range owned {
		out[i] = schema.TopicPartitions{TopicID: t.TopicID, Partitions: t.Partitions}
	}
	return out
}

// creation are the records of a group as it is, but for patterns.
func (g *consumerGroup) creation() []coordlog.Record {
	if g.empty() {
		return nil
	}
	var out []coordlog.Record
	members := g.membersAfter(nil)
	for _, m := range members {
		out = append(out, memberRecord(g.groupID, m))
	}
	out = append(out, epochRecord(g.groupID, g.epoch, g.metadataHash))
	for _, m := range members {
		out = append(out, targetRecord(g.groupID, m.id, g.targets[m.id]))
	}
	out = append(out, targetEpochRecord(g.groupID, g.assignmentEpoch, g.assignmentTimestamp))
	for _, m := range members {
		out = append(out, currentRecord(g.groupID, m))
	}
	return out
}

// canDowngrade reports whether the group may become a classic one with that many members.
func (o *consumerOp) canDowngrade(members int) bool {
	settings := o.s.env.Settings()
	return members > 0 && members <= settings.MaxSize && settings.MigrationPolicy.downgrades()
}

// canDowngradeWithout reports whether the group becomes a classic one when these members are gone: only members of the classic
// protocol are left then.
func (o *consumerOp) canDowngradeWithout(members []*consumerMember) bool {
	classic, left := o.g.classicMembers, len(o.g.members)-len(members)
	for _, m := range members {
		if m.isClassic() {
			classic--
		}
	}
	return classic == left && o.canDowngrade(left)
}

// downgradeWithout makes the group a classic one without these members. The others have to join again.
func (o *consumerOp) downgradeWithout(gone []*consumerMember) error {
	var members []*consumerMember
	var ids []string
	for _, m := range o.g.membersAfter(nil) {
		ids = append(ids, m.id)
		if !slices.Contains(gone, m) {
			members = append(members, m)
		}
	}
	return o.downgrade(members, ids, "the last member of the consumer protocol is gone")
}

// downgrade makes the group a classic one of these members, and removes the records of memberIDs. With a reason, the members have to
// join again.
func (o *consumerOp) downgrade(members []*consumerMember, memberIDs []string, rebalance string) error {
	classic, err := o.asClassic(members)
	if err != nil {
		return errcode.New(errcode.KindGroupIDNotFound, "downgrade consumer group %s: %w", o.g.groupID, err)
	}
	assignments := make(map[string][]byte, len(members))
	for m := range classic.inOrder() {
		assignments[m.memberID] = m.assignment
	}
	o.add(o.g.tombstonesOf(memberIDs)...)
	o.add(classicRecord(o.g.groupID, classic.metadata(classic.memberList(), classic.leader, assignments)))
	if err := o.fx.Append(o.records...); err != nil {
		return err
	}
	for _, id := range memberIDs {
		o.cancelTimers(id)
	}
	o.fx.CancelTimer(o.g.assignTimer())
	o.note(Event{Kind: ProtocolChanged, Reason: "to classic: only members of the classic protocol are left"})
	for _, e := range o.events {
		e.Time, e.Epoch = o.fx.Now(), classic.generation
		o.s.timelines.add(classic.groupID, e)
	}
	o.s.adoptClassic(o.fx, classic, rebalance)
	return nil
}

// asClassic returns a classic group of these members, whose generation is the group epoch. They are assigned what they own now, which
// is their target in a group at rest. (Kafka assigns the target. Then a member that has not given up everything yet is thought not
// to own that any more when the group becomes a consumer group again before the member has joined.)
func (o *consumerOp) asClassic(members []*consumerMember) (*classicGroup, error) {
	g := newClassicGroup(o.g.groupID, o.fx.Now().UnixMilli())
	g.phase, g.generation = classicStable, o.g.epoch
	for _, m := range members {
		g.add(&classicMember{
			memberID: m.id, instanceID: m.instanceID, clientID: m.clientID, clientHost: m.clientHost,
			rebalanceTimeout: millis(m.rebalanceTimeout), sessionTimeout: millis(m.classic.SessionTimeoutMillis),
			protocolType: consumerProtocolType, protocols: m.classicProtocols(),
			assignment: classicAssignment(o.s.env.Image(), m, asAssignment(merge(m.assigned, m.revoking))),
		})
	}
	name, ok := selectProtocol(g.memberList())
	if !ok {
		return nil, errcode.New(errcode.KindInconsistentGroupProtocol, "its members have no protocol in common")
	}
	g.protocol = &name
	g.topics = g.subscriptions()
	return g, nil
}

func (m *consumerMember) classicProtocols() []classicProtocol {
	out := make([]classicProtocol, len(m.classic.SupportedProtocols))
	for i, p := range m.classic.SupportedProtocols {
		out[i] = classicProtocol{name: p.Name, metadata: p.Metadata}
	}
	return out
}

// classicAssignment is an assignment in the form that a member of the classic protocol reads, of the version that it speaks.
func classicAssignment(img *image.Image, m *consumerMember, a assignor.Assignment) []byte {
	out := kmsg.NewConsumerMemberAssignment()
	if metadata := m.classic.SupportedProtocols[0].Metadata; len(metadata) >= 2 {
		out.Version = min(max(int16(binary.BigEndian.Uint16(metadata)), 0), schema.ConsumerProtocolVersion)
	}
	for _, t := range a {
		if name, ok := img.TopicNames.Lookup(t.TopicID); ok {
			topic := kmsg.NewConsumerMemberAssignmentTopic()
			topic.Topic, topic.Partitions = name, t.Partitions
			out.Topics = append(out.Topics, topic)
		}
	}
	return out.AppendTo(nil)
}
