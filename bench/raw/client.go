package raw

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Client is one connection. It is not safe for concurrent use, but one goroutine may write while another reads.
type Client struct {
	nc  net.Conn
	br  *bufio.Reader
	buf []byte // of the last response
}

// Connect dials a broker and says hello.
func Connect(ctx context.Context, addr string) (*Client, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Client{nc: nc, br: bufio.NewReaderSize(nc, 64<<10)}
	if err := c.Within(ctx, func() error {
		_, err := c.Call(kmsg.NewPtrApiVersionsRequest())
		return err
	}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Within has do end, with an error, when the context does: the connection is closed then.
func (c *Client) Within(ctx context.Context, do func() error) error {
	stop := context.AfterFunc(ctx, c.Close)
	err := do()
	if !stop() {
		return errors.Join(context.Cause(ctx), err)
	}
	return err
}

// Close ends the connection.
func (c *Client) Close() { c.nc.Close() }

// Call sends a request and reads its response.
func (c *Client) Call(req kmsg.Request) (kmsg.Response, error) {
	if err := c.Write(Frame(req)); err != nil {
		return nil, err
	}
	return c.Read(req.ResponseKind())
}

// Write sends an encoded request.
func (c *Client) Write(frame []byte) error {
	_, err := c.nc.Write(frame)
	return err
}

// Read reads the next response.
func (c *Client) Read(resp kmsg.Response) (kmsg.Response, error) {
	b, err := c.ReadFrame()
	if err != nil {
		return nil, err
	}
	return resp, Decode(b, resp)
}

// ReadFrame reads the next response as it is, without its length. It is valid until the next read.
func (c *Client) ReadFrame() ([]byte, error) {
	size, err := c.br.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size))
	if _, err := c.br.Discard(4); err != nil {
		return nil, err
	}
	if n > cap(c.buf) {
		c.buf = make([]byte, n)
	}
	_, err = io.ReadFull(c.br, c.buf[:n])
	return c.buf[:n], err
}

// Decode decodes a frame that was read.
func Decode(frame []byte, resp kmsg.Response) error {
	b := frame[4:]
	if resp.IsFlexible() && resp.Key() != 18 {
		b = b[1:]
	}
	return resp.ReadFrom(b)
}

// Frame encodes a request with its length.
func Frame(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("wire")).AppendRequest(nil, req, 1)
}
