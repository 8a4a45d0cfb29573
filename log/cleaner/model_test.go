package cleaner_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// modelRecord is a record as it was appended.
type modelRecord struct {
	offset, ts int64
	key        string // "": none
	value      []byte // nil: a tombstone
	txn        int    // index of its transaction, or -1
}

// modelTxn is a transaction. It is open while marker is -1.
type modelTxn struct {
	producer, first int64
	marker          int64
	abort           bool
	spentUntil      int64 // the marker stays until then; -1: not spent yet
}

// model knows everything that was appended, and beside it is the log, of which compaction may have removed what it may.
type model struct {
	t       *rapid.T
	tb      testing.TB
	mem     *vfs.Mem
	log     *testLog
	cfg     commitlog.Config
	now     int64
	records []modelRecord
	txns    []modelTxn
	open    map[int64]int // producer: its open transaction
	nextSeq map[int64]int32
	end     int64

	cleaned int64           // what passes covered
	stays   map[int64]int64 // tombstone: it stays until then, once a pass has covered it

	// What logdir has checkpointed.
	savedRecoveryPoint, savedLogStart, savedHW, savedCleaned int64
}

func (m *model) reopen(clean bool) {
	if m.log != nil {
		m.log.drop()
	}
	l, err := open(m.tb, m.mem, func(o *commitlog.Options) {
		o.Config, o.CleanShutdown = m.cfg, clean
		o.RecoveryPoint, o.LogStartOffset, o.HighWatermark, o.CleanedOffset = m.savedRecoveryPoint, m.savedLogStart, m.savedHW, m.savedCleaned
		o.RecoveryPointLowered = func() {}
		o.TailCache = commitlog.NewTailCache(64 << 10)
	})
	if err != nil {
		m.t.Fatalf("open: %v", err)
	}
	m.log = l
}

// Sync makes everything durable, replicated and checkpointed.
func (m *model) Sync(t *rapid.T) {
	if err := m.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.log.UpdateHighWatermark(m.log.SyncedEndOffset())
	m.checkpoint()
}

func (m *model) checkpoint() {
	m.savedRecoveryPoint, m.savedLogStart = m.log.RecoveryPoint(), m.log.LogStartOffset()
	m.savedHW, m.savedCleaned = m.log.HighWatermark(), m.log.CleanedOffset()
}

func (m *model) append(o records.BuilderOptions, txn int) {
	n := rapid.IntRange(1, 5).Draw(m.t, "records")
	o.Codec = rapid.SampledFrom([]compress.Codec{compress.None, compress.None, compress.LZ4, compress.Zstd, compress.Snappy, compress.Gzip}).Draw(m.t, "codec")
	size := rapid.SampledFrom([]int{1, 10, 10, 20_000}).Draw(m.t, "size")
	if m.cfg.SegmentBytes < 100_000 {
		size = min(size, 10) // five of them have to fit
	}
	appendTime := rapid.IntRange(0, 7).Draw(m.t, "append time") == 7
	b := records.NewBuilder(o)
	for i := range n {
		r := modelRecord{offset: m.end + int64(i), ts: m.now + rapid.Int64Range(-50, 50).Draw(m.t, "ts"), txn: txn}
		r.key = fmt.Sprintf("key-%d", rapid.IntRange(0, 9).Draw(m.t, "key"))
		switch rapid.IntRange(0, 9).Draw(m.t, "kind") {
		case 0, 1, 2:
		case 3:
			r.key = ""
			fallthrough
		default:
			r.value = fmt.Appendf(nil, "%d-%0*d", r.offset, size, 0)
		}
		var key []byte
		if r.key != "" {
			key = []byte(r.key)
		}
		b.Append(r.ts, key, r.value)
		if appendTime {
			r.ts = 1_000_000 // the log's clock
		}
		m.records = append(m.records, r)
	}
	batch, err := b.Bytes()
	if err != nil {
		m.t.Fatal(err)
	}
	origin := commitlog.FromClient
	if m.log.LogStartOffset() > 0 { // a producer whose records were deleted may have been forgotten: no sequence is checked then
		origin = commitlog.FromCoordinator
	}
	m.appendBatch(batch, origin, appendTime)
	m.end += int64(n)
}

// appendBatch appends to the log what the model has taken in.
func (m *model) appendBatch(b records.Batch, origin commitlog.Origin, appendTime bool) {
	plain := m.cfg
	plain.CleanupCompact = false // so that records without keys get in
	plain.LogAppendTime = appendTime
	m.log.SetConfig(plain)
	info, err := m.log.AppendAsLeader(b, 0, origin)
	m.log.SetConfig(m.cfg)
	if err != nil || info.FirstOffset != m.end {
		m.t.Fatalf("append got %+v, %v, want offset %d", info, err, m.end)
	}
}

func (m *model) Append(*rapid.T) { m.append(records.BuilderOptions{}, -1) }

func (m *model) AppendIdempotent(t *rapid.T) {
	p := rapid.Int64Range(1, 3).Draw(t, "producer")
	before := m.end
	m.append(records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: m.nextSeq[p]}, -1)
	m.nextSeq[p] += int32(m.end - before)
}

func (m *model) AppendTransactional(t *rapid.T) {
	p := rapid.Int64Range(11, 13).Draw(t, "producer")
	txn, open := m.open[p]
	if !open {
		txn = len(m.txns)
		m.txns = append(m.txns, modelTxn{producer: p, first: m.end, marker: -1, spentUntil: -1})
		m.open[p] = txn
	}
	before := m.end
	m.append(records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: m.nextSeq[p], Transactional: true}, txn)
	m.nextSeq[p] += int32(m.end - before)
}

func (m *model) EndTransaction(t *rapid.T) {
	p := rapid.Int64Range(11, 13).Draw(t, "producer")
	txn, open := m.open[p]
	if !open {
		t.Skip("no transaction is open")
	}
	m.txns[txn].marker, m.txns[txn].abort = m.end, rapid.Bool().Draw(t, "abort")
	m.appendBatch(marker(m.tb, p, !m.txns[txn].abort), commitlog.FromCoordinator, false)
	m.end++
	delete(m.open, p)
}

func (m *model) Roll(t *rapid.T) {
	if err := m.log.Roll(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) Wait(t *rapid.T) { m.now += rapid.Int64Range(1, 800).Draw(t, "ms") }

// Clean runs a pass and notes what it covers.
func (m *model) Clean(t *rapid.T) {
	m.Sync(t)
	spent := m.spent()
	r, err := cleaner.Cleanable(m.log.Log, at(m.now))
	if err != nil {
		t.Fatal(err)
	}
	if want := m.firstUnstable(); r.FirstUncleanable > want {
		t.Fatalf("compaction would touch offset %d and above, where a transaction is open", want)
	}
	res, err := cleaner.Compact(t.Context(), m.log.Log, r, cleaner.Limits{
		KeyBytes: rapid.SampledFrom([]int64{1, 150, 1 << 20}).Draw(t, "key bytes"), LoadFactor: 0.9,
	}, at(m.now))
	if err != nil {
		t.Fatal(err)
	}
	if res.EndOffset == res.FirstDirty {
		return // nothing was dirty, and so nothing was done
	}
	m.cleaned = max(m.cleaned, res.EndOffset)
	for _, rec := range m.records {
		if _, known := m.stays[rec.offset]; !known && rec.value == nil && rec.offset < res.EndOffset {
			m.stays[rec.offset] = m.now + m.cfg.DeleteRetentionMs
		}
	}
	for i, was := range spent {
		if x := &m.txns[i]; was && x.spentUntil < 0 && x.marker < res.EndOffset {
			x.spentUntil = m.now + m.cfg.DeleteRetentionMs
		}
	}
	m.checkpoint()
}

// spent says of each transaction whether none of its batches is in the log.
func (m *model) spent() []bool {
	out := make([]bool, len(m.txns))
	for i, x := range m.txns {
		out[i] = x.marker >= 0
	}
	err := eachBatch(m.log.Log, m.log.LogStartOffset(), m.end, func(b records.Batch) error {
		if b.IsTransactional() && !b.IsControl() {
			out[m.txnAt(b.ProducerID(), b.BaseOffset())] = false
		}
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// txnAt is the producer's transaction that a batch belongs to.
func (m *model) txnAt(producer, offset int64) int {
	return slices.IndexFunc(m.txns, func(x modelTxn) bool {
		return x.producer == producer && x.first <= offset && (x.marker < 0 || offset < x.marker)
	})
}

func (m *model) firstUnstable() int64 {
	first := m.end
	for _, i := range m.open {
		first = min(first, m.txns[i].first)
	}
	return first
}

func (m *model) Configure(t *rapid.T) {
	retention := m.cfg.DeleteRetentionMs // stays: a horizon is counted with what it was when it was set
	m.cfg = drawConfig(t)
	m.cfg.DeleteRetentionMs = retention
	m.log.SetConfig(m.cfg)
}

func drawConfig(t *rapid.T) commitlog.Config {
	c := compacted()
	c.SegmentBytes = rapid.SampledFrom([]int32{300, 1000, 200_000}).Draw(t, "segment.bytes")
	c.IndexIntervalBytes = rapid.SampledFrom([]int32{0, 200, 4096}).Draw(t, "index.interval.bytes")
	c.SegmentIndexBytes = rapid.SampledFrom([]int32{100, 10 << 20}).Draw(t, "segment.index.bytes")
	c.DeleteRetentionMs = rapid.SampledFrom([]int64{0, 500, 2000}).Draw(t, "delete.retention.ms")
	c.FileDeleteDelayMs = rapid.SampledFrom([]int64{0, 60_000}).Draw(t, "file.delete.delay.ms")
	c.TimestampAfterMaxMs = math.MaxInt64
	return c
}

func (m *model) DeleteRecords(t *rapid.T) {
	m.Sync(t)
	offset := rapid.Int64Range(0, m.firstUnstable()).Draw(t, "offset")
	if err := m.log.AdvanceLogStartOffset(offset); err != nil {
		t.Fatal(err)
	}
	if _, err := m.log.DeleteOldSegments(at(m.now)); err != nil {
		t.Fatal(err)
	}
	m.checkpoint()
}

// Restart closes and opens the log.
func (m *model) Restart(t *rapid.T) {
	m.Sync(t)
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.reopen(true)
}

// Kill leaves everything on the disk; PowerCut all that was synced and some of the rest.
func (m *model) Kill(t *rapid.T) { m.crash(t, 100) }

func (m *model) PowerCut(t *rapid.T) { m.crash(t, rapid.SampledFrom([]int{0, 50}).Draw(t, "survive")) }

func (m *model) crash(t *rapid.T, survive int) {
	m.Sync(t) // what is not synced is the business of the log's own model
	rnd := rand.New(rand.NewPCG(uint64(m.end), rapid.Uint64().Draw(t, "crash")))
	m.mem = m.mem.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: survive})
	m.reopen(false)
}

// Read compares a read of any part in pieces of any size with what a read of everything gives.
func (m *model) Read(t *rapid.T) {
	type span struct{ base, last int64 }
	read := func(from, to int64, maxBytes int) (out []span) {
		err := eachBatchBy(m.log.Log, from, to, maxBytes, func(b records.Batch) error {
			out = append(out, span{b.BaseOffset(), b.LastOffset()})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := read(m.log.LogStartOffset(), m.end, 1<<20)
	from := rapid.Int64Range(m.log.LogStartOffset(), m.end).Draw(t, "from")
	to := rapid.Int64Range(from, m.end).Draw(t, "to")
	var want []span
	for _, s := range all {
		if s.last >= from && s.last < to {
			want = append(want, s)
		}
	}
	got := read(from, to, rapid.SampledFrom([]int{1, 150, 1000}).Draw(t, "bytes"))
	if !slices.Equal(want, got) {
		t.Fatalf("read of [%d, %d) got batches %v, want %v", from, to, got, want)
	}
}

// survivors are the offsets in the log, of records and of markers. What is there must be what was appended.
func (m *model) survivors(t *rapid.T) map[int64]bool {
	there := make(map[int64]bool)
	last := int64(-1)
	err := eachBatch(m.log.Log, m.log.LogStartOffset(), m.end, func(b records.Batch) error {
		return b.Iterate(math.MaxInt32, func(r *records.Record) error {
			if r.Offset <= last {
				return fmt.Errorf("offset %d comes after %d", r.Offset, last)
			}
			last = r.Offset
			there[r.Offset] = true
			if b.IsControl() {
				return nil
			}
			i, ok := slices.BinarySearchFunc(m.records, r.Offset, func(w modelRecord, o int64) int { return int(w.offset - o) })
			if !ok {
				return fmt.Errorf("nothing was appended at offset %d", r.Offset)
			}
			w := m.records[i]
			if string(r.Key) != w.key || !bytes.Equal(r.Value, w.value) || (r.Value == nil) != (w.value == nil) || r.Timestamp != w.ts {
				return fmt.Errorf("record at offset %d is %q=%.20q at %d, was %q=%.20q at %d", r.Offset, r.Key, r.Value, r.Timestamp, w.key, w.value, w.ts)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}

// Check is run after each operation.
func (m *model) Check(t *rapid.T) {
	there := m.survivors(t)
	start := m.log.LogStartOffset()
	newest := map[string]modelRecord{} // of the decided and not aborted records below cleaned, and of all
	newestClean := map[string]int64{}
	for _, r := range m.records {
		if m.counts(r) {
			newest[r.key] = r
			if r.offset < m.cleaned {
				newestClean[r.key] = r.offset
			}
		}
	}
	for _, r := range m.records {
		switch {
		case r.offset < start:
		case r.offset >= m.cleaned:
			m.checkDirty(t, r, there[r.offset], newest[r.key].offset)
		case there[r.offset] && (r.key == "" || !m.counts(r)):
			t.Fatalf("record %d is aborted or has no key, and is still there: everything below %d was compacted", r.offset, m.cleaned)
		case there[r.offset] && newestClean[r.key] != r.offset:
			t.Fatalf("record %d of %s is still there, record %d supersedes it: everything below %d was compacted", r.offset, r.key, newestClean[r.key], m.cleaned)
		}
	}
	for key, r := range newest {
		due := r.value == nil && r.offset < m.cleaned && m.now >= m.stays[r.offset]
		if key != "" && r.offset >= start && !there[r.offset] && !due {
			t.Fatalf("the newest record of %s, %d, is gone at %d; a tombstone would stay until %d", key, r.offset, m.now, m.stays[r.offset])
		}
	}
	m.checkTxns(t, there)
	if got := m.log.LogEndOffset(); got != m.end {
		t.Fatalf("log end offset %d, want %d", got, m.end)
	}
	if got := m.log.LastStableOffset(); got > m.firstUnstable() {
		t.Fatalf("last stable offset %d is above %d, where a transaction is open", got, m.firstUnstable())
	}
}

// counts reports whether a record counts for its key: it was not aborted, and its transaction is not open.
func (m *model) counts(r modelRecord) bool {
	return r.txn < 0 || m.txns[r.txn].marker >= 0 && !m.txns[r.txn].abort
}

// checkDirty: what was not compacted may be gone only because it was in a segment that was partly compacted.
func (m *model) checkDirty(t *rapid.T, r modelRecord, there bool, newest int64) {
	if there || r.txn >= 0 && m.txns[r.txn].abort {
		return
	}
	t.Fatalf("record %d is gone, but only what lies below %d was compacted (newest of %q is %d)", r.offset, m.cleaned, r.key, newest)
}

func (m *model) checkTxns(t *rapid.T, there map[int64]bool) {
	aborted, err := m.log.AbortedTxns(m.log.LogStartOffset(), m.end)
	if err != nil {
		t.Fatal(err)
	}
	start := m.log.LogStartOffset()
	data := map[int]bool{}
	for _, r := range m.records {
		if r.txn >= 0 && there[r.offset] && r.offset >= start {
			data[r.txn] = true
		}
	}
	for i, x := range m.txns {
		if x.marker < start {
			continue
		}
		switch {
		case data[i] && !there[x.marker]:
			t.Fatalf("the marker at %d is gone, records of its transaction are not", x.marker)
		case !there[x.marker] && (x.spentUntil < 0 || m.now < x.spentUntil):
			t.Fatalf("the marker at %d is gone at %d, it has to stay until %d", x.marker, m.now, x.spentUntil)
		case data[i] && x.abort && x.first >= start && !slices.Contains(aborted, commitlog.AbortedTxn{ProducerID: x.producer, FirstOffset: x.first}):
			if !slices.ContainsFunc(aborted, func(a commitlog.AbortedTxn) bool {
				return a.ProducerID == x.producer && m.coversAll(i, a.FirstOffset, there)
			}) {
				t.Fatalf("records of the aborted transaction of producer %d at %d are there, the index has only %v", x.producer, x.first, aborted)
			}
		}
	}
}

// coversAll reports whether all records of a transaction that are left lie at or above first: recovery makes entries anew from
// what is there.
func (m *model) coversAll(txn int, first int64, there map[int64]bool) bool {
	return !slices.ContainsFunc(m.records, func(r modelRecord) bool { return r.txn == txn && there[r.offset] && r.offset < first })
}

// Quiesce ends transactions, compacts everything, and compares the map of the newest values with the log's.
func (m *model) quiesce(t *rapid.T) {
	for p, txn := range m.open {
		m.txns[txn].marker = m.end
		m.appendBatch(marker(m.tb, p, true), commitlog.FromCoordinator, false)
		m.end++
		delete(m.open, p)
	}
	m.Sync(t)
	m.Roll(t)
	m.Sync(t)
	for {
		r, err := cleaner.Cleanable(m.log.Log, at(m.now))
		if err != nil {
			t.Fatal(err)
		}
		if r.FirstDirty == r.FirstUncleanable {
			break
		}
		m.Clean(t)
	}
	m.Check(t)
	want, got := map[string]string{}, map[string]string{}
	start := m.log.LogStartOffset()
	for _, r := range m.records {
		switch {
		case r.key == "" || !m.counts(r) || r.offset < start:
		case r.value == nil:
			delete(want, r.key)
		default:
			want[r.key] = string(r.value)
		}
	}
	err := eachBatch(m.log.Log, start, m.end, func(b records.Batch) error {
		return b.Iterate(math.MaxInt32, func(r *records.Record) error {
			switch {
			case b.IsControl() || r.Offset < start:
			case r.Value == nil:
				delete(got, string(r.Key))
			default:
				got[string(r.Key)] = string(r.Value)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("newest values differ: %s", diff)
	}
}

func TestCompact_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			t: rt, tb: t, mem: newMem(t), cfg: drawConfig(rt), now: 10_000, open: map[int64]int{}, nextSeq: map[int64]int32{}, stays: map[int64]int64{},
		}
		m.reopen(false)
		defer func() { m.log.drop() }()
		rt.Repeat(map[string]func(*rapid.T){
			"": m.Check, "append": m.Append, "append more": m.Append, "idempotent": m.AppendIdempotent, "transactional": m.AppendTransactional,
			"end transaction": m.EndTransaction, "roll": m.Roll, "sync": m.Sync, "wait": m.Wait, "clean": m.Clean, "clean again": m.Clean,
			"configure": m.Configure, "delete records": m.DeleteRecords, "restart": m.Restart, "kill": m.Kill, "power cut": m.PowerCut, "read": m.Read,
		})
		m.quiesce(rt)
	})
}
