package handler

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// debugReplica is the replica id of a client that asks any replica, leader or not.
const debugReplica = -2

// serveListOffsets looks offsets up by timestamp.
//
// ListOffsets: v1-v11
//
// Behaviour:
//   - a timestamp finds the first record that is not older, with its leader epoch; none: offset and timestamp -1
//   - consumers see up to the high watermark, or with read_committed to the last stable offset; others to the log end
//   - a partition named twice: INVALID_REQUEST, once
//   - an isolation level that does not exist: UNKNOWN_SERVER_ERROR for every partition
//   - a special timestamp the version does not have, and any other negative one: UNSUPPORTED_VERSION
//
// Version notes:
//   - v2 isolation level; v4 leader epochs; v5 OFFSET_NOT_AVAILABLE, before: LEADER_NOT_AVAILABLE
//   - v7 -3 largest timestamp (KIP-734); v8 -4 earliest local; v9 -5 latest tiered; v11 -6 earliest pending upload (KIP-1023)
//   - v10 timeout, for look-ups in tiered storage, which there are none of
func (d *dataHandler) serveListOffsets(_ context.Context, _ *listener.Request, req *kmsg.ListOffsetsRequest) kmsg.Response {
	resp := kmsg.NewPtrListOffsetsResponse()
	type topic = kmsg.ListOffsetsRequestTopic
	req.Topics = mergeTopics(req.Topics,
		func(t *topic) topicKey { return topicKey{name: t.Topic} },
		func(into, from *topic) { into.Partitions = append(into.Partitions, from.Partitions...) })
	mentions := make(map[protocol.TopicPartition]int)
	for i := range req.Topics {
		for j := range req.Topics[i].Partitions {
			mentions[protocol.TopicPartition{Topic: req.Topics[i].Topic, Partition: req.Topics[i].Partitions[j].Partition}]++
		}
	}
	for i := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			tp := protocol.TopicPartition{Topic: t.Topic, Partition: p.Partition}
			switch n := mentions[tp]; {
			case !isolationKnown(req.IsolationLevel):
				t.Partitions = append(t.Partitions, listedOffset(p.Partition, errcode.KindUnknown))
			case n == 1:
				t.Partitions = append(t.Partitions, d.listOffset(req, tp, p))
			case n > 1:
				mentions[tp] = 0 // answered once
				t.Partitions = append(t.Partitions, listedOffset(p.Partition, errcode.KindInvalidRequest))
			}
		}
		if len(t.Partitions) > 0 {
			resp.Topics = append(resp.Topics, t)
		}
	}
	return resp
}

// listedOffset is the answer for a partition of which no offset is known.
func listedOffset(partition int32, kind errcode.Kind) kmsg.ListOffsetsResponseTopicPartition {
	out := kmsg.NewListOffsetsResponseTopicPartition()
	out.Partition, out.ErrorCode = partition, int16(kind)
	out.Offset, out.Timestamp, out.LeaderEpoch = -1, -1, -1
	return out
}

func (d *dataHandler) listOffset(req *kmsg.ListOffsetsRequest, tp protocol.TopicPartition, p *kmsg.ListOffsetsRequestTopicPartition) kmsg.ListOffsetsResponseTopicPartition {
	if !timestampServed(p.Timestamp, req.Version) {
		return listedOffset(p.Partition, errcode.KindUnsupportedVersion)
	}
	q := replica.ListOffset{
		TopicPartition: tp, CurrentLeaderEpoch: protocol.LeaderEpoch(p.CurrentLeaderEpoch), Timestamp: p.Timestamp,
		Isolation: replica.ReadLogEnd, FromAnyReplica: req.ReplicaID == debugReplica,
	}
	if req.ReplicaID == replica.Unset {
		q.Isolation = isolationOf(replica.Unset, req.IsolationLevel)
	}
	found, err := d.replicas.ListOffset(q)
	if err != nil {
		kind := errcode.KindOf(err)
		if kind == errcode.KindOffsetNotAvailable && req.Version < 5 {
			kind = errcode.KindLeaderNotAvailable
		}
		return listedOffset(p.Partition, kind)
	}
	out := listedOffset(p.Partition, errcode.KindNone)
	out.Offset, out.Timestamp, out.LeaderEpoch = found.Offset, found.Timestamp, int32(found.LeaderEpoch)
	return out
}

// timestampServed reports whether the version knows the timestamp; those below zero have a meaning of their own.
func timestampServed(ts int64, version int16) bool {
	switch ts {
	case replica.Latest, replica.Earliest:
		return true
	case replica.MaxTimestamp:
		return version >= 7
	case replica.EarliestLocal:
		return version >= 8
	case replica.LatestTiered:
		return version >= 9
	case replica.EarliestPendingUpload:
		return version >= 11
	default:
		return ts >= 0
	}
}
