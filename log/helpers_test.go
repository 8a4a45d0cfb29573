package log_test

import (
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"sync"
	"testing"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// testDir is the folder of the log in tests, on a filesystem in memory.
const testDir = "/data/topic-0"

// testLog is a log with its surroundings.
type testLog struct {
	*commitlog.Log
	fs     vfs.FS
	opts   commitlog.Options
	syncer *commitlog.Syncer

	mu     sync.Mutex
	failed []error
	synced int64
}

// newTestLog opens a log in testDir. change may be nil.
func newTestLog(t testing.TB, fs vfs.FS, change func(*commitlog.Options)) *testLog {
	t.Helper()
	l, err := openTestLog(t, fs, change)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func openTestLog(t testing.TB, fs vfs.FS, change func(*commitlog.Options)) (*testLog, error) {
	t.Helper()
	l := &testLog{fs: fs, syncer: commitlog.NewSyncer(0)}
	l.opts = commitlog.Options{
		FS: fs, Dir: testDir, TopicPartition: protocol.TopicPartition{Topic: "topic"}, Config: commitlog.DefaultConfig(),
		Syncer: l.syncer, Logger: slog.New(slog.DiscardHandler),
		Failed: func(err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.failed = append(l.failed, err)
		},
		Synced: func(end int64) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.synced = max(l.synced, end)
		},
	}
	if change != nil {
		change(&l.opts)
	}
	var err error
	l.Log, err = commitlog.Open(l.opts)
	if err != nil {
		l.syncer.Close()
		return nil, err
	}
	t.Cleanup(func() {
		l.Log.Delete()
		l.syncer.Close()
	})
	return l, nil
}

func newMem(t testing.TB) *vfs.Mem {
	t.Helper()
	m := vfs.NewMem()
	if err := m.MkdirAll("/data", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := m.SyncDir("/"); err != nil {
		t.Fatal(err)
	}
	return m
}

// config changes the configuration in Options.
func config(fn func(*commitlog.Config)) func(*commitlog.Options) {
	return func(o *commitlog.Options) { fn(&o.Config) }
}

// batchOf builds a batch of records with the values and timestamps 1000, 1001 and so on.
func batchOf(t testing.TB, o records.BuilderOptions, values ...string) records.Batch {
	t.Helper()
	return batchAt(t, o, 1000, values...)
}

func batchAt(t testing.TB, o records.BuilderOptions, ts int64, values ...string) records.Batch {
	t.Helper()
	b := records.NewBuilder(o)
	for i, v := range values {
		b.Append(ts+int64(i), []byte(fmt.Sprintf("k%d", i)), []byte(v))
	}
	batch, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// mustAppend appends one batch of plain records.
func (l *testLog) mustAppend(t testing.TB, values ...string) commitlog.AppendInfo {
	t.Helper()
	return l.mustAppendBatch(t, batchOf(t, records.BuilderOptions{}, values...))
}

func (l *testLog) mustAppendBatch(t testing.TB, b records.Batch) commitlog.AppendInfo {
	t.Helper()
	info, err := l.AppendAsLeader(b, 0, commitlog.FromClient)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// sync makes everything durable and raises the high watermark.
func (l *testLog) sync(t testing.TB) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.UpdateHighWatermark(l.SyncedEndOffset())
}

// readAll reads the values of all records from offset to maxOffset.
func (l *testLog) readAll(t testing.TB, offset, maxOffset int64) []string {
	t.Helper()
	values, err := readValues(l.Log, offset, maxOffset, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// readValues reads the values of the records from offset on, with their offsets, as "5=value".
func readValues(l *commitlog.Log, offset, maxOffset int64, maxBytes int) ([]string, error) {
	var values []string
	for offset < maxOffset {
		s, err := l.Read(offset, maxBytes, maxOffset, true)
		if err != nil {
			return values, err
		}
		if s.Size() == 0 {
			return values, s.Close()
		}
		data, err := sliceBytes(s)
		if err != nil {
			return values, err
		}
		for len(data) > 0 {
			b, rest, err := records.Split(data)
			if err != nil {
				return values, fmt.Errorf("split what was read from offset %d: %w", offset, err)
			}
			if err := b.VerifyCRC(); err != nil {
				return values, err
			}
			err = b.Iterate(math.MaxInt32, func(r *records.Record) error {
				if r.Offset >= offset {
					values = append(values, fmt.Sprintf("%d=%s", r.Offset, r.Value))
				}
				return nil
			})
			if err != nil {
				return values, err
			}
			offset = max(offset, b.NextOffset())
			data = rest
		}
	}
	return values, nil
}

// sliceBytes reads and closes a slice.
func sliceBytes(s *commitlog.Slice) ([]byte, error) {
	data := make([]byte, s.Size())
	if b := s.Bytes(); b != nil {
		copy(data, b)
		return data, s.Close()
	}
	for off := 0; off < len(data); { // in odd pieces
		n, err := s.ReadAt(data[off:min(len(data), off+777)], int64(off))
		if n == 0 {
			s.Close()
			return nil, err
		}
		off += n
	}
	return data, s.Close()
}

var codecs = []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd}

// gate is a filesystem that can hold back the syncs of files.
type gate struct {
	vfs.FS
	mu     sync.Mutex
	cond   *sync.Cond
	closed bool
}

func newGate(fs vfs.FS) *gate {
	g := &gate{FS: fs}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) hold(on bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = on
	g.cond.Broadcast()
}

func (g *gate) held() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func (g *gate) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := g.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &gateFile{f, g}, nil
}

type gateFile struct {
	vfs.File
	g *gate
}

func (f *gateFile) SyncData() error {
	f.g.mu.Lock()
	for f.g.closed {
		f.g.cond.Wait()
	}
	f.g.mu.Unlock()
	return f.File.SyncData()
}
