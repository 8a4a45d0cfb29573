package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/reassign"
)

// cordonKey is the broker property that keeps new replicas away (KIP-1066); * is all log directories.
const cordonKey = "cordoned.log.dirs"

type drainOptions struct {
	applyOptions
	dryRun bool
}

func newBrokerDrain(a *app) *cobra.Command {
	var o drainOptions
	cmd := &cobra.Command{
		Use: "drain BROKER", Short: "Empty a broker: leadership away, no new replicas, then every replica",
		Long: `Empty a broker so that it can be taken away for good, or get another disk. In this order:

  1. others become the leaders of its partitions, where they are in sync
  2. it is cordoned: cordoned.log.dirs=*, so that it gets no new replicas
  3. its replicas move to the other brokers, those with the fewest first, and racks kept apart

The broker goes on serving until it holds nothing. Ctrl-C only ends the watching, and the same command goes on with it. Other
brokers have to have room: as many brokers as replicas are needed. To only restart a broker nothing needs to be drained:
stopping it hands its leadership over. dmq broker resume undoes the cordon.`,
		Example: "  dmq broker drain 3 --dry-run\n  dmq broker drain 3 --throttle 50MiB\n  dmq broker resume 3",
		Args:    args(1, 1, "the id of a broker"), ValidArgsFunction: a.brokerCompletion(1),
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			rate, err := o.rate()
			if err != nil {
				return err
			}
			return a.withMover(cmd.Context(), func(w *mover) error {
				w.again = "dmq broker drain " + given[0]
				d := &drain{mover: w, id: id}
				return d.run(cmd.Context(), rate, o)
			})
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only show what would move where")
	return cmd
}

// drain empties one broker.
type drain struct {
	*mover
	id int32
}

func (d *drain) run(ctx context.Context, rate int64, o drainOptions) error {
	s, err := d.state(ctx)
	if err != nil {
		return err
	}
	b, err := s.mustBroker(d.id)
	if err != nil {
		return err
	}
	plan, targets, err := d.plan(ctx, s) // before anything is changed: it may not be possible
	if err != nil {
		return err
	}
	if o.dryRun {
		return d.a.print(result{value: newAssignment(plan, false), names: newAssignment(plan, false).names(), table: planGrids(s, plan, targets)})
	}
	if err := d.leadAway(ctx, s); err != nil {
		return err
	}
	if b.State == brokerUp {
		if err := d.cordon(ctx); err != nil {
			return err
		}
		if err := d.awaitKnown(ctx); err != nil {
			return err
		}
	}
	if s, err = d.state(ctx); err != nil {
		return err
	}
	if plan, _, err = d.plan(ctx, s); err != nil {
		return err
	}
	var moves []*move
	for i := range plan {
		p := s.partition(topicPartition{plan[i].Topic, plan[i].Partition.Partition})
		moves = append(moves, newMove(p, int32s(plan[i].Target)))
	}
	moves = append(moves, d.leaving(s)...)
	if err := d.mover.run(ctx, moves, rate, o.detach); err != nil || o.detach {
		return err
	}
	return d.empty(ctx, b.State == brokerUp)
}

// plan says where the broker's replicas go.
func (d *drain) plan(ctx context.Context, s *clusterState) ([]reassign.Move, []reassign.Broker, error) {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	all, err := d.adm.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(all) == 0 {
		return nil, nil, shardCause(err)
	}
	var others []int32
	for _, b := range s.Brokers {
		if b.ID != d.id && b.State == brokerUp && !newBrokerDisks(all[b.ID]).Cordoned {
			others = append(others, b.ID)
		}
	}
	targets := []reassign.Broker{}
	if len(others) > 0 {
		if targets, err = s.targets(others, all); err != nil {
			return nil, nil, err
		}
	}
	for i := range s.Partitions {
		p := &s.Partitions[i]
		for _, id := range p.Replicas {
			if b := s.broker(id); slices.Contains(p.target(), d.id) && id != d.id && b.State != brokerUp {
				return nil, nil, &failure{
					code: codeConflict, what: fmt.Sprintf("%s also has a replica on broker %d, which is %s", p.tp(), id, b.State), why: "draining now would move that one, too",
					next: fmt.Sprintf("Start it first: dmq broker describe %d", id),
				}
			}
		}
	}
	on := func(p *partitionState) bool { return slices.Contains(p.target(), d.id) }
	moves, err := reassign.Plan(s.plannable(on, sizes(all)), targets, reassign.Options{Settle: true})
	if err != nil {
		return nil, nil, tooFewBrokers(err)
	}
	return moves, targets, nil
}

// leaving are moves away from the broker that somebody began before.
func (d *drain) leaving(s *clusterState) []*move {
	var out []*move
	for i := range s.Partitions {
		if p := &s.Partitions[i]; p.reassigning() && slices.Contains(p.Removing, d.id) {
			out = append(out, newMove(p, p.target()))
		}
	}
	return out
}

// cordon keeps new replicas away from the broker.
func (d *drain) cordon(ctx context.Context) error {
	all := "*"
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	addConfigs(req, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(d.id)), map[string]*string{cordonKey: &all})
	if err := d.alterConfigs(ctx, req); err != nil {
		return err
	}
	if err := d.awaitCordoned(ctx, d.id, true); err != nil {
		return err
	}
	d.a.say("Broker %d is cordoned: it gets no new replicas\n", d.id)
	return nil
}

// leadAway makes others the leaders, where another replica is in sync. Putting the broker last among the replicas copies
// nothing; then the first replica is elected. It comes before the cordon, as no assignment may name a cordoned broker: one that
// is cordoned already leads until its replicas leave.
func (d *drain) leadAway(ctx context.Context, s *clusterState) error {
	ctx, cancel := d.bounded(ctx)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	var led []*partitionState
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if p.Leader != d.id || p.reassigning() || len(p.InSync) < 2 {
			continue
		}
		order := slices.Clone(p.Replicas)
		slices.SortStableFunc(order, func(x, y int32) int { return d.rank(p, x) - d.rank(p, y) })
		if !slices.Equal(order, p.Replicas) {
			req.Assign(p.Topic, p.Partition, order)
		}
		led = append(led, p)
	}
	if len(led) == 0 {
		return nil
	}
	answers, err := d.adm.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return reassignFailure(err)
	}
	set := make(kadm.TopicsSet)
	n := 0
	for _, p := range led {
		if answers[p.Topic][p.Partition].Err == nil { // else it gets another leader when its replica leaves
			set.Add(p.Topic, p.Partition)
			n++
		}
	}
	if n == 0 {
		return nil
	}
	// What is not elected now is when its replica leaves, too.
	if _, err := d.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set); err != nil {
		return err
	}
	d.a.say("Leadership of %s given away\n", count(n, "partition"))
	return nil
}

// rank orders replicas for leadership: those in sync, those that are not, and the broker that is drained.
func (d *drain) rank(p *partitionState, id int32) int {
	switch {
	case id == d.id:
		return 2
	case slices.Contains(p.InSync, id):
		return 0
	}
	return 1
}

// awaitCordoned waits until a broker has taken over that it is cordoned, or no longer is: a plan made before would not know.
func (w *mover) awaitCordoned(ctx context.Context, id int32, cordoned bool) error {
	bounded, cancel := w.bounded(ctx)
	defer cancel()
	for {
		dirs, err := w.adm.DescribeBrokerLogDirs(bounded, id, nil)
		if err == nil && newBrokerDisks(dirs).Cordoned == cordoned {
			return nil
		}
		select {
		case <-time.After(cordonInterval):
		case <-bounded.Done():
			return &failure{
				code: codePartly, what: fmt.Sprintf("%s of broker %d is changed, but the broker has not taken it over", cordonKey, id),
				next: fmt.Sprintf("See how it is: dmq broker describe %d", id),
			}
		}
	}
}

// awaitKnown waits until the cluster's state has every replica that the broker holds, as long as --timeout says. The state is
// asked of any broker, which may not know yet of a topic that was made a moment ago: its replicas would be left behind.
func (d *drain) awaitKnown(ctx context.Context) error {
	bounded, cancel := d.bounded(ctx)
	defer cancel()
	for {
		dirs, err := d.adm.DescribeBrokerLogDirs(bounded, d.id, nil)
		if err != nil {
			return shardCause(err)
		}
		s, err := d.state(ctx)
		if err != nil {
			return err
		}
		if s.knowsReplicas(d.id, dirs) {
			return nil
		}
		select {
		case <-time.After(emptyInterval):
		case <-bounded.Done():
			return nil // replicas that are being deleted go away by themselves, or the wait for an empty broker says so
		}
	}
}

// knowsReplicas reports whether the state has every replica that a broker holds.
func (s *clusterState) knowsReplicas(id int32, held kadm.DescribedLogDirs) bool {
	known := make(map[topicPartition]bool)
	for i := range s.Partitions {
		known[s.Partitions[i].tp()] = slices.Contains(s.Partitions[i].Replicas, id)
	}
	return !slices.ContainsFunc(held.SortedPartitions(), func(p kadm.DescribedLogDirPartition) bool {
		return !known[topicPartition{p.Topic, p.Partition}]
	})
}

const (
	cordonInterval = 10 * time.Millisecond  // between two questions whether a broker knows that it is cordoned
	emptyInterval  = 200 * time.Millisecond // and whether it has deleted everything
)

// empty waits until the broker has deleted what has moved, as long as --timeout says, and says what comes next.
func (d *drain) empty(ctx context.Context, up bool) error {
	bounded, cancel := d.bounded(ctx)
	defer cancel()
	for up {
		dirs, err := d.adm.DescribeBrokerLogDirs(bounded, d.id, nil)
		if err == nil && newBrokerDisks(dirs).Held == 0 {
			break
		}
		select {
		case <-time.After(emptyInterval):
		case <-bounded.Done():
			return &failure{code: codePartly, what: fmt.Sprintf("every replica has moved, but broker %d still has files of some", d.id), next: fmt.Sprintf("It deletes them in its own time: dmq broker describe %d", d.id)}
		}
	}
	next := "stop it"
	if q, err := askQuorum(ctx, d.cl); err == nil {
		if m := q.member(d.id); m != nil && m.voter() {
			next = fmt.Sprintf("it still votes: dmq cluster quorum remove-voter %d; then stop it", d.id)
		}
	}
	d.a.say("Broker %d holds nothing. To take it away: %s   To use it again: dmq broker resume %d\n", d.id, next, d.id)
	return nil
}

func newBrokerResume(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "resume BROKER", Short: "Let a cordoned broker get replicas again",
		Long: `Undo the cordon of dmq broker drain: the broker gets replicas of new topics again. What was moved away does not come back by
itself: that takes a plan.`,
		Example: "  dmq broker resume 3\n  dmq partition reassign plan --save plan.json",
		Args:    args(1, 1, "the id of a broker"), ValidArgsFunction: a.brokerCompletion(1),
		RunE: func(cmd *cobra.Command, given []string) error {
			id, err := nodeID(given[0])
			if err != nil {
				return err
			}
			return a.withMover(cmd.Context(), func(w *mover) error { return w.resume(cmd.Context(), id) })
		},
	}
}

func (w *mover) resume(ctx context.Context, id int32) error {
	s, err := w.state(ctx)
	if err != nil {
		return err
	}
	b, err := s.mustBroker(id)
	if err != nil {
		return err
	}
	if b.State != brokerUp {
		return &failure{code: codeConflict, what: fmt.Sprintf("broker %d is %s", id, b.State), next: fmt.Sprintf("Start it first: dmq broker describe %d", id)}
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	addConfigs(req, kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(id)), map[string]*string{cordonKey: nil})
	if err := w.alterConfigs(ctx, req); err != nil {
		return err
	}
	if err := w.awaitCordoned(ctx, id, false); err != nil {
		return err
	}
	err = w.a.print(result{
		value: map[string]any{"id": id, "state": b.State, "cordoned": false}, names: []string{fmt.Sprint(id)},
		table: []grid{{header: []string{"BROKER", "STATE"}, rows: [][]any{{id, b.State}}, numeric: []int{0}}},
	})
	w.a.say("It gets replicas of new topics. Move others to it: dmq partition reassign plan --save plan.json\n")
	return err
}
