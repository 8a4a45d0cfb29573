package group

import (
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestClassicTranscripts(t *testing.T) {
	playTranscripts(t, "testdata/classic/*.txt", func(t *testing.T) func(string, args) string {
		t.Helper()
		w := newClassicWorld()
		return func(command string, a args) string { return w.play(t, command, a) }
	})
}

// classicWorld is a coordinator with people who talk to it. A person is a name in the transcript, who knows what the last answer
// to a join said: the member id, the generation and the protocol.
type classicWorld struct {
	settings Settings
	rand     *rand.Rand
	shard    *coordtest.Shard[*State]
	people   map[string]*person
	names    map[string]string // member id → as it is printed
	seen     int               // records that were printed
	newcomer func()
	out      strings.Builder
}

type person struct {
	memberID, typ, protocol string
	generation              int32
}

func classicSettings() Settings {
	return Settings{
		MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute, InitialRebalanceDelay: 3 * time.Second,
		MaxSize: 1<<31 - 1, OffsetMetadataMaxBytes: 4096, OffsetsRetention: 7 * 24 * time.Hour, OffsetsRetentionCheck: 10 * time.Minute,
	}
}

func newClassicWorld() *classicWorld {
	w := &classicWorld{settings: classicSettings(), rand: rand.New(rand.NewPCG(1, 2)), people: make(map[string]*person), names: make(map[string]string)}
	w.shard = coordtest.New(w.machine())
	return w
}

func (w *classicWorld) machine() *State {
	return NewState(Env{
		Settings: func() Settings { return w.settings },
		Rand:     w.rand, Logger: slog.New(slog.DiscardHandler),
	})
}

func (w *classicWorld) person(name string) *person {
	p := w.people[name]
	if p == nil {
		p = &person{generation: -1}
		w.people[name] = p
	}
	return p
}

// printf prints, with the names that the transcript gives to member ids.
func (w *classicWorld) printf(format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	for id, name := range w.names {
		text = strings.ReplaceAll(text, id, name)
	}
	w.out.WriteString(text)
}

// learn gives a member id a name: that of who got it, with a prime for each one that they had before.
func (w *classicWorld) learn(name, memberID string) {
	if memberID == "" || w.names[memberID] != "" {
		return
	}
	for slices.Contains(slices.Collect(maps.Values(w.names)), name) {
		name += "'"
	}
	w.names[memberID] = name
}

func (w *classicWorld) do(op func(fx coordlog.Effects, s *State)) {
	w.shard.Do(op)
}

func (w *classicWorld) play(t *testing.T, command string, a args) string {
	t.Helper()
	w.out.Reset()
	if len(a.words) > 0 && a.words[0] == "''" {
		a.words[0] = ""
	}
	switch command {
	case "config":
		w.settings.MaxSize = a.num("size", w.settings.MaxSize)
		w.settings.InitialRebalanceDelay = a.duration("delay", w.settings.InitialRebalanceDelay)
		w.shard.MaxBatch = a.num("batch", w.shard.MaxBatch)
	case "join":
		w.join(a)
	case "sync":
		w.sync(a)
	case "heartbeat":
		w.heartbeat(a)
	case "leave":
		w.leave(a)
	case "commit":
		w.commit(a)
	case "alive":
		w.alive(t, a)
	case "advance":
		d, err := time.ParseDuration(a.words[0])
		if err != nil {
			t.Fatal(err)
		}
		w.advance(t, d)
	case "reload":
		next, err := w.shard.Reload(w.machine())
		if err != nil {
			t.Fatal(err)
		}
		w.shard = next
	case "delete":
		w.do(func(fx coordlog.Effects, s *State) {
			s.DeleteGroup(fx, Caller{}, a.words[0], func(resp kmsg.DeleteGroupsResponseGroup) {
				w.printf("delete %s\n", errcode.Name(resp.ErrorCode))
			})
		})
	case "ask":
		w.ask(a)
	case "group":
		w.show(a.words[0])
	case "describe":
		w.describe(a.words[0])
	case "timers":
		for _, timer := range w.shard.Timers() {
			if !strings.HasPrefix(timer, expiryTimer) {
				w.printf("%s\n", timer)
			}
		}
	case "events":
		w.events(a.words[0])
	default:
		t.Fatalf("unknown command %s", command)
	}
	w.records(t)
	return w.out.String()
}

// join is: join GROUP PERSON [v=9] [id=…] [client=PERSON] [instance=…] [session=10s] [rebalance=1m] [type=consumer] [protocols=range:x,…]
func (w *classicWorld) join(a args) {
	name := a.words[1]
	p := w.person(name)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version = int16(a.num("v", 9))
	req.Group, req.MemberID, req.InstanceID = a.words[0], a.one("id", p.memberID), a.nullable("instance")
	req.SessionTimeoutMillis = int32(a.duration("session", 10*time.Second).Milliseconds())
	req.RebalanceTimeoutMillis = int32(a.duration("rebalance", time.Minute).Milliseconds())
	req.ProtocolType, req.Reason = a.one("type", "consumer"), a.nullable("reason")
	for _, spec := range a.list("protocols", "range:x") {
		protocol := kmsg.NewJoinGroupRequestProtocol()
		name, metadata, _ := strings.Cut(spec, ":")
		protocol.Name, protocol.Metadata = name, []byte(metadata)
		if topics, ok := strings.CutPrefix(metadata, "topics/"); ok {
			protocol.Metadata = subscription(strings.Split(topics, "+")...)
		}
		req.Protocols = append(req.Protocols, protocol)
	}
	c := Caller{ClientID: a.one("client", name), ClientHost: "/127.0.0.1"}
	w.do(func(fx coordlog.Effects, s *State) {
		w.newcomer = func() { // names who has joined, whose answer may have to wait
			if g, ok := s.groups[req.Group].(*classicGroup); ok {
				for m := range g.inOrder() {
					w.learn(name, m.memberID)
				}
			}
		}
		s.JoinGroup(fx, c, req, func(resp *kmsg.JoinGroupResponse) { w.joined(name, resp) })
		w.newcomer()
	})
}

func (w *classicWorld) joined(name string, resp *kmsg.JoinGroupResponse) {
	p := w.person(name)
	w.newcomer()
	w.learn(name, resp.MemberID)
	if kind := errcode.Kind(resp.ErrorCode); kind == errcode.KindNone || kind == errcode.KindMemberIDRequired {
		p.memberID, p.generation = resp.MemberID, resp.Generation
	}
	if resp.Protocol != nil {
		p.typ, p.protocol = or(resp.ProtocolType), *resp.Protocol
	}
	w.printf("%s: join v%d %s", name, resp.Version, errcode.Name(resp.ErrorCode))
	w.printf(" member=%q generation=%d type=%s protocol=%s leader=%q", resp.MemberID, resp.Generation, or(resp.ProtocolType), or(resp.Protocol), resp.LeaderID)
	if resp.SkipAssignment {
		w.printf(" skip-assignment")
	}
	for _, m := range resp.Members {
		w.printf(" %s", m.MemberID)
		if m.InstanceID != nil {
			w.printf("(%s)", *m.InstanceID)
		}
		w.printf("=%q", m.ProtocolMetadata)
	}
	w.printf("\n")
}

// subscription is what a consumer says to its protocol, in version 0.
func subscription(topics ...string) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics = topics
	return m.AppendTo(nil)
}

func or(s *string) string {
	if s == nil {
		return "null"
	}
	return *s
}

// memberID returns the id of the member that a word of a command names: a person's, or the word.
func (w *classicWorld) memberID(word string) string {
	if p := w.people[word]; p != nil && p.memberID != "" {
		return p.memberID
	}
	for id, name := range w.names {
		if name == word {
			return id
		}
	}
	return word
}

// sync is: sync GROUP PERSON [v=5] [id=…] [generation=…] [instance=…] [type=…] [protocol=…] [assign=PERSON:what,…]
func (w *classicWorld) sync(a args) {
	name := a.words[1]
	p := w.person(name)
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version = int16(a.num("v", 5))
	req.Group, req.MemberID, req.InstanceID = a.words[0], w.memberID(a.one("id", p.memberID)), a.nullable("instance")
	req.Generation = int32(a.num("generation", int(p.generation)))
	if req.Version >= 5 {
		typ, protocol := a.one("type", "consumer"), a.one("protocol", "range")
		req.ProtocolType, req.Protocol = &typ, &protocol
		if protocol == "null" {
			req.Protocol = nil
		}
	}
	for _, spec := range a.list("assign", "") {
		who, what, _ := strings.Cut(spec, ":")
		assignment := kmsg.NewSyncGroupRequestGroupAssignment()
		assignment.MemberID, assignment.MemberAssignment = w.memberID(who), []byte(what)
		if n, ok := strings.CutPrefix(what, "bytes/"); ok {
			size, _ := strconv.Atoi(n)
			assignment.MemberAssignment = make([]byte, size)
		}
		req.GroupAssignment = append(req.GroupAssignment, assignment)
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{ClientID: name}, req, func(resp *kmsg.SyncGroupResponse) {
			w.printf("%s: sync v%d %s type=%s protocol=%s assignment=%q\n", name, resp.Version, errcode.Name(resp.ErrorCode),
				or(resp.ProtocolType), or(resp.Protocol), resp.MemberAssignment)
		})
	})
}

// heartbeat is: heartbeat GROUP PERSON [id=…] [generation=…] [instance=…]
func (w *classicWorld) heartbeat(a args) {
	name := a.words[1]
	p := w.person(name)
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	req.Group, req.MemberID, req.InstanceID = a.words[0], w.memberID(a.one("id", p.memberID)), a.nullable("instance")
	req.Generation = int32(a.num("generation", int(p.generation)))
	w.do(func(fx coordlog.Effects, s *State) {
		s.Heartbeat(fx, Caller{ClientID: name}, req, func(resp *kmsg.HeartbeatResponse) {
			w.printf("%s: heartbeat v%d %s\n", name, resp.Version, errcode.Name(resp.ErrorCode))
		})
	})
}

// alive is: alive GROUP PERSON… for=54s. It advances the clock, and they send heartbeats, whose answers are not shown.
func (w *classicWorld) alive(t *testing.T, a args) {
	t.Helper()
	const interval = 3 * time.Second
	for left := a.duration("for", 0); left > 0; left -= interval {
		w.advance(t, min(left, interval))
		for _, name := range a.words[1:] {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID, req.Generation = a.words[0], w.person(name).memberID, w.person(name).generation
			w.do(func(fx coordlog.Effects, s *State) {
				s.Heartbeat(fx, Caller{}, req, func(*kmsg.HeartbeatResponse) {})
			})
		}
	}
}

// leave is: leave GROUP [v=5] [reason=…] PERSON… [instances=…,…]
func (w *classicWorld) leave(a args) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = int16(a.num("v", 5)), a.words[0]
	for _, word := range a.words[1:] {
		who, instance, static := strings.Cut(word, "/")
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID, m.Reason = w.memberID(who), a.nullable("reason")
		if static {
			m.InstanceID = &instance
		}
		req.Members = append(req.Members, m)
		req.MemberID = m.MemberID
	}
	for _, instance := range a.list("instances", "") {
		m := kmsg.NewLeaveGroupRequestMember()
		m.InstanceID, m.Reason = &instance, a.nullable("reason")
		req.Members = append(req.Members, m)
	}
	w.do(func(fx coordlog.Effects, s *State) {
		s.LeaveGroup(fx, Caller{}, req, func(resp *kmsg.LeaveGroupResponse) {
			w.printf("leave v%d %s", resp.Version, errcode.Name(resp.ErrorCode))
			for _, m := range resp.Members {
				w.printf(" %s/%s=%s", m.MemberID, or(m.InstanceID), errcode.Name(m.ErrorCode))
			}
			w.printf("\n")
		})
	})
}

// commit is: commit GROUP PERSON [id=…] [generation=…] [instance=…] [txn=1]
func (w *classicWorld) commit(a args) {
	p := w.person(a.words[1])
	w.do(func(fx coordlog.Effects, s *State) {
		g := s.groups[a.words[0]]
		c := commit{
			memberID: w.memberID(a.one("id", p.memberID)), instanceID: a.nullable("instance"),
			generation: int32(a.num("generation", int(p.generation))), transactional: a.num("txn", 0) == 1, version: 9,
		}
		_, err := g.checkCommit(c)
		if err == nil && !c.transactional {
			g.renew(fx, c.memberID)
		}
		w.printf("%s: commit %s\n", a.words[1], errcode.Name(errcode.Of(err)))
	})
}

// advance moves the clock, in steps that show what happens when.
func (w *classicWorld) advance(t *testing.T, d time.Duration) {
	t.Helper()
	for d > 0 {
		step := min(d, 500*time.Millisecond)
		before := w.out.Len()
		w.shard.Advance(step)
		d -= step
		w.records(t)
		if after := w.out.String(); len(after) > before {
			w.out.Reset()
			w.out.WriteString(after[:before])
			fmt.Fprintf(&w.out, "at %s:\n%s", w.shard.Now().Sub(coordtest.Epoch), after[before:])
		}
	}
}

// records prints the records that were appended since the last time.
func (w *classicWorld) records(t *testing.T) {
	t.Helper()
	for ; w.seen < len(w.shard.Log); w.seen++ {
		r := w.shard.Log[w.seen]
		err := replay(r, schema.DecodeGroupMetadataValue, func(k schema.Key, v *schema.GroupMetadataValue) error {
			if v == nil {
				w.printf("record %s tombstone\n", k.Group)
				return nil
			}
			since := time.UnixMilli(v.CurrentStateTimestampMillis).Sub(coordtest.Epoch)
			w.printf("record %s type=%q generation=%d protocol=%s leader=%s since=%s\n", k.Group, v.ProtocolType, v.Generation, or(v.Protocol), or(v.Leader), since)
			for _, m := range v.Members {
				w.printf("  %s instance=%s client=%s host=%s rebalance=%s session=%s subscription=%q assignment=%q\n", m.MemberID, or(m.InstanceID), m.ClientID,
					m.ClientHost, millis(m.RebalanceTimeoutMillis), millis(m.SessionTimeoutMillis), m.Subscription, m.Assignment)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ask is: ask GROUP [topic=…] [committed=30s]
func (w *classicWorld) ask(a args) {
	g := w.shard.Machine.groups[a.words[0]]
	w.printf("delete=%s offset-delete=%s fetch=%s", errcode.Name(errcode.Of(g.checkDelete())), errcode.Name(errcode.Of(g.checkOffsetDelete())),
		errcode.Name(errcode.Of(g.checkFetch(nil, -1))))
	w.printf(" subscribed=%t", g.subscribed(a.one("topic", "t")))
	since, ok := g.expiry().since(coordtest.Epoch.Add(a.duration("committed", 0)).UnixMilli())
	if ok {
		w.printf(" expires-since=%s", time.UnixMilli(since).Sub(coordtest.Epoch))
	}
	w.printf("\n")
}

func (w *classicWorld) show(groupID string) {
	g, ok := w.shard.Machine.groups[groupID].(*classicGroup)
	if !ok {
		w.printf("none\n")
		return
	}
	w.printf("%s generation=%d type=%q protocol=%s leader=%q expected=%d\n", g.phase, g.generation, g.typ, or(g.protocol), g.leader, len(g.pendingJoin))
	for m := range g.inOrder() {
		w.printf("  %s", m.memberID)
		if m.isStatic() {
			w.printf("(%s)", *m.instanceID)
		}
		if m.awaitingJoin() {
			w.printf(" joins")
		}
		if m.awaitingSync() {
			w.printf(" syncs")
		}
		if _, pending := g.pendingSync[m.memberID]; pending {
			w.printf(" has-to-sync")
		}
		w.printf(" assignment=%q session-ends-in=%s\n", m.assignment, m.deadline.Sub(w.shard.Now()))
	}
}

func (w *classicWorld) describe(groupID string) {
	d, err := w.shard.Machine.groups[groupID].describe()
	if err != nil {
		w.printf("%s\n", err)
		return
	}
	w.printf("%s state=%s type=%q protocol=%q\n", d.Group, d.State, d.ProtocolType, d.Protocol)
	for _, m := range d.Members {
		w.printf("  %s instance=%s client=%s host=%s metadata=%q assignment=%q\n", m.MemberID, or(m.InstanceID), m.ClientID, m.ClientHost, m.ProtocolMetadata, m.MemberAssignment)
	}
}

func (w *classicWorld) events(groupID string) {
	for _, e := range w.shard.Machine.Timeline(groupID) {
		w.printf("%s %s epoch=%d", e.Time.Sub(coordtest.Epoch), e.Kind, e.Epoch)
		if e.MemberID != "" {
			w.printf(" member=%s client=%s", e.MemberID, e.ClientID)
		}
		if e.InstanceID != "" {
			w.printf(" instance=%s", e.InstanceID)
		}
		if e.Kind == RebalanceCompleted {
			w.printf(" took=%s", e.Took)
		}
		if e.Reason != "" {
			w.printf(" (%s)", e.Reason)
		}
		w.printf("\n")
	}
}
