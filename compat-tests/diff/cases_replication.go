package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// replicationCases are elections, reassignments and what brokers tell the controller, as far as one broker can show them.
func replicationCases() []Case {
	out := each("ElectLeaders", 0, 2, func(s *Session, v int16) {
		s.CreateTopic("a", 2)
		elect := func(step string, kind int8, topic string, partitions ...int32) {
			s.Send(step, electRequest(v, kind, topic, partitions...))
		}
		elect("not needed", 0, s.Topic("a"), 0, 1)
		elect("unknown partition", 0, s.Topic("a"), 5, -1)
		elect("unknown topic", 0, s.Topic("missing"), 0)
		if v >= 1 {
			elect("unclean, not needed", 1, s.Topic("a"), 0)
			elect("unknown kind", 7, s.Topic("a"), 0)
		}
		none := withVersion(kmsg.NewPtrElectLeadersRequest(), v)
		none.Topics, none.TimeoutMillis = []kmsg.ElectLeadersRequestTopic{}, 10_000
		s.Send("nothing", none)
	})
	out = append(out, each("AlterPartitionReassignments", 0, 1, reassignments)...)
	out = append(out, each("ListPartitionReassignments", 0, 0, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.Send("none", listReassignments(s.Topic("a"), 0))
		s.Send("unknown partition", listReassignments(s.Topic("a"), 9))
		s.Send("unknown topic", listReassignments(s.Topic("missing"), 0))
		all := withVersion(kmsg.NewPtrListPartitionReassignmentsRequest(), v)
		all.Topics, all.TimeoutMillis = nil, 10_000
		s.Send("all", all)
	})...)
	out = append(out, each("AlterPartition", 2, 3, func(s *Session, v int16) {
		s.OnController()
		req := withVersion(kmsg.NewPtrAlterPartitionRequest(), v)
		req.BrokerID, req.BrokerEpoch = 99, 5
		s.Send("unknown broker, nothing named", req)
		t := kmsg.NewAlterPartitionRequestTopic()
		t.TopicID, t.Partitions = unknownID(1), []kmsg.AlterPartitionRequestTopicPartition{kmsg.NewAlterPartitionRequestTopicPartition()}
		req.Topics = append(req.Topics, t)
		s.Send("unknown broker", req)
		req.BrokerID, req.BrokerEpoch = 1, 1<<50
		s.Send("epoch of the future", req)
	})...)
	return append(out, each("AssignReplicasToDirs", 0, 0, func(s *Session, v int16) {
		s.OnController()
		req := withVersion(kmsg.NewPtrAssignReplicasToDirsRequest(), v)
		req.BrokerID, req.BrokerEpoch = 99, 5
		s.Send("unknown broker", req)
		req.BrokerID, req.BrokerEpoch = 1, 1<<50
		s.Send("epoch of the future", req)
	})...)
}

func reassignments(s *Session, v int16) {
	s.CreateTopic("a", 2)
	reassign := func(step, topic string, partition int32, to []int32) {
		s.Send(fmt.Sprintf("%s, partition %d", step, partition), reassignRequest(v, false, topic, partition, to))
	}
	const self = 1 // the node id of both
	reassign("to where it is", s.Topic("a"), 0, []int32{self})
	reassign("nothing to cancel", s.Topic("a"), 0, nil)
	reassign("to nobody", s.Topic("a"), 0, []int32{})
	reassign("to an unknown broker", s.Topic("a"), 0, []int32{99})
	reassign("twice the same", s.Topic("a"), 0, []int32{self, self})
	reassign("unknown partition", s.Topic("a"), 7, []int32{self})
	reassign("unknown topic", s.Topic("missing"), 0, []int32{self})
	reassign("unknown topic to cancel", s.Topic("missing"), 0, nil)
}
