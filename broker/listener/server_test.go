package listener_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer_AnswersInOrder(t *testing.T) {
	_, addr := startTCP(t, options(handlerFunc(echo)))
	c := dial(t, addr)
	var all []byte
	for i := range int32(500) {
		all = append(all, ping(i)...)
	}
	c.send(all)
	for i := range int32(500) {
		c.wantCorr(i)
	}
	c.send(metadata(1000))
	c.wantCorr(1000)
	c.send(produce(1001, 3<<20))
	c.wantCorr(1001)
}

// What Apache Kafka 4.4 answers to ApiVersions 99, but for the correlation id.
func TestServer_AnswersUnknownAPIVersions(t *testing.T) {
	for _, scope := range []protocol.Scope{protocol.ScopeBroker, protocol.ScopeController} {
		o := options(handlerFunc(echo))
		o.Scope = scope
		_, addr := startTCP(t, o)
		c := dial(t, addr)
		for _, version := range []uint16{99, 6, 0xffff} {
			c.send([]byte{0, 0, 0, 12, 0, 18, byte(version >> 8), byte(version), 0, 0, 0, 7, 0, 1, 'x', 0})
			corr, body := c.recv()
			if got := hex.EncodeToString(body); corr != 7 || got != "002300000001001200000005" {
				t.Errorf("version %d: got %s for request %d, want 002300000001001200000005 for 7", version, got, corr)
			}
		}
		c.send(ping(8)) // the connection goes on
		c.wantCorr(8)
	}
}

func TestServer_ClosesWithoutAnswer(t *testing.T) {
	big := func(key, version int16, size uint32) []byte {
		return []byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size), 0, byte(key), 0, byte(version), 0, 0, 0, 1, 0, 0}
	}
	for _, tc := range []struct {
		name  string
		first []byte // answered
		bytes []byte
	}{
		{"negative size", nil, []byte{0xff, 0xff, 0xff, 0xff}},
		{"zero size", nil, []byte{0, 0, 0, 0}},
		{"size of half a header", nil, []byte{0, 0, 0, 7}},
		{"size above the limit", ping(1), []byte{0x06, 0x40, 0x00, 0x01}},
		{"TLS hello", nil, []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03}},
		{"HTTP", nil, []byte("GET / HTTP/1.1\r\n\r\n")},
		{"first frame above 64 KiB", nil, big(18, 0, 64<<10+1)},
		{"large frame of an unknown key", ping(1), big(99, 0, 80<<10)},
		{"large frame of an unknown version", ping(1), big(0, 99, 80<<10)},
		{"huge frame without bytes in it", ping(1), big(3, 9, 17<<20)},
		{"unknown key", nil, []byte{0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0}},
		{"version not served", nil, []byte{0, 0, 0, 10, 0, 3, 0, 99, 0, 0, 0, 1, 0, 0}},
		{"key of the controller", nil, frame(1, &kmsg.BrokerHeartbeatRequest{})},
		{"malformed body", nil, []byte{0, 0, 0, 11, 0, 3, 0, 5, 0, 0, 0, 1, 0, 0, 1}},
		{"malformed header", nil, []byte{0, 0, 0, 10, 0, 3, 0, 5, 0, 0, 0, 1, 0x7f, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, addr := startTCP(t, options(handlerFunc(echo)))
			c := dial(t, addr)
			if tc.first != nil {
				c.send(tc.first)
				c.wantCorr(1)
			}
			c.send(tc.bytes)
			c.wantClosed()
			eventually(t, "connection gone", func() bool { return s.Stats().Connections == 0 })
			if got := s.Stats(); got.ClosedBad != 1 {
				t.Errorf("got %d connections closed for bad requests, want 1", got.ClosedBad)
			}
		})
	}
}

// Producers that know their broker may begin with a Produce of any size.
func TestServer_TakesALargeProduceFirst(t *testing.T) {
	_, addr := startTCP(t, options(handlerFunc(echo)))
	c := dial(t, addr)
	c.send(produce(1, 2<<20))
	c.wantCorr(1)
}

func TestServer_OnlyProducePipelines(t *testing.T) {
	var mu sync.Mutex
	var seen []int32
	var waits []*listener.Pending
	pendingFor := func(r *listener.Request) *listener.Pending {
		p := listener.NewPending(r.Header.Key == 0)
		mu.Lock()
		defer mu.Unlock()
		seen, waits = append(seen, r.Header.CorrelationID), append(waits, p)
		return p
	}
	reply := func(i int, resp kmsg.Response) {
		mu.Lock()
		p := waits[i]
		mu.Unlock()
		p.Complete(listener.Reply{Message: resp})
	}
	_, addr := startTCP(t, options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
		if r.Header.Key == 18 {
			return echo(ctx, r)
		}
		return pendingFor(r)
	})))
	wantSeen := func(want ...int32) {
		t.Helper()
		eventually(t, fmt.Sprint("requests seen: ", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(seen) >= len(want)
		})
		mu.Lock()
		defer mu.Unlock()
		if d := cmp.Diff(want, seen); d != "" {
			t.Fatalf("requests seen (-want +got):\n%s", d)
		}
	}
	c := dial(t, addr)
	c.send(slices.Concat(produce(1, 10), produce(2, 100<<10), produce(3, 10), metadata(4), produce(5, 10), ping(6), ping(7)))
	wantSeen(1, 2, 3, 4)
	reply(2, kmsg.NewPtrProduceResponse())
	reply(1, kmsg.NewPtrProduceResponse())
	c.silent()
	reply(0, kmsg.NewPtrProduceResponse())
	c.wantCorr(1, 2, 3)
	c.silent()
	wantSeen(1, 2, 3, 4)
	reply(3, kmsg.NewPtrMetadataResponse())
	c.wantCorr(4)
	wantSeen(1, 2, 3, 4, 5)
	c.silent()
	reply(4, kmsg.NewPtrProduceResponse())
	c.wantCorr(5, 6, 7)
}

func TestServer_BoundsWhatIsOutstanding(t *testing.T) {
	for _, tc := range []struct {
		name          string
		records, sent int
		want          int32
	}{
		{"requests", 10, 70, 64},
		{"bytes", 3 << 20, 8, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var seen atomic.Int32
			waits := make(chan *listener.Pending, 100)
			_, addr := startTCP(t, options(handlerFunc(func(_ context.Context, r *listener.Request) listener.Response {
				seen.Add(1)
				r.Release()
				p := listener.NewPending(true)
				waits <- p
				return p
			})))
			c := dial(t, addr)
			go func() {
				for i := range tc.sent {
					c.nc.Write(produce(int32(i), tc.records))
				}
			}()
			eventually(t, "as many requests as may be outstanding", func() bool { return seen.Load() >= tc.want })
			c.silent()
			if got := seen.Load(); got != tc.want {
				t.Fatalf("got %d requests outstanding, want %d", got, tc.want)
			}
			for i := range tc.sent {
				(<-waits).Complete(listener.Reply{Message: kmsg.NewPtrProduceResponse()})
				c.wantCorr(int32(i))
			}
		})
	}
}

func TestServer_ResponseKinds(t *testing.T) {
	var deferred atomic.Int32
	_, addr := startTCP(t, options(handlerFunc(func(_ context.Context, r *listener.Request) listener.Response {
		reply := listener.Reply{Message: echoReply(r)}
		switch r.Header.CorrelationID {
		case 1: // kept before it is returned
			p := listener.NewPending(false)
			p.Complete(reply)
			p.Complete(listener.Close{})
			return p
		case 2:
			return listener.NoReply{}
		case 3:
			return listener.Deferred(func() listener.Response { deferred.Add(1); return reply })
		case 4:
			p := listener.NewPending(false)
			time.AfterFunc(time.Millisecond, func() {
				p.Complete(listener.Deferred(func() listener.Response { deferred.Add(1); return reply }))
			})
			return p
		case 6:
			return listener.Close{Err: errors.New("as you wish")}
		}
		return reply
	})))
	c := dial(t, addr)
	for i := range int32(8) {
		c.send(ping(i))
	}
	c.wantCorr(0, 1, 3, 4, 5)
	c.wantClosed()
	if got := deferred.Load(); got != 2 {
		t.Errorf("got %d deferred responses made, want 2", got)
	}
}

func TestServer_SendsRegions(t *testing.T) {
	fill := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i * 7 >> 3)
		}
		return b
	}
	for _, tc := range []struct {
		name  string
		sizes []int // of regions; negative: in a file
	}{
		{"none", nil},
		{"empty", []int{0, -0}},
		{"small", []int{10, -20, 30}},
		{"around the send buffer", []int{-256 << 10, -(256<<10 - 4 - 5), -1, -(512<<10 + 1)}},
		{"large in memory", []int{100 << 10, 3 << 20, 16<<10 - 1, 16 << 10}},
		{"mixed", []int{1 << 20, -300_000, 5, -7, 40_000, 0, -1 << 20, 70_000, -3}},
		{"many in memory", slices.Repeat([]int{20_000}, 200)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want []byte
			var regions []*region
			_, addr := startTCP(t, options(handlerFunc(func(_ context.Context, r *listener.Request) listener.Response {
				e := listener.NewEncoded()
				want, regions = nil, nil
				for i, n := range tc.sizes {
					reg := &region{b: fill(max(n, -n)), file: n < 0}
					regions = append(regions, reg)
					e.Head = append(e.Head, bytes.Repeat([]byte{byte(i)}, i*5)...)
					e.AddRegion(reg)
				}
				e.Head = append(e.Head, "end"...)
				var err error
				if want, err = e.AppendTo(nil); err != nil || len(want) != e.Size() {
					t.Errorf("got %d bytes and %v, want %d", len(want), err, e.Size())
				}
				return e
			})))
			c := dial(t, addr)
			for i := range int32(2) {
				c.send(slices.Concat(ping(77), fetch(i))[len(ping(77)):])
				corr, body := c.recv()
				if corr != i || len(body) < 1 || body[0] != 0 || !bytes.Equal(body[1:], want) {
					t.Fatalf("got %d bytes for request %d, want a tag byte and %d bytes for %d", len(body), corr, len(want), i)
				}
			}
			for i, r := range regions {
				eventually(t, fmt.Sprintf("region %d of %d closed", i, len(regions)), func() bool { return r.closed.Load() > 0 })
				if n := r.closed.Load(); n != 1 {
					t.Errorf("region %d was closed %d times, want once", i, n)
				}
			}
		})
	}
}

func TestServer_ClosesWhenARegionIsShort(t *testing.T) {
	a, b := &region{b: make([]byte, 300<<10), file: true, short: 1}, &region{b: make([]byte, 10)}
	_, addr := startTCP(t, options(handlerFunc(func(context.Context, *listener.Request) listener.Response {
		e := listener.NewEncoded()
		e.AddRegion(a)
		e.AddRegion(b)
		return e
	})))
	c := dial(t, addr)
	c.send(fetch(1))
	var got bytes.Buffer
	if _, err := got.ReadFrom(c.nc); err != nil || got.Len() >= 300<<10 {
		t.Errorf("got %d bytes and %v, want the connection closed before the end", got.Len(), err)
	}
	eventually(t, "regions closed", func() bool { return a.closed.Load() == 1 && b.closed.Load() == 1 })
}

func TestServer_SurvivesPanics(t *testing.T) {
	s, addr := startTCP(t, options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
		if r.Header.Key != 0 {
			return echo(ctx, r)
		}
		switch r.Header.CorrelationID {
		case 1:
			panic("boom")
		case 2:
			return listener.Deferred(func() listener.Response { panic("boom") })
		}
		return nil
	})))
	good := dial(t, addr)
	for i := range int32(3) {
		c := dial(t, addr)
		c.send(produce(i+1, 100))
		c.wantClosed()
		good.send(ping(i))
		good.wantCorr(i)
	}
	eventually(t, "connections gone", func() bool { return s.Stats().Connections == 1 })
	if got := s.Stats().Panics; got != 2 {
		t.Errorf("got %d panics counted, want 2", got)
	}
}

type brokenInvariant struct{}

func (brokenInvariant) InvariantFailure() {}

func TestGuard_PassesOnBrokenInvariants(t *testing.T) {
	if err := listener.Guarded(func() error { panic("boom") }); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v, want the panic as an error", err)
	}
	defer func() {
		if _, ok := recover().(brokenInvariant); !ok {
			t.Error("a broken invariant was swallowed")
		}
	}()
	listener.Guarded(func() error { panic(brokenInvariant{}) })
}

func TestServer_KnowsTheClient(t *testing.T) {
	infos := make(chan listener.ConnInfo, 10)
	_, addr := startTCP(t, options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
		infos <- *r.Conn
		return echo(ctx, r)
	})))
	for _, tc := range []struct{ name, version, wantName, wantVersion string }{
		{"franz-go", "v1.22.2", "franz-go", "v1.22.2"},
		{"-bad", "1", "unknown", "unknown"},
		{"", "1", "unknown", "unknown"},
		{"ok", "1;drop", "unknown", "unknown"},
	} {
		c := dial(t, addr)
		req := kmsg.NewPtrApiVersionsRequest()
		req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, tc.name, tc.version
		c.send(frame(1, req))
		c.wantCorr(1)
		got := <-infos
		if got.ClientSoftwareName != tc.wantName || got.ClientSoftwareVersion != tc.wantVersion {
			t.Errorf("%q %q: got %q %q, want %q %q", tc.name, tc.version, got.ClientSoftwareName, got.ClientSoftwareVersion, tc.wantName, tc.wantVersion)
		}
		local := c.nc.LocalAddr().String()
		if got.ListenerName != "PLAINTEXT" || got.Principal != listener.AnonymousPrincipal || got.RemoteAddr.String() != local ||
			!strings.HasPrefix(got.ID, addr+"-"+local+"-") {
			t.Errorf("got %+v for a connection from %s", got, local)
		}
	}
}

func TestServer_LimitsConnections(t *testing.T) {
	t.Run("per address", func(t *testing.T) {
		o := options(handlerFunc(echo))
		o.SendBuffer, o.ReceiveBuffer = 100<<10, 100<<10
		s, addr := startTCP(t, o)
		s.SetLimits(0, 1, map[string]int{"127.0.0.1": 2})
		a, b := dial(t, addr), dial(t, addr)
		a.send(ping(1))
		a.wantCorr(1)
		b.send(ping(1))
		b.wantCorr(1)
		dial(t, addr).wantClosed()
		a.nc.Close()
		eventually(t, "a gone", func() bool { return s.Stats().Connections == 1 })
		c := dial(t, addr)
		c.send(ping(1))
		c.wantCorr(1)
		if got := s.Stats().Rejected; got != 1 {
			t.Errorf("got %d rejected, want 1", got)
		}
	})
	t.Run("in all", func(t *testing.T) {
		o := options(handlerFunc(echo))
		o.MaxConnections = 2
		s, addr := startTCP(t, o)
		a := dial(t, addr)
		a.send(ping(1))
		a.wantCorr(1)
		silent := dial(t, addr)
		eventually(t, "two connections", func() bool { return s.Stats().Connections == 2 })
		// The one that says nothing gives way, once it has had its time.
		eventually(t, "room made", func() bool {
			c := dial(t, addr)
			defer c.nc.Close()
			if _, err := c.nc.Write(ping(1)); err != nil {
				return false
			}
			c.nc.SetReadDeadline(time.Now().Add(time.Second))
			n, _ := c.nc.Read(make([]byte, 100))
			return n > 0
		})
		silent.wantClosed()
		a.send(ping(2))
		a.wantCorr(2)
	})
}

func TestServer_AcceptsAgainAfterErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := listener.New(options(handlerFunc(echo)))
	defer s.Close()
	s.Serve(&failingListener{Listener: l, fail: 3})
	c := dial(t, l.Addr().String())
	c.send(ping(1))
	c.wantCorr(1)
	if got := s.Stats().AcceptErrors; got != 3 {
		t.Errorf("got %d accept errors, want 3", got)
	}
	if s.Addr().String() != l.Addr().String() {
		t.Errorf("got address %s, want %s", s.Addr(), l.Addr())
	}
}

type failingListener struct {
	net.Listener
	fail int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.fail > 0 {
		l.fail--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestServer_Handshake(t *testing.T) {
	o := options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
		if r.Conn.Principal != "User:bob" {
			t.Errorf("got principal %q, want User:bob", r.Conn.Principal)
		}
		return echo(ctx, r)
	}))
	o.Handshake = func(_ context.Context, nc net.Conn) (net.Conn, string, error) {
		var b [1]byte
		if _, err := nc.Read(b[:]); err != nil || b[0] != 'x' {
			return nil, "", errors.New("no x")
		}
		return &struct{ net.Conn }{nc}, "User:bob", nil
	}
	_, addr := startTCP(t, o)
	c := dial(t, addr)
	c.send(append([]byte("x"), ping(1)...))
	c.wantCorr(1)
	c.send(slices.Concat(ping(2), ping(3)))
	c.wantCorr(2, 3)
	bad := dial(t, addr)
	bad.send([]byte("y"))
	bad.wantClosed()
}

func TestAliasingKeys(t *testing.T) {
	keys := listener.AliasingKeys()
	slices.Sort(keys)
	if d := cmp.Diff([]int16{0, 11, 14}, keys); d != "" { // Produce; the metadata and assignments of JoinGroup and SyncGroup
		t.Errorf("requests that carry bytes (-want +got):\n%s", d)
	}
}

func TestConnInfo_ClientHost(t *testing.T) {
	for _, tt := range []struct{ addr, want string }{
		{"127.0.0.1:9092", "/127.0.0.1"},
		{"[::1]:9092", "/0:0:0:0:0:0:0:1"},
		{"[2001:db8::a:1]:1", "/2001:db8:0:0:0:0:a:1"},
		{"[::ffff:10.0.0.1]:1", "/10.0.0.1"},
	} {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.addr))
		if got := listener.JavaHost(addr); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.addr, got, tt.want)
		}
	}
	c, _ := net.Pipe()
	if got := listener.JavaHost(c.RemoteAddr()); got != "/pipe" {
		t.Errorf("a pipe: got %s", got)
	}
}

// lateWriter is a connection whose writes return when the peer has answered with something that was read.
type lateWriter struct {
	net.Conn
	late atomic.Bool
	read chan struct{}
}

func (c *lateWriter) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	select {
	case c.read <- struct{}{}:
	default:
	}
	return n, err
}

func (c *lateWriter) Write(p []byte) (int, error) {
	late := c.late.Swap(false)
	if late {
		select {
		case <-c.read:
		default:
		}
	}
	n, err := c.Conn.Write(p)
	if late {
		<-c.read
	}
	return n, err
}

// A client that has waited for long, while the server looks whether it is still there, is answered whenever it asks for more.
func TestServer_AsksWhileTheServerReadsAhead(t *testing.T) {
	for name, tt := range map[string]struct{ early, late bool }{
		"before the response":         {early: true},
		"as the response comes":       {late: true},
		"when the response has come":  {},
		"before, and as it is coming": {early: true, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				waits := make(chan *listener.Pending, 1)
				s := listener.New(options(handlerFunc(func(_ context.Context, r *listener.Request) listener.Response {
					if r.Header.Key != 1 {
						return listener.Reply{Message: echoReply(r)}
					}
					p := listener.NewPending(false)
					waits <- p
					return p
				})))
				defer s.Close()
				ours, theirs := net.Pipe()
				defer ours.Close()
				nc := &lateWriter{Conn: theirs, read: make(chan struct{}, 1)}
				s.ServeConn(nc)
				c := &client{t, ours}
				c.send(fetch(1))
				p := <-waits
				time.Sleep(10 * time.Second) // the server reads ahead by now
				if tt.early {
					c.send(ping(2))
				}
				time.Sleep(10 * time.Second)
				nc.late.Store(tt.late)
				go p.Complete(listener.Reply{Message: kmsg.NewPtrFetchResponse()})
				c.wantCorr(1)
				ours.SetReadDeadline(time.Now().Add(time.Minute))
				next := int32(2)
				if tt.early && tt.late {
					next = 3
				}
				sent := make(chan error, 1)
				go func() { // the server may be writing a response, and a pipe holds nothing
					var err error
					if !tt.early || tt.late {
						_, err = ours.Write(ping(next))
					}
					sent <- err
				}()
				for corr := int32(2); corr <= next; corr++ {
					c.wantCorr(corr)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
