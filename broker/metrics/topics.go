package metrics

import (
	"sync"
	"sync/atomic"
)

// Topics counts traffic by topic (Kafka's BrokerTopicMetrics). The zero value is ready.
type Topics struct {
	topics sync.Map // name → *TopicCounters
}

// TopicCounters are the counters of one topic. Hot paths may keep the pointer.
type TopicCounters struct {
	BytesIn, BytesOut, BytesRejected, MessagesIn atomic.Int64
	ProduceRequests, FetchRequests               atomic.Int64
	FailedProduces, FailedFetches                atomic.Int64
}

// Topic returns the counters of a topic, creating them at first use. Call it only for topics that exist.
func (t *Topics) Topic(name string) *TopicCounters {
	if c, ok := t.topics.Load(name); ok {
		return c.(*TopicCounters)
	}
	c, _ := t.topics.LoadOrStore(name, new(TopicCounters))
	return c.(*TopicCounters)
}

// add adds other counters to these.
func (c *TopicCounters) add(o *TopicCounters) {
	c.BytesIn.Add(o.BytesIn.Load())
	c.BytesOut.Add(o.BytesOut.Load())
	c.BytesRejected.Add(o.BytesRejected.Load())
	c.MessagesIn.Add(o.MessagesIn.Load())
	c.ProduceRequests.Add(o.ProduceRequests.Load())
	c.FetchRequests.Add(o.FetchRequests.Load())
	c.FailedProduces.Add(o.FailedProduces.Load())
	c.FailedFetches.Add(o.FailedFetches.Load())
}

// Forget drops a deleted topic.
func (t *Topics) Forget(name string) { t.topics.Delete(name) }

// Produced counts an append of one partition: the bytes as they came, and the records in them.
func (t *Topics) Produced(topic string, bytes, records int) {
	c := t.Topic(topic)
	c.ProduceRequests.Add(1)
	c.BytesIn.Add(int64(bytes))
	c.MessagesIn.Add(int64(records))
}

// ProduceFailed counts a refused append; bytes is its size where the records were at fault, else 0.
func (t *Topics) ProduceFailed(topic string, rejected int) {
	c := t.Topic(topic)
	c.ProduceRequests.Add(1)
	c.FailedProduces.Add(1)
	c.BytesRejected.Add(int64(rejected))
}

// Fetched counts the bytes sent of one partition.
func (t *Topics) Fetched(topic string, bytes int) {
	c := t.Topic(topic)
	c.FetchRequests.Add(1)
	c.BytesOut.Add(int64(bytes))
}

// FetchFailed counts a refused read.
func (t *Topics) FetchFailed(topic string) {
	c := t.Topic(topic)
	c.FetchRequests.Add(1)
	c.FailedFetches.Add(1)
}
