package handler

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// encode writes the Produce response by hand, since kmsg compares each partition's leader by reflection.
//
//	topics: name v3-12 or id v13+ · partitions · tags v9+
//	partition: index int32 · error_code int16 · base_offset int64 · log_append_time int64 · log_start_offset int64 v5+ ·
//	  record_errors v8+ {index int32 · message? · tags v9+} · error_message? v8+ · tags v9+ {0: current leader v10+}
//	throttle_time_ms int32 · tags v9+ {0: node endpoints v10+}
func (c *produceCall) encode() *listener.Encoded {
	e := c.d.encoded.Get()
	e.Grow(c.sizeHint(), 0)
	w := producedWriter{dst: e.Head, version: c.req.Version}
	topics, next := 0, 0
	for i := range c.req.Topics {
		n := len(c.req.Topics[i].Partitions)
		if countKept(c.outcomes[next:next+n]) > 0 {
			topics++
		}
		next += n
	}
	w.len(topics)
	next = 0
	for i := range c.req.Topics {
		n := len(c.req.Topics[i].Partitions)
		c.encodeTopic(&w, &c.req.Topics[i], c.outcomes[next:next+n])
		next += n
	}
	w.dst = kbin.AppendInt32(w.dst, 0) // throttle
	if w.version >= 9 {
		w.dst = appendEndpoints(w.dst, c.hints.nodes)
	}
	e.Head = w.dst
	return e
}

// sizeHint is enough for a response without errors.
func (c *produceCall) sizeHint() int {
	const fixed, topic, partition = 16, 24, 40
	n := fixed + partition*len(c.outcomes)
	for i := range c.req.Topics {
		n += topic + len(c.req.Topics[i].Topic)
	}
	return n
}

func countKept(outcomes []produceOutcome) int {
	n := 0
	for i := range outcomes {
		if !outcomes[i].dropped {
			n++
		}
	}
	return n
}

// encodeTopic writes a topic, unless it has no partitions.
func (c *produceCall) encodeTopic(w *producedWriter, t *kmsg.ProduceRequestTopic, outcomes []produceOutcome) {
	kept := countKept(outcomes)
	if kept == 0 {
		return
	}
	if w.version >= 13 {
		w.dst = append(w.dst, t.TopicID[:]...)
	} else {
		w.string(t.Topic)
	}
	w.len(kept)
	for i := range outcomes {
		if !outcomes[i].dropped {
			c.encodePartition(w, t.Partitions[i].Partition, &outcomes[i])
		}
	}
	w.noTags()
}

// refused is the result of a partition that never got to the log.
func refused(code int16) replica.AppendResult {
	return replica.AppendResult{Err: &errcode.Error{Kind: errcode.Kind(code)}, BaseOffset: -1, LogAppendTime: -1, LogStartOffset: -1}
}

func (c *produceCall) encodePartition(w *producedWriter, index int32, out *produceOutcome) {
	var res replica.AppendResult
	if out.part < 0 {
		res = refused(out.code)
	} else {
		res = c.parts[out.part].Result
	}
	code := errcode.Of(res.Err)
	w.dst = kbin.AppendInt32(w.dst, index)
	w.dst = kbin.AppendInt16(w.dst, code)
	w.dst = kbin.AppendInt64(w.dst, res.BaseOffset)
	w.dst = kbin.AppendInt64(w.dst, res.LogAppendTime)
	if w.version >= 5 {
		w.dst = kbin.AppendInt64(w.dst, res.LogStartOffset)
	}
	if w.version >= 8 {
		w.recordErrors(res.RecordErrors)
		w.nullableString(produceMessage(out, &res, code))
	}
	if w.version < 9 {
		return
	}
	if w.version >= 10 && code == int16(errcode.KindNotLeaderForPartition) && out.part >= 0 {
		leader := c.hints.add(res.CurrentLeader)
		if leader != (leaderNow{-1, -1}) {
			w.dst = append(w.dst, 1, 0, 4+4+1) // one tag: 0, its size
			w.dst = kbin.AppendInt32(w.dst, leader.ID)
			w.dst = kbin.AppendInt32(w.dst, leader.Epoch)
			w.dst = append(w.dst, 0)
			return
		}
	}
	w.dst = append(w.dst, 0)
}

// produceMessage is the text for the errors that the records are to blame for; the others clients heal by themselves.
func produceMessage(out *produceOutcome, res *replica.AppendResult, code int16) *string {
	if out.part < 0 {
		return errcode.Message(out.err)
	}
	switch errcode.Kind(code) {
	case errcode.KindInvalidRecord, errcode.KindInvalidTimestamp, errcode.KindCorruptMessage, errcode.KindMessageTooLarge,
		errcode.KindRecordListTooLarge, errcode.KindUnsupportedCompressionType, errcode.KindOutOfOrderSequenceNumber,
		errcode.KindInvalidProducerEpoch, errcode.KindPolicyViolation:
		return errcode.Message(res.Err)
	default:
		return nil
	}
}

// producedWriter appends in the encoding of one version of Produce.
type producedWriter struct {
	dst     []byte
	version int16
}

func (w *producedWriter) len(n int) {
	if w.version >= 9 {
		w.dst = kbin.AppendCompactArrayLen(w.dst, n)
	} else {
		w.dst = kbin.AppendArrayLen(w.dst, n)
	}
}

func (w *producedWriter) string(s string) {
	if w.version >= 9 {
		w.dst = kbin.AppendCompactString(w.dst, s)
	} else {
		w.dst = kbin.AppendString(w.dst, s)
	}
}

func (w *producedWriter) nullableString(s *string) {
	if w.version >= 9 {
		w.dst = kbin.AppendCompactNullableString(w.dst, s)
	} else {
		w.dst = kbin.AppendNullableString(w.dst, s)
	}
}

func (w *producedWriter) noTags() {
	if w.version >= 9 {
		w.dst = append(w.dst, 0)
	}
}

func (w *producedWriter) recordErrors(errs *records.RecordErrors) {
	if errs == nil {
		w.len(0)
		return
	}
	w.len(len(errs.Records))
	for i := range errs.Records {
		w.dst = kbin.AppendInt32(w.dst, errs.Records[i].Index)
		w.nullableString(&errs.Records[i].Msg)
		w.noTags()
	}
}
