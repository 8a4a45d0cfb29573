package group

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// syncWithProtocol is the version of SyncGroup since which a member says what it takes to be the group's protocol (KIP-559).
const syncWithProtocol = 5

// checkSync says why a SyncGroup request is answered with an error whatever the groups are.
func checkSync(req *kmsg.SyncGroupRequest) errcode.Kind {
	switch {
	case req.Version >= syncWithProtocol && (req.ProtocolType == nil || req.Protocol == nil):
		return errcode.KindInconsistentGroupProtocol
	case req.Group == "":
		return errcode.KindInvalidGroupID
	default:
		return errcode.KindNone
	}
}

// SyncGroup gives a member its assignment, and answers when the leader has sent it.
func (s *State) SyncGroup(fx coordlog.Effects, c Caller, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	version := req.Version
	answer := func(resp *kmsg.SyncGroupResponse) {
		resp.Version = version
		reply(resp)
	}
	if kind := checkSync(req); kind != errcode.KindNone {
		answer(syncRefused(kind))
		return
	}
	switch g := s.groups[req.Group].(type) {
	case *classicGroup:
		s.classic(fx, g).sync(req, answer)
	case classicHost:
		if !g.empty() {
			g.syncClassic(s, fx, c, req, reply)
			return
		}
		answer(syncRefused(errcode.KindUnknownMemberID))
	default:
		answer(syncRefused(errcode.KindUnknownMemberID))
	}
}

// sync answers a SyncGroup request.
//
// Case A: the members are joining again. It has to, too.
//
// Case B: the leader has not assigned yet. It waits.
//
// Case C: it is the leader and brings the assignments.
//
// Case D: the leader has assigned.
func (o classicOp) sync(req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	g := o.g
	if kind := g.checkSync(req); kind != errcode.KindNone {
		reply(syncRefused(kind))
		return
	}
	m := g.members[req.MemberID]
	switch g.phase {
	case classicCompleting:
		m.answerSync(syncRefused(errcode.KindRebalanceInProgress)) // nobody waits for the answer to an older sync
		m.syncReply = reply
		o.synced(m)
		if m.memberID == g.leader { // Case C, else B
			o.assign(req)
		}
	case classicStable: // Case D
		o.synced(m)
		reply(g.assigned(m))
	default: // Case A
		reply(syncRefused(errcode.KindRebalanceInProgress))
	}
}

// checkSync says why a member may not sync.
func (g *classicGroup) checkSync(req *kmsg.SyncGroupRequest) errcode.Kind {
	differs := func(theirs, ours *string) bool { return theirs != nil && ours != nil && *theirs != *ours }
	if g.phase == classicEmpty {
		return errcode.KindUnknownMemberID
	}
	if kind := g.check(req.MemberID, req.InstanceID); kind != errcode.KindNone {
		return kind
	}
	switch {
	case req.Generation != g.generation:
		return errcode.KindIllegalGeneration
	case differs(req.ProtocolType, nonEmpty(&g.typ)), differs(req.Protocol, g.protocol):
		return errcode.KindInconsistentGroupProtocol
	default:
		return errcode.KindNone
	}
}

// synced notes that a member has synced in time.
func (o classicOp) synced(m *classicMember) {
	delete(o.g.pendingSync, m.memberID)
	if len(o.g.pendingSync) == 0 {
		o.fx.CancelTimer(o.g.syncTimer())
	}
}

// assign writes the leader's assignments down and hands them out. A member that the leader has left out gets an empty one.
func (o classicOp) assign(req *kmsg.SyncGroupRequest) {
	g := o.g
	assignments := make(map[string][]byte, len(req.GroupAssignment))
	for _, a := range req.GroupAssignment {
		assignments[a.MemberID] = a.MemberAssignment
	}
	if err := o.append(g.metadata(g.memberList(), g.leader, assignments)); err != nil {
		kind := appendFailure(err)
		o.logger().Warn("the assignments of a generation could not be written: the members have to join again",
			slog.Int("generation", int(g.generation)), slog.Any("err", err))
		o.failSyncs(kind)
		o.prepareRebalance("the assignments of the leader " + g.leader + " could not be written: " + err.Error())
		return
	}
	o.becomeStable()
}

// becomeStable hands out the assignments.
func (o classicOp) becomeStable() {
	g, now := o.g, o.fx.Now()
	g.transition(classicStable, now)
	for m := range g.inOrder() {
		if m.answerSync(g.assigned(m)) {
			o.keepSession(m, m.sessionTimeout)
		}
	}
	took := now.Sub(g.rebalancing)
	g.rebalancing = time.Time{}
	o.note(Event{Kind: RebalanceCompleted, Took: took})
	o.s.env.Counters.ClassicRebalances.Add(1)
	o.logger().Info("group is stable",
		slog.Int("generation", int(g.generation)), slog.Int("members", len(g.members)), slog.Duration("took", took))
}

// failSyncs answers the parked syncs with an error. The assignments of the generation are void.
func (o classicOp) failSyncs(kind errcode.Kind) {
	for m := range o.g.inOrder() {
		m.assignment = nil
		if m.answerSync(syncRefused(kind)) {
			// While it waited, its session could not end, and is not timed any more where it would have.
			o.keepSession(m, m.sessionTimeout)
		}
	}
}

// assigned is the answer to a member's sync.
func (g *classicGroup) assigned(m *classicMember) *kmsg.SyncGroupResponse {
	resp := kmsg.NewPtrSyncGroupResponse()
	resp.ProtocolType, resp.Protocol, resp.MemberAssignment = nonEmpty(&g.typ), g.protocol, m.assignment
	return resp
}
