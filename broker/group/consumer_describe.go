package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/coordlog"
	"github.com/distributedmq/dmq/broker/group/assignor"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// What ConsumerGroupDescribe says of the protocol that a member speaks, from version 1 on (KIP-1099).
const (
	memberTypeClassic  int8 = 0
	memberTypeConsumer int8 = 1
)

// ConsumerGroupDescribe returns a consumer group: one of ConsumerGroupDescribe v0 to v1.
func (s *State) ConsumerGroupDescribe(_ coordlog.Effects, _ int16, groupID string, reply func(kmsg.ConsumerGroupDescribeResponseGroup)) {
	resp := kmsg.NewConsumerGroupDescribeResponseGroup()
	resp.Group = groupID
	resp.Members = []kmsg.ConsumerGroupDescribeResponseGroupMember{}
	g, err := s.consumerGroupOf(groupID)
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = errcode.Of(err), errcode.Message(err)
		reply(resp)
		return
	}
	img := s.env.Image()
	resp.State, resp.Epoch, resp.AssignmentEpoch = g.state(), g.epoch, g.assignmentEpoch
	resp.AssignorName = s.consumer(nil, g).preferredAssignor(nil, nil)
	for _, m := range g.membersAfter(nil) {
		resp.Members = append(resp.Members, describeMember(img, m, g.targets[m.id]))
	}
	reply(resp)
}

// describeMember describes a member. What it has to give up is its own until it has.
func describeMember(img *image.Image, m *consumerMember, target assignor.Assignment) kmsg.ConsumerGroupDescribeResponseGroupMember {
	out := kmsg.NewConsumerGroupDescribeResponseGroupMember()
	out.MemberID, out.InstanceID, out.RackID, out.MemberEpoch = m.id, m.instanceID, m.rackID, m.epoch
	out.ClientID, out.ClientHost = m.clientID, m.clientHost
	out.SubscribedTopics, out.SubscribedTopicRegex = slices.Clone(m.topics), m.regex
	out.Assignment = describeAssignment(img, asAssignment(merge(m.assigned, m.revoking)))
	out.TargetAssignment = describeAssignment(img, target)
	out.MemberType = memberTypeConsumer
	if m.isClassic() {
		out.MemberType = memberTypeClassic
	}
	return out
}

func describeAssignment(img *image.Image, a assignor.Assignment) kmsg.Assignment {
	out := kmsg.NewAssignment()
	for _, t := range a {
		if name, ok := img.TopicNames.Lookup(t.TopicID); ok {
			topic := kmsg.NewAssignmentTopicPartition()
			topic.TopicID, topic.Topic, topic.Partitions = t.TopicID, name, t.Partitions
			out.TopicPartitions = append(out.TopicPartitions, topic)
		}
	}
	return out
}

// describe implements group.
func (g *consumerGroup) describe() (kmsg.DescribeGroupsResponseGroup, error) {
	return kmsg.DescribeGroupsResponseGroup{}, errcode.New(errcode.KindGroupIDNotFound, "group %s is not a classic group", g.groupID)
}
