package kraft

import (
	"context"
	"log/slog"
	"time"

	hraft "github.com/hashicorp/raft"
)

// catchUpPoll is how often a follower looks whether it has caught up.
const catchUpPoll = 2 * time.Millisecond

// CatchUp returns when this node has applied everything that the quorum had committed when it found a leader: what a node must
// know before it acts on the metadata. Without a leader it waits.
func (q *Quorum) CatchUp(ctx context.Context) error {
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	began, complain := time.Now(), time.Now().Add(joinPause)
	for {
		if q.IsLeader() && q.Image().ClusterID != "" && q.Barrier(ctx) == nil {
			return nil
		}
		if q.caughtUp() {
			return nil
		}
		if err := q.fsm.Err(); err != nil {
			return err
		}
		if now := time.Now(); now.After(complain) {
			complain = now.Add(complainFor)
			leader, _, _ := q.Leader()
			q.logger.Warn("waiting to catch up with the cluster's metadata", slog.String("event", "quorum.catchup"), slog.Int("leader", int(leader)),
				slog.Int64("metadata_version", q.Image().Version), slog.Duration("dur", now.Sub(began)))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-q.closed:
			return ErrClosed
		}
	}
}

// caughtUp reports whether a follower has applied what the leader of the present term has committed. A new leader's commit
// index may be behind that of the one before until it has committed an entry of its own term.
func (q *Quorum) caughtUp() bool {
	c := q.trans.committed()
	if c.index == 0 || c.term != q.raft.CurrentTerm() || q.Image().ClusterID == "" {
		return false
	}
	var l hraft.Log
	if err := q.o.Store.GetLog(c.index, &l); err != nil || l.Term != c.term {
		return false
	}
	for index := c.index; ; { // to the last entry that is handed to the state machine
		if l.Type == hraft.LogCommand {
			return q.fsm.Applied() >= index
		}
		index--
		if err := q.o.Store.GetLog(index, &l); err != nil {
			return true // it is part of the snapshot that this node began with
		}
	}
}
