package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newCluster(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "cluster", Short: "See how a cluster is, and change its quorum", GroupID: "ops",
		Example: "  dmq cluster status\n  dmq cluster health --wait --timeout 60s\n  dmq cluster quorum status",
	}, newClusterStatus(a), newClusterHealth(a), newQuorum(a))
}

// clusterReport is what cluster status prints.
type clusterReport struct {
	ClusterID  string          `json:"cluster_id"`
	Health     string          `json:"health"`
	Controller int32           `json:"controller"` // -1: none
	Brokers    []brokerState   `json:"brokers"`
	Quorum     *quorumState    `json:"quorum"` // null: it does not answer
	Partitions partitionCounts `json:"partitions"`
}

func newClusterStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show the controller, the quorum, the brokers and what is wrong with partitions",
		Long: `Show a cluster at one glance. dmq cluster health says what of it needs attention, and why.

A broker is up; fenced, when it is registered but sends no heartbeats or has not caught up with the metadata; unknown, when
partitions name it and nobody is registered under its id; or unreachable. Without a quorum all but the last is as it was when
there was one.`,
		Example: "  dmq cluster status\n  dmq cluster status -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				s, err := a.clusterState(ctx, cl)
				if err != nil {
					return err
				}
				return a.print(a.statusResult(s))
			})
		},
	}
}

func (a *app) statusResult(s *clusterState) result {
	h := judge(s)
	counts := s.partitionCounts()
	head := grid{
		header:  []string{"CLUSTER", "HEALTH", "CONTROLLER", "BROKERS", "TOPICS", "PARTITIONS", "UNDER-REPLICATED", "OFFLINE", "UNDER-MIN-ISR", "AT-MIN-ISR", "LEADER-NOT-PREFERRED", "REASSIGNING"},
		numeric: []int{2, 4, 5, 6, 7, 8, 9, 10, 11}, wide: 9,
		rows: [][]any{{
			s.ID, h.Status, orNobody(s.Controller), fmt.Sprintf("%d of %d", s.up(), len(s.Brokers)), counts.Topics, counts.Partitions,
			counts.UnderReplicated, counts.Offline, counts.UnderMinISR, counts.AtMinISR, counts.LeaderNotPreferred, counts.Reassigning,
		}},
	}
	r := result{
		value: clusterReport{ClusterID: s.ID, Health: h.Status, Controller: s.Controller, Brokers: s.Brokers, Quorum: s.Quorum, Partitions: counts},
		names: []string{s.ID}, table: []grid{head, brokerGrid(s)},
	}
	if s.Quorum != nil {
		r.table = append(r.table, quorumGrid(s.Quorum, time.Now()))
	}
	return r
}

func brokerGrid(s *clusterState) grid {
	g := grid{header: []string{"BROKER", "ADDRESS", "RACK", "STATE", "LEADERS", "REPLICAS", "OUT-OF-SYNC", "PREFERRED"}, numeric: []int{0, 4, 5, 6, 7}, wide: 7}
	for i := range s.Brokers {
		b := &s.Brokers[i]
		g.rows = append(g.rows, []any{b.ID, b.address(), orDash(b.Rack), b.State, b.Leaders, b.Replicas, b.OutOfSync, b.PreferredLeader})
	}
	return g
}

func quorumGrid(q *quorumState, now time.Time) grid {
	g := grid{
		title:  fmt.Sprintf("Quorum: leader %v, epoch %d, high watermark %d", orNobody(q.Leader), q.LeaderEpoch, q.HighWatermark),
		header: []string{"NODE", "ROLE", "LOG-END", "LAG", "LAST-FETCH", "CAUGHT-UP", "DIRECTORY-ID", "ENDPOINTS"}, numeric: []int{0, 2, 3}, wide: 6,
	}
	for i := range q.Replicas {
		m := &q.Replicas[i]
		g.rows = append(g.rows, []any{m.ID, m.Role, known(m.LogEndOffset), known(m.Lag), ago(m.LastFetch, now), ago(m.LastCaughtUp, now), orDash(m.DirectoryID), orDash(strings.Join(m.Endpoints, " "))})
	}
	return g
}

// orNobody is a node id, or what stands for no node.
func orNobody(id int32) any {
	if id < 0 {
		return "none"
	}
	return id
}

// ago is how long ago something was, in words.
func ago(t *time.Time, now time.Time) string {
	if t == nil {
		return "-"
	}
	d := now.Sub(*t)
	switch {
	case d < 2*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	}
	return humanize.RelTime(*t, now, "ago", "from now")
}
