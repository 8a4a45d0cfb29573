package broker

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distributedmq/dmq/broker/fetcher"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
)

// Check is one condition of readiness.
type Check struct {
	Name  string
	Check func() error // nil when it holds; never blocks
}

var (
	errStarting = errors.New("starting")
	errNoLeader = errors.New("no leader is known")
	errFenced   = errors.New("the broker is fenced")
	errBeat     = errors.New("the last heartbeat was not answered")
)

// Checks are the conditions under which the node is ready. They may be asked at any time, also before Start.
func (b *Broker) Checks() []Check {
	check := func(name string, f func(*node) error) Check {
		return Check{Name: name, Check: func() error {
			n := b.running.Load()
			if n == nil {
				return errStarting
			}
			return f(n)
		}}
	}
	checks := []Check{
		check("quorum", func(n *node) error {
			if _, _, ok := n.quorum.Leader(); !ok {
				return errNoLeader
			}
			return nil
		}),
		check("listeners", func(*node) error { return nil }),
	}
	if b.props.IsBroker {
		checks = append(checks, check("broker", (*node).unfenced), check("disk", (*node).disksOnline))
	}
	return checks
}

func (n *node) unfenced() error {
	r := n.quorum.Image().Brokers[n.props.NodeID]
	switch {
	case r == nil || r.Fenced:
		if leader, _, ok := n.quorum.Leader(); ok {
			return fmt.Errorf("%w; the controller is node %d", errFenced, leader)
		}
		return errFenced
	case !n.life.connected.Load():
		return errBeat
	}
	return nil
}

func (n *node) disksOnline() error {
	var errs []error
	for _, d := range n.logs.Dirs() {
		if d.Offline {
			errs = append(errs, errors.New("log directory "+d.Path+" is offline: "+d.Err.Error()))
		}
	}
	return errors.Join(errs...)
}

// ClientAddrs are the bound addresses of the client listeners, in the order of the configuration; nil unless the broker
// runs.
func (b *Broker) ClientAddrs() []net.Addr {
	n := b.running.Load()
	if n == nil {
		return nil
	}
	addrs := make([]net.Addr, len(n.clients))
	for i, s := range n.clients {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Collector shows the broker's metrics. It may be registered at any time; before Start and after the end it has little to
// say.
func (b *Broker) Collector() prometheus.Collector { return b.CollectorAt(metrics.LevelPartition) }

// CollectorAt is Collector, as coarse as wanted.
func (b *Broker) CollectorAt(level metrics.Level) prometheus.Collector { return collector{b, level} }

type collector struct {
	b     *Broker
	level metrics.Level
}

func (collector) Describe(chan<- *prometheus.Desc) {} // which series exist depends on what the broker hosts

func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := metrics.Sources{Build: build(c.b.cfg.Version), Ready: c.b.ready, Level: c.level}
	if n := c.b.running.Load(); n != nil {
		n.sources(&s)
	}
	metrics.NewCollector(s).Collect(ch)
}

func (b *Broker) ready() bool {
	return !slices.ContainsFunc(b.Checks(), func(c Check) bool { return c.Check() != nil })
}

func build(version string) metrics.Build {
	out := metrics.Build{Version: version}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out.GoVersion = info.GoVersion
	if version == "" {
		out.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out.Revision = s.Value
		}
	}
	return out
}

func (n *node) sources(s *metrics.Sources) {
	s.Topics, s.Requests = n.topics, n.requests
	s.Cluster, s.Quorum, s.Listeners = n.clusterStats, n.quorumStats, n.listenerStats
	if n.props.IsBroker {
		n.brokerSources(s)
	}
}

func (n *node) listenerStats() map[string]listener.Stats {
	all := make(map[string]listener.Stats)
	if n.controllerServer != nil {
		all[n.props.ControllerListeners[0].Name] = n.controllerServer.Stats()
	}
	for i, l := range n.props.Listeners {
		all[l.Name] = n.clients[i].Stats()
	}
	return all
}

func (n *node) brokerSources(s *metrics.Sources) {
	replicas := n.replicas.Load()
	s.Replicas = func() metrics.ReplicaStats { return replicaStats(replicas.Stats()) }
	s.Followers = func(each func(metrics.FollowerStats)) {
		for _, f := range replicas.Followers() {
			each(metrics.FollowerStats{ID: int(f.ID), OutOfSync: f.OutOfSync, MaxLag: f.MaxLag})
		}
	}
	if f := n.fetcher; f != nil {
		s.Fetchers = func() metrics.FetcherStats { return fetcherStats(f.Stats()) }
		s.Following = func(each func(metrics.FollowedStats)) {
			f.Each(func(p fetcher.PartitionStats) { each(followedStats(p)) })
		}
	}
	s.Partitions = func(each func(metrics.PartitionStats)) {
		replicas.Each(func(p replica.LeaderStats) { each(n.partitionStats(p)) })
	}
	s.Groups, s.GroupCounters, s.Coordinator = n.groupStats, n.groups.Counters(), n.coordinatorStats
	s.Cleaner = n.logs.CleanerStats
	s.Disks = func() []metrics.Disk {
		var out []metrics.Disk
		for _, d := range n.logs.Dirs() {
			out = append(out, metrics.Disk{Dir: d.Path, Total: d.Total, Free: d.Free, Full: d.Full, Offline: d.Offline})
		}
		return out
	}
}

func fetcherStats(s fetcher.Stats) metrics.FetcherStats {
	out := metrics.FetcherStats{
		Partitions: s.Partitions, FailedPartitions: s.FailedPartitions, MaxLag: s.MaxLag, Fetches: s.Fetches, Bytes: s.Bytes,
		PartitionFailures: s.PartitionFailures, FailedFetches: make(map[int]int64, len(s.FailedFetches)),
	}
	for leader, n := range s.FailedFetches {
		out.FailedFetches[int(leader)] = n
	}
	return out
}

func followedStats(p fetcher.PartitionStats) metrics.FollowedStats {
	return metrics.FollowedStats{
		ClientID: fmt.Sprintf("ReplicaFetcherThread-%d-%d", p.Fetcher, p.Leader), Topic: p.Topic, Partition: strconv.Itoa(int(p.Partition)), Lag: p.Lag,
	}
}

func replicaStats(s replica.Stats) metrics.ReplicaStats {
	return metrics.ReplicaStats{
		Leaders: s.Leaders, Partitions: s.Partitions, UnderReplicated: s.UnderReplicated, UnderMinISR: s.UnderMinISR,
		AtMinISR: s.AtMinISR, Offline: s.OfflineReplicas, DelayedProduces: s.DelayedProduces, DelayedFetches: s.DelayedFetches,
		ISRShrinks: s.ISRShrinks, ISRExpands: s.ISRExpands, FailedISRUpdates: s.FailedISRUpdates, Lost: s.Lost,
	}
}

func (n *node) partitionStats(p replica.LeaderStats) metrics.PartitionStats {
	return metrics.PartitionStats{
		Topic: p.TopicPartition.Topic, Partition: strconv.Itoa(int(p.TopicPartition.Partition)), Open: p.Open,
		LogStartOffset: p.LogStartOffset, LogEndOffset: p.LogEndOffset, HighWatermark: p.HighWatermark, Size: p.Size,
		Leader: int(n.props.NodeID), Replicas: p.Replicas, ISR: p.ISR, Preferred: p.Preferred, UnderMinISR: p.UnderMinISR,
		AtMinISR: p.AtMinISR, Segments: p.Segments,
	}
}

// clusterStats counts the cluster on the active controller; the others say that they are not.
func (n *node) clusterStats() metrics.ClusterStats {
	var s metrics.ClusterStats
	if n.control != nil {
		s.Elections = make(map[string]int64)
		for kind, count := range n.control.Elections() {
			s.Elections[kind.String()] = count
		}
	}
	if !n.quorum.IsLeader() {
		return s
	}
	img := n.quorum.Image()
	s.Active, s.Topics = true, img.Topics.Len()
	s.TopicPartitions, s.Brokers = make(map[string]int, img.Topics.Len()), make(map[int]string)
	for _, t := range img.Topics.All() {
		s.Partitions += len(t.Partitions)
		s.TopicPartitions[t.Name] = len(t.Partitions)
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if len(p.ISR) < len(p.Replicas)-len(p.Adding) {
				s.UnderReplicated++
			}
			if len(p.ELR) > 0 {
				s.WithELR++
			}
			if len(p.Adding)+len(p.Removing) > 0 {
				s.Reassigning++
			}
			if p.Leader == image.NoLeader {
				s.OfflinePartitions++
			}
			if p.Leader != p.Replicas[0] { // as in Kafka also without a leader
				s.PreferredImbalance++
			}
		}
	}
	for _, b := range img.Brokers {
		if b.Fenced {
			s.FencedBrokers++
		} else {
			s.ActiveBrokers++
			if listeners := image.Listeners(b.Endpoints); len(listeners) > 0 {
				e := listeners[0]
				s.Brokers[int(b.ID)] = net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
			}
		}
	}
	return s
}

func (n *node) quorumStats() metrics.QuorumStats {
	s := n.quorum.Status()
	out := metrics.QuorumStats{
		Leader: int64(s.Leader), Term: s.Term, CommitIndex: s.CommitIndex, LastIndex: s.LastIndex, Applied: n.quorum.Image().Version,
		Voter: slices.Contains(s.Voters, n.props.NodeID), IsLeader: s.Leader == n.props.NodeID, Lag: make(map[int]int64),
	}
	for _, m := range s.Members {
		if out.IsLeader && m.ID != n.props.NodeID && m.LastIndex >= 0 {
			out.Lag[int(m.ID)] = max(0, s.LastIndex-m.LastIndex)
		}
	}
	return out
}
