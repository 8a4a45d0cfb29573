package handler_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// produced is one partition of a Produce.
type produced struct {
	topic     string
	id        [16]byte
	partition int32
	records   []byte
}

func produce(version, acks int16, parts ...produced) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = version, acks, 1500
	for _, p := range parts {
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = p.partition, p.records
		if n := len(req.Topics); n == 0 || req.Topics[n-1].Topic != p.topic || req.Topics[n-1].TopicID != p.id {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = p.topic, p.id
			req.Topics = append(req.Topics, t)
		}
		t := &req.Topics[len(req.Topics)-1]
		t.Partitions = append(t.Partitions, rp)
	}
	return req
}

// appended answers each partition with offset 100 and remembers what was asked.
type appended struct {
	opts  replica.AppendOptions
	parts []replica.Append
}

func (a *appended) append(o replica.AppendOptions, parts []replica.Append, _ func()) bool {
	a.opts = o
	for i := range parts {
		p := parts[i]
		p.Records = slices.Clone(p.Records)
		a.parts = append(a.parts, p)
		parts[i].Result = replica.AppendResult{BaseOffset: 100, LogAppendTime: -1, LogStartOffset: 7}
	}
	return true
}

func TestProduce_Appends(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			s := newStack(t)
			var a appended
			s.replicas.append = a.append
			b := batch(t, 3)
			parts := []produced{{topic: "orders", partition: 2, records: b}, {topic: "orders", partition: 0, records: b}, {topic: "others", records: b}}
			if version >= 13 {
				parts[0].id, parts[1].id, parts[2].id = ordersID, ordersID, othersID
			}
			resp := s.ask(produce(version, -1, parts...)).(*kmsg.ProduceResponse)

			if a.opts != (replica.AppendOptions{Acks: -1, Timeout: 1500 * time.Millisecond, Origin: replica.FromClient}) {
				t.Errorf("options %+v", a.opts)
			}
			if len(a.parts) != 3 || a.parts[0].Topic != "orders" || a.parts[0].Partition != 2 || string(a.parts[2].Records) != string(b) ||
				(a.parts[0].ID == ordersID) != (version >= 13) {
				t.Errorf("appended %+v", a.parts)
			}
			if len(resp.Topics) != 2 || len(resp.Topics[0].Partitions) != 2 {
				t.Fatalf("response %+v", resp)
			}
			p := resp.Topics[0].Partitions[0]
			if p.Partition != 2 || p.ErrorCode != 0 || p.BaseOffset != 100 || p.LogAppendTime != -1 || version >= 5 && p.LogStartOffset != 7 {
				t.Errorf("partition %+v", p)
			}
			if got := s.topics.Topic("orders"); got.MessagesIn.Load() != 6 || got.BytesIn.Load() != 2*int64(len(b)) {
				t.Errorf("metrics: %d messages, %d bytes", got.MessagesIn.Load(), got.BytesIn.Load())
			}
		})
	}
}

// Requests that are at hand are appended together, but for those with acks=0. Each has its own answer, in its turn.
func TestProduce_AppendsPipelinedRequestsTogether(t *testing.T) {
	s := newStack(t)
	next := int64(0)
	s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, done func()) bool {
		for i := range parts {
			parts[i].Result = replica.AppendResult{BaseOffset: next, LogAppendTime: -1}
			next++
		}
		if next%2 == 0 {
			return true
		}
		go done()
		return false
	}
	c := s.dial("test")
	var stream []byte
	add := func(req kmsg.Request) {
		c.next++
		stream = append(stream, c.format.AppendRequest(nil, req, c.next)...)
	}
	good := produced{topic: "orders", records: batch(t, 1)}
	for range 3 {
		add(produce(9, 1, good))
	}
	add(produce(9, 1, produced{topic: "nope", records: batch(t, 1)}))
	add(produce(9, 0, good))
	add(produce(9, -1, good))
	if len(stream) > 1<<10 {
		t.Fatalf("%d bytes are not read at a time", len(stream))
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if _, err := c.nc.Write(stream); err != nil {
			t.Error(err)
		}
	})
	for i, want := range []int64{0, 1, 2, -1, noAnswer, 4} {
		if want == noAnswer {
			continue
		}
		resp := c.receive(produce(9, 1, good), int32(i+1)).(*kmsg.ProduceResponse)
		if got := resp.Topics[0].Partitions[0].BaseOffset; got != want {
			t.Errorf("request %d: offset %d, want %d", i+1, got, want)
		}
	}
	if s.replicas.together != 3 {
		t.Errorf("%d requests were appended together, want 3", s.replicas.together)
	}
}

const noAnswer = -9

// TestProduce_Refuses walks what never reaches the log. The partition others-0 beside it is always fine.
func TestProduce_Refuses(t *testing.T) {
	good := batch(t, 1)
	legacy := append(make([]byte, 8), 0, 0, 0, 14, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, tc := range []struct {
		name     string
		version  int16
		p        produced
		acks     int16
		clientID string
		txn      bool
		want     *kerr.Error
	}{
		{name: "unknown topic", p: produced{topic: "nope", records: good}, want: kerr.UnknownTopicOrPartition},
		{name: "unknown partition", p: produced{topic: "orders", partition: 3, records: good}, want: kerr.UnknownTopicOrPartition},
		{name: "negative partition", p: produced{topic: "orders", partition: -1, records: good}, want: kerr.UnknownTopicOrPartition},
		{name: "unknown id", version: 13, p: produced{id: unknownID, records: good}, want: kerr.UnknownTopicID},
		{name: "no id", version: 13, p: produced{records: good}, want: kerr.UnknownTopicID},
		{name: "null records", p: produced{topic: "orders"}, want: kerr.InvalidRecord},
		{name: "empty records", p: produced{topic: "orders", records: []byte{}}, want: kerr.InvalidRecord},
		{name: "cut batch", p: produced{topic: "orders", records: good[:len(good)-1]}, want: kerr.InvalidRecord},
		{name: "two batches", p: produced{topic: "orders", records: append(slices.Clone(good), good...)}, want: kerr.InvalidRecord},
		{name: "old message set", p: produced{topic: "orders", records: legacy}, want: kerr.InvalidRecord},
		{name: "batch and old message set", p: produced{topic: "orders", records: append(slices.Clone(good), legacy...)}, want: kerr.InvalidRecord},
		{name: "batch and garbage", p: produced{topic: "orders", records: append(slices.Clone(good), make([]byte, 20)...)}, want: kerr.CorruptMessage},
		{name: "garbage", p: produced{topic: "orders", records: make([]byte, 100)}, want: kerr.CorruptMessage},
		{name: "zstd before v7", version: 6, p: produced{topic: "orders", records: batch(t, 1, withCodec(compress.Zstd))}, want: kerr.UnsupportedCompressionType},
		{name: "acks", acks: 2, p: produced{topic: "orders", records: good}, want: kerr.InvalidRequiredAcks},
		{name: "bad records before acks", acks: 2, p: produced{topic: "orders"}, want: kerr.InvalidRecord},
		{name: "internal topic", p: produced{topic: "__consumer_offsets", records: good}, want: kerr.InvalidTopicException},
		{name: "transactional without id", p: produced{topic: "orders", records: batch(t, 1, transactional)}, want: kerr.TransactionalIDAuthorizationFailed},
		{name: "transactional v10", version: 10, txn: true, p: produced{topic: "orders", records: batch(t, 1, transactional)}, want: kerr.InvalidTxnState},
		{name: "transactional v11", version: 11, txn: true, p: produced{topic: "orders", records: batch(t, 1, transactional)}, want: kerr.TransactionAbortable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStack(t)
			var a appended
			s.replicas.append = a.append
			if tc.version == 0 {
				tc.version = 9
			}
			if tc.acks == 0 {
				tc.acks = 1
			}
			other := produced{topic: "others", records: good}
			if tc.version >= 13 {
				other = produced{id: othersID, records: good}
			}
			req := produce(tc.version, tc.acks, tc.p, other)
			if tc.txn {
				req.TransactionID = new("txn")
			}
			resp := s.ask(req).(*kmsg.ProduceResponse)
			want := kmsg.NewProduceResponseTopicPartition()
			want.Partition, want.ErrorCode, want.BaseOffset, want.LogAppendTime, want.LogStartOffset = tc.p.partition, tc.want.Code, -1, -1, -1
			got := resp.Topics[0].Partitions[0]
			if tc.want == kerr.CorruptMessage && tc.version >= 8 { // what cannot be a batch is explained
				if got.ErrorMessage == nil {
					t.Error("no error message")
				}
				got.ErrorMessage = nil
			}
			if diff := cmp.Diff(want, got, likeKmsg); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if resp.Topics[0].TopicID != tc.p.id || resp.Topics[0].Topic != tc.p.topic {
				t.Errorf("topic %q %x", resp.Topics[0].Topic, resp.Topics[0].TopicID)
			}
			otherCode := int16(0)
			if tc.acks == 2 {
				otherCode = kerr.InvalidRequiredAcks.Code
			} else if len(a.parts) != 1 || a.parts[0].Topic != "others" {
				t.Errorf("appended %+v", a.parts)
			}
			if got := resp.Topics[1].Partitions[0].ErrorCode; got != otherCode {
				t.Errorf("the other partition: %d, want %d", got, otherCode)
			}
		})
	}
}

func TestProduce_AdminClientWritesInternalTopics(t *testing.T) {
	s := newStack(t)
	var a appended
	s.replicas.append = a.append
	resp := s.dial("__admin_client").do(produce(9, 1, produced{topic: "__consumer_offsets", records: batch(t, 1)})).(*kmsg.ProduceResponse)
	if resp.Topics[0].Partitions[0].ErrorCode != 0 || len(a.parts) != 1 {
		t.Errorf("%+v", resp)
	}
}

// TestProduce_IgnoresAnIncompleteSecondBatch, as Kafka does.
func TestProduce_IgnoresAnIncompleteSecondBatch(t *testing.T) {
	s := newStack(t)
	var a appended
	s.replicas.append = a.append
	good := batch(t, 1)
	s.ask(produce(9, 1, produced{topic: "orders", records: append(slices.Clone(good), good[:30]...)}))
	if len(a.parts) != 1 || len(a.parts[0].Records) != len(good) {
		t.Errorf("appended %+v", a.parts)
	}
}

func TestProduce_PartitionNamedTwiceCountsOnce(t *testing.T) {
	for _, n := range []int{2, 100} {
		s := newStack(t)
		img := testImage()
		img.Topics.Get("orders").Partitions = make([]image.Partition, 200)
		s.images.Store(img)
		var a appended
		s.replicas.append = a.append
		var parts []produced
		for i := range n {
			parts = append(parts, produced{topic: "orders", partition: int32(i / 2), records: batch(t, i+1)})
		}
		resp := s.ask(produce(9, 1, parts...)).(*kmsg.ProduceResponse)
		if len(a.parts) != n/2 || len(resp.Topics[0].Partitions) != n/2 {
			t.Fatalf("appended %d, answered %d, want %d", len(a.parts), len(resp.Topics[0].Partitions), n/2)
		}
		for i := range a.parts {
			if got, want := len(a.parts[i].Records), len(batch(t, 2*i+2)); got != want || resp.Topics[0].Partitions[i].Partition != int32(i) {
				t.Errorf("partition %d: appended %d bytes, want the later %d", i, got, want)
			}
		}
	}
}

// TestProduce_TopicNamedTwiceIsAnsweredOnce, and one without partitions not at all.
func TestProduce_TopicNamedTwiceIsAnsweredOnce(t *testing.T) {
	b := batch(t, 1)
	for _, more := range []int{0, 30} {
		s := newStack(t)
		var a appended
		s.replicas.append = a.append
		parts := []produced{{topic: "orders", records: b}, {topic: "others", records: b}, {topic: "orders", partition: 1, records: b}}
		for i := range more {
			parts = append(parts, produced{topic: fmt.Sprintf("nope-%d", i), records: b})
		}
		req := produce(9, 1, parts...)
		req.Topics = append(req.Topics, kmsg.ProduceRequestTopic{Topic: "empty"})
		resp := s.ask(req).(*kmsg.ProduceResponse)
		if len(resp.Topics) != 2+more || len(resp.Topics[0].Partitions) != 2 || resp.Topics[0].Partitions[1].Partition != 1 || len(a.parts) != 3 {
			t.Errorf("%d topics: %+v", len(req.Topics), resp)
		}
	}
}

func TestProduce_WithoutAcks(t *testing.T) {
	good := batch(t, 1)
	t.Run("has no answer", func(t *testing.T) {
		s := newStack(t)
		var a appended
		s.replicas.append = a.append
		c := s.dial("test")
		c.send(produce(9, 0, produced{topic: "orders", records: good}))
		resp := c.do(produce(9, 1, produced{topic: "orders", records: good})).(*kmsg.ProduceResponse)
		if resp.Topics[0].Partitions[0].ErrorCode != 0 || len(a.parts) != 2 {
			t.Errorf("%+v, appended %d", resp, len(a.parts))
		}
	})
	t.Run("closes the connection on errors of the request", func(t *testing.T) {
		s := newStack(t)
		c := s.dial("test")
		c.send(produce(9, 0, produced{topic: "nope", records: good}))
		if b := c.closed(); len(b) > 0 {
			t.Errorf("answered %x", b)
		}
	})
	t.Run("closes the connection on errors of the log", func(t *testing.T) {
		s := newStack(t)
		s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, _ func()) bool {
			parts[0].Result = replica.AppendResult{Err: kerr.NotLeaderForPartition}
			return true
		}
		c := s.dial("test")
		c.send(produce(9, 0, produced{topic: "orders", records: good}))
		if b := c.closed(); len(b) > 0 {
			t.Errorf("answered %x", b)
		}
	})
}

// TestProduce_Errors pins what an error of the log looks like in each version.
func TestProduce_Errors(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		s := newStack(t)
		s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, _ func()) bool {
			bad := &records.RecordErrors{Kind: errcode.KindInvalidRecord, Msg: "1 record was rejected", Records: []records.RecordError{{Index: 4, Msg: "no key"}}}
			none := replica.Leader{ID: -1, Epoch: -1}
			parts[0].Result = replica.AppendResult{Err: bad, RecordErrors: bad, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: 12, CurrentLeader: none}
			parts[1].Result = replica.AppendResult{Err: kerr.NotLeaderForPartition, LogStartOffset: -1, CurrentLeader: replica.Leader{ID: 2, Epoch: 6}}
			parts[2].Result = replica.AppendResult{Err: errcode.New(errcode.KindMessageTooLarge, "too large by 5"), LogStartOffset: -1, CurrentLeader: none}
			return true
		}
		b := batch(t, 1)
		parts := []produced{{topic: "orders", records: b}, {topic: "orders", partition: 1, records: b}, {topic: "orders", partition: 2, records: b}}
		if version >= 13 {
			for i := range parts {
				parts[i].id, parts[i].topic = ordersID, ""
			}
		}
		resp := s.ask(produce(version, 1, parts...)).(*kmsg.ProduceResponse)
		got := resp.Topics[0].Partitions
		text := func(s *string) string {
			if s == nil {
				return "<nil>"
			}
			return *s
		}
		wantText, wantLarge := "<nil>", "<nil>"
		if version >= 8 {
			wantText, wantLarge = "1 record was rejected", "too large by 5"
			if len(got[0].ErrorRecords) != 1 || got[0].ErrorRecords[0].RelativeOffset != 4 || text(got[0].ErrorRecords[0].ErrorMessage) != "no key" {
				t.Errorf("v%d: record errors %+v", version, got[0].ErrorRecords)
			}
		}
		if got[0].ErrorCode != kerr.InvalidRecord.Code || text(got[0].ErrorMessage) != wantText || got[0].BaseOffset != -1 || version >= 5 && got[0].LogStartOffset != 12 {
			t.Errorf("v%d: %+v", version, got[0])
		}
		if got[2].ErrorCode != kerr.MessageTooLarge.Code || text(got[2].ErrorMessage) != wantLarge {
			t.Errorf("v%d: %+v", version, got[2])
		}
		leader, nodes := kmsg.NewProduceResponseTopicPartitionCurrentLeader(), 0
		if version >= 10 {
			leader.LeaderID, leader.LeaderEpoch, nodes = 2, 6, 1
		}
		if got[1].ErrorCode != kerr.NotLeaderForPartition.Code || !cmp.Equal(got[1].CurrentLeader, leader, likeKmsg) || text(got[1].ErrorMessage) != "<nil>" {
			t.Errorf("v%d: %+v", version, got[1])
		}
		if len(resp.Brokers) != nodes || nodes > 0 && (resp.Brokers[0].NodeID != 2 || resp.Brokers[0].Host != "two" || resp.Brokers[0].Port != 9093 || *resp.Brokers[0].Rack != "r2") {
			t.Errorf("v%d: endpoints %+v", version, resp.Brokers)
		}
	}
}

// TestProduce_AnswersInOrder: a Produce that waits for its acknowledgement lets the next one be served, and is answered
// first.
func TestProduce_AnswersInOrder(t *testing.T) {
	s := newStack(t)
	type waiting struct {
		parts []replica.Append
		done  func()
	}
	got := make(chan waiting, 3)
	s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, done func()) bool {
		got <- waiting{parts, done}
		return false
	}
	c := s.dial("test")
	req := produce(9, -1, produced{topic: "orders", records: batch(t, 1)})
	for range 3 {
		c.send(req)
	}
	all := []waiting{<-got, <-got, <-got}
	for i := 2; i >= 0; i-- {
		all[i].parts[0].Result = replica.AppendResult{BaseOffset: int64(i), LogAppendTime: -1}
		go all[i].done()
	}
	for i := range 3 {
		resp := c.receive(req, int32(i+1)).(*kmsg.ProduceResponse)
		if p := resp.Topics[0].Partitions[0]; p.BaseOffset != int64(i) {
			t.Errorf("answer %d has offset %d", i, p.BaseOffset)
		}
	}
}

// TestProduce_CompletesBeforeAppendReturns is the other order of the race. What was not acknowledged in time keeps its offset.
func TestProduce_CompletesBeforeAppendReturns(t *testing.T) {
	s := newStack(t)
	s.replicas.append = func(_ replica.AppendOptions, parts []replica.Append, done func()) bool {
		parts[0].Result = replica.AppendResult{Err: kerr.RequestTimedOut, BaseOffset: 9, LogStartOffset: 3}
		done()
		return false
	}
	resp := s.ask(produce(9, -1, produced{topic: "orders", records: batch(t, 1)})).(*kmsg.ProduceResponse)
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != kerr.RequestTimedOut.Code || p.BaseOffset != 9 {
		t.Errorf("%+v", p)
	}
}
