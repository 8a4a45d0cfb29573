package logdir_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	clusterID = "MkU3OEVBNTcwNTJENDM2Qg"
	day       = 24 * time.Hour
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tp(topic string, partition int32) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: topic, Partition: partition}
}

func topicID(n byte) protocol.TopicID { return protocol.TopicID{15: n, 0: 1} }

// options of a node that is alone in its cluster; change adapts them.
func options(fsys vfs.FS, change func(*logdir.Options)) logdir.Options {
	o := logdir.Options{
		FS: fsys, Dirs: []string{"/data"}, NodeID: 1, ClusterID: clusterID, Logger: slog.New(slog.DiscardHandler), MinFreeBytes: -1,
	}
	if change != nil {
		change(&o)
	}
	return o
}

func open(t testing.TB, fsys vfs.FS, change func(*logdir.Options)) *logdir.Manager {
	t.Helper()
	m, err := logdir.Open(t.Context(), options(fsys, change))
	must(t, err)
	return m
}

func crash(m *vfs.Mem) *vfs.Mem { return m.CrashClone(vfs.CrashOptions{}) }

func batchOf(t testing.TB, values ...string) []byte {
	t.Helper()
	b := records.NewBuilder(records.BuilderOptions{})
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	out, err := b.Bytes()
	must(t, err)
	return out
}

func appendTo(t testing.TB, l *commitlog.Log, values ...string) {
	t.Helper()
	_, err := l.AppendAsLeader(batchOf(t, values...), 0, commitlog.FromClient)
	must(t, err)
}

// flush waits until everything that was appended is durable.
func flush(t testing.TB, l *commitlog.Log) {
	t.Helper()
	must(t, l.Flush(context.Background()))
}

// values reads a log from its start to its end.
func values(t testing.TB, l *commitlog.Log) []string {
	t.Helper()
	var out []string
	for offset := l.LogStartOffset(); offset < l.LogEndOffset(); {
		s, err := l.Read(offset, 1<<20, l.LogEndOffset(), true)
		must(t, err)
		buf := make([]byte, s.Size())
		_, err = s.ReadAt(buf, 0)
		must(t, err)
		must(t, s.Close())
		for len(buf) > 0 {
			var b records.Batch
			b, buf, err = records.Split(buf)
			must(t, err)
			must(t, b.VerifyCRC())
			must(t, b.Iterate(1<<20, func(r *records.Record) error {
				if r.Offset >= offset {
					out = append(out, string(r.Value))
				}
				return nil
			}))
			offset = b.NextOffset()
		}
	}
	return out
}

func get(t testing.TB, m *logdir.Manager, p protocol.TopicPartition) *commitlog.Log {
	t.Helper()
	l, found, err := m.Get(p)
	if err != nil || !found {
		t.Fatalf("get %s: found %v, %v", p, found, err)
	}
	return l
}

func wantKind(t *testing.T, what string, err error, want errcode.Kind) {
	t.Helper()
	var kinder errcode.Kinder
	if !errors.As(err, &kinder) || kinder.ErrorKind() != want {
		t.Errorf("%s: got %v, want %s", what, err, errcode.Name(int16(want)))
	}
}

func wantText(t *testing.T, what string, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: got %v, want it to say %q", what, err, part)
		}
	}
}

func fileNames(t testing.TB, fsys vfs.FS, dir string) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func exists(t testing.TB, fsys vfs.FS, name string) bool {
	t.Helper()
	_, err := fsys.Stat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

func offsetsIn(t testing.TB, fsys vfs.FS, name string) map[protocol.TopicPartition]int64 {
	t.Helper()
	out, err := checkpoint.ReadOffsets(fsys, filepath.Join("/data", name))
	must(t, err)
	return out
}

func TestOpen_FirstStart(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, func(o *logdir.Options) { o.ClusterID = "" })
	if got := m.Identity(); got != (logdir.Identity{NodeID: 1}) {
		t.Errorf("identity %+v, want no cluster yet", got)
	}
	if exists(t, fsys, "/data/meta.properties") {
		t.Error("meta.properties was written before the cluster is known")
	}
	must(t, m.SetClusterID(clusterID))
	must(t, m.SetClusterID(clusterID))
	wantText(t, "another cluster", m.SetClusterID("other"), clusterID, "other")
	id := m.Dirs()[0].ID
	meta, err := checkpoint.ReadMetaProperties(crash(fsys), "/data")
	must(t, err)
	if want := (checkpoint.MetaProperties{Version: 1, ClusterID: clusterID, NodeID: 1, DirectoryID: id}); meta != want || id.IsZero() {
		t.Errorf("got %+v, want %+v", meta, want)
	}
	if got := m.PreviousBrokerEpoch(); got != -1 {
		t.Errorf("previous broker epoch %d, want -1", got)
	}
	must(t, m.Close(true, 7))
	must(t, m.Close(true, 8))

	m = open(t, fsys, func(o *logdir.Options) { o.ClusterID, o.NodeID = "", checkpoint.NoNode })
	defer m.Close(true, 9)
	if got := m.Identity(); got != (logdir.Identity{ClusterID: clusterID, NodeID: 1}) || m.Dirs()[0].ID != id {
		t.Errorf("identity %+v, directory %s: want those of before", got, m.Dirs()[0].ID)
	}
	if got := m.PreviousBrokerEpoch(); got != 7 {
		t.Errorf("previous broker epoch %d, want 7", got)
	}
}

func TestOpen_RefusesWhatIsNotOurs(t *testing.T) {
	prepare := func(t *testing.T, metas ...checkpoint.MetaProperties) *vfs.Mem {
		fsys := vfs.NewMem()
		for i, meta := range metas {
			dir := fmt.Sprintf("/d%d", i)
			must(t, fsys.MkdirAll(dir, 0o755))
			must(t, checkpoint.WriteMetaProperties(fsys, dir, meta))
			must(t, checkpoint.WriteCleanShutdown(fsys, dir, checkpoint.CleanShutdown{BrokerEpoch: 3}))
		}
		return fsys
	}
	meta := func(cluster string, node protocol.NodeID, dir byte) checkpoint.MetaProperties {
		return checkpoint.MetaProperties{Version: 1, ClusterID: cluster, NodeID: node, DirectoryID: topicID(dir)}
	}
	cases := []struct {
		name  string
		metas []checkpoint.MetaProperties
		dirs  []string
		want  []string
	}{
		{"another cluster", []checkpoint.MetaProperties{meta("other", 1, 1)}, nil, []string{"/d0", "other", clusterID, "log.dirs"}},
		{"another node", []checkpoint.MetaProperties{meta(clusterID, 2, 1)}, nil, []string{"/d0", "node 2", "node.id=2"}},
		{"the second is another cluster's", []checkpoint.MetaProperties{meta(clusterID, 1, 1), meta("other", 1, 2)}, nil, []string{"/d1", "other"}},
		{"a copied directory", []checkpoint.MetaProperties{meta(clusterID, 1, 1), meta(clusterID, 1, 1)}, nil, []string{"/d0", "/d1", "directory.id"}},
		{"named twice", []checkpoint.MetaProperties{meta(clusterID, 1, 1)}, []string{"/d0", "/d0/"}, []string{"/d0", "twice"}},
		{"none", nil, []string{}, []string{"log.dirs"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := prepare(t, c.metas...)
			dirs := c.dirs
			if dirs == nil {
				for i := range c.metas {
					dirs = append(dirs, fmt.Sprintf("/d%d", i))
				}
			}
			_, err := logdir.Open(t.Context(), options(fsys, func(o *logdir.Options) { o.Dirs = dirs }))
			wantText(t, "open", err, c.want...)
			for i := range c.metas {
				dir := fmt.Sprintf("/d%d", i)
				if !exists(t, fsys, dir+"/.kafka_cleanshutdown") {
					t.Errorf("the clean-shutdown mark of %s is gone", dir)
				}
				if l, err := fsys.Lock(dir + "/.lock"); err != nil {
					t.Errorf("%s is still locked: %v", dir, err)
				} else {
					l.Close()
				}
			}
		})
	}
	fsys := vfs.NewMem()
	must(t, fsys.MkdirAll("/data", 0o755))
	must(t, vfs.WriteFileAtomic(fsys, "/data/meta.properties", []byte("version=9\n")))
	_, err := logdir.Open(t.Context(), options(fsys, nil))
	wantText(t, "a malformed meta.properties", err, "/data/meta.properties", "version")
}

func TestIdentify(t *testing.T) {
	fsys := vfs.NewMem()
	got, err := logdir.Identify(fsys, []string{"/missing", "/also"})
	if err != nil || got != (logdir.Identity{NodeID: checkpoint.NoNode}) {
		t.Errorf("nothing there: got %+v %v", got, err)
	}
	for i, cluster := range []string{clusterID, "other"} {
		dir := fmt.Sprintf("/d%d", i)
		must(t, fsys.MkdirAll(dir, 0o755))
		must(t, checkpoint.WriteMetaProperties(fsys, dir, checkpoint.MetaProperties{Version: 1, ClusterID: cluster, NodeID: 4}))
	}
	got, err = logdir.Identify(fsys, []string{"/missing", "/d0"})
	if err != nil || got != (logdir.Identity{ClusterID: clusterID, NodeID: 4}) {
		t.Errorf("got %+v %v", got, err)
	}
	_, err = logdir.Identify(fsys, []string{"/d0", "/d1"})
	wantText(t, "two clusters", err, "/d1", "other", clusterID)
	if got := fileNames(t, fsys, "/d0"); !slices.Equal(got, []string{"meta.properties"}) {
		t.Errorf("identify left %q", got)
	}
}

func TestOpen_LocksTheDirectory(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	_, err := logdir.Open(t.Context(), options(fsys, nil))
	wantText(t, "open a second time", err, "/data", "in use by another broker")
	must(t, m.Close(true, 1))
	must(t, open(t, fsys, nil).Close(true, 1))
}

func TestSize_WithoutOpening(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a", "b")
	want := l.Size()
	must(t, m.Close(true, 1))
	m = open(t, fsys, nil)
	defer m.Close(true, 1)
	got, err := m.Size(tp("t", 0))
	infos, _ := m.Partitions(t.Context())
	if err != nil || got != want || infos[0].Open {
		t.Errorf("size %d %v, open %v: want %d of a log that is not open", got, err, infos[0].Open, want)
	}
}

func TestCleanMark(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	appendTo(t, l, "a")
	if exists(t, fsys, "/data/.kafka_cleanshutdown") {
		t.Error("the mark is there while the directory is open")
	}
	must(t, m.Close(true, 77))
	if mark, found, err := checkpoint.ReadCleanShutdown(crash(fsys), "/data"); !found || err != nil || mark.BrokerEpoch != 77 {
		t.Fatalf("after a clean stop: %+v %v %v", mark, found, err)
	}
	m = open(t, fsys, nil)
	if exists(t, crash(fsys), "/data/.kafka_cleanshutdown") {
		t.Error("the mark would come back after a crash")
	}
	if d := m.Dirs()[0]; !d.Clean || d.Unrecovered != 0 {
		t.Errorf("after a clean stop: %+v", d)
	}
	must(t, m.Close(false, 78)) // not clean
	if exists(t, fsys, "/data/.kafka_cleanshutdown") {
		t.Error("the mark is there after a stop that was not clean")
	}
	m = open(t, fsys, nil)
	must(t, m.WaitRecovered(t.Context()))
	if d := m.Dirs()[0]; d.Clean || d.Unrecovered != 0 || m.PreviousBrokerEpoch() != -1 {
		t.Errorf("after recovery: %+v, epoch %d", d, m.PreviousBrokerEpoch())
	}
	if got := values(t, get(t, m, tp("t", 0))); !slices.Equal(got, []string{"a"}) {
		t.Errorf("read %q", got)
	}
	must(t, m.Close(true, 79))
	if !exists(t, fsys, "/data/.kafka_cleanshutdown") {
		t.Error("no mark although everything was recovered and closed")
	}
}

func TestOpen_LeavesOtherFoldersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		keep := []string{"lost+found", "__cluster_metadata-0", "__dmq_metadata-0", "t-0." + strings.Repeat("a", 32) + "-stray", "t-0." + strings.Repeat("a", 32) + "-future", "t-0-delete", "x"}
		for _, name := range keep {
			must(t, fsys.MkdirAll("/data/"+name+"/inner", 0o755))
		}
		m := open(t, fsys, nil)
		time.Sleep(day)
		infos, err := m.Partitions(t.Context())
		if err != nil || len(infos) != 0 {
			t.Errorf("partitions %+v %v, want none", infos, err)
		}
		must(t, m.Close(true, 1))
		for _, name := range keep {
			if !exists(t, fsys, "/data/"+name+"/inner") {
				t.Errorf("%s is gone", name)
			}
		}
	})
}

// failing is a filesystem whose operations below a folder fail while broken is set.
type failing struct {
	vfs.FS
	mu     sync.Mutex
	broken func(op vfs.Op, name string) error
}

func newFailing(fsys vfs.FS) *failing {
	f := &failing{}
	f.FS = vfs.Inject(fsys, func(op vfs.Op, name string, _ int) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.broken == nil {
			return nil
		}
		return f.broken(op, name)
	})
	return f
}

func (f *failing) set(broken func(op vfs.Op, name string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

func eio(dir string, ops ...vfs.Op) func(vfs.Op, string) error {
	return func(op vfs.Op, name string) error {
		if strings.HasPrefix(name, dir) && (len(ops) == 0 || slices.Contains(ops, op)) {
			return syscall.EIO
		}
		return nil
	}
}

func TestFailedSync_KillsTheDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newFailing(vfs.NewMem())
		var failed []string
		synced := map[protocol.TopicPartition]int64{}
		var mu sync.Mutex
		m := open(t, fsys, func(o *logdir.Options) {
			o.Dirs = []string{"/a", "/b"}
			o.Failed = func(dir string, err error) {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, dir)
			}
			o.Synced = func(p protocol.TopicPartition, end int64) {
				mu.Lock()
				defer mu.Unlock()
				synced[p] = end
			}
		})
		var logs []*commitlog.Log
		for i := range int32(4) { // 0 and 2 are in /a
			l, err := m.Create(tp("t", i), topicID(1))
			must(t, err)
			appendTo(t, l, "a")
			logs = append(logs, l)
		}
		synctest.Wait()
		fsys.set(eio("/a/t-0", vfs.OpSyncData, vfs.OpSync))
		_, _ = logs[0].AppendAsLeader(batchOf(t, "b"), 0, commitlog.FromClient)
		synctest.Wait()
		fsys.set(nil) // the disk works again, but is not trusted
		appendTo(t, logs[1], "b")
		_, err := logs[2].AppendAsLeader(batchOf(t, "b"), 0, commitlog.FromClient)
		wantKind(t, "append to another partition of the directory", err, errcode.KindKafkaStorageError)
		synctest.Wait()
		mu.Lock()
		if !slices.Equal(failed, []string{"/a"}) {
			t.Errorf("failed %q, want /a once", failed)
		}
		if diff := cmp.Diff(map[protocol.TopicPartition]int64{tp("t", 0): 1, tp("t", 1): 2, tp("t", 2): 1, tp("t", 3): 1}, synced); diff != "" {
			t.Errorf("synced (-want +got):\n%s", diff)
		}
		mu.Unlock()
		for _, i := range []int32{0, 2} {
			_, found, err := m.Get(tp("t", i))
			if !found {
				t.Errorf("partition %d is not known any more", i)
			}
			wantKind(t, "get", err, errcode.KindKafkaStorageError)
			wantKind(t, "delete", m.Delete(tp("t", i), topicID(1)), errcode.KindKafkaStorageError)
			_, err = m.Create(tp("t", i), topicID(1))
			wantKind(t, "create what is there", err, errcode.KindKafkaStorageError)
		}
		if d := m.Dirs(); !d[0].Offline || d[0].Err == nil || d[1].Offline {
			t.Errorf("directories %+v", d)
		}
		if _, err := m.Create(tp("new", 0), topicID(2)); err != nil {
			t.Errorf("create in the other directory: %v", err)
		}
		m.Close(true, 1)
		if exists(t, fsys, "/a/.kafka_cleanshutdown") || !exists(t, fsys, "/b/.kafka_cleanshutdown") {
			t.Error("the dead directory has a clean mark, or the living one has none")
		}
	})
}

func TestOpen_WithADeadDirectory(t *testing.T) {
	mem := vfs.NewMem()
	two := func(o *logdir.Options) { o.Dirs = []string{"/a", "/b"} }
	m := open(t, mem, two)
	b := m.Dirs()[1].ID
	for i := range int32(2) {
		l, err := m.Create(tp("t", i), topicID(1))
		must(t, err)
		appendTo(t, l, "a")
	}
	must(t, m.Close(true, 1))
	fsys := newFailing(mem)
	fsys.set(eio("/a"))
	m = open(t, fsys, func(o *logdir.Options) {
		two(o)
		o.DirectoryOf = func(p protocol.TopicPartition) protocol.TopicID {
			if p.Topic == "empty" {
				return b
			}
			return protocol.TopicID{}
		}
	})
	if d := m.Dirs(); !d[0].Offline || d[1].Offline || m.PreviousBrokerEpoch() != -1 {
		t.Errorf("directories %+v, epoch %d", d, m.PreviousBrokerEpoch())
	}
	get(t, m, tp("t", 1))
	_, err := m.Create(tp("t", 0), topicID(1))
	wantKind(t, "create what may be in the dead directory", err, errcode.KindKafkaStorageError)
	if _, err := m.Create(tp("empty", 0), topicID(2)); err != nil {
		t.Errorf("create what is known to be in the other one: %v", err)
	}
	must(t, m.Close(true, 1))
	fsys.set(func(op vfs.Op, _ string) error { return syscall.EIO })
	_, err = logdir.Open(t.Context(), options(fsys, two))
	wantKind(t, "open with all directories dead", err, errcode.KindKafkaStorageError)
	if _, found, err := checkpoint.ReadCleanShutdown(mem, "/a"); !found || err != nil {
		t.Errorf("the clean mark of the directory that could not be read is gone: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		mem.SetCapacity(4 << 20)
		m := open(t, mem, func(o *logdir.Options) { o.MinFreeBytes = 1 << 20 })
		big := strings.Repeat("x", 100<<10)
		l, err := m.Create(tp("t", 0), topicID(1))
		must(t, err)
		other, err := m.Create(tp("u", 0), topicID(2))
		must(t, err)
		appendTo(t, other, "small")
		for n := 0; ; n++ {
			if _, err = l.AppendAsLeader(batchOf(t, big), 0, commitlog.FromClient); err != nil {
				break
			}
			if n > 100 {
				t.Fatal("the disk is never full")
			}
			time.Sleep(200 * time.Millisecond)
		}
		wantKind(t, "append to a full disk", err, errcode.KindKafkaStorageError)
		if d := m.Dirs()[0]; !d.Full || d.Offline || d.Free == 0 {
			t.Errorf("directory %+v", d)
		}
		if got := values(t, other); !slices.Equal(got, []string{"small"}) {
			t.Errorf("read %q from a full disk", got)
		}
		must(t, m.Delete(tp("t", 0), topicID(1)))
		time.Sleep(2 * time.Minute)
		appendTo(t, other, "room again")
		must(t, m.Close(true, 1))
		if !exists(t, mem, "/data/.kafka_cleanshutdown") {
			t.Error("no clean mark")
		}
	})
}

// TestFullDisk_ToTheLastByte has nothing held back: appends, checkpoints and creates fail with ENOSPC, cleanly.
func TestFullDisk_ToTheLastByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfs.NewMem()
		m := open(t, mem, nil)
		l, err := m.Create(tp("t", 0), topicID(1))
		must(t, err)
		appendTo(t, l, "a")
		flush(t, l)
		u, _ := mem.Usage("/")
		mem.SetCapacity(u.Total - u.Free)
		if _, err := l.AppendAsLeader(batchOf(t, "b"), 0, commitlog.FromClient); err == nil {
			t.Error("appended to a full disk")
		}
		fresh, err := m.Create(tp("u", 0), topicID(2))
		must(t, err)
		_, err = fresh.AppendAsLeader(batchOf(t, "b"), 0, commitlog.FromClient)
		wantKind(t, "make a folder on a full disk", err, errcode.KindKafkaStorageError)
		time.Sleep(10 * time.Second)
		if d := m.Dirs()[0]; d.Offline {
			t.Errorf("a full disk killed the directory: %v", d.Err)
		}
		if got := values(t, l); !slices.Equal(got, []string{"a"}) {
			t.Errorf("read %q", got)
		}
		mem.SetCapacity(0)
		appendTo(t, l, "c")
		appendTo(t, fresh, "d")
		must(t, m.Close(true, 1))
		m = open(t, mem, nil)
		defer m.Close(true, 1)
		for p, want := range map[protocol.TopicPartition][]string{tp("t", 0): {"a", "c"}, tp("u", 0): {"d"}} {
			if got := values(t, get(t, m, p)); !slices.Equal(got, want) {
				t.Errorf("%s: read %q after a restart, want %q", p, got, want)
			}
		}
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := vfs.NewMem()
		cfg := commitlog.DefaultConfig()
		cfg.SegmentBytes, cfg.RetentionMs, cfg.FileDeleteDelayMs = 4096, day.Milliseconds(), 1000
		change := func(o *logdir.Options) { o.ConfigFor = func(string) commitlog.Config { return cfg } }
		m := open(t, fsys, change)
		fill := func(p protocol.TopicPartition) {
			l, err := m.Create(p, topicID(1))
			must(t, err)
			for range 10 {
				appendTo(t, l, strings.Repeat("x", 2000))
			}
			flush(t, l)
			l.UpdateHighWatermark(l.LogEndOffset())
		}
		fill(tp("open", 0))
		fill(tp("closed", 0))
		must(t, m.Close(true, 1))
		m = open(t, fsys, change)
		defer m.Close(true, 1)
		l := get(t, m, tp("open", 0))
		time.Sleep(day - time.Hour)
		if l.LogStartOffset() != 0 {
			t.Errorf("records went too early: start %d", l.LogStartOffset())
		}
		infos, _ := m.Partitions(t.Context())
		if infos[0].Open {
			t.Error("retention opened a log that has nothing to remove")
		}
		time.Sleep(2 * time.Hour)
		if l.LogStartOffset() != 10 || get(t, m, tp("closed", 0)).LogStartOffset() != 10 {
			t.Errorf("after a day: start %d and %d, want 10", l.LogStartOffset(), get(t, m, tp("closed", 0)).LogStartOffset())
		}
	})
}

func TestReconfigure(t *testing.T) {
	fsys := vfs.NewMem()
	retention := int64(1000)
	m := open(t, fsys, func(o *logdir.Options) {
		o.ConfigFor = func(string) commitlog.Config {
			c := commitlog.DefaultConfig()
			c.RetentionMs = retention
			return c
		}
	})
	defer m.Close(true, 1)
	l, err := m.Create(tp("t", 0), topicID(1))
	must(t, err)
	retention = 2000
	m.Reconfigure("other")
	if got := l.Config().RetentionMs; got != 1000 {
		t.Errorf("another topic's change: %d", got)
	}
	m.Reconfigure("t")
	if got := l.Config().RetentionMs; got != 2000 {
		t.Errorf("got %d", got)
	}
}

func TestDamagedPartition(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, nil)
	for i := range int32(2) {
		l, err := m.Create(tp("t", i), topicID(1))
		must(t, err)
		appendTo(t, l, "a", "b")
		appendTo(t, l, "c", "d")
		flush(t, l)
	}
	must(t, m.Checkpoint())
	must(t, m.Close(false, 0))
	f, err := fsys.OpenFile("/data/t-0/00000000000000000000.log", vfs.ReadWrite, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{0xff}, 65) // inside the first batch, below the recovery point
	must(t, err)
	before, err := vfs.ReadFile(fsys, "/data/t-0/00000000000000000000.log")
	must(t, err)
	m = open(t, fsys, nil)
	must(t, m.WaitRecovered(t.Context()))
	for range 2 {
		_, found, err := m.Get(tp("t", 0))
		var corrupt *commitlog.CorruptError
		if !found || !errors.As(err, &corrupt) {
			t.Errorf("get a damaged partition: %v %v", found, err)
		}
	}
	if got := values(t, get(t, m, tp("t", 1))); len(got) != 4 {
		t.Errorf("the other partition holds %q", got)
	}
	infos, err := m.Partitions(t.Context())
	if err != nil || infos[0].Err == nil || infos[1].Err != nil {
		t.Errorf("partitions %+v %v", infos, err)
	}
	if d := m.Dirs()[0]; d.Offline || d.Unrecovered != 0 {
		t.Errorf("directory %+v", d)
	}
	must(t, m.Close(true, 1))
	if exists(t, fsys, "/data/.kafka_cleanshutdown") {
		t.Error("a directory with a damaged partition has a clean mark: the next start would not look")
	}
	after, err := vfs.ReadFile(fsys, "/data/t-0/00000000000000000000.log")
	if err != nil || !slices.Equal(before, after) {
		t.Errorf("the damaged file was changed (%v)", err)
	}
}

func TestTopicIDs(t *testing.T) {
	fsys := vfs.NewMem()
	for _, name := range []string{"none-0", "bad-0", "good-0", "torn-0"} {
		must(t, fsys.MkdirAll("/data/"+name, 0o755))
	}
	must(t, vfs.WriteFileAtomic(fsys, "/data/bad-0/partition.metadata", []byte("version: 0\ntopic_id: x")))
	must(t, vfs.WriteFileAtomic(fsys, "/data/bad-0/00000000000000000000.log", batchOf(t, "x")))
	must(t, vfs.WriteFileAtomic(fsys, "/data/torn-0/partition.metadata", []byte("version: 0\nto")))
	must(t, checkpoint.WritePartitionMetadata(fsys, "/data/good-0", checkpoint.PartitionMetadata{TopicID: topicID(3)}))
	m := open(t, fsys, nil)
	defer m.Close(true, 1)
	infos, err := m.Partitions(t.Context())
	must(t, err)
	if len(infos) != 4 || infos[0].Err == nil || infos[1].TopicID != topicID(3) || !infos[2].TopicID.IsZero() || infos[2].Err != nil ||
		!infos[3].TopicID.IsZero() || infos[3].Err != nil {
		t.Errorf("got %+v", infos)
	}
	_, _, err = m.Get(tp("bad", 0))
	wantKind(t, "open a folder with a malformed id", err, errcode.KindKafkaStorageError)
	for _, topic := range []string{"none", "torn"} { // a folder without an id takes the one of the metadata
		_, err = m.Create(tp(topic, 0), topicID(4))
		must(t, err)
		meta, err := checkpoint.ReadPartitionMetadata(crash(fsys), "/data/"+topic+"-0")
		if err != nil || meta.TopicID != topicID(4) {
			t.Errorf("got %+v %v", meta, err)
		}
	}
}

func TestManager_Concurrent(t *testing.T) {
	fsys := vfs.NewMem()
	m := open(t, fsys, func(o *logdir.Options) { o.CheckpointInterval, o.DeleteDelay = time.Millisecond, -1 })
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 30 {
				p := tp("t", int32((g+i)%4))
				l, err := m.Create(p, topicID(1))
				if err != nil {
					t.Errorf("create: %v", err)
					continue
				}
				if _, err := l.AppendAsLeader(batchOf(t, "x"), 0, commitlog.FromClient); err != nil && !errors.Is(err, commitlog.ErrClosed) {
					t.Errorf("append: %v", err)
				}
				switch i % 10 {
				case 3:
					err = m.Delete(p, topicID(1))
				case 5:
					_, err = m.Partitions(context.Background())
				case 7:
					_, _, err = m.Get(p)
				case 8:
					err = m.Checkpoint()
				}
				if err != nil {
					t.Errorf("operation %d: %v", i%10, err)
				}
			}
		})
	}
	wg.Wait()
	must(t, m.Close(true, 1))
	must(t, open(t, fsys, nil).Close(true, 1))
}

// TestClose_DuringRecovery stops a broker that is still recovering: what was not recovered is so at the next start.
func TestClose_DuringRecovery(t *testing.T) {
	mem := vfs.NewMem()
	m := open(t, mem, nil)
	for i := range int32(20) {
		l, err := m.Create(tp("t", i), topicID(1))
		must(t, err)
		appendTo(t, l, "a")
		flush(t, l)
	}
	must(t, m.Close(false, 1))

	opened, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fsys := newFailing(mem)
	fsys.set(func(op vfs.Op, name string) error {
		if strings.HasSuffix(name, "t-3/partition.metadata") {
			once.Do(func() { close(opened) })
			fsys.mu.Unlock() // others go on
			<-release
			fsys.mu.Lock()
		}
		return nil
	})
	m = open(t, fsys, func(o *logdir.Options) { o.RecoveryThreads = 1 })
	<-opened
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.WaitRecovered(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("wait for a recovery that stands still: %v", err)
	}
	l := get(t, m, tp("t", 19)) // one at the end of the queue is served all the same
	if got := values(t, l); len(got) != 1 {
		t.Errorf("read %q", got)
	}
	closed := make(chan error)
	go func() { closed <- m.Close(true, 2) }()
	for { // until Close is under way
		if _, _, err := m.Get(tp("t", 0)); errors.Is(err, commitlog.ErrClosed) {
			break
		}
	}
	close(release)
	must(t, <-closed)
	if exists(t, mem, "/data/.kafka_cleanshutdown") {
		t.Error("a clean mark although partitions were not recovered")
	}
	m = open(t, mem, nil)
	must(t, m.WaitRecovered(t.Context()))
	for i := range int32(20) {
		if got := values(t, get(t, m, tp("t", i))); len(got) != 1 {
			t.Errorf("partition %d holds %q", i, got)
		}
	}
	must(t, m.Close(true, 3))
}
