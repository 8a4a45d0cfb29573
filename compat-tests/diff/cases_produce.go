package diff

import (
	"encoding/binary"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// produce asks for a batch to be appended to a topic of the case, by id from v13 on.
func (s *Session) produce(v int16, name string, partition int32, acks int16, batch []byte) *kmsg.ProduceRequest {
	req := produceRequest(v, s.Topic(name), partition, acks, batch)
	if v >= 13 {
		req.Topics[0].TopicID = s.TopicID(name)
	}
	return req
}

// read fetches a partition from an offset with Fetch v11, without waiting, and records it.
func (s *Session) read(step, name string, partition int32, offset int64) {
	s.Send(step, s.fetch(11, name, partition, offset))
}

// badBatches are batches that Kafka refuses, or takes although they look odd. Each goes to a fresh topic, is followed by a read.
func badBatches() []struct {
	name    string
	configs []string
	batch   []byte
} {
	big := strings.Repeat("x", 3000)
	future := int64(4102444800000) // 2100
	edit := func(f func(b *kmsg.RecordBatch)) []byte {
		return spec{records: records("a", "b", "c"), edit: f}.batch()
	}
	bend := func(f func(b []byte) []byte) []byte { return spec{records: records("a", "b", "c"), bend: f}.batch() }
	good := spec{records: records("a", "b", "c")}.batch()
	null := rec{}
	return []struct {
		name    string
		configs []string
		batch   []byte
	}{
		{"good", nil, good},
		{"nulls and headers", nil, spec{records: []rec{null, {key: []byte{}, value: []byte{}}, {value: []byte("v"), headers: []kmsg.Header{{Key: "h", Value: []byte("1")}, {Key: "h"}, {Key: "", Value: []byte{}}}}}}.batch()},
		{"null records", nil, nil},
		{"no bytes", nil, []byte{}},
		{"too short for a header", nil, good[:40]},
		{"shorter than an overhead", nil, good[:10]},
		{"cut", nil, good[:len(good)-1]},
		{"bytes behind", nil, append(append([]byte{}, good...), 0)},
		{"half a batch behind", nil, append(append([]byte{}, good...), good[:30]...)},
		{"two batches", nil, append(append([]byte{}, good...), good...)},
		{"wrong crc", nil, bend(func(b []byte) []byte { b[17] ^= 1; return b })},
		{"flipped payload", nil, bend(func(b []byte) []byte { b[len(b)-1] ^= 1; return b })},
		{"length too small", nil, bend(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 10); return b })},
		{"length negative", nil, bend(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 0xffffffff); return b })},
		{"length one less", nil, bend(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], uint32(len(b)-13)); return b })},
		{"length huge", nil, bend(func(b []byte) []byte { binary.BigEndian.PutUint32(b[8:], 1<<30); return b })},
		{"magic 0", nil, bend(func(b []byte) []byte { b[16] = 0; return b })},
		{"magic 1", nil, bend(func(b []byte) []byte { b[16] = 1; return b })},
		{"magic 3", nil, bend(func(b []byte) []byte { b[16] = 3; return b })},
		{"magic -1", nil, bend(func(b []byte) []byte { b[16] = 255; return b })},
		{"base offset 5", nil, edit(func(b *kmsg.RecordBatch) { b.FirstOffset = 5 })},
		{"base offset -1", nil, edit(func(b *kmsg.RecordBatch) { b.FirstOffset = -1 })},
		{"leader epoch 7", nil, edit(func(b *kmsg.RecordBatch) { b.PartitionLeaderEpoch = 7 })},
		{"last offset delta too small", nil, edit(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 1 })},
		{"last offset delta too large", nil, edit(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 3 })},
		{"last offset delta negative", nil, edit(func(b *kmsg.RecordBatch) { b.LastOffsetDelta = -1 })},
		{"count 0", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta, b.Records = 0, 0, nil })},
		{"count 0, delta -1", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta, b.Records = 0, -1, nil })},
		{"count too small", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords = 2 })},
		{"count and delta too small", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 2, 1 })},
		{"count and delta too large", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 4, 3 })},
		{"count negative", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords = -3 })},
		{"count huge", nil, edit(func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1<<31-1, 1<<31-2 })},
		{"offset deltas with a gap", nil, spec{records: []rec{{value: []byte("a")}, {value: []byte("b"), delta: 2}}, edit: func(b *kmsg.RecordBatch) { b.LastOffsetDelta = 2 }}.batch()},
		{"offset deltas twice the same", nil, spec{records: []rec{{value: []byte("a")}, {value: []byte("b")}, {value: []byte("c"), delta: 1}}}.batch()},
		{"control", nil, spec{records: []rec{{key: []byte{0, 0, 0, 0}, value: []byte{0, 0, 0, 0, 0, 0}}}, attribute: 0x20}.batch()},
		{"transactional without a producer", nil, spec{records: records("a"), attribute: 0x10}.batch()},
		{"transactional", nil, spec{records: records("a"), attribute: 0x10, hasSeq: true, producer: 1 << 41, sequence: 0}.batch()},
		{"log append time claimed", nil, spec{records: records("a"), attribute: 8}.batch()},
		{"delete horizon claimed", nil, spec{records: records("a"), attribute: 0x40}.batch()},
		{"unknown attributes", nil, spec{records: records("a"), attribute: 0x0f80}.batch()},
		{"codec 5", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes |= 5 })},
		{"codec 7", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes |= 7 })},
		{"producer without sequence", nil, edit(func(b *kmsg.RecordBatch) { b.ProducerID, b.ProducerEpoch = 1<<41, 0 })},
		{"producer with epoch -1", nil, edit(func(b *kmsg.RecordBatch) { b.ProducerID, b.FirstSequence = 1<<41, 0 })},
		{"sequence without producer", nil, edit(func(b *kmsg.RecordBatch) { b.FirstSequence = 0 })},
		{"timestamp in the future", nil, spec{records: []rec{{value: []byte("a"), timestamp: future}}}.batch()},
		{"one of three in the future", nil, spec{records: []rec{{value: []byte("a")}, {value: []byte("b"), timestamp: future}, {value: []byte("c")}}}.batch()},
		{"timestamp -1", nil, spec{records: []rec{{value: []byte("a"), timestamp: -1}}}.batch()},
		{"timestamp -2", nil, spec{records: []rec{{value: []byte("a"), timestamp: -2}}}.batch()},
		{"max timestamp wrong", nil, edit(func(b *kmsg.RecordBatch) { b.MaxTimestamp = baseTime - 5 })},
		{"max timestamp -1", nil, edit(func(b *kmsg.RecordBatch) { b.MaxTimestamp = -1 })},
		{"max timestamp wrong in gzip", nil, spec{records: records("a", "b"), codec: 1, edit: func(b *kmsg.RecordBatch) { b.MaxTimestamp = baseTime + 99 }}.batch()},
		{"too old", []string{"message.timestamp.before.max.ms=1000"}, good},
		{"future allowed", []string{"message.timestamp.after.max.ms=9223372036854775807"}, spec{records: []rec{{value: []byte("a"), timestamp: future}}}.batch()},
		{"no key, compacted", []string{"cleanup.policy=compact"}, spec{records: []rec{{key: []byte("k"), value: []byte("v")}, null, {value: []byte("w")}}}.batch()},
		{"no key, compacted, gzip", []string{"cleanup.policy=compact"}, spec{codec: 1, records: []rec{null, {key: []byte("k"), value: []byte("v")}}}.batch()},
		{"no key, compacted and deleted", []string{"cleanup.policy=compact,delete"}, spec{records: []rec{null}}.batch()},
		{"tombstone, compacted", []string{"cleanup.policy=compact"}, spec{records: []rec{{key: []byte("k")}}}.batch()},
		{"empty key, compacted", []string{"cleanup.policy=compact"}, spec{records: []rec{{key: []byte{}, value: []byte("v")}}}.batch()},
		{"over max.message.bytes", []string{"max.message.bytes=1000"}, spec{records: records(big)}.batch()},
		{"under max.message.bytes when compressed", []string{"max.message.bytes=1000"}, spec{records: records(big), codec: 1}.batch()},
		{"over segment.bytes", []string{"segment.bytes=1048576", "max.message.bytes=4000000"}, spec{records: records(strings.Repeat("x", 1100000))}.batch()},
		{"over the default size", nil, spec{records: records(strings.Repeat("x", 1048588))}.batch()},
		{"garbage in gzip", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes = 1; b.Records = []byte("this is not gzip") })},
		{"garbage in snappy", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes = 2; b.Records = []byte("this is not snappy") })},
		{"garbage in lz4", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes = 3; b.Records = []byte("this is not lz4") })},
		{"garbage in zstd", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes = 4; b.Records = []byte("this is not zstd") })},
		{"nothing in gzip", nil, edit(func(b *kmsg.RecordBatch) { b.Attributes = 1; b.Records = nil })},
		{"cut gzip", nil, spec{records: records(big, big), codec: 1, edit: func(b *kmsg.RecordBatch) { b.Records = b.Records[:len(b.Records)-12] }}.batch()},
		{"count too large in zstd", nil, spec{records: records("a", "b"), codec: 4, edit: func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 3, 2 }}.batch()},
		{"count too small in lz4", nil, spec{records: records("a", "b"), codec: 3, edit: func(b *kmsg.RecordBatch) { b.NumRecords, b.LastOffsetDelta = 1, 0 }}.batch()},
		{"record longer than the batch", nil, edit(func(b *kmsg.RecordBatch) { b.Records = []byte{0x7e, 0, 0, 0} })},
		{"record of length 0", nil, edit(func(b *kmsg.RecordBatch) { b.Records = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0} })},
		{"record with a bad key length", nil, spec{records: records("a"), bend: func(b []byte) []byte { b[61+4] = 0x7e; return recrc(b) }}.batch()},
	}
}

func produceCases() []Case {
	var out []Case
	for _, acks := range []int16{1, -1} {
		out = append(out, each("Produce/acks "+map[int16]string{1: "1", -1: "all"}[acks], 3, 13, func(s *Session, v int16) {
			s.CreateTopic("a", 2)
			s.Send("first", s.produce(v, "a", 0, acks, spec{records: records("x", "y")}.batch()))
			s.Send("second", s.produce(v, "a", 0, acks, spec{records: records("z")}.batch()))
			s.Send("other partition", s.produce(v, "a", 1, acks, spec{records: records("q")}.batch()))
			s.read("all", "a", 0, 0)
		})...)
	}
	out = append(out, each("Produce/acks 0", 3, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		s.SendNoReply("good", s.produce(v, "a", 0, 0, spec{records: records("x", "y")}.batch()))
		s.Eventually("read", s.fetch(11, "a", 0, 0), func(r kmsg.Response) bool {
			return len(r.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches) > 0
		})
		s.On("bad crc")
		s.SendNoReply("bad crc", s.produce(v, "a", 0, 0, spec{records: records("x"), bend: func(b []byte) []byte { b[17] ^= 1; return b }}.batch()))
		s.On("bad partition")
		s.SendNoReply("bad partition", s.produce(v, "a", 9, 0, spec{records: records("x")}.batch()))
	})...)
	for _, acks := range []int16{2, -2, 32767} {
		out = append(out, each("Produce/acks "+map[int16]string{2: "2", -2: "-2", 32767: "32767"}[acks], 3, 13, func(s *Session, v int16) {
			s.CreateTopic("a", 1)
			s.Send("answer", s.produce(v, "a", 0, acks, spec{records: records("x")}.batch()))
			s.read("nothing", "a", 0, 0)
		})...)
	}
	for i, codec := range []string{"gzip", "snappy", "lz4", "zstd"} {
		out = append(out, each("Produce/codec "+codec, 3, 13, func(s *Session, v int16) {
			s.CreateTopic("a", 1)
			s.Send("answer", s.produce(v, "a", 0, -1, spec{records: records("x", strings.Repeat("y", 500)), codec: int16(i + 1)}.batch()))
			s.read("read", "a", 0, 0)
		})...)
	}
	for _, bad := range badBatches() {
		for _, v := range []int16{3, 7, 9, 13} {
			out = append(out, one(caseName("Produce/batch "+bad.name, v), func(s *Session) {
				s.CreateTopic("a", 1, bad.configs...)
				s.Send("answer", s.produce(v, "a", 0, -1, bad.batch))
				s.read("read", "a", 0, 0)
			})...)
		}
	}
	out = append(out, each("Produce/unknown places", 3, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		good := spec{records: records("x")}.batch()
		s.Send("partition", s.produce(v, "a", 1, -1, good))
		s.Send("negative partition", s.produce(v, "a", -1, -1, good))
		missing := produceRequest(v, s.Topic("missing"), 0, -1, good)
		missing.Topics[0].TopicID = unknownID(1)
		s.Send("topic", missing)
		missing.Topics[0].TopicID = [16]byte{}
		missing.Topics[0].Topic = "a/b"
		s.Send("invalid name", missing)
		empty := produceRequest(v, "", 0, -1, good)
		s.Send("empty name", empty)
		none := s.produce(v, "a", 0, -1, good)
		none.Topics[0].Partitions = nil
		s.Send("no partitions", none)
		none.Topics = nil
		s.Send("no topics", none)
		mixed := s.produce(v, "a", 0, -1, good)
		mixed.Topics = append(mixed.Topics, missing.Topics[0])
		mixed.Topics[1].Topic, mixed.Topics[1].TopicID = s.Topic("missing"), unknownID(1)
		mixed.Topics[0].Partitions = append(mixed.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 5, Records: good})
		s.Send("good and bad", mixed)
		s.read("read", "a", 0, 0)
	})...)
	out = append(out, each("Produce/partition twice", 3, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 1)
		req := s.produce(v, "a", 0, -1, spec{records: records("x")}.batch())
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, kmsg.ProduceRequestTopicPartition{Partition: 0, Records: spec{records: records("y")}.batch()})
		s.Send("answer", req)
		s.read("read", "a", 0, 0)
	})...)
	out = append(out, each("Produce/topic twice", 3, 13, func(s *Session, v int16) {
		s.CreateTopic("a", 2)
		req := s.produce(v, "a", 0, -1, spec{records: records("x")}.batch())
		again := s.produce(v, "a", 1, -1, spec{records: records("y")}.batch())
		req.Topics = append(req.Topics, again.Topics...)
		s.Send("answer", req)
	})...)
	for _, c := range []string{"gzip", "snappy", "lz4", "zstd", "uncompressed", "producer"} {
		out = append(out, one("Produce/compression.type "+c, func(s *Session) {
			s.CreateTopic("a", 1, "compression.type="+c)
			for codec := range int16(5) {
				s.Send("append", s.produce(9, "a", 0, -1, spec{records: records("x", strings.Repeat("y", 300), "z"), codec: codec}.batch()))
			}
			s.read("read", "a", 0, 0)
		})...)
	}
	for codec := range int16(5) {
		out = append(out, one(caseName("Produce/log append time, codec", codec), func(s *Session) {
			s.CreateTopic("a", 1, "message.timestamp.type=LogAppendTime")
			s.Send("append", s.produce(9, "a", 0, -1, spec{records: records("x", "y"), codec: codec}.batch()))
			s.Send("in the future", s.produce(9, "a", 0, -1, spec{records: []rec{{value: []byte("a"), timestamp: 4102444800000}}, codec: codec}.batch()))
			s.read("read", "a", 0, 0)
		})...)
	}
	return out
}

// idempotent batches of a producer.
func seq(producer int64, epoch int16, sequence int32, values ...string) []byte {
	return spec{records: records(values...), hasSeq: true, producer: producer, epoch: epoch, sequence: sequence}.batch()
}

func idempotenceCases() []Case {
	id := func(s *Session) (int64, int16) {
		req := withVersion(kmsg.NewPtrInitProducerIDRequest(), 4)
		req.TransactionTimeoutMillis = 60000
		req.ProducerID, req.ProducerEpoch = -1, -1
		var r *kmsg.InitProducerIDResponse
		s.must(s.until(func() (bool, error) { // a broker that has just started has no block of ids yet
			r = s.Quiet(req).(*kmsg.InitProducerIDResponse)
			return r.ErrorCode == 0, nil
		}))
		return r.ProducerID, r.ProducerEpoch
	}
	type step struct {
		name     string
		epoch    int16
		sequence int32
		count    int
	}
	scripts := map[string][]step{
		"in order":            {{"0", 0, 0, 2}, {"2", 0, 2, 3}, {"5", 0, 5, 1}},
		"starts at 7":         {{"7", 0, 7, 1}, {"8", 0, 8, 1}},
		"duplicate":           {{"0", 0, 0, 2}, {"again", 0, 0, 2}, {"2", 0, 2, 1}, {"first again", 0, 0, 2}, {"second again", 0, 2, 1}},
		"five back":           {{"0", 0, 0, 1}, {"1", 0, 1, 1}, {"2", 0, 2, 1}, {"3", 0, 3, 1}, {"4", 0, 4, 1}, {"0 again", 0, 0, 1}, {"5", 0, 5, 1}, {"1 again", 0, 1, 1}, {"0 too late", 0, 0, 1}},
		"gap":                 {{"0", 0, 0, 1}, {"2", 0, 2, 1}, {"1", 0, 1, 1}, {"2 now", 0, 2, 1}},
		"overlap":             {{"0-2", 0, 0, 3}, {"1-3", 0, 1, 3}, {"2-2", 0, 2, 1}, {"0-1", 0, 0, 2}, {"0-3", 0, 0, 4}},
		"new epoch":           {{"e0 0", 0, 0, 1}, {"e1 0", 1, 0, 1}, {"e1 1", 1, 1, 1}, {"e0 1", 0, 1, 1}, {"e0 0 again", 0, 0, 1}},
		"new epoch not at 0":  {{"e0 0", 0, 0, 1}, {"e1 1", 1, 1, 1}, {"e1 0", 1, 0, 1}},
		"new epoch first":     {{"e3 5", 3, 5, 1}, {"e3 6", 3, 6, 1}},
		"end of the range":    {{"near", 0, 2147483645, 2}, {"last", 0, 2147483647, 1}, {"wraps", 0, 0, 1}, {"on", 0, 1, 1}},
		"wrap within a batch": {{"near", 0, 2147483646, 3}, {"on", 0, 1, 1}, {"again", 0, 2147483646, 3}},
	}
	var out []Case
	for _, name := range sortedKeys(scripts) {
		for _, v := range []int16{3, 8, 13} {
			out = append(out, one(caseName("Produce/idempotent, "+name, v), func(s *Session) {
				s.CreateTopic("a", 1)
				producer, _ := id(s)
				for _, st := range scripts[name] {
					s.Send(st.name, s.produce(v, "a", 0, -1, seq(producer, st.epoch, st.sequence, make([]string, st.count)...)))
				}
				s.read("read", "a", 0, 0)
				s.Send("producers", describeProducers(s.Topic("a"), 0))
			})...)
		}
	}
	out = append(out, one("Produce/idempotent, two producers", func(s *Session) {
		s.CreateTopic("a", 2)
		p1, _ := id(s)
		p2, _ := id(s)
		s.Note("ids differ", p1 != p2)
		for _, p := range []int64{p1, p2} {
			for part := range int32(2) {
				s.Send("append", s.produce(9, "a", part, -1, seq(p, 0, 0, "x", "y")))
			}
		}
		s.Send("0 again", s.produce(9, "a", 0, -1, seq(p1, 0, 0, "x", "y")))
		s.Send("0", describeProducers(s.Topic("a"), 0))
		s.Send("1", describeProducers(s.Topic("a"), 1))
		s.read("read", "a", 0, 0)
	})...)
	return append(out, one("Produce/idempotent, acks 0 and compressed", func(s *Session) {
		s.CreateTopic("a", 1)
		p, _ := id(s)
		s.SendNoReply("acks 0", s.produce(9, "a", 0, 0, seq(p, 0, 0, "x")))
		s.Send("next, gzip", s.produce(9, "a", 0, 1, spec{records: records("y", "z"), codec: 1, hasSeq: true, producer: p, sequence: 1}.batch()))
		s.Send("again", s.produce(9, "a", 0, 1, spec{records: records("y", "z"), codec: 1, hasSeq: true, producer: p, sequence: 1}.batch()))
		s.SendNoReply("acks 0 out of order", s.produce(9, "a", 0, 0, seq(p, 0, 9, "x")))
		s.read("read", "a", 0, 0)
	})...)
}

func describeProducers(topic string, partitions ...int32) *kmsg.DescribeProducersRequest {
	req := kmsg.NewPtrDescribeProducersRequest()
	t := kmsg.NewDescribeProducersRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	req.Topics = append(req.Topics, t)
	return req
}

func producerIDCases() []Case {
	type in struct {
		name    string
		txn     *string
		timeout int32
		id      int64
		epoch   int16
	}
	var out []Case
	for _, x := range []in{
		{"plain", nil, 60000, -1, -1},
		{"timeout 0", nil, 0, -1, -1},
		{"timeout negative", nil, -1, -1, -1},
		{"id without epoch", nil, 60000, 5, -1},
		{"epoch without id", nil, 60000, -1, 5},
		{"both", nil, 60000, 5, 5},
		{"negative", nil, 60000, -5, -5},
		{"empty transactional id", ptr(""), 60000, -1, -1},
	} {
		out = append(out, each("InitProducerId/"+x.name, 0, 5, func(s *Session, v int16) {
			req := withVersion(kmsg.NewPtrInitProducerIDRequest(), v)
			req.TransactionalID, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = x.txn, x.timeout, x.id, x.epoch
			s.Eventually("answer", req, func(r kmsg.Response) bool { return r.(*kmsg.InitProducerIDResponse).ErrorCode != 14 })
			s.Send("once more", req)
		})...)
	}
	return append(out, one("DescribeProducers/unknown", func(s *Session) {
		s.CreateTopic("a", 1)
		s.Send("no producers", describeProducers(s.Topic("a"), 0))
		s.Send("partition", describeProducers(s.Topic("a"), 0, 7, -1))
		s.Send("topic", describeProducers(s.Topic("missing"), 0))
		s.Send("name", describeProducers("a/b", 0))
		s.Send("no partitions", describeProducers(s.Topic("a")))
	})...)
}

func deleteRecordsCases() []Case {
	ask := func(v int16, topic string, at ...int64) *kmsg.DeleteRecordsRequest {
		req := withVersion(kmsg.NewPtrDeleteRecordsRequest(), v)
		req.TimeoutMillis = 5000
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = topic
		for i, o := range at {
			p := kmsg.NewDeleteRecordsRequestTopicPartition()
			p.Partition, p.Offset = int32(i), o
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
		return req
	}
	return each("DeleteRecords", 0, 2, func(s *Session, v int16) {
		s.CreateTopic("a", 2)
		s.CreateTopic("compacted", 1, "cleanup.policy=compact")
		s.CreateTopic("both", 1, "cleanup.policy=compact,delete")
		for range 3 {
			s.Produce("a", 0, spec{records: records("x", "y", "z")}.batch())
		}
		s.Produce("compacted", 0, spec{records: records("x")}.batch())
		s.Produce("both", 0, spec{records: records("x")}.batch())
		s.Send("to 4", ask(v, s.Topic("a"), 4))
		s.Send("earliest", listOffsets(5, s.Topic("a"), 0, -2))
		s.read("below", "a", 0, 3)
		s.read("at", "a", 0, 4)
		s.Send("back to 2", ask(v, s.Topic("a"), 2))
		s.Send("beyond", ask(v, s.Topic("a"), 10))
		s.Send("negative", ask(v, s.Topic("a"), -2))
		s.Send("to the high watermark", ask(v, s.Topic("a"), -1))
		s.Send("empty partition", ask(v, s.Topic("a"), -1, -1, -1))
		s.Send("unknown topic", ask(v, s.Topic("missing"), 0))
		s.Send("compacted", ask(v, s.Topic("compacted"), 1))
		s.Send("compacted and deleted", ask(v, s.Topic("both"), 1))
		s.Send("no topics", withVersion(kmsg.NewPtrDeleteRecordsRequest(), v))
		s.Send("produce after it", s.produce(7, "a", 0, -1, spec{records: records("x")}.batch()))
		s.read("read after it", "a", 0, 9)
	})
}
