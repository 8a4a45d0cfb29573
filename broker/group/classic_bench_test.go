package group

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
)

// benchGroup is a stable group of n members.
type benchGroup struct {
	b          *testing.B
	shard      *coordtest.Shard[*State]
	members    []string
	generation int32
	leader     int
}

func newBenchGroup(b *testing.B, n int) *benchGroup {
	settings := classicSettings()
	settings.InitialRebalanceDelay = 0
	g := &benchGroup{b: b, members: make([]string, n)}
	g.shard = coordtest.New(NewState(Env{
		Settings: func() Settings { return settings }, Rand: rand.New(rand.NewPCG(1, 2)), Logger: slog.New(slog.DiscardHandler),
	}))
	for i := range g.members {
		g.join(i, 3)
	}
	g.shard.Advance(0)
	g.sync()
	return g
}

// join has a member join, and the others who have not joined yet wait for it.
func (g *benchGroup) join(i int, version int16) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID = version, "g", g.members[i]
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 10_000, 60_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", subscription("orders", "payments")
	req.Protocols = append(req.Protocols, p)
	g.shard.Do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, Caller{ClientID: "bench"}, req, func(resp *kmsg.JoinGroupResponse) {
			if resp.ErrorCode != 0 {
				g.b.Fatalf("join: code %d", resp.ErrorCode)
			}
			g.members[i], g.generation = resp.MemberID, resp.Generation
			if resp.LeaderID == resp.MemberID {
				g.leader = i
			}
		})
	})
}

// sync has all members sync, the leader last.
func (g *benchGroup) sync() {
	synced := 0
	for i := range g.members {
		if i != g.leader {
			g.syncOne(i, &synced)
		}
	}
	g.syncOne(g.leader, &synced)
	if synced != len(g.members) {
		g.b.Fatalf("%d members have an assignment", synced)
	}
	g.shard.Log = g.shard.Log[:0]
}

func (g *benchGroup) syncOne(i int, synced *int) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = 3, "g", g.members[i], g.generation
	if i == g.leader {
		for _, id := range g.members {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = id, make([]byte, 64)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	g.shard.Do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{}, req, func(resp *kmsg.SyncGroupResponse) {
			if resp.ErrorCode != 0 {
				g.b.Fatalf("sync: code %d", resp.ErrorCode)
			}
			*synced++
		})
	})
}

func BenchmarkClassicHeartbeat(b *testing.B) {
	g := newBenchGroup(b, 1000)
	reqs := make([]*kmsg.HeartbeatRequest, len(g.members))
	for i, id := range g.members {
		reqs[i] = kmsg.NewPtrHeartbeatRequest()
		reqs[i].Group, reqs[i].MemberID, reqs[i].Generation = "g", id, g.generation
	}
	s := g.shard.Machine
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Heartbeat(g.shard, Caller{}, reqs[i%len(reqs)], func(resp *kmsg.HeartbeatResponse) {
			if resp.ErrorCode != 0 {
				b.Fatalf("heartbeat: code %d", resp.ErrorCode)
			}
		})
	}
}

// BenchmarkClassicRebalance has the leader force a rebalance, and the others follow. The time per member is about the same in
// groups of every size.
func BenchmarkClassicRebalance(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprintf("members=%d", n), func(b *testing.B) {
			g := newBenchGroup(b, n)
			b.ReportAllocs()
			for b.Loop() {
				g.join(g.leader, 3)
				for i := range g.members {
					if i != g.leader {
						g.join(i, 3)
					}
				}
				g.sync()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/member")
		})
	}
}
