package controller

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// isrProposal is the ISR that a leader asks for.
type isrProposal struct {
	leader        protocol.NodeID
	members       []protocol.NodeID
	epochs        []int64 // of the members' brokers; -1: not known to the leader
	recoveryState int8
	leaderEpoch   int32
	partEpoch     int32
}

func newProposal(version int16, leader int32, p *kmsg.AlterPartitionRequestTopicPartition) *isrProposal {
	q := &isrProposal{
		leader: protocol.NodeID(leader), recoveryState: p.LeaderRecoveryState, leaderEpoch: p.LeaderEpoch, partEpoch: p.PartitionEpoch,
	}
	if version < 3 {
		q.members = nodeIDs(p.NewISR)
		q.epochs = slices.Repeat([]int64{-1}, len(q.members))
		return q
	}
	for _, m := range p.NewEpochISR {
		q.members = append(q.members, protocol.NodeID(m.BrokerID))
		q.epochs = append(q.epochs, m.BrokerEpoch)
	}
	return q
}

// alterPartition decides AlterPartition: leaders tell how their ISRs change. Each partition is decided for itself; the first
// fault counts, in the order of check.
func (d *decider) alterPartition(v *view, req *kmsg.AlterPartitionRequest) (decision, error) {
	resp := kmsg.NewPtrAlterPartitionResponse()
	resp.Version = req.Version
	if len(req.Topics) == 0 {
		return answered(resp), nil // whoever asks
	}
	if err := checkEpoch(v, protocol.NodeID(req.BrokerID), req.BrokerEpoch); err != nil {
		resp.ErrorCode = errcode.Of(err)
		return answered(resp), nil
	}
	var o overlay
	for i := range req.Topics {
		rt := &req.Topics[i]
		t := v.img.TopicByID(rt.TopicID)
		out := kmsg.NewAlterPartitionResponseTopic()
		out.TopidID = rt.TopicID
		for j := range rt.Partitions {
			p := kmsg.NewAlterPartitionResponseTopicPartition()
			p.Partition = rt.Partitions[j].Partition
			p.ErrorCode = errcode.Of(d.alterISR(v, &o, t, newProposal(req.Version, req.BrokerID, &rt.Partitions[j]), &p))
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if err := checkSize(o.records); err != nil {
		return decision{}, err
	}
	return decision{records: o.records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// alterISR decides one partition and describes it as it becomes. It may change and fail all the same: when the new ISR
// completes a reassignment that takes the leadership away from who asked.
func (d *decider) alterISR(v *view, o *overlay, t *image.Topic, q *isrProposal, out *kmsg.AlterPartitionResponseTopicPartition) error {
	if t == nil {
		return &errcode.Error{Kind: errcode.KindUnknownTopicID}
	}
	p := o.partition(t, out.Partition)
	if p == nil {
		return &errcode.Error{Kind: errcode.KindUnknownTopicOrPartition}
	}
	if err := q.check(v, p); err != nil {
		return err
	}
	x := d.transition(v, t, p)
	if x.policy.UncleanElection {
		x.election = electUnclean
	}
	x.next.ISR, x.next.LeaderRecoveryState = q.members, q.recoveryState
	next := o.change(t, out.Partition, x.record())
	if next.Leader != q.leader {
		return &errcode.Error{Kind: errcode.KindNewLeaderElected}
	}
	describeAltered(out, next)
	return nil
}

func describeAltered(out *kmsg.AlterPartitionResponseTopicPartition, p *image.Partition) {
	out.LeaderID, out.LeaderEpoch, out.PartitionEpoch = int32(p.Leader), p.LeaderEpoch, p.PartitionEpoch
	out.LeaderRecoveryState = p.LeaderRecoveryState
	out.ISR = int32s(p.ISR)
}

// check finds the first fault of a proposal.
func (q *isrProposal) check(v *view, p *image.Partition) error {
	fault := func(kind errcode.Kind) error { return &errcode.Error{Kind: kind} }
	switch {
	case q.leaderEpoch > p.LeaderEpoch, q.partEpoch > p.PartitionEpoch:
		return fault(errcode.KindNotController) // it has seen more than this controller: another one leads
	case q.leaderEpoch < p.LeaderEpoch:
		return fault(errcode.KindFencedLeaderEpoch)
	case q.leader != p.Leader:
		return fault(errcode.KindInvalidRequest)
	case q.partEpoch < p.PartitionEpoch:
		return fault(errcode.KindInvalidUpdateVersion)
	case !q.wellFormed(p):
		return fault(errcode.KindInvalidRequest)
	case !slices.Contains(q.members, p.Leader):
		return fault(errcode.KindInvalidRequest)
	case q.recoveryState != metadata.Recovered && q.recoveryState != metadata.Recovering:
		return fault(errcode.KindInvalidRequest)
	case q.recoveryState == metadata.Recovering && (len(q.members) > 1 || p.LeaderRecoveryState == metadata.Recovered):
		return fault(errcode.KindInvalidRequest)
	}
	for i, id := range q.members {
		b := v.img.Brokers[id]
		if b == nil || !b.Active() || q.epochs[i] != -1 && q.epochs[i] != int64(b.Epoch) || joinsLost(v, p, id) {
			return fault(errcode.KindIneligibleReplica)
		}
	}
	return nil
}

// joinsLost reports whether a replica would join whose directory is gone: what it has fetched is not there any more.
func joinsLost(v *view, p *image.Partition, id protocol.NodeID) bool {
	return !slices.Contains(p.ISR, id) && !v.dirOnline(p, id)
}

// wellFormed reports whether the ISR has members, each once, and all of them are replicas.
func (q *isrProposal) wellFormed(p *image.Partition) bool {
	if len(q.members) > len(p.Replicas) {
		return false
	}
	for i, id := range q.members {
		if slices.Contains(q.members[:i], id) || !slices.Contains(p.Replicas, id) {
			return false
		}
	}
	return len(q.members) > 0
}
