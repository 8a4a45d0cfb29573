package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveOffsetDelete removes committed offsets of a group (KIP-496).
//
// OffsetDelete: v0
//
// Behaviour: partitions that do not exist are UNKNOWN_TOPIC_OR_PARTITION by themselves; for the others see
// group.State.OffsetDelete.
func (g *groupHandler) serveOffsetDelete(_ *listener.Request, req *kmsg.OffsetDeleteRequest, reply func(*kmsg.OffsetDeleteResponse)) {
	refused := refuseDeletes(g.h.images.Image(), req)
	g.groups.OffsetDelete(req, func(resp *kmsg.OffsetDeleteResponse) {
		if resp.ErrorCode == 0 {
			resp.Topics = mergeTopics(append(refused, resp.Topics...),
				func(t *kmsg.OffsetDeleteResponseTopic) topicKey { return topicKey{name: t.Topic} },
				func(into, from *kmsg.OffsetDeleteResponseTopic) {
					into.Partitions = append(into.Partitions, from.Partitions...)
				})
		}
		reply(resp)
	})
}

// refuseDeletes takes what does not exist out of the request and answers it.
func refuseDeletes(img *image.Image, req *kmsg.OffsetDeleteRequest) (refused []kmsg.OffsetDeleteResponseTopic) {
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		partitions := t.Partitions[:0]
		var bad []kmsg.OffsetDeleteResponseTopicPartition
		for _, p := range t.Partitions {
			if img.Partition(protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}) != nil {
				partitions = append(partitions, p)
			} else {
				bad = append(bad, kmsg.OffsetDeleteResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(errcode.KindUnknownTopicOrPartition)})
			}
		}
		if t.Partitions = partitions; len(partitions) > 0 {
			topics = append(topics, t)
		}
		if bad != nil {
			refused = append(refused, kmsg.OffsetDeleteResponseTopic{Topic: t.Topic, Partitions: bad})
		}
	}
	req.Topics = topics
	return refused
}

// serveListGroups lists the groups that this broker coordinates.
//
// ListGroups: v0-v5
//
// Version notes: v4 filter by state (KIP-518), v5 by type (KIP-848).
func (g *groupHandler) serveListGroups(_ *listener.Request, req *kmsg.ListGroupsRequest, reply func(*kmsg.ListGroupsResponse)) {
	g.groups.ListGroups(req, reply)
}

// serveDescribeGroups describes classic groups.
//
// DescribeGroups: v0-v6
//
// Behaviour: a group that does not exist is Dead.
//
// Version notes:
//   - v3 authorized operations (KIP-430); v4 group.instance.id
//   - v6 a group that does not exist is GROUP_ID_NOT_FOUND as well (KIP-1043)
func (g *groupHandler) serveDescribeGroups(_ *listener.Request, req *kmsg.DescribeGroupsRequest, reply func(*kmsg.DescribeGroupsResponse)) {
	g.groups.DescribeGroups(req.Version, req.Groups, func(groups []kmsg.DescribeGroupsResponseGroup) {
		for i := range groups {
			if req.Version >= 3 && req.IncludeAuthorizedOperations && groups[i].ErrorCode == 0 {
				groups[i].AuthorizedOperations = groupOperations
			}
		}
		resp := kmsg.NewPtrDescribeGroupsResponse()
		resp.Groups = groups
		reply(resp)
	})
}

// serveDeleteGroups removes groups that have no members.
//
// DeleteGroups: v0-v3
//
// Behaviour: a group named twice is answered once.
//
// Version notes: v3 error message of each group (KIP-1331), for what streams groups keep elsewhere: there is none.
func (g *groupHandler) serveDeleteGroups(r *listener.Request, req *kmsg.DeleteGroupsRequest, reply func(*kmsg.DeleteGroupsResponse)) {
	seen := make(map[string]struct{}, len(req.Groups))
	ids := req.Groups[:0]
	for _, id := range req.Groups {
		if _, dup := seen[id]; !dup {
			seen[id] = struct{}{}
			ids = append(ids, id)
		}
	}
	g.groups.DeleteGroups(caller(r), ids, func(groups []kmsg.DeleteGroupsResponseGroup) {
		resp := kmsg.NewPtrDeleteGroupsResponse()
		resp.Groups = groups
		reply(resp)
	})
}
