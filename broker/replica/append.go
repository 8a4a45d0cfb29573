package replica

import (
	"time"

	"github.com/distributedmq/dmq/broker/purgatory"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Append appends to partitions that this broker leads. When it returns true, every Result is final and done is not
// called. Otherwise done is called exactly once, on any goroutine and maybe before Append returns, when the records are
// acknowledged as Acks asks or the time is up; the Results are final then, and parts is not touched again. done must be
// quick: it may run on the goroutine that syncs the log. Records may be reused as soon as Append has returned.
func (m *Manager) Append(o AppendOptions, parts []Append, done func()) bool {
	waiting := 0
	for i := range parts {
		if m.append(o, &parts[i]) {
			waiting++
		}
	}
	if waiting == 0 {
		return true
	}
	w := &delayedProduce{m: m, acks: o.Acks, parts: parts, done: done}
	var room [8]*Partition
	keys := room[:0]
	for i := range parts {
		if parts[i].Result.wait {
			keys = append(keys, parts[i].Result.partition)
		}
	}
	m.produces.Watch(w, time.Now().Add(o.Timeout), keys...)
	return false
}

// append appends to one partition and reports whether its acknowledgement has to be waited for.
func (m *Manager) append(o AppendOptions, a *Append) bool {
	res := &a.Result
	*res = AppendResult{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, CurrentLeader: noLeader}
	p, err := m.find(a.TopicPartition(), a.ID)
	if err != nil {
		res.Err = err
		if errcode.KindOf(err) == errcode.KindNotLeaderForPartition {
			res.CurrentLeader = m.imageLeader(a.TopicPartition())
		}
		return false
	}
	res.partition = p
	info, epoch, err := p.append(m, o, a)
	if err != nil {
		p.refuse(res, err, info)
		return false
	}
	m.advance(p, false)
	res.BaseOffset, res.LogAppendTime, res.LogStartOffset = info.FirstOffset, info.LogAppendTime, info.LogStartOffset
	res.required, res.leaderEpoch, res.wait = info.LastOffset+1, epoch, true
	return !p.settle(m, o.Acks, res)
}

// append writes a batch in the current leader epoch.
func (p *Partition) append(m *Manager, o AppendOptions, a *Append) (commitlog.AppendInfo, protocol.LeaderEpoch, error) {
	for {
		l, _, err := p.use(m, Unset, true)
		if err != nil {
			return commitlog.AppendInfo{}, 0, err
		}
		p.mu.RLock()
		r := p.role.Load()
		if p.local.Load() != l || r.leaderEpoch != l.leaderEpoch { // another epoch has begun meanwhile
			p.mu.RUnlock()
			continue
		}
		if o.Origin == FromCoordinator && a.LeaderEpoch != l.leaderEpoch {
			p.mu.RUnlock()
			return commitlog.AppendInfo{}, 0, errcode.New(errcode.KindNotLeaderForPartition,
				"%s is in leader epoch %d, the append in %d", p.tp, l.leaderEpoch, a.LeaderEpoch)
		}
		if o.Acks == -1 && r.underMinISR(m.minISR, p.tp.Topic) {
			p.mu.RUnlock()
			return commitlog.AppendInfo{}, 0, errcode.New(errcode.KindNotEnoughReplicas,
				"%s has %d replicas in sync, fewer than min.insync.replicas", p.tp, len(r.isr))
		}
		info, err := l.log.AppendAsLeader(a.Records, int32(l.leaderEpoch), commitlog.Origin(o.Origin))
		p.mu.RUnlock()
		return info, l.leaderEpoch, err
	}
}

// refuse makes a result of an error.
func (p *Partition) refuse(res *AppendResult, err error, info commitlog.AppendInfo) {
	err = p.explain(err)
	res.Err, res.RecordErrors = err, info.RecordErrors
	switch errcode.KindOf(err) {
	case errcode.KindNotLeaderForPartition:
		res.CurrentLeader = p.role.Load().hint()
	case errcode.KindUnknownTopicOrPartition, errcode.KindMessageTooLarge, errcode.KindRecordListTooLarge, errcode.KindCorruptMessage,
		errcode.KindKafkaStorageError, errcode.KindUnknownTopicID: // Kafka says nothing of the log here
	default:
		if l := p.local.Load(); l != nil {
			res.LogStartOffset = l.log.LogStartOffset()
		}
	}
}

// settle looks whether an append is acknowledged, and notes what it came to. It reports whether nothing is left to wait for.
func (p *Partition) settle(m *Manager, acks int16, res *AppendResult) bool {
	if failure := p.offline.Load(); failure != nil && acks != 0 {
		res.fail(*failure)
		return true
	}
	r := p.role.Load()
	done, kind := r.acked(acks, res.leaderEpoch, res.required, p.local.Load().progress(), func() bool {
		return r.underMinISR(m.minISR, p.tp.Topic)
	})
	switch {
	case !done:
		return false
	case kind == errcode.KindNone:
		res.wait = false
		return true
	default:
		res.fail(&errcode.Error{Kind: kind})
		if kind == errcode.KindNotLeaderForPartition {
			res.CurrentLeader = r.hint()
		}
		return true
	}
}

// fail ends the wait of an appended batch with an error. As in Kafka the offsets stay in the answer.
func (res *AppendResult) fail(err error) { res.Err, res.wait = err, false }

// imageLeader is the leader that the metadata names.
func (m *Manager) imageLeader(tp protocol.TopicPartition) Leader {
	p := m.image.Load().Partition(tp)
	if p == nil {
		return noLeader
	}
	return Leader{ID: p.Leader, Epoch: protocol.LeaderEpoch(p.LeaderEpoch)}
}

// delayedProduce waits for the acknowledgements of one produce request.
//
//	Case A: every partition is acknowledged, or failed meanwhile: satisfied
//	Case B: the deadline passes: REQUEST_TIMED_OUT for those that are not; their records stay
//	Case C: the broker stops: NOT_LEADER_OR_FOLLOWER, so that the client looks for the leader again
//	Case D: too many waits: as B, at once
type delayedProduce struct {
	m     *Manager
	acks  int16
	parts []Append
	done  func()
}

// Try implements purgatory.Operation.
func (w *delayedProduce) Try() bool {
	all := true
	for i := range w.parts {
		res := &w.parts[i].Result
		if res.wait && !res.partition.settle(w.m, w.acks, res) {
			all = false
		}
	}
	return all
}

// Complete implements purgatory.Operation.
func (w *delayedProduce) Complete(o purgatory.Outcome) {
	kind := errcode.KindRequestTimedOut
	if o == purgatory.Closed || o == purgatory.Cancelled {
		kind = errcode.KindNotLeaderForPartition
	}
	for i := range w.parts {
		if res := &w.parts[i].Result; res.wait {
			res.fail(&errcode.Error{Kind: kind})
		}
	}
	w.done()
}
