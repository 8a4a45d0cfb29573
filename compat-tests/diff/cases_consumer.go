package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func consumerHeartbeatCases() []Case {
	out := each("ConsumerGroupHeartbeat/life", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("t", 4)
		s.TopicID("t")
		s.Known("t")
		a, b := s.consumer("a", "g", v, s.Topic("t")), s.consumer("b", "g", v, s.Topic("t"))
		a.assignor, b.assignor = ptr("range"), ptr("range") // which gives each member the same on both brokers
		a.beat("joins")
		s.describeConsumers("joined", v, a.group)
		a.send("heartbeat", a.brief())
		a.beat("says all again")
		b.beat("joins")
		s.describeConsumers("joined by two", v, a.group)
		a.send("is to give up two", a.brief())
		s.describeConsumers("one is to give up", v, a.group)
		a.send("says nothing of it", a.brief())
		b.send("waits", b.brief())
		a.beat("gave them up")
		b.send("is given two", b.brief())
		b.beat("has them")
		a.send("heartbeat at the end", a.brief())
		s.describeConsumers("shared", v, a.group)
		s.describe("seen with the classic request", a.group)
		b.leave("leaves")
		a.send("gets all back", a.brief())
		a.beat("has all")
		a.topics = []string{}
		a.beat("subscribes to nothing")
		a.send("and then", a.brief())
		s.describeConsumers("subscribed to nothing", v, a.group)
		a.leave("leaves")
		s.describeConsumers("empty", v, a.group)
		a.send("after it left", a.brief())
		a.epoch = 0
		a.topics = []string{s.Topic("t")}
		a.beat("comes back")
	})
	out = append(out, one("ConsumerGroupHeartbeat/id made by the broker v0", func(s *Session) {
		s.CreateTopic("t", 2)
		s.TopicID("t")
		s.Known("t")
		a := s.consumer("a", "g", 0, s.Topic("t"))
		a.id = ""
		a.beat("joins")
		a.send("heartbeat", a.brief())
		s.describeConsumers("joined", 0, a.group)
		a.leave("leaves")
	})...)
	out = append(out, each("ConsumerGroupHeartbeat/refused", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("t", 1)
		s.Known("t")
		t := s.Topic("t")
		refused := func(step string, edit func(r *kmsg.ConsumerGroupHeartbeatRequest)) {
			r := s.consumer("x", "refused x", v, t).full()
			edit(r)
			s.Send(step, r)
		}
		type req = kmsg.ConsumerGroupHeartbeatRequest
		refused("empty group", func(r *req) { r.Group = "" })
		refused("empty member", func(r *req) { r.MemberID = "" })
		refused("empty member, epoch 1", func(r *req) { r.MemberID, r.MemberEpoch = "", 1 })
		refused("empty member leaves", func(r *req) { r.MemberID, r.MemberEpoch = "", -1 })
		refused("empty instance", func(r *req) { r.InstanceID = ptr("") })
		refused("empty rack", func(r *req) { r.RackID = ptr("") })
		refused("no rebalance timeout", func(r *req) { r.RebalanceTimeoutMillis = -1 })
		refused("rebalance timeout 0", func(r *req) { r.RebalanceTimeoutMillis = 0 })
		refused("rebalance timeout -2", func(r *req) { r.RebalanceTimeoutMillis = -2 })
		refused("owns something", func(r *req) { r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: unknownID(1)}} })
		refused("owns null", func(r *req) { r.Topics = nil })
		refused("subscribes to null", func(r *req) { r.SubscribedTopicNames = nil })
		refused("unknown assignor", func(r *req) { r.ServerAssignor = ptr("best") })
		refused("empty assignor", func(r *req) { r.ServerAssignor = ptr("") })
		refused("assignor in capitals", func(r *req) { r.ServerAssignor = ptr("Uniform") })
		refused("epoch 1 of an unknown group", func(r *req) { r.MemberEpoch = 1 })
		refused("leaves an unknown group", func(r *req) { r.MemberEpoch = -1 })
		refused("leaves an unknown group, static", func(r *req) { r.MemberEpoch, r.InstanceID = -2, ptr("i") })
		refused("leaves as static without an instance", func(r *req) { r.MemberEpoch = -2 })
		refused("epoch -3", func(r *req) { r.MemberEpoch = -3 })
		refused("an empty topic name", func(r *req) { r.SubscribedTopicNames = []string{""} })
		refused("an invalid topic name", func(r *req) { r.SubscribedTopicNames = []string{"a/b"} })
		refused("a topic twice", func(r *req) { r.SubscribedTopicNames = []string{t, t} })
		refused("a missing topic", func(r *req) { r.SubscribedTopicNames = []string{s.Topic("missing")} })
		refused("a long member id", func(r *req) { r.MemberID = strings.Repeat("x", 1000) })
		if v >= 1 {
			for _, re := range []string{"", "[", "(", "a**", "(?<n>x)", `\pZ`, "a{2,1}", "(?=x)", `(a)\1`, "x{1001}"} {
				refused("pattern "+re, func(r *req) { r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, &re })
			}
			refused("pattern and names", func(r *req) { r.SubscribedTopicRegex = ptr("nothing") })
		}
	})...)
	out = append(out, each("ConsumerGroupHeartbeat/epochs", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("t", 4)
		id := s.TopicID("t")
		s.Known("t")
		a := s.consumer("a", "g", v, s.Topic("t")).beat("joins")
		try := func(step string, edit func(r *kmsg.ConsumerGroupHeartbeatRequest)) {
			r := a.brief()
			edit(r)
			s.Send(step, r)
		}
		type req = kmsg.ConsumerGroupHeartbeatRequest
		owns := func(p ...int32) []kmsg.ConsumerGroupHeartbeatRequestTopic {
			return []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: id, Partitions: p}}
		}
		try("right", func(*req) {})
		try("epoch after", func(r *req) { r.MemberEpoch++ })
		try("epoch before", func(r *req) { r.MemberEpoch-- })
		try("epoch far before", func(r *req) { r.MemberEpoch -= 5 })
		try("unknown member", func(r *req) { r.MemberID = "nobody" })
		try("owns what it was given", func(r *req) { r.Topics = owns(0, 1, 2, 3) })
		try("owns less", func(r *req) { r.Topics = owns(0, 1) })
		try("owns more", func(r *req) { r.Topics = owns(0, 1, 2, 3, 4) })
		try("owns an unknown topic", func(r *req) {
			r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: unknownID(2), Partitions: []int32{0}}}
		})
		try("owns nothing", func(r *req) { r.Topics = owns() })
		try("instance out of the blue", func(r *req) { r.InstanceID = ptr("i") })
		try("joins again", func(r *req) { *r = *s.consumer("a", "g", v, s.Topic("t")).full() })
		a.beat("as after it")
		a.topics = []string{s.Topic("missing")}
		a.beat("subscribes to what is not there")
		a.send("and then", a.brief())
		before := a.epoch
		a.topics = []string{s.Topic("t")}
		a.beat("subscribes again")
		try("previous epoch, owning nothing", func(r *req) { r.MemberEpoch, r.Topics = before, []kmsg.ConsumerGroupHeartbeatRequestTopic{} })
		try("previous epoch, owning what it was given", func(r *req) { r.MemberEpoch, r.Topics = before, owns(0, 1, 2, 3) })
		try("previous epoch, saying nothing", func(r *req) { r.MemberEpoch = before })
		a.rack = ptr("r1")
		a.beat("has a rack")
		s.describeConsumers("at the end", v, a.group)
	})...)
	out = append(out, each("ConsumerGroupHeartbeat/static", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("t", 4)
		s.TopicID("t")
		s.Known("t")
		t := s.Topic("t")
		a := s.consumer("a", "g", v, t)
		a.instance = ptr("one")
		a.beat("joins")
		rival := s.consumer("rival", "g", v, t)
		rival.instance = ptr("one")
		rival.beat("an instance that is taken")
		wrong := s.consumer("a", "g", v, t)
		wrong.instance, wrong.epoch = ptr("two"), a.epoch
		wrong.send("another instance", wrong.brief())
		wrong.instance = nil
		wrong.send("no instance", wrong.brief())
		leave := a.brief()
		leave.MemberEpoch = -2
		a.s.Send("leaves for a while", leave)
		s.describeConsumers("left for a while", v, a.group)
		back := s.consumer("back", "g", v, t)
		back.instance = ptr("one")
		back.beat("comes back")
		s.describeConsumers("came back", v, a.group)
		a.send("the one before is fenced", a.brief())
		a.send("and may not leave", func() *kmsg.ConsumerGroupHeartbeatRequest { r := a.brief(); r.MemberEpoch = -1; return r }())
		r := commitRequest(9, a.group, t)
		r.MemberID, r.Generation, r.InstanceID = a.id, a.epoch, a.instance
		s.commit("and may not commit", r)
		r.MemberID, r.Generation = back.id, back.epoch
		s.commit("the new one commits", r)
		leave = back.brief()
		leave.MemberEpoch = -1
		s.Send("leaves for good", leave)
		s.describeConsumers("gone", v, a.group)
		leave.MemberEpoch = -2
		s.Send("leaves twice", leave)
	})...)
	out = append(out, each("ConsumerGroupHeartbeat/full", 0, 1, func(s *Session, v int16) {
		s.CreateTopic("t", 8)
		s.Known("t")
		for i := range groupMaxSize {
			s.consumer(fmt.Sprint("m", i), "g", v, s.Topic("t")).beat("")
		}
		s.consumer("late", "g", v, s.Topic("t")).beat("one too many")
	})...)
	out = append(out, one("ConsumerGroupHeartbeat/pattern v1", func(s *Session) {
		s.CreateTopic("t1", 2)
		s.CreateTopic("t2", 2)
		s.CreateTopic("other", 2)
		s.TopicID("t1")
		s.TopicID("t2")
		s.Known("t1", "t2", "other")
		a := s.consumer("a", "g", 1)
		a.topics, a.regex = nil, ptr(s.Topic("t")+"[0-9]+")
		a.beatUntil("is given both", 4, 0)
		a.regex = ptr("t1") // the whole name has to match
		a.beatUntil("matches nothing", 0, a.epoch)
		a.regex = ptr(".*" + s.Topic("t1"))
		a.beatUntil("is given one", 2, a.epoch)
		a.regex, a.topics = ptr(s.Topic("t1")), []string{s.Topic("t2")}
		a.beatUntil("a pattern and a name", 4, a.epoch)
		s.describeConsumers("both", 1, a.group)
		a.regex, a.topics = ptr(""), []string{s.Topic("other")}
		a.beatUntil("no pattern any more", 2, a.epoch)
		s.describeConsumers("at the end", 1, a.group)
	})...)
	out = append(out, consumerMixedCases()...)
	return append(out, lateCommitCases()...)
}

// consumerMixedCases let the two protocols meet in one group.
func consumerMixedCases() []Case {
	out := each("ConsumerGroupHeartbeat/commit", 2, 10, func(s *Session, v int16) {
		s.CreateTopic("t", 2)
		t := s.Topic("t")
		s.Known("t")
		c := s.consumer("c", "g", 1, t).beat("")
		try := func(step string, member string, epoch int32) {
			r := commitRequest(v, c.group, t)
			r.MemberID, r.Generation = member, epoch
			s.commit(step, r)
		}
		try("right", c.id, c.epoch)
		try("epoch after", c.id, c.epoch+1)
		try("epoch before", c.id, c.epoch-1)
		try("epoch 0", c.id, 0)
		try("unknown member", "nobody", c.epoch)
		try("no member", "", c.epoch)
		try("from outside", "", -1)
		try("member without an epoch", c.id, -1)
		if v >= 7 {
			r := commitRequest(v, c.group, t)
			r.MemberID, r.Generation, r.InstanceID = c.id, c.epoch, ptr("unknown")
			s.commit("an instance out of the blue", r)
		}
		s.committed("committed", c.group)
		c.leave("")
		try("after it left", c.id, c.epoch)
		try("from outside when it is empty", "", -1)
		s.committed("committed at the end", c.group)
	})
	out = append(out, one("ConsumerGroupHeartbeat/classic requests", func(s *Session) {
		s.CreateTopic("t", 2)
		t := s.Topic("t")
		s.Known("t")
		c := s.consumer("c", "g", 1, t).beat("")
		for _, m := range []*classic{
			s.classic("another type", "g", 9).speaks("connect", "x").static("i"), s.classic("metadata that cannot be read", "g", 9).speaks("consumer", "x").static("i"),
			s.classic("no protocols", "g", 9).speaks("consumer").static("i"), s.classic("no member", "g", 9, t),
		} {
			m.send("joins", m.joinRequest())
		}
		m := s.classic("m", "g", 9, t)
		m.id = "nobody"
		m.send("joins as nobody", m.joinRequest())
		m.generation = c.epoch
		m.heartbeat("heartbeat of nobody")
		m.sync("sync of nobody", nil)
		m.leave("leave of nobody")
		m.id = c.id
		m.heartbeat("heartbeat of a consumer")
		m.sync("sync of a consumer", nil)
		m.send("joins as a consumer", m.joinRequest())
		s.describeConsumers("joined", 1, c.group)
		m.leave("leave of a consumer")
		s.describeConsumers("left", 1, c.group)
		old := s.classic("old", "classic", 9, t).join("")
		old.sync("", map[*classic][]byte{old: assignment(t, 0)})
		n := s.consumer("n", "classic", 1, t)
		n.beat("into a group of a classic member")
		s.describeConsumers("mixed", 1, n.group)
		co := s.classic("co", "connect", 9).speaks("connect", "x").join("")
		co.sync("", map[*classic][]byte{co: []byte("x")})
		n = s.consumer("n2", "connect", 1, t)
		n.beat("into a group of another type")
		gone := s.classic("gone", "emptied", 9, t).join("")
		gone.leave("")
		n = s.consumer("n3", "emptied", 1, t)
		n.beat("into an empty classic group")
		s.describeConsumers("taken over", 1, n.group)
		s.Quiet(commitRequest(9, s.Group("simple"), t))
		n = s.consumer("n4", "simple", 1, t)
		n.beat("into a group of offsets only")
		s.describeConsumers("taken over", 1, n.group)
	})...)
	return out
}

// lateCommitCases commit with the epoch at which a partition was given, when the member is at a newer one already (KIP-1251).
func lateCommitCases() []Case {
	return each("ConsumerGroupHeartbeat/late commit", 9, 10, func(s *Session, v int16) {
		s.CreateTopic("t", 3)
		s.Known("t")
		t := s.Topic("t")
		a, b := s.consumer("a", "g", 1, t), s.consumer("b", "g", 1, t)
		a.assignor = ptr("range")
		a.beat("")
		old := a.epoch
		b.beat("")
		a.send("is to give up one", a.brief())
		commit := func(step string, epoch int32) {
			r := commitRequest(v, a.group, t)
			r.MemberID, r.Generation = a.id, epoch
			r.Topics[0].Partitions = append(r.Topics[0].Partitions, offsetAt(1, 11), offsetAt(2, 12))
			s.commit(step, r)
		}
		commit("while it gives it up", old)
		a.beat("gave it up")
		b.beat("is given it")
		commit("with the epoch before", old)
		commit("with the epoch now", a.epoch)
		commit("with an epoch before it joined", old-1)
		s.committed("committed", a.group)
	})
}

// beatUntil reports, holding what it is given, until it holds n partitions at an epoch above one, and records the last answer.
func (c *consumer) beatUntil(step string, n int, above int32) {
	c.send("", c.full())
	c.s.must(c.s.until(func() (bool, error) {
		r := c.full()
		r.SubscribedTopicNames, r.SubscribedTopicRegex = nil, nil
		if c.epoch == 0 {
			r = c.full()
		}
		c.send("", r)
		held := 0
		for _, t := range c.owned {
			held += len(t.Partitions)
		}
		return held == n && c.epoch > above, nil
	}))
	c.beat(step)
}

func (s *Session) describeConsumers(step string, v int16, group string) {
	r := withVersion(kmsg.NewPtrConsumerGroupDescribeRequest(), v)
	r.Groups = []string{group}
	s.Send(step, r)
}
