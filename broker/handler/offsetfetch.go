package handler

import (
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveOffsetFetch returns what groups have committed.
//
// OffsetFetch: v1-v10
//
// Behaviour: see group.State.OffsetFetch. A coordinator that was stopped for longer than its broker's session lasts finds out first
// whether it still is one: else committed offsets would go back (I18).
//
// Version notes:
//   - v1 has no error of the whole: each partition has it
//   - v2 null topics are all topics; v7 require stable (KIP-447); v8 several groups (KIP-709)
//   - v9 member id and epoch (KIP-848); v10 topics by id: UNKNOWN_TOPIC_ID, and topics without one are left out of all
func (g *groupHandler) serveOffsetFetch(_ *listener.Request, req *kmsg.OffsetFetchRequest, reply func(*kmsg.OffsetFetchResponse)) {
	if g.awaitConfirmed != nil {
		g.awaitConfirmed()
	}
	resp := kmsg.NewPtrOffsetFetchResponse()
	if req.Version < 8 {
		asked := soleGroup(req)
		g.groups.OffsetFetch(&asked, req.RequireStable, func(found kmsg.OffsetFetchResponseGroup) {
			answerSoleGroup(resp, req, &found)
			reply(resp)
		})
		return
	}
	if len(req.Groups) == 0 {
		reply(resp)
		return
	}
	img := g.h.images.Image()
	resp.Groups = make([]kmsg.OffsetFetchResponseGroup, len(req.Groups))
	var left atomic.Int32
	left.Store(int32(len(req.Groups)))
	for i := range req.Groups {
		asked := &req.Groups[i]
		var refused []kmsg.OffsetFetchResponseGroupTopic
		all := asked.Topics == nil
		if req.Version >= 10 && !all {
			refused = nameTopics(img, asked)
		}
		g.groups.OffsetFetch(asked, req.RequireStable, func(found kmsg.OffsetFetchResponseGroup) {
			if found.ErrorCode == 0 {
				if req.Version >= 10 && all {
					found.Topics = withIDs(img, found.Topics)
				}
				found.Topics = append(found.Topics, refused...)
			}
			resp.Groups[i] = found
			if left.Add(-1) == 0 {
				reply(resp)
			}
		})
	}
}

// soleGroup is the group that a request of an old version is about.
func soleGroup(req *kmsg.OffsetFetchRequest) kmsg.OffsetFetchRequestGroup {
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = req.Group
	if req.Topics == nil {
		return asked
	}
	asked.Topics = make([]kmsg.OffsetFetchRequestGroupTopic, len(req.Topics))
	for i := range req.Topics {
		asked.Topics[i].Topic, asked.Topics[i].Partitions = req.Topics[i].Topic, req.Topics[i].Partitions
	}
	return asked
}

func answerSoleGroup(resp *kmsg.OffsetFetchResponse, req *kmsg.OffsetFetchRequest, found *kmsg.OffsetFetchResponseGroup) {
	resp.ErrorCode = found.ErrorCode
	if found.ErrorCode != 0 && req.Version < 2 {
		found.Topics = allFailed(req, found.ErrorCode)
	}
	resp.Topics = make([]kmsg.OffsetFetchResponseTopic, len(found.Topics))
	for i := range found.Topics {
		from, to := &found.Topics[i], &resp.Topics[i]
		to.Topic, to.Partitions = from.Topic, make([]kmsg.OffsetFetchResponseTopicPartition, len(from.Partitions))
		for j := range from.Partitions {
			p := &from.Partitions[j]
			to.Partitions[j] = kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			}
		}
	}
}

// allFailed answers with an error for each partition.
func allFailed(req *kmsg.OffsetFetchRequest, code int16) []kmsg.OffsetFetchResponseGroupTopic {
	topics := make([]kmsg.OffsetFetchResponseGroupTopic, len(req.Topics))
	for i := range req.Topics {
		topics[i] = failedFetch(req.Topics[i].Topic, req.Topics[i].Partitions, code)
	}
	return topics
}

func failedFetch(topic string, partitions []int32, code int16) kmsg.OffsetFetchResponseGroupTopic {
	t := kmsg.NewOffsetFetchResponseGroupTopic()
	t.Topic, t.Partitions = topic, make([]kmsg.OffsetFetchResponseGroupTopicPartition, len(partitions))
	for i, p := range partitions {
		t.Partitions[i] = kmsg.OffsetFetchResponseGroupTopicPartition{Partition: p, Offset: -1, LeaderEpoch: -1, Metadata: new(""), ErrorCode: code}
	}
	return t
}

// nameTopics gives the topics of a request, which come with ids, their names, and takes out and answers those that there are
// not.
func nameTopics(img *image.Image, asked *kmsg.OffsetFetchRequestGroup) (refused []kmsg.OffsetFetchResponseGroupTopic) {
	topics := asked.Topics[:0]
	for _, t := range asked.Topics {
		topic := img.TopicByID(t.TopicID)
		if topic == nil {
			f := failedFetch("", t.Partitions, int16(errcode.KindUnknownTopicID))
			f.TopicID = t.TopicID
			refused = append(refused, f)
			continue
		}
		t.Topic = topic.Name
		topics = append(topics, t)
	}
	asked.Topics = topics
	return refused
}

// withIDs gives topics, which come with names, their ids, and leaves out those that there are not any more.
func withIDs(img *image.Image, topics []kmsg.OffsetFetchResponseGroupTopic) []kmsg.OffsetFetchResponseGroupTopic {
	kept := topics[:0]
	for _, t := range topics {
		if topic := img.Topic(t.Topic); topic != nil {
			t.TopicID = topic.ID
			kept = append(kept, t)
		}
	}
	return kept
}
