package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
)

// serveConsumerGroupHeartbeat is all that a member of a consumer group asks and says (KIP-848).
//
// ConsumerGroupHeartbeat: v0-v1
//
// Behaviour: see group.State.ConsumerGroupHeartbeat. UNSUPPORTED_VERSION while the cluster's group.version is 0.
//
// Version notes: v1 subscriptions to patterns, and member ids made by the client (KIP-1082).
func (g *groupHandler) serveConsumerGroupHeartbeat(r *listener.Request, req *kmsg.ConsumerGroupHeartbeatRequest, reply func(*kmsg.ConsumerGroupHeartbeatResponse)) {
	g.groups.ConsumerGroupHeartbeat(caller(r), req, reply)
}

// serveConsumerGroupDescribe describes consumer groups.
//
// ConsumerGroupDescribe: v0-v1
//
// Behaviour: each group by itself; UNSUPPORTED_VERSION while the cluster's group.version is 0.
//
// Version notes: v1 which protocol each member speaks (KIP-1099).
func (g *groupHandler) serveConsumerGroupDescribe(_ *listener.Request, req *kmsg.ConsumerGroupDescribeRequest, reply func(*kmsg.ConsumerGroupDescribeResponse)) {
	g.groups.ConsumerGroupDescribe(req.Version, req.Groups, func(groups []kmsg.ConsumerGroupDescribeResponseGroup) {
		for i := range groups {
			if req.IncludeAuthorizedOperations && groups[i].ErrorCode == 0 {
				groups[i].AuthorizedOperations = groupOperations
			}
		}
		resp := kmsg.NewPtrConsumerGroupDescribeResponse()
		resp.Groups = groups
		reply(resp)
	})
}
