package handler_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func listOffsets(version int16, parts ...kmsg.ListOffsetsRequestTopicPartition) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = version, -1
	req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "orders", Partitions: parts}}
	return req
}

func timestampOf(partition int32, ts int64) kmsg.ListOffsetsRequestTopicPartition {
	p := kmsg.NewListOffsetsRequestTopicPartition()
	p.Partition, p.Timestamp = partition, ts
	return p
}

func listed(partition int32, code int16, offset, ts int64, epoch int32) kmsg.ListOffsetsResponseTopicPartition {
	p := kmsg.NewListOffsetsResponseTopicPartition()
	p.Partition, p.ErrorCode, p.Offset, p.Timestamp, p.LeaderEpoch = partition, code, offset, ts, epoch
	return p
}

func TestListOffsets_Versions(t *testing.T) {
	firstServed := map[int64]int16{-1: 1, -2: 1, -3: 7, -4: 8, -5: 9, -6: 11, -7: 99, -1 << 63: 99, 0: 1, 1_700_000_000_000: 1}
	for version := int16(1); version <= 11; version++ {
		for ts, first := range firstServed {
			s := newStack(t)
			s.replicas.listOffset = func(q replica.ListOffset) (replica.FoundOffset, error) {
				if q.Timestamp != ts || q.String() != "orders-2" || q.Isolation != replica.ReadUncommitted || q.FromAnyReplica {
					t.Errorf("asked %+v", q)
				}
				return replica.FoundOffset{Offset: 55, Timestamp: 66, LeaderEpoch: 3}, nil
			}
			resp := s.ask(listOffsets(version, timestampOf(2, ts))).(*kmsg.ListOffsetsResponse)
			want := listed(2, 0, 55, 66, 3)
			if version < 4 {
				want.LeaderEpoch = -1
			}
			if version < first {
				want = listed(2, kerr.UnsupportedVersion.Code, -1, -1, -1)
			}
			if diff := cmp.Diff(want, resp.Topics[0].Partitions[0], likeKmsg); diff != "" {
				t.Errorf("v%d timestamp %d (-want +got):\n%s", version, ts, diff)
			}
		}
	}
}

func TestListOffsets_Answers(t *testing.T) {
	s := newStack(t)
	var asked []replica.ListOffset
	s.replicas.listOffset = func(q replica.ListOffset) (replica.FoundOffset, error) {
		asked = append(asked, q)
		switch q.Partition {
		case 0:
			return replica.FoundOffset{Offset: -1, Timestamp: -1, LeaderEpoch: -1}, nil
		case 1:
			return replica.FoundOffset{}, errcode.New(errcode.KindOffsetNotAvailable, "high watermark is behind")
		default:
			return replica.FoundOffset{}, kerr.FencedLeaderEpoch
		}
	}
	for version, notAvailable := range map[int16]int16{4: kerr.LeaderNotAvailable.Code, 5: kerr.OffsetNotAvailable.Code} {
		req := listOffsets(version, timestampOf(0, 5), timestampOf(3, -1), timestampOf(1, -1), timestampOf(3, -2), timestampOf(2, -1))
		resp := s.ask(req).(*kmsg.ListOffsetsResponse)
		want := []kmsg.ListOffsetsResponseTopicPartition{
			listed(0, 0, -1, -1, -1),
			listed(3, kerr.InvalidRequest.Code, -1, -1, -1),
			listed(1, notAvailable, -1, -1, -1),
			listed(2, kerr.FencedLeaderEpoch.Code, -1, -1, -1),
		}
		if diff := cmp.Diff(want, resp.Topics[0].Partitions, likeKmsg); diff != "" {
			t.Errorf("v%d (-want +got):\n%s", version, diff)
		}
	}
	req := listOffsets(11, timestampOf(0, -1), timestampOf(1, -1))
	req.IsolationLevel = 2
	req.Topics = append(req.Topics, kmsg.ListOffsetsRequestTopic{Topic: "empty"}, kmsg.ListOffsetsRequestTopic{
		Topic: "orders", Partitions: []kmsg.ListOffsetsRequestTopicPartition{timestampOf(2, -1)},
	})
	topics := s.ask(req).(*kmsg.ListOffsetsResponse).Topics
	want := []kmsg.ListOffsetsResponseTopic{{Topic: "orders", Partitions: []kmsg.ListOffsetsResponseTopicPartition{
		listed(0, -1, -1, -1, -1), listed(1, -1, -1, -1, -1), listed(2, -1, -1, -1, -1),
	}}}
	if diff := cmp.Diff(want, topics, likeKmsg); diff != "" {
		t.Errorf("isolation 2 (-want +got):\n%s", diff)
	}
	for _, tc := range []struct {
		replica   int32
		isolation int8
		want      replica.Isolation
		any       bool
	}{{-1, 0, replica.ReadUncommitted, false}, {-1, 1, replica.ReadCommitted, false}, {-2, 1, replica.ReadLogEnd, true}, {2, 1, replica.ReadLogEnd, false}} {
		asked = nil
		p := timestampOf(0, -1)
		p.CurrentLeaderEpoch = 9
		req := listOffsets(11, p)
		req.ReplicaID, req.IsolationLevel = tc.replica, tc.isolation
		s.ask(req)
		if len(asked) != 1 || asked[0].Isolation != tc.want || asked[0].FromAnyReplica != tc.any || asked[0].CurrentLeaderEpoch != 9 {
			t.Errorf("replica %d: asked %+v", tc.replica, asked)
		}
	}
}

func TestOffsetForLeaderEpoch(t *testing.T) {
	s := newStack(t)
	s.replicas.epochEnd = func(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (replica.EpochEnd, error) {
		if current != 7 || requested != 4 {
			t.Errorf("asked for %d in %d", requested, current)
		}
		if tp.Partition == 1 {
			return replica.EpochEnd{}, kerr.UnknownTopicOrPartition
		}
		return replica.EpochEnd{Epoch: 3, EndOffset: 44}, nil
	}
	for version := int16(2); version <= 4; version++ {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = version
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		rt.Topic = "orders"
		for i := range int32(2) {
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = i, 7, 4
			rt.Partitions = append(rt.Partitions, p)
		}
		req.Topics = append(req.Topics, rt)
		got := s.ask(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions
		want := []kmsg.OffsetForLeaderEpochResponseTopicPartition{
			{Partition: 0, LeaderEpoch: 3, EndOffset: 44},
			{Partition: 1, LeaderEpoch: -1, EndOffset: -1, ErrorCode: kerr.UnknownTopicOrPartition.Code},
		}
		if diff := cmp.Diff(want, got, likeKmsg); diff != "" {
			t.Errorf("v%d (-want +got):\n%s", version, diff)
		}
	}
}

// allocateBlocks answers AllocateProducerIds with blocks of three.
func allocateBlocks(tb testing.TB, next *int64) controllerFunc {
	tb.Helper()
	return func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		q := req.(*kmsg.AllocateProducerIDsRequest)
		if q.BrokerID != 1 || q.BrokerEpoch != 77 {
			tb.Errorf("asked %+v", q)
		}
		resp := kmsg.NewPtrAllocateProducerIDsResponse()
		resp.ProducerIDStart, resp.ProducerIDLen = *next, 3
		*next += 3
		return resp, nil
	}
}

func TestInitProducerID_HandsOutEachIDOnce(t *testing.T) {
	s := newStack(t)
	next := int64(5000)
	s.control = allocateBlocks(t, &next)
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for i := range 4 {
		c := s.dial(fmt.Sprint(i))
		wg.Go(func() {
			for version := int16(0); version <= 5; version++ {
				req := kmsg.NewPtrInitProducerIDRequest()
				req.Version = version
				if version >= 3 && i%2 == 0 {
					req.ProducerID, req.ProducerEpoch = 42, 7 // a producer that wants a new epoch gets a new id
				}
				resp := c.do(req).(*kmsg.InitProducerIDResponse)
				mu.Lock()
				if resp.ErrorCode != 0 || resp.ProducerEpoch != 0 || seen[resp.ProducerID] || resp.ProducerID < 5000 || resp.ProducerID > 5023 {
					t.Errorf("v%d: %+v", version, resp)
				}
				seen[resp.ProducerID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != 24 || next != 5024 {
		t.Errorf("%d ids, the next block begins at %d", len(seen), next)
	}
}

func TestInitProducerID_Refuses(t *testing.T) {
	fails := controllerFunc(func(context.Context, kmsg.Request) (kmsg.Response, error) {
		return nil, errors.New("no controller")
	})
	stale := controllerFunc(func(context.Context, kmsg.Request) (kmsg.Response, error) {
		resp := kmsg.NewPtrAllocateProducerIDsResponse()
		resp.ErrorCode = kerr.StaleBrokerEpoch.Code
		return resp, nil
	})
	for _, tc := range []struct {
		name    string
		control controllerFunc
		edit    func(*kmsg.InitProducerIDRequest)
		want    *kerr.Error
	}{
		{"id without epoch", nil, func(r *kmsg.InitProducerIDRequest) { r.ProducerID = 4 }, kerr.InvalidRequest},
		{"epoch without id", nil, func(r *kmsg.InitProducerIDRequest) { r.ProducerEpoch = 4 }, kerr.InvalidRequest},
		{"empty transactional id", nil, func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new("") }, kerr.InvalidRequest},
		{"transactional id", nil, func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new("t") }, kerr.UnsupportedVersion},
		{"no controller", fails, func(*kmsg.InitProducerIDRequest) {}, kerr.CoordinatorLoadInProgress},
		{"refused by the controller", stale, func(*kmsg.InitProducerIDRequest) {}, kerr.CoordinatorLoadInProgress},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStack(t)
			s.control = tc.control
			req := kmsg.NewPtrInitProducerIDRequest()
			req.Version = 5
			tc.edit(req)
			resp := s.ask(req).(*kmsg.InitProducerIDResponse)
			if resp.ErrorCode != tc.want.Code || resp.ProducerID != -1 || resp.ProducerEpoch != -1 {
				t.Errorf("got %+v, want %s", resp, tc.want.Message)
			}
		})
	}
}

func TestDeleteRecords(t *testing.T) {
	for version := range int16(3) {
		s := newStack(t)
		s.replicas.lowWatermark = func(ctx context.Context, tp protocol.TopicPartition, offset int64) (int64, error) {
			if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 5*time.Second {
				t.Errorf("deadline %v", deadline)
			}
			if tp.Partition == 2 {
				return offset - 2, errcode.New(errcode.KindRequestTimedOut, "a follower is slow")
			}
			return offset, nil
		}
		s.replicas.deleteRecords = func(tp protocol.TopicPartition, offset int64) (int64, error) {
			if tp.Partition == 1 {
				return 0, errcode.New(errcode.KindOffsetOutOfRange, "above the high watermark")
			}
			return offset, nil
		}
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = version, 5000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{
			{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 9}, {Partition: 1, Offset: 9}, {Partition: 2, Offset: 9}, {Partition: 3, Offset: 9}}},
			{Topic: "__consumer_offsets", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: 9}}},
		}
		resp := s.ask(req).(*kmsg.DeleteRecordsResponse)
		type result = kmsg.DeleteRecordsResponseTopicPartition
		want := []kmsg.DeleteRecordsResponseTopic{
			{Topic: "orders", Partitions: []result{
				{Partition: 0, LowWatermark: 9},
				{Partition: 1, LowWatermark: -1, ErrorCode: kerr.OffsetOutOfRange.Code},
				{Partition: 2, LowWatermark: 7, ErrorCode: kerr.RequestTimedOut.Code},
				{Partition: 3, LowWatermark: -1, ErrorCode: kerr.UnknownTopicOrPartition.Code},
			}},
			{Topic: "__consumer_offsets", Partitions: []result{{Partition: 0, LowWatermark: -1, ErrorCode: kerr.InvalidTopicException.Code}}},
		}
		if diff := cmp.Diff(want, resp.Topics, likeKmsg); diff != "" {
			t.Errorf("v%d (-want +got):\n%s", version, diff)
		}
	}
}

func TestDescribeProducers(t *testing.T) {
	s := newStack(t)
	s.replicas.producers = func(tp protocol.TopicPartition) ([]producerstate.Entry, error) {
		if tp.Partition == 1 {
			return nil, kerr.NotLeaderForPartition
		}
		return []producerstate.Entry{{
			ProducerID: 4000, ProducerEpoch: 3, CoordinatorEpoch: -1, LastSequence: 12, LastOffset: 99, LastTimestamp: 1700, CurrentTxnFirstOffset: -1,
		}}, nil
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{
		{Topic: "orders", Partitions: []int32{0, 1}}, {Topic: "nope", Partitions: []int32{0}}, {Topic: "bad name", Partitions: []int32{0}},
	}
	topics := s.ask(req).(*kmsg.DescribeProducersResponse).Topics
	want := []kmsg.DescribeProducersResponseTopicPartition{
		{Partition: 0, ActiveProducers: []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{{
			ProducerID: 4000, ProducerEpoch: 3, LastSequence: 12, LastTimestamp: 1700, CoordinatorEpoch: -1, CurrentTxnStartOffset: -1,
		}}},
		{Partition: 1, ErrorCode: kerr.NotLeaderForPartition.Code},
	}
	if diff := cmp.Diff(want, topics[0].Partitions, likeKmsg); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, code := range map[int]int16{1: kerr.UnknownTopicOrPartition.Code, 2: kerr.InvalidTopicException.Code} {
		if p := topics[i].Partitions[0]; p.ErrorCode != code || p.ErrorMessage == nil || *p.ErrorMessage == "" {
			t.Errorf("%s: %+v", topics[i].Topic, p)
		}
	}
}

func TestDescribeLogDirs(t *testing.T) {
	tp := func(topic string, p int32) protocol.TopicPartition {
		return protocol.TopicPartition{Topic: topic, Partition: p}
	}
	for version := int16(1); version <= 5; version++ {
		s := newStack(t)
		s.logDirs = logDirs{
			dirs: []logdir.DirInfo{{Path: "/a", Total: 1000, Free: 400}, {Path: "/b", Offline: true, Total: 5}, {Path: "/c"}},
			parts: []logdir.Info{
				{TopicPartition: tp("gone", 0), Dir: "/a"},
				{TopicPartition: tp("orders", 0), Dir: "/a"},
				{TopicPartition: tp("orders", 1), Dir: "/c"},
				{TopicPartition: tp("orders", 2), Dir: "/a"},
				{TopicPartition: tp("others", 0), Dir: "/a"},
				{TopicPartition: tp("others", 1), Dir: "/b"},
			},
			sizes: map[protocol.TopicPartition]int64{tp("orders", 0): 10, tp("orders", 1): 11, tp("orders", 2): 12, tp("others", 0): 13, tp("others", 1): 14},
		}
		type partition = kmsg.DescribeLogDirsResponseDirTopicPartition
		type topic = kmsg.DescribeLogDirsResponseDirTopic
		dir := func(code int16, path string, total, usable int64, topics ...topic) kmsg.DescribeLogDirsResponseDir {
			if version < 4 {
				total, usable = -1, -1
			}
			return kmsg.DescribeLogDirsResponseDir{ErrorCode: code, Dir: path, TotalBytes: total, UsableBytes: usable, Topics: topics}
		}
		req := kmsg.NewPtrDescribeLogDirsRequest()
		req.Version = version
		want := []kmsg.DescribeLogDirsResponseDir{
			dir(0, "/a", 1000, 400,
				topic{Topic: "orders", Partitions: []partition{{Partition: 0, Size: 10}, {Partition: 2, Size: 12}}},
				topic{Topic: "others", Partitions: []partition{{Partition: 0, Size: 13}}}),
			dir(kerr.KafkaStorageError.Code, "/b", -1, -1),
			dir(0, "/c", -1, -1, topic{Topic: "orders", Partitions: []partition{{Partition: 1, Size: 11}}}),
		}
		resp := s.ask(req).(*kmsg.DescribeLogDirsResponse)
		if diff := cmp.Diff(want, resp.Dirs, likeKmsg); diff != "" || resp.ErrorCode != 0 {
			t.Errorf("v%d all (-want +got):\n%s", version, diff)
		}

		req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "orders", Partitions: []int32{2, 7}}}
		want[0].Topics = []topic{{Topic: "orders", Partitions: []partition{{Partition: 2, Size: 12}}}}
		want[2].Topics = nil
		resp = s.ask(req).(*kmsg.DescribeLogDirsResponse)
		if diff := cmp.Diff(want, resp.Dirs, likeKmsg); diff != "" {
			t.Errorf("v%d some (-want +got):\n%s", version, diff)
		}

		req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
		want[0].Topics = nil
		resp = s.ask(req).(*kmsg.DescribeLogDirsResponse)
		if diff := cmp.Diff(want, resp.Dirs, likeKmsg); diff != "" {
			t.Errorf("v%d none (-want +got):\n%s", version, diff)
		}
	}
}
