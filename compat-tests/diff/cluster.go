package diff

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ClusterProperties are what the nodes of a cluster are started with: one that is gone is fenced soon, racks are told apart, and nothing is rebalanced in between.
func ClusterProperties() map[string]string {
	p := Properties()
	maps.Copy(p, map[string]string{
		"broker.session.timeout.ms":    "6000",
		"broker.heartbeat.interval.ms": "500",
		"replica.selector.class":       "org.apache.kafka.common.replica.RackAwareReplicaSelector",
		"auto.leader.rebalance.enable": "false",
		"controlled.shutdown.enable":   "false",
		"offsets.topic.num.partitions": "3",
		"auto.create.topics.enable":    "false",
	})
	return p
}

// OnNode uses a connection to the client listener of a node from here on.
func (s *Session) OnNode(id int32) {
	for _, n := range s.target.Nodes {
		if n.ID == id {
			s.conn, s.addr = fmt.Sprintf("node %d", id), n.Addr
			return
		}
	}
	s.must(fmt.Errorf("the cluster has no node %d", id))
}

// OnActive uses a connection to the active controller from here on, OnInactive one to a controller that is not active.
func (s *Session) OnActive() { s.onController(true) }

// OnInactive is described at OnActive.
func (s *Session) OnInactive() { s.onController(false) }

func (s *Session) onController(active bool) {
	leader := s.quorumLeader()
	for _, n := range s.target.Nodes {
		if (n.ID == leader) == active {
			s.conn, s.addr = fmt.Sprintf("controller %d", n.ID), n.ControllerAddr
			return
		}
	}
	s.must(errors.New("the cluster has no such controller"))
}

func quorumRequest(v int16) *kmsg.DescribeQuorumRequest {
	req := withVersion(kmsg.NewPtrDescribeQuorumRequest(), v)
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic, t.Partitions = "__cluster_metadata", []kmsg.DescribeQuorumRequestTopicPartition{{}}
	req.Topics = append(req.Topics, t)
	return req
}

// quorum asks the first node that runs how the quorum is.
func (s *Session) quorum() (p kmsg.DescribeQuorumResponseTopicPartition) {
	conn, addr := s.conn, s.addr
	defer func() { s.conn, s.addr = conn, addr }()
	s.must(s.until(func() (bool, error) {
		s.OnNode(1)
		resp, err := s.ask(quorumRequest(2))
		if err != nil {
			return false, err
		}
		if t := resp.(*kmsg.DescribeQuorumResponse).Topics; len(t) == 1 && len(t[0].Partitions) == 1 {
			p = t[0].Partitions[0]
		}
		return p.LeaderID > 0, nil
	}))
	return p
}

// caughtUp tells whether every member of the quorum was seen to be up to date, which those that have just joined were not yet.
func caughtUp(p kmsg.DescribeQuorumResponseTopicPartition) bool {
	return !slices.ContainsFunc(slices.Concat(p.CurrentVoters, p.Observers), func(r kmsg.DescribeQuorumResponseTopicPartitionReplicaState) bool {
		return r.LogEndOffset <= 0 || r.LastCaughtUpTimestamp <= 0
	})
}

// Quorum waits until every member of the quorum is up to date, and records it.
func (s *Session) Quorum(step string, v int16) {
	s.Eventually(step, quorumRequest(v), func(r kmsg.Response) bool {
		t := r.(*kmsg.DescribeQuorumResponse).Topics
		return len(t) == 1 && len(t[0].Partitions) == 1 && (v == 0 || caughtUp(t[0].Partitions[0]))
	})
}

func (s *Session) quorumLeader() int32 { return s.quorum().LeaderID }

// Assigned creates a topic whose replicas are given, the first of each partition its leader, and waits until every node knows it and all replicas are in sync.
func (s *Session) Assigned(name string, configs []string, replicas ...[]int32) {
	s.OnNode(1)
	t := newTopic{name: s.Topic(name), partitions: -1, factor: -1, assign: replicas, configs: configs}
	resp := s.Quiet(createRequest(7, false, t)).(*kmsg.CreateTopicsResponse)
	if code := resp.Topics[0].ErrorCode; code != 0 {
		s.must(fmt.Errorf("setup: create topic %s: error %d", t.name, code))
	}
	for _, n := range s.target.Nodes {
		s.OnNode(n.ID)
		s.waitSync(name, replicas...)
	}
	for p, list := range replicas {
		s.OnNode(list[0])
		s.waitLed(name, int32(p))
	}
	s.OnNode(1)
	s.TopicID(name)
}

// waitSync waits until the node shows these replicas, all in sync, and the first as the leader.
func (s *Session) waitSync(name string, replicas ...[]int32) {
	seen := kmsg.NewMetadataResponseTopic()
	done := false
	s.must(s.until(func() (bool, error) {
		resp, err := s.ask(metadataRequest(12, s.Topic(name)))
		if err != nil {
			return false, err
		}
		seen = resp.(*kmsg.MetadataResponse).Topics[0]
		done = len(seen.Partitions) == len(replicas) && !slices.ContainsFunc(seen.Partitions, func(p kmsg.MetadataResponseTopicPartition) bool {
			want := replicas[p.Partition]
			return p.Leader != want[0] || len(p.ISR) != len(want) || !slices.Equal(p.Replicas, want)
		})
		return done, nil
	}))
	if !done {
		s.must(fmt.Errorf("setup: topic %s at %s is %+v, want %v", s.Topic(name), s.conn, seen, replicas))
	}
}

// waitLed waits until the node leads the partition.
func (s *Session) waitLed(name string, partition int32) {
	req := withVersion(kmsg.NewPtrListOffsetsRequest(), 1)
	req.ReplicaID = -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: s.Topic(name), Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Partition: partition, Timestamp: -1}}}}
	code := int16(0)
	s.must(s.until(func() (bool, error) {
		resp, err := s.ask(req)
		if err != nil {
			return false, err
		}
		code = resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].ErrorCode
		return code == 0, nil
	}))
	if code != 0 {
		s.must(fmt.Errorf("setup: %s does not lead %s-%d: error %d", s.conn, s.Topic(name), partition, code))
	}
}

// described asks for the partitions of a topic.
func (s *Session) described(name string) *kmsg.DescribeTopicPartitionsRequest {
	req := withVersion(kmsg.NewPtrDescribeTopicPartitionsRequest(), 0)
	req.ResponsePartitionLimit = 2000
	t := kmsg.NewDescribeTopicPartitionsRequestTopic()
	t.Topic = s.Topic(name)
	req.Topics = append(req.Topics, t)
	return req
}

// Shown waits until ok says that a partition of a topic is settled, and records the topic.
func (s *Session) Shown(step, name string, ok func(kmsg.DescribeTopicPartitionsResponseTopicPartition) bool) {
	s.Eventually(step, s.described(name), func(r kmsg.Response) bool {
		t := r.(*kmsg.DescribeTopicPartitionsResponse).Topics
		return len(t) == 1 && len(t[0].Partitions) > 0 && !slices.ContainsFunc(t[0].Partitions, func(p kmsg.DescribeTopicPartitionsResponseTopicPartition) bool { return !ok(p) })
	})
}

// Brokers waits until so many brokers are shown, so many of them fenced, and records them.
func (s *Session) Brokers(step string, all, fenced int) {
	req := withVersion(kmsg.NewPtrDescribeClusterRequest(), 2)
	req.EndpointType, req.IncludeFencedBrokers = 1, true
	s.Eventually(step, req, func(r kmsg.Response) bool {
		list := r.(*kmsg.DescribeClusterResponse).Brokers
		n := 0
		for _, b := range list {
			if b.IsFenced {
				n++
			}
		}
		return len(list) == all && n == fenced
	})
}
