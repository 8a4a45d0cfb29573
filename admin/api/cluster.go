package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// ClusterMetadata is all metadata.
type ClusterMetadata struct {
	Version             int64          `json:"version" doc:"position of the metadata log: it only grows, and is the same number on every node"`
	Timestamp           int64          `json:"timestamp"`
	ClusterID           string         `json:"clusterId"`
	ControllerLeaderID  int32          `json:"controllerLeaderId" doc:"-1: none is known"`
	ControllerInfo      Controller     `json:"controllerInfo"`
	Brokers             []BrokerInfo   `json:"brokers"`
	Topics              []Topic        `json:"topics"`
	TotalPartitions     int            `json:"totalPartitions"`
	ActiveMetadataNodes []MetadataNode `json:"activeMetadataNodes"`
}

// MetadataNode is a controller.
type MetadataNode struct {
	ID       int32  `json:"id"`
	URL      string `json:"url" doc:"its admin port; empty when it has none"`
	IsLeader bool   `json:"isLeader"`
	Healthy  bool   `json:"healthy" doc:"of others the active controller knows; elsewhere only this node and the leader are known to be"`
	LastSeen int64  `json:"lastSeen" doc:"-1: not known here"`
}

func (a *API) clusterRoutes() []route {
	return []route{{
		method: http.MethodGet, path: "/metadata/cluster", id: "getCluster", heavy: true, summary: "All metadata, at one version",
		answer: ClusterMetadata{}, serve: get(a.cluster),
	}}
}

func (a *API) cluster(context.Context, *http.Request) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	controller, _ := a.controller()
	out := ClusterMetadata{
		Version: img.Version, Timestamp: now(), ClusterID: img.ClusterID, ControllerLeaderID: controller.ControllerID, ControllerInfo: controller,
		Brokers: a.brokers(img), Topics: make([]Topic, 0, img.Topics.Len()), ActiveMetadataNodes: a.metadataNodes(img, controller),
	}
	for _, name := range topicNames(img) {
		t := img.Topic(name)
		out.TotalPartitions += len(t.Partitions)
		out.Topics = append(out.Topics, describe(img, t))
	}
	return out, nil
}

// memberSilent is how long a member of the quorum may be silent and count as healthy.
const memberSilent = 3 * time.Second

// metadataNodes are the voters of the quorum.
func (a *API) metadataNodes(img *image.Image, controller Controller) []MetadataNode {
	q, _ := a.o.Cluster.Quorum()
	voters := slices.Clone(q.Voters)
	if len(voters) == 0 {
		voters = slices.Collect(maps.Keys(img.Controllers))
	}
	slices.Sort(voters)
	out := make([]MetadataNode, 0, len(voters))
	for _, id := range voters {
		n := MetadataNode{ID: int32(id), URL: adminURL(img, id), IsLeader: int32(id) == controller.ControllerID, LastSeen: -1}
		switch at, known := q.LastContact[id]; {
		case id == a.o.Cluster.NodeID():
			n.Healthy, n.LastSeen = true, now()
		case known && !at.IsZero():
			n.Healthy, n.LastSeen = time.Since(at) < memberSilent, at.UnixMilli()
		case !known:
			n.Healthy = n.IsLeader || q.LastContact == nil && unfenced(img, id)
		}
		out = append(out, n)
	}
	return out
}

// unfenced reports whether a node is also a broker, and the active controller thinks that it lives.
func unfenced(img *image.Image, id protocol.NodeID) bool {
	b := img.Brokers[id]
	return b != nil && !b.Fenced
}
