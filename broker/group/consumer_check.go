package group

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// ownMemberIDVersion is the version from which members make up their own id (KIP-1082).
const ownMemberIDVersion = 1

// checkHeartbeat says what is wrong with a request, whatever the state of its group.
func checkHeartbeat(req *kmsg.ConsumerGroupHeartbeatRequest, settings Settings) error {
	blank := func(v string) bool { return strings.TrimSpace(v) == "" }
	blankOrNull := func(v *string) bool { return v != nil && blank(*v) }
	needsID := req.Version >= ownMemberIDVersion || req.MemberEpoch > joinEpoch || req.MemberEpoch == leaveEpoch
	problem := ""
	switch {
	case needsID && blank(req.MemberID):
		problem = "the member id is empty"
	case blank(req.Group):
		problem = "the group id is empty"
	case blankOrNull(req.InstanceID):
		problem = "the instance id is empty"
	case blankOrNull(req.RackID):
		problem = "the rack id is empty"
	case req.MemberEpoch < leaveStaticEpoch:
		problem = "there is no such member epoch"
	case req.MemberEpoch == leaveStaticEpoch && req.InstanceID == nil:
		problem = "only a member with an instance id can leave for a while"
	case req.MemberEpoch != joinEpoch:
	case req.RebalanceTimeoutMillis == -1:
		problem = "a member that joins has to give its rebalance timeout"
	case req.Topics == nil || len(req.Topics) > 0:
		problem = "a member that joins has to say that it owns no partitions"
	case req.SubscribedTopicNames == nil && req.SubscribedTopicRegex == nil:
		problem = "a member that joins has to say what it is subscribed to"
	}
	if problem != "" {
		return errcode.New(errcode.KindInvalidRequest, "%s", problem)
	}
	if assignors := settings.Assignors; req.ServerAssignor != nil && !slices.Contains(assignors, *req.ServerAssignor) {
		return errcode.New(errcode.KindUnsupportedAssignor, "there is no assignor %s; there are %s", *req.ServerAssignor, strings.Join(assignors, ", "))
	}
	return nil
}

// checkRoom says why a group takes no more members. One that is there already may stay, and one that comes back under its
// instance id takes its own place.
func (o *consumerOp) checkRoom(memberID string, instanceID *string) error {
	maxSize := o.s.env.Settings().ConsumerMaxSize
	if len(o.g.members) < maxSize || o.g.members[memberID] != nil || o.g.staticMember(instanceID) != nil {
		return nil
	}
	return errcode.New(errcode.KindGroupMaxSizeReached, "group %s has %d members already, which is all it may have", o.g.groupID, len(o.g.members))
}

// checkEpoch says why a member has to drop everything and begin anew: what it believes to own, it may not own any more.
//
// Case A: it begins anew.
//
// Case B: it is of an epoch that it was never given.
//
// Case C: it is of the epoch before, and owns nothing that it is not assigned. It may not have got the answer with its new epoch.
func (m *consumerMember) checkEpoch(epoch int32, owned []kmsg.ConsumerGroupHeartbeatRequestTopic) error {
	switch {
	case epoch == joinEpoch, epoch == m.epoch: // Case A
		return nil
	case epoch > m.epoch: // Case B
		return errcode.New(errcode.KindFencedMemberEpoch,
			"member epoch %d is higher than %d, the one that the coordinator knows: the member has to join again without partitions", epoch, m.epoch)
	case epoch == m.previousEpoch && m.assigned.containAll(owned): // Case C
		return nil
	default:
		return errcode.New(errcode.KindFencedMemberEpoch,
			"member epoch %d is lower than %d, the one that the coordinator knows: the member has to join again without partitions", epoch, m.epoch)
	}
}

// containAll reports whether a member that says what it owns owns nothing else.
func (o ownedPartitions) containAll(owned []kmsg.ConsumerGroupHeartbeatRequestTopic) bool {
	if owned == nil {
		return false
	}
	for i := range owned {
		t, found := o.topic(owned[i].TopicID)
		if !found {
			return false
		}
		for _, p := range owned[i].Partitions {
			if _, found := slices.BinarySearch(t.Partitions, p); !found {
				return false
			}
		}
	}
	return true
}

// checkInstance says why a member may not speak for an instance id.
func (g *consumerGroup) checkInstance(existing *consumerMember, memberID, instanceID string) error {
	switch {
	case existing == nil:
		return errcode.New(errcode.KindUnknownMemberID, "no member of group %s has instance id %s", g.groupID, instanceID)
	case existing.id != memberID:
		return errcode.New(errcode.KindFencedInstanceID, "instance id %s is that of member %s now, not of %s", instanceID, existing.id, memberID)
	default:
		return nil
	}
}
