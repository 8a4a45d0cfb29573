package diff

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func clusterCases() []Case {
	out := each("DescribeCluster", 0, 2, func(s *Session, v int16) {
		req := withVersion(kmsg.NewPtrDescribeClusterRequest(), v)
		req.EndpointType = 1
		s.Send("plain", req)
		req.IncludeClusterAuthorizedOperations = true
		s.Send("authorized operations", req)
		req.IncludeClusterAuthorizedOperations = false
		if v >= 1 {
			for _, kind := range []int8{0, 2, 3, -1} {
				req.EndpointType = kind
				s.Send(fmt.Sprintf("endpoint type %d", kind), req)
			}
			s.OnController()
			for _, kind := range []int8{1, 2} {
				req.EndpointType = kind
				s.Send(fmt.Sprintf("controller, endpoint type %d", kind), req)
			}
			s.OnBroker()
		}
		if v >= 2 {
			req.EndpointType, req.IncludeFencedBrokers = 1, true
			s.Send("fenced too", req)
		}
	})
	out = append(out, each("DescribeLogDirs", 1, 5, func(s *Session, v int16) {
		s.filled("a")
		ask := func(step string, topics ...kmsg.DescribeLogDirsRequestTopic) {
			req := withVersion(kmsg.NewPtrDescribeLogDirsRequest(), v)
			req.Topics = append([]kmsg.DescribeLogDirsRequestTopic{}, topics...)
			s.Send(step, req)
		}
		topic := func(name string, partitions ...int32) kmsg.DescribeLogDirsRequestTopic {
			return kmsg.DescribeLogDirsRequestTopic{Topic: name, Partitions: partitions}
		}
		s.Send("all", withVersion(kmsg.NewPtrDescribeLogDirsRequest(), v))
		ask("none")
		ask("both partitions", topic(s.Topic("a"), 0, 1))
		ask("one partition", topic(s.Topic("a"), 1))
		ask("a missing partition", topic(s.Topic("a"), 7))
		ask("a missing topic", topic(s.Topic("missing"), 0))
		ask("no partitions", topic(s.Topic("a")))
	})...)
	out = append(out, each("DescribeQuorum", 0, 2, func(s *Session, v int16) {
		ask := func(step, topic string, partitions ...int32) {
			req := withVersion(kmsg.NewPtrDescribeQuorumRequest(), v)
			t := kmsg.NewDescribeQuorumRequestTopic()
			t.Topic = topic
			for _, p := range partitions {
				rp := kmsg.NewDescribeQuorumRequestTopicPartition()
				rp.Partition = p
				t.Partitions = append(t.Partitions, rp)
			}
			req.Topics = append(req.Topics, t)
			s.Send(step, req)
		}
		ask("metadata", "__cluster_metadata", 0)
		ask("another partition", "__cluster_metadata", 1)
		ask("two partitions", "__cluster_metadata", 0, 1)
		ask("another topic", "x", 0)
		ask("no partitions", "__cluster_metadata")
		s.Send("no topics", withVersion(kmsg.NewPtrDescribeQuorumRequest(), v))
	})...)
	out = append(out, serial(each("UpdateFeatures", 0, 2, func(s *Session, v int16) {
		ask := func(step string, validate bool, updates ...kmsg.UpdateFeaturesRequestFeatureUpdate) {
			req := withVersion(kmsg.NewPtrUpdateFeaturesRequest(), v)
			req.TimeoutMillis, req.ValidateOnly, req.FeatureUpdates = 5000, validate, updates
			s.Send(step, req)
		}
		f := func(name string, level int16, downgrade bool, kind int8) kmsg.UpdateFeaturesRequestFeatureUpdate {
			return kmsg.UpdateFeaturesRequestFeatureUpdate{Feature: name, MaxVersionLevel: level, AllowDowngrade: downgrade, UpgradeType: kind}
		}
		ask("none", false)
		ask("unknown", false, f("no.such.feature", 1, false, 1))
		ask("unknown to 0", false, f("no.such.feature", 0, true, 2))
		ask("empty name", false, f("", 1, false, 1))
		ask("far too high", false, f("metadata.version", 99, false, 1))
		ask("negative", false, f("metadata.version", -1, false, 1))
		ask("too low", false, f("metadata.version", 1, true, 2))
		ask("level 0", false, f("metadata.version", 0, true, 2))
		ask("down without leave", false, f("metadata.version", 20, false, 1))
		ask("twice", false, f("metadata.version", 99, false, 1), f("metadata.version", 98, false, 1))
		ask("upgrade type 9", false, f("metadata.version", 99, false, 9))
		ask("two bad ones", false, f("metadata.version", 99, false, 1), f("no.such.feature", 1, false, 1))
		ask("as it is, validate only", true, f("metadata.version", 33, false, 1))
	}))...)
	out = append(out, each("UnregisterBroker", 0, 0, func(s *Session, v int16) {
		for _, id := range []int32{99, -1} {
			req := withVersion(kmsg.NewPtrUnregisterBrokerRequest(), v)
			req.BrokerID = id
			s.Send(fmt.Sprintf("broker %d", id), req)
		}
	})...)
	return out
}

// registration of a broker 77 that does not exist, as Kafka 4.4 would register.
func (s *Session) registration(v int16, id int32) *kmsg.BrokerRegistrationRequest {
	req := withVersion(kmsg.NewPtrBrokerRegistrationRequest(), v)
	d := s.Quiet(withVersion(kmsg.NewPtrDescribeClusterRequest(), 1)).(*kmsg.DescribeClusterResponse)
	req.BrokerID, req.ClusterID, req.IncarnationID = id, d.ClusterID, unknownID(7)
	l := kmsg.NewBrokerRegistrationRequestListener()
	l.Name, l.Host, l.Port = "PLAINTEXT", "127.0.0.1", 1
	req.Listeners = append(req.Listeners, l)
	for _, f := range []kmsg.BrokerRegistrationRequestFeature{
		{Name: "metadata.version", MinSupportedVersion: 7, MaxSupportedVersion: 33},
		{Name: "kraft.version", MaxSupportedVersion: 1},
		{Name: "transaction.version", MaxSupportedVersion: 2},
		{Name: "group.version", MaxSupportedVersion: 1},
		{Name: "eligible.leader.replicas.version", MaxSupportedVersion: 1},
		{Name: "share.version", MaxSupportedVersion: 2},
		{Name: "streams.version", MaxSupportedVersion: 1},
	} {
		req.Features = append(req.Features, f)
	}
	req.LogDirs = [][16]byte{unknownID(8)}
	req.PreviousBrokerEpoch = -1
	return req
}

func controllerCases() []Case {
	out := serial(each("BrokerRegistration", 0, 4, func(s *Session, v int16) {
		good := s.registration(v, 77)
		s.OnController()
		bad := *good
		bad.ClusterID = "AAAAAAAAAAAAAAAAAAAAAA"
		s.Send("another cluster", &bad)
		bad = *good
		bad.BrokerID = 1
		s.Send("an id in use", &bad)
		bad = *good
		bad.Features = nil
		s.Send("no features", &bad)
		bad = *good
		bad.BrokerID = -1
		s.Send("negative id", &bad)
		if v >= 1 {
			bad = *good
			bad.IsMigratingZkBroker = true
			s.Send("migrating", &bad)
		}
	}))
	out = append(out, serial(one("BrokerRegistration/life of a broker", func(s *Session) {
		req := s.registration(4, 77)
		s.OnController()
		resp, _ := s.Send("register", req).(*kmsg.BrokerRegistrationResponse)
		if resp == nil {
			return
		}
		beat := func(step string, epoch int64, fence, shutdown bool) {
			hb := withVersion(kmsg.NewPtrBrokerHeartbeatRequest(), 1)
			hb.BrokerID, hb.BrokerEpoch, hb.CurrentMetadataOffset, hb.WantFence, hb.WantShutdown = 77, epoch, 0, fence, shutdown
			s.Send(step, hb)
		}
		beat("stays fenced", resp.BrokerEpoch, true, false)
		beat("wants to be unfenced but lags behind", resp.BrokerEpoch, false, false)
		beat("stale epoch", resp.BrokerEpoch-1, true, false)
		alloc := kmsg.NewPtrAllocateProducerIDsRequest()
		alloc.BrokerID, alloc.BrokerEpoch = 77, resp.BrokerEpoch
		s.Send("producer ids", alloc)
		alloc.BrokerEpoch--
		s.Send("producer ids, stale epoch", alloc)
		s.OnBroker()
		d := withVersion(kmsg.NewPtrDescribeClusterRequest(), 2)
		d.EndpointType, d.IncludeFencedBrokers = 1, true
		s.Eventually("shown as fenced", d, func(r kmsg.Response) bool { return len(r.(*kmsg.DescribeClusterResponse).Brokers) == 2 })
		d.IncludeFencedBrokers = false
		s.Send("hidden", d)
		s.Send("not in metadata", metadataRequest(12))
		s.OnController()
		beat("wants to go", resp.BrokerEpoch, true, true)
		s.OnBroker()
		gone := kmsg.NewPtrUnregisterBrokerRequest()
		gone.BrokerID = 77
		s.Send("unregister", gone)
		d.IncludeFencedBrokers = true
		s.Eventually("gone", d, func(r kmsg.Response) bool { return len(r.(*kmsg.DescribeClusterResponse).Brokers) == 1 })
		s.Send("unregister again", gone)
	}))...)
	out = append(out, each("BrokerHeartbeat", 0, 2, func(s *Session, v int16) {
		s.OnController()
		for _, id := range []int32{99, -1} {
			req := withVersion(kmsg.NewPtrBrokerHeartbeatRequest(), v)
			req.BrokerID, req.BrokerEpoch = id, 5
			s.Send(fmt.Sprintf("broker %d", id), req)
		}
		req := withVersion(kmsg.NewPtrBrokerHeartbeatRequest(), v)
		req.BrokerID, req.BrokerEpoch = 1, 1<<50
		s.Send("epoch of the future", req)
	})...)
	out = append(out, each("AllocateProducerIds", 0, 0, func(s *Session, v int16) {
		s.OnController()
		for _, id := range []int32{99, -1, 1} {
			req := withVersion(kmsg.NewPtrAllocateProducerIDsRequest(), v)
			req.BrokerID, req.BrokerEpoch = id, 1<<50
			s.Send(fmt.Sprintf("broker %d", id), req)
		}
	})...)
	out = append(out, each("Controller/CreateTopics", 2, 7, func(s *Session, v int16) {
		s.OnController()
		s.Send("create", createRequest(v, false, newTopic{name: s.Topic("a"), partitions: 1, factor: 1}))
		s.Send("again", createRequest(v, false, newTopic{name: s.Topic("a"), partitions: 1, factor: 1}))
		s.Send("delete", deleteRequest(min(v, 5), s.Topic("a")))
	})...)
	return append(out, one("Controller/other requests", func(s *Session) {
		s.OnController()
		for _, x := range []served{{key: 0, low: 7}, {key: 2, low: 5}, {key: 3, low: 9}, {key: 21, low: 1}, {key: 22, low: 3}, {key: 23, low: 3}, {key: 35, low: 3}, {key: 61, low: 0}, {key: 74, low: 0}, {key: 75, low: 0}} {
			s.On(fmt.Sprintf("controller %d", x.key))
			req := kmsg.RequestForKey(x.key)
			req.SetVersion(x.low)
			s.Raw(fmt.Sprintf("key %d v%d", x.key, x.low), x.key, x.low, req.AppendTo(nil))
		}
	})...)
}
