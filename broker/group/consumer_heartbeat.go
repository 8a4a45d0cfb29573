package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ConsumerGroupHeartbeat is all that a member of a consumer group asks and says (KIP-848), v0 to v1: that it is there, what it is
// subscribed to, what it owns, that it leaves; and it is told its epoch and, when that is new, what it may own.
//
// Version 1 has subscriptions to patterns, and member ids made by the client (KIP-1082).
func (s *State) ConsumerGroupHeartbeat(fx coordlog.Effects, c Caller, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) {
	err := checkHeartbeat(req, s.env.Settings())
	if err == nil {
		if req.MemberEpoch < joinEpoch {
			err = s.consumerLeave(fx, req, reply)
		} else {
			err = s.consumerHeartbeat(fx, c, req, reply)
		}
	}
	if err != nil {
		refuseHeartbeat(err, reply)
	}
}

func refuseHeartbeat(err error, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) {
	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.ErrorCode, resp.ErrorMessage = failure(err)
	reply(resp)
}

// failure is how a client is told of an error.
func failure(err error) (code int16, message *string) {
	switch kind := errcode.KindOf(err); kind {
	case errcode.KindMessageTooLarge, errcode.KindUnknown:
		return int16(errcode.KindUnknown), nil
	default:
		return int16(kind), errcode.Message(err)
	}
}

// heartbeat is a heartbeat at work.
type heartbeat struct {
	*consumerOp
	req    *kmsg.ConsumerGroupHeartbeatRequest
	reply  func(*kmsg.ConsumerGroupHeartbeatResponse)
	before *consumerMember // as it was; of one that is new, what it would be by default
	member *consumerMember // as it is to be
	// changed is set when the member has changed its subscription.
	changed bool
}

// consumerHeartbeat creates or updates a member. If that is something new to the group, its epoch rises, and a target assignment is
// made for it. Then the member is moved towards its target, and told.
func (s *State) consumerHeartbeat(fx coordlog.Effects, c Caller, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) error {
	joins := req.MemberEpoch == joinEpoch
	o, err := s.openConsumerGroup(fx, req.Group, joins)
	if err != nil {
		return err
	}
	if err := o.checkRoom(req.MemberID, req.InstanceID); err != nil {
		return err
	}
	memberID := req.MemberID
	if memberID == "" {
		memberID = s.newMemberID()
	}
	h := &heartbeat{consumerOp: o, req: req, reply: reply}
	if h.before, err = o.find(memberID, req, joins); err != nil {
		return err
	}
	h.member = updated(h.before, c, req)
	isNewRegex, err := h.update(joins)
	if err != nil {
		return err
	}
	last, version := o.g.lastResolved()
	if err := h.assignAndReconcile(); err != nil {
		return err
	}
	o.refreshRegexes(isNewRegex, last, version)
	return nil
}

// openConsumerGroup returns the group of that name, for a member that joins if need be a new one. An empty classic group makes
// place for it, and one with members may be made one (see consumer_convert.go).
func (s *State) openConsumerGroup(fx coordlog.Effects, groupID string, joins bool) (*consumerOp, error) {
	switch existing := s.groups[groupID].(type) {
	case *consumerGroup:
		return s.consumer(fx, existing), nil
	case nil:
		if !joins {
			return nil, errcode.New(errcode.KindGroupIDNotFound, "consumer group %s not found", groupID)
		}
		return s.consumer(fx, newConsumerGroup(groupID)), nil
	case *classicGroup:
		if joins {
			return s.upgrade(fx, existing)
		}
	}
	return nil, notConsumerGroup(groupID)
}

// find returns the member that a heartbeat is from.
//
// Case A: a dynamic member, which is new if it joins and is not known.
//
// Case B: a static member that joins. If its instance id is taken, it takes the place of the member that has it, which must have
// left for a while, unless that one speaks the classic protocol.
//
// Case C: a static member that is known.
func (o *consumerOp) find(memberID string, req *kmsg.ConsumerGroupHeartbeatRequest, joins bool) (*consumerMember, error) {
	existing := o.g.staticMember(req.InstanceID)
	switch {
	case req.InstanceID == nil: // Case A
		m := o.g.members[memberID]
		if m == nil && joins {
			return newConsumerMember(memberID), nil
		}
		m, err := o.g.member(memberID)
		if err != nil {
			return nil, err
		}
		return m, m.checkEpoch(req.MemberEpoch, req.Topics)
	case joins: // Case B
		if existing != nil && !existing.isClassic() && existing.epoch != leaveStaticEpoch {
			return nil, errcode.New(errcode.KindUnreleasedInstanceID, "instance id %s is still that of member %s", *req.InstanceID, existing.id)
		}
		return o.takeInstance(existing, memberID), nil
	default: // Case C
		if err := o.g.checkInstance(existing, memberID, *req.InstanceID); err != nil {
			return nil, err
		}
		return existing, existing.checkEpoch(req.MemberEpoch, req.Topics)
	}
}

// takeInstance returns the member of that id which takes the place of a static member, with all that it has; or, without one, a
// member of that id.
func (o *consumerOp) takeInstance(existing *consumerMember, memberID string) *consumerMember {
	if existing == nil {
		if m := o.g.members[memberID]; m != nil {
			return m
		}
		return newConsumerMember(memberID)
	}
	m := existing.with(func(c *consumerMember) {
		c.id, c.epoch, c.previousEpoch, c.session = memberID, joinEpoch, joinEpoch, nil
	})
	o.add(memberTombstones(o.g.groupID, existing.id)...)
	o.add(
		memberRecord(o.g.groupID, m),
		targetRecord(o.g.groupID, m.id, o.g.targets[existing.id]),
		currentRecord(o.g.groupID, m),
	)
	if existing.id != m.id {
		o.noteMember(MemberFenced, existing, "member "+m.id+" took its place")
	}
	return m
}

// updated returns the member with what the heartbeat says of it: the same one if that is nothing new.
func updated(m *consumerMember, c Caller, req *kmsg.ConsumerGroupHeartbeatRequest) *consumerMember {
	u := *m
	if req.InstanceID != nil {
		u.instanceID = req.InstanceID
	}
	if req.RackID != nil {
		u.rackID = req.RackID
	}
	if req.RebalanceTimeoutMillis != -1 {
		u.rebalanceTimeout = req.RebalanceTimeoutMillis
	}
	if req.ServerAssignor != nil {
		u.assignor = req.ServerAssignor
	}
	if req.SubscribedTopicNames != nil {
		u.topics = sortedSet(req.SubscribedTopicNames)
	}
	if req.SubscribedTopicRegex != nil {
		u.regex = req.SubscribedTopicRegex
	}
	u.clientID, u.clientHost, u.classic = c.ClientID, c.ClientHost, nil
	if u.sameMetadata(m) {
		return m
	}
	return u.with(func(*consumerMember) {})
}

// sortedSet returns the names in order, each once; the same slice if they are.
func sortedSet(names []string) []string {
	for i := 1; i < len(names); i++ {
		if names[i-1] >= names[i] {
			sorted := slices.Clone(names)
			slices.Sort(sorted)
			return slices.Compact(sorted)
		}
	}
	return names
}

// update writes down what is new about the member, and raises the group epoch if the target assignment depends on it.
func (h *heartbeat) update(joins bool) (isNewRegex bool, err error) {
	old, m := h.before, h.member
	if m != old {
		h.add(memberRecord(h.g.groupID, m))
	}
	names := !sameNames(old.topics, m.topics)
	change, isNewRegex, err := h.updateRegex(old, m)
	if err != nil {
		return false, err
	}
	h.changed = names || change != regexSame
	isNew := h.g.members[m.id] == nil
	why := ""
	switch {
	case isNew && (names || change == regexResolved):
		why = "member " + m.id + " joined"
	case names || change == regexResolved:
		why = "member " + m.id + " changed its subscription"
	case m != old && h.preferredAssignor(nil, nil) != h.preferredAssignor(old, m):
		// The target assignment has to be made by another assignor.
		why = "most members want another assignor"
	case h.unsettled:
		why = "the members of the classic group were still rebalancing"
	}
	h.noteUpdate(isNew, joins)
	if why != "" || h.g.refresh {
		h.updateMetadata(old, m, why)
	}
	return isNewRegex, nil
}

// noteUpdate adds to the timeline who joined.
func (h *heartbeat) noteUpdate(isNew, joins bool) {
	m := h.member
	switch {
	case isNew && h.g.staticMember(m.instanceID) != nil:
		h.noteMember(MemberRejoined, m, "it came back under its instance id")
	case isNew:
		h.noteMember(MemberJoined, m, "")
	case joins:
		h.noteMember(MemberRejoined, m, "")
	}
}

// updateMetadata raises the group epoch when there is a reason to, or when topics are not what they were.
func (o *consumerOp) updateMetadata(old, m *consumerMember, why string) {
	hash := o.s.metadataHash(o.g.topicsAfter(old, m))
	if why == "" && hash != o.g.metadataHash {
		why = "topics or partitions changed"
	}
	if why != "" {
		o.bump(hash, why)
	}
	o.refreshed = true
	if o.g.partitionMetadata {
		o.add(tombstone(schema.Key{Type: schema.ConsumerGroupPartitionMetadata, Group: o.g.groupID}))
	}
}

// assignAndReconcile makes a target assignment if one is due, moves the member, and answers. An assignor that takes long works on
// another goroutine, and the heartbeat is answered after it.
func (h *heartbeat) assignAndReconcile() error {
	job := h.assignment(h.before, h.member)
	if job == nil {
		return h.finish(h.g.targetOf(h.member), h.g.assignmentEpoch)
	}
	if !job.costly() {
		targets := job.run()
		h.add(job.records(h.g.groupID, targets, h.fx.Now())...)
		return h.finish(job.target(targets, h.member.id), job.epoch)
	}
	if err := h.commit(); err != nil {
		return err
	}
	h.keepConsumerSession(h.g.members[h.member.id])
	h.assignInBackground(job, h.resume)
	return nil
}

// resume goes on with a heartbeat after the assignor's work. Where that could not be written, the target is still the old one.
func (h *heartbeat) resume(o *consumerOp) {
	m, err := o.g.member(h.member.id)
	if o.s.groups[o.g.groupID] != group(o.g) {
		err = notConsumerGroup(o.g.groupID)
	}
	if err == nil {
		h.consumerOp, h.member = o, m
		err = h.finish(o.g.targetOf(m), o.g.assignmentEpoch)
	}
	if err != nil {
		refuseHeartbeat(err, h.reply)
	}
}

// finish moves the member towards its target, and answers.
func (h *heartbeat) finish(target assignor.Assignment, targetEpoch int32) error {
	m, err := h.reconcile(h.member, target, targetEpoch, h.changed, h.req.Topics)
	if err != nil {
		return err
	}
	if err := h.commit(); err != nil {
		return err
	}
	if h.before.isClassic() { // it was expected to join and to sync
		h.fx.CancelTimer(h.g.syncTimer(m.id))
		h.fx.CancelTimer(h.g.joinTimer(m.id))
	}
	h.watch(h.member, m)
	h.keepConsumerSession(h.g.members[m.id])

	resp := kmsg.NewPtrConsumerGroupHeartbeatResponse()
	resp.MemberID, resp.MemberEpoch = &m.id, m.epoch
	resp.HeartbeatIntervalMillis = int32(h.s.env.GroupSettings(h.g.groupID).HeartbeatInterval.Milliseconds())
	if h.wantsAssignment() || !h.before.assigned.equal(m.assigned) {
		resp.Assignment = assignmentResponse(m.assigned)
	}
	h.reply(resp)
	return nil
}

// wantsAssignment reports whether the member has to be told what it may own, be it new or not: when it joins, and when its
// heartbeat says everything, which it does when it is not sure what was heard.
func (h *heartbeat) wantsAssignment() bool {
	r := h.req
	return r.MemberEpoch == joinEpoch ||
		r.RebalanceTimeoutMillis != -1 && (r.SubscribedTopicNames != nil || r.SubscribedTopicRegex != nil) && r.Topics != nil
}

func assignmentResponse(assigned ownedPartitions) *kmsg.ConsumerGroupHeartbeatResponseAssignment {
	out := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
	out.Topics = make([]kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic, len(assigned))
	for i, t := range assigned {
		out.Topics[i].TopicID, out.Topics[i].Partitions = t.TopicID, t.Partitions
	}
	return &out
}

// reconcile moves a member towards its target, as far as it goes now.
func (o *consumerOp) reconcile(m *consumerMember, target assignor.Assignment, targetEpoch int32, changed bool, reported []kmsg.ConsumerGroupHeartbeatRequestTopic) (*consumerMember, error) {
	if !changed && m.reconciledTo(targetEpoch) {
		return m, nil
	}
	r := reconciliation{
		member: m, targetEpoch: targetEpoch, target: target, changed: changed, reported: reported,
		subscribed: func(id protocol.TopicID) bool { return o.g.subscribes(m, o.s.env.Image(), id) },
		free:       o.g.free,
	}
	next, err := r.next()
	if err != nil {
		return nil, err
	}
	if next == m || next.sameAssignment(m) {
		return m, nil
	}
	o.add(currentRecord(o.g.groupID, next))
	return next, nil
}

// watch sets or ends the timer of a member that has moved.
func (o *consumerOp) watch(before, m *consumerMember) {
	switch {
	case m == before || m.isClassic():
		// A classic member has to join and to sync in time.
	case m.state == memberUnrevoked:
		o.watchRevocation(m)
	default:
		o.fx.CancelTimer(o.g.revokeTimer(m.id))
	}
}
