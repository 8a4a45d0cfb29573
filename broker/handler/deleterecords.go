package handler

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveDeleteRecords moves log start offsets up. The records below become unreadable at once; their segments go later.
//
// DeleteRecords: v0-v2
//
// Behaviour:
//   - an offset of -1 is the high watermark; one above it, or below the log start: OFFSET_OUT_OF_RANGE
//   - POLICY_VIOLATION unless the topic's cleanup.policy has delete; internal topics: INVALID_TOPIC_EXCEPTION
//   - the answer is the low watermark, the log start offset of the replica that is alive and furthest behind; it is given when
//     that has reached the offset, or at the request's timeout with REQUEST_TIMED_OUT
//   - a partition named twice: the later offset counts, as the later one runs later
func (d *dataHandler) serveDeleteRecords(ctx context.Context, _ *listener.Request, req *kmsg.DeleteRecordsRequest) kmsg.Response {
	ctx, cancel := context.WithTimeout(ctx, max(time.Duration(req.TimeoutMillis)*time.Millisecond, 0))
	defer cancel()
	resp := kmsg.NewPtrDeleteRecordsResponse()
	img := d.h.images.Image()
	type topic = kmsg.DeleteRecordsRequestTopic
	req.Topics = mergeTopics(req.Topics,
		func(t *topic) topicKey { return topicKey{name: t.Topic} },
		func(into, from *topic) { into.Partitions = append(into.Partitions, from.Partitions...) })
	for i := range req.Topics {
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, p := range req.Topics[i].Partitions {
			out := kmsg.NewDeleteRecordsResponseTopicPartition()
			out.Partition = p.Partition
			deleted, err := d.deleteRecords(img, protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}, p.Offset)
			out.LowWatermark, out.ErrorCode = deleted, errcode.Of(err)
			t.Partitions = append(t.Partitions, out)
		}
		if len(t.Partitions) > 0 {
			resp.Topics = append(resp.Topics, t)
		}
	}
	for i := range resp.Topics { // the followers are on their way for all of them
		t := &resp.Topics[i]
		for j := range t.Partitions {
			if out := &t.Partitions[j]; out.ErrorCode == 0 {
				low, err := d.replicas.AwaitLowWatermark(ctx, protocol.TopicPartition{Topic: t.Topic, Partition: out.Partition}, out.LowWatermark)
				out.LowWatermark, out.ErrorCode = low, errcode.Of(err)
			}
		}
	}
	return resp
}

// deleteRecords returns -1 with an error, else how far it has deleted.
func (d *dataHandler) deleteRecords(img *image.Image, tp protocol.TopicPartition, offset int64) (int64, error) {
	switch {
	case img.Partition(tp) == nil:
		return -1, errcode.New(errcode.KindUnknownTopicOrPartition, "delete records of %s: there is no such partition", tp)
	case protocol.InternalTopic(tp.Topic):
		return -1, errcode.New(errcode.KindInvalidTopicException, "delete records of %s: the topic is internal", tp)
	}
	deleted, err := d.replicas.DeleteRecords(tp, offset)
	if err != nil {
		return -1, err
	}
	return deleted, nil
}
