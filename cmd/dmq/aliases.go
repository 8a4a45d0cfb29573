package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

// newAliases are the commands of the original command line, hidden but kept.
func newAliases(a *app) []*cobra.Command {
	create := newTopicCreate(a)
	create.Use, create.Hidden = "create-topic TOPIC", true
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
	return []*cobra.Command{create, list, describe, remove, groups, group, newListBrokers(a)}
}

type listedBroker struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack"`
	Controller bool   `json:"controller"`
}

func newListBrokers(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list-brokers", Short: "List the brokers of the cluster", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				m, err := adm.BrokerMetadata(ctx)
				if err != nil {
					return err
				}
				out := []listedBroker{}
				g := grid{header: []string{"BROKER", "ADDRESS", "RACK", "CONTROLLER"}, numeric: []int{0}}
				r := result{}
				for _, b := range m.Brokers {
					rack := ""
					if b.Rack != nil {
						rack = *b.Rack
					}
					out = append(out, listedBroker{b.NodeID, b.Host, b.Port, rack, b.NodeID == m.Controller})
					mark := ""
					if b.NodeID == m.Controller {
						mark = "yes"
					}
					g.rows = append(g.rows, []any{b.NodeID, net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), rack, mark})
					r.names = append(r.names, fmt.Sprint(b.NodeID))
				}
				r.value, r.table = out, []grid{g}
				return a.print(r)
			})
		},
	}
}
