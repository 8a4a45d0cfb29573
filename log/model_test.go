package log_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// modelBatch is what the model knows of a batch in the log.
type modelBatch struct {
	base, next  int64
	values      []string // "5=value"
	times       []int64
	leaderEpoch int32

	producer      int64 // -1: none
	sequence      int32
	transactional bool
	marker        bool
	abort         bool
}

// model is a log as a slice, and beside it the real one.
type model struct {
	t       *rapid.T
	tb      testing.TB
	mem     *vfs.Mem
	gate    *gate // holds syncs back
	log     *testLog
	cfg     commitlog.Config
	batches []modelBatch
	seed    uint64

	logStart    int64
	hw          int64
	maxStart    int64 // the largest logStart: a crash may have lost a checkpoint of it
	reopened    bool
	leaderEpoch int32
	lives       map[int64]int64 // how often a producer was forgotten
	nextSeq     map[int64]int32
	txnFirst    map[int64]int64 // open transactions

	// What logdir has checkpointed.
	savedRecoveryPoint, savedLogStart, savedHW int64
}

func (m *model) end() int64 {
	if len(m.batches) == 0 {
		return m.logStart
	}
	return m.batches[len(m.batches)-1].next
}

func (m *model) open(clean bool) error {
	if m.log != nil {
		m.reopened = true
		m.gate.hold(false)
		m.log.Delete()
	}
	m.gate = newGate(m.mem)
	l, err := openTestLog(m.tb, m.gate, func(o *commitlog.Options) {
		o.Config, o.CleanShutdown = m.cfg, clean
		o.RecoveryPoint, o.LogStartOffset, o.HighWatermark = m.savedRecoveryPoint, m.savedLogStart, m.savedHW
		o.RecoveryPointLowered = func() {
			m.savedRecoveryPoint = min(m.savedRecoveryPoint, m.log.RecoveryPoint())
			m.savedHW, m.savedLogStart = min(m.savedHW, m.log.HighWatermark()), min(m.savedLogStart, m.log.LogStartOffset())
		}
		o.TailCache = commitlog.NewTailCache(256 << 10)
		o.Now = func() time.Time { return time.UnixMilli(2_000_000) }
	})
	if err == nil {
		m.log = l
		m.logStart = l.LogStartOffset()
		m.forgetProducers()
	}
	return err
}

// producer draws a producer id. One that the log has forgotten, since its records are gone, gets another.
func (m *model) producer(low, high int64) int64 {
	p := rapid.Int64Range(low, high).Draw(m.t, "producer")
	return p + 100*m.lives[p]
}

// forgetProducers is what opening the log does to producers whose records were deleted.
func (m *model) forgetProducers() {
	for id := range m.nextSeq {
		if !slices.ContainsFunc(m.batches, func(b modelBatch) bool { return b.producer == id && !b.marker && b.base >= m.logStart }) {
			m.lives[id%100]++
			delete(m.txnFirst, id)
		}
	}
}

func (m *model) checkpoint() {
	m.savedRecoveryPoint = m.log.RecoveryPoint()
	m.savedLogStart = m.log.LogStartOffset()
	m.savedHW = m.log.HighWatermark()
}

// append puts a batch into the log and the model.
func (m *model) append(b modelBatch, o records.BuilderOptions) {
	n := rapid.IntRange(1, 6).Draw(m.t, "records")
	size := rapid.SampledFrom([]int{1, 10, 300}).Draw(m.t, "size")
	o.Codec = rapid.SampledFrom(codecs).Draw(m.t, "codec")
	bld := records.NewBuilder(o)
	b.base, b.leaderEpoch = m.end(), m.leaderEpoch
	for i := range n {
		m.seed++
		v := fmt.Sprintf("v%d-%0*d", m.seed, size, 0)
		ts := rapid.Int64Range(1, 5000).Draw(m.t, "ts")
		bld.Append(ts, nil, []byte(v))
		b.values = append(b.values, fmt.Sprintf("%d=%s", b.base+int64(i), v))
		b.times = append(b.times, ts)
	}
	b.next = b.base + int64(n)
	batch, err := bld.Bytes()
	if err != nil {
		m.t.Fatal(err)
	}
	info, err := m.log.AppendAsLeader(batch, m.leaderEpoch, commitlog.FromClient)
	if err != nil {
		m.t.Fatalf("append: %v", err)
	}
	if info.FirstOffset != b.base || info.LastOffset != b.next-1 || info.Duplicate {
		m.t.Fatalf("append got %+v, want offsets [%d, %d]", info, b.base, b.next-1)
	}
	m.batches = append(m.batches, b)
}

func (m *model) Append(t *rapid.T) {
	m.append(modelBatch{producer: -1}, records.BuilderOptions{})
}

func (m *model) AppendIdempotent(t *rapid.T) {
	p := m.producer(1, 3)
	seq := m.nextSeq[p]
	b := modelBatch{producer: p, sequence: seq}
	m.append(b, records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: seq})
	last := m.batches[len(m.batches)-1]
	m.nextSeq[p] = seq + int32(last.next-last.base)
}

func (m *model) AppendTransactional(t *rapid.T) {
	p := m.producer(11, 12)
	seq := m.nextSeq[p]
	b := modelBatch{producer: p, sequence: seq, transactional: true}
	m.append(b, records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: seq, Transactional: true})
	last := m.batches[len(m.batches)-1]
	m.nextSeq[p] = seq + int32(last.next-last.base)
	if _, open := m.txnFirst[p]; !open {
		m.txnFirst[p] = last.base
	}
}

func (m *model) EndTransaction(t *rapid.T) {
	p := m.producer(11, 12)
	if _, open := m.txnFirst[p]; !open {
		t.Skip("no transaction is open")
	}
	abort := rapid.Bool().Draw(t, "abort")
	base := m.end()
	batch := markerBatch(t, p, abort)
	if _, err := m.log.AppendAsLeader(batch, m.leaderEpoch, commitlog.FromCoordinator); err != nil {
		t.Fatal(err)
	}
	m.batches = append(m.batches, modelBatch{
		base: base, next: base + 1, producer: p, marker: true, abort: abort, leaderEpoch: m.leaderEpoch,
		values: []string{fmt.Sprintf("%d=\x00\x00\x00\x00\x00\x07", base)}, times: []int64{1000},
	})
	delete(m.txnFirst, p)
}

type fataler interface{ Fatal(args ...any) }

// markerBatch is the control batch that ends a transaction.
func markerBatch(t fataler, producer int64, abort bool) records.Batch {
	b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: producer, BaseSequence: -1, Transactional: true, Control: true})
	key := []byte{0, 0, 0, 1} // version 0, type 1: commit
	if abort {
		key[3] = 0
	}
	b.Append(1000, key, binary.BigEndian.AppendUint32([]byte{0, 0}, 7))
	batch, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// Retry sends one of a producer's last five batches again.
func (m *model) Retry(t *rapid.T) {
	p := m.producer(1, 3)
	var last []modelBatch
	for _, b := range m.batches {
		if b.producer == p && b.base >= m.logStart {
			last = append(last, b)
		}
	}
	if len(last) == 0 {
		t.Skip("the producer has no batches")
	}
	last = last[max(0, len(last)-5):]
	b := rapid.SampledFrom(last).Draw(t, "batch")
	bld := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: b.sequence})
	for i := range b.values {
		bld.Append(b.times[i], nil, []byte("again"))
	}
	batch, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	info, err := m.log.AppendAsLeader(batch, m.leaderEpoch, commitlog.FromClient)
	if err != nil || !info.Duplicate || info.FirstOffset != b.base || info.LastOffset != b.next-1 {
		t.Fatalf("retry of [%d, %d] got %+v, %v", b.base, b.next-1, info, err)
	}
}

// AppendBadSequence is refused and changes nothing.
func (m *model) AppendBadSequence(t *rapid.T) {
	p := m.producer(1, 3)
	if len(m.batches) == 0 || !slices.ContainsFunc(m.batches, func(b modelBatch) bool { return b.producer == p && b.base >= m.logStart }) {
		t.Skip("the producer is unknown")
	}
	bld := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: p, BaseSequence: m.nextSeq[p] + 1})
	bld.Append(1, nil, []byte("x"))
	batch, err := bld.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.log.AppendAsLeader(batch, m.leaderEpoch, commitlog.FromClient)
	if errcode.KindOf(err) != errcode.KindOutOfOrderSequenceNumber {
		t.Fatalf("got %v, want OUT_OF_ORDER_SEQUENCE_NUMBER", err)
	}
}

func (m *model) NewEpoch(t *rapid.T) {
	m.leaderEpoch += rapid.Int32Range(1, 3).Draw(t, "by")
	if err := m.log.AssignEpoch(m.leaderEpoch, m.end()); err != nil {
		t.Fatal(err)
	}
}

// HoldSyncs lets no sync come to its end. Without, everything is synced before the next operation, so that a run can be
// repeated.
func (m *model) HoldSyncs(*rapid.T) { m.gate.hold(true) }

func (m *model) settle(t *rapid.T) {
	if !m.gate.held() {
		if err := m.log.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) Sync(t *rapid.T) {
	m.gate.hold(false)
	if err := m.log.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.log.SyncedEndOffset(); got != m.end() {
		t.Fatalf("synced end offset %d after a flush, want %d", got, m.end())
	}
	m.RaiseHighWatermark(t)
}

func (m *model) RaiseHighWatermark(*rapid.T) {
	m.hw = max(m.hw, m.log.SyncedEndOffset())
	m.log.UpdateHighWatermark(m.hw)
}

func (m *model) Checkpoint(*rapid.T) { m.checkpoint() }

func (m *model) Roll(t *rapid.T) {
	if err := m.log.Roll(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) DeleteRecords(t *rapid.T) {
	offset := rapid.Int64Range(0, m.hw).Draw(t, "offset")
	if err := m.log.AdvanceLogStartOffset(offset); err != nil {
		t.Fatal(err)
	}
	m.logStart = max(m.logStart, offset)
	m.savedLogStart = m.log.LogStartOffset() // DeleteRecords is answered after the checkpoint
}

func (m *model) Retention(t *rapid.T) {
	if _, err := m.log.DeleteOldSegments(time.UnixMilli(2_000_000)); err != nil {
		t.Fatal(err)
	}
	got := m.log.LogStartOffset()
	if got < m.logStart || got > m.hw {
		t.Fatalf("log start offset %d after retention, was %d with the high watermark at %d", got, m.logStart, m.hw)
	}
	m.logStart = got
}

func (m *model) Truncate(t *rapid.T) {
	if m.end() == m.hw {
		t.Skip("everything is below the high watermark")
	}
	m.gate.hold(false)
	m.reopened = true
	offset := rapid.Int64Range(m.hw, m.end()).Draw(t, "offset")
	if err := m.log.TruncateTo(offset); err != nil {
		t.Fatal(err)
	}
	m.cut(m.log.LogEndOffset())
	if m.end() > offset {
		t.Fatalf("log end offset %d after truncating to %d", m.end(), offset)
	}
}

// GiveUp is a truncation below what was the high watermark, or below the log start offset.
func (m *model) GiveUp(t *rapid.T) {
	m.gate.hold(false)
	m.reopened = true
	offset := rapid.Int64Range(max(0, m.logStart-2), m.end()).Draw(t, "offset")
	if err := m.log.ForgetHighWatermark(); err != nil {
		t.Fatal(err)
	}
	if rapid.IntRange(0, 3).Draw(t, "when") == 0 {
		m.hw = m.logStart
		return // something else comes in between
	}
	remove := m.log.TruncateTo
	if offset < m.logStart {
		remove = m.log.TruncateFullyAndStartAt
	}
	if err := remove(offset); err != nil {
		t.Fatal(err)
	}
	if m.log.LogEndOffset() > offset {
		t.Fatalf("log end offset %d after giving up %d", m.log.LogEndOffset(), offset)
	}
	m.giveUp(m.log.LogEndOffset())
}

// giveUp is cut, and all that is known of what lies above end goes with it.
func (m *model) giveUp(end int64) {
	if end < m.logStart { // it began anew
		m.batches, m.logStart = nil, end
	}
	m.cut(end)
	m.hw = m.logStart
	m.maxStart = min(m.maxStart, end)
}

// cut removes from the model what lies at or above end, which must be the end of a batch.
func (m *model) cut(end int64) {
	n := len(m.batches)
	for n > 0 && m.batches[n-1].next > end {
		n--
	}
	defer m.forgetProducers()
	m.batches = m.batches[:n]
	if end == m.logStart && m.end() != end { // it began anew
		m.batches = nil
	}
	if m.end() != end {
		m.t.Fatalf("log end offset %d is not between batches: the one before ends at %d", end, m.end())
	}
	m.nextSeq, m.txnFirst = map[int64]int32{}, map[int64]int64{}
	for _, b := range m.batches {
		switch {
		case b.marker:
			delete(m.txnFirst, b.producer)
		case b.producer >= 0:
			m.nextSeq[b.producer] = b.sequence + int32(b.next-b.base)
			if _, open := m.txnFirst[b.producer]; b.transactional && !open {
				m.txnFirst[b.producer] = b.base
			}
		}
	}
}

func (m *model) Configure(t *rapid.T) {
	m.cfg = drawConfig(t, m.cfg.FlushMessages)
	m.log.SetConfig(m.cfg)
}

func drawConfig(t *rapid.T, flushMessages int64) commitlog.Config {
	c := commitlog.DefaultConfig()
	c.FlushMessages = flushMessages
	c.SegmentBytes = rapid.SampledFrom([]int32{3000, 10000, 1 << 30}).Draw(t, "segment.bytes")
	c.IndexIntervalBytes = rapid.SampledFrom([]int32{0, 200, 4096}).Draw(t, "index.interval.bytes")
	c.SegmentIndexBytes = rapid.SampledFrom([]int32{100, 10 << 20}).Draw(t, "segment.index.bytes")
	c.SegmentMs = rapid.SampledFrom([]int64{1000, math.MaxInt64}).Draw(t, "segment.ms")
	c.RetentionBytes = rapid.SampledFrom([]int64{-1, 5000}).Draw(t, "retention.bytes")
	c.RetentionMs = rapid.SampledFrom([]int64{-1, 1_998_000}).Draw(t, "retention.ms")
	c.FileDeleteDelayMs = rapid.SampledFrom([]int64{0, 60_000}).Draw(t, "file.delete.delay.ms")
	return c
}

// Restart closes and opens the log.
func (m *model) Restart(t *rapid.T) {
	m.gate.hold(false)
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.checkpoint()
	if err := m.open(true); err != nil {
		t.Fatal(err)
	}
	if n := m.log.Recovery().Checked; n != 0 {
		t.Fatalf("%d segments were checked after a clean close", n)
	}
}

// Kill is a process that dies: the machine goes on.
func (m *model) Kill(t *rapid.T) {
	synced := m.end()
	m.crash(t, 100, synced)
}

// PowerCut leaves what was synced, and some of the rest.
func (m *model) PowerCut(t *rapid.T) {
	synced := m.log.RecoveryPoint()
	m.crash(t, rapid.SampledFrom([]int{0, 50, 90}).Draw(t, "survive"), synced)
}

func (m *model) crash(t *rapid.T, survive int, synced int64) {
	rnd := rand.New(rand.NewPCG(m.seed, rapid.Uint64().Draw(t, "crash")))
	m.mem = m.mem.CrashClone(vfs.CrashOptions{Rand: rnd, SurvivePercent: survive})
	if err := m.open(false); err != nil {
		t.Fatalf("open after a crash: %v", err)
	}
	end := m.log.LogEndOffset()
	if end < synced {
		t.Fatalf("log end offset %d after a crash, but everything up to %d was synced", end, synced)
	}
	m.logStart = m.log.LogStartOffset() // a checkpoint of an earlier one may be all that is left
	m.cut(end)
	m.hw = min(m.savedHW, end)
	m.hw = max(m.hw, m.logStart)
	if n := len(m.batches); n > 0 && end > m.logStart { // an epoch of which no record is left is forgotten
		if latest, _ := m.log.LatestEpoch(); latest != m.batches[n-1].leaderEpoch {
			t.Fatalf("leader epoch %d after a crash, want %d", latest, m.batches[n-1].leaderEpoch)
		}
	}
}

// Read compares a read of any place with any limits.
func (m *model) Read(t *rapid.T) {
	offset := rapid.Int64Range(max(0, m.logStart-2), m.end()+2).Draw(t, "offset")
	maxOffset := rapid.Int64Range(m.logStart, m.end()+1).Draw(t, "max offset")
	maxBytes := rapid.SampledFrom([]int{0, 1, 500, 3000, 1 << 20}).Draw(t, "max bytes")
	minOne := rapid.Bool().Draw(t, "min one")
	s, err := m.log.Read(offset, maxBytes, maxOffset, minOne)
	if offset < m.logStart || offset > m.end() {
		if _, ok := errors.AsType[*commitlog.OffsetOutOfRangeError](err); !ok {
			t.Fatalf("read of %d outside of [%d, %d] got %v", offset, m.logStart, m.end(), err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	size := s.Size()
	data, err := sliceBytes(s)
	if err != nil {
		t.Fatal(err)
	}
	got := 0
	for i, b := range m.batchesFrom(offset) {
		if b.next > maxOffset {
			break
		}
		batch, rest, err := records.Split(data)
		if errors.Is(err, records.ErrShort) && len(data) == 0 {
			// It may end early only because of the limit, or at the end of a segment.
			if i == 0 && minOne {
				t.Fatalf("read of %d up to %d got nothing", offset, maxOffset)
			}
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if batch.BaseOffset() != b.base || batch.NextOffset() != b.next || batch.PartitionLeaderEpoch() != b.leaderEpoch {
			t.Fatalf("read batch [%d, %d) of epoch %d, want [%d, %d) of %d", batch.BaseOffset(), batch.NextOffset(),
				batch.PartitionLeaderEpoch(), b.base, b.next, b.leaderEpoch)
		}
		data = rest
		got++
	}
	if len(data) > 0 {
		t.Fatalf("read of %d up to %d got %d bytes too many", offset, maxOffset, len(data))
	}
	if size > maxBytes && !(minOne && got == 1) {
		t.Fatalf("read of at most %d bytes got %d in %d batches", maxBytes, size, got)
	}
}

func (m *model) batchesFrom(offset int64) []modelBatch {
	i := slices.IndexFunc(m.batches, func(b modelBatch) bool { return b.next > offset })
	if i < 0 {
		return nil
	}
	return m.batches[i:]
}

func (m *model) FindTime(t *rapid.T) {
	ts := rapid.Int64Range(0, 5001).Draw(t, "timestamp")
	var want []int64
	largest := []int64{0, -1}
	for _, b := range m.batches {
		for i, at := range b.times {
			offset := b.base + int64(i)
			if offset >= m.logStart && at >= ts && want == nil {
				want = []int64{offset, at}
			}
			if at > largest[1] {
				largest = []int64{offset, at}
			}
		}
	}
	offset, at, _, found, err := m.log.OffsetForTimestamp(ts)
	if err != nil || found != (want != nil) || found && !slices.Equal(want, []int64{offset, at}) {
		t.Fatalf("offset for timestamp %d: got %d, %d, %v, %v, want %v", ts, offset, at, found, err, want)
	}
	if !m.wholeSegments() {
		return // segments whose records are partly deleted count with all of them
	}
	offset, at, _, found, err = m.log.OffsetOfMaxTimestamp()
	if err != nil || found != (largest[1] >= 0) || found && !slices.Equal(largest, []int64{offset, at}) {
		t.Fatalf("offset of the largest timestamp: got %d, %d, %v, %v, want %v", offset, at, found, err, largest)
	}
}

// FindEpoch looks up the leader epoch of a record.
func (m *model) FindEpoch(t *rapid.T) {
	offset := rapid.Int64Range(0, m.end()).Draw(t, "offset")
	batches := m.batchesFrom(offset)
	if offset < m.maxStart || len(batches) == 0 || batches[0].base > offset {
		t.Skip("no record is there, or its epoch was deleted with those before it")
	}
	if got, _ := m.log.EpochForOffset(offset); got != batches[0].leaderEpoch {
		t.Fatalf("leader epoch of offset %d is %d, want %d", offset, got, batches[0].leaderEpoch)
	}
}

func (m *model) wholeSegments() bool { return m.logStart == 0 }

func (m *model) AbortedTxns(t *rapid.T) {
	from := rapid.Int64Range(m.logStart, m.end()).Draw(t, "from")
	to := rapid.Int64Range(from, m.end()).Draw(t, "to")
	var want []commitlog.AbortedTxn
	first := map[int64]int64{}
	for _, b := range m.batches {
		if _, open := first[b.producer]; b.transactional && !open {
			first[b.producer] = b.base
		}
		if b.marker {
			if b.abort && b.base >= from && first[b.producer] < to {
				want = append(want, commitlog.AbortedTxn{ProducerID: b.producer, FirstOffset: first[b.producer]})
			}
			delete(first, b.producer)
		}
	}
	got, err := m.log.AbortedTxns(from, to)
	if err != nil {
		t.Fatal(err)
	}
	if m.logStart > 0 { // a transaction that began in a deleted segment may have been forgotten
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("aborted transactions of [%d, %d): %s", from, to, diff)
	}
}

// Check is run after each operation.
func (m *model) Check(t *rapid.T) {
	m.maxStart = max(m.maxStart, m.logStart)
	m.settle(t)
	l := m.log
	if got := l.LogEndOffset(); got != m.end() {
		t.Fatalf("log end offset %d, want %d", got, m.end())
	}
	if got := l.LogStartOffset(); got != m.logStart {
		t.Fatalf("log start offset %d, want %d", got, m.logStart)
	}
	if got := l.HighWatermark(); got != m.hw {
		t.Fatalf("high watermark %d, want %d", got, m.hw)
	}
	if got := l.SyncedEndOffset(); got > m.end() || got < l.RecoveryPoint() {
		t.Fatalf("synced end offset %d, recovery point %d, log end offset %d", got, l.RecoveryPoint(), m.end())
	}
	if len(l.failed) > 0 {
		t.Fatalf("the log failed: %v", l.failed)
	}
	if m.logStart == 0 {
		m.checkStable(t)
	}
	var want []string
	for _, b := range m.batches {
		for i, v := range b.values {
			if b.base+int64(i) >= m.logStart {
				want = append(want, v)
			}
		}
	}
	got, err := readValues(l.Log, m.logStart, m.end(), 2000)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
}

// checkStable compares the last stable offset. Transactions that were decided but not replicated are forgotten when the log
// is opened anew, as in Kafka.
func (m *model) checkStable(t *rapid.T) {
	decided := m.hw
	first := map[int64]int64{}
	for _, b := range m.batches {
		if _, open := first[b.producer]; b.transactional && !open {
			first[b.producer] = b.base
		}
		if b.marker {
			if b.base >= m.hw {
				decided = min(decided, first[b.producer])
			}
			delete(first, b.producer)
		}
	}
	want := m.hw
	for _, offset := range first {
		want = min(want, offset)
	}
	got := m.log.LastStableOffset()
	if least := min(want, decided); got < least || got > want || got > least && !m.reopened {
		t.Fatalf("last stable offset %d, want %d or, reopened, up to %d", got, least, want)
	}
}

func TestLog_Model(t *testing.T) {
	for _, mode := range []struct {
		name          string
		flushMessages int64
	}{{"durable", 1}, {"os flush", math.MaxInt64}} {
		t.Run(mode.name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				m := &model{t: rt, tb: t, mem: newMem(t), cfg: drawConfig(rt, mode.flushMessages), nextSeq: map[int64]int32{}, txnFirst: map[int64]int64{}, lives: map[int64]int64{}}
				if err := m.open(false); err != nil {
					rt.Fatal(err)
				}
				defer func() {
					m.gate.hold(false)
					m.log.Delete()
				}()
				m.NewEpoch(rt)
				rt.Repeat(map[string]func(*rapid.T){
					"": m.Check, "append": m.Append, "idempotent": m.AppendIdempotent, "transactional": m.AppendTransactional,
					"end transaction": m.EndTransaction, "retry": m.Retry, "bad sequence": m.AppendBadSequence, "new epoch": m.NewEpoch,
					"sync": m.Sync, "hold syncs": m.HoldSyncs, "high watermark": m.RaiseHighWatermark, "checkpoint": m.Checkpoint, "roll": m.Roll,
					"delete records": m.DeleteRecords, "retention": m.Retention, "truncate": m.Truncate, "give up": m.GiveUp, "configure": m.Configure,
					"restart": m.Restart, "kill": m.Kill, "power cut": m.PowerCut, "read": m.Read, "find time": m.FindTime,
					"aborted": m.AbortedTxns, "find epoch": m.FindEpoch,
				})
			})
		})
	}
}
