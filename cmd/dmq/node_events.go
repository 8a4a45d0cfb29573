package main

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/notify"
	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// watch follows what happens in the cluster: it logs it and, on a controller, tells brokers of elections. The returned function
// ends that.
func watch(ctx context.Context, b *broker.Broker, logger *slog.Logger) (stop func(), err error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	stop = func() {
		cancel()
		running.Wait()
	}
	control := b.Control()
	logger = logger.With(slog.Int("node", int(control.NodeID())))
	e := newEvents(nodeCluster{control, b}, logger.With(slog.String("component", "cluster")))
	changes, done, err := control.LeadershipChanges()
	if err != nil {
		return stop, err
	}
	running.Go(func() {
		defer done()
		e.run(ctx, changes)
	})
	if err := control.Watch(e); err != nil {
		return stop, err
	}
	elections, ended, err := control.LeadershipChanges()
	if err != nil {
		return stop, err
	}
	n := notify.New(notify.Options{
		Cluster: nodeCluster{control, b}, Changes: elections, Logger: logger.With(slog.String("component", "notify")),
		HTTP: &http.Client{
			Transport:     &http.Transport{DialContext: new(net.Dialer).DialContext, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // who is told does not say where else to send it
		},
	})
	running.Go(func() {
		defer ended()
		n.Run(ctx)
	})
	return stop, nil
}

// events logs what happens in the cluster. Deltas come on the goroutine that applies metadata, which must not wait for whoever
// reads the log: they are queued, and what does not fit is counted.
type events struct {
	cluster quorumView
	logger  *slog.Logger
	deltas  chan *image.Delta
	missed  atomic.Int64 // deltas that did not fit

	state  string // of this node in the quorum, as logged last
	term   int64
	leader protocol.NodeID
	loaded bool // the first delta was logged
}

// quorumView is what events knows of the quorum.
type quorumView interface {
	NodeID() protocol.NodeID
	Quorum() (api.Quorum, bool)
}

// deltasQueued is how many deltas wait to be logged at most.
const deltasQueued = 256

func newEvents(c quorumView, logger *slog.Logger) *events {
	return &events{cluster: c, logger: logger, deltas: make(chan *image.Delta, deltasQueued), leader: image.NoLeader}
}

// Publish implements image.Publisher.
func (e *events) Publish(d *image.Delta) {
	select {
	case e.deltas <- d:
	default:
		e.missed.Add(1)
	}
}

func (e *events) run(ctx context.Context, changes <-chan struct{}) {
	e.quorum(ctx)
	for {
		select {
		case <-changes:
			e.quorum(ctx)
		case d := <-e.deltas:
			e.delta(ctx, d)
		case <-ctx.Done():
			return
		}
	}
}

// quorum logs elections and who leads.
func (e *events) quorum(ctx context.Context) {
	q, ok := e.cluster.Quorum()
	if !ok {
		return
	}
	if q.State == "CANDIDATE" && (e.state != q.State || e.term != q.Term) {
		e.logger.InfoContext(ctx, "election begun: no leader is heard of", slog.String("event", "quorum.election"), slog.Int64("term", q.Term))
	}
	if q.Leader >= 0 && (q.Leader != e.leader || q.Term != e.term) {
		text := "another node leads the quorum"
		if q.Leader == e.cluster.NodeID() {
			text = "this node leads the quorum"
		}
		e.logger.InfoContext(ctx, text, slog.String("event", "quorum.leader"), slog.Int("leader", int(q.Leader)), slog.Int64("term", q.Term)) //nolint:sloglint // one of two texts
		e.leader = q.Leader
	}
	e.state, e.term = q.State, q.Term
}

// eventsShown is how many topics or brokers of one change are logged by name.
const eventsShown = 10

// delta logs a change of the metadata.
func (e *events) delta(ctx context.Context, d *image.Delta) {
	version := slog.Int64("metadata_version", d.Next.Version)
	if n := e.missed.Swap(0); n > 0 {
		e.logger.WarnContext(ctx, "changes of the metadata were not logged: there are too many at a time", slog.String("event", "metadata.unlogged"), slog.Int64("changes", n))
	}
	if !e.loaded {
		e.loaded = true
		e.logger.InfoContext(ctx, "metadata loaded", slog.String("event", "metadata.load"), version, slog.Int("topics", d.Next.Topics.Len()), slog.Int("brokers", len(d.Next.Brokers)))
		return
	}
	e.logger.DebugContext(ctx, "metadata applied", slog.String("event", "metadata.apply"), version)
	e.topics(ctx, d)
	e.brokers(ctx, d)
}

func (e *events) topics(ctx context.Context, d *image.Delta) {
	var created []*image.Topic
	for name, t := range d.ChangedTopics {
		if was := d.Prev.Topic(name); was == nil || was.ID != t.ID {
			created = append(created, t)
		}
	}
	if len(created) > eventsShown {
		e.logger.InfoContext(ctx, "topics created", slog.String("event", "topic.create"), slog.Int("topics", len(created)))
	} else {
		for _, t := range created {
			e.logger.InfoContext(ctx, "topic created", slog.String("event", "topic.create"), slog.String("topic", t.Name), slog.Int("partitions", len(t.Partitions)))
		}
	}
	if len(d.DeletedTopics) > eventsShown {
		e.logger.InfoContext(ctx, "topics deleted", slog.String("event", "topic.delete"), slog.Int("topics", len(d.DeletedTopics)))
		return
	}
	for _, t := range d.DeletedTopics {
		e.logger.InfoContext(ctx, "topic deleted", slog.String("event", "topic.delete"), slog.String("topic", t.Name))
	}
}

// brokers logs which brokers came, went, and changed their health.
func (e *events) brokers(ctx context.Context, d *image.Delta) {
	for _, id := range slices.Sorted(maps.Keys(d.ChangedBrokers)) {
		was, is := d.Prev.Brokers[id], d.Next.Brokers[id]
		broker := slog.Int("broker", int(id))
		switch {
		case is == nil:
			e.logger.InfoContext(ctx, "broker unregistered", slog.String("event", "broker.unregister"), broker)
		case was == nil || was.Epoch != is.Epoch:
			e.logger.InfoContext(ctx, "broker registered", slog.String("event", "broker.register"), broker)
		case was.Fenced && !is.Fenced:
			e.logger.InfoContext(ctx, "broker is ONLINE", slog.String("event", "broker.health.change"), broker)
		case !was.Fenced && is.Fenced:
			e.logger.InfoContext(ctx, "broker is OFFLINE", slog.String("event", "broker.health.change"), broker)
		}
	}
}
