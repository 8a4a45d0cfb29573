package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicLife are the scripts of groups of the classic protocol.
func classicLife() map[string]func(*Session) {
	return map[string]func(*Session){
		"classic: a member falls silent":                      silentMember,
		"classic: a member does not join again in time":       lateMember,
		"classic: a static member does not join again":        lateStaticMember,
		"classic: a member asks for an id and is never seen":  pendingMember,
		"classic: the leader does not share":                  silentLeader,
		"classic: a member does not fetch its share":          silentFollower,
		"classic: a static member dies and its session ends":  deadStaticMember,
		"classic: a static member comes back":                 staticMemberBack,
		"classic: two of one instance at once":                twins,
		"classic: the leader leaves":                          leaderLeaves,
		"classic: a connection is cut while its member waits": cutWhileJoining,
		"classic: an operator removes static members":         operatorRemoves,
		"classic: an old generation commits":                  oldGenerationCommits,
		"classic: members come one by one and go":             comeAndGo,
		"classic: a group is deleted and made again":          deletedAndMadeAgain,
	}
}

func silentMember(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t")
	b.session = shortMillis
	s.stable(a, b)
	s.describe("both", a.group)
	a.heartbeatUntil("is told that b is gone", rebalanceInProgess)
	b.heartbeat("is not known any more")
	a.join("is alone")
	s.share("has all", a)
	s.describe("one", a.group)
	b.send("joins with its old id", b.joinRequest())
	b.id, b.session = "", 30000
	s.rebalance("b is back", []*classic{b}, []*classic{a})
	s.share("shared", a, b)
}

func lateMember(s *Session) {
	a, b, c := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t"), s.classic("c", "g", 9, "t")
	for _, m := range []*classic{a, b, c} {
		m.rebalance = shortMillis
	}
	s.stable(a, b)
	pc := c.beginJoin()
	b.heartbeatUntil("is told to join again", rebalanceInProgess)
	pa := a.beginJoin()
	pa.Held("a: waits for b")
	ja, jc := a.wait(pa), c.wait(pc)
	a.show("goes on without b", ja)
	c.show("goes on without b", jc)
	b.heartbeat("is out")
	s.share("shared", a, c)
	s.describe("a and c", a.group)
}

func lateStaticMember(s *Session) {
	a, b, c := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t").static("b"), s.classic("c", "g", 9, "t")
	for _, m := range []*classic{a, b, c} {
		m.rebalance = shortMillis
	}
	s.stable(a, b)
	pc := c.beginJoin()
	b.heartbeatUntil("is told to join again", rebalanceInProgess)
	pa := a.beginJoin()
	ja, jc := a.wait(pa), c.wait(pc)
	a.show("goes on, with b", ja)
	c.show("goes on, with b", jc)
	b.heartbeat("is in, of an old generation")
	b.generation = a.generation
	b.heartbeat("is in, of the new generation")
	s.share("shared", a, c)
	b.sync("has nothing", nil)
	s.describe("all three", a.group)
}

func pendingMember(s *Session) {
	a, b, c := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t"), s.classic("c", "g", 9, "t")
	b.session = shortMillis
	s.stable(a)
	resp, err := s.Begin(b.name, b.joinRequest()).Answer()
	s.must(err)
	b.named(resp.(*kmsg.JoinGroupResponse).MemberID)
	s.describe("b is not in", a.group)
	pc := c.beginJoin()
	a.heartbeatUntil("is told to join again", rebalanceInProgess)
	pa := a.beginJoin()
	pa.Held("a: waits for b")
	ja, jc := a.wait(pa), c.wait(pc)
	a.show("goes on without b", ja)
	c.show("goes on without b", jc)
	b.send("comes too late", b.joinRequest())
}

func silentLeader(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t")
	a.rebalance, b.rebalance = shortMillis, shortMillis
	s.stable(a)
	s.rebalance("joined", []*classic{b}, []*classic{a})
	p := s.Begin(b.name, b.syncRequest(nil))
	p.Held("b: waits for its share")
	p.Record("b: is told to join again")
	s.describe("a is out", b.group)
	a.heartbeat("is out")
	b.join("leads")
	s.share("has all", b)
}

func silentFollower(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t")
	a.rebalance, b.rebalance = shortMillis, shortMillis
	s.stable(a)
	s.rebalance("joined", []*classic{b}, []*classic{a})
	a.sync("shares", map[*classic][]byte{a: []byte("half"), b: []byte("half")})
	s.describe("b has not fetched its share", a.group)
	a.heartbeatUntil("is told to join again", rebalanceInProgess)
	b.heartbeat("is out")
	b.sync("is out", nil)
	a.join("is alone")
}

func deadStaticMember(s *Session) {
	a, b := s.classic("a", "g", 9, "t").static("a"), s.classic("b", "g", 9, "t").static("b")
	b.session = shortMillis
	s.stable(a, b)
	b.vanish()
	a.heartbeatUntil("is told that b is gone", rebalanceInProgess)
	a.join("is alone")
	s.share("has all", a)
	b.id = ""
	b.session = 30000
	pb := b.beginJoin()
	a.heartbeatUntil("is told that b is back", rebalanceInProgess)
	pa := a.beginJoin()
	jb, ja := b.wait(pb), a.wait(pa)
	b.show("is back", jb)
	a.show("joins again", ja)
}

func staticMemberBack(s *Session) {
	a, b := s.classic("a", "g", 9, "t").static("a"), s.classic("b", "g", 9, "t").static("b")
	s.stable(a, b)
	b.vanish()
	again := s.classic("b again", "g", 9, "t").static("b").join("is back")
	again.sync("has the same", nil)
	a.heartbeat("notices nothing")
	b.heartbeat("is fenced")
	lead := s.classic("a again", "g", 9, "t").static("a").join("the leader is back")
	lead.sync("has the same", nil)
	s.describe("the same group", a.group)
	old := s.classic("a with old requests", "g", 5, "t").static("a").join("joins with version 5")
	old.heartbeat("is in")
	again.heartbeat("notices nothing")
}

func twins(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t").static("b")
	s.stable(a)
	pb := b.beginJoin()
	s.waitMembers(a.group, 2)
	twin := s.classic("twin", "g", 9, "t").static("b")
	pt := twin.beginJoin()
	j, err := pb.Answer()
	s.must(err)
	b.show("is fenced by its twin", j.(*kmsg.JoinGroupResponse))
	pa := a.beginJoin()
	jt, ja := twin.wait(pt), a.wait(pa)
	twin.show("is in", jt)
	a.show("joins again", ja)
	s.describe("two members", a.group)
}

func leaderLeaves(s *Session) {
	a, b, c := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t"), s.classic("c", "g", 9, "t")
	s.stable(a, b, c)
	a.leave("leaves")
	b.heartbeatUntil("is told to join again", rebalanceInProgess)
	pb := b.beginJoin()
	pb.Held("b: waits for c")
	pc := c.beginJoin()
	b.wait(pb)
	c.wait(pc)
	s.oneLeads("joined again", b, c)
	s.share("", b, c)
	s.describe("two members", b.group)
}

func cutWhileJoining(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t")
	b.session = shortMillis
	s.stable(a)
	b.beginJoin()
	s.waitMembers(a.group, 2)
	b.vanish()
	a.join("joins again")
	s.describe("b is counted as a member", a.group)
	a.sync("has all", map[*classic][]byte{a: []byte("all")})
	a.heartbeatUntil("is told that b is gone", rebalanceInProgess)
	a.join("is alone")
}

func operatorRemoves(s *Session) {
	a, b, c := s.classic("a", "g", 9, "t").static("a"), s.classic("b", "g", 9, "t").static("b"), s.classic("c", "g", 9, "t").static("c")
	s.stable(a, b, c)
	r := withVersion(kmsg.NewPtrLeaveGroupRequest(), 5)
	r.Group = a.group
	r.Members = []kmsg.LeaveGroupRequestMember{{InstanceID: ptr("b"), Reason: ptr("by hand")}, {InstanceID: ptr("c")}, {InstanceID: ptr("d")}}
	s.Send("two of three", r)
	b.heartbeat("is out")
	a.heartbeatUntil("is told to join again", rebalanceInProgess)
	a.join("is alone")
	s.share("has all", a)
	r.Members = []kmsg.LeaveGroupRequestMember{{MemberID: a.id}}
	s.Send("the last, by its id", r)
	s.describe("empty", a.group)
}

func oldGenerationCommits(s *Session) {
	s.CreateTopic("t", 1)
	t := s.Topic("t")
	a, b := s.classic("a", "g", 9, t), s.classic("b", "g", 9, t)
	s.stable(a)
	commit := func(step string, m *classic, generation int32, offset int64) {
		r := commitRequest(9, m.group, t)
		r.MemberID, r.Generation, r.Topics[0].Partitions[0].Offset = m.id, generation, offset
		s.Send(step, r)
	}
	commit("commits 5", a, a.generation, 5)
	old := a.generation
	pb := b.beginJoin()
	a.heartbeatUntil("is told to join again", rebalanceInProgess)
	commit("commits 6 while it rebalances", a, old, 6)
	pa := a.beginJoin()
	a.wait(pa)
	b.wait(pb)
	commit("commits 3 of the old generation", a, old, 3)
	commit("commits 4 of the new one before it has its share", a, a.generation, 4)
	s.share("shared", a, b)
	commit("commits 2 of the old generation", a, old, 2)
	s.committed("6 it is", a.group)
	commit("commits 7", b, b.generation, 7)
	s.committed("7 it is", a.group)
	b.leave("leaves")
	commit("commits 1 after it left", b, b.generation, 1)
	a.leave("leaves")
	commit("commits 1 into the empty group", b, b.generation, 1)
	s.committed("at the end", a.group)
}

func comeAndGo(s *Session) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	var members []*classic
	for _, n := range names {
		m := s.classic(n, "g", 9, "t")
		s.rebalance("with "+n, []*classic{m}, members)
		members = append(members, m)
		s.share("with "+n, members...)
	}
	s.describe("all six", members[0].group)
	for len(members) > 1 {
		last := members[len(members)-1]
		last.leave("leaves")
		members = members[:len(members)-1]
		members[0].heartbeatUntil("is told that "+last.name+" left", rebalanceInProgess)
		s.rebalance("without "+last.name, nil, members)
		s.share("without "+last.name, members...)
	}
	members[0].leave("leaves")
	s.describe("empty", members[0].group)
	s.listed("listed", members[0].group)
}

func deletedAndMadeAgain(s *Session) {
	s.CreateTopic("t", 1)
	t := s.Topic("t")
	a := s.classic("a", "g", 9, t)
	s.stable(a)
	s.Quiet(commitRequest(9, s.Group("other"), t))
	del := func(step string) {
		r := withVersion(kmsg.NewPtrDeleteGroupsRequest(), 2)
		r.Groups = []string{a.group, s.Group("other")}
		s.Send(step, r)
	}
	del("one has members")
	s.committed("the other is gone", s.Group("other"))
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.generation
	s.Send("commits", r)
	a.leave("leaves")
	del("none has members")
	s.describe("gone", a.group)
	s.committed("its offsets too", a.group)
	a.id = ""
	a.join("makes it again")
	s.committed("without offsets", a.group)
}
