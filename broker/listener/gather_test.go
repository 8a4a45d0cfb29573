package listener_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/listener"
)

// gatherer notes which requests were served together. A Metadata waits for go, so that what is sent meanwhile is at hand.
type gatherer struct {
	handlerFunc
	entered, leave chan struct{}

	mu     sync.Mutex // guards the field below
	served [][]int32
}

func newGatherer() *gatherer {
	g := &gatherer{entered: make(chan struct{}), leave: make(chan struct{})}
	g.handlerFunc = func(ctx context.Context, r *listener.Request) listener.Response {
		if r.Header.Key == 3 {
			g.entered <- struct{}{}
			<-g.leave
		}
		g.note(r)
		return echo(ctx, r)
	}
	return g
}

func (g *gatherer) note(rs ...*listener.Request) {
	var ids []int32
	for _, r := range rs {
		ids = append(ids, r.Header.CorrelationID)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.served = append(g.served, ids)
}

func (g *gatherer) ServeAll(ctx context.Context, rs []*listener.Request, out []listener.Response) {
	g.note(rs...)
	for i, r := range rs {
		out[i] = echo(ctx, r)
	}
}

func (g *gatherer) want(t *testing.T, want ...[]int32) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := cmp.Diff(want, g.served); d != "" {
		t.Errorf("served together: %s", d)
	}
}

// hold has the connection serve a Metadata while send is sent.
func (g *gatherer) hold(c *client, send ...[]byte) {
	c.send(metadata(1))
	<-g.entered
	c.send(slices.Concat(send...))
	g.leave <- struct{}{}
	c.wantCorr(1)
}

func TestServer_ServesWhatIsAtHandTogether(t *testing.T) {
	g := newGatherer()
	_, addr := startTCP(t, options(g))
	c := dial(t, addr)
	g.hold(c, produce(2, 100), produce(3, 5000), produce(4, 100), ping(5), produce(6, 100), produce(7, 20_000)[:3000])
	c.wantCorr(2, 3, 4, 5, 6) // what follows is not at hand as a whole: nothing waits for it
	c.send(produce(7, 20_000)[3000:])
	c.wantCorr(7)
	c.send(produce(8, 100)) // alone
	c.wantCorr(8)
	g.want(t, []int32{1}, []int32{2, 3, 4}, []int32{5}, []int32{6}, []int32{7}, []int32{8})
}

func TestServer_BoundsWhatIsServedTogether(t *testing.T) {
	g := newGatherer()
	_, addr := startTCP(t, options(g))
	c := dial(t, addr)
	var all []byte
	var ids []int32
	for id := range int32(40) {
		all, ids = append(all, produce(2+id, 10)...), append(ids, 2+id)
	}
	g.hold(c, all)
	c.wantCorr(ids...)
	g.want(t, []int32{1}, ids[:16], ids[16:32], ids[32:])
}

func TestServer_ServesWhatWasSentBeforeTheEnd(t *testing.T) {
	for name, end := range map[string][]byte{"end of the stream": nil, "malformed frame": {0xff, 0xff, 0xff, 0xff}} {
		t.Run(name, func(t *testing.T) {
			g := newGatherer()
			s, addr := startTCP(t, options(g))
			c := dial(t, addr)
			c.send(metadata(1))
			<-g.entered
			c.send(slices.Concat(produce(2, 100), produce(3, 100), end))
			if end == nil {
				if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			g.leave <- struct{}{}
			eventually(t, "connection gone", func() bool { return s.Stats().Connections == 0 })
			g.want(t, []int32{1}, []int32{2, 3})
		})
	}
}

// What is held back must not wait for memory that it holds itself.
func TestServer_ServesBeforeItWaitsForMemory(t *testing.T) {
	g := newGatherer()
	o := options(g)
	o.Gate = listener.NewGate(1 << 20)
	_, addr := startTCP(t, o)
	c := dial(t, addr)
	c.send(produce(0, 1000))
	c.wantCorr(0)
	for i := range int32(20) {
		c.send(slices.Concat(produce(1, 400_000), produce(2, 400_000), produce(3, 400_000)))
		c.wantCorr(1, 2, 3)
		c.send(ping(i))
		c.wantCorr(i)
	}
}
