package group

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// leaveWithMembers is the version of LeaveGroup since which several members may leave at once (KIP-345).
const leaveWithMembers = 3

// leavingMembers returns who leaves.
func leavingMembers(req *kmsg.LeaveGroupRequest) []kmsg.LeaveGroupRequestMember {
	if req.Version >= leaveWithMembers {
		return req.Members
	}
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = req.MemberID
	return []kmsg.LeaveGroupRequestMember{m}
}

// leaveResponse is the answer to LeaveGroup, with how it went for each of the members. Old versions have place for one only.
func leaveResponse(req *kmsg.LeaveGroupRequest, kinds []errcode.Kind) *kmsg.LeaveGroupResponse {
	resp := kmsg.NewPtrLeaveGroupResponse()
	resp.Version = req.Version
	if req.Version < leaveWithMembers {
		resp.ErrorCode = int16(kinds[0])
		return resp
	}
	resp.Members = make([]kmsg.LeaveGroupResponseMember, 0, len(kinds))
	for i, kind := range kinds {
		m := kmsg.NewLeaveGroupResponseMember()
		m.MemberID, m.InstanceID, m.ErrorCode = req.Members[i].MemberID, req.Members[i].InstanceID, int16(kind)
		resp.Members = append(resp.Members, m)
	}
	return resp
}

// LeaveGroup removes members from a group, which tells the others to join again.
func (s *State) LeaveGroup(fx coordlog.Effects, c Caller, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	switch g := s.groups[req.Group].(type) {
	case *classicGroup:
		reply(leaveResponse(req, s.classic(fx, g).leave(leavingMembers(req))))
	case classicHost:
		g.leaveClassic(s, fx, c, req, reply)
	default:
		if req.Group == "" {
			resp := kmsg.NewPtrLeaveGroupResponse()
			resp.Version, resp.ErrorCode = req.Version, int16(errcode.KindInvalidGroupID)
			reply(resp)
			return
		}
		kinds := make([]errcode.Kind, len(leavingMembers(req)))
		for i := range kinds {
			kinds[i] = errcode.KindUnknownMemberID
		}
		reply(leaveResponse(req, kinds))
	}
}

// leave removes members and returns how it went for each.
func (o classicOp) leave(members []kmsg.LeaveGroupRequestMember) []errcode.Kind {
	g := o.g
	kinds := make([]errcode.Kind, 0, len(members))
	var left []string
	for i := range members {
		memberID, kind := o.leaveOne(&members[i])
		if kind == errcode.KindNone {
			left = append(left, memberID)
		}
		kinds = append(kinds, kind)
	}
	if len(left) > 0 && g.phase != classicEmpty {
		o.rebalanceOrComplete(nameSome(left) + " left")
	}
	return kinds
}

// leaveOne removes a member and returns its id.
//
// Case A: an administrator removes a static member, whose id they do not know.
//
// Case B: a member leaves that was given an id and has not joined yet.
//
// Case C: a member leaves.
func (o classicOp) leaveOne(r *kmsg.LeaveGroupRequestMember) (memberID string, kind errcode.Kind) {
	g := o.g
	memberID = r.MemberID
	if memberID == "" { // Case A
		if r.InstanceID == nil || g.static[*r.InstanceID] == "" {
			return "", errcode.KindUnknownMemberID
		}
		memberID = g.static[*r.InstanceID]
	} else if _, expected := g.pendingJoin[memberID]; expected { // Case B
		o.forget(memberID)
		return memberID, errcode.KindNone
	} else if kind := g.check(memberID, r.InstanceID); kind != errcode.KindNone {
		return memberID, kind
	}
	m := g.members[memberID] // Case A, Case C
	o.removeMember(m)
	o.noteMember(MemberLeft, m, reasonOf(r.Reason))
	return memberID, errcode.KindNone
}
