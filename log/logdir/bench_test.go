//go:build unix

package logdir_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
)

const benchPartitions = 10_000

// fill makes a directory of 10,000 partitions with a few records in each.
func fill(b *testing.B) func(*logdir.Options) {
	b.Helper()
	dir := filepath.Join(b.TempDir(), "data")
	change := func(o *logdir.Options) { o.Dirs = []string{dir}; o.FlushWorkers = 64 }
	m := open(b, vfs.OS(), change)
	var wg sync.WaitGroup
	var next atomic.Int32
	batch := batchOf(b, "one", "two")
	for range 64 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < benchPartitions; i = next.Add(1) - 1 {
				l, err := m.Create(tp(fmt.Sprintf("topic%d", i/100), i%100), topicID(byte(i/100+1)))
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := l.AppendAsLeader(batch, 0, 0); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(b, m.Close(true, 1))
	return change
}

// cpuTime is what the process has used: on a busy machine it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// timed runs fn for each iteration, between prepare and finish, and reports the processor time as well.
func timed(b *testing.B, prepare func(), fn func() *logdir.Manager, finish func(*logdir.Manager)) {
	b.Helper()
	var cpu time.Duration
	for b.Loop() {
		b.StopTimer()
		prepare()
		before := cpuTime(b)
		b.StartTimer()
		m := fn()
		b.StopTimer()
		cpu += cpuTime(b) - before
		finish(m)
		b.StartTimer()
	}
	b.ReportMetric(cpu.Seconds()*1000/float64(b.N), "cpu-ms/op")
}

// BenchmarkOpen opens 10,000 partitions: how long until the manager is ready, and then until every log is open.
func BenchmarkOpen(b *testing.B) {
	change := fill(b)
	nothing := func() {}
	opened := func() *logdir.Manager { return open(b, vfs.OS(), change) }
	closeIt := func(m *logdir.Manager) { must(b, m.Close(true, 1)) }
	all := func(m *logdir.Manager) *logdir.Manager {
		for i := range int32(benchPartitions) {
			get(b, m, tp(fmt.Sprintf("topic%d", i/100), i%100))
		}
		return m
	}
	b.Run("manager", func(b *testing.B) { timed(b, nothing, opened, closeIt) })
	b.Run("topic ids", func(b *testing.B) {
		timed(b, nothing, func() *logdir.Manager {
			m := opened()
			_, err := m.Partitions(b.Context())
			must(b, err)
			return m
		}, closeIt)
	})
	b.Run("all logs", func(b *testing.B) {
		var before, after runtime.MemStats
		timed(b, func() {
			runtime.GC()
			runtime.ReadMemStats(&before)
		}, func() *logdir.Manager { return all(opened()) }, func(m *logdir.Manager) {
			runtime.GC()
			runtime.ReadMemStats(&after)
			closeIt(m)
		})
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/benchPartitions, "heap-B/partition")
	})
	recovered := func() *logdir.Manager {
		m := opened()
		must(b, m.WaitRecovered(b.Context()))
		return m
	}
	b.Run("after a crash", func(b *testing.B) { // until everything is recovered
		timed(b, func() { must(b, recovered().Close(false, 1)) }, recovered, closeIt)
	})
	b.Run("close", func(b *testing.B) {
		var m *logdir.Manager
		timed(b, func() { m = all(opened()) }, func() *logdir.Manager { closeIt(m); return m }, func(*logdir.Manager) {})
	})
}

// BenchmarkCreate makes partitions from 16 goroutines, as many clients creating topics do.
func BenchmarkCreate(b *testing.B) {
	m := open(b, vfs.OS(), func(o *logdir.Options) { o.Dirs = []string{filepath.Join(b.TempDir(), "data")} })
	defer m.Close(true, 1)
	var next atomic.Int32
	b.SetParallelism(16 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := m.Create(tp("t", next.Add(1)), topicID(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "partitions/s")
}

// BenchmarkIdleCheckpoint is what happens each second with 10,000 open partitions of which none changed.
func BenchmarkIdleCheckpoint(b *testing.B) {
	m := open(b, vfs.NewMem(), nil)
	defer m.Close(false, 1)
	for i := range int32(benchPartitions) {
		if _, err := m.Create(tp("t", i), topicID(1)); err != nil {
			b.Fatal(err)
		}
	}
	must(b, m.Checkpoint())
	b.ReportAllocs()
	for b.Loop() {
		must(b, m.Checkpoint())
	}
}
