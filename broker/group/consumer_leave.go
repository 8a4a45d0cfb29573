package group

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
)

// consumerLeave removes a member, or notes that a static one has left for a while.
func (s *State) consumerLeave(fx coordlog.Effects, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) error {
	g, err := s.consumerGroupOf(req.Group)
	if err != nil {
		return err
	}
	var m *consumerMember
	if req.InstanceID == nil {
		m, err = g.member(req.MemberID)
	} else {
		m = g.staticMember(req.InstanceID)
		err = g.checkInstance(m, req.MemberID, *req.InstanceID)
	}
	if err != nil {
		return err
	}
	o := s.consumer(fx, g)
	if req.InstanceID != nil && req.MemberEpoch == leaveStaticEpoch {
		err = o.leaveForAWhile(m)
	} else {
		o.noteMember(MemberLeft, m, "")
		err = o.remove([]*consumerMember{m}, "member "+m.id+" left")
	}
	if err != nil {
		return err
	}
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &m.id, req.MemberEpoch
	reply(resp)
	return nil
}

// leaveForAWhile keeps what a static member is assigned for whoever comes back under its instance id before its session ends. That
// one can commit from the epoch of its own return only: what it is assigned counts as given in epoch 0.
func (o *consumerOp) leaveForAWhile(m *consumerMember) error {
	left := m.with(func(c *consumerMember) {
		c.epoch, c.assigned, c.revoking = leaveStaticEpoch, c.assigned.inEpoch(0), nil
	})
	o.add(currentRecord(o.g.groupID, left))
	o.noteMember(MemberLeft, m, "it will come back under its instance id")
	return o.commit()
}

// expel removes a member that failed the group.
func (o *consumerOp) expel(m *consumerMember, reason string) {
	o.noteMember(MemberFenced, m, reason)
	o.logger().Info("member fenced", slog.String("member_id", m.id), slog.String("reason", reason))
	if err := o.remove([]*consumerMember{m}, "member "+m.id+" was fenced: "+reason); err != nil {
		o.logger().Error("a member that is gone could not be removed", slog.String("member_id", m.id), slog.Any("err", err))
		o.keepConsumerSession(m) // try again
	}
}

// remove removes members, and raises the group epoch. If only members of the classic protocol are left, the group may become a
// classic one.
func (o *consumerOp) remove(members []*consumerMember, why string) error {
	if len(members) == 0 {
		return nil
	}
	g := o.g
	if o.canDowngradeWithout(members) {
		return o.downgradeWithout(members)
	}
	topics := maps.Clone(g.topics)
	regexes := make(map[string]int)
	for _, m := range members {
		o.add(memberTombstones(g.groupID, m.id)...)
		for _, topic := range m.topics {
			countTopic(topics, topic, subscribers{byName: -1})
		}
		if m.hasRegex() {
			regexes[*m.regex]++
		}
	}
	for _, pattern := range slices.Sorted(maps.Keys(regexes)) {
		if g.regexes[pattern] == regexes[pattern] { // nobody else has it
			o.add(tombstone(schema.Key{Type: schema.ConsumerGroupRegularExpression, Group: g.groupID, Regex: pattern}))
			dropResolved(topics, g.resolved[pattern])
		}
	}
	o.bump(o.s.metadataHash(topics), why)
	if len(g.members) == len(members) {
		// There is nothing to assign to nobody. Without a time, the first member that comes need not wait for its assignment.
		o.add(targetEpochRecord(g.groupID, o.epoch, 0))
	}
	if err := o.commit(); err != nil {
		return err
	}
	for _, m := range members {
		o.cancelTimers(m.id)
	}
	return nil
}
