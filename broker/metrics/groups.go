package metrics

import (
	"slices"
	"strconv"
	"time"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
)

// GroupStats describes one group that this broker coordinates, and how far it has come.
type GroupStats struct {
	*group.Snapshot

	Lag []lag.Partition // sorted by topic and partition
}

// CoordinatorStats are Kafka's group-coordinator-metrics, as far as they are not of single groups.
type CoordinatorStats struct {
	Loading, Active, Failed  int           // partitions of __consumer_offsets
	LoadTimeMax, LoadTimeAvg time.Duration // since the start
}

const coordinatorPrefix = "kafka_server_group_coordinator_metrics_"

func (s CoordinatorStats) collect(out emitter) {
	const partitions, help = coordinatorPrefix + "num_partitions", "Partitions of __consumer_offsets that this broker leads, by state."
	out.gauge(partitions, help, float64(s.Loading), "state", "loading")
	out.gauge(partitions, help, float64(s.Active), "state", "active")
	out.gauge(partitions, help, float64(s.Failed), "state", "failed")
	out.gauge(coordinatorPrefix+"partition_load_time_max", "Longest load of a partition since the start, in milliseconds.", millis(s.LoadTimeMax))
	out.gauge(coordinatorPrefix+"partition_load_time_avg", "Average load of a partition since the start, in milliseconds.", millis(s.LoadTimeAvg))
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func groupCounters(out emitter, c *group.Counters) {
	out.counter(coordinatorPrefix+"offset_commit_count", "Offsets committed.", float64(c.OffsetCommits.Load()))
	out.counter(coordinatorPrefix+"offset_expiration_count", "Offsets that expired.", float64(c.OffsetExpirations.Load()))
	out.counter(coordinatorPrefix+"offset_deletion_count", "Offsets that clients deleted.", float64(c.OffsetDeletions.Load()))
	out.counter(coordinatorPrefix+"group_completed_rebalance_count", "Rebalances of classic groups that completed.", float64(c.ClassicRebalances.Load()))
	out.counter(coordinatorPrefix+"consumer_group_rebalance_count", "Rebalances of consumer groups that began.", float64(c.ConsumerEpochs.Load()))
}

// groupRows gathers what a scrape shows of groups. Rows of single partitions and of single topics are kept up to MaxRows
// each.
type groupRows struct {
	level      Level
	states     map[[2]string]int // by type and state
	offsets    int
	partitions []partitionRow
	topics     []topicRow
	members    []memberRow
	truncated  bool
}

type partitionRow struct {
	group, topic string
	partition    int32
	offset, lag  int64 // a negative lag is not known
}

type topicRow struct {
	group, topic      string
	offsetSum, lagSum int64
	known             bool          // lagSum is
	skipped           bool          // there was no time for some partitions: sums of the others would be too low
	behind            time.Duration // negative: not known
}

type memberRow struct {
	group string
	count int
}

func (r *groupRows) add(g GroupStats) {
	r.states[[2]string{g.Type, g.State}]++
	r.offsets += len(g.Lag)
	if r.level == LevelCluster {
		return
	}
	r.members = kept(r, r.members, memberRow{g.ID, g.Members})
	for i := range g.Lag {
		p := &g.Lag[i]
		if i == 0 || g.Lag[i-1].Topic != p.Topic {
			r.topics = kept(r, r.topics, topicRow{group: g.ID, topic: p.Topic, behind: -1})
		}
		if n := len(r.topics); n > 0 && n <= MaxRows {
			r.topics[n-1].add(p)
		}
		if r.level == LevelPartition {
			r.partitions = kept(r, r.partitions, partitionRow{g.ID, p.Topic, p.Partition, p.Committed, p.Lag})
		}
	}
}

// kept appends a row; one too many stands for all that are not kept.
func kept[R any](r *groupRows, rows []R, row R) []R {
	if len(rows) <= MaxRows {
		rows = append(rows, row)
	}
	if len(rows) > MaxRows {
		r.truncated = true
	}
	return rows
}

func (t *topicRow) add(p *lag.Partition) {
	t.offsetSum += p.Committed
	t.skipped = t.skipped || p.Lag == lag.Skipped
	if p.Lag >= 0 {
		t.lagSum += p.Lag
		t.known = true
	}
	t.behind = max(t.behind, p.Behind)
}

// collect sends the rows, of each kind all or none.
func (r *groupRows) collect(out emitter) {
	r.collectStates(out)
	out.gauge(coordinatorPrefix+"offset_count", "Committed offsets that are kept.", float64(r.offsets))
	if len(r.members) <= MaxRows {
		for _, m := range r.members {
			out.gauge("kafka_consumergroup_members", "Members of the group.", float64(m.count), "consumergroup", m.group)
		}
	}
	if len(r.topics) <= MaxRows {
		for _, t := range r.topics {
			t.collect(out)
		}
	}
	if len(r.partitions) <= MaxRows {
		for _, p := range r.partitions {
			labels := []string{"consumergroup", p.group, "topic", p.topic, "partition", strconv.Itoa(int(p.partition))}
			out.gauge("kafka_consumergroup_current_offset", "Committed offset.", float64(p.offset), labels...)
			if p.lag >= 0 {
				out.gauge("kafka_consumergroup_lag", "High watermark less the committed offset.", float64(p.lag), labels...)
			}
		}
	}
}

func (t *topicRow) collect(out emitter) {
	labels := []string{"consumergroup", t.group, "topic", t.topic}
	out.gauge("kafka_consumergroup_current_offset_sum", "Committed offsets of all partitions of the topic.", float64(t.offsetSum), labels...)
	if t.known && !t.skipped {
		out.gauge("kafka_consumergroup_lag_sum", "Lag in all partitions of the topic.", float64(t.lagSum), labels...)
	}
	if t.behind >= 0 && !t.skipped {
		out.gauge("dmq_consumer_group_lag_seconds", "Age of the first record that the group has not consumed, in the partition where it is oldest; 0 with no lag.",
			t.behind.Seconds(), "group", t.group, "topic", t.topic)
	}
}

func (r *groupRows) collectStates(out emitter) {
	for _, kind := range []struct {
		name   string
		states []string
	}{
		{"classic", []string{"PreparingRebalance", "CompletingRebalance", "Stable", "Dead", "Empty"}},
		{"consumer", []string{"Empty", "Assigning", "Reconciling", "Stable", "Dead"}},
	} {
		total := 0
		for at, n := range r.states {
			if at[0] == kind.name {
				total += n
			}
		}
		out.gauge(coordinatorPrefix+"group_count", "Groups by protocol.", float64(total), "protocol", kind.name)
		for _, state := range slices.Sorted(slices.Values(kind.states)) {
			out.gauge(coordinatorPrefix+kind.name+"_group_count", "Groups of the "+kind.name+" protocol by state.", float64(r.states[[2]string{kind.name, state}]), "state", state)
		}
	}
}
