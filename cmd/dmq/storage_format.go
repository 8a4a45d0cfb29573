package main

import (
	"crypto/rand"
	"errors"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/protocol"
)

type formatOptions struct {
	serve      serveOptions
	clusterID  string
	standalone bool
	initial    string
	noInitial  bool
	ignore     bool
}

func newStorageFormat(a *app) *cobra.Command {
	var o formatOptions
	cmd := &cobra.Command{
		Use: "format", Short: "Prepare the directories of a node that has never run, as kafka-storage format does",
		Long: `Prepare the directories of a node that has never run: which cluster and node they belong to and, for a controller, who votes first.

A node that runs alone, and one that controller.quorum.voters lists, need not be formatted. Where controllers are found by
controller.quorum.bootstrap.servers, exactly one way must be chosen to begin the quorum, so that there are never two:
format one controller with --standalone and the others with --no-initial-controllers, and make those voters later
(dmq cluster quorum add-voter); or format all of them with the same --initial-controllers.`,
		Example: "  dmq storage format -c server.properties --cluster-id kxu-4CYxQGOWmtBTJqDTMg --standalone\n" +
			"  dmq storage format -c server.properties --cluster-id kxu-4CYxQGOWmtBTJqDTMg --no-initial-controllers",
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error { return a.format(&o) },
	}
	f := cmd.Flags()
	o.serve.addFlags(cmd)
	o.serve.addTopologyFlags(cmd)
	f.StringVarP(&o.clusterID, "cluster-id", "t", "", "the id of the cluster, the same for all its nodes; left out, a new one is drawn")
	f.BoolVarP(&o.standalone, "standalone", "s", false, "this controller is the first and only voter of a new quorum")
	f.StringVarP(&o.initial, "initial-controllers", "I", "", "the first voters of a new quorum: id@host:port:directory-id, separated by commas, the same on each of them")
	f.BoolVarP(&o.noInitial, "no-initial-controllers", "N", false, "this controller joins a quorum that another one begins")
	f.BoolVarP(&o.ignore, "ignore-formatted", "g", false, "leave directories alone that are formatted already")
	cmd.MarkFlagsMutuallyExclusive("standalone", "initial-controllers", "no-initial-controllers")
	return cmd
}

// format prepares a node's directories and prints which.
func (a *app) format(o *formatOptions) error {
	c, _, err := a.load(o.serve)
	if err != nil {
		return err
	}
	f := broker.Format{Properties: c, ClusterID: o.clusterID, Standalone: o.standalone, Existing: o.ignore}
	if err := o.check(c); err != nil {
		return err
	}
	if f.Voters, err = initialControllers(o.initial); err != nil {
		return err
	}
	if f.ClusterID == "" {
		id, err := protocol.NewTopicID(rand.Reader)
		if err != nil {
			return err
		}
		f.ClusterID = id.String()
	} else if _, err := protocol.ParseTopicID(f.ClusterID); err != nil {
		return usage("It has 22 characters of URL-safe base64, such as those that dmq storage format draws without --cluster-id", "%q is not a cluster id", f.ClusterID)
	}
	formatted, err := f.Run()
	if errors.Is(err, broker.ErrFormatted) {
		return &failure{code: codeConflict, what: err.Error(), next: "Leave it as it is with --ignore-formatted, or point log.dirs elsewhere", cause: err}
	}
	if err != nil {
		return startFailure(c, err)
	}
	return a.printFormatted(c, f.ClusterID, formatted)
}

// check holds the options against the configuration, as kafka-storage does.
func (o *formatOptions) check(c *config.Config) error {
	begins := o.standalone || o.initial != ""
	switch {
	case begins && len(c.QuorumVoters) > 0:
		return usage("Remove controller.quorum.voters and set controller.quorum.bootstrap.servers, or leave the option out: voters that are listed begin by themselves",
			"controller.quorum.voters cannot be combined with --standalone or --initial-controllers")
	case begins && !c.IsController:
		return usage("Leave the option out, or add controller to process.roles", "this node is no controller")
	case begins && c.LocalQuorum:
		return usage("Add a listener that is in controller.listener.names to listeners, e.g. CONTROLLER://:9093", "no other node could reach this controller")
	case c.IsController && len(c.QuorumVoters) == 0 && !c.Alone && !begins && !o.noInitial:
		return usage("Choose one of --standalone, --initial-controllers and --no-initial-controllers", "it is not said who begins the quorum: controller.quorum.voters is not set on this controller")
	}
	return nil
}

// initialControllers reads id@host:port:directory-id, separated by commas.
func initialControllers(text string) ([]kraft.Voter, error) {
	if text == "" {
		return nil, nil
	}
	var out []kraft.Voter
	for item := range strings.SplitSeq(text, ",") {
		id, rest, ok := strings.Cut(strings.TrimSpace(item), "@")
		at := strings.LastIndex(rest, ":")
		n, err := strconv.ParseUint(id, 10, 31)
		if !ok || err != nil || at < 0 {
			return nil, badController(item)
		}
		host, port, err := net.SplitHostPort(rest[:at])
		directory, idErr := protocol.ParseTopicID(rest[at+1:])
		if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || idErr != nil || portErr != nil || host == "" || directory.IsZero() {
			return nil, badController(item)
		}
		out = append(out, kraft.Voter{ID: protocol.NodeID(n), Address: net.JoinHostPort(host, port), DirectoryID: directory})
	}
	return out, nil
}

func badController(item string) error {
	return usage("Write for example 1@host-1:9093:JEXY6aqzQY-32P5TStzaFg", "%q is not id@host:port:directory-id", item)
}

type formattedStorage struct {
	ClusterID   string   `json:"cluster_id"`
	NodeID      int32    `json:"node_id"`
	Directories []string `json:"directories"` // those that were formatted now
}

func (a *app) printFormatted(c *config.Config, clusterID string, dirs []string) error {
	g := grid{header: []string{"DIRECTORY", "NODE", "CLUSTER", "STATE"}}
	for _, dir := range dirs {
		g.rows = append(g.rows, []any{dir, int32(c.NodeID), clusterID, "formatted"})
	}
	value := formattedStorage{ClusterID: clusterID, NodeID: int32(c.NodeID), Directories: append([]string{}, dirs...)}
	return a.print(result{value: value, names: dirs, table: []grid{g}})
}
