package handler

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Authorized-operations bit fields (KIP-430) for a cluster without an authorizer: everything the resource supports.
// Bit n stands for AclOperation n.
const (
	noAuthorizedOperations = -1 << 31
	topicOperations        = 1<<3 | 1<<4 | 1<<5 | 1<<6 | 1<<7 | 1<<8 | 1<<10 | 1<<11
	clusterOperations      = 1<<5 | 1<<7 | 1<<8 | 1<<9 | 1<<10 | 1<<11 | 1<<12
)

// Endpoint types of DescribeCluster (KIP-919).
const (
	endpointBroker     = 1
	endpointController = 2
)

// serveDescribeCluster answers DescribeCluster from the image at hand.
//
// DescribeCluster: v0-v2
//
// Version notes:
//   - v1 endpoint type: brokers on a broker listener, controllers on a controller listener (KIP-919); the wrong one is
//     MISMATCHED_ENDPOINT_TYPE
//   - v2 can include fenced brokers (KIP-1073)
func (h *Handler) serveDescribeCluster(_ context.Context, r *listener.Request, req *kmsg.DescribeClusterRequest) kmsg.Response {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterAuthorizedOperations = noAuthorizedOperations
	resp.ControllerID = -1
	want := int8(endpointBroker)
	if r.Conn.Scope == protocol.ScopeController {
		want = endpointController
	}
	got := req.EndpointType
	if req.Version == 0 {
		got = endpointBroker
	}
	resp.EndpointType = want
	if got != want {
		resp.EndpointType = endpointBroker // the schema's default: the answer describes no endpoints
		resp.ErrorCode = kerr.MismatchedEndpointType.Code
		msg := "The request was sent to an endpoint of type " + endpointName(want) + ", but we wanted an endpoint of type " + endpointName(got)
		if got != endpointBroker && got != endpointController {
			resp.ErrorCode = kerr.UnsupportedEndpointType.Code
			msg = "Unsupported endpoint type " + itoa(int(got))
		}
		if req.Version == 0 {
			resp.ErrorCode = kerr.InvalidRequest.Code
		}
		resp.ErrorMessage = &msg
		return resp
	}
	img := h.images.Image()
	resp.ClusterID = img.ClusterID
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	if want == endpointController {
		resp.Brokers = controllerNodes(img)
		resp.ControllerID = h.activeController(resp.Brokers)
		return resp
	}
	resp.Brokers = brokerNodes(img, r.Conn.ListenerName, req.IncludeFencedBrokers)
	resp.ControllerID = randomBroker(img)
	return resp
}

func endpointName(t int8) string {
	switch t {
	case endpointBroker:
		return "BROKER"
	case endpointController:
		return "CONTROLLER"
	default:
		return "UNKNOWN"
	}
}

func brokerNodes(img *image.Image, listenerName string, fenced bool) []kmsg.DescribeClusterResponseBroker {
	out := make([]kmsg.DescribeClusterResponseBroker, 0, len(img.Brokers))
	for id, b := range img.Brokers {
		e, listens := endpoint(b, listenerName)
		if !listens || b.Fenced && !fenced {
			continue
		}
		n := kmsg.NewDescribeClusterResponseBroker()
		n.NodeID, n.Host, n.Port, n.Rack, n.IsFenced = int32(id), e.Host, int32(e.Port), b.Rack, b.Fenced
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeClusterResponseBroker) int { return int(a.NodeID - b.NodeID) })
	return out
}

func controllerNodes(img *image.Image) []kmsg.DescribeClusterResponseBroker {
	out := make([]kmsg.DescribeClusterResponseBroker, 0, len(img.Controllers))
	for id, c := range img.Controllers {
		listeners := image.Listeners(c.Endpoints)
		if len(listeners) == 0 {
			continue
		}
		n := kmsg.NewDescribeClusterResponseBroker()
		n.NodeID, n.Host, n.Port = int32(id), listeners[0].Host, int32(listeners[0].Port)
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeClusterResponseBroker) int { return int(a.NodeID - b.NodeID) })
	return out
}

// activeController names the quorum's leader if it is among the nodes, else -1, so that a client is never sent to a
// node it has no address of.
func (h *Handler) activeController(nodes []kmsg.DescribeClusterResponseBroker) int32 {
	id, _, ok := h.leader.Leader()
	if !ok {
		return -1
	}
	for i := range nodes {
		if nodes[i].NodeID == int32(id) {
			return int32(id)
		}
	}
	return -1
}

// serveDescribeTopicPartitions answers DescribeTopicPartitions (KIP-966) from the image at hand, in pages.
//
// DescribeTopicPartitions: v0
//
// Behaviour:
//   - topics come in order of their names; no topics in the request means all
//   - a page ends after min(response_partition_limit, max.request.partition.size.limit) partitions with a cursor
//   - ELR lists are empty, never null: the Java Admin does not survive null
func (h *Handler) serveDescribeTopicPartitions(_ context.Context, r *listener.Request, req *kmsg.DescribeTopicPartitionsRequest) kmsg.Response {
	img := h.images.Image()
	names, from, ok := describedTopics(img, req)
	if !ok {
		return errorResponse(req, kerr.InvalidRequest, "")
	}
	resp := req.ResponseKind().(*kmsg.DescribeTopicPartitionsResponse)
	left := max(min(int(h.config.MaxRequestPartitionSizeLimit), int(req.ResponsePartitionLimit)), 1)
	for _, name := range names {
		if left == 0 {
			resp.NextCursor = cursor(name, 0)
			break
		}
		topic := img.Topic(name)
		if topic == nil {
			resp.Topics = append(resp.Topics, missingTopic(name))
			continue
		}
		first := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			first = from
		}
		t := h.topicPage(img, topic, r.Conn.ListenerName, int(first), left)
		resp.Topics = append(resp.Topics, t)
		left -= len(t.Partitions)
		if next := int(first) + len(t.Partitions); next < len(topic.Partitions) {
			resp.NextCursor = cursor(name, int32(next))
			break
		}
	}
	return resp
}

// describedTopics returns the sorted names a request covers, from its cursor on. It is not ok when the cursor is not
// one of ours.
func describedTopics(img *image.Image, req *kmsg.DescribeTopicPartitionsRequest) (names []string, from int32, ok bool) {
	start := ""
	if req.Cursor != nil {
		start, from = req.Cursor.Topic, req.Cursor.Partition
	}
	if len(req.Topics) == 0 {
		for name := range img.Topics.All() {
			if name >= start {
				names = append(names, name)
			}
		}
	} else {
		for i := range req.Topics {
			if req.Topics[i].Topic >= start {
				names = append(names, req.Topics[i].Topic)
			}
		}
		if req.Cursor != nil && !slices.Contains(names, start) {
			return nil, 0, false
		}
	}
	slices.Sort(names)
	return slices.Compact(names), from, from >= 0
}

func cursor(topic string, partition int32) *kmsg.DescribeTopicPartitionsResponseNextCursor {
	c := kmsg.NewDescribeTopicPartitionsResponseNextCursor()
	c.Topic, c.Partition = topic, partition
	return &c
}

func missingTopic(name string) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic = new(name)
	t.IsInternal = protocol.InternalTopic(name)
	t.AuthorizedOperations = topicOperations
	t.ErrorCode = kerr.UnknownTopicOrPartition.Code
	if protocol.ValidateTopicName(name) != nil {
		t.ErrorCode = kerr.InvalidTopicException.Code
	}
	return t
}

// topicPage describes at most limit partitions of a topic, beginning with first.
func (h *Handler) topicPage(img *image.Image, topic *image.Topic, listenerName string, first, limit int) kmsg.DescribeTopicPartitionsResponseTopic {
	t := kmsg.NewDescribeTopicPartitionsResponseTopic()
	t.Topic = new(topic.Name)
	t.TopicID = topic.ID
	t.IsInternal = protocol.InternalTopic(topic.Name)
	t.AuthorizedOperations = topicOperations
	for i := first; i < min(len(topic.Partitions), first+limit); i++ {
		p := &topic.Partitions[i]
		out := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
		out.Partition = int32(i)
		out.LeaderID = -1
		if _, listens := endpoint(img.Brokers[p.Leader], listenerName); listens {
			out.LeaderID = int32(p.Leader)
		}
		out.LeaderEpoch = p.LeaderEpoch
		out.Replicas = nodeIDs(p.Replicas)
		out.ISR = nodeIDs(p.ISR)
		out.EligibleLeaderReplicas = nodeIDs(p.ELR)
		out.LastKnownELR = nodeIDs(p.LastKnownELR)
		out.OfflineReplicas = offlineReplicas(img, p, listenerName)
		t.Partitions = append(t.Partitions, out)
	}
	return t
}
