package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// applyOptions is how moves are made; reassign apply and broker drain have it.
type applyOptions struct {
	throttle string
	detach   bool
}

func (o *applyOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.throttle, "throttle", "", "copy at most this much a second to and from each broker: 50MiB")
	cmd.Flags().BoolVar(&o.detach, "detach", false, "do not wait until everything has moved")
}

// rate is the throttle in bytes a second; 0 is none.
func (o *applyOptions) rate() (int64, error) {
	if o.throttle == "" {
		return 0, nil
	}
	n, err := humanize.ParseBytes(strings.TrimSuffix(o.throttle, "/s"))
	if err != nil || n == 0 || n > 1<<62 {
		return 0, usage("for example --throttle 50MiB", "%q is no number of bytes a second", o.throttle)
	}
	return int64(n), nil
}

func newReassignApply(a *app) *cobra.Command {
	var o applyOptions
	cmd := &cobra.Command{
		Use: "apply FILE", Short: "Move replicas as a plan says, and show how far it is",
		Long: `Move replicas as a plan says and show how far it is. "-" reads the plan from standard input.

The cluster does the work: Ctrl-C only ends the watching. Applying the same plan again goes on where it is. --throttle sets
Kafka's replication throttles for what moves; they are taken away when everything has moved, so a throttled plan that was
detached from is to be applied again at the end, or they stay.`,
		Example: `  dmq partition reassign apply plan.json
  dmq partition reassign apply plan.json --throttle 50MiB
  dmq partition reassign plan --brokers 1,2,3 -o json | dmq partition reassign apply -`,
		Args: args(1, 1, "a plan"),
		RunE: func(cmd *cobra.Command, given []string) error {
			rate, err := o.rate()
			if err != nil {
				return err
			}
			plan, err := a.readAssignment(given[0])
			if err != nil {
				return err
			}
			return a.withMover(cmd.Context(), func(w *mover) error {
				w.again = "dmq partition reassign apply " + given[0]
				moves, err := w.compare(cmd.Context(), plan)
				if err != nil {
					return err
				}
				return w.run(cmd.Context(), moves, rate, o.detach)
			})
		},
	}
	o.addFlags(cmd)
	return cmd
}

// mover moves replicas. Its client outlives --timeout, which bounds each request instead.
type mover struct {
	a     *app
	cl    *kgo.Client
	adm   *kadm.Client
	again string // the command that goes on with it
}

// withMover runs do with a client that is not bound by --timeout as a whole.
func (a *app) withMover(ctx context.Context, do func(*mover) error) error {
	cl, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	adm.SetTimeoutMillis(int32(min(time.Duration(a.timeout), time.Hour) / time.Millisecond))
	return do(&mover{a: a, cl: cl, adm: adm})
}

// bounded is a context for one step.
func (w *mover) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Duration(w.a.timeout))
}

func (w *mover) state(ctx context.Context) (*clusterState, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	return w.a.clusterState(ctx, w.cl)
}

// move is a partition on its way.
type move struct {
	topicPartition
	leader int32
	from   []int32 // all that have a replica now, those that are being added left out
	target []int32
	begun  bool // the cluster is at it already
	done   bool // nothing of it is to be waited for

	refused bool // by the cluster

	total, copied int64 // bytes, of all replicas that are added
}

func (m *move) adding() []int32 {
	return slices.DeleteFunc(slices.Clone(m.target), func(id int32) bool { return slices.Contains(m.from, id) })
}

// compare finds out what of a plan is still to do.
func (w *mover) compare(ctx context.Context, plan *replicaPlan) ([]*move, error) {
	s, err := w.state(ctx)
	if err != nil {
		return nil, err
	}
	at := make(map[topicPartition]*partitionState, len(s.Partitions))
	for i := range s.Partitions {
		at[s.Partitions[i].tp()] = &s.Partitions[i]
	}
	var moves []*move
	for _, planned := range plan.Partitions {
		p := at[planned.tp()]
		if p == nil {
			return nil, &failure{code: codeNotFound, what: fmt.Sprintf("the plan names %s, which does not exist", planned.tp()), next: "Make a new plan: dmq partition reassign plan"}
		}
		for _, id := range planned.Replicas {
			if _, err := s.mustBroker(id); err != nil {
				return nil, err
			}
		}
		moves = append(moves, newMove(p, planned.Replicas))
	}
	return moves, nil
}

func newMove(p *partitionState, target []int32) *move {
	from := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(p.Adding, id) })
	m := &move{topicPartition: p.tp(), leader: p.Leader, from: from, target: target}
	m.begun = p.reassigning() && sameBrokers(p.target(), target)
	m.done = !p.reassigning() && slices.Equal(p.Replicas, target)
	return m
}

// sameBrokers ignores the order, which a reassignment does not tell before it is done.
func sameBrokers(x, y []int32) bool {
	return slices.Equal(slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y)))
}

// run makes the moves and waits for them.
func (w *mover) run(ctx context.Context, moves []*move, rate int64, detach bool) error {
	pending := slices.DeleteFunc(slices.Clone(moves), func(m *move) bool { return m.done })
	if len(pending) == 0 {
		w.a.say("Nothing to move: everything is where the plan wants it\n")
		return w.finish(ctx, moves, time.Now(), nil)
	}
	if rate > 0 {
		if err := w.throttle(ctx, pending, rate); err != nil {
			return err
		}
	}
	refused, err := w.submit(ctx, pending)
	if err != nil {
		return err
	}
	if len(refused) == len(pending) {
		return several(0, refused)
	}
	if detach {
		w.a.say("Moving %s. See how far it is: dmq partition reassign status\n", count(len(pending)-len(refused), "partition"))
		return several(len(pending)-len(refused), refused)
	}
	began := time.Now()
	if err := w.watch(ctx, pending, rate > 0); err != nil {
		return err
	}
	return w.finish(ctx, moves, began, refused)
}

// submit asks for what the cluster is not at yet. Moves that it refuses are marked done, so that nobody waits for them.
func (w *mover) submit(ctx context.Context, moves []*move) (refused []*failure, err error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	var req kadm.AlterPartitionAssignmentsReq
	for _, m := range moves {
		if !m.begun {
			req.Assign(m.topic, m.partition, m.target)
		}
	}
	answers, err := w.adm.AlterPartitionAssignments(ctx, req)
	if err != nil {
		return nil, reassignFailure(err)
	}
	for _, m := range moves {
		r, ok := answers[m.topic][m.partition]
		if !ok || r.Err == nil {
			continue
		}
		m.done, m.refused = true, true
		f := explain(r.Err)
		refused = append(refused, &failure{code: f.code, kafka: f.kafka, what: m.String() + ": " + f.what, why: r.ErrMessage, next: "Make a new plan: dmq partition reassign plan", cause: r.Err})
	}
	return refused, nil
}

func reassignFailure(err error) error {
	if unsupported(err) {
		return &failure{code: codeFailed, what: "this cluster cannot move replicas", why: "its brokers do not serve AlterPartitionReassignments", cause: err}
	}
	return err
}

// finish takes the throttles away, looks whether everything is where it should be, and reports it.
func (w *mover) finish(ctx context.Context, moves []*move, began time.Time, refused []*failure) error {
	if err := w.unthrottle(ctx, moves); err != nil {
		return err
	}
	if err := w.lead(ctx, moves); err != nil {
		return err
	}
	s, err := w.settled(ctx, moves)
	if err != nil {
		return err
	}
	r := result{}
	g := grid{header: []string{"TOPIC", "PARTITION", "REPLICAS", "STATE"}, numeric: []int{1}}
	out := []movedPartition{}
	failures := refused
	var bytes int64
	for _, m := range moves {
		p := s.partition(m.topicPartition)
		bytes += m.total
		switch {
		case m.refused:
			continue
		case p == nil:
			failures = append(failures, &failure{code: codeNotFound, what: m.String() + " was deleted meanwhile"})
			continue
		case !sameBrokers(p.Replicas, m.target):
			failures = append(failures, &failure{
				code: codeConflict, what: fmt.Sprintf("%s is on %s, not on %s", m, ids(p.Replicas), ids(m.target)), why: "its move was cancelled or replaced by another",
				next: "Make a new plan: dmq partition reassign plan",
			})
			continue
		}
		out = append(out, movedPartition{m.topic, m.partition, p.Replicas, "done"})
		r.names = append(r.names, fmt.Sprintf("%s:%d", m.topic, m.partition))
		g.rows = append(g.rows, []any{m.topic, m.partition, ids(p.Replicas), "done"})
	}
	r.value, r.table = out, []grid{g}
	if w.a.output == "json" {
		r.value = map[string]any{"event": "done", "partitions": out, "bytes": bytes, "seconds": time.Since(began).Round(time.Millisecond).Seconds()}
		err = writeLine(w.a.out, r.value) // the last of the lines of watch
	} else {
		err = w.a.print(r)
	}
	return errors.Join(err, several(len(out), failures))
}

const (
	settleWithin   = 2 * time.Second        // how long the brokers may take to learn how a move ended
	settleInterval = 100 * time.Millisecond // between two questions whether they have
)

// settled is the state once whoever is asked knows where the partitions went: the controller says first that nothing moves any
// more. What went elsewhere shows as it is after a while.
func (w *mover) settled(ctx context.Context, moves []*move) (*clusterState, error) {
	for deadline := time.Now().Add(settleWithin); ; {
		s, err := w.state(ctx)
		if err != nil {
			return nil, err
		}
		behind := slices.ContainsFunc(moves, func(m *move) bool {
			p := s.partition(m.topicPartition)
			return !m.refused && p != nil && !sameBrokers(p.Replicas, m.target)
		})
		if !behind || time.Now().After(deadline) {
			return s, nil
		}
		select {
		case <-time.After(settleInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// lead lets the first replicas lead, as the plan meant it. Those that cannot now will when the cluster sees to it itself.
func (w *mover) lead(ctx context.Context, moves []*move) error {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	set := make(kadm.TopicsSet)
	for _, m := range moves {
		set.Add(m.topic, m.partition)
	}
	if len(set) == 0 {
		return nil
	}
	_, err := w.adm.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	return err
}

type movedPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
	State     string  `json:"state"`
}

// partition returns a partition, of which there may be very many: they are in the order of their topics and numbers.
func (s *clusterState) partition(tp topicPartition) *partitionState {
	i, ok := slices.BinarySearchFunc(s.Partitions, tp, func(p partitionState, tp topicPartition) int {
		return cmp.Or(strings.Compare(p.Topic, tp.topic), cmp.Compare(p.Partition, tp.partition))
	})
	if !ok {
		return nil
	}
	return &s.Partitions[i]
}

// Kafka's replication throttles: rates of brokers, and the replicas of topics that they hold for.
const (
	leaderRate       = "leader.replication.throttled.rate"
	followerRate     = "follower.replication.throttled.rate"
	leaderReplicas   = "leader.replication.throttled.replicas"
	followerReplicas = "follower.replication.throttled.replicas"
)

// throttle limits the moves: whoever has a replica now sends at the rate, and whoever gets one receives at it. What moves already
// of the same topics stays as limited as it is.
func (w *mover) throttle(ctx context.Context, moves []*move, rate int64) error {
	s, err := w.state(ctx)
	if err != nil {
		return err
	}
	return w.alterConfigs(ctx, throttling(moves, s.alongside(moves), rate))
}

// alongside are the moves under way of the same topics that are not among moves.
func (s *clusterState) alongside(moves []*move) []*move {
	topics, among := make(map[string]bool), make(map[topicPartition]bool)
	for _, m := range moves {
		topics[m.topic], among[m.topicPartition] = true, true
	}
	var out []*move
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if p.reassigning() && topics[p.Topic] && !among[p.tp()] {
			out = append(out, newMove(p, p.target()))
		}
	}
	return out
}

// throttling is the request that sets the throttles of moves. A topic has one list of replicas, so those of its other moves are in it.
func throttling(moves, alongside []*move, rate int64) *kmsg.IncrementalAlterConfigsRequest {
	leaders, followers := make(map[string][]string), make(map[string][]string)
	for _, m := range slices.Concat(moves, alongside) {
		for _, id := range m.from {
			leaders[m.topic] = append(leaders[m.topic], fmt.Sprintf("%d:%d", m.partition, id))
		}
		for _, id := range m.adding() {
			followers[m.topic] = append(followers[m.topic], fmt.Sprintf("%d:%d", m.partition, id))
		}
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for _, topic := range slices.Sorted(maps.Keys(leaders)) {
		lead, follow := strings.Join(leaders[topic], ","), strings.Join(followers[topic], ",")
		addConfigs(req, kmsg.ConfigResourceTypeTopic, topic, map[string]*string{leaderReplicas: &lead, followerReplicas: &follow})
	}
	text := fmt.Sprint(rate)
	for _, id := range involved(moves) {
		addConfigs(req, kmsg.ConfigResourceTypeBroker, fmt.Sprint(id), map[string]*string{leaderRate: &text, followerRate: &text})
	}
	return req
}

// unthrottle takes throttles away from what has moved, whoever set them, where there are any. While other partitions still move
// the rates stay, and so do the lists of their topics: they may be throttled.
func (w *mover) unthrottle(ctx context.Context, moves []*move) error {
	set, err := w.throttled(ctx, moves)
	if err != nil || len(set.Resources) == 0 {
		return err
	}
	return w.alterConfigs(ctx, set)
}

// throttled is the request that deletes the throttles that moves do not need any more.
func (w *mover) throttled(ctx context.Context, moves []*move) (*kmsg.IncrementalAlterConfigsRequest, error) {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	moving, err := listReassignments(ctx, w.cl)
	if err != nil {
		return nil, reassignFailure(err)
	}
	done := make(map[string]bool)
	for _, m := range moves {
		done[m.topic] = true
	}
	for tp := range moving {
		delete(done, tp.topic)
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	if len(done) > 0 { // no names would be all topics
		configs, err := w.adm.DescribeTopicConfigs(ctx, slices.Sorted(maps.Keys(done))...)
		if err != nil {
			return nil, err
		}
		for _, rc := range configs {
			addConfigs(req, kmsg.ConfigResourceTypeTopic, rc.Name, setKeys(rc, leaderReplicas, followerReplicas))
		}
	}
	if len(moving) > 0 {
		return req, nil
	}
	configs, err := w.brokerConfigs(ctx)
	if err != nil {
		return nil, err
	}
	for _, rc := range configs {
		addConfigs(req, kmsg.ConfigResourceTypeBroker, rc.Name, setKeys(rc, leaderRate, followerRate))
	}
	return req, nil
}

// brokerConfigs are the settings of all brokers that answer.
func (w *mover) brokerConfigs(ctx context.Context) (kadm.ResourceConfigs, error) {
	brokers, err := w.adm.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	configs, err := w.adm.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...)
	if err != nil && len(configs) == 0 {
		return nil, shardCause(err)
	}
	return configs, nil
}

// setKeys are those of the keys that were set for the resource itself, to be deleted.
func setKeys(rc kadm.ResourceConfig, keys ...string) map[string]*string {
	out := make(map[string]*string)
	for _, c := range rc.Configs {
		if slices.Contains(keys, c.Key) && (c.Source == kmsg.ConfigSourceDynamicTopicConfig || c.Source == kmsg.ConfigSourceDynamicBrokerConfig) {
			out[c.Key] = nil
		}
	}
	return out
}

// addConfigs adds keys to set, or to delete where the value is nil.
func addConfigs(req *kmsg.IncrementalAlterConfigsRequest, kind kmsg.ConfigResourceType, name string, values map[string]*string) {
	if len(values) == 0 {
		return
	}
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kind, name
	for _, key := range slices.Sorted(maps.Keys(values)) {
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value, c.Op = key, values[key], kmsg.IncrementalAlterConfigOpSet
		if c.Value == nil {
			c.Op = kmsg.IncrementalAlterConfigOpDelete
		}
		r.Configs = append(r.Configs, c)
	}
	req.Resources = append(req.Resources, r)
}

// alterConfigs changes configs.
func (w *mover) alterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) error {
	ctx, cancel := w.bounded(ctx)
	defer cancel()
	return untilDecided(ctx, settleInterval, func() error { return w.tryAlterConfigs(ctx, req) })
}

// untilDecided makes a change, and once more each pause while nobody can tell whether it was made, since the controller changes. It is
// for changes that are harmless to make twice.
func untilDecided(ctx context.Context, pause time.Duration, change func() error) error {
	for {
		err := change()
		if !errors.Is(err, kerr.RequestTimedOut) && !errors.Is(err, kerr.NotController) {
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

func (w *mover) tryAlterConfigs(ctx context.Context, req *kmsg.IncrementalAlterConfigsRequest) error {
	for _, shard := range w.cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			return shard.Err
		}
		for _, r := range shard.Resp.(*kmsg.IncrementalAlterConfigsResponse).Resources {
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				f := explain(err)
				out := &failure{code: f.code, kafka: f.kafka, what: fmt.Sprintf("%s %s: %s", strings.ToLower(r.ResourceType.String()), r.ResourceName, f.what), cause: err}
				if r.ErrorMessage != nil {
					out.why = *r.ErrorMessage
				}
				return out
			}
		}
	}
	return nil
}

// involved are all brokers that send or receive.
func involved(moves []*move) []int32 {
	var out []int32
	for _, m := range moves {
		out = append(out, slices.Concat(m.from, m.target)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
