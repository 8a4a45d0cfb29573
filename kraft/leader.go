package kraft

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

// IsLeader reports whether this node believes that it leads. It may have been deposed without knowing: what must not be
// stale goes through VerifyLeader.
func (q *Quorum) IsLeader() bool { return q.raft.State() == hraft.Leader }

// VerifyLeader confirms with a majority that this node leads now.
func (q *Quorum) VerifyLeader(ctx context.Context) error {
	return q.raftCall(ctx, func() error { return q.raft.VerifyLeader().Error() })
}

// Barrier returns when every command committed before it has been applied here. Leader only.
func (q *Quorum) Barrier(ctx context.Context) error {
	return q.raftCall(ctx, func() error { return q.raft.Barrier(0).Error() })
}

// raftCall awaits a call that changes nothing: losing leadership meanwhile is simply not being leader.
func (q *Quorum) raftCall(ctx context.Context, call func() error) error {
	err := q.await(ctx, call)
	if errors.Is(err, hraft.ErrLeadershipLost) {
		err = hraft.ErrNotLeader
	}
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	if errors.Is(err, ErrClosed) {
		return err
	}
	return q.mapError(err)
}

// Leader returns the leader this node knows, and the term.
func (q *Quorum) Leader() (id protocol.NodeID, term int64, ok bool) {
	_, leader := q.raft.LeaderWithID()
	term = int64(q.raft.CurrentTerm())
	if leader == "" {
		return noNode, term, false
	}
	return nodeID(leader), term, true
}

// Transfer hands leadership on to another voter, or to the one that is best up to date (to: -1), and returns once this node has
// ceased to lead. Leader only; a node that is the only voter, and one that does not lead, has nothing to hand on.
func (q *Quorum) Transfer(ctx context.Context, to protocol.NodeID) error {
	if _, voting := q.hasPeers(); !voting || !q.IsLeader() {
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	for {
		heir := to
		if heir < 0 {
			heir = q.successor()
		}
		s, ok := q.server(heir)
		if !ok {
			return errors.New("hand leadership on: there is no other voter that answers")
		}
		// raft gives the other voter one election timeout, which may be short for a busy machine.
		err := q.await(ctx, func() error { return q.raft.LeadershipTransferToServer(s.ID, s.Address).Error() })
		switch {
		case err == nil || !q.IsLeader():
			q.logger.Info("leadership handed on", slog.String("event", "quorum.transferred"), slog.Duration("dur", time.Since(start)))
			return nil
		case ctx.Err() != nil || errors.Is(err, ErrClosed):
			return fmt.Errorf("hand leadership on: %w", err)
		}
		pause(ctx, transferPause) // the attempt before may not be over
	}
}

const transferPause = 10 * time.Millisecond

// successor is the voter that is best up to date of those that answer; -1: there is none. raft's own choice would not mind
// whether it answers.
func (q *Quorum) successor() protocol.NodeID {
	best := Member{ID: noNode}
	for _, m := range q.Status().Members {
		if m.Voter && m.ID != q.o.NodeID && time.Since(m.Contact) < q.o.Timeouts.Heartbeat && m.LastIndex > best.LastIndex {
			best = m
		}
	}
	return best.ID
}

// Address is where a member of the quorum listens, as raft's configuration has it; "" when that is not known.
func (q *Quorum) Address(id protocol.NodeID) string {
	s, _ := q.server(id)
	_, address := raftnet.SplitServerAddress(s.Address)
	return address
}

// WaitLeader returns when a leader is known.
func (q *Quorum) WaitLeader(ctx context.Context) (protocol.NodeID, error) {
	changes, cancel := q.LeadershipChanges()
	defer cancel()
	for {
		if id, _, ok := q.Leader(); ok {
			return id, nil
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return noNode, context.Cause(ctx)
		case <-q.closed:
			return noNode, ErrClosed
		}
	}
}

// LeadershipChanges returns a channel that receives a value, several changes in one, whenever the leader may have changed.
// It is never closed.
func (q *Quorum) LeadershipChanges() (ch <-chan struct{}, cancel func()) { return q.events.subscribe() }

// Status describes the quorum as this node sees it.
type Status struct {
	NodeID       protocol.NodeID
	Leader       protocol.NodeID // -1: unknown
	Term         int64
	State        string // of raft: Leader, Follower, Candidate or Shutdown
	LastIndex    int64  // of the log
	CommitIndex  int64
	AppliedIndex int64
	Voters       []protocol.NodeID
	Observers    []protocol.NodeID
	Members      []Member // voters and observers in the order of their ids
}

// Member is a member of the quorum.
type Member struct {
	ID          protocol.NodeID
	Voter       bool
	DirectoryID protocol.TopicID // zero: not known
	Address     string           // host:port; "" not known
	Progress                     // as this node knows it while it leads
}

// Status describes the quorum.
func (q *Quorum) Status() Status {
	leader, term, _ := q.Leader()
	s := Status{
		NodeID: q.o.NodeID, Leader: leader, Term: term, State: q.raft.State().String(),
		LastIndex:    int64(q.raft.LastIndex()),
		CommitIndex:  int64(q.raft.CommitIndex()),
		AppliedIndex: int64(q.raft.AppliedIndex()),
	}
	for _, server := range q.servers() {
		m := Member{ID: nodeID(server.ID), Voter: server.Suffrage == hraft.Voter, Progress: Progress{LastIndex: -1}}
		m.DirectoryID = q.Directory(m.ID)
		_, m.Address = raftnet.SplitServerAddress(server.Address)
		switch {
		case leader != q.o.NodeID:
		case m.ID == q.o.NodeID:
			now := time.Now()
			m.Progress = Progress{LastIndex: s.LastIndex, Contact: now, CaughtUp: now}
		default:
			m.Progress = q.peers.Of(m.ID)
		}
		s.Members = append(s.Members, m)
	}
	slices.SortFunc(s.Members, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	for _, m := range s.Members {
		if m.Voter {
			s.Voters = append(s.Voters, m.ID)
		} else {
			s.Observers = append(s.Observers, m.ID)
		}
	}
	return s
}

// broadcast wakes any number of listeners.
type broadcast struct {
	mu   sync.Mutex // guards subs
	subs map[chan struct{}]struct{}
}

func newBroadcast() *broadcast { return &broadcast{subs: make(map[chan struct{}]struct{})} }

func (b *broadcast) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ch := range b.subs {
		select {
		case ch <- struct{}{}:
		default: // it has one to read already
		}
	}
}

func (b *broadcast) subscribe() (<-chan struct{}, func()) {
	ch := make(chan struct{}, 1)
	b.mu.Lock()
	b.subs[ch] = struct{}{}
	b.mu.Unlock()
	return ch, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, ch)
	}
}
