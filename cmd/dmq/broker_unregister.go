package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newBrokerUnregister(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "unregister BROKER", Short: "Have the cluster forget a broker that was taken away for good",
		Long: `Have the cluster forget a broker that was taken away for good, so that nobody misses it any more. It has to hold nothing, which
dmq broker drain sees to, and to be stopped: a broker that runs registers again with its next heartbeat. Should one with the
same id ever be started, it registers as a new one.

A vote in the quorum is another matter: dmq cluster quorum remove-voter, best before the node is stopped.`,
		Example: "  dmq broker unregister 4\n  dmq broker unregister 4 --yes",
		Args:    args(1, 1, "the id of a broker"),
		ValidArgsFunction: func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if len(given) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.live(cmd.Context(), prefix, fencedIDs), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.unregister(ctx, cl, id, yes) })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}

func (a *app) unregister(ctx context.Context, cl *kgo.Client, id int32, yes bool) error {
	s, err := a.clusterState(ctx, cl)
	if err != nil {
		return err
	}
	if err := s.mayUnregister(id); err != nil {
		return err
	}
	if err := a.confirm(yes, fmt.Sprintf("forget broker %d at %s", id, s.broker(id).address())); err != nil {
		return err
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = id
	resp, err := req.RequestWith(ctx, cl)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		f := explain(err)
		return &failure{code: f.code, kafka: f.kafka, what: fmt.Sprintf("broker %d: %s", id, f.what), next: fmt.Sprintf("See how it is: dmq broker describe %d", id), cause: err}
	}
	err = a.print(result{
		value: map[string]any{"id": id, "state": "unregistered"}, names: []string{fmt.Sprint(id)},
		table: []grid{{header: []string{"BROKER", "STATE"}, rows: [][]any{{id, "unregistered"}}, numeric: []int{0}}},
	})
	if m := s.member(id); m != nil && m.voter() {
		a.say("Node %d still counts as a voter: dmq cluster quorum remove-voter %d\n", id, id)
	}
	return err
}

// mayUnregister says why a broker should not be forgotten; nil when it may be. The cluster itself would not mind.
func (s *clusterState) mayUnregister(id int32) error {
	b, err := s.mustBroker(id)
	if err != nil {
		return err
	}
	if !s.hasQuorum() {
		return quorumFailure(s.QuorumErr)
	}
	var held []*partitionState
	for i := range s.Partitions {
		if p := &s.Partitions[i]; p.on(id) {
			held = append(held, p)
		}
	}
	switch {
	case len(held) > 0:
		return &failure{
			code: codeConflict, what: fmt.Sprintf("broker %d still has replicas of %s: %s", id, count(len(held), "partition"), examples(held)),
			why: "they would stay out of sync for good", next: fmt.Sprintf("Empty it first: dmq broker drain %d", id),
		}
	case b.State == brokerUp:
		return &failure{
			code: codeConflict, what: fmt.Sprintf("broker %d at %s is up", id, b.address()), why: "it would register again with its next heartbeat",
			next: "Stop it first",
		}
	}
	return nil
}
