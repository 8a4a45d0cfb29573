package replica

import (
	"slices"
	"time"

	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// leadership is what a leader knows of its followers and of the in-sync replicas. It is a state machine without I/O and
// locks: time, and what others know, are arguments.
//
//	              propose                      answered, or newer metadata
//	committed ───────────────► change pending ─────────────────────────────► committed
//
// While a change is pending the high watermark counts the members of both sets, the maximal ISR (KIP-497): the controller
// may have committed the change already.
type leadership struct {
	role      *role // the present one
	followers []follower
	pending   *proposal     // the change of the in-sync replicas that was sent to the controller; nil: none
	maxLag    time.Duration // replica.lag.time.max.ms
}

// follower is how far a follower has come, by what it has fetched.
type follower struct {
	id          protocol.NodeID
	brokerEpoch protocol.BrokerEpoch // of the broker that fetched; noBrokerEpoch: none has
	end         int64                // everything below it is on the follower, in durable mode synced; -1: unknown
	logStart    int64                // -1: unknown
	fetched     time.Time            // when it last fetched
	leaderEnd   int64                // the leader's log end then
	caughtUp    time.Time            // when it last had all that the leader had
}

// noBrokerEpoch is the broker epoch of a follower that has not fetched yet; -1 is one that does not tell.
const noBrokerEpoch protocol.BrokerEpoch = -2

// fetchState is what a follower's fetch says of it.
type fetchState struct {
	brokerEpoch   protocol.BrokerEpoch // -1: not told
	end, logStart int64
	leaderEnd     int64 // the leader's log end when it read
	at            time.Time
}

// brokers tells what the metadata says of a broker: whether it may be in sync, and its epoch (-1: there is no such broker).
type brokers func(id protocol.NodeID) (epoch protocol.BrokerEpoch, eligible bool)

// takeLead returns the state of a leader in a new leader epoch. It knows nothing of its followers' logs, even if it has led
// before: another leader may have been in between, whom they followed.
func takeLead(r *role, maxLag time.Duration, now time.Time) *leadership {
	ld := &leadership{maxLag: maxLag}
	ld.update(r)
	for i := range ld.followers {
		if f := &ld.followers[i]; slices.Contains(r.isr, f.id) { // the others have to fetch before they count
			f.caughtUp, f.fetched = now, now
		}
	}
	return ld
}

// update takes over a newer role of the same leader epoch. A proposal that was made before it is decided by it.
func (ld *leadership) update(r *role) {
	ld.pending = nil
	ld.assign(r)
}

// assign takes a role over and makes the followers those of the role, keeping what was known of them.
func (ld *leadership) assign(r *role) {
	var followers []follower
	for _, id := range r.replicas {
		if id == r.leader {
			continue
		}
		f := follower{id: id, brokerEpoch: noBrokerEpoch, end: -1, logStart: -1, leaderEnd: -1}
		if known := ld.follower(id); known != nil {
			f = *known
		}
		followers = append(followers, f)
	}
	ld.role, ld.followers = r, followers
}

// follower returns the state of a follower, or nil.
func (ld *leadership) follower(id protocol.NodeID) *follower {
	for i := range ld.followers {
		if ld.followers[i].id == id {
			return &ld.followers[i]
		}
	}
	return nil
}

// note takes over what a fetch says. It refuses one of an earlier life of the broker, which says nothing of its log now
// (KIP-903).
//
// A follower is caught up when it has all that the leader had when it last fetched, so that a steady stream of small
// appends does not make it look late.
func (f *follower) note(s fetchState, known protocol.BrokerEpoch) error {
	if s.brokerEpoch != -1 && known > s.brokerEpoch {
		return errcode.New(errcode.KindNotLeaderForPartition, "broker %d fetches in broker epoch %d, it is in %d", f.id, s.brokerEpoch, known)
	}
	switch {
	case s.end >= s.leaderEnd:
		f.caughtUp = later(f.caughtUp, s.at)
	case s.end >= f.leaderEnd:
		f.caughtUp = later(f.caughtUp, f.fetched)
	}
	f.end, f.logStart, f.brokerEpoch = s.end, s.logStart, s.brokerEpoch
	f.leaderEnd, f.fetched = max(f.leaderEnd, s.leaderEnd), s.at
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// inTime says whether the follower has, or lately had, all that the leader has.
func (f *follower) inTime(logEnd int64, maxLag time.Duration, now time.Time) bool {
	return f.end == logEnd || now.Sub(f.caughtUp) <= maxLag
}

// mayJoin says whether the broker that has fetched may be in sync: alive, and the one that the metadata knows.
func (f *follower) mayJoin(known brokers) bool {
	epoch, eligible := known(f.id)
	return eligible && f.brokerEpoch != noBrokerEpoch && (f.brokerEpoch == -1 || f.brokerEpoch == epoch)
}

// highWatermark is where the high watermark may be: the least end among the maximal in-sync replicas, but never lower than it
// was, and where it was while too few replicas are in sync. ownEnd is the end of this broker's own log that counts, logEnd
// where it ends.
//
// A follower that is about to join is waited for as well: else the high watermark might for ever run ahead of one that
// fetches from a busy leader.
func (ld *leadership) highWatermark(was, ownEnd, logEnd int64, underMinISR bool, now time.Time, known brokers) int64 {
	if underMinISR {
		return was
	}
	counted := ld.role.maximalISR
	if fault.On(fault.CommittedISR) {
		counted = ld.role.isr
	}
	end := ownEnd
	for i := range ld.followers {
		f := &ld.followers[i]
		if f.end >= end {
			continue
		}
		if slices.Contains(counted, f.id) || f.inTime(logEnd, ld.maxLag, now) && f.mayJoin(known) && !fault.On(fault.CommittedISR) {
			end = f.end
		}
	}
	return max(was, end)
}

// allInSync says that every follower counts for the high watermark whatever time it is.
func (ld *leadership) allInSync() bool { return len(ld.role.maximalISR) > len(ld.followers) }

// lowWatermark is the least log start offset among the replicas that are alive.
func (ld *leadership) lowWatermark(own int64, alive func(id protocol.NodeID) bool) int64 {
	for i := range ld.followers {
		if f := &ld.followers[i]; f.logStart < own && alive(f.id) {
			own = f.logStart
		}
	}
	return own
}

// proposal is a change of the in-sync replicas that the controller is asked for. It is immutable.
type proposal struct {
	leaderEpoch    protocol.LeaderEpoch
	partitionEpoch int32 // of the state that it changes
	from           []protocol.NodeID
	isr            []inSync
	expands        bool
}

// inSync is a proposed member with the broker epoch in which it fetched; -1: not known.
type inSync struct {
	id          protocol.NodeID
	brokerEpoch protocol.BrokerEpoch
}

// expand proposes to take a follower in, if it is to be: it has everything below the high watermark, and it has reached
// the start of this leader epoch, since what lies between may be committed, too.
func (ld *leadership) expand(f *follower, self protocol.BrokerEpoch, highWatermark, epochStart int64, known brokers) *proposal {
	r := ld.role
	if ld.pending != nil || slices.Contains(r.isr, f.id) || f.end < highWatermark || f.end < epochStart || !f.mayJoin(known) {
		return nil
	}
	members := append(slices.Clone(r.isr), f.id)
	now := *r
	now.maximalISR = members
	return ld.propose(&now, members, self, true)
}

// shrink proposes to drop the followers that are late. The maximal ISR keeps them until the controller has agreed.
func (ld *leadership) shrink(self protocol.BrokerEpoch, logEnd int64, now time.Time) *proposal {
	if ld.pending != nil {
		return nil
	}
	r := ld.role
	kept := make([]protocol.NodeID, 0, len(r.isr))
	for _, id := range r.isr {
		if f := ld.follower(id); id == r.leader || f != nil && f.inTime(logEnd, ld.maxLag, now) {
			kept = append(kept, id)
		}
	}
	if len(kept) == len(r.isr) {
		return nil
	}
	return ld.propose(r, kept, self, false)
}

func (ld *leadership) propose(r *role, members []protocol.NodeID, self protocol.BrokerEpoch, expands bool) *proposal {
	p := &proposal{leaderEpoch: r.leaderEpoch, partitionEpoch: r.partitionEpoch, from: r.isr, expands: expands}
	for _, id := range members {
		m := inSync{id: id, brokerEpoch: -1}
		if id == r.leader {
			m.brokerEpoch = self
		} else if f := ld.follower(id); f != nil && f.brokerEpoch != noBrokerEpoch {
			m.brokerEpoch = f.brokerEpoch
		}
		p.isr = append(p.isr, m)
	}
	ld.role, ld.pending = r, p
	return p
}

// decision is the controller's answer to a proposal: a kind of error, or the state of the partition.
type decision struct {
	kind           errcode.Kind
	leader         protocol.NodeID
	leaderEpoch    protocol.LeaderEpoch
	partitionEpoch int32
	isr            []protocol.NodeID
}

// answered takes over the decision on a proposal, and says whether to ask again. The answer and the metadata may come in any
// order: one that is not newer than the role, or to another proposal, changes nothing.
//
//	Case A: the metadata has decided already: nothing
//	Case B: decided: the in-sync replicas are those of the answer
//	Case C: INELIGIBLE_REPLICA, OPERATION_NOT_ATTEMPTED: it was and will not be applied, and the state it was to change is
//	        the present one: as before the proposal
//	Case D: the controller knows something that this broker does not: the proposal stays pending until the metadata comes
//	Case E: anything else, such as a lost connection: nobody knows, ask again
func (ld *leadership) answered(p *proposal, d decision) (again bool) {
	if ld.pending != p { // Case A
		return false
	}
	switch d.kind {
	case errcode.KindNone: // Case B
		if d.leaderEpoch != ld.role.leaderEpoch || d.partitionEpoch < ld.role.partitionEpoch {
			return false // as D
		}
		now := *ld.role
		now.setISR(d.isr)
		now.partitionEpoch = d.partitionEpoch
		ld.role, ld.pending = &now, nil
		return false
	case errcode.KindIneligibleReplica, errcode.KindOperationNotAttempted: // Case C
		now := *ld.role
		now.setISR(now.isr)
		ld.role, ld.pending = &now, nil
		return false
	case errcode.KindUnknownTopicOrPartition, errcode.KindUnknownTopicID, errcode.KindFencedLeaderEpoch,
		errcode.KindInvalidUpdateVersion, errcode.KindInvalidRequest, errcode.KindNewLeaderElected: // Case D
		return false
	default: // Case E
		return true
	}
}
