package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type electOptions struct {
	preferred, unclean, all, yes bool
	topics                       []string
}

func newElectLeader(a *app) *cobra.Command {
	var o electOptions
	cmd := &cobra.Command{
		Use: "elect-leader (--preferred | --unclean) (--topic TOPIC[:0,1]... | --all)", Short: "Give leadership back to the first replica, or to one that was not in sync",
		Long: `Elect leaders of partitions.

  --preferred   the first replica leads again, where it is in sync: what a cluster does by itself after a while
  --unclean     a partition without a leader gets one that may lack acknowledged records. They are lost for good. It is
                the last resort, when no broker that has them will ever come back, and is asked for again

With --unclean only partitions that have no leader are touched, whatever was named.`,
		Example: `  dmq partition elect-leader --preferred --all
  dmq partition elect-leader --preferred --topic orders:0,1
  dmq partition elect-leader --unclean --topic orders:3`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			selected, err := o.check()
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.electLeaders(ctx, cl, o, selected) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.preferred, "preferred", false, "elect the first replica")
	f.BoolVar(&o.unclean, "unclean", false, "elect a replica that was not in sync, where there is no other")
	f.BoolVar(&o.all, "all", false, "of all topics")
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	a.addTopicFlag(cmd, &o.topics)
	return cmd
}

func (o *electOptions) check() ([]selection, error) {
	switch {
	case o.preferred && o.unclean:
		return nil, usage("choose one of them", "--preferred and --unclean are different elections")
	case !o.preferred && !o.unclean:
		return nil, usage("choose one of --preferred, --unclean", "how to elect is not said")
	case o.all == (len(o.topics) > 0):
		return nil, usage("for example --topic orders, --topic orders:0,1 or --all", "which partitions is not said")
	}
	return parseSelections(o.topics)
}

type election struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Leader    int32  `json:"leader"` // now; -1: none
	Result    string `json:"result"` // elected, not needed
}

func (a *app) electLeaders(ctx context.Context, cl *kgo.Client, o electOptions, selected []selection) error {
	adm := kadm.NewClient(cl)
	s, err := a.clusterState(ctx, cl)
	if err != nil {
		return err
	}
	if !s.hasQuorum() {
		return quorumFailure(s.QuorumErr)
	}
	chosen, err := s.chosen(ctx, adm, selected)
	if err != nil {
		return err
	}
	how := kadm.ElectPreferredReplica
	if o.unclean {
		how = kadm.ElectLiveReplica
	}
	set := make(kadm.TopicsSet)
	var named []*partitionState
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if chosen(p) && (o.unclean && p.offline() || o.preferred && !p.preferred()) {
			set.Add(p.Topic, p.Partition)
			named = append(named, p)
		}
	}
	if len(named) == 0 {
		if a.output == "table" || a.output == "wide" {
			a.say("Nothing to do: %s\n", map[bool]string{true: "every partition has a leader", false: "every leader is the first replica"}[o.unclean])
			return nil
		}
		return a.print(elections([]election{}))
	}
	if o.unclean {
		what := fmt.Sprintf("elect leaders of %s that may lack acknowledged records, which are then lost for good: %s", count(len(named), "partition"), examples(named))
		if err := a.confirm(o.yes, what); err != nil {
			return err
		}
	}
	answers, err := adm.ElectLeaders(ctx, how, set)
	if err != nil {
		return err
	}
	return a.reportElections(ctx, adm, how, named, answers)
}

func (a *app) reportElections(ctx context.Context, adm *kadm.Client, how kadm.ElectLeadersHow, named []*partitionState, answers kadm.ElectLeadersResults) error {
	topics, err := electedTopics(ctx, adm, how, answers)
	if err != nil {
		return err
	}
	done := []election{}
	var failures []*failure
	for _, p := range named {
		r, ok := answers[p.Topic][p.Partition]
		e := election{p.Topic, p.Partition, topics[p.Topic].Partitions[p.Partition].Leader, "elected"}
		switch {
		case !ok, errors.Is(r.Err, kerr.ElectionNotNeeded):
			e.Result = "not needed"
		case r.Err != nil:
			failures = append(failures, electionFailure(p, r))
			continue
		}
		done = append(done, e)
	}
	if len(done) > 0 || a.output == "json" || a.output == "yaml" {
		if err := a.print(elections(done)); err != nil {
			return err
		}
	}
	return several(len(done), failures)
}

const (
	electedWithin   = 2 * time.Second       // how long the brokers may take to learn of an election
	electedInterval = 10 * time.Millisecond // between two questions whether they have
)

// electedTopics are the topics once whoever is asked knows the leaders that were just elected: each broker follows the metadata log
// at its own pace.
func electedTopics(ctx context.Context, adm *kadm.Client, how kadm.ElectLeadersHow, answers kadm.ElectLeadersResults) (kadm.TopicDetails, error) {
	for deadline := time.Now().Add(electedWithin); ; {
		topics, err := adm.ListTopicsWithInternal(ctx)
		if err != nil || time.Now().After(deadline) {
			return topics, err
		}
		missing := false
		for topic, partitions := range answers {
			for p, r := range partitions {
				d := topics[topic].Partitions[p]
				known := d.Leader >= 0 && (how != kadm.ElectPreferredReplica || d.Leader == d.Replicas[0])
				missing = missing || r.Err == nil && !known
			}
		}
		if !missing {
			return topics, nil
		}
		select {
		case <-time.After(electedInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func electionFailure(p *partitionState, r kadm.ElectLeadersResult) *failure {
	f := explain(r.Err)
	out := &failure{code: f.code, kafka: f.kafka, what: p.tp().String() + ": " + f.what, why: r.ErrMessage, next: "See why: dmq partition list -o wide --topic " + p.Topic, cause: r.Err}
	switch {
	case errors.Is(r.Err, kerr.PreferredLeaderNotAvailable):
		out.code, out.what, out.why = codeConflict, fmt.Sprintf("%s: broker %d cannot lead it now", p.tp(), p.Replicas[0]), "it is down, or not in sync yet"
	case errors.Is(r.Err, kerr.EligibleLeadersNotAvailable):
		out.code, out.what, out.why = codeConflict, fmt.Sprintf("%s: none of its replicas is up", p.tp()), ""
		out.next = "Start one of the brokers " + ids(p.Replicas)
	}
	return out
}

func elections(done []election) result {
	r := result{value: done}
	g := grid{header: []string{"TOPIC", "PARTITION", "LEADER", "RESULT"}, numeric: []int{1, 2}}
	for _, e := range done {
		r.names = append(r.names, fmt.Sprintf("%s:%d", e.Topic, e.Partition))
		g.rows = append(g.rows, []any{e.Topic, e.Partition, orNobody(e.Leader), e.Result})
	}
	r.table = []grid{g}
	return r
}
