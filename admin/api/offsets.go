package api

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// offsetsWithin is how long leaders may take to tell where their partitions begin and end.
const offsetsWithin = 2 * time.Second

// Times of ListOffsets that stand for the bounds of a partition.
const (
	latest   = -1
	earliest = -2
)

// addOffsets asks the leaders of a topic, all at once, where its partitions begin and end.
func (a *API) addOffsets(ctx context.Context, t *image.Topic, out *Topic) {
	byLeader := make(map[protocol.NodeID][]int32)
	for i := range t.Partitions {
		out.Partitions[i].StartOffset, out.Partitions[i].EndOffset = new(int64(-1)), new(int64(-1))
		if leader := t.Partitions[i].Leader; leader >= 0 {
			byLeader[leader] = append(byLeader[leader], int32(i))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, offsetsWithin)
	defer cancel()
	var asking sync.WaitGroup
	for leader, partitions := range byLeader {
		asking.Go(func() {
			a.listOffsets(ctx, leader, t.Name, partitions, earliest, func(p int32, offset int64) { *out.Partitions[p].StartOffset = offset })
		})
		asking.Go(func() {
			a.listOffsets(ctx, leader, t.Name, partitions, latest, func(p int32, offset int64) { *out.Partitions[p].EndOffset = offset })
		})
	}
	asking.Wait()
}

// listOffsets asks one leader. What it does not answer stays unknown.
func (a *API) listOffsets(ctx context.Context, leader protocol.NodeID, topic string, partitions []int32, at int64, found func(partition int32, offset int64)) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	asked := make(map[int32]bool, len(partitions))
	for _, index := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = index, at, -1
		rt.Partitions = append(rt.Partitions, p)
		asked[index] = true
	}
	req.Topics = append(req.Topics, rt)
	resp, err := a.o.Cluster.Ask(ctx, leader, req)
	if err != nil {
		return
	}
	r, ok := resp.(*kmsg.ListOffsetsResponse)
	if !ok {
		return
	}
	for i := range r.Topics {
		for _, p := range r.Topics[i].Partitions {
			if p.ErrorCode == 0 && asked[p.Partition] {
				found(p.Partition, p.Offset)
			}
		}
	}
}
