package group

import (
	"log/slog"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// joinStatic lets a static member come back under another id (KIP-345). Who had its instance id is fenced.
//
// Case A: the group is stable, and its protocol remains. Nobody else has to notice: the member has the assignment of the one
// before. Its new id is written down before it is answered, since a coordinator that forgot it would fence it.
//
// Case B: the group is stable, but would choose another protocol now. The members have to join again.
//
// Case C: the leader may be assigning partitions to the old id just now. The members have to join again.
//
// Case D: the members are joining, and so does it.
func (o classicOp) joinStatic(j *join, old *classicMember, memberID string) {
	g := o.g
	m := successor(old, memberID, j)
	reason := "static member " + *m.instanceID + " came back as " + memberID
	if g.phase == classicStable {
		members := g.memberList()
		for i := range members {
			if members[i] == old {
				members[i] = m
			}
		}
		if name, ok := selectProtocol(members); ok && name == *g.protocol { // Case A
			o.joinStaticUnnoticed(j, old, m, members)
			return
		}
		reason += " with another choice of protocols" // Case B
	}
	o.takePlace(old, m)
	g.park(m, j.reply)
	if g.phase == classicPreparing { // Case D
		o.maybeCompleteJoin()
		return
	}
	o.prepareRebalance(withReason(reason, j.reason)) // Case B, Case C
}

// successor returns the member that takes the place of old. As in Kafka it is still shown with the client of the one before.
func successor(old *classicMember, memberID string, j *join) *classicMember {
	m := j.newMember(memberID)
	m.clientID, m.clientHost, m.protocolType, m.assignment = old.clientID, old.clientHost, old.protocolType, old.assignment
	return m
}

// joinStaticUnnoticed answers a static member that came back to a stable group. members are those of the group, with m in the place
// of old.
func (o classicOp) joinStaticUnnoticed(j *join, old, m *classicMember, members []*classicMember) {
	g := o.g
	leaderBefore, leader := g.leader, g.leader
	if leader == old.memberID {
		leader = m.memberID
	}
	assignments := make(map[string][]byte, len(members))
	for _, member := range members {
		assignments[member.memberID] = member.assignment
	}
	if err := o.append(g.metadata(members, leader, assignments)); err != nil {
		o.logger().Warn("a static member's new id could not be written", slog.String("instance", *m.instanceID), slog.Any("err", err))
		resp := g.joined("", false)
		resp.ErrorCode = int16(appendFailure(err))
		j.reply(resp)
		return
	}
	o.takePlace(old, m)
	leads := m.memberID == g.leader
	resp := g.joined(m.memberID, leads && j.version >= joinWithSkipAssignment)
	if j.version >= joinWithSkipAssignment {
		resp.SkipAssignment = leads
	} else {
		// A client that does not know of SkipAssignment would assign, for nothing, if it knew that it leads.
		resp.LeaderID = leaderBefore
	}
	j.reply(resp)
}

// takePlace puts m in the place of old, which is fenced.
func (o classicOp) takePlace(old, m *classicMember) {
	o.g.answerJoin(old, joinRefused(old.memberID, errcode.KindFencedInstanceID))
	old.answerSync(syncRefused(errcode.KindFencedInstanceID))
	o.g.replace(old, m)
	o.endSession(old)
	o.keepSession(m, old.sessionTimeout)
	o.noteMember(MemberFenced, old, "its instance id joined again, as "+m.memberID)
	o.noteMember(MemberRejoined, m, "in the place of "+old.memberID)
}
