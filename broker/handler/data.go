package handler

import (
	"context"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol"
)

// Replicas is what the data APIs need of the replica manager; see the methods of replica.Manager.
type Replicas interface {
	Append(o replica.AppendOptions, parts []replica.Append, done func()) bool
	AppendAll(requests []replica.AppendRequest)
	Read(dst []replica.ReadResult, o replica.ReadOptions, parts []replica.ReadPartition) []replica.ReadResult
	Enough(o replica.ReadOptions, results []replica.ReadResult) bool
	AwaitRead(o replica.ReadOptions, parts []replica.ReadPartition, deadline time.Time, done func()) replica.Wait
	ListOffset(q replica.ListOffset) (replica.FoundOffset, error)
	EndOffsetForEpoch(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (replica.EpochEnd, error)
	DeleteRecords(tp protocol.TopicPartition, offset int64) (int64, error)
	AwaitLowWatermark(ctx context.Context, tp protocol.TopicPartition, offset int64) (int64, error)
	Producers(tp protocol.TopicPartition) ([]producerstate.Entry, error)
}

// LogDirs is what DescribeLogDirs needs of the log directories; see the methods of logdir.Manager.
type LogDirs interface {
	Dirs() []logdir.DirInfo
	Partitions(ctx context.Context) ([]logdir.Info, error)
	Size(tp protocol.TopicPartition) (int64, error)
}

// Data is what the data APIs need. A node without the broker role leaves it empty: none of them is reachable there.
type Data struct {
	Replicas    Replicas
	LogDirs     LogDirs
	Sessions    *fetchsession.Cache
	BrokerEpoch func() protocol.BrokerEpoch // of this broker's registration; needed by InitProducerId
	Topics      *metrics.Topics
}

// dataHandler serves the APIs that reach partition logs.
type dataHandler struct {
	h           *Handler
	replicas    Replicas
	logDirs     LogDirs
	sessions    *fetchsession.Cache
	topics      *metrics.Topics
	producerIDs *producerIDs

	produceCalls sync.Pool // of *produceCall
	encoded      listener.EncodedPool
	fetchCalls   sync.Pool // of *fetchCall
}

func newDataHandler(h *Handler, d Data) *dataHandler {
	if d.Topics == nil {
		d.Topics = new(metrics.Topics)
	}
	return &dataHandler{
		h: h, replicas: d.Replicas, logDirs: d.LogDirs, sessions: d.Sessions, topics: d.Topics,
		producerIDs: newProducerIDs(h.nodeID, d.BrokerEpoch, h.controller),
	}
}

// register adds the data APIs to the dispatcher.
func (d *dataHandler) register(t map[int16]serveFunc) {
	t[key(kmsg.Produce)] = d.serveProduce
	t[key(kmsg.Fetch)] = d.serveFetch
	t[key(kmsg.ListOffsets)] = reply(d.serveListOffsets)
	t[key(kmsg.OffsetForLeaderEpoch)] = reply(d.serveOffsetForLeaderEpoch)
	t[key(kmsg.InitProducerID)] = reply(d.serveInitProducerID)
	t[key(kmsg.DeleteRecords)] = reply(d.serveDeleteRecords)
	t[key(kmsg.DescribeProducers)] = reply(d.serveDescribeProducers)
	t[key(kmsg.DescribeLogDirs)] = reply(d.serveDescribeLogDirs)
}

// topicKey names a topic of a request, by name or by id.
type topicKey struct {
	name string
	id   protocol.TopicID
}

// mergeTopics puts the topics that a request names more than once under their first mention, as Kafka's answers have them.
// There is nearly always nothing to do, which costs nothing for few topics.
func mergeTopics[T any](topics []T, key func(*T) topicKey, merge func(into, from *T)) []T {
	const few = 16
	var index map[topicKey]int
	if len(topics) > few {
		index = make(map[topicKey]int, len(topics))
	}
	kept := topics[:0]
	for i := range topics {
		k, at := key(&topics[i]), -1
		if index != nil {
			if first, ok := index[k]; ok {
				at = first
			} else {
				index[k] = len(kept)
			}
		} else {
			for j := range kept {
				if key(&kept[j]) == k {
					at = j
					break
				}
			}
		}
		if at >= 0 {
			merge(&kept[at], &topics[i])
		} else {
			kept = append(kept, topics[i])
		}
	}
	return kept
}

// leaderHints collects where the leaders are that an answer names (KIP-951).
type leaderHints struct {
	img          *image.Image
	listenerName string
	nodes        []nodeEndpoint
}

// add names the leader, and its address once per answer where it is alive and listens on the client's listener.
func (l *leaderHints) add(leader replica.Leader) leaderNow {
	now := leaderNow{ID: int32(leader.ID), Epoch: int32(leader.Epoch)}
	for i := range l.nodes {
		if l.nodes[i].ID == now.ID {
			return now
		}
	}
	b := l.img.Brokers[leader.ID]
	if e, listens := endpoint(b, l.listenerName); listens && !b.Fenced {
		l.nodes = append(l.nodes, nodeEndpoint{ID: now.ID, Host: e.Host, Port: int32(e.Port), Rack: b.Rack})
	}
	return now
}
