package kraft

import (
	"context"
	"log/slog"
	"slices"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

const (
	gatherPause = 10 * time.Millisecond
	gatherDial  = 100 * time.Millisecond
)

// hurry spares a voter that starts its election timer: once a majority of the voters is there and none of them leads, the one with
// the lowest id asks for an election, and the others a little later, one after the other. It is an ordinary election, with pre-vote:
// where there is a leader after all, nothing comes of it.
func (q *Quorum) hurry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, q.o.Timeouts.Heartbeat)
	defer cancel()
	voters := q.Status().Voters
	place := slices.Index(voters, q.o.NodeID)
	if place < 0 || len(voters) == 1 || !q.gathered(ctx, voters) {
		return
	}
	pause(ctx, time.Duration(place)*standInLine)
	if _, _, led := q.Leader(); led || ctx.Err() != nil {
		return
	}
	// raft looks at its timer when it is shortened.
	c := q.raft.ReloadableConfig()
	c.HeartbeatTimeout -= time.Microsecond
	if err := q.raft.ReloadConfig(c); err != nil {
		q.logger.Debug("the election timer is waited for", slog.Any("err", err))
	}
}

// gathered returns true once a majority of the voters takes part in raft, and false when somebody leads or ctx ends before.
func (q *Quorum) gathered(ctx context.Context, voters []protocol.NodeID) bool {
	there := map[protocol.NodeID]bool{q.o.NodeID: true}
	tick := time.NewTicker(gatherPause)
	defer tick.Stop()
	for {
		for _, id := range voters {
			if !there[id] && q.takesPart(ctx, id) {
				there[id] = true
			}
		}
		if _, _, led := q.Leader(); led || ctx.Err() != nil {
			return false
		}
		if len(there) > len(voters)/2 {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

// takesPart reports whether a voter accepts raft's streams by now.
func (q *Quorum) takesPart(ctx context.Context, id protocol.NodeID) bool {
	s, ok := q.server(id)
	if !ok || s.Suffrage != hraft.Voter {
		return false
	}
	_, address := raftnet.SplitServerAddress(s.Address)
	ctx, cancel := context.WithTimeout(ctx, gatherDial)
	defer cancel()
	_, err := q.o.Network.Ask(ctx, raftnet.KindRaft, address, id)
	return err == nil
}
