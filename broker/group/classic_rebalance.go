package group

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// rebalanceOrComplete has the members join again; if that is what they are doing already, it completes the join when this
// was the last one that was waited for.
func (o classicOp) rebalanceOrComplete(reason string) {
	if o.g.phase == classicPreparing {
		o.maybeCompleteJoin()
		return
	}
	o.prepareRebalance(reason)
}

// maybeCompleteJoin completes the join when nobody is waited for any more. The initial delay is waited for in any case.
func (o classicOp) maybeCompleteJoin() {
	if o.g.phase == classicPreparing && o.g.previous != classicEmpty && o.g.allJoined() {
		o.completeJoin()
	}
}

// prepareRebalance has the members join again, which they learn from their next heartbeat. The group is not in PreparingRebalance.
//
// Case A: the group is empty. It waits for the initial delay, since where one member comes there are soon more.
//
// Case B: all members wait in their joins. The join completes at once.
//
// Case C: the members have the longest of their rebalance timeouts to join.
func (o classicOp) prepareRebalance(reason string) {
	g := o.g
	if g.phase == classicCompleting {
		o.failSyncs(errcode.KindRebalanceInProgress)
	}
	clear(g.pendingSync)
	o.fx.CancelTimer(g.syncTimer())

	if g.rebalancing.IsZero() {
		g.rebalancing = o.fx.Now()
	}
	initial := g.phase == classicEmpty
	g.transition(classicPreparing, o.fx.Now())
	o.note(Event{Kind: RebalanceStarted, Reason: reason})
	o.logger().Info("group rebalances",
		slog.Int("generation", int(g.generation)), slog.Int("members", len(g.members)), slog.String("reason", reason))

	switch {
	case initial: // Case A
		delay := o.s.env.Settings().InitialRebalanceDelay
		g.newMember = false
		o.waitInitially(delay, max(g.maxRebalanceTimeout()-delay, 0))
	case g.allJoined(): // Case B
		o.completeJoin()
	default: // Case C
		o.completeJoinAfter(g.maxRebalanceTimeout())
	}
}

// waitInitially waits for delay. When new members came in the meantime, it waits again, for remaining at most in all.
func (o classicOp) waitInitially(delay, remaining time.Duration) {
	o.fx.SetTimer(o.g.joinTimer(), o.fx.Now().Add(delay), o.later(func(o classicOp) {
		if !o.g.newMember || remaining == 0 {
			o.completeJoin()
			return
		}
		o.g.newMember = false
		o.waitInitially(min(o.s.env.Settings().InitialRebalanceDelay, remaining), max(remaining-delay, 0))
	}))
}

func (o classicOp) completeJoinAfter(d time.Duration) {
	o.fx.SetTimer(o.g.joinTimer(), o.fx.Now().Add(d), o.later(classicOp.completeJoin))
}

// leastRetry is after how long at least a join that nobody took part in is tried again: clients choose timeouts, which may be 0.
const leastRetry = time.Second

// completeJoin begins the next generation, without the dynamic members that have not joined.
//
// Case A: nobody is left. The group is empty.
//
// Case B: only static members are left, and none has joined. They are waited for until their sessions end.
//
// Case C: the joins are answered, and the members have to sync.
func (o classicOp) completeJoin() {
	g := o.g
	o.fx.CancelTimer(g.joinTimer())
	for m := range g.inOrder() {
		if !m.awaitingJoin() && !m.isStatic() {
			o.drop(m, "did not join within the rebalance timeout")
		}
	}
	switch {
	case len(g.members) == 0: // Case A
		o.becomeEmpty()
	case g.awaitingJoin == 0: // Case B
		o.logger().Warn("no member joined: the rebalance goes on until their sessions end", slog.Int("members", len(g.members)))
		o.completeJoinAfter(max(g.maxRebalanceTimeout(), leastRetry))
	default: // Case C
		o.electLeader()
		o.beginGeneration()
	}
}

// drop removes a member that failed the group.
func (o classicOp) drop(m *classicMember, reason string) {
	o.removeMember(m)
	o.noteMember(MemberFenced, m, reason)
}

// removeMember takes a member from the group. What it waits for is answered: it is not known any more.
func (o classicOp) removeMember(m *classicMember) {
	o.g.answerJoin(m, joinRefused("", errcode.KindUnknownMemberID))
	m.answerSync(syncRefused(errcode.KindUnknownMemberID))
	o.g.remove(m.memberID)
	o.endSession(m)
}

// becomeEmpty begins a generation without members.
func (o classicOp) becomeEmpty() {
	g := o.g
	g.generation++
	g.protocol, g.rebalancing = nil, time.Time{}
	g.topics = g.subscriptions()
	g.transition(classicEmpty, o.fx.Now())
	o.note(Event{Kind: GroupEmptied})
	if err := o.append(g.metadata(nil, "", nil)); err != nil {
		// The generation before would come back after a fail-over, and end as this one did.
		o.logger().Warn("the record of an empty group could not be written", slog.Any("err", err))
	}
}

// electLeader makes a member that has joined the leader, if the leader is none of those.
func (o classicOp) electLeader() {
	g := o.g
	if g.members[g.leader].awaitingJoin() {
		return
	}
	for m := range g.inOrder() {
		if m.awaitingJoin() {
			g.leader = m.memberID
			return
		}
	}
}

// beginGeneration answers the joins. Who does not sync within the rebalance timeout is removed.
func (o classicOp) beginGeneration() {
	g := o.g
	g.generation++
	name, ok := selectProtocol(g.memberList())
	if !ok {
		panic("group: the members of " + g.groupID + " have no protocol in common")
	}
	g.protocol = &name
	g.topics = g.subscriptions()
	g.transition(classicCompleting, o.fx.Now())
	clear(g.pendingSync)
	for m := range g.inOrder() {
		resp := g.joined(m.memberID, m.memberID == g.leader)
		g.answerJoin(m, resp)
		m.isNew = false
		o.keepSession(m, m.sessionTimeout)
		g.pendingSync[m.memberID] = struct{}{}
	}
	o.fx.SetTimer(g.syncTimer(), o.fx.Now().Add(g.maxRebalanceTimeout()), o.later(classicOp.expireSyncs))
}

// memberList returns the members, the oldest first.
func (g *classicGroup) memberList() []*classicMember {
	list := make([]*classicMember, 0, len(g.members))
	for m := range g.inOrder() {
		list = append(list, m)
	}
	return list
}

// joined is the answer to a member's join, with what all members said if it is to assign the partitions.
func (g *classicGroup) joined(memberID string, withMembers bool) *kmsg.JoinGroupResponse {
	resp := newJoinResponse(memberID)
	resp.Generation, resp.LeaderID = g.generation, g.leader
	resp.ProtocolType, resp.Protocol = nonEmpty(&g.typ), nonEmpty(g.protocol)
	if !withMembers {
		return resp
	}
	resp.Members = make([]kmsg.JoinGroupResponseMember, 0, len(g.members))
	for m := range g.inOrder() {
		member := kmsg.NewJoinGroupResponseMember()
		member.MemberID, member.InstanceID, member.ProtocolMetadata = m.memberID, m.instanceID, m.metadata(*g.protocol)
		resp.Members = append(resp.Members, member)
	}
	return resp
}

// nonEmpty returns nil for an empty string: a name that is none.
func nonEmpty(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return new(*s)
}

// expireSyncs removes the members that have not synced in time.
func (o classicOp) expireSyncs() {
	g := o.g
	var late []string
	for m := range g.inOrder() {
		if _, pending := g.pendingSync[m.memberID]; pending {
			o.drop(m, "did not sync within the rebalance timeout")
			late = append(late, m.memberID)
		}
	}
	o.prepareRebalance(nameSome(late) + " did not sync within the rebalance timeout")
}
