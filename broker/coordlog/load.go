package coordlog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// maxDecompressed bounds what a batch may decompress to.
const maxDecompressed = 256 << 20

// errEnded says that leadership has ended meanwhile.
var errEnded = errors.New("leadership has ended")

// build makes a machine out of the log. It returns where the log ends; everything below is committed then. Records that
// another leader wrote and that are not committed yet are part of it: they will be, since this broker leads.
func (s *shard) build() (Machine, int64, error) {
	begin := time.Now()
	l := loader{shard: s, machine: s.core.newMachine(s.id.Partition)}
	var err error
	if l.next, err = s.logOffset(replica.Earliest, replica.ReadLogEnd); err != nil {
		return nil, 0, err
	}
	if fault.On(fault.AnswerBeforeReplay) {
		end, err := s.logOffset(replica.Latest, replica.ReadLogEnd)
		return l.machine, end, err
	}
	for {
		end, err := s.logOffset(replica.Latest, replica.ReadLogEnd)
		if err != nil {
			return nil, 0, err
		}
		if err = l.inTurn(end); err != nil {
			return nil, 0, err
		}
		if err = s.awaitCommit(end); err != nil {
			return nil, 0, err
		}
		if now, err := s.logOffset(replica.Latest, replica.ReadLogEnd); err != nil || now == end {
			l.report(begin)
			return l.machine, end, err
		} // else somebody has appended meanwhile
	}
}

func (s *shard) logOffset(which int64, i replica.Isolation) (int64, error) {
	found, err := s.core.replicas.ListOffset(replica.ListOffset{
		TopicPartition: s.id.TopicPartition(), CurrentLeaderEpoch: s.epoch, Timestamp: which, Isolation: i,
	})
	return found.Offset, err
}

// awaitCommit returns when everything below end is committed.
func (s *shard) awaitCommit(end int64) error {
	for {
		committed, err := s.logOffset(replica.Latest, replica.ReadUncommitted)
		switch {
		case err == nil && committed >= end:
			return nil
		case err != nil && errcode.KindOf(err) != errcode.KindOffsetNotAvailable:
			return err
		}
		done := make(chan struct{})
		wait := s.core.replicas.AwaitRead(replica.ReadOptions{ReplicaID: -1, MinBytes: 1, MaxBytes: 1}, s.wanted(end-1, 1),
			time.Now().Add(time.Minute), func() { close(done) })
		select {
		case <-done:
		case <-s.quit:
			if wait != nil {
				wait.Cancel()
			}
			return errEnded
		}
	}
}

func (s *shard) wanted(offset int64, maxBytes int) []replica.ReadPartition {
	return []replica.ReadPartition{{
		TopicIDPartition: s.id, FetchOffset: offset, MaxBytes: maxBytes, CurrentLeaderEpoch: s.epoch, LastFetchedEpoch: replica.Unset,
	}}
}

// loader replays a log.
type loader struct {
	shard   *shard
	machine Machine
	next    int64 // offset to go on at
	records int64
	bytes   int64
}

// inTurn replays up to an offset when its turn has come: few partitions load at a time.
func (l *loader) inTurn(end int64) error {
	if l.next >= end {
		return nil
	}
	loads := l.shard.core.loads
	select {
	case loads <- struct{}{}:
		defer func() { <-loads }()
		return l.replayTo(end)
	case <-l.shard.quit:
		return errEnded
	}
}

// replayTo replays up to an offset, or a little further.
func (l *loader) replayTo(end int64) error {
	c := l.shard.core
	buf, ok := c.buffers.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	defer c.buffers.Put(buf)
	for l.next < end {
		select {
		case <-l.shard.quit:
			return errEnded
		default:
		}
		before := l.next
		if err := l.chunk(buf); err != nil {
			return err
		}
		if l.next == before { // compaction removed everything up to the end
			l.next = end
		}
	}
	return nil
}

// chunk reads and replays as much as is read at a time.
func (l *loader) chunk(buf *[]byte) error {
	c := l.shard.core
	o := replica.ReadOptions{ReplicaID: -1, Isolation: replica.ReadLogEnd, MinBytes: 1, MaxBytes: c.loadBytes}
	res := c.replicas.Read(nil, o, l.shard.wanted(l.next, c.loadBytes))[0]
	if res.Err != nil {
		return res.Err
	}
	if res.Records == nil {
		return nil
	}
	defer func() { _ = res.Records.Close() }() // nothing is lost: it was only read from
	b := res.Records.Bytes()
	if b == nil {
		if n := res.Records.Size(); cap(*buf) < n {
			*buf = make([]byte, n)
		}
		b = (*buf)[:res.Records.Size()]
		if _, err := res.Records.ReadAt(b, 0); err != nil {
			return err
		}
	}
	return l.batches(b)
}

func (l *loader) batches(b []byte) error {
	l.bytes += int64(len(b))
	for len(b) > 0 {
		batch, rest, err := records.Split(b)
		if errors.Is(err, records.ErrShort) {
			return nil
		}
		if err == nil {
			err = l.batch(batch)
		}
		if err != nil {
			return fmt.Errorf("replay the batch at offset %d: %w", l.next, err)
		}
		l.next, b = batch.NextOffset(), rest
	}
	return nil
}

func (l *loader) batch(batch records.Batch) error {
	if batch.IsControl() {
		marker, ok, err := producerstate.ParseMarker(batch)
		if err != nil || !ok {
			return err
		}
		l.records++
		return l.machine.ReplayMarker(Marker{
			Offset: marker.Offset, ProducerID: marker.ProducerID, Epoch: marker.ProducerEpoch, Commit: !marker.Abort,
		})
	}
	rec := NewRecord(nil, nil)
	if batch.IsTransactional() {
		rec.ProducerID, rec.Epoch = batch.ProducerID(), batch.ProducerEpoch()
	}
	return batch.Iterate(maxDecompressed, func(r *records.Record) error {
		if r.Offset < l.next { // of the first batch
			return nil
		}
		l.records++
		rec.Offset, rec.Timestamp, rec.Key, rec.Value = r.Offset, r.Timestamp, r.Key, r.Value
		return l.machine.Replay(rec)
	})
}

func (l *loader) report(begin time.Time) {
	took := time.Since(begin)
	n := &l.shard.core.counters
	n.loads.Add(1)
	n.loadedRecords.Add(l.records)
	n.loadNanos.Add(int64(took))
	for most := n.maxLoadNanos.Load(); int64(took) > most && !n.maxLoadNanos.CompareAndSwap(most, int64(took)); {
		most = n.maxLoadNanos.Load()
	}
	logger := l.shard.core.logger.Info
	if l.records == 0 {
		logger = l.shard.core.logger.Debug
	}
	logger("loaded", slog.String("event", "coordinator.loaded"), l.shard.attr(), slog.Int("leader_epoch", int(l.shard.epoch)),
		slog.Int64("records", l.records), slog.Int64("bytes", l.bytes), slog.Duration("dur", took))
}
