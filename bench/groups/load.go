package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// Versions that all brokers here know, without tagged fields: they are not what is measured.
const (
	findVersion      = 2
	joinVersion      = 5
	syncVersion      = 3
	heartbeatVersion = 3
	commitVersion    = 7
	fetchVersion     = 5
)

// member is a connection's place in its group.
type member struct {
	group, id  string
	generation int32
}

// classic makes a load of the requests of a member of a classic group.
func classic(request func(o *options, m *member) (kmsg.Request, func(kmsg.Response) int16)) load {
	return func(ctx context.Context, o *options, c *raw.Client, index int) (func() error, error) {
		m := &member{group: fmt.Sprintf("group-%d-%d", time.Now().UnixNano(), index)}
		if err := find(ctx, c, m.group); err != nil {
			return nil, err
		}
		if err := join(ctx, c, m); err != nil {
			return nil, err
		}
		req, code := request(o, m)
		return repeat(c, req, code), nil
	}
}

// repeat sends a request and checks the answer.
func repeat(c *raw.Client, req kmsg.Request, code func(kmsg.Response) int16) func() error {
	frame, resp := raw.Frame(req), req.ResponseKind()
	return func() error {
		if err := c.Write(frame); err != nil {
			return err
		}
		if _, err := c.Read(resp); err != nil {
			return err
		}
		return kerr.ErrorForCode(code(resp))
	}
}

// insist repeats a request while the coordinator is not ready.
func insist(ctx context.Context, c *raw.Client, req kmsg.Request, code func(kmsg.Response) int16) (kmsg.Response, error) {
	for {
		resp, err := c.Call(req)
		if err != nil {
			return nil, err
		}
		err = kerr.ErrorForCode(code(resp))
		if !kerr.IsRetriable(err) || ctx.Err() != nil {
			return resp, err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func find(ctx context.Context, c *raw.Client, group string) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = findVersion, group
	_, err := insist(ctx, c, req, func(r kmsg.Response) int16 { return r.(*kmsg.FindCoordinatorResponse).ErrorCode })
	return err
}

// join makes the connection the only member of its group.
func join(ctx context.Context, c *raw.Client, m *member) error {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = joinVersion, m.group, "consumer", 45_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255}}}
	code := func(r kmsg.Response) int16 { return r.(*kmsg.JoinGroupResponse).ErrorCode }
	for m.generation == 0 {
		resp, err := insist(ctx, c, req, code)
		if err != nil && code(resp) != kerr.MemberIDRequired.Code {
			return err
		}
		req.MemberID = resp.(*kmsg.JoinGroupResponse).MemberID
		m.id, m.generation = req.MemberID, max(resp.(*kmsg.JoinGroupResponse).Generation, 0)
	}
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = syncVersion, m.group, m.id, m.generation
	sync.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: m.id, MemberAssignment: []byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255}}}
	_, err := insist(ctx, c, sync, func(r kmsg.Response) int16 { return r.(*kmsg.SyncGroupResponse).ErrorCode })
	return err
}

func heartbeat(_ *options, m *member) (kmsg.Request, func(kmsg.Response) int16) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = heartbeatVersion, m.group, m.id, m.generation
	return req, func(r kmsg.Response) int16 { return r.(*kmsg.HeartbeatResponse).ErrorCode }
}

func commit(o *options, m *member) (kmsg.Request, func(kmsg.Response) int16) {
	return commitOf(o.topic, m, 0, o.offsets), commitCode
}

func commitCode(r kmsg.Response) int16 {
	for _, t := range r.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return p.ErrorCode
			}
		}
	}
	return 0
}

func commitOf(topic string, m *member, first, n int) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = commitVersion, m.group, m.id, m.generation
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for i := range n {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = int32(first+i), 1234567, new("")
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func fetch(o *options, m *member) (kmsg.Request, func(kmsg.Response) int16) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.Group = fetchVersion, m.group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic = o.topic
	for i := range o.offsets {
		t.Partitions = append(t.Partitions, int32(i))
	}
	req.Topics = append(req.Topics, t)
	return req, func(r kmsg.Response) int16 { return r.(*kmsg.OffsetFetchResponse).ErrorCode }
}

// consumer is a member of a group of the new protocol, alone in it, once it has its partitions.
func consumer(ctx context.Context, o *options, c *raw.Client, index int) (func() error, error) {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group = fmt.Sprintf("consumer-%d-%d", time.Now().UnixNano(), index)
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames = 60_000, []string{o.topic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	if err := find(ctx, c, req.Group); err != nil {
		return nil, err
	}
	code := func(r kmsg.Response) int16 { return r.(*kmsg.ConsumerGroupHeartbeatResponse).ErrorCode }
	for owns := false; !owns; {
		got, err := insist(ctx, c, req, code)
		if err != nil {
			return nil, err
		}
		resp := got.(*kmsg.ConsumerGroupHeartbeatResponse)
		req.MemberID, req.MemberEpoch = *resp.MemberID, resp.MemberEpoch
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = -1, nil, nil
		if a := resp.Assignment; a != nil && len(a.Topics) > 0 {
			for _, t := range a.Topics {
				req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
			owns = true
		}
	}
	if _, err := insist(ctx, c, req, code); err != nil { // it says what it owns, once
		return nil, err
	}
	req.Topics = nil
	return repeat(c, req, code), nil
}

// filled counts the groups that fill has begun with.
var filled atomic.Int64

// fill commits offsets of all partitions of the topic, for one group after the other.
func fill(ctx context.Context, o *options, c *raw.Client, _ int) (func() error, error) {
	if err := find(ctx, c, "filled-1"); err != nil {
		return nil, err
	}
	return func() error {
		n := filled.Add(1)
		if n*100 > int64(o.total) {
			return io.EOF
		}
		m := &member{group: fmt.Sprintf("filled-%d", n), generation: -1}
		_, err := insist(ctx, c, commitOf(o.topic, m, 0, 100), commitCode)
		return err
	}, nil
}
