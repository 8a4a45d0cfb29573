package replica_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// await waits for a read.
func (w *world) await(o replica.ReadOptions, deadline time.Duration, parts ...replica.ReadPartition) (<-chan struct{}, replica.Wait) {
	done := make(chan struct{})
	var calls atomic.Int32
	wait := w.AwaitRead(o, parts, time.Now().Add(deadline), func() {
		if calls.Add(1) > 1 {
			w.t.Error("done is called twice")
			return
		}
		close(done)
	})
	return done, wait
}

func TestAwaitRead_EndsWith(t *testing.T) {
	id := topicID(1)
	size := len(batch("0123456789"))
	tests := []struct {
		name     string
		min      int
		offset   int64
		deadline time.Duration
		before   func(w *world) // does not end it
		end      func(w *world, r replica.Wait)
	}{
		{name: "new records", min: 1, offset: 1, end: func(w *world, _ replica.Wait) { w.mustProduce(tp0, batch("b")) }},
		{
			name: "enough bytes", min: 2 * size, offset: 1,
			before: func(w *world) { w.mustProduce(tp0, batch("0123456789")) },
			end:    func(w *world, _ replica.Wait) { w.mustProduce(tp0, batch("0123456789")) },
		},
		{
			name: "the sync of new records", min: 1, offset: 1,
			before: func(w *world) { w.logs.hold(); w.start(0, soon, to(tp0, batch("b"))) },
			end:    func(w *world, _ replica.Wait) { w.logs.release() },
		},
		{name: "the deadline", min: 1, offset: 1, deadline: time.Millisecond, end: func(*world, replica.Wait) {}},
		{name: "cancellation", min: 1, offset: 1, end: func(_ *world, r replica.Wait) { r.Cancel() }},
		{name: "another leader", min: 1, offset: 1, end: func(w *world, _ replica.Wait) { w.elect(id, 2) }},
		{name: "a newer epoch", min: 1, offset: 1, end: func(w *world, _ replica.Wait) { w.elect(id, self) }},
		{name: "deletion", min: 1, offset: 1, end: func(w *world, _ replica.Wait) { w.publish(&metadata.RemoveTopicRecord{ID: id}) }},
		{name: "a dead disk", min: 1, offset: 1, end: func(w *world, _ replica.Wait) {
			w.logs.breakSyncs(errors.New("EIO"))
			w.start(0, soon, to(tp0, batch("b")))
		}},
		{name: "deleted records", min: 1 << 20, offset: 0, end: func(w *world, _ replica.Wait) {
			if _, err := w.DeleteRecords(tp0, 1); err != nil {
				w.t.Error(err)
			}
		}},
		{name: "the end of the manager", min: 1, offset: 1, end: func(w *world, _ replica.Wait) { w.Close() }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.logs.failed = w.DirFailed
			w.create(topic, id, 2)
			w.mustProduce(tp0, batch("a"))
			o := consumer
			o.MinBytes = tt.min
			if tt.deadline == 0 {
				tt.deadline = 10 * soon
			}
			q := from(tp0, tt.offset)
			q.CurrentLeaderEpoch = 0
			done, r := w.await(o, tt.deadline, q, from(protocol.TopicPartition{Topic: topic, Partition: 1}, 0))
			if tt.before != nil {
				tt.before(w)
			}
			if tt.deadline > soon && isDone(done) {
				t.Fatal("done before anything happened")
			}
			tt.end(w, r)
			wait(t, done)
		})
	}
}

func TestAwaitRead_DoneAtOnce(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	for name, q := range map[string]replica.ReadPartition{
		"records are there":  from(tp0, 0),
		"out of range":       from(tp0, 2),
		"an unknown topic":   from(protocol.TopicPartition{Topic: "nope"}, 0),
		"a diverging epoch":  func() replica.ReadPartition { q := from(tp0, 1); q.LastFetchedEpoch = 9; return q }(),
		"an outdated leader": func() replica.ReadPartition { q := from(tp0, 1); q.CurrentLeaderEpoch = 9; return q }(),
	} {
		done, r := w.await(consumer, soon, q)
		if !isDone(done) || r != nil {
			t.Errorf("%s: got done %v and wait %v, want it done and no wait", name, isDone(done), r)
		}
	}
	if s := w.Stats(); s.DelayedFetches != 0 {
		t.Errorf("%d waits are left", s.DelayedFetches)
	}
}

func TestEnough(t *testing.T) {
	w := newWorld(t)
	w.create(topic, topicID(1), 1)
	w.mustProduce(tp0, batch("a"))
	none := w.read(consumer, from(tp0, 1))
	some := w.read(consumer, from(tp0, 0))
	failed := w.read(consumer, from(tp0, 9))
	tests := []struct {
		name    string
		min     int
		results []replica.ReadResult
		want    bool
	}{
		{"nothing asked for", 1, nil, true},
		{"nothing there", 1, []replica.ReadResult{none}, false},
		{"nothing wanted", 0, []replica.ReadResult{none}, true},
		{"something there", 1, []replica.ReadResult{none, some}, true},
		{"too little", 1 << 20, []replica.ReadResult{none, some}, false},
		{"an error", 1 << 20, []replica.ReadResult{none, failed}, true},
	}
	for _, tt := range tests {
		if got := w.Enough(replica.ReadOptions{MinBytes: tt.min}, tt.results); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}
