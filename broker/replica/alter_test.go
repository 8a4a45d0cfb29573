package replica_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// controller answers AlterPartition as the test says, one request after the other.
type controller struct {
	asked  chan *kmsg.AlterPartitionRequest
	answer chan func(*kmsg.AlterPartitionRequest) (kmsg.Response, error)
	other  func(kmsg.Request) (kmsg.Response, error) // of other requests
}

func newController() *controller {
	return &controller{
		asked: make(chan *kmsg.AlterPartitionRequest), answer: make(chan func(*kmsg.AlterPartitionRequest) (kmsg.Response, error)),
		other: func(req kmsg.Request) (kmsg.Response, error) { return req.ResponseKind(), nil },
	}
}

func (c *controller) Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	q, ok := req.(*kmsg.AlterPartitionRequest)
	if !ok {
		return c.other(req)
	}
	select {
	case c.asked <- q:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case answer := <-c.answer:
		return answer(q)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// next is the next request, as the members that it proposes for partition 0, with their broker epochs.
func (c *controller) next(t *testing.T) map[protocol.NodeID]protocol.BrokerEpoch {
	t.Helper()
	select {
	case q := <-c.asked:
		if q.BrokerID != int32(self) || q.BrokerEpoch != int64(epochOf(self)) || len(q.Topics) != 1 || q.Topics[0].TopicID != topicID(1) || len(q.Topics[0].Partitions) != 1 {
			t.Fatalf("asked %+v", q)
		}
		members := make(map[protocol.NodeID]protocol.BrokerEpoch)
		for _, m := range q.Topics[0].Partitions[0].NewEpochISR {
			members[protocol.NodeID(m.BrokerID)] = protocol.BrokerEpoch(m.BrokerEpoch)
		}
		return members
	case <-time.After(soon):
		t.Fatal("the controller is not asked")
		return nil
	}
}

// agree answers that everything is as proposed.
func agree(q *kmsg.AlterPartitionRequest) (kmsg.Response, error) {
	resp := q.ResponseKind().(*kmsg.AlterPartitionResponse)
	asked := &q.Topics[0].Partitions[0]
	p := kmsg.NewAlterPartitionResponseTopicPartition()
	p.Partition, p.LeaderID, p.LeaderEpoch, p.PartitionEpoch = asked.Partition, int32(self), asked.LeaderEpoch, asked.PartitionEpoch+1
	for _, m := range asked.NewEpochISR {
		p.ISR = append(p.ISR, m.BrokerID)
	}
	resp.Topics = []kmsg.AlterPartitionResponseTopic{{TopidID: q.Topics[0].TopicID, Partitions: []kmsg.AlterPartitionResponseTopicPartition{p}}}
	return resp, nil
}

func refuse(kind errcode.Kind) func(q *kmsg.AlterPartitionRequest) (kmsg.Response, error) {
	return func(q *kmsg.AlterPartitionRequest) (kmsg.Response, error) {
		resp, err := agree(q)
		resp.(*kmsg.AlterPartitionResponse).Topics[0].Partitions[0].ErrorCode = int16(kind)
		return resp, err
	}
}

func members(ids ...protocol.NodeID) map[protocol.NodeID]protocol.BrokerEpoch {
	m := make(map[protocol.NodeID]protocol.BrokerEpoch)
	for _, id := range ids {
		m[id] = epochOf(id)
	}
	return m
}

func TestISR_ExpandsWhenAFollowerHasCaughtUp(t *testing.T) {
	c := newController()
	w := newWorldWith(t, replica.Options{Controller: c})
	w.replicate(1)
	w.mustProduceAcked(batch("a"))
	w.follow(2, 0)
	w.follow(2, 1)
	if d := cmp.Diff(members(1, 2), c.next(t)); d != "" {
		t.Fatal(d)
	}
	// The controller may have agreed already: the new member counts (I9).
	done := w.start(-1, soon, to(tp0, batch("b")))
	wait(t, w.start(1, soon, to(tp0, batch("c"))))
	if isDone(done) || w.highWatermark() != 1 {
		t.Fatalf("high watermark %d passes a member that is proposed", w.highWatermark())
	}
	c.answer <- agree
	w.follow(2, 3)
	wait(t, done)
	eventually(t, "the answer is noted", func() bool { return w.Stats().ISRExpands == 1 })
	if s := w.stats(); s.ISR != 2 {
		t.Errorf("got %d in sync, want 2 before the metadata says so", s.ISR)
	}
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1, 2)})
	if s := w.stats(); s.ISR != 2 {
		t.Errorf("got %d in sync, want 2", s.ISR)
	}
}

// stats describes partition 0.
func (w *world) stats() (s replica.LeaderStats) {
	w.Each(func(one replica.LeaderStats) { s = one })
	return s
}

func TestManager_Followers(t *testing.T) {
	w := newWorld(t)
	if got := w.Followers(); len(got) > 0 {
		t.Errorf("%+v before anything is led", got)
	}
	w.replicate(1, 2)
	w.follow(2, 0)
	w.start(-1, soon, to(tp0, batch("a", "b", "c")))
	eventually(t, "what was appended", func() bool { return w.stats().LogEndOffset == 3 })
	want := []replica.FollowerStats{{ID: 2, MaxLag: 3}, {ID: 3, OutOfSync: 1, MaxLag: -1}}
	if d := cmp.Diff(want, w.Followers()); d != "" {
		t.Error(d)
	}
	w.follow(2, 3)
	w.follow(3, 1)
	want = []replica.FollowerStats{{ID: 2}, {ID: 3, OutOfSync: 1, MaxLag: 2}}
	if d := cmp.Diff(want, w.Followers()); d != "" {
		t.Error(d)
	}
}

func TestISR_ShrinksWhenAFollowerIsLate(t *testing.T) {
	c := newController()
	w := newWorldWith(t, replica.Options{Controller: c, MaxLag: 20 * time.Millisecond})
	w.minISR.Store(1)
	w.replicate(1, 2)
	parts := to(tp0, batch("a"))
	done := w.start(-1, soon, parts)
	if d := cmp.Diff(members(1), c.next(t)); d != "" {
		t.Fatal(d)
	}
	if isDone(done) {
		t.Fatal("acknowledged before the controller has agreed")
	}
	c.answer <- agree
	wait(t, done)
	if parts[0].Result.Err != nil || w.highWatermark() != 1 || w.Stats().UnderReplicated != 1 {
		t.Errorf("got %v, high watermark %d, %+v", parts[0].Result.Err, w.highWatermark(), w.Stats())
	}
	eventually(t, "it is counted", func() bool { return w.Stats().ISRShrinks == 1 })
}

func TestISR_AsksAgainUntilItIsDecided(t *testing.T) {
	c := newController()
	w := newWorldWith(t, replica.Options{Controller: c})
	w.replicate(1)
	w.follow(2, 0)
	lost := func(*kmsg.AlterPartitionRequest) (kmsg.Response, error) { return nil, errors.New("lost") }
	stale := func(q *kmsg.AlterPartitionRequest) (kmsg.Response, error) {
		resp := q.ResponseKind().(*kmsg.AlterPartitionResponse)
		resp.ErrorCode = int16(errcode.KindStaleBrokerEpoch)
		return resp, nil
	}
	silent := func(q *kmsg.AlterPartitionRequest) (kmsg.Response, error) { return q.ResponseKind(), nil }
	for _, answer := range []func(*kmsg.AlterPartitionRequest) (kmsg.Response, error){lost, stale, silent, refuse(errcode.KindNotController)} {
		if d := cmp.Diff(members(1, 2), c.next(t)); d != "" {
			t.Fatal(d)
		}
		c.answer <- answer
	}
	c.next(t)
	c.answer <- agree
	eventually(t, "it is in sync", func() bool { return w.stats().ISR == 2 })
}

// INELIGIBLE_REPLICA takes the proposal back: the next fetch may propose again.
func TestISR_ProposesAgainAfterARefusal(t *testing.T) {
	c := newController()
	w := newWorldWith(t, replica.Options{Controller: c})
	w.replicate(1)
	w.follow(2, 0)
	c.next(t)
	c.answer <- refuse(errcode.KindIneligibleReplica)
	eventually(t, "the refusal is noted", func() bool { return w.Stats().FailedISRUpdates == 1 })
	w.follow(2, 0)
	c.next(t)
	c.answer <- agree
	eventually(t, "it is in sync", func() bool { return w.stats().ISR == 2 })
}

// The metadata overtakes the answer, which then says nothing.
func TestISR_MetadataComesBeforeTheAnswer(t *testing.T) {
	c := newController()
	w := newWorldWith(t, replica.Options{Controller: c})
	w.replicate(1)
	w.follow(2, 0)
	c.next(t)
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1, 2)})
	w.publish(&metadata.PartitionChangeRecord{TopicID: topicID(1), ISR: nodes(1)})
	c.answer <- agree
	w.follow(2, 0) // proposes for the newer partition epoch
	c.next(t)
	if s := w.stats(); s.ISR != 1 {
		t.Errorf("got %d in sync, want 1: an answer that is older than the metadata counts", s.ISR)
	}
	c.answer <- agree
	eventually(t, "it is in sync", func() bool { return w.stats().ISR == 2 })
}

func TestISR_TakesNobodyInWho(t *testing.T) {
	tests := []struct {
		name   string
		before func(w *world)
		fetch  func(w *world)
	}{
		{"is fenced", func(w *world) {
			w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 2, Epoch: epochOf(2), Fenced: new(true)})
		}, func(w *world) { w.follow(2, 1) }},
		{"shuts down", func(w *world) {
			w.publish(&metadata.BrokerRegistrationChangeRecord{ID: 2, Epoch: epochOf(2), InControlledShutdown: new(true)})
		}, func(w *world) { w.follow(2, 1) }},
		{"has not reached the high watermark", func(*world) {}, func(w *world) { w.follow(2, 0) }},
		{"has registered in an epoch that is not known yet", func(*world) {}, func(w *world) {
			o := follower(2)
			o.BrokerEpoch++
			w.read(o, from(tp0, 1))
		}},
		{"has not reached the start of the leader epoch", func(w *world) {
			w.minISR.Store(2) // the high watermark stays
			w.mustProduceAcked(batch("b"))
			w.elect(topicID(1), self)
			w.mustProduceAcked(batch("c"))
		}, func(w *world) { w.follow(2, 1) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newController()
			w := newWorldWith(t, replica.Options{Controller: c})
			w.replicate(1)
			w.mustProduceAcked(batch("a"))
			tt.before(w)
			tt.fetch(w)
			w.follow(3, w.stats().LogEndOffset) // what is asked first is for broker 3
			if d := cmp.Diff(members(1, 3), c.next(t)); d != "" {
				t.Error(d)
			}
		})
	}
}
