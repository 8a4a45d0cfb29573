package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/distributedmq/dmq/admin/client"
)

// newAliases are the commands of the original command line, hidden but kept. produce and consume have its names already.
func newAliases(a *app) []*cobra.Command {
	create := newTopicCreate(a)
	create.Use, create.Hidden = "create-topic TOPIC", true
	create.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name {
		case "replication-factor":
			name = "replicas"
		case "num-partitions":
			name = "partitions"
		}
		return pflag.NormalizedName(name)
	})
	list := newTopicList(a)
	list.Use, list.Hidden, list.Aliases = "list-topics", true, nil
	describe := newTopicDescribe(a)
	describe.Use, describe.Hidden = "describe-topic TOPIC", true
	remove := newTopicDelete(a)
	remove.Use, remove.Hidden, remove.Aliases = "delete-topic TOPIC", true, nil
	groups := newGroupList(a)
	groups.Use, groups.Hidden, groups.Aliases = "list-groups", true, nil
	group := newGroupDescribe(a)
	group.Use, group.Hidden = "describe-group GROUP", true
	return []*cobra.Command{create, list, describe, remove, groups, group, newListBrokers(a), newGetLeader(a)}
}

type listedBroker struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack"`
	Controller bool   `json:"controller"`
	Status     string `json:"status,omitempty"`    // by the admin port only
	AdminURL   string `json:"admin_url,omitempty"` // by the admin port only
}

func newListBrokers(a *app) *cobra.Command {
	var urls *string
	cmd := &cobra.Command{
		Use: "list-brokers", Short: "List the brokers of the cluster", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if *urls != "" {
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error { return listBrokersREST(ctx, a, cl) })
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				m, err := adm.BrokerMetadata(ctx)
				if err != nil {
					return err
				}
				out := []listedBroker{}
				for _, b := range m.Brokers {
					rack := ""
					if b.Rack != nil {
						rack = *b.Rack
					}
					out = append(out, listedBroker{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: rack, Controller: b.NodeID == m.Controller})
				}
				return a.print(brokersResult(out))
			})
		},
	}
	urls = adminFlag(cmd)
	return cmd
}

func brokersResult(list []listedBroker) result {
	g := grid{header: []string{"BROKER", "ADDRESS", "RACK", "CONTROLLER", "STATUS", "ADMIN"}, wide: 4, numeric: []int{0}}
	r := result{value: list}
	for _, b := range list {
		mark := ""
		if b.Controller {
			mark = "yes"
		}
		if b.Status != "" {
			g.wide = 0
		}
		g.rows = append(g.rows, []any{b.ID, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), b.Rack, mark, b.Status, b.AdminURL})
		r.names = append(r.names, fmt.Sprint(b.ID))
	}
	r.table = []grid{g}
	return r
}
