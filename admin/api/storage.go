package api

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Health is whether this broker serves.
type Health struct {
	Status              string `json:"status" enum:"UP"`
	BrokerID            int32  `json:"brokerId"`
	ControllerConnected bool   `json:"controllerConnected" doc:"whether the controller answered the last heartbeat"`
	CurrentController   int32  `json:"currentController" doc:"-1: none is known"`
	MetadataVersion     int64  `json:"metadataVersion"`
	LastHeartbeatTime   int64  `json:"lastHeartbeatTime" doc:"when a heartbeat was answered; -1: none was yet"`
}

// StorageInfo is what this broker holds.
type StorageInfo struct {
	BrokerID          int32              `json:"brokerId"`
	Host              string             `json:"host"`
	Port              int32              `json:"port"`
	Status            string             `json:"status" enum:"ONLINE,OFFLINE"`
	LeaderPartitions  map[string][]int32 `json:"leaderPartitions" doc:"what it leads, by topic"`
	ReplicaPartitions map[string][]int32 `json:"replicaPartitions" doc:"what it follows, by topic"`
	MetadataVersion   int64              `json:"metadataVersion"`
}

// Push is what a controller tells a broker at once.
type Push struct {
	UpdateType     string `json:"updateType" required:"true" doc:"CONTROLLER_CHANGED"`
	ControllerID   *int32 `json:"controllerId" required:"true"`
	ControllerURL  string `json:"controllerUrl"`
	ControllerTerm *int64 `json:"controllerTerm" doc:"or term"`
	Term           *int64 `json:"term"`
	Version        int64  `json:"version" doc:"of the controller's metadata; the broker takes metadata from the quorum alone"`
	Timestamp      int64  `json:"timestamp"`
}

// ControllerChanged is the updateType of a new controller's push.
const ControllerChanged = "CONTROLLER_CHANGED"

// PushAnswer is the answer to a push.
type PushAnswer struct {
	Success            bool   `json:"success"`
	ErrorCode          string `json:"errorCode" doc:"NONE, or STALE_CONTROLLER_EPOCH for a term older than the one known"`
	ErrorMessage       string `json:"errorMessage"`
	ProcessedTimestamp int64  `json:"processedTimestamp"`
	BrokerID           int32  `json:"brokerId"`
}

func (a *API) storageRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/storage/metadata", id: "pushMetadata", broker: true,
			summary: "A new controller tells this broker of its election. It never changes metadata",
			body:    Push{}, answer: PushAnswer{}, failures: []int{http.StatusNotFound, http.StatusConflict}, serve: typed(a.push),
		},
		{
			method: http.MethodGet, path: "/storage/health", id: "getStorageHealth", broker: true, summary: "Whether this broker serves",
			answer: Health{}, failures: []int{http.StatusNotFound}, serve: get(a.health),
		},
		{
			method: http.MethodGet, path: "/storage/info", id: "getStorageInfo", broker: true, heavy: true, summary: "What this broker holds",
			answer: StorageInfo{}, failures: []int{http.StatusNotFound}, serve: get(a.storageInfo),
		},
		{
			method: http.MethodGet, path: "/storage/partitions/{topic}/{partition}/high-water-mark", id: "getHighWatermark", broker: true,
			summary: "The high watermark of this broker's replica, whether it leads or follows",
			answer:  int64(0), failures: []int{http.StatusNotFound}, serve: get(a.highWatermark),
		},
	}
}

func (a *API) health(context.Context, *http.Request) (any, error) {
	connected, beat := a.o.Broker.Session()
	c, _ := a.controller()
	out := Health{
		Status: "UP", BrokerID: int32(a.o.Cluster.NodeID()), ControllerConnected: connected, CurrentController: c.ControllerID,
		MetadataVersion: -1, LastHeartbeatTime: millis(beat),
	}
	if img := a.o.Cluster.Image(); img != nil {
		out.MetadataVersion = img.Version
	}
	return out, nil
}

func (a *API) storageInfo(context.Context, *http.Request) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	self := a.o.Cluster.NodeID()
	out := StorageInfo{
		BrokerID: int32(self), Status: offline, LeaderPartitions: map[string][]int32{}, ReplicaPartitions: map[string][]int32{}, MetadataVersion: img.Version,
	}
	if b := img.Brokers[self]; b != nil {
		out.Status = status(b)
		out.Host, out.Port = clientAddress(b)
	}
	for t := range img.Topics.Values() {
		a.held(t, &out)
	}
	return out, nil
}

// held adds the partitions of a topic that this broker has.
func (a *API) held(t *image.Topic, out *StorageInfo) {
	self := a.o.Cluster.NodeID()
	for i := range t.Partitions {
		p := &t.Partitions[i]
		for _, id := range p.Replicas {
			switch {
			case id != self:
			case p.Leader == self:
				out.LeaderPartitions[t.Name] = append(out.LeaderPartitions[t.Name], int32(i))
			default:
				out.ReplicaPartitions[t.Name] = append(out.ReplicaPartitions[t.Name], int32(i))
			}
		}
	}
}

func (a *API) highWatermark(_ context.Context, r *http.Request) (any, error) {
	_, tp, p, err := a.findPartition(r)
	if err != nil {
		return nil, err
	}
	self := a.o.Cluster.NodeID()
	if slices.Contains(p.Replicas, self) {
		return a.o.Broker.HighWatermark(tp)
	}
	f := explain(errcode.New(errcode.KindReplicaNotAvailable, "broker %d has no replica of partition %d of topic %q", self, tp.Partition, tp.Topic))
	f.status, f.retryAfter = http.StatusNotFound, ""
	return nil, f
}

// push notes a controller that tells of its election, and has this broker beat to it at once. What is older than what is known,
// and what names somebody who is no controller, is refused.
func (a *API) push(ctx context.Context, _ *http.Request, p *Push) (any, error) {
	switch term := cmp.Or(p.ControllerTerm, p.Term); {
	case p.UpdateType == "":
		return nil, invalid("updateType is missing")
	case p.UpdateType != ControllerChanged:
		return nil, invalid("updateType %q is not %s", short(p.UpdateType), ControllerChanged)
	case p.ControllerID == nil || *p.ControllerID < 0:
		return nil, invalid("controllerId is missing")
	case term == nil || *term < 0:
		return nil, invalid("controllerTerm is missing")
	case p.ControllerTerm != nil && p.Term != nil && *p.ControllerTerm != *p.Term:
		return nil, invalid("controllerTerm %d and term %d differ", *p.ControllerTerm, *p.Term)
	default:
		return a.changed(ctx, protocol.NodeID(*p.ControllerID), *term)
	}
}

func (a *API) changed(ctx context.Context, id protocol.NodeID, term int64) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	known, ok := a.controller()
	switch {
	case term < known.ControllerTerm:
		return nil, a.stale(id, term, known.ControllerTerm)
	case ok && term == known.ControllerTerm && int32(id) != known.ControllerID:
		return nil, invalid("node %d leads in term %d, not node %d", known.ControllerID, term, id)
	case img.Controllers[id] == nil:
		return nil, invalid("node %d is no controller of this cluster", id)
	}
	a.told.set(id, term)
	a.o.Logger.InfoContext(ctx, "a new controller has told of its election", slog.String("event", "controller.change"),
		slog.Int("controller", int(id)), slog.Int64("term", term), slog.String("url", adminURL(img, id)))
	a.o.Broker.BeatSoon()
	return PushAnswer{Success: true, ErrorCode: errcode.Name(0), ProcessedTimestamp: now(), BrokerID: int32(a.o.Cluster.NodeID())}, nil
}

// stale refuses the push of a controller that has been followed by another.
func (a *API) stale(id protocol.NodeID, term, known int64) error {
	code := errcode.Name(int16(errcode.KindStaleControllerEpoch))
	f := fail(http.StatusConflict, code, "term %d of node %d is over: the term known is %d", term, id, known)
	f.answer = PushAnswer{ErrorCode: code, ErrorMessage: f.body.Message, ProcessedTimestamp: now(), BrokerID: int32(a.o.Cluster.NodeID())}
	return f
}
