package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// serveOffsetForLeaderEpoch tells where leader epochs end, so that a client finds out whether the log it has read from was
// truncated meanwhile (KIP-101, KIP-320).
//
// OffsetForLeaderEpoch: v2-v4
//
// Behaviour:
//   - the answer is the largest epoch not above the one asked for, and the offset behind its last record
//   - for the current epoch that is the log end; for one above it, or below all, epoch and offset are -1
//   - current_leader_epoch: FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH
//
// Version notes: v3 replica id, which is not used: only the leader answers.
func (d *dataHandler) serveOffsetForLeaderEpoch(_ context.Context, _ *listener.Request, req *kmsg.OffsetForLeaderEpochRequest) kmsg.Response {
	resp := kmsg.NewPtrOffsetForLeaderEpochResponse()
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			out := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			out.Partition, out.LeaderEpoch, out.EndOffset = p.Partition, replica.Unset, replica.Unset
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			end, err := d.replicas.EndOffsetForEpoch(tp, protocol.LeaderEpoch(p.CurrentLeaderEpoch), protocol.LeaderEpoch(p.LeaderEpoch))
			if err != nil {
				out.ErrorCode = errcode.Of(err)
			} else {
				out.LeaderEpoch, out.EndOffset = int32(end.Epoch), end.EndOffset
			}
			t.Partitions = append(t.Partitions, out)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
