package api

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
)

// Heartbeat is what a broker tells with a beat. It may be left out.
type Heartbeat struct {
	MetadataVersion int64 `json:"metadataVersion" doc:"the version of the metadata that the broker has"`
	Timestamp       int64 `json:"timestamp"`
}

// HeartbeatAnswer is the answer to a beat.
type HeartbeatAnswer struct {
	Success         bool   `json:"success"`
	MetadataVersion int64  `json:"metadataVersion" doc:"the version of the controller's metadata: a broker with a lower one catches up"`
	CurrentVersion  int64  `json:"currentVersion" doc:"the same"`
	ControllerTerm  int64  `json:"controllerTerm"`
	BrokerStatus    string `json:"brokerStatus" enum:"ONLINE,OFFLINE"`
	Message         string `json:"message"`
	Timestamp       int64  `json:"timestamp"`
}

// HeartbeatStatus is what is known of all brokers' beats.
type HeartbeatStatus struct {
	TimeoutMs  int64             `json:"timeoutMs" doc:"a broker that is not heard of for so long goes OFFLINE (broker.session.timeout.ms)"`
	IntervalMs int64             `json:"intervalMs" doc:"how often brokers beat (broker.heartbeat.interval.ms)"`
	IsLeader   bool              `json:"isLeader" doc:"whether this node is the active controller, which alone knows of beats"`
	Brokers    []BrokerHeartbeat `json:"brokers"`
}

// BrokerHeartbeat is what is known of one broker's beats.
type BrokerHeartbeat struct {
	ID                 int32  `json:"id"`
	Status             string `json:"status" enum:"ONLINE,OFFLINE"`
	LastHeartbeatAgeMs int64  `json:"lastHeartbeatAgeMs" doc:"-1: not known here"`
	Stale              bool   `json:"stale" doc:"whether it has not been heard of for longer than timeoutMs"`
}

func (a *API) heartbeatRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/metadata/heartbeat/{brokerId}", id: "heartbeat", leader: true,
			summary: "A broker is alive. It renews the session of a broker that was registered here; a native broker has its own way, and is only answered",
			body:    Heartbeat{}, optional: true, answer: HeartbeatAnswer{}, failures: []int{http.StatusNotFound}, serve: typed(a.heartbeat),
		},
		{
			method: http.MethodGet, path: "/metadata/heartbeat/status", id: "getHeartbeatStatus", summary: "When each broker was last heard of",
			answer: HeartbeatStatus{}, serve: get(a.heartbeatStatus),
		},
	}
}

// Status of brokers.
const (
	online  = "ONLINE"
	offline = "OFFLINE"
)

func status(b *image.Broker) string {
	if b.Fenced {
		return offline
	}
	return online
}

func (a *API) heartbeat(ctx context.Context, r *http.Request, _ *Heartbeat) (any, error) {
	b, err := a.findBroker(r)
	if err != nil {
		return nil, err
	}
	message := "heartbeat received"
	if !b.ByREST() {
		message = "broker " + strconv.Itoa(int(b.ID)) + " has a session of its own, which this beat does not renew"
	} else if err := a.beat(ctx, b); err != nil {
		return nil, err
	}
	img, b, err := a.registeredBroker(b.ID) // as it is now: it may be unregistered
	if err != nil {
		return nil, err
	}
	q, _ := a.o.Cluster.Quorum()
	a.o.Logger.DebugContext(ctx, "heartbeat", slog.String("event", "broker.heartbeat"), slog.Int("broker", int(b.ID)), slog.String("status", status(b)))
	return HeartbeatAnswer{
		Success: true, MetadataVersion: img.Version, CurrentVersion: img.Version, ControllerTerm: q.Term, BrokerStatus: status(b),
		Message: message, Timestamp: now(),
	}, nil
}

// beat renews the session of a broker that was registered over REST. It follows no metadata, so that it is never behind.
func (a *API) beat(ctx context.Context, b *image.Broker) error {
	img, err := a.image()
	if err != nil {
		return err
	}
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset = int32(b.ID), int64(b.Epoch), max(img.Version, int64(b.Epoch))
	resp, err := a.o.Cluster.Decide(ctx, req)
	if err != nil {
		return err
	}
	return kafkaError(resp.(*kmsg.BrokerHeartbeatResponse).ErrorCode, nil)
}

func (a *API) heartbeatStatus(context.Context, *http.Request) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	q, _ := a.o.Cluster.Quorum()
	out := HeartbeatStatus{
		TimeoutMs: a.o.SessionTimeout.Milliseconds(), IntervalMs: a.o.HeartbeatInterval.Milliseconds(),
		IsLeader: q.Leader == a.o.Cluster.NodeID(), Brokers: []BrokerHeartbeat{},
	}
	for _, id := range slices.Sorted(maps.Keys(img.Brokers)) {
		b := BrokerHeartbeat{ID: int32(id), Status: status(img.Brokers[id]), LastHeartbeatAgeMs: -1}
		if at := a.o.Cluster.LastContact(id); !at.IsZero() {
			age := time.Since(at)
			b.LastHeartbeatAgeMs, b.Stale = age.Milliseconds(), age > a.o.SessionTimeout
		}
		out.Brokers = append(out.Brokers, b)
	}
	return out, nil
}
