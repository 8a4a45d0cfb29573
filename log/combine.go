package log

import (
	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Limits of one round. A single request may be larger.
const (
	maxRoundBuffers = 512
	maxRoundBytes   = 8 << 20
)

// request is an append on its way. Exactly one of batch and replicated is set.
type request struct {
	batch       records.Batch
	leaderEpoch int32
	origin      Origin
	replicated  []segment.Batch

	info    AppendInfo
	err     error
	several *LeaderAppend // where AppendAllAsLeader tells what became of it
	wake    chan signal   // of one place
}

// signal tells a waiting request how it goes on.
type signal uint8

const (
	appended signal = iota // it is done
	yourTurn               // it writes for the queue
)

// request takes a request out of the pool, which is the Syncer's rather than a global one: requests hold channels, and those
// must not wander between two brokers of one process, nor between test bubbles.
func (s *Syncer) request() *request {
	if r, ok := s.requests.Get().(*request); ok {
		return r
	}
	return &request{wake: make(chan signal, 1)}
}

func (s *Syncer) release(r *request) {
	*r = request{wake: r.wake}
	s.requests.Put(r)
}

func (r *request) size() int {
	n := len(r.batch)
	for i := range r.replicated {
		n += r.replicated[i].Size
	}
	return n
}

// round is the work of one turn. It belongs to whoever has the turn.
type round struct {
	requests []*request
	wrote    bool

	// What is to be written next, all into one segment.
	bufs    [][]byte
	batches []segment.Batch
	staged  []*request // whose fate hangs on that write
	bytes   int64
	end     int64 // log end offset after it
	update  *producerstate.Update
}

// submit has requests appended. Who finds nobody writing writes, for itself and for all that came before it began; then it
// passes the turn to the first of those that came since.
func (l *Log) submit(requests ...*request) {
	if len(requests) == 0 {
		return
	}
	l.queueMu.Lock()
	l.queue = append(l.queue, requests...)
	waits := l.writing
	l.writing = true
	l.queueMu.Unlock()
	for i, r := range requests {
		if i == 0 && !waits || <-r.wake == yourTurn {
			l.writeQueue(r)
		}
	}
}

// writeQueue writes what is at the front of the queue: own is the first of it.
func (l *Log) writeQueue(own *request) {
	rd := &l.scratch
	l.lock()
	l.take(rd)
	l.write(rd)
	l.unlock()
	wrote := rd.wrote
	if wrote {
		l.afterWrite()
	}
	for _, r := range rd.requests {
		if r != own {
			r.wake <- appended
		}
	}
	rd.reset()
	l.passTurn()
	if wrote {
		l.announce()
	}
}

// passTurn lets the first in the queue write, if there is one.
func (l *Log) passTurn() {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	if len(l.queue) == 0 {
		l.writing = false
		return
	}
	l.queue[0].wake <- yourTurn
}

// take moves requests from the queue to the round.
func (l *Log) take(rd *round) {
	l.queueMu.Lock()
	defer l.queueMu.Unlock()
	n, bytes := 0, 0
	for ; n < len(l.queue) && n < maxRoundBuffers; n++ {
		bytes += l.queue[n].size()
		if n > 0 && bytes > maxRoundBytes {
			break
		}
	}
	rd.requests = append(rd.requests[:0], l.queue[:n]...)
	left := copy(l.queue, l.queue[n:])
	clear(l.queue[left:])
	l.queue = l.queue[:left]
}

// reset drops what the round points to.
func (rd *round) reset() {
	clear(rd.requests)
	rd.requests = rd.requests[:0]
	rd.wrote = false
	rd.written()
}

// written makes room for the next write.
func (rd *round) written() {
	clear(rd.bufs)
	clear(rd.batches)
	clear(rd.staged)
	rd.bufs, rd.batches, rd.staged, rd.bytes, rd.update = rd.bufs[:0], rd.batches[:0], rd.staged[:0], 0, nil
}

// write appends the requests of a round in order. Under mu.
func (l *Log) write(rd *round) {
	l.sync.waitForRoom(l)
	rd.end = l.end.Load()
	for _, r := range rd.requests {
		if r.err = l.usable(); r.err != nil {
			continue
		}
		if r.replicated != nil {
			r.err = l.stageReplicated(rd, r)
		} else {
			r.err = l.stage(rd, r)
		}
	}
	l.flushRound(rd) //nolint:errcheck // the requests have it
}

// stage gives a batch its offsets and takes it into the next write.
func (l *Log) stage(rd *round, r *request) error {
	if latest, ok := l.epochs.Latest(); ok && r.leaderEpoch < latest {
		return errcode.New(errcode.KindNotLeaderForPartition, "append in leader epoch %d, the log is at %d", r.leaderEpoch, latest)
	}
	b := r.batch
	if b.HasProducerID() && r.origin == FromClient {
		if original, ok := l.begin(rd).FindDuplicate(producerstate.FromBatch(b)); ok {
			r.duplicate(original)
			rd.staged = append(rd.staged, r)
			return nil
		}
	}
	d := segment.Describe(b)
	if err := l.makeRoom(rd, &d, rd.end+int64(b.LastOffsetDelta())); err != nil {
		return err
	}
	b.SetBaseOffset(rd.end)
	b.SetPartitionLeaderEpoch(r.leaderEpoch)
	d.BaseOffset, d.LastOffset, d.LeaderEpoch = b.BaseOffset(), b.LastOffset(), r.leaderEpoch
	if err := l.stageProducer(rd, b, r.origin.producer()); err != nil {
		return err
	}
	r.info.FirstOffset, r.info.LastOffset = d.BaseOffset, d.LastOffset
	rd.add(b, d)
	rd.staged = append(rd.staged, r)
	return nil
}

// duplicate answers a retry with where the original went, and with its time, as Kafka does.
func (r *request) duplicate(original producerstate.BatchMetadata) {
	r.info.Duplicate = true
	r.info.FirstOffset, r.info.LastOffset = original.LastOffset-int64(original.OffsetDelta), original.LastOffset
	r.info.LogAppendTime = original.Timestamp
}

// stageReplicated takes batches as they are.
func (l *Log) stageReplicated(rd *round, r *request) error {
	if first := r.replicated[0].BaseOffset; first < rd.end {
		return errcode.New(errcode.KindOffsetOutOfRange, "replicated batch begins at offset %d, below the log end %d", first, rd.end)
	}
	if latest, ok := l.epochs.Latest(); ok {
		if err := follows(&r.replicated[0], rd.end-1, latest); err != nil {
			return err
		}
	}
	for i := range r.replicated {
		d := &r.replicated[i]
		if err := l.makeRoom(rd, d, d.LastOffset); err != nil {
			return err
		}
		if err := l.stageProducer(rd, d.V2(), producerstate.OriginReplication); err != nil {
			return err
		}
		rd.add(d.V2(), *d)
	}
	rd.staged = append(rd.staged, r)
	return nil
}

func (rd *round) add(b records.Batch, d segment.Batch) {
	rd.bufs = append(rd.bufs, b)
	rd.batches = append(rd.batches, d)
	rd.bytes += int64(d.Size)
	rd.end = d.NextOffset()
}

func (l *Log) begin(rd *round) *producerstate.Update {
	if rd.update == nil {
		rd.update = l.producers.Begin()
	}
	return rd.update
}

// stageProducer checks a batch, whose offsets are set, against the state of its producer and takes it in.
func (l *Log) stageProducer(rd *round, b records.Batch, origin producerstate.Origin) error {
	if !b.HasProducerID() || origin == producerstate.OriginReplication && fault.On(fault.ForgetSequences) {
		return nil
	}
	if !b.IsControl() {
		return l.begin(rd).Append(producerstate.FromBatch(b), origin)
	}
	marker, ok, err := producerstate.ParseMarker(b)
	if err != nil || !ok {
		return err
	}
	return l.begin(rd).AppendMarker(marker, origin)
}

// flushRound writes what is staged. When that fails, all of it fails and the log is as before.
func (l *Log) flushRound(rd *round) error {
	defer rd.written()
	if len(rd.batches) == 0 {
		if rd.update != nil {
			rd.update.Discard()
		}
		return nil
	}
	active := l.active()
	position := active.Size()
	err := l.settle()
	if err == nil {
		if err = active.Append(rd.bufs, rd.batches); err != nil {
			err = l.failIO(err)
		}
	}
	if err == nil {
		rd.wrote = true
		err = l.commit(rd, active, position)
	} else {
		if rd.update != nil {
			rd.update.Discard()
		}
		rd.end = l.end.Load()
	}
	if err != nil {
		for _, r := range rd.staged {
			r.err = err
		}
	}
	return err
}

// commit makes a write visible. Whoever can see the new end sees the transactions that begin below it.
func (l *Log) commit(rd *round, active *segment.Segment, position int64) error {
	for i := range rd.batches {
		if d := &rd.batches[i]; d.LeaderEpoch >= 0 {
			l.epochs.Assign(d.LeaderEpoch, d.BaseOffset)
		}
	}
	if rd.update == nil {
		l.producers.SetMapEndOffset(rd.end)
	} else {
		if err := l.completeTxns(rd.update.Commit(rd.end), active, true); err != nil {
			return l.fail(err)
		}
		l.publishUnstable()
	}
	l.marks.add(mark{offset: rd.end, position: active.Size(), segment: active})
	l.tail.append(rd.bufs, rd.batches)
	l.sync.wrote(active.Size() - position)
	l.end.Store(rd.end)
	if !l.config.Load().durable() || fault.On(fault.AckBeforeSync) {
		l.sync.show(rd.end)
	}
	return nil
}

// completeTxns notes transactions whose markers were written, and the aborted ones in the transaction index.
func (l *Log) completeTxns(completed []producerstate.CompletedTxn, s *segment.Segment, index bool) error {
	for _, t := range completed {
		if t.Aborted && index {
			err := s.AppendAborted(segment.AbortedTxn{
				ProducerID: t.ProducerID, FirstOffset: t.FirstOffset, LastOffset: t.LastOffset,
				LastStableOffset: l.producers.LastStableOffset(t),
			})
			if err != nil {
				return err
			}
		}
		l.producers.CompleteTxn(t)
	}
	return nil
}

// afterWrite begins what has to follow a write, before those who wait for it are woken.
func (l *Log) afterWrite() {
	cfg := l.config.Load()
	switch {
	case cfg.durable():
		l.scheduleSync()
	case l.LogEndOffset()-l.RecoveryPoint() >= cfg.FlushMessages:
		l.scheduleSync()
	default:
		l.sync.flushWithin(l, cfg.FlushMs)
	}
}

// announce tells the owner of a write.
func (l *Log) announce() {
	if l.o.Appended != nil {
		l.o.Appended()
	}
	if l.o.Synced != nil && !l.config.Load().durable() {
		l.o.Synced(l.SyncedEndOffset())
	}
}
