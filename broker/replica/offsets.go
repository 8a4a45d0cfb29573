package replica

import (
	"context"
	"time"

	"github.com/distributedmq/dmq/broker/purgatory"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

var nothingFound = FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}

// ListOffset looks an offset up by time. The error carries a kind of errcode.
//
//	Case A: Latest: where the reader's view ends, in the current leader epoch
//	Case B: Earliest and EarliestLocal: the log start offset
//	Case C: LatestTiered and EarliestPendingUpload: nothing, since there is no tiered storage
//	Case D: MaxTimestamp and times: the record, if the reader can see it
//
// Cases A and D are OFFSET_NOT_AVAILABLE while the high watermark has not reached the records of this leader epoch: what a
// client is told must not fall when leaders change.
func (m *Manager) ListOffset(q ListOffset) (FoundOffset, error) {
	p, err := m.find(q.TopicPartition, protocol.TopicID{})
	if err != nil {
		return nothingFound, err
	}
	found, err := p.listOffset(m, q)
	if err != nil {
		return nothingFound, p.explain(err)
	}
	return found, nil
}

func (p *Partition) listOffset(m *Manager, q ListOffset) (FoundOffset, error) {
	l, r, err := p.use(m, q.CurrentLeaderEpoch, !q.FromAnyReplica)
	if err != nil {
		return nothingFound, err
	}
	at := l.offsets()
	var lagging error
	if q.Isolation != ReadLogEnd && l.epochStart > at.highWatermark {
		lagging = errcode.New(errcode.KindOffsetNotAvailable, "the high watermark %d of %s is below the start %d of leader epoch %d",
			at.highWatermark, p.tp, l.epochStart, l.leaderEpoch)
	}
	switch q.Timestamp {
	case Latest: // Case A
		return FoundOffset{Offset: at.visible(q.Isolation), Timestamp: -1, LeaderEpoch: r.leaderEpoch}, lagging
	case Earliest, EarliestLocal: // Case B
		found := FoundOffset{Offset: at.logStart, Timestamp: -1, LeaderEpoch: -1}
		if e, ok := l.log.EpochForOffset(at.logStart); ok {
			found.LeaderEpoch = protocol.LeaderEpoch(e)
		}
		return found, nil
	case LatestTiered, EarliestPendingUpload: // Case C
		return nothingFound, nil
	}
	found, ok, err := l.search(q.Timestamp)
	switch {
	case err != nil:
		return nothingFound, err
	case ok && found.Offset < at.visible(q.Isolation):
		return found, nil
	default:
		return nothingFound, lagging
	}
}

// search looks for the first record at or after a time, or for the one with the largest timestamp.
func (l *local) search(timestamp int64) (FoundOffset, bool, error) {
	look := func() (int64, int64, int32, bool, error) { return l.log.OffsetForTimestamp(timestamp) }
	if timestamp == MaxTimestamp {
		look = l.log.OffsetOfMaxTimestamp
	}
	offset, ts, epoch, ok, err := look()
	return FoundOffset{Offset: offset, Timestamp: ts, LeaderEpoch: protocol.LeaderEpoch(epoch)}, ok, err
}

// EndOffsetForEpoch returns the largest leader epoch not above the requested one that has records, and where it ends; both
// are -1 when there is none.
func (m *Manager) EndOffsetForEpoch(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (EpochEnd, error) {
	none := EpochEnd{Epoch: -1, EndOffset: -1}
	p, err := m.find(tp, protocol.TopicID{})
	if err != nil {
		return none, err
	}
	l, _, err := p.use(m, current, true)
	if err != nil {
		return none, err
	}
	return l.endOf(requested), nil
}

// HighWatermark asks DeleteRecords for everything that is committed.
const HighWatermark int64 = -1

// DeleteRecords moves the log start offset up to offset, or to the high watermark if it is -1, and returns where that is.
// AwaitLowWatermark tells when the followers have done so, too.
func (m *Manager) DeleteRecords(tp protocol.TopicPartition, offset int64) (int64, error) {
	p, err := m.find(tp, protocol.TopicID{})
	if err != nil {
		return -1, err
	}
	deleted, err := p.deleteRecords(m, offset)
	if err != nil {
		return -1, p.explain(err)
	}
	m.fetches.Notify(p) // who waits below the new log start is to know
	m.follows.Notify(p)
	return deleted, nil
}

func (p *Partition) deleteRecords(m *Manager, offset int64) (int64, error) {
	l, _, err := p.use(m, Unset, true)
	if err != nil {
		return -1, err
	}
	if c := l.log.Config(); c.CleanupCompact && !c.CleanupDelete {
		return -1, errcode.New(errcode.KindPolicyViolation, "records of %s cannot be deleted: its cleanup.policy is compact", p.tp)
	}
	at := l.offsets()
	if offset == HighWatermark {
		offset = at.highWatermark
	}
	if offset < 0 || offset > at.highWatermark {
		return -1, errcode.New(errcode.KindOffsetOutOfRange, "offset %d of %s is not below the high watermark %d", offset, p.tp, at.highWatermark)
	}
	return offset, l.log.AdvanceLogStartOffset(offset)
}

// AwaitLowWatermark waits until the low watermark, the log start offset of the replica that is alive and furthest behind, has
// reached an offset, and returns it. When ctx ends first that is REQUEST_TIMED_OUT, with how far it has come.
func (m *Manager) AwaitLowWatermark(ctx context.Context, tp protocol.TopicPartition, offset int64) (int64, error) {
	p, err := m.find(tp, protocol.TopicID{})
	if err != nil {
		return -1, err
	}
	w := &delayedDelete{m: m, p: p, offset: offset, done: make(chan struct{})}
	wait := m.deletes.Watch(w, time.Time{}, p)
	if wait != nil {
		defer context.AfterFunc(ctx, wait.Cancel)()
	}
	<-w.done
	return w.low, w.err
}

// lowWatermark is the least log start offset among the replicas that are alive.
func (p *Partition) lowWatermark(m *Manager) (int64, error) {
	l, _, err := p.use(m, Unset, true)
	if err != nil {
		return -1, p.explain(err)
	}
	img := m.image.Load()
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil {
		return -1, p.role.Load().admit(p.tp, Unset, true)
	}
	return p.lead.lowWatermark(l.log.LogStartOffset(), func(id protocol.NodeID) bool {
		b := img.Brokers[id]
		return b != nil && !b.Fenced
	}), nil
}

// delayedDelete waits for the low watermark of one partition.
//
//	Case A: it has reached the offset: satisfied
//	Case B: this broker no longer leads, or cannot read the log: that error
//	Case C: the request's time is up, or there are too many waits: REQUEST_TIMED_OUT
//	Case D: the broker stops: NOT_LEADER_OR_FOLLOWER
type delayedDelete struct {
	m      *Manager
	p      *Partition
	offset int64
	done   chan struct{} // closed when low and err are final
	low    int64
	err    error
}

// Try implements purgatory.Operation.
func (w *delayedDelete) Try() bool {
	w.low, w.err = w.p.lowWatermark(w.m)
	return w.err != nil || w.low >= w.offset
}

// Complete implements purgatory.Operation.
func (w *delayedDelete) Complete(o purgatory.Outcome) {
	switch o {
	case purgatory.Satisfied:
	case purgatory.Closed:
		w.err = &errcode.Error{Kind: errcode.KindNotLeaderForPartition}
	default:
		w.err = &errcode.Error{Kind: errcode.KindRequestTimedOut}
	}
	close(w.done)
}

// Producers returns the producers that the partition remembers (DescribeProducers). Every replica may be asked.
func (m *Manager) Producers(tp protocol.TopicPartition) ([]producerstate.Entry, error) {
	p, err := m.find(tp, protocol.TopicID{})
	if err != nil {
		return nil, err
	}
	l, _, err := p.use(m, Unset, false)
	if err != nil {
		return nil, err
	}
	return l.log.ActiveProducers(), nil
}
