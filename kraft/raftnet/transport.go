package raftnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/protocol"
)

const (
	dialTimeout  = 500 * time.Millisecond
	callTimeout  = 5 * time.Second // of a call that the other side answers after writing to its disk; one with a snapshot has longer
	quickTimeout = time.Second     // of heartbeats and votes: a connection that has gone silent is soon given up for another one
	pooled       = 3               // connections kept for each peer
)

// ServerAddress is what raft's configuration holds of a server: its directory id, which may be zero, and where it listens.
func ServerAddress(directory protocol.TopicID, address string) hraft.ServerAddress {
	id := ""
	if !directory.IsZero() {
		id = directory.String()
	}
	return hraft.ServerAddress(id + "@" + address)
}

// SplitServerAddress is the reverse of ServerAddress. An address without directory is one that was written by a node that
// stood alone.
func SplitServerAddress(a hraft.ServerAddress) (directory protocol.TopicID, address string) {
	id, address, found := strings.Cut(string(a), "@")
	if !found {
		return protocol.TopicID{}, ""
	}
	directory, err := protocol.ParseTopicID(id)
	if err != nil {
		directory = protocol.TopicID{}
	}
	return directory, address
}

// Transport carries raft's calls. A peer is dialled by its node id and the address that raft's configuration has of it, and
// who answers there must be that node, with that directory.
//
// In raft's headers a node is named by its id, never by an address: raft compares and stores what stands there.
type Transport struct {
	*hraft.NetworkTransport                         // replication, and what others call
	quick                   *hraft.NetworkTransport // heartbeats and elections
	net                     *Net
}

// Transport returns the transport for raft. It is closed before n.
func (n *Net) Transport(logger hclog.Logger) *Transport {
	open := func(timeout time.Duration, accepted <-chan net.Conn) *hraft.NetworkTransport {
		return hraft.NewNetworkTransportWithConfig(&hraft.NetworkTransportConfig{
			Logger: logger, Stream: &layer{net: n, accepted: accepted, closed: make(chan struct{})}, MaxPool: pooled, Timeout: timeout, MsgpackUseNewTimeFormat: true,
		})
	}
	return &Transport{net: n, NetworkTransport: open(callTimeout, n.accepted), quick: open(quickTimeout, nil)}
}

// IsHeartbeat tells raft's heartbeats from its replication, as raft's own transport does.
func IsHeartbeat(a *hraft.AppendEntriesRequest) bool {
	return a.PrevLogEntry == 0 && a.PrevLogTerm == 0 && len(a.Entries) == 0 && a.LeaderCommitIndex == 0
}

// target names a peer for the pool of connections and for Dial.
func target(id hraft.ServerID, address hraft.ServerAddress) hraft.ServerAddress {
	return hraft.ServerAddress(string(id) + "/" + string(address))
}

// AppendEntries implements hraft.Transport.
func (t *Transport) AppendEntries(id hraft.ServerID, address hraft.ServerAddress, args *hraft.AppendEntriesRequest, resp *hraft.AppendEntriesResponse) error {
	if IsHeartbeat(args) {
		return t.quick.AppendEntries(id, target(id, address), args, resp)
	}
	return t.NetworkTransport.AppendEntries(id, target(id, address), args, resp)
}

// AppendEntriesPipeline implements hraft.Transport.
func (t *Transport) AppendEntriesPipeline(id hraft.ServerID, address hraft.ServerAddress) (hraft.AppendPipeline, error) {
	return t.NetworkTransport.AppendEntriesPipeline(id, target(id, address))
}

// InstallSnapshot implements hraft.Transport.
func (t *Transport) InstallSnapshot(id hraft.ServerID, address hraft.ServerAddress, args *hraft.InstallSnapshotRequest, resp *hraft.InstallSnapshotResponse, data io.Reader) error {
	return t.NetworkTransport.InstallSnapshot(id, target(id, address), args, resp, data)
}

// RequestVote implements hraft.Transport.
func (t *Transport) RequestVote(id hraft.ServerID, address hraft.ServerAddress, args *hraft.RequestVoteRequest, resp *hraft.RequestVoteResponse) error {
	return t.quick.RequestVote(id, target(id, address), args, resp)
}

// RequestPreVote implements hraft.WithPreVote.
func (t *Transport) RequestPreVote(id hraft.ServerID, address hraft.ServerAddress, args *hraft.RequestPreVoteRequest, resp *hraft.RequestPreVoteResponse) error {
	return t.quick.RequestPreVote(id, target(id, address), args, resp)
}

// TimeoutNow implements hraft.Transport.
func (t *Transport) TimeoutNow(id hraft.ServerID, address hraft.ServerAddress, args *hraft.TimeoutNowRequest, resp *hraft.TimeoutNowResponse) error {
	return t.quick.TimeoutNow(id, target(id, address), args, resp)
}

// EncodePeer implements hraft.Transport.
func (t *Transport) EncodePeer(id hraft.ServerID, _ hraft.ServerAddress) []byte { return []byte(id) }

// CloseStreams gives up every connection to others.
func (t *Transport) CloseStreams() {
	t.NetworkTransport.CloseStreams()
	t.quick.CloseStreams()
}

// Close implements hraft.WithClose. Connections go last: one that is in use still is closed, not kept, when it comes back.
func (t *Transport) Close() error {
	err := errors.Join(t.NetworkTransport.Close(), t.quick.Close())
	t.CloseStreams()
	return err
}

// layer is raft's view of the streams (hraft.StreamLayer).
type layer struct {
	net      *Net
	accepted <-chan net.Conn // nil: it only dials
	closed   chan struct{}
}

// Accept implements net.Listener.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-l.net.ctx().Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It is called once.
func (l *layer) Close() error {
	close(l.closed)
	return nil
}

// Addr implements net.Listener: raft takes it for the node's own address.
func (l *layer) Addr() net.Addr {
	self := l.net.Self()
	return textAddr(ServerAddress(self.DirectoryID, self.Address))
}

// Dial implements hraft.StreamLayer.
func (l *layer) Dial(address hraft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	id, rest, _ := strings.Cut(string(address), "/")
	node, err := strconv.ParseInt(id, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("%q is no address of a node", address)
	}
	directory, at := SplitServerAddress(hraft.ServerAddress(rest))
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialTimeout))
	defer cancel()
	nc, reply, err := l.net.Dial(ctx, KindRaft, at, protocol.NodeID(node))
	if err != nil {
		return nil, err
	}
	if err := l.net.verify(reply.Identity, directory, at); err != nil {
		nc.Close()
		return nil, err
	}
	return nc, nil
}

// verify refuses a node that answers with another directory than the quorum knows.
func (n *Net) verify(peer Identity, directory protocol.TopicID, at string) error {
	n.mu.Lock()
	handler := n.handler
	n.mu.Unlock()
	if (directory.IsZero() || peer.DirectoryID == directory) && (handler == nil || handler.CheckRaft(peer) == nil) {
		return nil
	}
	return &WrongNodeError{
		Address: at, Want: fmt.Sprintf("node %d with the directory that the quorum knows", peer.NodeID), Got: fmt.Sprintf("that node with directory %s", peer.DirectoryID),
	}
}

// textAddr is a net.Addr of a text.
type textAddr string

// Network implements net.Addr.
func (textAddr) Network() string { return "tcp" }

// String implements net.Addr.
func (a textAddr) String() string { return string(a) }
