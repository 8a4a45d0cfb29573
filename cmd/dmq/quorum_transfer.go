package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newTransfer(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "transfer [NODE]", Short: "Have another voter lead the quorum",
		Long: `Have another voter lead the quorum, and so be the active controller: the one that is named, or the one that is best up to date.
Nothing is lost and nobody waits for more than some milliseconds. A node that stops in order does this by itself.`,
		Example: "  dmq cluster quorum transfer\n  dmq cluster quorum transfer 2",
		Args:    args(0, 1, "the id of a voter"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				q, err := askQuorum(ctx, cl)
				if err != nil {
					return quorumFailure(err)
				}
				to, err := q.successor(given)
				if err != nil {
					return err
				}
				return a.transfer(ctx, cl, q.Leader, to)
			})
		},
	}
}

// successor is the voter that is named, or the one besides the leader that is least behind of those that follow.
func (q *quorumState) successor(given []string) (int32, error) {
	if len(given) > 0 {
		return nodeID(given[0])
	}
	best := (*quorumMember)(nil)
	for i := range q.Replicas {
		m := &q.Replicas[i]
		if m.voter() && m.ID != q.Leader && m.following() && (best == nil || m.Lag < best.Lag) {
			best = m
		}
	}
	if best == nil {
		return 0, &failure{code: codeUnhealthy, what: "no other voter follows the leader", next: "See who is there: dmq cluster quorum status"}
	}
	return best.ID, nil
}

// transfer asks as dmq's controllers take it: a reassignment of the metadata log's one partition, whose first replica is to lead.
func (a *app) transfer(ctx context.Context, cl *kgo.Client, from, to int32) error {
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	t, p := kmsg.NewAlterPartitionAssignmentsRequestTopic(), kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	p.Replicas = []int32{to}
	t.Topic, t.Partitions = "__cluster_metadata", append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return quorumFailure(err)
	}
	code, why := resp.ErrorCode, resp.ErrorMessage
	if code == 0 && len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 {
		code, why = resp.Topics[0].Partitions[0].ErrorCode, resp.Topics[0].Partitions[0].ErrorMessage
	}
	if err := kerr.ErrorForCode(code); err != nil {
		f := explain(err)
		f.what = fmt.Sprintf("node %d does not lead the quorum", to)
		if why != nil {
			f.why = *why
		}
		f.next = "See who is there: dmq cluster quorum status   Apache Kafka's controllers cannot be asked for this"
		return f
	}
	value := struct {
		From int32 `json:"from"`
		To   int32 `json:"to"`
	}{from, to}
	return a.print(result{
		value: value, names: []string{fmt.Sprint(to)},
		table: []grid{{header: []string{"LED", "LEADS"}, rows: [][]any{{from, to}}}},
	})
}
