package kraft

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// VoterKey names a voter (KIP-853): a node with the disk that holds its part of the metadata log.
type VoterKey struct {
	ID          protocol.NodeID
	DirectoryID protocol.TopicID
}

// String writes a key as Kafka does.
func (k VoterKey) String() string {
	if k.DirectoryID.IsZero() {
		return fmt.Sprintf("ReplicaKey(id=%d, directoryId=<undefined>)", k.ID)
	}
	return fmt.Sprintf("ReplicaKey(id=%d, directoryId=%s)", k.ID, k.DirectoryID)
}

// changing has one change of the voters at a time. It is refused while another one is under way, as in Kafka.
func (q *Quorum) changing() (done func(), err error) {
	if !q.IsLeader() {
		leader, _, _ := q.Leader()
		return nil, &NotLeaderError{Leader: leader}
	}
	if !q.change.TryLock() {
		return nil, errcode.New(errcode.KindRequestTimedOut, "Request timed out waiting for leader to handle previous voter change request")
	}
	return q.change.Unlock, nil
}

// voterKeys lists the voters as Kafka does.
func (q *Quorum) voterKeys() string {
	var keys []string
	for _, m := range q.Status().Members {
		if m.Voter {
			keys = append(keys, VoterKey{m.ID, m.DirectoryID}.String())
		}
	}
	return "[" + strings.Join(keys, ", ") + "]"
}

// caughtUpWithin is how recently a new voter must have had the whole log.
const caughtUpWithin = time.Second

// AddVoter makes a node a voter once it follows the metadata log and has caught up with it. The node answers at address, and must
// be the one that key says. It waits as long as ctx allows. Leader only.
func (q *Quorum) AddVoter(ctx context.Context, key VoterKey, address string) error {
	done, err := q.changing()
	if err != nil {
		return err
	}
	defer done()
	if q.votes(key.ID) {
		return errcode.New(errcode.KindDuplicateVoter, "The voter id for %s is already part of the set of voters %s.", key, q.voterKeys())
	}
	if err := q.recognise(ctx, key, address); err != nil {
		return err
	}
	want := raftnet.ServerAddress(key.DirectoryID, address)
	if s, ok := q.server(key.ID); ok && q.known(s) == key.DirectoryID {
		want = s.Address // where it says itself that it listens, and follows
	} else if !ok || s.Address != want {
		if err := q.setMember(ctx, raftID(key.ID), want, hraft.Nonvoter); err != nil {
			return err
		}
	}
	if err := q.awaitCaughtUp(ctx, key); err != nil {
		return err
	}
	if err := q.setMember(ctx, raftID(key.ID), want, hraft.Voter); err != nil {
		return err
	}
	q.logger.Info("voter added", slog.String("event", "quorum.voter.added"), slog.Int("peer", int(key.ID)), slog.String("directory_id", key.DirectoryID.String()))
	return nil
}

// recognise asks at an address whether the node that is meant is there.
func (q *Quorum) recognise(ctx context.Context, key VoterKey, address string) error {
	if q.o.Network == nil {
		return errcode.New(errcode.KindRequestTimedOut, "New voter %s is not ready to receive requests", key)
	}
	reply, err := q.o.Network.Ask(ctx, raftnet.KindProbe, address, key.ID)
	if err != nil {
		return &errcode.Error{Kind: errcode.KindRequestTimedOut, Msg: fmt.Sprintf("New voter %s is not ready to receive requests: %v", key, err), Err: err}
	}
	if reply.DirectoryID != key.DirectoryID {
		return errcode.New(errcode.KindInvalidRequest, "The node at %s is %s, not %s", address, VoterKey{reply.NodeID, reply.DirectoryID}, key)
	}
	return nil
}

// awaitCaughtUp waits until a member has everything that this leader has.
func (q *Quorum) awaitCaughtUp(ctx context.Context, key VoterKey) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if p := q.peers.Of(key.ID); time.Since(p.CaughtUp) < caughtUpWithin {
			return nil
		}
		if !q.IsLeader() {
			leader, _, _ := q.Leader()
			return &NotLeaderError{Leader: leader}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errcode.New(errcode.KindRequestTimedOut, "Aborted add voter operation for %s since it is lagging behind", key)
		case <-q.closed:
			return ErrClosed
		}
	}
}

// RemoveVoter takes a node's vote away. A node that answers goes on as an observer, since it may be a broker; one that does not
// is forgotten. A leader that removes itself hands leadership on. Leader only.
func (q *Quorum) RemoveVoter(ctx context.Context, key VoterKey) error {
	done, err := q.changing()
	if err != nil {
		return err
	}
	defer done()
	s, ok := q.server(key.ID)
	known := q.known(s)
	if !ok || s.Suffrage != hraft.Voter || !known.IsZero() && known != key.DirectoryID || len(q.Status().Voters) == 1 {
		return errcode.New(errcode.KindVoterNotFound, "Cannot remove voter %s from the set of voters %s", key, q.voterKeys())
	}
	self := key.ID == q.o.NodeID
	heir := q.successor()
	answers := self || time.Since(q.peers.Of(key.ID).Contact) < silentAfter
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	err = q.raftCall(ctx, func() error {
		if answers {
			return q.raft.DemoteVoter(s.ID, 0, changeWithin).Error()
		}
		return q.raft.RemoveServer(s.ID, 0, changeWithin).Error()
	})
	if err != nil {
		return err
	}
	q.logger.Info("voter removed", slog.String("event", "quorum.voter.removed"), slog.Int("peer", int(key.ID)), slog.Bool("observer", answers))
	if self {
		q.appoint(heir)
	}
	return nil
}

// appoint has another voter hold an election now. It does not matter whether that succeeds: they would hold one anyway.
func (q *Quorum) appoint(heir protocol.NodeID) {
	s, ok := q.server(heir)
	if !ok {
		return
	}
	err := q.peers.TimeoutNow(s.ID, s.Address, &hraft.TimeoutNowRequest{RPCHeader: q.rpcHeader()}, &hraft.TimeoutNowResponse{})
	if err != nil {
		q.logger.Debug("the next leader was not told to stand for election", slog.Int("peer", int(heir)), slog.Any("err", err))
	}
}

// UpdateVoter notes where a voter listens. Leader only.
func (q *Quorum) UpdateVoter(ctx context.Context, key VoterKey, address string) error {
	done, err := q.changing()
	if err != nil {
		return err
	}
	defer done()
	s, ok := q.server(key.ID)
	known := q.known(s)
	if !ok || s.Suffrage != hraft.Voter || !known.IsZero() && known != key.DirectoryID {
		return errcode.New(errcode.KindVoterNotFound, "%s is not one of the voters %s", key, q.voterKeys())
	}
	if known == key.DirectoryID && q.Address(key.ID) == address {
		return nil
	}
	return q.setMember(ctx, s.ID, raftnet.ServerAddress(key.DirectoryID, address), hraft.Voter)
}

// HandOver hands leadership to the voter that is named. It fails with INVALID_REQUEST for a node that does not vote. Leader only.
func (q *Quorum) HandOver(ctx context.Context, to protocol.NodeID) error {
	if !q.IsLeader() {
		leader, _, _ := q.Leader()
		return &NotLeaderError{Leader: leader}
	}
	if voters := q.Status().Voters; !slices.Contains(voters, to) {
		return errcode.New(errcode.KindInvalidRequest, "Node %d is not one of the voters %v of the metadata quorum", to, voters)
	}
	if to == q.o.NodeID {
		return nil
	}
	if err := q.Transfer(ctx, to); err != nil {
		return &errcode.Error{Kind: errcode.KindRequestTimedOut, Msg: fmt.Sprintf("Node %d did not take leadership over: %v", to, err), Err: err}
	}
	return nil
}
