package controller

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Options configures a Controller.
type Options struct {
	Quorum   *kraft.Quorum
	NodeID   protocol.NodeID
	Schema   ConfigSchema
	Settings Settings
	Logger   *slog.Logger
	Rand     io.Reader // topic ids; nil: crypto/rand
	// Features are the levels this controller supports. The highest metadata.version is finalized for a new cluster.
	Features map[string]image.FeatureRange
	// Endpoints are where this controller listens; IncarnationID is drawn anew at each start of the process, and is also
	// the one the broker of the same process registers with: that broker's older incarnations are known to be dead.
	Endpoints     []image.Endpoint
	IncarnationID protocol.TopicID
	// Prober finds out whether a broker's process lives; nil: nobody is asked, and the session timeout decides.
	Prober Prober
}

// Settings are the controller's defaults.
type Settings struct {
	NumPartitions            int32         // of topics created with -1; 0: 1
	DefaultReplicationFactor int16         // of topics created with -1; 0: 1
	SessionTimeout           time.Duration // a broker not heard of for so long is fenced; 0: 9 s
	DisableTopicDeletion     bool          // delete.topic.enable=false
	RebalanceInterval        time.Duration // how often leaderships go back to preferred replicas; 0: never
}

// ConfigSchema knows the configuration keys of every resource. broker/config implements it.
type ConfigSchema interface {
	// Validate checks a resource's complete new set of overrides; changed names the keys this request sets. The error
	// carries INVALID_CONFIG (or another Kafka kind) and the text clients see.
	Validate(r image.Resource, configs map[string]string, changed []string) error
	// IsList reports whether APPEND and SUBTRACT apply to the key.
	IsList(r image.Resource, key string) bool
	// Default returns the value a key has without an override on this resource (cluster-wide dynamic configs given), for
	// APPEND and SUBTRACT on an unset list.
	Default(r image.Resource, key string, cluster map[string]string) (string, bool)
	// TopicPolicy is what a topic's configuration says about its replication, given its overrides, the dynamic configs of
	// this node's broker and the cluster-wide ones.
	TopicPolicy(topic, broker, cluster map[string]string) TopicPolicy
	// TopicConfigs describes all effective configs of a topic with these overrides, sorted by name, for CreateTopics v5+.
	TopicConfigs(overrides, cluster map[string]string) []TopicConfig
}

// TopicConfig is one effective topic config.
type TopicConfig struct {
	Name      string
	Value     *string
	ReadOnly  bool
	Source    int8 // kmsg.ConfigSource
	Sensitive bool
}

// Controller decides for the cluster while its node leads the quorum.
type Controller struct {
	o        Options
	logger   *slog.Logger
	decider  *decider
	sessions *sessions
	probes   probes
	requests chan *request
	active   atomic.Bool   // it decides: this node leads and has caught up
	stopped  chan struct{} // closed when Run has returned

	elections elections // that it has committed
}

// queueLength bounds the requests that wait to be decided; more wait in Handle.
const queueLength = 1024

// New returns a controller that answers once Run runs.
func New(o Options) *Controller {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Settings.NumPartitions == 0 {
		o.Settings.NumPartitions = 1
	}
	if o.Settings.DefaultReplicationFactor == 0 {
		o.Settings.DefaultReplicationFactor = 1
	}
	if o.Settings.SessionTimeout == 0 {
		o.Settings.SessionTimeout = 9 * time.Second
	}
	sessions := newSessions(o.Settings.SessionTimeout)
	return &Controller{
		o:        o,
		logger:   o.Logger.With(slog.String("component", "controller"), slog.Int("node_id", int(o.NodeID))),
		sessions: sessions,
		decider: &decider{
			nodeID: o.NodeID, incarnation: o.IncarnationID, schema: o.Schema, settings: o.Settings, features: o.Features,
			sessions: sessions, newID: func() (protocol.TopicID, error) { return protocol.NewTopicID(o.Rand) },
			directory: o.Quorum.Directory,
		},
		probes:   probes{prober: o.Prober},
		requests: make(chan *request, queueLength),
		stopped:  make(chan struct{}),
	}
}

// request is a decision somebody waits for.
type request struct {
	name   string
	decide func(v *view, now time.Time) (decision, error)
	done   chan answer // holds one
	tries  int

	abandoned atomic.Bool // nobody waits any more
}

type answer struct {
	resp kmsg.Response
	err  error
}

// Handle is the one door for requests of the controller: those of handleQuorum and of decider.decision. What it reads of req must
// not change until it returns.
func (c *Controller) Handle(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	if resp, ok := c.handleQuorum(ctx, req); ok {
		return resp, nil
	}
	decide := c.decider.decision(req)
	if decide == nil {
		return nil, errcode.New(errcode.KindUnsupportedVersion, "the controller does not handle %s", kmsg.NameForKey(req.Key()))
	}
	if !c.o.Quorum.IsLeader() {
		leader, _, _ := c.o.Quorum.Leader()
		return nil, &kraft.NotLeaderError{Leader: leader}
	}
	switch r := req.(type) {
	case *kmsg.BrokerHeartbeatRequest:
		c.sessions.contact(protocol.NodeID(r.BrokerID), protocol.BrokerEpoch(r.BrokerEpoch), time.Now())
		if resp := c.quietHeartbeat(r); resp != nil {
			return resp, nil
		}
	case *kmsg.BrokerRegistrationRequest:
		c.settlePredecessor(ctx, r)
	}
	if timeout := timeoutOf(req); timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	return c.submit(ctx, &request{name: kmsg.NameForKey(req.Key()), decide: decide, done: make(chan answer, 1)})
}

// Active reports whether this node believes that it decides: it leads the quorum, and has applied what was committed before.
func (c *Controller) Active() bool { return c.active.Load() }

// LastContact is when a broker was last heard of; zero: not known, or this node does not decide.
func (c *Controller) LastContact(id protocol.NodeID) time.Time {
	if !c.active.Load() {
		return time.Time{}
	}
	return c.sessions.lastContact(id)
}

// quietHeartbeat answers a heartbeat that changes nothing: nearly all of them. It does not wait for the loop, and does not ask
// the quorum whether this node still leads: a deposed controller finds out within raft's lease, and what it says
// here moves nobody.
func (c *Controller) quietHeartbeat(req *kmsg.BrokerHeartbeatRequest) kmsg.Response {
	if !c.active.Load() {
		return nil
	}
	b := c.o.Quorum.Image().Brokers[protocol.NodeID(req.BrokerID)]
	if b == nil || checkHeartbeat(req) != nil || int64(b.Epoch) != req.BrokerEpoch || !b.Active() || req.WantFence || req.WantShutdown || dirsChange(b, req) {
		return nil
	}
	c.sessions.reached(b.ID, req.CurrentMetadataOffset)
	resp := kmsg.NewPtrBrokerHeartbeatResponse()
	resp.Version = req.Version
	resp.IsCaughtUp = req.CurrentMetadataOffset >= int64(b.Epoch)
	resp.IsFenced = false
	return resp
}

// timeoutOf returns the time a client gives its request; 0: no limit.
func timeoutOf(req kmsg.Request) time.Duration {
	if r, ok := req.(kmsg.TimeoutRequest); ok {
		return max(0, time.Duration(r.Timeout())*time.Millisecond)
	}
	return 0
}

func (c *Controller) submit(ctx context.Context, r *request) (kmsg.Response, error) {
	select {
	case c.requests <- r:
	case <-ctx.Done():
		return nil, timedOut(ctx, r)
	case <-c.stopped:
		return nil, &kraft.NotLeaderError{Leader: -1}
	}
	select {
	case a := <-r.done:
		return a.resp, a.err
	case <-ctx.Done():
		r.abandoned.Store(true)
		return nil, timedOut(ctx, r)
	case <-c.stopped:
		select { // it may have been answered with the last batch
		case a := <-r.done:
			return a.resp, a.err
		default:
			return nil, &kraft.NotLeaderError{Leader: -1}
		}
	}
}

func timedOut(ctx context.Context, r *request) error {
	return &errcode.Error{
		Kind: errcode.KindRequestTimedOut, Msg: fmt.Sprintf("%s: the controller did not answer in time", r.name), Err: context.Cause(ctx),
	}
}
