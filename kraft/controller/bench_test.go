//go:build !wasip1

package controller_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/distributedmq/dmq/kraft/raftstore"
)

// BenchmarkCreateTopic creates topics of three partitions, one a request, on a quorum of one on disk.
func BenchmarkCreateTopic(b *testing.B) {
	for _, existing := range []int{0, 10_000} {
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("topics=%d/clients=%d", existing, clients), func(b *testing.B) {
				store, err := raftstore.Open(raftstore.Options{Dir: b.TempDir(), Logger: logger(), Fatal: func(err error) { panic(err) }})
				check(b, err)
				l := startOn(b, store, nil, nil)
				epoch := l.register(b, 1, 1)
				for i := range existing / 100 {
					line := "create"
					for j := range 100 {
						line += fmt.Sprintf(" / existing-%d-%d partitions=3", i, j)
					}
					if _, err := l.Handle(b.Context(), createRequest(line, args{})); err != nil {
						b.Fatal(err)
					}
					l.heartbeat(b, 1, epoch)
				}
				work := make(chan int, clients)
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						for i := range work {
							if topic := l.create(b, fmt.Sprintf("new-%d partitions=3", i)); topic.ErrorCode != 0 {
								b.Errorf("%d", topic.ErrorCode)
							}
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
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "topics/s")
				check(b, l.stop())
			})
		}
	}
}
