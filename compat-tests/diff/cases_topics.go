package diff

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

type newTopic struct {
	name       string
	partitions int32
	factor     int16
	assign     [][]int32 // replicas of partition 0, 1, …
	skip       bool      // assignments start at partition 1
	configs    []string  // "key=value", "key" is a null value
}

func createRequest(v int16, validate bool, topics ...newTopic) *kmsg.CreateTopicsRequest {
	req := withVersion(kmsg.NewPtrCreateTopicsRequest(), v)
	req.TimeoutMillis, req.ValidateOnly = 10000, validate
	for _, n := range topics {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = n.name, n.partitions, n.factor
		for i, replicas := range n.assign {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), replicas
			if n.skip {
				a.Partition++
			}
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
		for _, kv := range n.configs {
			k, val, has := strings.Cut(kv, "=")
			c := kmsg.NewCreateTopicsRequestTopicConfig()
			c.Name = k
			if has {
				c.Value = &val
			}
			t.Configs = append(t.Configs, c)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

func createTopicsCases() []Case {
	var out []Case
	variants := []struct {
		name string
		t    newTopic
	}{
		{"plain", newTopic{partitions: 2, factor: 1}},
		{"defaults", newTopic{partitions: -1, factor: -1}},
		{"no partitions", newTopic{partitions: 0, factor: 1}},
		{"partitions -2", newTopic{partitions: -2, factor: 1}},
		{"factor 0", newTopic{partitions: 1, factor: 0}},
		{"factor -2", newTopic{partitions: 1, factor: -2}},
		{"factor 2", newTopic{partitions: 1, factor: 2}},
		{"assigned", newTopic{partitions: -1, factor: -1, assign: [][]int32{{1}, {1}}}},
		{"assigned to an unknown broker", newTopic{partitions: -1, factor: -1, assign: [][]int32{{9}}}},
		{"assigned twice", newTopic{partitions: -1, factor: -1, assign: [][]int32{{1, 1}}}},
		{"assigned to nobody", newTopic{partitions: -1, factor: -1, assign: [][]int32{{}}}},
		{"assigned unevenly", newTopic{partitions: -1, factor: -1, assign: [][]int32{{1}, {1, 9}}}},
		{"assigned with a gap", newTopic{partitions: -1, factor: -1, assign: [][]int32{{1}}, skip: true}},
		{"assigned with a count", newTopic{partitions: 1, factor: -1, assign: [][]int32{{1}}}},
		{"assigned with a factor", newTopic{partitions: -1, factor: 1, assign: [][]int32{{1}}}},
		{"good config", newTopic{partitions: 1, factor: 1, configs: []string{"retention.ms=1000", "cleanup.policy=compact"}}},
		{"unknown config", newTopic{partitions: 1, factor: 1, configs: []string{"no.such.key=1"}}},
		{"bad config", newTopic{partitions: 1, factor: 1, configs: []string{"retention.ms=soon"}}},
		{"config out of range", newTopic{partitions: 1, factor: 1, configs: []string{"segment.bytes=1"}}},
		{"null config", newTopic{partitions: 1, factor: 1, configs: []string{"retention.ms"}}},
		{"config twice", newTopic{partitions: 1, factor: 1, configs: []string{"retention.ms=1", "retention.ms=2"}}},
		{"bad policy", newTopic{partitions: 1, factor: 1, configs: []string{"cleanup.policy=burn"}}},
		{"both policies", newTopic{partitions: 1, factor: 1, configs: []string{"cleanup.policy=compact,delete"}}},
		{"empty policy", newTopic{partitions: 1, factor: 1, configs: []string{"cleanup.policy="}}},
		{"bad codec", newTopic{partitions: 1, factor: 1, configs: []string{"compression.type=brotli"}}},
		{"min isr 0", newTopic{partitions: 1, factor: 1, configs: []string{"min.insync.replicas=0"}}},
		{"bool", newTopic{partitions: 1, factor: 1, configs: []string{"unclean.leader.election.enable=maybe"}}},
		{"10001 partitions", newTopic{partitions: 10001, factor: 1}},
	}
	for _, x := range variants {
		for _, validate := range []bool{false, true} {
			if !validate && x.name == "10001 partitions" {
				continue
			}
			name := "CreateTopics/" + x.name
			if validate {
				name += " validate only"
			}
			out = append(out, each(name, 2, 7, func(s *Session, v int16) {
				t := x.t
				t.name = s.Topic("a")
				resp := s.Send("answer", createRequest(v, validate, t))
				if r, ok := resp.(*kmsg.CreateTopicsResponse); ok && len(r.Topics) == 1 && r.Topics[0].ErrorCode == 0 && !validate {
					s.waitTopic(t.name, 1)
				}
				s.Send("topic", metadataRequest(7, t.name))
			})...)
		}
	}
	long := strings.Repeat("y", 250)
	names := map[string]string{"empty": "", "dot": ".", "dots": "..", "slash": "a/b", "space": "a b", "250": long, "metadata": "__cluster_metadata"}
	for _, name := range sortedKeys(names) {
		topic := names[name]
		out = append(out, each("CreateTopics/name "+name, 2, 7, func(s *Session, v int16) {
			s.Send("answer", createRequest(v, false, newTopic{name: topic, partitions: 1, factor: 1}))
		})...)
	}
	out = append(out, each("CreateTopics/exists", 2, 7, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.Send("again", createRequest(v, false, newTopic{name: s.Topic("a"), partitions: 1, factor: 1}))
		s.Send("again, validate only", createRequest(v, true, newTopic{name: s.Topic("a"), partitions: 1, factor: 1}))
	})...)
	out = append(out, each("CreateTopics/twice in one request", 2, 7, func(s *Session, v int16) {
		n := newTopic{name: s.Topic("a"), partitions: 1, factor: 1}
		s.Send("answer", createRequest(v, false, n, n, newTopic{name: s.Topic("b"), partitions: 1, factor: 1}))
	})...)
	out = append(out, each("CreateTopics/names that collide", 2, 7, func(s *Session, v int16) {
		s.CreateTopic("a.b", 1)
		s.Send("underscore", createRequest(v, false, newTopic{name: s.Topic("a_b"), partitions: 1, factor: 1}))
		s.Send("together", createRequest(v, false, newTopic{name: s.Topic("c.d"), partitions: 1, factor: 1}, newTopic{name: s.Topic("c_d"), partitions: 1, factor: 1}))
	})...)
	out = append(out, each("CreateTopics/some good, some bad", 2, 7, func(s *Session, v int16) {
		s.Send("answer", createRequest(v, false,
			newTopic{name: s.Topic("good"), partitions: 1, factor: 1}, newTopic{name: s.Topic("bad"), partitions: 0, factor: 1}, newTopic{name: "a/b", partitions: 1, factor: 1}))
	})...)
	out = append(out, each("CreateTopics/no topics", 2, 7, func(s *Session, v int16) { s.Send("answer", createRequest(v, false)) })...)
	return out
}

func deleteRequest(v int16, names ...string) *kmsg.DeleteTopicsRequest {
	req := withVersion(kmsg.NewPtrDeleteTopicsRequest(), v)
	req.TimeoutMillis = 10000
	for _, n := range names {
		if v < 6 {
			req.TopicNames = append(req.TopicNames, n)
			continue
		}
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &n
		req.Topics = append(req.Topics, t)
	}
	return req
}

func deleteTopicsCases() []Case {
	out := each("DeleteTopics/by name", 1, 6, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.TopicID("a")
		s.Send("known and unknown", deleteRequest(v, s.Topic("a"), s.Topic("missing")))
		s.Eventually("gone", metadataRequest(7, s.Topic("a")), func(r kmsg.Response) bool { return r.(*kmsg.MetadataResponse).Topics[0].ErrorCode == 3 })
		s.Send("again", deleteRequest(v, s.Topic("a")))
		s.CreateTopic("a", 1)
		s.Note("new id differs", s.TopicID("a") != [16]byte{})
		s.Send("twice in one request", deleteRequest(v, s.Topic("a"), s.Topic("a")))
		s.Send("invalid names", deleteRequest(v, "a/b", "", ".."))
		s.Send("none", deleteRequest(v))
	})
	return append(out, one("DeleteTopics/by id v6", func(s *Session) {
		s.CreateTopic("a", 1)
		id := s.TopicID("a")
		req := withVersion(kmsg.NewPtrDeleteTopicsRequest(), 6)
		req.TimeoutMillis = 10000
		add := func(name *string, id [16]byte) {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic, t.TopicID = name, id
			req.Topics = append(req.Topics, t)
		}
		add(nil, unknownID(1))
		s.Send("unknown", req)
		req.Topics = nil
		add(nil, [16]byte{})
		s.Send("neither", req)
		req.Topics = nil
		add(ptr(s.Topic("a")), id)
		s.Send("both", req)
		req.Topics = nil
		add(nil, id)
		add(nil, id)
		s.Send("twice", req)
		req.Topics = nil
		add(ptr(s.Topic("a")), [16]byte{})
		add(nil, id)
		s.Send("by name and by id", req)
		req.Topics = nil
		add(nil, id)
		s.Send("by id", req)
		s.Eventually("gone", metadataRequest(7, s.Topic("a")), func(r kmsg.Response) bool { return r.(*kmsg.MetadataResponse).Topics[0].ErrorCode == 3 })
	})...)
}

func partitionsRequest(v int16, topic string, count int32, validate bool, assign ...[]int32) *kmsg.CreatePartitionsRequest {
	req := withVersion(kmsg.NewPtrCreatePartitionsRequest(), v)
	req.TimeoutMillis, req.ValidateOnly = 10000, validate
	t := kmsg.NewCreatePartitionsRequestTopic()
	t.Topic, t.Count = topic, count
	for _, replicas := range assign {
		a := kmsg.NewCreatePartitionsRequestTopicAssignment()
		a.Replicas = replicas
		t.Assignment = append(t.Assignment, a)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func createPartitionsCases() []Case {
	return each("CreatePartitions", 0, 3, func(s *Session, v int16) {
		s.CreateTopic("a", 2)
		a := s.Topic("a")
		s.Send("same", partitionsRequest(v, a, 2, false))
		s.Send("fewer", partitionsRequest(v, a, 1, false))
		s.Send("none", partitionsRequest(v, a, 0, false))
		s.Send("negative", partitionsRequest(v, a, -1, false))
		s.Send("validate only", partitionsRequest(v, a, 3, true))
		s.Send("unknown", partitionsRequest(v, s.Topic("missing"), 3, false))
		s.Send("invalid name", partitionsRequest(v, "a/b", 3, false))
		s.Send("assigned", partitionsRequest(v, a, 3, false, []int32{1}))
		s.Send("assigned too many", partitionsRequest(v, a, 4, false, []int32{1}, []int32{1}))
		s.Send("assigned too few", partitionsRequest(v, a, 6, false, []int32{1}))
		s.Send("assigned to an unknown broker", partitionsRequest(v, a, 4, false, []int32{7}))
		s.Send("assigned to nobody", partitionsRequest(v, a, 4, false, []int32{}))
		s.Send("assigned with another factor", partitionsRequest(v, a, 4, false, []int32{1, 2}))
		s.Send("more", partitionsRequest(v, a, 5, false))
		s.waitTopic(a, 5)
		s.Send("topic", metadataRequest(7, a))
		twice := partitionsRequest(v, a, 6, false)
		twice.Topics = append(twice.Topics, twice.Topics[0])
		s.Send("twice", twice)
		twice.Topics = nil
		s.Send("no topics", twice)
		s.Send("10001 more", partitionsRequest(v, a, 10006, true))
	})
}
