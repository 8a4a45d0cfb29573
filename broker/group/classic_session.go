package group

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Heartbeat renews a member's session and tells it whether to join again.
func (s *State) Heartbeat(fx coordlog.Effects, c Caller, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	kind := errcode.KindUnknownMemberID
	switch g := s.groups[req.Group].(type) {
	case *classicGroup:
		kind = s.classic(fx, g).heartbeat(req)
	case classicHost:
		g.heartbeatClassic(s, fx, c, req, reply)
		return
	default:
		if req.Group == "" {
			kind = errcode.KindInvalidGroupID
		}
	}
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version, resp.ErrorCode = req.Version, int16(kind)
	reply(resp)
}

// heartbeat renews the session of a member of the current generation.
func (o classicOp) heartbeat(req *kmsg.HeartbeatRequest) errcode.Kind {
	g := o.g
	if kind := g.check(req.MemberID, req.InstanceID); kind != errcode.KindNone {
		return kind
	}
	if req.Generation != g.generation {
		return errcode.KindIllegalGeneration
	}
	m := g.members[req.MemberID]
	o.keepSession(m, m.sessionTimeout)
	if g.phase == classicPreparing {
		return errcode.KindRebalanceInProgress
	}
	return errcode.KindNone
}

// keepSession has the session of a member end after timeout. The timer is set for the first time only, or when the session
// is to end earlier than it was: when it fires it looks at the deadline, so that heartbeats, which are many, cost nothing.
func (o classicOp) keepSession(m *classicMember, timeout time.Duration) {
	m.deadline = o.fx.Now().Add(timeout)
	if m.armed.IsZero() || m.deadline.Before(m.armed) {
		o.armSession(m)
	}
}

func (o classicOp) armSession(m *classicMember) {
	m.armed = m.deadline
	o.fx.SetTimer(o.g.sessionTimer(m.memberID), m.armed, o.later(func(o classicOp) {
		m.armed = time.Time{}
		if o.fx.Now().Before(m.deadline) {
			o.armSession(m)
			return
		}
		o.expireSession(m)
	}))
}

// endSession stops the timer of a member that is none any more.
func (o classicOp) endSession(m *classicMember) {
	o.fx.CancelTimer(o.g.sessionTimer(m.memberID))
	m.armed = time.Time{}
}

// expireSession removes a member that was not heard of for too long. One that waits for an answer cannot be heard of; its session
// begins anew with the answer.
func (o classicOp) expireSession(m *classicMember) {
	g := o.g
	if !m.isNew && (m.awaitingJoin() || m.awaitingSync()) {
		return
	}
	if m.isNew {
		o.drop(m, "its join was not answered for "+newMemberTimeout.String())
	} else {
		o.drop(m, "was not heard of for its session timeout of "+m.sessionTimeout.String())
	}
	switch {
	case g.phase != classicPreparing:
		o.prepareRebalance("the session of member " + m.memberID + " ended")
	case g.allJoined():
		o.completeJoin()
	}
}

// renew prolongs the session of a member that has committed offsets. Its timer is set: only those that wait for an answer have none.
func (g *classicGroup) renew(fx coordlog.Effects, memberID string) {
	if g.phase != classicStable && g.phase != classicPreparing {
		return
	}
	if m := g.members[memberID]; m != nil && !m.isNew {
		m.deadline = fx.Now().Add(m.sessionTimeout)
	}
}
