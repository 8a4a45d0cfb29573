package producerstate_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// modelLog is the truth the manager is compared with: everything written, from which each answer is worked out anew.
type modelLog struct {
	items []modelItem
	end   int64
	hw    int64
}

type modelItem struct {
	batch  producerstate.Batch
	marker *producerstate.Marker
}

func (l *modelLog) add(item modelItem) {
	l.items = append(l.items, item)
	if item.marker != nil {
		l.end = item.marker.Offset + 1
	} else {
		l.end = item.batch.LastOffset + 1
	}
}

// producer works out a producer's epoch, its batches of that epoch and where its open transaction began.
func (l *modelLog) producer(pid int64) (epoch int16, window []producerstate.Batch, txn int64, known bool) {
	epoch, txn = producerstate.NoEpoch, producerstate.NoOffset
	for _, item := range l.items {
		itemEpoch := item.batch.ProducerEpoch
		if item.marker != nil {
			itemEpoch = item.marker.ProducerEpoch
		}
		id := item.batch.ProducerID
		if item.marker != nil {
			id = item.marker.ProducerID
		}
		if id != pid {
			continue
		}
		if known = true; itemEpoch != epoch {
			epoch, window = itemEpoch, nil
		}
		switch {
		case item.marker != nil:
			txn = producerstate.NoOffset
		default:
			window = append(window, item.batch)
			if item.batch.Transactional && txn == producerstate.NoOffset {
				txn = item.batch.BaseOffset
			}
		}
	}
	return epoch, window[max(0, len(window)-producerstate.WindowBatches):], txn, known
}

// expect says what a client's append must lead to.
func (l *modelLog) expect(b producerstate.Batch) (duplicate *producerstate.Batch, kind errcode.Kind) {
	epoch, window, txn, known := l.producer(b.ProducerID)
	if !known {
		return nil, 0
	}
	if b.ProducerEpoch == epoch {
		for _, w := range window {
			if w.BaseSequence == b.BaseSequence && w.LastSequence == b.LastSequence {
				return &w, 0
			}
		}
	}
	next := int32(0)
	if b.ProducerEpoch == epoch && len(window) > 0 {
		next = window[len(window)-1].LastSequence + 1
	}
	switch {
	case b.ProducerEpoch < epoch:
		return nil, invalidEpoch
	case b.BaseSequence != next:
		return nil, outOfOrder
	case txn != producerstate.NoOffset && !b.Transactional:
		return nil, invalidTxn
	}
	return nil, 0
}

func (l *modelLog) unstable() (first int64) {
	first = -1
	lower := func(offset int64) {
		if first < 0 || offset < first {
			first = offset
		}
	}
	open := map[int64]int64{}
	for _, item := range l.items {
		if mk := item.marker; mk != nil {
			if began, ok := open[mk.ProducerID]; ok && mk.Offset >= l.hw {
				lower(began)
			}
			delete(open, mk.ProducerID)
			continue
		}
		if _, ok := open[item.batch.ProducerID]; !ok && item.batch.Transactional {
			open[item.batch.ProducerID] = item.batch.BaseOffset
		}
	}
	for _, began := range open {
		lower(began)
	}
	return first
}

// TestManager_Model writes batches, retries, markers and rubbish, drops updates half-way and restarts from snapshots; the
// manager must always answer as the whole log would.
func TestManager_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &modelRun{fsys: vfs.NewMem(), log: &modelLog{}}
		h.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"":               h.check,
			"append":         h.append,
			"retry":          h.retry,
			"end":            h.end,
			"discard":        h.discard,
			"snapshot":       h.snapshot,
			"restart":        h.restart,
			"high watermark": h.highWatermark,
		})
	})
}

type modelRun struct {
	fsys *vfs.Mem
	m    *producerstate.Manager
	log  *modelLog

	restarted bool
}

func (h *modelRun) open(t *rapid.T) {
	if err := h.fsys.MkdirAll("/t-0", 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := producerstate.Open(producerstate.Options{FS: h.fsys, Dir: "/t-0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	h.m = m
}

func (h *modelRun) draw(t *rapid.T) producerstate.Batch {
	pid := rapid.Int64Range(1, 3).Draw(t, "producer")
	epoch, window, txn, _ := h.log.producer(pid)
	seq := int32(0)
	if len(window) > 0 {
		seq = window[len(window)-1].LastSequence + 1
	}
	b := batch(pid, max(epoch, 0), seq, rapid.Int32Range(1, 3).Draw(t, "count"), h.log.end)
	b.Transactional = txn != producerstate.NoOffset || rapid.Bool().Draw(t, "transactional")
	switch rapid.IntRange(0, 9).Draw(t, "fault") {
	case 0:
		b.ProducerEpoch += rapid.Int16Range(-min(1, b.ProducerEpoch), 1).Draw(t, "epoch")
	case 1:
		b.ProducerEpoch++
		b.BaseSequence, b.LastSequence = 0, b.LastSequence-b.BaseSequence
	case 2:
		shift := rapid.Int32Range(-min(3, b.BaseSequence), 3).Draw(t, "shift")
		b.BaseSequence, b.LastSequence = b.BaseSequence+shift, b.LastSequence+shift
	case 3:
		b.Transactional = !b.Transactional
	}
	return b
}

func (h *modelRun) append(t *rapid.T) { h.try(t, h.draw(t)) }

func (h *modelRun) retry(t *rapid.T) {
	if len(h.log.items) == 0 {
		t.Skip("nothing was sent")
	}
	item := rapid.SampledFrom(h.log.items).Draw(t, "item")
	if item.marker != nil {
		t.Skip("a marker")
	}
	b := item.batch
	b.LastOffset += h.log.end - b.BaseOffset
	b.BaseOffset = h.log.end
	h.try(t, b)
}

func (h *modelRun) try(t *rapid.T, b producerstate.Batch) {
	wantDuplicate, wantKind := h.log.expect(b)
	u := h.m.Begin()
	got, found := u.FindDuplicate(b)
	if found != (wantDuplicate != nil) || (found && (got.LastOffset != wantDuplicate.LastOffset || got.BaseOffset() != wantDuplicate.BaseOffset)) {
		t.Fatalf("duplicate of %+v: got %+v %v, want %+v", b, got, found, wantDuplicate)
	}
	if found {
		u.Discard()
		return
	}
	err := u.Append(b, client)
	var kinder errcode.Kinder
	if wantKind != 0 {
		if !errors.As(err, &kinder) || kinder.ErrorKind() != wantKind {
			t.Fatalf("append %+v: got %v, want %v", b, err, errcode.Name(int16(wantKind)))
		}
		u.Discard()
		return
	}
	if err != nil {
		t.Fatalf("append %+v: %v", b, err)
	}
	u.Commit(b.LastOffset + 1)
	h.log.add(modelItem{batch: b})
}

func (h *modelRun) end(t *rapid.T) {
	pid := rapid.Int64Range(1, 3).Draw(t, "producer")
	epoch, _, _, _ := h.log.producer(pid)
	mk := marker(pid, max(epoch, 0)+rapid.Int16Range(0, 1).Draw(t, "bump"), 0, rapid.Bool().Draw(t, "abort"), h.log.end)
	h.appendMarker(t, mk, coordinator)
	h.log.add(modelItem{marker: &mk})
}

func (h *modelRun) appendMarker(t *rapid.T, mk producerstate.Marker, o producerstate.Origin) {
	u := h.m.Begin()
	if err := u.AppendMarker(mk, o); err != nil {
		t.Fatal(err)
	}
	for _, done := range slices.Clone(u.Commit(mk.Offset + 1)) {
		h.m.CompleteTxn(done)
	}
}

// discard fills an update with whatever fits and drops it.
func (h *modelRun) discard(t *rapid.T) {
	u := h.m.Begin()
	for range 4 {
		if err := u.Append(h.draw(t), replication); err != nil {
			var kinder errcode.Kinder
			if !errors.As(err, &kinder) {
				t.Fatal(err)
			}
		}
	}
	u.Discard()
}

func (h *modelRun) snapshot(t *rapid.T) {
	if _, err := h.m.TakeSnapshot(rapid.Bool().Draw(t, "sync")); err != nil {
		t.Fatal(err)
	}
}

// restart reopens from the newest snapshot, replays what came after, and fills the windows from what came before.
func (h *modelRun) restart(t *rapid.T) {
	h.open(t)
	h.restarted = true
	if err := h.m.TruncateAndReload(-1, h.log.end, 0); err != nil {
		t.Fatal(err)
	}
	from := h.m.MapEndOffset()
	var below []producerstate.Batch
	for _, item := range h.log.items {
		switch {
		case item.marker != nil && item.marker.Offset >= from:
			h.appendMarker(t, *item.marker, replication)
		case item.marker == nil && item.batch.BaseOffset < from:
			below = append(below, item.batch)
		case item.marker == nil:
			if err := add(h.m, item.batch, replication); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.m.Backfill(below)
	h.m.HighWatermarkUpdated(h.log.hw)
}

func (h *modelRun) highWatermark(t *rapid.T) {
	h.log.hw = rapid.Int64Range(h.log.hw, h.log.end).Draw(t, "hw")
	h.m.HighWatermarkUpdated(h.log.hw)
}

func (h *modelRun) check(t *rapid.T) {
	for pid := int64(1); pid <= 3; pid++ {
		epoch, window, txn, known := h.log.producer(pid)
		got, ok := h.m.LastEntry(pid)
		if ok != known {
			t.Fatalf("producer %d: known %v, want %v", pid, ok, known)
		}
		if !ok {
			continue
		}
		if got.ProducerEpoch != epoch || got.CurrentTxnFirstOffset != txn {
			t.Fatalf("producer %d: got %+v, want epoch %d, transaction at %d", pid, got, epoch, txn)
		}
		if len(window) > 0 && got.LastOffset != window[len(window)-1].LastOffset {
			t.Fatalf("producer %d: got %+v, want last batch %+v", pid, got, window[len(window)-1])
		}
	}
	// After a restart a transaction decided above the high watermark may be unknown, as in Kafka: a snapshot holds only open
	// ones.
	got, ok := h.m.FirstUnstableOffset()
	want := h.log.unstable()
	if got != want && !(h.restarted && want >= 0 && (!ok || got > want)) {
		t.Fatalf("first unstable offset %d, want %d", got, want)
	}
}
