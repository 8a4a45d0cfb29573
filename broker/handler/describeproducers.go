package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveDescribeProducers lists the idempotent producers whose state the leader of a partition remembers.
//
// DescribeProducers: v0
//
// Behaviour: a bad name is INVALID_TOPIC_EXCEPTION, a topic that does not exist UNKNOWN_TOPIC_OR_PARTITION for each of its
// partitions, both with a message. Only the leader answers.
func (d *dataHandler) serveDescribeProducers(_ context.Context, _ *listener.Request, req *kmsg.DescribeProducersRequest) kmsg.Response {
	resp := kmsg.NewPtrDescribeProducersResponse()
	img := d.h.images.Image()
	for i := range req.Topics {
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = req.Topics[i].Topic
		err := protocol.ValidateTopicName(t.Topic)
		if err == nil && img.Topic(t.Topic) == nil {
			err = &errcode.Error{Kind: errcode.KindUnknownTopicOrPartition}
		}
		for _, partition := range req.Topics[i].Partitions {
			if err != nil {
				out := kmsg.NewDescribeProducersResponseTopicPartition()
				out.Partition, out.ErrorCode, out.ErrorMessage = partition, errcode.Of(err), errcode.Message(err)
				t.Partitions = append(t.Partitions, out)
				continue
			}
			t.Partitions = append(t.Partitions, d.describeProducers(protocol.TopicPartition{Topic: t.Topic, Partition: partition}))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (d *dataHandler) describeProducers(tp protocol.TopicPartition) kmsg.DescribeProducersResponseTopicPartition {
	out := kmsg.NewDescribeProducersResponseTopicPartition()
	out.Partition = tp.Partition
	producers, err := d.replicas.Producers(tp)
	if err != nil {
		out.ErrorCode = errcode.Of(err)
		return out
	}
	for _, e := range producers {
		p := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		p.ProducerID, p.ProducerEpoch, p.CoordinatorEpoch = e.ProducerID, int32(e.ProducerEpoch), e.CoordinatorEpoch
		p.LastSequence, p.LastTimestamp, p.CurrentTxnStartOffset = e.LastSequence, e.LastTimestamp, e.CurrentTxnFirstOffset
		out.ActiveProducers = append(out.ActiveProducers, p)
	}
	return out
}
