package diff

import (
	"encoding/binary"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// sample is a request of a key and version with something in its arrays, that changes nothing on the broker.
func (s *Session) sample(key, version int16) []byte {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	switch r := req.(type) {
	case *kmsg.ProduceRequest:
		*r = *produceRequest(version, s.Topic("missing"), 0, 1, []byte("no batch"))
	case *kmsg.FetchRequest:
		r.Topics = []kmsg.FetchRequestTopic{{Topic: s.Topic("missing"), Partitions: []kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}}}
		r.SessionEpoch, r.ReplicaID, r.ReplicaState.ID = -1, -1, -1
	case *kmsg.MetadataRequest:
		name := s.Topic("missing")
		if version < 4 {
			name = "a/b" // these versions create the topic that they name
		}
		*r = *metadataRequest(version, name)
	case *kmsg.ListOffsetsRequest:
		*r = *listOffsets(version, s.Topic("missing"), 0, -1)
	case *kmsg.CreateTopicsRequest:
		*r = *createRequest(version, true, newTopic{name: s.Topic("a"), partitions: 1, factor: 1, configs: []string{"retention.ms=1"}})
	case *kmsg.DeleteTopicsRequest:
		*r = *deleteRequest(version, s.Topic("missing"))
	case *kmsg.DescribeConfigsRequest:
		*r = *describeConfigs(version, topicResource, s.Topic("missing"), "a", "b")
	case *kmsg.AlterConfigsRequest:
		*r = *alterConfigs(version, true, topicResource, s.Topic("missing"), "retention.ms=1")
	case *kmsg.IncrementalAlterConfigsRequest:
		*r = *incremental(version, true, topicResource, s.Topic("missing"), "set retention.ms=1")
	case *kmsg.CreatePartitionsRequest:
		*r = *partitionsRequest(version, s.Topic("missing"), 3, true)
	case *kmsg.DescribeProducersRequest:
		*r = *describeProducers(s.Topic("missing"), 0)
	case *kmsg.ApiVersionsRequest:
		r.ClientSoftwareName, r.ClientSoftwareVersion = "diff", "1"
	case *kmsg.UnregisterBrokerRequest:
		r.BrokerID = 99
	case *kmsg.BrokerRegistrationRequest:
		r.ClusterID = "AAAAAAAAAAAAAAAAAAAAAA"
	case *kmsg.BrokerHeartbeatRequest:
		r.BrokerID = 99
	case *kmsg.AllocateProducerIDsRequest:
		r.BrokerID = 99
	case *kmsg.AlterPartitionRequest:
		r.BrokerID = 99
	case *kmsg.AssignReplicasToDirsRequest:
		r.BrokerID = 99
	case *kmsg.ElectLeadersRequest:
		r.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: s.Topic("missing"), Partitions: []int32{0, 1}}}
	case *kmsg.AlterPartitionAssignmentsRequest:
		r.Topics = []kmsg.AlterPartitionAssignmentsRequestTopic{{Topic: s.Topic("missing"), Partitions: []kmsg.AlterPartitionAssignmentsRequestTopicPartition{{Replicas: []int32{1}}}}}
	case *kmsg.ListPartitionReassignmentsRequest:
		r.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{{Topic: s.Topic("missing"), Partitions: []int32{0}}}
	case *kmsg.OffsetCommitRequest:
		*r = *commitRequest(version, s.Group("missing"), s.Topic("missing"))
		r.Generation, r.MemberID = 1, "nobody"
		r.Topics[0].TopicID = unknownID(1)
	case *kmsg.OffsetFetchRequest:
		r.Group = s.Group("missing")
		r.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: s.Topic("missing"), Partitions: []int32{0, 1}}}
		r.Groups = []kmsg.OffsetFetchRequestGroup{{Group: r.Group, MemberEpoch: -1, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: s.Topic("missing"), TopicID: unknownID(1), Partitions: []int32{0, 1}}}}}
	case *kmsg.FindCoordinatorRequest:
		r.CoordinatorKey, r.CoordinatorKeys = s.Group("missing"), []string{s.Group("missing")}
	case *kmsg.JoinGroupRequest:
		*r = *s.classic("m", "missing", version, s.Topic("missing")).joinRequest()
		r.MemberID = "nobody"
	case *kmsg.SyncGroupRequest:
		r.Group, r.MemberID, r.GroupAssignment = s.Group("missing"), "nobody", []kmsg.SyncGroupRequestGroupAssignment{{MemberID: "nobody", MemberAssignment: []byte("x")}}
	case *kmsg.HeartbeatRequest:
		r.Group, r.MemberID = s.Group("missing"), "nobody"
	case *kmsg.LeaveGroupRequest:
		r.Group, r.MemberID, r.Members = s.Group("missing"), "nobody", []kmsg.LeaveGroupRequestMember{{MemberID: "nobody"}}
	case *kmsg.DescribeGroupsRequest:
		r.Groups = []string{s.Group("missing")}
	case *kmsg.DeleteGroupsRequest:
		r.Groups = []string{s.Group("missing")}
	case *kmsg.OffsetDeleteRequest:
		r.Group = s.Group("missing")
		r.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: s.Topic("missing"), Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{Partition: 1}}}}
	case *kmsg.ConsumerGroupHeartbeatRequest:
		*r = *s.consumer("c", "missing", version, s.Topic("missing")).full()
		r.MemberEpoch = 1
		r.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{{TopicID: unknownID(1), Partitions: []int32{0, 1}}}
	case *kmsg.ConsumerGroupDescribeRequest:
		r.Groups = []string{s.Group("missing")}
	case *kmsg.InitProducerIDRequest:
		r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 1000, 5, -1
	}
	return req.AppendTo(nil)
}

// malformedCases damage a good body of every key and version: cut short, bytes behind, arrays that claim too much, tags out of order.
func malformedCases() []Case {
	var out []Case
	for _, k := range servedKeys() {
		on := func(s *Session, step string) {
			if k.controller {
				s.OnController()
			}
			s.On(step)
		}
		name := fmt.Sprintf("Malformed/%s", kmsg.NameForKey(k.key))
		out = append(out, each(name, k.low, k.high, func(s *Session, v int16) {
			body := s.sample(k.key, v)
			send := func(step string, b []byte) {
				on(s, step)
				s.Raw(step, k.key, v, b)
			}
			send("good", body)
			cuts := map[int]bool{0: true, 1: true, len(body) / 4: true, len(body) / 2: true, 3 * len(body) / 4: true, len(body) - 1: true}
			for cut := range len(body) {
				if cuts[cut] {
					send(fmt.Sprintf("cut to %d of %d", cut, len(body)), body[:cut])
				}
			}
			send("a byte behind", append(append([]byte{}, body...), 0))
			send("bytes behind", append(append([]byte{}, body...), 1, 2, 3, 4))
			flipAll := func(step string, b byte) {
				damaged := make([]byte, len(body))
				for i := range damaged {
					damaged[i] = b
				}
				send(step, damaged)
			}
			flipAll("all 0xff", 0xff)
			flipAll("all 0x7f", 0x7f)
			req := kmsg.RequestForKey(k.key)
			req.SetVersion(v)
			if req.IsFlexible() && len(body) > 0 && body[len(body)-1] == 0 {
				front := body[:len(body)-1]
				tags := func(step string, t ...byte) { send(step, append(append([]byte{}, front...), t...)) }
				tags("an unknown tag", 1, 99, 2, 7, 7)
				tags("an unknown tag twice", 2, 99, 1, 7, 99, 1, 7)
				tags("tags out of order", 2, 99, 1, 7, 98, 1, 7)
				tags("a tag longer than the body", 1, 99, 100, 7)
				tags("more tags than bytes", 100, 99, 1, 7)
				tags("2^31 tags", 0xff, 0xff, 0xff, 0xff, 0x07)
				tags("a varint that does not end", 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
			}
		})...)
	}
	for _, k := range servedKeys() {
		if k.key == 18 {
			continue
		}
		out = append(out, one(fmt.Sprintf("Malformed/%s versions beyond", kmsg.NameForKey(k.key)), func(s *Session) {
			for _, v := range []int16{k.low - 1, k.high + 1, -1, 32767} {
				if k.key == 22 && v == 6 {
					continue // unstable in Kafka, unknown to the decoder
				}
				step := fmt.Sprintf("v%d", v)
				if k.controller {
					s.OnController()
				}
				s.On(step)
				s.Raw(step, k.key, v, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
			}
		})...)
	}
	return append(out, one("Malformed/unknown keys", func(s *Session) {
		for _, key := range []int16{4, 5, 6, 7, 95, 100, 1000, 32767, -1, -32768} {
			s.On(fmt.Sprint(key))
			s.Raw(fmt.Sprintf("key %d", key), key, 0, []byte{0, 0, 0, 0})
		}
	})...)
}

// frameCases send what is no request at all.
func frameCases() []Case {
	size := func(n uint32, rest ...byte) []byte { return append(binary.BigEndian.AppendUint32(nil, n), rest...) }
	frames := map[string][]byte{
		"size 0": size(0), "size -1": size(0xffffffff), "size min": size(0x80000000), "size over the limit": size(104857601), "size max": size(0x7fffffff),
		"size 1": size(1, 0), "size 4": size(4, 0, 18, 0, 0), "size 8, no client id": size(8, 0, 18, 0, 0, 0, 0, 0, 1),
		"client id null": size(10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff), "client id length -2": size(10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xfe), "client id longer than the frame": size(11, 0, 18, 0, 0, 0, 0, 0, 1, 0, 9, 'a'),
		"client id is no text": size(12, 0, 18, 0, 0, 0, 0, 0, 1, 0, 2, 0xff, 0xfe),
		"http":                 []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
		"tls hello":            {0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3},
		"zeros":                make([]byte, 64),
	}
	var out []Case
	for _, name := range sortedKeys(frames) {
		out = append(out, one("Frame/"+name, func(s *Session) { s.Frame("answer", frames[name]) })...)
		if name != "http" {
			out = append(out, one("Frame/"+name+" to the controller", func(s *Session) {
				s.OnController()
				s.Frame("answer", frames[name])
			})...)
		}
	}
	out = append(out, one("Frame/header tags", func(s *Session) {
		head := func(tags ...byte) []byte {
			b := s.header(3, 9, false)
			return append(append(b, tags...), 1, 0, 0, 0, 0)
		}
		kinds := map[string][]byte{"none": {0}, "one": {1, 5, 1, 9}, "claims more": {9}, "endless": {0xff, 0xff, 0xff, 0xff, 0xff}}
		for _, name := range sortedKeys(kinds) {
			tags := kinds[name]
			s.On(name)
			b := head(tags...)
			_, err := s.exchange(b)
			s.record(name, fmt.Sprint(err))
		}
	})...)
	return append(out, one("Frame/several requests in one write", func(s *Session) {
		var b []byte
		for range 5 {
			req := withVersion(kmsg.NewPtrMetadataRequest(), 1)
			req.Topics = []kmsg.MetadataRequestTopic{}
			one := req.AppendTo(s.header(3, 1, false))
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(one))), one...)
		}
		c := s.dial()
		if _, err := c.Write(b); err != nil {
			s.must(err)
		}
		for range 5 {
			p, err := s.receive()
			s.must(err)
			s.Note("correlation id", binary.BigEndian.Uint32(p))
		}
	})...)
}
