package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/distributedmq/dmq/internal/fault"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Follower copies a partition from its leader in one leader epoch. As soon as the metadata name another epoch, or the partition
// is deleted, it changes nothing any more and fails with FENCED_LEADER_EPOCH: nothing that was fetched in one epoch comes
// into the log after the next one has begun there. It is used by one goroutine at a time.
type Follower struct {
	m           *Manager
	p           *Partition
	leaderEpoch protocol.LeaderEpoch
	log         *commitlog.Log
}

// Position is where a follower's log stands.
type Position struct {
	LogStartOffset int64
	// LogEndOffset is where to fetch from. In durable mode the leader takes a fetch offset for what the follower has synced:
	// it may be asked from after Advance only.
	LogEndOffset int64
	LastEpoch    protocol.LeaderEpoch // the newest that the log knows; -1: none
}

// BelowHighWatermarkError says that a follower would have to give up records that consumers have seen to agree with its leader, and
// that no unclean election explains it: records are lost that must not be. The replica is left as it is, for people to look at.
type BelowHighWatermarkError struct {
	TopicPartition protocol.TopicPartition
	Offset         int64 // where the logs part
	HighWatermark  int64
}

// Error tells what happened.
func (e *BelowHighWatermarkError) Error() string {
	return fmt.Sprintf("%s parts from its leader's log at offset %d, below its high watermark %d", e.TopicPartition, e.Offset, e.HighWatermark)
}

// ErrorKind makes it an errcode.Kinder.
func (e *BelowHighWatermarkError) ErrorKind() errcode.Kind { return errcode.KindKafkaStorageError }

// errLegacyLog is why a log without leader epochs cannot follow: it cannot be compared with the leader's.
var errLegacyLog error = errcode.New(errcode.KindKafkaStorageError,
	"the log has records and no leader epochs: it was written by Apache Kafka before 0.11 and cannot be compared with its leader's")

// errReplaced ends the following of a damaged log, so that nothing is fetched that would count for the copy that replaces it.
// When that is there the controller begins another leader epoch, in which it is followed.
var errReplaced error = errcode.New(errcode.KindFencedLeaderEpoch, "the log is damaged, and replaced by a copy that begins in the next leader epoch")

// Follow opens the log of a partition that this broker follows in a leader epoch.
func (m *Manager) Follow(tp protocol.TopicIDPartition, leaderEpoch protocol.LeaderEpoch) (*Follower, error) {
	p, err := m.find(tp.TopicPartition(), tp.ID)
	if err != nil {
		return nil, err
	}
	l, _, err := p.use(m, leaderEpoch, false)
	if err != nil {
		return nil, err
	}
	f := &Follower{m: m, p: p, leaderEpoch: leaderEpoch, log: l.log}
	return f, f.do(func() error {
		if fault.On(fault.TruncateToWatermark) {
			return f.log.TruncateTo(f.log.HighWatermark())
		}
		if at := f.Position(); at.LastEpoch < 0 && at.LogEndOffset > at.LogStartOffset {
			return errLegacyLog
		}
		return f.forget()
	})
}

// do calls fn while the leader epoch lasts, which does not end before fn returns. One such call runs at a time.
func (f *Follower) do(fn func() error) error {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	switch r := f.p.role.Load(); {
	case r.deleted:
		return r.admit(f.p.tp, Unset, false)
	case r.leads, r.leaderEpoch != f.leaderEpoch:
		return errcode.New(errcode.KindFencedLeaderEpoch, "%s is in leader epoch %d, no longer in %d", f.p.tp, r.leaderEpoch, f.leaderEpoch)
	}
	if err := f.p.offline.Load(); err != nil {
		return *err
	}
	if f.p.damaged.Load() != nil || f.p.local.Load().log != f.log {
		return errReplaced
	}
	if err := fn(); err != nil {
		return f.p.explain(err)
	}
	return nil
}

// Position says where the log stands.
func (f *Follower) Position() Position {
	at := Position{LogStartOffset: f.log.LogStartOffset(), LogEndOffset: f.log.LogEndOffset(), LastEpoch: Unset}
	if e, ok := f.log.LatestEpoch(); ok {
		at.LastEpoch = protocol.LeaderEpoch(e)
	}
	return at
}

// Append writes batches that were fetched at fetchOffset, which must still be the log end. Of what does not follow the log,
// or was read by the leader in a later epoch, nothing is written.
func (f *Follower) Append(fetchOffset int64, batches []byte) error {
	return f.do(func() error {
		if end := f.log.LogEndOffset(); end != fetchOffset {
			return errcode.New(errcode.KindOffsetOutOfRange, "records of %s were fetched at offset %d, the log ends at %d", f.p.tp, fetchOffset, end)
		}
		if base, ok := beginsInside(batches, fetchOffset); ok && f.log.LogStartOffset() == fetchOffset {
			if err := f.log.TruncateFullyAndStartAt(base); err != nil {
				return err
			}
		}
		_, err := f.log.AppendAsFollower(batches, int32(f.leaderEpoch))
		return err
	})
}

// beginsInside reports whether an offset lies inside the first of batches, and where that begins: the leader's log start
// offset may, after DeleteRecords. A log that is empty there has to begin where the batch does; Advance moves its log start
// offset to the leader's again.
func beginsInside(batches []byte, offset int64) (base int64, inside bool) {
	first, _, err := records.Split(batches)
	if err != nil || first.BaseOffset() >= offset || first.LastOffset() < offset {
		return 0, false
	}
	return first.BaseOffset(), true
}

// Sync waits until everything that is there is durable, in durable mode.
func (f *Follower) Sync(ctx context.Context) error {
	if err := f.log.WaitSynced(ctx, f.log.LogEndOffset()); err != nil {
		return f.do(func() error { return err })
	}
	return nil
}

// Advance is called when the leader has answered a fetch from the log end, and what came was appended. It waits as Sync does, and then
// takes over the leader's high watermark and log start offset as far as the log has got.
func (f *Follower) Advance(ctx context.Context, highWatermark, logStartOffset int64) error {
	if err := f.Sync(ctx); err != nil {
		return err
	}
	moved := false
	err := f.do(func() error {
		f.p.agreed, f.p.forgotten = f.leaderEpoch, 0 // the leader had nothing against the fetch offset
		was := f.log.HighWatermark()
		f.log.UpdateHighWatermark(min(highWatermark, f.log.SyncedEndOffset()))
		moved = f.log.HighWatermark() > was
		if logStartOffset <= f.log.LogStartOffset() {
			return nil
		}
		return f.log.AdvanceLogStartOffset(min(logStartOffset, f.log.HighWatermark()))
	})
	if moved {
		f.m.fetches.Notify(f.p)
	}
	return err
}

// Truncate removes what the leader does not have, by leader epoch and by nothing else. diverging is the largest epoch of the
// leader not above this log's last one, and where it ends there. More than one round may be needed: whether the logs agree,
// the next fetch tells. Records below the high watermark are never removed: it fails with *BelowHighWatermarkError. A compacted log
// that an unclean election has overtaken begins anew instead.
func (f *Follower) Truncate(diverging EpochEnd) error {
	return f.do(func() error {
		own, end := f.log.EndOffsetForEpoch(int32(diverging.Epoch))
		offset := truncationOffset(diverging, EpochEnd{Epoch: protocol.LeaderEpoch(own), EndOffset: end}, f.log.LogEndOffset())
		switch {
		case offset < f.log.LogEndOffset() && f.compacted() && f.overtaken():
			// What it has below may lack records that were superseded by what has to go. The leader has them, if not more: where
			// its log begins, it says when it is asked for the first.
			err := f.log.TruncateFullyAndStartAt(0)
			f.tellLost(offset)
			return err
		case offset < f.log.HighWatermark():
			return f.beginAt(offset)
		}
		err := f.log.TruncateTo(offset)
		f.tellLost(f.log.LogEndOffset())
		return err
	})
}

// Restart begins the log anew at the leader's log start offset. Unless that lies above everything that is here, an unclean election
// must have come: else it fails with *BelowHighWatermarkError.
func (f *Follower) Restart(logStartOffset int64) error {
	return f.do(func() error {
		if logStartOffset <= f.log.LogEndOffset() {
			return f.beginAt(logStartOffset)
		}
		return f.log.TruncateFullyAndStartAt(logStartOffset)
	})
}

// beginAt begins the log anew at an offset that is not above all of it, since the leader has nothing to compare it with.
func (f *Follower) beginAt(offset int64) error {
	if !f.overtaken() {
		return &BelowHighWatermarkError{TopicPartition: f.p.tp, Offset: offset, HighWatermark: f.log.HighWatermark()}
	}
	start := f.log.LogStartOffset()
	err := f.log.TruncateFullyAndStartAt(offset)
	f.tellLost(start)
	return err
}

// compacted reports whether records may have been removed because there are newer ones of their keys.
func (f *Follower) compacted() bool {
	return f.log.Config().CleanupCompact || f.log.CleanedOffset() > 0
}

// overtaken reports whether an unclean election came after everything that this replica knows.
func (f *Follower) overtaken() bool {
	return overtaken(max(f.p.agreed, f.Position().LastEpoch), f.p.role.Load().uncleanEpoch)
}

// forget gives up what the replica knows to be committed where an unclean election came after it.
func (f *Follower) forget() error {
	if !f.overtaken() {
		return nil
	}
	f.p.forgotten = max(f.p.forgotten, f.log.HighWatermark())
	if err := f.log.ForgetHighWatermark(); err != nil {
		return fmt.Errorf("forget the high watermark of %s: %w", f.p.tp, err)
	}
	return nil
}

// tellLost notes that nothing is left at and above an offset, where some of it was once committed.
func (f *Follower) tellLost(end int64) {
	lost := f.p.forgotten - end
	if lost <= 0 {
		return
	}
	r := f.p.role.Load()
	f.m.lost.Add(lost)
	f.m.logger.Warn("gave up committed records, which the leader of an unclean election did not have", f.p.attrs(slog.String("event", "replica.lost"),
		slog.Int("leader", int(r.leader)), slog.Int("leader_epoch", int(r.leaderEpoch)), slog.Int("unclean_epoch", int(r.uncleanEpoch)),
		slog.Int64("from", end), slog.Int64("to", f.p.forgotten), slog.Int64("records", lost))...)
	f.p.forgotten = end
	f.m.notify(f.p) // who reads from this replica is to hear of it
}

// Over reports whether an error of a follower says that there is nothing more to follow in its leader epoch.
func Over(err error) bool {
	switch errcode.KindOf(err) {
	case errcode.KindFencedLeaderEpoch, errcode.KindUnknownTopicOrPartition, errcode.KindInconsistentTopicID, errcode.KindNotLeaderForPartition:
		return true
	default:
		return false
	}
}

// Lasting reports whether trying again does not help against an error of a follower: the log is damaged, its directory is
// dead, or it has parted from its leader's for good. A full disk is not such a one.
func Lasting(err error) bool {
	var (
		storage *commitlog.StorageError
		corrupt *commitlog.CorruptError
		parted  *BelowHighWatermarkError
	)
	return errors.As(err, &storage) || errors.As(err, &corrupt) || errors.As(err, &parted) || errors.Is(err, errLegacyLog)
}
