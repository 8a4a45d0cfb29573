package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

func newPartition(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "partition", Short: "List partitions, move replicas, elect leaders", GroupID: "ops", Aliases: []string{"partitions"},
		Example: "  dmq partition list --under-replicated\n  dmq partition reassign plan --brokers 1,2,3,4\n  dmq partition elect-leader --preferred --all",
	}, newPartitionList(a), newReassign(a), newElectLeader(a))
}

// partitionFilter says which partitions are listed: those for which one of the conditions holds, or all without any.
type partitionFilter struct {
	topics                                                                     []string
	broker                                                                     int32
	underReplicated, offline, underMinISR, atMinISR, notPreferred, reassigning bool
}

func (f *partitionFilter) matches(p *partitionState) bool {
	if f.broker >= 0 && !p.on(f.broker) {
		return false
	}
	conditions := false
	for _, c := range []struct {
		wanted bool
		holds  bool
	}{
		{f.underReplicated, p.UnderReplicated},
		{f.offline, p.offline()},
		{f.underMinISR, p.underMinISR()},
		{f.atMinISR, p.atMinISR()},
		{f.notPreferred, p.notPreferred()},
		{f.reassigning, p.reassigning()},
	} {
		if c.wanted && c.holds {
			return true
		}
		conditions = conditions || c.wanted
	}
	return !conditions
}

// on reports whether a broker has a replica of the partition.
func (p *partitionState) on(broker int32) bool {
	return slices.Contains(p.Replicas, broker)
}

func newPartitionList(a *app) *cobra.Command {
	f := partitionFilter{broker: -1}
	cmd := &cobra.Command{
		Use: "list", Short: "List partitions, above all those that something is wrong with", Aliases: []string{"ls"},
		Long: `List partitions. With several of the conditions, those for which one of them holds. STATE names what holds; -o wide also shows
who may lead a partition whose in-sync replicas are all gone (ELIGIBLE, and of a cluster that lost them all, LAST-KNOWN).`,
		Example: "  dmq partition list --under-replicated\n  dmq partition list --offline -o wide\n  dmq partition list --topic orders --leader-not-preferred\n  dmq partition list --broker 3 -o name",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selected, err := parseSelections(f.topics)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.listPartitions(ctx, cl, &f, selected) })
		},
	}
	flags := cmd.Flags()
	a.addTopicFlag(cmd, &f.topics)
	flags.Int32Var(&f.broker, "broker", -1, "only partitions with a replica on this broker")
	flags.BoolVar(&f.underReplicated, "under-replicated", false, "not every replica is in sync")
	flags.BoolVar(&f.offline, "offline", false, "no leader")
	flags.BoolVar(&f.underMinISR, "under-min-isr", false, "fewer replicas in sync than min.insync.replicas")
	flags.BoolVar(&f.atMinISR, "at-min-isr", false, "exactly min.insync.replicas in sync")
	flags.BoolVar(&f.notPreferred, "leader-not-preferred", false, "the leader is not the first replica")
	flags.BoolVar(&f.reassigning, "reassigning", false, "replicas are being moved")
	return cmd
}

func (a *app) listPartitions(ctx context.Context, cl *kgo.Client, f *partitionFilter, selected []selection) error {
	s, err := a.clusterState(ctx, cl)
	if err != nil {
		return err
	}
	chosen, err := s.chosen(ctx, kadm.NewClient(cl), selected)
	if err != nil {
		return err
	}
	wanted := func(p *partitionState) bool { return chosen(p) && f.matches(p) }
	if a.output != "table" && a.output != "name" {
		if err := s.eligibleLeaders(ctx, cl, wanted); err != nil {
			return err
		}
	}
	out := []partitionState{}
	r := result{}
	for i := range s.Partitions {
		if p := &s.Partitions[i]; wanted(p) {
			out = append(out, *p)
			r.names = append(r.names, fmt.Sprintf("%s:%d", p.Topic, p.Partition))
		}
	}
	r.value, r.table = out, []grid{partitionGrid(out)}
	return a.print(r)
}

// chosen tells whether a partition was named with --topic; every one is when none was named. Topics and partitions that do not
// exist are a failure.
func (s *clusterState) chosen(ctx context.Context, adm *kadm.Client, selected []selection) (func(*partitionState) bool, error) {
	for _, sel := range selected {
		if !s.hasTopic(sel.topic) {
			return nil, topicFailure(ctx, adm, sel.topic, kerr.UnknownTopicOrPartition, "")
		}
		for _, p := range sel.partitions {
			if tp := (topicPartition{sel.topic, p}); s.partition(tp) == nil {
				return nil, &failure{code: codeNotFound, what: fmt.Sprintf("%s does not exist", tp), next: "List those that do: dmq partition list --topic " + sel.topic}
			}
		}
	}
	return func(p *partitionState) bool {
		if len(selected) == 0 {
			return true
		}
		for _, sel := range selected {
			if sel.topic == p.Topic && sel.has(p.Partition) {
				return true
			}
		}
		return false
	}, nil
}

func (s *clusterState) hasTopic(name string) bool {
	for i := range s.Partitions {
		if s.Partitions[i].Topic == name {
			return true
		}
	}
	return false
}

func partitionGrid(list []partitionState) grid {
	g := grid{
		header:  []string{"TOPIC", "PARTITION", "LEADER", "REPLICAS", "IN-SYNC", "STATE", "LEADER-EPOCH", "MIN-ISR", "ELIGIBLE", "LAST-KNOWN", "ADDING", "REMOVING"},
		numeric: []int{1, 2, 6, 7}, wide: 6,
	}
	for i := range list {
		p := &list[i]
		g.rows = append(g.rows, []any{
			p.Topic, p.Partition, orNobody(p.Leader), ids(p.Replicas), orDash(ids(p.InSync)), p.words(), p.LeaderEpoch, p.MinInSync,
			orDash(ids(p.Eligible)), orDash(ids(p.LastKnown)), orDash(ids(p.Adding)), orDash(ids(p.Removing)),
		})
	}
	return g
}

// words says what is to be noticed about a partition; "ok" is nothing.
func (p *partitionState) words() string {
	var out []string
	for _, w := range []struct {
		holds bool
		word  string
	}{
		{p.offline(), "offline"},
		{p.underMinISR(), "under-min-isr"},
		{p.UnderReplicated, "under-replicated"},
		{p.notPreferred(), "leader-not-preferred"},
		{p.reassigning(), "reassigning"},
	} {
		if w.holds {
			out = append(out, w.word)
		}
	}
	if len(out) == 0 {
		return "ok"
	}
	return strings.Join(out, ", ")
}
