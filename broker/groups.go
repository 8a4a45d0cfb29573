package broker

import (
	"context"
	"time"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/broker/group/lag"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Groups shows the groups that a broker coordinates. It may be asked at any time; errors carry an errcode.Kind.
type Groups struct{ b *Broker }

// Groups returns the view of this broker's groups.
func (b *Broker) Groups() Groups { return Groups{b} }

func (g Groups) node() (*node, error) {
	n := g.b.running.Load()
	if n == nil || n.groups == nil {
		return nil, errcode.New(errcode.KindCoordinatorNotAvailable, "the broker is not running")
	}
	return n, nil
}

// List returns the groups without their offsets, sorted by id within each partition of __consumer_offsets. While some of those
// load it says so: a list that lacks groups would look like one of all there are.
func (g Groups) List(ctx context.Context) ([]group.Snapshot, error) {
	n, err := g.node()
	if err != nil {
		return nil, err
	}
	shards, err := group.Ask(ctx, n.groups, (*group.State).Summaries)
	if err != nil {
		return nil, err
	}
	if s := n.groups.Stats(); s.Loading+s.Failed > 0 {
		return nil, errcode.New(errcode.KindCoordinatorLoadInProgress, "%d partitions of %s are loading", s.Loading+s.Failed, group.Topic)
	}
	var out []group.Snapshot
	for _, groups := range shards {
		out = append(out, groups...)
	}
	return out, nil
}

// Describe returns one group, and how far behind it is.
func (g Groups) Describe(ctx context.Context, groupID string) (*group.Snapshot, []lag.Partition, error) {
	n, err := g.node()
	if err != nil {
		return nil, nil, err
	}
	found, err := ask(ctx, n, groupID, func(s *group.State) *group.Snapshot { return s.Snapshot(groupID) })
	if err != nil {
		return nil, nil, err
	}
	if found == nil {
		return nil, nil, noGroup(groupID)
	}
	n.ends.learn(ctx, found)
	return found, n.lag.Begin(time.Now()).Measure(ctx, found), nil
}

// Timeline returns what is remembered of a group, the oldest event first. A group that was deleted lately is remembered too.
func (g Groups) Timeline(ctx context.Context, groupID string) ([]group.Event, error) {
	n, err := g.node()
	if err != nil {
		return nil, err
	}
	type answer struct {
		events []group.Event
		exists bool
	}
	a, err := ask(ctx, n, groupID, func(s *group.State) answer { return answer{s.Timeline(groupID), s.Exists(groupID)} })
	if err == nil && !a.exists && len(a.events) == 0 {
		err = noGroup(groupID)
	}
	return a.events, err
}

// Coordinator is the broker that coordinates a group; ok is false while none does.
func (g Groups) Coordinator(groupID string) (id protocol.NodeID, ok bool) {
	n, err := g.node()
	if err != nil {
		return 0, false
	}
	topic := n.quorum.Image().Topic(group.Topic)
	if topic == nil {
		return 0, false
	}
	id = topic.Partitions[n.groups.Partition(groupID)].Leader
	return id, id >= 0
}

// ask asks the coordinator of a group. Before anybody has used a group, none exists.
func ask[R any](ctx context.Context, n *node, groupID string, question func(s *group.State) R) (R, error) {
	if n.quorum.Image().Topic(group.Topic) == nil {
		var none R
		return none, noGroup(groupID)
	}
	return group.AskGroup(ctx, n.groups, groupID, question)
}

func noGroup(groupID string) error {
	return errcode.New(errcode.KindGroupIDNotFound, "group %q does not exist", groupID)
}

// groupsTimeout bounds how long a scrape waits for the group coordinator, and then how long it measures.
const groupsTimeout = 2 * time.Second

// groupStats describes the groups for metrics. What does not answer in time is left out of this scrape.
func (n *node) groupStats(each func(metrics.GroupStats)) {
	ctx, cancel := context.WithTimeout(context.Background(), groupsTimeout)
	defer cancel()
	shards, err := group.Ask(ctx, n.groups, (*group.State).Snapshots)
	if err != nil {
		return
	}
	measuring, stop := context.WithTimeout(context.Background(), groupsTimeout)
	defer stop()
	var all []*group.Snapshot
	for _, groups := range shards {
		for i := range groups {
			all = append(all, &groups[i])
		}
	}
	n.ends.learn(measuring, all...)
	round := n.lag.Begin(time.Now())
	defer round.End()
	for _, g := range all {
		each(metrics.GroupStats{Snapshot: g, Lag: round.Measure(measuring, g)})
	}
}

func (n *node) coordinatorStats() metrics.CoordinatorStats {
	s := n.groups.Stats()
	out := metrics.CoordinatorStats{Loading: s.Loading, Active: s.Active, Failed: s.Failed, LoadTimeMax: s.MaxLoadTime}
	if s.Loads > 0 {
		out.LoadTimeAvg = s.LoadTime / time.Duration(s.Loads)
	}
	return out
}
