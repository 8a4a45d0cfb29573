package group

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Versions of JoinGroup that change what is done.
const (
	joinWithRebalanceTimeout = 1 // before, it is the session timeout
	joinWithGivenMemberID    = 4 // a new member has to ask for its id first (KIP-394)
	joinWithSkipAssignment   = 9 // a leader may be told that there is nothing to assign (KIP-814)
)

// classicHost is a group of another kind that members of the classic protocol may be part of: a consumer group while it is
// upgraded or downgraded. It answers them as a classic group would.
type classicHost interface {
	group
	joinClassic(s *State, fx coordlog.Effects, c Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse))
	syncClassic(s *State, fx coordlog.Effects, c Caller, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse))
	heartbeatClassic(s *State, fx coordlog.Effects, c Caller, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse))
	leaveClassic(s *State, fx coordlog.Effects, c Caller, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse))
}

// join is a JoinGroup request to a classic group, with copies of what outlives it.
type join struct {
	caller           Caller
	version          int16
	memberID         string
	instanceID       *string
	protocolType     string
	protocols        []classicProtocol
	sessionTimeout   time.Duration
	rebalanceTimeout time.Duration
	reason           *string
	reply            func(*kmsg.JoinGroupResponse)
}

func newJoin(c Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) *join {
	j := &join{
		caller: c, version: req.Version, memberID: req.MemberID, instanceID: req.InstanceID,
		protocolType: req.ProtocolType, protocols: classicProtocols(req),
		sessionTimeout: millis(req.SessionTimeoutMillis), rebalanceTimeout: millis(req.RebalanceTimeoutMillis),
		reason: req.Reason,
	}
	j.reply = func(resp *kmsg.JoinGroupResponse) {
		resp.Version = j.version
		reply(resp)
	}
	if j.version < joinWithRebalanceTimeout {
		j.rebalanceTimeout = j.sessionTimeout
	}
	return j
}

// newMember returns the member that j is about.
func (j *join) newMember(memberID string) *classicMember {
	return &classicMember{
		memberID: memberID, instanceID: j.instanceID, clientID: j.caller.ClientID, clientHost: j.caller.ClientHost,
		rebalanceTimeout: j.rebalanceTimeout, sessionTimeout: j.sessionTimeout,
		protocolType: j.protocolType, protocols: j.protocols,
	}
}

// refuse answers with an error.
func (j *join) refuse(memberID string, kind errcode.Kind) { j.reply(joinRefused(memberID, kind)) }

// checkJoin says why a JoinGroup request is answered with an error whatever the groups are.
func checkJoin(req *kmsg.JoinGroupRequest, settings Settings) errcode.Kind {
	timeout := millis(req.SessionTimeoutMillis)
	switch {
	case req.Group == "":
		return errcode.KindInvalidGroupID
	case timeout < settings.MinSessionTimeout || timeout > settings.MaxSessionTimeout:
		return errcode.KindInvalidSessionTimeout
	default:
		return errcode.KindNone
	}
}

// JoinGroup makes the caller a member of a group, which it may create, and answers when the group's next generation begins.
func (s *State) JoinGroup(fx coordlog.Effects, c Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	j := newJoin(c, req, reply)
	if kind := checkJoin(req, s.env.Settings()); kind != errcode.KindNone {
		j.refuse(j.memberID, kind)
		return
	}
	if g := s.groups[req.Group]; g != nil && g.kind() != classicKind && !g.empty() {
		if host, ok := g.(classicHost); ok {
			host.joinClassic(s, fx, c, req, reply)
			return
		}
		j.refuse("", errcode.KindInconsistentGroupProtocol)
		return
	}
	g, kind := s.classicToJoin(fx, req.Group, j.memberID)
	if kind != errcode.KindNone {
		j.refuse(j.memberID, kind)
		return
	}
	s.classic(fx, g).join(j)
}

// classicToJoin returns the group that somebody wants to join.
//
// Case A: there is such a classic group.
//
// Case B: there is none, and the member brings an id. It is not known here.
//
// Case C: there is none, or an empty one of another kind. It becomes a classic group.
func (s *State) classicToJoin(fx coordlog.Effects, groupID, memberID string) (*classicGroup, errcode.Kind) {
	other := s.groups[groupID]
	if g, ok := other.(*classicGroup); ok { // Case A
		return g, errcode.KindNone
	}
	if memberID != "" { // Case B
		return nil, errcode.KindUnknownMemberID
	}
	var records []coordlog.Record // Case C
	if other != nil {
		records = other.tombstones()
	}
	records = append(records, classicRecord(groupID, emptyMetadata(fx.Now())))
	if err := fx.Append(records...); err != nil {
		return nil, appendFailure(err)
	}
	g := s.groups[groupID].(*classicGroup) // which the record has made
	if other != nil {
		s.classic(fx, g).note(Event{Kind: ProtocolChanged, Reason: "the group was empty, and a member of the classic protocol joins"})
	}
	return g, errcode.KindNone
}

// join answers a JoinGroup request, now or when the join phase completes.
func (o classicOp) join(j *join) {
	g := o.g
	switch {
	case !o.hasRoom(j.memberID):
		if m := g.members[j.memberID]; m != nil {
			o.drop(m, "the group is full")
		} else {
			o.forget(j.memberID)
		}
		j.refuse("", errcode.KindGroupMaxSizeReached)
	case !g.supports(j.protocolType, j.protocols):
		j.refuse(j.memberID, errcode.KindInconsistentGroupProtocol)
	case j.memberID == "":
		o.joinNew(j)
	default:
		o.joinKnown(j)
	}
}

// hasRoom reports whether the group takes a member in. Where the group is rebalancing, those that wait already count: that way
// the last ones to come are left out of a group that is too large.
func (o classicOp) hasRoom(memberID string) bool {
	g, limit := o.g, o.s.env.Settings().MaxSize
	m := g.members[memberID]
	switch g.phase {
	case classicPreparing:
		return m != nil && m.awaitingJoin() || g.awaitingJoin < limit
	case classicCompleting, classicStable:
		return m != nil || len(g.members) < limit
	default:
		return true
	}
}

// joinNew answers somebody who has no member id.
//
// Case A: a static member. If another has its instance id, it takes the place of that one.
//
// Case B: a dynamic member. It is given an id and has to come back with it, so that a client that was not answered in time
// does not leave a member behind each time that it tries (KIP-394).
//
// Case C: a dynamic member of an old client. It joins.
func (o classicOp) joinNew(j *join) {
	name := j.caller.ClientID
	if j.instanceID != nil {
		name = *j.instanceID
	}
	memberID := name + "-" + o.s.newUUID()
	if len(memberID) > math.MaxInt16 {
		j.refuse("", errcode.KindInvalidRequest) // no record and no old response can hold it
		return
	}
	switch {
	case j.instanceID != nil: // Case A
		if old := o.g.members[o.g.static[*j.instanceID]]; old != nil {
			o.joinStatic(j, old, memberID)
			return
		}
		o.joinAs(j, memberID)
	case j.version >= joinWithGivenMemberID: // Case B
		o.expectMember(memberID, j.sessionTimeout)
		j.refuse(memberID, errcode.KindMemberIDRequired)
	default: // Case C
		o.joinAs(j, memberID)
	}
}

// expectMember waits for a member to join with the id that it was given.
func (o classicOp) expectMember(memberID string, timeout time.Duration) {
	o.g.pendingJoin[memberID] = struct{}{}
	o.fx.SetTimer(o.g.sessionTimer(memberID), o.fx.Now().Add(timeout), o.later(func(o classicOp) {
		o.g.remove(memberID)
		if o.g.phase == classicPreparing && o.g.allJoined() {
			o.completeJoin()
		}
	}))
}

// forget does not wait for a member any more that was given an id.
func (o classicOp) forget(memberID string) {
	if _, expected := o.g.pendingJoin[memberID]; expected {
		o.g.remove(memberID)
		o.fx.CancelTimer(o.g.sessionTimer(memberID))
	}
}

// joinAs adds a member.
func (o classicOp) joinAs(j *join, memberID string) {
	g := o.g
	m := j.newMember(memberID)
	m.isNew = true
	if g.phase == classicPreparing && g.previous == classicEmpty {
		g.newMember = true
	}
	g.add(m)
	g.park(m, j.reply)
	o.keepSession(m, newMemberTimeout)
	o.noteMember(MemberJoined, m, reasonOf(j.reason))
	o.rebalanceOrComplete(withReason("member "+memberID+" joined", j.reason))
}

// joinKnown answers a member that brings its id.
//
// Case A: it was given the id and joins with it now.
//
// Case B: it is not a member, or no longer.
//
// Case C: the members are joining, and so does it.
//
// Case D: a generation has begun, which it did not hear of. It is told again.
//
// Case E: it is the leader of a group that was stable: the leader joins again when something changed that the coordinator
// does not know of, such as the partitions of a topic.
//
// Case F: it says something new. The members have to join again.
func (o classicOp) joinKnown(j *join) {
	g := o.g
	if _, expected := g.pendingJoin[j.memberID]; expected { // Case A
		if j.instanceID != nil {
			j.refuse("", errcode.KindUnknown) // an id is given to dynamic members only
			return
		}
		o.joinAs(j, j.memberID)
		return
	}
	if kind := g.check(j.memberID, j.instanceID); kind != errcode.KindNone { // Case B
		j.refuse(j.memberID, kind)
		return
	}
	m := g.members[j.memberID]
	same, leads := m.matches(j.protocols), j.memberID == g.leader
	reason := "member " + m.memberID + " joined with a new subscription"
	switch {
	case g.phase == classicPreparing: // Case C
	case same && g.phase == classicCompleting: // Case D
		j.reply(g.joined(m.memberID, leads))
		return
	case same && !leads: // Case D
		j.reply(g.joined(m.memberID, false))
		return
	case same: // Case E
		reason = "leader " + m.memberID + " joined again"
	}
	if !same { // Case F
		o.noteMember(MemberRejoined, m, withReason("with a new subscription", j.reason))
	}
	g.update(m, j)
	g.park(m, j.reply)
	o.rebalanceOrComplete(withReason(reason, j.reason))
}

func reasonOf(clientReason *string) string {
	if clientReason == nil {
		return ""
	}
	return *clientReason
}

// newUUID returns a random UUID.
func (s *State) newUUID() string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], s.env.Rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], s.env.Rand.Uint64())
	id[6] = id[6]&0x0f | 0x40 // version 4
	id[8] = id[8]&0x3f | 0x80 // variant of RFC 9562
	text := hex.EncodeToString(id[:])
	return text[:8] + "-" + text[8:12] + "-" + text[12:16] + "-" + text[16:20] + "-" + text[20:]
}
