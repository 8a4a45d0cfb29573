package replica_test

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

// newBenchmark puts a manager on log directories on the real filesystem.
func newBenchmark(b *testing.B, c commitlog.Config, partitions int) *replica.Manager {
	b.Helper()
	var m *replica.Manager
	dirs, err := logdir.Open(b.Context(), logdir.Options{
		FS: vfs.OS(), Dirs: []string{b.TempDir()}, NodeID: self, ClusterID: "AAAAAAAAAAAAAAAAAAAAAQ", Logger: slog.New(slog.DiscardHandler),
		ConfigFor: func(string) commitlog.Config { return c },
		Synced:    func(tp protocol.TopicPartition, end int64) { m.Synced(tp, end) },
	})
	if err != nil {
		b.Fatal(err)
	}
	m = replica.New(replica.Options{NodeID: self, Logs: dirs, Logger: slog.New(slog.DiscardHandler)})
	b.Cleanup(func() {
		if err := m.Close(); err != nil {
			b.Error(err)
		}
		if err := dirs.Close(true, 1); err != nil {
			b.Error(err)
		}
	})
	builder := image.NewBuilder(image.Empty())
	recs := []metadata.Record{&metadata.TopicRecord{Name: topic, ID: topicID(1)}}
	for i := range partitions {
		recs = append(recs, &metadata.PartitionRecord{TopicID: topicID(1), Partition: int32(i), PartitionState: image.Partition{
			Replicas: []protocol.NodeID{self}, ISR: []protocol.NodeID{self}, Leader: self,
		}})
	}
	if err := builder.Apply(1, &metadata.Command{Records: recs}); err != nil {
		b.Fatal(err)
	}
	_, d := builder.Build()
	m.Publish(d)
	return m
}

// BenchmarkAppend appends batches of 16 KiB to 16 partitions from one goroutine or several and waits for acks=all.
func BenchmarkAppend(b *testing.B) {
	payload := make([]byte, 16<<10)
	one := records.NewBuilder(records.BuilderOptions{})
	one.Append(1000, nil, payload)
	template, err := one.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	for _, mode := range []struct {
		name    string
		flush   int64
		workers int
	}{{"sync=group/producers=64", 1, 32}, {"sync=os/producers=1", 1 << 62, 0}} {
		b.Run(mode.name, func(b *testing.B) {
			c := commitlog.DefaultConfig()
			c.FlushMessages = mode.flush
			m := newBenchmark(b, c, 16)
			b.SetBytes(int64(len(template)))
			b.ReportAllocs()
			run := func(partition int32, more func() bool) {
				parts := to(protocol.TopicPartition{Topic: topic, Partition: partition}, append([]byte(nil), template...))
				done := make(chan struct{}, 1)
				finish := func() { done <- struct{}{} }
				for more() {
					records.Batch(parts[0].Records).SetBaseOffset(0) // it was stamped in place
					if !m.Append(replica.AppendOptions{Acks: -1, Timeout: soon}, parts, finish) {
						<-done
					}
					if err := parts[0].Result.Err; err != nil {
						b.Error(err)
						return
					}
				}
			}
			if mode.workers == 0 {
				run(0, b.Loop)
				return
			}
			b.SetParallelism(mode.workers)
			next := make(chan int32, 1024)
			for i := range cap(next) {
				next <- int32(i % 16)
			}
			b.RunParallel(func(pb *testing.PB) { run(<-next, pb.Next) })
		})
	}
}

// BenchmarkRead reads partitions of which most have nothing new, as a consumer of many does.
func BenchmarkRead(b *testing.B) {
	for _, partitions := range []int{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			m := newBenchmark(b, commitlog.DefaultConfig(), partitions)
			parts := make([]replica.ReadPartition, partitions)
			for i := range parts {
				parts[i] = from(protocol.TopicPartition{Topic: topic, Partition: int32(i)}, 0)
			}
			results := m.Read(nil, consumer, parts) // opens the logs
			b.ReportAllocs()
			for b.Loop() {
				results = m.Read(results[:0], consumer, parts)
				if err := results[0].Err; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
