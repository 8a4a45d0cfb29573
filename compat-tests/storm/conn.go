package storm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// conn is a connection of a raw member. It dials again when it was lost.
type conn struct {
	where       func(context.Context) (addr string, err error) // whom to dial
	clientID    string
	c           net.Conn
	correlation int32
}

// heldTimeout is how long a broker may hold a request: longer than any rebalance.
const heldTimeout = 60 * time.Second

// ask sends a request and reads its answer. An error is of the connection, and says nothing of what became of the request.
func (c *conn) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, err := c.try(ctx, req)
	if err != nil {
		c.cut()
	}
	return resp, err
}

func (c *conn) try(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if c.c == nil {
		addr, err := c.where(ctx)
		if err != nil {
			return nil, err
		}
		d := net.Dialer{Timeout: 5 * time.Second}
		if c.c, err = d.DialContext(ctx, "tcp", addr); err != nil {
			return nil, err
		}
	}
	if err := c.c.SetDeadline(time.Now().Add(heldTimeout)); err != nil {
		return nil, err
	}
	nc := c.c // the connection may have been cut when the function runs
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c.correlation++
	if _, err := c.c.Write(c.frame(req)); err != nil {
		return nil, err
	}
	return c.read(req)
}

// frame is a whole request, with its size.
func (c *conn) frame(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID(c.clientID)).AppendRequest(nil, req, c.correlation)
}

func (c *conn) read(req kmsg.Request) (kmsg.Response, error) {
	var head [8]byte
	if _, err := io.ReadFull(c.c, head[:]); err != nil {
		return nil, err
	}
	size, id := binary.BigEndian.Uint32(head[:]), int32(binary.BigEndian.Uint32(head[4:]))
	if id != c.correlation || size < 4 || size > 64<<20 {
		return nil, fmt.Errorf("an answer of %d bytes to request %d, want %d", size, id, c.correlation)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(c.c, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() {
		if len(body) == 0 {
			return nil, errors.New("an answer without tags")
		}
		body = body[1:]
	}
	return resp, resp.ReadFrom(body)
}

// cut ends the connection at once, as a crash does.
func (c *conn) cut() {
	if c.c == nil {
		return
	}
	if t, ok := c.c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.c.Close()
	c.c = nil
}
