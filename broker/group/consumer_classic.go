package group

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Members of the classic protocol in a consumer group join, sync and send heartbeats as they are used to. A join is what a heartbeat
// is to the others: it says what the member is subscribed to and owns, and moves the member towards its target. Its generation is its
// member epoch. Nobody is a leader, and nobody waits for the others: heartbeats are answered with REBALANCE_IN_PROGRESS whenever the
// member can take the next step.

var _ classicHost = (*consumerGroup)(nil)

// joinClassic implements classicHost.
func (g *consumerGroup) joinClassic(s *State, fx coordlog.Effects, c Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	resp, err := s.joinConsumerGroup(fx, g, newJoin(c, req, nil))
	if err != nil {
		code, _ := failure(err)
		resp = joinRefused("", errcode.Kind(code))
	}
	resp.Version = req.Version
	reply(resp)
}

func (s *State) joinConsumerGroup(fx coordlog.Effects, g *consumerGroup, j *join) (*kmsg.JoinGroupResponse, error) {
	o := s.consumer(fx, g)
	isNew := j.memberID == ""
	if isNew {
		j.memberID = s.newMemberID()
	}
	if err := o.checkClassicJoin(j); err != nil {
		return nil, err
	}
	if isNew && j.instanceID == nil && j.version >= joinWithGivenMemberID {
		return joinRefused(j.memberID, errcode.KindMemberIDRequired), nil
	}
	existing := g.staticMember(j.instanceID)
	before, err := o.findClassic(j, existing, isNew)
	if err != nil {
		return nil, err
	}
	subscription, err := schema.DecodeSubscription(j.protocols[0].metadata)
	if err != nil {
		return nil, errcode.New(errcode.KindInconsistentGroupProtocol, "read the subscription of member %s: %w", j.memberID, err)
	}
	h := classicJoin{consumerOp: o, j: j, before: before, member: j.consumerMember(before, &subscription)}
	h.owned = ownedByID(s.env.Image(), subscription.OwnedPartitions)
	if err := h.update(); err != nil {
		return nil, err
	}
	if existing != nil && !existing.isClassic() && g.classicMembers == len(g.members)-1 && o.canDowngrade(len(g.members)) {
		err = h.downgrade(existing)
	} else {
		err = h.assignAndReconcile()
	}
	if err != nil {
		return nil, err
	}
	resp := newJoinResponse(h.member.id)
	typ := consumerProtocolType
	resp.Generation, resp.ProtocolType, resp.Protocol = h.member.epoch, &typ, &j.protocols[0].name
	return resp, nil
}

// checkClassicJoin says why a member of the classic protocol may not be part of the group.
func (o *consumerOp) checkClassicJoin(j *join) error {
	if o.s.env.Settings().MigrationPolicy == MigrationDisabled {
		return errcode.New(errcode.KindInconsistentGroupProtocol, "consumer group %s takes no members of the classic protocol", o.g.groupID)
	}
	if err := o.checkRoom(j.memberID, j.instanceID); err != nil {
		return err
	}
	supported := j.protocolType == consumerProtocolType && slices.ContainsFunc(j.protocols, func(p classicProtocol) bool {
		return o.g.protocols[p.name] == o.g.classicMembers
	})
	if !supported {
		return errcode.New(errcode.KindInconsistentGroupProtocol, "member %s has no protocol in common with the others", j.memberID)
	}
	return nil
}

// findClassic returns the member that a join is from, as it was.
//
// Case A: a dynamic member, or one that is new.
//
// Case B: a static member without an id. If its instance id is taken, it takes the place of the member that has it.
//
// Case C: a static member that is known.
func (o *consumerOp) findClassic(j *join, existing *consumerMember, isNew bool) (*consumerMember, error) {
	switch {
	case j.instanceID == nil: // Case A
		return o.g.memberOrNew(j.memberID), nil
	case isNew: // Case B
		return o.takeInstance(existing, j.memberID), nil
	default: // Case C
		return existing, o.g.checkInstance(existing, j.memberID, *j.instanceID)
	}
}

// consumerMember returns the member with what a join says of it.
func (j *join) consumerMember(before *consumerMember, subscription *kmsg.ConsumerMemberMetadata) *consumerMember {
	none := ""
	return before.with(func(m *consumerMember) {
		if j.instanceID != nil {
			m.instanceID = j.instanceID
		}
		if rack := nonEmpty(subscription.Rack); rack != nil {
			m.rackID = rack
		}
		m.rebalanceTimeout = int32(j.rebalanceTimeout.Milliseconds())
		m.topics, m.regex = sortedSet(subscription.Topics), &none
		m.clientID, m.clientHost = j.caller.ClientID, j.caller.ClientHost
		m.classic = &schema.ClassicMemberMetadata{
			SessionTimeoutMillis: int32(j.sessionTimeout.Milliseconds()), SupportedProtocols: recordProtocols(j.protocols),
		}
	})
}

// ownedByID returns what a member says it owns, as far as it exists.
func ownedByID(img *image.Image, topics []kmsg.ConsumerMemberMetadataOwnedPartition) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	out := make([]kmsg.ConsumerGroupHeartbeatRequestTopic, 0, len(topics))
	for _, t := range topics {
		if topic := img.Topic(t.Topic); topic != nil {
			out = append(out, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: topic.ID, Partitions: existing(topic, t.Partitions)})
		}
	}
	return out
}

// classicJoin is the join of a member of the classic protocol at work.
type classicJoin struct {
	*consumerOp
	j       *join
	before  *consumerMember
	member  *consumerMember
	owned   []kmsg.ConsumerGroupHeartbeatRequestTopic // what it says it owns; never nil
	changed bool                                      // it has changed its subscription
}

// update writes down what is new about the member, and raises the group epoch if the target assignment depends on it.
func (h *classicJoin) update() error {
	old, m := h.before, h.member
	if !m.sameMetadata(old) {
		h.add(memberRecord(h.g.groupID, m))
	}
	change, _, err := h.updateRegex(old, m)
	if err != nil {
		return err
	}
	h.changed = change != regexSame || !sameNames(old.topics, m.topics)
	isNew := h.g.members[m.id] == nil
	why := ""
	switch {
	case h.changed && isNew:
		why = withReason("member "+m.id+" joined", h.j.reason)
	case h.changed:
		why = withReason("member "+m.id+" changed its subscription", h.j.reason)
	}
	switch {
	case isNew && h.g.staticMember(m.instanceID) != nil:
		h.noteMember(MemberRejoined, m, "it came back under its instance id")
	case isNew:
		h.noteMember(MemberJoined, m, reasonOf(h.j.reason))
	case h.changed:
		h.noteMember(MemberRejoined, m, withReason("with a new subscription", h.j.reason))
	}
	if why != "" || h.g.refresh {
		h.updateMetadata(old, m, why)
	}
	return nil
}

// assignAndReconcile makes a target assignment if one is due, and moves the member.
func (h *classicJoin) assignAndReconcile() error {
	target, targetEpoch := h.g.targetOf(h.member), h.g.assignmentEpoch
	if job := h.assignment(h.before, h.member); job != nil {
		targets := job.run()
		h.add(job.records(h.g.groupID, targets, h.fx.Now())...)
		target, targetEpoch = job.target(targets, h.member.id), job.epoch
	}
	if err := h.move(target, targetEpoch); err != nil {
		return err
	}
	if err := h.commit(); err != nil {
		return err
	}
	m := h.g.members[h.member.id]
	h.fx.CancelTimer(h.g.revokeTimer(m.id)) // it may have spoken the consumer protocol before
	h.keepClassicSession(m)
	h.endJoinTimer(m)
	h.expelAfter(h.g.syncTimer(m.id), m.id, m.rebalanceTimeout, "it did not sync within the rebalance timeout")
	return nil
}

func (h *classicJoin) move(target assignor.Assignment, targetEpoch int32) (err error) {
	h.member, err = h.reconcile(h.member, target, targetEpoch, h.changed, h.owned)
	return err
}

// downgrade makes the group a classic one: the member has taken the place of the last one of the consumer protocol.
//
// Case A: its subscription is another. The members have to join again.
//
// Case B: some members do not own yet what they are to own. They have to join again, too: in a classic group each could have its
// target at once, while others still own parts of it. (Kafka does not see to that.)
//
// Case C: everything stays as it is.
func (h *classicJoin) downgrade(replaced *consumerMember) error {
	rebalance := ""
	if h.g.assignmentEpoch < h.epoch { // Case A
		rebalance = "member " + h.member.id + " took the place of the last member of the consumer protocol, with another subscription"
	} else {
		if err := h.move(h.g.targetOf(h.member), h.g.assignmentEpoch); err != nil {
			return err
		}
		others := h.g.stable[h.g.assignmentEpoch]
		if replaced.reconciledTo(h.g.assignmentEpoch) {
			others--
		}
		if others < len(h.g.members)-1 || !h.member.reconciledTo(h.g.assignmentEpoch) { // Case B
			rebalance = "the last member of the consumer protocol is gone, and not all members own what they are assigned"
		}
	}
	var members []*consumerMember
	var ids []string
	for _, m := range h.g.membersAfter(h.member) {
		members, ids = append(members, m), append(ids, m.id)
	}
	if replaced.id != h.member.id {
		h.fx.CancelTimer(h.g.sessionTimer(replaced.id))
	}
	return h.consumerOp.downgrade(members, ids, rebalance)
}

// syncClassic implements classicHost.
func (g *consumerGroup) syncClassic(s *State, fx coordlog.Effects, _ Caller, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	o := s.consumer(fx, g)
	resp := kmsg.NewPtrSyncGroupResponse()
	if m, err := o.checkClassicSync(req); err != nil {
		code, _ := failure(err)
		resp = syncRefused(errcode.Kind(code))
	} else {
		fx.CancelTimer(g.syncTimer(m.id))
		o.keepClassicSession(m)
		resp.ProtocolType, resp.Protocol = req.ProtocolType, req.Protocol
		resp.MemberAssignment = classicAssignment(s.env.Image(), m, asAssignment(m.assigned))
	}
	resp.Version = req.Version
	reply(resp)
}

func asAssignment(owned ownedPartitions) assignor.Assignment {
	out := make(assignor.Assignment, len(owned))
	for i, t := range owned {
		out[i] = assignor.TopicPartitions{TopicID: t.TopicID, Partitions: t.Partitions}
	}
	return out
}

// checkClassicSync says why a member cannot have its assignment.
func (o *consumerOp) checkClassicSync(req *kmsg.SyncGroupRequest) (*consumerMember, error) {
	m, err := o.classicMember(req.MemberID, req.InstanceID, req.Generation)
	if err != nil {
		return nil, err
	}
	switch {
	case req.ProtocolType != nil && *req.ProtocolType != consumerProtocolType,
		req.Protocol != nil && *req.Protocol != m.classic.SupportedProtocols[0].Name:
		return nil, errcode.New(errcode.KindInconsistentGroupProtocol, "the protocol is not what member %s was told when it joined", m.id)
	case o.g.assignmentEpoch > m.epoch && m.state != memberUnrevoked:
		// One that has partitions to give up has joined for the rebalance already, and joins again when it has done so.
		o.expectJoin(m)
		return nil, errcode.New(errcode.KindRebalanceInProgress, "member %s has to join again", m.id)
	default:
		return m, nil
	}
}

// classicMember returns a member of the classic protocol, whose epoch must be the generation it names.
func (o *consumerOp) classicMember(memberID string, instanceID *string, generation int32) (*consumerMember, error) {
	m, err := o.g.memberOrInstance(memberID, instanceID)
	switch {
	case err != nil:
		return nil, err
	case !m.isClassic():
		return nil, errcode.New(errcode.KindUnknownMemberID, "member %s does not use the classic protocol", m.id)
	case m.epoch != generation:
		return nil, errcode.New(errcode.KindIllegalGeneration, "generation %d is not the epoch %d of member %s", generation, m.epoch, m.id)
	default:
		return m, nil
	}
}

// memberOrInstance returns the member of an id which, if there is an instance id, must be its.
func (g *consumerGroup) memberOrInstance(memberID string, instanceID *string) (*consumerMember, error) {
	if instanceID == nil {
		return g.member(memberID)
	}
	m := g.staticMember(instanceID)
	return m, g.checkInstance(m, memberID, *instanceID)
}

// heartbeatClassic implements classicHost. A member has to join again when
//
// Case A: there is a target assignment that it has not moved to.
//
// Case B: it has to give partitions up.
//
// Case C: others have given up all that it waits for.
func (g *consumerGroup) heartbeatClassic(s *State, fx coordlog.Effects, _ Caller, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	o := s.consumer(fx, g)
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = req.Version
	m, err := o.classicMember(req.MemberID, req.InstanceID, req.Generation)
	if err != nil {
		resp.ErrorCode = errcode.Of(err)
		reply(resp)
		return
	}
	o.keepClassicSession(m)
	if m.epoch < g.assignmentEpoch || m.state == memberUnrevoked || m.state == memberUnreleased && !g.waits(m) {
		o.expectJoin(m)
		resp.ErrorCode = int16(errcode.KindRebalanceInProgress)
	}
	reply(resp)
}

// waits reports whether others have not given up yet what a member is to own.
func (g *consumerGroup) waits(m *consumerMember) bool {
	for _, t := range g.targets[m.id] {
		for _, p := range t.Partitions {
			if _, own := m.assigned.find(t.TopicID, p); !own && !g.free(t.TopicID, p) {
				return true
			}
		}
	}
	return false
}

// leaveClassic implements classicHost. Members of either protocol leave that way when an administrator removes them.
func (g *consumerGroup) leaveClassic(s *State, fx coordlog.Effects, _ Caller, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	o := s.consumer(fx, g)
	var kinds []errcode.Kind
	var left []*consumerMember
	var names []string
	requests := leavingMembers(req)
	for i := range requests {
		m, err := g.leaving(&requests[i])
		kinds = append(kinds, errcode.KindOf(err))
		if err == nil && !slices.Contains(left, m) {
			left, names = append(left, m), append(names, m.id)
			o.noteMember(MemberLeft, m, reasonOf(requests[i].Reason))
		}
	}
	resp := leaveResponse(req, kinds)
	if err := o.remove(left, nameSome(names)+" left"); err != nil {
		resp = kmsg.NewPtrLeaveGroupResponse()
		resp.Version = req.Version
		resp.ErrorCode, _ = failure(err)
	}
	reply(resp)
}

// leaving returns the member that a LeaveGroup names. An administrator names a static member by its instance id only.
func (g *consumerGroup) leaving(r *kmsg.LeaveGroupRequestMember) (*consumerMember, error) {
	if r.InstanceID != nil && r.MemberID == "" {
		if m := g.staticMember(r.InstanceID); m != nil {
			return m, nil
		}
	}
	return g.memberOrInstance(r.MemberID, r.InstanceID)
}

// keepClassicSession is keepSession for a member of the classic protocol, which says itself how long its session is.
func (o *consumerOp) keepClassicSession(m *consumerMember) {
	o.keepSession(m, time.Duration(m.classic.SessionTimeoutMillis)*time.Millisecond)
}

// expectJoin expels a member that was told to join again and does not in time.
func (o *consumerOp) expectJoin(m *consumerMember) {
	if !m.session.expectsJoin {
		m.session.expectsJoin = true
		o.expelAfter(o.g.joinTimer(m.id), m.id, m.rebalanceTimeout, "it did not join within the rebalance timeout")
	}
}

func (o *consumerOp) endJoinTimer(m *consumerMember) {
	m.session.expectsJoin = false
	o.fx.CancelTimer(o.g.joinTimer(m.id))
}
