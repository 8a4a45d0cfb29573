package group

import (
	"log/slog"
	"strconv"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// consumerOp is an operation on a consumer group. It gathers records, which commit appends all together, so that no fail-over
// comes between them. Until then g is the group as it was, and what the operation has changed is in its own fields.
type consumerOp struct {
	s  *State
	fx coordlog.Effects
	g  *consumerGroup // not among the groups yet when it is new

	epoch     int32 // of the group, after the operation
	records   []coordlog.Record
	events    []Event
	refreshed bool                // the hash of the topics was computed again
	unsettled bool                // the group was a classic one, whose members have not all got an assignment
	then      func(o *consumerOp) // what is to be done when the records are appended; nil: nothing
}

func (s *State) consumer(fx coordlog.Effects, g *consumerGroup) *consumerOp {
	return &consumerOp{s: s, fx: fx, g: g, epoch: g.epoch}
}

func (o *consumerOp) add(records ...coordlog.Record) { o.records = append(o.records, records...) }

// bump raises the group epoch, once in an operation: the target assignment has to be made anew.
func (o *consumerOp) bump(hash int64, reason string) {
	o.epoch = o.g.epoch + 1
	o.add(epochRecord(o.g.groupID, o.epoch, hash))
	o.note(Event{Kind: RebalanceStarted, Reason: reason})
}

// commit appends the records, and makes the group the one that they led to.
func (o *consumerOp) commit() error {
	if o.refreshed && len(o.records) == 0 {
		o.g.refresh = false
	}
	if len(o.records) == 0 {
		return nil
	}
	wasEmpty := o.g.empty()
	if err := o.fx.Append(o.records...); err != nil {
		return err
	}
	o.records = nil
	if g, ok := o.s.groups[o.g.groupID].(*consumerGroup); ok {
		o.g = g
	}
	o.epoch = o.g.epoch
	if o.refreshed {
		o.g.refresh = false
	}
	if o.then != nil {
		o.then(o)
		o.then = nil
	}
	o.tell(wasEmpty)
	o.assignLater()
	return nil
}

// tell adds what happened to the group's timeline.
func (o *consumerOp) tell(wasEmpty bool) {
	g := o.g
	for _, e := range o.events {
		if e.Kind == RebalanceStarted {
			if g.empty() {
				continue
			}
			if g.rebalancing.IsZero() {
				g.rebalancing = o.fx.Now()
			}
			o.s.env.Counters.ConsumerEpochs.Add(1)
			o.logger().Info("group rebalances",
				slog.Int("group_epoch", int(g.epoch)), slog.Int("members", len(g.members)), slog.String("reason", e.Reason))
		}
		e.Time, e.Epoch = o.fx.Now(), g.epoch
		o.s.timelines.add(g.groupID, e)
	}
	o.events = o.events[:0]
	switch {
	case g.empty() && !wasEmpty:
		g.rebalancing = time.Time{}
		o.s.timelines.add(g.groupID, Event{Time: o.fx.Now(), Epoch: g.epoch, Kind: GroupEmptied})
	case !g.rebalancing.IsZero() && g.epoch == g.assignmentEpoch && g.reconciled():
		took := o.fx.Now().Sub(g.rebalancing)
		g.rebalancing = time.Time{}
		o.s.timelines.add(g.groupID, Event{Time: o.fx.Now(), Epoch: g.epoch, Kind: RebalanceCompleted, Took: took})
	}
}

// note has an event added to the group's timeline when the operation is committed.
func (o *consumerOp) note(e Event) { o.events = append(o.events, e) }

func (o *consumerOp) noteMember(kind EventKind, m *consumerMember, reason string) {
	e := Event{Kind: kind, MemberID: m.id, ClientID: m.clientID, Reason: reason}
	if m.isStatic() {
		e.InstanceID = *m.instanceID
	}
	o.note(e)
}

func (o *consumerOp) logger() *slog.Logger {
	return o.s.env.Logger.With(slog.String("group", o.g.groupID))
}

// newMemberID returns a random id, in Kafka's form.
func (s *State) newMemberID() string {
	var id protocol.TopicID
	for i := range id {
		id[i] = byte(s.env.Rand.Uint32())
	}
	return id.String()
}

// later returns what a timer runs: f, unless the group was removed or has become another since.
func (s *State) later(g *consumerGroup, f func(o *consumerOp)) func(coordlog.Effects) {
	return func(fx coordlog.Effects) {
		if s.groups[g.groupID] == group(g) {
			f(s.consumer(fx, g))
		}
	}
}

// The timers of a group. Member ids are whatever clients like, so that the group's name is quoted: no other pair reads the same.
func (g *consumerGroup) assignTimer() string { return "consumer-assign " + g.groupID }

func (g *consumerGroup) memberTimer(kind, memberID string) string {
	return "consumer-" + kind + " " + strconv.Quote(g.groupID) + " " + memberID
}

func (g *consumerGroup) sessionTimer(memberID string) string {
	return g.memberTimer("session", memberID)
}

func (g *consumerGroup) revokeTimer(memberID string) string { return g.memberTimer("revoke", memberID) }

func (g *consumerGroup) joinTimer(memberID string) string { return g.memberTimer("join", memberID) }

func (g *consumerGroup) syncTimer(memberID string) string { return g.memberTimer("sync", memberID) }

// keepSession notes that a member was heard of. Since that is all that most heartbeats do, the timer is not moved each time:
// when it fires too early, it is set again.
func (o *consumerOp) keepSession(m *consumerMember, timeout time.Duration) {
	if m.session == nil {
		m.session = o.newSession(m.id)
	}
	m.session.deadline = o.fx.Now().Add(timeout)
	if m.session.armed.IsZero() || m.session.deadline.Before(m.session.armed) {
		m.session.armed = m.session.deadline
		o.fx.SetTimer(m.session.timer, m.session.armed, m.session.expire)
	}
}

func (o *consumerOp) newSession(memberID string) *session {
	next := &session{timer: o.g.sessionTimer(memberID)}
	next.expire = o.s.later(o.g, func(o *consumerOp) {
		m := o.g.members[memberID]
		switch {
		case m == nil || m.session != next:
			// It is gone, and perhaps another of that name has come.
		case o.fx.Now().Before(next.deadline):
			next.armed = next.deadline
			o.fx.SetTimer(next.timer, next.armed, next.expire)
		default:
			next.armed = time.Time{}
			o.expel(m, "its session expired")
		}
	})
	return next
}

// keepConsumerSession is keepSession for a member of the consumer protocol, whose session the broker dictates.
func (o *consumerOp) keepConsumerSession(m *consumerMember) {
	o.keepSession(m, o.s.env.GroupSettings(o.g.groupID).SessionTimeout)
}

// expelAfter has a member expelled after some milliseconds.
func (o *consumerOp) expelAfter(timer, memberID string, millis int32, reason string) {
	o.fx.SetTimer(timer, o.fx.Now().Add(time.Duration(millis)*time.Millisecond), o.s.later(o.g, func(o *consumerOp) {
		if m := o.g.members[memberID]; m != nil {
			o.expel(m, reason)
		}
	}))
}

// watchRevocation expels a member that does not give up in time what it has to.
func (o *consumerOp) watchRevocation(m *consumerMember) {
	epoch := m.epoch
	o.fx.SetTimer(o.g.revokeTimer(m.id), o.fx.Now().Add(time.Duration(m.rebalanceTimeout)*time.Millisecond), o.s.later(o.g, func(o *consumerOp) {
		if m := o.g.members[m.id]; m != nil && m.epoch == epoch {
			o.expel(m, "it did not give up its partitions within the rebalance timeout")
		}
	}))
}

// cancelTimers ends all timers of a member.
func (o *consumerOp) cancelTimers(memberID string) {
	o.fx.CancelTimer(o.g.sessionTimer(memberID))
	o.fx.CancelTimer(o.g.revokeTimer(memberID))
	o.fx.CancelTimer(o.g.joinTimer(memberID))
	o.fx.CancelTimer(o.g.syncTimer(memberID))
}

// notConsumerGroup is the error for a group of that name that is of another kind.
func notConsumerGroup(groupID string) error {
	return errcode.New(errcode.KindGroupIDNotFound, "group %s is not a consumer group", groupID)
}

// consumerGroupOf returns the consumer group of that name.
func (s *State) consumerGroupOf(groupID string) (*consumerGroup, error) {
	switch g := s.groups[groupID].(type) {
	case nil:
		return nil, errcode.New(errcode.KindGroupIDNotFound, "group %s not found", groupID)
	case *consumerGroup:
		return g, nil
	default:
		return nil, notConsumerGroup(groupID)
	}
}
