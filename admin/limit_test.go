package admin_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/distributedmq/dmq/admin"
)

// Connections without a request make room for others; those with one do not, and whoever is too many waits for them.
func TestServer_ConnectionLimit(t *testing.T) {
	release := make(chan struct{})
	s := admin.New(admin.Options{
		Address: "127.0.0.1:0", MaxConnections: 3,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			<-release
			_, _ = io.WriteString(w, "done\n")
		}),
		Listen: new(net.ListenConfig).Listen,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	dial := func() net.Conn {
		nc, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = nc.Close() })
		return nc
	}
	ask := func(nc net.Conn, path string) {
		if _, err := io.WriteString(nc, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(nc net.Conn) {
		t.Helper()
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("got %d", resp.StatusCode)
		}
	}
	idle := make([]net.Conn, 10)
	for i := range idle { // each but the last ones is closed for those after it
		idle[i] = dial()
		ask(idle[i], "/livez")
		answered(idle[i])
	}
	if _, err := idle[0].Read(make([]byte, 1)); err == nil {
		t.Error("the connection that was idle for the longest time is still open")
	}
	var busy []net.Conn
	for range 5 {
		nc := dial()
		ask(nc, "/metrics")
		busy = append(busy, nc)
	}
	close(release)
	for _, nc := range busy {
		answered(nc)
		_ = nc.Close()
	}
}
