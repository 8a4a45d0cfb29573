package cleaner_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
}

func TestCompact_KeepsTheNewestRecordOfEachKey(t *testing.T) {
	for _, codec := range []compress.Codec{compress.None, compress.Gzip, compress.Snappy, compress.LZ4, compress.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			l := newLog(t, nil)
			o := records.BuilderOptions{Codec: codec}
			l.putWith(t, o, "a=1", "b=1", "c=1")
			l.putWith(t, o, "a=2")
			l.roll(t)
			l.putWith(t, o, "b=2", "d=1")
			l.roll(t)
			l.putWith(t, o, "c=2")
			l.sync(t)
			res := l.clean(t, at(5000))
			want(t, l.all(t), "2:c=1", "3:a=2", "4:b=2", "5:d=1", "6:c=2")
			if res.EndOffset != 6 || l.FirstDirtyOffset() != 6 || res.RecordsRead != 6 || res.RecordsWritten != 4 {
				t.Errorf("result is %+v, first dirty offset %d", res, l.FirstDirtyOffset())
			}
			for offset, first := range []string{"2:c=1", "2:c=1", "2:c=1", "3:a=2", "4:b=2", "5:d=1", "6:c=2"} {
				if got := l.from(t, int64(offset)); got[0] != first {
					t.Errorf("read from offset %d begins with %s, want %s", offset, got[0], first)
				}
			}
			l.roll(t)
			l.clean(t, at(5000))
			want(t, l.all(t), "3:a=2", "4:b=2", "5:d=1", "6:c=2")
			if n := l.SegmentCount(); n != 2 {
				t.Errorf("%d segments are left, want one compacted and the active one", n)
			}
		})
	}
}

func TestCompact_BatchesKeepOffsetsAndCodec(t *testing.T) {
	l := newLog(t, nil)
	l.putWith(t, records.BuilderOptions{Codec: compress.LZ4}, "a=1", "b=1", "c=1", "a=2")
	l.putWith(t, records.BuilderOptions{Codec: compress.Zstd}, "d=1", "e=1")
	l.put(t, "c=2", "f=1")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "1:b=1", "3:a=2", "4:d=1", "5:e=1", "6:c=2", "7:f=1")
	want(t, l.batches(t), "[0,3] 2 lz4", "[4,5] 2 zstd", "[6,7] 2")
}

func TestCompact_RemovesRecordsWithoutKeys(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "=1", "a=1", "=2")
	l.roll(t)
	res := l.clean(t, at(5000))
	want(t, l.all(t), "1:a=1")
	if res.RecordsInvalid != 2 {
		t.Errorf("%d records without a key were counted, want 2", res.RecordsInvalid)
	}
}

func TestCompact_NeverTouchesTheActiveSegmentNorWhatIsNotReplicated(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1")
	l.put(t, "a=2")
	l.sync(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "0:a=1", "1:a=2")

	if err := l.Roll(); err != nil { // the high watermark stays at 2
		t.Fatal(err)
	}
	l.put(t, "a=3")
	if err := l.Roll(); err != nil {
		t.Fatal(err)
	}
	res := l.clean(t, at(5000))
	if res.EndOffset != 2 || l.FirstDirtyOffset() != 2 {
		t.Errorf("compacted up to %d, want 2, where the high watermark is", res.EndOffset)
	}
	l.sync(t)
	want(t, l.all(t), "1:a=2", "2:a=3")
}

func TestCompact_StopsAtAnOpenTransaction(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1", "a=2")
	l.roll(t)
	l.putWith(t, txn(7, 0), "a=3")
	l.roll(t)
	l.put(t, "a=4")
	l.roll(t)
	if res := l.clean(t, at(5000)); res.EndOffset != 2 {
		t.Errorf("compacted up to %d, want 2, where the transaction begins", res.EndOffset)
	}
	want(t, l.all(t), "1:a=2", "2:a=3", "3:a=4")
	l.end(t, 7, true)
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "3:a=4")
}

// A tombstone stays for delete.retention.ms from the pass that removed the older records of its key.
func TestCompact_TombstonesStayForDeleteRetention(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1", "b=1")
	l.put(t, "a")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "1:b=1", "2:a")
	want(t, l.batches(t), "[0,1] 1", "[2,2] 1 horizon 6000")

	l.put(t, "c=1")
	l.roll(t)
	l.clean(t, at(5999))
	want(t, l.all(t), "1:b=1", "2:a", "3:c=1")
	want(t, l.batches(t), "[0,1] 1", "[2,2] 1 horizon 6000", "[3,3] 1")

	l.put(t, "d=1")
	l.roll(t)
	l.clean(t, at(6000))
	want(t, l.all(t), "1:b=1", "3:c=1", "4:d=1")
}

func TestCompact_ATombstoneKeepsItsTimestamp(t *testing.T) {
	for _, o := range []records.BuilderOptions{{}, {Codec: compress.Zstd}, {TimestampType: records.LogAppendTime, LogAppendTime: 777}} {
		l := newLog(t, func(o *commitlog.Options) { o.Config.LogAppendTime = false })
		l.putBatch(t, batchOf(t, o, 123, "x=1", "a", "b=2"))
		l.roll(t)
		times := func() (out []int64) {
			err := eachBatch(l.Log, 0, l.LogEndOffset(), func(b records.Batch) error {
				return b.Iterate(1<<20, func(r *records.Record) error { out = append(out, r.Timestamp); return nil })
			})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		before := times()
		l.clean(t, at(5000))
		want(t, l.all(t), "0:x=1", "1:a", "2:b=2")
		if diff := cmp.Diff(before, times()); diff != "" {
			t.Errorf("timestamps changed: %s", diff)
		}
		if got := l.batches(t); !strings.Contains(got[0], "horizon 6000") {
			t.Errorf("batch %q has no delete horizon", got[0])
		}
	}
}

// Where a pass ends in the middle of a batch, the clock of the tombstones in it does not start: older records of their keys may
// still be there.
func TestCompact_NoHorizonBeforeAllOfABatchIsCompacted(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1", "b=1")
	l.put(t, "a", "b")
	l.roll(t)
	few := limits()
	few.KeyBytes = 1 // room for one key
	r, err := cleaner.Cleanable(l.Log, at(5000))
	if err != nil {
		t.Fatal(err)
	}
	pass := func(now int64) cleaner.Result {
		t.Helper()
		r.FirstDirty = l.FirstDirtyOffset()
		res, err := cleaner.Compact(t.Context(), l.Log, r, few, at(now))
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if res := pass(5000); res.EndOffset != 1 { // a
		t.Fatalf("first pass came to %d, want 1", res.EndOffset)
	}
	want(t, l.all(t), "0:a=1", "1:b=1", "2:a", "3:b")
	pass(5000) // b
	pass(5000) // a again
	want(t, l.all(t), "1:b=1", "2:a", "3:b")
	want(t, l.batches(t), "[0,1] 1", "[2,3] 2")
	pass(9000) // b again
	want(t, l.all(t), "2:a", "3:b")
	want(t, l.batches(t), "[2,3] 2 horizon 10000")
}

func TestCompact_AbortedRecordsGoAndMarkersFollow(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1", "b=1")
	l.putWith(t, txn(7, 0), "a=aborted", "z=aborted")
	l.putWith(t, txn(8, 0), "b=2", "c=1")
	l.end(t, 7, false)
	l.end(t, 8, true)
	l.putWith(t, idempotent(7, 2), "d=1") // so that no state rests on the others
	l.putWith(t, idempotent(8, 2), "e=1")
	l.roll(t)
	aborted := func() int {
		t.Helper()
		list, err := l.AbortedTxns(0, l.LogEndOffset())
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	l.clean(t, at(5000))
	want(t, l.all(t), "0:a=1", "4:b=2", "5:c=1", "8:d=1", "9:e=1")
	want(t, l.batches(t), "[0,1] 1", "[4,5] 2 p8/0", "[6,6] 1 p7/-1 control", "[7,7] 1 p8/-1 control", "[8,8] 1 p7/2", "[9,9] 1 p8/2")
	if n := aborted(); n != 1 {
		t.Errorf("%d aborted transactions are in the index while the marker may still be needed, want 1", n)
	}

	l.put(t, "b=3", "c=2") // now nothing is left of either transaction
	l.roll(t)
	l.clean(t, at(6000))
	want(t, l.batches(t), "[0,1] 1", "[6,6] 1 p7/-1 control horizon 7000", "[7,7] 1 p8/-1 control", "[8,8] 1 p7/2", "[9,9] 1 p8/2", "[10,11] 2")
	if n := aborted(); n != 0 {
		t.Errorf("%d aborted transactions are in the index when nothing is left of them", n)
	}
	l.put(t, "f=1")
	l.roll(t)
	l.clean(t, at(6999))
	want(t, l.batches(t), "[0,1] 1", "[6,6] 1 p7/-1 control horizon 7000", "[7,7] 1 p8/-1 control horizon 7999", "[8,8] 1 p7/2", "[9,9] 1 p8/2", "[10,11] 2", "[12,12] 1")
	l.put(t, "g=1")
	l.roll(t)
	l.clean(t, at(7000))
	want(t, l.batches(t), "[0,1] 1", "[7,7] 1 p8/-1 control horizon 7999", "[8,8] 1 p7/2", "[9,9] 1 p8/2", "[10,11] 2", "[12,12] 1", "[13,13] 1")
}

func TestCompact_ATransactionMaySpanSegmentsAndPasses(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.Config.SegmentBytes = 200 }) // one batch in a segment: none are merged
	l.putWith(t, txn(7, 0), "a=1")
	l.roll(t)
	l.putWith(t, txn(7, 1), "b=1")
	l.roll(t)
	l.put(t, "a=2")
	l.roll(t)
	l.end(t, 7, false)
	l.roll(t)
	l.putWith(t, idempotent(7, 2), "c=1")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "2:a=2", "4:c=1")
	reopened := l.reopen(t) // everything is made anew from the batches
	want(t, reopened.all(t), "2:a=2", "4:c=1")
	if lso := reopened.LastStableOffset(); lso != 5 {
		t.Errorf("last stable offset is %d, want 5: no transaction is open", lso)
	}
}

// The batch that a producer's state rests on stays, if only its header, so that the producer can go on after a restart.
func TestCompact_KeepsTheLastBatchOfALiveProducer(t *testing.T) {
	l := newLog(t, nil)
	l.putWith(t, idempotent(7, 0), "a=1", "b=1")
	l.putWith(t, idempotent(7, 2), "a=2", "b=2")
	l.put(t, "a=3", "b=3")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "4:a=3", "5:b=3")
	want(t, l.batches(t), "[2,3] 0 p7/2", "[4,5] 2")

	reopened := l.reopen(t)
	b := batchOf(t, idempotent(7, 4), 1000, "c=1")
	if info, err := reopened.AppendAsLeader(b, 0, commitlog.FromClient); err != nil || info.FirstOffset != 6 {
		t.Errorf("the producer's next batch got %+v, %v", info, err)
	}
	b = batchOf(t, idempotent(7, 2), 1000, "a=2", "b=2")
	if info, err := reopened.AppendAsLeader(b, 0, commitlog.FromClient); err != nil || !info.Duplicate || info.FirstOffset != 2 {
		t.Errorf("a retry of the batch that compaction emptied got %+v, %v", info, err)
	}
	reopened.roll(t)
	reopened.clean(t, at(9000))
	want(t, reopened.batches(t), "[4,5] 2", "[6,6] 1 p7/4")
}

// A producer of which only an end marker is known keeps that with its epoch, even when it is spent and due.
func TestCompact_KeepsTheMarkerThatFencesAProducer(t *testing.T) {
	l := newLog(t, nil)
	b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: 7, ProducerEpoch: 3, BaseSequence: -1, Transactional: true, Control: true})
	b.Append(1000, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 7})
	m, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	l.putBatch(t, m)
	for _, now := range []int64{5000, 9000, 20000} {
		l.put(t, "a=1")
		l.roll(t)
		l.clean(t, at(now))
	}
	want(t, l.batches(t), "[0,0] 1 p7/-1 control horizon 6000", "[3,3] 1")
	reopened := l.reopen(t)
	old := batchOf(t, txn(7, 0), 1000, "x=1") // of epoch 0
	if _, err := reopened.AppendAsLeader(old, 0, commitlog.FromClient); errcode.KindOf(err) != errcode.KindInvalidProducerEpoch {
		t.Errorf("a fenced producer got %v, want INVALID_PRODUCER_EPOCH", err)
	}
}

func TestCompact_KeepsTheBatchBelowTheHighWatermark(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1")
	l.put(t, "=no key")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.batches(t), "[0,0] 1", "[1,1] 0")
	l.put(t, "b=1")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.batches(t), "[0,0] 1", "[2,2] 1")
}

// A segment of which nothing stays leaves a trace of where it ended: recovery of an interrupted swap has to know.
func TestCompact_ASegmentOfWhichNothingStays(t *testing.T) {
	l := newLog(t, nil)
	l.put(t, "a=1")
	l.roll(t)
	l.put(t, "b=1")
	l.put(t, "b=2")
	l.roll(t)
	l.put(t, "a=2", "b=3")
	l.roll(t)
	limit := l.Config()
	limit.SegmentBytes = 150 // the first two are merged, the third is not
	l.SetConfig(limit)
	l.clean(t, at(5000))
	want(t, l.all(t), "3:a=2", "4:b=3")
	reopened := l.reopen(t)
	want(t, reopened.all(t), "3:a=2", "4:b=3")
}

// reopen opens what a killed process leaves. All of it is replicated.
func (l *testLog) reopen(t testing.TB) *testLog {
	t.Helper()
	mem, ok := l.fs.(*vfs.Mem)
	if !ok {
		t.Fatal("not a filesystem in memory")
	}
	next := newLogOn(t, mem.CrashClone(vfs.CrashOptions{SurvivePercent: 100}), nil)
	next.UpdateHighWatermark(next.LogEndOffset())
	return next
}

// What was remembered of the old segment's positions is no use in the new one, which begins at the same offset.
func TestCompact_ReadsAfterwardsByAnyLimit(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.TailCache = commitlog.NewTailCache(1 << 20) })
	for i := range 6 {
		l.put(t, "a=1", strings.Repeat("k", i+1)+"=1")
		l.sync(t)
	}
	read := func(from, to int64, maxBytes int) (out []int64) {
		err := eachBatchBy(l.Log, from, to, maxBytes, func(b records.Batch) error {
			out = append(out, b.LastOffset())
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	compare := func() {
		t.Helper()
		all := read(0, l.LogEndOffset(), 1<<20)
		for from := range l.LogEndOffset() {
			for to := from; to <= l.LogEndOffset(); to++ {
				for _, maxBytes := range []int{1, 100, 1000} {
					var want []int64
					for _, last := range all {
						if last >= from && last < to {
							want = append(want, last)
						}
					}
					if diff := cmp.Diff(want, read(from, to, maxBytes)); diff != "" {
						t.Fatalf("read of [%d, %d) in pieces of %d bytes: %s", from, to, maxBytes, diff)
					}
				}
			}
		}
	}
	compare()
	l.roll(t)
	l.clean(t, at(5000))
	compare()
	l.put(t, "a=2", "k=2")
	l.roll(t)
	compare()
	l.clean(t, at(5000))
	compare()
}

// The files of two replaced segments that began at the same offset would have the same .deleted name: who still holds the first
// must find nothing rather than the other's records.
func TestCompact_AReplacedSegmentNeverReadsAnothersFile(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) {
		o.Config.FileDeleteDelayMs = 60_000
		o.Files = segment.NewFiles(o.FS, 1) // so that files are opened again
	})
	l.put(t, "a=1", "b=1")
	l.roll(t)
	first := l.Segments()[0]
	l.put(t, "a=2")
	l.roll(t)
	l.clean(t, at(5000))
	h, err := first.Acquire() // as a reader that found its batches before
	if err != nil {
		t.Fatal(err)
	}
	before := make([]byte, first.Size())
	if _, err := h.ReadAt(before, 0); err != nil {
		t.Fatal(err)
	}
	h.Close()
	l.put(t, "b=2")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "2:a=2", "3:b=2") // which opens another file
	if _, err := first.Acquire(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if _, err := first.LargestTimestamp(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// Recovery reads leader epochs from batches, but where compaction left a gap the checkpoint knows better when one began.
func TestCompact_LeaderEpochsKeepTheirBeginning(t *testing.T) {
	l := newLog(t, nil)
	inEpoch := func(leaderEpoch int32, kvs ...string) {
		t.Helper()
		if err := l.AssignEpoch(leaderEpoch, l.LogEndOffset()); err != nil {
			t.Fatal(err)
		}
		for _, kv := range kvs {
			if _, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, 1000, kv), leaderEpoch, commitlog.FromClient); err != nil {
				t.Fatal(err)
			}
		}
	}
	inEpoch(0, "a=1", "b=1")
	inEpoch(2, "c=1", "c=2") // nothing of it stays
	inEpoch(3, "c=3", "d=1") // d alone stays
	inEpoch(5, "c=4", "e=1")
	l.roll(t)
	l.clean(t, at(5000))
	want(t, l.all(t), "0:a=1", "1:b=1", "5:d=1", "6:c=4", "7:e=1")
	before := l.EpochEntries()
	after := l.reopen(t).EpochEntries()
	if diff := cmp.Diff(before, after); diff != "" || len(before) != 4 {
		t.Errorf("leader epochs %v after recovery (-before +after):\n%s", after, diff)
	}
}

// A follower takes compacted batches as they are, empty ones and such with a delete horizon too, and compacts them further.
func TestCompact_AFollowerTakesWhatIsLeft(t *testing.T) {
	leader := newLog(t, nil)
	leader.put(t, "a=1", "b=1")
	leader.putWith(t, idempotent(7, 0), "c=1")
	leader.putWith(t, txn(8, 0), "d=aborted")
	leader.end(t, 8, false)
	leader.put(t, "a", "c=2")
	leader.roll(t)
	leader.clean(t, at(5000))

	follower := newLog(t, nil)
	var batches []string
	err := eachBatch(leader.Log, 0, leader.LogEndOffset(), func(b records.Batch) error {
		_, err := follower.AppendAsFollower(b, 1<<30)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	follower.roll(t)
	batches = follower.batches(t)
	want(t, batches, leader.batches(t)...)
	if follower.LogEndOffset() != leader.LogEndOffset() || follower.LastStableOffset() != leader.LogEndOffset() {
		t.Errorf("the follower ends at %d, %d is stable; the leader ends at %d", follower.LogEndOffset(), follower.LastStableOffset(), leader.LogEndOffset())
	}
	follower.clean(t, at(9000)) // the tombstone is due by its horizon, which came with it
	want(t, follower.all(t), "1:b=1", "6:c=2")
	reopened := follower.reopen(t)
	want(t, reopened.all(t), "1:b=1", "6:c=2")
	if info, err := reopened.AppendAsLeader(batchOf(t, idempotent(7, 1), 1000, "e=1"), 0, commitlog.FromClient); err != nil || info.FirstOffset != 7 {
		t.Errorf("producer 7 goes on: %+v, %v", info, err)
	}
}

// The largest timestamp may be that of a batch that was emptied.
func TestCompact_TimesAreFoundBehindEmptyBatches(t *testing.T) {
	l := newLog(t, nil)
	l.putBatch(t, batchOf(t, idempotent(7, 0), 5000, "a=1"))
	l.putBatch(t, batchOf(t, records.BuilderOptions{}, 1000, "a=2", "b=1"))
	l.roll(t)
	l.clean(t, at(9000))
	want(t, l.batches(t), "[0,0] 0 p7/0", "[1,2] 2")
	for ts, want := range map[int64]int64{0: 1, 1000: 1, 1001: 2, 1002: -1, 5000: -1} {
		offset, _, _, found, err := l.OffsetForTimestamp(ts)
		if err != nil || found != (want >= 0) || found && offset != want {
			t.Errorf("time %d is found at %d, %v, %v, want %d", ts, offset, found, err, want)
		}
	}
	if offset, ts, _, found, err := l.OffsetOfMaxTimestamp(); err != nil || found && ts > 1001 {
		t.Errorf("the largest timestamp is %d at %d, %v, %v", ts, offset, found, err)
	}
}

// A segment of which everything stays is not written again; one that changes late is copied up to there.
func TestCompact_WritesOnlyWhatChanges(t *testing.T) {
	l := newLog(t, func(o *commitlog.Options) { o.Config.SegmentBytes = 450 }) // none are merged
	filler := strings.Repeat("x", 200)
	l.put(t, "a="+filler)
	l.putWith(t, txn(7, 0), "t=aborted")
	l.roll(t)
	l.end(t, 7, false)
	l.put(t, "b="+filler)
	l.put(t, "c=1")
	l.roll(t)
	l.put(t, "d="+filler, "e=1")
	l.roll(t)
	l.put(t, "c=2", "f="+filler)
	l.roll(t)
	l.putWith(t, idempotent(7, 1), "g=1")
	before := l.Segments()
	res := l.clean(t, at(5000))
	after := l.Segments()
	if after[0] == before[0] || after[1] == before[1] || after[2] != before[2] || after[3] != before[3] {
		t.Errorf("segments changed: %v, %v, %v, %v; want the first two", after[0] != before[0], after[1] != before[1], after[2] != before[2], after[3] != before[3])
	}
	if written := after[0].Size() + after[1].Size(); res.BytesWritten != written {
		t.Errorf("%d bytes were written, want %d", res.BytesWritten, written)
	}
	want(t, l.batches(t), "[0,0] 1", "[2,2] 1 p7/-1 control", "[3,3] 1", "[5,6] 2", "[7,8] 2", "[9,9] 1 p7/1")
	aborted, err := l.AbortedTxns(0, l.LogEndOffset())
	if err != nil || len(aborted) != 1 {
		t.Errorf("aborted transactions %v, %v: the entry of a marker before the first change is to be kept", aborted, err)
	}
	offset, _, _, found, err := l.OffsetForTimestamp(0)
	if err != nil || !found || offset != 0 {
		t.Errorf("time 0 is found at %d, %v, %v", offset, found, err)
	}
	want(t, l.reopen(t).batches(t), l.batches(t)...)
}
