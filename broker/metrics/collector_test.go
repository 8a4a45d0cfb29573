package metrics_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/broker/metrics"
)

func TestCollector_Replication(t *testing.T) {
	s := metrics.Sources{
		Followers: func(each func(metrics.FollowerStats)) {
			each(metrics.FollowerStats{ID: 2, MaxLag: 17})
			each(metrics.FollowerStats{ID: 3, OutOfSync: 4, MaxLag: -1})
		},
		Fetchers: func() metrics.FetcherStats {
			return metrics.FetcherStats{Partitions: 2, Fetches: 9, PartitionFailures: 1, FailedFetches: map[int]int64{1: 5, 4: 0}}
		},
		Following: func(each func(metrics.FollowedStats)) {
			each(metrics.FollowedStats{ClientID: "ReplicaFetcherThread-0-1", Topic: "orders", Partition: "0", Lag: 3})
			each(metrics.FollowedStats{ClientID: "ReplicaFetcherThread-0-1", Topic: "orders", Partition: "1", Lag: -1})
		},
	}
	const lag = "kafka_server_fetcherlagmetrics_consumerlag{clientId=ReplicaFetcherThread-0-1,partition=0,topic=orders} 3"
	want := []string{
		"dmq_follower_max_lag{follower=2} 17", "dmq_follower_out_of_sync_partitions{follower=2} 0", "dmq_follower_out_of_sync_partitions{follower=3} 4",
		"dmq_metrics_truncated{} 0", "dmq_replica_fetch_failures_total{leader=1} 5", "dmq_replica_fetch_failures_total{leader=4} 0",
		"dmq_replica_partition_failures_total{} 1", lag,
	}
	parts := []string{"dmq_follower", "fetcherlag", "failures", "truncated"}
	if diff := cmp.Diff(want, scrape(t, s, parts...)); diff != "" {
		t.Error(diff)
	}
	s.Level = metrics.LevelTopic
	if diff := cmp.Diff(want[:len(want)-1], scrape(t, s, parts...)); diff != "" {
		t.Error(diff)
	}
	s.Level = metrics.LevelPartition
	s.Fetchers = func() metrics.FetcherStats { return metrics.FetcherStats{Partitions: metrics.MaxRows + 1} }
	if diff := cmp.Diff([]string{"dmq_metrics_truncated{} 1"}, scrape(t, s, "fetcherlag", "truncated")); diff != "" {
		t.Error(diff)
	}
}

func TestCollector_Elections(t *testing.T) {
	s := metrics.Sources{Cluster: func() metrics.ClusterStats {
		return metrics.ClusterStats{Elections: map[string]int64{"clean": 3, "eligible": 2, "unclean": 1}}
	}}
	want := []string{
		"dmq_controller_leader_elections_total{kind=clean} 3", "dmq_controller_leader_elections_total{kind=eligible} 2", "dmq_controller_leader_elections_total{kind=unclean} 1",
		"kafka_controller_controllerstats_electionfromeligibleleaderreplicas_total{} 2", "kafka_controller_controllerstats_uncleanleaderelections_total{} 1",
	}
	if diff := cmp.Diff(want, scrape(t, s, "election")); diff != "" {
		t.Error(diff)
	}
}
