package listener

import (
	"bytes"
	"context"
	"net"
)

// foreign is the lowest first byte of what cannot be a Kafka frame: its length would be negative.
const foreign = 0x80

// offer hands the connection over to Options.Takeover if what comes first is no Kafka frame, and says whether it did. Then
// the connection is at its end.
func (c *conn) offer(ctx context.Context) (taken bool, err error) {
	if c.server.o.Takeover == nil {
		return false, nil
	}
	if err := c.need(1); err != nil {
		return false, err
	}
	if c.rb[c.r] < foreign {
		return false, nil
	}
	c.enter(phaseServe) // whoever takes over has deadlines of its own
	c.proven.Store(true)
	c.server.o.Takeover(ctx, &takenConn{Conn: c.nc, first: bytes.Clone(c.rb[c.r:c.w])})
	return true, nil
}

// takenConn is a connection of which the first bytes have been read.
type takenConn struct {
	net.Conn
	first []byte
}

// Read implements net.Conn.
func (c *takenConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
