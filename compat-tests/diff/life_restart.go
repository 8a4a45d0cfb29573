package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// restartLife are groups that both brokers are restarted under: what their coordinators had promised still holds.
func restartLife() []Case {
	return []Case{
		{Name: lifePrefix + "restart: a classic group", Run: classicBefore, AfterRestart: classicAfter},
		{Name: lifePrefix + "restart: a classic group that rebalances", Run: rebalancingBefore, AfterRestart: rebalancingAfter},
		{Name: lifePrefix + "restart: groups without members", Run: emptyBefore, AfterRestart: emptyAfter},
		{Name: lifePrefix + "restart: a consumer group", Run: consumerBefore, AfterRestart: consumerAfter},
		{Name: lifePrefix + "restart: a consumer group that reconciles", Run: reconcilingBefore, AfterRestart: reconcilingAfter},
		{Name: lifePrefix + "restart: both protocols in a group", Run: mixedBefore, AfterRestart: mixedAfter},
		{Name: lifePrefix + "restart: offsets grow old", Run: agingBefore, AfterRestart: agingAfter},
	}
}

func classicBefore(s *Session) {
	s.CreateTopic("t", 2)
	t := s.Topic("t")
	a, b := s.classic("a", "g", 9, t), s.classic("b", "g", 9, t).static("b")
	s.stable(a, b)
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.generation
	s.Send("a commits", r)
	s.describe("before", a.group)
	s.kept["a"], s.kept["b"] = a, b
}

func classicAfter(s *Session) {
	a, b := s.kept["a"].(*classic), s.kept["b"].(*classic)
	s.describe("after", a.group)
	s.committed("committed", a.group)
	a.heartbeat("is in")
	b.heartbeat("is in")
	b.sync("has the same share", nil)
	r := commitRequest(9, a.group, s.Topic("t"))
	r.MemberID, r.Generation, r.Topics[0].Partitions[0].Offset = b.id, b.generation, 20
	r.InstanceID = b.instance
	s.Send("b commits", r)
	again := s.classic("b again", "g", 9, s.Topic("t")).static("b").join("is back")
	b.heartbeat("is fenced")
	c := s.classic("c", "g", 9, s.Topic("t"))
	s.rebalance("with c", []*classic{c}, []*classic{a, again})
	s.share("shared", a, again, c)
	s.describe("at the end", a.group)
}

func rebalancingBefore(s *Session) {
	a, b := s.classic("a", "g", 9, "t"), s.classic("b", "g", 9, "t")
	s.stable(a)
	b.beginJoin()
	s.waitMembers(a.group, 2)
	s.describe("before", a.group)
	joined := s.classic("joined", "h", 9, "t").join("joins, and has no share yet")
	s.kept["a"], s.kept["b"], s.kept["joined"] = a, b, joined
}

func rebalancingAfter(s *Session) {
	a, b, joined := s.kept["a"].(*classic), s.kept["b"].(*classic), s.kept["joined"].(*classic)
	s.describe("after", a.group)
	a.heartbeat("is in")
	b.send("joins as if it were known", b.joinRequest())
	b.id = ""
	s.rebalance("b joins", []*classic{b}, []*classic{a})
	s.waitState(joined.group, "Dead") // a group on disk without members and offsets, which goes when offsets are looked through
	joined.heartbeat("is not known")
	joined.sync("is not known", nil)
}

func emptyBefore(s *Session) {
	s.CreateTopic("t", 3)
	s.CreateTopic("u", 1)
	t := s.Topic("t")
	for _, g := range []string{"simple", "deleted", "some deleted"} {
		s.Quiet(commitRequest(9, s.Group(g), t, s.Topic("u")))
	}
	m := s.classic("m", "left", 9, t)
	s.stable(m)
	r := commitRequest(9, m.group, t)
	r.MemberID, r.Generation, r.Topics[0].Partitions[0].LeaderEpoch = m.id, m.generation, 0
	r.Topics[0].Partitions[0].Metadata = nil
	s.Send("commits", r)
	m.leave("leaves")
	del := withVersion(kmsg.NewPtrDeleteGroupsRequest(), 2)
	del.Groups = []string{s.Group("deleted")}
	s.Send("deletes a group", del)
	od := kmsg.NewPtrOffsetDeleteRequest()
	od.Group = s.Group("some deleted")
	od.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: t, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}}}
	s.Send("deletes an offset", od)
	s.Known("t")
	c := s.consumer("c", "consumer left", 1, t).beat("")
	r = commitRequest(9, c.group, t)
	r.MemberID, r.Generation = c.id, c.epoch
	s.Send("commits", r)
	c.leave("leaves")
	s.groupConfig("simple", "consumer.session.timeout.ms", "7000")
	s.emptyGroups("before")
}

func (s *Session) emptyGroups(when string) {
	for _, g := range []string{"simple", "deleted", "some deleted", "left", "consumer left"} {
		s.listed(when+": "+g, s.Group(g))
		s.describe(when+": "+g, s.Group(g))
		s.Send(when+": "+g+", offsets", s.fetchRequest(9, s.Group(g)))
	}
	s.describeConsumers(when+": as a consumer group", 1, s.Group("consumer left"))
	s.Send(when+": settings", describeConfigs(4, groupResource, s.Group("simple"), "consumer.session.timeout.ms"))
}

func emptyAfter(s *Session) { s.emptyGroups("after") }

func consumerBefore(s *Session) {
	s.CreateTopic("t", 4)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.assignor, b.assignor = ptr("range"), ptr("range")
	a.instance, b.rack = ptr("i"), ptr("r")
	s.settle("two", map[*consumer]int{a: 2, b: 2})
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.epoch
	s.Send("a commits", r)
	p := s.consumer("p", "pattern", 1)
	p.topics, p.regex = nil, ptr(s.Topic("t")+".*")
	s.poll(func() bool { p.send("", p.holding()); return p.holds() == 4 })
	p.beat("holds what its pattern found")
	s.describeConsumers("before", 1, a.group)
	s.describeConsumers("before, the pattern", 1, p.group)
	s.kept["a"], s.kept["b"], s.kept["p"] = a, b, p
}

func consumerAfter(s *Session) {
	a, b, p := s.kept["a"].(*consumer), s.kept["b"].(*consumer), s.kept["p"].(*consumer)
	s.describeConsumers("after", 1, a.group)
	s.describeConsumers("after, the pattern", 1, p.group)
	a.send("is in", a.brief())
	b.beat("says everything")
	p.beat("says everything")
	s.committed("committed", a.group)
	r := commitRequest(9, a.group, s.Topic("t"))
	r.MemberID, r.Generation = b.id, b.epoch
	s.Send("b commits", r)
	c := s.consumer("c", "g", 1, s.Topic("t"))
	c.assignor = ptr("range")
	s.poll(func() bool {
		for _, m := range []*consumer{a, b, c} {
			m.send("", m.holding())
		}
		return c.holds() > 0 && a.epoch == c.epoch && b.epoch == c.epoch && a.holds()+b.holds()+c.holds() == 4
	})
	s.describeConsumers("with a third", 1, a.group)
}

func reconcilingBefore(s *Session) {
	s.CreateTopic("t", 4)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.assignor, b.assignor = ptr("range"), ptr("range")
	s.settle("one", map[*consumer]int{a: 4})
	b.beat("joins")
	a.send("is to give up two", a.brief())
	s.describeConsumers("before", 1, a.group)
	s.kept["a"], s.kept["b"] = a, b
}

func reconcilingAfter(s *Session) {
	a, b := s.kept["a"].(*consumer), s.kept["b"].(*consumer)
	s.describeConsumers("after", 1, a.group)
	a.send("is still to give up two", a.brief())
	b.send("waits", b.brief())
	s.settle("two", map[*consumer]int{a: 2, b: 2})
}

func mixedBefore(s *Session) {
	s.CreateTopic("t", 4)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a := s.classic("a", "g", 9, t)
	s.sharing(t, map[*classic][]int32{a: {0, 1, 2, 3}}, a)
	c := s.consumer("c", "g", 1, t)
	c.assignor = ptr("range")
	c.beat("joins")
	a.protocols[0].Metadata = owning([]string{t}, t, a.generation, 0, 1, 2, 3)
	a.heartbeat("is told to join")
	a.join("joins")
	a.sync("syncs", nil)
	s.describeConsumers("before", 1, a.group)
	s.kept["a"], s.kept["c"] = a, c
}

func mixedAfter(s *Session) {
	a, c := s.kept["a"].(*classic), s.kept["c"].(*consumer)
	s.describeConsumers("after", 1, a.group)
	a.heartbeat("of a classic member")
	c.send("of a consumer", c.brief())
	s.listed("listed", a.group)
	c.leave("leaves")
	s.listed("downgraded", a.group)
	a.heartbeat("of the generation before")
	a.join("leads a classic group")
}

// agingBefore commits with the retention that OffsetCommit may ask for up to version 4: the broker's own is days.
func agingBefore(s *Session) {
	s.CreateTopic("t", 3)
	t := s.Topic("t")
	commit := func(group string, partition int32, retention int64) {
		r := commitRequest(4, group, t)
		r.RetentionTimeMillis = retention
		r.Topics[0].Partitions[0].Partition = partition
		s.Send("commit", r)
	}
	g, h := s.Group("g"), s.Group("h")
	commit(g, 0, 1000)
	commit(g, 1, -1)
	commit(h, 0, 1000)
	s.committed("two", g)
	s.committed("one", h)
}

func agingAfter(s *Session) {
	g, h, t := s.Group("g"), s.Group("h"), s.Topic("t")
	s.Eventually("one has grown old", s.fetchRequest(8, g), func(r kmsg.Response) bool {
		topics := r.(*kmsg.OffsetFetchResponse).Groups[0].Topics
		return len(topics) == 1 && len(topics[0].Partitions) == 1
	})
	s.Eventually("the only one of another group has grown old", s.fetchRequest(8, h), func(r kmsg.Response) bool {
		return len(r.(*kmsg.OffsetFetchResponse).Groups[0].Topics) == 0
	})
	s.waitState(h, "Dead")
	s.describe("and the group with it", h)
	s.describe("not this one", g)
	m := s.classic("m", "g", 9, t)
	s.stable(m)
	r := commitRequest(4, g, t)
	r.RetentionTimeMillis, r.MemberID, r.Generation, r.Topics[0].Partitions[0].Partition = 1, m.id, m.generation, 2
	s.Send("a member commits for a moment", r)
	s.committed("it stays while the member consumes", g)
	m.leave("leaves")
	s.Eventually("it grows old when the group is empty", s.fetchRequest(8, g), func(r kmsg.Response) bool {
		return len(r.(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions) == 1
	})
}
