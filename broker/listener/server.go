package listener

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// The defaults of Options.
const (
	DefaultMaxRequestBytes = 100 << 20
	DefaultMaxUnsentBytes  = 64 << 20
	DefaultIdleTimeout     = 10 * time.Minute
	DefaultFrameTimeout    = 30 * time.Second
	DefaultWriteTimeout    = 30 * time.Second
)

// Options configure a Server. Handler and Logger are required.
type Options struct {
	Name     string // the listener's name, such as PLAINTEXT
	Scope    protocol.Scope
	Handler  Handler
	Logger   *slog.Logger
	Observer Observer // may be nil

	Gate            *Gate         // bounds the request bytes of all listeners that share it; nil: one of its own
	MaxRequestBytes int           // socket.request.max.bytes; 0: DefaultMaxRequestBytes
	MaxUnsentBytes  int64         // large responses wait while more than this is being sent; 0: DefaultMaxUnsentBytes
	SendBuffer      int           // socket.send.buffer.bytes; 0 or less: the system tunes it
	ReceiveBuffer   int           // socket.receive.buffer.bytes; 0 or less: the system tunes it
	IdleTimeout     time.Duration // connections.max.idle.ms; 0: DefaultIdleTimeout, negative: for ever
	FrameTimeout    time.Duration // for a request to arrive, and as long again per 2 MiB of it; 0: DefaultFrameTimeout
	WriteTimeout    time.Duration // for a write without progress; 0: DefaultWriteTimeout

	// The limits on connections at the start; SetLimits changes them.
	MaxConnections      int            // max.connections; 0: no limit
	MaxConnectionsPerIP int            // max.connections.per.ip; 0: no limit
	PerIPOverrides      map[string]int // max.connections.per.ip.overrides, by address

	// Handshake, when set, is run on the connection's goroutine before the first request: TLS and whatever else turns
	// an accepted connection into one that speaks Kafka. It returns the connection to use and who the peer is. Its
	// deadlines are its own affair; it clears them.
	Handshake func(ctx context.Context, c net.Conn) (net.Conn, string, error)

	// Takeover, when set, is given the connections that begin with a byte no Kafka frame begins with (0x80 or more), before
	// anything of them is served. It is called on the connection's goroutine, from when on limits on connections are all that
	// this server still applies, and returns when the connection is at its end; ctx ends with the server.
	Takeover func(ctx context.Context, c net.Conn)
}

// Observer is told of each request answered. It is called on connection goroutines and must not block.
type Observer interface {
	RequestDone(d *RequestDone)
}

// RequestDone describes an answered request. It is valid during the call.
type RequestDone struct {
	Request       *Request
	Response      any // kmsg.Response, *Encoded, or nil
	ResponseBytes int
	Local         time.Duration // from its last byte until Serve returned
	Remote        time.Duration // from there until its Pending was completed
	Send          time.Duration // to encode it and, where it was not coalesced with others, to write it
}

// Stats are counters of one server.
type Stats struct {
	Connections       int   // open now
	Accepted          int64 // the others are since New
	Rejected          int64 // for a limit on connections
	AcceptErrors      int64
	BytesIn, BytesOut int64
	Serving, Sending  time.Duration // spent in the handler and writing responses, with an Observer
	Panics            int64
	ClosedIdle        int64
	ClosedSlow        int64 // too slow to send a request or to read responses
	ClosedBad         int64 // for a request that is malformed or not served
	ClosedByHandler   int64
}

// Server serves the connections of one listener.
type Server struct {
	o        Options
	gate     *Gate
	unsent   budget         // bytes handed to writes that have not returned
	gatherer Gatherer       // the handler, where it is one
	aliasing map[int16]bool // API keys of which requests carry bytes that alias their buffer
	ctx      func() context.Context
	cancel   context.CancelCauseFunc
	wg       sync.WaitGroup // accept loop and connections
	sweeper  sweeper
	tick     atomic.Int64 // counts sweeps
	stopping atomic.Bool
	hints    [128]atomic.Int32 // size of large replies, by API key
	sending  atomic.Int32      // send buffers in use

	mu     sync.Mutex // guards the fields below
	ln     net.Listener
	conns  map[*conn]struct{}
	perIP  map[netip.Addr]int
	next   uint64
	closed bool

	accepted, rejected, acceptErrors, bytesIn, bytesOut, inHandler, inWrite atomic.Int64
	fates                                                                   [fatePanic + 1]atomic.Int64
}

// New returns a server without connections. It starts the goroutine that looks after deadlines, which Close ends.
func New(o Options) *Server {
	if o.Gate == nil {
		o.Gate = NewGate(DefaultGateBytes)
	}
	o.MaxRequestBytes = orDefault(o.MaxRequestBytes, DefaultMaxRequestBytes)
	o.MaxUnsentBytes = orDefault(o.MaxUnsentBytes, DefaultMaxUnsentBytes)
	o.IdleTimeout = orDefault(o.IdleTimeout, DefaultIdleTimeout)
	o.FrameTimeout = orDefault(o.FrameTimeout, DefaultFrameTimeout)
	o.WriteTimeout = orDefault(o.WriteTimeout, DefaultWriteTimeout)
	o.Logger = o.Logger.With(slog.String("component", "listener"), slog.String("listener", o.Name))
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Server{
		o: o, gate: o.Gate, aliasing: aliasingKeys(), cancel: cancel,
		ctx:   func() context.Context { return ctx },
		conns: make(map[*conn]struct{}), perIP: make(map[netip.Addr]int),
	}
	s.gatherer, _ = o.Handler.(Gatherer)
	s.unsent.limit = o.MaxUnsentBytes
	s.sweeper.s = s
	s.sweeper.start()
	s.gate.budget.onShort(s.sweeper.shortNow)
	s.unsent.onShort(s.sweeper.shortNow)
	return s
}

func orDefault[T int | int64 | time.Duration](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}

// aliasingKeys finds the APIs of which requests hold []byte fields, which kmsg does not copy. All others give their
// buffer back before they are served.
func aliasingKeys() map[int16]bool {
	keys := make(map[int16]bool)
	for _, api := range protocol.APIs() {
		keys[api.Key] = holdsBytes(reflect.TypeOf(kmsg.RequestForKey(api.Key)))
	}
	return keys
}

func holdsBytes(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 || holdsBytes(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			// Nobody looks at unknown tags.
			if f.Type != reflect.TypeFor[kmsg.Tags]() && holdsBytes(f.Type) {
				return true
			}
		}
		return false
	default:
		return false
	}
}

// Serve accepts connections from l, which it takes over, until Shutdown or Close; it returns at once.
func (s *Server) Serve(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.stopping.Load() {
		l.Close()
		return
	}
	s.ln = l
	s.wg.Go(func() { s.accept(l) })
}

// Addr is the address of the listener given to Serve, or nil.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln == nil {
		return nil
	}
	return s.ln.Addr()
}

func (s *Server) accept(l net.Listener) {
	const minPause, maxPause = 5 * time.Millisecond, time.Second
	pause, lastLog := minPause, time.Time{}
	for {
		nc, err := l.Accept()
		if err == nil {
			pause = minPause
			s.ServeConn(nc)
			continue
		}
		if s.stopping.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		s.acceptErrors.Add(1)
		if now := time.Now(); now.Sub(lastLog) > 10*time.Second {
			lastLog = now
			s.o.Logger.Warn("accept failed, trying again", slog.Any("err", err), slog.Duration("dur", pause))
		}
		select {
		case <-time.After(pause):
		case <-s.ctx().Done():
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// ServeConn serves one connection, such as an in-process one, which it takes over; it returns at once.
func (s *Server) ServeConn(nc net.Conn) {
	c := &conn{server: s, nc: nc, wake: make(chan struct{}, 1)}
	c.rb = c.small[:]
	s.tune(nc)
	ctx, cancel := context.WithCancelCause(s.ctx())
	c.ctx, c.cancel = func() context.Context { return ctx }, cancel
	c.opened = s.tick.Load()
	c.phase.Store(c.opened<<phaseBits | phaseIdle) //nolint:staticcheck // phaseIdle is 0, and says what is meant
	if err := s.register(c); err != nil {
		s.rejected.Add(1)
		s.o.Logger.Debug("connection refused", slog.String("remote", nc.RemoteAddr().String()), slog.Any("err", err))
		cancel(err)
		nc.Close()
		return
	}
	s.accepted.Add(1)
	go func() { // register has counted it
		defer s.wg.Done()
		c.run(ctx)
	}()
}

// tune sets a socket's buffers. A system that refuses goes on with its own.
func (s *Server) tune(nc net.Conn) {
	tc, ok := nc.(*net.TCPConn)
	if !ok {
		return
	}
	boundUnsent(tc, kernelBytes)
	if s.o.SendBuffer > 0 {
		_ = tc.SetWriteBuffer(s.o.SendBuffer)
	}
	if s.o.ReceiveBuffer > 0 {
		_ = tc.SetReadBuffer(s.o.ReceiveBuffer)
	}
}

// SetLimits changes the limits on connections, as in Options. Connections beyond a lower limit stay.
func (s *Server) SetLimits(connections, perIP int, perIPOverrides map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.o.MaxConnections, s.o.MaxConnectionsPerIP, s.o.PerIPOverrides = connections, perIP, perIPOverrides
}

// register checks the limits on connections and counts c in.
func (s *Server) register(c *conn) error {
	ip, hasIP := ipOf(c.nc.RemoteAddr())
	var victim *conn
	defer func() {
		if victim != nil {
			victim.cutOff(fateSlow, errors.New("gave way to a new connection"))
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.stopping.Load() {
		return net.ErrClosed
	}
	if hasIP {
		limit := s.o.MaxConnectionsPerIP
		if n, ok := s.o.PerIPOverrides[ip.String()]; ok {
			limit = n
		}
		if limit > 0 && s.perIP[ip] >= limit {
			return fmt.Errorf("%s has %d connections, the most allowed", ip, limit)
		}
	}
	if limit := s.o.MaxConnections; limit > 0 && len(s.conns) >= limit {
		if victim = s.silentLocked(); victim == nil {
			return fmt.Errorf("%d connections, the most allowed", limit)
		}
	}
	if hasIP {
		s.perIP[ip]++
	}
	s.conns[c] = struct{}{}
	s.next++
	c.index = s.next
	local, remote := c.nc.LocalAddr(), c.nc.RemoteAddr()
	c.info = ConnInfo{
		ID:           fmt.Sprintf("%s-%s-%d", local, remote, c.index),
		ListenerName: s.o.Name, Scope: s.o.Scope, LocalAddr: local, RemoteAddr: remote, ClientHost: javaHost(remote),
		Principal: AnonymousPrincipal, ClientSoftwareName: "unknown", ClientSoftwareVersion: "unknown",
	}
	s.wg.Add(1)
	return nil
}

// silentLocked finds the oldest connection that has been open for a while without a complete request: it gives way when
// there is no room for another.
func (s *Server) silentLocked() *conn {
	var oldest *conn
	for c := range s.conns {
		if !c.proven.Load() && c.fate.Load() == 0 && (oldest == nil || c.index < oldest.index) {
			oldest = c
		}
	}
	if oldest == nil || s.tick.Load()-oldest.opened < ticks(shortAfter) {
		return nil
	}
	return oldest
}

func (s *Server) remove(c *conn, err error) {
	s.fates[c.fate.Load()].Add(1)
	s.mu.Lock()
	delete(s.conns, c)
	if ip, ok := ipOf(c.info.RemoteAddr); ok {
		if s.perIP[ip]--; s.perIP[ip] == 0 {
			delete(s.perIP, ip)
		}
	}
	s.mu.Unlock()
	if p, ok := errors.AsType[*panicError](err); ok {
		s.o.Logger.Error("handler panicked, connection closed", slog.String("remote", c.info.RemoteAddr.String()),
			slog.Any("err", p), slog.String("stack", string(p.stack)))
		return
	}
	s.o.Logger.Debug("connection closed", slog.String("remote", c.info.RemoteAddr.String()), slog.Any("err", err))
}

func ipOf(a net.Addr) (netip.Addr, bool) {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip, ok := netip.AddrFromSlice(t.IP)
	return ip.Unmap(), ok
}

// javaHost writes an address as Java's InetAddress does: after a slash, and IPv6 in eight groups without abbreviation.
func javaHost(a net.Addr) string {
	ip, ok := ipOf(a)
	if !ok {
		return "/" + a.String()
	}
	if ip.Is4() {
		return "/" + ip.String()
	}
	b := ip.As16()
	out := make([]byte, 0, 48)
	for i := 0; i < len(b); i += 2 {
		sep := byte(':')
		if i == 0 {
			sep = '/'
		}
		out = strconv.AppendUint(append(out, sep), uint64(b[i])<<8|uint64(b[i+1]), 16)
	}
	return string(out)
}

// snapshot lists the connections in the memory of an earlier list.
func (s *Server) snapshot(out []*conn) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out = out[:0]
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}
