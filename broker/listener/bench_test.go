package listener_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
)

// fixed answers without allocating: what is measured is the listener and kmsg.
type fixed struct {
	ping    *kmsg.ApiVersionsResponse
	produce *kmsg.ProduceResponse
	region  *region
}

func newFixed() *fixed {
	p := kmsg.NewPtrProduceResponse()
	p.Topics = []kmsg.ProduceResponseTopic{{Topic: "topic", Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}}}
	return &fixed{ping: kmsg.NewPtrApiVersionsResponse(), produce: p}
}

func (f *fixed) Serve(_ context.Context, r *listener.Request) listener.Response {
	switch r.Header.Key {
	case 0:
		r.Release()
		p := *f.produce
		return listener.Reply{Message: &p}
	case 1:
		e := listener.NewEncoded()
		e.Grow(64, 1)
		e.Head = append(e.Head, "the head of a fetch response of one partition, about as long."...)
		e.AddRegion(f.region)
		return e
	}
	return listener.Reply{Message: f.ping}
}

// roundTrips sends request n times, at most window ahead of the responses.
func roundTrips(b testing.TB, nc net.Conn, request []byte, window, n int) {
	br := bufio.NewReaderSize(nc, 64<<10)
	burst := slices.Repeat(request, min(window, max(1, (64<<10)/len(request))))
	per := len(burst) / len(request)
	size := make([]byte, 4)
	for sent, got := 0, 0; got < n; got++ {
		for sent < n && sent-got+per <= window {
			if _, err := nc.Write(burst); err != nil {
				b.Fatal(err)
			}
			sent += per
		}
		if _, err := io.ReadFull(br, size); err != nil {
			b.Fatal(err)
		}
		if _, err := br.Discard(int(binary.BigEndian.Uint32(size))); err != nil {
			b.Fatal(err)
		}
	}
}

// cpu is the processor time this process has used, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkServer runs client and server in one process: cpu-ns/op is that of both.
func BenchmarkServer(b *testing.B) {
	for _, tc := range []struct {
		name    string
		request []byte
		window  int
	}{
		{"ping", ping(1), 1},
		{"ping", ping(1), 16},
		{"ping", ping(1), 128},
		{"produce=16KiB", produce(1, 16<<10), 1},
		{"produce=16KiB", produce(1, 16<<10), 4},
		{"produce=128KiB", produce(1, 128<<10), 1},
		{"produce=128KiB", produce(1, 128<<10), 4},
		{"produce=1MiB", produce(1, 1<<20), 2},
	} {
		b.Run(fmt.Sprintf("%s/window=%d", tc.name, tc.window), func(b *testing.B) {
			_, addr := startTCP(b, options(newFixed()))
			c := dial(b, addr)
			roundTrips(b, c.nc, ping(1), 1, 1)
			b.SetBytes(int64(len(tc.request)))
			b.ReportAllocs()
			start := cpu()
			b.ResetTimer()
			n := (b.N + tc.window - 1) / tc.window * tc.window
			roundTrips(b, c.nc, tc.request, tc.window, n)
			b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

func BenchmarkFetch(b *testing.B) {
	for _, file := range []bool{false, true} {
		for _, size := range []int{16 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("file=%v/size=%d", file, size), func(b *testing.B) {
				h := newFixed()
				h.region = &region{b: make([]byte, size), file: file}
				_, addr := startTCP(b, options(h))
				c := dial(b, addr)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				start := cpu()
				b.ResetTimer()
				roundTrips(b, c.nc, fetch(1), 1, b.N)
				b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// The path of a frame allocates the Request, the decoded request and its client id, and nothing else.
func TestServer_Allocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tc := range []struct {
		name    string
		request []byte
		window  int
		limit   float64
	}{
		{"ping", ping(1), 1, 4.5},
		{"ping pipelined", ping(1), 64, 4.5},
		{"produce 16 KiB", produce(1, 16<<10), 1, 10.5},
		{"produce 1 MiB", produce(1, 1<<20), 2, 10.5},
		{"fetch", fetch(1), 1, 8},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newFixed()
			h.region = &region{b: make([]byte, 1000), file: true}
			_, addr := startTCP(t, options(h))
			c := dial(t, addr)
			roundTrips(t, c.nc, tc.request, tc.window, 2*tc.window)
			const n = 2048
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			roundTrips(t, c.nc, tc.request, tc.window, n)
			runtime.ReadMemStats(&after)
			if got := float64(after.Mallocs-before.Mallocs) / n; got > tc.limit {
				t.Errorf("got %.1f allocations for a request, want at most %.1f", got, tc.limit)
			} else {
				t.Logf("%.2f allocations for a request, %.0f bytes", got, float64(after.TotalAlloc-before.TotalAlloc)/n)
			}
		})
	}
}
