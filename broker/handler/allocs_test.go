package handler_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
)

// serving returns a function that decodes and serves a request, without the connection around it.
func serving(tb testing.TB, s *stack, req kmsg.Request) func() {
	tb.Helper()
	body := req.AppendTo(nil)
	h := protocol.RequestHeader{Key: req.Key(), Version: req.GetVersion(), ClientID: "test"}
	conn := &listener.ConnInfo{ListenerName: "PLAINTEXT", Scope: protocol.ScopeBroker}
	return func() {
		decoded, err := protocol.DecodeRequest(h, body)
		if err != nil {
			tb.Fatal(err)
		}
		switch resp := s.handler.Serve(context.Background(), &listener.Request{Header: h, Body: decoded, Conn: conn}).(type) {
		case *listener.Encoded:
			resp.Discard()
		case *listener.Pending:
		default:
			tb.Fatalf("%T answered with %T", req, resp)
		}
	}
}

func serveProduce(tb testing.TB) func() {
	tb.Helper()
	s := newStack(tb)
	s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, _ func()) bool {
		parts[0].Result = replica.AppendResult{BaseOffset: 5, LogAppendTime: -1}
		return true
	}
	return serving(tb, s, produce(9, -1, produced{topic: "orders", records: batch(tb, 10)}))
}

func serveFetch(tb testing.TB) func() {
	tb.Helper()
	s := newStack(tb)
	res := readable("records", nil)
	res.Records = plain("records")
	s.replicas.read = func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult { return res }
	return serving(tb, s, fetch(12, fetched{topic: "orders"}))
}

// plain is a region that costs nothing.
type plain string

func (p plain) Size() int                               { return len(p) }
func (p plain) Bytes() []byte                           { return nil }
func (p plain) ReadAt(b []byte, off int64) (int, error) { return copy(b, p[off:]), nil }
func (p plain) Close() error                            { return nil }

// TestAllocations holds decoding and serving, the connection's Request included, to their part of the budget: 12 for a
// Produce and 10 for a Fetch with everything that replica manager and log add.
func TestAllocations(t *testing.T) {
	for name, tc := range map[string]struct {
		serve func()
		most  float64
	}{
		"produce": {serveProduce(t), 8},
		"fetch":   {serveFetch(t), 9},
	} {
		got := testing.AllocsPerRun(200, tc.serve)
		if got > tc.most && !raceEnabled {
			t.Errorf("%s: %v allocations, at most %v", name, got, tc.most)
		}
		t.Logf("%s: %v allocations", name, got)
	}
}

func BenchmarkServe(b *testing.B) {
	for name, serve := range map[string]func(){"api=produce": serveProduce(b), "api=fetch": serveFetch(b)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}
