package replica

import (
	"slices"
	"time"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// This file is the leader's side of replication: it drives a partition's leadership.

// assume takes over what the metadata says of the partition. It reports whether that changed anything.
func (p *Partition) assume(now *role, maxLag time.Duration) bool {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	was := p.role.Load()
	if was != nil && !now.newerThan(was) {
		return false
	}
	switch {
	case !now.leads:
		p.lead = nil
	case p.lead == nil || now.leaderEpoch != was.leaderEpoch:
		p.lead = takeLead(now, maxLag, time.Now())
	case now.partitionEpoch == was.partitionEpoch: // decided by an answer before: what was proposed since is not decided yet
		now.isr, now.maximalISR = was.isr, was.maximalISR
		p.lead.assign(now)
	default:
		p.lead.update(now)
	}
	p.role.Store(now)
	return true
}

// markDeleted ends the role for good. moved says that the partition is on other brokers now.
func (p *Partition) markDeleted(moved bool) {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	r := *p.role.Load()
	r.deleted, r.moved = true, moved
	p.role.Store(&r)
	p.lead = nil
}

// advanceHighWatermark raises the high watermark as far as it may be and reports whether it moved.
func (p *Partition) advanceHighWatermark(m *Manager) bool {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	l := p.local.Load()
	if l == nil || p.lead == nil || l.leaderEpoch != p.lead.role.leaderEpoch {
		return false
	}
	return p.raiseLocked(m, l)
}

// raiseLocked raises the high watermark, with leadMu held, of a partition that leads in the leader epoch of l.
func (p *Partition) raiseLocked(m *Manager, l *local) bool {
	was, hw := l.log.HighWatermark(), l.log.SyncedEndOffset()
	if hw <= was { // nobody can have more
		return false
	}
	if len(p.lead.followers) > 0 {
		hw = p.highWatermarkLocked(m, l)
	}
	if hw <= was {
		return false
	}
	l.log.UpdateHighWatermark(hw)
	return true
}

// highWatermarkLocked is where the high watermark may be by what is known of the followers.
func (p *Partition) highWatermarkLocked(m *Manager, l *local) int64 {
	var now time.Time
	if !p.lead.allInSync() {
		now = time.Now()
	}
	under := p.lead.role.underMinISR(m.minISR, p.tp.Topic)
	return p.lead.highWatermark(l.log.HighWatermark(), l.log.SyncedEndOffset(), l.log.LogEndOffset(), under, now, m.brokers)
}

// follows refuses who is not a follower of the partition. One that knows the leader epoch is told to try again: this broker
// may not have heard of it yet.
func (r *role) follows(tp protocol.TopicPartition, id protocol.NodeID, current protocol.LeaderEpoch) error {
	if slices.Contains(r.replicas, id) && id != r.leader {
		return nil
	}
	kind := errcode.KindUnknownLeaderEpoch
	if current == Unset {
		kind = errcode.KindNotLeaderForPartition
	}
	return errcode.New(kind, "broker %d has no replica of %s in leader epoch %d", id, tp, r.leaderEpoch)
}

// noteFetch notes how far a follower is, as it says by what it fetched in the leader epoch of l.
func (m *Manager) noteFetch(p *Partition, l *local, id protocol.NodeID, s fetchState) error {
	moved, started, err := p.noteFetch(m, l, id, s)
	m.moved(p, moved, false)
	if started {
		m.deletes.Notify(p)
	}
	return err
}

// noteFetch reports whether the high watermark and whether the follower's log start have moved.
func (p *Partition) noteFetch(m *Manager, l *local, id protocol.NodeID, s fetchState) (moved, started bool, err error) {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil || p.lead.role.leaderEpoch != l.leaderEpoch {
		return false, false, nil // of an epoch that is over: it says nothing of this one
	}
	f := p.lead.follower(id)
	if f == nil {
		return false, false, nil
	}
	known, _ := m.brokers(id)
	was := *f
	if err := f.note(s, known); err != nil {
		return false, false, err
	}
	if m.controller != nil {
		p.submitLocked(m, p.lead.expand(f, m.brokerEpoch(), l.log.HighWatermark(), l.epochStart, m.brokers))
	}
	return f.end != was.end && p.raiseLocked(m, l), f.logStart != was.logStart, nil
}

// brokers implements brokers on the newest metadata.
func (m *Manager) brokers(id protocol.NodeID) (epoch protocol.BrokerEpoch, eligible bool) {
	b := m.image.Load().Brokers[id]
	if b == nil {
		return -1, false
	}
	return b.Epoch, b.Active()
}

// tend proposes to drop the followers that are late, and reports whether the high watermark moved.
func (p *Partition) tend(m *Manager, now time.Time) (moved bool) {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil {
		return false
	}
	l := p.local.Load()
	if l == nil || l.leaderEpoch != p.lead.role.leaderEpoch { // nobody has fetched yet
		p.submitLocked(m, p.lead.shrink(m.brokerEpoch(), unknownEnd, now))
		return false
	}
	p.submitLocked(m, p.lead.shrink(m.brokerEpoch(), l.log.LogEndOffset(), now))
	return !p.lead.allInSync() && p.raiseLocked(m, l)
}

// proposes says whether a proposal is still undecided.
func (p *Partition) proposes(q *proposal) bool {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	return p.lead != nil && p.lead.pending == q
}

// unknownEnd is an end that no follower has reached.
const unknownEnd int64 = -2

// submitLocked has a proposal sent to the controller; nil is none. leadMu is held.
func (p *Partition) submitLocked(m *Manager, q *proposal) {
	if q == nil {
		return
	}
	p.role.Store(p.lead.role)
	m.alters.add(p, q)
}

// decided takes over the controller's decision on a proposal, which may move the high watermark; again says that it has to be asked for
// again.
func (p *Partition) decided(m *Manager, q *proposal, d decision) (again, moved bool) {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil {
		return false, false
	}
	if again = p.lead.answered(q, d); again {
		m.alters.add(p, q)
	}
	p.role.Store(p.lead.role)
	if l := p.local.Load(); l != nil && l.leaderEpoch == p.lead.role.leaderEpoch {
		moved = p.raiseLocked(m, l)
	}
	return again, moved
}

// eachFollower calls fn for every follower while this broker leads, with how far it is behind the end of the log; -1: not known.
func (p *Partition) eachFollower(fn func(f *follower, inSync bool, lag int64)) {
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil {
		return
	}
	l := p.local.Load()
	for i := range p.lead.followers {
		f, lag := &p.lead.followers[i], int64(-1)
		if l != nil && f.end >= 0 {
			lag = max(0, l.log.LogEndOffset()-f.end)
		}
		fn(f, slices.Contains(p.lead.role.isr, f.id), lag)
	}
}
