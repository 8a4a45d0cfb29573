package group

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// TestClassicModel has clients do what comes to their minds, in groups whose coordinator is loaded anew now and then, and checks
// after each step what must be true of every classic group.
func TestClassicModel(t *testing.T) {
	runs := 60
	if testing.Short() {
		runs = 10
	}
	for seed := range runs {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			m := newClassicModel(t, uint64(seed))
			for range 600 {
				m.step()
				m.check()
			}
			m.drain()
		})
	}
}

// classicModel is a coordinator, its clients, and what was observed.
type classicModel struct {
	t        *testing.T
	rand     *rand.Rand
	settings Settings
	shard    *coordtest.Shard[*State]
	clients  []*modelClient
	trace    []string

	asked, answered int              // requests whose answers count: those of a coordinator that was thrown away do not
	coordinator     int              // how many of those there were
	logged          map[string]int32 // the generation in the latest record of a group
	seen            int              // records that were looked at
}

// modelClient is a client that believes what it was told last.
type modelClient struct {
	name, group   string
	instance      *string
	memberID      string
	generation    int32
	typ, protocol *string
	leads, skips  bool
	members       []string // that the leader has to assign to
}

func newClassicModel(t *testing.T, seed uint64) *classicModel {
	m := &classicModel{t: t, rand: rand.New(rand.NewPCG(seed, 0)), settings: classicSettings(), logged: make(map[string]int32)}
	m.settings.InitialRebalanceDelay = time.Duration(m.rand.IntN(2)) * 3 * time.Second
	m.shard = coordtest.New(m.machine())
	for i := range 12 {
		c := &modelClient{name: fmt.Sprint("c", i), group: fmt.Sprint("g", i%3), generation: -1}
		if i%4 == 0 {
			c.instance = new(fmt.Sprint("i", i%8)) // some share one
		}
		m.clients = append(m.clients, c)
	}
	return m
}

func (m *classicModel) machine() *State {
	return NewState(Env{
		Settings: func() Settings { return m.settings }, Rand: m.rand, Logger: slog.New(slog.DiscardHandler),
	})
}

func (m *classicModel) fatalf(format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n  %s", fmt.Sprintf(format, a...), strings.Join(m.trace[max(0, len(m.trace)-40):], "\n  "))
}

func (m *classicModel) note(format string, a ...any) {
	m.trace = append(m.trace, fmt.Sprintf(format, a...))
}

// step has a client, or the world, do something.
func (m *classicModel) step() {
	c := m.clients[m.rand.IntN(len(m.clients))]
	switch n := m.rand.IntN(100); {
	case n < 35:
		m.join(c)
	case n < 60:
		m.sync(c)
	case n < 75:
		m.heartbeat(c)
	case n < 80:
		m.leave(c)
	case n < 85:
		m.commit(c)
	case n < 93:
		m.advance(time.Duration(m.rand.IntN(9000)) * time.Millisecond)
	case n < 95:
		m.advance(time.Duration(m.rand.IntN(60)) * time.Second)
	case n < 96:
		m.reload()
	case n < 97:
		m.settings.MaxSize = 2 + m.rand.IntN(4)
		m.note("the group size is limited to %d", m.settings.MaxSize)
	case n < 98:
		m.shard.MaxBatch = []int{0, 0, 150, 400}[m.rand.IntN(4)]
		m.note("batches are limited to %d", m.shard.MaxBatch)
	case n < 99:
		m.delete(c.group)
	default: // it forgets who it is, as after a crash
		c.memberID, c.generation = "", -1
		m.note("%s crashes", c.name)
	}
}

// expect counts a request and returns what its answer has to call.
func (m *classicModel) expect(c *modelClient) (answer func()) {
	m.asked++
	coordinator, count := m.coordinator, 0
	return func() {
		if count++; count > 1 {
			m.fatalf("%s was answered twice", c.name)
		}
		if coordinator != m.coordinator {
			m.fatalf("%s was answered by a coordinator that was thrown away", c.name)
		}
		m.answered++
	}
}

func (m *classicModel) do(op func(fx coordlog.Effects, s *State)) {
	m.shard.Do(op)
}

func (m *classicModel) join(c *modelClient) {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(m.rand.IntN(10))
	req.Group, req.MemberID, req.InstanceID = c.group, c.memberID, c.instance
	if c.instance != nil {
		req.Version = 5 + int16(m.rand.IntN(5))
		if m.rand.IntN(3) == 0 {
			req.MemberID = ""
		}
	}
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 6000+int32(m.rand.IntN(20_000)), int32(m.rand.IntN(40_000))
	req.ProtocolType = "consumer"
	names := []string{"a", "b", "c"}
	m.rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names[m.rand.IntN(3)/2:] {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, subscription(fmt.Sprint("t", m.rand.IntN(10)/9))
		req.Protocols = append(req.Protocols, p)
	}
	m.note("%s joins %s as %q v%d", c.name, req.Group, req.MemberID, req.Version)
	answer := m.expect(c)
	m.do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, Caller{ClientID: c.name}, req, func(resp *kmsg.JoinGroupResponse) {
			answer()
			m.joined(c, resp)
		})
	})
}

func (m *classicModel) joined(c *modelClient, resp *kmsg.JoinGroupResponse) {
	m.note("%s: join %s generation %d leader %q as %q", c.name, errcode.Name(resp.ErrorCode), resp.Generation, resp.LeaderID, resp.MemberID)
	switch errcode.Kind(resp.ErrorCode) {
	case errcode.KindNone:
		c.memberID, c.generation, c.typ, c.protocol = resp.MemberID, resp.Generation, resp.ProtocolType, resp.Protocol
		c.leads, c.skips = resp.MemberID == resp.LeaderID, resp.SkipAssignment
		c.members = c.members[:0]
		for i := range resp.Members {
			c.members = append(c.members, resp.Members[i].MemberID)
		}
		if c.leads != (len(c.members) > 0) {
			m.fatalf("%s leads: %t, and heard of %d members", c.name, c.leads, len(c.members))
		}
		if g := m.shard.Machine.groups[c.group].(*classicGroup); g.generation != c.generation || g.members[c.memberID] == nil {
			m.fatalf("%s was told generation %d of %d as %s", c.name, c.generation, g.generation, c.memberID)
		}
	case errcode.KindMemberIDRequired:
		c.memberID, c.generation = resp.MemberID, -1
	case errcode.KindUnknownMemberID, errcode.KindFencedInstanceID, errcode.KindGroupMaxSizeReached:
		c.memberID, c.generation = "", -1
	default: // it tries again
	}
}

// assignment is what a leader of the model gives to each member.
func assignment(generation int32) []byte { return fmt.Appendf(nil, "of generation %d", generation) }

func (m *classicModel) sync(c *modelClient) {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(m.rand.IntN(6))
	req.Group, req.MemberID, req.InstanceID, req.Generation = c.group, c.memberID, c.instance, m.generation(c)
	req.ProtocolType, req.Protocol = c.typ, c.protocol
	if req.Version >= syncWithProtocol && (req.Protocol == nil || req.ProtocolType == nil) {
		req.Version = syncWithProtocol - 1
	}
	if c.leads && !c.skips {
		for _, id := range c.members {
			a := kmsg.NewSyncGroupRequestGroupAssignment()
			a.MemberID, a.MemberAssignment = id, assignment(req.Generation)
			req.GroupAssignment = append(req.GroupAssignment, a)
		}
	}
	m.note("%s syncs %s as %q generation %d", c.name, c.group, req.MemberID, req.Generation)
	answer := m.expect(c)
	m.do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{}, req, func(resp *kmsg.SyncGroupResponse) {
			answer()
			m.note("%s: sync %s %q", c.name, errcode.Name(resp.ErrorCode), resp.MemberAssignment)
			if resp.ErrorCode != 0 {
				return
			}
			m.accepted(c, req.MemberID, req.Generation)
			if want := assignment(req.Generation); string(resp.MemberAssignment) != string(want) {
				m.fatalf("%s got the assignment %q, want %q", c.name, resp.MemberAssignment, want)
			}
		})
	})
}

// generation returns the one that a client knows, or now and then a wrong one.
func (m *classicModel) generation(c *modelClient) int32 {
	if m.rand.IntN(10) == 0 {
		return c.generation + int32(m.rand.IntN(3)) - 1
	}
	return c.generation
}

// accepted checks that a request which was accepted came from a member of the current generation.
func (m *classicModel) accepted(c *modelClient, memberID string, generation int32) {
	g := m.shard.Machine.groups[c.group].(*classicGroup)
	if g.members[memberID] == nil || generation != g.generation {
		m.fatalf("%s was accepted as %q of generation %d, which is %d", c.name, memberID, generation, g.generation)
	}
}

func (m *classicModel) heartbeat(c *modelClient) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = c.group, c.memberID, c.instance, m.generation(c)
	answer := m.expect(c)
	m.do(func(fx coordlog.Effects, s *State) {
		s.Heartbeat(fx, Caller{}, req, func(resp *kmsg.HeartbeatResponse) {
			answer()
			if kind := errcode.Kind(resp.ErrorCode); kind == errcode.KindNone || kind == errcode.KindRebalanceInProgress {
				m.accepted(c, req.MemberID, req.Generation)
			}
			m.note("%s: heartbeat %s", c.name, errcode.Name(resp.ErrorCode))
		})
	})
}

func (m *classicModel) leave(c *modelClient) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group, req.MemberID = int16(m.rand.IntN(6)), c.group, c.memberID
	for _, other := range append([]*modelClient{c}, m.clients[m.rand.IntN(len(m.clients)):]...) {
		member := kmsg.NewLeaveGroupRequestMember()
		member.MemberID, member.InstanceID = other.memberID, other.instance
		if other.instance != nil && m.rand.IntN(2) == 0 {
			member.MemberID = ""
		}
		if req.Members = append(req.Members, member); m.rand.IntN(2) == 0 {
			break
		}
	}
	answer := m.expect(c)
	m.do(func(fx coordlog.Effects, s *State) {
		s.LeaveGroup(fx, Caller{}, req, func(resp *kmsg.LeaveGroupResponse) {
			answer()
			m.note("%s: leave %s, %d members", c.name, errcode.Name(resp.ErrorCode), len(resp.Members))
		})
	})
}

func (m *classicModel) commit(c *modelClient) {
	m.do(func(fx coordlog.Effects, s *State) {
		g, ok := s.groups[c.group].(*classicGroup)
		if !ok {
			return
		}
		request := commit{memberID: c.memberID, instanceID: c.instance, generation: m.generation(c)}
		if _, err := g.checkCommit(request); err == nil && !g.empty() {
			m.accepted(c, request.memberID, request.generation)
			g.renew(fx, c.memberID)
			m.note("%s commits", c.name)
		}
	})
}

func (m *classicModel) advance(d time.Duration) {
	m.note("%s pass", d)
	m.shard.Advance(d)
}

// delete removes a group that is empty.
func (m *classicModel) delete(groupID string) {
	m.do(func(fx coordlog.Effects, s *State) {
		if g, ok := s.groups[groupID].(*classicGroup); !ok || len(g.pendingJoin) > 0 {
			return
		}
		s.DeleteGroup(fx, Caller{}, groupID, func(resp kmsg.DeleteGroupsResponseGroup) {
			m.note("delete %s: %s", groupID, errcode.Name(resp.ErrorCode))
		})
	})
}

// reload makes another broker the coordinator. A stable group is the same afterwards.
func (m *classicModel) reload() {
	m.note("another broker becomes the coordinator")
	before := m.stable()
	next, err := m.shard.Reload(m.machine())
	if err != nil {
		m.t.Fatal(err)
	}
	m.shard = next
	m.coordinator++
	m.asked, m.answered = 0, 0 // those that wait are answered by the shard
	after := m.stable()
	for id, want := range before {
		if got, limit := after[id], m.settings.MaxSize; want != got && (got != "" || len(m.shard.Machine.groups[id].(*classicGroup).members) <= limit) {
			m.fatalf("group %s after a reload:\n%s", id, cmp.Diff(want, got))
		}
	}
}

// stable returns what has to survive of each stable group.
func (m *classicModel) stable() map[string]string {
	out := make(map[string]string)
	for id, g := range m.shard.Machine.groups {
		g := g.(*classicGroup)
		if g.phase != classicStable {
			continue
		}
		text := fmt.Sprintf("generation %d leader %s protocol %s type %s\n", g.generation, g.leader, *g.protocol, g.typ)
		for c := range g.inOrder() {
			text += fmt.Sprintf("%s %s %s %s %q %q\n", c.memberID, or(c.instanceID), c.sessionTimeout, c.rebalanceTimeout, c.metadata(*g.protocol), c.assignment)
		}
		out[id] = text
	}
	return out
}

// check checks what is always true.
func (m *classicModel) check() {
	m.t.Helper()
	parked := 0
	timers := m.timers()
	for _, g := range m.shard.Machine.groups {
		g := g.(*classicGroup)
		if err := checkClassicGroup(g); err != "" {
			m.fatalf("group %s in %s: %s", g.groupID, g.phase, err)
		}
		for c := range g.inOrder() {
			if c.awaitingJoin() {
				parked++
			}
			if c.awaitingSync() {
				parked++
			}
		}
		if err := checkClassicTimers(g, timers); err != "" {
			m.fatalf("group %s in %s: %s", g.groupID, g.phase, err)
		}
	}
	for timer := range timers {
		m.fatalf("timer %q is nobody's", timer)
	}
	if m.asked-m.answered != parked {
		m.fatalf("%d requests are not answered, and %d members wait", m.asked-m.answered, parked)
	}
	m.checkLog()
}

// checkClassicGroup checks the invariants of a classic group.
func checkClassicGroup(g *classicGroup) string {
	supported := make(map[string]int)
	static, joins, syncs := 0, 0, 0
	for c := range g.inOrder() {
		if g.members[c.memberID] != c {
			return "order is not that of the members"
		}
		for _, p := range c.protocols {
			supported[p.name]++
		}
		if c.isStatic() {
			if static++; g.static[*c.instanceID] != c.memberID {
				return "instance id " + *c.instanceID + " is not that of " + c.memberID
			}
		}
		if c.awaitingJoin() {
			joins++
		}
		if c.awaitingSync() {
			syncs++
		}
		if _, both := g.pendingJoin[c.memberID]; both {
			return c.memberID + " is a member, and is waited for to join"
		}
		if c.isNew && !c.awaitingJoin() {
			return c.memberID + " is new, and was told that it has joined"
		}
		if _, pending := g.pendingSync[c.memberID]; g.phase == classicCompleting && pending == c.awaitingSync() {
			return c.memberID + " has to sync and does, or neither"
		}
		if want := assignment(g.generation); g.phase == classicStable && string(c.assignment) != string(want) {
			return fmt.Sprintf("%s has the assignment %q, want %q", c.memberID, c.assignment, want)
		}
	}
	for id := range g.pendingSync {
		if g.members[id] == nil {
			return id + " is waited for to sync, and is no member"
		}
	}
	_, common := selectProtocol(g.memberList())
	switch {
	case g.order.Len() != len(g.members), static != len(g.static), joins != g.awaitingJoin, cmp.Diff(supported, g.supported) != "":
		return "counts are wrong"
	case (len(g.members) == 0) != (g.leader == ""), g.leader != "" && g.members[g.leader] == nil:
		return "the leader is " + g.leader
	case len(g.members) > 0 && !common:
		return "no protocol is common to all"
	case joins > 0 && g.phase != classicPreparing, syncs > 0 && g.phase != classicCompleting:
		return "answers are parked in the wrong state"
	case g.phase == classicEmpty && len(g.members) > 0:
		return "the state is wrong"
	default:
		return ""
	}
}

// timers returns the names of the timers that are set for groups.
func (m *classicModel) timers() map[string]bool {
	timers := make(map[string]bool)
	for _, timer := range m.shard.Timers() {
		if name := timer[:strings.LastIndex(timer, " in ")]; name != expiryTimer {
			timers[name] = true
		}
	}
	return timers
}

// checkClassicTimers checks that a group has the timers that it needs, and takes them from timers.
func checkClassicTimers(g *classicGroup, timers map[string]bool) string {
	take := func(name string, want bool) string {
		if timers[name] != want {
			return fmt.Sprintf("timer %q is set: %t, want %t", name, timers[name], want)
		}
		delete(timers, name)
		return ""
	}
	wrong := []string{take(g.joinTimer(), g.phase == classicPreparing), take(g.syncTimer(), len(g.pendingSync) > 0)}
	for id := range g.pendingJoin {
		wrong = append(wrong, take(g.sessionTimer(id), true))
	}
	for c := range g.inOrder() {
		armed := !c.armed.IsZero()
		if !armed && (c.isNew || !c.awaitingJoin() && !c.awaitingSync()) {
			return "the session of " + c.memberID + " does not end"
		}
		wrong = append(wrong, take(g.sessionTimer(c.memberID), armed))
	}
	return strings.Join(slices.DeleteFunc(wrong, func(s string) bool { return s == "" }), ", ")
}

// checkLog checks that the generation of a group only rises from record to record.
func (m *classicModel) checkLog() {
	for ; m.seen < len(m.shard.Log); m.seen++ {
		err := replay(m.shard.Log[m.seen], schema.DecodeGroupMetadataValue, func(k schema.Key, v *schema.GroupMetadataValue) error {
			if v == nil {
				delete(m.logged, k.Group)
				return nil
			}
			if last, found := m.logged[k.Group]; found && v.Generation < last {
				m.fatalf("group %s: generation %d follows %d", k.Group, v.Generation, last)
			}
			m.logged[k.Group] = v.Generation
			return nil
		})
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// drain has everybody go away. Nothing of them remains.
func (m *classicModel) drain() {
	m.shard.MaxBatch = 0
	m.advance(2 * time.Hour)
	m.check()
	if s := m.shard.Machine; len(s.groups) != 0 || len(m.timers()) != 0 || m.asked != m.answered {
		m.fatalf("after hours of silence there are %d groups, timers %v, and %d requests wait", len(s.groups), m.timers(), m.asked-m.answered)
	}
}
