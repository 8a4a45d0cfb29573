package diff

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// threePrefix starts the names of the cases of three nodes, votersPrefix those of cases that change the voters.
const threePrefix, votersPrefix = "Three/", "Voters/"

// ClusterCases are the cases that three nodes are needed for. Nodes 1, 2 and 3 are broker and controller in one. Replicas are given, since
// where Kafka puts them is chance.
func ClusterCases() []Case {
	var all []Case
	for _, list := range [][]Case{
		placedCases(), notLedCases(), replicaCases(), nearCases(), threeElectionCases(), threeReassignCases(), quorumCases(), inactiveCases(), threeCoordinatorCases(),
		serial(alterPartitionCases()), serial(cordonCases()), serial(lossCases()),
	} {
		all = append(all, list...)
	}
	for i := range all {
		all[i].Name = threePrefix + all[i].Name
	}
	return all
}

// placedCases are topics with replicas on three nodes.
func placedCases() []Case {
	out := one("topic", func(s *Session) {
		s.Assigned("a", nil, []int32{1, 2, 3}, []int32{2, 3}, []int32{3})
		for _, n := range s.target.Nodes {
			s.OnNode(n.ID)
			for _, v := range []int16{0, 5, 7, 13} {
				s.Send(fmt.Sprintf("Metadata v%d at node %d", v, n.ID), metadataRequest(v, s.Topic("a")))
			}
			s.Send(fmt.Sprintf("DescribeTopicPartitions at node %d", n.ID), s.described("a"))
		}
		s.Brokers("DescribeCluster", 3, 0)
	})
	out = append(out, one("CreateTopics/factors", func(s *Session) {
		s.OnNode(2)
		for _, f := range []int16{4, 9, 0, -2} {
			s.Send(fmt.Sprintf("factor %d", f), createRequest(7, false, newTopic{name: s.Topic("a"), partitions: 2, factor: f}))
		}
		s.Send("three", createRequest(7, false, newTopic{name: s.Topic("a"), partitions: 6, factor: 3}))
		s.Send("by default", createRequest(7, false, newTopic{name: s.Topic("b"), partitions: -1, factor: -1}))
		var resp kmsg.Response
		s.must(s.until(func() (bool, error) {
			var err error
			if resp, err = s.ask(metadataRequest(12, s.Topic("a"), s.Topic("b"))); err != nil {
				return false, err
			}
			for _, t := range resp.(*kmsg.MetadataResponse).Topics {
				if t.ErrorCode != 0 || slices.ContainsFunc(t.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool { return p.ErrorCode != 0 || len(p.ISR) < 3 }) {
					return false, nil
				}
			}
			return true, nil
		}))
		for _, t := range resp.(*kmsg.MetadataResponse).Topics {
			for _, p := range t.Partitions {
				s.Note(fmt.Sprintf("%s-%d has replicas in sync", *t.Topic, p.Partition), fmt.Sprint(len(slices.Compact(slices.Sorted(slices.Values(p.Replicas)))), len(p.ISR)))
			}
		}
	})...)
	out = append(out, each("CreateTopics/assigned", 2, 7, func(s *Session, v int16) {
		s.OnNode(3)
		for _, x := range []struct {
			name     string
			replicas [][]int32
		}{
			{"a", [][]int32{{1, 2, 3}, {3, 1, 2}}},
			{"b", [][]int32{{2}, {1}}},
			{"uneven", [][]int32{{1, 2}, {3}}},
			{"twice", [][]int32{{1, 2, 1}}},
			{"unknown", [][]int32{{1, 2, 9}}},
			{"nobody", [][]int32{{}}},
			{"negative", [][]int32{{-1, 2}}},
		} {
			s.Send(x.name, createRequest(v, false, newTopic{name: s.Topic(x.name), partitions: -1, factor: -1, assign: x.replicas}))
		}
	})...)
	return append(out, each("CreatePartitions", 0, 3, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2}, []int32{2, 3})
		a := s.Topic("a")
		s.OnNode(3)
		s.Send("one replica", partitionsRequest(v, a, 3, false, []int32{1}))
		s.Send("three replicas", partitionsRequest(v, a, 3, false, []int32{1, 2, 3}))
		s.Send("twice the same", partitionsRequest(v, a, 3, false, []int32{1, 1}))
		s.Send("an unknown broker", partitionsRequest(v, a, 3, false, []int32{1, 9}))
		s.Send("two of different size", partitionsRequest(v, a, 4, false, []int32{1, 2}, []int32{3}))
		s.Send("good, validate only", partitionsRequest(v, a, 4, true, []int32{3, 1}, []int32{1, 3}))
		s.Send("good", partitionsRequest(v, a, 4, false, []int32{3, 1}, []int32{1, 3}))
		s.waitSync("a", []int32{1, 2}, []int32{2, 3}, []int32{3, 1}, []int32{1, 3})
		s.Send("topic", metadataRequest(7, a))
	})...)
}

// notLedCases are requests that reach a node which does not lead the partition, or does not have it.
func notLedCases() []Case {
	out := each("Produce/not the leader", 3, 13, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		for _, id := range []int32{2, 3} {
			s.OnNode(id)
			s.Send(fmt.Sprintf("to node %d", id), s.produce(v, "a", 0, -1, spec{records: records("x")}.batch()))
			s.Send(fmt.Sprintf("to node %d, acks 1", id), s.produce(v, "a", 0, 1, spec{records: records("x")}.batch()))
		}
		s.OnNode(1)
		s.Send("to the leader", s.produce(v, "a", 0, -1, spec{records: records("x")}.batch()))
	})
	out = append(out, each("Fetch/not the leader", 4, 18, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		s.OnNode(1)
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		s.OnNode(2)
		follower := s.fetch(v, "a", 0, 0)
		if v >= 11 { // from there on consumers may read from followers
			s.Eventually("from the follower", follower, func(r kmsg.Response) bool {
				p := r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
				return p.ErrorCode == 0 && len(p.RecordBatches) > 0
			})
			s.Send("from the follower, out of range", s.fetch(v, "a", 0, 99))
		} else {
			s.Send("from the follower", follower)
		}
		s.OnNode(3)
		s.Send("from another", s.fetch(v, "a", 0, 0))
		for _, epoch := range []int32{0, 1} {
			for _, id := range []int32{1, 2, 3} {
				if v < 9 {
					continue
				}
				s.OnNode(id)
				req := s.fetch(v, "a", 0, 0)
				req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
				ok := func(r kmsg.Response) bool {
					return id != 2 || r.(*kmsg.FetchResponse).Topics[0].Partitions[0].HighWatermark != 0
				}
				s.Eventually(fmt.Sprintf("from node %d in leader epoch %d", id, epoch), req, ok)
			}
		}
	})...)
	out = append(out, each("ListOffsets/not the leader", 1, 11, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		for _, id := range []int32{1, 2, 3} {
			s.OnNode(id)
			for _, replica := range []int32{-1, -2, 2, 3, 9} {
				req := withVersion(kmsg.NewPtrListOffsetsRequest(), v)
				req.ReplicaID = replica
				p := kmsg.NewListOffsetsRequestTopicPartition()
				p.Timestamp = -2
				req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.Topic("a"), Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
				s.Send(fmt.Sprintf("start from node %d as replica %d", id, replica), req)
				if replica == -2 { // the follower's own end, which it need not have reached
					continue
				}
				req.Topics[0].Partitions[0].Timestamp = -1
				s.Send(fmt.Sprintf("end from node %d as replica %d", id, replica), req)
				if v >= 4 {
					req.Topics[0].Partitions[0].CurrentLeaderEpoch = 1
					s.Send(fmt.Sprintf("end from node %d as replica %d in an unknown epoch", id, replica), req)
				}
			}
		}
	})...)
	return append(out, each("OffsetForLeaderEpoch", 2, 4, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		for _, id := range []int32{1, 2, 3} {
			s.OnNode(id)
			for _, replica := range []int32{-1, -2, 2, 9} {
				for _, current := range []int32{-1, 0, 1} {
					for _, epoch := range []int32{0, 1, -1} {
						if id == 2 && replica == -2 && epoch == 0 {
							continue // the follower's own end
						}
						req := withVersion(kmsg.NewPtrOffsetForLeaderEpochRequest(), v)
						req.ReplicaID = replica
						t := kmsg.NewOffsetForLeaderEpochRequestTopic()
						t.Topic = s.Topic("a")
						p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
						p.CurrentLeaderEpoch, p.LeaderEpoch = current, epoch
						t.Partitions = append(t.Partitions, p)
						req.Topics = append(req.Topics, t)
						s.Send(fmt.Sprintf("node %d, replica %d, current epoch %d, epoch %d", id, replica, current, epoch), req)
					}
				}
			}
		}
	})...)
}

// replicaCases are fetches of brokers that cannot be followers, or are not who they say.
func replicaCases() []Case {
	return each("Fetch/as a replica", 4, 18, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		ask := func(step string, id int32, epoch int64, at int64) {
			req := s.fetch(v, "a", 0, at)
			req.ReplicaID = id
			if v >= 15 {
				req.ReplicaState.ID, req.ReplicaState.Epoch = id, epoch
			}
			s.Send(step, req)
		}
		s.OnNode(1)
		ask("no replica of it", 3, -1, 0)
		ask("an unknown broker", 9, -1, 0)
		ask("out of range, unknown broker", 9, -1, 99)
		if v >= 15 {
			ask("an epoch of the future", 2, 1<<50, 0)
			ask("an epoch of the past", 2, 0, 0)
		}
		s.OnNode(2)
		ask("from the follower", 1, -1, 0)
		s.OnNode(3)
		ask("from another", 2, -1, 0)
	})
}

// nearCases are consumers that name their rack: the racks of the nodes are r1, r2 and r3.
func nearCases() []Case {
	return each("Fetch/rack", 11, 18, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		for _, rack := range []string{"r1", "r2", "r3", "elsewhere", ""} {
			req := s.fetch(v, "a", 0, 0)
			req.Rack = rack
			s.Eventually("rack "+rack, req, func(r kmsg.Response) bool {
				p := r.(*kmsg.FetchResponse).Topics[0].Partitions[0]
				return rack == "r2" && p.PreferredReadReplica == 2 || rack != "r2" && p.HighWatermark == 2
			})
		}
		s.OnNode(2)
		req := s.fetch(v, "a", 0, 0)
		req.Rack = "r2"
		s.Eventually("at the follower", req, func(r kmsg.Response) bool { return r.(*kmsg.FetchResponse).Topics[0].Partitions[0].HighWatermark == 2 })
	})
}

func electRequest(v int16, kind int8, topic string, partitions ...int32) *kmsg.ElectLeadersRequest {
	req := withVersion(kmsg.NewPtrElectLeadersRequest(), v)
	req.ElectionType, req.TimeoutMillis = kind, 20_000
	req.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: topic, Partitions: partitions}}
	return req
}

// threeElectionCases elect the preferred leader of a partition whose replicas were put in another order.
func threeElectionCases() []Case {
	return each("ElectLeaders", 0, 2, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2, 3}, []int32{2, 3}, []int32{3})
		a := s.Topic("a")
		s.OnNode(2)
		s.Send("not needed", electRequest(v, 0, a, 0, 1, 2))
		s.Send("reordered", reassignRequest(1, true, a, 0, []int32{2, 1, 3}))
		s.Shown("reordered, the leader stays", "a", func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool {
			return p.Partition != 0 || p.Replicas[0] == 2
		})
		s.Send("preferred", electRequest(v, 0, a, 0, 1, 7))
		s.Shown("led by the preferred", "a", func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool {
			return p.Partition != 0 || p.LeaderID == 2
		})
		s.OnNode(2)
		s.waitLed("a", 0)
		s.Send("produce to it", s.produce(9, "a", 0, -1, spec{records: records("x")}.batch()))
		s.OnNode(1)
		s.Eventually("produce to the old", s.produce(10, "a", 0, -1, spec{records: records("x")}.batch()), func(r kmsg.Response) bool {
			return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0
		})
		s.Send("again", electRequest(v, 0, a, 0))
		if v >= 1 {
			s.Send("unclean, not needed", electRequest(v, 1, a, 0, 2))
			s.Send("unknown kind", electRequest(v, 2, a, 0))
		}
	})
}

func reassignRequest(v int16, factor bool, topic string, partition int32, to []int32) *kmsg.AlterPartitionAssignmentsRequest {
	req := withVersion(kmsg.NewPtrAlterPartitionAssignmentsRequest(), v)
	req.TimeoutMillis, req.AllowReplicationFactorChange = 20_000, factor
	p := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Partition, p.Replicas = partition, to
	req.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: topic, Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{p}}}
	return req
}

func listReassignments(topic string, partitions ...int32) *kmsg.ListPartitionReassignmentsRequest {
	req := withVersion(kmsg.NewPtrListPartitionReassignmentsRequest(), 0)
	req.TimeoutMillis = 20_000
	req.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: topic, Partitions: partitions}}
	return req
}

// threeReassignCases move replicas to nodes that run, so that the moves end.
func threeReassignCases() []Case {
	return each("AlterPartitionReassignments", 0, 1, func(s *Session, v int16) {
		s.Assigned("a", nil, []int32{1, 2})
		a := s.Topic("a")
		s.Produce("a", 0, spec{records: records("x", "y")}.batch())
		s.OnNode(3)
		for _, x := range []struct {
			step string
			to   []int32
		}{{"twice the same", []int32{3, 3}}, {"an unknown broker", []int32{1, 9}}, {"a negative broker", []int32{-1, 1}}, {"nobody", []int32{}}, {"nothing to cancel", nil}, {"as it is", []int32{1, 2}}} {
			s.Send(x.step, reassignRequest(v, true, a, 0, x.to))
		}
		if v >= 1 {
			s.Send("another factor, not allowed", reassignRequest(v, false, a, 0, []int32{1, 2, 3}))
		}
		settled := func(step string, to ...int32) {
			s.Send(step, reassignRequest(v, true, a, 0, to))
			s.Shown(step+", settled", "a", func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool {
				return slices.Equal(p.Replicas, to) && len(p.ISR) == len(to) && p.LeaderID > 0
			})
			s.Eventually(step+", over", listReassignments(a, 0), func(r kmsg.Response) bool { return len(r.(*kmsg.ListPartitionReassignmentsResponse).Topics) == 0 })
		}
		settled("one more", 1, 2, 3)
		settled("one less", 1, 3)
		settled("the leader goes", 3, 2)
		settled("to one", 2)
		s.OnNode(2)
		s.waitLed("a", 0)
		s.Send("what was there is there", s.fetch(11, "a", 0, 0))
	})
}

// quorumCases ask for the quorum, and for changes that a static one refuses.
func quorumCases() []Case {
	out := each("DescribeQuorum", 0, 2, func(s *Session, v int16) {
		for _, n := range s.target.Nodes {
			s.OnNode(n.ID)
			s.Quorum(fmt.Sprintf("at node %d", n.ID), v)
		}
		s.OnActive()
		s.Quorum("at the active controller", v)
		s.OnInactive()
		s.Send("at an inactive controller", quorumRequest(v))
	})
	return append(out, one("voters of a static quorum", func(s *Session) {
		for _, on := range []func(){func() { s.OnNode(1) }, s.OnActive, s.OnInactive} {
			on()
			where := s.conn[:4]
			add := withVersion(kmsg.NewPtrAddRaftVoterRequest(), 0)
			add.TimeoutMillis, add.VoterID, add.VoterDirectoryID = 5000, 4, unknownID(4)
			add.Listeners = []kmsg.AddRaftVoterRequestListener{{Name: "CONTROLLER", Host: "127.0.0.1", Port: 1}}
			s.Send("add at "+where, add)
			remove := kmsg.NewPtrRemoveRaftVoterRequest()
			remove.VoterID, remove.VoterDirectoryID = 3, unknownID(3)
			s.Send("remove at "+where, remove)
		}
	})...)
}

// inactiveCases are requests to a controller that is not the active one.
func inactiveCases() []Case {
	return one("an inactive controller", func(s *Session) {
		s.OnInactive()
		s.Send("CreateTopics", createRequest(7, false, newTopic{name: s.Topic("a"), partitions: 1, factor: 1}))
		s.Send("DeleteTopics", deleteRequest(5, s.Topic("a")))
		s.Send("CreatePartitions", partitionsRequest(3, s.Topic("a"), 3, false))
		s.Send("ElectLeaders", electRequest(2, 0, s.Topic("a"), 0))
		s.Send("AlterPartitionReassignments", reassignRequest(1, true, s.Topic("a"), 0, []int32{1}))
		s.Send("ListPartitionReassignments", listReassignments(s.Topic("a"), 0))
		gone := kmsg.NewPtrUnregisterBrokerRequest()
		gone.BrokerID = 9
		s.Send("UnregisterBroker", gone)
		beat := withVersion(kmsg.NewPtrBrokerHeartbeatRequest(), 1)
		beat.BrokerID, beat.BrokerEpoch = 9, 5
		s.Send("BrokerHeartbeat", beat)
		alter := withVersion(kmsg.NewPtrAlterPartitionRequest(), 3)
		alter.BrokerID, alter.BrokerEpoch = 9, 5
		s.Send("AlterPartition", alter)
		ids := kmsg.NewPtrAllocateProducerIDsRequest()
		ids.BrokerID, ids.BrokerEpoch = 9, 5
		s.Send("AllocateProducerIds", ids)
		dirs := kmsg.NewPtrAssignReplicasToDirsRequest()
		dirs.BrokerID, dirs.BrokerEpoch = 9, 5
		s.Send("AssignReplicasToDirs", dirs)
	})
}

// threeCoordinatorCases: every node names the same coordinator, and only that one is it.
func threeCoordinatorCases() []Case {
	return one("coordinator", func(s *Session) {
		find := withVersion(kmsg.NewPtrFindCoordinatorRequest(), 4)
		find.CoordinatorKeys = []string{s.Topic("group")}
		named := map[int32]bool{}
		for _, n := range s.target.Nodes {
			s.OnNode(n.ID)
			s.must(s.until(func() (bool, error) {
				resp, err := s.ask(find)
				if err != nil {
					return false, err
				}
				c := resp.(*kmsg.FindCoordinatorResponse).Coordinators[0]
				if c.ErrorCode == 0 {
					named[c.NodeID] = true
				}
				return c.ErrorCode == 0, nil
			}))
		}
		s.Note("coordinators named", len(named))
		beat := withVersion(kmsg.NewPtrHeartbeatRequest(), 4)
		beat.Group, beat.MemberID, beat.Generation = s.Topic("group"), "nobody", 1
		for _, n := range s.target.Nodes {
			s.OnNode(n.ID)
			step := "heartbeat to another"
			if named[n.ID] {
				step = "heartbeat to the coordinator"
			}
			var resp kmsg.Response
			s.must(s.until(func() (bool, error) {
				var err error
				resp, err = s.ask(beat)
				if err != nil {
					return false, err
				}
				code := resp.(*kmsg.HeartbeatResponse).ErrorCode // one that was not told yet says that it is none, one that loads that all is well
				return code != noError && code != coordinatorNone && (code != notCoordinator || !named[n.ID]), nil
			}))
			s.kept[step] = resp
		}
		for _, step := range []string{"heartbeat to the coordinator", "heartbeat to another"} {
			s.record(step, s.tree(s.kept[step]))
		}
	})
}
