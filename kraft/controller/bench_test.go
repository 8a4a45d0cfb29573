//go:build !wasip1

package controller_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
)

// BenchmarkCreateTopic creates topics of three partitions, one a request, on a quorum of one on disk.
func BenchmarkCreateTopic(b *testing.B) {
	for _, existing := range []int{0, 10_000, 100_000} {
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

// big is a cluster of brokers with many topics of three replicas, and nothing under it.
func big(tb testing.TB, brokers, topics, partitions int) *controller.Script {
	tb.Helper()
	s := controller.NewScript(controller.Options{
		NodeID: 1, Schema: schema{}, Logger: logger(),
		Features: map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 33}, "eligible.leader.replicas.version": {Min: 0, Max: 1}},
	}, "cluster")
	level := &metadata.FeatureLevelRecord{Name: "eligible.leader.replicas.version", Level: 1}
	records := []metadata.Record{level}
	for id := range brokers {
		records = append(records, &metadata.RegisterBrokerRecord{
			ID: protocol.NodeID(id), IncarnationID: protocol.TopicID{1}, LogDirs: []protocol.TopicID{{1, byte(id)}},
		})
	}
	for i := range topics {
		name := fmt.Sprintf("topic-%d", i)
		topic := protocol.TopicID{2, byte(i >> 16), byte(i >> 8), byte(i)}
		records = append(records, &metadata.TopicRecord{Name: name, ID: topic})
		for j := range partitions {
			p := metadata.PartitionState{}
			for r := range 3 {
				id := protocol.NodeID((i + j + r) % brokers)
				p.Replicas = append(p.Replicas, id)
				p.Directories = append(p.Directories, protocol.TopicID{1, byte(id)})
			}
			p.ISR, p.Leader = p.Replicas, p.Replicas[0]
			records = append(records, &metadata.PartitionRecord{TopicID: topic, Partition: int32(j), PartitionState: p})
		}
	}
	check(tb, s.Apply(records))
	return s
}

// BenchmarkFence decides, and then applies, what becomes of 100,000 partitions when one of the brokers goes.
func BenchmarkFence(b *testing.B) {
	for _, size := range []struct{ brokers, topics int }{{3, 100_000}, {3, 1_000}, {100, 100_000}} {
		s := big(b, size.brokers, size.topics, 100_000/size.topics)
		name := fmt.Sprintf("brokers=%d/topics=%d/", size.brokers, size.topics)
		b.Run(name+"decide", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if n := len(s.DecideLost(1)); n < 100_000*3/size.brokers {
					b.Fatal(n)
				}
			}
		})
		b.Run(name+"apply", func(b *testing.B) {
			records := s.DecideLost(1)
			for b.Loop() {
				builder := image.NewBuilder(s.Image())
				check(b, builder.Apply(1<<40, &metadata.Command{Records: records}))
			}
		})
		b.Run(name+"view", func(b *testing.B) {
			for b.Loop() {
				s.NewView()
			}
		})
		b.Run(name+"expect", func(b *testing.B) {
			records := s.DecideLost(1)
			for b.Loop() {
				s.Expect(records)
			}
		})
	}
}

// BenchmarkHeartbeat has many brokers send heartbeats that change nothing.
func BenchmarkHeartbeat(b *testing.B) {
	l := startLive(b, raftstore.NewDisk(), nil)
	defer func() { check(b, l.stop()) }()
	const brokers = 100
	var epochs [brokers]int64
	for id := range brokers {
		epochs[id] = l.register(b, int32(id), 1)
	}
	version := l.quorum.Image().Version
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for id := 0; pb.Next(); id = (id + 1) % brokers {
			hb := kmsg.NewPtrBrokerHeartbeatRequest()
			hb.BrokerID, hb.BrokerEpoch, hb.CurrentMetadataOffset = int32(id), epochs[id], version
			if _, err := l.Handle(context.Background(), hb); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "heartbeats/s")
}

// BenchmarkHeap tells what an image of 100,000 partitions and the controller's indexes over it hold in memory.
func BenchmarkHeap(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		s := big(b, 10, 100_000, 1)
		b.ReportMetric((heap()-before)/1e6, "MB")
		runtime.KeepAlive(s)
	}
}
