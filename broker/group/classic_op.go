package group

import (
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
)

// newMemberTimeout is for how long a new member's join may be parked (Kafka's classic group new member join timeout).
const newMemberTimeout = 5 * time.Minute

// classicOp is an operation on a classic group: what it needs of the world. It is only good while the operation runs.
type classicOp struct {
	s  *State
	fx coordlog.Effects
	g  *classicGroup
}

func (s *State) classic(fx coordlog.Effects, g *classicGroup) classicOp {
	return classicOp{s: s, fx: fx, g: g}
}

// later returns what a timer runs: f, unless the group was removed or has become another since.
func (o classicOp) later(f func(o classicOp)) func(coordlog.Effects) {
	s, g := o.s, o.g
	return func(fx coordlog.Effects) {
		if s.groups[g.groupID] == group(g) {
			f(s.classic(fx, g))
		}
	}
}

// The timers of a group. Member ids are made by the coordinator and are unique, so names are, too.
func (g *classicGroup) joinTimer() string { return "classic-join " + g.groupID }
func (g *classicGroup) syncTimer() string { return "classic-sync " + g.groupID }
func (g *classicGroup) sessionTimer(memberID string) string {
	return "classic-session " + g.groupID + " " + memberID
}

// cancelTimers ends all timers of the group.
func (o classicOp) cancelTimers() {
	o.fx.CancelTimer(o.g.joinTimer())
	o.fx.CancelTimer(o.g.syncTimer())
	for memberID := range o.g.pendingJoin {
		o.fx.CancelTimer(o.g.sessionTimer(memberID))
	}
	for m := range o.g.inOrder() {
		o.fx.CancelTimer(o.g.sessionTimer(m.memberID))
		m.armed = time.Time{}
	}
}

// note adds an event to the group's timeline.
func (o classicOp) note(e Event) {
	e.Time, e.Epoch = o.fx.Now(), o.g.generation
	o.s.timelines.add(o.g.groupID, e)
}

// noteMember adds an event about a member to the group's timeline.
func (o classicOp) noteMember(kind EventKind, m *classicMember, reason string) {
	e := Event{Kind: kind, MemberID: m.memberID, ClientID: m.clientID, Reason: reason}
	if m.isStatic() {
		e.InstanceID = *m.instanceID
	}
	o.note(e)
}

func (o classicOp) logger() *slog.Logger {
	return o.s.env.Logger.With(slog.String("group", o.g.groupID))
}

// withReason adds what a client says about it to a text.
func withReason(text string, clientReason *string) string {
	if clientReason == nil || *clientReason == "" {
		return text
	}
	return text + ": " + *clientReason
}

// nameSome names members in a text, the first few if they are many.
func nameSome(memberIDs []string) string {
	const named = 3
	if others := len(memberIDs) - named; others > 0 {
		return strings.Join(memberIDs[:named], ", ") + " and " + strconv.Itoa(others) + " more"
	}
	return strings.Join(memberIDs, ", ")
}
