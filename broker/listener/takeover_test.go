package listener_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/distributedmq/dmq/broker/listener"
)

// TestTakeover: a connection that begins with what is no Kafka frame is handed over whole; others are served, and the end of the
// server ends what was handed over.
func TestTakeover(t *testing.T) {
	taken := make(chan []byte, 1)
	ended := make(chan error, 1)
	o := options(handlerFunc(echo))
	o.Takeover = func(_ context.Context, nc net.Conn) {
		b := make([]byte, 5)
		if _, err := io.ReadFull(nc, b); err != nil {
			t.Error(err)
		}
		taken <- b
		_, err := nc.Read(b)
		ended <- err
	}
	s := listener.New(o)
	client, server := net.Pipe()
	s.ServeConn(server)
	for _, part := range []string{"\x80h", "ell"} {
		if _, err := client.Write([]byte(part)); err != nil {
			t.Fatal(err)
		}
	}
	if got := string(<-taken); got != "\x80hell" {
		t.Errorf("got %q", got)
	}
	other, server := net.Pipe()
	s.ServeConn(server)
	if _, err := other.Write([]byte{0, 0, 0, 1, 0}); err != nil { // a frame that is too short
		t.Fatal(err)
	}
	if _, err := other.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the other connection: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("what was handed over goes on after Close")
	}
}
