package group

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// TestConsumerModel has clients of both protocols come and go, crash, lose answers and take their time, while topics change, settings
// change and the coordinator fails over, and checks at every step that
//
//   - nobody consumes a partition that another consumes, or what the coordinator does not know it to own,
//   - the group is consistent in itself, and its epochs are in order,
//   - a coordinator that loads the log is in the state of the one before;
//
// and that once everything is quiet, every partition is consumed by one subscriber.
func TestConsumerModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newConsumerModel(t)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			m.step()
			m.check()
		}
		m.settle()
	})
}

const modelGroup = "g"

// tp is a partition of a topic.
type tp struct {
	topic     protocol.TopicID
	partition int32
}

// consumerModel is the world of a consumerWorld, with clients that behave as clients do.
type consumerModel struct {
	t           *rapid.T
	w           *consumerWorld
	clients     []*consumerClient
	named       int // clients so far
	topics      int // topics so far
	answers     []func()
	cooperative bool     // members of the classic protocol keep what they own while they join
	trace       []string // what clients and the coordinator said, for a failure
}

// consumerClient is a consumer. It uses what it was told that it may use, and gives up the rest in its own time.
type consumerClient struct {
	id       string
	classic  bool
	instance *string
	topics   []string
	regex    *string
	assignor *string

	joined bool
	full   bool // its next heartbeat says everything: it is not sure what was heard
	epoch  int32
	uses   map[tp]bool
	told   map[tp]bool // what it may use; nil: nothing new
}

func newConsumerModel(t *rapid.T) *consumerModel {
	m := &consumerModel{t: t, w: newConsumerWorld()}
	m.w.settings.InitialRebalanceDelay = 0
	m.cooperative = rapid.Bool().Draw(t, "cooperative")
	m.addTopic()
	return m
}

func (m *consumerModel) draw(n int, label string) int { return rapid.IntRange(0, n-1).Draw(m.t, label) }

func (m *consumerModel) flip(label string) bool { return rapid.Bool().Draw(m.t, label) }

func (m *consumerModel) one() *consumerClient {
	if len(m.clients) == 0 {
		return nil
	}
	return m.clients[m.draw(len(m.clients), "client")]
}

// do runs an operation, and then has clients act on the answers.
func (m *consumerModel) do(op func(fx coordlog.Effects, s *State)) {
	m.w.shard.Do(op)
	m.deliver()
}

func (m *consumerModel) advance(d time.Duration) {
	m.w.shard.Advance(d)
	m.deliver()
}

func (m *consumerModel) deliver() {
	for len(m.answers) > 0 {
		next := m.answers[0]
		m.answers = m.answers[1:]
		next()
	}
}

func (m *consumerModel) step() {
	c := m.one()
	switch step := m.draw(20, "step"); {
	case step < 4 || c == nil:
		m.addClient()
	case step < 12:
		m.act(c, m.draw(5, "lost") == 0)
	case step == 12:
		c.finishRevocation()
	case step == 13:
		m.leave(c)
	case step == 14:
		m.clients = slices.DeleteFunc(m.clients, func(other *consumerClient) bool { return other == c }) // it crashes
	case step == 15:
		m.resubscribe(c)
	case step == 16:
		m.changeTopics()
	case step == 17:
		m.advance(time.Duration(m.draw(30, "seconds")) * time.Second)
	case step == 18:
		m.reconfigure()
	default:
		m.reload()
	}
}

func (m *consumerModel) addClient() {
	if len(m.clients) >= 6 {
		return
	}
	m.named++
	c := &consumerClient{id: fmt.Sprintf("c%d", m.named), classic: m.draw(3, "classic") == 0, uses: make(map[tp]bool)}
	if m.draw(3, "static") == 0 {
		instance := fmt.Sprintf("i%d", m.draw(3, "instance"))
		c.instance = &instance
	}
	if c.classic {
		c.id = ""
	}
	m.clients = append(m.clients, c)
	m.resubscribe(c)
}

func (m *consumerModel) resubscribe(c *consumerClient) {
	c.topics, c.regex = nil, nil
	for i := range m.topics {
		if m.draw(3, "subscribed") > 0 {
			c.topics = append(c.topics, fmt.Sprintf("t%d", i))
		}
	}
	if !c.classic {
		regex := []string{"", "t.*", "t[01]"}[m.draw(3, "regex")]
		c.regex = &regex
		if m.draw(4, "assignor") == 0 {
			name := []string{"uniform", "range"}[m.draw(2, "name")]
			c.assignor = &name
		}
	}
	c.full = true
	if c.classic { // it joins again with the new subscription
		m.rejoin(c)
	}
}

// rejoin has a classic client join again. An eager one gives everything up before.
func (m *consumerModel) rejoin(c *consumerClient) {
	c.joined = false
	if !m.cooperative {
		clear(c.uses)
	}
}

// lose has a classic client join again, since it is not what it thought to be: it has lost everything.
func (c *consumerClient) lose() {
	c.joined = false
	clear(c.uses)
}

func (m *consumerModel) addTopic() {
	name := fmt.Sprintf("t%d", m.topics)
	m.topics++
	m.createTopic(name)
}

func (m *consumerModel) createTopic(name string) {
	id := protocol.TopicID{14: byte(m.w.image.Version >> 8), 15: byte(m.w.image.Version + 1)}
	records := append([]metadata.Record{&metadata.TopicRecord{Name: name, ID: id}}, newPartitions(id, 0, 1+m.draw(6, "partitions"))...)
	m.w.apply(m.t, records)
}

func (m *consumerModel) changeTopics() {
	name := fmt.Sprintf("t%d", m.draw(m.topics, "topic"))
	topic := m.w.image.Topic(name)
	switch {
	case m.topics < 4 && m.flip("new topic"):
		m.addTopic()
	case topic == nil:
		m.createTopic(name)
	case m.draw(3, "delete") == 0:
		m.w.apply(m.t, []metadata.Record{&metadata.RemoveTopicRecord{ID: topic.ID}})
	default:
		m.w.apply(m.t, newPartitions(topic.ID, len(topic.Partitions), len(topic.Partitions)+1))
	}
}

func (m *consumerModel) reconfigure() {
	m.w.settings.MigrationPolicy = MigrationPolicy(m.draw(4, "policy"))
	m.w.consumer.AssignmentInterval = time.Duration(m.draw(3, "interval")) * time.Second
}

// act has a client do what it does next.
func (m *consumerModel) act(c *consumerClient, lost bool) {
	switch {
	case !c.classic:
		m.heartbeat(c, lost)
	case !c.joined:
		m.join(c, lost)
	default:
		m.classicHeartbeat(c)
	}
}

func (m *consumerModel) heartbeat(c *consumerClient, lost bool) {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = 1, modelGroup, c.id, c.instance, c.epoch
	if !c.joined {
		req.MemberEpoch = joinEpoch
		clear(c.uses)
		c.told, c.full = nil, true
	}
	if c.full && c.gains() {
		// What it says it owns is what it will use. If it were still about to begin with partitions that it was given, the coordinator
		// would take it to have given them up: nothing in the protocol tells the one from the other.
		c.finishRevocation()
	}
	if c.full {
		req.RebalanceTimeoutMillis = 20_000
		req.SubscribedTopicNames = append([]string{}, c.topics...)
		req.SubscribedTopicRegex, req.ServerAssignor = c.regex, c.assignor
	}
	if c.full || c.told == nil {
		req.Topics = m.owned(c)
	}
	var got *kmsg.ConsumerGroupHeartbeatResponse
	m.do(func(fx coordlog.Effects, s *State) {
		s.ConsumerGroupHeartbeat(fx, Caller{ClientID: "c", ClientHost: "/h"}, req, func(r *kmsg.ConsumerGroupHeartbeatResponse) { got = r })
	})
	if got == nil {
		m.t.Fatal("a heartbeat was not answered")
	}
	m.trace = append(m.trace, fmt.Sprintf("%s epoch %d full %t owns %v: %s epoch %d assigned %v lost %t", c.id, req.MemberEpoch,
		req.RebalanceTimeoutMillis >= 0, req.Topics, errcode.Name(got.ErrorCode), got.MemberEpoch, got.Assignment, lost))
	if lost {
		c.full = true
		return
	}
	switch errcode.Kind(got.ErrorCode) {
	case errcode.KindNone:
		c.joined, c.full, c.epoch = true, false, got.MemberEpoch
		if got.Assignment != nil {
			c.told = make(map[tp]bool)
			for _, t := range got.Assignment.Topics {
				for _, p := range t.Partitions {
					c.told[tp{t.TopicID, p}] = true
				}
			}
		}
	case errcode.KindFencedMemberEpoch, errcode.KindUnknownMemberID, errcode.KindGroupIDNotFound,
		errcode.KindUnreleasedInstanceID, errcode.KindFencedInstanceID:
		c.joined = false
		clear(c.uses)
		if c.instance != nil && got.ErrorCode == int16(errcode.KindFencedInstanceID) {
			c.instance = nil // another has taken its place: this one goes on without
		}
	default:
		m.t.Fatalf("a heartbeat was answered with %s", errcode.Name(got.ErrorCode))
	}
}

// owned is what a client says that it owns.
func (m *consumerModel) owned(c *consumerClient) []kmsg.ConsumerGroupHeartbeatRequestTopic {
	byTopic := make(map[protocol.TopicID][]int32)
	for p := range c.uses {
		byTopic[p.topic] = append(byTopic[p.topic], p.partition)
	}
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for id, partitions := range byTopic {
		out = append(out, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: id, Partitions: partitions})
	}
	return out
}

// gains reports whether the client is to begin with a partition.
func (c *consumerClient) gains() bool {
	for p := range c.told {
		if !c.uses[p] {
			return true
		}
	}
	return false
}

// finishRevocation has a client give up what it is not to use any more, and begin with what is new to it.
func (c *consumerClient) finishRevocation() {
	if c.told == nil || !c.joined {
		return
	}
	c.uses = maps.Clone(c.told)
	c.told = nil
	c.full = true
}

func (m *consumerModel) join(c *consumerClient, lost bool) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = 3, modelGroup, c.id, c.instance // a version without MEMBER_ID_REQUIRED
	if c.instance != nil {
		req.Version = 5
	}
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 10_000, 20_000, "consumer"
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Version, subscription.Topics = 3, c.topics
	for _, owned := range m.owned(c) {
		if name, ok := m.w.image.TopicNames.Lookup(owned.TopicID); ok {
			subscription.OwnedPartitions = append(subscription.OwnedPartitions, kmsg.ConsumerMemberMetadataOwnedPartition{Topic: name, Partitions: owned.Partitions})
		}
	}
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", subscription.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	answered := func(r *kmsg.JoinGroupResponse) {
		if lost || c.joined {
			return
		}
		switch errcode.Kind(r.ErrorCode) {
		case errcode.KindNone:
			c.id, c.epoch, c.joined = r.MemberID, r.Generation, true
			m.sync(c, r)
		case errcode.KindUnknownMemberID:
			c.id = ""
			c.lose()
		case errcode.KindFencedInstanceID:
			c.id, c.instance = "", nil
			c.lose()
		default: // rebalancing, not wanted: it tries again
		}
	}
	m.do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, Caller{ClientID: "c", ClientHost: "/h"}, req, func(r *kmsg.JoinGroupResponse) {
			m.answers = append(m.answers, func() { answered(r) })
		})
	})
}

// sync has a client ask for its assignment, and the leader of a classic group assign the partitions, one after the other.
func (m *consumerModel) sync(c *consumerClient, joined *kmsg.JoinGroupResponse) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, modelGroup, c.id, c.instance, c.epoch
	if joined.LeaderID == c.id {
		req.GroupAssignment = m.lead(joined)
	}
	synced := func(r *kmsg.SyncGroupResponse) {
		if req.Generation != c.epoch || !c.joined {
			return // it has gone on
		}
		switch {
		case r.ErrorCode == int16(errcode.KindRebalanceInProgress):
			m.rejoin(c)
			return
		case r.ErrorCode != 0:
			c.lose()
			return
		}
		given, err := schema.DecodeAssignment(r.MemberAssignment)
		if len(r.MemberAssignment) > 0 && err != nil {
			m.t.Fatal(err)
		}
		before := len(c.uses)
		kept := 0
		uses := make(map[tp]bool)
		for _, t := range assignmentByID(m.w.image, given.Topics) {
			for _, p := range t.Partitions {
				uses[tp{t.TopicID, p}] = true
				if c.uses[tp{t.TopicID, p}] {
					kept++
				}
			}
		}
		c.uses = uses
		if kept < before { // it has given something up: it says so
			m.rejoin(c)
		}
	}
	m.do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{}, req, func(r *kmsg.SyncGroupResponse) { m.answers = append(m.answers, func() { synced(r) }) })
	})
}

func (m *consumerModel) lead(joined *kmsg.JoinGroupResponse) []kmsg.SyncGroupRequestGroupAssignment {
	spec := assignor.Spec{Topics: specTopics(m.w.image, m.allTopics())}
	owners := make(map[tp]string)
	for _, member := range joined.Members {
		subscription, err := schema.DecodeSubscription(member.ProtocolMetadata)
		if err != nil {
			m.t.Fatal(err)
		}
		subscribed := assignor.Member{ID: member.MemberID}
		for i, topic := range spec.Topics {
			if slices.Contains(subscription.Topics, m.w.image.TopicNames.Get(topic.ID)) {
				subscribed.Topics = append(subscribed.Topics, int32(i))
			}
		}
		subscribed.Target = asTarget(targetTopics(ownedByID(m.w.image, subscription.OwnedPartitions)))
		for _, t := range subscribed.Target {
			for _, p := range t.Partitions {
				owners[tp{t.TopicID, p}] = member.MemberID
			}
		}
		spec.Members = append(spec.Members, subscribed)
	}
	slices.SortFunc(spec.Members, func(a, b assignor.Member) int { return cmp.Compare(a.ID, b.ID) })
	var out []kmsg.SyncGroupRequestGroupAssignment
	for i, a := range (assignor.Uniform{}).Assign(spec) {
		given := kmsg.NewSyncGroupRequestGroupAssignment()
		given.MemberID = spec.Members[i].ID
		assignment := kmsg.NewConsumerMemberAssignment()
		for _, t := range a {
			free := slices.DeleteFunc(slices.Clone(t.Partitions), func(p int32) bool {
				owner := owners[tp{t.TopicID, p}]
				return owner != "" && owner != given.MemberID // it has to give it up first, and then joins again
			})
			assignment.Topics = append(assignment.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: m.w.image.TopicNames.Get(t.TopicID), Partitions: free})
		}
		given.MemberAssignment = assignment.AppendTo(nil)
		out = append(out, given)
	}
	return out
}

func (m *consumerModel) allTopics() map[string]subscribers {
	out := make(map[string]subscribers)
	for name := range m.w.image.Topics.All() {
		out[name] = subscribers{byName: 1}
	}
	return out
}

func (m *consumerModel) classicHeartbeat(c *consumerClient) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, modelGroup, c.id, c.instance, c.epoch
	m.do(func(fx coordlog.Effects, s *State) {
		s.Heartbeat(fx, Caller{}, req, func(r *kmsg.HeartbeatResponse) {
			switch errcode.Kind(r.ErrorCode) {
			case errcode.KindNone:
			case errcode.KindUnknownMemberID:
				c.id = ""
				c.lose()
			case errcode.KindFencedInstanceID:
				c.id, c.instance = "", nil
				c.lose()
			case errcode.KindRebalanceInProgress:
				m.rejoin(c)
			default:
				c.lose()
			}
		})
	})
}

// leave has a client stop. A static one comes back under its instance id, of one protocol or the other.
func (m *consumerModel) leave(c *consumerClient) {
	m.clients = slices.DeleteFunc(m.clients, func(other *consumerClient) bool { return other == c })
	switch {
	case !c.joined:
	case c.classic && c.instance == nil:
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Version, req.Group, req.MemberID = 1, modelGroup, c.id
		m.do(func(fx coordlog.Effects, s *State) {
			s.LeaveGroup(fx, Caller{}, req, func(*kmsg.LeaveGroupResponse) {})
		})
	case !c.classic:
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.InstanceID, req.MemberEpoch = 1, modelGroup, c.id, c.instance, leaveEpoch
		if c.instance != nil && m.flip("comes back") {
			req.MemberEpoch = leaveStaticEpoch
		}
		m.do(func(fx coordlog.Effects, s *State) {
			s.ConsumerGroupHeartbeat(fx, Caller{}, req, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
		})
	}
}

func (m *consumerModel) reload() {
	before := dumpGroup(m.w.shard.Machine.groups[modelGroup])
	next, err := m.w.shard.Reload(m.w.machine())
	if err != nil {
		m.t.Fatal(err)
	}
	m.w.shard = next
	if after := dumpGroup(next.Machine.groups[modelGroup]); strings.HasPrefix(before, "consumer") && before != after {
		m.t.Fatalf("a group that was loaded is not what it was:\n%s\nbut\n%s", before, after)
	}
	for _, c := range m.clients { // who waited for an answer gets none
		if c.classic && !c.joined {
			m.rejoin(c)
		}
	}
}

// dumpGroup is everything that a group is by its records.
func dumpGroup(g group) string {
	c, ok := g.(*consumerGroup)
	if !ok {
		return "another"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "consumer %d %x %d %d %v\n", c.epoch, c.metadataHash, c.assignmentEpoch, c.assignmentTimestamp, c.static)
	for _, m := range c.membersAfter(nil) {
		fmt.Fprintf(&b, "%s %d %d %d %s %s %d %v %s %s %v %v\n  %v\n", m.id, m.epoch, m.previousEpoch, m.state, or(m.instanceID), or(m.rackID),
			m.rebalanceTimeout, m.topics, or(m.regex), or(m.assignor), m.assigned, m.revoking, c.targets[m.id])
	}
	for _, pattern := range slices.Sorted(maps.Keys(c.resolved)) {
		fmt.Fprintf(&b, "%s %v\n", pattern, *c.resolved[pattern])
	}
	fmt.Fprintf(&b, "%v %v %v %v %v %d %v", c.partitionEpochs, c.topics, c.regexes, c.assignors, c.protocols, c.classicMembers, c.stable)
	return b.String()
}

// check checks what has to be true at any time.
func (m *consumerModel) check() {
	m.checkUsers()
	checkConsumerGroup(m.t, m.w.shard.Machine, modelGroup)
}

// checkConsumerGroup checks that a consumer group is consistent in itself. Another one may be anything.
func checkConsumerGroup(t rapid.TB, s *State, groupID string) {
	t.Helper()
	g, ok := s.groups[groupID].(*consumerGroup)
	if !ok {
		return
	}
	fresh := newConsumerGroup(groupID)
	fresh.epoch, fresh.assignmentEpoch, fresh.metadataHash = g.epoch, g.assignmentEpoch, g.metadataHash
	fresh.assignmentTimestamp, fresh.targets = g.assignmentTimestamp, g.targets
	for _, member := range g.members {
		copied := *member
		if err := fresh.setMember(&copied); err != nil { // two own the same
			t.Fatal(err)
		}
		if member.epoch > g.assignmentEpoch {
			t.Fatalf("member %s has epoch %d, the target assignment %d", member.id, member.epoch, g.assignmentEpoch)
		}
	}
	for pattern, r := range g.resolved {
		fresh.setResolved(pattern, r)
	}
	if got, want := dumpGroup(g), dumpGroup(fresh); got != want {
		t.Fatalf("the group is\n%s\nbut its members make it\n%s", got, want)
	}
	if g.assignmentEpoch > g.epoch {
		t.Fatalf("target assignment %d of group epoch %d", g.assignmentEpoch, g.epoch)
	}
	for topic, indexed := range s.topicIndex {
		_, has := indexed.groups[g]
		if g.subscribed(topic) != has {
			t.Fatalf("topic %s: in the index %t, subscribed %t", topic, has, g.subscribed(topic))
		}
	}
	for topic := range g.topics {
		if s.topicIndex[topic] == nil {
			t.Fatalf("topic %s is not in the index", topic)
		}
	}
}

// checkUsers checks that a partition is used by one client. A client whose member is gone has to stop by itself: it was not heard of
// for too long.
func (m *consumerModel) checkUsers() {
	users := make(map[tp]string)
	g := m.w.shard.Machine.groups[modelGroup]
	for _, c := range m.clients {
		consumer, ok := g.(*consumerGroup)
		var member *consumerMember
		if ok {
			member = consumer.members[c.id]
		}
		if ok && (member == nil || member.isClassic() != c.classic) {
			continue
		}
		if classic, ok := g.(*classicGroup); ok && classic.members[c.id] == nil {
			continue
		}
		for p := range c.uses {
			if _, exists := m.w.image.TopicNames.Lookup(p.topic); !exists {
				continue // there is nothing to consume
			}
			if member != nil {
				_, assigned := member.assigned.find(p.topic, p.partition)
				_, revoking := member.revoking.find(p.topic, p.partition)
				if !assigned && !revoking && c.joined && c.epoch == member.epoch {
					m.t.Fatalf("client %s uses %v, which the coordinator does not know it to own: %s\n%s", c.id, p, dumpGroup(g), m.story())
				}
			}
			if other, twice := users[p]; twice {
				m.t.Fatalf("%s and %s use %v: %s\n%s", c.id, other, p, dumpGroup(g), m.story())
			}
			users[p] = c.id
		}
	}
}

// settle lets everything come to rest, and checks that it is at the target.
func (m *consumerModel) settle() {
	m.w.settings.MigrationPolicy = MigrationBidirectional
	live := m.clients[:0]
	instances := make(map[string]bool)
	for _, c := range m.clients { // of several clients with an instance id, all but one are misconfigured
		if c.instance != nil && instances[*c.instance] {
			continue
		}
		if c.instance != nil {
			instances[*c.instance] = true
		}
		live = append(live, c)
		if c.classic { // the leader sees that topics have changed
			m.rejoin(c)
		}
	}
	m.clients = live
	if len(m.clients) == 0 {
		return
	}
	for range 60 {
		for _, c := range m.clients {
			m.act(c, false)
			m.check()
			c.finishRevocation()
			m.check()
		}
		m.advance(3 * time.Second)
	}
	g := m.w.shard.Machine.groups[modelGroup]
	if g.state() != "Stable" {
		m.t.Fatalf("the group is %s after everything was quiet: %s\n%s", g.state(), dumpGroup(g), m.story())
	}
	users := make(map[tp]bool)
	for _, c := range m.clients {
		if !c.joined {
			m.t.Fatalf("client %s has not joined: %s", c.id, m.story())
		}
		maps.Copy(users, c.uses)
	}
	for name, topic := range m.w.image.Topics.All() {
		wanted := slices.ContainsFunc(m.clients, func(c *consumerClient) bool { return c.wants(name) })
		for p := range topic.Partitions {
			if used := users[tp{topic.ID, int32(p)}]; used != wanted {
				m.t.Fatalf("partition %s-%d: wanted %t, used %t: %s\n%s", name, p, wanted, used, dumpGroup(g), m.story())
			}
		}
	}
}

// story is the timeline of the group.
func (m *consumerModel) story() string {
	var b strings.Builder
	for _, line := range m.trace {
		b.WriteString(line + "\n")
	}
	for _, e := range m.w.shard.Machine.Timeline(modelGroup) {
		fmt.Fprintf(&b, "%s %s %d %s %s\n", e.Time.Format(time.TimeOnly), e.Kind, e.Epoch, e.MemberID, e.Reason)
	}
	return b.String()
}

func (c *consumerClient) wants(topic string) bool {
	if slices.Contains(c.topics, topic) {
		return true
	}
	if c.regex == nil || *c.regex == "" {
		return false
	}
	re, err := compilePattern(*c.regex)
	return err == nil && re.MatchString(topic)
}
