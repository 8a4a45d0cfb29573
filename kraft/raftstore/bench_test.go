//go:build !wasip1

package raftstore_test

import (
	"fmt"
	"runtime"
	"testing"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/raftstore"
)

func openDir(b *testing.B, dir string) *raftstore.Store {
	b.Helper()
	return must(raftstore.Open(raftstore.Options{Dir: dir, Logger: quiet, Fatal: func(err error) { panic(err) }}))
}

// BenchmarkOpen opens and closes a store with 1,000 entries on disk.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := openDir(b, dir)
	if err := s.StoreLogs(entries(1, 1000)); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := openDir(b, dir)
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkStoreLogs appends batches of 200-byte entries, each synced.
func BenchmarkStoreLogs(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			s := openDir(b, b.TempDir())
			logs := make([]*hraft.Log, n)
			for i := range logs {
				logs[i] = &hraft.Log{Term: 1, Data: make([]byte, 200)}
			}
			index := uint64(0)
			for b.Loop() {
				for _, l := range logs {
					index++
					l.Index = index
				}
				if err := s.StoreLogs(logs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "entries/s")
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkIdleMemory reports what an open store with 20,000 entries keeps in memory.
func BenchmarkIdleMemory(b *testing.B) {
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		s := openDir(b, b.TempDir())
		for i := uint64(1); i < 20_000; i += 100 {
			if err := s.StoreLogs(entries(i, i+99)); err != nil {
				b.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "heap-MB")
		b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "sys-MB")
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
