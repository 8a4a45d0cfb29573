package listener

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// Sizes of writing.
const (
	coalesce    = 32 << 10  // responses are sent when there is more than this
	writeChunk  = 256 << 10 // at most this in one write, so that progress shows
	sendBytes   = 256 << 10 // a send buffer: it stays in the processor's cache
	sendMin     = 16 << 10  // the send buffer while sendMax others are in use
	sendMax     = 128
	directBytes = 16 << 10  // regions in memory from here on are written without a copy
	kernelBytes = 128 << 10 // what the kernel holds unsent for a connection,
	kernelMore  = 512 << 10 // and for one that has read trustRead: fewer waits
	trustRead   = 8 << 20
	largeReply  = 32 << 10 // replies expected to be larger than this take part in the bound on unsent bytes
)

var errWouldBlock = errors.New("would block")

// closeError is a handler's wish to end the connection.
type closeError struct{ err error }

func (e *closeError) Error() string {
	if e.err == nil {
		return "closed by the handler"
	}
	return e.err.Error()
}

func (e *closeError) Unwrap() error { return e.err }

// write sends the response of r or appends it to what is sent soon. The caller owns the write side.
func (c *conn) write(r *Request, resp Response) (err error) {
	defer r.Release()
	if d, ok := resp.(Deferred); ok {
		resp = d()
	}
	start := c.observeStart()
	n := 0
	var message any
	switch v := resp.(type) {
	case Reply:
		message = v.Message
		n, err = c.writeReply(r, v)
	case *Encoded:
		message = v
		n, err = c.writeEncoded(r, v)
	case NoReply:
	case Close:
		if len(c.out) > 0 {
			err = c.flush()
		}
		err = errors.Join(&closeError{v.Err}, err)
	default:
		err = fmt.Errorf("handler of api key %d answered with a %T", r.Header.Key, resp)
	}
	if err == nil && c.server.o.Observer != nil {
		c.observe(r, message, n, start)
	}
	if e, ok := resp.(*Encoded); ok {
		e.recycle()
	}
	return err
}

func (c *conn) observeStart() (t time.Time) {
	if c.server.o.Observer != nil {
		t = time.Now()
	}
	return t
}

func (c *conn) observe(r *Request, message any, n int, start time.Time) {
	d := RequestDone{Request: r, Response: message, ResponseBytes: n, Local: r.served.Sub(r.Received), Send: time.Since(start)}
	c.server.inWrite.Add(int64(d.Send))
	if ready := r.kept; !ready.IsZero() && ready.After(r.served) {
		d.Remote = ready.Sub(r.served)
	}
	c.server.o.Observer.RequestDone(&d)
}

// writeReply encodes a reply behind those that wait to be sent. The memory for it follows the largest recent reply of
// its kind: growing a buffer step by step costs twenty times the encoding.
func (c *conn) writeReply(r *Request, v Reply) (int, error) {
	hint := c.server.replyHint(r.Header.Key)
	if len(c.out) > 0 && len(c.out)+hint > largeReply {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	if hint > largeReply {
		if err := c.server.awaitUnsent(c.ctx(), int64(hint)); err != nil {
			return 0, err
		}
	}
	c.needOut(hint)
	start := len(c.out)
	v.Message.SetVersion(r.Header.Version)
	out := append(c.out, 0, 0, 0, 0)
	out = protocol.AppendResponseHeader(out, r.Header)
	c.setOut(v.Message.AppendTo(out))
	n := len(c.out) - start
	if n-4 > math.MaxInt32 {
		return 0, fmt.Errorf("response of %d bytes to api key %d", n, r.Header.Key)
	}
	binary.BigEndian.PutUint32(c.out[start:], uint32(n-4))
	c.server.noteReply(r.Header.Key, n)
	if len(c.out) > coalesce {
		return n, c.flush()
	}
	return n, nil
}

// needOut makes room for n bytes behind what is in out.
func (c *conn) needOut(n int) {
	n = max(n, 512)
	if cap(c.out)-len(c.out) >= n {
		return
	}
	b := c.server.gate.fromPool(len(c.out) + n)
	out := append(b.b[:0], c.out...)
	c.dropOut()
	c.out, c.outb = out, b
}

// setOut takes in the result of an append to out, which may have moved it to memory of its own.
func (c *conn) setOut(out []byte) {
	if &out[0] != &c.outb.b[0] {
		c.server.gate.toPool(c.outb)
		class := floorClass(cap(out))
		size := 1 << (class + minClassBits)
		c.outb = &buffer{b: out[:size:size], class: class}
	}
	c.out = out
}

func (c *conn) dropOut() {
	if c.outb != nil {
		c.server.gate.toPool(c.outb)
	}
	c.out, c.outb = nil, nil
}

// flush writes the responses that wait. Their memory goes back, so that an idle connection holds none.
func (c *conn) flush() error {
	err := c.writeAll(c.out)
	c.dropOut()
	return err
}

// writeAll writes b in pieces, between which the sweeper sees progress.
func (c *conn) writeAll(b []byte) error {
	unsent := &c.server.unsent
	unsent.force(int64(len(b)))
	defer unsent.free(int64(len(b)))
	defer c.writing.Store(0)
	for len(b) > 0 {
		c.writing.Store(c.server.tick.Load() + 1)
		n, err := c.nc.Write(b[:min(len(b), writeChunk)])
		c.sent(n)
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// sent counts what was written. Whoever has read a lot is trusted with more of the kernel's memory.
func (c *conn) sent(n int) {
	c.server.bytesOut.Add(int64(n))
	if c.written < trustRead {
		if c.written += n; c.written >= trustRead {
			boundUnsent(c.nc, kernelMore)
		}
	}
}

// sender writes an Encoded: what is small is gathered in its buffer, what is in memory and large is written from where it
// is, what is in files is read into the buffer.
type sender struct {
	c     *conn
	b     []byte // the send buffer
	n     int    // filled
	from  int    // start of what is not in vecs yet
	total int    // in vecs
}

func (c *conn) writeEncoded(r *Request, e *Encoded) (n int, err error) {
	defer e.Discard()
	if len(c.out) > 0 {
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	b := c.server.sendBuffer()
	defer c.server.sendDone(b)
	s := sender{c: c, b: b.b}
	head := protocol.AppendResponseHeader(s.b[4:4], r.Header)
	size := len(head) + e.Size()
	if size > math.MaxInt32 {
		return 0, fmt.Errorf("response of %d bytes to api key %d", size, r.Header.Key)
	}
	binary.BigEndian.PutUint32(s.b, uint32(size))
	s.n = 4 + len(head)
	at := 0
	for i := range e.regions {
		p := &e.regions[i]
		if err := s.bytes(e.Head[at:p.at]); err != nil {
			return 0, err
		}
		at = p.at
		if err := s.region(p.region); err != nil {
			return 0, err
		}
	}
	if err := s.bytes(e.Head[at:]); err != nil {
		return 0, err
	}
	return 4 + size, s.flush()
}

// bytes copies p into the buffer, or sends it from where it is when it is large.
func (s *sender) bytes(p []byte) error {
	if len(p) >= directBytes {
		s.cut()
		s.c.vecs = append(s.c.vecs, p)
		s.total += len(p)
		if s.total >= 1<<20 || len(s.c.vecs) >= 64 {
			return s.flush()
		}
		return nil
	}
	for len(p) > 0 {
		n := copy(s.b[s.n:], p)
		s.n += n
		p = p[n:]
		if s.n == len(s.b) {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// region sends r. A file that is shorter than it was, and an I/O error, end the connection: the length has been sent.
func (s *sender) region(r Region) error {
	if b := r.Bytes(); b != nil {
		return s.bytes(b)
	}
	for off, size := 0, r.Size(); off < size; {
		n := min(size-off, len(s.b)-s.n)
		if err := readRegion(r, s.b[s.n:s.n+n], off); err != nil {
			return err
		}
		s.n += n
		off += n
		if s.n == len(s.b) {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// cut moves what has been gathered to vecs.
func (s *sender) cut() {
	if s.n > s.from {
		s.c.vecs = append(s.c.vecs, s.b[s.from:s.n])
		s.total += s.n - s.from
		s.from = s.n
	}
}

func (s *sender) flush() error {
	c := s.c
	s.cut()
	var err error
	if len(c.vecs) == 1 {
		err = c.writeAll(c.vecs[0])
	} else if len(c.vecs) > 0 {
		c.writing.Store(c.server.tick.Load() + 1)
		c.rest = c.vecs
		var n int64
		n, err = c.rest.WriteTo(c.nc)
		c.writing.Store(0)
		c.sent(int(n))
	}
	clear(c.vecs[:cap(c.vecs)])
	c.vecs = c.vecs[:0]
	s.n, s.from, s.total = 0, 0, 0
	return err
}
