package coordlog_test

import (
	"log/slog"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	self  protocol.NodeID = 1
	topic                 = "__consumer_offsets"
	soon                  = 30 * time.Second // for what is bound to happen
)

// store is a machine that keeps the latest value of each key.
type store struct {
	partition int32
	values    map[string]string
	pending   map[int64]map[string]string // of transactions, by producer
	replayed  []int64                     // offsets, in order
	parked    []func(string)
	loaded    int
	refuse    error // what Replay says
}

func newStore(partition int32) *store {
	return &store{partition: partition, values: make(map[string]string), pending: make(map[int64]map[string]string)}
}

func (m *store) Replay(r coordlog.Record) error {
	if m.refuse != nil {
		return m.refuse
	}
	m.replayed = append(m.replayed, r.Offset)
	into := m.values
	if r.ProducerID >= 0 {
		if m.pending[r.ProducerID] == nil {
			m.pending[r.ProducerID] = make(map[string]string)
		}
		into = m.pending[r.ProducerID]
	}
	if r.Value == nil {
		delete(into, string(r.Key))
	} else {
		into[string(r.Key)] = string(r.Value)
	}
	return nil
}

func (m *store) ReplayMarker(k coordlog.Marker) error {
	if k.Commit {
		maps.Copy(m.values, m.pending[k.ProducerID])
	}
	delete(m.pending, k.ProducerID)
	return nil
}

func (m *store) Loaded(coordlog.Effects) { m.loaded++ }

// op is an operation on a store.
type op = func(fx coordlog.Effects, m *store, reply func(string))

// put sets a key and answers with its old value.
func put(key, value string) op {
	return func(fx coordlog.Effects, m *store, reply func(string)) {
		was := m.values[key]
		if err := fx.Append(coordlog.NewRecord([]byte(key), []byte(value))); err != nil {
			reply(errcode.Name(errcode.Of(err)))
			return
		}
		reply(was)
	}
}

func get(key string) op {
	return func(_ coordlog.Effects, m *store, reply func(string)) { reply(m.values[key]) }
}

// park answers when unpark is called.
func park(_ coordlog.Effects, m *store, reply func(string)) { m.parked = append(m.parked, reply) }

func unpark(answer string) op {
	return func(_ coordlog.Effects, m *store, reply func(string)) {
		for _, r := range m.parked {
			r(answer)
		}
		m.parked = nil
		reply(answer)
	}
}

// result is what became of an operation.
type result struct {
	answer string
	err    error
}

func (r result) String() string {
	if r.err != nil {
		return errcode.Name(errcode.Of(r.err))
	}
	return r.answer
}

// world is a runtime over fake logs, and the metadata that it is told.
type world struct {
	*coordlog.Runtime[*store]
	t       testing.TB
	logs    *fakeLogs
	limit   int
	builder *image.Builder
	version int64
	stores  map[int32][]*store // all that were made, in order
	mu      sync.Mutex         // guards stores
}

func newWorld(t testing.TB, change ...func(o *coordlog.Options[*store])) *world {
	t.Helper()
	w := &world{t: t, logs: newFakeLogs(), limit: 1 << 20, builder: image.NewBuilder(image.Empty()), stores: make(map[int32][]*store)}
	o := coordlog.Options[*store]{
		Topic: topic, NodeID: self, Replicas: w.logs, Logger: slog.New(slog.DiscardHandler),
		New: func(partition int32) *store {
			m := newStore(partition)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.stores[partition] = append(w.stores[partition], m)
			return m
		},
		MaxBatchBytes: func() int { return w.limit }, Codec: compress.None, AppendTimeout: soon,
	}
	for _, f := range change {
		f(&o)
	}
	w.Runtime = coordlog.New(o)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// made returns how many machines a partition has had.
func (w *world) made(partition int32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.stores[partition])
}

// publish commits records and tells the runtime.
func (w *world) publish(recs ...metadata.Record) {
	w.t.Helper()
	w.version++
	if err := w.builder.Apply(w.version, &metadata.Command{Records: recs}); err != nil {
		w.t.Fatal(err)
	}
	_, d := w.builder.Build()
	for i := range partitions(d) {
		w.logs.of(int32(i))
	}
	w.Publish(d)
}

var topicID = protocol.TopicID{1}

// lead creates the topic with partitions that this broker leads.
func (w *world) lead(partitions int) {
	w.t.Helper()
	recs := []metadata.Record{&metadata.TopicRecord{Name: topic, ID: topicID}}
	for i := range partitions {
		recs = append(recs, &metadata.PartitionRecord{TopicID: topicID, Partition: int32(i), PartitionState: image.Partition{
			Replicas: []protocol.NodeID{self, 2}, ISR: []protocol.NodeID{self, 2}, Leader: self,
		}})
	}
	w.publish(recs...)
}

// elect makes a broker the leader of partition 0, in the next leader epoch.
func (w *world) elect(leader protocol.NodeID) {
	w.t.Helper()
	w.logs.of(0).lead(leader)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID, Leader: &leader})
}

// start submits an operation to partition 0.
func (w *world) start(f op) <-chan result {
	done := make(chan result, 2) // a second answer would be found
	coordlog.Submit(w.Runtime, 0, f, func(answer string, err error) { done <- result{answer, err} })
	return done
}

// do submits an operation to partition 0 and waits for the answer.
func (w *world) do(f op) result {
	w.t.Helper()
	return wait(w.t, w.start(f))
}

// active waits until partition 0 takes operations.
func (w *world) active() {
	w.t.Helper()
	eventually(w.t, "the coordinator is loaded", func() bool { return w.do(get("")).err == nil })
}

func wait(t testing.TB, done <-chan result) result {
	t.Helper()
	select {
	case r := <-done:
		return r
	case <-time.After(soon):
		t.Fatal("no answer")
		return result{}
	}
}

func want(t testing.TB, what string, got <-chan result, want string) {
	t.Helper()
	if r := wait(t, got); r.String() != want {
		t.Errorf("%s: got %s, want %s", what, r, want)
	}
}

func unanswered(t testing.TB, what string, done <-chan result) {
	t.Helper()
	select {
	case r := <-done:
		t.Errorf("%s: got %s, want no answer yet", what, r)
	default:
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// fakeLogs are partitions' logs in memory, as a replica manager shows them.
type fakeLogs struct {
	mu     sync.Mutex // guards everything, of the logs too
	parts  map[int32]*fakeLog
	forget bool // nothing is kept: for benchmarks
}

func newFakeLogs() *fakeLogs { return &fakeLogs{parts: make(map[int32]*fakeLog)} }

// of returns the log of a partition, which is made if need be.
func (l *fakeLogs) of(partition int32) *fakeLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.parts[partition]
	if p == nil {
		p = &fakeLog{all: l, leader: self}
		l.parts[partition] = p
	}
	return p
}

type fakeLog struct {
	all       *fakeLogs
	leader    protocol.NodeID
	epoch     protocol.LeaderEpoch
	batches   []records.Batch
	start     int64
	end       int64
	committed int64
	held      bool          // commits wait for release
	reading   chan struct{} // reads wait until it is closed; nil: they do not
	refuse    error         // what the next append says before it writes
	skip      int64         // offsets that somebody else takes before the next append
	readError error
	appends   int
	waits     []*fakeWait
}

// fakeWait waits for a commit.
type fakeWait struct {
	at   int64
	done func()
	res  *replica.AppendResult // of an append
}

func (w *fakeWait) Cancel() {}

func (l *fakeLogs) Append(_ replica.AppendOptions, parts []replica.Append, done func()) bool {
	a := &parts[0]
	p := l.of(a.Partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	p.appends++
	a.Result = replica.AppendResult{BaseOffset: -1}
	switch {
	case p.leader != self || a.LeaderEpoch != p.epoch:
		a.Result.Err = &errcode.Error{Kind: errcode.KindNotLeaderForPartition}
		return true
	case p.refuse != nil:
		a.Result.Err, p.refuse = p.refuse, nil
		return true
	}
	if p.skip > 0 {
		p.add(encode(p.skip))
		p.skip = 0
	}
	if l.forget {
		a.Result.BaseOffset = p.end
		p.end += int64(records.Batch(a.Records).RecordCount())
		p.committed = p.end
		return true
	}
	a.Result.BaseOffset = p.add(append(records.Batch(nil), a.Records...))
	if !p.held {
		p.committed = p.end
		return true
	}
	p.waits = append(p.waits, &fakeWait{at: p.end, done: done, res: &a.Result})
	return false
}

// add appends a batch and returns its base offset.
func (p *fakeLog) add(b records.Batch) int64 {
	base := p.end
	b.SetBaseOffset(base)
	p.batches = append(p.batches, b)
	p.end = b.NextOffset()
	return base
}

// encode makes a batch of n records that nobody wants.
func encode(n int64) records.Batch {
	b := records.NewBuilder(records.BuilderOptions{})
	for range n {
		b.Append(1, []byte("noise"), []byte("noise"))
	}
	return mustBytes(b)
}

func mustBytes(b *records.Builder) records.Batch {
	out, err := b.Bytes()
	if err != nil {
		panic(err)
	}
	return out
}

// hold lets commits wait.
func (p *fakeLog) hold() {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.held = true
}

// commit commits up to an offset, or everything with -1, and lets commits go on then.
func (p *fakeLog) commit(to int64) {
	p.all.mu.Lock()
	if to < 0 {
		p.held, to = false, p.end
	}
	p.committed = max(p.committed, to)
	var done []func()
	p.waits = filter(p.waits, func(w *fakeWait) bool {
		if w.at > p.committed {
			return true
		}
		done = append(done, w.done)
		return false
	})
	p.all.mu.Unlock()
	for _, f := range done {
		f()
	}
}

// failWaits ends the waits of appends with an error.
func (p *fakeLog) failWaits(err error) {
	p.all.mu.Lock()
	var done []func()
	p.waits = filter(p.waits, func(w *fakeWait) bool {
		if w.res != nil {
			w.res.Err = err
		}
		done = append(done, w.done)
		return false
	})
	p.all.mu.Unlock()
	for _, f := range done {
		f()
	}
}

func filter[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

// lead begins a leader epoch.
func (p *fakeLog) lead(leader protocol.NodeID) {
	p.all.mu.Lock()
	p.leader = leader
	p.epoch++
	p.all.mu.Unlock()
	p.failWaits(&errcode.Error{Kind: errcode.KindNotLeaderForPartition})
}

// set changes the log under its lock.
func (p *fakeLog) set(f func(p *fakeLog)) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	f(p)
}

// contents replays the log.
func (p *fakeLog) contents() map[string]string {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	m := newStore(0)
	for _, b := range p.batches {
		err := b.Iterate(1<<20, func(r *records.Record) error {
			return m.Replay(coordlog.Record{ProducerID: -1, Key: r.Key, Value: r.Value})
		})
		if err != nil {
			panic(err)
		}
	}
	return m.values
}

// memory is records in memory.
type memory []byte

func (m memory) Size() int                             { return len(m) }
func (m memory) Bytes() []byte                         { return m }
func (m memory) ReadAt(p []byte, o int64) (int, error) { return copy(p, m[o:]), nil }
func (m memory) Close() error                          { return nil }

func (l *fakeLogs) Read(dst []replica.ReadResult, o replica.ReadOptions, parts []replica.ReadPartition) []replica.ReadResult {
	q := &parts[0]
	p := l.of(q.Partition)
	l.mu.Lock()
	reading := p.reading
	l.mu.Unlock()
	if reading != nil {
		<-reading
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	res := replica.ReadResult{Err: p.admit(q.CurrentLeaderEpoch), HighWatermark: p.committed}
	if res.Err == nil {
		res.Err = p.readError
	}
	var out memory
	for _, b := range p.batches {
		if res.Err == nil && b.LastOffset() >= q.FetchOffset && (len(out) == 0 || len(out)+len(b) <= o.MaxBytes) {
			out = append(out, b...)
		}
	}
	if len(out) > 0 {
		res.Records = out
	}
	return append(dst, res)
}

func (p *fakeLog) admit(epoch protocol.LeaderEpoch) error {
	if p.leader != self || p.epoch != epoch {
		return &errcode.Error{Kind: errcode.KindFencedLeaderEpoch}
	}
	return nil
}

func (l *fakeLogs) AwaitRead(_ replica.ReadOptions, parts []replica.ReadPartition, _ time.Time, done func()) replica.Wait {
	p := l.of(parts[0].Partition)
	l.mu.Lock()
	if p.admit(parts[0].CurrentLeaderEpoch) != nil || p.committed > parts[0].FetchOffset {
		l.mu.Unlock()
		done()
		return nil
	}
	defer l.mu.Unlock()
	w := &fakeWait{at: parts[0].FetchOffset + 1, done: done}
	p.waits = append(p.waits, w)
	return w
}

func (l *fakeLogs) ListOffset(q replica.ListOffset) (replica.FoundOffset, error) {
	p := l.of(q.Partition)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := p.admit(q.CurrentLeaderEpoch); err != nil {
		return replica.FoundOffset{}, err
	}
	switch {
	case q.Timestamp == replica.Earliest:
		return replica.FoundOffset{Offset: p.start}, nil
	case q.Isolation == replica.ReadLogEnd:
		return replica.FoundOffset{Offset: p.end}, nil
	default:
		return replica.FoundOffset{Offset: p.committed}, nil
	}
}

func partitions(d *image.Delta) int {
	if t := d.Next.Topic(topic); t != nil {
		return len(t.Partitions)
	}
	return 0
}
