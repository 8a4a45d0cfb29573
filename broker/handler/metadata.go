package handler

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// autoCreateWait is how long a Metadata or FindCoordinator request waits for the topics that it creates. Within it the answer
// already knows them; past it the client hears UNKNOWN_TOPIC_OR_PARTITION or COORDINATOR_NOT_AVAILABLE and asks again, as it
// does with Apache Kafka.
const autoCreateWait = 250 * time.Millisecond

// serveMetadata answers Metadata from the image at hand.
//
// Metadata: v0-v13
//
// Behaviour:
//   - null topics mean all, in v0 an empty list does too
//   - a missing topic is created when the request and auto.create.topics.enable allow it
//   - fenced brokers are left out; the controller id is a random live broker, since clients cannot reach controllers
//
// Version notes:
//   - v0 names unavailable replicas and answers REPLICA_NOT_AVAILABLE; later versions drop them
//   - v4 adds allow_auto_topic_creation; before, creation is always allowed
//   - v6 answers LISTENER_NOT_FOUND where earlier versions say LEADER_NOT_AVAILABLE
//   - v8-v10 cluster authorized operations; v8+ topic authorized operations (KIP-430)
//   - v10 topic ids in answers, v12 in requests (KIP-516); v13 top-level error (KIP-1102)
//
// Difference from Apache Kafka: an auto-created topic is usually already part of the first answer.
func (h *Handler) serveMetadata(ctx context.Context, r *listener.Request, req *kmsg.MetadataRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.AuthorizedOperations = noAuthorizedOperations
	img := h.images.Image()

	all := req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
	names, unknownIDs, ok := requestedTopics(img, req, all)
	if !ok {
		return metadataError(req, kerr.InvalidRequest.Code)
	}
	if !all && h.config.AutoCreateTopics && (req.AllowAutoTopicCreation || req.Version < 4) {
		img = h.createTopics(ctx, names)
	}

	for _, id := range unknownIDs {
		t := kmsg.NewMetadataResponseTopic()
		t.ErrorCode = kerr.UnknownTopicID.Code
		t.TopicID = id
		t.AuthorizedOperations = noAuthorizedOperations
		resp.Topics = append(resp.Topics, t)
	}
	for _, name := range names {
		t := h.describeTopic(img, name, r.Conn.ListenerName, req.Version)
		if req.IncludeTopicAuthorizedOperations {
			t.AuthorizedOperations = topicOperations
		}
		resp.Topics = append(resp.Topics, t)
	}
	resp.Brokers = aliveBrokers(img, r.Conn.ListenerName)
	resp.ControllerID = randomBroker(img)
	resp.ClusterID = new(img.ClusterID)
	if req.IncludeClusterAuthorizedOperations && req.Version >= 8 && req.Version <= 10 {
		resp.AuthorizedOperations = clusterOperations
	}
	return resp
}

// requestedTopics returns the names asked for, each once and in order, and the ids no topic has. It is not ok when
// the version does not allow what was sent.
func requestedTopics(img *image.Image, req *kmsg.MetadataRequest, all bool) (names []string, unknown []protocol.TopicID, ok bool) {
	if all {
		return sortedTopics(img), nil, true
	}
	byID := false
	for _, t := range req.Topics {
		if req.Version < 12 && (t.Topic == nil || !protocol.TopicID(t.TopicID).IsZero()) {
			return nil, nil, false
		}
		byID = byID || !protocol.TopicID(t.TopicID).IsZero()
	}
	seen := make(map[string]struct{}, len(req.Topics))
	seenID := make(map[protocol.TopicID]struct{})
	for _, t := range req.Topics {
		name := ""
		if byID {
			id := protocol.TopicID(t.TopicID)
			if _, dup := seenID[id]; dup || id.IsZero() {
				continue
			}
			seenID[id] = struct{}{}
			topic := img.TopicByID(id)
			if topic == nil {
				unknown = append(unknown, id)
				continue
			}
			name = topic.Name
		} else if t.Topic != nil {
			name = *t.Topic
		}
		if _, dup := seen[name]; dup {
			continue
		}
		seen[name] = struct{}{}
		names = append(names, name)
	}
	return names, unknown, true
}

func sortedTopics(img *image.Image) []string {
	names := make([]string, 0, img.Topics.Len())
	for name := range img.Topics.All() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// createTopics has the controller create the missing topics with valid names and returns the image to go on with. Of internal
// topics it creates those whose coordinator is served.
func (h *Handler) createTopics(ctx context.Context, names []string) *image.Image {
	img := h.images.Image()
	create := kmsg.NewPtrCreateTopicsRequest()
	create.Version = 7
	create.TimeoutMillis = int32(h.requestTimeout / time.Millisecond)
	for _, name := range names {
		if img.Topic(name) == nil && protocol.ValidateTopicName(name) == nil && (!protocol.InternalTopic(name) || name == group.Topic) {
			create.Topics = append(create.Topics, h.creatableTopic(name))
		}
	}
	if len(create.Topics) == 0 {
		return img
	}
	wait, cancel := context.WithTimeout(ctx, autoCreateWait)
	defer cancel()
	resp, err := h.controller.Handle(wait, create)
	if err != nil {
		h.logger.DebugContext(ctx, "auto-create topics", errAttr(err))
	}
	if r, ok := resp.(*kmsg.CreateTopicsResponse); ok && err == nil {
		h.awaitTopics(wait, r)
	}
	return h.images.Image()
}

// imagePoll is how often it is looked whether the metadata have come that the controller has told of.
const imagePoll = 2 * time.Millisecond

// awaitTopics waits until this node knows the topics that the controller has created, or until ctx ends.
func (h *Handler) awaitTopics(ctx context.Context, created *kmsg.CreateTopicsResponse) {
	var tick *time.Ticker
	for i := range created.Topics {
		t := &created.Topics[i]
		if t.ErrorCode != 0 && t.ErrorCode != kerr.TopicAlreadyExists.Code {
			continue
		}
		for h.images.Image().Topic(t.Topic) == nil {
			if tick == nil {
				tick = time.NewTicker(imagePoll)
				defer tick.Stop()
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}
}

// describeTopic describes one topic as the clients of one listener see it.
func (h *Handler) describeTopic(img *image.Image, name, listenerName string, version int16) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic = new(name)
	t.IsInternal = protocol.InternalTopic(name)
	t.AuthorizedOperations = noAuthorizedOperations
	topic := img.Topic(name)
	if topic == nil {
		t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		if protocol.ValidateTopicName(name) != nil {
			t.ErrorCode = kerr.InvalidTopicException.Code
		}
		return t
	}
	t.TopicID = topic.ID
	t.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(topic.Partitions))
	for i := range topic.Partitions {
		t.Partitions[i] = describePartition(img, &topic.Partitions[i], int32(i), listenerName, version)
	}
	return t
}

func describePartition(img *image.Image, p *image.Partition, index int32, listenerName string, version int16) kmsg.MetadataResponseTopicPartition {
	out := kmsg.NewMetadataResponseTopicPartition()
	out.Partition = index
	out.LeaderEpoch = p.LeaderEpoch
	out.Replicas, out.ISR = nodeIDs(p.Replicas), nodeIDs(p.ISR)
	if version == 0 { // later versions leave unavailable replicas out
		out.Replicas, out.ISR = reachable(img, p.Replicas, listenerName), reachable(img, p.ISR, listenerName)
	}
	out.OfflineReplicas = offlineReplicas(img, p, listenerName)
	out.Leader = int32(p.Leader)
	leader := img.Brokers[p.Leader]
	_, listens := endpoint(leader, listenerName)
	switch {
	case listens && (len(out.Replicas) < len(p.Replicas) || len(out.ISR) < len(p.ISR)):
		out.ErrorCode = kerr.ReplicaNotAvailable.Code
	case listens:
	case leader != nil && version >= 6:
		out.ErrorCode, out.Leader = kerr.ListenerNotFound.Code, -1
	default:
		out.ErrorCode, out.Leader = kerr.LeaderNotAvailable.Code, -1
	}
	return out
}

// reachable keeps the brokers that are unfenced and listen on the client's listener.
func reachable(img *image.Image, ids []protocol.NodeID, listenerName string) []int32 {
	out := make([]int32, 0, len(ids))
	for _, id := range ids {
		b := img.Brokers[id]
		if _, listens := endpoint(b, listenerName); listens && !b.Fenced {
			out = append(out, int32(id))
		}
	}
	return out
}

// offlineReplicas lists the replicas whose broker is gone, fenced, or has lost the replica's log directory.
func offlineReplicas(img *image.Image, p *image.Partition, listenerName string) []int32 {
	out := []int32{}
	for i, id := range p.Replicas {
		b := img.Brokers[id]
		_, listens := endpoint(b, listenerName)
		if !listens || b.Fenced || i < len(p.Directories) && directoryOffline(b, p.Directories[i]) {
			out = append(out, int32(id))
		}
	}
	return out
}

// directoryOffline reports whether the broker says that it no longer has the directory. An unassigned directory, and a
// broker that named none, count as online (Kafka's DirectoryId.isOnline).
func directoryOffline(b *image.Broker, dir protocol.TopicID) bool {
	return !dir.IsZero() && len(b.LogDirs) > 0 && !slices.Contains(b.LogDirs, dir)
}

func endpoint(b *image.Broker, listenerName string) (image.Endpoint, bool) {
	if b == nil {
		return image.Endpoint{}, false
	}
	return b.Endpoint(listenerName)
}

func aliveBrokers(img *image.Image, listenerName string) []kmsg.MetadataResponseBroker {
	out := make([]kmsg.MetadataResponseBroker, 0, len(img.Brokers))
	for id, b := range img.Brokers {
		e, listens := endpoint(b, listenerName)
		if b.Fenced || !listens {
			continue
		}
		n := kmsg.NewMetadataResponseBroker()
		n.NodeID, n.Host, n.Port, n.Rack = int32(id), e.Host, int32(e.Port), b.Rack
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b kmsg.MetadataResponseBroker) int { return int(a.NodeID - b.NodeID) })
	return out
}

// randomBroker names an unfenced broker, or -1: requests for the controller work through any of them.
func randomBroker(img *image.Image) int32 {
	var alive []protocol.NodeID
	for id, b := range img.Brokers {
		if !b.Fenced && !b.ByREST() {
			alive = append(alive, id)
		}
	}
	if len(alive) == 0 {
		return -1
	}
	return int32(alive[rand.IntN(len(alive))])
}

func nodeIDs(ids []protocol.NodeID) []int32 {
	out := make([]int32, len(ids))
	for i, id := range ids {
		out[i] = int32(id)
	}
	return out
}

// metadataError is the answer to a Metadata request that breaks the protocol's rules: every topic carries the code.
func metadataError(req *kmsg.MetadataRequest, code int16) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.AuthorizedOperations = noAuthorizedOperations
	resp.ControllerID = -1
	for _, in := range req.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.ErrorCode, t.Topic, t.TopicID = code, in.Topic, in.TopicID
		t.AuthorizedOperations = noAuthorizedOperations
		if t.Topic == nil && req.Version < 12 {
			t.Topic = new("") // not nullable before v12
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
