package group

import (
	"regexp/syntax"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/broker/coordlog"
)

func TestConsumerHostile(t *testing.T)      { rapid.Check(t, hostile) }
func (h *hostility) draw(n int) int         { return rapid.IntRange(0, n-1).Draw(h.t, "n") }
func (h *hostility) one(s ...string) string { return s[h.draw(len(s))] }

// hostile sends requests that no client would send, in any order, and checks that the group remains consistent and can be loaded.
func hostile(t *rapid.T) {
	h := &hostility{t: t, w: newConsumerWorld()}
	h.w.settings.InitialRebalanceDelay = 0
	h.w.settings.ConsumerMaxSize = 5
	h.w.consumer.AssignmentInterval = time.Duration(h.draw(2)) * time.Second
	m := consumerModel{t: t, w: h.w}
	m.addTopic()
	m.addTopic()
	for range rapid.IntRange(1, 60).Draw(t, "steps") {
		h.step(&m)
		checkConsumerGroup(t, h.w.shard.Machine, modelGroup)
	}
	m.reload()
	checkConsumerGroup(t, h.w.shard.Machine, modelGroup)
}

type hostility struct {
	t *rapid.T
	w *consumerWorld
}

func (h *hostility) step(m *consumerModel) {
	c := Caller{ClientID: h.one("", "c", "d"), ClientHost: "/h"}
	do := func(op func(fx coordlog.Effects, s *State)) { h.w.shard.Do(op) }
	switch h.draw(10) {
	case 0:
		req := h.join()
		do(func(fx coordlog.Effects, s *State) { s.JoinGroup(fx, c, req, func(*kmsg.JoinGroupResponse) {}) })
	case 1:
		req := h.sync()
		do(func(fx coordlog.Effects, s *State) { s.SyncGroup(fx, c, req, func(*kmsg.SyncGroupResponse) {}) })
	case 2:
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.InstanceID, req.Generation = 4, modelGroup, h.memberID(), h.instance(), h.epoch()
		do(func(fx coordlog.Effects, s *State) { s.Heartbeat(fx, c, req, func(*kmsg.HeartbeatResponse) {}) })
	case 3:
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Version, req.Group = 5, modelGroup
		for range h.draw(3) {
			req.Members = append(req.Members, kmsg.LeaveGroupRequestMember{MemberID: h.memberID(), InstanceID: h.instance()})
		}
		do(func(fx coordlog.Effects, s *State) { s.LeaveGroup(fx, c, req, func(*kmsg.LeaveGroupResponse) {}) })
	case 4:
		h.w.settings.MigrationPolicy = MigrationPolicy(h.draw(4))
		h.w.shard.Advance(time.Duration(h.draw(20)) * time.Second)
		m.changeTopics()
	default:
		req := h.heartbeat()
		do(func(fx coordlog.Effects, s *State) {
			s.ConsumerGroupHeartbeat(fx, c, req, func(*kmsg.ConsumerGroupHeartbeatResponse) {})
		})
	}
}

// memberID is one that a member has, or none has.
func (h *hostility) memberID() string {
	ids := []string{"", "a", "b", " "}
	switch g := h.w.shard.Machine.groups[modelGroup].(type) {
	case *consumerGroup:
		for _, m := range g.membersAfter(nil) {
			ids = append(ids, m.id)
		}
	case *classicGroup:
		for m := range g.inOrder() {
			ids = append(ids, m.memberID)
		}
	}
	return h.one(ids...)
}

func (h *hostility) instance() *string {
	if id := h.one("-", "-", "i", "j", ""); id != "-" {
		return &id
	}
	return nil
}

// epoch is one that members may have, and others.
func (h *hostility) epoch() int32 {
	base := int32(0)
	if g, ok := h.w.shard.Machine.groups[modelGroup].(*consumerGroup); ok {
		base = g.epoch
	}
	return rapid.SampledFrom([]int32{base, base - 1, base - 2, base + 1, 0, 0, -1, -2, -3, 1 << 30}).Draw(h.t, "epoch")
}

func (h *hostility) names() []string {
	if h.draw(3) == 0 {
		return nil
	}
	out := []string{}
	for range h.draw(4) {
		out = append(out, h.one("t0", "t1", "t2", "nope", ""))
	}
	return out
}

func (h *hostility) owned() []kmsg.ConsumerGroupHeartbeatRequestTopic {
	if h.draw(3) == 0 {
		return nil
	}
	out := []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for range h.draw(3) {
		topic := kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: [16]byte{15: byte(1 + h.draw(4))}}
		for range h.draw(4) {
			topic.Partitions = append(topic.Partitions, rapid.SampledFrom([]int32{0, 1, 2, 3, -1, 1 << 30}).Draw(h.t, "partition"))
		}
		out = append(out, topic)
	}
	return out
}

func (h *hostility) heartbeat() *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group = int16(h.draw(2)), modelGroup
	req.MemberID, req.InstanceID, req.MemberEpoch = h.memberID(), h.instance(), h.epoch()
	req.RebalanceTimeoutMillis = rapid.SampledFrom([]int32{-1, 0, 1000, 1 << 30, -5}).Draw(h.t, "rebalance")
	req.SubscribedTopicNames, req.Topics = h.names(), h.owned()
	if regex := h.one("-", "-", "", "t.*", "t[", "t0|t1"); regex != "-" {
		req.SubscribedTopicRegex = &regex
	}
	if name := h.one("-", "-", "range", "uniform", "?"); name != "-" {
		req.ServerAssignor = &name
	}
	if h.draw(2) == 0 { // a join that is taken, more often than chance would have it
		req.MemberEpoch, req.RebalanceTimeoutMillis, req.Topics = joinEpoch, 1000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	}
	return req
}

func (h *hostility) join() *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group = int16(h.draw(10)), modelGroup
	req.MemberID, req.InstanceID = h.memberID(), h.instance()
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10_000, rapid.SampledFrom([]int32{-1, 0, 1000, 1 << 30}).Draw(h.t, "rebalance")
	req.ProtocolType = h.one("consumer", "consumer", "consumer", "connect", "")
	for range h.draw(3) {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = h.one("range", "sticky", "")
		subscription := kmsg.NewConsumerMemberMetadata()
		subscription.Version, subscription.Topics = int16(h.draw(5)-1), h.names()
		for _, t := range h.owned() {
			subscription.OwnedPartitions = append(subscription.OwnedPartitions,
				kmsg.ConsumerMemberMetadataOwnedPartition{Topic: h.one("t0", "t1", "nope"), Partitions: t.Partitions})
		}
		p.Metadata = subscription.AppendTo(nil)
		if h.draw(5) == 0 {
			p.Metadata = p.Metadata[:h.draw(len(p.Metadata)+1)]
		}
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

func (h *hostility) sync() *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID = int16(h.draw(5)), modelGroup, h.memberID(), h.instance()
	req.Generation = h.epoch()
	if g, ok := h.w.shard.Machine.groups[modelGroup].(*classicGroup); ok {
		req.Generation = g.generation
	}
	for range h.draw(3) {
		a := kmsg.NewConsumerMemberAssignment()
		for _, t := range h.owned() {
			a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: h.one("t0", "t1", "nope"), Partitions: t.Partitions})
		}
		given := kmsg.NewSyncGroupRequestGroupAssignment()
		given.MemberID, given.MemberAssignment = h.memberID(), a.AppendTo(nil)
		if h.draw(5) == 0 {
			given.MemberAssignment = given.MemberAssignment[:h.draw(len(given.MemberAssignment)+1)]
		}
		req.GroupAssignment = append(req.GroupAssignment, given)
	}
	return req
}

func TestCompilePattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"foo", "foo", true},
		{"foo", "foobar", false},
		{"oo", "foo", false},
		{"a|b", "b", true},
		{"a|ab", "ab", true}, // the whole name, though the first alternative matches some of it
		{"^foo$", "foo", true},
		{`\Qa.b`, "a.b", true}, // a quotation that is not closed does not swallow what is around it
		{`\Qa.b`, "axb", false},
		{"(?i)FOO", "foo", true},
		{"(?m)foo$", "foo\nbar", false},
		{"foo.*", "foo-1_2.3", true},
		{"", "", true},
	} {
		re, err := compilePattern(tt.pattern)
		if err != nil {
			t.Errorf("%q: %v", tt.pattern, err)
			continue
		}
		if got := re.MatchString(tt.name); got != tt.want {
			t.Errorf("%q matches %q: got %t, want %t", tt.pattern, tt.name, got, tt.want)
		}
	}
	for _, pattern := range []string{
		"(", "a{2,1}", `\`, "[b-a]", "(?<n", "a**", strings.Repeat("a", maxPatternBytes+1), strings.Repeat("a{1000}", 20), "(?:(?:a{30}){30}|(?:b{30}){30}){1}" + strings.Repeat("(?:[a-z]{900})", 12),
	} {
		if _, err := compilePattern(pattern); err == nil {
			t.Errorf("%.40q is accepted", pattern)
		}
	}
}

// FuzzCompilePattern checks that patterns cost no more than they may, and that they match a name as they do when nothing but they
// decide where it begins and ends.
func FuzzCompilePattern(f *testing.F) {
	for _, seed := range []string{"foo.*", "a|b", `\Qx`, "(a{10}){10}", "(?s).", "[[:alpha:]]+", `\pL*`, "(?P<n>a)"} {
		f.Add(seed, "foo-1")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		re, err := compilePattern(pattern)
		if err != nil || len(name) > 249 {
			return
		}
		parsed, err := syntax.Parse(re.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		program, err := syntax.Compile(parsed.Simplify())
		if err != nil {
			t.Fatal(err)
		}
		if len(program.Inst) > 8*maxPatternProgram {
			t.Fatalf("a pattern of %d bytes has %d instructions", len(pattern), len(program.Inst))
		}
		re.MatchString(name)
	})
}

// TestConsumerHeartbeat_Allocs holds a heartbeat that says nothing new to what its answer costs.
func TestConsumerHeartbeat_Allocs(t *testing.T) {
	w, members := settledGroup(t, 10)
	reply := func(*kmsg.ConsumerGroupHeartbeatResponse) {}
	w.shard.Do(func(fx coordlog.Effects, s *State) {
		got := testing.AllocsPerRun(100, func() {
			s.ConsumerGroupHeartbeat(fx, Caller{ClientID: "c", ClientHost: "/127.0.0.1"}, members[5].req, reply)
		})
		if got > 5 {
			t.Errorf("a heartbeat allocates %.0f times", got)
		}
	})
}
