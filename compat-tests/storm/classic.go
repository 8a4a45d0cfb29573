package storm

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// classic is a raw member of the classic protocol.
type classic struct {
	*raw
	partitions int32 // of the topic, for when it leads
}

// live joins and stays until ctx ends.
func (m *classic) live(ctx context.Context) {
	for ctx.Err() == nil {
		if err := m.in(ctx); err != nil && ctx.Err() == nil {
			_ = pause(ctx, 50*time.Millisecond)
		}
		m.loseAll()
	}
}

// in joins and stays until the group rebalances.
func (m *classic) in(ctx context.Context) error {
	shares, err := m.join(ctx)
	if err != nil || shares == nil {
		return err
	}
	if err := m.sync(ctx, shares); err != nil {
		return err
	}
	return m.stay(ctx)
}

// join joins. It returns the shares that it has to give out, an empty list when another leads, nil when it is not in.
func (m *classic) join(ctx context.Context) ([]kmsg.SyncGroupRequestGroupAssignment, error) {
	subscription := kmsg.NewConsumerMemberMetadata()
	subscription.Version, subscription.Topics = 1, []string{m.topic}
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.MemberID, req.InstanceID, req.ProtocolType = 7, m.group, m.id, m.instance, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = int32(sessionTimeout.Milliseconds()), int32(rebalanceTimeout.Milliseconds())
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "roundrobin", Metadata: subscription.AppendTo(nil)}}
	resp, err := m.ask(ctx, req)
	if err != nil {
		return nil, err
	}
	r := resp.(*kmsg.JoinGroupResponse)
	switch r.ErrorCode {
	case noError:
		m.id, m.epoch = r.MemberID, r.Generation
		return m.shares(r), nil
	case memberIDRequired:
		m.id = r.MemberID
	case unknownMember, fencedInstance:
		m.id = ""
	default:
		return nil, pause(ctx, 50*time.Millisecond)
	}
	return nil, nil
}

// shares deals the partitions out when the member leads.
func (m *classic) shares(r *kmsg.JoinGroupResponse) []kmsg.SyncGroupRequestGroupAssignment {
	out := []kmsg.SyncGroupRequestGroupAssignment{}
	if r.LeaderID != r.MemberID {
		return out
	}
	slices.SortFunc(r.Members, func(a, b kmsg.JoinGroupResponseMember) int { return strings.Compare(a.MemberID, b.MemberID) })
	for i, jm := range r.Members {
		t := kmsg.NewConsumerMemberAssignmentTopic()
		t.Topic = m.topic
		for p := int32(i); p < m.partitions; p += int32(len(r.Members)) {
			t.Partitions = append(t.Partitions, p)
		}
		share := kmsg.NewConsumerMemberAssignment()
		share.Topics = append(share.Topics, t)
		out = append(out, kmsg.SyncGroupRequestGroupAssignment{MemberID: jm.MemberID, MemberAssignment: share.AppendTo(nil)})
	}
	return out
}

// sync fetches the member's share and takes it over.
func (m *classic) sync(ctx context.Context, shares []kmsg.SyncGroupRequestGroupAssignment) error {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Version, req.Group, req.Generation, req.MemberID, req.InstanceID, req.GroupAssignment = 4, m.group, m.epoch, m.id, m.instance, shares
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	r := resp.(*kmsg.SyncGroupResponse)
	if r.ErrorCode != noError {
		m.refused(r.ErrorCode)
		return errNotIn
	}
	share := kmsg.NewConsumerMemberAssignment()
	if err := share.ReadFrom(r.MemberAssignment); err != nil && len(r.MemberAssignment) > 0 {
		return err
	}
	// In a stable group neither JoinGroup nor SyncGroup renews a session, in Kafka as in dmq: only a heartbeat tells how long the
	// share is the member's.
	if err := m.beat(ctx); err != nil {
		return err
	}
	for _, t := range share.Topics {
		if err := m.gain(ctx, t.Partitions, m.lastBeat); err != nil {
			return err
		}
	}
	return nil
}

// refused forgets an id that is not known any more.
func (m *classic) refused(code int16) {
	if code == unknownMember || code == fencedInstance {
		m.id = ""
	}
}

// stay reads and reports until the group rebalances.
func (m *classic) stay(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := m.silence(ctx); err != nil {
			return err
		}
		if time.Since(m.lastBeat) >= beatEvery {
			if err := m.beat(ctx); err != nil {
				return err
			}
		}
		if err := m.read(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (m *classic) beat(ctx context.Context) error {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version, req.Group, req.Generation, req.MemberID, req.InstanceID = 4, m.group, m.epoch, m.id, m.instance
	sent := time.Now()
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.HeartbeatResponse).ErrorCode; code != noError {
		m.refused(code)
		return errNotIn
	}
	m.beaten(sent)
	return nil
}

// leave says good-bye.
func (m *classic) leave(ctx context.Context) {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Version, req.Group = 4, m.group
	req.Members = []kmsg.LeaveGroupRequestMember{{MemberID: m.id, InstanceID: m.instance}}
	m.gone()
	_, _ = m.ask(ctx, req) // a member that the broker does not hear leaves with its session
	m.cut()
}
