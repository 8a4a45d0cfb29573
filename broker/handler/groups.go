package handler

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/listener"
)

// Groups is what the group APIs need of the group coordinator; see the methods of group.Coordinator.
type Groups interface {
	Partition(groupID string) int32
	JoinGroup(who group.Caller, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse))
	SyncGroup(who group.Caller, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse))
	Heartbeat(who group.Caller, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse))
	LeaveGroup(who group.Caller, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse))
	ConsumerGroupHeartbeat(who group.Caller, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse))
	OffsetCommit(who group.Caller, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse))
	OffsetFetch(g *kmsg.OffsetFetchRequestGroup, requireStable bool, reply func(kmsg.OffsetFetchResponseGroup))
	OffsetDelete(req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse))
	ListGroups(req *kmsg.ListGroupsRequest, reply func(*kmsg.ListGroupsResponse))
	DescribeGroups(version int16, groupIDs []string, reply func([]kmsg.DescribeGroupsResponseGroup))
	ConsumerGroupDescribe(version int16, groupIDs []string, reply func([]kmsg.ConsumerGroupDescribeResponseGroup))
	DeleteGroups(who group.Caller, groupIDs []string, reply func([]kmsg.DeleteGroupsResponseGroup))
}

// groupOperations are the authorized operations of a group (KIP-430) for a cluster without an authorizer: read, delete,
// describe, and the alteration and description of its configuration.
const groupOperations = 1<<3 | 1<<6 | 1<<8 | 1<<10 | 1<<11

// groupHandler serves the APIs of the group coordinator.
type groupHandler struct {
	h              *Handler
	groups         Groups
	awaitConfirmed func() // see Deps
}

// register adds the group APIs to the dispatcher.
func (g *groupHandler) register(t map[int16]serveFunc) {
	t[key(kmsg.FindCoordinator)] = reply(g.serveFindCoordinator)
	t[key(kmsg.JoinGroup)] = promised(g.serveJoinGroup)
	t[key(kmsg.SyncGroup)] = promised(g.serveSyncGroup)
	t[key(kmsg.Heartbeat)] = promised(g.serveHeartbeat)
	t[key(kmsg.LeaveGroup)] = promised(g.serveLeaveGroup)
	t[key(kmsg.OffsetCommit)] = promised(g.serveOffsetCommit)
	t[key(kmsg.OffsetFetch)] = promised(g.serveOffsetFetch)
	t[key(kmsg.OffsetDelete)] = promised(g.serveOffsetDelete)
	t[key(kmsg.ListGroups)] = promised(g.serveListGroups)
	t[key(kmsg.DescribeGroups)] = promised(g.serveDescribeGroups)
	t[key(kmsg.ConsumerGroupHeartbeat)] = promised(g.serveConsumerGroupHeartbeat)
	t[key(kmsg.ConsumerGroupDescribe)] = promised(g.serveConsumerGroupDescribe)
	t[key(kmsg.DeleteGroups)] = promised(g.serveDeleteGroups)
}

// promised makes a handler of a function that gives its response to reply, now or later. The connection waits for it
// without holding what it has to send before.
func promised[Q kmsg.Request, R kmsg.Response](serve func(r *listener.Request, req Q, reply func(R))) serveFunc {
	return func(_ context.Context, r *listener.Request) listener.Response {
		req, ok := r.Body.(Q)
		if !ok {
			return listener.Close{Err: fmt.Errorf("api key %d decoded as %T", r.Header.Key, r.Body)}
		}
		p := listener.NewPending(false)
		serve(r, req, func(resp R) { p.Complete(listener.Reply{Message: resp}) })
		return p
	}
}

func caller(r *listener.Request) group.Caller {
	return group.Caller{ClientID: r.Header.ClientID, ClientHost: r.Conn.ClientHost}
}

// serveJoinGroup makes the client a member of a group.
//
// JoinGroup: v0-v9
//
// Behaviour: see group.State.JoinGroup. The answer comes when all members have joined.
//
// Version notes:
//   - v1 rebalance timeout, before: the session timeout
//   - v4 the client joins again with the id it is given (KIP-394)
//   - v5 group.instance.id (KIP-345); v7 the protocol's name may be null; v8 reason (KIP-800); v9 skip assignment (KIP-814)
func (g *groupHandler) serveJoinGroup(r *listener.Request, req *kmsg.JoinGroupRequest, reply func(*kmsg.JoinGroupResponse)) {
	for i := range req.Protocols { // the coordinator keeps them, longer than the connection keeps its buffer
		req.Protocols[i].Metadata = slices.Clone(req.Protocols[i].Metadata)
	}
	r.Release()
	g.groups.JoinGroup(caller(r), req, reply)
}

// serveSyncGroup gives a member its assignment, which the leader brings.
//
// SyncGroup: v0-v5
//
// Version notes: v3 group.instance.id; v5 protocol type and name are checked (KIP-559).
func (g *groupHandler) serveSyncGroup(r *listener.Request, req *kmsg.SyncGroupRequest, reply func(*kmsg.SyncGroupResponse)) {
	for i := range req.GroupAssignment {
		req.GroupAssignment[i].MemberAssignment = slices.Clone(req.GroupAssignment[i].MemberAssignment)
	}
	r.Release()
	g.groups.SyncGroup(caller(r), req, reply)
}

// serveHeartbeat renews a member's session and tells it of a rebalance.
//
// Heartbeat: v0-v4
//
// Version notes: v3 group.instance.id.
func (g *groupHandler) serveHeartbeat(r *listener.Request, req *kmsg.HeartbeatRequest, reply func(*kmsg.HeartbeatResponse)) {
	g.groups.Heartbeat(caller(r), req, reply)
}

// serveLeaveGroup removes members from a group.
//
// LeaveGroup: v0-v5
//
// Version notes: v3 several members, by member or instance id; v5 reason.
func (g *groupHandler) serveLeaveGroup(r *listener.Request, req *kmsg.LeaveGroupRequest, reply func(*kmsg.LeaveGroupResponse)) {
	g.groups.LeaveGroup(caller(r), req, reply)
}
