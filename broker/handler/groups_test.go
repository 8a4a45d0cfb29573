package handler_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// groups is a coordinator that answers as it is told, and remembers what it was asked last.
type groups struct {
	handler.Groups
	who    group.Caller
	join   *kmsg.JoinGroupRequest
	commit *kmsg.OffsetCommitRequest
	fetch  []kmsg.OffsetFetchRequestGroup
	delete *kmsg.OffsetDeleteRequest
	ids    []string
	asked  int // how often it was awaited that the broker is not fenced

	parked chan func()                                                         // joins wait here, if it is there
	found  func(g *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup // of OffsetFetch
	code   int16                                                               // of what is committed or deleted
}

func (g *groups) awaitConfirmed() { g.asked++ }

func (g *groups) Partition(string) int32 { return 0 }

func (g *groups) JoinGroup(who group.Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	g.who, g.join = who, req
	resp := kmsg.NewPtrJoinGroupResponse()
	resp.MemberID = "m"
	if g.parked != nil {
		g.parked <- func() { reply(resp) }
		return
	}
	reply(resp)
}

func (g *groups) Heartbeat(_ group.Caller, _ *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	reply(kmsg.NewPtrHeartbeatResponse())
}

func (g *groups) OffsetCommit(_ group.Caller, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	g.commit = req
	resp := kmsg.NewPtrOffsetCommitResponse()
	for _, t := range req.Topics {
		out := kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID}
		for _, p := range t.Partitions {
			out.Partitions = append(out.Partitions, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: g.code})
		}
		resp.Topics = append(resp.Topics, out)
	}
	reply(resp)
}

func (g *groups) OffsetFetch(asked *kmsg.OffsetFetchRequestGroup, _ bool, reply func(kmsg.OffsetFetchResponseGroup)) {
	if g.asked == 0 {
		panic("read before it was awaited that the broker is not fenced")
	}
	g.fetch = append(g.fetch, *asked)
	reply(g.found(asked))
}

func (g *groups) OffsetDelete(req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	g.delete = req
	resp := kmsg.NewPtrOffsetDeleteResponse()
	if resp.ErrorCode = g.code; g.code == 0 {
		for _, t := range req.Topics {
			out := kmsg.OffsetDeleteResponseTopic{Topic: t.Topic}
			for _, p := range t.Partitions {
				out.Partitions = append(out.Partitions, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition})
			}
			resp.Topics = append(resp.Topics, out)
		}
	}
	reply(resp)
}

func (g *groups) DescribeGroups(_ int16, ids []string, reply func([]kmsg.DescribeGroupsResponseGroup)) {
	out := make([]kmsg.DescribeGroupsResponseGroup, len(ids))
	for i, id := range ids {
		out[i] = kmsg.NewDescribeGroupsResponseGroup()
		if out[i].Group = id; id == "bad" {
			out[i].ErrorCode = int16(errcode.KindNotCoordinator)
		}
	}
	reply(out)
}

func (g *groups) ConsumerGroupDescribe(_ int16, ids []string, reply func([]kmsg.ConsumerGroupDescribeResponseGroup)) {
	out := make([]kmsg.ConsumerGroupDescribeResponseGroup, len(ids))
	for i, id := range ids {
		out[i] = kmsg.NewConsumerGroupDescribeResponseGroup()
		if out[i].Group = id; id == "bad" {
			out[i].ErrorCode = int16(errcode.KindNotCoordinator)
		}
	}
	reply(out)
}

func (g *groups) DeleteGroups(_ group.Caller, ids []string, reply func([]kmsg.DeleteGroupsResponseGroup)) {
	g.ids = ids
	reply(make([]kmsg.DeleteGroupsResponseGroup, len(ids)))
}

func TestFindCoordinator(t *testing.T) {
	s := newStack(t)
	for v := int16(0); v <= 6; v++ {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKey, req.CoordinatorKeys = v, "g", []string{"g", "h"}
		resp := s.ask(req).(*kmsg.FindCoordinatorResponse)
		if v < 4 {
			if resp.ErrorCode != 0 || resp.NodeID != 1 || resp.Host != "one" || resp.Port != 9092 || v > 0 && *resp.ErrorMessage != "NONE" {
				t.Errorf("v%d: got %+v", v, resp)
			}
			continue
		}
		if len(resp.Coordinators) != 2 || resp.Coordinators[1].Key != "h" || resp.Coordinators[1].NodeID != 1 || *resp.Coordinators[1].ErrorMessage != "" {
			t.Errorf("v%d: got %+v", v, resp)
		}
	}
	for _, tt := range []struct {
		name    string
		version int16
		kind    int8
		want    errcode.Kind
	}{
		{"a transaction", 1, 1, errcode.KindUnsupportedVersion},
		{"a transaction", 6, 1, errcode.KindUnsupportedVersion},
		{"a share group", 6, 2, errcode.KindUnsupportedVersion},
		{"a share group too early", 5, 2, errcode.KindInvalidRequest},
		{"nothing there is", 6, 3, errcode.KindInvalidRequest},
		{"nothing there is", 3, -1, errcode.KindInvalidRequest},
	} {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = tt.version, tt.kind, "k", []string{"k"}
		resp := s.ask(req).(*kmsg.FindCoordinatorResponse)
		code, node, message := resp.ErrorCode, resp.NodeID, resp.ErrorMessage
		if tt.version >= 4 {
			c := resp.Coordinators[0]
			code, node, message = c.ErrorCode, c.NodeID, c.ErrorMessage
		}
		if *message != errcode.Description(code) {
			t.Errorf("%s: got message %q", tt.name, *message)
		}
		if code != int16(tt.want) || node != -1 {
			t.Errorf("%s, v%d: got %s and node %d, want %s", tt.name, tt.version, errcode.Name(code), node, errcode.Name(int16(tt.want)))
		}
	}
}

// The first to look for a coordinator has the topic created.
func TestFindCoordinator_CreatesTheTopic(t *testing.T) {
	s := newStack(t)
	with := s.images.Load()
	without := *with
	without.Topics = with.Topics.Without(group.Topic)
	s.images.Store(&without)
	var created *kmsg.CreateTopicsRequest
	fails := true
	s.control = func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		created = req.(*kmsg.CreateTopicsRequest)
		if !fails {
			s.images.Store(with)
		}
		return req.ResponseKind(), nil
	}
	find := func() int16 {
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKeys = 4, []string{"g"}
		return s.ask(req).(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode
	}
	if code := find(); code != int16(errcode.KindCoordinatorNotAvailable) {
		t.Errorf("when there are too few brokers: got %s", errcode.Name(code))
	}
	fails = false
	if code := find(); code != 0 {
		t.Errorf("got %s", errcode.Name(code))
	}
	topic := created.Topics[0]
	configs := make(map[string]string)
	for _, c := range topic.Configs {
		configs[c.Name] = *c.Value
	}
	want := map[string]string{"cleanup.policy": "compact", "compression.type": "producer", "segment.bytes": "104857600"}
	if d := cmp.Diff(want, configs); d != "" || topic.Topic != group.Topic || topic.NumPartitions != 50 || topic.ReplicationFactor != 1 {
		t.Errorf("created %+v %s", topic, d)
	}
}

func TestFindCoordinator_NobodyLeads(t *testing.T) {
	s := newStack(t)
	for name, change := range map[string]func(img *image.Image){
		"no leader": func(img *image.Image) {
			img.Topics.Get(group.Topic).Partitions[0].Leader = image.NoLeader
		},
		"a fenced leader":       func(img *image.Image) { img.Brokers[1].Fenced = true },
		"not on this listener":  func(img *image.Image) { img.Brokers[1].Endpoints[0].Name = "INTERNAL" },
		"a partition too many":  func(img *image.Image) { img.Topics.Get(group.Topic).Partitions = nil },
		"a leader nobody knows": func(img *image.Image) { img.Topics.Get(group.Topic).Partitions[0].Leader = 9 },
	} {
		img := testImage()
		change(img)
		s.images.Store(img)
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.Version, req.CoordinatorKeys = 4, []string{"g"}
		if c := s.ask(req).(*kmsg.FindCoordinatorResponse).Coordinators[0]; c.ErrorCode != int16(errcode.KindCoordinatorNotAvailable) || c.NodeID != -1 {
			t.Errorf("%s: got %+v", name, c)
		}
	}
}

// A member that waits for others holds its connection, and what it sent stays as it was.
func TestJoinGroup_Waits(t *testing.T) {
	s := newStack(t)
	s.groups.parked = make(chan func(), 1)
	c := s.dial("the client")
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group = 9, "g"
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("metadata")}}
	c.send(req)
	release := <-s.groups.parked
	if resp := s.ask(kmsg.NewPtrHeartbeatRequest()).(*kmsg.HeartbeatResponse); resp.ErrorCode != 0 {
		t.Errorf("another connection: got %+v", resp)
	}
	release()
	if resp := c.receive(req, 1).(*kmsg.JoinGroupResponse); resp.MemberID != "m" {
		t.Errorf("got %+v", resp)
	}
	if s.groups.who != (group.Caller{ClientID: "the client", ClientHost: "/pipe"}) {
		t.Errorf("got caller %+v", s.groups.who)
	}
	if got := string(s.groups.join.Protocols[0].Metadata); got != "metadata" {
		t.Errorf("the metadata is %q by now", got)
	}
}

func commitOf(topic string, id protocol.TopicID, partitions ...int32) kmsg.OffsetCommitRequestTopic {
	t := kmsg.OffsetCommitRequestTopic{Topic: topic, TopicID: id}
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: p})
	}
	return t
}

func TestOffsetCommit_WhatDoesNotExistIsRefusedByItself(t *testing.T) {
	const unknown, unknownID = int16(errcode.KindUnknownTopicOrPartition), int16(errcode.KindUnknownTopicID)
	for _, tt := range []struct {
		name      string
		version   int16
		topics    []kmsg.OffsetCommitRequestTopic
		code      int16    // what the coordinator says
		committed []string // the topics that it sees; nil: it is not asked
		want      []kmsg.OffsetCommitResponseTopic
	}{
		{
			"all is there", 9,
			[]kmsg.OffsetCommitRequestTopic{commitOf("orders", [16]byte{}, 0, 2)},
			0,
			[]string{"orders"},
			[]kmsg.OffsetCommitResponseTopic{{Topic: "orders", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0}, {Partition: 2}}}},
		},
		{
			"some is not", 9,
			[]kmsg.OffsetCommitRequestTopic{commitOf("orders", [16]byte{}, 3, 0, -1), commitOf("nope", [16]byte{}, 0), commitOf("others", [16]byte{}, 0)},
			22,
			[]string{"orders", "others"},
			[]kmsg.OffsetCommitResponseTopic{
				{Topic: "orders", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 3, ErrorCode: unknown}, {Partition: -1, ErrorCode: unknown}, {Partition: 0, ErrorCode: 22}}},
				{Topic: "nope", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0, ErrorCode: unknown}}},
				{Topic: "others", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0, ErrorCode: 22}}},
			},
		},
		{
			"nothing is there", 2,
			[]kmsg.OffsetCommitRequestTopic{commitOf("nope", [16]byte{}, 0), commitOf("nope", [16]byte{}, 1)},
			0, nil,
			[]kmsg.OffsetCommitResponseTopic{
				{Topic: "nope", Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0, ErrorCode: unknown}, {Partition: 1, ErrorCode: unknown}}},
			},
		},
		{"nothing is asked", 9, nil, 0, nil, nil},
		{
			"by id", 10,
			[]kmsg.OffsetCommitRequestTopic{commitOf("", ordersID, 0, 7), commitOf("", [16]byte{9}, 0)},
			0,
			[]string{"orders"},
			[]kmsg.OffsetCommitResponseTopic{
				{TopicID: ordersID, Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 7, ErrorCode: unknown}, {Partition: 0}}},
				{TopicID: [16]byte{9}, Partitions: []kmsg.OffsetCommitResponseTopicPartition{{Partition: 0, ErrorCode: unknownID}}},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStack(t)
			s.groups.code = tt.code
			req := kmsg.NewPtrOffsetCommitRequest()
			req.Version, req.Group, req.Topics = tt.version, "g", tt.topics
			resp := s.ask(req).(*kmsg.OffsetCommitResponse)
			if d := cmp.Diff(tt.want, resp.Topics, likeKmsg); d != "" {
				t.Errorf("answer (-want +got)\n%s", d)
			}
			var committed []string
			if s.groups.commit != nil {
				for _, c := range s.groups.commit.Topics {
					committed = append(committed, c.Topic)
					if c.TopicID == [16]byte{} {
						t.Errorf("%s comes without an id", c.Topic)
					}
				}
			}
			if d := cmp.Diff(tt.committed, committed); d != "" {
				t.Errorf("committed (-want +got)\n%s", d)
			}
		})
	}
}

// found answers OffsetFetch with offset 5 for each partition asked for, or for partition 0 of orders and gone.
func found(g *kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = g.Group
	if g.Group == "bad" {
		resp.ErrorCode = int16(errcode.KindNotCoordinator)
		return resp
	}
	topics := g.Topics
	if topics == nil {
		topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: "orders", Partitions: []int32{0}}, {Topic: "gone", Partitions: []int32{0}}}
	}
	for _, t := range topics {
		out := kmsg.OffsetFetchResponseGroupTopic{Topic: t.Topic, TopicID: t.TopicID}
		for _, p := range t.Partitions {
			out.Partitions = append(out.Partitions, kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p, Offset: 5, LeaderEpoch: 3, Metadata: new("text")})
		}
		resp.Topics = append(resp.Topics, out)
	}
	return resp
}

func TestOffsetFetch_OldVersions(t *testing.T) {
	s := newStack(t)
	s.groups.found = found
	for v := int16(1); v <= 7; v++ {
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Version, req.Group = v, "g"
		req.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "orders", Partitions: []int32{1}}}
		resp := s.ask(req).(*kmsg.OffsetFetchResponse)
		epoch := int32(-1)
		if v >= 5 {
			epoch = 3
		}
		want := []kmsg.OffsetFetchResponseTopic{{Topic: "orders", Partitions: []kmsg.OffsetFetchResponseTopicPartition{
			{Partition: 1, Offset: 5, LeaderEpoch: epoch, Metadata: new("text")},
		}}}
		if d := cmp.Diff(want, resp.Topics, likeKmsg); d != "" || resp.ErrorCode != 0 {
			t.Errorf("v%d: error %d, topics (-want +got)\n%s", v, resp.ErrorCode, d)
		}

		req.Group = "bad"
		resp = s.ask(req).(*kmsg.OffsetFetchResponse)
		switch {
		case v < 2:
			p := resp.Topics[0].Partitions[0]
			if p.ErrorCode != int16(errcode.KindNotCoordinator) || p.Offset != -1 || *p.Metadata != "" {
				t.Errorf("v%d: got %+v, want the error in the partition", v, resp)
			}
		case resp.ErrorCode != int16(errcode.KindNotCoordinator) || len(resp.Topics) != 0:
			t.Errorf("v%d: got %+v, want the error alone", v, resp)
		}

		if v >= 2 {
			req.Group, req.Topics = "g", nil
			if resp = s.ask(req).(*kmsg.OffsetFetchResponse); len(resp.Topics) != 2 {
				t.Errorf("v%d: got %+v, want all topics", v, resp)
			}
		}
		req.Group, req.Topics = "g", []kmsg.OffsetFetchRequestTopic{}
		if resp = s.ask(req).(*kmsg.OffsetFetchResponse); len(resp.Topics) != 0 {
			t.Errorf("v%d: got %+v, want no topics", v, resp)
		}
	}
}

func TestOffsetFetch_Groups(t *testing.T) {
	s := newStack(t)
	s.groups.found = found
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 10
	req.Groups = []kmsg.OffsetFetchRequestGroup{
		{Group: "some", Topics: []kmsg.OffsetFetchRequestGroupTopic{
			{TopicID: unknownID, Partitions: []int32{4}}, {TopicID: ordersID, Partitions: []int32{2}}, {Partitions: []int32{1}},
		}},
		{Group: "bad", Topics: []kmsg.OffsetFetchRequestGroupTopic{{TopicID: unknownID, Partitions: []int32{0}}}},
		{Group: "all"},
	}
	resp := s.ask(req).(*kmsg.OffsetFetchResponse)
	failed := func(id protocol.TopicID, partition int32) kmsg.OffsetFetchResponseGroupTopic {
		return kmsg.OffsetFetchResponseGroupTopic{TopicID: id, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{
			{Partition: partition, Offset: -1, LeaderEpoch: -1, Metadata: new(""), ErrorCode: int16(errcode.KindUnknownTopicID)},
		}}
	}
	ok := func(partition int32) kmsg.OffsetFetchResponseGroupTopic {
		return kmsg.OffsetFetchResponseGroupTopic{TopicID: ordersID, Partitions: []kmsg.OffsetFetchResponseGroupTopicPartition{
			{Partition: partition, Offset: 5, LeaderEpoch: 3, Metadata: new("text")},
		}}
	}
	want := []kmsg.OffsetFetchResponseGroup{
		{Group: "some", Topics: []kmsg.OffsetFetchResponseGroupTopic{ok(2), failed(unknownID, 4), failed(protocol.TopicID{}, 1)}},
		{Group: "bad", ErrorCode: int16(errcode.KindNotCoordinator)},
		{Group: "all", Topics: []kmsg.OffsetFetchResponseGroupTopic{ok(0)}},
	}
	if d := cmp.Diff(want, resp.Groups, likeKmsg); d != "" {
		t.Errorf("groups (-want +got)\n%s", d)
	}
	if got := s.groups.fetch[0].Topics[0].Topic; got != "orders" {
		t.Errorf("the coordinator was asked for %q", got)
	}
	req.Groups = nil
	if resp := s.ask(req).(*kmsg.OffsetFetchResponse); len(resp.Groups) != 0 {
		t.Errorf("got %+v for no groups", resp)
	}
}

func TestOffsetDelete(t *testing.T) {
	s := newStack(t)
	req := kmsg.NewPtrOffsetDeleteRequest()
	ask := func() *kmsg.OffsetDeleteResponse {
		req.Topics = []kmsg.OffsetDeleteRequestTopic{
			{Topic: "orders", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 5}, {Partition: 1}}},
			{Topic: "nope", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 0}}},
		}
		return s.ask(req).(*kmsg.OffsetDeleteResponse)
	}
	const unknown = int16(errcode.KindUnknownTopicOrPartition)
	want := []kmsg.OffsetDeleteResponseTopic{
		{Topic: "orders", Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{Partition: 5, ErrorCode: unknown}, {Partition: 1}}},
		{Topic: "nope", Partitions: []kmsg.OffsetDeleteResponseTopicPartition{{Partition: 0, ErrorCode: unknown}}},
	}
	if d := cmp.Diff(want, ask().Topics, likeKmsg); d != "" {
		t.Errorf("topics (-want +got)\n%s", d)
	}
	if got := s.groups.delete.Topics; len(got) != 1 || len(got[0].Partitions) != 1 {
		t.Errorf("the coordinator was asked for %+v", got)
	}
	s.groups.code = int16(errcode.KindGroupIDNotFound)
	if resp := ask(); resp.ErrorCode != s.groups.code || len(resp.Topics) != 0 {
		t.Errorf("got %+v, want the error alone", resp)
	}
}

func TestDescribeGroups_AuthorizedOperations(t *testing.T) {
	s := newStack(t)
	const all, none = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11, -1 << 31
	for v := int16(3); v <= 6; v++ {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Version, req.Groups = v, []string{"g", "bad"}
		for _, include := range []bool{false, true} {
			req.IncludeAuthorizedOperations = include
			got := s.ask(req).(*kmsg.DescribeGroupsResponse).Groups
			want := int32(none)
			if include {
				want = all
			}
			if got[0].AuthorizedOperations != want || got[1].AuthorizedOperations != none {
				t.Errorf("v%d, %v: got %d and %d", v, include, got[0].AuthorizedOperations, got[1].AuthorizedOperations)
			}
		}
	}
	req := kmsg.NewPtrConsumerGroupDescribeRequest()
	req.Groups, req.IncludeAuthorizedOperations = []string{"g", "bad"}, true
	if got := s.ask(req).(*kmsg.ConsumerGroupDescribeResponse).Groups; got[0].AuthorizedOperations != all || got[1].AuthorizedOperations != none {
		t.Errorf("consumer groups: got %d and %d", got[0].AuthorizedOperations, got[1].AuthorizedOperations)
	}
}

func TestDeleteGroups_EachOnce(t *testing.T) {
	s := newStack(t)
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Version, req.Groups = 2, []string{"a", "b", "a"}
	if got := s.ask(req).(*kmsg.DeleteGroupsResponse).Groups; len(got) != 2 {
		t.Errorf("got %d answers", len(got))
	}
	if d := cmp.Diff([]string{"a", "b"}, s.groups.ids); d != "" {
		t.Errorf("asked for (-want +got)\n%s", d)
	}
}

// A connection that ends while its member waits is no trouble, nor is the answer that comes later.
func TestJoinGroup_TheClientGoes(t *testing.T) {
	s := newStack(t)
	s.groups.parked = make(chan func(), 1)
	c := s.dial("c")
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group = 9, "g"
	c.send(req)
	release := <-s.groups.parked
	c.nc.Close()
	for end := time.Now().Add(30 * time.Second); s.server.Stats().Connections > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the connection is still there")
		}
	}
	release()
}
