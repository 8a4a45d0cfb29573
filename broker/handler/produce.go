package handler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// adminClientID is the client id that may write to internal topics.
const adminClientID = "__admin_client"

// serveProduce appends one batch to each partition named and answers when they are acknowledged.
//
// Produce: v3-v13
//
// Behaviour:
//   - exactly one batch of magic 2 per partition, else INVALID_RECORD; an incomplete batch behind it is ignored
//   - acks other than -1, 0 and 1: INVALID_REQUIRED_ACKS for each partition
//   - acks=0 has no answer; after an error the connection is closed, so that the client asks for metadata
//   - a partition named twice is appended to once, with what came last; a topic named twice is answered once
//   - internal topics: INVALID_TOPIC_EXCEPTION, except for the client id __admin_client
//
// The answer of a request may come later; meanwhile the next request of its connection is served:
//   - Case A: no partition was appended to, or acks=0: at once
//   - Case B: all appended partitions are acknowledged, or failed: when the last one is
//   - Case C: the timeout passed: REQUEST_TIMED_OUT for those that are not; their records stay
//
// Version notes:
//   - v5 log start offset; v7 zstd, before: UNSUPPORTED_COMPRESSION_TYPE
//   - v8 the bad records of a refused batch and an error message (KIP-467)
//   - v10 leader and its address with NOT_LEADER_OR_FOLLOWER (KIP-951)
//   - v13 topics by id (KIP-516): UNKNOWN_TOPIC_ID
//
// Differences from Apache Kafka: transactions are not served, so a transactional batch is none of a transaction we know:
// INVALID_TXN_STATE, from v11 on TRANSACTION_ABORTABLE. Records left out (null) are INVALID_RECORD, where Kafka answers
// UNKNOWN_SERVER_ERROR. More errors than those of KIP-467 come with a message.
func (d *dataHandler) serveProduce(_ context.Context, r *listener.Request) listener.Response {
	req, ok := r.Body.(*kmsg.ProduceRequest)
	if !ok {
		return listener.Close{Err: fmt.Errorf("produce decoded as %T", r.Body)}
	}
	c := newProduceCall(d, r, req)
	c.plan(d.h.images.Image(), r.Header)
	if len(c.parts) == 0 {
		return c.respond()
	}
	if req.Acks != 0 {
		c.pending = listener.NewPending(true)
	}
	pending := c.pending // c may be answered and reused as soon as Append has returned
	if d.replicas.Append(c.options(), c.parts, c.done) {
		return c.respond()
	}
	r.Release() // the records have been written
	return pending
}

// serveProduces does what serveProduce does for each request, none of which has acks=0.
func (d *dataHandler) serveProduces(rs []*listener.Request, out []listener.Response) {
	type call struct {
		*produceCall
		pending *listener.Pending // the call may be answered and reused as soon as AppendAll has returned
		at      int
	}
	var calls []call
	var appends []replica.AppendRequest
	for i, r := range rs {
		c := newProduceCall(d, r, r.Body.(*kmsg.ProduceRequest)) //nolint:forcetypeassert // as Gathers has seen
		c.plan(d.h.images.Image(), r.Header)
		if len(c.parts) == 0 {
			out[i] = c.respond()
			continue
		}
		c.pending = listener.NewPending(true)
		calls = append(calls, call{c, c.pending, i})
		appends = append(appends, replica.AppendRequest{AppendOptions: c.options(), Parts: c.parts, Done: c.done})
	}
	d.replicas.AppendAll(appends)
	for i, c := range calls {
		if appends[i].Final {
			out[c.at] = c.respond()
			continue
		}
		rs[c.at].Release() // the records have been written
		out[c.at] = c.pending
	}
}

func (c *produceCall) options() replica.AppendOptions {
	return replica.AppendOptions{Acks: c.req.Acks, Timeout: time.Duration(c.req.TimeoutMillis) * time.Millisecond, Origin: replica.FromClient}
}

// produceCall is one Produce on its way. Calls are reused: c belongs to whoever answers it.
type produceCall struct {
	d            *dataHandler
	req          *kmsg.ProduceRequest
	listenerName string
	pending      *listener.Pending
	outcomes     []produceOutcome // of each partition of the request, in its order
	parts        []replica.Append // what is appended
	owners       []int32          // parallel to parts: the outcome it belongs to
	places       map[protocol.TopicPartition]int32
	hints        leaderHints

	done    func()            // c.complete
	respond listener.Deferred // c.answer
}

// produceOutcome is what becomes of one partition: refused with code, or appended as parts[part].
type produceOutcome struct {
	code    int16
	err     error // why it was refused, where there is more to say than the code
	part    int32 // -1: refused
	dropped bool  // a later mention of the partition counts
	bytes   int
	records int
}

func newProduceCall(d *dataHandler, r *listener.Request, req *kmsg.ProduceRequest) *produceCall {
	c, ok := d.produceCalls.Get().(*produceCall)
	if !ok {
		c = new(produceCall)
		c.done, c.respond = c.complete, c.answer
	}
	c.d, c.req, c.listenerName = d, req, r.Conn.ListenerName
	return c
}

// recycle gives the call back. What it points to must not stay alive.
func (c *produceCall) recycle() {
	clear(c.outcomes)
	clear(c.parts)
	clear(c.hints.nodes)
	d := c.d
	c.d, c.req, c.pending, c.places = nil, nil, nil, nil
	c.outcomes, c.parts, c.owners = c.outcomes[:0], c.parts[:0], c.owners[:0]
	c.hints = leaderHints{nodes: c.hints.nodes[:0]}
	d.produceCalls.Put(c)
}

// plan decides for each partition whether it is appended to.
func (c *produceCall) plan(img *image.Image, h protocol.RequestHeader) {
	type topic = kmsg.ProduceRequestTopic
	c.req.Topics = mergeTopics(c.req.Topics,
		func(t *topic) topicKey { return topicKey{t.Topic, t.TopicID} },
		func(into, from *topic) { into.Partitions = append(into.Partitions, from.Partitions...) })
	for i := range c.req.Topics {
		t := &c.req.Topics[i]
		topic, unknown := producedTopic(img, t, h.Version)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			out := produceOutcome{code: unknown, part: -1}
			switch {
			case unknown != 0:
			case topic == nil || p.Partition < 0 || int(p.Partition) >= len(topic.Partitions):
				out.code = int16(errcode.KindUnknownTopicOrPartition)
			default:
				c.admit(&out, topic, p, h)
			}
			c.outcomes = append(c.outcomes, out)
		}
	}
}

// producedTopic finds the topic; code says that the request may not name it so.
func producedTopic(img *image.Image, t *kmsg.ProduceRequestTopic, version int16) (topic *image.Topic, code int16) {
	if version < 13 {
		return img.Topic(t.Topic), 0
	}
	if topic = img.TopicByID(t.TopicID); topic == nil {
		return nil, int16(errcode.KindUnknownTopicID)
	}
	return topic, 0
}

// admit checks what can be checked without the log.
func (c *produceCall) admit(out *produceOutcome, topic *image.Topic, p *kmsg.ProduceRequestTopicPartition, h protocol.RequestHeader) {
	batch, kind, err := producedBatch(p.Records, h.Version)
	switch acks := c.req.Acks; {
	case kind != errcode.KindNone:
	case acks != -1 && acks != 0 && acks != 1:
		kind = errcode.KindInvalidRequiredAcks
	case protocol.InternalTopic(topic.Name) && h.ClientID != adminClientID:
		kind = errcode.KindInvalidTopicException
	case batch.IsTransactional() && c.req.TransactionID == nil:
		kind = errcode.KindTransactionalIDAuthorizationFailed
	case batch.IsTransactional() && h.Version >= 11:
		kind = errcode.KindTransactionAbortable
	case batch.IsTransactional():
		kind = errcode.KindInvalidTxnState
	}
	if kind != errcode.KindNone {
		out.code, out.err = int16(kind), err
		return
	}
	part := replica.Append{
		TopicIDPartition: protocol.TopicIDPartition{Topic: topic.Name, Partition: p.Partition},
		Records:          batch,
	}
	if h.Version >= 13 {
		part.ID = topic.ID
	}
	out.bytes, out.records = len(batch), int(batch.RecordCount())
	out.part = c.place(part)
}

// producedBatch makes Kafka's checks of what a Produce may carry for one partition (ProduceRequest.validateRecords).
func producedBatch(b []byte, version int16) (records.Batch, errcode.Kind, error) {
	batch, rest, err := records.Split(b)
	switch {
	case errors.Is(err, records.ErrShort), errors.Is(err, records.ErrLegacy):
		return nil, errcode.KindInvalidRecord, nil
	case err != nil:
		return nil, errcode.KindOf(err), err
	case version < 7 && batch.Codec() == compress.Zstd:
		return nil, errcode.KindUnsupportedCompressionType, nil
	}
	if len(rest) > 0 {
		if _, _, err = records.Split(rest); err == nil || errors.Is(err, records.ErrLegacy) {
			return nil, errcode.KindInvalidRecord, nil
		} else if !errors.Is(err, records.ErrShort) {
			return nil, errcode.KindOf(err), err
		}
	}
	return batch, errcode.KindNone, nil
}

// fewParts is how many partitions are searched one by one for a second mention.
const fewParts = 16

// place adds the partition of the next outcome to what is appended, or replaces an earlier mention of it.
func (c *produceCall) place(part replica.Append) int32 {
	owner := int32(len(c.outcomes))
	if i := c.find(part.TopicPartition()); i >= 0 {
		earlier := &c.outcomes[c.owners[i]]
		earlier.dropped, earlier.part = true, -1
		c.parts[i], c.owners[i] = part, owner
		return i
	}
	i := int32(len(c.parts))
	c.parts, c.owners = append(c.parts, part), append(c.owners, owner)
	if c.places != nil {
		c.places[part.TopicPartition()] = i
	}
	return i
}

// find returns the place of a partition among parts, or -1. Of many partitions it makes an index.
func (c *produceCall) find(tp protocol.TopicPartition) int32 {
	if len(c.parts) < fewParts {
		for i := range c.parts {
			if p := &c.parts[i]; p.Partition == tp.Partition && p.Topic == tp.Topic {
				return int32(i)
			}
		}
		return -1
	}
	if c.places == nil {
		c.places = make(map[protocol.TopicPartition]int32, 4*fewParts)
		for i := range c.parts {
			c.places[c.parts[i].TopicPartition()] = int32(i)
		}
	}
	if i, ok := c.places[tp]; ok {
		return i
	}
	return -1
}

// complete is called when all results are there, on whichever goroutine that became known: the answer is made on the
// connection's.
func (c *produceCall) complete() {
	if c.pending != nil {
		c.pending.Complete(c.respond)
	}
}

// answer makes the response and gives the call back.
func (c *produceCall) answer() listener.Response {
	defer c.recycle()
	failed := c.count()
	if c.req.Acks == 0 {
		if failed != nil {
			return listener.Close{Err: fmt.Errorf("produce with acks=0: %w", failed)}
		}
		return listener.NoReply{}
	}
	c.hints.img, c.hints.listenerName = c.d.h.images.Image(), c.listenerName
	return c.encode()
}

// count feeds the metrics and returns an error of a partition, if there is one.
func (c *produceCall) count() (failed error) {
	for i := range c.outcomes {
		out := &c.outcomes[i]
		switch {
		case out.dropped:
		case out.part < 0:
			failed = errcode.New(errcode.Kind(out.code), "%s", errcode.Name(out.code))
		case c.parts[out.part].Result.Err != nil:
			p := &c.parts[out.part]
			failed = p.Result.Err
			rejected := 0
			if errcode.KindOf(failed) == errcode.KindMessageTooLarge {
				rejected = out.bytes
			}
			c.d.topics.ProduceFailed(p.Topic, rejected)
		default:
			c.d.topics.Produced(c.parts[out.part].Topic, out.bytes, out.records)
		}
	}
	return failed
}
