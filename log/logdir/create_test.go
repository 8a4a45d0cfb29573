package logdir_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestCreate_GetAndRestart(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	again, err := m.Create(tp("t", 0), topicID(1))
	if err != nil || again != l {
		t.Errorf("create again: got another log, %v", err)
	}
	_, err = m.Create(tp("t", 0), topicID(2))
	wantKind(t, "create with another topic id", err, errcode.KindInconsistentTopicID)
	_, err = m.Create(tp("../x", 0), topicID(1))
	wantKind(t, "create a bad topic", err, errcode.KindInvalidTopicException)
	_, err = m.Create(tp("t", -1), topicID(1))
	wantKind(t, "create a bad partition", err, errcode.KindInvalidRequest)
	if got := get(t, m, tp("t", 0)); got != l {
		t.Error("get returns another log")
	}
	if _, found, err := m.Get(tp("t", 1)); found || err != nil {
		t.Errorf("get what is not there: %v %v", found, err)
	}
	appendTo(t, l, "a", "b")
	appendTo(t, l, "c")
	must(t, m.Close(true, 5))
	if _, _, err := m.Get(tp("t", 0)); !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("get after close: %v", err)
	}
	if _, err := m.Create(tp("t", 1), topicID(1)); !errors.Is(err, commitlog.ErrClosed) {
		t.Errorf("create after close: %v", err)
	}

	m = open(t, fsys, nil)
	defer m.Close(true, 6)
	infos, err := m.Partitions(t.Context())
	must(t, err)
	want := []logdir.Info{{TopicPartition: tp("t", 0), TopicID: topicID(1), Dir: "/data"}}
	if diff := cmp.Diff(want, infos); diff != "" {
		t.Errorf("partitions, none opened yet (-want +got):\n%s", diff)
	}
	if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("read %q", got)
	}
	if size, err := m.Size(tp("t", 0)); err != nil || size == 0 {
		t.Errorf("size %d %v", size, err)
	}
	_, err = m.Size(tp("t", 9))
	wantKind(t, "size of what is not there", err, errcode.KindUnknownTopicOrPartition)
}

// TestCreate_AfterDelete makes a topic of the same name anew and crashes at once: nothing of the old one's checkpoints may
// be taken for the new one's.
func TestCreate_AfterDelete(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a", "b", "c", "d", "e")
	flush(t, l)
	l.UpdateHighWatermark(5)
	must(t, l.AdvanceLogStartOffset(4))
	must(t, m.Checkpoint())
	must(t, m.Delete(tp("t", 0), topicID(1)))
	l, err = m.Create(tp("t", 0), topicID(2))
	must(t, err)
	if l.LogEndOffset() != 0 || l.LogStartOffset() != 0 {
		t.Errorf("the new log begins at %d and ends at %d", l.LogStartOffset(), l.LogEndOffset())
	}
	after := crash(fsys)
	for _, name := range []string{checkpoint.RecoveryPointFile, checkpoint.LogStartOffsetFile, checkpoint.HighWatermarkFile} {
		if got := offsetsIn(t, after, name)[tp("t", 0)]; got != 0 {
			t.Errorf("%s has offset %d of the deleted partition", name, got)
		}
	}
	m2 := open(t, after, nil)
	defer m2.Close(true, 1)
	infos, err := m2.Partitions(t.Context())
	if err != nil || len(infos) != 0 {
		t.Errorf("after the crash: %+v %v", infos, err)
	}
	if l, err = m2.Create(tp("t", 0), topicID(2)); err != nil || l.LogEndOffset() != 0 || l.LogStartOffset() != 0 {
		t.Errorf("made anew after the crash: %v", err)
	}
	must(t, m.Close(true, 1))
}

// TestCreate_MakesNoFolder makes a partition that nothing is written to: what the directory holds does not change by that, and all
// that may be done with a partition may be done with this one.
func TestCreate_MakesNoFolder(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	before := fileNames(t, fsys, "/data")
	create := func(id byte) {
		t.Helper()
		_, err := m.Create(tp("t", 0), topicID(id))
		must(t, err)
	}
	create(1)
	infos, err := m.Partitions(t.Context())
	if err != nil || len(infos) != 1 || infos[0].TopicID != topicID(1) || infos[0].Dir != "/data" || infos[0].Err != nil {
		t.Errorf("partitions: %+v, %v", infos, err)
	}
	if size, err := m.Size(tp("t", 0)); size != 0 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	create(1)
	_, err = m.Create(tp("t", 0), topicID(2))
	wantKind(t, "create another of the name", err, errcode.KindInconsistentTopicID)
	wantKind(t, "delete another of the name", m.Delete(tp("t", 0), topicID(2)), errcode.KindInconsistentTopicID)
	must(t, m.Delete(tp("t", 0), topicID(1)))
	if _, found, err := m.Get(tp("t", 0)); found || err != nil {
		t.Errorf("get what was deleted: %v, %v", found, err)
	}
	create(2)
	if path, err := m.Quarantine(tp("t", 0), "not in the metadata"); path != "" || err != nil {
		t.Errorf("set aside as %q, %v", path, err)
	}
	create(3)
	must(t, m.Checkpoint())
	if after := fileNames(t, fsys, "/data"); !slices.Equal(before, after) {
		t.Errorf("the directory held %q and holds %q", before, after)
	}
	must(t, m.Close(true, 1))
	m = open(t, fsys, nil)
	defer m.Close(true, 2)
	if infos, err := m.Partitions(t.Context()); len(infos) != 0 || err != nil || !m.Dirs()[0].Clean {
		t.Errorf("after a restart: %+v, %v, clean %v", infos, err, m.Dirs()[0].Clean)
	}
}

// TestExpect takes a partition without opening its log, which Get does.
func TestExpect(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	must(t, m.Expect(tp("t", 0), topicID(1)))
	must(t, m.Expect(tp("t", 0), topicID(1)))
	infos, err := m.Partitions(t.Context())
	if err != nil || len(infos) != 1 || infos[0].TopicID != topicID(1) || infos[0].Open || infos[0].Err != nil {
		t.Errorf("partitions: %+v, %v", infos, err)
	}
	if size, err := m.Size(tp("t", 0)); size != 0 || err != nil {
		t.Errorf("size %d, %v", size, err)
	}
	must(t, m.Checkpoint())
	must(t, m.Delete(tp("t", 0), topicID(1)))
	must(t, m.Expect(tp("t", 0), topicID(2)))
	appendTo(t, get(t, m, tp("t", 0)), "a")
	must(t, m.Close(true, 1))
	m = open(t, fsys, nil)
	defer m.Close(true, 2)
	if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %q after a restart", got)
	}
}

// TestCreate_TakesALeftoverFolder makes partitions where folders appear that the manager does not know: one without records is
// taken, one with records is not touched.
func TestCreate_TakesALeftoverFolder(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	must(t, fsys.MkdirAll("/data/empty-0", 0o755))
	l, err := m.Create(tp("empty", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a")
	flush(t, l)
	after := open(t, crash(fsys), nil)
	defer after.Close(true, 1)
	infos, err := after.Partitions(t.Context())
	if err != nil || len(infos) != 1 || infos[0].TopicID != topicID(1) {
		t.Errorf("after a crash: %+v, %v", infos, err)
	}
	must(t, fsys.MkdirAll("/data/full-0", 0o755))
	must(t, vfs.WriteFileAtomic(fsys, "/data/full-0/00000000000000000000.log", []byte("records")))
	_, err = m.Create(tp("full", 0), topicID(1))
	wantKind(t, "create over records", err, errcode.KindKafkaStorageError)
	wantKind(t, "expect over records", m.Expect(tp("full", 0), topicID(1)), errcode.KindKafkaStorageError)
	if d := m.Dirs()[0]; d.Err != nil {
		t.Errorf("one folder killed the directory: %v", d.Err)
	}
	must(t, m.Close(true, 1))
}

func TestCreate_SpreadsOverDirectories(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, func(o *logdir.Options) { o.Dirs = []string{"/a", "/b", "/c"} })
	for i := range int32(9) {
		l, err := m.Create(tp("t", i), topicID(1))
		must(t, err)
		appendTo(t, l, "a")
	}
	must(t, m.Close(true, 1))
	for _, dir := range []string{"/a", "/b", "/c"} {
		n := len(slices.DeleteFunc(fileNames(t, fsys, dir), func(n string) bool { return !strings.HasPrefix(n, "t-") }))
		if n != 3 {
			t.Errorf("%s holds %d partitions, want 3", dir, n)
		}
	}
	m = open(t, fsys, func(o *logdir.Options) { o.Dirs = []string{"/a", "/b", "/c"} })
	defer m.Close(true, 1)
	for i := range int32(9) {
		get(t, m, tp("t", i))
	}
}

func TestCordon(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, func(o *logdir.Options) { o.Dirs = []string{"/a", "/b"} })
	defer m.Close(true, 1)
	next := int32(0)
	create := func(n int) {
		for range n {
			l, err := m.Create(tp("t", next), topicID(1))
			must(t, err)
			appendTo(t, l, "a")
			next++
		}
	}
	holds := func(dir string) int {
		return len(slices.DeleteFunc(fileNames(t, fsys, dir), func(n string) bool { return !strings.HasPrefix(n, "t-") }))
	}
	m.Cordon([]string{"/a"})
	create(3)
	if a, b := holds("/a"), holds("/b"); a != 0 || b != 3 || !m.Dirs()[0].Cordoned || m.Dirs()[1].Cordoned {
		t.Errorf("one cordoned: %d and %d, %+v", a, b, m.Dirs())
	}
	m.Cordon([]string{"/a", "/b"}) // what was assigned before has to go somewhere
	create(1)
	m.Cordon(nil)
	create(1)
	if a, b := holds("/a"), holds("/b"); a != 2 || b != 3 {
		t.Errorf("none cordoned: %d and %d", a, b)
	}
}

// Somebody lists the partitions while one is created: that its folder says nothing yet is not taken for what is known of it.
func TestCreate_WhilePartitionsAreListed(t *testing.T) {
	mem := vfs.NewMem()
	begun, reading, created := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var first, second sync.Once
	fsys := vfs.Inject(mem, func(op vfs.Op, name string, _ int) error {
		switch {
		case op == vfs.OpReadDir && name == "/data/t-0":
			first.Do(func() {
				close(begun)
				<-reading
			})
		case op == vfs.OpOpen && name == "/data/t-0/partition.metadata":
			second.Do(func() {
				close(reading)
				<-created
			})
		}
		return nil
	})
	m := open(t, fsys, nil)
	defer m.Close(true, 1)
	var listing sync.WaitGroup
	listing.Go(func() {
		<-begun
		if _, err := m.Partitions(context.Background()); err != nil {
			t.Errorf("list: %v", err)
		}
	})
	_, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	close(created)
	listing.Wait()
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a")
	if d := m.Dirs()[0]; d.Offline {
		t.Errorf("the directory is dead: %v", d.Err)
	}
}
