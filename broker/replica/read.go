package replica

import (
	"time"

	"github.com/distributedmq/dmq/broker/purgatory"
	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Read reads from partitions in order, as many bytes as the options allow, appending a result for each to dst. The first
// partition that has anything gives at least one batch, however large.
//
// A follower acknowledges by what it fetches: FetchOffset is the end of its log that counts, and may move the high watermark.
func (m *Manager) Read(dst []ReadResult, o ReadOptions, parts []ReadPartition) []ReadResult {
	left, minOneBatch := o.MaxBytes, true
	if o.follower() {
		o.at = time.Now()
	}
	for i := range parts {
		res := m.read(o, &parts[i], min(left, parts[i].MaxBytes), minOneBatch)
		if res.Records != nil {
			left = max(0, left-res.Records.Size())
			minOneBatch = false
		}
		dst = append(dst, res)
	}
	return dst
}

func (m *Manager) read(o ReadOptions, q *ReadPartition, maxBytes int, minOneBatch bool) ReadResult {
	res := ReadResult{
		HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, Diverging: EpochEnd{Epoch: -1, EndOffset: -1},
		Preferred: Unset, CurrentLeader: noLeader,
	}
	p, err := m.find(q.TopicPartition(), q.ID)
	if err == nil {
		if err = p.read(m, &res, o, q, maxBytes, minOneBatch); err != nil {
			m.noteDamage(p, err)
			err = p.explain(err)
		}
	}
	if err == nil {
		return res
	}
	res = ReadResult{
		Err: err, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, Diverging: res.Diverging,
		Preferred: Unset, CurrentLeader: noLeader,
	}
	switch errcode.KindOf(err) {
	case errcode.KindNotLeaderForPartition, errcode.KindFencedLeaderEpoch:
		if res.CurrentLeader = m.imageLeader(q.TopicPartition()); p != nil {
			res.CurrentLeader = p.role.Load().hint()
		}
	default: // it is not the leader that the client is mistaken about
	}
	return res
}

func (p *Partition) read(m *Manager, res *ReadResult, o ReadOptions, q *ReadPartition, maxBytes int, minOneBatch bool) error {
	l, r, err := p.use(m, q.CurrentLeaderEpoch, o.onlyLeader())
	if err != nil {
		return err
	}
	if o.follower() {
		if err := r.follows(p.tp, o.ReplicaID, q.CurrentLeaderEpoch); err != nil {
			return err
		}
	}
	at := l.offsets()
	res.HighWatermark, res.LastStableOffset, res.LogStartOffset = at.highWatermark, at.lastStable, at.logStart
	if res.Preferred = p.preferredFor(m, &o, q.FetchOffset); res.Preferred != Unset {
		return nil
	}
	if q.LastFetchedEpoch >= 0 && !fault.On(fault.SkipEpochCheck) {
		end := l.endOf(q.LastFetchedEpoch)
		diverged, err := diverging(q.LastFetchedEpoch, q.FetchOffset, at.logStart, end)
		if err != nil {
			return err
		}
		if diverged {
			res.Diverging = end
			return nil
		}
	}
	if err := at.inRange(q.FetchOffset); err != nil {
		return err
	}
	if o.follower() && !o.Again {
		err := m.noteFetch(p, l, o.ReplicaID, fetchState{
			brokerEpoch: o.BrokerEpoch, end: q.FetchOffset, logStart: q.LogStartOffset, leaderEnd: at.logEnd, at: o.at,
		})
		if err != nil {
			return err
		}
		res.HighWatermark = l.log.HighWatermark() // which may have moved just now
	}
	if o.Isolation == ReadCommitted {
		res.Aborted = []AbortedTxn{}
	}
	if o.follower() && p.holdsBack(m, r, o.ReplicaID, o.at) {
		return nil
	}
	end := at.visible(o.Isolation)
	if q.FetchOffset >= end && q.FetchOffset < at.logEnd || maxBytes <= 0 && !minOneBatch {
		return nil
	}
	slice, err := l.log.Read(q.FetchOffset, maxBytes, end, minOneBatch) // also at the log's end: it is told who waits there
	if err != nil {
		return err
	}
	if slice == nil {
		return nil
	}
	if slice.Size() == 0 {
		return slice.Close()
	}
	if o.Isolation == ReadCommitted {
		if res.Aborted, err = l.aborted(res.Aborted, q.FetchOffset, slice.Bound()); err != nil {
			_ = slice.Close() // nothing is lost: it was only read from
			return err
		}
	}
	if o.follower() && p.throttled.Load() {
		m.meter.Record(slice.Size(), o.at)
	}
	res.Records = slice
	return nil
}

// follower says whether it is a follower who reads.
func (o *ReadOptions) follower() bool { return o.ReplicaID >= 0 }

// onlyLeader says that nobody but the leader may answer.
func (o *ReadOptions) onlyLeader() bool { return o.follower() || !o.AnyReplica }

// aborted lists the aborted transactions between two offsets.
func (l *local) aborted(dst []AbortedTxn, from, to int64) ([]AbortedTxn, error) {
	txns, err := l.log.AbortedTxns(from, to)
	for _, t := range txns {
		dst = append(dst, AbortedTxn{ProducerID: protocol.ProducerID(t.ProducerID), FirstOffset: t.FirstOffset})
	}
	return dst, err
}

// endOf returns the largest leader epoch not above the given one that the log has, and where it ends.
func (l *local) endOf(e protocol.LeaderEpoch) EpochEnd {
	found, end := l.log.EndOffsetForEpoch(int32(e))
	return EpochEnd{Epoch: protocol.LeaderEpoch(found), EndOffset: end}
}

// Enough reports whether results, which Read gave for the options, are to be answered at once: enough bytes, an error or
// a diverging epoch, another replica to read from, or nothing asked for.
func (m *Manager) Enough(o ReadOptions, results []ReadResult) bool {
	size := 0
	for i := range results {
		r := &results[i]
		if r.Err != nil || r.Diverging.Epoch >= 0 || r.Preferred >= 0 {
			return true
		}
		if r.Records != nil {
			size += r.Records.Size()
		}
	}
	return len(results) == 0 || size >= o.MinBytes
}

// Wait is a fetch that waits.
type Wait interface {
	// Cancel ends it; done is called unless it was.
	Cancel()
}

// AwaitRead calls done exactly once, on any goroutine and maybe before AwaitRead returns, when a Read of the same would be
// Enough, the deadline has passed or the wait was cancelled. The caller then reads again. It returns nil when done was
// called already. parts must stay as they are until done is called.
func (m *Manager) AwaitRead(o ReadOptions, parts []ReadPartition, deadline time.Time, done func()) Wait {
	w := &delayedRead{m: m, options: o, parts: parts, partitions: make([]*Partition, len(parts)), done: done}
	for i := range parts {
		p, err := m.find(parts[i].TopicPartition(), parts[i].ID)
		if err == nil {
			_, _, err = p.use(m, parts[i].CurrentLeaderEpoch, o.onlyLeader())
		}
		if err != nil {
			done()
			return nil
		}
		w.partitions[i] = p
	}
	waits := m.fetches
	if o.follower() {
		waits, w.starts = m.follows, w.logStarts()
	}
	wait := waits.Watch(w, deadline, w.partitions...)
	if wait == nil {
		return nil // not a Wait that holds nil
	}
	return wait
}

// delayedRead waits until a fetch is worth answering.
//
//	Case A: this broker no longer leads a partition (or has a replica of it, where that will do), or in another leader epoch
//	Case B: a partition was deleted or is offline
//	Case C: the reader's offset is outside of the log, or its epoch diverges
//	Case D: enough bytes are visible
//	Case E: a follower: records were deleted, which it is to hear of
//	Case F: the deadline passes, the client is gone or the broker stops
type delayedRead struct {
	m          *Manager
	options    ReadOptions
	parts      []ReadPartition
	partitions []*Partition
	starts     int64 // of a follower: logStarts when the wait began
	done       func()
}

// Try implements purgatory.Operation.
func (w *delayedRead) Try() bool {
	size := 0
	for i, p := range w.partitions {
		n, now := p.readable(w.m, w.options, &w.parts[i])
		if now {
			return true
		}
		if size += n; n > 0 && size >= w.options.MinBytes {
			return true
		}
	}
	return w.options.follower() && w.logStarts() > w.starts // Case E
}

// logStarts is the sum of the log start offsets, which grows when one does.
func (w *delayedRead) logStarts() (sum int64) {
	for _, p := range w.partitions {
		if l := p.local.Load(); l != nil {
			sum += l.log.LogStartOffset()
		}
	}
	return sum
}

// Complete implements purgatory.Operation.
func (w *delayedRead) Complete(purgatory.Outcome) { w.done() }

// readable returns how many bytes a read would give, or whether it is to be answered whatever it gives. It does no I/O: it is
// called by whoever caused an event, such as a new metadata image. Where the log would have to be told of a new leader epoch
// first, that is left to the read.
func (p *Partition) readable(m *Manager, o ReadOptions, q *ReadPartition) (n int, now bool) {
	r, l := p.role.Load(), p.local.Load()
	if r.admit(p.tp, q.CurrentLeaderEpoch, o.onlyLeader()) != nil || p.offline.Load() != nil || l == nil || l.leaderEpoch != r.leaderEpoch {
		return 0, true // Cases A and B
	}
	at := l.offsets()
	if at.inRange(q.FetchOffset) != nil {
		return 0, true // Case C
	}
	if q.LastFetchedEpoch >= 0 {
		if diverged, err := diverging(q.LastFetchedEpoch, q.FetchOffset, at.logStart, l.endOf(q.LastFetchedEpoch)); diverged || err != nil {
			return 0, true // Case C
		}
	}
	end := at.visible(o.Isolation)
	if q.FetchOffset >= end {
		return 0, false
	}
	if o.follower() && p.holdsBack(m, r, o.ReplicaID, time.Now()) {
		return 0, false
	}
	if o.MinBytes <= 1 {
		return 1, false
	}
	return int(min(l.log.BytesBetween(q.FetchOffset, end), int64(q.MaxBytes))), false
}
