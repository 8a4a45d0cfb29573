package coordlog

import (
	"log/slog"
	"sync/atomic"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// maxFlying is how many batches a shard has in the log that are not committed. While there are as many, the open batch
// collects: the log syncs what it gets meanwhile with one sync, so more batches would be committed no sooner.
const maxFlying = 3

// pipeline is the way of records from an operation to their commit, and of the answers that wait for it:
//
//	open ─► sealed ─► flying ─► committed
//
// It is only touched on the loop.
type pipeline struct {
	open        *batch // that takes records; nil: none yet
	sealed      []*batch
	flying      []*batch // in the log, in its order
	end         int64    // offset of the next record
	committed   int64    // everything below is committed
	uncommitted int      // bytes of the batches, estimated

	answers []answer // that wait, in order
	first   int      // of answers
}

// answer waits for the commit of everything before at.
type answer struct {
	at   int64
	to   *waiter // nil: send is called
	send func()
}

// producer is whose transaction records are part of; the ID -1 is none.
type producer struct {
	id    int64
	epoch int16
}

// batch is one record batch on its way.
type batch struct {
	builder *records.Builder // nil when it is in the log
	base    int64            // the offset of its first record, as the machine was told
	next    int64            // the offset after its last, once it is sealed
	owner   producer
	size    int // estimated

	parts [1]replica.Append
	done  atomic.Bool // the result is final
}

func (p *pipeline) begin(b *batch) { p.open = b }

// grow notes that so many bytes go into the open batch.
func (p *pipeline) grow(size int) {
	p.open.size += size
	p.uncommitted += size
}

// seal ends the open batch.
func (p *pipeline) seal() {
	p.open.next = p.end
	p.sealed = append(p.sealed, p.open)
	p.open = nil
}

// hasWork reports whether there is a batch that may be written.
func (p *pipeline) hasWork() bool {
	return (p.open != nil || len(p.sealed) > 0) && len(p.flying) < maxFlying
}

// launch takes out the next batch to be written.
func (p *pipeline) launch() *batch {
	if !p.hasWork() {
		return nil
	}
	if len(p.sealed) == 0 {
		p.seal()
	}
	b := p.sealed[0]
	p.sealed[0] = nil
	p.sealed = p.sealed[1:]
	p.flying = append(p.flying, b)
	return b
}

// land notes which batches are committed. An error says that one is not, or not where the machine thinks that it is.
func (p *pipeline) land() error {
	n := 0
	for ; n < len(p.flying) && p.flying[n].done.Load(); n++ {
		b := p.flying[n]
		switch res := &b.parts[0].Result; {
		case res.Err != nil:
			return res.Err
		case res.BaseOffset != b.base:
			return errcode.New(errcode.KindNotLeaderForPartition, "records went to offset %d and not to %d: somebody else appends", res.BaseOffset, b.base)
		}
		p.uncommitted -= b.size
		p.committed = b.next
	}
	clear(p.flying[:n])
	p.flying = append(p.flying[:0], p.flying[n:]...)
	return nil
}

// wait puts an answer in line. The line may never be empty, so room is made of what has left it.
func (p *pipeline) wait(a answer) {
	if p.first > 0 && len(p.answers) == cap(p.answers) {
		n := copy(p.answers, p.answers[p.first:])
		clear(p.answers[n:])
		p.answers, p.first = p.answers[:n], 0
	}
	a.at = p.end
	p.answers = append(p.answers, a)
}

// committedAnswer takes the first answer out of the line, if it need not wait.
func (p *pipeline) committedAnswer() (answer, bool) {
	if p.first == len(p.answers) || p.answers[p.first].at > p.committed {
		return answer{}, false
	}
	a := p.answers[p.first]
	p.answers[p.first] = answer{}
	if p.first++; p.first == len(p.answers) {
		p.answers, p.first = p.answers[:0], 0
	}
	return a, true
}

// launchAtOnce takes out the batch of an operation that has just appended, if nothing else is on its way: then its caller writes
// it, which saves waking the loop. While something is, waiting makes larger batches.
func (s *shard) launchAtOnce() *batch {
	if s.machine == nil || s.broken != nil || s.writing || len(s.log.flying) > 0 {
		return nil
	}
	b := s.log.launch()
	s.writing = b != nil
	return b
}

// wrote is called, on the loop, by whoever has written a batch.
func (s *shard) wrote() {
	s.writing = false
	if s.machine != nil {
		s.landed()
	}
}

// write appends a batch to the log. It runs without mu, so that operations go on, and on one goroutine at a time.
func (s *shard) write(b *batch) {
	encoded, err := b.builder.Bytes()
	if err != nil {
		b.parts[0].Result.Err = err
		b.done.Store(true)
		return
	}
	n := &s.core.counters
	n.batches.Add(1)
	n.records.Add(int64(b.builder.Count()))
	n.bytes.Add(int64(len(encoded)))
	b.parts[0] = replica.Append{TopicIDPartition: s.id, Records: encoded, LeaderEpoch: s.epoch}
	o := replica.AppendOptions{Acks: -1, Timeout: s.core.appendTimeout, Origin: replica.FromCoordinator}
	final := s.core.replicas.Append(o, b.parts[:], func() {
		b.done.Store(true)
		s.signal()
	})
	if final { // the caller looks
		b.done.Store(true)
	}
	s.core.recycle(b)
}

// landed notes commits and lets the answers out that waited for them. It reports whether there were any.
func (s *shard) landed() bool {
	defer s.recovered() // of what the machine asked to be called
	was := s.log.committed
	err := s.log.land()
	if err == nil {
		s.release()
		return s.log.committed > was
	}
	s.core.counters.appendErrors.Add(1)
	s.core.logger.Warn("append: the coordinator is loaded anew", slog.String("event", "coordinator.append.failed"),
		s.attr(), slog.Int("leader_epoch", int(s.epoch)), slog.Any("err", err))
	s.abandon(appendFailure(err))
	return false
}

// appendFailure is what the clients of operations are told whose records were not committed, as far as is known (Kafka's
// CoordinatorOperationExceptionHelper).
func appendFailure(err error) error {
	kind := errcode.KindOf(err)
	switch kind {
	case errcode.KindUnknownTopicOrPartition, errcode.KindNotEnoughReplicas, errcode.KindNotEnoughReplicasAfterAppend, errcode.KindRequestTimedOut:
		kind = errcode.KindCoordinatorNotAvailable
	case errcode.KindNotLeaderForPartition, errcode.KindKafkaStorageError, errcode.KindInconsistentTopicID:
		kind = errcode.KindNotCoordinator
	default:
		kind = errcode.KindUnknown
	}
	return &errcode.Error{Kind: kind, Err: err}
}

// builder returns an empty one for records of a producer.
func (c *core) builder(owner producer) *records.Builder {
	if owner.id >= 0 {
		return records.NewBuilder(c.builderOptions(owner))
	}
	if b, ok := c.builders.Get().(*records.Builder); ok {
		b.Reset()
		return b
	}
	return records.NewBuilder(c.builderOptions(owner))
}

func (c *core) builderOptions(owner producer) records.BuilderOptions {
	o := records.BuilderOptions{Codec: c.codec, Level: compress.DefaultLevel}
	if owner.id >= 0 {
		o.HasProducer, o.ProducerID, o.ProducerEpoch, o.Transactional = true, owner.id, owner.epoch, true
	}
	return o
}

// recycle keeps the builder of a written batch.
func (c *core) recycle(b *batch) {
	if b.owner.id < 0 && b.builder.Size() <= c.keepBytes() {
		c.builders.Put(b.builder)
	}
	b.builder = nil
	b.parts[0].Records = nil
}

// compressTo reports whether records that are too large as they are fit into a batch when compressed.
func (c *core) compressTo(owner producer, recs []Record, limit int) bool {
	if c.codec == compress.None {
		return false
	}
	b := records.NewBuilder(c.builderOptions(owner))
	for i := range recs {
		b.Append(recs[i].Timestamp, recs[i].Key, recs[i].Value)
	}
	out, err := b.Bytes()
	return err == nil && len(out) <= limit
}
