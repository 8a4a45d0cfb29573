package logdir_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := open(t, fsys, nil)
		defer m.Close(true, 1)
		l, err := m.Create(tp("t", 0), topicID(1))
		must(t, err)
		appendTo(t, l, "a", "b")
		flush(t, l)
		must(t, m.Checkpoint())
		wantKind(t, "delete another incarnation", m.Delete(tp("t", 0), topicID(9)), errcode.KindInconsistentTopicID)
		must(t, m.Delete(tp("t", 0), topicID(1)))
		must(t, m.Delete(tp("t", 0), topicID(1)))
		if _, found, err := m.Get(tp("t", 0)); found || err != nil {
			t.Errorf("get what was deleted: %v %v", found, err)
		}
		names := fileNames(t, crash(fsys), "/data")
		if slices.Contains(names, "t-0") || !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "t-0.") && strings.HasSuffix(n, "-delete") }) {
			t.Errorf("after a crash: %q", names)
		}
		time.Sleep(59 * time.Second)
		if !slices.ContainsFunc(fileNames(t, fsys, "/data"), func(n string) bool { return strings.HasSuffix(n, "-delete") }) {
			t.Error("the folder went before its delay")
		}
		time.Sleep(2 * time.Second)
		if names := fileNames(t, fsys, "/data"); slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "-delete") }) {
			t.Errorf("the folder stayed: %q", names)
		}
	})
}

func TestDelete_GoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		m := open(t, fsys, nil)
		for i := range int32(3) {
			_, err := m.Create(tp("t", i), topicID(1))
			must(t, err)
			must(t, m.Delete(tp("t", i), topicID(1)))
		}
		must(t, m.Close(true, 1))
		m = open(t, fsys, nil)
		defer m.Close(true, 1)
		synctest.Wait()
		if names := fileNames(t, fsys, "/data"); slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "t-") }) {
			t.Errorf("left %q", names)
		}
	})
}

func TestQuarantine(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a", "b")
	flush(t, l)
	path, err := m.Quarantine(tp("t", 0), "not in the metadata")
	must(t, err)
	if !strings.HasPrefix(path, "/data/t-0.") || !strings.HasSuffix(path, "-stray") || !exists(t, crash(fsys), path+"/partition.metadata") {
		t.Errorf("set aside as %q", path)
	}
	if path, err := m.Quarantine(tp("t", 0), ""); path != "" || err != nil {
		t.Errorf("a second time: %q %v", path, err)
	}
	l, err = m.Create(tp("t", 0), topicID(2))
	must(t, err)
	appendTo(t, l, "new")
	must(t, m.Close(true, 1))
	m = open(t, fsys, nil)
	defer m.Close(true, 1)
	if !exists(t, fsys, path+"/00000000000000000000.log") {
		t.Error("what was set aside is gone after a restart")
	}
	if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"new"}) {
		t.Errorf("read %q", got)
	}
}

func TestQuarantine_OfADamagedOrDeadPartition(t *testing.T) {
	fsys := newFailing(vfs.NewMem())
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a")
	fsys.set(eio("/data", vfs.OpRename))
	_, err = m.Quarantine(tp("t", 0), "")
	wantKind(t, "quarantine on a failing disk", err, errcode.KindKafkaStorageError)
	fsys.set(nil)
	_, err = m.Quarantine(tp("t", 0), "")
	wantKind(t, "quarantine in a dead directory", err, errcode.KindKafkaStorageError)
	_ = m.Close(true, 1)
}

// TestDelete_OnAFullDisk: a folder that cannot be renamed now stays a partition and can be deleted later.
func TestDelete_OnAFullDisk(t *testing.T) {
	fsys := newFailing(vfs.NewMem())
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a")
	flush(t, l)
	fsys.set(func(op vfs.Op, _ string) error {
		if op == vfs.OpRename {
			return syscall.ENOSPC
		}
		return nil
	})
	wantKind(t, "delete on a full disk", m.Delete(tp("t", 0), topicID(1)), errcode.KindKafkaStorageError)
	fsys.set(nil)
	if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %q after the deletion failed", got)
	}
	must(t, m.Delete(tp("t", 0), topicID(1)))
	if _, found, _ := m.Get(tp("t", 0)); found {
		t.Error("it is still there")
	}
	must(t, m.Close(true, 1))
	if !exists(t, fsys, "/data/.kafka_cleanshutdown") {
		t.Error("no clean mark")
	}
}

// TestDelete_OfAHalfMadeFolder deletes a partition to whose first record the disk had no room. If its folder stayed, a later partition
// of that name could come to lie in two directories, and the broker would not start.
func TestDelete_OfAHalfMadeFolder(t *testing.T) {
	fsys := newFailing(vfs.NewMem())
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	for _, full := range []string{"/data/t-0", ".log"} { // the folder itself, then what is in it
		fsys.set(func(_ vfs.Op, name string) error {
			if strings.HasSuffix(name, full) {
				return syscall.ENOSPC
			}
			return nil
		})
		_, err = l.AppendAsLeader(batchOf(t, "a"), 0, commitlog.FromClient)
		wantKind(t, "append on a full disk", err, errcode.KindKafkaStorageError)
	}
	fsys.set(nil)
	if !exists(t, fsys, "/data/t-0") {
		t.Fatal("no folder was made: the test proves nothing")
	}
	must(t, m.Delete(tp("t", 0), topicID(1)))
	must(t, m.Close(true, 1))
	m = open(t, fsys, func(o *logdir.Options) { o.DeleteDelay = -1 })
	defer m.Close(true, 2)
	if infos, err := m.Partitions(t.Context()); len(infos) != 0 || err != nil {
		t.Errorf("after a restart: %+v, %v", infos, err)
	}
}
