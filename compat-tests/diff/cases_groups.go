package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func findCoordinatorCases() []Case {
	return each("FindCoordinator", 0, 6, func(s *Session, v int16) {
		ask := func(step string, kind int8, keys ...string) {
			req := withVersion(kmsg.NewPtrFindCoordinatorRequest(), v)
			req.CoordinatorType, req.CoordinatorKeys = kind, keys
			if len(keys) > 0 {
				req.CoordinatorKey = keys[0]
			}
			s.Send(step, req)
		}
		ask("a group", 0, s.Group("g"))
		ask("an empty key", 0, "")
		ask("a key of signs", 0, "ü/ \n*")
		ask("a long key", 0, strings.Repeat("x", 5000))
		if v >= 1 {
			ask("an unknown type", 7, "x")
			ask("type -1", -1, "x")
		}
		if v >= 4 {
			ask("three groups", 0, "a", "b", "c")
			ask("a group twice", 0, "a", "a")
			ask("no groups", 0)
		}
	})
}

func joinGroupCases() []Case {
	out := each("JoinGroup/life", 0, 9, func(s *Session, v int16) {
		s.CreateTopic("t", 4)
		t := s.Topic("t")
		a, b := s.classic("a", "g", v, t), s.classic("b", "g", v, t)
		a.join("joins")
		s.describe("joined", a.group)
		a.sync("syncs", map[*classic][]byte{a: assignment(t, 0, 1, 2, 3)})
		s.describe("synced", a.group)
		a.heartbeat("heartbeat")
		a.sync("syncs again", map[*classic][]byte{a: assignment(t, 0)})
		waiting := b.beginJoin()
		a.heartbeatUntil("is told to join again", rebalanceInProgess)
		s.describe("rebalancing", a.group)
		a.sync("syncs into the rebalance", nil)
		again := a.beginJoin()
		ja, jb := a.wait(again), b.wait(waiting)
		a.show("joins again", ja)
		b.show("joins", jb)
		s.describe("joined by two", a.group)
		held := s.Begin(b.name, b.syncRequest(nil))
		held.Held("b: waits for the leader")
		a.sync("shares", map[*classic][]byte{a: assignment(t, 0, 1), b: assignment(t, 2, 3)})
		held.Record("b: has its share")
		s.describe("shared", a.group)
		b.join("joins again with the same")
		b.sync("syncs with the same", nil)
		b.protocols[0].Metadata = subscription("another")
		waiting = b.beginJoin()
		a.heartbeatUntil("is told of the new metadata", rebalanceInProgess)
		again = a.beginJoin()
		ja, jb = a.wait(again), b.wait(waiting)
		a.show("joins for the new metadata", ja)
		b.show("joins with new metadata", jb)
		a.sync("shares once more", map[*classic][]byte{a: assignment(t, 0, 1, 2, 3)})
		b.sync("has nothing", nil)
		b.leave("leaves")
		a.heartbeatUntil("is told of the leaving", rebalanceInProgess)
		a.join("is alone")
		a.leave("leaves")
		s.describe("empty", a.group)
		a.heartbeat("heartbeat of one who left")
		a.id = ""
		a.join("comes back")
	})
	out = append(out, each("JoinGroup/without an id", 4, 9, func(s *Session, v int16) {
		a := s.classic("a", "g", v, "t")
		r, _ := a.send("is given an id", a.joinRequest()).(*kmsg.JoinGroupResponse)
		a.named(r.MemberID)
		a.join("joins with it")
		s.describe("joined", a.group)
	})...)
	out = append(out, each("JoinGroup/refused", 0, 9, func(s *Session, v int16) {
		refused := func(step string, edit func(m *classic, r *kmsg.JoinGroupRequest)) {
			m := s.classic(step, "refused "+step, v, "t")
			r := m.joinRequest()
			edit(m, r)
			m.send("answer", r)
		}
		refused("empty group", func(_ *classic, r *kmsg.JoinGroupRequest) { r.Group = "" })
		for _, n := range []int32{999, -1, 0, 1800001} {
			refused(fmt.Sprintf("session timeout %d", n), func(_ *classic, r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = n })
		}
		refused("unknown member", func(_ *classic, r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" })
		refused("no protocol type", func(_ *classic, r *kmsg.JoinGroupRequest) { r.ProtocolType = "" })
		refused("no protocols", func(_ *classic, r *kmsg.JoinGroupRequest) { r.Protocols = nil })
		refused("neither", func(_ *classic, r *kmsg.JoinGroupRequest) { r.ProtocolType, r.Protocols = "", nil })
		if v >= 5 {
			refused("empty instance id", func(_ *classic, r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("") })
			refused("bad instance id", func(_ *classic, r *kmsg.JoinGroupRequest) { r.InstanceID = ptr("a/b") })
			refused("long instance id", func(_ *classic, r *kmsg.JoinGroupRequest) { r.InstanceID = ptr(strings.Repeat("x", 250)) })
			refused("unknown member with an instance id", func(_ *classic, r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "nobody", ptr("i") })
		}
		s.describe("what is left", s.Group("refused unknown member"))
		a := s.classic("a", "g", v).speaks("consumer", "x", "y").join("")
		a.sync("", nil)
		into := func(step string, kind string, names ...string) {
			m := s.classic(step, "g", v).speaks(kind, names...)
			m.send("answer", m.joinRequest())
		}
		into("other type", "connect", "x")
		into("no common protocol", "consumer", "z")
		into("no type", "", "x")
		m := s.classic("unknown member of a group", "g", v).speaks("consumer", "x")
		m.id = "nobody"
		m.send("answer", m.joinRequest())
		a.protocols = a.protocols[:1]
		a.protocol = "connect"
		a.send("joins again as another type", a.joinRequest())
		a.protocol = "consumer"
		a.heartbeat("is still there")
	})...)
	out = append(out, each("JoinGroup/vote", 0, 9, func(s *Session, v int16) {
		a, b, c := s.classic("a", "g", v).speaks("thing", "x", "y", "z"), s.classic("b", "g", v).speaks("thing", "y", "z"), s.classic("c", "g", v).speaks("thing", "z", "y", "x")
		a.join("alone")
		a.sync("alone", map[*classic][]byte{a: []byte("all")})
		s.rebalance("of two", []*classic{b}, []*classic{a})
		a.sync("two", map[*classic][]byte{a: []byte("a's"), b: []byte("b's")})
		b.sync("two", nil)
		s.rebalance("of three", []*classic{c}, []*classic{a, b})
		s.describe("joined", a.group)
		a.sync("three", map[*classic][]byte{b: []byte("all")})
		b.sync("three", nil)
		c.sync("three", nil)
		s.describe("shared", a.group)
	})...)
	out = append(out, each("JoinGroup/full", 0, 9, func(s *Session, v int16) {
		var all []*classic
		for i := range groupMaxSize {
			m := s.classic(fmt.Sprint("m", i), "g", v, "t")
			s.rebalance("", []*classic{m}, all)
			all = append(all, m)
		}
		late := s.classic("late", "g", v, "t")
		late.send("one too many", late.joinRequest())
		late.id = "nobody"
		late.send("one too many, with an id", late.joinRequest())
		s.describe("members", all[0].group)
	})...)
	out = append(out, each("JoinGroup/static", 5, 9, func(s *Session, v int16) {
		s.CreateTopic("t", 1)
		t := s.Topic("t")
		a, b := s.classic("a", "g", v, t).static("one"), s.classic("b", "g", v, t).static("two")
		both := append(a.protocols, kmsg.JoinGroupRequestProtocol{Name: "roundrobin", Metadata: subscription(t)})
		a.protocols, b.protocols = both, both
		a.join("joins")
		a.sync("syncs", map[*classic][]byte{a: []byte("all")})
		s.rebalance("of two", []*classic{b}, []*classic{a})
		a.sync("shares", map[*classic][]byte{a: []byte("a's"), b: []byte("b's")})
		b.sync("has its share", nil)
		again := s.classic("b again", "g", v).static("two")
		again.protocols = both
		again.join("comes back")
		again.sync("syncs", nil)
		b.heartbeat("is fenced")
		b.sync("is fenced", nil)
		b.send("joins and is fenced", b.joinRequest())
		commit := commitRequest(min(v+2, 9), b.group, t)
		commit.Generation, commit.MemberID, commit.InstanceID = b.generation, b.id, b.instance
		b.send("commits and is fenced", commit)
		b.leave("leaves and is fenced")
		wrong := s.classic("wrong", "g", v, t).static("two")
		wrong.id, wrong.generation = "nobody", again.generation
		wrong.heartbeat("with an id of its own")
		wrong.instance = ptr("three")
		wrong.heartbeat("with an unknown instance")
		wrong.send("joins with an id and an unknown instance", wrong.joinRequest())
		s.describe("as before", a.group)
		leader := s.classic("a again", "g", v).static("one")
		leader.protocols = both
		leader.join("the leader comes back")
		s.describe("after the leader", a.group)
		leader.sync("syncs", map[*classic][]byte{leader: []byte("a's")})
		same := s.classic("b same", "g", v).static("two")
		same.protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: subscription("another")}, both[1]}
		same.join("comes back with another subscription")
		leader.heartbeat("is told of nothing")
		changed := s.classic("b changed", "g", v).static("two")
		changed.protocols = []kmsg.JoinGroupRequestProtocol{{Name: "roundrobin", Metadata: subscription(t)}}
		p := changed.beginJoin()
		leader.heartbeatUntil("is told of the change", rebalanceInProgess)
		q := leader.beginJoin()
		jc, jl := changed.wait(p), leader.wait(q)
		changed.show("comes back with another protocol", jc)
		leader.show("joins again", jl)
		same.heartbeat("is fenced")
		s.describe("at the end", a.group)
	})...)
	return out
}

func syncGroupCases() []Case {
	return each("SyncGroup", 0, 5, func(s *Session, v int16) {
		jv := min(v+4, 9)
		unknown := s.classic("unknown", "unknown", jv, "t")
		unknown.version, unknown.id, unknown.generation = v, "nobody", 1
		unknown.sync("unknown group", nil)
		unknown.group = ""
		unknown.sync("empty group", nil)
		a, b := s.classic("a", "g", jv, "t"), s.classic("b", "g", jv, "t")
		a.join("")
		s.rebalance("", []*classic{b}, []*classic{a})
		a.version, b.version = v, v
		try := func(step string, edit func(r *kmsg.SyncGroupRequest)) {
			r := a.syncRequest(map[*classic][]byte{a: []byte("a's"), b: []byte("b's")})
			edit(r)
			s.onto(step, func() { s.Send(step, r) })
		}
		wrong := func(step string) {
			try(step+": unknown member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "nobody" })
			try(step+": empty member", func(r *kmsg.SyncGroupRequest) { r.MemberID = "" })
			try(step+": generation before", func(r *kmsg.SyncGroupRequest) { r.Generation-- })
			try(step+": generation after", func(r *kmsg.SyncGroupRequest) { r.Generation++ })
			try(step+": generation -1", func(r *kmsg.SyncGroupRequest) { r.Generation = -1 })
			if v >= 3 {
				try(step+": unknown instance", func(r *kmsg.SyncGroupRequest) { r.InstanceID = ptr("x") })
			}
			if v >= 5 {
				try(step+": another protocol type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = ptr("connect") })
				try(step+": another protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = ptr("x") })
				try(step+": no protocol type", func(r *kmsg.SyncGroupRequest) { r.ProtocolType = nil })
				try(step+": no protocol", func(r *kmsg.SyncGroupRequest) { r.Protocol = nil })
			}
		}
		wrong("joined")
		p := s.Begin(b.name, b.syncRequest(nil))
		try("the leader, with a share for nobody", func(r *kmsg.SyncGroupRequest) {
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: "nobody", MemberAssignment: []byte("x")})
		})
		p.Record("b: has its share")
		s.describe("shared", a.group)
		wrong("shared")
		b.sync("again", nil)
		try("the leader shares anew, too late", func(r *kmsg.SyncGroupRequest) { r.GroupAssignment[0].MemberAssignment = []byte("new") })
		c := s.classic("c", "g", 9, "t")
		late := c.beginJoin()
		a.heartbeatUntil("is told to join", rebalanceInProgess)
		wrong("rebalancing")
		b.sync("into the rebalance", nil)
		a.leave("leaves")
		b.leave("leaves")
		_, err := late.Answer()
		s.must(err)
		b.sync("after it left", nil)
	})
}

func heartbeatCases() []Case {
	return each("Heartbeat", 0, 4, func(s *Session, v int16) {
		unknown := s.classic("unknown", "unknown", v, "t")
		unknown.id, unknown.generation = "nobody", 1
		unknown.heartbeat("unknown group")
		unknown.group = ""
		unknown.heartbeat("empty group")
		a := s.classic("a", "g", 9, "t")
		try := func(step string, edit func(r *kmsg.HeartbeatRequest)) {
			r := a.heartbeatRequest()
			r.SetVersion(v)
			edit(r)
			s.Send(step, r)
		}
		all := func(state string) {
			try(state+": right", func(*kmsg.HeartbeatRequest) {})
			try(state+": unknown member", func(r *kmsg.HeartbeatRequest) { r.MemberID = "nobody" })
			try(state+": empty member", func(r *kmsg.HeartbeatRequest) { r.MemberID = "" })
			try(state+": generation before", func(r *kmsg.HeartbeatRequest) { r.Generation-- })
			try(state+": generation after", func(r *kmsg.HeartbeatRequest) { r.Generation++ })
			if v >= 3 {
				try(state+": unknown instance", func(r *kmsg.HeartbeatRequest) { r.InstanceID = ptr("x") })
				try(state+": empty instance", func(r *kmsg.HeartbeatRequest) { r.InstanceID = ptr("") })
			}
		}
		a.join("")
		all("completing")
		a.sync("", map[*classic][]byte{a: []byte("all")})
		all("stable")
		b := s.classic("b", "g", 9, "t")
		late := b.beginJoin()
		a.heartbeatUntil("is told to join", rebalanceInProgess)
		all("preparing")
		a.leave("leaves")
		b.wait(late)
		all("without it")
		b.leave("")
		all("empty")
	})
}

func leaveGroupCases() []Case {
	out := each("LeaveGroup", 0, 5, func(s *Session, v int16) {
		try := func(step, group string, members ...kmsg.LeaveGroupRequestMember) {
			r := withVersion(kmsg.NewPtrLeaveGroupRequest(), v)
			r.Group, r.Members = group, members
			if len(members) > 0 {
				r.MemberID = members[0].MemberID
			}
			s.Send(step, r)
		}
		member := func(id string, instance ...string) kmsg.LeaveGroupRequestMember {
			m := kmsg.LeaveGroupRequestMember{MemberID: id}
			if len(instance) > 0 {
				m.InstanceID = &instance[0]
			}
			if v >= 5 {
				m.Reason = ptr("because")
			}
			return m
		}
		try("unknown group", s.Group("unknown"), member("nobody"))
		try("empty group", "", member("nobody"))
		a := s.classic("a", "g", 9, "t").join("")
		a.sync("", map[*classic][]byte{a: []byte("all")})
		try("unknown member", a.group, member("nobody"))
		try("empty member", a.group, member(""))
		if v >= 3 {
			try("no members", a.group)
			try("unknown instance", a.group, member("", "x"))
			try("unknown instance with the member's id", a.group, member(a.id, "x"))
			try("two of which one is there", a.group, member("nobody"), member(a.id))
			s.describe("empty", a.group)
			return
		}
		try("right", a.group, member(a.id))
		s.describe("empty", a.group)
		try("again", a.group, member(a.id))
	})
	out = append(out, each("LeaveGroup/static", 3, 5, func(s *Session, v int16) {
		a, b := s.classic("a", "g", 9, "t").static("one"), s.classic("b", "g", 9, "t").static("two")
		a.join("")
		s.rebalance("", []*classic{b}, []*classic{a})
		try := func(step string, members ...kmsg.LeaveGroupRequestMember) {
			r := withVersion(kmsg.NewPtrLeaveGroupRequest(), v)
			r.Group, r.Members = a.group, members
			s.Send(step, r)
		}
		try("a wrong id", kmsg.LeaveGroupRequestMember{MemberID: "nobody", InstanceID: ptr("one")})
		try("an id without its instance, a twin, and nobody", kmsg.LeaveGroupRequestMember{MemberID: b.id}, kmsg.LeaveGroupRequestMember{MemberID: b.id}, kmsg.LeaveGroupRequestMember{InstanceID: ptr("three")})
		s.describe("one is left", a.group)
		try("by its instance", kmsg.LeaveGroupRequestMember{InstanceID: ptr("one")})
		s.describe("nobody is left", a.group)
	})...)
	return append(out, each("LeaveGroup/pending", 4, 5, func(s *Session, v int16) {
		a := s.classic("a", "g", 9, "t")
		resp, err := s.Begin(a.name, a.joinRequest()).Answer()
		s.must(err)
		a.named(resp.(*kmsg.JoinGroupResponse).MemberID)
		a.heartbeat("not in yet")
		a.version = v
		a.leave("leaves before it joined")
		s.describe("gone", a.group)
		a.send("joins after it left", a.joinRequest())
	})...)
}
