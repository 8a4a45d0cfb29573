package log_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// BenchmarkAppend appends to one log on a real disk from several producers, beside what any log of that shape must do:
// engine=raw is one goroutine that writes what is queued with one call and syncs it, without checking or stamping
// anything. sync=on waits for durability as a producer's acknowledgement does. Compare the two engines of one run.
func BenchmarkAppend(b *testing.B) {
	for _, durable := range []bool{false, true} {
		for _, size := range []int{1 << 10, 16 << 10, 128 << 10} {
			for _, producers := range []int{1, 8, 64} {
				for _, engine := range []string{"raw", "log"} {
					b.Run(fmt.Sprintf("sync=%s/batch=%dKiB/producers=%d/engine=%s", onOff(durable), size>>10, producers, engine), func(b *testing.B) {
						if engine == "raw" {
							benchRaw(b, size, producers, durable)
							return
						}
						benchLog(b, size, producers, durable)
					})
				}
			}
		}
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// share runs f until b.N calls were made by that many goroutines.
func share(b *testing.B, size, producers int, f func(producer int)) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for p := range producers {
		wg.Go(func() {
			for next.Add(1) <= int64(b.N) {
				f(p)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

func benchLog(b *testing.B, size, producers int, durable bool) {
	share(b, size, producers, logAppender(b, size, producers, durable))
}

// logAppender returns a function that appends a batch for a producer and waits until it is acknowledged.
func logAppender(b *testing.B, size, producers int, durable bool) func(producer int) {
	b.Helper()
	waits := newWaits()
	l := newTestLog(b, vfs.OS(), func(o *commitlog.Options) {
		o.Dir = filepath.Join(b.TempDir(), "bench-0")
		o.Synced = waits.reached
		o.Config.RetentionBytes = 1 << 30
		if !durable {
			o.Config.FlushMessages = 1<<63 - 1
		}
	})
	template := sized(b, size)
	batches := make([]records.Batch, producers)
	for i := range batches {
		batches[i] = slices.Clone(template)
	}
	return func(p int) {
		batches[p].SetBaseOffset(0)
		info, err := l.AppendAsLeader(batches[p], 0, commitlog.FromClient)
		if err != nil {
			b.Error(err)
			return
		}
		if durable {
			waits.until(info.LastOffset + 1)
		}
	}
}

// sized builds a batch of about size bytes in records of 1,000.
func sized(b *testing.B, size int) records.Batch {
	b.Helper()
	builder := records.NewBuilder(records.BuilderOptions{})
	value := make([]byte, min(1000, size-100))
	for builder.Size()+len(value) < size {
		builder.Append(1000, nil, value)
	}
	batch, err := builder.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	return batch
}

// waits is who waits for which synced end.
type waits struct {
	mu   sync.Mutex
	cond *sync.Cond
	end  int64
}

func newWaits() *waits {
	w := &waits{}
	w.cond = sync.NewCond(&w.mu)
	return w
}

func (w *waits) reached(end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.end = max(w.end, end)
	w.cond.Broadcast()
}

func (w *waits) until(end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.end < end {
		w.cond.Wait()
	}
}

// benchRaw is group commit with nothing around it.
func benchRaw(b *testing.B, size, producers int, durable bool) {
	share(b, size, producers, rawAppender(b, size, producers, durable))
}

func rawAppender(b *testing.B, size, producers int, durable bool) func(producer int) {
	b.Helper()
	f, err := vfs.OS().OpenFile(filepath.Join(b.TempDir(), "raw"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	queue := make(chan chan struct{}, producers)
	var writer sync.WaitGroup
	data := make([]byte, size)
	writer.Go(func() { rawWriter(b, f, data, queue, durable) })
	b.Cleanup(func() {
		close(queue)
		writer.Wait()
		if err := f.Close(); err != nil {
			b.Error(err)
		}
	})
	return func(int) {
		done := make(chan struct{})
		queue <- done
		<-done
	}
}

func rawWriter(b *testing.B, f vfs.File, data []byte, queue chan chan struct{}, durable bool) {
	var at int64
	var bufs [][]byte
	var waiting []chan struct{}
	for first := range queue {
		bufs, waiting = append(bufs[:0], data), append(waiting[:0], first)
		for len(queue) > 0 && len(bufs) < 512 {
			bufs, waiting = append(bufs, data), append(waiting, <-queue)
		}
		n, err := f.WritevAt(bufs, at)
		at += int64(n)
		if err == nil && durable {
			err = f.SyncData()
		}
		if err != nil {
			b.Error(err)
		}
		for _, done := range waiting {
			close(done)
		}
	}
}

// BenchmarkAppendBesideRaw compares the engines for one producer whose appends are synced, in turns, so that both find the
// same disk: ratio is the median of raw by that of the log.
func BenchmarkAppendBesideRaw(b *testing.B) {
	for _, size := range []int{16 << 10, 128 << 10} {
		b.Run(fmt.Sprintf("batch=%dKiB", size>>10), func(b *testing.B) {
			engines := []func(int){rawAppender(b, size, 1, true), logAppender(b, size, 1, true)}
			var took [2][]time.Duration
			for b.Loop() {
				for i, do := range engines {
					start := time.Now()
					do(0)
					took[i] = append(took[i], time.Since(start))
				}
			}
			for i := range took {
				slices.Sort(took[i])
			}
			raw, engine := took[0][len(took[0])/2], took[1][len(took[1])/2]
			b.ReportMetric(float64(raw.Microseconds()), "raw-µs")
			b.ReportMetric(float64(engine.Microseconds()), "log-µs")
			b.ReportMetric(float64(raw)/float64(engine), "ratio")
		})
	}
}

// BenchmarkRead reads a log of 64 MiB from its start in steps of up to 1 MiB, from the page cache.
func BenchmarkRead(b *testing.B) {
	l := newTestLog(b, vfs.OS(), func(o *commitlog.Options) { o.Dir = filepath.Join(b.TempDir(), "bench-0") })
	template := sized(b, 16<<10)
	for l.Size() < 64<<20 {
		batch := slices.Clone(template)
		l.mustAppendBatch(b, batch)
	}
	l.sync(b)
	buf := make([]byte, 256<<10)
	b.SetBytes(l.Size())
	b.ReportAllocs()
	for b.Loop() {
		var read int64
		for offset := int64(0); offset < l.LogEndOffset(); {
			s, err := l.Read(offset, 1<<20, l.LogEndOffset(), true)
			if err != nil {
				b.Fatal(err)
			}
			for at := 0; at < s.Size(); {
				n, err := s.ReadAt(buf[:min(len(buf), s.Size()-at)], int64(at))
				if err != nil {
					b.Fatal(err)
				}
				at += n
			}
			read += int64(s.Size())
			batches := int64(s.Size() / len(template))
			offset += batches * int64(template.RecordCount())
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
		if read != l.Size() {
			b.Fatalf("read %d of %d bytes", read, l.Size())
		}
	}
}

// BenchmarkOpen opens and closes logs that were closed cleanly, or recovers those of a killed process: 10,000 times the time
// of one is what a directory of 10,000 partitions costs when all are used.
func BenchmarkOpen(b *testing.B) {
	for _, clean := range []bool{true, false} {
		b.Run(fmt.Sprintf("clean=%v", clean), func(b *testing.B) {
			const logs = 200
			root := b.TempDir()
			syncer := commitlog.NewSyncer(0)
			defer syncer.Close()
			open := func(i int, end int64, clean bool) *commitlog.Log {
				l, err := commitlog.Open(commitlog.Options{
					FS: vfs.OS(), Dir: filepath.Join(root, fmt.Sprintf("topic-%d", i)), Config: commitlog.DefaultConfig(), Syncer: syncer,
					RecoveryPoint: end, CleanShutdown: clean,
				})
				if err != nil {
					b.Fatal(err)
				}
				return l
			}
			template := sized(b, 16<<10)
			var end int64
			for i := range logs {
				l := open(i, 0, false)
				for range 10 {
					if _, err := l.AppendAsLeader(slices.Clone(template), 0, commitlog.FromClient); err != nil {
						b.Fatal(err)
					}
				}
				end = l.LogEndOffset()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l := open(i%logs, end, clean)
				i++
				if l.LogEndOffset() != end {
					b.Fatalf("log end offset %d, want %d", l.LogEndOffset(), end)
				}
				if err := l.Delete(); err != nil { // closes, and writes nothing
					b.Fatal(err)
				}
			}
		})
	}
}
