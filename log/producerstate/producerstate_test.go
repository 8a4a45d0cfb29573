package producerstate_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	client      = producerstate.OriginClient
	coordinator = producerstate.OriginCoordinator
	replication = producerstate.OriginReplication

	outOfOrder   = errcode.KindOutOfOrderSequenceNumber
	invalidEpoch = errcode.KindInvalidProducerEpoch
	fenced       = errcode.KindTransactionCoordinatorFenced
	invalidTxn   = errcode.KindInvalidTxnState
)

func open(t testing.TB, fsys vfs.FS, change func(*producerstate.Options)) *producerstate.Manager {
	t.Helper()
	o := producerstate.Options{
		FS: fsys, Dir: "/t-0", TopicPartition: protocol.TopicPartition{Topic: "t"}, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	if err := fsys.MkdirAll(o.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := producerstate.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func newManager(t testing.TB) *producerstate.Manager { return open(t, vfs.NewMem(), nil) }

// batch makes a batch of count records.
func batch(pid int64, epoch int16, seq, count int32, offset int64) producerstate.Batch {
	last := int64(seq) + int64(count) - 1
	if last > math.MaxInt32 {
		last -= math.MaxInt32 + 1
	}
	return producerstate.Batch{
		ProducerID: pid, ProducerEpoch: epoch, BaseSequence: seq, LastSequence: int32(last),
		BaseOffset: offset, LastOffset: offset + int64(count) - 1, MaxTimestamp: 1000 + offset,
	}
}

func txnBatch(pid int64, epoch int16, seq, count int32, offset int64) producerstate.Batch {
	b := batch(pid, epoch, seq, count, offset)
	b.Transactional = true
	return b
}

func marker(pid int64, epoch int16, coordinatorEpoch int32, abort bool, offset int64) producerstate.Marker {
	return producerstate.Marker{
		ProducerID: pid, ProducerEpoch: epoch, CoordinatorEpoch: coordinatorEpoch, Abort: abort, Offset: offset, Timestamp: 1000 + offset,
	}
}

func add(m *producerstate.Manager, b producerstate.Batch, o producerstate.Origin) error {
	u := m.Begin()
	if err := u.Append(b, o); err != nil {
		u.Discard()
		return err
	}
	u.Commit(b.LastOffset + 1)
	return nil
}

func end(m *producerstate.Manager, mk producerstate.Marker, o producerstate.Origin) ([]producerstate.CompletedTxn, error) {
	u := m.Begin()
	if err := u.AppendMarker(mk, o); err != nil {
		u.Discard()
		return nil, err
	}
	done := slices.Clone(u.Commit(mk.Offset + 1))
	for _, d := range done {
		m.CompleteTxn(d)
	}
	return done, nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, what string, err error, want errcode.Kind) {
	t.Helper()
	var kinder errcode.Kinder
	switch {
	case want == 0 && err != nil:
		t.Errorf("%s: got error %v, want none", what, err)
	case want != 0 && (!errors.As(err, &kinder) || kinder.ErrorKind() != want):
		t.Errorf("%s: got error %v, want %v", what, err, errcode.Name(int16(want)))
	}
}

func TestUpdate_SequencesAndEpochs(t *testing.T) {
	type step struct {
		batch  producerstate.Batch
		origin producerstate.Origin
		want   errcode.Kind
	}
	cases := []struct {
		name  string
		steps []step
	}{
		{"consecutive sequences", []step{
			{batch(1, 0, 0, 3, 0), client, 0},
			{batch(1, 0, 3, 1, 3), client, 0},
			{batch(1, 0, 4, 10, 4), client, 0},
		}},
		{"a gap", []step{
			{batch(1, 0, 0, 3, 0), client, 0},
			{batch(1, 0, 4, 1, 3), client, outOfOrder},
			{batch(1, 0, 3, 1, 3), client, 0},
		}},
		{"an old sequence that is no duplicate", []step{
			{batch(1, 0, 0, 3, 0), client, 0},
			{batch(1, 0, 0, 2, 3), client, outOfOrder},
		}},
		{"an unknown producer begins anywhere", []step{
			{batch(1, 3, 77, 3, 0), client, 0},
			{batch(1, 3, 80, 1, 3), client, 0},
		}},
		{"sequences wrap to zero", []step{
			{batch(1, 0, math.MaxInt32-1, 2, 0), client, 0},
			{batch(1, 0, 0, 2, 2), client, 0},
			{batch(1, 0, 2, 1, 4), client, 0},
		}},
		{"sequences wrap inside a batch", []step{
			{batch(1, 0, math.MaxInt32-1, 5, 0), client, 0}, // MaxInt32-1, MaxInt32, 0, 1, 2
			{batch(1, 0, 3, 1, 5), client, 0},
			{batch(1, 0, 5, 1, 6), client, outOfOrder},
		}},
		{"zero only wraps from the largest sequence", []step{
			{batch(1, 0, math.MaxInt32-1, 1, 0), client, 0},
			{batch(1, 0, 0, 1, 1), client, outOfOrder},
			{batch(1, 0, math.MaxInt32, 1, 1), client, 0},
			{batch(1, 0, 0, 1, 2), client, 0},
		}},
		{"a new epoch begins at zero", []step{
			{batch(1, 0, 0, 3, 0), client, 0},
			{batch(1, 1, 3, 1, 3), client, outOfOrder},
			{batch(1, 1, 0, 1, 3), client, 0},
			{batch(1, 1, 1, 1, 4), client, 0},
		}},
		{"an older epoch", []step{
			{batch(1, 5, 0, 3, 0), client, 0},
			{batch(1, 4, 3, 1, 3), client, invalidEpoch},
			{batch(1, 4, 0, 1, 3), coordinator, invalidEpoch},
			{batch(1, 4, 0, 1, 3), replication, 0},
			{batch(1, 4, 1, 1, 4), client, 0}, // the log is right: epoch 4 is now the last
		}},
		{"a coordinator has no sequences", []step{
			{batch(1, 0, 5, 1, 0), client, 0},
			{producerstate.Batch{ProducerID: 1, BaseSequence: -1, LastSequence: -1, BaseOffset: 1, LastOffset: 1}, coordinator, 0},
		}},
		{"replication is taken as it is", []step{
			{batch(1, 0, 0, 1, 0), replication, 0},
			{batch(1, 0, 9, 1, 1), replication, 0},
			{batch(1, 7, 9, 1, 2), replication, 0},
		}},
		{"producers do not meet", []step{
			{batch(1, 0, 0, 1, 0), client, 0},
			{batch(2, 9, 5, 1, 1), client, 0},
			{batch(1, 0, 1, 1, 2), client, 0},
			{batch(2, 9, 6, 1, 3), client, 0},
		}},
		{"plain records inside a transaction", []step{
			{txnBatch(1, 0, 0, 1, 0), client, 0},
			{batch(1, 0, 1, 1, 1), client, invalidTxn},
			{batch(1, 0, 1, 1, 1), replication, invalidTxn},
			{txnBatch(1, 0, 1, 1, 1), client, 0},
		}},
	}
	for _, c := range cases {
		for _, together := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/one update %v", c.name, together), func(t *testing.T) {
				m := newManager(t)
				var u *producerstate.Update
				for i, s := range c.steps {
					if u == nil {
						u = m.Begin()
					}
					wantKind(t, fmt.Sprintf("step %d", i), u.Append(s.batch, s.origin), s.want)
					if !together {
						u.Commit(s.batch.LastOffset + 1)
						u = nil
					}
				}
			})
		}
	}
}

func TestUpdate_FindsTheLastFiveBatches(t *testing.T) {
	for _, together := range []bool{false, true} {
		t.Run(fmt.Sprintf("one update %v", together), func(t *testing.T) {
			m := newManager(t)
			u := m.Begin()
			start := int32(math.MaxInt32 - 5) // so that the window spans the wrap
			var sent []producerstate.Batch
			seq, offset := start, int64(100)
			for i := range 8 {
				b := batch(7, 2, seq, 2, offset)
				must(t, u.Append(b, client))
				if !together {
					u.Commit(b.LastOffset + 1)
					u = m.Begin()
				}
				sent = append(sent, b)
				if seq = b.LastSequence + 1; b.LastSequence == math.MaxInt32 {
					seq = 0
				}
				offset += 2 + int64(i)
			}
			for i, b := range sent {
				retry := b
				retry.BaseOffset, retry.LastOffset, retry.MaxTimestamp = 9000, 9001, 9 // a retry knows no offsets
				got, found := u.FindDuplicate(retry)
				if found != (i >= 3) {
					t.Fatalf("batch %d of 8: found %v", i, found)
				}
				want := producerstate.BatchMetadata{LastOffset: b.LastOffset, Timestamp: b.MaxTimestamp, LastSequence: b.LastSequence, OffsetDelta: 1}
				if found && (got != want || got.BaseOffset() != b.BaseOffset || got.BaseSequence() != b.BaseSequence) {
					t.Errorf("batch %d: got %+v, want %+v", i, got, want)
				}
				for name, other := range map[string]producerstate.Batch{
					"another epoch":    batch(7, 3, b.BaseSequence, 2, 0),
					"another producer": batch(8, 2, b.BaseSequence, 2, 0),
					"a shorter range":  batch(7, 2, b.BaseSequence, 1, 0),
					"a longer range":   batch(7, 2, b.BaseSequence, 3, 0),
				} {
					if got, found := u.FindDuplicate(other); found {
						t.Errorf("%s of batch %d is a duplicate of %+v", name, i, got)
					}
				}
			}
			u.Discard()
		})
	}
}

func TestUpdate_NewEpochForgetsTheWindow(t *testing.T) {
	m := newManager(t)
	must(t, add(m, batch(1, 0, 0, 1, 0), client))
	must(t, add(m, batch(1, 1, 0, 1, 1), client))
	u := m.Begin()
	defer u.Discard()
	if got, found := u.FindDuplicate(batch(1, 0, 0, 1, 9)); found {
		t.Errorf("a batch of the old epoch is a duplicate of %+v", got)
	}
	if got, found := u.FindDuplicate(batch(1, 1, 0, 1, 9)); !found || got.LastOffset != 1 {
		t.Errorf("got %+v %v, want the batch at offset 1", got, found)
	}
}

func TestUpdate_MarkerKeepsTheWindowOfItsEpoch(t *testing.T) {
	m := newManager(t)
	must(t, add(m, txnBatch(1, 0, 0, 1, 0), client))
	_, err := end(m, marker(1, 0, 3, false, 1), coordinator)
	must(t, err)
	wantKind(t, "go on after a marker of the same epoch", add(m, txnBatch(1, 0, 1, 1, 2), client), 0)
	_, err = end(m, marker(1, 1, 3, true, 3), coordinator)
	must(t, err)
	wantKind(t, "old sequence after a marker bumped the epoch", add(m, txnBatch(1, 1, 2, 1, 4), client), outOfOrder)
	wantKind(t, "old epoch after a marker bumped it", add(m, txnBatch(1, 0, 2, 1, 4), client), invalidEpoch)
	wantKind(t, "begin at zero", add(m, txnBatch(1, 1, 0, 1, 4), client), 0)
}

func TestUpdate_Markers(t *testing.T) {
	v2 := func(mk producerstate.Marker) producerstate.Marker { mk.TransactionVersion = 2; return mk }
	cases := []struct {
		name   string
		open   bool
		mk     producerstate.Marker
		origin producerstate.Origin
		want   errcode.Kind
	}{
		{"same epoch", true, marker(1, 5, 9, false, 10), coordinator, 0},
		{"bumped epoch", true, marker(1, 6, 9, false, 10), coordinator, 0},
		{"old epoch", true, marker(1, 4, 9, false, 10), coordinator, invalidEpoch},
		{"old epoch, replicated", true, marker(1, 4, 9, false, 10), replication, 0},
		{"old coordinator", true, marker(1, 5, 7, false, 10), coordinator, fenced},
		{"old coordinator, replicated", true, marker(1, 5, 7, false, 10), replication, 0},
		{"version 2, same epoch, open", true, v2(marker(1, 5, 9, false, 10)), coordinator, invalidEpoch},
		{"version 2, same epoch, decided: a repeat", false, v2(marker(1, 5, 9, false, 10)), coordinator, 0},
		{"version 2, bumped", true, v2(marker(1, 6, 9, false, 10)), coordinator, 0},
		{"version 2, old", false, v2(marker(1, 4, 9, false, 10)), coordinator, invalidEpoch},
		{"an unknown producer", false, marker(2, 0, 0, true, 10), coordinator, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newManager(t)
			must(t, add(m, txnBatch(1, 5, 0, 1, 0), client))
			_, err := end(m, marker(1, 5, 8, false, 1), coordinator)
			must(t, err)
			if c.open {
				must(t, add(m, txnBatch(1, 5, 1, 1, 2), client))
			}
			_, err = end(m, c.mk, c.origin)
			wantKind(t, "marker", err, c.want)
		})
	}
	m := newManager(t)
	must(t, add(m, txnBatch(1, math.MaxInt16, 0, 1, 0), client))
	_, err := end(m, v2(marker(1, math.MaxInt16, 0, true, 1)), coordinator)
	wantKind(t, "version 2 at the largest epoch", err, 0)
}

func wantUnstable(t *testing.T, m *producerstate.Manager, unstable, undecided int64) {
	t.Helper()
	for _, c := range []struct {
		name string
		get  func() (int64, bool)
		want int64
	}{{"first unstable", m.FirstUnstableOffset, unstable}, {"first undecided", m.FirstUndecidedOffset, undecided}} {
		if got, ok := c.get(); got != c.want || ok != (c.want >= 0) {
			t.Errorf("%s offset: got %d %v, want %d", c.name, got, ok, c.want)
		}
	}
}

func TestManager_TransactionsHoldTheStableOffset(t *testing.T) {
	m := newManager(t)
	wantUnstable(t, m, -1, -1)
	must(t, add(m, txnBatch(1, 0, 0, 2, 10), client))
	must(t, add(m, txnBatch(2, 0, 0, 2, 12), client))
	must(t, add(m, txnBatch(1, 0, 2, 2, 14), client))
	must(t, add(m, batch(3, 0, 0, 2, 16), client))
	wantUnstable(t, m, 10, 10)

	done, err := end(m, marker(1, 0, 0, true, 18), coordinator)
	must(t, err)
	if diff := cmp.Diff([]producerstate.CompletedTxn{{ProducerID: 1, FirstOffset: 10, LastOffset: 18, Aborted: true}}, done); diff != "" {
		t.Errorf("completed (-want +got):\n%s", diff)
	}
	if got := m.LastStableOffset(done[0]); got != 12 {
		t.Errorf("last stable offset of the first: got %d, want 12 where the other open one begins", got)
	}
	wantUnstable(t, m, 10, 12)
	m.HighWatermarkUpdated(18)
	wantUnstable(t, m, 10, 12)
	m.HighWatermarkUpdated(19)
	wantUnstable(t, m, 12, 12)

	done, err = end(m, marker(2, 0, 0, false, 19), coordinator)
	must(t, err)
	if len(done) != 1 || done[0].Aborted || m.LastStableOffset(done[0]) != 20 {
		t.Errorf("second: got %+v", done)
	}
	wantUnstable(t, m, 12, -1)
	if done, err = end(m, marker(2, 0, 0, false, 20), coordinator); err != nil || len(done) != 0 {
		t.Errorf("marker of an empty transaction: got %+v %v, want nothing completed", done, err)
	}
	m.HighWatermarkUpdated(21)
	wantUnstable(t, m, -1, -1)
}

func TestUpdate_DiscardPutsEverythingBack(t *testing.T) {
	m := newManager(t)
	for i := range int32(7) {
		must(t, add(m, batch(1, 0, i, 1, int64(i)), client))
	}
	must(t, add(m, txnBatch(2, 0, 0, 1, 7), client))
	before := m.ActiveProducers()
	u := m.Begin()
	must(t, u.Append(batch(1, 1, 0, 1, 8), client))
	must(t, u.Append(batch(1, 1, 1, 1, 9), client))
	must(t, u.Append(txnBatch(3, 0, 0, 1, 10), client))
	must(t, u.AppendMarker(marker(2, 0, 0, true, 11), coordinator))
	wantKind(t, "a bad batch", u.Append(batch(1, 1, 9, 1, 12), client), outOfOrder)
	u.Discard()
	if diff := cmp.Diff(before, m.ActiveProducers()); diff != "" {
		t.Errorf("producers (-before +after):\n%s", diff)
	}
	wantUnstable(t, m, 7, 7)
	if m.MapEndOffset() != 8 {
		t.Errorf("map end offset %d, want 8", m.MapEndOffset())
	}
	u = m.Begin()
	defer u.Discard()
	for i := range int32(7) {
		if _, found := u.FindDuplicate(batch(1, 0, i, 1, 0)); found != (i >= 2) {
			t.Errorf("sequence %d: duplicate %v", i, found)
		}
	}
}

func TestUpdate_OneAtATime(t *testing.T) {
	m := newManager(t)
	u := m.Begin()
	mustPanic(t, "a second update", func() { m.Begin() })
	mustPanic(t, "a snapshot inside", func() { _, _ = m.TakeSnapshot(true) })
	u.Discard()
	mustPanic(t, "a second end", func() { u.Commit(1) })
}

func mustPanic(t *testing.T, what string, fn func()) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	fn()
}

func TestManager_ExpiresIdleProducers(t *testing.T) {
	m := open(t, vfs.NewMem(), func(o *producerstate.Options) { o.ExpirationMs = 100 })
	must(t, add(m, batch(1, 0, 0, 1, 0), client)) // timestamp 1000
	must(t, add(m, batch(2, 0, 0, 1, 50), client))
	must(t, add(m, txnBatch(3, 0, 0, 1, 51), client))
	m.RemoveExpired(1099)
	if m.ProducerCount() != 3 {
		t.Errorf("at 1099: %d producers, want 3", m.ProducerCount())
	}
	m.RemoveExpired(1100)
	if _, ok := m.LastEntry(1); ok || m.ProducerCount() != 2 {
		t.Errorf("at 1100: %d producers, the first there: %v", m.ProducerCount(), ok)
	}
	m.SetExpirationMs(1)
	m.RemoveExpired(9999)
	if _, ok := m.LastEntry(3); !ok || m.ProducerCount() != 1 {
		t.Error("the producer of an open transaction expired")
	}
	wantKind(t, "an expired producer goes on", add(m, batch(1, 0, 7, 1, 60), client), 0)
}

func TestManager_BoundsItsProducers(t *testing.T) {
	m := open(t, vfs.NewMem(), func(o *producerstate.Options) { o.MaxProducers = 80 })
	must(t, add(m, txnBatch(0, 0, 0, 1, 0), client))
	for i := int64(1); i <= 1000; i++ {
		must(t, add(m, batch(i, 0, 0, 1, i), client))
		if m.ProducerCount() > 80 {
			t.Fatalf("%d producers after %d", m.ProducerCount(), i)
		}
	}
	if m.ProducerCount() < 70 {
		t.Errorf("%d producers left of at most 80", m.ProducerCount())
	}
	for i := int64(1000); i > 1000-69; i-- {
		if _, ok := m.LastEntry(i); !ok {
			t.Errorf("producer %d, one of the newest, is forgotten", i)
		}
	}
	if _, ok := m.LastEntry(0); !ok {
		t.Error("the producer of an open transaction is forgotten")
	}
	for i := range int64(300) { // open transactions alone pass the bound; that must not cost a sort for each append
		must(t, add(m, txnBatch(2000+i, 0, 0, 1, 2000+i), client))
	}
	if got := m.ProducerCount(); got < 301 || got > 320 {
		t.Errorf("%d producers, want the 301 of open transactions and few others", got)
	}
}

// snapshotBytes builds a snapshot by hand, independently of the encoder.
func snapshotBytes(version int16, count int32, entries ...producerstate.Entry) []byte {
	var body []byte
	body = binary.BigEndian.AppendUint32(body, uint32(count))
	for _, e := range entries {
		body = binary.BigEndian.AppendUint64(body, uint64(e.ProducerID))
		body = binary.BigEndian.AppendUint16(body, uint16(e.ProducerEpoch))
		body = binary.BigEndian.AppendUint32(body, uint32(e.LastSequence))
		body = binary.BigEndian.AppendUint64(body, uint64(e.LastOffset))
		body = binary.BigEndian.AppendUint32(body, 0)
		body = binary.BigEndian.AppendUint64(body, uint64(e.LastTimestamp))
		body = binary.BigEndian.AppendUint32(body, uint32(e.CoordinatorEpoch))
		body = binary.BigEndian.AppendUint64(body, uint64(e.CurrentTxnFirstOffset))
	}
	out := binary.BigEndian.AppendUint16(nil, uint16(version))
	out = binary.BigEndian.AppendUint32(out, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	return append(out, body...)
}

func entryOf(pid, lastOffset, txn int64) producerstate.Entry {
	return producerstate.Entry{
		ProducerID: pid, ProducerEpoch: 1, CoordinatorEpoch: -1, LastSequence: 4, LastOffset: lastOffset, LastTimestamp: 5000, CurrentTxnFirstOffset: txn,
	}
}

func TestSnapshot_Bytes(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	must(t, add(m, batch(2, 3, 10, 5, 100), client))
	must(t, add(m, batch(2, 3, 15, 2, 105), client))
	must(t, add(m, txnBatch(1, 0, 0, 1, 107), client))
	_, err := end(m, marker(9, 1, 6, false, 108), coordinator)
	must(t, err)
	path, err := m.TakeSnapshot(true)
	must(t, err)
	if want := filepath.Join("/t-0", "00000000000000000109.snapshot"); path != want {
		t.Fatalf("wrote %s, want %s", path, want)
	}
	got, err := vfs.ReadFile(fsys, path)
	must(t, err)
	want := "0001" + "cb37dc76" + "00000003" +
		"0000000000000001" + "0000" + "00000000" + "000000000000006b" + "00000000" + "0000000000000453" + "ffffffff" + "000000000000006b" +
		"0000000000000002" + "0003" + "00000010" + "000000000000006a" + "00000001" + "0000000000000451" + "ffffffff" + "ffffffffffffffff" +
		"0000000000000009" + "0001" + "ffffffff" + "ffffffffffffffff" + "00000000" + "0000000000000454" + "00000006" + "ffffffffffffffff"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
	entries, err := producerstate.ReadSnapshot(fsys, path)
	must(t, err)
	if diff := cmp.Diff(m.ActiveProducers(), entries); diff != "" {
		t.Errorf("read back (-state +file):\n%s", diff)
	}
	if again, err := m.TakeSnapshot(true); again != "" || err != nil {
		t.Errorf("a second snapshot at the same offset: %q %v", again, err)
	}
}

func TestReadSnapshot_Malformed(t *testing.T) {
	good := snapshotBytes(1, 2, entryOf(1, 5, -1), entryOf(2, 6, 3))
	flipped := slices.Clone(good)
	flipped[20] ^= 1
	cases := []struct {
		name  string
		bytes []byte
		ok    bool
	}{
		{"good", good, true},
		{"no entries", snapshotBytes(1, 0), true},
		{"entries after the count", snapshotBytes(1, 1, entryOf(1, 5, -1), entryOf(2, 6, 3)), true},
		{"empty", nil, false},
		{"one byte", good[:1], false},
		{"header only", good[:9], false},
		{"cut", good[:len(good)-1], false},
		{"a bit flipped", flipped, false},
		{"version 0", snapshotBytes(0, 0), false},
		{"version 2", snapshotBytes(2, 0), false},
		{"count too large", snapshotBytes(1, 3, entryOf(1, 5, -1)), false},
		{"count huge", snapshotBytes(1, math.MaxInt32), false},
		{"count negative", snapshotBytes(1, -1), false},
		{"a producer twice", snapshotBytes(1, 2, entryOf(1, 5, -1), entryOf(1, 6, -1)), false},
		{"a transaction twice", snapshotBytes(1, 2, entryOf(1, 5, 3), entryOf(2, 6, 3)), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			must(t, vfs.WriteFileAtomic(fsys, "/s", c.bytes))
			_, err := producerstate.ReadSnapshot(fsys, "/s")
			var corrupt *producerstate.CorruptSnapshotError
			if c.ok != (err == nil) || (err != nil && !errors.As(err, &corrupt)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func writeSnapshots(t testing.TB, fsys vfs.FS, files map[int64][]byte) {
	t.Helper()
	must(t, fsys.MkdirAll("/t-0", 0o755))
	must(t, fsys.SyncDir("/"))
	for offset, b := range files {
		must(t, vfs.WriteFileAtomic(fsys, filepath.Join("/t-0", producerstate.SnapshotName(offset)), b))
	}
}

func snapshotFiles(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	entries, err := fsys.ReadDir("/t-0")
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestTruncateAndReload(t *testing.T) {
	torn := snapshotBytes(1, 1, entryOf(9, 5, -1))[:30]
	cases := []struct {
		name            string
		files           map[int64][]byte
		start, end, now int64
		wantEnd         int64
		wantProducers   []int64
		wantFiles       []int64
		wantUndecided   int64
	}{
		{
			"no snapshot", nil, 7, 100, 0,
			7, nil, nil, -1,
		},
		{
			"the newest within the log",
			map[int64][]byte{10: snapshotBytes(1, 1, entryOf(1, 5, -1)), 20: snapshotBytes(1, 1, entryOf(2, 15, 12)), 101: snapshotBytes(1, 0)},
			0, 100, 0,
			20,
			[]int64{2},
			[]int64{10, 20},
			12,
		},
		{
			"one exactly at the end",
			map[int64][]byte{100: snapshotBytes(1, 1, entryOf(1, 5, -1))},
			0, 100, 0,
			100,
			[]int64{1},
			[]int64{100},
			-1,
		},
		{
			"those at or below the start go",
			map[int64][]byte{5: snapshotBytes(1, 1, entryOf(1, 4, -1)), 10: snapshotBytes(1, 1, entryOf(1, 5, -1))},
			10, 100, 0,
			10, nil, nil, -1,
		},
		{
			"corrupt ones go",
			map[int64][]byte{10: snapshotBytes(1, 1, entryOf(1, 5, -1)), 20: torn, 30: nil},
			0, 100, 0,
			10,
			[]int64{1},
			[]int64{10},
			-1,
		},
		{
			"all corrupt",
			map[int64][]byte{20: torn},
			3, 100, 0,
			3, nil, nil, -1,
		},
		{
			"expired producers are left out, open transactions are not",
			map[int64][]byte{20: snapshotBytes(1, 2, entryOf(1, 5, -1), entryOf(2, 6, 6))},
			0, 100, 5000 + producerstate.DefaultExpirationMs,
			20,
			[]int64{2},
			[]int64{20},
			6,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			writeSnapshots(t, fsys, c.files)
			m := open(t, fsys, nil)
			must(t, add(m, txnBatch(77, 0, 0, 1, 500), client)) // must be gone afterwards
			must(t, m.TruncateAndReload(c.start, c.end, c.now))
			if m.MapEndOffset() != c.wantEnd {
				t.Errorf("map end offset %d, want %d", m.MapEndOffset(), c.wantEnd)
			}
			var producers []int64
			for _, e := range m.ActiveProducers() {
				producers = append(producers, e.ProducerID)
			}
			if !slices.Equal(producers, c.wantProducers) {
				t.Errorf("producers %v, want %v", producers, c.wantProducers)
			}
			wantUnstable(t, m, c.wantUndecided, c.wantUndecided)
			var want []string
			for _, offset := range c.wantFiles {
				want = append(want, producerstate.SnapshotName(offset))
			}
			if got := snapshotFiles(t, fsys); !slices.Equal(got, want) {
				t.Errorf("files %v, want %v", got, want)
			}
		})
	}
}

func TestTruncateAndReload_RemovesDurably(t *testing.T) {
	fsys := vfs.NewMem()
	writeSnapshots(t, fsys, map[int64][]byte{10: snapshotBytes(1, 0), 90: snapshotBytes(1, 0)})
	m := open(t, fsys, nil)
	must(t, m.TruncateAndReload(0, 50, 0))
	want := []string{producerstate.SnapshotName(10)}
	if got := snapshotFiles(t, fsys.CrashClone(vfs.CrashOptions{})); !slices.Equal(got, want) {
		t.Errorf("files after a crash %v, want %v: a snapshot above the cut must not come back", got, want)
	}
}

func TestTruncateAndReload_KeepsAStateThatEndsThere(t *testing.T) {
	m := newManager(t)
	must(t, add(m, batch(1, 0, 0, 1, 99), client))
	must(t, m.TruncateAndReload(50, 100, 0))
	if _, ok := m.LastEntry(1); !ok || m.MapEndOffset() != 100 {
		t.Error("the state was dropped although the log ends where it does")
	}
	must(t, m.TruncateFullyAndStartAt(7))
	if !m.IsEmpty() || m.MapEndOffset() != 7 {
		t.Errorf("after starting over: %d producers, end %d", m.ProducerCount(), m.MapEndOffset())
	}
}

func TestRemoveStraySnapshots(t *testing.T) {
	cases := []struct {
		name            string
		files, segments []int64
		want            []int64
	}{
		{"all belong", []int64{0, 10}, []int64{0, 10}, []int64{0, 10}},
		{"the one of a clean close stays", []int64{10, 25}, []int64{0, 10}, []int64{10, 25}},
		{"only the newest of those", []int64{10, 12, 25, 30}, []int64{0, 10}, []int64{10, 30}},
		{"between segments", []int64{5, 10}, []int64{0, 10}, []int64{10}},
		{"below all segments", []int64{5, 10}, []int64{10}, []int64{10}},
		{"no segments", []int64{5, 10}, nil, []int64{10}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			files := map[int64][]byte{}
			for _, offset := range c.files {
				files[offset] = snapshotBytes(1, 0)
			}
			writeSnapshots(t, fsys, files)
			m := open(t, fsys, nil)
			must(t, m.RemoveStraySnapshots(c.segments))
			var want []string
			for _, offset := range c.want {
				want = append(want, producerstate.SnapshotName(offset))
			}
			if got := snapshotFiles(t, fsys); !slices.Equal(got, want) {
				t.Errorf("left %v, want %v", got, want)
			}
			newest, ok := m.LatestSnapshotOffset()
			if ok != (len(c.want) > 0) || (ok && newest != c.want[len(c.want)-1]) {
				t.Errorf("newest %d %v", newest, ok)
			}
		})
	}
}

func TestSnapshots_DeleteAndFollowTheFolder(t *testing.T) {
	fsys := vfs.NewMem()
	writeSnapshots(t, fsys, map[int64][]byte{10: snapshotBytes(1, 0), 20: snapshotBytes(1, 0), 30: snapshotBytes(1, 0)})
	create := filepath.Join("/t-0", "x.snapshot") // not ours: left alone
	must(t, vfs.WriteFileAtomic(fsys, create, nil))
	m := open(t, fsys, func(o *producerstate.Options) {
		o.Names = []string{"x.snapshot", producerstate.SnapshotName(30), producerstate.SnapshotName(10), producerstate.SnapshotName(20), "-0000000000000000001.snapshot"}
	})
	must(t, m.DeleteSnapshotsBefore(20))
	if oldest, ok := m.OldestSnapshotOffset(); !ok || oldest != 20 {
		t.Errorf("oldest %d %v, want 20", oldest, ok)
	}
	must(t, fsys.Rename("/t-0", "/t-0.x-delete"))
	m.SetDir("/t-0.x-delete")
	must(t, m.RemoveSnapshot(20))
	must(t, m.RemoveSnapshot(21))
	must(t, fsys.Remove(filepath.Join("/t-0.x-delete", producerstate.SnapshotName(30))))
	must(t, m.RemoveSnapshot(30)) // somebody else was faster
	if _, ok := m.OldestSnapshotOffset(); ok {
		t.Error("snapshots are left")
	}
}

func TestManager_LogStartOffsetIncremented(t *testing.T) {
	m := newManager(t)
	must(t, add(m, txnBatch(1, 0, 0, 1, 10), client))
	_, err := end(m, marker(1, 0, 0, true, 11), coordinator)
	must(t, err)
	m.LogStartOffsetIncremented(11)
	wantUnstable(t, m, 10, -1)
	m.LogStartOffsetIncremented(50)
	wantUnstable(t, m, -1, -1)
	if m.MapEndOffset() != 50 || m.ProducerCount() != 1 {
		t.Errorf("end %d, %d producers: want 50 and 1", m.MapEndOffset(), m.ProducerCount())
	}
	if path, err := m.TakeSnapshot(true); path != "" || err != nil {
		t.Errorf("snapshot at the log's start: %q %v", path, err)
	}
}

func TestManager_DiskErrors(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRemove, vfs.OpRead, vfs.OpSyncDir} {
		fsys := vfs.NewMem()
		writeSnapshots(t, fsys, map[int64][]byte{10: snapshotBytes(1, 0), 99: snapshotBytes(1, 0)})
		failing := vfs.Inject(fsys, func(o vfs.Op, _ string, _ int) error {
			if o == op {
				return syscall.EIO
			}
			return nil
		})
		m := open(t, failing, nil)
		err := m.TruncateAndReload(0, 50, 0)
		if err == nil {
			must(t, add(m, batch(1, 0, 0, 1, 49), client))
			_, err = m.TakeSnapshot(true)
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: got %v, want EIO", op, err)
		}
	}
	_, err := producerstate.Open(producerstate.Options{FS: vfs.NewMem(), Dir: "/missing", Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open a missing folder: got %v", err)
	}
}

func TestBackfill(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	var sent []producerstate.Batch
	for i := range int32(8) {
		for pid := range int64(2) {
			b := batch(pid, 0, i, 1, int64(len(sent)))
			sent = append(sent, b)
			must(t, add(m, b, client))
		}
	}
	bumped := batch(1, 1, 0, 1, 16) // producer 1 begins a new epoch: its window has one batch
	sent = append(sent, bumped)
	must(t, add(m, bumped, client))
	_, err := m.TakeSnapshot(true)
	must(t, err)

	m = open(t, fsys, nil)
	must(t, m.TruncateAndReload(0, 17, 0))
	m.Backfill(sent)
	u := m.Begin()
	defer u.Discard()
	for _, b := range sent {
		_, found := u.FindDuplicate(b)
		want := (b.ProducerID == 0 && b.BaseSequence >= 3) || b == bumped
		if found != want {
			t.Errorf("%+v: duplicate %v, want %v", b, found, want)
		}
	}
}

func TestParseMarker(t *testing.T) {
	hexBytes := func(s string) []byte {
		b, err := hex.DecodeString(s)
		must(t, err)
		return b
	}
	cases := []struct {
		name, key, value string
		wantAbort        bool
		wantEpoch        int32
		wantOK, wantErr  bool
	}{
		{"abort", "00000000", "000000000007", true, 7, true, false},
		{"commit", "00000001", "000000000007", false, 7, true, false},
		{"a later version with more", "00050001ff", "00050000000709", false, 7, true, false},
		{"leader change", "00000002", "", false, 0, false, false},
		{"short key", "000000", "000000000007", false, 0, false, true},
		{"negative key version", "ffff0000", "000000000007", false, 0, false, true},
		{"short value", "00000000", "0000000000", false, 0, false, true},
		{"negative value version", "00000000", "ffff00000007", false, 0, false, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			abort, epoch, ok, err := producerstate.ParseEndTxn(hexBytes(c.key), hexBytes(c.value))
			if abort != c.wantAbort || epoch != c.wantEpoch || ok != c.wantOK || (err != nil) != c.wantErr {
				t.Errorf("got %v %d %v %v", abort, epoch, ok, err)
			}
		})
	}
}

func TestParseMarker_OfABatch(t *testing.T) {
	build := func(control bool, key, value []byte) records.Batch {
		b := records.NewBuilder(records.BuilderOptions{
			BaseOffset: 70, HasProducer: true, ProducerID: 5, ProducerEpoch: 3, BaseSequence: -1, Transactional: true, Control: control,
		})
		b.Append(1234, key, value)
		out, err := b.Bytes()
		must(t, err)
		return out
	}
	got, ok, err := producerstate.ParseMarker(build(true, []byte{0, 0, 0, 0}, []byte{0, 0, 0, 0, 0, 9}))
	want := producerstate.Marker{ProducerID: 5, ProducerEpoch: 3, CoordinatorEpoch: 9, Abort: true, Offset: 70, Timestamp: 1234}
	if err != nil || !ok || got != want {
		t.Errorf("got %+v %v %v, want %+v", got, ok, err, want)
	}
	if _, ok, err := producerstate.ParseMarker(build(true, []byte{0, 0, 0, 2}, nil)); ok || err != nil {
		t.Errorf("another control type: got %v %v", ok, err)
	}
	if _, _, err := producerstate.ParseMarker(build(true, nil, nil)); err == nil {
		t.Error("a control record without a key: got no error")
	}
	data := build(false, nil, nil)
	wantBatch := producerstate.Batch{
		ProducerID: 5, ProducerEpoch: 3, Transactional: true, BaseSequence: -1, LastSequence: data.LastSequence(),
		BaseOffset: 70, LastOffset: 70, MaxTimestamp: 1234,
	}
	if got := producerstate.FromBatch(data); got != wantBatch {
		t.Errorf("got %+v, want %+v", got, wantBatch)
	}
}
