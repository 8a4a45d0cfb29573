package group

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// benchWorld is a coordinator with 100 topics of 100 partitions.
func benchWorld(tb testing.TB) *consumerWorld {
	tb.Helper()
	w := newConsumerWorld()
	var records []metadata.Record
	for i := range 100 {
		id := protocol.TopicID{14: 1, 15: byte(i)}
		records = append(records, &metadata.TopicRecord{Name: fmt.Sprintf("t%02d", i), ID: id})
		records = append(records, newPartitions(id, 0, 100)...)
	}
	b := image.NewBuilder(w.image)
	if err := b.Apply(1, &metadata.Command{Records: records}); err != nil {
		tb.Fatal(err)
	}
	_, d := b.Build()
	w.image = d.Next
	return w
}

// benchMember is a member that takes part as fast as it can.
type benchMember struct {
	w   *consumerWorld
	req *kmsg.ConsumerGroupHeartbeatRequest
}

func newBenchMember(w *consumerWorld, n int) *benchMember {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.RebalanceTimeoutMillis = 1, "g", fmt.Sprintf("member-%04d", n), 60_000
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for i := range 100 {
		req.SubscribedTopicNames = append(req.SubscribedTopicNames, fmt.Sprintf("t%02d", i))
	}
	return &benchMember{w: w, req: req}
}

// beat sends a heartbeat, and takes its answer for done. It reports whether there was something new.
func (m *benchMember) beat(tb testing.TB) (changed bool) {
	var got *kmsg.ConsumerGroupHeartbeatResponse
	m.w.shard.Do(func(fx coordlog.Effects, s *State) {
		s.ConsumerGroupHeartbeat(fx, Caller{ClientID: "c", ClientHost: "/127.0.0.1"}, m.req, func(r *kmsg.ConsumerGroupHeartbeatResponse) { got = r })
	})
	if got.ErrorCode != 0 {
		tb.Fatal(*got.ErrorMessage)
	}
	changed = got.MemberEpoch != m.req.MemberEpoch
	m.req.MemberEpoch, m.req.RebalanceTimeoutMillis, m.req.SubscribedTopicNames = got.MemberEpoch, -1, nil
	m.req.Topics = nil
	if got.Assignment != nil {
		changed = true
		m.req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range got.Assignment.Topics {
			m.req.Topics = append(m.req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return changed
}

// settled lets members take part until nothing is new, and returns how many heartbeats that took.
func settled(tb testing.TB, members []*benchMember) (beats int) {
	for changed := true; changed; {
		changed = false
		for _, m := range members {
			changed = m.beat(tb) || changed
			beats++
		}
	}
	return beats
}

func settledGroup(tb testing.TB, members int) (*consumerWorld, []*benchMember) {
	tb.Helper()
	w := benchWorld(tb)
	w.consumer.AssignmentInterval = time.Second // one target assignment for all
	var out []*benchMember
	for n := range members {
		out = append(out, newBenchMember(w, n))
		out[n].beat(tb)
	}
	w.shard.Advance(time.Second)
	settled(tb, out)
	if state := w.shard.Machine.groups["g"].state(); state != "Stable" {
		tb.Fatalf("the group is %s", state)
	}
	w.consumer.AssignmentInterval = 0
	return w, out
}

func BenchmarkConsumerHeartbeat(b *testing.B) {
	w, members := settledGroup(b, 1000)
	m := members[500]
	reply := func(*kmsg.ConsumerGroupHeartbeatResponse) {}
	b.ReportAllocs()
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		for b.Loop() {
			s.ConsumerGroupHeartbeat(fx, Caller{ClientID: "c", ClientHost: "/127.0.0.1"}, m.req, reply)
		}
	})
}

// BenchmarkConsumerJoin is the join of the 1,000th member, with the target assignment that it leads to.
func BenchmarkConsumerJoin(b *testing.B) {
	w, _ := settledGroup(b, 999)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		next := reloaded(b, w)
		m := newBenchMember(next, 999)
		b.StartTimer()
		m.beat(b)
	}
}

// BenchmarkConsumerRebalance is a rebalance from 999 to 1,000 members, with every heartbeat that it takes until all own what they are
// to own.
func BenchmarkConsumerRebalance(b *testing.B) {
	w, members := settledGroup(b, 999)
	b.ReportAllocs()
	beats := 0
	for b.Loop() {
		b.StopTimer()
		next := reloaded(b, w)
		all := make([]*benchMember, 0, 1000)
		for _, m := range members {
			req := *m.req
			all = append(all, &benchMember{w: next, req: &req})
		}
		b.StartTimer()
		all = append(all, newBenchMember(next, 999))
		all[999].beat(b)
		beats += settled(b, all)
	}
	b.ReportMetric(float64(beats)/float64(b.N), "heartbeats/op")
}

// BenchmarkConsumerLoad replays a group of 1,000 members.
func BenchmarkConsumerLoad(b *testing.B) {
	w, _ := settledGroup(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		reloaded(b, w)
	}
}

// reloaded returns the same world with another coordinator, which has loaded a compacted log.
func reloaded(tb testing.TB, w *consumerWorld) *consumerWorld {
	tb.Helper()
	before := *w.shard
	before.Log = compacted(w.shard.Log)
	next := *w
	loaded, err := before.Reload(next.machine())
	if err != nil {
		tb.Fatal(err)
	}
	next.shard = loaded
	return &next
}

// compacted returns the last record of each key.
func compacted(log []coordlog.Record) []coordlog.Record {
	last := make(map[string]int, len(log))
	for i, r := range log {
		last[string(r.Key)] = i
	}
	var out []coordlog.Record
	for i, r := range log {
		if last[string(r.Key)] == i && r.Value != nil {
			out = append(out, r)
		}
	}
	return out
}
