package handler

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Controller is the way to the active controller, in this process or over the network.
type Controller interface {
	// Handle answers one of the controller's requests. An error means that no decision was taken.
	Handle(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// Images gives the newest metadata image this node has applied.
type Images interface {
	Image() *image.Image
}

// Leader names the leader of the metadata quorum, as far as this node knows it.
type Leader interface {
	Leader() (id protocol.NodeID, term int64, ok bool)
}

// Deps is what the handlers need of the other rooms. Data and Groups may be nil on a node without the broker role.
type Deps struct {
	NodeID     protocol.NodeID
	Config     *config.Config
	Images     Images
	Leader     Leader
	Controller Controller
	LogLevels  LogLevels
	Features   map[string]image.FeatureRange // levels this node supports
	Logger     *slog.Logger
	Data       Data
	Groups     Groups

	// AwaitConfirmed returns once the controller has confirmed lately that this broker is not fenced, or soon. nil: at once.
	AwaitConfirmed func()
}

// Handler dispatches requests to the handler of their API key.
type Handler struct {
	nodeID         protocol.NodeID
	config         *config.Config
	images         Images
	leader         Leader
	controller     Controller
	logLevels      LogLevels
	features       map[string]image.FeatureRange
	logger         *slog.Logger
	requestTimeout time.Duration // for requests that carry no timeout of their own
	data           *dataHandler
	groups         *groupHandler

	apis map[int16]serveFunc
}

type serveFunc func(ctx context.Context, r *listener.Request) listener.Response

// New returns a handler. It starts nothing.
func New(d Deps) *Handler {
	h := &Handler{
		nodeID: d.NodeID, config: d.Config, images: d.Images, leader: d.Leader, controller: d.Controller,
		logLevels: d.LogLevels, features: d.Features, logger: d.Logger.With(slog.String("component", "handler")),
		requestTimeout: 30 * time.Second,
	}
	h.data = newDataHandler(h, d.Data)
	h.groups = &groupHandler{h: h, groups: d.Groups, awaitConfirmed: d.AwaitConfirmed}
	h.apis = h.table()
	return h
}

// table is the dispatcher. It holds exactly the keys of protocol.APIs.
func (h *Handler) table() map[int16]serveFunc {
	t := map[int16]serveFunc{
		key(kmsg.ApiVersions):                reply(h.serveAPIVersions),
		key(kmsg.Metadata):                   reply(h.serveMetadata),
		key(kmsg.DescribeCluster):            reply(h.serveDescribeCluster),
		key(kmsg.DescribeTopicPartitions):    reply(h.serveDescribeTopicPartitions),
		key(kmsg.DescribeConfigs):            reply(h.serveDescribeConfigs),
		key(kmsg.ListConfigResources):        reply(h.serveListConfigResources),
		key(kmsg.IncrementalAlterConfigs):    h.checkedByBroker(reply(h.serveIncrementalAlterConfigs)),
		key(kmsg.AlterConfigs):               h.checkedByBroker(reply(h.serveAlterConfigs)),
		key(kmsg.CreateTopics):               h.forward,
		key(kmsg.DeleteTopics):               h.forward,
		key(kmsg.CreatePartitions):           h.forward,
		key(kmsg.UpdateFeatures):             h.forward,
		key(kmsg.DescribeQuorum):             h.forward,
		key(kmsg.AddRaftVoter):               h.forward,
		key(kmsg.RemoveRaftVoter):            h.forward,
		key(kmsg.UpdateRaftVoter):            h.forward,
		key(kmsg.UnregisterBroker):           h.forward,
		key(kmsg.BrokerRegistration):         h.forward,
		key(kmsg.BrokerHeartbeat):            h.forward,
		key(kmsg.ControllerRegistration):     h.forward,
		key(kmsg.AllocateProducerIDs):        h.forward,
		key(kmsg.AlterPartition):             h.forward,
		key(kmsg.ElectLeaders):               h.forward,
		key(kmsg.AlterPartitionAssignments):  h.forward,
		key(kmsg.ListPartitionReassignments): h.forward,
		key(kmsg.AssignReplicasToDirs):       h.forward,
	}
	h.data.register(t)
	h.groups.register(t)
	return t
}

// Serve answers one request. The listener has already refused keys and versions that are not in the table.
func (h *Handler) Serve(ctx context.Context, r *listener.Request) listener.Response {
	serve, ok := h.apis[r.Header.Key]
	if !ok {
		return listener.Close{Err: fmt.Errorf("api key %d has no handler", r.Header.Key)}
	}
	return serve(ctx, r)
}

// Gathers implements listener.Gatherer: appends of several pipelined requests are written together. With acks=0 an error ends
// the connection before what follows is appended.
func (*Handler) Gathers(r *listener.Request) bool {
	req, ok := r.Body.(*kmsg.ProduceRequest)
	return ok && req.Acks != 0
}

// ServeAll implements listener.Gatherer.
func (h *Handler) ServeAll(_ context.Context, rs []*listener.Request, out []listener.Response) {
	h.data.serveProduces(rs, out)
}

// forward has the active controller answer: it decides, commits, and knows the quorum.
func (h *Handler) forward(ctx context.Context, r *listener.Request) listener.Response {
	ctx, cancel := context.WithTimeout(ctx, timeoutOf(r.Body, h.requestTimeout))
	defer cancel()
	resp, err := h.controller.Handle(ctx, r.Body)
	if err != nil {
		resp = errorResponse(r.Body, err, err.Error())
	}
	return listener.Reply{Message: resp}
}

// checkedByBroker has a broker serve a request of which it checks what only it can know before the controller sees it. What comes
// to the controller's listener, mostly from brokers that have done so, is for the controller alone.
func (h *Handler) checkedByBroker(serve serveFunc) serveFunc {
	return func(ctx context.Context, r *listener.Request) listener.Response {
		if r.Conn.Scope == protocol.ScopeController {
			return h.forward(ctx, r)
		}
		return serve(ctx, r)
	}
}

// timeoutOf returns the request's own timeout where it has a sensible one.
func timeoutOf(req kmsg.Request, fallback time.Duration) time.Duration {
	t, ok := req.(kmsg.TimeoutRequest)
	if !ok || t.Timeout() <= 0 {
		return fallback
	}
	return time.Duration(t.Timeout()) * time.Millisecond
}

// reply makes a handler of a function from one request type to its response.
func reply[Q kmsg.Request](serve func(context.Context, *listener.Request, Q) kmsg.Response) serveFunc {
	return func(ctx context.Context, r *listener.Request) listener.Response {
		req, ok := r.Body.(Q)
		if !ok {
			return listener.Close{Err: fmt.Errorf("api key %d decoded as %T", r.Header.Key, r.Body)}
		}
		return listener.Reply{Message: serve(ctx, r, req)}
	}
}

func key(k kmsg.Key) int16 { return k.Int16() }

func itoa(n int) string { return strconv.Itoa(n) }

func errAttr(err error) slog.Attr { return slog.Any("err", err) }
