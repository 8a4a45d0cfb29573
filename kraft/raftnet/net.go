package raftnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

const (
	preambleTimeout = 5 * time.Second
	goodbye         = 'g'
	peersMost       = 1000 // that are remembered: a stranger may introduce itself by as many node ids as it likes
)

// Options configures a Net. Dial and Logger are required.
type Options struct {
	Self   Identity // ClusterID may come later: SetClusterID
	Dial   func(ctx context.Context, network, address string) (net.Conn, error)
	Logger *slog.Logger
}

// Handler decides about streams that others open. Its methods may be called from any goroutine.
type Handler interface {
	// CheckRaft says whether a node may take part in raft: nil, or the status and reason of a refusal.
	CheckRaft(peer Identity) *Reply
	// Join answers a node that asks to be a member. Status, leader and reason of the reply count.
	Join(ctx context.Context, peer Identity) Reply
	// StreamEnded notes that the last raft stream that a node had opened is gone.
	StreamEnded(peer Identity)
}

// SessionFunc notes a broker's session. ended is called once it is over, unless it is this node that stops; the reply refuses it
// instead.
type SessionFunc func(peer Identity) (ended func(announced bool), refused *Reply)

// Net is a node's end of the quorum's conversations.
type Net struct {
	o        Options
	logger   *slog.Logger
	accepted chan net.Conn          // raft streams for the transport
	ctx      func() context.Context // ends with Close
	cancel   context.CancelCauseFunc

	mu      sync.Mutex // guards the fields below
	self    Identity
	handler Handler                      // nil: not ready
	session SessionFunc                  // nil: not ready
	streams map[*stream]Hello            // accepted and not ended
	peers   map[protocol.NodeID]Identity // as they introduced themselves last
	closed  bool
	wg      sync.WaitGroup // calls of Serve
}

// New returns a Net that is ready to dial, and that answers others once Attach was called.
func New(o Options) *Net {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Net{
		o: o, logger: o.Logger.With(slog.String("component", "raftnet")), self: o.Self,
		accepted: make(chan net.Conn), ctx: func() context.Context { return ctx }, cancel: cancel,
		streams: make(map[*stream]Hello), peers: make(map[protocol.NodeID]Identity),
	}
}

// Attach begins to answer others.
func (n *Net) Attach(h Handler) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.handler = h
}

// AttachSessions begins to accept sessions.
func (n *Net) AttachSessions(f SessionFunc) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.session = f
}

// Self is who this node says it is.
func (n *Net) Self() Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.self
}

// SetClusterID notes the cluster that this node belongs to.
func (n *Net) SetClusterID(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.ClusterID = id
}

// SetBegun notes that this node's metadata log holds more than the first configuration.
func (n *Net) SetBegun() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.self.Begun = true
}

// Peer is how a node introduced itself last, in this run of the process.
func (n *Net) Peer(id protocol.NodeID) (Identity, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.peers[id]
	return p, ok
}

func (n *Net) met(p Identity) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, known := n.peers[p.NodeID]; !known && len(n.peers) == peersMost {
		for id := range n.peers { // any of them: those that take part introduce themselves again
			delete(n.peers, id)
			break
		}
	}
	n.peers[p.NodeID] = p
}

// Serve answers a stream that somebody has opened and returns when it is over; it closes nc.
func (n *Net) Serve(ctx context.Context, nc net.Conn) {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		nc.Close()
		return
	}
	n.wg.Add(1)
	handler := n.handler
	n.mu.Unlock()
	defer n.wg.Done()
	defer nc.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	defer context.AfterFunc(n.ctx(), cancel)()
	if err := n.serve(ctx, handler, nc); err != nil {
		n.logger.Debug("stream ended", slog.String("remote", nc.RemoteAddr().String()), slog.Any("err", err))
	}
}

func (n *Net) serve(ctx context.Context, handler Handler, nc net.Conn) error {
	if err := nc.SetDeadline(time.Now().Add(preambleTimeout)); err != nil {
		return err
	}
	// A hello is read byte for byte as long as it is: what follows belongs to raft.
	hello, err := readHello(nc)
	if errors.As(err, new(*versionError)) {
		return errors.Join(err, n.reply(nc, Reply{Status: StatusVersion, Leader: -1}))
	}
	if err != nil {
		return err
	}
	reply, stop := n.check(handler, hello)
	if stop {
		return errors.Join(fmt.Errorf("node %d refused: status %d %s", hello.NodeID, reply.Status, reply.Reason), n.reply(nc, reply))
	}
	switch hello.Kind {
	case KindRaft:
		return n.serveRaft(ctx, handler, nc, hello)
	case KindJoin:
		return n.reply(nc, handler.Join(ctx, hello.Identity))
	case KindSession:
		return n.serveSession(ctx, nc, hello)
	default:
		return n.reply(nc, Reply{Leader: -1})
	}
}

// check says what is wrong with a hello.
func (n *Net) check(handler Handler, hello Hello) (reply Reply, stop bool) {
	self := n.Self()
	refuse := func(s Status, reason string) (Reply, bool) { return Reply{Status: s, Leader: -1, Reason: reason}, true }
	switch {
	case hello.ClusterID != "" && self.ClusterID != "" && hello.ClusterID != self.ClusterID:
		n.logger.Warn("refused a node of another cluster", slog.String("event", "quorum.refused"), slog.Int("peer", int(hello.NodeID)),
			slog.String("address", hello.Address), slog.String("peer_cluster_id", hello.ClusterID))
		return refuse(StatusCluster, "this node belongs to cluster "+self.ClusterID)
	case hello.Kind == KindProbe:
		return Reply{}, false
	case hello.Kind < KindRaft || hello.Kind > KindProbe:
		return refuse(StatusVersion, "streams of "+hello.Kind.String()+" are not known")
	case hello.NodeID == self.NodeID && hello.Incarnation != self.Incarnation:
		return refuse(StatusRefused, fmt.Sprintf("this is node %d as well: give each node a node.id of its own", self.NodeID))
	case handler == nil:
		return refuse(StatusNotReady, "")
	}
	n.met(hello.Identity)
	if hello.Kind == KindRaft {
		if r := handler.CheckRaft(hello.Identity); r != nil {
			return *r, true
		}
	}
	return Reply{}, false
}

// reply sends a reply under this node's identity.
func (n *Net) reply(w io.Writer, r Reply) error {
	r.Identity = n.Self()
	_, err := w.Write(r.encode())
	return err
}

func (n *Net) serveRaft(ctx context.Context, handler Handler, nc net.Conn, hello Hello) error {
	if err := n.reply(nc, Reply{Leader: -1}); err != nil {
		return err
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	s := &stream{Conn: nc, done: make(chan struct{})}
	n.mu.Lock()
	n.streams[s] = hello
	n.mu.Unlock()
	select {
	case n.accepted <- s:
		select {
		case <-s.done: // the transport closes it when it cannot be read any more
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	if n.forget(s, hello) && ctx.Err() == nil {
		handler.StreamEnded(hello.Identity)
	}
	return nil
}

// forget drops a stream and says whether it was the last that its node had opened.
func (n *Net) forget(s *stream, hello Hello) (last bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.streams, s)
	for _, other := range n.streams {
		if other.NodeID == hello.NodeID {
			return false
		}
	}
	return true
}

// Recheck ends the raft streams of nodes that the handler refuses by now.
func (n *Net) Recheck() {
	n.mu.Lock()
	handler := n.handler
	streams := maps.Clone(n.streams)
	n.mu.Unlock()
	for s, h := range streams {
		if handler.CheckRaft(h.Identity) != nil {
			_ = s.Close() // it may have ended meanwhile
		}
	}
}

func (n *Net) serveSession(ctx context.Context, nc net.Conn, hello Hello) error {
	n.mu.Lock()
	open := n.session
	n.mu.Unlock()
	if open == nil {
		return n.reply(nc, Reply{Status: StatusNotReady, Leader: -1})
	}
	ended, refused := open(hello.Identity)
	if refused != nil {
		return n.reply(nc, *refused)
	}
	announced := false
	defer func() {
		if ctx.Err() == nil { // else it is this node that stops
			ended(announced)
		}
	}()
	if err := n.reply(nc, Reply{Leader: -1}); err != nil {
		return err
	}
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return err
	}
	var b [1]byte
	_, err := io.ReadFull(nc, b[:])
	announced = err == nil && b[0] == goodbye
	return err
}

// Dial opens a stream. want names the node that is meant; -1: whoever answers. A refusal is a *RefusedError.
func (n *Net) Dial(ctx context.Context, kind Kind, address string, want protocol.NodeID) (net.Conn, Reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx(), func() { cancel(ErrClosed) })()
	nc, err := n.o.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, Reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	reply, err := n.greet(ctx, nc, kind)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err == nil && want >= 0 && reply.NodeID != want {
		err = &WrongNodeError{Address: address, Want: fmt.Sprintf("node %d", want), Got: fmt.Sprintf("node %d", reply.NodeID)}
	}
	if err == nil && reply.Status != StatusOK {
		err = &RefusedError{Kind: kind, Address: address, Reply: reply}
	}
	if err != nil {
		nc.Close()
		return nil, reply, err
	}
	return nc, reply, nil
}

// Ask opens a stream for the reply alone.
func (n *Net) Ask(ctx context.Context, kind Kind, address string, want protocol.NodeID) (Reply, error) {
	nc, reply, err := n.Dial(ctx, kind, address, want)
	if err == nil {
		nc.Close()
	}
	return reply, err
}

func (n *Net) greet(ctx context.Context, nc net.Conn, kind Kind) (Reply, error) {
	deadline := time.Now().Add(preambleTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := nc.SetDeadline(deadline); err != nil {
		return Reply{}, err
	}
	self := n.Self()
	hello := Hello{Kind: kind, Identity: self}
	if _, err := nc.Write(hello.encode()); err != nil {
		return Reply{}, err
	}
	reply, err := readReply(nc)
	if err != nil {
		return Reply{}, fmt.Errorf("read the reply to the preamble: %w", err)
	}
	if reply.ClusterID != "" && self.ClusterID != "" && reply.ClusterID != self.ClusterID {
		reply.Status = StatusCluster
	}
	n.met(reply.Identity)
	_ = nc.SetDeadline(time.Time{}) // of a connection that has ended already, which its next use tells
	return reply, nil
}

// ErrGoodbye is the cause of a context by which a session is ended in order.
var ErrGoodbye = errors.New("goodbye")

// Session opens a session with a controller and holds it until it breaks or ctx ends; opened is called once it stands. Where
// ctx ends by ErrGoodbye the controller is told.
func (n *Net) Session(ctx context.Context, address string, want protocol.NodeID, opened func()) error {
	dialCtx, cancel := context.WithTimeout(ctx, dialTimeout)
	nc, _, err := n.Dial(dialCtx, KindSession, address, want)
	cancel()
	if err != nil {
		return err
	}
	defer nc.Close()
	opened()
	stop := context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), ErrGoodbye) {
			_ = nc.SetWriteDeadline(time.Now().Add(dialTimeout))
			_, _ = nc.Write([]byte{goodbye}) // if it does not arrive, the controller asks
		}
		nc.Close()
	})
	defer stop()
	defer context.AfterFunc(n.ctx(), func() { nc.Close() })()
	_, err = io.ReadFull(nc, make([]byte, 1)) // nothing is ever sent
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("session with controller %d ended: %w", want, err)
}

// Close ends every stream and returns when no call of Serve is left.
func (n *Net) Close() error {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel(ErrClosed)
	n.wg.Wait()
	return nil
}

// stream is a raft connection that somebody opened.
type stream struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

// Close implements net.Conn.
func (s *stream) Close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		err = s.Conn.Close()
		close(s.done)
	})
	return err
}
