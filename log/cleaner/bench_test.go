//go:build unix

package cleaner_test

import (
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// benchBytes is how much is compacted at a time.
const benchBytes = 64 << 20

// BenchmarkCompact compacts a log on a real disk. cpu-MB/s is megabytes of log per second of processor time, the system's share
// and that of all threads included.
func BenchmarkCompact(b *testing.B) {
	for _, size := range []int{100, 1024} {
		for _, codec := range []compress.Codec{compress.None, compress.LZ4, compress.Zstd} {
			for _, keep := range []int{10, 50, 100} { // percent of the records that stay
				b.Run(fmt.Sprintf("record=%dB/codec=%s/keep=%d%%", size, codec, keep), func(b *testing.B) {
					benchmarkCompact(b, size, codec, keep)
				})
			}
		}
	}
}

func benchmarkCompact(b *testing.B, size int, codec compress.Codec, keep int) {
	template := filepath.Join(b.TempDir(), "topic-0")
	bytes, end := fillForBench(b, template, size, codec, keep)
	b.SetBytes(bytes)
	b.ReportAllocs()
	var cpu time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		dir := filepath.Join(filepath.Dir(template), fmt.Sprintf("run%d-0", n))
		linkAll(b, template, dir)
		l := newLogOn(b, vfs.OS(), func(o *commitlog.Options) {
			o.Dir, o.CleanShutdown, o.RecoveryPoint, o.HighWatermark = dir, true, end, end
			o.Config.SegmentBytes = 16 << 20
		})
		r, err := cleaner.Cleanable(l.Log, at(5000))
		if err != nil {
			b.Fatal(err)
		}
		began := processorTime(b)
		b.StartTimer()
		lim := cleaner.Limits{KeyBytes: 128 << 20, LoadFactor: 0.9, IOBytes: 256 << 10}
		if _, err := cleaner.Compact(b.Context(), l.Log, r, lim, at(5000)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		cpu += processorTime(b) - began
		l.drop()
		if err := os.RemoveAll(dir); err != nil {
			b.Fatal(err)
		}
		n++
		b.StartTimer()
	}
	b.ReportMetric(float64(bytes)*float64(n)/1e6/cpu.Seconds(), "cpu-MB/s")
}

// fillForBench writes a log of batches of about 16 KiB, keys in random order, and returns the size of what can be compacted.
func fillForBench(b *testing.B, dir string, size int, codec compress.Codec, keep int) (bytes, end int64) {
	b.Helper()
	l := newLogOn(b, vfs.OS(), func(o *commitlog.Options) {
		o.Dir = dir
		o.Config.SegmentBytes, o.Config.FlushMessages = 16<<20, math.MaxInt64
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	count := benchBytes / size
	order := rnd.Perm(count)
	keys := max(1, count*keep/100)
	bld := records.NewBuilder(records.BuilderOptions{Codec: codec})
	for i, n := range order {
		value := make([]byte, 0, size)
		for len(value) < size-30 {
			value = fmt.Appendf(value, `{"order":%08d,"state":"paid"},`, rnd.IntN(1e8))
		}
		bld.Append(1000, fmt.Appendf(nil, "user-%016d", n%keys), value[:size-30])
		if bld.Size() < 16<<10 && i < count-1 {
			continue
		}
		batch, err := bld.Bytes()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := l.AppendAsLeader(batch, 0, commitlog.FromClient); err != nil {
			b.Fatal(err)
		}
		bld.Reset()
	}
	l.roll(b)
	bytes, end = l.Size(), l.LogEndOffset()
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	return bytes, end
}

// linkAll gives a folder the files of another one: compaction changes none of them, it makes new ones.
func linkAll(b *testing.B, from, to string) {
	b.Helper()
	if err := os.Mkdir(to, 0o755); err != nil {
		b.Fatal(err)
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Link(path, filepath.Join(to, d.Name()))
	})
	if err != nil {
		b.Fatal(err)
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
