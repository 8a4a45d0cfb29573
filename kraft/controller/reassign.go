package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// A reassignment goes through three states of a partition: the new replicas join the old ones (Adding, Removing); the new
// ones come in sync; with the ISR change that brings the last of them the old ones go (transition.completeReassignment). One that
// adds nobody is complete at once.

// alterReassignments decides AlterPartitionReassignments (kmsg calls it AlterPartitionAssignments): new replicas for
// partitions, or, without replicas, the end of a reassignment under way.
func (d *decider) alterReassignments(v *view, req *kmsg.AlterPartitionAssignmentsRequest) (decision, error) {
	resp := kmsg.NewPtrAlterPartitionAssignmentsResponse()
	resp.Version = req.Version
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	sameFactor := req.Version >= 1 && !req.AllowReplicationFactorChange
	var o overlay
	for i := range req.Topics {
		rt := &req.Topics[i]
		out := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		out.Topic = rt.Topic
		for j := range rt.Partitions {
			rp := &rt.Partitions[j]
			err := d.alterReassignment(v, &o, rt.Topic, rp, sameFactor)
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = rp.Partition, errcode.Of(err), errcode.Message(err)
			if errcode.KindOf(err) == errcode.KindNoReassignmentInProgress {
				p.ErrorMessage = nil // Kafka has no words for it here
			}
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if err := checkSize(o.records); err != nil {
		return decision{}, err
	}
	return decision{records: o.records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// alterReassignment decides one partition.
func (d *decider) alterReassignment(v *view, o *overlay, name string, rp *kmsg.AlterPartitionAssignmentsRequestTopicPartition, sameFactor bool) error {
	t := v.img.Topics.Get(name)
	if t == nil {
		return errcode.New(errcode.KindUnknownTopicOrPartition, "Unable to find a topic named %s.", name)
	}
	p := o.partition(t, rp.Partition)
	if p == nil {
		return errcode.New(errcode.KindUnknownTopicOrPartition, "Unable to find partition %s:%d.", name, rp.Partition)
	}
	var r *metadata.PartitionChangeRecord
	var err error
	if rp.Replicas == nil {
		r, err = d.cancelReassignment(v, t, rp.Partition, p)
	} else {
		r, err = d.reassign(v, t, p, nodeIDs(rp.Replicas), sameFactor)
	}
	if err != nil {
		return err
	}
	o.change(t, rp.Partition, r)
	return nil
}

func reassigning(p *image.Partition) bool { return len(p.Adding) > 0 || len(p.Removing) > 0 }

// reassign begins to give a partition the replicas of target. Replicas that a reassignment under way is adding still count as
// added if target has them: it must wait for them, too.
func (d *decider) reassign(v *view, t *image.Topic, p *image.Partition, target []protocol.NodeID, sameFactor bool) (*metadata.PartitionChangeRecord, error) {
	if err := checkAssignment(v, target, 0); err != nil {
		return nil, err
	}
	if now := len(without(p.Replicas, p.Removing)); sameFactor && now != len(target) {
		return nil, errcode.New(errcode.KindInvalidReplicationFactor, "The replication factor is changed from %d to %d", now, len(target))
	}
	x := d.transition(v, t, p)
	x.next.Removing = slices.Sorted(slices.Values(without(p.Replicas, target)))
	x.next.Adding = slices.Sorted(slices.Values(union(without(target, p.Replicas), only(p.Adding, target))))
	x.next.Replicas = append(slices.Clone(target), x.next.Removing...)
	return x.record(), nil
}

// cancelReassignment takes a partition back to the replicas it had before the reassignment under way.
func (d *decider) cancelReassignment(v *view, t *image.Topic, index int32, p *image.Partition) (*metadata.PartitionChangeRecord, error) {
	if !reassigning(p) {
		return nil, &errcode.Error{Kind: errcode.KindNoReassignmentInProgress}
	}
	x := d.transition(v, t, p)
	if x.policy.UncleanElection {
		x.election = electUnclean
	}
	n := &x.next
	n.Replicas, n.Adding, n.Removing = without(p.Replicas, p.Adding), nil, nil
	n.ISR = without(p.ISR, p.Adding)
	r := x.record()
	if x.lossy && !x.policy.UncleanElection || len(union(union(n.ISR, n.ELR), n.LastKnownELR)) == 0 {
		return nil, errcode.New(errcode.KindInvalidReplicaAssignment,
			"Unable to revert partition assignment for %s:%d because it would require an unclean leader election.", t.Name, index)
	}
	return r, nil
}

// listReassignments answers ListPartitionReassignments: of the partitions named, or of all, those whose replicas change.
func listReassignments(v *view, req *kmsg.ListPartitionReassignmentsRequest) decision {
	resp := kmsg.NewPtrListPartitionReassignmentsResponse()
	resp.Version = req.Version
	list := func(t *image.Topic, partitions []int32) {
		out := kmsg.NewListPartitionReassignmentsResponseTopic()
		out.Topic = t.Name
		for _, index := range partitions {
			if index < 0 || int(index) >= len(t.Partitions) || !reassigning(&t.Partitions[index]) {
				continue
			}
			p := &t.Partitions[index]
			rp := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			rp.Partition = index
			rp.Replicas, rp.AddingReplicas, rp.RemovingReplicas = int32s(p.Replicas), int32s(p.Adding), int32s(p.Removing)
			out.Partitions = append(out.Partitions, rp)
		}
		if len(out.Partitions) > 0 {
			resp.Topics = append(resp.Topics, out)
		}
	}
	if req.Topics == nil {
		for _, t := range v.sortedTopics() {
			list(t, indexes(len(t.Partitions)))
		}
	}
	for i := range req.Topics {
		if t := v.img.Topics.Get(req.Topics[i].Topic); t != nil {
			list(t, req.Topics[i].Partitions)
		}
	}
	return answered(resp)
}

func int32s(ids []protocol.NodeID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}
