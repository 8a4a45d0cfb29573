package log_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

func TestAppendAsLeader_RefusesAsKafkaDoes(t *testing.T) {
	plain := func(values ...string) func(testing.TB) []byte {
		return func(t testing.TB) []byte { return batchOf(t, records.BuilderOptions{}, values...) }
	}
	changed := func(fn func(b records.Batch)) func(testing.TB) []byte {
		return func(t testing.TB) []byte {
			b := batchOf(t, records.BuilderOptions{}, "value")
			fn(b)
			return b
		}
	}
	tests := []struct {
		name   string
		batch  func(testing.TB) []byte
		epoch  int32
		change func(*commitlog.Config)
		want   errcode.Kind
	}{
		{name: "nothing", batch: func(testing.TB) []byte { return nil }, want: errcode.KindInvalidRecord},
		{name: "half a batch", batch: func(t testing.TB) []byte { return plain("v")(t)[:50] }, want: errcode.KindInvalidRecord},
		{name: "two batches", batch: func(t testing.TB) []byte { return append(plain("a")(t), plain("b")(t)...) }, want: errcode.KindInvalidRecord},
		{name: "an old format", batch: changed(func(b records.Batch) { b[16] = 1 }), want: errcode.KindInvalidRecord},
		{name: "an unknown format", batch: changed(func(b records.Batch) { b[16] = 9 }), want: errcode.KindCorruptMessage},
		{name: "a wrong CRC", batch: changed(func(b records.Batch) { b[len(b)-1] ^= 1 }), want: errcode.KindCorruptMessage},
		{name: "a base offset", batch: changed(func(b records.Batch) { b.SetBaseOffset(5) }), want: errcode.KindInvalidRecord},
		{
			name: "larger than max.message.bytes", batch: plain(strings.Repeat("x", 500)), want: errcode.KindMessageTooLarge,
			change: func(c *commitlog.Config) { c.MaxMessageBytes = 400 },
		},
		{
			name: "larger than segment.bytes", batch: plain(strings.Repeat("x", 500)), want: errcode.KindRecordListTooLarge,
			change: func(c *commitlog.Config) { c.SegmentBytes = 400 },
		},
		{
			name: "no key in a compacted topic", want: errcode.KindInvalidRecord,
			change: func(c *commitlog.Config) { c.CleanupCompact = true },
			batch: func(t testing.TB) []byte {
				b := records.NewBuilder(records.BuilderOptions{})
				b.Append(1, nil, []byte("v"))
				batch, err := b.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				return batch
			},
		},
		{
			name: "a timestamp in the future", want: errcode.KindInvalidTimestamp,
			batch: func(t testing.TB) []byte {
				return batchAt(t, records.BuilderOptions{}, time.Now().Add(2*time.Hour).UnixMilli(), "v")
			},
		},
		{name: "an older leader epoch", batch: plain("v"), epoch: 2, want: errcode.KindNotLeaderForPartition},
		{
			name: "a control batch of a client", want: errcode.KindInvalidRecord,
			batch: func(t testing.TB) []byte { return markerBatch(t, 1, true) },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newTestLog(t, newMem(t), func(o *commitlog.Options) {
				if tt.change != nil {
					tt.change(&o.Config)
				}
			})
			if err := l.AssignEpoch(3, 0); err != nil {
				t.Fatal(err)
			}
			epoch := max(tt.epoch, 0)
			if tt.epoch == 0 {
				epoch = 3
			}
			info, err := l.AppendAsLeader(tt.batch(t), epoch, commitlog.FromClient)
			if errcode.KindOf(err) != tt.want {
				t.Fatalf("got %v (%s), want %s", err, errcode.Name(errcode.Of(err)), errcode.Name(int16(tt.want)))
			}
			if (info.RecordErrors != nil) != errors.As(err, new(*records.RecordErrors)) {
				t.Fatalf("record errors %v of %v", info.RecordErrors, err)
			}
			if l.LogEndOffset() != 0 || l.Size() != 0 {
				t.Fatalf("%d bytes were written", l.Size())
			}
		})
	}
}

func TestAppendAsLeader_StampsAndRecompresses(t *testing.T) {
	now := time.UnixMilli(77_000)
	l := newTestLog(t, newMem(t), func(o *commitlog.Options) {
		o.Config.LogAppendTime, o.Config.CompressionProducer, o.Config.Compression = true, false, compress.Zstd
		o.Now = func() time.Time { return now }
	})
	info, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{Codec: compress.LZ4}, strings.Repeat("a", 1000)), 4, commitlog.FromClient)
	if err != nil || info.LogAppendTime != 77_000 {
		t.Fatalf("got %+v, %v", info, err)
	}
	s, err := l.Read(0, 1, 1, true)
	if err != nil {
		t.Fatal(err)
	}
	data, err := sliceBytes(s)
	if err != nil {
		t.Fatal(err)
	}
	b := records.Batch(data)
	if b.Codec() != compress.Zstd || b.TimestampType() != records.LogAppendTime || b.MaxTimestamp() != 77_000 || b.PartitionLeaderEpoch() != 4 {
		t.Fatalf("stored codec %v, %v %d, epoch %d", b.Codec(), b.TimestampType(), b.MaxTimestamp(), b.PartitionLeaderEpoch())
	}
	if err := b.VerifyCRC(); err != nil {
		t.Fatal(err)
	}
}

func TestLog_Rolls(t *testing.T) {
	tests := []struct {
		name   string
		change func(*commitlog.Config)
		times  []int64 // of batches of one record
		want   int     // segments
	}{
		{"by size", func(c *commitlog.Config) { c.SegmentBytes = 200 }, []int64{1, 2, 3, 4}, 2},
		{"not at the exact size", func(c *commitlog.Config) { c.SegmentBytes = 4 * 79 }, []int64{1, 2, 3, 4}, 1},
		{"by the records' time", func(c *commitlog.Config) { c.SegmentMs = 1000 }, []int64{5, 1005, 1006, 2006, 2007}, 3},
		{"by a full index", func(c *commitlog.Config) { c.SegmentIndexBytes, c.IndexIntervalBytes = 48, 0 }, []int64{1, 2, 3, 4, 5, 6, 7, 8, 9}, 3},
		{"never by what is set", func(*commitlog.Config) {}, []int64{1, 2, 3, 4}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newTestLog(t, newMem(t), config(tt.change))
			for _, ts := range tt.times {
				l.mustAppendBatch(t, batchAt(t, records.BuilderOptions{}, ts, "value!"))
			}
			if got := l.SegmentCount(); got != tt.want {
				t.Fatalf("%d segments of %d bytes in all, want %d", got, l.Size(), tt.want)
			}
			l.sync(t)
			if got := l.readAll(t, 0, l.LogEndOffset()); len(got) != len(tt.times) {
				t.Fatalf("read %v", got)
			}
		})
	}
}

func TestAppendAsFollower_TakesBatchesAsTheyAre(t *testing.T) {
	l := newTestLog(t, newMem(t), nil)
	at := func(base int64, epoch int32, values ...string) []byte {
		return batchOf(t, records.BuilderOptions{BaseOffset: base, PartitionLeaderEpoch: epoch}, values...)
	}
	set := append(at(0, 1, "a", "b"), at(2, 1, "c")...)
	set = append(set, at(10, 4, "d")...) // compaction left a gap
	set = append(set, at(11, 4, "e")[:30]...)
	info, err := l.AppendAsFollower(set, 100)
	if err != nil || info.FirstOffset != 0 || info.LastOffset != 10 {
		t.Fatalf("got %+v, %v", info, err)
	}
	if got := fmt.Sprint(l.readAll(t, 0, 11)); got != "[0=a 1=b 2=c 10=d]" {
		t.Fatalf("read %s", got)
	}
	if got := fmt.Sprint(l.EpochEntries()); got != "[{1 0} {4 10}]" {
		t.Fatalf("leader epochs %s", got)
	}
	if _, err := l.AppendAsFollower(at(9, 4, "again"), 100); err == nil {
		t.Fatal("a batch below the log end was taken")
	}
	// One whose offsets do not fit into the segment any more gets another.
	if _, err := l.AppendAsFollower(at(1<<33, 4, "far"), 100); err != nil {
		t.Fatal(err)
	}
	if got := l.readAll(t, 11, 1<<34); len(got) != 1 || l.SegmentCount() != 2 {
		t.Fatalf("read %v from %d segments", got, l.SegmentCount())
	}
}

func TestAppendAsFollower_ChecksLeaderEpochs(t *testing.T) {
	l := newTestLog(t, newMem(t), nil)
	at := func(base int64, epoch int32, values ...string) []byte {
		return batchOf(t, records.BuilderOptions{BaseOffset: base, PartitionLeaderEpoch: epoch}, values...)
	}
	// What a leader of epoch 3 sent is of epoch 3 at most: the rest was read after it had become a follower.
	info, err := l.AppendAsFollower(slices.Concat(at(0, 2, "a"), at(1, 3, "b"), at(2, 4, "c"), at(3, 4, "d")), 3)
	if err != nil || info.LastOffset != 1 || l.LogEndOffset() != 2 {
		t.Fatalf("got %+v, %v, log end %d", info, err, l.LogEndOffset())
	}
	if info, err := l.AppendAsFollower(at(2, 4, "c"), 3); err != nil || info.LastOffset != -1 || l.LogEndOffset() != 2 {
		t.Fatalf("got %+v, %v, log end %d", info, err, l.LogEndOffset())
	}
	for name, b := range map[string][]byte{
		"below the log's":             at(2, 2, "c"),
		"below the one before it":     append(at(2, 5, "c"), at(3, 4, "d")...),
		"offset below the one before": append(at(2, 5, "c"), at(2, 5, "d")...),
	} {
		if _, err := l.AppendAsFollower(b, 5); errcode.KindOf(err) != errcode.KindCorruptMessage {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := fmt.Sprint(l.EpochEntries(), l.LogEndOffset()); got != "[{2 0} {3 1}] 2" {
		t.Errorf("leader epochs and log end %s", got)
	}
}

// TestLog_IsUsedByMany appends from many goroutines while others read, raise the high watermark, roll and delete. What is
// read is in order and whole, and each producer's records are in its order.
func TestLog_IsUsedByMany(t *testing.T) {
	for _, mode := range []struct {
		name          string
		flushMessages int64
		tail          *commitlog.TailCache
	}{{"durable", 1, nil}, {"os flush", math.MaxInt64, nil}, {"durable with a tail cache", 1, commitlog.NewTailCache(128 << 10)}} {
		t.Run(mode.name, func(t *testing.T) {
			l := newTestLog(t, vfs.OS(), func(o *commitlog.Options) {
				o.Dir = t.TempDir() + "/topic-0"
				o.Config.SegmentBytes, o.Config.IndexIntervalBytes, o.Config.FlushMessages = 40_000, 300, mode.flushMessages
				o.Config.FileDeleteDelayMs = 1
				o.TailCache = mode.tail
			})
			const producers, batches = 8, 150
			var producing, reading sync.WaitGroup
			var done atomic.Bool
			for p := range producers {
				producing.Go(func() { l.produce(t, p, batches) })
			}
			for range 3 {
				reading.Go(func() { l.follow(t, producers, &done) })
			}
			reading.Go(func() {
				for !done.Load() {
					l.UpdateHighWatermark(l.SyncedEndOffset())
					l.LastStableOffset()
					l.BytesBetween(l.LogStartOffset(), l.HighWatermark())
				}
			})
			reading.Go(func() {
				for !done.Load() {
					if err := l.Roll(); err != nil {
						t.Error(err)
						return
					}
					if _, _, _, _, err := l.OffsetForTimestamp(1000); err != nil {
						t.Error(err)
						return
					}
				}
			})
			producing.Wait()
			l.sync(t)
			if got := len(l.readAll(t, 0, l.LogEndOffset())); got != producers*batches {
				t.Errorf("read %d records, want %d", got, producers*batches)
			}
			done.Store(true)
			reading.Wait()
		})
	}
}

func (l *testLog) produce(t *testing.T, p, batches int) {
	for i := range batches {
		b := batchOf(t, records.BuilderOptions{HasProducer: true, ProducerID: int64(p), BaseSequence: int32(i)},
			fmt.Sprintf("%d %d %s", p, i, strings.Repeat("x", 50*(i%9))))
		if _, err := l.AppendAsLeader(b, 0, commitlog.FromClient); err != nil {
			t.Error(err)
			return
		}
	}
}

// follow reads up to the high watermark as it rises, and begins anew now and then.
func (l *testLog) follow(t *testing.T, producers int, done *atomic.Bool) {
	for !done.Load() {
		next := make([]int, producers)
		for offset := int64(0); !done.Load(); {
			values, err := readValues(l.Log, offset, l.HighWatermark(), 5000)
			if err != nil {
				t.Error(err)
				return
			}
			for _, v := range values {
				var at int64
				var p, i int
				if _, err := fmt.Sscanf(v, "%d=%d %d", &at, &p, &i); err != nil || at != offset || next[p] != i {
					t.Errorf("read %.40q at offset %d, want record %v of its producer", v, offset, next)
					return
				}
				next[p]++
				offset++
			}
			if offset > 300 && len(values) == 0 {
				break
			}
		}
	}
}

// A follower knows what producers have sent, so that as a leader it takes nothing twice (I4).
func TestAppendAsFollower_KnowsProducers(t *testing.T) {
	idempotent := func(sequence int32, values ...string) records.Batch {
		return batchOf(t, records.BuilderOptions{HasProducer: true, ProducerID: 9, BaseSequence: sequence}, values...)
	}
	l := newTestLog(t, newMem(t), nil)
	replicated := idempotent(0, "a", "b")
	replicated.SetPartitionLeaderEpoch(3)
	if _, err := l.AppendAsFollower(replicated, 3); err != nil {
		t.Fatal(err)
	}
	info, err := l.AppendAsLeader(idempotent(0, "a", "b"), 4, commitlog.FromClient) // whose answer the old leader could not give
	if err != nil || !info.Duplicate || info.FirstOffset != 0 || info.LastOffset != 1 {
		t.Errorf("a retry at the next leader: %+v, %v, want the original's offsets", info, err)
	}
	if _, err := l.AppendAsLeader(idempotent(7, "out of order"), 4, commitlog.FromClient); errcode.KindOf(err) != errcode.KindOutOfOrderSequenceNumber {
		t.Errorf("a gap at the next leader: %v", err)
	}
	if info, err := l.AppendAsLeader(idempotent(2, "c"), 4, commitlog.FromClient); err != nil || info.FirstOffset != 2 {
		t.Errorf("the next batch: %+v, %v", info, err)
	}
}

// Several appends are one write. What is wrong with one of them is nobody else's matter.
func TestAppendAllAsLeader_WritesTogether(t *testing.T) {
	var writes atomic.Int64
	l := newTestLog(t, vfs.Inject(newMem(t), func(op vfs.Op, name string, _ int) error {
		if op == vfs.OpWrite && strings.HasSuffix(name, ".log") {
			writes.Add(1)
		}
		return nil
	}), nil)
	idempotent := func(sequence int32, values ...string) []byte {
		return batchOf(t, records.BuilderOptions{HasProducer: true, ProducerID: 9, BaseSequence: sequence}, values...)
	}
	damaged := batchOf(t, records.BuilderOptions{}, "x")
	damaged[len(damaged)-1] ^= 1
	before := errors.New("refused before")
	appends := []commitlog.LeaderAppend{
		{Batch: idempotent(0, "a", "b")},
		{Batch: damaged},
		{Batch: idempotent(0, "a", "b")}, // a retry
		{Batch: idempotent(7, "out of order")},
		{Batch: batchOf(t, records.BuilderOptions{}, "never"), Err: before},
		{Batch: batchOf(t, records.BuilderOptions{}, "c")},
		{Batch: idempotent(2, "d")},
	}
	l.AppendAllAsLeader(appends, 0, commitlog.FromClient)
	for i, want := range []struct {
		first, last int64
		duplicate   bool
		kind        errcode.Kind
	}{
		{first: 0, last: 1},
		{first: -1, last: -1, kind: errcode.KindCorruptMessage},
		{first: 0, last: 1, duplicate: true},
		{first: -1, last: -1, kind: errcode.KindOutOfOrderSequenceNumber},
		{kind: errcode.KindOf(before)},
		{first: 2, last: 2},
		{first: 3, last: 3},
	} {
		a := appends[i]
		if errcode.KindOf(a.Err) != want.kind || a.Info.FirstOffset != want.first || a.Info.LastOffset != want.last || a.Info.Duplicate != want.duplicate {
			t.Errorf("append %d: got %+v and %v, want %+v", i, a.Info, a.Err, want)
		}
	}
	if n := writes.Load(); n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	l.sync(t)
	if got := l.readAll(t, 0, 4); strings.Join(got, " ") != "0=a 1=b 2=c 3=d" {
		t.Errorf("read back %q", got)
	}
	l.AppendAllAsLeader(nil, 0, commitlog.FromClient)
}

// Many goroutines that append several batches each get every offset once, and each its own in order.
func TestAppendAllAsLeader_IsUsedByMany(t *testing.T) {
	l := newTestLog(t, newMem(t), nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := make(map[int64]bool)
	for range 8 {
		wg.Go(func() {
			for round := range 30 {
				appends := make([]commitlog.LeaderAppend, 1+round%20)
				for i := range appends {
					appends[i].Batch = batchOf(t, records.BuilderOptions{}, "v")
				}
				l.AppendAllAsLeader(appends, 0, commitlog.FromClient)
				mu.Lock()
				for i, a := range appends {
					if a.Err != nil || seen[a.Info.FirstOffset] || i > 0 && a.Info.FirstOffset <= appends[i-1].Info.FirstOffset {
						t.Errorf("append %d: %+v, %v", i, a.Info, a.Err)
					}
					seen[a.Info.FirstOffset] = true
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if end := l.LogEndOffset(); end != int64(len(seen)) {
		t.Errorf("log ends at %d after %d records", end, len(seen))
	}
}
