package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Cluster is the cluster as this node knows it, and the way to its controller and brokers. Errors carry an errcode.Kind.
type Cluster interface {
	NodeID() protocol.NodeID
	// Image is the newest metadata that this node has applied; nil while the node starts.
	Image() *image.Image
	// Applied is the metadata applied so far, which is not all there is while the node starts; nil: none yet.
	Applied() *image.Image
	// Quorum describes the metadata quorum; ok is false before the node sees any.
	Quorum() (q Quorum, ok bool)
	// VerifyLeader confirms with the quorum that this node is the active controller.
	VerifyLeader(ctx context.Context) error
	// Decide has the controller of this node answer one of the requests that go to the active controller.
	Decide(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	// LastContact is when the active controller heard of a broker; zero: not known, as on every other node.
	LastContact(id protocol.NodeID) time.Time
	// Ask sends a request to a broker as a client would.
	Ask(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error)
}

// Broker is the broker of this node. Errors carry an errcode.Kind.
type Broker interface {
	// Session says whether the controller answered the last heartbeat, and when one was answered; zero: never.
	Session() (connected bool, lastBeat time.Time)
	// BeatSoon sends a heartbeat at once.
	BeatSoon()
	// HighWatermark is that of this broker's own replica.
	HighWatermark(tp protocol.TopicPartition) (int64, error)
}

// Quorum is the metadata quorum as this node sees it.
type Quorum struct {
	Leader            protocol.NodeID // -1: none is known
	Term              int64
	State             string // LEADER, FOLLOWER or CANDIDATE
	CommitIndex       int64
	AppliedIndex      int64
	Voters, Observers []protocol.NodeID
	LastContact       map[protocol.NodeID]time.Time // when the leader heard of each member; nil on every other node
}

// Options configures an API. All fields are required but Broker.
type Options struct {
	Cluster Cluster
	Broker  Broker // nil: this node is no broker
	// HeartbeatInterval and SessionTimeout are what the node is configured with.
	HeartbeatInterval, SessionTimeout time.Duration
	Lookup                            func(ctx context.Context, host string) ([]netip.Addr, error) // of the addresses of a host
	Version                           string                                                       // of the program, for the document
	Logger                            *slog.Logger
}

// API answers requests below /api/v1.
type API struct {
	o       Options
	told    told
	bodies  budget        // what was received
	reading budget        // records that brokers were asked for
	sending budget        // answers that are being sent
	heavy   chan struct{} // holds one for each of the few large answers that may be made at a time
	handler http.Handler
}

// Prefix is where the API begins.
const Prefix = "/api/v1"

// heavyMost is how many answers that hold the whole metadata, or records, are made at a time.
const heavyMost = 4

// New returns the API. It starts nothing.
func New(o Options) *API {
	a := &API{
		o: o, bodies: budget{most: bodiesMost}, reading: budget{most: readingMost}, sending: budget{most: sendingMost},
		heavy: make(chan struct{}, heavyMost),
	}
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fail(http.StatusForbidden, codeForbidden, "a page of another site may not change anything here").write(w)
	}))
	a.handler = protection.Handler(a.mux())
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// image is the metadata at hand.
func (a *API) image() (*image.Image, error) {
	if img := a.o.Cluster.Image(); img != nil {
		return img, nil
	}
	return nil, errStarting()
}

// now is the time in answers.
func now() int64 { return time.Now().UnixMilli() }

// millis is a time in answers; -1: not known.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return -1
	}
	return t.UnixMilli()
}
