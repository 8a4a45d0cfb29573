package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/fetcher"
	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/raftnet"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/protocol"
)

// metadataDir is the folder of the metadata log below metadata.log.dir. The name is one that Apache Kafka, started on
// the same directory, sets aside as a stray partition rather than refusing to start.
const metadataDir = "__dmq_metadata-0"

// kafkaMetadataDir is where Apache Kafka keeps its metadata log.
const kafkaMetadataDir = "__cluster_metadata-0"

// node is a running node. Its parts are listed in the order in which they start; they stop in the reverse order.
type node struct {
	cfg     Config
	props   *config.Config
	logger  *slog.Logger
	stopped func(error) // tells the owner that the node cannot go on
	opened  func(*node) // tells the owner that the quorum is open

	identity         raftnet.Identity // of this run of the process
	clusterID        string           // as configured, or as the directories say; "" not known yet
	sockets          sockets
	gate             *listener.Gate
	network          *raftnet.Net
	quorum           *kraft.Quorum
	control          *controller.Controller
	controllerLink   *controllerLink // the way to the active controller
	asks             *askLinks
	logs             *logdir.Manager
	replicas         atomic.Pointer[replica.Manager]
	groups           *group.Coordinator
	lag              *lag.Tracker
	ends             *ends
	handler          *handler.Handler
	controllerServer *listener.Server   // nil on a node that is no controller
	door             *listener.Server   // where other nodes reach this one: controllerServer, or that of brokers among themselves
	doorHandler      lateHandler        // of door
	clients          []*listener.Server // in the order of the configuration; none on a node that is no broker
	life             *lifecycle
	fetcher          *fetcher.Fetcher

	topics    *metrics.Topics
	requests  *metrics.Requests
	dead      atomic.Bool                     // the metadata log failed
	stopBeats func() error                    // ends the heartbeats
	goodbye   func() error                    // ends the session with the controller in order
	handOn    func(ctx context.Context) error // hands leadership of the quorum on
	clean     bool                            // everything was drained: the logs may be marked as stopped cleanly
	cleanup   []func() error                  // what undoes the steps made so far, in their order
}

var errStopping = errors.New("the node is stopping")

// startNode runs the steps in order. When one fails it undoes those before it.
func startNode(ctx context.Context, cfg Config, props *config.Config, stopped func(error), opened func(*node)) (*node, error) {
	n := &node{cfg: cfg, props: props, stopped: stopped, opened: opened, topics: new(metrics.Topics), requests: metrics.NewRequests()}
	n.logger = cfg.Logger.With(slog.Int("node", int(props.NodeID)))
	run := context.WithoutCancel(ctx) // of what goes on after Start has returned
	for _, step := range n.steps() {
		if err := step(ctx, run); err != nil {
			return nil, errors.Join(err, n.close())
		}
	}
	return n, nil
}

// step is a part of starting. run does not end with the start.
type step func(ctx, run context.Context) error

// steps lists what a node of these roles starts, in order. From openQuorum on it is known to other nodes.
func (n *node) steps() []step {
	steps := []step{n.identify, n.bind, n.openQuorum}
	if n.props.IsController {
		steps = append(steps, n.startController)
	}
	steps = append(steps, n.catchUp)
	if n.props.IsController {
		steps = append(steps, n.announceController)
	}
	if n.props.IsBroker {
		steps = append(steps, n.openLogs, n.startReplicas, n.startCoordinators, n.startServers, n.join, n.startFetcher)
	}
	return steps
}

// fatal is called when the metadata log or its store failed. It tells the owner, who must end the process, and never
// returns: raft would go on where what is on disk is unknown.
func (n *node) fatal(err error) {
	n.dead.Store(true)
	n.logger.Error("the metadata log failed: this process must end", slog.String("event", "node.fatal"), slog.Any("err", err))
	n.stopped(err)
	select {}
}

// spawn runs f on a goroutine until stop is called, which joins it and may be called again.
func spawn(ctx context.Context, f func(ctx context.Context)) (stop func() error) {
	stopCause := spawnCause(ctx, f)
	return func() error { return stopCause(errStopping) }
}

// spawnCause is spawn where f learns why it is stopped.
func spawnCause(ctx context.Context, f func(ctx context.Context)) (stop func(cause error) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var done sync.WaitGroup
	done.Go(func() { f(ctx) })
	return func(cause error) error {
		cancel(cause)
		done.Wait()
		return nil
	}
}

// onClose adds what undoes a step; close runs the latest first.
func (n *node) onClose(f func() error) { n.cleanup = append(n.cleanup, f) }

// sockets are the bound listeners before anything is served on them. Binding early tells the ports that registration
// announces; connections wait in the kernel meanwhile.
type sockets struct {
	clients    []net.Listener
	controller net.Listener
	endpoints  []image.Endpoint // of the broker, as advertised
	control    []image.Endpoint // of the controller
}

func (n *node) bind(ctx, _ context.Context) error {
	for i, l := range n.props.Listeners {
		socket, err := n.listen(ctx, l)
		if err != nil {
			return err
		}
		n.sockets.clients = append(n.sockets.clients, socket)
		n.sockets.endpoints = append(n.sockets.endpoints, advertised(n.props.AdvertisedListeners[i], socket.Addr()))
	}
	n.sockets.endpoints = n.withAdmin(n.sockets.endpoints)
	if !n.props.IsController {
		return nil
	}
	socket, err := n.listen(ctx, n.props.ControllerListeners[0])
	if err != nil {
		return err
	}
	n.sockets.controller = socket
	n.sockets.control = n.withAdmin([]image.Endpoint{advertised(n.props.AdvertisedController, socket.Addr())})
	return nil
}

// withAdmin adds the admin port to what a node registers, behind its listeners.
func (n *node) withAdmin(endpoints []image.Endpoint) []image.Endpoint {
	if n.cfg.Admin == nil {
		return endpoints
	}
	e := *n.cfg.Admin
	e.Name = image.AdminListener
	return append(endpoints, e)
}

func (n *node) listen(ctx context.Context, l config.Listener) (net.Listener, error) {
	address := net.JoinHostPort(l.Host, strconv.Itoa(l.Port))
	socket, err := n.cfg.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("bind listener %s to %s: %w (choose another address with --set listeners=%s://HOST:PORT)", l.Name, address, err, l.Name)
	}
	n.onClose(func() error { return ignoreClosed(socket.Close()) })
	return socket, nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// advertised is what others are told of a listener: the configured host, and the bound port where 0 was configured.
func advertised(l config.Listener, bound net.Addr) image.Endpoint {
	e := image.Endpoint{Name: l.Name, Host: l.Host, Port: uint16(l.Port)}
	if tcp, ok := bound.(*net.TCPAddr); ok {
		if e.Port == 0 {
			e.Port = uint16(tcp.Port)
		}
		if e.Host == "" {
			e.Host = tcp.IP.String()
		}
	}
	return e
}

func (n *node) startController(_, run context.Context) error {
	n.control = controller.New(controller.Options{
		Quorum: n.quorum,
		NodeID: n.props.NodeID,
		Schema: n.props.ControllerSchema(),
		Settings: controller.Settings{
			NumPartitions:            n.props.NumPartitions,
			DefaultReplicationFactor: n.props.DefaultReplicationFactor,
			SessionTimeout:           n.props.BrokerSessionTimeout,
			DisableTopicDeletion:     !n.props.DeleteTopicEnable,
			RebalanceInterval:        n.props.RebalanceInterval,
		},
		Logger:        n.logger,
		Rand:          n.cfg.Rand,
		Features:      features(),
		Endpoints:     n.sockets.control,
		IncarnationID: n.identity.Incarnation,
		Prober:        n.prober(),
	})
	n.network.AttachSessions(n.acceptSession)
	n.controllerLink.local = n.control
	n.doorHandler.set(handler.New(n.handlerDeps(n.control)))
	n.onClose(spawn(run, func(ctx context.Context) {
		if err := n.control.Run(ctx); err != nil && ctx.Err() == nil {
			n.stopped(fmt.Errorf("controller: %w", err))
		}
	}))
	return nil
}

// openLogs locks the log directories and recovers what an unclean stop left.
func (n *node) openLogs(ctx, _ context.Context) error {
	clusterID := n.quorum.Image().ClusterID
	logs, err := logdir.Open(ctx, logdir.Options{
		FS:                    n.cfg.FS,
		Dirs:                  n.props.LogDirs,
		NodeID:                n.props.NodeID,
		ClusterID:             clusterID,
		Rand:                  n.cfg.Rand,
		Logger:                n.logger,
		ConfigFor:             n.topicLogConfig,
		DirectoryOf:           n.directoryOf,
		Synced:                n.synced,
		Failed:                n.dirFailed,
		RecoveryThreads:       int(n.props.RecoveryThreadsPerDir),
		HighWatermarkInterval: n.props.HighWatermarkInterval,
		RetentionInterval:     n.props.RetentionCheckInterval,
		Cleaner:               &n.props.WithDynamic(n.dynamic(n.quorum.Image())).Cleaner,
	})
	if err != nil {
		return err
	}
	n.logs = logs
	logs.Cordon(n.props.WithDynamic(n.dynamic(n.quorum.Image())).CordonedLogDirs)
	n.onClose(func() error {
		if n.clean {
			return logs.Close(true, n.life.brokerEpoch())
		}
		return logs.Close(false, 0)
	})
	return logs.SetClusterID(clusterID)
}

// topicLogConfig is how a topic's logs are kept: its overrides, over dynamic and static broker properties.
func (n *node) topicLogConfig(topic string) commitlog.Config {
	img := n.quorum.Image()
	return n.props.TopicLog(img.Configs[image.Resource{Type: image.ResourceTopic, Name: topic}], n.dynamic(img))
}

// directoryOf is the log directory in which the metadata has this broker's replica of a partition; zero: not known.
func (n *node) directoryOf(tp protocol.TopicPartition) protocol.TopicID {
	p := n.quorum.Image().Partition(tp)
	if p == nil {
		return protocol.TopicID{}
	}
	return p.Directory(n.props.NodeID)
}

func (n *node) dynamic(img *image.Image) config.Dynamic {
	return config.Dynamic{
		Broker:  img.Configs[image.Resource{Type: image.ResourceBroker, Name: strconv.Itoa(int(n.props.NodeID))}],
		Cluster: img.Configs[image.Resource{Type: image.ResourceBroker}],
	}
}

// startReplicas hosts the partitions that the metadata assigns to this broker. Logs are opened when they are first used.
func (n *node) startReplicas(_, run context.Context) error {
	n.life = n.newLifecycle()
	replicas := replica.New(replica.Options{
		NodeID:      n.props.NodeID,
		Logs:        n.logs,
		Logger:      n.logger,
		MinISR:      n.minISR,
		MaxLag:      n.props.ReplicaLagTimeMax,
		RackAware:   n.props.RackAwareReads,
		Quota:       n.leaderQuota(),
		Controller:  n.controllerLink,
		BrokerEpoch: n.life.brokerEpoch,
	})
	n.replicas.Store(replicas)
	n.onClose(replicas.Close)
	n.quorum.Subscribe(replicas)
	// Comparing every folder with the metadata takes a while with many partitions, and nothing waits for it: a folder of
	// another topic's incarnation is also noticed when it is first used.
	n.onClose(spawn(run, func(ctx context.Context) {
		if err := replicas.Reconcile(ctx); err != nil && ctx.Err() == nil {
			n.logger.ErrorContext(ctx, "compare the log directories with the metadata", slog.Any("err", err))
		}
	}))
	return nil
}

func (n *node) minISR(topic string) int {
	img := n.quorum.Image()
	return int(n.props.TopicMinISR(img.Configs[image.Resource{Type: image.ResourceTopic, Name: topic}], n.dynamic(img)))
}

// synced passes on that a log is durable up to an offset. Recovery may report before there is anybody to tell.
func (n *node) synced(tp protocol.TopicPartition, end int64) {
	if r := n.replicas.Load(); r != nil {
		r.Synced(tp, end)
	}
}

func (n *node) dirFailed(dir string, err error) {
	if r := n.replicas.Load(); r != nil {
		r.DirFailed(dir, err)
		n.life.beatSoon() // the controller moves its leaders
	}
}

func (n *node) startServers(_, _ context.Context) error {
	var seed [32]byte
	if _, err := io.ReadFull(n.cfg.Rand, seed[:]); err != nil {
		return fmt.Errorf("draw the seed of fetch session ids: %w", err)
	}
	random := rand.New(rand.NewChaCha8(seed)) //nolint:gosec // session ids are no secrets
	deps := n.handlerDeps(n.controllerLink)
	deps.Data = handler.Data{
		Replicas:    n.replicas.Load(),
		LogDirs:     n.logs,
		Sessions:    fetchsession.New(fetchsession.Options{Slots: slots(n.props.FetchSessionCacheSlots), Rand: random}),
		BrokerEpoch: n.life.brokerEpoch,
		Topics:      n.topics,
	}
	deps.Groups, deps.AwaitConfirmed = n.groups, n.life.awaitConfirmed
	n.handler = handler.New(deps)
	for _, l := range n.props.Listeners {
		s := n.door // it is open already
		if n.isDoor(l) {
			n.doorHandler.set(n.handler)
		} else {
			s = n.newServer(l, protocol.ScopeBroker, n.handler)
			n.onClose(s.Close)
		}
		n.clients = append(n.clients, s)
	}
	n.quorum.Subscribe(n)
	return nil
}

// slots is how many fetch sessions there may be; 0 in the configuration means none.
func slots(configured int32) int {
	if configured == 0 {
		return -1
	}
	return int(configured)
}

// handlerDeps is what every handler of this node needs.
func (n *node) handlerDeps(c handler.Controller) handler.Deps {
	return handler.Deps{
		NodeID:     n.props.NodeID,
		Config:     n.props,
		Images:     n.quorum,
		Leader:     n.quorum,
		Controller: c,
		LogLevels:  n.cfg.LogLevels,
		Features:   features(),
		Logger:     n.logger,
	}
}

func (n *node) newServer(l config.Listener, scope protocol.Scope, h listener.Handler) *listener.Server {
	limit, perIP, overrides := connectionLimits(n.props, l.Name)
	var takeover func(context.Context, net.Conn)
	if n.isDoor(l) {
		takeover = n.network.Serve
	}
	return listener.New(listener.Options{
		Takeover:            takeover,
		Name:                l.Name,
		Scope:               scope,
		Handler:             h,
		Logger:              n.logger,
		Observer:            n.requests,
		Gate:                n.gate,
		MaxRequestBytes:     int(n.props.SocketRequestMaxBytes),
		MaxConnections:      limit,
		MaxConnectionsPerIP: perIP,
		PerIPOverrides:      overrides,
		IdleTimeout:         n.props.ConnectionsMaxIdle,
	})
}

func (n *node) newLifecycle() *lifecycle {
	return &lifecycle{
		reg: registration{
			nodeID:      n.props.NodeID,
			clusterID:   n.quorum.Image().ClusterID,
			incarnation: n.identity.Incarnation,
			endpoints:   n.sockets.endpoints,
			features:    features(),
			rack:        n.props.Rack,
			logDirs:     n.directories(func(logdir.DirInfo) bool { return true }),
			previous:    n.logs.PreviousBrokerEpoch(),
		},
		interval: n.props.BrokerHeartbeatInterval,
		timeout:  n.props.BrokerSessionTimeout,
		applied:  func() int64 { return n.quorum.Image().Version },
		offline:  func() []protocol.TopicID { return n.directories(func(d logdir.DirInfo) bool { return d.Offline }) },
		cordoned: func() []protocol.TopicID { return n.directories(func(d logdir.DirInfo) bool { return d.Cordoned }) },
		news:     make(chan struct{}, 1),
		logger:   n.logger.With(slog.String("component", "lifecycle")),
	}
}

// connectionLimits are max.connections, max.connections.per.ip and its overrides for one listener.
func connectionLimits(props *config.Config, listenerName string) (all, perIP int, overrides map[string]int) {
	all = int(props.MaxConnections)
	if own, ok := props.MaxConnectionsByListener[listenerName]; ok {
		all = min(all, int(own))
	}
	overrides = make(map[string]int, len(props.MaxConnectionsPerIPOf))
	for host, most := range props.MaxConnectionsPerIPOf {
		overrides[host] = int(most)
	}
	return all, int(props.MaxConnectionsPerIP), overrides
}

// Publish applies dynamic broker properties that concern the listeners and compaction (image.Publisher).
func (n *node) Publish(d *image.Delta) {
	// A broker may stop once every other one knows where its leaders went: no reason to let it wait for the next beat.
	for id := range d.ChangedBrokers {
		if b, was := d.Next.Brokers[id], d.Prev.Brokers[id]; b != nil && b.InControlledShutdown && (was == nil || !was.InControlledShutdown) {
			n.life.beatSoon()
		}
	}
	for r := range d.ChangedConfigs {
		if r.Type != image.ResourceBroker {
			continue
		}
		props := n.props.WithDynamic(n.dynamic(d.Next))
		for i, s := range n.clients {
			s.SetLimits(connectionLimits(props, n.props.Listeners[i].Name))
		}
		n.logs.ReconfigureCleaner(props.Cleaner)
		n.logs.Cordon(props.CordonedLogDirs)
		n.life.beatSoon() // it tells which are cordoned
		return
	}
}

// join registers the broker and opens the doors: clients are served from here on.
func (n *node) join(ctx, run context.Context) error {
	beats := n.newControllerLink(1) // of its own: no heartbeat waits behind another request
	n.onClose(beats.Close)
	n.life.link = beats
	stopSession := spawnCause(run, n.keepSession)
	n.goodbye = func() error { return stopSession(raftnet.ErrGoodbye) }
	n.onClose(func() error { return stopSession(errStopping) })
	if err := n.life.start(ctx); err != nil {
		return err
	}
	n.stopBeats = spawn(run, n.life.run)
	n.onClose(n.stopBeats)
	for i, s := range n.clients {
		if s != n.door {
			s.Serve(n.sockets.clients[i])
		}
	}
	return nil
}

func (n *node) directories(which func(logdir.DirInfo) bool) []protocol.TopicID {
	var ids []protocol.TopicID
	for _, d := range n.logs.Dirs() {
		if which(d) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// shutdown stops the node so that nothing has to be recovered: leaders are moved away, requests in flight are answered,
// logs are flushed and marked clean. What is not done when ctx ends is cut short.
func (n *node) shutdown(ctx context.Context) error {
	start := time.Now()
	n.logger.Info("shutting down", slog.String("event", "node.stop"))
	var errs []error
	if n.props.IsBroker {
		errs = n.leave(ctx)
	}
	if err := n.handOn(ctx); err != nil {
		n.logger.Warn("leadership of the quorum was not handed on; the others hold an election", slog.Any("err", err))
	}
	n.clean = true
	err := errors.Join(append(errs, n.close())...)
	n.logger.Info("stopped", slog.String("event", "node.stopped"), slog.Duration("dur", time.Since(start)), slog.Bool("clean", err == nil))
	return err
}

// leave has the controller move the broker's leaders away and answers the clients that are left.
func (n *node) leave(ctx context.Context) []error {
	// From here on the only heartbeats are those that ask to stop: an ordinary one would say that the broker stays.
	errs := []error{n.stopBeats()}
	if n.props.ControlledShutdown {
		bounded, cancel := context.WithTimeout(ctx, n.props.ShutdownTimeout/2)
		err := n.life.controlledShutdown(bounded)
		cancel()
		if err != nil {
			n.logger.Warn("leaders were not moved away before the stop", slog.String("event", "node.stop.leaders"), slog.Any("err", err))
		}
		if errors.Is(err, errNobodyAnswers) {
			bounded, cancel := context.WithTimeoutCause(ctx, drainAlone, errDrainedAlone)
			defer cancel()
			ctx = bounded
		}
	}
	errs = append(errs, n.goodbye())
	n.groups.Resign() // members that wait for each other would hold their connections up
	return append(errs, n.drain(ctx)...)
}

// drainAlone is how long clients are answered after no controller was found to leave. What still waits then waits for a controller, or
// for in-sync replicas that nobody can take out: it would until its request timeout.
const drainAlone = time.Second

var errDrainedAlone = errors.New("without a controller nothing is waited for")

// drain answers the clients that are left, until ctx ends.
func (n *node) drain(ctx context.Context) []error {
	var draining sync.WaitGroup
	drained := make([]error, len(n.clients))
	for i, s := range n.clients {
		draining.Go(func() { drained[i] = s.Shutdown(ctx) })
	}
	draining.Wait()
	for i, err := range drained {
		if errors.Is(err, errDrainedAlone) {
			n.logger.Warn("requests that wait were cut off", slog.String("event", "node.stop.requests"), slog.Any("err", err))
			drained[i] = nil
		}
	}
	return drained
}

// close undoes every step that was made, the latest first. Before that it closes the door at which other nodes ask whether this
// process lives: from then on it is dead to them, as after a crash.
func (n *node) close() error {
	var errs []error
	if n.door != nil {
		errs = append(errs, n.door.Close())
	}
	for _, undo := range slices.Backward(n.cleanup) {
		errs = append(errs, undo())
	}
	n.cleanup = nil
	return errors.Join(errs...)
}
