package nodelink_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/protocol"
)

// node is another node: a listener that answers heartbeats with the epoch of the request as the error code.
type node struct {
	server *listener.Server
	serve  func(ctx context.Context, r *listener.Request) listener.Response

	mu    sync.Mutex // guards the fields below
	down  bool
	dials []time.Duration // since start
	addrs []string
	start time.Time
	conns []net.Conn
}

func newNode() *node {
	n := &node{start: time.Now()}
	n.server = listener.New(listener.Options{
		Name: "CONTROLLER", Scope: protocol.ScopeController, Handler: n, Logger: slog.New(slog.DiscardHandler),
	})
	return n
}

func (n *node) Serve(ctx context.Context, r *listener.Request) listener.Response {
	switch q := r.Body.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := kmsg.NewPtrApiVersionsResponse()
		for _, a := range protocol.APIs() {
			if a.Key != 57 { // served, but not by this node
				resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: a.Key, MinVersion: a.MinVersion, MaxVersion: min(a.MaxVersion, 1)})
			}
		}
		return listener.Reply{Message: resp}
	case *kmsg.BrokerHeartbeatRequest:
		if n.serve != nil {
			return n.serve(ctx, r)
		}
		resp := kmsg.NewPtrBrokerHeartbeatResponse()
		resp.ErrorCode = int16(q.BrokerEpoch)
		return listener.Reply{Message: resp}
	}
	return listener.Close{}
}

func (n *node) dial(_ context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dials, n.addrs = append(n.dials, time.Since(n.start)), append(n.addrs, addr)
	if n.down {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	n.conns = append(n.conns, ours)
	n.server.ServeConn(theirs)
	return ours, nil
}

func (n *node) setDown(down bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = down
}

func (n *node) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

func (n *node) wantDials(t *testing.T, want ...time.Duration) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := cmp.Diff(want, n.dials); d != "" {
		t.Errorf("dials (-want +got):\n%s", d)
	}
}

func newLink(n *node, addr func() (string, error)) *nodelink.Link {
	if addr == nil {
		addr = func() (string, error) { return "node:1", nil }
	}
	return nodelink.New(nodelink.Options{Dial: n.dial, Address: addr, ClientID: "broker-1", Logger: slog.New(slog.DiscardHandler)})
}

// inBubble runs a test with a node and a link to it.
func inBubble(t *testing.T, f func(t *testing.T, n *node, l *nodelink.Link)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		l := newLink(n, nil)
		f(t, n, l)
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		n.server.Close()
	})
}

func heartbeat(ctx context.Context, l *nodelink.Link, epoch int64) (int16, error) {
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.BrokerEpoch = epoch
	resp, err := l.Request(ctx, req)
	if err != nil {
		return 0, err
	}
	hb, ok := resp.(*kmsg.BrokerHeartbeatResponse)
	if !ok {
		return 0, errors.New("another response")
	}
	if hb.Version != 1 {
		return 0, errors.New("another version")
	}
	return hb.ErrorCode, nil
}

func wantBeat(t *testing.T, l *nodelink.Link, epoch int64) {
	t.Helper()
	if got, err := heartbeat(t.Context(), l, epoch); err != nil || int64(got) != epoch {
		t.Errorf("got %d and %v, want %d", got, err, epoch)
	}
}

func TestLink_Requests(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, l *nodelink.Link) {
		wantBeat(t, l, 7)
		var wg sync.WaitGroup
		for i := range int64(20) {
			wg.Go(func() { wantBeat(t, l, 100+i) })
		}
		wg.Wait()
		n.wantDials(t, 0)
		if _, err := l.Request(t.Context(), kmsg.NewPtrUpdateFeaturesRequest()); err == nil || !strings.Contains(err.Error(), "does not serve") {
			t.Errorf("got %v for a request the node does not serve", err)
		}
	})
}

func TestLink_Reconnects(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, l *nodelink.Link) {
		wantBeat(t, l, 1)
		time.Sleep(time.Second)
		n.cut()
		synctest.Wait()
		wantBeat(t, l, 2) // at once, as the connection had worked
		n.setDown(true)
		n.cut()
		synctest.Wait()
		for range 4 { // with growing pauses from then on
			if _, err := heartbeat(t.Context(), l, 3); err == nil {
				t.Error("got an answer from a node that is down")
			}
		}
		n.setDown(false)
		wantBeat(t, l, 4)
		const ms = time.Millisecond
		n.wantDials(t, 0, 1000*ms, 1000*ms, 1010*ms, 1030*ms, 1070*ms, 1150*ms)
	})
}

func TestLink_GivesUpAtTheDeadline(t *testing.T) {
	inBubble(t, func(t *testing.T, n *node, l *nodelink.Link) {
		wantBeat(t, l, 1)
		block := make(chan struct{})
		n.serve = func(context.Context, *listener.Request) listener.Response {
			<-block
			return listener.Close{}
		}
		start := time.Now()
		_, err := heartbeat(t.Context(), l, 2)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != nodelink.DefaultRequestTimeout {
			t.Errorf("got %v after %v, want the deadline after %v", err, time.Since(start), nodelink.DefaultRequestTimeout)
		}
		ctx, cancel := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { _, err := heartbeat(ctx, l, 3); errs <- err }()
		synctest.Wait()
		cancel()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want that it was cancelled", err)
		}
		go func() { _, err := heartbeat(t.Context(), l, 4); errs <- err }()
		synctest.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := <-errs; !errors.Is(err, nodelink.ErrClosed) {
			t.Errorf("got %v, want %v", err, nodelink.ErrClosed)
		}
		if _, err := heartbeat(t.Context(), l, 5); !errors.Is(err, nodelink.ErrClosed) {
			t.Errorf("got %v, want %v", err, nodelink.ErrClosed)
		}
		close(block)
	})
}

func TestLink_FollowsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		defer n.server.Close()
		addr, unknown := "node:1", errors.New("no controller")
		var addrErr error
		l := newLink(n, func() (string, error) { return addr, addrErr })
		defer l.Close()
		wantBeat(t, l, 1)
		addr = "node:2"
		wantBeat(t, l, 2)
		wantBeat(t, l, 3)
		if d := cmp.Diff([]string{"node:1", "node:2"}, n.addrs); d != "" {
			t.Errorf("addresses (-want +got):\n%s", d)
		}
		addrErr = unknown
		if _, err := heartbeat(t.Context(), l, 4); !errors.Is(err, unknown) {
			t.Errorf("got %v, want %v", err, unknown)
		}
	})
}

// What answers something else than Kafka is left at once.
func TestLink_RefusesNonsense(t *testing.T) {
	for _, answer := range [][]byte{
		{0, 0, 0, 3, 0, 0, 0},
		{0xff, 0xff, 0xff, 0xff},
		{0, 0, 0, 6, 0, 0, 0, 99, 0, 0},
		{0, 0, 0, 5, 0, 0, 0, 0, 0},
		{0, 0, 0, 10, 0, 0, 0, 0, 0, 35, 0, 0, 0, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			l := nodelink.New(nodelink.Options{
				Dial: func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						theirs.Read(make([]byte, 100))
						theirs.Write(answer)
						theirs.Read(make([]byte, 100))
						theirs.Close()
					}()
					return ours, nil
				},
				Address: func() (string, error) { return "node:1", nil },
				Logger:  slog.New(slog.DiscardHandler),
			})
			defer l.Close()
			start := time.Now()
			if _, err := heartbeat(t.Context(), l, 1); err == nil || time.Since(start) > time.Second {
				t.Errorf("answer %x: got %v after %v, want an error at once", answer, err, time.Since(start))
			}
		})
	}
}
