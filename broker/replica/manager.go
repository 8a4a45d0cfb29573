package replica

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/purgatory"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Logs is what the manager needs of the log directories; see the methods of logdir.Manager.
type Logs interface {
	Get(tp protocol.TopicPartition) (l *commitlog.Log, found bool, err error)
	Create(tp protocol.TopicPartition, id protocol.TopicID) (*commitlog.Log, error)
	Expect(tp protocol.TopicPartition, id protocol.TopicID) error
	Delete(tp protocol.TopicPartition, id protocol.TopicID) error
	Quarantine(tp protocol.TopicPartition, reason string) (string, error)
	Partitions(ctx context.Context) ([]logdir.Info, error)
	Reconfigure(topic string)
	Dirs() []logdir.DirInfo
}

// Options configure a Manager. NodeID, Logs and Logger are required.
type Options struct {
	NodeID protocol.NodeID
	Logs   Logs
	Logger *slog.Logger
	// MinISR returns a topic's min.insync.replicas. It is asked when the in-sync replicas are fewer than the replicas. Nil: 1.
	MinISR func(topic string) int
	// MaxLag is replica.lag.time.max.ms: how long a follower stays in sync without having all that the leader has. 0 is 30 s,
	// as in Kafka.
	MaxLag time.Duration
	// Quota is what this broker, as a leader, sends throttled replicas that are not in sync.
	Quota throttle.Quota
	// RackAware sends consumers that tell their rack to a follower there (replica.selector.class).
	RackAware bool
	// Controller is asked to change in-sync replicas, by the broker that registered in BrokerEpoch. Nil: they change by
	// metadata alone.
	Controller  Controller
	BrokerEpoch func() protocol.BrokerEpoch
	// Workers create and delete folders, so many at a time; 0 is 4.
	Workers int
	// DeletionRetry is how long after a folder could not be deleted that is tried again; 0 is 30 s.
	DeletionRetry time.Duration
	// MaxDelayed bounds the produces that wait, and the fetches that wait; 0 is purgatory.DefaultLimit.
	MaxDelayed int
}

// Manager hosts partitions.
type Manager struct {
	nodeID protocol.NodeID
	logs   Logs
	logger *slog.Logger
	minISR func(topic string) int
	maxLag time.Duration

	rackAware   bool
	meter       throttle.Meter // of what throttled replicas are sent
	controller  Controller     // nil: none
	brokerEpoch func() protocol.BrokerEpoch
	alters      alterer
	assigns     assigner
	dirIDs      func() map[string]protocol.TopicID
	stops       []func() // end what goes on beside the workers, and join it

	deletionRetry time.Duration

	shrinks, expands, failedAlters atomic.Int64
	lost                           atomic.Int64

	image    atomic.Pointer[image.Image] // the newest published
	produces *purgatory.Purgatory[*Partition]
	fetches  *purgatory.Purgatory[*Partition] // of consumers, for the high watermark
	follows  *purgatory.Purgatory[*Partition] // of followers, for the log end
	deletes  *purgatory.Purgatory[*Partition] // for the low watermark
	work     worker

	mu         sync.RWMutex // guards the fields below; not held while a log is used
	partitions map[protocol.TopicPartition]*Partition
	deleting   map[protocol.TopicPartition]*Partition // deleted, but their folders are still there
}

// New returns a manager that hosts nothing yet. It starts its workers.
func New(o Options) *Manager {
	m := &Manager{
		nodeID: o.NodeID, logs: o.Logs, minISR: o.MinISR, maxLag: cmp.Or(o.MaxLag, 30*time.Second), logger: o.Logger.With(slog.String("component", "replica")),
		produces:   purgatory.New[*Partition](purgatory.Options{Limit: o.MaxDelayed}),
		fetches:    purgatory.New[*Partition](purgatory.Options{Limit: o.MaxDelayed}),
		follows:    purgatory.New[*Partition](purgatory.Options{Limit: o.MaxDelayed}),
		deletes:    purgatory.New[*Partition](purgatory.Options{Limit: o.MaxDelayed}),
		partitions: make(map[protocol.TopicPartition]*Partition),
		deleting:   make(map[protocol.TopicPartition]*Partition),
	}
	if m.minISR == nil {
		m.minISR = func(string) int { return 1 }
	}
	m.image.Store(image.Empty())
	m.rackAware = o.RackAware
	m.meter.Set(o.Quota)
	m.controller, m.brokerEpoch, m.alters, m.assigns = o.Controller, o.BrokerEpoch, newAlterer(), newAssigner()
	m.dirIDs = sync.OnceValue(func() map[string]protocol.TopicID { return directoryIDs(m.logs) })
	m.deletionRetry = cmp.Or(o.DeletionRetry, 30*time.Second)
	m.stops = []func(){spawn(m.retryDeletions)}
	if m.controller != nil {
		m.stops = append(m.stops, spawn(m.keepInSync), spawn(m.tellDirectories))
	}
	m.work.start(cmp.Or(o.Workers, 4))
	return m
}

// Close completes every wait and joins the workers, after they have deleted what is to be deleted: a folder that is left
// would be a stray at the next start. It leaves the logs to their owner.
func (m *Manager) Close() error {
	for _, stop := range m.stops {
		stop()
	}
	m.work.close()
	m.produces.Close()
	m.fetches.Close()
	m.follows.Close()
	m.deletes.Close()
	return nil
}

// spawn runs f on a goroutine until stop is called, which joins it.
func spawn(f func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// find returns a hosted partition. The errors are those that a client gets for one that is not.
func (m *Manager) find(tp protocol.TopicPartition, id protocol.TopicID) (*Partition, error) {
	m.mu.RLock()
	p := m.partitions[tp]
	m.mu.RUnlock()
	switch {
	case p == nil:
		return nil, m.notHosted(tp)
	case !id.IsZero() && id != p.id:
		return nil, errcode.New(errcode.KindInconsistentTopicID, "%s has topic id %s, not %s", tp, p.id, id)
	default:
		return p, nil
	}
}

func (m *Manager) notHosted(tp protocol.TopicPartition) error {
	if m.image.Load().Partition(tp) == nil {
		return errcode.New(errcode.KindUnknownTopicOrPartition, "%s does not exist", tp)
	}
	return errcode.New(errcode.KindNotLeaderForPartition, "%s has no replica on this broker", tp)
}

// hosted returns all partitions, in no order.
func (m *Manager) hosted() []*Partition {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*Partition, 0, len(m.partitions))
	for _, p := range m.partitions {
		all = append(all, p)
	}
	return all
}

// Stats counts what is hosted.
func (m *Manager) Stats() Stats {
	s := Stats{
		DelayedProduces: m.produces.Len(), DelayedFetches: m.fetches.Len() + m.follows.Len(),
		ISRShrinks: m.shrinks.Load(), ISRExpands: m.expands.Load(), FailedISRUpdates: m.failedAlters.Load(), Lost: m.lost.Load(),
	}
	minISR := make(map[string]int)
	for _, p := range m.hosted() {
		r := p.role.Load()
		s.Partitions++
		if p.offline.Load() != nil {
			s.OfflineReplicas++
		}
		if !r.leads {
			continue
		}
		s.Leaders++
		least, ok := minISR[p.tp.Topic]
		if !ok {
			least = m.minISR(p.tp.Topic)
			minISR[p.tp.Topic] = least
		}
		if len(r.isr) < len(r.replicas) {
			s.UnderReplicated++
		}
		switch least = min(least, len(r.replicas)); {
		case len(r.isr) < least:
			s.UnderMinISR++
		case len(r.isr) == least:
			s.AtMinISR++
		}
	}
	return s
}

// Each calls fn for every partition that this broker leads, in no order.
func (m *Manager) Each(fn func(LeaderStats)) {
	for _, p := range m.hosted() {
		r := p.role.Load()
		if !r.leads {
			continue
		}
		s := LeaderStats{
			TopicPartition: p.tp, Replicas: len(r.replicas), ISR: len(r.isr), Preferred: r.replicas[0] == m.nodeID,
			UnderMinISR: r.underMinISR(m.minISR, p.tp.Topic), AtMinISR: len(r.isr) == min(m.minISR(p.tp.Topic), len(r.replicas)),
		}
		if l := p.local.Load(); l != nil {
			s.Open, s.LogStartOffset, s.LogEndOffset, s.HighWatermark = true, l.log.LogStartOffset(), l.log.LogEndOffset(), l.log.HighWatermark()
			s.Size, s.Segments = l.log.Size(), l.log.SegmentCount()
		}
		fn(s)
	}
}

// Followers describes those who follow what this broker leads, in the order of their ids.
func (m *Manager) Followers() []FollowerStats {
	at := make(map[protocol.NodeID]*FollowerStats)
	for _, p := range m.hosted() {
		p.eachFollower(func(f *follower, inSync bool, lag int64) {
			s := at[f.id]
			if s == nil {
				s = &FollowerStats{ID: f.id, MaxLag: -1}
				at[f.id] = s
			}
			if !inSync {
				s.OutOfSync++
			}
			s.MaxLag = max(s.MaxLag, lag)
		})
	}
	var out []FollowerStats
	for _, id := range slices.Sorted(maps.Keys(at)) {
		out = append(out, *at[id])
	}
	return out
}

// Synced notes that the log of a partition is durable up to endOffset (logdir.Options.Synced).
func (m *Manager) Synced(tp protocol.TopicPartition, _ int64) {
	m.mu.RLock()
	p := m.partitions[tp]
	m.mu.RUnlock()
	if p != nil {
		m.advance(p, true)
	}
}

// DirFailed takes the partitions of a log directory offline (logdir.Options.Failed). Waits of theirs end with
// KAFKA_STORAGE_ERROR.
func (m *Manager) DirFailed(dir string, err error) {
	m.work.add(func() {
		failure := error(&errcode.Error{Kind: errcode.KindKafkaStorageError, Msg: "log directory " + dir + " is offline", Err: err})
		held := make(map[protocol.TopicPartition]bool)
		infos, lerr := m.logs.Partitions(context.Background())
		if lerr != nil {
			m.logger.Warn("list partitions of a failed log directory", slog.String("dir", dir), slog.Any("err", lerr))
		}
		for _, info := range infos {
			held[info.TopicPartition] = info.Dir == dir
		}
		n := 0
		for _, p := range m.hosted() {
			if held[p.tp] || p.logDied(m.logs) {
				p.offline.CompareAndSwap(nil, &failure)
				m.notify(p)
				n++
			}
		}
		m.logger.Error("log directory failed: its partitions are offline", slog.String("event", "logdir.offline"), slog.String("dir", dir),
			slog.Int("partitions", n), slog.Any("err", err))
	})
}

// notify has the waits of a partition look again.
func (m *Manager) notify(p *Partition) {
	m.notifyClients(p)
	m.follows.Notify(p)
}

// notifyClients has the waits of clients look again.
func (m *Manager) notifyClients(p *Partition) {
	m.produces.Notify(p)
	m.fetches.Notify(p)
	m.deletes.Notify(p)
}

// appendedTo has those see to it that wait for what was just appended: followers at once, others when the high watermark
// moves.
func (m *Manager) appendedTo(p *Partition) {
	if len(p.role.Load().replicas) > 1 {
		m.follows.Notify(p)
	}
	m.advance(p, false)
}

// advance moves the high watermark of a partition up to where it may be and wakes who waits for that. synced says that the
// synced end has moved, for which produces with acks=1 wait as well.
func (m *Manager) advance(p *Partition, synced bool) {
	moved := p.advanceHighWatermark(m)
	if moved || synced { // as in moved, without its frame: this is the top of a goroutine's stack that would just have to grow
		m.produces.Notify(p)
	}
	if moved {
		m.fetches.Notify(p)
	}
}

// moved wakes who waits for the high watermark or for the synced end of a partition.
func (m *Manager) moved(p *Partition, highWatermark, synced bool) {
	if highWatermark || synced {
		m.produces.Notify(p)
	}
	if highWatermark {
		m.fetches.Notify(p)
	}
}
