package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/log/cleaner"
)

// Sources is where a scrape reads what others own. Nil functions leave their series out.
type Sources struct {
	Build      Build
	Ready      func() bool
	Replicas   func() ReplicaStats
	Followers  func(each func(FollowerStats)) // those of what this broker leads
	Fetchers   func() FetcherStats
	Following  func(each func(FollowedStats))  // the partitions that this broker follows
	Partitions func(each func(PartitionStats)) // those this broker leads
	Cluster    func() ClusterStats
	Quorum     func() QuorumStats
	Listeners  func() map[string]listener.Stats // by listener name
	Disks      func() []Disk
	Cleaner    func() cleaner.Stats
	Topics     *Topics
	Requests   *Requests

	Groups        func(each func(GroupStats)) // those this broker coordinates
	GroupCounters *group.Counters
	Coordinator   func() CoordinatorStats

	Level Level
}

// Build names the binary.
type Build struct{ Version, Revision, GoVersion string }

// ReplicaStats are Kafka's ReplicaManager gauges.
type ReplicaStats struct {
	Leaders, Partitions, UnderReplicated, UnderMinISR, AtMinISR, Offline int
	DelayedProduces, DelayedFetches                                      int
	ISRShrinks, ISRExpands, FailedISRUpdates, Lost                       int64
}

// FollowerStats says how far a broker's replicas of what this broker leads have come.
type FollowerStats struct {
	ID        int
	OutOfSync int
	MaxLag    int64 // -1: it has not fetched anything yet
}

// FetcherStats are Kafka's ReplicaFetcherManager gauges, and what has been fetched since the start.
type FetcherStats struct {
	Partitions, FailedPartitions      int
	MaxLag                            int64
	Fetches, Bytes, PartitionFailures int64
	FailedFetches                     map[int]int64 // by leader
}

// FollowedStats describes one partition that this broker follows.
type FollowedStats struct {
	ClientID, Topic, Partition string
	Lag                        int64 // -1: its leader has not answered yet
}

// PartitionStats describes one partition of which this broker is the leader. What its log knows is left out until the log
// is open.
type PartitionStats struct {
	Open                                        bool
	Topic, Partition                            string
	LogStartOffset, LogEndOffset, HighWatermark int64
	Size                                        int64
	Segments, Leader, Replicas, ISR             int
	Preferred                                   bool // the leader is the first replica
	UnderMinISR, AtMinISR                       bool
}

// ClusterStats is what the active controller counts; zero on the others.
type ClusterStats struct {
	Active                                           bool
	Topics, Partitions, OfflinePartitions            int
	ActiveBrokers, FencedBrokers, PreferredImbalance int
	UnderReplicated, WithELR, Reassigning            int
	Elections                                        map[string]int64 // by kind, since the process began; also on the others
	TopicPartitions                                  map[string]int
	Brokers                                          map[int]string // the address of each unfenced broker
}

// QuorumStats is this node's view of the metadata quorum.
type QuorumStats struct {
	Leader, Term, CommitIndex, LastIndex int64
	Applied                              int64
	Voter, IsLeader                      bool
	Lag                                  map[int]int64 // on the leader, of each other member
}

// Disk is one log directory.
type Disk struct {
	Dir         string
	Total, Free uint64
	Full        bool // appends are refused
	Offline     bool
}

// Collector emits every series of a broker.
type Collector struct{ s Sources }

// NewCollector returns a collector over the sources.
func NewCollector(s Sources) *Collector { return &Collector{s: s} }

// Collect sends every series that exists now.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	out := emitter{ch}
	c.node(out)
	if c.s.Requests != nil {
		c.s.Requests.collect(ch)
	}
	if c.s.Topics != nil {
		c.s.Topics.collect(out, c.s.Level)
	}
	if c.s.Listeners != nil {
		stats := c.s.Listeners()
		listeners(out, stats)
		if c.s.Requests != nil {
			idleness(out, &c.s.Requests.idle, stats)
		}
	}
	truncated := c.partitions(out)
	truncated = c.groups(out) || truncated
	out.gauge("dmq_metrics_truncated", "1 when there are more partitions or groups than have series of their own.", truth(truncated))
	if c.s.Cluster != nil {
		c.s.Cluster().collect(out, c.s.Level)
	}
	if c.s.Quorum != nil {
		c.s.Quorum().collect(out)
	}
	if c.s.Disks != nil {
		disks(out, c.s.Disks())
	}
	if c.s.Cleaner != nil {
		compaction(out, c.s.Cleaner())
	}
}

// partitions reports whether there are more than are shown.
func (c *Collector) partitions(out emitter) (truncated bool) {
	if c.s.Replicas != nil {
		stats := c.s.Replicas()
		stats.collect(out)
		truncated = stats.Leaders > MaxRows
	}
	if c.s.Followers != nil {
		c.s.Followers(func(f FollowerStats) { f.collect(out) })
	}
	followed := 0
	if c.s.Fetchers != nil {
		stats := c.s.Fetchers()
		stats.collect(out)
		followed = stats.Partitions
	}
	if c.s.Level != LevelPartition {
		return false
	}
	if c.s.Partitions != nil && !truncated {
		c.s.Partitions(func(p PartitionStats) { p.collect(out) })
	}
	if c.s.Following != nil && followed <= MaxRows {
		c.s.Following(func(p FollowedStats) { p.collect(out) })
	}
	return truncated || followed > MaxRows
}

// groups reports whether there are more than are shown.
func (c *Collector) groups(out emitter) (truncated bool) {
	if c.s.GroupCounters != nil {
		groupCounters(out, c.s.GroupCounters)
	}
	if c.s.Coordinator != nil {
		c.s.Coordinator().collect(out)
	}
	if c.s.Groups == nil {
		return false
	}
	rows := &groupRows{level: c.s.Level, states: make(map[[2]string]int)}
	c.s.Groups(rows.add)
	rows.collect(out)
	return rows.truncated
}

// emitter sends samples whose name and labels are written where they are used.
type emitter struct{ ch chan<- prometheus.Metric }

func (e emitter) gauge(name, help string, v float64, labels ...string) {
	e.send(prometheus.GaugeValue, name, help, v, labels)
}

func (e emitter) counter(name, help string, v float64, labels ...string) {
	e.send(prometheus.CounterValue, name, help, v, labels)
}

// send takes labels as name, value pairs.
func (e emitter) send(t prometheus.ValueType, name, help string, v float64, labels []string) {
	names := make([]string, 0, len(labels)/2)
	values := make([]string, 0, len(labels)/2)
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	e.ch <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), t, v, values...)
}

func (c *Collector) node(out emitter) {
	b := c.s.Build
	out.gauge("dmq_build_info", "The running binary.", 1, "version", b.Version, "revision", b.Revision, "goversion", b.GoVersion)
	if c.s.Ready != nil {
		out.gauge("dmq_ready", "1 when clients are served.", truth(c.s.Ready()))
	}
}

func (s ReplicaStats) collect(out emitter) {
	const prefix = "kafka_server_replicamanager_"
	out.gauge(prefix+"leadercount", "Partitions this broker leads.", float64(s.Leaders))
	out.gauge(prefix+"partitioncount", "Partitions this broker hosts.", float64(s.Partitions))
	out.gauge(prefix+"underreplicatedpartitions", "Led partitions with fewer in-sync replicas than replicas.", float64(s.UnderReplicated))
	out.gauge(prefix+"underminisrpartitioncount", "Led partitions with fewer in-sync replicas than min.insync.replicas.", float64(s.UnderMinISR))
	out.counter(prefix+"isrshrinks_total", "In-sync replicas taken out.", float64(s.ISRShrinks))
	out.counter(prefix+"isrexpands_total", "In-sync replicas taken in.", float64(s.ISRExpands))
	out.counter(prefix+"failedisrupdates_total", "Changes of in-sync replicas that the controller refused.", float64(s.FailedISRUpdates))
	out.counter("dmq_replica_lost_records_total", "Committed records that this broker's followers gave up after unclean leader elections.", float64(s.Lost))
	out.gauge(prefix+"atminisrpartitioncount", "Led partitions with exactly min.insync.replicas in sync.", float64(s.AtMinISR))
	out.gauge(prefix+"offlinereplicacount", "Replicas in an offline log directory.", float64(s.Offline))
	const purgatory = "kafka_server_delayedoperationpurgatory_purgatorysize"
	out.gauge(purgatory, "Requests that wait.", float64(s.DelayedProduces), "delayedOperation", "Produce")
	out.gauge(purgatory, "Requests that wait.", float64(s.DelayedFetches), "delayedOperation", "Fetch")
}

func (f FollowerStats) collect(out emitter) {
	follower := strconv.Itoa(f.ID)
	out.gauge("dmq_follower_out_of_sync_partitions", "Partitions led here whose replica on the follower is not in sync.", float64(f.OutOfSync), "follower", follower)
	if f.MaxLag >= 0 {
		out.gauge("dmq_follower_max_lag", "Offsets that the follower's replica furthest behind is behind its leader, of partitions led here.", float64(f.MaxLag), "follower", follower)
	}
}

func (s FetcherStats) collect(out emitter) {
	const prefix = "kafka_server_replicafetchermanager_"
	out.gauge(prefix+"maxlag", "Offsets that the followed partition furthest behind is behind its leader.", float64(s.MaxLag), "clientId", "Replica")
	out.gauge(prefix+"failedpartitionscount", "Followed partitions that are left alone: their log is damaged, or has parted from its leader's.", float64(s.FailedPartitions), "clientId", "Replica")
	out.counter("dmq_replica_fetches_total", "Fetches that leaders have answered.", float64(s.Fetches))
	for leader, n := range s.FailedFetches {
		out.counter("dmq_replica_fetch_failures_total", "Fetches that came to nothing, by the leader that was asked.", float64(n), "leader", strconv.Itoa(leader))
	}
	out.counter("dmq_replica_partition_failures_total", "Times that a single partition could not be fetched or appended; it is tried again.", float64(s.PartitionFailures))
	out.counter("dmq_replica_fetched_bytes_total", "Bytes of records appended to followed partitions.", float64(s.Bytes))
}

func (p FollowedStats) collect(out emitter) {
	if p.Lag >= 0 {
		out.gauge("kafka_server_fetcherlagmetrics_consumerlag", "Offsets that a followed partition is behind its leader's high watermark.", float64(p.Lag),
			"clientId", p.ClientID, "topic", p.Topic, "partition", p.Partition)
	}
}

func (p PartitionStats) collect(out emitter) {
	labels := []string{"topic", p.Topic, "partition", p.Partition}
	if p.Open {
		out.gauge("kafka_log_log_size", "Bytes of the log.", float64(p.Size), labels...)
		out.gauge("kafka_log_log_numlogsegments", "Segments of the log.", float64(p.Segments), labels...)
		out.gauge("kafka_log_log_logstartoffset", "First offset.", float64(p.LogStartOffset), labels...)
		out.gauge("kafka_log_log_logendoffset", "Next offset.", float64(p.LogEndOffset), labels...)
		out.gauge("kafka_topic_partition_current_offset", "High watermark.", float64(p.HighWatermark), labels...)
		out.gauge("kafka_topic_partition_oldest_offset", "First offset.", float64(p.LogStartOffset), labels...)
	}
	out.gauge("kafka_cluster_partition_underminisr", "1 below min.insync.replicas.", truth(p.UnderMinISR), labels...)
	out.gauge("kafka_cluster_partition_atminisr", "1 with exactly min.insync.replicas in sync.", truth(p.AtMinISR), labels...)
	out.gauge("kafka_cluster_partition_replicascount", "Replicas.", float64(p.Replicas), labels...)
	out.gauge("kafka_topic_partition_leader", "Node id of the leader.", float64(p.Leader), labels...)
	out.gauge("kafka_topic_partition_replicas", "Replicas.", float64(p.Replicas), labels...)
	out.gauge("kafka_topic_partition_in_sync_replica", "In-sync replicas.", float64(p.ISR), labels...)
	out.gauge("kafka_topic_partition_leader_is_preferred", "1 when the leader is the first replica.", truth(p.Preferred), labels...)
	out.gauge("kafka_topic_partition_under_replicated_partition", "1 with fewer in-sync replicas than replicas.", truth(p.ISR < p.Replicas), labels...)
}

func (s ClusterStats) collect(out emitter, level Level) {
	const prefix = "kafka_controller_kafkacontroller_"
	out.gauge(prefix+"activecontrollercount", "1 on the active controller.", truth(s.Active))
	out.gauge(prefix+"globaltopiccount", "Topics.", float64(s.Topics))
	out.gauge(prefix+"globalpartitioncount", "Partitions.", float64(s.Partitions))
	out.gauge(prefix+"offlinepartitionscount", "Partitions without a leader.", float64(s.OfflinePartitions))
	out.gauge(prefix+"activebrokercount", "Unfenced brokers.", float64(s.ActiveBrokers))
	out.gauge(prefix+"fencedbrokercount", "Fenced brokers.", float64(s.FencedBrokers))
	out.gauge(prefix+"preferredreplicaimbalancecount", "Partitions whose leader is not the first replica.", float64(s.PreferredImbalance))
	out.gauge("dmq_controller_under_replicated_partitions", "Partitions of the cluster with fewer in-sync replicas than replicas.", float64(s.UnderReplicated))
	out.gauge("dmq_controller_elr_partitions", "Partitions that have eligible leaders outside of the in-sync replicas.", float64(s.WithELR))
	out.gauge("dmq_controller_reassigning_partitions", "Partitions that are being moved.", float64(s.Reassigning))
	const stats, since = "kafka_controller_controllerstats_", ", by this controller since its process began."
	out.counter(stats+"uncleanleaderelections_total", "Leaders elected that may lack acknowledged records"+since, float64(s.Elections["unclean"]))
	out.counter(stats+"electionfromeligibleleaderreplicas_total", "Leaders elected from the eligible leader replicas"+since, float64(s.Elections["eligible"]))
	for kind, n := range s.Elections {
		out.counter("dmq_controller_leader_elections_total", "Leaders elected, by how"+since, float64(n), "kind", kind)
	}
	if !s.Active {
		return
	}
	out.gauge("kafka_brokers", "Unfenced brokers.", float64(s.ActiveBrokers))
	for id, address := range s.Brokers {
		out.gauge("kafka_broker_info", "1 for each unfenced broker.", 1, "id", strconv.Itoa(id), "address", address)
	}
	if level == LevelCluster || len(s.TopicPartitions) > MaxRows {
		return
	}
	for topic, n := range s.TopicPartitions {
		out.gauge("kafka_topic_partitions", "Partitions of the topic.", float64(n), "topic", topic)
	}
}

func (s QuorumStats) collect(out emitter) {
	const prefix = "kafka_server_raftmetrics_"
	out.gauge(prefix+"current_leader", "Node id of the quorum's leader; -1 unknown.", float64(s.Leader))
	out.gauge(prefix+"current_epoch", "Term of the quorum.", float64(s.Term))
	out.gauge(prefix+"high_watermark", "Committed position of the metadata log.", float64(s.CommitIndex))
	out.gauge(prefix+"log_end_offset", "Last position of the metadata log.", float64(s.LastIndex))
	out.gauge("kafka_server_brokermetadatametrics_last_applied_record_offset", "Position up to which this node has applied the metadata log.", float64(s.Applied))
	for _, state := range []string{"leader", "follower", "observer"} {
		is := state == "leader" && s.IsLeader || state == "follower" && s.Voter && !s.IsLeader || state == "observer" && !s.Voter
		out.gauge(prefix+"current_state", "1 for the state this node is in.", truth(is), "state", state)
	}
	for id, lag := range s.Lag {
		out.gauge("dmq_quorum_member_lag", "Records of the metadata log that a member is behind; the leader tells.", float64(lag), "member", strconv.Itoa(id))
	}
}

func (t *Topics) collect(out emitter, level Level) {
	var all TopicCounters
	t.topics.Range(func(name, counters any) bool {
		c := counters.(*TopicCounters)
		if level != LevelCluster {
			c.collect(out, "topic", name.(string))
			return true
		}
		all.add(c)
		return true
	})
	if level == LevelCluster {
		all.collect(out)
	}
}

func (c *TopicCounters) collect(out emitter, labels ...string) {
	const prefix = "kafka_server_brokertopicmetrics_"
	out.counter(prefix+"bytesin_total", "Bytes produced.", float64(c.BytesIn.Load()), labels...)
	out.counter(prefix+"bytesout_total", "Bytes fetched.", float64(c.BytesOut.Load()), labels...)
	out.counter(prefix+"bytesrejected_total", "Bytes of refused batches.", float64(c.BytesRejected.Load()), labels...)
	out.counter(prefix+"messagesin_total", "Records produced.", float64(c.MessagesIn.Load()), labels...)
	out.counter(prefix+"totalproducerequests_total", "Appends asked for.", float64(c.ProduceRequests.Load()), labels...)
	out.counter(prefix+"totalfetchrequests_total", "Reads asked for.", float64(c.FetchRequests.Load()), labels...)
	out.counter(prefix+"failedproducerequests_total", "Appends refused.", float64(c.FailedProduces.Load()), labels...)
	out.counter(prefix+"failedfetchrequests_total", "Reads refused.", float64(c.FailedFetches.Load()), labels...)
}

func listeners(out emitter, stats map[string]listener.Stats) {
	for name, s := range stats {
		l := []string{"listener", name}
		out.gauge("kafka_server_socket_server_metrics_connection_count", "Open connections.", float64(s.Connections), l...)
		out.counter("dmq_connections_accepted_total", "Connections accepted.", float64(s.Accepted), l...)
		out.counter("dmq_connections_rejected_total", "Connections refused by a limit.", float64(s.Rejected), l...)
		out.counter("dmq_connections_closed_total", "Connections closed by the broker.", float64(s.ClosedIdle), append(l[:2:2], "reason", "idle")...)
		out.counter("dmq_connections_closed_total", "Connections closed by the broker.", float64(s.ClosedSlow), append(l[:2:2], "reason", "slow")...)
		out.counter("dmq_connections_closed_total", "Connections closed by the broker.", float64(s.ClosedBad), append(l[:2:2], "reason", "malformed")...)
		out.counter("dmq_network_received_bytes_total", "Bytes received.", float64(s.BytesIn), l...)
		out.counter("dmq_network_sent_bytes_total", "Bytes sent.", float64(s.BytesOut), l...)
		out.counter("dmq_panics_total", "Panics caught at the connection boundary; must stay 0.", float64(s.Panics), l...)
	}
}

// idleness shows how busy the node is with requests as Kafka's dashboards know it.
func idleness(out emitter, d *idle, stats map[string]listener.Stats) {
	var busy [2]time.Duration
	for _, s := range stats {
		busy[0] += s.Serving
		busy[1] += s.Sending
	}
	share := d.update(time.Now(), busy)
	out.gauge("kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent", "Share of the processors' time, 0 to 1, not spent in handlers, over 10 s or more.", share[0])
	out.gauge("kafka_network_socketserver_networkprocessoravgidle_percent", "Share of the processors' time, 0 to 1, not spent sending, over 10 s or more.", share[1])
}

func disks(out emitter, dirs []Disk) {
	offline := 0
	for _, d := range dirs {
		if d.Offline {
			offline++
		}
		out.gauge("dmq_disk_total_bytes", "Size of the file system of a log directory.", float64(d.Total), "dir", d.Dir)
		alert := 0.
		if d.Full || d.Offline {
			alert = 2
		}
		out.gauge("dmq_disk_alert", "2 when a log directory takes no appends, because it is full or failed.", alert, "dir", d.Dir)
		out.gauge("dmq_disk_free_bytes", "Free bytes of the file system of a log directory.", float64(d.Free), "dir", d.Dir)
	}
	out.gauge("kafka_log_logmanager_offlinelogdirectorycount", "Log directories that failed.", float64(offline))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
