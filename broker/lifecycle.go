package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// requester sends a request to the active controller.
type requester interface {
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
}

// registration is what a broker tells the controller about itself.
type registration struct {
	nodeID      protocol.NodeID
	clusterID   string
	incarnation protocol.TopicID // drawn anew at each start
	endpoints   []image.Endpoint
	features    map[string]image.FeatureRange
	rack        string // empty: none
	logDirs     []protocol.TopicID
	previous    protocol.BrokerEpoch // from the clean-shutdown mark; -1: the broker did not stop cleanly
}

// lifecycle keeps a broker registered (Kafka's BrokerLifecycleManager): it registers, beats until it is unfenced and on,
// registers again when the controller no longer knows it, and asks for a controlled shutdown.
//
// start registers and returns once the broker is unfenced; run beats until its context ends. They are called in this
// order, by one goroutine at a time.
type lifecycle struct {
	reg      registration
	link     requester
	interval time.Duration
	timeout  time.Duration // of the session; it starts anew with each beat
	applied  func() int64  // the metadata position this broker has applied
	offline  func() []protocol.TopicID
	cordoned func() []protocol.TopicID
	news     chan struct{} // holds one: there is something to tell before the next beat is due
	logger   *slog.Logger

	epoch     atomic.Int64 // of the present registration; -1 before the first
	connected atomic.Bool  // the last beat was answered
	lastBeat  atomic.Int64 // when one was, in milliseconds since the Unix epoch

	confirmed atomic.Pointer[time.Time] // when the last beat was sent that was answered with this broker not being fenced
}

// brokerEpoch is the epoch of the present registration; -1 before the first.
func (l *lifecycle) brokerEpoch() protocol.BrokerEpoch { return protocol.BrokerEpoch(l.epoch.Load()) }

const (
	// retryPause is how long the broker waits before it asks an unreachable controller again.
	retryPause = 50 * time.Millisecond
	// attemptTimeout bounds one request; while no controller is active it waits for one.
	attemptTimeout = 4 * time.Second
	// complainFor is the time between log lines about the same trouble.
	complainFor = 5 * time.Second
)

// start registers the broker and waits until the controller has unfenced it.
func (l *lifecycle) start(ctx context.Context) error {
	l.epoch.Store(-1)
	if err := l.register(ctx); err != nil {
		return err
	}
	for {
		fenced, err := l.beat(ctx)
		switch {
		case err == nil && !fenced:
			return nil
		case errors.Is(err, kerr.StaleBrokerEpoch), errors.Is(err, kerr.BrokerIDNotRegistered):
			if err := l.register(ctx); err != nil {
				return err
			}
		}
		if err := pause(ctx, retryPause/10); err != nil {
			return fmt.Errorf("wait until the controller unfences broker %d: %w", l.reg.nodeID, err)
		}
	}
}

// register registers the broker. It tries again while no controller answers and while an older incarnation of the broker
// has not timed out yet.
func (l *lifecycle) register(ctx context.Context) error {
	var complain time.Time
	for {
		epoch, err := l.tryRegister(ctx)
		switch {
		case err == nil:
			l.epoch.Store(epoch)
			l.reg.previous = protocol.BrokerEpoch(epoch)
			return nil
		case errors.Is(err, kerr.InconsistentClusterID), errors.Is(err, kerr.UnsupportedVersion), errors.Is(err, kerr.InvalidRegistration):
			return fmt.Errorf("register broker %d: %w", l.reg.nodeID, err)
		}
		if now := time.Now(); now.After(complain) && ctx.Err() == nil {
			complain = now.Add(complainFor)
			l.logger.WarnContext(ctx, "waiting to register with the controller", slog.String("event", "broker.register.waiting"), slog.Any("err", err))
		}
		if perr := pause(ctx, retryPause); perr != nil {
			return fmt.Errorf("register broker %d: %w", l.reg.nodeID, err)
		}
	}
}

func (l *lifecycle) tryRegister(ctx context.Context) (int64, error) {
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID = int32(l.reg.nodeID)
	req.ClusterID = l.reg.clusterID
	req.IncarnationID = l.reg.incarnation
	req.PreviousBrokerEpoch = int64(l.reg.previous)
	if l.reg.rack != "" {
		req.Rack = &l.reg.rack
	}
	for _, e := range l.reg.endpoints {
		le := kmsg.NewBrokerRegistrationRequestListener()
		le.Name, le.Host, le.Port, le.SecurityProtocol = e.Name, e.Host, e.Port, e.SecurityProtocol
		req.Listeners = append(req.Listeners, le)
	}
	for name, levels := range l.reg.features {
		f := kmsg.NewBrokerRegistrationRequestFeature()
		f.Name, f.MinSupportedVersion, f.MaxSupportedVersion = name, levels.Min, levels.Max
		req.Features = append(req.Features, f)
	}
	for _, d := range l.reg.logDirs {
		req.LogDirs = append(req.LogDirs, d)
	}
	resp, err := l.request(ctx, req)
	if err != nil {
		return 0, err
	}
	r, ok := resp.(*kmsg.BrokerRegistrationResponse)
	if !ok {
		return 0, fmt.Errorf("controller answered a registration with %T", resp)
	}
	return r.BrokerEpoch, kerr.ErrorForCode(r.ErrorCode)
}

func (l *lifecycle) request(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return l.link.Request(ctx, req)
}

// beat sends one heartbeat.
func (l *lifecycle) beat(ctx context.Context) (fenced bool, err error) {
	sent := time.Now()
	r, err := l.heartbeat(ctx, false)
	l.connected.Store(err == nil)
	if err != nil {
		return true, err
	}
	if !r.IsFenced {
		l.confirmed.Store(&sent)
	}
	l.lastBeat.Store(time.Now().UnixMilli())
	l.logger.DebugContext(ctx, "heartbeat answered", slog.String("event", "broker.heartbeat"), slog.Bool("fenced", r.IsFenced))
	return r.IsFenced, nil
}

const (
	confirmPatience = 500 * time.Millisecond
	confirmInterval = 5 * time.Millisecond
)

// awaitConfirmed returns once this broker's session is known to hold. A process that was stopped for longer than the session lasts
// may have been succeeded by others without knowing, and what it would answer from memory is old. When it runs again it hears of
// that within milliseconds. It waits no longer than confirmPatience, as nobody could read while there is no controller; a broker that
// is cut off from the controllers for longer, and not from its client, may answer what is old.
func (l *lifecycle) awaitConfirmed() {
	holds := func() bool {
		sent := l.confirmed.Load()
		return sent != nil && time.Since(*sent) < l.timeout
	}
	if holds() {
		return
	}
	deadline := time.NewTimer(confirmPatience)
	defer deadline.Stop()
	tick := time.NewTicker(confirmInterval)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
}

func (l *lifecycle) heartbeat(ctx context.Context, wantShutdown bool) (*kmsg.BrokerHeartbeatResponse, error) {
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.BrokerID = int32(l.reg.nodeID)
	req.BrokerEpoch = l.epoch.Load()
	req.CurrentMetadataOffset = l.applied()
	req.WantShutdown = wantShutdown
	req.CordonedLogDirs = [][16]byte{} // empty, which says that there are none
	for _, d := range l.cordoned() {
		req.CordonedLogDirs = append(req.CordonedLogDirs, d)
	}
	for _, d := range l.offline() {
		req.OfflineLogDirs = append(req.OfflineLogDirs, d)
	}
	resp, err := l.request(ctx, req)
	if err != nil {
		return nil, err
	}
	r, ok := resp.(*kmsg.BrokerHeartbeatResponse)
	if !ok {
		return nil, fmt.Errorf("controller answered a heartbeat with %T", resp)
	}
	return r, kerr.ErrorForCode(r.ErrorCode)
}

// beatSoon has run beat at once. It does not wait.
func (l *lifecycle) beatSoon() {
	select {
	case l.news <- struct{}{}:
	default: // it will, or it does not run yet
	}
}

// due waits until it is time for a beat, or there is something to tell.
func (l *lifecycle) due(ctx context.Context) error {
	t := time.NewTimer(l.interval)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-l.news:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run beats until ctx ends.
func (l *lifecycle) run(ctx context.Context) {
	for l.due(ctx) == nil {
		_, err := l.beat(ctx)
		switch {
		case err == nil || ctx.Err() != nil:
		case errors.Is(err, kerr.StaleBrokerEpoch), errors.Is(err, kerr.BrokerIDNotRegistered):
			l.logger.WarnContext(ctx, "the controller no longer knows this registration: register again", slog.String("event", "broker.register"))
			if err := l.register(ctx); err != nil && ctx.Err() == nil {
				l.logger.ErrorContext(ctx, "register again", slog.Any("err", err))
			}
		default:
			l.logger.WarnContext(ctx, "heartbeat", slog.String("event", "broker.heartbeat.missed"), slog.String("code", errcode.Name(errcode.Of(err))), slog.Any("err", err))
		}
	}
}

const (
	// goodbyeTimeout bounds one request for the controlled shutdown.
	goodbyeTimeout = time.Second
	// goodbyePatience is how long a stopping broker asks for a controller that does not answer: the others may be stopping too.
	goodbyePatience = 2 * time.Second
)

// errNobodyAnswers is that there is no controller to leave.
var errNobodyAnswers = errors.New("no controller answers")

// controlledShutdown asks the controller to move leaders away and waits until it agrees that the broker may stop.
func (l *lifecycle) controlledShutdown(ctx context.Context) error {
	for answered := time.Now(); ; {
		once, cancel := context.WithTimeout(ctx, goodbyeTimeout)
		r, err := l.heartbeat(once, true)
		cancel()
		if err == nil && r.ShouldShutdown {
			return nil
		}
		now := time.Now()
		if err == nil {
			answered = now
		}
		if now.Sub(answered) >= goodbyePatience {
			return fmt.Errorf("controlled shutdown of broker %d: %w: %w", l.reg.nodeID, errNobodyAnswers, err)
		}
		if perr := pause(ctx, retryPause); perr != nil {
			if err == nil {
				err = perr
			}
			return fmt.Errorf("controlled shutdown of broker %d: %w", l.reg.nodeID, err)
		}
	}
}

// pause waits, or returns the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
