package controller

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Kinds of elections a client may ask for (ElectLeadersRequest.ElectionType).
const (
	preferredElection int8 = 0
	uncleanElection   int8 = 1
)

// electLeaders decides ElectLeaders. Without topics all partitions are meant, and those that need no election are left out of
// the answer.
func (d *decider) electLeaders(v *view, req *kmsg.ElectLeadersRequest) (decision, error) {
	kind := req.ElectionType
	if req.Version == 0 {
		kind = preferredElection
	}
	if req.TimeoutMillis < 0 {
		return decision{}, &errcode.Error{Kind: errcode.KindRequestTimedOut} // the time was over before it began
	}
	if kind != preferredElection && kind != uncleanElection {
		return decision{}, errcode.New(errcode.KindInvalidRequest, "Unknown election type %d", kind)
	}
	resp := kmsg.NewPtrElectLeadersResponse()
	resp.Version = req.Version
	var o overlay
	elect := func(name string, partitions []int32, all bool) {
		out := kmsg.NewElectLeadersResponseTopic()
		out.Topic = name
		for _, partition := range partitions {
			err := d.electLeader(v, &o, name, partition, kind)
			if all && errcode.KindOf(err) == errcode.KindElectionNotNeeded {
				continue
			}
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = partition, errcode.Of(err), errcode.Message(err)
			out.Partitions = append(out.Partitions, p)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if req.Topics == nil {
		for _, t := range v.sortedTopics() {
			elect(t.Name, indexes(len(t.Partitions)), true)
		}
	}
	for i := range req.Topics {
		elect(req.Topics[i].Topic, req.Topics[i].Partitions, false)
	}
	if err := checkSize(o.records); err != nil {
		return decision{}, err
	}
	return decision{records: o.records, respond: func(*image.Image) kmsg.Response { return resp }}, nil
}

// indexes lists the partitions of a topic that has n.
func indexes(n int) []int32 {
	out := make([]int32, n)
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// electLeader decides one partition of ElectLeaders.
func (d *decider) electLeader(v *view, o *overlay, name string, partition int32, kind int8) error {
	t := v.img.Topics.Get(name)
	if t == nil {
		return errcode.New(errcode.KindUnknownTopicOrPartition, "No such topic as %s", name)
	}
	p := o.partition(t, partition)
	switch {
	case p == nil:
		return errcode.New(errcode.KindUnknownTopicOrPartition, "No such partition as %s-%d", name, partition)
	case kind == preferredElection && p.Leader == p.Replicas[0], kind == uncleanElection && p.Leader != image.NoLeader:
		return errcode.New(errcode.KindElectionNotNeeded, "Leader election not needed for topic partition.")
	}
	x := d.transition(v, t, p)
	x.election = electPreferred
	if kind == uncleanElection {
		x.election = electUnclean
	}
	r := x.record()
	switch {
	case r == nil && kind == preferredElection:
		return errcode.New(errcode.KindPreferredLeaderNotAvailable, "The preferred leader was not available.")
	case r == nil:
		return errcode.New(errcode.KindEligibleLeadersNotAvailable, "Eligible topic partition leaders are not available.")
	}
	o.change(t, partition, r)
	return nil
}
