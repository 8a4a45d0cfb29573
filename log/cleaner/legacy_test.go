package cleaner_test

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
)

// message is a message of an older format. A nil value is null.
func message(magic byte, offset, ts int64, key string, value []byte) []byte {
	be := binary.BigEndian
	b := []byte{magic, 0}
	if magic > 0 {
		b = be.AppendUint64(b, uint64(ts))
	}
	b = append(be.AppendUint32(b, uint32(len(key))), key...)
	if value == nil {
		b = be.AppendUint32(b, 0xffffffff)
	} else {
		b = append(be.AppendUint32(b, uint32(len(value))), value...)
	}
	head := be.AppendUint32(be.AppendUint64(nil, uint64(offset)), uint32(len(b)+4))
	return append(be.AppendUint32(head, crc32.ChecksumIEEE(b)), b...)
}

// legacyLog opens a log whose first segment holds older messages, written at modified, and rolls behind it.
func legacyLog(t *testing.T, next int64, modified time.Time, messages ...[]byte) *testLog {
	t.Helper()
	mem := newMem(t)
	if err := mem.MkdirAll(testDir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := testDir + "/" + segment.FileName(0, segment.LogSuffix)
	f, err := mem.OpenFile(name, vfs.ReadWrite|vfs.Create, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for _, m := range messages {
		if _, err := f.WriteAt(m, at); err != nil {
			t.Fatal(err)
		}
		at += int64(len(m))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := mem.SetModTime(name, modified); err != nil {
		t.Fatal(err)
	}
	l := newLogOn(t, mem, func(o *commitlog.Options) { o.CleanShutdown = true })
	if l.LogEndOffset() != next {
		t.Fatalf("log end offset is %d, want %d", l.LogEndOffset(), next)
	}
	l.roll(t)
	if err := mem.SetModTime(name, modified); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCompact_MakesBatchesOfLegacyMessages(t *testing.T) {
	for magic := range byte(2) {
		l := legacyLog(t, 5, at(2000),
			message(magic, 0, 900, "a", []byte("1")), message(magic, 1, 901, "b", []byte("1")), message(magic, 2, 902, "a", nil),
			message(magic, 3, 903, "c", []byte("1")), message(magic, 4, 904, "c", []byte("2")))
		l.clean(t, at(5000))
		want(t, l.all(t), "1:b=1", "2:a", "4:c=2")
		want(t, l.batches(t), "[1,1] 1", "[2,2] 1 horizon 6000", "[4,4] 1")
		if _, ts, _, found, err := l.OffsetForTimestamp(901); err != nil || found != (magic > 0) || found && ts != 901 {
			t.Errorf("magic %d: time 901 is found as %d, %v, %v", magic, ts, found, err)
		}
		modified, err := l.Segments()[0].ModTime()
		if err != nil || !modified.Equal(at(2000)) {
			t.Errorf("the segment was modified at %v, %v, want %v: its age decides about retention", modified, err, at(2000))
		}
		l.put(t, "d=1")
		l.roll(t)
		l.clean(t, at(6000))
		want(t, l.all(t), "1:b=1", "4:c=2", "5:d=1")
	}
}

// A tombstone of an older format goes by the age of its segment: it stays in those that were written less than
// delete.retention.ms before the newest compacted one.
func TestCompact_LegacyTombstonesGoByTheAgeOfTheirSegment(t *testing.T) {
	for modified, stays := range map[int64]bool{8999: false, 9000: false, 9001: true} {
		old := legacyLog(t, 2, at(modified), message(1, 0, 900, "a", nil), message(1, 1, 901, "b", []byte("1")))
		old.put(t, "c=1")
		old.roll(t)
		if err := old.fs.SetModTime(old.Segments()[1].LogPath(), at(10_000)); err != nil {
			t.Fatal(err)
		}
		old.put(t, "d=1")
		old.roll(t)
		if err := old.Close(); err != nil {
			t.Fatal(err)
		}
		l := newLogOn(t, old.fs, func(o *commitlog.Options) { // compacted up to 3, by a Kafka that knew no other format
			o.CleanShutdown, o.RecoveryPoint, o.HighWatermark, o.CleanedOffset = true, 4, 4, 3
		})
		l.clean(t, at(20_000))
		left := []string{"0:a", "1:b=1", "2:c=1", "3:d=1"}
		if !stays {
			left = left[1:]
		}
		want(t, l.all(t), left...)
	}
}

// TestCompact_ReadsWrappersOfKafka compacts compressed message sets that Apache Kafka's classes wrote.
func TestCompact_ReadsWrappersOfKafka(t *testing.T) {
	for _, name := range []string{"v0-gzip", "v0-snappy", "v0-lz4", "v1-gzip", "v1-snappy", "v1-lz4", "v1-none"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "protocol", "records", "testdata", name+".bin"))
		if err != nil {
			t.Fatal(err)
		}
		mem := newMem(t)
		if err := mem.MkdirAll(testDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(mem, testDir+"/"+segment.FileName(0, segment.LogSuffix), data); err != nil {
			t.Fatal(err)
		}
		l := newLogOn(t, mem, nil)
		l.roll(t)
		res := l.clean(t, at(5000))
		if res.RecordsRead == 0 || res.RecordsWritten == 0 || res.RecordsRead-res.RecordsWritten < res.RecordsInvalid {
			t.Errorf("%s: %+v", name, res)
		}
		if got := l.all(t); len(got) != int(res.RecordsWritten) {
			t.Errorf("%s: %d records are left, want %d", name, len(got), res.RecordsWritten)
		}
	}
}
