package listener

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// Bounds of what one connection has in flight.
const (
	maxOutstanding      = 64       // requests whose Produce waits for its acknowledgement
	maxOutstandingBytes = 16 << 20 // of their frames
	maxGathered         = 16       // requests that are served at once,
	maxGatheredBytes    = 1 << 20  // and bytes of their frames after which no more are added
	watchAfter          = time.Second
)

const produceKey = 0

// conn is one connection.
//
// Its write side has one owner at a time. It is the read goroutine as long as line is empty and draining is false;
// otherwise responses go to the line, and whoever completes its first one starts a goroutine that writes the line's
// completed head until it meets a request that still waits.
type conn struct {
	server *Server
	nc     net.Conn
	info   ConnInfo
	ctx    func() context.Context
	cancel context.CancelCauseFunc
	try    *tryReader // nil: the connection cannot be read without waiting

	// Of the read goroutine.
	rb       []byte  // the read buffer: small, or that of large
	r, w     int     // what has been read and not used: rb[r:w]
	large    *buffer // while many small requests come at a time
	lastFill int
	largest  int  // complete frame so far; 0: none yet
	lined    bool // it has put requests in line and not seen the line empty since

	gathered      []*Request // read, and served as soon as nothing more is at hand
	gatheredBytes int
	answers       []Response // to them

	// Of the owner of the write side.
	out     []byte  // responses not written yet
	outb    *buffer // its memory
	vecs    net.Buffers
	rest    net.Buffers // of vecs, while they are written
	written int         // bytes, up to trustRead

	mu               sync.Mutex // guards the fields below
	head, tail       *Request   // in line
	outstanding      int
	outstandingBytes int
	inPlace          *Request // the read goroutine waits for it with an empty line
	draining         bool
	drainer          func() // drain as a goroutine; made once
	ahead            bool   // the read goroutine reads ahead
	called           bool   // back from that
	dead             bool

	wake chan struct{} // tells the read goroutine that something above has changed

	// For the sweeper and the limits.
	phase   atomic.Int64 // see enter
	writing atomic.Int64 // one more than the sweep at which a write began; 0: none
	got     atomic.Int64 // bytes of the frame so far
	held    atomic.Int64 // bytes leased for it
	proven  atomic.Bool  // it has sent a complete request
	fate    atomic.Int32 // why it was cut off
	index   uint64
	opened  int64 // the sweep

	small [smallRead]byte
}

// run serves the connection until it ends.
func (c *conn) run(ctx context.Context) {
	err := c.guarded(func() error { return c.loop(ctx) })
	c.end(err)
}

func (c *conn) loop(ctx context.Context) error {
	if h := c.server.o.Handshake; h != nil {
		nc, principal, err := h(ctx, c.nc)
		if err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		c.setNet(nc)
		c.info.Principal = principal
	}
	c.try = newTryReader(c.nc)
	if taken, err := c.offer(ctx); taken || err != nil {
		return err
	}
	for {
		if c.server.stopping.Load() {
			if err := c.serveGathered(ctx); err != nil {
				return err
			}
			return c.finish()
		}
		b, size, err := c.nextFrame(ctx)
		if err != nil {
			if err := c.serveGathered(ctx); err != nil {
				return err
			}
			if c.server.stopping.Load() {
				return c.finish()
			}
			return err
		}
		c.enter(phaseServe)
		if err := c.request(ctx, b, size); err != nil {
			return err
		}
		if c.largest == 0 {
			c.proven.Store(true)
		}
		c.largest = max(c.largest, size)
	}
}

// request decodes and runs one request, and answers it or puts it in line.
func (c *conn) request(ctx context.Context, b *buffer, size int) error {
	r := &Request{Size: size, Conn: &c.info, conn: c, Received: time.Now()}
	r.buffer.Store(b)
	returned := false
	defer func() {
		if !returned { // a panic: somebody may still use the buffer
			r.forfeit()
		}
	}()
	err := c.serve(ctx, r, b.b[:size:size])
	returned = true
	return err
}

func (c *conn) serve(ctx context.Context, r *Request, frame []byte) error {
	err := c.decode(r, frame)
	if err == nil && c.server.gatherer != nil && c.server.gatherer.Gathers(r) {
		return c.gather(ctx, r)
	}
	if err := c.serveGathered(ctx); err != nil {
		r.Release()
		return err
	}
	if err != nil {
		r.Release()
		if r.Header.Key == protocol.APIVersionsKey && errors.As(err, new(*protocol.UnsupportedError)) {
			return c.answer(r, Reply{unsupportedAPIVersions(r)})
		}
		return err
	}
	if !c.server.aliasing[r.Header.Key] {
		r.Release()
	}
	resp := c.server.o.Handler.Serve(ctx, r)
	if c.server.o.Observer != nil {
		r.served = time.Now()
		c.server.inHandler.Add(int64(r.served.Sub(r.Received)))
	}
	return c.answer(r, resp)
}

// gather holds a request back until nothing more is at hand. The next one is read only as far as that takes no waiting.
func (c *conn) gather(ctx context.Context, r *Request) error {
	c.gathered = append(c.gathered, r)
	c.gatheredBytes += r.Size
	if len(c.gathered) == maxGathered || c.gatheredBytes >= maxGatheredBytes || c.lined && !c.roomForMore() {
		return c.serveGathered(ctx)
	}
	return nil
}

// roomForMore reports whether another request may wait for its acknowledgement beside those that are held back.
func (c *conn) roomForMore() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outstanding+len(c.gathered) < maxOutstanding && c.outstandingBytes+c.gatheredBytes < maxOutstandingBytes
}

// serveGathered serves the requests that were held back and answers them in their order.
func (c *conn) serveGathered(ctx context.Context) (err error) {
	rs := c.gathered
	if len(rs) == 0 {
		return nil
	}
	c.enter(phaseServe)
	c.gathered, c.gatheredBytes = c.gathered[:0], 0
	out := append(c.answers[:0], make([]Response, len(rs))...)
	c.answers = out
	next := 0 // what follows has not been answered
	returned := false
	defer func() {
		for i, r := range rs[next:] {
			if returned {
				discard(out[next+i])
				r.Release()
			} else { // a panic: somebody may still use the buffer
				r.forfeit()
			}
		}
		clear(rs)
		clear(out)
	}()
	start := c.observeStart()
	if len(rs) == 1 {
		out[0] = c.server.gatherer.Serve(ctx, rs[0])
	} else {
		c.server.gatherer.ServeAll(ctx, rs, out)
	}
	var served time.Time
	if c.server.o.Observer != nil {
		served = time.Now()
		c.server.inHandler.Add(int64(served.Sub(start)))
	}
	for ; next < len(rs) && err == nil; next++ {
		rs[next].served = served
		err = c.answer(rs[next], out[next])
	}
	returned = true
	return err
}

func (c *conn) decode(r *Request, frame []byte) error {
	h, body, err := protocol.ParseRequestHeader(frame)
	r.Header = h
	if err != nil {
		return err
	}
	if api, _ := protocol.LookupAPI(h.Key); api.Scope&c.info.Scope == 0 {
		return &protocol.UnsupportedError{Key: h.Key, Version: h.Version}
	}
	if r.Body, err = protocol.DecodeRequest(h, body); err != nil {
		return err
	}
	if q, ok := r.Body.(*kmsg.ApiVersionsRequest); ok && h.Version >= 3 && softwareOK(q) {
		c.info.ClientSoftwareName, c.info.ClientSoftwareVersion = q.ClientSoftwareName, q.ClientSoftwareVersion
	}
	return nil
}

// unsupportedAPIVersions is the answer to an ApiVersions request of an unknown version: in the v0 format, error 35 and
// the range of this one API, so that the client can ask again (KIP-511; as Apache Kafka 4.4 answers).
func unsupportedAPIVersions(r *Request) kmsg.Response {
	r.Header.Version = 0
	api, _ := protocol.LookupAPI(protocol.APIVersionsKey)
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode = 35
	resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: api.Key, MinVersion: api.AdvertisedMin, MaxVersion: api.MaxVersion}}
	return resp
}

// softwareOK is KIP-511's rule for the name and the version of a client: letters, digits, and - or . between them.
func softwareOK(q *kmsg.ApiVersionsRequest) bool {
	for _, s := range [...]string{q.ClientSoftwareName, q.ClientSoftwareVersion} {
		for i := range len(s) {
			b := s[i]
			alnum := b >= '0' && b <= '9' || b|0x20 >= 'a' && b|0x20 <= 'z'
			if !alnum && (b != '-' && b != '.' || i == 0 || i == len(s)-1) {
				return false
			}
		}
		if s == "" {
			return false
		}
	}
	return true
}

// answer sends the response, or puts the request in line, and returns when the next request may be read.
func (c *conn) answer(r *Request, resp Response) error {
	p, ok := resp.(*Pending)
	if !ok {
		return c.answerNow(r, resp, false)
	}
	r.pending = p
	if resp, done := p.attach(r); done {
		return c.answerNow(r, resp, p.pipelined)
	}
	if err := c.flushIfOwner(); err != nil {
		return err
	}
	if !p.pipelined && c.waitInPlace(r) {
		return c.answerNow(r, r.response, false)
	}
	c.lineUp(r)
	if p.pipelined {
		return c.hold(func() bool {
			return c.outstanding < maxOutstanding && c.outstandingBytes < maxOutstandingBytes
		})
	}
	return c.hold(c.lineEmptyLocked)
}

// answerNow deals with a response that is known: it is written, or put in line behind others. Only what may be pipelined
// lets the next request be read before that line is done.
func (c *conn) answerNow(r *Request, resp Response, pipelined bool) error {
	if c.owner() {
		return c.write(r, resp)
	}
	r.response = resp
	c.lineUp(r)
	if pipelined {
		return nil
	}
	return c.hold(c.lineEmptyLocked)
}

// owner tells the read goroutine whether it owns the write side.
func (c *conn) owner() bool {
	if c.lined {
		c.mu.Lock()
		c.lined = !c.lineEmptyLocked()
		c.mu.Unlock()
	}
	return !c.lined
}

// flushIfOwner sends what has been coalesced, since a response is not to wait for one that is not known yet.
func (c *conn) flushIfOwner() error {
	if c.owner() && len(c.out) > 0 {
		return c.flush()
	}
	return nil
}

// waitInPlace waits for the response of r on the read goroutine, which saves a second one for most long polls. It gives
// up when others are before r in line, and after a while, since meanwhile nobody would notice that the client has gone.
func (c *conn) waitInPlace(r *Request) bool {
	c.mu.Lock()
	if r.response != nil {
		c.mu.Unlock()
		return true
	}
	if !c.lineEmptyLocked() {
		c.mu.Unlock()
		return false
	}
	c.inPlace = r
	c.mu.Unlock()
	t := time.NewTimer(watchAfter)
	defer t.Stop()
	for waiting := true; waiting; {
		select {
		case <-c.wake:
		case <-t.C:
			waiting = false
		}
		c.mu.Lock()
		if r.response != nil || c.fate.Load() != 0 {
			waiting = false
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inPlace = nil
	return r.response != nil
}

func (c *conn) lineUp(r *Request) {
	c.lined = true
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pushLocked(r)
	c.startDrainLocked()
}

func (c *conn) pushLocked(r *Request) {
	if c.tail == nil {
		c.head = r
	} else {
		c.tail.next = r
	}
	c.tail = r
	c.outstanding++
	c.outstandingBytes += r.Size
}

func (c *conn) popLocked() *Request {
	r := c.head
	c.head, r.next = r.next, nil
	if c.head == nil {
		c.tail = nil
	}
	c.outstanding--
	c.outstandingBytes -= r.Size
	return r
}

func (c *conn) lineEmptyLocked() bool { return c.head == nil && !c.draining }

// startDrainLocked has the line written if its first response is known.
func (c *conn) startDrainLocked() {
	if c.draining || c.dead || c.head == nil || c.head.response == nil {
		return
	}
	c.draining = true
	if c.drainer == nil {
		c.drainer = func() {
			defer c.server.wg.Done()
			c.drain()
		}
	}
	c.server.wg.Add(1) // the read goroutine is counted there too and outlives this one
	go c.drainer()
}

// completed is called once for a request that waits, from any goroutine.
func (c *conn) completed(r *Request, resp Response) {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		discard(resp)
		r.Release()
		return
	}
	r.response = resp
	inPlace := c.inPlace == r
	c.startDrainLocked()
	c.mu.Unlock()
	if inPlace {
		c.signal()
	}
}

// drain writes the line up to the first request that waits.
func (c *conn) drain() {
	err := c.guarded(func() error {
		for {
			r, more := c.nextInLine()
			switch {
			case r != nil:
				if err := c.write(r, r.response); err != nil {
					return err
				}
				c.signal()
			case !more:
				return nil
			default:
				if err := c.flush(); err != nil {
					return err
				}
			}
		}
	})
	if err != nil {
		c.cutOff(fateWrite, err)
		c.mu.Lock()
		c.draining = false
		c.mu.Unlock()
	}
	c.signal()
}

// nextInLine returns the next request to be written. With none it says whether something is left to be flushed; if not,
// the write side is given up.
func (c *conn) nextInLine() (r *Request, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		c.draining = false
		return nil, false
	}
	if c.head != nil && c.head.response != nil {
		return c.popLocked(), true
	}
	if len(c.out) > 0 {
		return nil, true
	}
	c.draining = false
	return nil, false
}

// hold returns when ready, which is called with mu held. After a while it reads ahead, as far as the read buffer goes,
// to notice that the client has gone.
func (c *conn) hold(ready func() bool) error {
	isReady := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return ready()
	}
	if isReady() {
		return nil
	}
	t := time.NewTimer(watchAfter)
	defer t.Stop()
	for watch := false; !isReady(); {
		if c.fate.Load() != 0 {
			return net.ErrClosed
		}
		if watch && c.w < len(c.rb) && !c.server.stopping.Load() {
			if err := c.readAhead(ready); err != nil && !c.server.stopping.Load() {
				return err
			}
			continue
		}
		select {
		case <-c.wake:
		case <-t.C:
			watch = true
		}
	}
	return nil
}

// readAhead reads once, unless ready, until signal calls it back: what it waits for may have come when the client has
// nothing more to send.
func (c *conn) readAhead(ready func() bool) error {
	c.mu.Lock()
	if ready() {
		c.mu.Unlock()
		return nil
	}
	c.ahead = true
	c.mu.Unlock()
	c.enter(phaseWatch)
	n, err := c.nc.Read(c.rb[c.w:])
	c.w += n
	c.server.bytesIn.Add(int64(n))
	c.mu.Lock()
	called := c.called
	c.ahead, c.called = false, false
	c.mu.Unlock()
	if !called {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = nil
	}
	deadline := time.Time{}
	for {
		if derr := c.nc.SetReadDeadline(deadline); derr != nil {
			return derr
		}
		if !c.server.stopping.Load() || !deadline.IsZero() {
			return err
		}
		deadline = past // Shutdown set it, and that was undone
	}
}

// past is a deadline that ends a read at once.
var past = time.Unix(1, 0)

// finish is the end of a connection of a server that stops: what has been asked is answered.
func (c *conn) finish() error {
	if err := c.hold(c.lineEmptyLocked); err != nil {
		return err
	}
	if len(c.out) > 0 {
		return c.flush()
	}
	return nil
}

// signal tells the read goroutine that something has changed, also one that reads ahead.
func (c *conn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead && !c.called {
		c.called = true
		_ = c.nc.SetReadDeadline(past) // of a connection that is closed, the read has ended
	}
}

// net is the connection for goroutines other than the read goroutine, which may replace it.
func (c *conn) net() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nc
}

func (c *conn) setNet(nc net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = nc
}

// cutOff ends the connection from another goroutine than its read goroutine, which notices.
func (c *conn) cutOff(f fate, cause error) {
	if c.fate.CompareAndSwap(0, int32(f)) {
		c.cancel(cause)
		c.net().Close()
		c.signal()
	}
}

// end releases everything; the read goroutine calls it last.
func (c *conn) end(err error) {
	c.fate.CompareAndSwap(0, int32(fateOf(err)))
	c.cancel(err)
	c.net().Close()
	c.mu.Lock()
	c.dead = true
	line := c.head
	for c.draining {
		c.mu.Unlock()
		<-c.wake
		c.mu.Lock()
		line = c.head
	}
	c.head, c.tail, c.inPlace = nil, nil, nil
	c.mu.Unlock()
	for r := line; r != nil; {
		next := r.next
		r.next = nil
		if r.response != nil {
			discard(r.response)
			r.Release()
		} else if r.pending != nil && r.pending.abandon != nil {
			r.pending.abandon()
		}
		r = next
	}
	if held := c.held.Load(); held > 0 { // a panic while a frame was read
		c.server.gate.budget.free(held)
	}
	c.dropReadBuffer()
	c.dropOut()
	c.server.remove(c, err)
}

// guarded turns a panic into an error. A broken invariant is passed on: nothing may go on after it.
func (c *conn) guarded(f func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if _, broken := v.(invariantFailure); broken {
			panic(v)
		}
		err = &panicError{v, debug.Stack()}
	}()
	return f()
}

// invariantFailure is the panic of a broken invariant.
type invariantFailure interface{ InvariantFailure() }

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }
