package api

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

// Produce appends records to one partition, all or none of them.
type Produce struct {
	Topic        string          `json:"topic" required:"true"`
	Partition    *int32          `json:"partition,omitempty" doc:"left out: chosen by the keys, as Kafka's clients do, which must then agree; any one when there are no keys"`
	Messages     []ProduceRecord `json:"messages" required:"true"`
	RequiredAcks *int64          `json:"requiredAcks,omitempty" doc:"-1, the default: all replicas in sync have the records; 1: the leader has. 0 is answered as 1 is, since an answer tells offsets"`
	TimeoutMs    *int64          `json:"timeoutMs,omitempty" doc:"how long the replicas may take; 30000 when left out"`
}

// ProduceRecord is one record to append.
type ProduceRecord struct {
	Key       []byte            `json:"key" doc:"base64; null: none"`
	Value     []byte            `json:"value" doc:"base64; null: a tombstone"`
	Headers   map[string][]byte `json:"headers,omitempty" doc:"base64 by name"`
	Timestamp *int64            `json:"timestamp,omitempty" doc:"left out: now"`
}

// ProduceAnswer says where the records are.
type ProduceAnswer struct {
	Topic     string          `json:"topic"`
	Partition int32           `json:"partition"`
	Results   []ProduceResult `json:"results" doc:"for each record, in their order"`
	Success   bool            `json:"success"`
	ErrorCode string          `json:"errorCode"`
}

// ProduceResult is where one record is.
type ProduceResult struct {
	Offset       int64  `json:"offset"`
	Timestamp    int64  `json:"timestamp"`
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

const (
	// produceMost bounds the records of a request.
	produceMost = 100_000
	// waitMost bounds how long a request may ask to wait.
	waitMost = 40 * time.Second
	// produceTimeout is how long replicas may take when the request does not say.
	produceTimeout = 30 * time.Second
	// messageTimeout bounds a request for records altogether.
	messageTimeout = waitMost + 10*time.Second
)

func (a *API) messageRoutes() []route {
	forward := []parameter{{"forward", "have this node ask the partition's leader, rather than answer 307 with its address", false}}
	failures := []int{http.StatusTemporaryRedirect, http.StatusNotFound}
	return []route{
		{
			method: http.MethodPost, path: "/storage/messages", id: "produce", query: forward, timeout: messageTimeout, limit: messagesMost,
			summary: "Appends records to a partition, on its leader",
			body:    Produce{}, answer: ProduceAnswer{}, failures: failures, serve: typed(a.produce),
		},
		{
			method: http.MethodPost, path: "/storage/consume", id: "consume", query: forward, timeout: messageTimeout,
			summary: "Reads records of a partition up to its high watermark, on its leader, and waits for some",
			body:    Consume{}, answer: ConsumeAnswer{}, failures: failures, serve: typed(a.consume),
		},
	}
}

// partitionFor finds the partition and its leader.
func (a *API) partitionFor(topic string, index int32) (*image.Topic, protocol.NodeID, error) {
	img, err := a.image()
	if err != nil {
		return nil, 0, err
	}
	t := img.Topic(topic)
	if t == nil {
		return nil, 0, unknownTopic(topic)
	}
	p := img.Partition(protocol.TopicPartition{Topic: topic, Partition: index})
	switch {
	case p == nil:
		return nil, 0, unknownPartition(topic, index)
	case p.Leader < 0:
		return nil, 0, errcode.New(errcode.KindLeaderNotAvailable, "partition %d of topic %q has no leader", index, topic)
	}
	return t, p.Leader, nil
}

// elsewhere sends a client to another node's admin port, unless it wants this node to ask.
func (a *API) elsewhere(r *http.Request, leader protocol.NodeID) error {
	if leader == a.o.Cluster.NodeID() || r.URL.Query().Get("forward") == "true" {
		return nil
	}
	img, err := a.image()
	if err != nil {
		return err
	}
	base := adminURL(img, leader)
	if base == "" {
		return errcode.New(errcode.KindNotLeaderForPartition, "broker %d leads the partition, and has no admin port: add ?forward=true", leader)
	}
	f := fail(http.StatusTemporaryRedirect, errcode.Name(int16(errcode.KindNotLeaderForPartition)), "broker %d leads the partition", leader)
	f.location = base + (&url.URL{Path: r.URL.Path}).EscapedPath()
	return f
}

func (a *API) produce(ctx context.Context, r *http.Request, q *Produce) (any, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	index, err := a.choose(q)
	if err != nil {
		return nil, err
	}
	t, leader, err := a.partitionFor(q.Topic, index)
	if err != nil {
		return nil, err
	}
	if err := a.elsewhere(r, leader); err != nil {
		return nil, err
	}
	req, times, err := q.request(t, index)
	if err != nil {
		return nil, err
	}
	resp, err := a.o.Cluster.Ask(ctx, leader, req)
	if err != nil {
		return nil, err
	}
	for _, rt := range resp.(*kmsg.ProduceResponse).Topics {
		for i := range rt.Partitions {
			return produced(q.Topic, index, &rt.Partitions[i], times)
		}
	}
	return nil, errcode.New(errcode.KindUnknown, "broker %d did not say where the records are", leader)
}

// produced makes the answer of Kafka's.
func produced(topic string, index int32, p *kmsg.ProduceResponseTopicPartition, times []int64) (any, error) {
	text := p.ErrorMessage
	for _, e := range p.ErrorRecords {
		if e.ErrorMessage != nil {
			text = e.ErrorMessage
		}
	}
	if err := kafkaError(p.ErrorCode, text); err != nil {
		return nil, err
	}
	none := errcode.Name(0)
	out := ProduceAnswer{Topic: topic, Partition: index, Results: make([]ProduceResult, len(times)), Success: true, ErrorCode: none}
	for i := range out.Results {
		out.Results[i] = ProduceResult{Offset: p.BaseOffset + int64(i), Timestamp: times[i], ErrorCode: none}
		if p.LogAppendTime >= 0 {
			out.Results[i].Timestamp = p.LogAppendTime
		}
	}
	return out, nil
}

func (q *Produce) check() error {
	switch {
	case q.Topic == "":
		return invalid("topic is missing")
	case len(q.Messages) == 0:
		return invalid("messages is missing or empty")
	case len(q.Messages) > produceMost:
		return errcode.New(errcode.KindRecordListTooLarge, "there are %d messages, at most %d are taken at a time", len(q.Messages), produceMost)
	case q.RequiredAcks != nil && (*q.RequiredAcks < -1 || *q.RequiredAcks > 1):
		return errcode.New(errcode.KindInvalidRequiredAcks, "requiredAcks %d is not one of -1, 0 and 1", *q.RequiredAcks)
	}
	_, err := wait(q.TimeoutMs, produceTimeout, "timeoutMs")
	return err
}

// wait reads a time to wait.
func wait(ms *int64, otherwise time.Duration, member string) (time.Duration, error) {
	switch {
	case ms == nil:
		return otherwise, nil
	case *ms < 0 || *ms > waitMost.Milliseconds():
		return 0, invalid("%s %d is not one of 0 to %d", member, *ms, waitMost.Milliseconds())
	}
	return time.Duration(*ms) * time.Millisecond, nil
}

// choose finds the partition: the one named, or that of the keys.
func (a *API) choose(q *Produce) (int32, error) {
	if q.Partition != nil {
		return *q.Partition, nil
	}
	img, err := a.image()
	if err != nil {
		return 0, err
	}
	t := img.Topic(q.Topic)
	if t == nil {
		return 0, unknownTopic(q.Topic)
	}
	hash := kgo.StickyKeyPartitioner(nil).ForTopic(q.Topic) // Kafka's own for keys
	chosen := -1
	for i := range q.Messages {
		key := q.Messages[i].Key
		if key == nil {
			continue
		}
		switch p := hash.Partition(&kgo.Record{Key: key}, len(t.Partitions)); {
		case chosen < 0:
			chosen = p
		case p != chosen:
			return 0, invalid("the keys of the messages belong to several partitions: name a partition, or send them one by one")
		}
	}
	if chosen < 0 {
		chosen = rand.IntN(len(t.Partitions)) //nolint:gosec // any will do
	}
	return int32(chosen), nil
}

// request makes Kafka's request of it, with one batch. times are those of the records.
func (q *Produce) request(t *image.Topic, index int32) (req *kmsg.ProduceRequest, times []int64, err error) {
	b := records.NewBuilder(records.BuilderOptions{})
	times = make([]int64, len(q.Messages))
	moment := now()
	for i := range q.Messages {
		m := &q.Messages[i]
		times[i] = moment
		if m.Timestamp != nil {
			if times[i] = *m.Timestamp; times[i] < 0 {
				return nil, nil, errcode.New(errcode.KindInvalidTimestamp, "the timestamp %d of message %d is negative", times[i], i)
			}
		}
		headers := make([]records.Header, 0, len(m.Headers))
		for name, value := range m.Headers {
			headers = append(headers, records.Header{Key: name, Value: value})
		}
		b.Append(times[i], m.Key, m.Value, headers...)
	}
	batch, err := b.Bytes()
	if err != nil {
		return nil, nil, err
	}
	req = kmsg.NewPtrProduceRequest()
	req.Acks = -1
	if q.RequiredAcks != nil && *q.RequiredAcks >= 0 {
		req.Acks = 1
	}
	timeout, err := wait(q.TimeoutMs, produceTimeout, "timeoutMs")
	if err != nil {
		return nil, nil, err
	}
	req.TimeoutMillis = int32(timeout.Milliseconds())
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic, rt.TopicID = t.Name, t.ID
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Partition, rp.Records = index, batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req, times, nil
}
