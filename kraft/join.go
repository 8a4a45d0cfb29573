package kraft

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

const (
	tendEvery    = 100 * time.Millisecond // how often membership is looked at, beside changes of leadership
	joinTimeout  = 2 * time.Second        // for one node to answer
	joinPause    = time.Second            // between rounds of asking, while nobody takes this node in; it doubles while nobody answers
	joinPauseMax = 8 * time.Second
	silentAfter  = 2 * time.Second  // a member that hears of no leader for so long asks again
	complainFor  = 10 * time.Second // between log lines of what this node waits for
	forgetAfter  = time.Minute      // a leader drops an observer that is no registered broker and has not answered for so long
	changeWithin = 5 * time.Second  // for a change of raft's configuration to commit
	membersMost  = 1000             // in a quorum, observers included: a stranger may ask to be one as often as it likes
)

// announcer tells the network which cluster this node belongs to (image.Publisher).
type announcer struct{ q *Quorum }

// Publish implements image.Publisher.
func (a announcer) Publish(d *image.Delta) {
	id := d.Next.ClusterID
	if id == "" || d.Prev != nil && d.Prev.ClusterID == id {
		return
	}
	if a.q.o.ClusterID != "" && a.q.o.ClusterID != id {
		a.q.logger.Error("this node's directories belong to another cluster than the metadata that it was sent",
			slog.String("event", "quorum.cluster_id"), slog.String("cluster_id", id), slog.String("directories", a.q.o.ClusterID))
		return
	}
	a.q.o.Network.SetBegun()
	a.q.o.Network.SetClusterID(id)
}

// tend keeps membership in order. A leader looks after what raft's configuration holds of itself and drops observers; a node that is not a
// member, or whose address has changed, asks a leader to note it.
func (q *Quorum) tend(ctx context.Context) {
	q.hurry(ctx)
	changes, cancel := q.LeadershipChanges()
	defer cancel()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	j := joiner{q: q, began: time.Now()}
	var leads time.Time // since when; zero: it does not
	var known uint64    // the configuration that was looked at last
	for {
		select {
		case <-changes:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if index := q.raft.GetConfiguration().Index(); index != known {
			known = index
			q.o.Network.Recheck() // who was removed, or replaced by another disk, may not go on
		}
		if !q.IsLeader() {
			leads = time.Time{}
			j.ask(ctx)
			continue
		}
		if leads.IsZero() {
			leads = time.Now()
		}
		q.noteSelf(ctx)
		q.forgetMembers(ctx, leads)
	}
}

// forgetMembers drops observers that are not there any more: a broker that was unregistered, a controller that has lost its vote.
// Should they come back, they ask to be added.
func (q *Quorum) forgetMembers(ctx context.Context, leads time.Time) {
	if time.Since(leads) < forgetAfter {
		return
	}
	img := q.Image()
	for _, s := range q.servers() {
		id := nodeID(s.ID)
		if s.Suffrage == hraft.Voter || img.Brokers[id] != nil || time.Since(q.peers.Of(id).Contact) < forgetAfter {
			continue
		}
		q.logger.Info("observer forgotten: it is no registered broker and does not answer", slog.String("event", "quorum.forgotten"), slog.Int("peer", int(id)))
		if err := q.raftCall(ctx, func() error { return q.raft.RemoveServer(s.ID, 0, changeWithin).Error() }); err != nil {
			return
		}
	}
}

// noteSelf corrects what raft's configuration holds of a leader itself. Others say where they listen when they join: the address
// of a member that follows is left alone, since raft's replication reads it without a lock.
func (q *Quorum) noteSelf(ctx context.Context) {
	s, ok := q.server(q.o.NodeID)
	if !ok || s.Address == q.selfAddress() || q.o.Private {
		return
	}
	if err := q.setMember(ctx, s.ID, q.selfAddress(), s.Suffrage); err != nil {
		q.logger.Debug("own address not noted", slog.Any("err", err)) // not leading any more, or without a majority: later
	}
}

// known is the directory that the quorum knows a member with: by raft's configuration or, where voters were listed without, as it
// registered when it first led or followed. Zero: none yet.
func (q *Quorum) known(s hraft.Server) protocol.TopicID {
	if directory, _ := raftnet.SplitServerAddress(s.Address); !directory.IsZero() {
		return directory
	}
	if c := q.Image().Controllers[nodeID(s.ID)]; c != nil {
		return c.DirectoryID
	}
	return protocol.TopicID{}
}

// Directory is the directory that a node's metadata log is in: the one that the quorum knows it with, else the one with which it
// has introduced itself; zero when neither is known.
func (q *Quorum) Directory(id protocol.NodeID) protocol.TopicID {
	if s, ok := q.server(id); ok {
		if directory := q.known(s); !directory.IsZero() {
			return directory
		}
	}
	if q.o.Network == nil {
		return protocol.TopicID{}
	}
	if id == q.o.NodeID {
		return q.o.Network.Self().DirectoryID
	}
	peer, _ := q.o.Network.Peer(id)
	return peer.DirectoryID
}

// setMember changes raft's configuration and waits until that is committed.
func (q *Quorum) setMember(ctx context.Context, id hraft.ServerID, address hraft.ServerAddress, suffrage hraft.ServerSuffrage) error {
	ctx, cancel := context.WithTimeout(ctx, changeWithin)
	defer cancel()
	return q.raftCall(ctx, func() error {
		if suffrage == hraft.Voter {
			return q.raft.AddVoter(id, address, 0, changeWithin).Error()
		}
		return q.raft.AddNonvoter(id, address, 0, changeWithin).Error()
	})
}

// server returns what raft's configuration holds of a node.
func (q *Quorum) server(id protocol.NodeID) (hraft.Server, bool) {
	for _, s := range q.servers() {
		if s.ID == raftID(id) {
			return s, true
		}
	}
	return hraft.Server{}, false
}

// CheckRaft implements raftnet.Handler: a node that comes with another directory than the quorum knows has lost what it
// promised, and may neither vote nor be counted.
func (q *Quorum) CheckRaft(peer raftnet.Identity) *raftnet.Reply {
	if q.o.Private {
		return &raftnet.Reply{Status: raftnet.StatusRefused, Leader: noNode, Reason: errAlone.Error()}
	}
	s, ok := q.server(peer.NodeID)
	if !ok {
		return nil // raft knows what to make of a stranger, and this node may be the one that lags
	}
	if known := q.known(s); !known.IsZero() && known != peer.DirectoryID {
		return otherDirectory(peer, known)
	}
	return nil
}

func otherDirectory(peer raftnet.Identity, known protocol.TopicID) *raftnet.Reply {
	return &raftnet.Reply{Status: raftnet.StatusDirectory, Leader: noNode, Reason: fmt.Sprintf(
		"the quorum knows node %d with directory %s, it comes with %s: if its disk was replaced, remove it from the quorum and add it again",
		peer.NodeID, known, peer.DirectoryID)}
}

// Join implements raftnet.Handler.
func (q *Quorum) Join(ctx context.Context, peer raftnet.Identity) raftnet.Reply {
	refuse := func(reason string) raftnet.Reply {
		return raftnet.Reply{Status: raftnet.StatusRefused, Leader: noNode, Reason: reason}
	}
	if q.o.Private {
		return refuse(errAlone.Error())
	}
	if !q.IsLeader() {
		return q.notLeaderReply()
	}
	if peer.NodeID < 0 || peer.DirectoryID.IsZero() || peer.Address == "" {
		return refuse("a member needs a node id, a directory id and an address")
	}
	want, suffrage := raftnet.ServerAddress(peer.DirectoryID, peer.Address), hraft.Nonvoter
	if s, ok := q.server(peer.NodeID); ok {
		known := q.known(s)
		if s.Suffrage == hraft.Voter && !known.IsZero() && known != peer.DirectoryID {
			return *otherDirectory(peer, known)
		}
		if s.Address == want || known == peer.DirectoryID && q.Address(peer.NodeID) == peer.Address {
			return raftnet.Reply{Leader: q.o.NodeID}
		}
		if known != peer.DirectoryID && !known.IsZero() && time.Since(q.peers.Of(peer.NodeID).Contact) < silentAfter {
			return refuse(fmt.Sprintf("node %d is there already, with directory %s: give each node a node.id of its own", peer.NodeID, known))
		}
		suffrage = s.Suffrage
	} else if len(q.servers()) >= membersMost {
		return refuse(fmt.Sprintf("the quorum has %d members, the most allowed", membersMost))
	}
	if err := q.setMember(ctx, raftID(peer.NodeID), want, suffrage); err != nil {
		if errors.As(err, new(*NotLeaderError)) {
			return q.notLeaderReply()
		}
		return raftnet.Reply{Status: raftnet.StatusNotReady, Leader: noNode, Reason: err.Error()}
	}
	q.logger.Info("node joined the quorum", slog.String("event", "quorum.joined"), slog.Int("peer", int(peer.NodeID)),
		slog.String("address", peer.Address), slog.String("suffrage", suffrage.String()))
	return raftnet.Reply{Leader: q.o.NodeID}
}

// notLeaderReply names the leader, where this node knows it.
func (q *Quorum) notLeaderReply() raftnet.Reply {
	reply := raftnet.Reply{Status: raftnet.StatusNotLeader, Leader: noNode}
	if id, _, ok := q.Leader(); ok && id != q.o.NodeID {
		reply.Leader = id
		reply.LeaderAddress = q.Address(id)
	}
	return reply
}

// joiner asks to be noted as a member.
type joiner struct {
	q        *Quorum
	began    time.Time
	next     time.Time     // of the next round
	pause    time.Duration // after the next round that nobody answers; 0: joinPause
	complain time.Time     // of the next log line
}

// ask asks for one round if this node needs it: all controllers at once, and whoever they name as their leader. The first that takes
// this node in ends the round; nobody waits for the slow ones. While no controller answers at all, the rounds come after 1, 2,
// 4 and then 8 seconds.
func (j *joiner) ask(ctx context.Context) {
	q := j.q
	now := time.Now()
	if q.o.Private || now.Before(j.next) {
		return
	}
	if !j.needed(now) {
		j.pause = 0
		return
	}
	if j.pause == 0 {
		j.pause = joinPause
		q.logger.Info("asking the controllers for their leader", slog.String("event", "controller.discover"), slog.Int("controllers", len(q.seeds())))
	}
	joined, answered, reasons := j.round(ctx)
	switch {
	case joined:
		j.next, j.pause = now.Add(joinPause), 0
		return
	case answered: // there is a quorum, which is about to have a leader
		j.pause = joinPause
	}
	j.next = time.Now().Add(j.pause)
	if !answered {
		j.pause = min(2*j.pause, joinPauseMax)
	}
	if now = time.Now(); ctx.Err() == nil && now.After(j.complain) && now.Sub(j.began) > joinPause {
		j.complain = now.Add(complainFor)
		q.logger.Warn("waiting for a leader of the metadata quorum", slog.String("event", "quorum.waiting"), slog.Any("err", errors.Join(reasons...)))
	}
}

// round asks every controller once.
func (j *joiner) round(ctx context.Context) (joined, answered bool, reasons []error) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // before it waits
	results := make(chan error)
	asked := make(map[string]bool)
	open := 0
	start := func(address string) {
		if address == "" || asked[address] {
			return
		}
		asked[address] = true
		open++
		asking.Go(func() {
			err := j.askOne(ctx, address)
			select {
			case results <- err:
			case <-ctx.Done():
			}
		})
	}
	for _, address := range j.q.seeds() {
		start(address)
	}
	for ; open > 0; open-- {
		var err error
		select {
		case err = <-results:
		case <-ctx.Done():
			return false, answered, reasons
		}
		if err == nil {
			return true, true, nil
		}
		reasons = append(reasons, err)
		if refused, ok := errors.AsType[*raftnet.RefusedError](err); ok {
			answered = true
			start(refused.Reply.LeaderAddress)
		}
	}
	return false, answered, reasons
}

// needed reports whether a leader has to be told of this node: it is no member, it listens elsewhere than the quorum knows,
// or nobody has spoken to it for a while.
func (j *joiner) needed(now time.Time) bool {
	q := j.q
	s, ok := q.server(q.o.NodeID)
	if !ok {
		return true
	}
	own := q.selfAddress()
	directory, address := raftnet.SplitServerAddress(s.Address)
	if s.Address != own && (!directory.IsZero() || address != q.o.Network.Self().Address) {
		return true
	}
	contact := q.raft.LastContact()
	if contact.Before(j.began) {
		contact = j.began
	}
	_, _, led := q.Leader()
	return !led && now.Sub(contact) > silentAfter
}

func (j *joiner) askOne(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	reply, err := j.q.o.Network.Ask(ctx, raftnet.KindJoin, address, noNode)
	if err != nil {
		return err
	}
	j.q.logger.Info("taken into the quorum", slog.String("event", "quorum.join"), slog.Int("leader", int(reply.NodeID)), slog.String("address", address))
	return nil
}
