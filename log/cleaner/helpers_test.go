package cleaner_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	testDir   = "/data/topic-0"
	retention = 1000 // delete.retention.ms in tests
)

// at is a time in tests, in ms.
func at(ms int64) time.Time { return time.UnixMilli(ms) }

// testLog is a compacted log with its surroundings.
type testLog struct {
	*commitlog.Log
	fs     vfs.FS
	syncer *commitlog.Syncer
	clock  int64 // timestamp of the next batch; each is a little older than the one before
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

func compacted() commitlog.Config {
	c := commitlog.DefaultConfig()
	c.CleanupCompact, c.CleanupDelete = true, false
	c.DeleteRetentionMs = retention
	c.FileDeleteDelayMs = 0
	return c
}

// open opens the log in testDir. change may be nil.
func open(t testing.TB, fs vfs.FS, change func(*commitlog.Options)) (*testLog, error) {
	t.Helper()
	l := &testLog{fs: fs, syncer: commitlog.NewSyncer(0), clock: 4000}
	o := commitlog.Options{
		FS: fs, Dir: testDir, TopicPartition: protocol.TopicPartition{Topic: "topic"}, Config: compacted(),
		Syncer: l.syncer, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return at(1_000_000) },
	}
	if change != nil {
		change(&o)
	}
	var err error
	if l.Log, err = commitlog.Open(o); err != nil {
		l.syncer.Close()
		return nil, err
	}
	t.Cleanup(l.drop)
	return l, nil
}

func (l *testLog) drop() {
	l.Delete()
	l.syncer.Close()
}

func newLog(t testing.TB, change func(*commitlog.Options)) *testLog {
	t.Helper()
	return newLogOn(t, newMem(t), change)
}

func newLogOn(t testing.TB, fs vfs.FS, change func(*commitlog.Options)) *testLog {
	t.Helper()
	l, err := open(t, fs, change)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// batchOf builds a batch of "key=value", "key" (a tombstone) or "=value" (no key).
func batchOf(t testing.TB, o records.BuilderOptions, ts int64, kvs ...string) records.Batch {
	t.Helper()
	b := records.NewBuilder(o)
	for i, kv := range kvs {
		k, v, found := strings.Cut(kv, "=")
		var key, value []byte
		if k != "" {
			key = []byte(k)
		}
		if found {
			value = []byte(v)
		}
		b.Append(ts+int64(i), key, value)
	}
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// put appends a batch.
func (l *testLog) put(t testing.TB, kvs ...string) {
	t.Helper()
	l.putWith(t, records.BuilderOptions{}, kvs...)
}

func (l *testLog) putWith(t testing.TB, o records.BuilderOptions, kvs ...string) {
	t.Helper()
	l.putBatch(t, batchOf(t, o, l.clock, kvs...))
	l.clock -= 20
}

// putBatch appends a batch as a coordinator: control batches, any sequence, and records without keys are let in.
func (l *testLog) putBatch(t testing.TB, b records.Batch) {
	t.Helper()
	cfg := l.Config()
	plain := cfg
	plain.CleanupCompact = false // so that records without keys get in
	l.SetConfig(plain)
	defer l.SetConfig(cfg)
	if _, err := l.AppendAsLeader(b, 0, commitlog.FromCoordinator); err != nil {
		t.Fatal(err)
	}
}

// txn are the options of a transactional batch.
func txn(producer int64, sequence int32) records.BuilderOptions {
	return records.BuilderOptions{HasProducer: true, ProducerID: producer, BaseSequence: sequence, Transactional: true}
}

func idempotent(producer int64, sequence int32) records.BuilderOptions {
	return records.BuilderOptions{HasProducer: true, ProducerID: producer, BaseSequence: sequence}
}

// end appends an end marker.
func (l *testLog) end(t testing.TB, producer int64, commit bool) {
	t.Helper()
	l.putBatch(t, marker(t, producer, commit))
}

func marker(t testing.TB, producer int64, commit bool) records.Batch {
	t.Helper()
	b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: producer, BaseSequence: -1, Transactional: true, Control: true})
	key := []byte{0, 0, 0, 0}
	if commit {
		key[3] = 1
	}
	b.Append(1000, key, binary.BigEndian.AppendUint32([]byte{0, 0}, 7))
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// roll begins a new segment, so that what was appended may be compacted.
func (l *testLog) roll(t testing.TB) {
	t.Helper()
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	l.sync(t)
}

// sync makes everything durable and raises the high watermark.
func (l *testLog) sync(t testing.TB) {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.UpdateHighWatermark(l.SyncedEndOffset())
}

func limits() cleaner.Limits {
	return cleaner.Limits{KeyBytes: 1 << 20, LoadFactor: 0.9, IOBytes: 64 << 10}
}

// clean compacts what can be.
func (l *testLog) clean(t testing.TB, now time.Time) cleaner.Result {
	t.Helper()
	res, err := l.tryClean(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func (l *testLog) tryClean(ctx context.Context, now time.Time) (cleaner.Result, error) {
	r, err := cleaner.Cleanable(l.Log, now)
	if err != nil {
		return cleaner.Result{}, err
	}
	return cleaner.Compact(ctx, l.Log, r, limits(), now)
}

// eachBatch reads all batches, checks their CRCs, and that their offsets rise.
func eachBatch(l *commitlog.Log, from, to int64, fn func(b records.Batch) error) error {
	return eachBatchBy(l, from, to, 1<<20, fn)
}

// eachBatchBy is eachBatch with reads of at most so many bytes.
func eachBatchBy(l *commitlog.Log, from, to int64, maxBytes int, fn func(b records.Batch) error) error {
	for from < to {
		s, err := l.Read(from, maxBytes, to, true)
		if err != nil {
			return err
		}
		if s.Size() == 0 {
			return s.Close()
		}
		data := make([]byte, s.Size())
		if b := s.Bytes(); b != nil {
			copy(data, b)
		} else if _, err := s.ReadAt(data, 0); err != nil {
			s.Close()
			return err
		}
		s.Close()
		for len(data) > 0 {
			b, rest, err := records.Split(data)
			if err != nil {
				return fmt.Errorf("split what was read at offset %d: %w", from, err)
			}
			if err := b.VerifyCRC(); err != nil {
				return err
			}
			if b.LastOffset() < from {
				return fmt.Errorf("read batch [%d, %d] at offset %d", b.BaseOffset(), b.LastOffset(), from)
			}
			if err := fn(b); err != nil {
				return err
			}
			from, data = b.NextOffset(), rest
		}
	}
	return nil
}

// all are the records of the log below the high watermark, as "offset:key=value", in order; markers are left out.
func (l *testLog) all(t testing.TB) []string {
	t.Helper()
	return l.from(t, l.LogStartOffset())
}

func (l *testLog) from(t testing.TB, offset int64) []string {
	t.Helper()
	var out []string
	err := eachBatch(l.Log, offset, l.HighWatermark(), func(b records.Batch) error {
		if b.IsControl() {
			return nil
		}
		return b.Iterate(math.MaxInt32, func(r *records.Record) error {
			if r.Offset >= offset {
				out = append(out, show(r))
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func show(r *records.Record) string {
	s := fmt.Sprintf("%d:%s", r.Offset, r.Key)
	if r.Value != nil {
		s += "=" + string(r.Value)
	}
	return s
}

// batches describe all batches: "[base,last] n" and what is special about them.
func (l *testLog) batches(t testing.TB) []string {
	t.Helper()
	var out []string
	err := eachBatch(l.Log, l.LogStartOffset(), l.LogEndOffset(), func(b records.Batch) error {
		s := fmt.Sprintf("[%d,%d] %d", b.BaseOffset(), b.LastOffset(), b.RecordCount())
		if b.HasProducerID() {
			s += fmt.Sprintf(" p%d/%d", b.ProducerID(), b.BaseSequence())
		}
		if b.IsControl() {
			s += " control"
		}
		if b.HasDeleteHorizon() {
			s += fmt.Sprintf(" horizon %d", b.BaseTimestamp())
		}
		if b.Codec() != compress.None {
			s += " " + b.Codec().String()
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
