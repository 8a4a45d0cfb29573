package listener

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// Handler answers requests.
type Handler interface {
	// Serve runs on the connection's read goroutine, so that no other request of this connection is read meanwhile. ctx
	// ends when the connection dies or the server is closed.
	Serve(ctx context.Context, r *Request) Response
}

// Gatherer is a Handler that serves several requests of one connection at once for less than one after the other.
type Gatherer interface {
	Handler
	// Gathers reports whether the request may be held back while more of the connection's requests are at hand.
	Gathers(r *Request) bool
	// ServeAll serves requests that Gathers has agreed to, as if by Serve in their order, and puts the responses into out.
	ServeAll(ctx context.Context, rs []*Request, out []Response)
}

// Request is one decoded request. Its body may alias the connection's buffer (kmsg aliases record bytes): the bytes
// stay valid until Serve has returned and, where it returned a Pending, that was completed; or until Release.
type Request struct {
	Header   protocol.RequestHeader
	Body     kmsg.Request
	Size     int // bytes of the frame without its length
	Received time.Time
	Conn     *ConnInfo

	conn   *conn
	buffer atomic.Pointer[buffer]
	served time.Time // when Serve returned; only set for an Observer
	kept   time.Time // when its Pending was completed; only set for an Observer

	// Of a request that waits in its connection's line; guarded by conn.mu.
	next     *Request
	pending  *Pending
	response Response // nil: not known yet
}

// Release gives the request's buffer back early: nothing may read bytes out of Body from then on. It may be called more
// than once and from any goroutine.
func (r *Request) Release() {
	if b := r.buffer.Swap(nil); b != nil {
		r.conn.server.gate.put(b)
	}
}

// forfeit ends the lease of a buffer of which it is not certain that nobody uses it any more.
func (r *Request) forfeit() {
	if b := r.buffer.Swap(nil); b != nil {
		r.conn.server.gate.budget.free(b.lease)
	}
}

// ConnInfo is what is known about a connection. Handlers read it while they serve a request of that connection.
type ConnInfo struct {
	ID                    string // as Kafka's: local:port-remote:port-index
	ListenerName          string
	Scope                 protocol.Scope
	LocalAddr, RemoteAddr net.Addr
	ClientHost            string // RemoteAddr without its port, as Java writes addresses: /127.0.0.1
	Principal             string // AnonymousPrincipal without authentication
	ClientSoftwareName    string // from ApiVersions (KIP-511), else "unknown"
	ClientSoftwareVersion string
}

// AnonymousPrincipal is who is not authenticated.
const AnonymousPrincipal = "User:ANONYMOUS"

// Response is one of Reply, NoReply, Close, Deferred, *Encoded and *Pending.
type Response interface{ isResponse() }

// Reply is a decoded response; its version is set from the request.
type Reply struct{ Message kmsg.Response }

// NoReply answers nothing (Produce with acks=0).
type NoReply struct{}

// Close ends the connection after the responses before it have been sent.
type Close struct{ Err error }

// Deferred is made into a response on the connection's goroutine when its turn to be sent has come: what completes a
// Pending leaves the work to the connection instead of doing it on the completer's goroutine. It must not return a
// Pending or another Deferred. It is not called if the connection ends before.
type Deferred func() Response

func (Reply) isResponse()    {}
func (NoReply) isResponse()  {}
func (Close) isResponse()    {}
func (Deferred) isResponse() {}
func (*Encoded) isResponse() {}
func (*Pending) isResponse() {}

// discard lets go of a response that is not going to be sent.
func discard(r Response) {
	if e, ok := r.(*Encoded); ok {
		e.Discard()
		e.recycle()
	}
}
