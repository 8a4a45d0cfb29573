package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/broker/group/schema"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// reconciliation moves one member towards its target.
type reconciliation struct {
	member      *consumerMember
	targetEpoch int32 // of the target assignment
	target      assignor.Assignment
	// changed is set when the member has just changed its subscription: what it is not subscribed to any more, it has to give
	// up at once.
	changed bool
	// subscribed reports whether the member is subscribed to a topic.
	subscribed func(protocol.TopicID) bool
	// free reports whether nobody owns a partition.
	free func(protocol.TopicID, int32) bool
	// reported are the partitions that the member says it has; nil: it says nothing.
	reported []kmsg.ConsumerGroupHeartbeatRequestTopic
}

// next returns the member after the next step that it can take, which is the same one when it can take none.
//
// Case A: the member owns what it is to own, and there is nothing new.
//
// Case B: only its subscription is new.
//
// Case C: the member was told to give partitions up. Unless it says that it no longer has them, it stays in its epoch.
//
// Case D: it moves on to the target.
//
// Case E: what it owns is not known. It has to drop everything and begin anew.
func (r *reconciliation) next() (*consumerMember, error) {
	m := r.member
	switch m.state {
	case memberStable:
		switch {
		case m.epoch != r.targetEpoch: // Case D
			return r.advance(m.epoch), nil
		case r.changed: // Case B
			return r.dropUnsubscribed(), nil
		default: // Case A
			return m, nil
		}
	case memberUnrevoked:
		switch {
		case !r.reportsAny(m.revoking): // Case D
			return r.advance(m.epoch), nil
		case r.changed: // Case B
			return r.dropUnsubscribed(), nil
		default: // Case C
			return m, nil
		}
	case memberUnreleased: // Case D
		return r.advance(m.epoch), nil
	default: // Case E
		if r.reported == nil || len(r.reported) > 0 {
			return nil, errcode.New(errcode.KindFencedMemberEpoch, "the state of member %s is not known: it has to join again without partitions", m.id)
		}
		return r.advance(r.targetEpoch), nil
	}
}

// reportsAny reports whether the member may still have one of the partitions.
func (r *reconciliation) reportsAny(partitions ownedPartitions) bool {
	if r.reported == nil {
		return true
	}
	for i := range r.reported {
		t, found := partitions.topic(r.reported[i].TopicID)
		if !found {
			continue
		}
		for _, p := range r.reported[i].Partitions {
			if _, found := slices.BinarySearch(t.Partitions, p); found {
				return true
			}
		}
	}
	return false
}

// dropUnsubscribed has the member give up what it is not subscribed to any more.
func (r *reconciliation) dropUnsubscribed() *consumerMember {
	m := r.member
	var assigned, dropped ownedPartitions
	for _, t := range m.assigned {
		if r.subscribed(t.TopicID) {
			assigned = append(assigned, t)
		} else {
			dropped = append(dropped, t)
		}
	}
	if len(dropped) == 0 {
		return m
	}
	revoking := merge(m.revoking, dropped)
	if r.reportsAny(revoking) {
		return m.inNewEpoch(m.epoch, memberUnrevoked, assigned, revoking)
	}
	return m.inNewEpoch(m.epoch, m.state, assigned, m.revoking) // it no longer has them
}

// advance has the member give up what is not in its target; when it has, it gets what is in its target and free.
func (r *reconciliation) advance(epoch int32) *consumerMember {
	m := r.member
	if r.atTarget() {
		return m.inNewEpoch(r.targetEpoch, memberStable, m.assigned, nil)
	}
	step := r.compare()
	switch {
	case len(step.revoke) > 0 && r.reportsAny(step.revoke):
		return m.inNewEpoch(epoch, memberUnrevoked, step.keep, step.revoke)
	case step.unreleased:
		return m.inNewEpoch(r.targetEpoch, memberUnreleased, merge(step.keep, step.gain), nil)
	default:
		return m.inNewEpoch(r.targetEpoch, memberStable, merge(step.keep, step.gain), nil)
	}
}

// atTarget reports whether the member owns exactly its target, which is how most members go through a rebalance.
func (r *reconciliation) atTarget() bool {
	m := r.member
	if len(m.assigned) != len(r.target) {
		return false
	}
	for i := range r.target {
		a, t := &m.assigned[i], &r.target[i]
		if a.TopicID != t.TopicID || !slices.Equal(a.Partitions, t.Partitions) || !r.subscribed(t.TopicID) {
			return false
		}
	}
	return true
}

// step is the difference between what a member owns and its target.
type step struct {
	keep       ownedPartitions
	revoke     ownedPartitions
	gain       ownedPartitions // what it does not own yet and is free
	unreleased bool            // some of its target is not free
}

// compare goes through the topics of both, which are in the same order.
func (r *reconciliation) compare() step {
	var s step
	assigned, target := r.member.assigned, r.target
	for len(assigned) > 0 || len(target) > 0 {
		var owned schema.AssignedPartitions
		var want []int32
		var order int
		switch {
		case len(assigned) == 0:
			order = 1
		case len(target) == 0:
			order = -1
		default:
			order = assignor.CompareIDs(assigned[0].TopicID, target[0].TopicID)
		}
		if order <= 0 {
			owned, assigned = assigned[0], assigned[1:]
		}
		id := owned.TopicID
		if order >= 0 {
			id, want, target = target[0].TopicID, target[0].Partitions, target[1:]
		}
		if !r.subscribed(id) {
			want = nil
		}
		r.compareTopic(&s, id, owned, want)
	}
	return s
}

func (r *reconciliation) compareTopic(s *step, id protocol.TopicID, owned schema.AssignedPartitions, want []int32) {
	keep := schema.AssignedPartitions{TopicID: id}
	revoke := keep
	gain := keep
	for i, p := range owned.Partitions {
		to := &revoke
		if _, found := slices.BinarySearch(want, p); found {
			to = &keep
		}
		to.Partitions = append(to.Partitions, p)
		to.AssignmentEpochs = append(to.AssignmentEpochs, owned.AssignmentEpochs[i])
	}
	revoking, _ := r.member.revoking.topic(id)
	for _, p := range want {
		if _, found := slices.BinarySearch(owned.Partitions, p); found {
			continue
		}
		// What the member itself was to give up can be given back to it, since nobody else owns it.
		if _, own := slices.BinarySearch(revoking.Partitions, p); !own && !r.free(id, p) {
			s.unreleased = true
			continue
		}
		gain.Partitions = append(gain.Partitions, p)
		gain.AssignmentEpochs = append(gain.AssignmentEpochs, r.targetEpoch)
	}
	s.keep = appendNonEmpty(s.keep, keep)
	s.revoke = appendNonEmpty(s.revoke, revoke)
	s.gain = appendNonEmpty(s.gain, gain)
}

func appendNonEmpty(to ownedPartitions, t schema.AssignedPartitions) ownedPartitions {
	if len(t.Partitions) == 0 {
		return to
	}
	return append(to, t)
}

// merge returns the partitions of both, which have none in common.
func merge(a, b ownedPartitions) ownedPartitions {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make(ownedPartitions, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch order := assignor.CompareIDs(a[0].TopicID, b[0].TopicID); {
		case order < 0:
			out, a = append(out, a[0]), a[1:]
		case order > 0:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, mergeTopic(a[0], b[0]))
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func mergeTopic(a, b schema.AssignedPartitions) schema.AssignedPartitions {
	out := schema.AssignedPartitions{
		TopicID:          a.TopicID,
		Partitions:       make([]int32, 0, len(a.Partitions)+len(b.Partitions)),
		AssignmentEpochs: make([]int32, 0, len(a.Partitions)+len(b.Partitions)),
	}
	take := func(from *schema.AssignedPartitions) {
		out.Partitions, from.Partitions = append(out.Partitions, from.Partitions[0]), from.Partitions[1:]
		out.AssignmentEpochs, from.AssignmentEpochs = append(out.AssignmentEpochs, from.AssignmentEpochs[0]), from.AssignmentEpochs[1:]
	}
	for len(a.Partitions) > 0 || len(b.Partitions) > 0 {
		if len(b.Partitions) == 0 || len(a.Partitions) > 0 && a.Partitions[0] < b.Partitions[0] {
			take(&a)
		} else {
			take(&b)
		}
	}
	return out
}
