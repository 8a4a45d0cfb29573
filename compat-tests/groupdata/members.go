package groupdata

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is a member of a classic group.
type member struct {
	cl         *kgo.Client
	group      string
	instanceID *string
	topics     []string
	protocol   string // type; "consumer" by default

	id         string
	generation int32
	leader     bool
	members    []kmsg.JoinGroupResponseMember
}

func (m *member) protocolType() string {
	if m.protocol == "" {
		return "consumer"
	}
	return m.protocol
}

// join joins, with a second request when the broker gives out the member id first.
func (m *member) join(ctx context.Context) error {
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Version, subscription.Topics = 3, m.topics
	for {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.MemberID, req.InstanceID, req.ProtocolType = m.group, m.id, m.instanceID, m.protocolType()
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60000, 50000
		for _, name := range []string{"range", "roundrobin"} {
			p := kmsg.NewJoinGroupRequestProtocol()
			p.Name, p.Metadata = name, subscription.AppendTo(nil)
			req.Protocols = append(req.Protocols, p)
		}
		resp, err := ask[*kmsg.JoinGroupResponse](ctx, m.cl, req)
		if err != nil {
			return err
		}
		m.id = resp.MemberID
		switch err := kerr.ErrorForCode(resp.ErrorCode); {
		case errors.Is(err, kerr.MemberIDRequired):
			continue
		case err != nil:
			return fmt.Errorf("join %s: %w", m.group, err)
		}
		m.generation, m.leader, m.members = resp.Generation, resp.LeaderID == resp.MemberID, resp.Members
		return nil
	}
}

// sync syncs; a leader gives each member a partition of its first topic.
func (m *member) sync(ctx context.Context) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instanceID, m.generation
	req.ProtocolType, req.Protocol = new(m.protocolType()), new("range")
	for i, other := range m.members {
		a := kmsg.NewConsumerMemberAssignment()
		a.Version = 3
		a.Topics = append(a.Topics, kmsg.ConsumerMemberAssignmentTopic{Topic: m.topics[0], Partitions: []int32{int32(i)}})
		g := kmsg.NewSyncGroupRequestGroupAssignment()
		g.MemberID, g.MemberAssignment = other.MemberID, a.AppendTo(nil)
		req.GroupAssignment = append(req.GroupAssignment, g)
	}
	resp, err := ask[*kmsg.SyncGroupResponse](ctx, m.cl, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

func (m *member) leave(ctx context.Context) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	l := kmsg.NewLeaveGroupRequestMember()
	l.MemberID, l.InstanceID = m.id, m.instanceID
	req.Group, req.Members = m.group, append(req.Members, l)
	resp, err := ask[*kmsg.LeaveGroupResponse](ctx, m.cl, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.ErrorCode)
}

// rejoin joins again once the broker asks for it, because another has joined.
func (m *member) rejoin(ctx context.Context) error {
	if m.id == "" {
		return m.join(ctx)
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.InstanceID, req.Generation = m.group, m.id, m.instanceID, m.generation
	err := poll(ctx, func() (bool, error) {
		resp, err := ask[*kmsg.HeartbeatResponse](ctx, m.cl, req)
		return err == nil && resp.ErrorCode == kerr.RebalanceInProgress.Code, err
	})
	if err != nil {
		return err
	}
	return m.join(ctx)
}

// rebalance has all members join and sync at once. One of them must be new.
func rebalance(ctx context.Context, members ...*member) error {
	for _, step := range []func(*member, context.Context) error{(*member).rejoin, (*member).sync} {
		errs := make(chan error, len(members))
		for _, m := range members {
			go func() { errs <- step(m, ctx) }()
		}
		var all error
		for range members {
			all = errors.Join(all, <-errs)
		}
		if all != nil {
			return all
		}
	}
	return nil
}

// newMember returns a member that has not joined.
func (w *writer) newMember(group, clientID string, instanceID *string, topics ...string) (*member, error) {
	cl, err := w.client(clientID, nil)
	return &member{cl: cl, group: group, instanceID: instanceID, topics: topics}, err
}

// classic writes classic groups: stable with a static member, emptied, of connectors, deleted.
func (w *writer) classic(ctx context.Context) error {
	first, err1 := w.newMember("classic", "classic-client-1", nil, "orders")
	second, err2 := w.newMember("classic", "classic-client-2", new("instance-2"), "orders", "payments")
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if err := rebalance(ctx, first); err != nil {
		return err
	}
	if err := w.commit(ctx, first.cl, "classic", first.id, first.generation, offset{"orders", 0, 100, 0, ""}); err != nil {
		return err
	}
	if err := rebalance(ctx, first, second); err != nil {
		return err
	}
	if err := w.commit(ctx, first.cl, "classic", first.id, first.generation, offset{"orders", 0, 101, 0, ""}, offset{"orders", 1, 102, -1, first.id}); err != nil {
		return err
	}
	for _, group := range []string{"classic-emptied", "classic-deleted", "connect-cluster"} {
		m, err := w.newMember(group, "classic-client-3", nil, "shipments")
		if err != nil {
			return err
		}
		if group == "connect-cluster" {
			m.protocol = "connect"
		}
		if err := rebalance(ctx, m); err != nil {
			return err
		}
		if group == "connect-cluster" {
			continue
		}
		if err := w.commit(ctx, m.cl, group, m.id, m.generation, offset{"shipments", 0, 5, 0, "bye"}); err != nil {
			return err
		}
		if err := m.leave(ctx); err != nil {
			return err
		}
	}
	return w.deleteGroup(ctx, first.cl, "classic-deleted")
}

// modern is a member of a consumer group (KIP-848).
type modern struct {
	cl    *kgo.Client
	req   *kmsg.ConsumerGroupHeartbeatRequest // of the join
	epoch int32
	owned []kmsg.ConsumerGroupHeartbeatRequestTopic
}

func (w *writer) newModern(group, clientID, memberID string, adjust func(*kmsg.ConsumerGroupHeartbeatRequest)) (*modern, error) {
	cl, err := w.client(clientID, nil)
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.MemberID, req.RebalanceTimeoutMillis, req.Topics = group, memberID, 45000, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	adjust(req)
	return &modern{cl: cl, req: req, owned: req.Topics}, err
}

// heartbeat sends the whole state of the member, in which it owns what it was given.
func (m *modern) heartbeat(ctx context.Context) error {
	m.req.MemberEpoch, m.req.Topics = m.epoch, m.owned
	resp, err := ask[*kmsg.ConsumerGroupHeartbeatResponse](ctx, m.cl, m.req)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return fmt.Errorf("heartbeat of %s in %s: %w", m.req.MemberID, m.req.Group, err)
	}
	m.epoch = resp.MemberEpoch
	if resp.Assignment != nil {
		m.owned = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
		for _, t := range resp.Assignment.Topics {
			m.owned = append(m.owned, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
		}
	}
	return nil
}

func (m *modern) partitions() int {
	n := 0
	for _, t := range m.owned {
		n += len(t.Partitions)
	}
	return n
}

// settle heartbeats until the members own so many partitions together, and each has some.
func settle(ctx context.Context, partitions int, members ...*modern) error {
	return poll(ctx, func() (bool, error) {
		sum, all := 0, true
		for _, m := range members {
			if err := m.heartbeat(ctx); err != nil {
				return false, err
			}
			sum, all = sum+m.partitions(), all && m.partitions() > 0
		}
		return all && sum == partitions, nil
	})
}

// consumer writes consumer groups: two members that shared the partitions between them, one subscribed by a regular
// expression, a static one that will come back, an emptied and a deleted group.
func (w *writer) consumer(ctx context.Context) error {
	orders := func(req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.SubscribedTopicNames = []string{"orders", "payments"}
	}
	first, err1 := w.newModern("consumer", "modern-client-1", "AAAAAAAAAAAAAAAAAAAAEQ", orders)
	second, err2 := w.newModern("consumer", "modern-client-2", "AAAAAAAAAAAAAAAAAAAAEg", func(req *kmsg.ConsumerGroupHeartbeatRequest) {
		orders(req)
		req.InstanceID, req.RackID, req.ServerAssignor = new("modern-instance"), new("rack-a"), new("range")
	})
	regex, err3 := w.newModern("consumer-regex", "modern-client-3", "AAAAAAAAAAAAAAAAAAAAEw", func(req *kmsg.ConsumerGroupHeartbeatRequest) {
		req.SubscribedTopicRegex = new("ship.*|pay.*")
	})
	emptied, err4 := w.newModern("consumer-emptied", "modern-client-4", "AAAAAAAAAAAAAAAAAAAAFA", orders)
	deleted, err5 := w.newModern("consumer-deleted", "modern-client-5", "AAAAAAAAAAAAAAAAAAAAFQ", orders)
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return err
	}
	if err := settle(ctx, 4, first); err != nil {
		return err
	}
	if err := w.commit(ctx, first.cl, "consumer", first.req.MemberID, first.epoch, offset{"orders", 0, 1000, 0, ""}, offset{"payments", 0, 1001, -1, "x"}); err != nil {
		return err
	}
	if err := errors.Join(settle(ctx, 4, first, second), settle(ctx, 3, regex), settle(ctx, 4, emptied), settle(ctx, 4, deleted)); err != nil {
		return err
	}
	for _, m := range []*modern{emptied, deleted} {
		if err := w.commit(ctx, m.cl, m.req.Group, m.req.MemberID, m.epoch, offset{"orders", 2, 3, 0, ""}); err != nil {
			return err
		}
		m.epoch = -1
		if err := m.heartbeat(ctx); err != nil {
			return err
		}
	}
	return w.deleteGroup(ctx, first.cl, "consumer-deleted")
}

// upgraded writes a group whose one member speaks the classic protocol, and whose other came with the consumer protocol. There is
// a partition for each, so that brokers share them out alike.
func (w *writer) upgraded(ctx context.Context) error {
	old, err := w.newMember("upgraded", "classic-client-9", nil, "shipments")
	if err != nil {
		return err
	}
	if err := rebalance(ctx, old); err != nil {
		return err
	}
	if err := w.commit(ctx, old.cl, "upgraded", old.id, old.generation, offset{"shipments", 0, 77, 0, ""}); err != nil {
		return err
	}
	m, err := w.newModern("upgraded", "modern-client-9", "AAAAAAAAAAAAAAAAAAAAGQ", func(req *kmsg.ConsumerGroupHeartbeatRequest) { req.SubscribedTopicNames = []string{"shipments"} })
	if err != nil {
		return err
	}
	return m.heartbeat(ctx)
}
