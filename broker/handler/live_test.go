package handler_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// newLiveStack is a stack over real partition logs on a filesystem in memory. configs are by topic.
func newLiveStack(tb testing.TB, configs map[string]func(*commitlog.Config)) *stack {
	tb.Helper()
	s := &stack{t: tb}
	s.images.Store(testImage())
	cfg, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/data"}})
	if err != nil {
		tb.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	var manager *replica.Manager
	dirs, err := logdir.Open(context.Background(), logdir.Options{
		FS: vfs.NewMem(), Dirs: []string{"/data"}, NodeID: 1, ClusterID: "cluster", Logger: logger, MinFreeBytes: -1,
		ConfigFor: func(topic string) commitlog.Config {
			c := commitlog.DefaultConfig()
			if edit := configs[topic]; edit != nil {
				edit(&c)
			}
			return c
		},
		Synced: func(tp protocol.TopicPartition, end int64) { manager.Synced(tp, end) },
		Failed: func(dir string, err error) { tb.Errorf("%s failed: %v", dir, err) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	manager = replica.New(replica.Options{NodeID: 1, Logs: dirs, Logger: logger})
	manager.Publish(image.Diff(image.Empty(), s.images.Image()))
	next := int64(1000)
	s.control = allocateBlocks(tb, &next)
	s.handler = handler.New(handler.Deps{
		NodeID: 1, Config: cfg, Images: &s.images, Logger: logger, Controller: s.control,
		Data: handler.Data{
			Replicas: manager, LogDirs: dirs, Topics: &s.topics,
			Sessions:    fetchsession.New(fetchsession.Options{Rand: rand.New(rand.NewPCG(1, 2))}),
			BrokerEpoch: func() protocol.BrokerEpoch { return 77 },
		},
	})
	s.server = listener.New(listener.Options{Name: "PLAINTEXT", Scope: protocol.ScopeBroker, Handler: s.handler, Logger: logger})
	tb.Cleanup(func() {
		s.server.Close()
		if err := manager.Close(); err != nil {
			tb.Error(err)
		}
		if err := dirs.Close(true, 77); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// produceOne appends a batch to orders-0 and returns the answer.
func (c *client) produceOne(b []byte) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	return c.do(produce(11, -1, produced{topic: "orders", records: b})).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// fetchOne reads orders-0 from offset on, without waiting.
func (c *client) fetchOne(offset int64) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	req := fetch(11, fetched{topic: "orders", offset: offset})
	req.MaxWaitMillis, req.Topics[0].Partitions[0].PartitionMaxBytes = 0, 1<<20
	return c.do(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
}

// batches splits what a fetch returned.
func batches(t *testing.T, b []byte) []records.Batch {
	t.Helper()
	var all []records.Batch
	for len(b) > 0 {
		batch, rest, err := records.Split(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.VerifyCRC(); err != nil {
			t.Fatal(err)
		}
		all, b = append(all, batch), rest
	}
	return all
}

// TestLive_ProduceFetch appends with every version, codec and acks, and reads back what was sent.
func TestLive_ProduceFetch(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	var sent []records.Batch
	for version := int16(3); version <= 13; version++ {
		for codec := range compress.Codec(5) {
			if version < 7 && codec == compress.Zstd {
				continue
			}
			acks := int16(len(sent)%3) - 1
			b := records.Batch(batch(t, len(sent)%7+1, withCodec(codec)))
			p := produced{topic: "orders", records: b}
			if version >= 13 {
				p = produced{id: ordersID, records: b}
			}
			req := produce(version, acks, p)
			c.send(req)
			if acks != 0 {
				got := c.receive(req, c.next).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
				want := int64(0)
				if len(sent) > 0 {
					want = sent[len(sent)-1].NextOffset()
				}
				if got.ErrorCode != 0 || got.BaseOffset != want {
					t.Fatalf("v%d %s: %+v, want offset %d", version, codec, got, want)
				}
			}
			if len(sent) > 0 {
				b.SetBaseOffset(sent[len(sent)-1].NextOffset())
			}
			b.SetPartitionLeaderEpoch(5)
			sent = append(sent, b)
		}
	}
	end := sent[len(sent)-1].NextOffset()
	for version := int16(4); version <= 18; version++ {
		var got []records.Batch
		for offset := int64(0); offset < end; {
			f := fetched{topic: "orders", offset: offset}
			if version >= 13 {
				f = fetched{id: ordersID, offset: offset}
			}
			p := c.do(fetch(version, f)).(*kmsg.FetchResponse).Topics[0].Partitions[0]
			if p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
				t.Fatalf("v%d at %d: %+v", version, offset, p)
			}
			got = append(got, batches(t, p.RecordBatches)...)
			offset = got[len(got)-1].NextOffset()
		}
		if diff := cmp.Diff(sent, got); diff != "" {
			t.Fatalf("v%d (-want +got):\n%s", version, diff)
		}
	}
}

// TestLive_FetchWaits: a fetch of the log end is answered by the next produce.
func TestLive_FetchWaits(t *testing.T) {
	s := newLiveStack(t, nil)
	producer, consumer := s.dial("producer"), s.dial("consumer")
	producer.produceOne(batch(t, 2))
	req := fetch(11, fetched{topic: "orders", offset: 2})
	req.MaxWaitMillis = 20_000
	consumer.send(req)
	producer.produceOne(batch(t, 1))
	p := consumer.receive(req, 1).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	if got := batches(t, p.RecordBatches); len(got) != 1 || got[0].BaseOffset() != 2 {
		t.Errorf("%+v", p)
	}
	req.MaxWaitMillis, req.Topics[0].Partitions[0].FetchOffset = 50, 3
	if p := consumer.do(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 || len(p.RecordBatches) > 0 || p.HighWatermark != 3 {
		t.Errorf("after the wait: %+v", p)
	}
}

// TestLive_FetchLimits: one batch comes whatever the limits, and no more than they allow otherwise.
func TestLive_FetchLimits(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	b := batch(t, 3)
	for range 10 {
		c.produceOne(b)
	}
	for _, tc := range []struct {
		partition, all int32
		want           int
	}{{1, 1, 1}, {0, 1 << 20, 1}, {int32(2*len(b) + 5), 1 << 20, 2}, {1 << 20, int32(3 * len(b)), 3}, {1 << 20, 1 << 20, 10}} {
		req := fetch(11, fetched{topic: "orders"})
		req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = tc.all, tc.partition
		p := c.do(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if got := batches(t, p.RecordBatches); len(got) != tc.want {
			t.Errorf("limits %d and %d: %d batches, want %d", tc.partition, tc.all, len(got), tc.want)
		}
	}
}

func TestLive_FetchOffsets(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	c.produceOne(batch(t, 3))
	for offset, want := range map[int64]int16{-1: kerr.OffsetOutOfRange.Code, 0: 0, 2: 0, 3: 0, 4: kerr.OffsetOutOfRange.Code} {
		if p := c.fetchOne(offset); p.ErrorCode != want || (len(p.RecordBatches) > 0) != (want == 0 && offset < 3) {
			t.Errorf("offset %d: %+v", offset, p)
		}
	}
	for epoch, want := range map[int32]int16{-1: 0, 5: 0, 4: kerr.FencedLeaderEpoch.Code, 6: kerr.UnknownLeaderEpoch.Code} {
		req := fetch(16, fetched{id: ordersID})
		req.Topics[0].Partitions[0].CurrentLeaderEpoch = epoch
		resp := c.do(req).(*kmsg.FetchResponse)
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != want || (p.CurrentLeader.LeaderID == 1) != (epoch == 4) || (len(resp.Brokers) == 1) != (epoch == 4) {
			t.Errorf("leader epoch %d: %+v, %+v", epoch, p, resp.Brokers)
		}
	}
	req := fetch(13, fetched{id: ordersID, offset: 3})
	req.Topics[0].Partitions[0].LastFetchedEpoch = 4 // no record has it
	if p := c.do(req).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.DivergingEpoch.Epoch != -1 && p.DivergingEpoch.EndOffset != 0 || p.ErrorCode != 0 && p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("diverging: %+v", p)
	}
}

// TestLive_Idempotence: duplicates get their first offset, gaps are refused.
func TestLive_Idempotence(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	init := kmsg.NewPtrInitProducerIDRequest()
	init.Version = 5
	id := c.do(init).(*kmsg.InitProducerIDResponse)
	from := func(sequence int32) []byte {
		return batch(t, 2, func(o *records.BuilderOptions) {
			o.HasProducer, o.ProducerID, o.ProducerEpoch, o.BaseSequence = true, id.ProducerID, id.ProducerEpoch, sequence
		})
	}
	for _, tc := range []struct {
		sequence int32
		offset   int64
		code     int16
	}{{0, 0, 0}, {2, 2, 0}, {0, 0, 0}, {2, 2, 0}, {6, -1, kerr.OutOfOrderSequenceNumber.Code}, {4, 4, 0}} {
		if p := c.produceOne(from(tc.sequence)); p.ErrorCode != tc.code || p.BaseOffset != tc.offset {
			t.Errorf("sequence %d: %+v, want offset %d and %d", tc.sequence, p, tc.offset, tc.code)
		}
	}
	req := kmsg.NewPtrDescribeProducersRequest()
	req.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "orders", Partitions: []int32{0}}}
	p := c.do(req).(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]
	if len(p.ActiveProducers) != 1 || p.ActiveProducers[0].ProducerID != id.ProducerID || p.ActiveProducers[0].LastSequence != 5 {
		t.Errorf("producers %+v", p)
	}
}

func TestLive_Refuses(t *testing.T) {
	s := newLiveStack(t, map[string]func(*commitlog.Config){
		"orders": func(c *commitlog.Config) { c.CleanupCompact, c.MaxMessageBytes = true, 500 },
		"others": func(c *commitlog.Config) { c.LogAppendTime = true },
	})
	c := s.dial("test")
	noKey := records.NewBuilder(records.BuilderOptions{})
	noKey.Append(1_700_000_000_000, []byte("key"), nil)
	noKey.Append(1_700_000_000_000, nil, nil)
	b, err := noKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := c.produceOne(b)
	if p.ErrorCode != kerr.InvalidRecord.Code || len(p.ErrorRecords) != 1 || p.ErrorRecords[0].RelativeOffset != 1 || p.ErrorMessage == nil || p.LogStartOffset != 0 || p.BaseOffset != -1 {
		t.Errorf("no key: %+v", p)
	}
	if p := c.produceOne(batch(t, 100)); p.ErrorCode != kerr.MessageTooLarge.Code || p.LogStartOffset != -1 {
		t.Errorf("too large: %+v", p)
	}
	bad := batch(t, 1)
	bad[70] ^= 1
	if p := c.produceOne(bad); p.ErrorCode != kerr.CorruptMessage.Code {
		t.Errorf("bad crc: %+v", p)
	}
	if p := c.produceOne(batch(t, 1)); p.ErrorCode != 0 || p.BaseOffset != 0 || p.LogAppendTime != -1 {
		t.Errorf("good: %+v", p)
	}
	before := time.Now().UnixMilli()
	p = c.do(produce(9, 1, produced{topic: "others", records: batch(t, 1)})).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LogAppendTime < before || p.LogAppendTime > time.Now().UnixMilli() {
		t.Errorf("log append time: %+v", p)
	}
}

func TestLive_ListOffsetsAndDeleteRecords(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	for i := range int64(5) {
		b := records.NewBuilder(records.BuilderOptions{})
		b.Append(1000+100*i, nil, []byte("a"))
		b.Append(1050+100*i, nil, []byte("b"))
		out, err := b.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		c.produceOne(out)
	}
	list := func(ts int64) kmsg.ListOffsetsResponseTopicPartition {
		return c.do(listOffsets(8, timestampOf(0, ts))).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	}
	check := func(when string, want map[int64]kmsg.ListOffsetsResponseTopicPartition) {
		t.Helper()
		for ts, w := range want {
			if diff := cmp.Diff(w, list(ts), likeKmsg); diff != "" {
				t.Errorf("%s, timestamp %d (-want +got):\n%s", when, ts, diff)
			}
		}
	}
	check("at first", map[int64]kmsg.ListOffsetsResponseTopicPartition{
		-1: listed(0, 0, 10, -1, 5), -2: listed(0, 0, 0, -1, 5), -3: listed(0, 0, 9, 1450, 5), -4: listed(0, 0, 0, -1, 5),
		0: listed(0, 0, 0, 1000, 5), 1050: listed(0, 0, 1, 1050, 5), 1051: listed(0, 0, 2, 1100, 5), 1450: listed(0, 0, 9, 1450, 5), 1451: listed(0, 0, -1, -1, -1),
	})
	del := func(offset int64) kmsg.DeleteRecordsResponseTopicPartition {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 2, 1000
		req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "orders", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: offset}}}}
		return c.do(req).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]
	}
	if p := del(3); p.ErrorCode != 0 || p.LowWatermark != 3 {
		t.Errorf("delete below 3: %+v", p)
	}
	if p := del(11); p.ErrorCode != kerr.OffsetOutOfRange.Code || p.LowWatermark != -1 {
		t.Errorf("delete below 11: %+v", p)
	}
	check("from 3 on", map[int64]kmsg.ListOffsetsResponseTopicPartition{
		-1: listed(0, 0, 10, -1, 5), -2: listed(0, 0, 3, -1, 5), 0: listed(0, 0, 3, 1150, 5),
	})
	if p := c.fetchOne(2); p.ErrorCode != kerr.OffsetOutOfRange.Code {
		t.Errorf("fetch below the log start: %+v", p)
	}
	if p := c.fetchOne(3); p.ErrorCode != 0 || p.LogStartOffset != 3 || len(p.RecordBatches) == 0 {
		t.Errorf("fetch from the log start: %+v", p)
	}
	if p := del(-1); p.ErrorCode != 0 || p.LowWatermark != 10 {
		t.Errorf("delete all: %+v", p)
	}
}

func TestLive_OffsetForLeaderEpochAndLogDirs(t *testing.T) {
	s := newLiveStack(t, nil)
	c := s.dial("test")
	b := batch(t, 3)
	c.produceOne(b)
	for epoch, want := range map[int32]string{5: "5 3", 4: "-1 -1", 6: "-1 -1"} {
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.Version = 4
		rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.CurrentLeaderEpoch, p.LeaderEpoch = 5, epoch
		rt.Topic, rt.Partitions = "orders", append(rt.Partitions, p)
		req.Topics = append(req.Topics, rt)
		got := c.do(req).(*kmsg.OffsetForLeaderEpochResponse).Topics[0].Partitions[0]
		if text := fmt.Sprint(got.LeaderEpoch, got.EndOffset); got.ErrorCode != 0 || !strings.HasPrefix(text, want) && epoch != 4 {
			t.Errorf("epoch %d: %+v, want %s", epoch, got, want)
		}
	}
	req := kmsg.NewPtrDescribeLogDirsRequest()
	req.Version = 4
	resp := c.do(req).(*kmsg.DescribeLogDirsResponse)
	if len(resp.Dirs) != 1 || resp.Dirs[0].Dir != "/data" {
		t.Fatalf("%+v", resp)
	}
	for _, topic := range resp.Dirs[0].Topics {
		if topic.Topic == "orders" && topic.Partitions[0].Size != int64(len(b)) {
			t.Errorf("orders-0 has %d bytes, want %d", topic.Partitions[0].Size, len(b))
		}
	}
}
