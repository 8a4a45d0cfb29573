package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/kraft/reassign"
	"github.com/distributedmq/dmq/protocol"
)

func newReassign(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "reassign", Short: "Move replicas between brokers: plan, apply, status, cancel",
		Long: `Move replicas between brokers, for example onto a new broker. Make a plan, look at it, apply it:

  dmq partition reassign plan --brokers 1,2,3,4 --save plan.json
  dmq partition reassign apply plan.json --throttle 50MiB

A partition stays readable and writable while it moves. To empty a broker there is dmq broker drain.`,
		Example: "  dmq partition reassign plan --brokers 1,2,3,4 --save plan.json\n  dmq partition reassign apply plan.json\n  dmq partition reassign status",
	}, newReassignPlan(a), newReassignApply(a), newReassignStatus(a), newReassignCancel(a))
}

// replicaPlan is a set of partitions and their replicas in the form that Kafka's own tool reads and writes.
type replicaPlan struct {
	Version    int                 `json:"version"`
	Partitions []assignedPartition `json:"partitions"`
}

type assignedPartition struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Replicas  []int32 `json:"replicas"`
}

func (p *assignedPartition) tp() topicPartition { return topicPartition{p.Topic, p.Partition} }

// readAssignment reads a plan from a file, or from standard input when its name is "-".
func (a *app) readAssignment(name string) (*replicaPlan, error) {
	read := func() ([]byte, error) { return a.files(name) }
	if name == "-" {
		read = func() ([]byte, error) { return io.ReadAll(a.in) }
	}
	const next = "Make one: dmq partition reassign plan --save plan.json"
	data, err := read()
	if err != nil {
		return nil, usage(next, "%s", err)
	}
	var plan replicaPlan
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(&plan); err != nil {
		return nil, usage(next, "%s is not a plan: %s", name, err)
	}
	if plan.Version != 1 {
		return nil, usage(next, "%s has version %d, want 1", name, plan.Version)
	}
	seen := make(map[topicPartition]bool)
	for i := range plan.Partitions {
		p := &plan.Partitions[i]
		sorted := slices.Sorted(slices.Values(p.Replicas))
		switch {
		case seen[p.tp()]:
			return nil, usage(next, "%s names %s twice", name, p.tp())
		case len(p.Replicas) == 0, len(slices.Compact(sorted)) < len(p.Replicas), sorted[0] < 0:
			return nil, usage(next, "%s gives %s the replicas [%s]", name, p.tp(), ids(p.Replicas))
		}
		seen[p.tp()] = true
	}
	return &plan, nil
}

type planOptions struct {
	brokers  []int32
	topics   []string
	replicas int
	settle   bool
	current  bool
	save     string
}

func newReassignPlan(a *app) *cobra.Command {
	var o planOptions
	cmd := &cobra.Command{
		Use: "plan", Short: "Say which replicas to move so that all brokers have their share",
		Long: `Plan how to spread partitions over brokers, moving as few replicas as that takes. Nothing changes until the plan is applied.

Replicas are spread over racks first; then each broker gets its share of replicas, and of leaders. Without --brokers the plan
is for all that are up and not cordoned. A broker that is left out loses its replicas.

-o json and --save write the plan in the form of Kafka's kafka-reassign-partitions, which may also have written one that is
applied here. --current prints where the partitions of the plan are now, which is the way back.`,
		Example: `  dmq partition reassign plan
  dmq partition reassign plan --brokers 1,2,3,4 --save plan.json
  dmq partition reassign plan --topic orders --replicas 3 -o json
  dmq partition reassign plan --brokers 1,2,3,4 --current -o json > back.json`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.replicas < 0 {
				return usage("for example --replicas 3", "%d is no number of replicas", o.replicas)
			}
			selected, err := parseSelections(o.topics)
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error { return a.planReassignment(ctx, cl, o, selected) })
		},
	}
	f := cmd.Flags()
	f.VarP(brokersFlag{&a.brokers, &o.brokers}, "brokers", "b", "ids: the brokers to spread over, also new ones; host:port: addresses to connect to (environment: DMQ_BROKERS)")
	f.IntVar(&o.replicas, "replicas", 0, "give each partition this many replicas; 0 leaves them as many as they are")
	f.BoolVar(&o.settle, "settle", false, "only move what has to: replicas on brokers that are left out")
	f.BoolVar(&o.current, "current", false, "print where the partitions of the plan are now")
	f.StringVar(&o.save, "save", "", "write the plan to this file")
	a.addTopicFlag(cmd, &o.topics)
	return cmd
}

func (a *app) planReassignment(ctx context.Context, cl *kgo.Client, o planOptions, selected []selection) error {
	adm := kadm.NewClient(cl)
	s, err := a.clusterState(ctx, cl)
	if err != nil {
		return err
	}
	chosen, err := s.chosen(ctx, adm, selected)
	if err != nil {
		return err
	}
	all, err := adm.DescribeAllLogDirs(ctx, nil)
	if err != nil && len(all) == 0 {
		return shardCause(err)
	}
	targets, err := s.targets(o.brokers, all)
	if err != nil {
		return err
	}
	moves, err := reassign.Plan(s.plannable(chosen, sizes(all)), targets, reassign.Options{Replicas: o.replicas, Settle: o.settle})
	if err != nil {
		return tooFewBrokers(err)
	}
	plan := newAssignment(moves, o.current)
	if o.save != "" {
		if err := savePlan(o.save, plan); err != nil {
			return err
		}
	}
	if err := a.print(result{value: plan, names: plan.names(), table: planGrids(s, moves, targets)}); err != nil {
		return err
	}
	if a.output == "table" || a.output == "wide" {
		a.sayPlan(moves, o.save)
	}
	return nil
}

// targets are the brokers to spread over: those that were named, or all that are up and take replicas.
func (s *clusterState) targets(named []int32, disks kadm.DescribedAllLogDirs) ([]reassign.Broker, error) {
	if len(named) == 0 {
		for _, b := range s.Brokers {
			if b.State == brokerUp && !newBrokerDisks(disks[b.ID]).Cordoned {
				named = append(named, b.ID)
			}
		}
	}
	slices.Sort(named)
	var out []reassign.Broker
	for _, id := range slices.Compact(named) {
		b, err := s.mustBroker(id)
		switch {
		case err != nil:
			return nil, err
		case b.State != brokerUp:
			return nil, &failure{code: codeConflict, what: fmt.Sprintf("broker %d cannot take replicas: it is %s", id, b.State), next: fmt.Sprintf("Start it, or leave it out   See: dmq broker describe %d", id)}
		case newBrokerDisks(disks[id]).Cordoned:
			return nil, &failure{code: codeConflict, what: fmt.Sprintf("broker %d cannot take replicas: it is cordoned", id), next: fmt.Sprintf("Leave it out, or: dmq broker resume %d", id)}
		}
		out = append(out, reassign.Broker{ID: protocol.NodeID(id), Rack: b.Rack})
	}
	return out, nil
}

// plannable are the chosen partitions as the planner wants them. One that moves already is planned from where it will be.
func (s *clusterState) plannable(chosen func(*partitionState) bool, bytes map[topicPartition]int64) []reassign.Partition {
	var out []reassign.Partition
	for i := range s.Partitions {
		p := &s.Partitions[i]
		if !chosen(p) {
			continue
		}
		one := reassign.Partition{Topic: p.Topic, Partition: p.Partition, Bytes: bytes[p.tp()]}
		for _, id := range p.target() {
			one.Replicas = append(one.Replicas, protocol.NodeID(id))
		}
		out = append(out, one)
	}
	return out
}

// target is where a partition's replicas are once it does not move any more.
func (p *partitionState) target() []int32 {
	return slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return slices.Contains(p.Removing, id) })
}

// sizes is how large a replica of each partition is: the largest that is there.
func sizes(all kadm.DescribedAllLogDirs) map[topicPartition]int64 {
	out := make(map[topicPartition]int64)
	all.Each(func(d kadm.DescribedLogDir) {
		d.Topics.Each(func(p kadm.DescribedLogDirPartition) {
			tp := topicPartition{p.Topic, p.Partition}
			out[tp] = max(out[tp], p.Size)
		})
	})
	return out
}

func tooFewBrokers(err error) error {
	return &failure{
		code: codeConflict, what: "there are too few brokers", why: err.Error(),
		next: "Add a broker, or give the topics fewer replicas: dmq partition reassign plan --replicas N", cause: err,
	}
}

func newAssignment(moves []reassign.Move, current bool) *replicaPlan {
	out := &replicaPlan{Version: 1, Partitions: []assignedPartition{}}
	for i := range moves {
		m := &moves[i]
		replicas := m.Target
		if current {
			replicas = m.Replicas
		}
		out.Partitions = append(out.Partitions, assignedPartition{m.Topic, m.Partition.Partition, int32s(replicas)})
	}
	return out
}

func int32s(list []protocol.NodeID) []int32 {
	out := make([]int32, len(list))
	for i, id := range list {
		out[i] = int32(id)
	}
	return out
}

func (p *replicaPlan) names() []string {
	var out []string
	for _, one := range p.Partitions {
		out = append(out, fmt.Sprintf("%s:%d", one.Topic, one.Partition))
	}
	return out
}

func savePlan(name string, plan *replicaPlan) error {
	var b bytes.Buffer
	if err := writeJSON(&b, plan); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// planGrids shows the moves, and what each broker has before and after them.
func planGrids(s *clusterState, moves []reassign.Move, targets []reassign.Broker) []grid {
	if len(moves) == 0 {
		return nil
	}
	g := grid{header: []string{"TOPIC", "PARTITION", "REPLICAS", "NEW-REPLICAS", "COPIED-TO", "SIZE"}, numeric: []int{1, 5}}
	type load struct{ replicas, leaders int }
	change := make(map[int32]load)
	for i := range moves {
		m := &moves[i]
		adding := m.Adding()
		g.rows = append(g.rows, []any{
			m.Topic, m.Partition.Partition, ids(int32s(m.Replicas)), ids(int32s(m.Target)), orDash(ids(int32s(adding))), size(m.Bytes * int64(len(adding))),
		})
		for sign, list := range map[int][]protocol.NodeID{-1: m.Replicas, 1: m.Target} {
			for n, id := range list {
				l := change[int32(id)]
				l.replicas += sign
				if n == 0 {
					l.leaders += sign
				}
				change[int32(id)] = l
			}
		}
	}
	brokers := grid{header: []string{"BROKER", "RACK", "REPLICAS", "NEW-REPLICAS", "PREFERRED-LEADER", "NEW-PREFERRED-LEADER"}, numeric: []int{0, 2, 3, 4, 5}}
	for _, b := range s.Brokers {
		_, changes := change[b.ID]
		if changes || slices.ContainsFunc(targets, func(t reassign.Broker) bool { return int32(t.ID) == b.ID }) {
			c := change[b.ID]
			brokers.rows = append(brokers.rows, []any{b.ID, orDash(b.Rack), b.Replicas, b.Replicas + c.replicas, b.PreferredLeader, b.PreferredLeader + c.leaders})
		}
	}
	return []grid{g, brokers}
}

func (a *app) sayPlan(moves []reassign.Move, saved string) {
	if len(moves) == 0 {
		a.say("Nothing to move: every broker has its share\n")
		return
	}
	copies, bytes := 0, int64(0)
	for i := range moves {
		n := len(moves[i].Adding())
		copies += n
		bytes += moves[i].Bytes * int64(n)
	}
	how := "dmq partition reassign apply " + saved
	if saved == "" {
		how = "add --save plan.json, then dmq partition reassign apply plan.json"
	}
	a.say("%s, %s to copy. Nothing was changed. Do it: %s\n", count(copies, "replica"), humanize.IBytes(uint64(bytes)), how)
}

// brokersFlag is --brokers where it can also name brokers of the cluster: numbers are their ids, anything else addresses to
// connect to, as everywhere.
type brokersFlag struct {
	addresses *string
	ids       *[]int32
}

func (f brokersFlag) String() string {
	if f.ids == nil {
		return ""
	}
	return ids(*f.ids)
}

func (f brokersFlag) Type() string { return "ids" }

// Set takes 1,2,3 or host:port,host:port.
func (f brokersFlag) Set(text string) error {
	var list []int32
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 32)
		if err != nil || n < 0 {
			*f.addresses = text
			return nil // it is an address
		}
		list = append(list, int32(n))
	}
	*f.ids = append(*f.ids, list...)
	return nil
}
