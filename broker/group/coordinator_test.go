package group_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog/coordtest"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Java's String.hashCode of each, its absolute (Integer.MIN_VALUE: 0) modulo 50 and 7, as the JVM says.
func TestPartitionFor_IsJavas(t *testing.T) {
	for _, tt := range []struct {
		id        string
		of50, of7 int32
	}{
		{"", 0, 0},
		{"a", 47, 6},
		{"my-group", 12, 1},
		{"polygenelubricants", 0, 0}, // Integer.MIN_VALUE
		{"console-consumer-12345", 6, 6},
		{"Größe", 35, 4},
		{"日本語", 43, 5},
		{"😀", 49, 2}, // two UTF-16 units
		{"a😀b", 44, 0},
		{"group with spaces", 46, 6},
		{"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz", 38, 2},
		{"\x00", 0, 0},
		{"test-consumer-group", 31, 5},
	} {
		if got := group.PartitionFor(tt.id, 50); got != tt.of50 {
			t.Errorf("%q of 50 partitions: got %d, want %d", tt.id, got, tt.of50)
		}
		if got := group.PartitionFor(tt.id, 7); got != tt.of7 {
			t.Errorf("%q of 7 partitions: got %d, want %d", tt.id, got, tt.of7)
		}
	}
}

// office is a coordinator over a real replica manager.
type office struct {
	*group.Coordinator
	t *testing.T
	b *coordtest.Broker
	s group.Settings
}

func newOffice(t *testing.T, b *coordtest.Broker) *office {
	t.Helper()
	o := &office{t: t, b: b, s: group.Settings{
		MinSessionTimeout: 6 * time.Second, MaxSessionTimeout: 30 * time.Minute, MaxSize: 100, OffsetMetadataMaxBytes: 4096,
		OffsetsRetention: time.Hour, OffsetsRetentionCheck: time.Hour, ConsumerMaxSize: 100, Assignors: []string{"uniform", "range"},
		Consumer:             group.ConsumerSettings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second},
		ConsumerGroupsServed: true, RegexRefresh: time.Minute, MigrationPolicy: group.MigrationBidirectional,
	}}
	o.Coordinator = group.NewCoordinator(group.Options{
		NodeID: coordtest.Self, Replicas: b, Image: b.Image, Logger: slog.New(slog.DiscardHandler),
		Rand:          func() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) },
		Settings:      func(*image.Image) group.Settings { return o.s },
		GroupSettings: func(*image.Image) map[string]group.ConsumerSettings { return nil },
		MaxBatchBytes: func(*image.Image) int { return 1 << 20 }, KeepBytes: func(*image.Image) int { return 1 << 20 },
		Partitions: 50, CommitTimeout: 30 * time.Second,
	})
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	b.Subscribe(o.Coordinator)
	return o
}

// answerOf waits for the answer of an API.
func answerOf[R any](t *testing.T, ask func(reply func(R))) R {
	t.Helper()
	done := make(chan R, 1)
	ask(func(r R) { done <- r })
	select {
	case r := <-done:
		return r
	case <-time.After(30 * time.Second):
		t.Fatal("no answer")
		panic("unreachable")
	}
}

func commitRequest(groupID, topic string, id protocol.TopicID, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, groupID, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = offset
	req.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, TopicID: id, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return req
}

// commit commits an offset of partition 0.
func (o *office) commit(groupID, topic string, id protocol.TopicID, offset int64) int16 {
	o.t.Helper()
	resp := answerOf(o.t, func(reply func(*kmsg.OffsetCommitResponse)) {
		o.OffsetCommit(group.Caller{}, commitRequest(groupID, topic, id, offset), reply)
	})
	return resp.Topics[0].Partitions[0].ErrorCode
}

// fetch returns the offset of partition 0, or an error's name.
func (o *office) fetch(groupID, topic string) string {
	o.t.Helper()
	req := kmsg.NewOffsetFetchRequestGroup()
	req.Group, req.Topics = groupID, []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	resp := answerOf(o.t, func(reply func(kmsg.OffsetFetchResponseGroup)) { o.OffsetFetch(&req, false, reply) })
	if resp.ErrorCode != 0 {
		return errcode.Name(resp.ErrorCode)
	}
	return fmt.Sprint(resp.Topics[0].Partitions[0].Offset)
}

func TestCoordinator_OffsetsSurviveARestart(t *testing.T) {
	disk := vfs.NewMem()
	b := coordtest.OpenBroker(t, disk, image.Empty())
	o := newOffice(t, b)
	id := b.CreateTopic("orders", 1)
	b.CreateTopic(group.Topic, 3)
	for i := range 20 {
		if code := o.commit(fmt.Sprint("group ", i), "orders", id, int64(i)); code != 0 {
			t.Fatal(errcode.Name(code))
		}
	}
	img := b.Image()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	b.Shut()
	o = newOffice(t, coordtest.OpenBroker(t, disk, img))
	for i := range 20 {
		if got := o.fetch(fmt.Sprint("group ", i), "orders"); got != fmt.Sprint(i) {
			t.Errorf("group %d: got %s", i, got)
		}
	}
	list := answerOf(t, func(reply func(*kmsg.ListGroupsResponse)) { o.ListGroups(kmsg.NewPtrListGroupsRequest(), reply) })
	if len(list.Groups) != 20 || list.ErrorCode != 0 {
		t.Errorf("got %d groups, want 20", len(list.Groups))
	}
	for _, tt := range []struct {
		states, types []string
		want          int
	}{
		{nil, []string{"classic"}, 20},
		{[]string{" empty "}, []string{"CLASSIC", "share"}, 20},
		{[]string{"Stable", "Empty", "unheard of"}, nil, 20},
		{[]string{"Stable"}, nil, 0},
		{[]string{"unheard of"}, nil, 0},
		{nil, []string{"consumer"}, 0},
		{nil, []string{" classic"}, 0},
	} {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = tt.states, tt.types
		list := answerOf(t, func(reply func(*kmsg.ListGroupsResponse)) { o.ListGroups(req, reply) })
		if len(list.Groups) != tt.want {
			t.Errorf("states %q, types %q: got %d groups, want %d", tt.states, tt.types, len(list.Groups), tt.want)
		}
	}
	asked, err := group.Ask(t.Context(), o.Coordinator, func(*group.State) bool { return true })
	if err != nil || len(asked) != 3 {
		t.Errorf("got %v, %v, want the answers of three partitions", asked, err)
	}
}

func TestCoordinator_OffsetsOfDeletedTopicsGo(t *testing.T) {
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	o := newOffice(t, b)
	id, kept := b.CreateTopic("orders", 1), b.CreateTopic("kept", 1)
	b.CreateTopic(group.Topic, 2)
	for _, groupID := range []string{"a", "b", "c"} {
		o.commit(groupID, "orders", id, 7)
		o.commit(groupID, "kept", kept, 7)
	}
	b.Commit(&metadata.RemoveTopicRecord{ID: id})
	for _, groupID := range []string{"a", "b", "c"} {
		for end := time.Now().Add(30 * time.Second); o.fetch(groupID, "orders") != "-1"; {
			if time.Now().After(end) {
				t.Fatalf("group %s still has an offset of a topic that is deleted", groupID)
			}
		}
		if got := o.fetch(groupID, "kept"); got != "7" {
			t.Errorf("group %s: got %s for another topic", groupID, got)
		}
	}
}

// What each API answers when nothing is coordinated here, and what it answers before that matters.
func TestCoordinator_Refusals(t *testing.T) {
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	o := newOffice(t, b)
	notCoordinator := int16(errcode.KindNotCoordinator)
	invalidGroup := int16(errcode.KindInvalidGroupID)
	check := func(name string, got any, want any) {
		t.Helper()
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
	who := group.Caller{}

	join := func(groupID string, session int32) *kmsg.JoinGroupResponse {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Version, req.Group, req.MemberID, req.SessionTimeoutMillis = 9, groupID, "m", session
		return answerOf(t, func(reply func(*kmsg.JoinGroupResponse)) { o.JoinGroup(who, req, reply) })
	}
	for name, tt := range map[string]struct {
		got    *kmsg.JoinGroupResponse
		code   int16
		member string
	}{
		"join":                       {join("g", 10_000), notCoordinator, ""},
		"join of no group":           {join("", 10_000), invalidGroup, "m"},
		"join for a moment":          {join("g", 10), int16(errcode.KindInvalidSessionTimeout), "m"},
		"join with a negative value": {join("g", -1), int16(errcode.KindInvalidSessionTimeout), "m"},
	} {
		check(name, []any{tt.got.ErrorCode, tt.got.MemberID, tt.got.Generation}, []any{tt.code, tt.member, int32(-1)})
	}

	sync := func(groupID string) int16 {
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group = groupID
		return answerOf(t, func(reply func(*kmsg.SyncGroupResponse)) { o.SyncGroup(who, req, reply) }).ErrorCode
	}
	heartbeat := func(groupID string) int16 {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group = groupID
		return answerOf(t, func(reply func(*kmsg.HeartbeatResponse)) { o.Heartbeat(who, req, reply) }).ErrorCode
	}
	leave := func(groupID string) int16 {
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group = groupID
		return answerOf(t, func(reply func(*kmsg.LeaveGroupResponse)) { o.LeaveGroup(who, req, reply) }).ErrorCode
	}
	deleteOffsets := func(groupID string) int16 {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = groupID
		return answerOf(t, func(reply func(*kmsg.OffsetDeleteResponse)) { o.OffsetDelete(req, reply) }).ErrorCode
	}
	for name, f := range map[string]func(string) int16{"sync": sync, "heartbeat": heartbeat, "leave": leave, "offset delete": deleteOffsets} {
		check(name, f("g"), notCoordinator)
		check(name+" of no group", f(""), invalidGroup)
	}
	check("commit", o.commit("g", "orders", protocol.TopicID{}, 1), notCoordinator)
	check("commit of no group", o.commit("", "orders", protocol.TopicID{}, 1), notCoordinator)
	check("fetch", o.fetch("g", "orders"), "NOT_COORDINATOR")

	described := answerOf(t, func(reply func([]kmsg.DescribeGroupsResponseGroup)) { o.DescribeGroups(6, []string{"a", "b"}, reply) })
	check("describe", []any{described[0].Group, described[0].ErrorCode, described[1].Group}, []any{"a", notCoordinator, "b"})
	deleted := answerOf(t, func(reply func([]kmsg.DeleteGroupsResponseGroup)) { o.DeleteGroups(who, []string{"a", "b"}, reply) })
	check("delete", []any{deleted[0].Group, deleted[0].ErrorCode, deleted[1].Group}, []any{"a", notCoordinator, "b"})
	list := answerOf(t, func(reply func(*kmsg.ListGroupsResponse)) { o.ListGroups(kmsg.NewPtrListGroupsRequest(), reply) })
	check("list", []any{list.ErrorCode, len(list.Groups)}, []any{int16(0), 0})
	if _, err := o.Timeline(t.Context(), "g"); errcode.Of(err) != notCoordinator {
		t.Errorf("timeline: got %v", err)
	}

	beat := func(groupID string, epoch int32) *kmsg.ConsumerGroupHeartbeatResponse {
		req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
		req.Version, req.Group, req.MemberID, req.MemberEpoch = 1, groupID, "m", epoch
		return answerOf(t, func(reply func(*kmsg.ConsumerGroupHeartbeatResponse)) { o.ConsumerGroupHeartbeat(who, req, reply) })
	}
	check("consumer heartbeat", beat("g", 5).ErrorCode, notCoordinator)
	check("consumer heartbeat of no group", beat("", 5).ErrorCode, int16(errcode.KindInvalidRequest))
	describe := func(ids ...string) []int16 {
		var codes []int16
		for _, g := range answerOf(t, func(reply func([]kmsg.ConsumerGroupDescribeResponseGroup)) { o.ConsumerGroupDescribe(1, ids, reply) }) {
			codes = append(codes, g.ErrorCode)
		}
		return codes
	}
	check("consumer group describe", describe("g", ""), []int16{notCoordinator, invalidGroup})

	o.s.ConsumerGroupsServed = false
	b.Commit(&metadata.FeatureLevelRecord{Name: "group.version"})
	unsupported := int16(errcode.KindUnsupportedVersion)
	check("consumer heartbeat that is not served", beat("g", 5).ErrorCode, unsupported)
	check("consumer group describe that is not served", describe("g", ""), []int16{unsupported, unsupported})
}

// While some of its partitions load, a coordinator does not pretend to know all of its groups.
func TestCoordinator_ListsNothingWhileItLoads(t *testing.T) {
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	o := newOffice(t, b)
	id := b.CreateTopic("orders", 1)
	topic := b.CreateTopic(group.Topic, 2)
	o.commit("a", "orders", id, 1)
	other := protocol.NodeID(2)
	b.Commit(&metadata.PartitionChangeRecord{TopicID: topic, Partition: o.Partition("a"), Leader: &other})
	list := answerOf(t, func(reply func(*kmsg.ListGroupsResponse)) { o.ListGroups(kmsg.NewPtrListGroupsRequest(), reply) })
	if list.ErrorCode != 0 || len(list.Groups) != 0 {
		t.Errorf("got %+v, want only what is coordinated here: nothing", list)
	}
	if got := o.fetch("a", "orders"); got != "NOT_COORDINATOR" {
		t.Errorf("got %s for a group of another broker", got)
	}
}

func TestCoordinator_ResignAnswersWhoWaits(t *testing.T) {
	b := coordtest.OpenBroker(t, vfs.NewMem(), image.Empty())
	o := newOffice(t, b)
	o.s.InitialRebalanceDelay = time.Hour
	b.CreateTopic(group.Topic, 1)
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = 3, "g", 10_000, 3_600_000, "consumer"
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0}}}
	done := make(chan *kmsg.JoinGroupResponse, 1)
	o.JoinGroup(group.Caller{ClientID: "c"}, req, func(resp *kmsg.JoinGroupResponse) { done <- resp })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for events := 0; events == 0; {
		line, err := o.Timeline(ctx, "g")
		if err != nil {
			t.Fatal(err)
		}
		events = len(line)
	}
	o.Resign()
	select {
	case resp := <-done:
		if resp.ErrorCode != int16(errcode.KindNotCoordinator) {
			t.Errorf("got %s", errcode.Name(resp.ErrorCode))
		}
	case <-ctx.Done():
		t.Error("a member that waits is not answered")
	}
}
