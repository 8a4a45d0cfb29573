package log_test

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// TestOpen_WithoutAFolder uses a log to which nothing was written in every way that writes nothing: nothing comes to be, and
// everything is answered.
func TestOpen_WithoutAFolder(t *testing.T) {
	mem := newMem(t)
	l, err := openTestLog(t, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check("assign an epoch", l.AssignEpoch(3, 0))
	l.sync(t)
	check("truncate to the end", l.TruncateTo(0))
	check("assign an epoch again", l.AssignEpoch(4, 0))
	check("roll", l.Roll())
	_, err = l.DeleteOldSegments(time.Now())
	check("delete old segments", err)
	check("advance the log start offset", l.AdvanceLogStartOffset(0))
	c := l.Config()
	c.RetentionMs = 1
	l.SetConfig(c)
	if _, _, _, found, err := l.OffsetForTimestamp(0); found || err != nil {
		t.Errorf("offset for a timestamp: %v, %v", found, err)
	}
	if _, _, _, found, err := l.OffsetOfMaxTimestamp(); found || err != nil {
		t.Errorf("offset of the largest timestamp: %v, %v", found, err)
	}
	if values, err := readValues(l.Log, 0, 0, 100); len(values) != 0 || err != nil {
		t.Errorf("read %q, %v", values, err)
	}
	if epoch, end := l.EndOffsetForEpoch(4); epoch != 4 || end != 0 {
		t.Errorf("epoch %d ends at %d", epoch, end)
	}
	check("close", l.Close())
	if _, err := mem.ReadDir(testDir); !errors.Is(err, fs.ErrNotExist) || !l.Folderless() {
		t.Errorf("there is a folder: %v", err)
	}
}

// TestOpen_WithoutTheFolderOfACheckpoint is not the same: records are missing.
func TestOpen_WithoutTheFolderOfACheckpoint(t *testing.T) {
	_, err := openTestLog(t, newMem(t), func(o *commitlog.Options) { o.RecoveryPoint = 3 })
	if _, ok := errors.AsType[*commitlog.CorruptError](err); !ok {
		t.Errorf("got %v, want that records are missing", err)
	}
}

// TestSettle_FullDisk has no room for the folder at first.
func TestSettle_FullDisk(t *testing.T) {
	mem := newMem(t)
	l, err := openTestLog(t, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	for room := uint64(1); ; room += 3000 {
		mem.SetCapacity(room)
		info, err := l.AppendAsLeader(batchOf(t, records.BuilderOptions{}, "first"), 0, commitlog.FromClient)
		if err == nil {
			if info.FirstOffset != 0 || room == 1 {
				t.Errorf("appended at %d with room for %d bytes", info.FirstOffset, room)
			}
			break
		}
		if len(l.failed) > 0 {
			t.Fatalf("a full disk ended the log: %v", l.failed)
		}
	}
	mem.SetCapacity(0)
	l.sync(t)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = openTestLog(t, mem.CrashClone(vfs.CrashOptions{}), nil); err != nil {
		t.Fatal(err)
	}
	if values, err := readValues(l.Log, 0, 1, 100); len(values) != 1 || err != nil {
		t.Errorf("read %q, %v", values, err)
	}
}

// TestSettle_BeforeARoll copies from a leader whose first records were compacted away: the first batch is too far from offset 0 for
// the first segment.
func TestSettle_BeforeARoll(t *testing.T) {
	mem := newMem(t)
	l, err := openTestLog(t, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	const far = 3 << 31
	b := batchOf(t, records.BuilderOptions{}, "far")
	b.SetBaseOffset(far)
	b.SetPartitionLeaderEpoch(1)
	if _, err := l.AppendAsFollower(b, 1); err != nil {
		t.Fatal(err)
	}
	l.sync(t)
	if l, err = openTestLog(t, mem.CrashClone(vfs.CrashOptions{}), func(o *commitlog.Options) { o.Config.CleanupCompact = true }); err != nil {
		t.Fatal(err)
	}
	if values, err := readValues(l.Log, 0, far+1, 100); len(values) != 1 || err != nil {
		t.Errorf("read %q, %v", values, err)
	}
}

// TestTruncateFullyAndStartAt_FullDisk has no room for the folder: nothing has changed, and nothing is broken.
func TestTruncateFullyAndStartAt_FullDisk(t *testing.T) {
	mem := newMem(t)
	l, err := openTestLog(t, mem, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AssignEpoch(3, 0); err != nil {
		t.Fatal(err)
	}
	mem.SetCapacity(1)
	if err := l.TruncateFullyAndStartAt(7); err == nil || len(l.failed) > 0 {
		t.Fatalf("on a full disk: %v, failed %v", err, l.failed)
	}
	mem.SetCapacity(0)
	if err := l.TruncateFullyAndStartAt(7); err != nil || l.LogEndOffset() != 7 {
		t.Errorf("with room: %v, the log ends at %d", err, l.LogEndOffset())
	}
}
