package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// commitRequest asks to commit offset 10 for partition 0 of topics, from outside of the group.
func commitRequest(v int16, group string, topics ...string) *kmsg.OffsetCommitRequest {
	r := withVersion(kmsg.NewPtrOffsetCommitRequest(), v)
	r.Group, r.Generation = group, -1
	r.Topics = []kmsg.OffsetCommitRequestTopic{}
	for _, t := range topics {
		r.Topics = append(r.Topics, commitTopic(t, offsetAt(0, 10)))
	}
	return r
}

func commitTopic(topic string, partitions ...kmsg.OffsetCommitRequestTopicPartition) kmsg.OffsetCommitRequestTopic {
	return kmsg.OffsetCommitRequestTopic{Topic: topic, Partitions: partitions}
}

func offsetAt(partition int32, offset int64) kmsg.OffsetCommitRequestTopicPartition {
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, ptr(fmt.Sprint("at ", offset))
	return p
}

// commits turns names into ids where the version wants them.
func (s *Session) commit(step string, r *kmsg.OffsetCommitRequest) {
	for i, t := range r.Topics {
		if r.Version >= 10 && t.TopicID == [16]byte{} && strings.HasPrefix(t.Topic, s.prefix) && !strings.HasSuffix(t.Topic, "missing") {
			r.Topics[i].TopicID = s.TopicID(strings.TrimPrefix(t.Topic, s.prefix))
		}
		if r.Version >= 10 && strings.HasSuffix(t.Topic, "missing") {
			r.Topics[i].TopicID = unknownID(1)
		}
	}
	s.Send(step, r)
}

// fetchRequest asks for the offsets of partitions 0 to 2 of topics; without topics, for all.
func (s *Session) fetchRequest(v int16, group string, topics ...string) *kmsg.OffsetFetchRequest {
	r := withVersion(kmsg.NewPtrOffsetFetchRequest(), v)
	r.Group = group
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	for _, t := range topics {
		r.Topics = append(r.Topics, kmsg.OffsetFetchRequestTopic{Topic: t, Partitions: []int32{0, 1, 2}})
		gt := kmsg.OffsetFetchRequestGroupTopic{Topic: t, Partitions: []int32{0, 1, 2}}
		if v >= 10 {
			gt.TopicID = unknownID(1)
			if !strings.HasSuffix(t, "missing") {
				gt.TopicID = s.TopicID(strings.TrimPrefix(t, s.prefix))
			}
		}
		g.Topics = append(g.Topics, gt)
	}
	r.Groups = []kmsg.OffsetFetchRequestGroup{g}
	return r
}

// committed records what a group has committed, whatever version is asked about.
func (s *Session) committed(step, group string) {
	s.Send(step, s.fetchRequest(8, group))
}

func offsetCommitCases() []Case {
	out := each("OffsetCommit/from outside", 2, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		s.CreateTopic("b", 1)
		g, a, b := s.Group("g"), s.Topic("a"), s.Topic("b")
		s.commit("two topics", commitRequest(v, g, a, b))
		s.committed("committed", g)
		s.describe("a group without members", g)
		r := commitRequest(v, g)
		r.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(a, offsetAt(0, 5), offsetAt(1, 0), offsetAt(2, 9223372036854775807), offsetAt(3, 1), offsetAt(-1, 1))}
		s.commit("back, and partitions that are not there", r)
		s.committed("back", g)
		r = commitRequest(v, g)
		r.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(a, offsetAt(0, 6), offsetAt(0, 7)), commitTopic(a, offsetAt(1, 8))}
		s.commit("the same partition twice, the topic twice", r)
		s.committed("twice", g)
		for _, o := range []int64{-1, -2, -100} {
			r = commitRequest(v, g)
			r.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(b, offsetAt(0, o))}
			s.commit(fmt.Sprintf("offset %d", o), r)
		}
		s.committed("negative", g)
		s.commit("a missing topic beside a good one", commitRequest(v, g, s.Topic("missing"), b))
		s.commit("no topics", commitRequest(v, g))
		s.commit("no topics for an unknown group", commitRequest(v, s.Group("unknown")))
		s.describe("and it", s.Group("unknown"))
		s.commit("only a missing topic, for an unknown group", commitRequest(v, s.Group("unknown"), s.Topic("missing")))
		s.describe("and it again", s.Group("unknown"))
		r = commitRequest(v, g)
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: a}}
		s.commit("no partitions", r)
		if v < 10 {
			s.commit("an empty name", commitRequest(v, g, ""))
			s.commit("an invalid name", commitRequest(v, g, "a/b"))
		} else {
			r = commitRequest(v, g, a)
			r.Topics[0].Topic = ""
			s.Send("a zero id", r)
			r.Topics[0].TopicID, r.Topics[0].Topic = s.TopicID("b"), a
			s.Send("an id with another name", r)
		}
	})
	out = append(out, each("OffsetCommit/empty group", 2, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.commit("answer", commitRequest(v, "", s.Topic("a")))
	})...)
	out = append(out, each("OffsetCommit/metadata", 2, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 4)
		g := s.Group("g")
		r := commitRequest(v, g)
		var list []kmsg.OffsetCommitRequestTopicPartition
		for i, m := range []*string{nil, ptr(""), ptr(strings.Repeat("x", 4096)), ptr(strings.Repeat("x", 4097))} {
			p := offsetAt(int32(i), 3)
			p.Metadata = m
			list = append(list, p)
		}
		r.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(s.Topic("a"), list...)}
		s.commit("none, empty, the longest, too long", r)
		s.committed("committed", g)
		for i := range list {
			list[i].Metadata = ptr(strings.Repeat("ü", 2048+i))
		}
		s.commit("two-byte letters", r)
		s.committed("committed after it", g)
	})...)
	out = append(out, each("OffsetCommit/leader epoch", 6, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		r := commitRequest(v, s.Group("g"))
		x, y, z := offsetAt(0, 1), offsetAt(1, 1), offsetAt(2, 1)
		x.LeaderEpoch, y.LeaderEpoch, z.LeaderEpoch = 0, 77, -5
		r.Topics = []kmsg.OffsetCommitRequestTopic{commitTopic(s.Topic("a"), x, y, z)}
		s.commit("epochs 0, 77 and -5", r)
		s.Send("shown", s.fetchRequest(9, s.Group("g"), s.Topic("a")))
	})...)
	out = append(out, each("OffsetCommit/member", 2, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		g, a := s.Group("g"), s.Topic("a")
		try := func(step string, generation int32, member string, instance *string) {
			r := commitRequest(v, g, a)
			r.Generation, r.MemberID, r.InstanceID = generation, member, instance
			s.commit(step, r)
		}
		try("of an unknown group", 1, "nobody", nil)
		try("of an unknown group, generation 0", 0, "", nil)
		try("a member without a generation, of an unknown group", -1, "nobody", nil)
		m := s.classic("m", "g", 9, a).static("one").join("")
		all := func(state string) {
			try(state+": right", m.generation, m.id, m.instance)
			try(state+": right without the instance", m.generation, m.id, nil)
			try(state+": generation before", m.generation-1, m.id, nil)
			try(state+": generation after", m.generation+1, m.id, nil)
			try(state+": unknown member", m.generation, "nobody", nil)
			try(state+": empty member", m.generation, "", nil)
			try(state+": from outside", -1, "", nil)
			try(state+": a member without a generation", -1, m.id, nil)
			if v >= 7 {
				try(state+": unknown instance", m.generation, m.id, ptr("two"))
				try(state+": wrong member of the instance", m.generation, "nobody", m.instance)
			}
		}
		all("completing")
		m.sync("", map[*classic][]byte{m: assignment(a, 0)})
		all("stable")
		b := s.classic("b", "g", 9, a)
		p := b.beginJoin()
		m.heartbeatUntil("is told to join", rebalanceInProgess)
		all("preparing")
		m.leave("leaves")
		b.wait(p)
		b.leave("")
		all("empty")
		s.committed("committed", g)
	})...)
	out = append(out, one("OffsetCommit/into a group of another type", func(s *Session) {
		s.CreateTopic("a", 1)
		m := s.classic("m", "g", 9).speaks("connect", "x").join("")
		m.sync("", map[*classic][]byte{m: []byte("x")})
		r := commitRequest(9, m.group, s.Topic("a"))
		r.Generation, r.MemberID = m.generation, m.id
		s.commit("as its member", r)
		s.commit("from outside", commitRequest(9, m.group, s.Topic("a")))
		m.leave("leaves")
		s.commit("from outside, now that it is empty", commitRequest(9, m.group, s.Topic("a")))
		s.describe("it", m.group)
	})...)
	return append(out, one("OffsetCommit/internal topics", func(s *Session) {
		s.commit("answer", commitRequest(9, s.Group("g"), "__consumer_offsets"))
		s.committed("committed", s.Group("g"))
	})...)
}

func offsetFetchCases() []Case {
	out := each("OffsetFetch", 1, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		s.CreateTopic("b", 3)
		g, a, b := s.Group("g"), s.Topic("a"), s.Topic("b")
		s.Quiet(commitRequest(9, g, a))
		s.Send("one topic", s.fetchRequest(v, g, a))
		s.Send("two topics", s.fetchRequest(v, g, a, b))
		s.Send("a missing topic", s.fetchRequest(v, g, a, s.Topic("missing")))
		s.Send("unknown group", s.fetchRequest(v, s.Group("unknown"), a))
		s.Send("empty group", s.fetchRequest(v, "", a))
		if v >= 2 {
			s.Send("all", s.fetchRequest(v, g))
			s.Send("all of an unknown group", s.fetchRequest(v, s.Group("unknown")))
		}
		none := s.fetchRequest(v, g)
		none.Topics, none.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		s.Send("no topics", none)
		empty := s.fetchRequest(v, g, a)
		empty.Topics[0].Partitions, empty.Groups[0].Topics[0].Partitions = nil, nil
		s.Send("no partitions", empty)
		odd := s.fetchRequest(v, g, a, a)
		odd.Topics[0].Partitions = []int32{-1, 99, 0, 0}
		odd.Groups[0].Topics[0].Partitions = odd.Topics[0].Partitions
		s.Send("twice, and partitions that are not there", odd)
		if v >= 7 {
			stable := s.fetchRequest(v, g, a)
			stable.RequireStable = true
			s.Send("require stable", stable)
		}
		if v == 10 {
			zero := s.fetchRequest(v, g, a)
			zero.Groups[0].Topics[0].TopicID = [16]byte{}
			s.Send("zero id", zero)
		}
	})
	out = append(out, each("OffsetFetch/several groups", 8, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		a := s.Topic("a")
		s.Quiet(commitRequest(9, s.Group("g"), a))
		s.Quiet(commitRequest(9, s.Group("h"), a))
		r := s.fetchRequest(v, s.Group("g"), a)
		r.Groups = append(r.Groups, s.fetchRequest(v, s.Group("h")).Groups[0], s.fetchRequest(v, s.Group("unknown"), a).Groups[0], s.fetchRequest(v, "", a).Groups[0])
		s.Send("four groups", r)
		r.Groups = []kmsg.OffsetFetchRequestGroup{r.Groups[0], r.Groups[0]}
		s.Send("a group twice", r)
		r.Groups = nil
		s.Send("no groups", r)
	})...)
	out = append(out, each("OffsetFetch/member", 9, 10, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		s.Known("a")
		g, a := s.Group("g"), s.Topic("a")
		s.Quiet(commitRequest(9, g, a))
		try := func(step, group string, member *string, epoch int32) {
			r := s.fetchRequest(v, group, a)
			r.Groups[0].MemberID, r.Groups[0].MemberEpoch = member, epoch
			s.Send(step, r)
		}
		try("of an empty group", g, ptr("nobody"), 1)
		try("of an unknown group", s.Group("unknown"), ptr("nobody"), 1)
		m := s.classic("m", "g", 9, a).join("")
		try("of a classic group", g, &m.id, m.generation)
		try("of a classic group, wrong generation", g, &m.id, m.generation+1)
		try("of a classic group, unknown", g, ptr("nobody"), m.generation)
		try("empty member, no epoch", g, ptr(""), -1)
		try("no member, an epoch", g, nil, 5)
		c := s.consumer("c", "h", 1, a)
		c.beat("")
		s.Quiet(commitRequest(9, s.Group("other"), a))
		for _, e := range []int32{c.epoch, c.epoch - 1, c.epoch + 1, 0, -1, -2} {
			try(fmt.Sprintf("of a consumer group, epoch %+d", e), c.group, &c.id, e)
		}
		try("of a consumer group, unknown", c.group, ptr("nobody"), c.epoch)
		try("of a consumer group, no member", c.group, nil, -1)
		try("of a consumer group, no member, an epoch", c.group, nil, c.epoch)
		try("of a consumer group, empty member", c.group, ptr(""), -1)
		try("of a consumer group, empty member, an epoch", c.group, ptr(""), c.epoch)
	})...)
	return append(out, one("OffsetFetch/topic that is gone", func(s *Session) {
		s.CreateTopic("a", 1)
		s.CreateTopic("b", 1)
		g, a, b := s.Group("g"), s.Topic("a"), s.Topic("b")
		s.Quiet(commitRequest(9, g, a, b))
		s.Quiet(deleteRequest(5, a))
		s.Eventually("its offsets go with it", s.fetchRequest(9, g), func(r kmsg.Response) bool {
			groups := r.(*kmsg.OffsetFetchResponse).Groups
			return len(groups) == 1 && len(groups[0].Topics) == 1
		})
		s.commit("commit for it", commitRequest(9, g, a))
		s.CreateTopic("a", 1)
		s.Send("after it was made again", s.fetchRequest(10, g, a))
	})...)
}

func offsetDeleteCases() []Case {
	del := func(group string, topics ...string) *kmsg.OffsetDeleteRequest {
		r := kmsg.NewPtrOffsetDeleteRequest()
		r.Group = group
		for _, t := range topics {
			r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: t, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}, {Partition: 1}, {Partition: 99}}})
		}
		return r
	}
	return one("OffsetDelete v0", func(s *Session) {
		s.CreateTopic("a", 2)
		s.CreateTopic("b", 2)
		s.CreateTopic("c", 2)
		g, a, b := s.Group("g"), s.Topic("a"), s.Topic("b")
		s.Send("unknown group", del(s.Group("unknown"), a))
		s.Send("empty group id", del("", a))
		s.Quiet(commitRequest(9, g, a, b, s.Topic("c")))
		s.Send("one topic", del(g, a))
		s.committed("is gone", g)
		s.Send("again", del(g, a))
		s.Send("a missing topic", del(g, s.Topic("missing"), b))
		s.committed("two are gone", g)
		s.Send("no topics", del(g))
		s.Send("a topic twice", del(g, s.Topic("c"), s.Topic("c")))
		s.describe("nothing is left", g)
		s.Quiet(commitRequest(9, g, a, b))
		m := s.classic("m", "g", 9, a).join("")
		s.Send("while joining", del(g, a, b))
		m.sync("", map[*classic][]byte{m: assignment(a, 0)})
		s.Send("a topic that is subscribed to", del(g, a, b))
		s.committed("one is left", g)
		x := s.classic("x", "other", 9).speaks("connect", "x").join("")
		x.sync("", map[*classic][]byte{x: []byte("x")})
		s.Send("a group of another type with members", del(x.group, a))
		x.leave("leaves")
		s.Send("a group of another type without members", del(x.group, a))
		s.Known("a")
		c := s.consumer("c", "modern", 1, a)
		c.beat("")
		s.Send("a topic that a consumer group is subscribed to", del(c.group, a, b))
	})
}
