package handler

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveOffsetCommit commits offsets of a group.
//
// OffsetCommit: v2-v10
//
// Behaviour:
//   - partitions that do not exist are UNKNOWN_TOPIC_OR_PARTITION by themselves; the others are committed together
//   - see group.State.OffsetCommit for who may commit
//
// Version notes:
//   - v2-v4 how long the offsets are kept; v6 leader epoch (KIP-320); v7 group.instance.id
//   - v9 members of consumer groups (KIP-848); v10 topics by id: UNKNOWN_TOPIC_ID
func (g *groupHandler) serveOffsetCommit(r *listener.Request, req *kmsg.OffsetCommitRequest, reply func(*kmsg.OffsetCommitResponse)) {
	refused := refuseCommits(g.h.images.Image(), req)
	switch {
	case len(req.Topics) == 0:
		resp := kmsg.NewPtrOffsetCommitResponse()
		resp.Topics = refused
		reply(resp)
	case len(refused) == 0:
		g.groups.OffsetCommit(caller(r), req, reply)
	default:
		g.groups.OffsetCommit(caller(r), req, func(resp *kmsg.OffsetCommitResponse) {
			resp.Topics = mergeCommits(append(refused, resp.Topics...))
			reply(resp)
		})
	}
}

// refuseCommits takes what does not exist out of the request and answers it. What is left has names and ids.
func refuseCommits(img *image.Image, req *kmsg.OffsetCommitRequest) (refused []kmsg.OffsetCommitResponseTopic) {
	topics := req.Topics[:0]
	for i := range req.Topics {
		t := req.Topics[i]
		var topic *image.Topic
		unknown := errcode.KindUnknownTopicOrPartition
		if req.Version >= 10 {
			topic, unknown = img.TopicByID(t.TopicID), errcode.KindUnknownTopicID
		} else {
			topic = img.Topic(t.Topic)
		}
		exist := 0
		if topic != nil {
			t.Topic, t.TopicID = topic.Name, topic.ID
			exist, unknown = len(topic.Partitions), errcode.KindUnknownTopicOrPartition
		}
		partitions := t.Partitions[:0]
		var bad []kmsg.OffsetCommitResponseTopicPartition
		for j := range t.Partitions {
			if p := &t.Partitions[j]; p.Partition >= 0 && int(p.Partition) < exist {
				partitions = append(partitions, *p)
			} else {
				bad = append(bad, kmsg.OffsetCommitResponseTopicPartition{Partition: p.Partition, ErrorCode: int16(unknown)})
			}
		}
		if t.Partitions = partitions; len(partitions) > 0 {
			topics = append(topics, t)
		}
		if bad != nil {
			refused = append(refused, kmsg.OffsetCommitResponseTopic{Topic: t.Topic, TopicID: t.TopicID, Partitions: bad})
		}
	}
	req.Topics = topics
	return mergeCommits(refused)
}

// mergeCommits puts the answers about one topic together, as Kafka does.
func mergeCommits(topics []kmsg.OffsetCommitResponseTopic) []kmsg.OffsetCommitResponseTopic {
	return mergeTopics(topics,
		func(t *kmsg.OffsetCommitResponseTopic) topicKey {
			return topicKey{t.Topic, protocol.TopicID(t.TopicID)}
		},
		func(into, from *kmsg.OffsetCommitResponseTopic) {
			into.Partitions = append(into.Partitions, from.Partitions...)
		})
}
