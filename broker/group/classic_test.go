package group

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// TestRestoreClassicGroup loads records that a healthy coordinator of today does not write.
func TestRestoreClassicGroup(t *testing.T) {
	member := func(id string, instance *string) schema.GroupMetadataMember {
		return schema.GroupMetadataMember{
			MemberID: id, InstanceID: instance, RebalanceTimeoutMillis: 60_000, SessionTimeoutMillis: 10_000, Subscription: []byte("x"),
		}
	}
	old := member("m1", nil)
	old.RebalanceTimeoutMillis = -1
	tests := []struct {
		name          string
		value         schema.GroupMetadataValue
		members       []string
		leader, state string
		rebalance     time.Duration
	}{
		{
			name:    "a rebalance timeout that is not known is the session timeout",
			value:   schema.GroupMetadataValue{ProtocolType: "consumer", Protocol: new("a"), Members: []schema.GroupMetadataMember{old}},
			members: []string{"m1"}, leader: "m1", state: "Stable", rebalance: 10 * time.Second,
		},
		{
			name: "a leader that is no member",
			value: schema.GroupMetadataValue{
				ProtocolType: "consumer", Protocol: new("a"), Leader: new("m9"),
				Members: []schema.GroupMetadataMember{member("m1", nil), member("m2", nil)},
			},
			members: []string{"m1", "m2"}, leader: "m1", state: "Stable", rebalance: time.Minute,
		},
		{
			name:    "members without a protocol",
			value:   schema.GroupMetadataValue{Members: []schema.GroupMetadataMember{member("m1", nil)}, Leader: new("m1")},
			members: []string{"m1"}, leader: "m1", state: "Stable", rebalance: time.Minute,
		},
		{
			name: "an id and an instance id that come twice",
			value: schema.GroupMetadataValue{
				ProtocolType: "consumer", Protocol: new("a"), Leader: new("m3"),
				Members: []schema.GroupMetadataMember{member("m1", nil), member("m2", new("i")), member("m3", new("i")), member("m1", nil)},
			},
			members: []string{"m3", "m1"}, leader: "m3", state: "Stable", rebalance: time.Minute,
		},
		{
			name:  "nobody",
			value: schema.GroupMetadataValue{ProtocolType: "consumer", Protocol: new("a"), Leader: new("m1")},
			state: "Empty",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := restoreClassicGroup("g", &tt.value)
			var members []string
			for m := range g.inOrder() {
				members = append(members, m.memberID)
				m.assignment = assignment(g.generation) // which checkClassicGroup asks for
			}
			if diff := cmp.Diff(tt.members, members); diff != "" {
				t.Errorf("members: %s", diff)
			}
			if g.leader != tt.leader || g.state() != tt.state || g.maxRebalanceTimeout() != tt.rebalance {
				t.Errorf("got leader %q, %s, %s; want %q, %s, %s", g.leader, g.state(), g.maxRebalanceTimeout(), tt.leader, tt.state, tt.rebalance)
			}
			if err := checkClassicGroup(g); err != "" {
				t.Error(err)
			}
			if _, err := g.describe(); err != nil {
				t.Errorf("describe: %v", err)
			}
		})
	}
}

// TestClassicSubscriptions reads what consumers say in every version of their protocol.
func TestClassicSubscriptions(t *testing.T) {
	later := kmsg.NewConsumerMemberMetadata()
	later.Version, later.Topics, later.Generation, later.Rack = 3, []string{"a", "b"}, 4, new("r")
	later.OwnedPartitions = []kmsg.ConsumerMemberMetadataOwnedPartition{{Topic: "c", Partitions: []int32{1}}}
	unknown := append([]byte{0, 9}, subscription("d")[2:]...)
	tests := []struct {
		name     string
		metadata [][]byte
		want     map[string]struct{} // nil: not known
	}{
		{"version 0", [][]byte{subscription("a", "b")}, map[string]struct{}{"a": {}, "b": {}}},
		{"several members", [][]byte{subscription("a"), subscription("b")}, map[string]struct{}{"a": {}, "b": {}}},
		{"version 3", [][]byte{later.AppendTo(nil)}, map[string]struct{}{"a": {}, "b": {}}},
		{"one that is not known yet", [][]byte{unknown}, map[string]struct{}{"d": {}}},
		{"nothing", [][]byte{{}}, nil},
		{"a member that cannot be understood", [][]byte{subscription("a"), []byte("x")}, nil},
		{"a count beyond the end", [][]byte{{0, 0, 0x7f, 0xff, 0xff, 0xff}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := schema.GroupMetadataValue{ProtocolType: "consumer", Protocol: new("range")}
			for i, metadata := range tt.metadata {
				v.Members = append(v.Members, schema.GroupMetadataMember{MemberID: string(rune('a' + i)), Subscription: metadata})
			}
			if diff := cmp.Diff(tt.want, restoreClassicGroup("g", &v).topics); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAppendFailure(t *testing.T) {
	tests := map[errcode.Kind]errcode.Kind{
		errcode.KindRequestTimedOut:         errcode.KindCoordinatorNotAvailable,
		errcode.KindNotLeaderForPartition:   errcode.KindNotCoordinator,
		errcode.KindMessageTooLarge:         errcode.KindUnknown,
		errcode.KindInvalidProducerEpoch:    errcode.KindInvalidProducerEpoch,
		errcode.KindNotEnoughReplicas:       errcode.KindCoordinatorNotAvailable,
		errcode.KindKafkaStorageError:       errcode.KindNotCoordinator,
		errcode.KindCoordinatorNotAvailable: errcode.KindCoordinatorNotAvailable,
	}
	for kind, want := range tests {
		if got := appendFailure(&errcode.Error{Kind: kind}); got != want {
			t.Errorf("%s: got %s, want %s", errcode.Name(int16(kind)), errcode.Name(int16(got)), errcode.Name(int16(want)))
		}
	}
}

// TestClassicJoin_LongClientID makes a member id that no record could hold.
func TestClassicJoin_LongClientID(t *testing.T) {
	w := newClassicWorld()
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis = 9, "g", "consumer", 10_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
	var code int16
	w.do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, Caller{ClientID: strings.Repeat("x", 32_767)}, req, func(resp *kmsg.JoinGroupResponse) { code = resp.ErrorCode })
	})
	if code != int16(errcode.KindInvalidRequest) {
		t.Errorf("got %s, want INVALID_REQUEST", errcode.Name(code))
	}
}

// TestClassicKeepsNothingOfTheRequest changes the bytes of a request after it was answered, as the buffer of the next one does.
func TestClassicKeepsNothingOfTheRequest(t *testing.T) {
	w := newClassicWorld()
	metadata, given := []byte("x"), []byte("a")
	join := kmsg.NewPtrJoinGroupRequest()
	join.Version, join.Group, join.ProtocolType, join.SessionTimeoutMillis = 3, "g", "consumer", 10_000
	join.RebalanceTimeoutMillis = 60_000
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata}}
	var member *kmsg.JoinGroupResponse
	w.do(func(fx coordlog.Effects, s *State) {
		s.JoinGroup(fx, Caller{ClientID: "c"}, join, func(resp *kmsg.JoinGroupResponse) { member = resp })
	})
	metadata[0] = '?'
	w.shard.Advance(3 * time.Second)
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.MemberID, sync.Generation = "g", member.MemberID, member.Generation
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: member.MemberID, MemberAssignment: given}}
	w.do(func(fx coordlog.Effects, s *State) {
		s.SyncGroup(fx, Caller{}, sync, func(*kmsg.SyncGroupResponse) {})
	})
	given[0] = '?'
	d, err := w.shard.Machine.groups["g"].describe()
	if err != nil {
		t.Fatal(err)
	}
	if m := d.Members[0]; string(m.ProtocolMetadata) != "x" || string(m.MemberAssignment) != "a" {
		t.Errorf("got metadata %q and assignment %q, want x and a", m.ProtocolMetadata, m.MemberAssignment)
	}
}

// fakeHost is a consumer group in which classic members are.
type fakeHost struct {
	group
	without bool // members
	asked   []string
}

func (h *fakeHost) kind() protocolKind { return consumerKind }
func (h *fakeHost) empty() bool        { return h.without }
func (h *fakeHost) tombstones() []coordlog.Record {
	return []coordlog.Record{tombstone(schema.Key{Type: schema.ConsumerGroupMetadata, Group: "g"})}
}

func (h *fakeHost) joinClassic(_ *State, _ coordlog.Effects, _ Caller, _ *kmsg.JoinGroupRequest, _ func(*kmsg.JoinGroupResponse)) {
	h.asked = append(h.asked, "join")
}

func (h *fakeHost) syncClassic(_ *State, _ coordlog.Effects, _ Caller, _ *kmsg.SyncGroupRequest, _ func(*kmsg.SyncGroupResponse)) {
	h.asked = append(h.asked, "sync")
}

func (h *fakeHost) heartbeatClassic(_ *State, _ coordlog.Effects, _ Caller, _ *kmsg.HeartbeatRequest, _ func(*kmsg.HeartbeatResponse)) {
	h.asked = append(h.asked, "heartbeat")
}

func (h *fakeHost) leaveClassic(_ *State, _ coordlog.Effects, _ Caller, _ *kmsg.LeaveGroupRequest, _ func(*kmsg.LeaveGroupResponse)) {
	h.asked = append(h.asked, "leave")
}

// TestClassicHost sends requests of the classic protocol to a group of another kind.
func TestClassicHost(t *testing.T) {
	w := newClassicWorld()
	host := &fakeHost{}
	w.shard.Machine.groups["g"] = host
	for _, command := range []string{"join g m", "sync g m", "heartbeat g m", "leave g m"} {
		words := strings.Fields(command)
		if out := w.play(t, words[0], parseArgs(words[1:])); out != "" {
			t.Errorf("%s is answered with %q, not by the group", command, out)
		}
	}
	if diff := cmp.Diff([]string{"join", "sync", "heartbeat", "leave"}, host.asked); diff != "" {
		t.Error(diff)
	}
}

// TestClassicJoin_TakesOverAnEmptyGroup has a group of another kind, which has no members, become a classic one.
func TestClassicJoin_TakesOverAnEmptyGroup(t *testing.T) {
	w := newClassicWorld()
	host := &fakeHost{without: true}
	w.shard.Machine.groups["g"] = host
	const unknown = "m: sync v5 UNKNOWN_MEMBER_ID type=null protocol=null assignment=\"\"\n"
	if out := w.play(t, "sync", parseArgs([]string{"g", "m", "id=x"})); out != unknown {
		t.Errorf("sync: got %q, want %q", out, unknown)
	}
	if out := w.play(t, "join", parseArgs([]string{"g", "m", "id=x"})); !strings.Contains(out, "UNKNOWN_MEMBER_ID") {
		t.Errorf("join with an id: got %q, want UNKNOWN_MEMBER_ID", out)
	}
	w.do(func(fx coordlog.Effects, s *State) {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis = 9, "g", "consumer", 10_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		s.JoinGroup(fx, Caller{}, req, func(*kmsg.JoinGroupResponse) {})
	})
	if g, ok := w.shard.Machine.groups["g"].(*classicGroup); !ok || len(g.pendingJoin) != 1 {
		t.Errorf("the group is %T", w.shard.Machine.groups["g"])
	}
	if len(w.shard.Log) != 2 || w.shard.Log[0].Value != nil {
		t.Errorf("got %d records, want a tombstone of the old group and the new one", len(w.shard.Log))
	}
	if events := w.shard.Machine.Timeline("g"); len(events) != 1 || events[0].Kind != ProtocolChanged {
		t.Errorf("got the events %v, want one of %s", events, ProtocolChanged)
	}
}

// TestClassicConversion lets a classic group go, and brings one in.
func TestClassicConversion(t *testing.T) {
	w := newClassicWorld()
	for _, command := range []string{"join g m1 v=3", "advance 3s", "join g m2", "join g m2", "join g m3"} {
		words := strings.Fields(command)
		w.play(t, words[0], parseArgs(words[1:]))
	}
	old := w.shard.Machine.groups["g"].(*classicGroup)
	w.out.Reset()
	w.do(func(fx coordlog.Effects, s *State) {
		s.releaseClassic(fx, old)
		delete(s.groups, "g")
	})
	if out := w.out.String(); strings.Count(out, "REBALANCE_IN_PROGRESS") != 1 {
		t.Errorf("who waits is answered with %q", out)
	}
	if timers := w.shard.Timers(); len(timers) != 1 {
		t.Errorf("timers remain: %v", timers)
	}
	v := &schema.GroupMetadataValue{
		ProtocolType: "consumer", Generation: 7, Protocol: new("range"),
		Members: []schema.GroupMetadataMember{{MemberID: "m3", SessionTimeoutMillis: 10_000, RebalanceTimeoutMillis: 20_000, Subscription: subscription("t")}},
	}
	for _, reason := range []string{"", "an assignment is old"} {
		g := restoreClassicGroup("g", v)
		w.do(func(fx coordlog.Effects, s *State) { s.adoptClassic(fx, g, reason) })
		want := []string{"classic-session g m3 in 10s", expiryTimer + " in 9m57s"}
		if reason != "" {
			want = []string{"classic-join g in 20s", want[0], want[1]}
		}
		if diff := cmp.Diff(want, w.shard.Timers()); diff != "" || w.shard.Machine.groups["g"] != group(g) {
			t.Errorf("rebalance %q: %s", reason, diff)
		}
	}
	w.shard.Advance(time.Hour)
	if _, found := w.shard.Machine.groups["g"]; found {
		t.Error("the group is still there, an hour after its member was last heard of")
	}
}
