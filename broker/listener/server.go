package listener

import (
	"context"
	"log/slog"
	"net"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// Options configure a Server. Handler and Logger are required.
type Options struct {
	Name     string // the listener's name, such as PLAINTEXT
	Scope    protocol.Scope
	Handler  Handler
	Logger   *slog.Logger
	Observer Observer // may be nil

	Gate                *Gate          // bounds the request bytes of all listeners that share it; nil: an own one of 256 MiB
	MaxRequestBytes     int            // socket.request.max.bytes; 0: 100 MiB
	MaxConnections      int            // max.connections; 0: no limit
	MaxConnectionsPerIP int            // max.connections.per.ip; 0: no limit
	PerIPOverrides      map[string]int // max.connections.per.ip.overrides
	IdleTimeout         time.Duration  // connections.max.idle.ms; 0: 10 min
	FrameTimeout        time.Duration  // for a started frame; 0: 30 s
	WriteTimeout        time.Duration  // for a write without progress; 0: 30 s

	// Handshake, when set, is run on the connection's goroutine before the first request: TLS and whatever else turns
	// an accepted connection into one that speaks Kafka. It returns the connection to use and who the peer is.
	Handshake func(ctx context.Context, c net.Conn) (net.Conn, string, error)
}

// Server serves the connections of one listener.
type Server struct{ o Options }

// New returns a server without connections.
func New(o Options) *Server { return &Server{o: o} }

// Serve accepts connections from l until it is closed by Shutdown or Close; it returns at once.
func (s *Server) Serve(l net.Listener) { panic("not built yet") }

// ServeConn serves one connection, such as an in-process one; it returns at once.
func (s *Server) ServeConn(c net.Conn) { panic("not built yet") }

// Addr is the address of the listener given to Serve, or nil.
func (s *Server) Addr() net.Addr { panic("not built yet") }

// Shutdown stops accepting, closes connections as they become idle, and cuts off the rest when ctx ends. Whoever owns
// waits completes them meanwhile.
func (s *Server) Shutdown(ctx context.Context) error { panic("not built yet") }

// Close cuts off every connection and returns when all goroutines are gone.
func (s *Server) Close() error { panic("not built yet") }

// Stats are the server's counters since New.
func (s *Server) Stats() Stats { panic("not built yet") }

// Stats are counters of one server.
type Stats struct {
	Connections                       int // open now
	Accepted, Rejected, AcceptErrors  int64
	BytesIn, BytesOut                 int64
	Panics                            int64
	ClosedIdle, ClosedSlow, ClosedBad int64 // by the sweeper, for stalling, for malformed or unserved requests
}

// Observer is told of each request answered. It is called on connection goroutines and must not block.
type Observer interface {
	RequestDone(d *RequestDone)
}

// RequestDone describes an answered request.
type RequestDone struct {
	Request       *Request
	Response      any // kmsg.Response, *Encoded, or nil
	ResponseBytes int
	Local         time.Duration // in Serve
	Remote        time.Duration // until a Pending was completed
	Send          time.Duration // until the response was written
}

// Gate bounds the bytes held for requests.
type Gate struct{ limit int64 }

// NewGate returns a gate of limit bytes.
func NewGate(limit int64) *Gate { return &Gate{limit: limit} }
