package listener

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/distributedmq/dmq/protocol"
)

// Sizes of reading.
const (
	smallRead  = 1 << 10  // the buffer every connection has
	largeRead  = 16 << 10 // the one it gets while many small requests come at a time
	firstLimit = 64 << 10 // the first frame of a connection, unless it is a Produce
	wideLimit  = 16 << 20 // frames that are no Produce: decoded, they take many times their size
	minHeader  = 8        // key, version, correlation id
)

var errFrameSize = errors.New("frame size out of bounds")

func errOr(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return err
}

// nextFrame reads one frame into a buffer of its own.
//
// What has been received sets how much memory is taken, not what the frame's length claims: up to smallRead bytes wait
// in the connection's own buffer; beyond, a connection that has sent no complete request yet gets twice what it has
// sent, and one that has gets four times its largest request so far, doubled when it is full.
func (c *conn) nextFrame(ctx context.Context) (*buffer, int, error) {
	if err := c.need(4); err != nil {
		return nil, 0, err
	}
	c.enter(phaseFrame)
	size := int(int32(binary.BigEndian.Uint32(c.rb[c.r:])))
	if size < minHeader || size > c.server.o.MaxRequestBytes {
		return nil, 0, fmt.Errorf("%w: %d", errFrameSize, size)
	}
	if err := c.need(4 + minHeader); err != nil {
		return nil, 0, err
	}
	c.r += 4
	if size > firstLimit {
		if err := c.mayBeLarge(size); err != nil {
			return nil, 0, err
		}
	}
	b, err := c.readBody(ctx, size)
	return b, size, err
}

// mayBeLarge looks at the first bytes of a large frame before more of it is read.
func (c *conn) mayBeLarge(size int) error {
	key := int16(binary.BigEndian.Uint16(c.rb[c.r:]))
	version := int16(binary.BigEndian.Uint16(c.rb[c.r+2:]))
	api, ok := protocol.LookupAPI(key)
	switch {
	case !ok || version < api.MinVersion || version > api.MaxVersion:
		return &protocol.UnsupportedError{Key: key, Version: version}
	// Producers that know their broker may begin with a Produce.
	case c.largest == 0 && key != produceKey:
		return fmt.Errorf("%w: %d bytes in the first frame", errFrameSize, size)
	case size > wideLimit && key != produceKey:
		return fmt.Errorf("%w: %s of %d bytes", errFrameSize, api.Name, size)
	}
	return nil
}

func (c *conn) readBody(ctx context.Context, size int) (b *buffer, err error) {
	have := min(size, c.buffered())
	if have < size && size <= len(c.rb) {
		if err := c.need(size); err != nil {
			return nil, err
		}
		have = size
	}
	if b, err = c.frameBuffer(ctx, min(size, c.allowance(have)), 0); err != nil {
		return nil, err
	}
	copy(b.b, c.rb[c.r:c.r+have])
	c.r += have
	for have < size {
		if have == len(b.b) {
			if b, err = c.grow(ctx, b, min(size, max(2*have, c.allowance(have)))); err != nil {
				return nil, err
			}
		}
		if n := copy(b.b[have:min(len(b.b), size)], c.rb[c.r:c.w]); n > 0 { // read while requests before it were served
			c.r += n
			have += n
			continue
		}
		// Reading a little further than the frame's end saves a system call for the next one.
		end := min(len(b.b), size+smallRead)
		n, err := c.read(b.b[have:end])
		have += n
		if errors.Is(err, errWouldBlock) {
			if err = c.serveGathered(ctx); err == nil {
				c.enter(phaseFrame)
				continue
			}
		}
		if have < size && err != nil {
			c.giveFrame(b)
			return nil, errOr(err)
		}
		c.got.Store(int64(have))
	}
	c.giveBack(b.b[size:have])
	c.held.Store(0)
	return b, nil
}

// allowance is how large a buffer may be for a frame of which have bytes have come.
func (c *conn) allowance(have int) int {
	if c.largest == 0 {
		return max(1<<minClassBits, 2*have)
	}
	return max(32<<10, 4*c.largest, 2*have)
}

func (c *conn) grow(ctx context.Context, b *buffer, size int) (*buffer, error) {
	next, err := c.frameBuffer(ctx, size, 1)
	if err != nil {
		c.giveFrame(b)
		return nil, err
	}
	copy(next.b, b.b)
	c.server.gate.put(b)
	return next, nil
}

// frameBuffer leases a buffer. A connection in line for one is not stalling.
func (c *conn) frameBuffer(ctx context.Context, size int, held int64) (*buffer, error) {
	b := c.server.gate.try(size)
	if b == nil {
		c.enter(phaseServe)
		err := c.serveGathered(ctx) // they hold memory
		if err != nil {
			return nil, err
		}
		if b, err = c.server.gate.wait(ctx, size, held); err != nil {
			return nil, err
		}
		c.enter(phaseFrame)
	}
	c.held.Store(b.lease)
	return b, nil
}

func (c *conn) giveFrame(b *buffer) {
	c.held.Store(0)
	c.server.gate.put(b)
}

func (c *conn) buffered() int { return c.w - c.r }

// need makes sure that n bytes are in the read buffer; it waits for the first of them as an idle connection.
func (c *conn) need(n int) error {
	for c.buffered() < n {
		if c.buffered() == 0 {
			c.enter(phaseIdle)
		}
		if err := c.fill(n); err != nil {
			if c.buffered() > 0 && errors.Is(err, io.EOF) {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		c.enter(phaseFrame)
		c.got.Store(int64(c.buffered()))
	}
	return nil
}

// fill reads once into the read buffer, in which there is to be room for n bytes.
func (c *conn) fill(n int) error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		c.fitReadBuffer()
	case c.w == len(c.rb) || c.r+n > len(c.rb):
		if c.w == len(c.rb) && len(c.rb) == smallRead {
			c.growReadBuffer()
		} else {
			c.w = copy(c.rb, c.rb[c.r:c.w])
			c.r = 0
		}
	}
	k, err := c.read(c.rb[c.w:])
	if errors.Is(err, errWouldBlock) { // serving may read ahead: the caller looks again
		return c.serveGathered(c.ctx())
	}
	c.w += k
	c.lastFill = k
	if k > 0 || err == nil {
		return nil
	}
	return err
}

// fitReadBuffer returns to the small buffer when the requests that come at a time fit into it again.
func (c *conn) fitReadBuffer() {
	if len(c.rb) > smallRead && c.lastFill <= smallRead {
		c.dropReadBuffer()
	}
}

func (c *conn) dropReadBuffer() {
	if c.large != nil {
		c.server.gate.toPool(c.large)
		c.server.gate.budget.unreserve(largeRead)
		c.large, c.rb = nil, c.small[:]
	}
}

// growReadBuffer takes a large buffer, where one is to be had, and moves what has been read to its beginning.
func (c *conn) growReadBuffer() {
	from := c.rb[c.r:c.w]
	if g := c.server.gate; g.budget.reserve(largeRead) {
		c.large = g.fromPool(largeRead)
		c.rb = c.large.b[:largeRead]
	}
	c.w = copy(c.rb, from)
	c.r = 0
}

// giveBack puts what was read beyond a frame into the read buffer, which is empty.
func (c *conn) giveBack(b []byte) {
	if len(b) > 0 {
		c.r, c.w = 0, copy(c.rb, b)
	}
}

// read reads once. Requests that are held back are served, and responses that are ready are sent, before it would block: at
// once when nothing of another request has come, which is the rule with a client that waits for each answer, and else
// when there is nothing left to read. Requests are the caller's to serve: then it returns errWouldBlock.
func (c *conn) read(p []byte) (int, error) {
	if held := len(c.gathered) > 0; held || c.owner() && len(c.out) > 0 {
		if c.buffered() > 0 || &p[0] != &c.rb[0] {
			n, err := c.tryRead(p)
			if n > 0 || !errors.Is(err, errWouldBlock) {
				c.server.bytesIn.Add(int64(n))
				return n, err
			}
		}
		if held {
			return 0, errWouldBlock
		}
		if err := c.flush(); err != nil {
			return 0, err
		}
	}
	n, err := c.nc.Read(p)
	c.server.bytesIn.Add(int64(n))
	return n, err
}

// tryRead reads what has come; without anything it returns errWouldBlock.
func (c *conn) tryRead(p []byte) (int, error) {
	if c.try == nil {
		return 0, errWouldBlock
	}
	return c.try.read(p)
}
