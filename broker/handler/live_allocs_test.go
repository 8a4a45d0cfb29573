package handler_test

import (
	"encoding/binary"
	"io"
	"math"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	commitlog "github.com/distributedmq/dmq/log"
)

// roundTrip returns a function that sends a request and reads its response, without an allocation of its own.
func roundTrip(tb testing.TB, c *client, req kmsg.Request) func() {
	tb.Helper()
	frame := c.format.AppendRequest(nil, req, 1)
	buf := make([]byte, 1<<20)
	return func() {
		if _, err := c.nc.Write(frame); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[:4]); err != nil {
			tb.Fatal(err)
		}
		if _, err := io.ReadFull(c.nc, buf[4:4+binary.BigEndian.Uint32(buf)]); err != nil {
			tb.Fatal(err)
		}
	}
}

// liveRoundTrips are the hot requests over the whole stack.
func liveRoundTrips(tb testing.TB) map[string]func() {
	tb.Helper()
	s := newLiveStack(tb, map[string]func(*commitlog.Config){
		"others": func(c *commitlog.Config) { c.FlushMessages = math.MaxInt64 },
	})
	c := s.dial("test")
	b := batch(tb, 10)
	for i := range int64(3) {
		c.produceOne(b)
		c.fetchOne(10 * i) // a reader near the end has what comes next kept in memory
	}
	tail, file := fetch(12, fetched{topic: "orders", offset: 20}), fetch(12, fetched{topic: "orders"})
	tail.MaxBytes, file.MaxBytes = 1, 1
	return map[string]func(){
		"api=produce/flush=each": roundTrip(tb, s.dial("test"), produce(11, -1, produced{topic: "orders", records: b})),
		"api=produce/flush=os":   roundTrip(tb, s.dial("test"), produce(11, 1, produced{topic: "others", records: b})),
		"api=fetch/from=tail":    roundTrip(tb, s.dial("test"), tail),
		"api=fetch/from=file":    roundTrip(tb, s.dial("test"), file),
	}
}

// TestLive_Allocations holds the whole path of a request, from its last byte to the last of its response, to the aim: 12
// for a Produce and 10 for a Fetch. Half of them are the decoded request.
func TestLive_Allocations(t *testing.T) {
	most := map[string]float64{
		"api=produce/flush=each": 12, "api=produce/flush=os": 12, "api=fetch/from=tail": 10, "api=fetch/from=file": 10,
	}
	for name, do := range liveRoundTrips(t) {
		got := testing.AllocsPerRun(200, do)
		t.Logf("%s: %v allocations", name, got)
		if got > most[name] && !raceEnabled {
			t.Errorf("%s: %v allocations, at most %v", name, got, most[name])
		}
	}
}

func BenchmarkLive(b *testing.B) {
	for name, do := range liveRoundTrips(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}
