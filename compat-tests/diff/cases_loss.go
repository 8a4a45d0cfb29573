package diff

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type partitionShown = kmsg.DescribeTopicPartitionsResponseTopicPartition

// alterPartitionCases are in-sync replicas as leaders, and others, propose them. Broker 77 registers and is never started.
func alterPartitionCases() []Case {
	return each("AlterPartition", 2, 3, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		id := s.TopicID("a")
		registration := s.registration(4, 77)
		s.OnActive()
		registered, ok := s.Send("register", registration).(*kmsg.BrokerRegistrationResponse)
		if !ok || registered.ErrorCode != 0 {
			return
		}
		alter := func(step string, broker int32, epoch int64, topic [16]byte, partition, leaderEpoch, partitionEpoch int32, recovery int8, isr ...int32) {
			req := withVersion(kmsg.NewPtrAlterPartitionRequest(), v)
			req.BrokerID, req.BrokerEpoch = broker, epoch
			p := kmsg.NewAlterPartitionRequestTopicPartition()
			p.Partition, p.LeaderEpoch, p.PartitionEpoch, p.LeaderRecoveryState = partition, leaderEpoch, partitionEpoch, recovery
			p.NewISR = isr
			for _, r := range isr {
				e := kmsg.NewAlterPartitionRequestTopicPartitionNewEpochISR()
				e.BrokerID = r
				p.NewEpochISR = append(p.NewEpochISR, e)
			}
			t := kmsg.NewAlterPartitionRequestTopic()
			t.TopicID, t.Partitions = topic, append(t.Partitions, p)
			req.Topics = append(req.Topics, t)
			s.Send(step, req)
		}
		now := registered.BrokerEpoch
		alter("an old broker epoch", 77, now-1, id, 0, 0, 0, 0, 1)
		alter("a broker epoch of the future", 1, 1<<50, id, 0, 0, 0, 0, 1)
		alter("an unknown topic", 77, now, unknownID(5), 0, 0, 0, 0, 1)
		alter("an unknown partition", 77, now, id, 9, 0, 0, 0, 1)
		alter("not the leader", 77, now, id, 0, 0, 0, 0, 1)
		alter("a leader epoch of the future", 77, now, id, 0, 5, 0, 0, 1)
		alter("a partition epoch of the future", 77, now, id, 0, 0, 7, 0, 1)
		alter("an old leader epoch", 77, now, id, 0, -1, 0, 0, 1)
		alter("a fenced replica", 77, now, id, 0, 0, 0, 0, 77)
		dirs := kmsg.NewPtrAssignReplicasToDirsRequest()
		dirs.BrokerID, dirs.BrokerEpoch = 77, now
		d := kmsg.NewAssignReplicasToDirsRequestDirectory()
		d.ID = unknownID(8)
		for _, topic := range [][16]byte{id, unknownID(5)} {
			t := kmsg.NewAssignReplicasToDirsRequestDirectoryTopic()
			t.TopicID, t.Partitions = topic, []kmsg.AssignReplicasToDirsRequestDirectoryTopicPartition{{Partition: 0}, {Partition: 9}}
			d.Topics = append(d.Topics, t)
		}
		dirs.Directories = append(dirs.Directories, d)
		s.Send("AssignReplicasToDirs of no replica", dirs)
		dirs.BrokerEpoch--
		s.Send("AssignReplicasToDirs in an old epoch", dirs)
		beat := withVersion(kmsg.NewPtrBrokerHeartbeatRequest(), 1)
		beat.BrokerID, beat.BrokerEpoch, beat.WantFence = 77, now, true
		s.Send("heartbeat, stays fenced", beat)
		beat.BrokerEpoch--
		s.Send("heartbeat in an old epoch", beat)
		s.OnNode(2)
		s.Brokers("shown as fenced", 4, 1)
		s.Send("a topic on a fenced broker", createRequest(7, false, newTopic{name: s.Topic("fenced"), partitions: -1, factor: -1, assign: [][]int32{{77, 1}}}))
		s.Send("a topic on a fenced broker alone", createRequest(7, false, newTopic{name: s.Topic("fenced alone"), partitions: -1, factor: -1, assign: [][]int32{{77}}}))
		gone := kmsg.NewPtrUnregisterBrokerRequest()
		gone.BrokerID = 77
		s.Send("unregister", gone)
		s.Brokers("gone", 3, 0)
		s.Send("unregister again", gone)
	})
}

// cordonCases keep new replicas off a broker's directories.
func cordonCases() []Case {
	return one("cordoned.log.dirs", func(s *Session) {
		s.Assigned("a", nil, []int32{1, 2})
		cordon := func(step string, value *string, op kmsg.IncrementalAlterConfigOp) {
			req := withVersion(kmsg.NewPtrIncrementalAlterConfigsRequest(), 1)
			r := kmsg.NewIncrementalAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "3"
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name, c.Op, c.Value = "cordoned.log.dirs", op, value
			r.Configs = append(r.Configs, c)
			req.Resources = append(req.Resources, r)
			s.Send(step, req)
		}
		s.OnNode(3)
		cordon("a directory that is not there", ptr("/nowhere"), kmsg.IncrementalAlterConfigOpSet)
		cordon("all", ptr("*"), kmsg.IncrementalAlterConfigOpSet)
		s.Eventually("three replicas are refused", createRequest(7, true, newTopic{name: s.Topic("b"), partitions: 1, factor: 3}), func(r kmsg.Response) bool {
			return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0
		})
		s.Send("given replicas", createRequest(7, true, newTopic{name: s.Topic("b"), partitions: -1, factor: -1, assign: [][]int32{{3, 1}}}))
		s.Send("a reassignment to it", reassignRequest(1, true, s.Topic("a"), 0, []int32{1, 3}))
		s.Eventually("a reassignment, over", listReassignments(s.Topic("a"), 0), func(r kmsg.Response) bool { return len(r.(*kmsg.ListPartitionReassignmentsResponse).Topics) == 0 })
		s.Send("topic", s.described("a"))
		cordon("no more", nil, kmsg.IncrementalAlterConfigOpDelete)
		s.Eventually("three replicas again", createRequest(7, true, newTopic{name: s.Topic("b"), partitions: 1, factor: 3}), func(r kmsg.Response) bool {
			return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 0
		})
	})
}

// lossCases lose node 3, look at what is left of its partitions, and have it back.
func lossCases() []Case {
	return one("a node is lost", func(s *Session) {
		strict := []string{"min.insync.replicas=2"}
		s.Assigned("all", strict, []int32{3, 1, 2})
		s.Assigned("two", strict, []int32{3, 1})
		s.Assigned("loose", []string{"min.insync.replicas=1"}, []int32{3, 1})
		s.Assigned("alone", []string{"min.insync.replicas=1"}, []int32{3})
		s.Assigned("elsewhere", nil, []int32{1, 2})
		s.OnNode(1)
		s.must(s.target.Kill(3))
		s.Brokers("fenced", 3, 1)
		led := func(p partitionShown) bool { return p.LeaderID == 1 && !slices.Contains(p.ISR, 3) }
		s.Shown("of three", "all", led)
		s.Shown("of two", "two", led)
		s.Shown("loose", "loose", led)
		s.Shown("alone", "alone", func(p partitionShown) bool { return p.LeaderID == -1 })
		for _, name := range []string{"all", "two", "loose", "alone"} {
			s.Send("Metadata of "+name, metadataRequest(12, s.Topic(name)))
		}
		for _, name := range []string{"all", "two", "loose"} {
			s.waitLed(name, 0)
		}
		for _, name := range []string{"all", "two", "loose", "alone"} {
			s.Send("produce to "+name, s.produce(9, name, 0, -1, spec{records: records("x")}.batch()))
		}
		s.Send("preferred leader that is not there", electRequest(2, 0, s.Topic("all"), 0))
		s.Send("preferred leader of nobody", electRequest(2, 0, s.Topic("alone"), 0))
		s.Send("unclean leader of nobody", electRequest(2, 1, s.Topic("alone"), 0))
		s.Send("unclean leader, not needed", electRequest(2, 1, s.Topic("two"), 0))
		s.Send("three replicas of two nodes", createRequest(7, false, newTopic{name: s.Topic("three"), partitions: 1, factor: 3}))
		s.Send("replicas on it", createRequest(7, false, newTopic{name: s.Topic("on it"), partitions: -1, factor: -1, assign: [][]int32{{3}}}))
		s.Send("replicas on it and another", createRequest(7, false, newTopic{name: s.Topic("on-both"), partitions: -1, factor: -1, assign: [][]int32{{3, 1}}}))
		s.Send("more partitions on it", partitionsRequest(3, s.Topic("elsewhere"), 2, true, []int32{3, 1}))
		s.Send("reassign to it", reassignRequest(1, true, s.Topic("elsewhere"), 0, []int32{1, 3}))
		s.Shown("under way", "elsewhere", func(p partitionShown) bool { return slices.Contains(p.Replicas, 3) })
		s.Send("listed", listReassignments(s.Topic("elsewhere"), 0, 5))
		s.Send("another factor while it is under way", reassignRequest(1, false, s.Topic("elsewhere"), 0, []int32{1}))
		s.Send("cancelled", reassignRequest(1, true, s.Topic("elsewhere"), 0, nil))
		s.Shown("as it was", "elsewhere", func(p partitionShown) bool { return slices.Equal(p.Replicas, []int32{1, 2}) })
		s.Send("listed no more", listReassignments(s.Topic("elsewhere"), 0))
		s.Send("reassign away from it", reassignRequest(1, true, s.Topic("two"), 0, []int32{1, 2}))
		s.Shown("away from it", "two", func(p partitionShown) bool {
			return len(p.ISR) == 2 && len(p.Replicas) == 2 && !slices.Contains(p.Replicas, 3)
		})
		s.must(s.target.Start(3))
		s.Brokers("back", 3, 0)
		s.Shown("of three, back", "all", func(p partitionShown) bool { return len(p.ISR) == 3 })
		s.Shown("loose, back", "loose", func(p partitionShown) bool { return len(p.ISR) == 2 })
		s.Shown("alone, back", "alone", func(p partitionShown) bool { return p.LeaderID == 3 })
		s.Send("preferred leader that is back", electRequest(2, 0, s.Topic("all"), 0))
		s.Shown("led by it", "all", func(p partitionShown) bool { return p.LeaderID == 3 })
		s.OnNode(3)
		s.waitLed("all", 0)
		s.Send("what was produced without it", s.fetch(11, "all", 0, 0))
		s.OnNode(1)
		s.must(s.target.Kill(3))
		s.Brokers("fenced again", 3, 1)
		gone := kmsg.NewPtrUnregisterBrokerRequest()
		gone.BrokerID = 3
		s.Send("unregister", gone)
		s.Brokers("unregistered", 2, 0)
		s.Send("Metadata of all", metadataRequest(12, s.Topic("all")))
		s.Send("replicas on what is not registered", createRequest(7, true, newTopic{name: s.Topic("on it"), partitions: -1, factor: -1, assign: [][]int32{{1, 3}}}))
		s.must(s.target.Start(3))
		s.Brokers("registered again", 3, 0)
		s.Shown("of three, once more", "all", func(p partitionShown) bool { return len(p.ISR) == 3 })
	})
}

// VoterCases add voters to a quorum and remove them. Node 1 is the voter that the cluster begins with; nodes 2 and 3 wait.
func VoterCases() []Case {
	return serial(one(votersPrefix+"add and remove", func(s *Session) {
		s.OnNode(1)
		at := func(step string, voters, observers int) {
			s.Eventually(step, quorumRequest(2), func(r kmsg.Response) bool {
				p := r.(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0]
				return len(p.CurrentVoters) == voters && len(p.Observers) == observers && caughtUp(p)
			})
		}
		at("one voter", 1, 2)
		directories := map[int32][16]byte{}
		p := s.quorum()
		for _, r := range slices.Concat(p.CurrentVoters, p.Observers) {
			directories[r.ReplicaID] = r.ReplicaDirectoryID
		}
		for _, n := range s.target.Nodes {
			s.Note(fmt.Sprintf("node %d has a directory", n.ID), directories[n.ID] != [16]byte{})
		}
		listener := func(id int32) []kmsg.AddRaftVoterRequestListener {
			host, port := "127.0.0.1", uint16(1)
			for _, n := range s.target.Nodes {
				if n.ID == id {
					_, _ = fmt.Sscanf(n.ControllerAddr, "127.0.0.1:%d", &port)
				}
			}
			return []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: host, Port: port}}
		}
		add := func(step string, v int16, id int32, directory [16]byte, edit func(*kmsg.AddRaftVoterRequest)) {
			req := withVersion(kmsg.NewPtrAddRaftVoterRequest(), v)
			req.TimeoutMillis, req.VoterID, req.VoterDirectoryID, req.Listeners, req.AckWhenCommitted = 20_000, id, directory, listener(id), true
			if edit != nil {
				edit(req)
			}
			s.Send(step, req)
		}
		remove := func(step string, id int32, directory [16]byte, cluster *string) {
			req := kmsg.NewPtrRemoveRaftVoterRequest()
			req.VoterID, req.VoterDirectoryID, req.ClusterID = id, directory, cluster
			s.Send(step, req)
		}
		other := ptr("AAAAAAAAAAAAAAAAAAAAAA")
		add("add in another cluster", 0, 2, directories[2], func(r *kmsg.AddRaftVoterRequest) { r.ClusterID = other })
		add("add without listeners", 0, 2, directories[2], func(r *kmsg.AddRaftVoterRequest) { r.Listeners = nil })
		add("add with another listener", 0, 2, directories[2], func(r *kmsg.AddRaftVoterRequest) { r.Listeners[0].Name = "PLAINTEXT" })
		add("add who is one", 0, 1, directories[1], nil)
		add("add who is one with another directory", 0, 1, unknownID(1), nil)
		add("add a negative id", 0, -1, directories[2], nil)
		remove("remove in another cluster", 2, directories[2], other)
		remove("remove who is none", 2, directories[2], nil)
		remove("remove with another directory", 1, unknownID(1), nil)
		add("add 2", 0, 2, directories[2], nil)
		at("two voters", 2, 1)
		add("add 2 again", 1, 2, directories[2], nil)
		add("add 2 with another directory", 1, 2, unknownID(2), nil)
		add("add 3", 1, 3, directories[3], nil)
		at("three voters", 3, 0)
		remove("remove 3 with another directory", 3, unknownID(3), nil)
		remove("remove 3", 3, directories[3], nil)
		at("two voters again", 2, 1)
		remove("remove 3 again", 3, directories[3], nil)
		s.OnInactive()
		add("add at an inactive controller", 0, 3, directories[3], nil)
		remove("remove at an inactive controller", 2, directories[2], nil)
		s.OnActive()
		update := kmsg.NewPtrUpdateRaftVoterRequest()
		update.ClusterID, update.CurrentLeaderEpoch, update.VoterID, update.VoterDirectoryID = other, 0, 2, directories[2]
		s.Send("update in another cluster", update)
		s.OnNode(2)
		s.Send("a topic", createRequest(7, false, newTopic{name: s.Topic("a"), partitions: 1, factor: 3}))
	}))
}
