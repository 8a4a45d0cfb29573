//go:build !wasip1

package kraft_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/raftstore"
)

func openOnDisk(b *testing.B, dir string) *kraft.Quorum {
	b.Helper()
	store := must(raftstore.Open(raftstore.Options{Dir: dir, Logger: quiet(), Fatal: func(err error) { panic(err) }}))
	return must(kraft.Open(context.Background(), kraft.Options{
		NodeID: 1, Store: store, Bootstrap: true, Logger: quiet(), Fatal: func(err error) { panic(err) },
	}))
}

// BenchmarkOpen measures opening a one-voter quorum on disk up to the first commit: new, and with a log.
func BenchmarkOpen(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			q := openOnDisk(b, b.TempDir())
			b.StopTimer()
			check(b, q.Close())
			b.StartTimer()
		}
	})
	b.Run("again", func(b *testing.B) {
		dir := b.TempDir()
		q := openOnDisk(b, dir)
		for i := range 1000 {
			must(q.Propose(context.Background(), config(fmt.Sprint(i), "v")))
		}
		check(b, q.Close())
		for b.Loop() {
			q := openOnDisk(b, dir)
			must(q.Propose(context.Background(), config("k", "v")))
			b.StopTimer()
			check(b, q.Close())
			b.StartTimer()
		}
	})
}

// BenchmarkPropose measures proposals of one record, each durable before it counts.
func BenchmarkPropose(b *testing.B) {
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			q := openOnDisk(b, b.TempDir())
			work := make(chan int, clients)
			var wg sync.WaitGroup
			for range clients {
				wg.Go(func() {
					for i := range work {
						must(q.Propose(context.Background(), config(fmt.Sprint(i%100), "v")))
					}
				})
			}
			n := 0
			for b.Loop() {
				work <- n
				n++
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "proposals/s")
			check(b, q.Close())
		})
	}
}

// BenchmarkIdle reports the resident memory that an idle one-voter quorum adds to the process.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		before := resident(b)
		q := openOnDisk(b, b.TempDir())
		b.ReportMetric(float64(resident(b)-before)/1024, "rss-MB")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		check(b, q.Close())
	}
}

func resident(b *testing.B) int {
	b.Helper()
	runtime.GC()
	for line := range strings.Lines(string(must(os.ReadFile("/proc/self/status")))) {
		if f := strings.Fields(line); f[0] == "VmRSS:" {
			return must(strconv.Atoi(f[1]))
		}
	}
	return 0
}
