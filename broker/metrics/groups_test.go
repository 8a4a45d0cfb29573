package metrics_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
	"github.com/distributedmq/dmq/broker/metrics"
)

// undescribed is a collector whose series are known only when it is asked, as a broker's is.
type undescribed struct{ *metrics.Collector }

func (undescribed) Describe(chan<- *prometheus.Desc) {}

// scrape returns the samples whose names have a part, as name{label="value"} value.
func scrape(t *testing.T, s metrics.Sources, parts ...string) []string {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(undescribed{metrics.NewCollector(s)})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := make(map[string]float64)
	for _, f := range families {
		if !slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(f.GetName(), p) }) {
			continue
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			samples[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		out = append(out, fmt.Sprint(name, " ", samples[name]))
	}
	return out
}

func groupsOf(groups ...metrics.GroupStats) func(each func(metrics.GroupStats)) {
	return func(each func(metrics.GroupStats)) {
		for _, g := range groups {
			each(g)
		}
	}
}

func TestCollector_Groups(t *testing.T) {
	groups := groupsOf(
		metrics.GroupStats{
			Snapshot: &group.Snapshot{ID: "billing", Type: "consumer", State: "Stable", Members: 2},
			Lag: []lag.Partition{
				{Topic: "gone", Partition: 0, Committed: 5, End: -1, Lag: -1, Behind: -1},
				{Topic: "orders", Partition: 0, Committed: 90, End: 100, Lag: 10, Behind: 1500 * time.Millisecond},
				{Topic: "orders", Partition: 1, Committed: 100, End: 100},
			},
		},
		metrics.GroupStats{
			Snapshot: &group.Snapshot{ID: "hurried", Type: "consumer", State: "Empty"},
			Lag: []lag.Partition{
				{Topic: "orders", Partition: 0, Committed: 90, End: 100, Lag: 10},
				{Topic: "orders", Partition: 1, Committed: 90, End: lag.Skipped, Lag: lag.Skipped, Behind: lag.Skipped},
			},
		},
		metrics.GroupStats{Snapshot: &group.Snapshot{ID: "idle", Type: "classic", State: "Empty"}},
	)
	tests := []struct {
		level metrics.Level
		want  []string
	}{
		{metrics.LevelPartition, []string{
			"dmq_consumer_group_lag_seconds{group=billing,topic=orders} 1.5",
			"dmq_metrics_truncated{} 0",
			"kafka_consumergroup_current_offset_sum{consumergroup=billing,topic=gone} 5",
			"kafka_consumergroup_current_offset_sum{consumergroup=billing,topic=orders} 190",
			"kafka_consumergroup_current_offset_sum{consumergroup=hurried,topic=orders} 180",
			"kafka_consumergroup_current_offset{consumergroup=billing,partition=0,topic=gone} 5",
			"kafka_consumergroup_current_offset{consumergroup=billing,partition=0,topic=orders} 90",
			"kafka_consumergroup_current_offset{consumergroup=billing,partition=1,topic=orders} 100",
			"kafka_consumergroup_current_offset{consumergroup=hurried,partition=0,topic=orders} 90",
			"kafka_consumergroup_current_offset{consumergroup=hurried,partition=1,topic=orders} 90",
			"kafka_consumergroup_lag_sum{consumergroup=billing,topic=orders} 10",
			"kafka_consumergroup_lag{consumergroup=billing,partition=0,topic=orders} 10",
			"kafka_consumergroup_lag{consumergroup=billing,partition=1,topic=orders} 0",
			"kafka_consumergroup_lag{consumergroup=hurried,partition=0,topic=orders} 10",
			"kafka_consumergroup_members{consumergroup=billing} 2",
			"kafka_consumergroup_members{consumergroup=hurried} 0",
			"kafka_consumergroup_members{consumergroup=idle} 0",
		}},
		{metrics.LevelTopic, []string{
			"dmq_consumer_group_lag_seconds{group=billing,topic=orders} 1.5",
			"dmq_metrics_truncated{} 0",
			"kafka_consumergroup_current_offset_sum{consumergroup=billing,topic=gone} 5",
			"kafka_consumergroup_current_offset_sum{consumergroup=billing,topic=orders} 190",
			"kafka_consumergroup_current_offset_sum{consumergroup=hurried,topic=orders} 180",
			"kafka_consumergroup_lag_sum{consumergroup=billing,topic=orders} 10",
			"kafka_consumergroup_members{consumergroup=billing} 2",
			"kafka_consumergroup_members{consumergroup=hurried} 0",
			"kafka_consumergroup_members{consumergroup=idle} 0",
		}},
		{metrics.LevelCluster, []string{"dmq_metrics_truncated{} 0"}},
	}
	for _, tt := range tests {
		got := scrape(t, metrics.Sources{Groups: groups, Level: tt.level}, "consumergroup", "lag_seconds", "truncated")
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("level %d: %s", tt.level, diff)
		}
	}
	states := scrape(t, metrics.Sources{Groups: groups, Level: metrics.LevelCluster}, "group_count", "offset_count")
	want := []string{
		"kafka_server_group_coordinator_metrics_classic_group_count{state=CompletingRebalance} 0",
		"kafka_server_group_coordinator_metrics_classic_group_count{state=Dead} 0",
		"kafka_server_group_coordinator_metrics_classic_group_count{state=Empty} 1",
		"kafka_server_group_coordinator_metrics_classic_group_count{state=PreparingRebalance} 0",
		"kafka_server_group_coordinator_metrics_classic_group_count{state=Stable} 0",
		"kafka_server_group_coordinator_metrics_consumer_group_count{state=Assigning} 0",
		"kafka_server_group_coordinator_metrics_consumer_group_count{state=Dead} 0",
		"kafka_server_group_coordinator_metrics_consumer_group_count{state=Empty} 1",
		"kafka_server_group_coordinator_metrics_consumer_group_count{state=Reconciling} 0",
		"kafka_server_group_coordinator_metrics_consumer_group_count{state=Stable} 1",
		"kafka_server_group_coordinator_metrics_group_count{protocol=classic} 1",
		"kafka_server_group_coordinator_metrics_group_count{protocol=consumer} 2",
		"kafka_server_group_coordinator_metrics_offset_count{} 5",
	}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Error(diff)
	}
}

func TestCollector_Coordinator(t *testing.T) {
	counters := new(group.Counters)
	counters.OffsetCommits.Add(7)
	counters.ClassicRebalances.Add(2)
	s := metrics.Sources{
		GroupCounters: counters,
		Coordinator: func() metrics.CoordinatorStats {
			return metrics.CoordinatorStats{Active: 49, Loading: 1, LoadTimeMax: 20 * time.Millisecond, LoadTimeAvg: 2500 * time.Microsecond}
		},
	}
	const prefix = "kafka_server_group_coordinator_metrics_"
	want := []string{
		prefix + "consumer_group_rebalance_count{} 0", prefix + "group_completed_rebalance_count{} 2",
		prefix + "num_partitions{state=active} 49", prefix + "num_partitions{state=failed} 0", prefix + "num_partitions{state=loading} 1",
		prefix + "offset_commit_count{} 7", prefix + "offset_deletion_count{} 0", prefix + "offset_expiration_count{} 0",
		prefix + "partition_load_time_avg{} 2.5", prefix + "partition_load_time_max{} 20",
	}
	if diff := cmp.Diff(want, scrape(t, s, prefix)); diff != "" {
		t.Error(diff)
	}
}

func TestCollector_Truncated(t *testing.T) {
	big := metrics.GroupStats{Snapshot: &group.Snapshot{ID: "big", Type: "classic", State: "Stable"}}
	for p := range int32(metrics.MaxRows + 1) {
		big.Lag = append(big.Lag, lag.Partition{Topic: "orders", Partition: p, Committed: 1, End: 2, Lag: 1})
	}
	got := scrape(t, metrics.Sources{Groups: groupsOf(big)}, "consumergroup", "truncated")
	want := []string{
		"dmq_metrics_truncated{} 1",
		fmt.Sprintf("kafka_consumergroup_current_offset_sum{consumergroup=big,topic=orders} %d", metrics.MaxRows+1),
		fmt.Sprintf("kafka_consumergroup_lag_sum{consumergroup=big,topic=orders} %d", metrics.MaxRows+1),
		"kafka_consumergroup_members{consumergroup=big} 0",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	many := func(each func(metrics.GroupStats)) {
		for i := range metrics.MaxRows + 1 {
			each(metrics.GroupStats{
				Snapshot: &group.Snapshot{ID: fmt.Sprint("g", i), Type: "classic", State: "Empty"}, Lag: []lag.Partition{{Topic: "orders", Committed: 1, End: 1}},
			})
		}
	}
	if got := scrape(t, metrics.Sources{Groups: many}, "consumergroup", "truncated"); len(got) != 1 || got[0] != "dmq_metrics_truncated{} 1" {
		t.Errorf("of too many groups there are %d samples, the first %s", len(got), got[0])
	}
	partitions := func(func(metrics.PartitionStats)) { t.Error("too many partitions are shown") }
	s := metrics.Sources{Replicas: func() metrics.ReplicaStats { return metrics.ReplicaStats{Leaders: metrics.MaxRows + 1} }, Partitions: partitions}
	if got := scrape(t, s, "truncated"); got[0] != "dmq_metrics_truncated{} 1" {
		t.Error(got)
	}
}

func TestCollector_ClusterLevelSumsTopics(t *testing.T) {
	topics := new(metrics.Topics)
	topics.Produced("a", 10, 1)
	topics.Produced("b", 20, 2)
	if got := scrape(t, metrics.Sources{Topics: topics, Level: metrics.LevelCluster}, "messagesin"); len(got) != 1 || got[0] != "kafka_server_brokertopicmetrics_messagesin_total{} 3" {
		t.Error(got)
	}
}

func TestParseLevel(t *testing.T) {
	for name, want := range map[string]metrics.Level{"partition": metrics.LevelPartition, "topic": metrics.LevelTopic, "cluster": metrics.LevelCluster} {
		if got, ok := metrics.ParseLevel(name); !ok || got != want {
			t.Errorf("%s: got %d, %t", name, got, ok)
		}
	}
	if _, ok := metrics.ParseLevel("node"); ok {
		t.Error("a level that there is not is taken")
	}
}
