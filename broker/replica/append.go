package replica

import (
	"cmp"
	"slices"
	"strings"
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
	for i := range parts {
		m.append(o, &parts[i])
	}
	return m.await(o, parts, done)
}

// AppendRequest is one of several calls of Append; Final is what that would return.
type AppendRequest struct {
	AppendOptions
	Parts []Append
	Done  func()
	Final bool
}

// AppendAll does what Append does for each request, in their order in each partition. What several bring for one
// partition is written together, which costs far less than writing it one by one.
func (m *Manager) AppendAll(requests []AppendRequest) {
	var room [64]appendPlace
	places := room[:0]
	for i := range requests {
		for j := range requests[i].Parts {
			places = append(places, appendPlace{&requests[i].Parts[j], &requests[i].AppendOptions})
		}
	}
	slices.SortStableFunc(places, func(a, b appendPlace) int {
		return cmp.Or(strings.Compare(a.part.Topic, b.part.Topic), cmp.Compare(a.part.Partition, b.part.Partition))
	})
	for len(places) > 0 {
		n := 1
		for n < len(places) && places[n].part.TopicPartition() == places[0].part.TopicPartition() {
			n++
		}
		m.appendTogether(places[:n])
		places = places[n:]
	}
	for i := range requests {
		r := &requests[i]
		r.Final = m.await(r.AppendOptions, r.Parts, r.Done)
	}
}

// appendPlace is one partition of one request.
type appendPlace struct {
	part *Append
	o    *AppendOptions
}

// appendTogether appends to one partition.
func (m *Manager) appendTogether(places []appendPlace) {
	if len(places) == 1 {
		m.append(*places[0].o, places[0].part)
		return
	}
	var p *Partition
	var room [16]appendPlace
	found := room[:0]
	for _, at := range places {
		if q := m.locate(at.part); q != nil {
			p, found = q, append(found, at)
		}
	}
	if p != nil {
		p.appendAll(m, found)
	}
}

// await has the request watched until it is acknowledged; true means that nothing is left to wait for.
func (m *Manager) await(o AppendOptions, parts []Append, done func()) bool {
	waiting := 0
	for i := range parts {
		if parts[i].Result.wait {
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

// append appends to one partition.
func (m *Manager) append(o AppendOptions, a *Append) {
	p := m.locate(a)
	if p == nil {
		return
	}
	var info commitlog.AppendInfo
	var epoch protocol.LeaderEpoch
	err := p.leading(m, func(l *local, r *role) (err error) {
		if err = p.mayAppend(m, o, a, l, r); err == nil {
			epoch = l.leaderEpoch
			info, err = l.log.AppendAsLeader(a.Records, int32(epoch), commitlog.Origin(o.Origin))
		}
		return err
	})
	if err == nil {
		m.appendedTo(p)
	}
	p.appended(m, o.Acks, &a.Result, info, epoch, err)
}

// appendAll appends what several requests bring for this partition.
func (p *Partition) appendAll(m *Manager, places []appendPlace) {
	var room [16]commitlog.LeaderAppend
	batches := append(room[:0], make([]commitlog.LeaderAppend, len(places))...)
	var epoch protocol.LeaderEpoch
	err := p.leading(m, func(l *local, r *role) error {
		epoch = l.leaderEpoch
		for i, at := range places {
			batches[i].Batch, batches[i].Err = at.part.Records, p.mayAppend(m, *at.o, at.part, l, r)
		}
		l.log.AppendAllAsLeader(batches, int32(epoch), commitlog.FromClient)
		return nil
	})
	if err == nil {
		m.appendedTo(p)
	}
	for i, at := range places {
		p.appended(m, at.o.Acks, &at.part.Result, batches[i].Info, epoch, cmp.Or(err, batches[i].Err))
	}
}

// locate finds the partition of an append and makes room for its result; nil means that the result is final.
func (m *Manager) locate(a *Append) *Partition {
	res := &a.Result
	*res = AppendResult{BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1, CurrentLeader: noLeader}
	p, err := m.find(a.TopicPartition(), a.ID)
	if err != nil {
		res.Err = err
		if errcode.KindOf(err) == errcode.KindNotLeaderForPartition {
			res.CurrentLeader = m.imageLeader(a.TopicPartition())
		}
		return nil
	}
	res.partition = p
	return p
}

// leading calls do in the current leader epoch, which does not end before it returns.
func (p *Partition) leading(m *Manager, do func(l *local, r *role) error) error {
	for {
		l, _, err := p.use(m, Unset, true)
		if err != nil {
			return err
		}
		p.mu.RLock()
		r := p.role.Load()
		if p.local.Load() != l || r.leaderEpoch != l.leaderEpoch { // another epoch has begun meanwhile
			p.mu.RUnlock()
			continue
		}
		err = do(l, r)
		p.mu.RUnlock()
		return err
	}
}

// mayAppend makes the checks that need no log.
func (p *Partition) mayAppend(m *Manager, o AppendOptions, a *Append, l *local, r *role) error {
	if o.Origin == FromCoordinator && a.LeaderEpoch != l.leaderEpoch {
		return errcode.New(errcode.KindNotLeaderForPartition,
			"%s is in leader epoch %d, the append in %d", p.tp, l.leaderEpoch, a.LeaderEpoch)
	}
	if o.Acks == -1 && r.underMinISR(m.minISR, p.tp.Topic) {
		return errcode.New(errcode.KindNotEnoughReplicas,
			"%s has %d replicas in sync, fewer than min.insync.replicas", p.tp, len(r.isr))
	}
	return nil
}

// appended notes what became of an append, and whether its acknowledgement has to be waited for.
func (p *Partition) appended(m *Manager, acks int16, res *AppendResult, info commitlog.AppendInfo, epoch protocol.LeaderEpoch, err error) {
	if err != nil {
		p.refuse(res, err, info)
		return
	}
	res.BaseOffset, res.LogAppendTime, res.LogStartOffset = info.FirstOffset, info.LogAppendTime, info.LogStartOffset
	res.required, res.leaderEpoch, res.wait = info.LastOffset+1, epoch, true
	p.settle(m, acks, res)
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
		return r.shrunkBelowMinISR(m.minISR, p.tp.Topic)
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
