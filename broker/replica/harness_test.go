package replica_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	self  protocol.NodeID = 1
	soon                  = time.Minute // for what is bound to happen
	topic                 = "orders"
)

var tp0 = protocol.TopicPartition{Topic: topic, Partition: 0}

// world is a manager over logs on a filesystem in memory, and the metadata that it is told.
type world struct {
	*replica.Manager
	t       *testing.T
	logs    *memLogs
	builder *image.Builder
	version int64
	minISR  atomic.Int64 // of every topic
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, replica.Options{})
}

// newWorldWith completes options and makes a world of them.
func newWorldWith(t *testing.T, o replica.Options) *world {
	t.Helper()
	w := &world{t: t, logs: newMemLogs(t), builder: image.NewBuilder(image.Empty())}
	o.NodeID, o.Logs, o.Logger = self, w.logs, slog.New(slog.DiscardHandler)
	o.MinISR = func(string) int { return max(1, int(w.minISR.Load())) }
	o.BrokerEpoch = func() protocol.BrokerEpoch { return epochOf(self) }
	w.Manager = replica.New(o)
	w.logs.synced = w.Synced
	t.Cleanup(func() {
		w.logs.release()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		w.logs.close()
	})
	return w
}

// publish commits records and tells the manager.
func (w *world) publish(records ...metadata.Record) {
	w.t.Helper()
	w.version++
	if err := w.builder.Apply(w.version, &metadata.Command{Records: records}); err != nil {
		w.t.Fatal(err)
	}
	_, d := w.builder.Build()
	w.Publish(d)
}

func topicID(n byte) protocol.TopicID { return protocol.TopicID{0: n, 15: 1} }

// create makes a topic whose partitions this broker leads alone.
func (w *world) create(name string, id protocol.TopicID, partitions int) {
	w.t.Helper()
	recs := []metadata.Record{&metadata.TopicRecord{Name: name, ID: id}}
	for i := range partitions {
		recs = append(recs, &metadata.PartitionRecord{TopicID: id, Partition: int32(i), PartitionState: image.Partition{
			Replicas: []protocol.NodeID{self}, ISR: []protocol.NodeID{self}, Leader: self,
		}})
	}
	w.publish(recs...)
}

// elect makes a broker the leader of partition 0, in the next leader epoch.
func (w *world) elect(id protocol.TopicID, leader protocol.NodeID) {
	w.t.Helper()
	w.publish(&metadata.PartitionChangeRecord{TopicID: id, Leader: &leader})
}

func batch(values ...string) []byte { return batchAt(1000, values...) }

func batchAt(timestamp int64, values ...string) []byte {
	b := records.NewBuilder(records.BuilderOptions{})
	for i, v := range values {
		b.Append(timestamp+int64(i), nil, []byte(v))
	}
	out, err := b.Bytes()
	if err != nil {
		panic(err)
	}
	return out
}

// start appends and returns a channel that is closed when the results are final.
func (w *world) start(acks int16, timeout time.Duration, parts []replica.Append) <-chan struct{} {
	done := make(chan struct{})
	if w.Append(replica.AppendOptions{Acks: acks, Timeout: timeout}, parts, func() { close(done) }) {
		close(done)
	}
	return done
}

func to(tp protocol.TopicPartition, b []byte) []replica.Append {
	return []replica.Append{{TopicIDPartition: protocol.TopicIDPartition{Topic: tp.Topic, Partition: tp.Partition}, Records: b}}
}

// produce appends with acks=all and waits.
func (w *world) produce(tp protocol.TopicPartition, b []byte) replica.AppendResult {
	w.t.Helper()
	parts := to(tp, b)
	wait(w.t, w.start(-1, soon, parts))
	return parts[0].Result
}

func (w *world) mustProduce(tp protocol.TopicPartition, b []byte) int64 {
	w.t.Helper()
	res := w.produce(tp, b)
	if res.Err != nil {
		w.t.Fatal(res.Err)
	}
	return res.BaseOffset
}

func from(tp protocol.TopicPartition, offset int64) replica.ReadPartition {
	return replica.ReadPartition{
		TopicIDPartition: protocol.TopicIDPartition{Topic: tp.Topic, Partition: tp.Partition}, FetchOffset: offset,
		MaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1,
	}
}

var consumer = replica.ReadOptions{ReplicaID: -1, MinBytes: 1, MaxBytes: 1 << 20}

// read reads one partition; the records are closed at the end of the test.
func (w *world) read(o replica.ReadOptions, q replica.ReadPartition) replica.ReadResult {
	w.t.Helper()
	res := w.Read(nil, o, []replica.ReadPartition{q})[0]
	if res.Records != nil {
		w.t.Cleanup(func() { res.Records.Close() })
	}
	return res
}

// values returns the values of the records in a result, from an offset on.
func values(t *testing.T, res replica.ReadResult, offset int64) []string {
	t.Helper()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	if res.Records == nil {
		return nil
	}
	b := make([]byte, res.Records.Size())
	if _, err := res.Records.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	var got []string
	for len(b) > 0 {
		one, rest, err := records.Split(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := one.VerifyCRC(); err != nil {
			t.Fatal(err)
		}
		err = one.Iterate(1<<20, func(r *records.Record) error {
			if r.Offset >= offset {
				got = append(got, string(r.Value))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b = rest
	}
	return got
}

func wait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatal("not done in time")
	}
}

func isDone(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

func wantKind(t *testing.T, err error, want errcode.Kind) {
	t.Helper()
	if got := errcode.KindOf(err); got != want {
		t.Errorf("got %s (%v), want %s", errcode.Name(int16(got)), err, errcode.Name(int16(want)))
	}
}

// memLogs keeps logs as logdir.Manager does, on a filesystem in memory whose syncs can be held back and made to fail.
type memLogs struct {
	t      *testing.T
	fs     vfs.FS
	syncer *commitlog.Syncer
	config commitlog.Config
	synced func(tp protocol.TopicPartition, end int64)
	failed func(dir string, err error)

	gate struct {
		sync.Mutex
		held chan struct{} // nil: syncs go on
		fail error
	}

	mu      sync.Mutex
	open    map[protocol.TopicPartition]*commitlog.Log
	folders map[protocol.TopicPartition]protocol.TopicID
	dead    error
	stuck   error // why folders cannot be deleted
	refused int   // deletions, because of stuck
	creates int
	aside   []string
	deleted chan protocol.TopicID
}

const dir = "/data"

var dirID = protocol.TopicID{1: 7}

func newMemLogs(t *testing.T) *memLogs {
	t.Helper()
	l := &memLogs{
		t: t, config: commitlog.DefaultConfig(), syncer: commitlog.NewSyncer(2),
		open:    make(map[protocol.TopicPartition]*commitlog.Log),
		folders: make(map[protocol.TopicPartition]protocol.TopicID),
		deleted: make(chan protocol.TopicID, 100),
	}
	mem := vfs.NewMem()
	if err := mem.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l.fs = vfs.Inject(mem, l.before)
	return l
}

func (l *memLogs) before(op vfs.Op, _ string, _ int) error {
	if op != vfs.OpSyncData {
		return nil
	}
	l.gate.Lock()
	held := l.gate.held
	l.gate.Unlock()
	if held != nil {
		<-held
	}
	l.gate.Lock()
	defer l.gate.Unlock()
	return l.gate.fail
}

// hold makes syncs wait until release.
func (l *memLogs) hold() {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.gate.held = make(chan struct{})
}

func (l *memLogs) release() {
	l.gate.Lock()
	defer l.gate.Unlock()
	if l.gate.held != nil {
		close(l.gate.held)
		l.gate.held = nil
	}
}

// breakSyncs makes syncs fail from now on.
func (l *memLogs) breakSyncs(err error) {
	l.gate.Lock()
	defer l.gate.Unlock()
	l.gate.fail = err
}

func (l *memLogs) Get(tp protocol.TopicPartition) (*commitlog.Log, bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return nil, true, errcode.New(errcode.KindKafkaStorageError, "%w", l.dead)
	}
	plog, ok := l.open[tp]
	return plog, ok, nil
}

func (l *memLogs) Expect(protocol.TopicPartition, protocol.TopicID) error { return nil }

func (l *memLogs) Create(tp protocol.TopicPartition, id protocol.TopicID) (*commitlog.Log, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dead != nil {
		return nil, errcode.New(errcode.KindKafkaStorageError, "%w", l.dead)
	}
	if have, ok := l.folders[tp]; ok && have != id {
		return nil, errcode.New(errcode.KindInconsistentTopicID, "%s belongs to %s", tp, have)
	}
	if plog := l.open[tp]; plog != nil {
		return plog, nil
	}
	l.creates++
	plog, err := commitlog.Open(commitlog.Options{
		FS: l.fs, Dir: fmt.Sprintf("%s/%s", dir, tp), TopicPartition: tp, TopicID: id, Config: l.config, Syncer: l.syncer,
		Failed: func(err error) {
			l.mu.Lock()
			l.dead = err
			l.mu.Unlock()
			if l.failed != nil {
				l.failed(dir, err)
			}
		},
		Synced: func(end int64) { l.synced(tp, end) },
	})
	if err != nil {
		return nil, err
	}
	l.open[tp], l.folders[tp] = plog, id
	return plog, nil
}

func (l *memLogs) Delete(tp protocol.TopicPartition, id protocol.TopicID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stuck != nil {
		l.refused++
		return l.stuck
	}
	defer func() { l.deleted <- id }()
	if have, ok := l.folders[tp]; !ok || have != id {
		return nil
	}
	plog := l.open[tp]
	delete(l.open, tp)
	delete(l.folders, tp)
	if plog == nil {
		return nil
	}
	if err := plog.Delete(); err != nil {
		return err
	}
	return l.fs.RemoveAll(fmt.Sprintf("%s/%s", dir, tp))
}

// keepFolders makes deletions fail; nil lets them succeed again.
func (l *memLogs) keepFolders(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stuck = err
}

func (l *memLogs) refusals() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

func (l *memLogs) Quarantine(tp protocol.TopicPartition, _ string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.folders, tp)
	l.aside = append(l.aside, tp.String())
	return tp.String() + "-stray", nil
}

func (l *memLogs) Partitions(context.Context) ([]logdir.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var infos []logdir.Info
	for tp, id := range l.folders {
		infos = append(infos, logdir.Info{TopicPartition: tp, TopicID: id, Dir: dir, Open: l.open[tp] != nil})
	}
	return infos, nil
}

func (l *memLogs) Reconfigure(string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, plog := range l.open {
		plog.SetConfig(l.config)
	}
}

func (l *memLogs) Dirs() []logdir.DirInfo { return []logdir.DirInfo{{Path: dir, ID: dirID}} }

func (l *memLogs) created() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.creates
}

func (l *memLogs) close() {
	l.mu.Lock()
	open := slices.Collect(maps.Values(l.open))
	dead := l.dead
	l.mu.Unlock()
	for _, plog := range open {
		if err := plog.Close(); err != nil && dead == nil {
			l.t.Error(err)
		}
	}
	l.syncer.Close()
}
