package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// mixedLife are the scripts in which both protocols meet.
func mixedLife() map[string]func(*Session) {
	return map[string]func(*Session){
		"mixed: a classic group is upgraded":           upgrade,
		"mixed: a consumer group is downgraded":        downgrade,
		"mixed: a static member changes its protocol":  staticChangesProtocol,
		"mixed: a classic member falls silent":         classicSilentInConsumerGroup,
		"mixed: the last consumer leaves classic ones": lastConsumerLeaves,
		"mixed: the last consumer is fenced":           lastConsumerFenced,
		"mixed: an empty group changes its protocol":   emptyGroupChanges,
		"mixed: partitions are added under both":       partitionsAddedUnderBoth,
	}
}

// sharing makes a stable classic group of consumers that hold the partitions given.
func (s *Session) sharing(topic string, shares map[*classic][]int32, members ...*classic) {
	members[0].join("")
	for i, m := range members[1:] {
		s.rebalance("", []*classic{m}, members[:i+1])
	}
	bytes := map[*classic][]byte{}
	for m, p := range shares {
		bytes[m] = assignment(topic, p...)
	}
	for _, m := range members {
		m.sync("", bytes)
	}
}

// rejoin has a classic member of a consumer group join again and fetch its share, and records how large it is: which partitions
// it holds depends on its id, which differs.
func (m *classic) rejoin(step string) {
	m.join(step + ", joins")
	r := m.send("", m.syncRequest(nil)).(*kmsg.SyncGroupResponse)
	share := kmsg.NewConsumerMemberAssignment()
	if r.ErrorCode == noError {
		m.s.must(share.ReadFrom(r.MemberAssignment))
	}
	n := 0
	for _, t := range share.Topics {
		n += len(t.Partitions)
	}
	m.s.Note(m.name+": "+step+", share", fmt.Sprintf("error %d, version %d, %d partitions", r.ErrorCode, share.Version, n))
}

func upgrade(s *Session) {
	s.CreateTopic("t", 6)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a, b := s.classic("a", "g", 9, t), s.classic("b", "g", 9, t)
	s.sharing(t, map[*classic][]int32{a: {0, 1, 2}, b: {3, 4, 5}}, a, b)
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.generation
	s.Send("a commits", r)
	c := s.consumer("c", "g", 1, t)
	s.listed("before", a.group)
	c.beat("joins")
	s.listed("after", a.group)
	s.describeConsumers("three", 1, a.group)
	a.heartbeat("is told to join again")
	b.heartbeat("is told to join again")
	a.protocols[0].Metadata = owning([]string{t}, t, a.generation, 0, 1, 2)
	a.join("joins")
	a.sync("syncs", nil)
	s.describeConsumers("a is in", 1, a.group)
	b.protocols[0].Metadata = owning([]string{t}, t, b.generation, 3, 4, 5)
	b.join("joins")
	b.sync("syncs", nil)
	s.describeConsumers("b is in", 1, a.group)
	c.send("is told what it has", c.holding())
	r.MemberID, r.Generation = b.id, b.generation
	s.Send("b commits", r)
	s.committed("committed", a.group)
	a.leave("leaves")
	a2 := s.consumer("a2", "g", 1, t)
	a2.beat("")
	b.heartbeat("is told of it")
	b.leave("leaves")
	b2 := s.consumer("b2", "g", 1, t)
	s.settle("all are consumers", map[*consumer]int{c: 2, a2: 2, b2: 2})
	s.committed("committed still", a.group)
}

// owning is what a cooperative consumer says of itself: its topics, and the partitions of one that it holds.
func owning(topics []string, topic string, generation int32, partitions ...int32) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics, m.Generation = 3, topics, generation
	m.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: topic, Partitions: partitions}}
	return m.AppendTo(nil)
}

func downgrade(s *Session) {
	s.CreateTopic("t", 4)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	c, d := s.consumer("c", "g", 1, t), s.consumer("d", "g", 1, t)
	s.settle("two consumers", map[*consumer]int{c: 2, d: 2})
	a := s.classic("a", "g", 9, t)
	a.rejoin("comes")
	s.listed("with a classic member", a.group)
	s.poll(func() bool {
		c.send("", c.holding())
		d.send("", d.holding())
		return c.holds()+d.holds() == 3 && c.epoch == d.epoch
	})
	s.Note("one partition is given up", c.holds()+d.holds())
	s.heartbeatAndJoin(a, "takes it")
	c.leave("leaves")
	s.poll(func() bool {
		d.send("", d.holding())
		return d.epoch > c.epoch
	})
	s.listed("one consumer is left", a.group)
	d.leave("leaves")
	s.listed("no consumer is left", a.group)
	a.heartbeat("of the generation before")
	a.join("leads a classic group")
	s.share("has all", a)
	s.describe("classic", a.group)
}

// heartbeatAndJoin reports until the member is told to join again, and does.
func (s *Session) heartbeatAndJoin(m *classic, step string) {
	m.heartbeatUntil(step+", is told to join", rebalanceInProgess)
	m.rejoin(step)
}

func staticChangesProtocol(s *Session) {
	s.CreateTopic("t", 2)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a, b := s.classic("a", "g", 9, t).static("a"), s.classic("b", "g", 9, t).static("b")
	s.sharing(t, map[*classic][]int32{a: {0}, b: {1}}, a, b)
	c := s.consumer("c", "g", 1, t)
	c.instance = ptr("a")
	c.beat("takes the place of a")
	s.describeConsumers("c and b", 1, a.group)
	a.heartbeat("is fenced")
	b.heartbeat("is told or not")
	s.poll(func() bool { c.send("", c.holding()); return c.holds() == 1 })
	s.Note("c holds", c.holds())
	leave := c.brief()
	leave.MemberEpoch = -2
	s.Send("c: is away for a while", leave)
	back := s.classic("back", "g", 9, t).static("a")
	back.join("comes back as a classic member")
	s.listed("as what", a.group)
}

func classicSilentInConsumerGroup(s *Session) {
	s.CreateTopic("t", 2)
	s.Known("t")
	t := s.Topic("t")
	c := s.consumer("c", "g", 1, t)
	s.settle("one", map[*consumer]int{c: 2})
	a := s.classic("a", "g", 9, t)
	a.session = shortMillis
	a.join("comes")
	s.settle("one is given up", map[*consumer]int{c: 1})
	s.settle("a is silent", map[*consumer]int{c: 2})
	a.heartbeat("is out")
	s.describeConsumers("c alone", 1, c.group)
}

func lastConsumerLeaves(s *Session) {
	s.CreateTopic("t", 3)
	s.TopicID("t")
	s.Known("t")
	t := s.Topic("t")
	a, b := s.classic("a", "g", 9, t), s.classic("b", "g", 9, t)
	s.sharing(t, map[*classic][]int32{a: {0, 1}, b: {2}}, a, b)
	c := s.consumer("c", "g", 1, t)
	c.beat("joins")
	s.listed("upgraded", a.group)
	c.leave("leaves")
	s.listed("downgraded", a.group)
	s.describe("classic again", a.group)
	a.heartbeat("of the generation before")
	b.heartbeat("of the generation before")
	a.generation, b.generation = 0, 0
	s.rebalance("", nil, []*classic{a, b})
	s.oneLeads("joined again", a, b)
	s.share("", a, b)
	s.describe("stable again", a.group)
}

func lastConsumerFenced(s *Session) {
	s.CreateTopic("t", 3)
	s.Known("t")
	s.groupConfig("g", "consumer.session.timeout.ms", "1000")
	t := s.Topic("t")
	a := s.classic("a", "g", 9, t)
	s.sharing(t, map[*classic][]int32{a: {0, 1, 2}}, a)
	c := s.consumer("c", "g", 1, t)
	c.beat("joins")
	s.poll(func() bool {
		return s.Quiet(describeGroups(6, a.group)).(*kmsg.DescribeGroupsResponse).Groups[0].ErrorCode == noError
	})
	s.listed("c fell silent", a.group)
	c.send("is out", c.brief())
	a.heartbeatUntil("is told to join again", rebalanceInProgess)
	a.join("leads a classic group")
	s.describe("classic again", a.group)
}

func emptyGroupChanges(s *Session) {
	s.CreateTopic("t", 1)
	s.Known("t")
	t := s.Topic("t")
	a := s.classic("a", "g", 9, t)
	s.stable(a)
	r := commitRequest(9, a.group, t)
	r.MemberID, r.Generation = a.id, a.generation
	s.Send("a commits", r)
	a.leave("leaves")
	s.listed("classic", a.group)
	c := s.consumer("c", "g", 1, t)
	s.settle("a consumer", map[*consumer]int{c: 1})
	s.listed("consumer", a.group)
	s.committed("the offset is there", a.group)
	c.leave("leaves")
	s.listed("empty", a.group)
	a.id = ""
	a.join("comes back")
	s.listed("classic again", a.group)
	s.committed("the offset is there still", a.group)
}

func partitionsAddedUnderBoth(s *Session) {
	s.CreateTopic("t", 2)
	s.Known("t")
	t := s.Topic("t")
	c := s.consumer("c", "g", 1, t)
	s.settle("one", map[*consumer]int{c: 2})
	a := s.classic("a", "g", 9, t)
	a.rejoin("comes")
	s.settle("one is given up", map[*consumer]int{c: 1})
	s.heartbeatAndJoin(a, "takes one")
	s.addPartitions("t", 4)
	s.settle("of four", map[*consumer]int{c: 2})
	s.heartbeatAndJoin(a, "takes two")
}
