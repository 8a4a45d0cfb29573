package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// How a cluster is.
const (
	healthGreen  = "green"  // every replica is in sync and the quorum is whole
	healthYellow = "yellow" // everything is served, but less can fail than should
	healthRed    = "red"    // something is not served
)

// clusterHealth is a judgement of a cluster's state.
type clusterHealth struct {
	Status   string           `json:"status"`
	Summary  string           `json:"summary"`
	Problems []clusterProblem `json:"problems"` // the worst first
}

// clusterProblem is one thing that is wrong: what, why, and what to do next.
type clusterProblem struct {
	Status  string `json:"status"`  // how the cluster is because of it
	Subject string `json:"subject"` // what it is about: broker 3, partitions, quorum
	What    string `json:"what"`
	Why     string `json:"why"`
	Next    string `json:"next"`
}

func newClusterHealth(a *app) *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use: "health", Short: "Say what is wrong with a cluster, why, and what to do next",
		Long: `Say what is wrong with a cluster, why, and what to do next.

  green    every replica is in sync, and the quorum is whole
  yellow   everything is served, but less can fail than should: a broker is down, replicas lag, a voter is missing
  red      something is not served: partitions without a leader or with too few replicas in sync, or no quorum

The exit code is 0 for green, 5 for yellow and red, and 7 when no broker can be reached.`,
		Example: "  dmq cluster health\n  dmq cluster health --wait --timeout 5m && echo go on\n  dmq cluster health -o json",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			h, err := a.health(cmd.Context(), wait)
			if err != nil {
				return err
			}
			if err := a.printHealth(h); err != nil || h.Status == healthGreen {
				return err
			}
			return &failure{code: codeUnhealthy, what: "the cluster is " + h.Status}
		},
	}
	cmd.Flags().BoolVarP(&wait, "wait", "w", false, "wait until the cluster is green, as long as --timeout says")
	return cmd
}

// healthInterval is how often --wait looks again.
const healthInterval = 500 * time.Millisecond

// health judges the cluster; with wait again and again, until it is green or --timeout is over.
func (a *app) health(ctx context.Context, wait bool) (*clusterHealth, error) {
	deadline := time.Now().Add(time.Duration(a.timeout))
	for {
		h, err := a.healthOnce(ctx)
		again := err == nil && h.Status != healthGreen || err != nil && explain(err).code == codeUnreachable
		if !wait || !again || time.Now().Add(healthInterval).After(deadline) {
			return h, err
		}
		select {
		case <-time.After(healthInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (a *app) healthOnce(ctx context.Context) (*clusterHealth, error) {
	var h *clusterHealth
	err := a.withClient(ctx, func(ctx context.Context, cl *kgo.Client) error {
		s, err := a.clusterState(ctx, cl)
		if err != nil {
			return err
		}
		if err := s.eligibleLeaders(ctx, cl, (*partitionState).offline); err != nil {
			return err
		}
		h = judge(s)
		return nil
	})
	return h, err
}

func (a *app) printHealth(h *clusterHealth) error {
	if a.output != "table" && a.output != "wide" {
		return a.print(result{value: h, names: []string{h.Status}})
	}
	color := map[string]string{healthYellow: yellow, healthRed: red}[h.Status]
	if color == "" {
		color = bold
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n", a.paint(a.out, color, strings.ToUpper(h.Status)), h.Summary)
	width := 0
	for _, p := range h.Problems {
		width = max(width, len(p.Subject))
	}
	for _, p := range h.Problems {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, p.Subject, printable(p.What))
		for _, line := range []string{p.Why, p.Next} {
			if line != "" {
				fmt.Fprintf(&b, "  %-*s  %s\n", width, "", printable(line))
			}
		}
	}
	_, err := a.out.Write([]byte(b.String()))
	return err
}

// judge says how a cluster is. It is a pure function of the state.
func judge(s *clusterState) *clusterHealth {
	h := &clusterHealth{Status: healthGreen, Problems: []clusterProblem{}}
	h.Problems = append(h.Problems, judgeQuorum(s)...)
	h.Problems = append(h.Problems, judgePartitions(s)...)
	h.Problems = append(h.Problems, judgeBrokers(s)...)
	slices.SortStableFunc(h.Problems, func(x, y clusterProblem) int { return strings.Compare(x.Status, y.Status) }) // red comes before yellow
	if len(h.Problems) > 0 {
		h.Status = h.Problems[0].Status
	}
	h.Summary = summary(s)
	return h
}

func summary(s *clusterState) string {
	text := fmt.Sprintf("%d of %s up, %s", s.up(), count(len(s.Brokers), "broker"), count(len(s.Partitions), "partition"))
	if s.Quorum != nil {
		all, following := s.Quorum.voters()
		text += fmt.Sprintf(", quorum of %s led by node %v", count(all, "voter"), orNobody(s.Quorum.Leader))
		if following < all {
			text += fmt.Sprintf(" with %d following", following)
		}
	}
	return text
}

func judgeQuorum(s *clusterState) []clusterProblem {
	const subject = "quorum"
	const see = "See who is there: dmq cluster quorum status"
	switch {
	case unsupported(s.QuorumErr):
		return nil // the cluster has none
	case s.QuorumErr != nil:
		why := explain(s.QuorumErr).what
		if errors.Is(s.QuorumErr, context.DeadlineExceeded) {
			why = fmt.Sprintf("no answer within %s", quorumTimeout)
		}
		return []clusterProblem{{
			healthRed, subject, "the metadata quorum does not answer: topics cannot be created and no partition gets another leader",
			"Why: " + why + "; it needs a majority of its voters", "Start the controllers that are down; their logs say whom they miss",
		}}
	case s.Quorum.Leader < 0:
		return []clusterProblem{{healthRed, subject, "the metadata quorum has no leader", "Why: it needs a majority of its voters", see}}
	}
	var gone []int32
	for i := range s.Quorum.Replicas {
		if m := &s.Quorum.Replicas[i]; m.voter() && !m.following() {
			gone = append(gone, m.ID)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	all, following := s.Quorum.voters()
	what := fmt.Sprintf("%d of %s follow; missing: %s", following, count(all, "voter"), ids(gone))
	if spare := following - (all/2 + 1); spare <= 0 {
		what += "; when one more fails, the quorum stops"
	}
	return []clusterProblem{{
		healthYellow, subject, what, fmt.Sprintf("Why: the leader has heard nothing of them for %s, or not since it leads", followTimeout),
		"Start them, or, if they are gone for good: dmq cluster quorum remove-voter " + ids(gone[:1]),
	}}
}

func judgeBrokers(s *clusterState) []clusterProblem {
	var out []clusterProblem
	for i := range s.Brokers {
		b := &s.Brokers[i]
		if b.State == brokerUp {
			continue
		}
		p := clusterProblem{Status: healthYellow, Subject: fmt.Sprintf("broker %d", b.ID), What: b.State, Next: fmt.Sprintf("Start it, and see what it says: dmq broker describe %d   Gone for good: dmq broker %s %d", b.ID, forget(b), b.ID)}
		switch b.State {
		case brokerFenced:
			p.What = "fenced: it serves nobody"
			p.Why = "Why: the controller gets no heartbeats from it, or it has not caught up yet"
			if m := s.member(b.ID); m != nil && m.silent >= followTimeout {
				p.What += fmt.Sprintf("; nothing was heard of it for %s", m.silent.Round(time.Second))
			}
		case brokerSilent:
			p.What = "does not answer"
			p.Why = "Why: it is down, or cannot be reached from here; without a quorum nobody keeps track of it"
			p.Next = "Start it"
		case brokerUnknown:
			p.What = fmt.Sprintf("not there, but %s name it", count(b.Replicas, "partition"))
			p.Why = "Why: it is down, or was unregistered before it was drained"
		}
		out = append(out, p)
	}
	return out
}

// forget is the command that comes first for a broker that is gone for good.
func forget(b *brokerState) string {
	if b.Replicas > 0 {
		return "drain"
	}
	return "unregister"
}

func (s *clusterState) member(id int32) *quorumMember {
	if s.Quorum == nil {
		return nil
	}
	return s.Quorum.member(id)
}

func judgePartitions(s *clusterState) []clusterProblem {
	var offline, silent, underMin, under []*partitionState
	for i := range s.Partitions {
		switch p := &s.Partitions[i]; {
		case p.offline():
			offline = append(offline, p)
		case s.broker(p.Leader) != nil && s.broker(p.Leader).State == brokerSilent:
			silent = append(silent, p)
		case p.underMinISR():
			underMin = append(underMin, p)
		case p.UnderReplicated:
			under = append(under, p)
		}
	}
	var out []clusterProblem
	const subject = "partitions"
	if len(offline) > 0 {
		out = append(out, clusterProblem{
			healthRed, subject, count(len(offline), "partition") + " without a leader: " + examples(offline),
			"Why: no replica that holds every acknowledged record is up; may lead: " + orDash(ids(heirs(offline))), "Start one of those brokers   See: dmq partition list --offline -o wide",
		})
	}
	if len(silent) > 0 {
		out = append(out, clusterProblem{
			healthRed, subject, count(len(silent), "partition") + " whose leader does not answer: " + examples(silent),
			"Why: without a quorum no partition gets another leader", "Start the controllers first",
		})
	}
	if len(underMin) > 0 {
		out = append(out, clusterProblem{
			healthRed, subject, count(len(underMin), "partition") + " refusing acks=all, fewer than min.insync.replicas in sync: " + examples(underMin),
			outOfSync(underMin), "Start or mend those brokers   See: dmq partition list --under-min-isr",
		})
	}
	if len(under) > 0 {
		out = append(out, clusterProblem{
			healthYellow, subject, count(len(under), "partition") + " under-replicated: " + examples(under),
			outOfSync(under), "Start or mend those brokers   See: dmq partition list --under-replicated",
		})
	}
	return out
}

// examples names a few partitions.
func examples(list []*partitionState) string {
	const most = 3
	var names []string
	for _, p := range list[:min(most, len(list))] {
		names = append(names, p.tp().String())
	}
	text := strings.Join(names, ", ")
	if len(list) > most {
		text += ", …"
	}
	return text
}

// heirs are the brokers that may lead some of the partitions without losing a record.
func heirs(list []*partitionState) []int32 {
	var out []int32
	for _, p := range list {
		out = append(out, slices.Concat(p.InSync, p.Eligible, p.LastKnown)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// outOfSync says which brokers are out of sync.
func outOfSync(list []*partitionState) string {
	behind := make(map[int32]int)
	for _, p := range list {
		for _, id := range p.Replicas {
			if !slices.Contains(p.InSync, id) {
				behind[id]++
			}
		}
	}
	var names []string
	for id, n := range behind {
		names = append(names, fmt.Sprintf("broker %d (%d)", id, n))
	}
	slices.Sort(names)
	return "Why: out of sync: " + strings.Join(names, ", ")
}
