package diff

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerLife are the scripts of consumer groups (KIP-848).
func consumerLife() map[string]func(*Session) {
	return map[string]func(*Session){
		"consumer: three members come and go":           consumersComeAndGo,
		"consumer: a member falls silent":               silentConsumer,
		"consumer: a member does not give up in time":   stubbornConsumer,
		"consumer: a static member is away for a while": staticConsumerBack,
		"consumer: a static member stays away":          staticConsumerGone,
		"consumer: partitions are added":                partitionsAdded,
		"consumer: a topic comes, goes and comes again": topicComesAndGoes,
		"consumer: a pattern finds a new topic":         patternFindsTopic,
		"consumer: range gives neighbours":              rangeAssignor,
		"consumer: a group's own settings":              groupSettings,
		"consumer: an answer was lost":                  lostAnswer,
		"consumer: members of different subscriptions":  differentSubscriptions,
		"consumer: an old epoch commits":                oldEpochCommits,
		"consumer: a group is deleted":                  consumerGroupDeleted,
	}
}

func consumersComeAndGo(s *Session) {
	s.CreateTopic("t", 6)
	s.Known("t")
	t := s.Topic("t")
	a, b, c := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t), s.consumer("c", "g", 1, t)
	s.settle("one", map[*consumer]int{a: 6})
	s.settle("two", map[*consumer]int{a: 3, b: 3})
	kept := a.owned
	s.settle("three", map[*consumer]int{a: 2, b: 2, c: 2})
	s.Note("a keeps two of its three", subset(a.owned, kept))
	keptB, keptC := b.owned, c.owned
	a.leave("leaves")
	s.settle("without a", map[*consumer]int{b: 3, c: 3})
	s.Note("b and c keep what they had", subset(keptB, b.owned) && subset(keptC, c.owned))
	s.listed("listed", b.group)
	b.leave("leaves")
	s.settle("without b", map[*consumer]int{c: 6})
	c.leave("leaves")
	s.describeConsumers("empty", 1, c.group)
	s.listed("listed empty", c.group)
}

// subset tells whether every partition of a is in b.
func subset(a, b []kmsg.ConsumerGroupHeartbeatRequestTopic) bool {
	in := map[[16]byte]map[int32]bool{}
	for _, t := range b {
		in[t.TopicID] = map[int32]bool{}
		for _, p := range t.Partitions {
			in[t.TopicID][p] = true
		}
	}
	for _, t := range a {
		for _, p := range t.Partitions {
			if !in[t.TopicID][p] {
				return false
			}
		}
	}
	return true
}

func silentConsumer(s *Session) {
	s.CreateTopic("t", 4)
	s.Known("t")
	s.groupConfig("g", "consumer.session.timeout.ms", "2000")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	s.settle("two", map[*consumer]int{a: 2, b: 2})
	s.settle("b is silent", map[*consumer]int{a: 4})
	b.send("is not known any more", b.brief())
	s.poll(func() bool { // as a must not fall silent, too
		a.send("", a.holding())
		return true
	})
	b.epoch, b.owned = 0, nil
	s.settle("b is back", map[*consumer]int{a: 2, b: 2})
}

func stubbornConsumer(s *Session) {
	s.CreateTopic("t", 4)
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.rebalance = shortMillis
	s.settle("one", map[*consumer]int{a: 4})
	all := a.owned
	b.beat("joins")
	for range 3 {
		r := a.brief()
		r.Topics = all
		a.send("gives up nothing", r)
	}
	s.poll(func() bool {
		b.send("", b.holding())
		return b.holds() == 4
	})
	s.Note("b has all", b.holds())
	a.send("is out", a.brief())
	s.describeConsumers("b alone", 1, b.group)
}

func staticConsumerBack(s *Session) {
	s.CreateTopic("t", 4)
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.instance, b.instance = ptr("a"), ptr("b")
	s.settle("two", map[*consumer]int{a: 2, b: 2})
	had := b.owned
	leave := b.brief()
	leave.MemberEpoch = -2
	b.s.Send("b: is away for a while", leave)
	a.send("notices nothing", a.brief())
	back := s.consumer("b2", "g", 1, t)
	back.instance = ptr("b")
	s.settle("b is back", map[*consumer]int{a: 2, back: 2})
	s.Note("with what it had", subset(had, back.owned))
	b.epoch = back.epoch
	b.send("the one before is fenced", b.brief())
}

func staticConsumerGone(s *Session) {
	s.CreateTopic("t", 4)
	s.Known("t")
	s.groupConfig("g", "consumer.session.timeout.ms", "2000")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.instance, b.instance = ptr("a"), ptr("b")
	s.settle("two", map[*consumer]int{a: 2, b: 2})
	leave := b.brief()
	leave.MemberEpoch = -2
	s.Send("b: is away", leave)
	s.settle("b stayed away", map[*consumer]int{a: 4})
	s.describeConsumers("a alone", 1, a.group)
}

func partitionsAdded(s *Session) {
	s.CreateTopic("t", 2)
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	s.settle("of two", map[*consumer]int{a: 1, b: 1})
	s.addPartitions("t", 6)
	s.settle("of six", map[*consumer]int{a: 3, b: 3})
}

func topicComesAndGoes(s *Session) {
	t := s.Topic("t")
	a := s.consumer("a", "g", 1, t)
	a.beat("subscribes to what is not there")
	s.CreateTopic("t", 2)
	s.settle("it is there", map[*consumer]int{a: 2})
	s.Quiet(deleteRequest(5, t))
	s.settle("it is gone", map[*consumer]int{a: 0})
	s.CreateTopic("t", 3)
	s.settle("it is there again", map[*consumer]int{a: 3})
}

func patternFindsTopic(s *Session) {
	s.CreateTopic("t1", 2)
	s.Known("t1")
	a := s.consumer("a", "g", 1)
	a.topics, a.regex = nil, ptr(s.Topic("t")+".")
	s.poll(func() bool { a.send("", a.holding()); return a.holds() == 2 })
	s.Note("finds one", a.holds())
	s.CreateTopic("t2", 3)
	s.CreateTopic("tx1", 1)
	s.poll(func() bool { a.send("", a.holding()); return a.holds() == 5 })
	s.Note("finds another", a.holds())
	a.regex = ptr(s.Topic("t") + "x.*")
	a.beat("another pattern")
	s.poll(func() bool { a.send("", a.holding()); return a.holds() == 1 })
	s.Note("finds the other", a.holds())
}

func rangeAssignor(s *Session) {
	s.CreateTopic("t", 5)
	s.CreateTopic("u", 5)
	s.TopicID("t")
	s.TopicID("u")
	s.Known("t", "u")
	a, b := s.consumer("a", "g", 1, s.Topic("t"), s.Topic("u")), s.consumer("b", "g", 1, s.Topic("t"), s.Topic("u"))
	a.assignor, b.assignor = ptr("range"), ptr("range")
	s.settle("one", map[*consumer]int{a: 10})
	s.settle("two", map[*consumer]int{a: 6, b: 4})
	s.describeConsumers("shared", 1, a.group)
	a.assignor, b.assignor = ptr("uniform"), ptr("uniform")
	a.beat("")
	b.beat("")
	s.settle("by uniform", map[*consumer]int{a: 5, b: 5})
}

func groupSettings(s *Session) {
	a := s.consumer("a", "g", 1, s.Topic("t"))
	a.beat("as the broker says")
	s.groupConfig("g", "consumer.heartbeat.interval.ms", "3000")
	s.poll(func() bool { return a.send("", a.brief()).HeartbeatIntervalMillis == 3000 })
	a.send("as the group says", a.brief())
}

func lostAnswer(s *Session) {
	s.CreateTopic("t", 4)
	s.Known("t")
	t := s.Topic("t")
	a := s.consumer("a", "g", 1, t)
	first := a.full()
	s.Quiet(first)
	s.Send("joins again as if for the first time", first)
	a.beat("")
	before := *a
	a.topics = []string{t, s.Topic("u")}
	r := a.full()
	s.Quiet(r)
	a.epoch, a.owned = before.epoch, before.owned
	s.Send("says again what it changed", r)
	s.settle("goes on", map[*consumer]int{a: 4})
	leave := a.brief()
	leave.MemberEpoch = -1
	s.Send("leaves", leave)
	s.Send("leaves again", leave)
}

func differentSubscriptions(s *Session) {
	s.CreateTopic("t", 4)
	s.CreateTopic("u", 4)
	s.Known("t", "u")
	a, b, c := s.consumer("a", "g", 1, s.Topic("t")), s.consumer("b", "g", 1, s.Topic("t"), s.Topic("u")), s.consumer("c", "g", 1, s.Topic("u"))
	s.settle("a alone", map[*consumer]int{a: 4})
	a.send("", a.holding())
	b.beat("joins")
	c.beat("joins")
	s.poll(func() bool {
		for _, m := range []*consumer{a, b, c} {
			m.send("", m.holding())
		}
		return a.holds()+b.holds()+c.holds() == 8 && a.epoch == b.epoch && b.epoch == c.epoch
	})
	s.Note("all is given out", a.holds()+b.holds()+c.holds())
	b.leave("leaves")
	s.settle("without b", map[*consumer]int{a: 4, c: 4})
}

func oldEpochCommits(s *Session) {
	s.CreateTopic("t", 2)
	s.Known("t")
	t := s.Topic("t")
	a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
	a.assignor, b.assignor = ptr("range"), ptr("range")
	s.settle("one", map[*consumer]int{a: 2})
	commit := func(step string, c *consumer, epoch int32, offset int64) {
		r := commitRequest(9, c.group, t)
		r.MemberID, r.Generation = c.id, epoch
		r.Topics[0].Partitions = []kmsg.OffsetCommitRequestTopicPartition{offsetAt(0, offset), offsetAt(1, offset)}
		s.Send(step, r)
	}
	first := a.epoch
	commit("commits 5", a, first, 5)
	s.settle("two", map[*consumer]int{a: 1, b: 1})
	commit("commits 3 with its first epoch", a, first, 3)
	commit("commits 6 with its epoch", a, a.epoch, 6)
	commit("b commits 7", b, b.epoch, 7)
	s.committed("committed", a.group)
	s.groupConfig("g", "consumer.session.timeout.ms", "1000")
	old := b.epoch
	s.settle("b is silent", map[*consumer]int{a: 2})
	commit("b commits 1 after its end", b, old, 1)
	s.committed("7 it is", a.group)
}

func consumerGroupDeleted(s *Session) {
	s.CreateTopic("t", 1)
	s.Known("t")
	t := s.Topic("t")
	a := s.consumer("a", "g", 1, t).beat("joins")
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.epoch
	s.Send("commits", r)
	del := withVersion(kmsg.NewPtrDeleteGroupsRequest(), 3)
	del.Groups = []string{a.group}
	s.Send("has a member", del)
	a.leave("leaves")
	s.Send("has none", del)
	s.listed("gone", a.group)
	s.committed("its offsets too", a.group)
	a.epoch = 0
	a.beat("makes it again")
}
