package listener_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
)

// handlerFunc is a Gatherer made of a function.
type handlerFunc func(ctx context.Context, r *listener.Request) listener.Response

func (f handlerFunc) Serve(ctx context.Context, r *listener.Request) listener.Response {
	return f(ctx, r)
}

// Gathers and ServeAll make it a Gatherer of produces.
func (handlerFunc) Gathers(r *listener.Request) bool { return r.Header.Key == 0 }

func (f handlerFunc) ServeAll(ctx context.Context, rs []*listener.Request, out []listener.Response) {
	for i, r := range rs {
		out[i] = f(ctx, r)
	}
}

// echo answers ApiVersions with the client id as the first feature's name and Produce with its topics.
func echo(_ context.Context, r *listener.Request) listener.Response {
	return listener.Reply{Message: echoReply(r)}
}

func echoReply(r *listener.Request) kmsg.Response {
	switch q := r.Body.(type) {
	case *kmsg.ApiVersionsRequest:
		resp := kmsg.NewPtrApiVersionsResponse()
		resp.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 18, MaxVersion: int16(r.Size)}}
		return resp
	case *kmsg.ProduceRequest:
		resp := kmsg.NewPtrProduceResponse()
		for i := range q.Topics {
			resp.Topics = append(resp.Topics, kmsg.ProduceResponseTopic{Topic: q.Topics[i].Topic})
		}
		return resp
	}
	return r.Body.ResponseKind()
}

func options(h listener.Handler) listener.Options {
	return listener.Options{
		Name: "PLAINTEXT", Scope: protocol.ScopeBroker, Handler: h, Logger: slog.New(slog.DiscardHandler),
	}
}

// startTCP serves on a loopback port until the test ends.
func startTCP(t testing.TB, o listener.Options) (*listener.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := listener.New(o)
	s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return s, l.Addr().String()
}

// client is a connection that speaks in frames.
type client struct {
	t  testing.TB
	nc net.Conn
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return &client{t, nc}
}

// pipe connects a client to s in memory.
func pipe(t testing.TB, s *listener.Server) *client {
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	t.Cleanup(func() { ours.Close() })
	return &client{t, ours}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// recv returns the next response without its length, and its correlation id.
func (c *client) recv() (corr int32, body []byte) {
	c.t.Helper()
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		c.t.Fatalf("receive: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c.nc, b); err != nil {
		c.t.Fatalf("receive %d bytes: %v", len(b), err)
	}
	return int32(binary.BigEndian.Uint32(b)), b[4:]
}

func (c *client) wantCorr(want ...int32) {
	c.t.Helper()
	for _, w := range want {
		if got, _ := c.recv(); got != w {
			c.t.Fatalf("got the response to request %d, want %d", got, w)
		}
	}
}

// wantClosed reads until the server closes the connection, and expects no byte before.
func (c *client) wantClosed() {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(time.Minute))
	n, err := io.Copy(io.Discard, c.nc)
	if n != 0 || err != nil && !isReset(err) {
		c.t.Fatalf("got %d bytes and %v, want the connection closed without an answer", n, err)
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.ErrClosedPipe) || errors.As(err, &op) && !op.Timeout()
}

// silent expects that nothing comes for now.
func (c *client) silent() {
	c.t.Helper()
	c.nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	var b [1]byte
	if n, err := c.nc.Read(b[:]); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("got %d bytes and %v, want silence", n, err)
	}
	c.nc.SetReadDeadline(time.Time{})
}

// frame encodes a request with its length.
func frame(corr int32, req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, corr)
}

func ping(corr int32) []byte {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = 0
	return frame(corr, req)
}

func produce(corr int32, records int) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, -1, 1000
	req.Topics = []kmsg.ProduceRequestTopic{{
		Topic:      "topic",
		Partitions: []kmsg.ProduceRequestTopicPartition{{Records: bytes.Repeat([]byte{byte(corr)}, records)}},
	}}
	return frame(corr, req)
}

func metadata(corr int32) []byte {
	req := kmsg.NewPtrMetadataRequest()
	req.Version = 5
	return frame(corr, req)
}

func fetch(corr int32) []byte {
	req := kmsg.NewPtrFetchRequest()
	req.Version = 12
	return frame(corr, req)
}

// region is a Region on the heap or, with file set, one that has to be read.
type region struct {
	b      []byte
	file   bool
	short  int // bytes that are missing when it is read
	closed atomic.Int32
}

func (r *region) Size() int { return len(r.b) }

func (r *region) Bytes() []byte {
	if r.file {
		return nil
	}
	return r.b
}

func (r *region) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(r.b[:len(r.b)-r.short]).ReadAt(p, off)
}

func (r *region) Close() error {
	r.closed.Add(1)
	return nil
}

// eventually waits for a condition of another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	timeout := time.After(time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
