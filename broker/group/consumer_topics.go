package group

import (
	"log/slog"
	"maps"
	"slices"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// topicIndex says which consumer groups are subscribed to a topic, so that a change of metadata reaches those only.
type topicIndex map[string]*indexedTopic

type indexedTopic struct {
	groups map[*consumerGroup]struct{}
	topic  *image.Topic // that hash is of
	hash   uint64
}

func (x topicIndex) add(topic string, g *consumerGroup) {
	t := x[topic]
	if t == nil {
		t = &indexedTopic{groups: make(map[*consumerGroup]struct{})}
		x[topic] = t
	}
	t.groups[g] = struct{}{}
}

func (x topicIndex) remove(topic string, g *consumerGroup) {
	t := x[topic]
	if t == nil {
		return
	}
	if delete(t.groups, g); len(t.groups) == 0 {
		delete(x, topic)
	}
}

// removeGroup forgets a group that is gone.
func (x topicIndex) removeGroup(g *consumerGroup) {
	for topic := range g.topics {
		x.remove(topic, g)
	}
}

// hash returns the hash of a topic. Those that groups are subscribed to are computed once for each value of the topic.
func (x topicIndex) hash(img *image.Image, topic *image.Topic) uint64 {
	t := x[topic.Name]
	if t == nil {
		return topicHash(img, topic)
	}
	if t.topic != topic {
		t.topic, t.hash = topic, topicHash(img, topic)
	}
	return t.hash
}

// metadataHash is the hash of the topics among these that exist.
func (s *State) metadataHash(topics map[string]subscribers) int64 {
	img := s.env.Image()
	hashes := make([]uint64, 0, len(topics))
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		if topic := img.Topic(name); topic != nil {
			hashes = append(hashes, s.topicIndex.hash(img, topic))
		}
	}
	return groupHash(hashes)
}

// MetadataChanged has the consumer groups that are subscribed to a topic that changed look at it again: with the next heartbeat of
// a member, which is when they can do something about it. Only where all members speak the classic protocol, whose heartbeats
// ask nothing, it is done at once.
func (s *State) MetadataChanged(fx coordlog.Effects, d *image.Delta) {
	affected := make(map[*consumerGroup]struct{})
	note := func(topic string) {
		if t := s.topicIndex[topic]; t != nil {
			maps.Copy(affected, t.groups)
		}
	}
	for name, topic := range d.ChangedTopics {
		note(name)
		if d.Prev.TopicByID(topic.ID) == nil {
			s.newTopics = d.Next.Version
		}
	}
	for _, topic := range d.DeletedTopics {
		note(topic.Name)
	}
	for g := range affected {
		g.refresh = true
		if g.classicMembers > 0 && g.classicMembers == len(g.members) {
			o := s.consumer(fx, g)
			o.updateMetadata(nil, nil, "")
			if err := o.commit(); err != nil {
				o.logger().Error("a group could not be told of changed topics", slog.Any("err", err))
			}
		}
	}
}

// countTopic adds to the count of a topic's subscribers.
func (g *consumerGroup) countTopic(topic string, n subscribers) {
	_, known := g.topics[topic]
	countTopic(g.topics, topic, n)
	if g.index == nil {
		return
	}
	switch _, now := g.topics[topic]; {
	case now && !known:
		g.index.add(topic, g)
	case known && !now:
		g.index.remove(topic, g)
	}
}

func countTopic(counts map[string]subscribers, topic string, n subscribers) {
	c := counts[topic]
	c.byName += n.byName
	c.byRegex += n.byRegex
	if c == (subscribers{}) {
		delete(counts, topic)
		return
	}
	counts[topic] = c
}

// topicsAfter returns the topics that the group will be subscribed to when one value of a member has taken the place of another.
func (g *consumerGroup) topicsAfter(old, m *consumerMember) map[string]subscribers {
	if old == m || old != nil && m != nil && sameNames(old.topics, m.topics) && equalPointers(old.regex, m.regex) {
		return g.topics
	}
	topics := maps.Clone(g.topics)
	if old != nil {
		for _, topic := range old.topics {
			countTopic(topics, topic, subscribers{byName: -1})
		}
		if last := old.hasRegex() && g.regexes[*old.regex] == 1; last && (m == nil || !equalPointers(old.regex, m.regex)) {
			dropResolved(topics, g.resolved[*old.regex])
		}
	}
	if m != nil {
		for _, topic := range m.topics {
			countTopic(topics, topic, subscribers{byName: 1})
		}
	}
	return topics
}

// dropResolved takes what matched a pattern out of the counts.
func dropResolved(topics map[string]subscribers, r *resolvedRegex) {
	if r == nil {
		return
	}
	for _, topic := range r.topics {
		countTopic(topics, topic, subscribers{byRegex: -1})
	}
}

// subscribes reports whether a member is subscribed to a topic. A pattern that was not matched yet matches nothing.
func (g *consumerGroup) subscribes(m *consumerMember, img *image.Image, id protocol.TopicID) bool {
	name, ok := img.TopicNames.Lookup(id)
	if !ok {
		return false
	}
	if _, found := slices.BinarySearch(m.topics, name); found {
		return true
	}
	if !m.hasRegex() || g.resolved[*m.regex] == nil {
		return false
	}
	_, found := slices.BinarySearch(g.resolved[*m.regex].topics, name)
	return found
}

// homogeneous reports whether all members are subscribed to the same topics, as far as the counts can tell: by name all of them, or
// all by one pattern.
func homogeneous(topics map[string]subscribers, regexes map[string]int, members int) bool {
	if len(regexes) == 0 {
		for _, s := range topics {
			if s.byName != members {
				return false
			}
		}
		return true
	}
	for _, n := range regexes {
		if n != members {
			return false
		}
	}
	for _, s := range topics {
		if s.byRegex != 1 || s.byName > 0 {
			return false
		}
	}
	return true
}
