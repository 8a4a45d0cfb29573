package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Key types of FindCoordinator.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
	coordinatorOfShare       = 2
)

// serveFindCoordinator names the broker that coordinates a group: the leader of the group's partition of
// __consumer_offsets, which is created when it is missing.
//
// FindCoordinator: v0-v6
//
// Behaviour: COORDINATOR_NOT_AVAILABLE while that partition has no leader that the client can reach.
//
// Version notes:
//   - v1 key type and error message; v4 several keys (KIP-699); v6 share groups (KIP-932)
//
// Differences from Apache Kafka: the answer waits for the topic to be created, which spares the first group of a cluster a
// back-off. Transactions and share groups are not served: their keys are UNSUPPORTED_VERSION, as Kafka answers for
// features whose level is 0, so that producers give up with that as the reason. An unknown key type is INVALID_REQUEST, where
// Kafka runs into an exception.
func (g *groupHandler) serveFindCoordinator(ctx context.Context, r *listener.Request, req *kmsg.FindCoordinatorRequest) kmsg.Response {
	resp := kmsg.NewPtrFindCoordinatorResponse()
	kind := checkKeyType(req)
	img := g.h.images.Image()
	if kind == errcode.KindNone && img.Topic(group.Topic) == nil {
		img = g.h.createTopics(ctx, []string{group.Topic})
	}
	keys := req.CoordinatorKeys
	if req.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	for _, k := range keys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.ErrorMessage = k, new("")
		c.NodeID, c.Host, c.Port, c.ErrorCode = g.coordinator(img, k, r.Conn.ListenerName, kind)
		if kind != errcode.KindNone {
			c.ErrorMessage = new(errcode.Description(c.ErrorCode))
		}
		resp.Coordinators = append(resp.Coordinators, c)
	}
	if req.Version < 4 {
		c := &resp.Coordinators[0]
		resp.NodeID, resp.Host, resp.Port, resp.ErrorCode = c.NodeID, c.Host, c.Port, c.ErrorCode
		resp.ErrorMessage = new("NONE") // Kafka's text of no error
		if c.ErrorCode != 0 {
			resp.ErrorMessage = new(errcode.Description(c.ErrorCode))
		}
	}
	return resp
}

// checkKeyType says why no key of the request has a coordinator.
func checkKeyType(req *kmsg.FindCoordinatorRequest) errcode.Kind {
	switch {
	case req.CoordinatorType == coordinatorOfGroup:
		return errcode.KindNone
	case req.CoordinatorType == coordinatorOfTransaction, req.CoordinatorType == coordinatorOfShare && req.Version >= 6:
		return errcode.KindUnsupportedVersion
	default:
		return errcode.KindInvalidRequest
	}
}

func (g *groupHandler) coordinator(img *image.Image, groupID, listenerName string, kind errcode.Kind) (id int32, host string, port int32, code int16) {
	if kind != errcode.KindNone {
		return -1, "", -1, int16(kind)
	}
	p := img.Partition(protocol.TopicPartition{Topic: group.Topic, Partition: g.groups.Partition(groupID)})
	if p != nil {
		b := img.Brokers[p.Leader]
		if e, listens := endpoint(b, listenerName); listens && !b.Fenced {
			return int32(p.Leader), e.Host, int32(e.Port), 0
		}
	}
	return -1, "", -1, int16(errcode.KindCoordinatorNotAvailable)
}

// creatableTopic is what a topic is created with that somebody asked for without creating it.
func (h *Handler) creatableTopic(name string) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
	if name != group.Topic {
		return t
	}
	o := &h.config.Offsets
	t.NumPartitions, t.ReplicationFactor = o.Partitions, o.ReplicationFactor
	for _, kv := range o.TopicConfigs() {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = kv[0], new(kv[1])
		t.Configs = append(t.Configs, c)
	}
	return t
}
