package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newReassignStatus(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "status [FILE]", Short: "Show what is being moved, or how far a plan is",
		Long: `Show what is being moved, how much of it is copied, and which throttles are set. With a plan, what of that is done; the exit
code is then 0 when all of it is, and 6 when not.`,
		Example: "  dmq partition reassign status\n  dmq partition reassign status plan.json",
		Args:    args(0, 1, "at most one plan"),
		RunE: func(cmd *cobra.Command, given []string) error {
			var plan *replicaPlan
			if len(given) > 0 {
				var err error
				if plan, err = a.readAssignment(given[0]); err != nil {
					return err
				}
			}
			return a.withMover(cmd.Context(), func(w *mover) error { return w.status(cmd.Context(), plan) })
		},
	}
}

type moveStatus struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	State     string  `json:"state"` // moving, done, to do
	Replicas  []int32 `json:"replicas"`
	Target    []int32 `json:"target"`
	Bytes     int64   `json:"bytes"` // to copy
	Copied    int64   `json:"bytes_done"`
}

type reassignStatus struct {
	Partitions []moveStatus     `json:"partitions"`
	Throttled  map[string]int64 `json:"throttled"` // bytes a second by broker
}

func (w *mover) status(ctx context.Context, plan *replicaPlan) error {
	s, err := w.state(ctx)
	if err != nil {
		return err
	}
	if plan == nil {
		plan = new(replicaPlan)
		for i := range s.Partitions {
			if p := &s.Partitions[i]; p.reassigning() {
				plan.Partitions = append(plan.Partitions, assignedPartition{p.Topic, p.Partition, p.target()})
			}
		}
	}
	moves, err := w.compare(ctx, plan)
	if err != nil {
		return err
	}
	if _, err := w.progress(ctx, slices.DeleteFunc(slices.Clone(moves), func(m *move) bool { return !m.begun })); err != nil {
		return err
	}
	out := reassignStatus{Partitions: []moveStatus{}}
	if out.Throttled, err = w.throttles(ctx); err != nil {
		return err
	}
	r := result{}
	g := grid{header: []string{"TOPIC", "PARTITION", "STATE", "REPLICAS", "TARGET", "COPIED", "SIZE"}, numeric: []int{1, 5, 6}}
	missing := 0
	for _, m := range moves {
		st := moveStatus{m.topic, m.partition, m.word(), m.from, m.target, m.total, m.copied}
		out.Partitions = append(out.Partitions, st)
		copied := "-"
		if m.total > 0 {
			copied = fmt.Sprintf("%d%%", m.copied*100/m.total)
		}
		if st.State != "done" {
			missing++
		}
		g.rows = append(g.rows, []any{m.topic, m.partition, st.State, ids(m.from), ids(m.target), copied, size(m.total)})
		r.names = append(r.names, fmt.Sprintf("%s:%d", m.topic, m.partition))
	}
	r.value, r.table = out, []grid{g}
	if err := w.a.print(r); err != nil {
		return err
	}
	if w.a.output == "table" || w.a.output == "wide" {
		for _, id := range slices.Sorted(maps.Keys(out.Throttled)) {
			w.a.say("Broker %s is throttled to %s/s\n", id, size(out.Throttled[id]))
		}
		if len(moves) == 0 {
			w.a.say("Nothing is being moved\n")
		}
	}
	if plan.Version == 1 && missing > 0 {
		return &failure{code: codePartly, what: fmt.Sprintf("%d of %s of the plan not done", missing, count(len(moves), "partition"))}
	}
	return nil
}

func (m *move) word() string {
	switch {
	case m.done:
		return "done"
	case m.begun:
		return "moving"
	}
	return "to do"
}

// throttles are the rates that are set for brokers.
func (w *mover) throttles(ctx context.Context) (map[string]int64, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	out := make(map[string]int64)
	configs, err := w.brokerConfigs(ctx)
	if err != nil {
		return nil, err
	}
	for _, rc := range configs {
		for _, c := range rc.Configs {
			if rate, err := strconv.ParseInt(c.MaybeValue(), 10, 64); err == nil && c.Key == leaderRate && c.Source == kmsg.ConfigSourceDynamicBrokerConfig {
				out[rc.Name] = rate
			}
		}
	}
	return out, nil
}

type cancelOptions struct {
	topics   []string
	all, yes bool
}

func newReassignCancel(a *app) *cobra.Command {
	var o cancelOptions
	cmd := &cobra.Command{
		Use: "cancel (--topic TOPIC[:0,1]... | --all)", Short: "Stop moving: replicas stay, or go back to, where they were",
		Long: `Stop moves that are not done yet. The partitions keep the replicas they had before, and what was copied so far is deleted.
Throttles are taken away when nothing moves any more. Moves that are done are undone by another plan.`,
		Example: "  dmq partition reassign cancel --all\n  dmq partition reassign cancel --topic orders:0,1 --yes",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.all == (len(o.topics) > 0) {
				return usage("for example --topic orders, --topic orders:0,1 or --all", "which partitions is not said")
			}
			selected, err := parseSelections(o.topics)
			if err != nil {
				return err
			}
			return a.withMover(cmd.Context(), func(w *mover) error { return w.cancel(cmd.Context(), selected, o.yes) })
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "everything that is being moved")
	cmd.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	a.addTopicFlag(cmd, &o.topics)
	return cmd
}

func (w *mover) cancel(ctx context.Context, selected []selection, yes bool) error {
	s, err := w.state(ctx)
	if err != nil {
		return err
	}
	chosen, err := s.chosen(ctx, w.adm, selected)
	if err != nil {
		return err
	}
	var req kadm.AlterPartitionAssignmentsReq
	var named []*partitionState
	others := false
	for i := range s.Partitions {
		p := &s.Partitions[i]
		switch {
		case !p.reassigning():
		case chosen(p):
			req.CancelAssign(p.Topic, p.Partition)
			named = append(named, p)
		default:
			others = true
		}
	}
	if len(named) > 0 {
		if err := w.a.confirm(yes, fmt.Sprintf("stop moving %s: %s", count(len(named), "partition"), examples(named))); err != nil {
			return err
		}
	} else {
		w.a.say("Nothing is being moved\n")
	}
	failures, cancelled, err := w.cancelled(ctx, req, named)
	if err != nil {
		return err
	}
	if !others && len(failures) == 0 {
		if err := w.unthrottle(ctx, s.everything()); err != nil {
			return err
		}
	}
	r := result{value: cancelled}
	g := grid{header: []string{"TOPIC", "PARTITION", "REPLICAS", "STATE"}, numeric: []int{1}}
	for _, c := range cancelled {
		r.names = append(r.names, fmt.Sprintf("%s:%d", c.Topic, c.Partition))
		g.rows = append(g.rows, []any{c.Topic, c.Partition, ids(c.Replicas), c.State})
	}
	r.table = []grid{g}
	if len(cancelled) > 0 || w.a.output == "json" || w.a.output == "yaml" {
		if err := w.a.print(r); err != nil {
			return err
		}
	}
	return several(len(cancelled), failures)
}

// cancelled sends the request and sorts the answers.
func (w *mover) cancelled(ctx context.Context, req kadm.AlterPartitionAssignmentsReq, named []*partitionState) ([]*failure, []movedPartition, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	answers, err := w.adm.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return nil, nil, reassignFailure(err)
	}
	done := []movedPartition{}
	var failures []*failure
	for _, p := range named {
		if r := answers[p.Topic][p.Partition]; r.Err != nil {
			f := explain(r.Err)
			failures = append(failures, &failure{code: f.code, kafka: f.kafka, what: p.tp().String() + ": " + f.what, why: r.ErrMessage, cause: r.Err})
			continue
		}
		before := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(p.Adding, id) })
		done = append(done, movedPartition{p.Topic, p.Partition, before, "cancelled"})
	}
	return failures, done, nil
}

// everything is a move of every partition, for finding the throttles of all.
func (s *clusterState) everything() []*move {
	var out []*move
	for i := range s.Partitions {
		out = append(out, &move{topicPartition: s.Partitions[i].tp()})
	}
	return out
}
