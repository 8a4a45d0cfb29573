package coordlog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

func TestSubmit_AnswersAfterTheCommit(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	if r := w.do(put("a", "1")); r.String() != "" {
		t.Fatal(r)
	}
	w.logs.of(0).hold()
	first := w.start(put("a", "2"))
	read := w.start(get("a"))
	eventually(t, "the first is written", func() bool { return len(w.logs.of(0).contents()) == 1 && w.logs.of(0).contents()["a"] == "2" })
	second := w.start(put("a", "3"))
	unanswered(t, "a write", first)
	unanswered(t, "a read of what is not committed", read)
	w.logs.of(0).commit(2)
	want(t, "the first write", first, "1")
	want(t, "the read", read, "2")
	unanswered(t, "the second write", second)
	w.logs.of(0).commit(-1)
	want(t, "the second write", second, "2")
	want(t, "a read of what is committed", w.start(get("a")), "3")
}

// Operations that come while others wait for their commit go into few batches.
func TestSubmit_CollectsWhileOthersWait(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.logs.of(0).hold()
	var pending []<-chan result
	for i := range 1000 {
		pending = append(pending, w.start(put(fmt.Sprint(i), "x")))
	}
	w.logs.of(0).commit(-1)
	for _, p := range pending {
		want(t, "a write", p, "")
	}
	if s := w.Stats(); s.Batches > 500 || s.Records != 1000 || s.Waiting != 0 || s.Uncommitted != 0 {
		t.Errorf("got %+v, want 1000 records in few batches and nothing left", s)
	}
}

func TestSubmit_Refuses(t *testing.T) {
	w := newWorld(t)
	want(t, "nothing is led", w.start(get("a")), "NOT_COORDINATOR")
	w.lead(2)
	w.active()
	w.elect(2)
	want(t, "another broker leads", w.start(get("a")), "NOT_COORDINATOR")
	if got := w.Partitions(); !slices.Equal(got, []int32{1}) {
		t.Errorf("got %v, want the other partition", got)
	}
	w.elect(self)
	w.active()
	w.publish(&metadata.RemoveTopicRecord{ID: topicID})
	want(t, "the topic is deleted", w.start(get("a")), "NOT_COORDINATOR")
}

func TestShard_EndsWithItsLeadership(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"another leader": func(w *world) { w.elect(2) },
		"another epoch":  func(w *world) { w.elect(self) },
		"deletion":       func(w *world) { w.publish(&metadata.RemoveTopicRecord{ID: topicID}) },
		"close":          func(w *world) { w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lead(1)
			w.active()
			parked := w.start(park)
			w.logs.of(0).hold()
			written := w.start(put("a", "1"))
			end(w)
			want(t, "what was parked", parked, "NOT_COORDINATOR")
			want(t, "what was not committed", written, "NOT_COORDINATOR")
		})
	}
}

func TestShard_ABrokerThatComesBackReadsTheLog(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.do(put("a", "1"))
	w.elect(2)
	w.logs.of(0).set(func(p *fakeLog) {
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(1, []byte("a"), []byte("2"))
		b.Append(1, []byte("b"), nil)
		p.add(mustBytes(b))
		p.committed = p.end
	})
	w.elect(self)
	w.active()
	want(t, "what the other leader wrote", w.start(put("a", "3")), "2")
	want(t, "what this one wrote", w.start(get("a")), "3")
}

func TestRuntime_Resign(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	parked := w.start(park)
	w.logs.of(0).hold()
	written := w.start(put("a", "1"))
	w.Resign()
	want(t, "what was parked", parked, "NOT_COORDINATOR")
	want(t, "what comes later", w.start(get("a")), "NOT_COORDINATOR")
	unanswered(t, "what waits for its commit", written)
	w.logs.of(0).commit(-1)
	want(t, "what is committed", written, "")
}

func TestLoad_RefusesUntilItIsDone(t *testing.T) {
	w := newWorld(t)
	p := w.logs.of(0)
	gate := make(chan struct{})
	p.set(func(p *fakeLog) {
		p.reading = gate
		p.add(encode(3))
		p.held = true
	})
	w.lead(1)
	eventually(t, "loading has begun", func() bool { return w.made(0) == 1 })
	want(t, "while it reads", w.start(get("noise")), "COORDINATOR_LOAD_IN_PROGRESS")
	close(gate)
	eventually(t, "it waits for the commit", func() bool {
		p.all.mu.Lock()
		defer p.all.mu.Unlock()
		return len(p.waits) == 1
	})
	want(t, "while not everything is committed", w.start(get("noise")), "COORDINATOR_LOAD_IN_PROGRESS")
	p.commit(-1)
	w.active()
	want(t, "when it is loaded", w.start(get("noise")), "noise")
	if s := w.Stats(); s.Loads != 1 || s.LoadedRecords != 3 || s.Active != 1 {
		t.Errorf("got %+v", s)
	}
}

// Who comes early is served when the machine is there, or refused when that takes too long.
func TestLoad_OperationsWaitForALittle(t *testing.T) {
	patience := time.Hour
	w := newWorld(t, func(o *coordlog.Options[*store]) { o.Patience = patience })
	p := w.logs.of(0)
	gate := make(chan struct{})
	p.set(func(p *fakeLog) {
		p.reading = gate
		p.add(encode(1))
		p.committed = p.end
	})
	w.lead(1)
	first, second := w.start(put("a", "1")), w.start(get("a"))
	unanswered(t, "who comes early", first)
	close(gate)
	want(t, "the first", first, "")
	want(t, "the second", second, "1")

	p.set(func(p *fakeLog) { p.readError = errors.New("bad sector") })
	w.elect(self)
	want(t, "when loading fails", w.start(get("a")), "NOT_COORDINATOR")
}

// A broker that stops while its coordinators load tells those who wait.
func TestLoad_ResignWhileOperationsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *coordlog.Options[*store]) { o.Patience = time.Second })
		gate := make(chan struct{})
		w.logs.of(0).set(func(p *fakeLog) {
			p.reading = gate
			p.add(encode(1))
			p.committed = p.end
		})
		w.lead(1)
		early := w.start(get("a"))
		w.Resign()
		want(t, "who came early", early, "NOT_COORDINATOR")
		time.Sleep(time.Minute) // patience is lost meanwhile
		want(t, "who comes later", w.start(get("a")), "NOT_COORDINATOR")
		close(gate)
	})
}

// Partitions that wait for their commit do not keep others from loading.
func TestLoad_OnesThatWaitForTheirCommit(t *testing.T) {
	w := newWorld(t, func(o *coordlog.Options[*store]) { o.Loads = 1 })
	for i := range int32(3) {
		w.logs.of(i).set(func(p *fakeLog) {
			p.add(encode(1))
			p.held = true
		})
	}
	w.logs.of(3).set(func(p *fakeLog) {
		p.add(encode(1))
		p.committed = p.end
	})
	w.lead(4)
	eventually(t, "the one that is committed is loaded", func() bool { return w.Stats().Loads == 1 })
	if s := w.Stats(); s.Loading != 3 || s.Active != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestLoad_OperationsDoNotWaitForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *coordlog.Options[*store]) { o.Patience = time.Second })
		p := w.logs.of(0)
		gate := make(chan struct{})
		p.set(func(p *fakeLog) {
			p.reading = gate
			p.add(encode(1))
			p.committed = p.end
		})
		begin := time.Now()
		w.lead(1)
		early := w.start(get("a"))
		want(t, "who comes early", early, "COORDINATOR_LOAD_IN_PROGRESS")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("refused after %s", took)
		}
		want(t, "who comes later", w.start(get("a")), "COORDINATOR_LOAD_IN_PROGRESS")
		if took := time.Since(begin); took != time.Second {
			t.Errorf("refused after %s", took)
		}
		w.elect(2)
		close(gate)
	})
}

// What the log holds by the time that it could be read is read too.
func TestLoad_GoesOnWhileOthersAppend(t *testing.T) {
	w := newWorld(t)
	p := w.logs.of(0)
	p.set(func(p *fakeLog) {
		p.add(encode(1))
		p.held = true
	})
	w.lead(1)
	eventually(t, "it waits for the commit", func() bool {
		p.all.mu.Lock()
		defer p.all.mu.Unlock()
		return len(p.waits) == 1
	})
	p.set(func(p *fakeLog) { p.add(encode(2)) })
	p.commit(-1)
	w.active()
	want(t, "a write", w.start(put("a", "1")), "")
	if n := w.made(0); n != 1 {
		t.Errorf("got %d machines, want 1", n)
	}
}

func TestLoad_Transactions(t *testing.T) {
	w := newWorld(t)
	w.logs.of(0).set(func(p *fakeLog) {
		add := func(id int64, key, value string) {
			b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: id, Transactional: true, Codec: compress.LZ4})
			b.Append(1, []byte(key), []byte(value))
			p.add(mustBytes(b))
		}
		marker := func(id int64, kind byte) {
			b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: id, Transactional: true, Control: true})
			b.Append(1, []byte{0, 0, 0, kind}, []byte{0, 0, 0, 0, 0, 0})
			p.add(mustBytes(b))
		}
		add(1, "committed", "yes")
		add(2, "aborted", "yes")
		marker(1, 1)
		add(3, "open", "yes")
		marker(2, 0)
		b := records.NewBuilder(records.BuilderOptions{HasProducer: true, ProducerID: 4}) // idempotent, of no transaction
		b.Append(1, []byte("plain"), []byte("yes"))
		p.add(mustBytes(b))
		p.committed = p.end
	})
	w.lead(1)
	w.active()
	all := w.do(func(_ coordlog.Effects, m *store, reply func(string)) { reply(fmt.Sprint(m.values, m.pending)) })
	if want := "map[committed:yes plain:yes] map[3:map[open:yes]]"; all.answer != want {
		t.Errorf("got %s, want %s", all, want)
	}
}

// A log whose first and last records compaction took away.
func TestLoad_CompactedLog(t *testing.T) {
	w := newWorld(t)
	w.logs.of(0).set(func(p *fakeLog) {
		p.end = 10
		p.add(encode(2))
		p.start, p.end = 11, 40
		p.committed = p.end
	})
	w.lead(1)
	w.active()
	want(t, "a write", w.start(put("a", "1")), "")
	got := w.do(func(_ coordlog.Effects, m *store, reply func(string)) { reply(fmt.Sprint(m.replayed)) })
	if got.answer != "[11 40]" {
		t.Errorf("got offsets %s, want 11 of the log and 40 of the write", got)
	}
}

func TestLoad_TriesAgain(t *testing.T) {
	w := newWorld(t)
	p := w.logs.of(0)
	p.set(func(p *fakeLog) {
		p.add(encode(1))
		p.committed = p.end
		p.readError = errors.New("bad sector")
	})
	w.lead(1)
	eventually(t, "loading fails", func() bool { return w.Stats().Failed == 1 })
	want(t, "when it cannot be loaded", w.start(get("a")), "NOT_COORDINATOR")
	p.set(func(p *fakeLog) { p.readError = nil })
	w.active()
}

// A machine that cannot understand its log answers nothing.
func TestLoad_ARecordThatCannotBeUnderstood(t *testing.T) {
	good := false
	var mu sync.Mutex
	w := newWorld(t, func(o *coordlog.Options[*store]) {
		make1 := o.New
		o.New = func(p int32) *store {
			m := make1(p)
			mu.Lock()
			defer mu.Unlock()
			if !good {
				m.refuse = errors.New("what is this?")
			}
			return m
		}
	})
	w.logs.of(0).set(func(p *fakeLog) {
		p.add(encode(1))
		p.committed = p.end
	})
	w.lead(1)
	eventually(t, "loading fails", func() bool { return w.Stats().Failed == 1 })
	want(t, "an operation", w.start(get("noise")), "NOT_COORDINATOR")
	mu.Lock()
	good = true
	mu.Unlock()
	w.active()
}

// However an append fails: everybody is answered, and the state is what the log has.
func TestAppend_Failure(t *testing.T) {
	kind := func(k errcode.Kind) error { return &errcode.Error{Kind: k} }
	tests := []struct {
		name  string
		fail  func(p *fakeLog)
		want  string
		inLog bool // the record is there, although its writer was told of an error
	}{
		{"too few replicas", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = kind(errcode.KindNotEnoughReplicas) }) }, "COORDINATOR_NOT_AVAILABLE", false},
		{"the topic is gone", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = kind(errcode.KindUnknownTopicOrPartition) }) }, "COORDINATOR_NOT_AVAILABLE", false},
		{"not the leader", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = kind(errcode.KindNotLeaderForPartition) }) }, "NOT_COORDINATOR", false},
		{"a dead disk", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = kind(errcode.KindKafkaStorageError) }) }, "NOT_COORDINATOR", false},
		{"too large", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = kind(errcode.KindMessageTooLarge) }) }, "UNKNOWN_SERVER_ERROR", false},
		{"something unheard of", func(p *fakeLog) { p.set(func(p *fakeLog) { p.refuse = errors.New("?") }) }, "UNKNOWN_SERVER_ERROR", false},
		{"somebody else appended", func(p *fakeLog) { p.set(func(p *fakeLog) { p.skip = 2 }) }, "NOT_COORDINATOR", true},
		{"a time-out", nil, "COORDINATOR_NOT_AVAILABLE", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.lead(1)
			w.active()
			w.do(put("a", "1"))
			parked := w.start(park)
			p := w.logs.of(0)
			if tt.fail != nil {
				tt.fail(p)
			} else {
				p.hold()
			}
			written := w.start(put("a", "2"))
			if tt.fail == nil {
				eventually(t, "it is written", func() bool { return p.contents()["a"] == "2" })
				p.failWaits(kind(errcode.KindRequestTimedOut))
			}
			want(t, "the writer", written, tt.want)
			want(t, "what was parked", parked, "NOT_COORDINATOR")
			p.commit(-1)
			w.active()
			expected := "1"
			if tt.inLog {
				expected = "2"
			}
			want(t, "the state after it", w.start(get("a")), expected)
			want(t, "the next write", w.start(put("a", "3")), expected)
			if got := p.contents()["a"]; got != "3" {
				t.Errorf("the log has %q, want 3", got)
			}
			if n := w.made(0); n != 2 {
				t.Errorf("got %d machines, want a second one", n)
			}
		})
	}
}

// While an append that was given up may yet be committed, nobody is answered from it.
func TestAppend_AfterATimeOut(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	p := w.logs.of(0)
	p.hold()
	written := w.start(put("a", "1"))
	eventually(t, "it is written", func() bool { return p.contents()["a"] == "1" })
	p.failWaits(&errcode.Error{Kind: errcode.KindRequestTimedOut})
	want(t, "the writer", written, "COORDINATOR_NOT_AVAILABLE")
	eventually(t, "it is read again", func() bool { return w.made(0) == 2 })
	want(t, "an operation", w.start(get("a")), "COORDINATOR_LOAD_IN_PROGRESS")
	p.commit(-1)
	w.active()
	want(t, "an operation later", w.start(get("a")), "1")
}

func TestAppend_OneIsNeverSplit(t *testing.T) {
	w := newWorld(t)
	w.limit = 1000
	w.lead(1)
	w.active()
	rec := func(key string, size int) coordlog.Record {
		return coordlog.NewRecord([]byte(key), []byte(strings.Repeat("x", size)))
	}
	got := w.do(func(fx coordlog.Effects, m *store, reply func(string)) {
		for _, recs := range [][]coordlog.Record{
			{rec("a", 400)},
			{rec("b", 200), rec("c", 200), rec("d", 200)}, // does not fit behind the first
			{rec("e", 100)},
			{rec("f", 900), rec("g", 100)}, // fits into no batch
			{},
		} {
			if err := fx.Append(recs...); err != nil {
				reply(errcode.Name(errcode.Of(err)) + fmt.Sprint(len(m.values)))
				return
			}
		}
		reply("")
	})
	if got.String() != "MESSAGE_TOO_LARGE5" {
		t.Errorf("got %s, want the last refused and the others there", got)
	}
	var counts []int32
	for _, b := range w.logs.of(0).batches {
		counts = append(counts, b.RecordCount())
		if len(b) > w.limit {
			t.Errorf("a batch of %d bytes", len(b))
		}
	}
	if diff := cmp.Diff([]int32{1, 4}, counts); diff != "" {
		t.Errorf("records of the batches (-want +got)\n%s", diff)
	}
}

// Records that only compressed fit into a batch are taken, as in Kafka.
func TestAppend_CompressedIsWhatCounts(t *testing.T) {
	w := newWorld(t, func(o *coordlog.Options[*store]) { o.Codec = compress.Gzip })
	w.limit = 1000
	w.lead(1)
	w.active()
	want(t, "what compresses well", w.start(put("a", strings.Repeat("x", 5000))), "")
	want(t, "what follows", w.start(put("b", "1")), "")
	noise := make([]byte, 5000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	want(t, "what does not", w.start(put("c", string(noise))), "MESSAGE_TOO_LARGE")
	if got := w.logs.of(0).batches; len(got) != 2 || got[0].Codec() != compress.Gzip {
		t.Errorf("got %d batches", len(got))
	}
}

func TestAppend_Transactional(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.do(func(fx coordlog.Effects, _ *store, reply func(string)) {
		for _, id := range []int64{-1, 7, 8, -1} {
			r := coordlog.NewRecord([]byte("a"), []byte("1"))
			r.ProducerID, r.Epoch = id, 3
			if err := fx.Append(r); err != nil {
				t.Error(err)
			}
		}
		reply("")
	})
	var got []string
	for _, b := range w.logs.of(0).batches {
		got = append(got, fmt.Sprint(b.IsTransactional(), b.ProducerID()))
	}
	if diff := cmp.Diff([]string{"false -1", "true 7", "true 8", "false -1"}, got); diff != "" {
		t.Errorf("batches (-want +got)\n%s", diff)
	}
}

func TestShard_BoundsWhatIsNotCommitted(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.logs.of(0).hold()
	value := strings.Repeat("x", 1<<20-1000)
	var pending []<-chan result
	for range 40 {
		pending = append(pending, w.start(put("a", value)))
	}
	want(t, "the last", pending[39], "COORDINATOR_LOAD_IN_PROGRESS")
	unanswered(t, "the first", pending[0])
	w.logs.of(0).commit(-1)
	want(t, "the first", pending[0], "")
	eventually(t, "there is room again", func() bool { return w.do(put("a", "1")).err == nil })
}

// A panic costs the machine, not the process.
func TestShard_Panic(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.do(put("a", "1"))
	parked := w.start(park)
	want(t, "who panics", w.start(func(fx coordlog.Effects, _ *store, _ func(string)) {
		if err := fx.Append(coordlog.NewRecord([]byte("a"), []byte("2"))); err != nil {
			t.Error(err)
		}
		panic("oops")
	}), "UNKNOWN_SERVER_ERROR")
	want(t, "what was parked", parked, "NOT_COORDINATOR")
	w.active()
	want(t, "the state after it", w.start(get("a")), "1")

	w.do(func(fx coordlog.Effects, _ *store, reply func(string)) {
		fx.Go(func() func(coordlog.Effects) { panic("in the background") })
		fx.SetTimer("t", fx.Now(), func(coordlog.Effects) { panic("in a timer") })
		reply("")
	})
	eventually(t, "the machine is replaced", func() bool { return w.made(0) >= 3 })
	w.active()
	want(t, "the state after it", w.start(get("a")), "1")
}

func TestShard_AMachineThatCannotReplayItsOwn(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.do(put("a", "1"))
	want(t, "the writer", w.start(func(fx coordlog.Effects, m *store, reply func(string)) {
		m.refuse = errors.New("no")
		err := fx.Append(coordlog.NewRecord([]byte("a"), []byte("2")))
		if again := fx.Append(coordlog.NewRecord([]byte("a"), []byte("3"))); again == nil {
			t.Error("a broken machine appends")
		}
		reply(errcode.Name(errcode.Of(err)))
	}), "UNKNOWN_SERVER_ERROR")
	w.active()
	want(t, "the state after it", w.start(get("a")), "1")
	if got := w.logs.of(0).contents()["a"]; got != "1" {
		t.Errorf("the log has %q", got)
	}
}

// Only the first answer of an operation counts.
func TestCall_AnswersOnce(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	done := w.start(func(_ coordlog.Effects, _ *store, reply func(string)) {
		reply("first")
		reply("second")
	})
	want(t, "the answer", done, "first")
	unanswered(t, "a second answer", done)
}

func TestCall_EndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client is gone")
	parked := make(chan struct{})
	go func() {
		<-parked
		cancel(gone)
	}()
	_, err := coordlog.Call(ctx, w.Runtime, 0, func(_ coordlog.Effects, m *store, reply func(string)) {
		m.parked = append(m.parked, reply)
		close(parked)
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
	want(t, "answering nobody", w.start(unpark("late")), "late")
	if got, err := coordlog.Call(t.Context(), w.Runtime, 0, get("a")); got != "" || err != nil {
		t.Error(got, err)
	}
}

// Whom a machine calls beside the callers of its operations waits for the commit as well.
func TestEffects_Reply(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	w.logs.of(0).hold()
	told := make(chan result, 2)
	w.start(func(fx coordlog.Effects, _ *store, _ func(string)) {
		fx.Reply(func() { told <- result{answer: "before"} })
		if err := fx.Append(coordlog.NewRecord([]byte("a"), []byte("1"))); err != nil {
			t.Error(err)
		}
		fx.Reply(func() { told <- result{answer: "after"} })
	})
	want(t, "before anything was appended", told, "before")
	unanswered(t, "after", told)
	w.logs.of(0).commit(-1)
	want(t, "after the commit", told, "after")
}

func TestEffects_Timers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.lead(1)
		synctest.Wait()
		begin := time.Now()
		var mu sync.Mutex
		var fired []string
		note := func(what string) func(coordlog.Effects) {
			return func(fx coordlog.Effects) {
				mu.Lock()
				defer mu.Unlock()
				fired = append(fired, fmt.Sprint(what, " at ", fx.Now().Sub(begin)))
			}
		}
		w.do(func(fx coordlog.Effects, _ *store, reply func(string)) {
			at := func(d time.Duration) time.Time { return fx.Now().Add(d) }
			fx.SetTimer("late", at(3*time.Second), note("late"))
			fx.SetTimer("early", at(time.Second), note("early"))
			fx.SetTimer("put off", at(time.Second/2), note("put off"))
			fx.SetTimer("put off", at(4*time.Second), note("put off"))
			fx.SetTimer("brought forward", at(time.Hour), note("brought forward"))
			fx.SetTimer("brought forward", at(2*time.Second), note("brought forward"))
			fx.SetTimer("cancelled", at(time.Second), note("cancelled"))
			fx.CancelTimer("cancelled")
			fx.CancelTimer("never set")
			fx.SetTimer("same time, first", at(5*time.Second), note("same time, first"))
			fx.SetTimer("same time, second", at(5*time.Second), note("same time, second"))
			fx.SetTimer("chain", at(6*time.Second), func(fx coordlog.Effects) {
				fx.SetTimer("chain", fx.Now().Add(time.Second), note("chain"))
			})
			fx.SetTimer("past", at(-time.Second), note("past"))
			reply("")
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if diff := cmp.Diff([]string{
			"past at 0s", "early at 1s", "brought forward at 2s", "late at 3s", "put off at 4s", "same time, first at 5s",
			"same time, second at 5s", "chain at 7s",
		}, fired); diff != "" {
			t.Errorf("timers (-want +got)\n%s", diff)
		}
	})
}

func TestEffects_TimersEndWithTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.lead(1)
		synctest.Wait()
		w.do(func(fx coordlog.Effects, _ *store, reply func(string)) {
			fx.SetTimer("t", fx.Now().Add(time.Second), func(coordlog.Effects) { t.Error("a timer of a machine that is gone") })
			reply("")
		})
		w.elect(self)
		time.Sleep(time.Minute)
		synctest.Wait()
	})
}

func TestEffects_Go(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	gate := make(chan struct{})
	parked := w.start(func(fx coordlog.Effects, m *store, reply func(string)) {
		m.parked = append(m.parked, reply)
		fx.Go(func() func(coordlog.Effects) {
			<-gate
			return func(coordlog.Effects) {
				for _, r := range m.parked {
					r("from the background")
				}
			}
		})
		fx.Go(func() func(coordlog.Effects) { return nil })
	})
	want(t, "others meanwhile", w.start(get("a")), "")
	unanswered(t, "who waits for it", parked)
	close(gate)
	want(t, "who waits for it", parked, "from the background")
}

// The results of background work are not given to another machine than the one that asked.
func TestEffects_GoOutlivesItsMachine(t *testing.T) {
	w := newWorld(t)
	w.lead(1)
	w.active()
	gate, finished := make(chan struct{}), make(chan struct{})
	w.do(func(fx coordlog.Effects, _ *store, reply func(string)) {
		fx.Go(func() func(coordlog.Effects) {
			<-gate
			defer close(finished)
			return func(coordlog.Effects) { t.Error("a result for a machine that is gone") }
		})
		reply("")
	})
	w.logs.of(0).set(func(p *fakeLog) { p.refuse = errors.New("?") })
	w.do(put("a", "1"))
	close(gate)
	<-finished
	w.active()
	want(t, "a write", w.start(put("a", "2")), "")
}

func TestRuntime_Post(t *testing.T) {
	w := newWorld(t)
	gate := make(chan struct{})
	w.logs.of(1).set(func(p *fakeLog) {
		p.reading = gate
		p.add(encode(1))
		p.committed = p.end
	})
	w.lead(2)
	w.active()
	ran := make(chan result, 2)
	w.Post(func(_ coordlog.Effects, m *store) { ran <- result{answer: fmt.Sprint(m.partition, m.values)} })
	want(t, "the one that is loaded", ran, "0 map[]")
	unanswered(t, "the one that is not", ran)
	close(gate)
	want(t, "the other, later", ran, "1 map[noise:noise]")
}

func TestRuntime_CloseIsIdempotent(t *testing.T) {
	w := newWorld(t)
	w.lead(3)
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	w.elect(self)
	if got := w.Partitions(); len(got) != 0 {
		t.Errorf("got %v after Close", got)
	}
}
