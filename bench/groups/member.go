package groups

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// Versions that clients of today speak, and all brokers here.
const (
	findVersion      = 3
	createVersion    = 7
	joinVersion      = 9
	syncVersion      = 5
	heartbeatVersion = 4
	leaveVersion     = 5
	commitVersion    = 9
	fetchVersion     = 9
)

const (
	// sessionTimeout is long: no session is to end while something else is measured.
	sessionTimeout   = 30 * time.Minute
	rebalanceTimeout = time.Minute
)

// member is a place in a group, of either protocol. One without an id commits as a simple consumer does.
type member struct {
	group, id string
	epoch     int32 // member epoch or generation
}

// insist repeats a request while the coordinator is not ready.
func insist[R kmsg.Response](ctx context.Context, c *raw.Client, req kmsg.Request, code func(R) int16) (R, error) {
	for {
		got, err := c.Call(req)
		if err != nil {
			var none R
			return none, err
		}
		resp := got.(R)
		if err = kerr.ErrorForCode(code(resp)); !kerr.IsRetriable(err) || ctx.Err() != nil {
			return resp, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// find has the broker create the topic of the coordinator, and waits for that.
func find(ctx context.Context, c *raw.Client, group string) error {
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKey = findVersion, group
	_, err := insist(ctx, c, req, func(r *kmsg.FindCoordinatorResponse) int16 { return r.ErrorCode })
	if err != nil {
		return fmt.Errorf("find the coordinator of %s: %w", group, err)
	}
	return nil
}

// createTopic creates a topic, if it is missing.
func createTopic(ctx context.Context, addr, topic string, partitions int) error {
	c, err := raw.Connect(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = createVersion, 30_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), 1
	req.Topics = append(req.Topics, t)
	got, err := c.Call(req)
	if err != nil {
		return err
	}
	code := got.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode
	if code == kerr.TopicAlreadyExists.Code {
		return nil
	}
	return kerr.ErrorForCode(code)
}

// joinRequest asks for a place in a classic group.
func joinRequest(group, topic string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType = joinVersion, group, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), int32(rebalanceTimeout.Milliseconds())
	p := kmsg.NewJoinGroupRequestProtocol()
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{topic}
	p.Name, p.Metadata = "range", meta.AppendTo(nil)
	req.Protocols = append(req.Protocols, p)
	return req
}

// syncRequest asks for what a member is to consume; the leader says what each of the members is.
func syncRequest(m *member, topic string, partitions int, members []kmsg.JoinGroupResponseMember) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.MemberID, req.Generation = syncVersion, m.group, m.id, m.epoch
	req.ProtocolType, req.Protocol = new("consumer"), new("range")
	for i := range members {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = members[i].MemberID, share(topic, partitions, i, len(members))
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

// share encodes the i-th of n equal parts of a topic's partitions.
func share(topic string, partitions, i, n int) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	t := kmsg.NewConsumerMemberAssignmentTopic()
	t.Topic = topic
	for p := i * partitions / n; p < (i+1)*partitions/n; p++ {
		t.Partitions = append(t.Partitions, int32(p))
	}
	a.Topics = append(a.Topics, t)
	return a.AppendTo(nil)
}

func joinCode(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode }

// joinClassic makes the only member of a new classic group.
func joinClassic(ctx context.Context, c *raw.Client, group, topic string, partitions int) (*member, error) {
	req := joinRequest(group, topic)
	resp, err := insist(ctx, c, req, joinCode)
	if resp != nil && resp.ErrorCode == kerr.MemberIDRequired.Code {
		req.MemberID = resp.MemberID
		resp, err = insist(ctx, c, req, joinCode)
	}
	if err != nil {
		return nil, fmt.Errorf("join %s: %w", group, err)
	}
	m := &member{group: group, id: resp.MemberID, epoch: resp.Generation}
	sync := syncRequest(m, topic, partitions, resp.Members)
	if _, err := insist(ctx, c, sync, func(r *kmsg.SyncGroupResponse) int16 { return r.ErrorCode }); err != nil {
		return nil, fmt.Errorf("sync %s: %w", group, err)
	}
	return m, nil
}

func leaveClassic(c *raw.Client, m *member) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = leaveVersion, m.group
	who := kmsg.NewLeaveGroupRequestMember()
	who.MemberID = m.id
	req.Members = append(req.Members, who)
	_, err := c.Call(req)
	return err
}

// subscribe is the first heartbeat of a member of a consumer group, which names itself.
func subscribe(group, id, topic string) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID = 1, group, id
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames = int32(rebalanceTimeout.Milliseconds()), []string{topic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	return req
}

// report makes req the next heartbeat: nothing has changed, except that the member owns what it has been assigned.
func report(req *kmsg.ConsumerGroupHeartbeatRequest, resp *kmsg.ConsumerGroupHeartbeatResponse) (assigned int, changed bool) {
	req.MemberEpoch = resp.MemberEpoch
	req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = -1, nil, nil
	if resp.Assignment == nil {
		return 0, false
	}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	for _, t := range resp.Assignment.Topics {
		assigned += len(t.Partitions)
		req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
	}
	return assigned, true
}

func consumerCode(r *kmsg.ConsumerGroupHeartbeatResponse) int16 { return r.ErrorCode }

// joinConsumer makes the only member of a new consumer group, which has all partitions.
func joinConsumer(ctx context.Context, c *raw.Client, group, topic string, partitions int) (*member, error) {
	m := &member{group: group, id: "the-only-member-of-" + group}
	req := subscribe(group, m.id, topic)
	for owns := 0; owns < partitions || req.Topics != nil; {
		resp, err := insist(ctx, c, req, consumerCode)
		if err != nil {
			return nil, fmt.Errorf("join %s: %w", group, err)
		}
		m.epoch = resp.MemberEpoch
		if n, changed := report(req, resp); changed {
			owns = n
		}
	}
	return m, nil
}

func leaveConsumer(c *raw.Client, m *member) error {
	_, err := c.Call(consumerHeartbeatOf(m, -1))
	return err
}

func consumerHeartbeatOf(m *member, epoch int32) *kmsg.ConsumerGroupHeartbeatRequest {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.MemberEpoch, req.RebalanceTimeoutMillis = 1, m.group, m.id, epoch, -1
	return req
}

func heartbeatOf(m *member) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.MemberID, req.Generation = heartbeatVersion, m.group, m.id, m.epoch
	return req
}

// commitOf commits an offset of each of so many partitions.
func commitOf(m *member, topic string, partitions int) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.MemberID, req.Generation = commitVersion, m.group, m.id, m.epoch
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	for i := range partitions {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = int32(i), 1234567, new("")
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func commitCode(r *kmsg.OffsetCommitResponse) int16 {
	for _, t := range r.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return p.ErrorCode
			}
		}
	}
	return 0
}

// fetchOf fetches the offset of each of so many partitions.
func fetchOf(group, topic string, partitions int) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = fetchVersion
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	t := kmsg.NewOffsetFetchRequestGroupTopic()
	t.Topic = topic
	for i := range partitions {
		t.Partitions = append(t.Partitions, int32(i))
	}
	g.Topics = append(g.Topics, t)
	req.Groups = append(req.Groups, g)
	return req
}

// fetchCode insists on every offset being there.
func fetchCode(r *kmsg.OffsetFetchResponse) int16 {
	for _, g := range r.Groups {
		if g.ErrorCode != 0 {
			return g.ErrorCode
		}
		for _, t := range g.Topics {
			for _, p := range t.Partitions {
				if p.Offset < 0 {
					return kerr.OffsetOutOfRange.Code
				}
			}
		}
	}
	return 0
}
