package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersionsCases() []Case {
	out := each("ApiVersions/plain", 0, 5, func(s *Session, v int16) {
		req := withVersion(kmsg.NewPtrApiVersionsRequest(), v)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "diff", "1.0"
		s.Send("answer", req)
	})
	out = append(out, each("ApiVersions/controller", 0, 5, func(s *Session, v int16) {
		s.OnController()
		req := withVersion(kmsg.NewPtrApiVersionsRequest(), v)
		req.ClientSoftwareName, req.ClientSoftwareVersion = "diff", "1.0"
		s.Send("answer", req)
	})...)
	for _, bad := range [][2]string{{"", "1"}, {"a", ""}, {"bad name", "1"}, {"-a", "1"}, {"a-", "1"}, {"a.b-c", "1.2-rc1"}, {"a", "v1/2"}, {"ü", "1"}} {
		out = append(out, each("ApiVersions/software "+bad[0]+"|"+bad[1], 3, 5, func(s *Session, v int16) {
			req := withVersion(kmsg.NewPtrApiVersionsRequest(), v)
			req.ClientSoftwareName, req.ClientSoftwareVersion = bad[0], bad[1]
			s.Send("answer", req)
			s.Note("connection", s.alive())
		})...)
	}
	for _, v := range []int16{6, 7, 100, 32767, -1} {
		out = append(out, one(caseName("ApiVersions/unknown version", v), func(s *Session) {
			for _, flexible := range []bool{false, true} {
				s.On(map[bool]string{false: "v1 header", true: "v2 header"}[flexible])
				payload, err := s.exchange(append(s.header(18, v, flexible), 1, 2, 3))
				resp := kmsg.NewPtrApiVersionsResponse()
				if err == nil {
					err = s.decode(payload, resp, 0)
				}
				s.recordAnswer("answer", resp, err)
				s.Note("connection", s.alive())
			}
		})...)
	}
	for _, c := range []struct {
		name    string
		cluster string
		node    int32
	}{{"none", "", -1}, {"wrong cluster", "AAAAAAAAAAAAAAAAAAAAAA", 1}, {"wrong node", "own", 99}, {"right", "own", 1}, {"cluster only", "own", -1}, {"node only", "", 1}} {
		out = append(out, one("ApiVersions/cluster check "+c.name+" v5", func(s *Session) {
			req := withVersion(kmsg.NewPtrApiVersionsRequest(), 5)
			req.ClientSoftwareName, req.ClientSoftwareVersion = "diff", "1.0"
			cluster := c.cluster
			if cluster == "own" {
				m := s.Quiet(withVersion(kmsg.NewPtrDescribeClusterRequest(), 0)).(*kmsg.DescribeClusterResponse)
				cluster = m.ClusterID
			}
			if cluster != "" {
				setField(req, "ClusterID", &cluster)
			}
			setField(req, "NodeID", c.node)
			s.Send("answer", req)
		})...)
	}
	return out
}

func metadataRequest(v int16, topics ...string) *kmsg.MetadataRequest {
	req := withVersion(kmsg.NewPtrMetadataRequest(), v)
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	return req
}

func metadataCases() []Case {
	out := each("Metadata/all topics", 0, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 2)
		s.TopicID("a")
		req := metadataRequest(v)
		if v > 0 {
			req.Topics = nil
		}
		s.Send("answer", req)
	})
	out = append(out, each("Metadata/no topics", 1, 13, func(s *Session, v int16) { s.Send("answer", metadataRequest(v)) })...)
	out = append(out, each("Metadata/known and unknown, no auto-create", 4, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		s.TopicID("a")
		s.Send("answer", metadataRequest(v, s.Topic("a"), s.Topic("missing"), s.Topic("a")))
		s.Send("still missing", metadataRequest(v, s.Topic("missing")))
	})...)
	out = append(out, each("Metadata/auto-create", 0, 13, func(s *Session, v int16) {
		req := metadataRequest(v, s.Topic("new"))
		req.AllowAutoTopicCreation = true
		s.Send("first", req)
		s.Eventually("later", req, func(r kmsg.Response) bool {
			t := r.(*kmsg.MetadataResponse).Topics
			return len(t) == 1 && t[0].ErrorCode == 0 && len(t[0].Partitions) > 0 && t[0].Partitions[0].ErrorCode == 0
		})
	})...)
	names := map[string]string{"empty": "", "dot": ".", "dots": "..", "slash": "a/b", "space": "a b", "umlaut": "ä", "249": strings.Repeat("x", 249), "250": strings.Repeat("x", 250)}
	for _, name := range sortedKeys(names) {
		topic := names[name]
		versions := []int16{1, 5, 9, 12, 13}
		for _, v := range versions {
			for _, create := range []bool{false, true} {
				if v < 4 && !create || name == "249" && create {
					continue
				}
				out = append(out, one(caseName("Metadata/name "+name+map[bool]string{true: " auto-create"}[create], v), func(s *Session) {
					req := metadataRequest(v, topic)
					req.AllowAutoTopicCreation = create
					s.Send("answer", req)
				})...)
			}
		}
	}
	out = append(out, each("Metadata/null name", 10, 13, func(s *Session, v int16) {
		req := metadataRequest(v)
		req.Topics = append(req.Topics, kmsg.NewMetadataRequestTopic())
		s.Send("answer", req)
	})...)
	out = append(out, each("Metadata/by id", 10, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		known := kmsg.NewMetadataRequestTopic()
		known.TopicID = s.TopicID("a")
		unknown := kmsg.NewMetadataRequestTopic()
		unknown.TopicID = unknownID(1)
		req := metadataRequest(v)
		req.Topics = append(req.Topics, known, unknown)
		s.Send("both", req)
		req.Topics = req.Topics[:1]
		s.Send("known", req)
		req.Topics[0].Topic = ptr(s.Topic("a"))
		s.Send("id and name", req)
		req.Topics[0].Topic = ptr(s.Topic("other"))
		s.Send("id and another name", req)
	})...)
	out = append(out, each("Metadata/authorized operations", 8, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.TopicID("a")
		req := metadataRequest(v, s.Topic("a"), s.Topic("missing"))
		req.IncludeTopicAuthorizedOperations = true
		req.IncludeClusterAuthorizedOperations = v <= 10
		s.Send("answer", req)
	})...)
	out = append(out, each("DescribeTopicPartitions/topics", 0, 0, func(s *Session, v int16) {
		s.CreateTopic("a", 3)
		s.CreateTopic("b", 2)
		s.TopicID("a")
		s.TopicID("b")
		ask := func(step string, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, names ...string) {
			req := withVersion(kmsg.NewPtrDescribeTopicPartitionsRequest(), v)
			req.ResponsePartitionLimit, req.Cursor = limit, cursor
			for _, n := range names {
				t := kmsg.NewDescribeTopicPartitionsRequestTopic()
				t.Topic = n
				req.Topics = append(req.Topics, t)
			}
			s.Send(step, req)
		}
		at := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
			return &kmsg.DescribeTopicPartitionsRequestCursor{Topic: topic, Partition: partition}
		}
		a, b := s.Topic("a"), s.Topic("b")
		ask("both", 2000, nil, a, b)
		ask("with a missing one", 2000, nil, a, s.Topic("missing"))
		ask("limit 2", 2, nil, a, b)
		ask("limit 3", 3, nil, a, b)
		ask("limit 4", 4, nil, b, a)
		ask("limit 0", 0, nil, a, b)
		ask("limit -1", -1, nil, a, b)
		ask("cursor in a", 2000, at(a, 1), a, b)
		ask("cursor at b", 2000, at(b, 0), a, b)
		ask("cursor past the end of a", 2000, at(a, 7), a, b)
		ask("cursor at a missing topic", 2000, at(s.Topic("aa"), 0), a, b)
		ask("negative cursor", 2000, at(a, -1), a, b)
		ask("invalid name", 2000, nil, "a/b", "..")
		ask("empty name", 2000, nil, "a/b", "")
		ask("twice", 2000, nil, a, a)
	})...)
	out = append(out, one("DescribeTopicPartitions/all", func(s *Session) {
		s.CreateTopic("a", 1)
		s.TopicID("a")
		req := withVersion(kmsg.NewPtrDescribeTopicPartitionsRequest(), 0)
		req.ResponsePartitionLimit = 2000
		s.Send("answer", req)
	})...)
	return out
}
