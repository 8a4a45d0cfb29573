package fetcher_test

import (
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
)

// BenchmarkReplication has producers wait for acks=all of three brokers in one process. cpu-ms/GB is of all three, and of the
// producers' batches written once.
func BenchmarkReplication(b *testing.B) {
	for _, bc := range []struct {
		name       string
		partitions int
		producers  int
		value      int
	}{
		{"16KiB, 1 partition, 1 producer", 1, 1, 16 << 10},
		{"16KiB, 8 partitions, 64 producers", 8, 64, 16 << 10},
		{"1MiB, 4 partitions, 8 producers", 4, 8, 1<<20 - 200},
		{"100B, 1000 partitions, 64 producers", 1000, 64, 100},
	} {
		b.Run(bc.name, func(b *testing.B) {
			c := newCluster(b, 1, 2, 3)
			c.create(topic, orders, bc.partitions, 1, 2, 3)
			value := strings.Repeat("v", bc.value)
			for i := range bc.partitions {
				c.nodes[1].mustProduce(protocol.TopicPartition{Topic: topic, Partition: int32(i)}, -1, "warm")
			}
			b.SetBytes(int64(bc.value))
			b.ReportAllocs()
			before := cpuTime()
			b.ResetTimer()
			var next atomic.Int64
			var wg sync.WaitGroup
			for range bc.producers {
				wg.Go(func() { c.nodes[1].produceMany(b, &next, bc.partitions, value) })
			}
			wg.Wait()
			b.StopTimer()
			gb := float64(b.N) * float64(bc.value) / 1e9
			b.ReportMetric(float64((cpuTime()-before).Milliseconds())/gb, "cpu-ms/GB")
		})
	}
}

func (n *node) produceMany(b *testing.B, next *atomic.Int64, partitions int, value string) {
	one := batch(value)
	sent := make([]byte, len(one)) // it is stamped in place
	for {
		i := next.Add(1)
		if i > int64(b.N) {
			return
		}
		parts := []replica.Append{{TopicIDPartition: protocol.TopicIDPartition{Topic: topic, Partition: int32(i % int64(partitions))}, Records: sent}}
		copy(sent, one)
		done := make(chan struct{})
		if !n.replicas.Append(replica.AppendOptions{Acks: -1, Timeout: soon}, parts, func() { close(done) }) {
			<-done
		}
		if err := parts[0].Result.Err; err != nil {
			b.Error(err)
			return
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
