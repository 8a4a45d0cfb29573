package api

import (
	"cmp"
	"context"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// NewTopic creates a topic. What is left out takes the cluster's defaults.
type NewTopic struct {
	TopicName         string             `json:"topicName" required:"true"`
	NumPartitions     *int64             `json:"numPartitions,omitempty" doc:"or partitionCount"`
	PartitionCount    *int64             `json:"partitionCount,omitempty"`
	ReplicationFactor *int64             `json:"replicationFactor,omitempty"`
	Config            map[string]*string `json:"config,omitempty" doc:"Kafka's topic configs by name"`
	RetentionMs       *int64             `json:"retentionMs,omitempty" doc:"retention.ms"`
	RetentionBytes    *int64             `json:"retentionBytes,omitempty" doc:"retention.bytes"`
	SegmentBytes      *int64             `json:"segmentBytes,omitempty" doc:"segment.bytes"`
	CompressionType   *string            `json:"compressionType,omitempty" doc:"compression.type"`
	MinInsyncReplicas *int64             `json:"minInsyncReplicas,omitempty" doc:"min.insync.replicas"`
}

// Topic is a topic as the metadata hold it.
type Topic struct {
	TopicName         string            `json:"topicName"`
	TopicID           string            `json:"topicId"`
	NumPartitions     int32             `json:"numPartitions"`
	PartitionCount    int32             `json:"partitionCount" doc:"the same"`
	ReplicationFactor int32             `json:"replicationFactor"`
	Partitions        []Partition       `json:"partitions"`
	Config            map[string]string `json:"config" doc:"what was set for this topic"`
	CreatedAt         int64             `json:"createdAt" doc:"-1: not known"`
}

// Partition is one partition of a topic.
type Partition struct {
	ID          int32   `json:"id"`
	Leader      int32   `json:"leader" doc:"-1: none"`
	Replicas    []int32 `json:"replicas" doc:"the other replicas, without the leader"`
	ISR         []int32 `json:"isr" doc:"the replicas in sync, with the leader"`
	LeaderEpoch int32   `json:"leaderEpoch"`

	StartOffset *int64 `json:"startOffset,omitempty" doc:"of one topic alone: the first offset; -1: the leader does not answer"`
	EndOffset   *int64 `json:"endOffset,omitempty" doc:"of one topic alone: the high watermark; -1: the leader does not answer"`
}

// PartitionLeader is who leads a partition.
type PartitionLeader struct {
	Topic       string        `json:"topic"`
	Partition   int32         `json:"partition"`
	Leader      BrokerAddress `json:"leader"`
	LeaderEpoch int32         `json:"leaderEpoch"`
	ISR         []int32       `json:"isr"`
}

// BrokerAddress is where a broker is.
type BrokerAddress struct {
	ID   int32  `json:"id"`
	Host string `json:"host"`
	Port int32  `json:"port"`
}

func (a *API) topicRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/metadata/topics", id: "createTopic", leader: true, timeout: writeTimeout, summary: "Creates a topic",
			body: NewTopic{}, status: http.StatusCreated, answer: Topic{}, failures: []int{http.StatusConflict}, serve: typed(a.createTopic),
		},
		{
			method: http.MethodGet, path: "/metadata/topics", id: "listTopics", heavy: true, summary: "The names of all topics, sorted",
			answer: []string{}, serve: get(func(context.Context, *http.Request) (any, error) {
				img, err := a.image()
				if err != nil {
					return nil, err
				}
				return topicNames(img), nil
			}),
		},
		{
			method: http.MethodGet, path: "/metadata/topics/{topic}", id: "getTopic", summary: "One topic with the offsets of its partitions",
			answer: Topic{}, failures: []int{http.StatusNotFound}, serve: get(a.describeTopic),
		},
		{
			method: http.MethodDelete, path: "/metadata/topics/{topic}", id: "deleteTopic", leader: true, timeout: writeTimeout,
			summary: "Deletes a topic and its records", status: http.StatusNoContent, failures: []int{http.StatusNotFound}, serve: get(a.deleteTopic),
		},
		{
			method: http.MethodGet, path: "/metadata/topics/{topic}/partitions/{partition}/leader", id: "getPartitionLeader", summary: "Who leads a partition",
			answer: PartitionLeader{}, failures: []int{http.StatusNotFound}, serve: get(a.partitionLeader),
		},
	}
}

// topicNames lists the topics; never nil.
func topicNames(img *image.Image) []string {
	names := slices.AppendSeq(make([]string, 0, img.Topics.Len()), img.Topics.Keys())
	slices.Sort(names)
	return names
}

func unknownTopic(name string) error {
	return errcode.New(errcode.KindUnknownTopicOrPartition, "topic %q does not exist", short(name))
}

// findTopic returns the topic of a path.
func (a *API) findTopic(r *http.Request) (*image.Image, *image.Topic, error) {
	img, err := a.image()
	if err != nil {
		return nil, nil, err
	}
	name := r.PathValue("topic")
	t := img.Topic(name)
	if t == nil {
		return nil, nil, unknownTopic(name)
	}
	return img, t, nil
}

// findPartition returns the partition of a path; one that cannot exist is unknown.
func (a *API) findPartition(r *http.Request) (img *image.Image, tp protocol.TopicPartition, p *image.Partition, err error) {
	text := r.PathValue("partition")
	index, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return nil, tp, nil, invalid("%q is not a partition", short(text))
	}
	img, t, err := a.findTopic(r)
	if err != nil {
		return nil, tp, nil, err
	}
	tp = protocol.TopicPartition{Topic: t.Name, Partition: int32(index)}
	if p = img.Partition(tp); p == nil {
		return nil, tp, nil, unknownPartition(tp.Topic, tp.Partition)
	}
	return img, tp, p, nil
}

func unknownPartition(topic string, index int32) error {
	return errcode.New(errcode.KindUnknownTopicOrPartition, "topic %q has no partition %d", short(topic), index)
}

func describe(img *image.Image, t *image.Topic) Topic {
	out := Topic{
		TopicName: t.Name, TopicID: t.ID.String(), NumPartitions: int32(len(t.Partitions)), PartitionCount: int32(len(t.Partitions)),
		Partitions: make([]Partition, len(t.Partitions)), Config: map[string]string{}, CreatedAt: cmp.Or(t.CreatedAt, -1),
	}
	if len(t.Partitions) > 0 {
		out.ReplicationFactor = int32(len(t.Partitions[0].Replicas))
	}
	maps.Copy(out.Config, img.Configs[image.Resource{Type: image.ResourceTopic, Name: t.Name}])
	for i := range t.Partitions {
		p := &t.Partitions[i]
		out.Partitions[i] = Partition{ID: int32(i), Leader: int32(p.Leader), Replicas: []int32{}, ISR: ids(p.ISR), LeaderEpoch: p.LeaderEpoch}
		for _, id := range p.Replicas {
			if id != p.Leader {
				out.Partitions[i].Replicas = append(out.Partitions[i].Replicas, int32(id))
			}
		}
	}
	return out
}

// ids are node ids in an answer; never nil.
func ids(nodes []protocol.NodeID) []int32 {
	out := make([]int32, len(nodes))
	for i, id := range nodes {
		out[i] = int32(id)
	}
	return out
}

func (a *API) createTopic(ctx context.Context, _ *http.Request, q *NewTopic) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	t, err := q.request()
	if err != nil {
		return nil, err
	}
	if img.Topic(t.Topic) == nil {
		if err := enoughBrokers(img, t.ReplicationFactor); err != nil {
			return nil, err
		}
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(writeTimeout.Milliseconds())
	req.Topics = append(req.Topics, t)
	resp, err := a.o.Cluster.Decide(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, rt := range resp.(*kmsg.CreateTopicsResponse).Topics {
		if err := kafkaError(rt.ErrorCode, rt.ErrorMessage); err != nil {
			return nil, err
		}
	}
	if img, err = a.image(); err != nil {
		return nil, err
	}
	created := img.Topic(t.Topic)
	if created == nil {
		return nil, unknownTopic(t.Topic) // deleted meanwhile
	}
	return describe(img, created), nil
}

// enoughBrokers refuses a replication factor that the brokers which are ONLINE cannot give. Kafka itself would place replicas on
// brokers that are away.
func enoughBrokers(img *image.Image, factor int16) error {
	live, native := 0, img.HasNativeBrokers()
	for _, b := range img.Brokers {
		if !b.Fenced && (!native || !b.ByREST()) {
			live++
		}
	}
	if int(factor) > live {
		return errcode.New(errcode.KindInvalidReplicationFactor, "replication factor %d is larger than the number of brokers that are ONLINE, %d", factor, live)
	}
	return nil
}

// request makes Kafka's request of it; -1 stands for the cluster's default.
func (q *NewTopic) request() (kmsg.CreateTopicsRequestTopic, error) {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = q.TopicName, -1, -1
	if q.TopicName == "" {
		return t, invalid("topicName is missing")
	}
	if q.NumPartitions != nil && q.PartitionCount != nil && *q.NumPartitions != *q.PartitionCount {
		return t, invalid("numPartitions %d and partitionCount %d differ", *q.NumPartitions, *q.PartitionCount)
	}
	if n := cmp.Or(q.NumPartitions, q.PartitionCount); n != nil {
		if *n < 1 || *n > math.MaxInt32 {
			return t, errcode.New(errcode.KindInvalidPartitions, "the number of partitions is %d, at least 1 is needed", *n)
		}
		t.NumPartitions = int32(*n)
	}
	if n := q.ReplicationFactor; n != nil {
		if *n < 1 || *n > math.MaxInt16 {
			return t, errcode.New(errcode.KindInvalidReplicationFactor, "the replication factor is %d, at least 1 is needed", *n)
		}
		t.ReplicationFactor = int16(*n)
	}
	configs, err := q.configs()
	if err != nil {
		return t, err
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, configs[name]
		t.Configs = append(t.Configs, c)
	}
	return t, nil
}

// configs merges the configs with those that stand beside them.
func (q *NewTopic) configs() (map[string]*string, error) {
	out := maps.Clone(q.Config)
	if out == nil {
		out = make(map[string]*string)
	}
	number := func(n *int64) *string {
		if n == nil {
			return nil
		}
		return new(strconv.FormatInt(*n, 10))
	}
	for _, c := range []struct {
		name  string
		value *string
	}{
		{"retention.ms", number(q.RetentionMs)},
		{"retention.bytes", number(q.RetentionBytes)},
		{"segment.bytes", number(q.SegmentBytes)},
		{"compression.type", q.CompressionType},
		{"min.insync.replicas", number(q.MinInsyncReplicas)},
	} {
		if c.value == nil {
			continue
		}
		if other, ok := out[c.name]; ok && (other == nil || *other != *c.value) {
			return nil, errcode.New(errcode.KindInvalidConfig, "%s is given twice, and differs", c.name)
		}
		out[c.name] = c.value
	}
	return out, nil
}

func (a *API) deleteTopic(ctx context.Context, r *http.Request) (any, error) {
	_, t, err := a.findTopic(r)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = int32(writeTimeout.Milliseconds())
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.TopicID = t.ID // one that was created anew meanwhile stays
	req.Topics = append(req.Topics, rt)
	resp, err := a.o.Cluster.Decide(ctx, req)
	if err != nil {
		return nil, err
	}
	for _, rt := range resp.(*kmsg.DeleteTopicsResponse).Topics {
		if err := kafkaError(rt.ErrorCode, rt.ErrorMessage); err != nil {
			return nil, err
		}
	}
	return nil, nil //nolint:nilnil // there is nothing to tell
}

func (a *API) describeTopic(ctx context.Context, r *http.Request) (any, error) {
	img, t, err := a.findTopic(r)
	if err != nil {
		return nil, err
	}
	out := describe(img, t)
	a.addOffsets(ctx, t, &out)
	return out, nil
}

func (a *API) partitionLeader(_ context.Context, r *http.Request) (any, error) {
	img, tp, p, err := a.findPartition(r)
	if err != nil {
		return nil, err
	}
	b := img.Brokers[p.Leader]
	if b == nil {
		return nil, errcode.New(errcode.KindLeaderNotAvailable, "partition %d of topic %q has no leader", tp.Partition, tp.Topic)
	}
	out := PartitionLeader{Topic: tp.Topic, Partition: tp.Partition, LeaderEpoch: p.LeaderEpoch, ISR: ids(p.ISR)}
	out.Leader.ID = int32(b.ID)
	out.Leader.Host, out.Leader.Port = clientAddress(b)
	return out, nil
}
