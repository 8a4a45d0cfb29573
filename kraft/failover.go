package kraft

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"syscall"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

const (
	suspectFor   = 500 * time.Millisecond // how long a leader whose connections broke is asked after; then raft's timers decide
	suspectPause = 5 * time.Millisecond   // between two questions: the sockets of a process that dies close one after the other
	standInLine  = 50 * time.Millisecond  // between the elections that the voters left over would hold, so that votes are not split
)

// StreamEnded implements raftnet.Handler. When the streams of the leader break this node asks at once whether its process lives,
// instead of waiting until no heartbeat has come for a while.
func (q *Quorum) StreamEnded(peer raftnet.Identity) {
	leader, _, ok := q.Leader()
	if ok && leader == peer.NodeID {
		q.Suspect(peer.NodeID, peer.Incarnation)
	}
}

// Suspect finds out whether the leader's process is gone: nobody listens at its address, or another process does. Then this
// node, if it votes, holds an election. Nothing follows from an answer that does not come. It returns when that is settled.
func (q *Quorum) Suspect(leader protocol.NodeID, incarnation protocol.TopicID) {
	now, term, ok := q.Leader()
	if !ok || now != leader || leader == q.o.NodeID || !q.votes(q.o.NodeID) {
		return
	}
	q.mu.Lock()
	if q.closing || q.suspected == term {
		q.mu.Unlock()
		return // somebody else asks
	}
	q.suspected = term
	q.inflight.Add(1)
	q.mu.Unlock()
	defer q.inflight.Done()
	defer func() {
		q.mu.Lock()
		q.suspected = 0
		q.mu.Unlock()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), suspectFor)
	defer cancel()
	if !q.gone(ctx, leader, incarnation) || !q.stillFollows(leader, term) {
		return
	}
	pause(ctx, time.Duration(q.place(leader))*standInLine)
	if !q.stillFollows(leader, term) {
		return
	}
	q.logger.Warn("the active controller's process is gone: this node stands for election",
		slog.String("event", "quorum.leader_gone"), slog.Int("leader", int(leader)), slog.Int64("term", term))
	q.standForElection()
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// standForElection has this node ask for votes now, even of nodes that believe in a leader.
func (q *Quorum) standForElection() {
	q.trans.call(&hraft.TimeoutNowRequest{RPCHeader: q.rpcHeader()})
}

// rpcHeader is what raft's calls of this node begin with.
func (q *Quorum) rpcHeader() hraft.RPCHeader {
	return hraft.RPCHeader{
		ProtocolVersion: hraft.ProtocolVersionMax,
		ID:              []byte(raftID(q.o.NodeID)),
		Addr:            q.trans.EncodePeer(raftID(q.o.NodeID), q.trans.LocalAddr()),
	}
}

// stillFollows reports whether nothing has happened since this node followed the leader.
func (q *Quorum) stillFollows(leader protocol.NodeID, term int64) bool {
	now, at, ok := q.Leader()
	return at == term && q.raft.State() == hraft.Follower && (!ok || now == leader)
}

// gone asks at the leader's address until it is certain.
func (q *Quorum) gone(ctx context.Context, leader protocol.NodeID, incarnation protocol.TopicID) bool {
	for ; ctx.Err() == nil; pause(ctx, suspectPause) {
		switch who, err := q.Probe(ctx, leader); {
		case errors.Is(err, syscall.ECONNREFUSED):
			return true
		case err == nil:
			return who.NodeID != leader || !incarnation.IsZero() && who.Incarnation != incarnation
		}
	}
	return false
}

// Probe asks who is at a member's address. A process that is dead refuses the connection (syscall.ECONNREFUSED).
func (q *Quorum) Probe(ctx context.Context, id protocol.NodeID) (raftnet.Identity, error) {
	address := q.Address(id)
	if q.o.Network == nil || address == "" {
		return raftnet.Identity{}, errUnknownMember
	}
	reply, err := q.o.Network.Ask(ctx, raftnet.KindProbe, address, noNode)
	return reply.Identity, err
}

var errUnknownMember = errors.New("the address of this node is not known")

// votes reports whether a node is a voter.
func (q *Quorum) votes(id protocol.NodeID) bool {
	s, ok := q.server(id)
	return ok && s.Suffrage == hraft.Voter
}

// place is this node's among the voters that are left without the leader.
func (q *Quorum) place(leader protocol.NodeID) int {
	var ids []protocol.NodeID
	for _, s := range q.servers() {
		if id := nodeID(s.ID); s.Suffrage == hraft.Voter && id != leader {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return max(0, slices.Index(ids, q.o.NodeID))
}
