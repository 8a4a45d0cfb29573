package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/admin/api"
	"github.com/distributedmq/dmq/admin/client"
)

// foundController is the active controller.
type foundController struct {
	ID       int32  `json:"id"`
	Term     int64  `json:"term"`
	AdminURL string `json:"admin_url,omitempty"` // by the admin port only
}

// foundLeader is who leads a partition.
type foundLeader struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Leader      int32  `json:"leader"` // -1: none
	LeaderEpoch int32  `json:"leader_epoch"`
}

// newGetLeader is get-leader of the original command line: of the cluster, or of partitions.
func newGetLeader(a *app) *cobra.Command {
	var urls *string
	cmd := &cobra.Command{
		Use: "get-leader [TOPIC [PARTITION]]", Short: "Show the active controller, or who leads the partitions of a topic", Hidden: true,
		Args: args(0, 2, "at most a topic and a partition"), ValidArgsFunction: a.topicCompletion(1),
		RunE: func(cmd *cobra.Command, given []string) error {
			partition := int32(-1)
			if len(given) == 2 {
				n, err := strconv.ParseInt(given[1], 10, 32)
				if err != nil || n < 0 {
					return usage("write for example: dmq get-leader orders 0", "%q is not a partition", given[1])
				}
				partition = int32(n)
			}
			switch {
			case *urls != "":
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error { return getLeaderREST(ctx, a, cl, given, partition) })
			case len(given) == 0:
				return a.withClient(cmd.Context(), a.getController)
			default:
				return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.getLeaders(ctx, adm, given[0], partition) })
			}
		},
	}
	urls = adminFlag(cmd)
	return cmd
}

func getLeaderREST(ctx context.Context, a *app, cl *client.Client, given []string, partition int32) error {
	if len(given) == 0 {
		c, err := cl.Discover(ctx)
		if err != nil {
			return err
		}
		return a.print(controllerResult(foundController{c.ControllerID, c.ControllerTerm, c.ControllerURL}))
	}
	var t api.Topic
	if err := cl.Any(ctx, http.MethodGet, topicPath(given[0]), nil, &t); err != nil {
		return restTopicFailure(ctx, cl, given[0], err)
	}
	var found []foundLeader
	for _, p := range t.Partitions {
		found = append(found, foundLeader{t.TopicName, p.ID, p.Leader, p.LeaderEpoch})
	}
	return a.printLeaders(given[0], found, partition)
}

// getController asks the quorum.
func (a *app) getController(ctx context.Context, cl *kgo.Client) error {
	q, err := askQuorum(ctx, cl)
	if err != nil {
		return err
	}
	return a.print(controllerResult(foundController{ID: q.Leader, Term: int64(q.LeaderEpoch)}))
}

func controllerResult(c foundController) result {
	g := grid{header: []string{"CONTROLLER", "TERM", "ADMIN"}, wide: 2, numeric: []int{0, 1}, rows: [][]any{{c.ID, c.Term, c.AdminURL}}}
	if c.AdminURL != "" {
		g.wide = 0
	}
	return result{value: c, names: []string{fmt.Sprint(c.ID)}, table: []grid{g}}
}

func (a *app) getLeaders(ctx context.Context, adm *kadm.Client, topic string, partition int32) error {
	topics, err := adm.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return err
	}
	t, ok := topics[topic]
	switch {
	case !ok:
		return topicFailure(ctx, adm, topic, kerr.UnknownTopicOrPartition, "")
	case t.Err != nil:
		return topicFailure(ctx, adm, topic, t.Err, "")
	}
	var found []foundLeader
	for _, p := range t.Partitions.Sorted() {
		found = append(found, foundLeader{topic, p.Partition, p.Leader, p.LeaderEpoch})
	}
	return a.printLeaders(topic, found, partition)
}

// printLeaders shows the leaders of all partitions, or of one.
func (a *app) printLeaders(topic string, found []foundLeader, partition int32) error {
	out := []foundLeader{}
	g := grid{header: []string{"TOPIC", "PARTITION", "LEADER", "LEADER-EPOCH"}, numeric: []int{1, 2, 3}}
	r := result{}
	for _, l := range found {
		if partition >= 0 && l.Partition != partition {
			continue
		}
		leader := any(l.Leader)
		if l.Leader < 0 {
			leader = "none"
		}
		out = append(out, l)
		g.rows = append(g.rows, []any{l.Topic, l.Partition, leader, l.LeaderEpoch})
		r.names = append(r.names, fmt.Sprint(l.Leader))
	}
	if len(out) == 0 {
		return noPartition(topicPartition{topic, partition})
	}
	r.value, r.table = out, []grid{g}
	return a.print(r)
}
