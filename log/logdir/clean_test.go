package logdir_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

func compacted(o *logdir.Options) {
	o.ConfigFor = func(string) commitlog.Config {
		c := commitlog.DefaultConfig()
		c.CleanupCompact, c.CleanupDelete = true, false
		return c
	}
}

// openCompacted opens directories whose logs are compacted. It is to be used in a bubble, and returns when the cleaner has
// looked around and waits: nothing is compacted before idle is called.
func openCompacted(t testing.TB, fsys vfs.FS, change func(*logdir.Options)) *logdir.Manager {
	t.Helper()
	m := open(t, fsys, func(o *logdir.Options) {
		compacted(o)
		if change != nil {
			change(o)
		}
	})
	synctest.Wait()
	return m
}

// overwrite appends so many values of one key, rolls, and lets everything be replicated.
func overwrite(t testing.TB, l *commitlog.Log, values ...string) {
	t.Helper()
	for _, v := range values {
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(time.Now().UnixMilli(), []byte("key"), []byte(v))
		batch, err := b.Bytes()
		must(t, err)
		_, err = l.AppendAsLeader(batch, 0, commitlog.FromClient)
		must(t, err)
	}
	must(t, l.Roll())
	flush(t, l)
	l.UpdateHighWatermark(l.LogEndOffset())
}

func create(t testing.TB, m *logdir.Manager, p protocol.TopicPartition) *commitlog.Log {
	t.Helper()
	l, err := m.Create(p, topicID(1))
	must(t, err)
	return l
}

// cleanerOffset is what the checkpoint file on the disk says.
func cleanerOffset(t testing.TB, fsys vfs.FS, p protocol.TopicPartition) int64 {
	t.Helper()
	offsets, err := checkpoint.ReadOffsets(fsys, "/data/"+checkpoint.CleanerOffsetFile)
	must(t, err)
	offset, ok := offsets[p]
	if !ok {
		return -1
	}
	return offset
}

// idle lets the cleaner look at the logs once more.
func idle() {
	time.Sleep(20 * time.Second)
	synctest.Wait()
}

func TestCompaction_OffsetIsCheckpointed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := openCompacted(t, fsys, nil)
		l := create(t, m, tp("t", 0))
		overwrite(t, l, "1", "2", "3")
		if got := cleanerOffset(t, fsys, tp("t", 0)); got != -1 {
			t.Errorf("cleaner offset %d before compaction", got)
		}
		idle()
		if got := values(t, l); !slices.Equal(got, []string{"3"}) {
			t.Errorf("read %q", got)
		}
		if got := cleanerOffset(t, crash(fsys), tp("t", 0)); got != 3 {
			t.Errorf("cleaner offset %d, want 3", got)
		}
		must(t, m.Close(true, 1))

		m = openCompacted(t, fsys, nil)
		l = get(t, m, tp("t", 0))
		if l.FirstDirtyOffset() != 3 {
			t.Errorf("first dirty offset %d after a restart, want 3", l.FirstDirtyOffset())
		}
		idle()
		if s := m.CleanerStats(); s.Passes != 0 || len(s.Uncleanable) != 1 {
			t.Errorf("stats of a log that is clean: %+v", s)
		}
		must(t, m.Delete(tp("t", 0), topicID(1)))
		l = create(t, m, tp("t", 0))
		if got := cleanerOffset(t, crash(fsys), tp("t", 0)); got != -1 || l.FirstDirtyOffset() != 0 {
			t.Errorf("cleaner offset %d, first dirty offset %d of a new incarnation", got, l.FirstDirtyOffset())
		}
		must(t, m.Close(true, 1))
	})
}

// A follower that begins anew was compacted nowhere: the checkpoint says so before anything is appended.
func TestCompaction_OffsetIsLoweredFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := openCompacted(t, fsys, nil)
		l := create(t, m, tp("t", 0))
		overwrite(t, l, "1", "2", "3")
		idle()
		must(t, l.TruncateFullyAndStartAt(1))
		if got := cleanerOffset(t, crash(fsys), tp("t", 0)); got != -1 {
			t.Errorf("cleaner offset %d, want none", got)
		}
		must(t, m.Close(false, 0))
	})
}

// In OS-flush mode a crash may lose what was compacted: what comes in its place was not.
func TestCompaction_OffsetAboveTheEndIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := openCompacted(t, fsys, nil)
		l := create(t, m, tp("t", 0))
		overwrite(t, l, "1", "2", "3")
		must(t, m.Close(true, 1))
		must(t, checkpoint.WriteOffsets(fsys, "/data/"+checkpoint.CleanerOffsetFile, map[protocol.TopicPartition]int64{tp("t", 0): 4}))
		m = openCompacted(t, fsys, nil)
		l = get(t, m, tp("t", 0))
		if got := cleanerOffset(t, crash(fsys), tp("t", 0)); got != -1 || l.FirstDirtyOffset() != 0 {
			t.Errorf("cleaner offset %d, first dirty offset %d, want none and 0", got, l.FirstDirtyOffset())
		}
		must(t, m.Close(false, 0))
	})
}

// A partition that nobody uses is opened when there is something to compact in it, and only then.
func TestCompaction_OpensIdlePartitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := openCompacted(t, fsys, nil)
		overwrite(t, create(t, m, tp("dirty", 0)), "1", "2", "3")
		create(t, m, tp("empty", 0))
		overwrite(t, create(t, m, tp("clean", 0)), "1", "2")
		must(t, m.Close(true, 1))
		must(t, checkpoint.WriteOffsets(fsys, "/data/"+checkpoint.CleanerOffsetFile, map[protocol.TopicPartition]int64{tp("clean", 0): 2}))

		m = openCompacted(t, fsys, nil)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		infos, err := m.Partitions(t.Context())
		must(t, err)
		for _, info := range infos {
			if want := info.TopicPartition.Topic == "dirty"; info.Open != want {
				t.Errorf("%s is open: %v", info.TopicPartition, info.Open)
			}
		}
		if s := m.CleanerStats(); s.Passes != 1 {
			t.Errorf("stats are %+v", s)
		}
		must(t, m.Close(true, 1))
	})
}

// Deleting a partition breaks its compaction off, and leaves nothing of it behind.
func TestCompaction_EndsWithThePartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := openCompacted(t, fsys, nil)
		l := create(t, m, tp("t", 0))
		var all []string
		for i := range 3000 {
			all = append(all, fmt.Sprintf("%01000d", i))
		}
		overwrite(t, l, all...)
		slow := cleaner.DefaultConfig()
		slow.BytesPerSec = 1000
		m.ReconfigureCleaner(slow)
		idle()
		must(t, m.Delete(tp("t", 0), topicID(1)))
		l = create(t, m, tp("t", 0))
		overwrite(t, l, "1")
		idle()
		if s := m.CleanerStats(); s.Aborted != 1 || s.Failed != 0 {
			t.Errorf("stats are %+v", s)
		}
		must(t, m.Close(true, 1))
	})
}

// An I/O error in a pass kills its directory, and only that; the cleaner goes on with the others.
func TestCompaction_AndDeadDirectories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newFailing(vfs.NewMem())
		m := openCompacted(t, fsys, func(o *logdir.Options) { o.Dirs = []string{"/a", "/b"} })
		logs := map[string]*commitlog.Log{}
		for i := range int32(2) {
			l := create(t, m, tp("t", i))
			overwrite(t, l, "1", "2", "3")
			logs[l.Dir()[:2]] = l
		}
		fsys.set(eio("/a", vfs.OpWrite))
		idle()
		idle()
		for _, d := range m.Dirs() {
			if d.Offline != (d.Path == "/a") {
				t.Errorf("%s is offline: %v", d.Path, d.Offline)
			}
		}
		if got := values(t, logs["/b"]); !slices.Equal(got, []string{"3"}) {
			t.Errorf("read %q from the live directory", got)
		}
		s := m.CleanerStats()
		if s.Passes != 1 || s.Uncleanable["/a"].Partitions != 0 {
			t.Errorf("stats are %+v", s)
		}
		must(t, m.Close(true, 1))
	})
}
