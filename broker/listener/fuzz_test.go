package listener_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
)

// connect serves one end of an in-memory connection and returns the other.
func connect(s *listener.Server) net.Conn {
	ours, theirs := net.Pipe()
	s.ServeConn(theirs)
	return ours
}

// serveSocket serves on a socket that is no TCP port: thousands of connections a second leave nothing behind. A socket, unlike
// a pipe, can be read without waiting.
func serveSocket(tb testing.TB, s *listener.Server) (dial func(testing.TB) net.Conn) {
	tb.Helper()
	dir, err := os.MkdirTemp("", "dmq") //nolint:usetesting // the name of a socket must be short
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		tb.Fatal(err)
	}
	s.Serve(l)
	return func(tb testing.TB) net.Conn {
		nc, err := net.Dial("unix", path)
		if err != nil {
			tb.Fatal(err)
		}
		return nc
	}
}

// FuzzFrames cuts a stream of requests into pieces of any size: each is answered, in order, and once.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6}, []byte{1})
	f.Add([]byte{0, 9, 10, 11, 200, 250, 4}, []byte{255, 1, 7})
	f.Add(bytes.Repeat([]byte{1}, 200), []byte{250, 250, 3})
	f.Add([]byte{255, 254, 253, 252}, []byte{0})
	o := options(handlerFunc(func(ctx context.Context, r *listener.Request) listener.Response {
		q, ok := r.Body.(*kmsg.ProduceRequest)
		if !ok {
			return echo(ctx, r)
		}
		b := q.Topics[0].Partitions[0].Records
		if !bytes.Equal(b, bytes.Repeat([]byte{byte(r.Header.CorrelationID)}, len(b))) {
			return listener.Close{}
		}
		p := listener.NewPending(true)
		go p.Complete(listener.Reply{Message: echoReply(r)})
		return p
	}))
	o.Gate = listener.NewGate(16 << 20)
	o.Gate.Poison()
	s := listener.New(o)
	f.Cleanup(func() { s.Close() })
	dialSocket := serveSocket(f, s)
	f.Fuzz(func(t *testing.T, kinds, cuts []byte) {
		var stream []byte
		for i, k := range kinds[:min(len(kinds), 300)] {
			switch {
			case k < 100:
				stream = append(stream, ping(int32(i))...)
			case k < 150:
				stream = append(stream, metadata(int32(i))...)
			default:
				stream = append(stream, produce(int32(i), int(k-150)*int(k-150)*20)...)
			}
		}
		nc := dialSocket(t)
		defer nc.Close()
		go func() {
			for i := 0; len(stream) > 0; i++ {
				n := len(stream)
				if len(cuts) > 0 {
					n = 1 + int(cuts[i%len(cuts)])*int(cuts[i%len(cuts)])
				}
				n = min(n, len(stream))
				if _, err := nc.Write(stream[:n]); err != nil {
					return
				}
				stream = stream[n:]
			}
		}()
		c := &client{t, nc}
		for i := range kinds[:min(len(kinds), 300)] {
			c.wantCorr(int32(i))
		}
	})
}

// FuzzConnection sends anything to a live listener: nothing panics, nothing is kept, and the next client is served.
func FuzzConnection(f *testing.F) {
	f.Add(ping(1))
	f.Add([]byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00})
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0})
	f.Add(slices.Concat(metadata(1), produce(2, 100), fetch(3), ping(4)[:9]))
	for _, api := range protocol.APIs() {
		req := kmsg.RequestForKey(api.Key)
		req.SetVersion(api.MaxVersion)
		f.Add(frame(7, req))
	}
	o := options(handlerFunc(echo))
	o.Gate = listener.NewGate(16 << 20)
	o.Logger = slog.New(slog.DiscardHandler)
	s := listener.New(o)
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, data []byte) {
		nc := connect(s)
		go io.Copy(io.Discard, nc)
		nc.Write(data)
		nc.Close()
		good := connect(s)
		defer good.Close()
		c := &client{t, good}
		c.send(ping(9))
		c.wantCorr(9)
		if st := s.Stats(); st.Panics != 0 {
			t.Fatalf("got %d panics", st.Panics)
		}
		eventually(t, "all memory given back", func() bool { return o.Gate.Used() == 0 })
	})
}
