package diff

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetch asks for one partition of a topic of the case from an offset, without waiting; by id from v13 on.
func (s *Session) fetch(v int16, name string, partition int32, offset int64) *kmsg.FetchRequest {
	req := withVersion(kmsg.NewPtrFetchRequest(), v)
	req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = -1, 0, 0, 50<<20, -1
	req.ReplicaState.ID = -1
	s.addFetch(req, name, partition, offset)
	return req
}

func (s *Session) addFetch(req *kmsg.FetchRequest, name string, partition int32, offset int64) *kmsg.FetchRequestTopicPartition {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch, p.LogStartOffset = partition, offset, 1<<20, -1, -1, -1
	for i := range req.Topics {
		if req.Topics[i].Topic == s.Topic(name) {
			req.Topics[i].Partitions = append(req.Topics[i].Partitions, p)
			return &req.Topics[i].Partitions[len(req.Topics[i].Partitions)-1]
		}
	}
	t := kmsg.NewFetchRequestTopic()
	t.Topic = s.Topic(name)
	if req.Version >= 13 {
		t.TopicID = s.TopicID(name)
	}
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return &req.Topics[len(req.Topics)-1].Partitions[0]
}

// filled creates a topic with two batches of three records in partition 0 (offsets 0-5), one compressed, and nothing in partition 1.
func (s *Session) filled(name string) {
	s.CreateTopic(name, 2)
	s.Produce(name, 0, spec{records: records("a", "b", "c")}.batch())
	s.Produce(name, 0, spec{records: records("d", "e", strings.Repeat("f", 200)), codec: 3, baseTime: baseTime + 1000}.batch())
}

func fetchCases() []Case {
	out := each("Fetch/offsets", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		for _, offset := range []int64{0, 1, 3, 5, 6, 7, -1, 1 << 40} {
			s.Send(fmt.Sprintf("from %d", offset), s.fetch(v, "a", 0, offset))
		}
		s.Send("empty partition", s.fetch(v, "a", 1, 0))
		s.Send("partition that is not there", s.fetch(v, "a", 9, 0))
		s.Send("negative partition", s.fetch(v, "a", -1, 0))
	})
	out = append(out, each("Fetch/limits", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		s.filled("b")
		for _, n := range []int32{0, 1, 100, 150, 1000, -1} {
			req := s.fetch(v, "a", 0, 0)
			req.Topics[0].Partitions[0].PartitionMaxBytes = n
			s.Send(fmt.Sprintf("partition max bytes %d", n), req)
			req = s.fetch(v, "a", 0, 0)
			s.addFetch(req, "b", 0, 0)
			s.addFetch(req, "b", 1, 0)
			req.MaxBytes = n
			s.Send(fmt.Sprintf("max bytes %d", n), req)
		}
		req := s.fetch(v, "a", 0, 6)
		s.addFetch(req, "b", 0, 3)
		req.MinBytes, req.MaxWaitMillis = 1, 300
		s.Send("min bytes are there in another partition", req)
		req = s.fetch(v, "a", 0, 6)
		req.MinBytes, req.MaxWaitMillis = 1, 50
		s.Send("min bytes are not there", req)
		req.Topics[0].Partitions[0].FetchOffset = 99
		req.MaxWaitMillis = 5000
		s.Send("an error does not wait", req)
		req = s.fetch(v, "a", 0, 0)
		req.MinBytes, req.MaxWaitMillis = -1, -1
		s.Send("negative wait", req)
	})...)
	out = append(out, each("Fetch/unknown topics", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		req := s.fetch(v, "a", 0, 0)
		unknown := kmsg.NewFetchRequestTopic()
		unknown.Topic, unknown.TopicID = s.Topic("missing"), unknownID(1)
		p := kmsg.NewFetchRequestTopicPartition()
		p.PartitionMaxBytes, p.CurrentLeaderEpoch, p.LastFetchedEpoch = 1000, -1, -1
		unknown.Partitions = append(unknown.Partitions, p)
		req.Topics = append(req.Topics, unknown)
		s.Send("known and unknown", req)
		req.Topics = req.Topics[1:]
		s.Send("unknown", req)
		req.Topics[0].TopicID = [16]byte{}
		req.Topics[0].Topic = ""
		s.Send("no name, zero id", req)
		req.Topics[0].Partitions = nil
		s.Send("no partitions", req)
		req.Topics = nil
		s.Send("no topics", req)
	})...)
	out = append(out, each("Fetch/leader epochs", 9, 18, func(s *Session, v int16) {
		s.filled("a")
		for _, epoch := range []int32{0, 1, -1, -2} {
			req := s.fetch(v, "a", 0, 0)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			s.Send(fmt.Sprintf("current leader epoch %d", epoch), req)
		}
		if v < 12 {
			return
		}
		for _, epoch := range []int32{0, 1, -1, -2} {
			for _, offset := range []int64{0, 3, 6, 7, 8} {
				req := s.fetch(v, "a", 0, offset)
				req.Topics[0].Partitions[0].LastFetchedEpoch = epoch
				s.Send(fmt.Sprintf("last fetched epoch %d at %d", epoch, offset), req)
			}
		}
	})...)
	out = append(out, each("Fetch/isolation and rack", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		for _, level := range []int8{0, 1, 2, -1} {
			req := s.fetch(v, "a", 0, 0)
			req.IsolationLevel = level
			s.Send(fmt.Sprintf("isolation %d", level), req)
		}
		req := s.fetch(v, "a", 0, 0)
		req.Rack = "r1"
		s.Send("rack", req)
		req = s.fetch(v, "a", 0, 0)
		req.Topics[0].Partitions[0].LogStartOffset = 3
		s.Send("log start offset of a consumer", req)
	})...)
	out = append(out, each("Fetch/partition twice", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		req := s.fetch(v, "a", 0, 0)
		s.addFetch(req, "a", 0, 3)
		s.Send("answer", req)
	})...)
	out = append(out, each("Fetch/after the log start", 4, 18, func(s *Session, v int16) {
		s.filled("a")
		req := withVersion(kmsg.NewPtrDeleteRecordsRequest(), 1)
		req.TimeoutMillis = 5000
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = s.Topic("a")
		t.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 4}}
		req.Topics = append(req.Topics, t)
		s.Send("delete", req)
		for _, offset := range []int64{0, 3, 4, 5} {
			s.Send(fmt.Sprintf("from %d", offset), s.fetch(v, "a", 0, offset))
		}
	})...)
	return append(out, one("Fetch/segments", func(s *Session) {
		s.CreateTopic("a", 1, "segment.bytes=1048576")
		for range 5 {
			s.Produce("a", 0, spec{records: records(strings.Repeat("x", 400000))}.batch())
		}
		for offset := range int64(6) {
			s.read(fmt.Sprintf("from %d", offset), "a", 0, offset)
		}
		req := s.fetch(11, "a", 0, 0)
		req.Topics[0].Partitions[0].PartitionMaxBytes = 10 << 20
		s.Send("all", req)
	})...)
}

func fetchSessionCases() []Case {
	return each("Fetch/sessions", 7, 18, func(s *Session, v int16) {
		s.filled("a")
		s.filled("b")
		full := s.fetch(v, "a", 0, 0)
		s.addFetch(full, "a", 1, 0)
		s.addFetch(full, "b", 0, 6)
		full.SessionEpoch = 0
		resp, _ := s.Send("full", full).(*kmsg.FetchResponse)
		if resp == nil {
			return
		}
		s.Note("a session was given", resp.SessionID > 0)
		next := withVersion(kmsg.NewPtrFetchRequest(), v)
		next.ReplicaID, next.MaxBytes, next.SessionID, next.SessionEpoch = -1, 50<<20, resp.SessionID, 1
		next.ReplicaState.ID = -1
		s.Send("incremental, same positions", next)
		next.SessionEpoch = 2
		s.addFetch(next, "a", 0, 6)
		s.Send("incremental, moved", next)
		next.Topics, next.SessionEpoch = nil, 3
		s.Send("nothing new", next)
		s.Produce("b", 0, spec{records: records("new")}.batch())
		next.SessionEpoch = 4
		s.Send("new record in b", next)
		next.SessionEpoch = 5
		s.addFetch(next, "b", 0, 7)
		s.Send("b moved", next)
		next.Topics, next.SessionEpoch = nil, 6
		forget := kmsg.NewFetchRequestForgottenTopic()
		forget.Topic, forget.Partitions = s.Topic("b"), []int32{0}
		if v >= 13 {
			forget.TopicID = s.TopicID("b")
		}
		next.ForgottenTopics = append(next.ForgottenTopics, forget)
		s.Send("b forgotten", next)
		next.ForgottenTopics = nil
		s.Produce("b", 0, spec{records: records("unseen")}.batch())
		next.SessionEpoch = 7
		s.Send("b is not reported", next)
		next.SessionEpoch = 7
		s.Send("epoch again", next)
		next.SessionEpoch = 9
		s.Send("epoch ahead", next)
		next.SessionID, next.SessionEpoch = resp.SessionID^0x3fffffff, 1
		s.Send("unknown session", next)
		next.SessionID, next.SessionEpoch = resp.SessionID, -1
		s.addFetch(next, "a", 0, 0)
		s.Send("closed, with a full fetch", next)
		next.Topics, next.SessionEpoch = nil, 8
		s.Send("after the close", next)
		next.SessionID, next.SessionEpoch = 0, 5
		s.Send("epoch without a session", next)
		next.SessionID, next.SessionEpoch = 0, -1
		s.Send("sessionless and empty", next)
		s.incrementalErrors(v)
	})
}

// incrementalErrors looks at errors within a session: they are reported each time.
func (s *Session) incrementalErrors(v int16) {
	full := s.fetch(v, "a", 0, 6)
	s.addFetch(full, "a", 7, 0)
	s.addFetch(full, "b", 0, 1000)
	full.SessionEpoch = 0
	resp, _ := s.Send("full with errors", full).(*kmsg.FetchResponse)
	if resp == nil {
		return
	}
	next := withVersion(kmsg.NewPtrFetchRequest(), v)
	next.ReplicaID, next.MaxBytes, next.SessionID, next.SessionEpoch = -1, 50<<20, resp.SessionID, 1
	next.ReplicaState.ID = -1
	s.Send("errors again", next)
	next.SessionEpoch = 2
	s.addFetch(next, "b", 0, 0)
	s.Send("one healed", next)
	next.SessionID, next.SessionEpoch = resp.SessionID, 0
	s.Send("replaced by a new session", next)
}

func listOffsets(v int16, topic string, partition int32, timestamps ...int64) *kmsg.ListOffsetsRequest {
	req := withVersion(kmsg.NewPtrListOffsetsRequest(), v)
	req.ReplicaID = -1
	req.TimeoutMillis = 5000
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = topic
	for _, ts := range timestamps {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = partition, ts, -1
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

func listOffsetsCases() []Case {
	out := each("ListOffsets/timestamps", 1, 11, func(s *Session, v int16) {
		s.filled("a")
		s.Produce("a", 0, spec{records: records("late", "later"), baseTime: baseTime - 5000}.batch())
		a := s.Topic("a")
		for ts := int64(-1); ts >= -8; ts-- {
			s.Send(fmt.Sprintf("special %d", ts), listOffsets(v, a, 0, ts))
			s.Send(fmt.Sprintf("special %d, empty partition", ts), listOffsets(v, a, 1, ts))
		}
		for _, ts := range []int64{baseTime, baseTime + 1, baseTime + 2, baseTime + 3, baseTime + 1000, baseTime + 1001, baseTime + 1002, baseTime + 1003, baseTime - 5000} {
			s.Send(fmt.Sprintf("at base%+d", ts-baseTime), listOffsets(v, a, 0, ts))
		}
		s.Send("at 0", listOffsets(v, a, 0, 0))
		s.Send("at the end of time", listOffsets(v, a, 0, 1<<60))
		s.Send("time in an empty partition", listOffsets(v, a, 1, baseTime))
	})
	out = append(out, each("ListOffsets/places", 1, 11, func(s *Session, v int16) {
		s.filled("a")
		a := s.Topic("a")
		s.Send("partition", listOffsets(v, a, 9, -1))
		s.Send("negative partition", listOffsets(v, a, -1, -1))
		s.Send("topic", listOffsets(v, s.Topic("missing"), 0, -1))
		s.Send("name", listOffsets(v, "a/b", 0, -1))
		s.Send("twice", listOffsets(v, a, 0, -1, -2))
		req := listOffsets(v, a, 0, -1)
		req.Topics = append(req.Topics, req.Topics[0])
		s.Send("topic twice", req)
		s.Send("no partitions", listOffsets(v, a, 0))
		req.Topics = nil
		s.Send("no topics", req)
		for _, replica := range []int32{-2, -3, 0, 1, 9} {
			req := listOffsets(v, a, 0, -1)
			req.ReplicaID = replica
			s.Send(fmt.Sprintf("replica %d", replica), req)
		}
	})...)
	return append(out, each("ListOffsets/epochs and isolation", 2, 11, func(s *Session, v int16) {
		s.filled("a")
		for _, level := range []int8{0, 1, 2, -1} {
			for _, ts := range []int64{-1, -2, baseTime} {
				req := listOffsets(v, s.Topic("a"), 0, ts)
				req.IsolationLevel = level
				s.Send(fmt.Sprintf("isolation %d at %s", level, map[int64]string{-1: "latest", -2: "earliest", baseTime: "base"}[ts]), req)
			}
		}
		for _, epoch := range []int32{0, 1, -1, -2} {
			req := listOffsets(v, s.Topic("a"), 0, -1)
			req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
			s.Send(fmt.Sprintf("current leader epoch %d", epoch), req)
		}
	})...)
}

func epochCases() []Case {
	return each("OffsetForLeaderEpoch", 2, 4, func(s *Session, v int16) {
		s.filled("a")
		ask := func(step, topic string, partition, current, epoch int32) {
			req := withVersion(kmsg.NewPtrOffsetForLeaderEpochRequest(), v)
			req.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			t.Topic = topic
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
			t.Partitions = append(t.Partitions, p)
			req.Topics = append(req.Topics, t)
			s.Send(step, req)
		}
		for _, current := range []int32{-1, 0, 1, -2} {
			for _, epoch := range []int32{-1, 0, 1, -2, 1 << 30} {
				ask(fmt.Sprintf("epoch %d, current %d", epoch, current), s.Topic("a"), 0, current, epoch)
			}
		}
		ask("empty partition", s.Topic("a"), 1, -1, 0)
		ask("partition", s.Topic("a"), 9, -1, 0)
		ask("topic", s.Topic("missing"), 0, -1, 0)
		ask("name", "a/b", 0, -1, 0)
		s.Send("no topics", withVersion(kmsg.NewPtrOffsetForLeaderEpochRequest(), v))
	})
}
