package raftnet_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a Net whose streams arrive over in-memory connections.
type host struct {
	*raftnet.Net
	refuse  *raftnet.Reply
	ended   chan bool
	streams chan raftnet.Identity
	wg      sync.WaitGroup
}

func newHost(t *testing.T, id protocol.NodeID, cluster string) *host {
	t.Helper()
	h := &host{ended: make(chan bool, 1), streams: make(chan raftnet.Identity, 1)}
	h.Net = raftnet.New(raftnet.Options{
		Self:   raftnet.Identity{NodeID: id, DirectoryID: protocol.TopicID{byte(id)}, Incarnation: protocol.TopicID{byte(id), 1}, ClusterID: cluster, Address: "h:1"},
		Dial:   func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nowhere") },
		Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		h.wg.Wait()
	})
	return h
}

func (h *host) CheckRaft(raftnet.Identity) *raftnet.Reply { return h.refuse }

func (h *host) Join(_ context.Context, peer raftnet.Identity) raftnet.Reply {
	return raftnet.Reply{Status: raftnet.StatusNotLeader, Leader: 3, LeaderAddress: "leader:1", Reason: peer.Address}
}

func (h *host) StreamEnded(peer raftnet.Identity) { h.streams <- peer }

func (h *host) session(raftnet.Identity) (func(bool), *raftnet.Reply) {
	return func(announced bool) { h.ended <- announced }, nil
}

// dialling is a Net that reaches a host.
func dialling(t *testing.T, to *host, id protocol.NodeID, cluster string) *raftnet.Net {
	t.Helper()
	n := raftnet.New(raftnet.Options{
		Self: raftnet.Identity{NodeID: id, DirectoryID: protocol.TopicID{byte(id)}, Incarnation: protocol.TopicID{byte(id), 2}, ClusterID: cluster, Address: "h:2"},
		Dial: func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			to.wg.Go(func() { to.Serve(context.Background(), server) })
			return client, nil
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func status(t *testing.T, err error) raftnet.Status {
	t.Helper()
	var refused *raftnet.RefusedError
	if err == nil {
		return raftnet.StatusOK
	}
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
	return refused.Reply.Status
}

func TestDial_Statuses(t *testing.T) {
	ready := newHost(t, 1, "c")
	ready.Attach(ready)
	refusing := newHost(t, 1, "c")
	refusing.Attach(refusing)
	refusing.refuse = &raftnet.Reply{Status: raftnet.StatusDirectory}
	for name, tt := range map[string]struct {
		to      *host
		id      protocol.NodeID
		cluster string
		kind    raftnet.Kind
		want    raftnet.Status
	}{
		"probe":                          {newHost(t, 1, "c"), 2, "c", raftnet.KindProbe, raftnet.StatusOK},
		"probe of another cluster":       {ready, 2, "d", raftnet.KindProbe, raftnet.StatusCluster},
		"raft before it is ready":        {newHost(t, 1, "c"), 2, "c", raftnet.KindRaft, raftnet.StatusNotReady},
		"raft of another cluster":        {ready, 2, "d", raftnet.KindRaft, raftnet.StatusCluster},
		"raft of a cluster not known":    {ready, 2, "", raftnet.KindRaft, raftnet.StatusOK},
		"raft of another directory":      {refusing, 2, "c", raftnet.KindRaft, raftnet.StatusDirectory},
		"join of another directory":      {refusing, 2, "c", raftnet.KindJoin, raftnet.StatusNotLeader},
		"the same node id":               {ready, 1, "c", raftnet.KindRaft, raftnet.StatusRefused},
		"probe of the same node id":      {ready, 1, "c", raftnet.KindProbe, raftnet.StatusOK},
		"session before it is ready":     {ready, 2, "c", raftnet.KindSession, raftnet.StatusNotReady},
		"a kind of a later version":      {ready, 2, "c", 99, raftnet.StatusVersion},
		"a later kind, not ready either": {newHost(t, 1, "c"), 2, "c", 99, raftnet.StatusVersion},
	} {
		t.Run(name, func(t *testing.T) {
			nc, reply, err := dialling(t, tt.to, tt.id, tt.cluster).Dial(t.Context(), tt.kind, "h:1", 1)
			if got := status(t, err); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
			if reply.NodeID != 1 || reply.DirectoryID != (protocol.TopicID{1}) {
				t.Errorf("reply %+v", reply)
			}
			if nc != nil {
				nc.Close()
			}
		})
	}
}

func TestDial_TellsWhoLeads(t *testing.T) {
	h := newHost(t, 1, "c")
	h.Attach(h)
	_, _, err := dialling(t, h, 2, "c").Dial(t.Context(), raftnet.KindJoin, "h:1", -1)
	var refused *raftnet.RefusedError
	if !errors.As(err, &refused) || refused.Reply.Leader != 3 || refused.Reply.LeaderAddress != "leader:1" || refused.Reply.Reason != "h:2" {
		t.Errorf("%v", err)
	}
}

func TestDial_AnotherNodeAnswers(t *testing.T) {
	h := newHost(t, 1, "c")
	var wrong *raftnet.WrongNodeError
	if _, _, err := dialling(t, h, 2, "c").Dial(t.Context(), raftnet.KindProbe, "h:1", 5); !errors.As(err, &wrong) {
		t.Errorf("%v", err)
	}
}

func TestSession_Goodbye(t *testing.T) {
	h := newHost(t, 1, "c")
	h.Attach(h)
	h.AttachSessions(h.session)
	for _, announced := range []bool{true, false} {
		cause := errors.New("cut off")
		if announced {
			cause = raftnet.ErrGoodbye
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		err := dialling(t, h, 2, "c").Session(ctx, "h:1", 1, func() { cancel(cause) })
		if !errors.Is(err, cause) {
			t.Errorf("session: %v", err)
		}
		select {
		case got := <-h.ended:
			if got != announced {
				t.Errorf("announced %v, want %v", got, announced)
			}
		case <-time.After(time.Minute):
			t.Fatal("the end was not noticed")
		}
	}
}

// TestServe_SilentPeer: whoever opens a stream and says nothing is waited for only so long, and not at all once the Net closes.
func TestServe_SilentPeer(t *testing.T) {
	h := newHost(t, 1, "c")
	client, server := net.Pipe()
	h.wg.Go(func() { h.Serve(context.Background(), server) })
	if _, err := client.Write([]byte{raftnet.Magic}); err != nil {
		t.Fatal(err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

// TestRecheck: the stream of a node that is refused by now ends, and that is reported.
func TestRecheck(t *testing.T) {
	h := newHost(t, 1, "c")
	h.Attach(h)
	transport := h.Transport(hclog.NewNullLogger())
	defer transport.Close()
	nc, _, err := dialling(t, h, 2, "c").Dial(t.Context(), raftnet.KindRaft, "h:1", 1)
	if err != nil {
		t.Fatal(err)
	}
	h.refuse = &raftnet.Reply{Status: raftnet.StatusDirectory}
	done := make(chan error, 1)
	go func() {
		_, err := nc.Read(make([]byte, 1))
		done <- err
	}()
	for ended := false; !ended; { // the stream may not have reached the transport yet
		h.Recheck()
		select {
		case err := <-done:
			if !errors.Is(err, io.EOF) {
				t.Errorf("%v", err)
			}
			ended = true
		case <-time.After(time.Millisecond):
		}
	}
	if peer := <-h.streams; peer.NodeID != 2 {
		t.Errorf("%+v", peer)
	}
	nc.Close()
}
