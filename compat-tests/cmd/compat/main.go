// Compat runs the compatibility tests against dmq or Apache Kafka.
//
//	compat layout           lay out Apache Kafka's jars
//	compat with BROKER [-p k=v]... [-nodes N] -- COMMAND...
//	                        start BROKER (kafka or dmq), run COMMAND with $DMQ_BOOTSTRAP and $DMQ_DATA_DIR set, stop it
//	compat smoke            every client against one broker
//	compat tools            Kafka's own tools for clusters against three nodes
//	compat groups           groups of every client, in processes of their own
//	compat storm            groups of hundreds of members in a storm
//	compat member CLIENT ADDR
//	                        host members of groups with a Go client, for compat groups
//	compat go CLIENT        one Go client against the broker at $DMQ_BOOTSTRAP
//	compat kgo              franz-go's own published tests
//	compat diff             the same bytes to Kafka and to dmq
//	compat life             scripts of group life on Kafka and on dmq, their transcripts compared
//	compat three            the same bytes to three nodes of Kafka and of dmq
//	compat voters           the same to three nodes of which one is a voter at first
//	compat transcripts      the transcripts of classic groups, played on a broker
//	compat differences      write the differences that are meant into docs/compatibility.md
//	compat datadir          data directories between Kafka and dmq
//	compat groupdata        records of every kind of group, beside Kafka's
//	compat bench-groups     what groups cost, on dmq and on Kafka
//	compat bench-failover   how long a cluster of three nodes is gone, of dmq and of Kafka
//	compat bench-replication
//	                        what records with three replicas cost, on dmq and on Kafka
//	compat bench-rest       the original's figures: heartbeats, topics, pulls, elections, memory
//	compat bench-metadata   how fast three nodes create topics, of dmq and of Kafka
//	compat scenarios        the original's eight acceptance scenarios
//	compat kill, powercut   crashes under load
//	compat chaos            every kind of fault, on three nodes under load
//	compat faults           faults planted in dmq: each has to be found
//
// Every subcommand that tests closes with "N passed, N failed" and exits with 1 when anything failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/distributedmq/dmq/compat-tests/diff"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(2)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string) (int, error) {
	if len(args) == 0 {
		return 0, errors.New("no subcommand: see compat-tests/README.md")
	}
	commands := map[string]func(context.Context, []string) (int, error){
		"layout": layout, "with": with, "diff": runDiff, "life": runLife, "three": runThree, "voters": runVoters, "differences": differences, "go": runGo, "smoke": runSmoke, "kgo": runKgo, "groups": runGroups, "member": runMember,
		"datadir": runDataDir, "groupdata": runGroupData, "tools": runTools, "transcripts": runTranscripts, "storm": runStorm, "bench-groups": benchGroups, "bench-failover": benchFailover, "bench-replication": benchReplication, "bench-metadata": benchMetadata, "kill": runKill, "scenarios": runScenarios, "bench-rest": benchREST, "chaos": runChaos, "faults": runFaults, "powercut": runPowerCut,
	}
	command, ok := commands[args[0]]
	if !ok {
		return 0, fmt.Errorf("unknown subcommand %q", args[0])
	}
	return command(ctx, args[1:])
}

// differences writes the list of meant differences into docs/compatibility.md.
func differences(context.Context, []string) (int, error) {
	root, err := peer.Root()
	if err != nil {
		return 0, err
	}
	changed, err := diff.UpdateDocument(filepath.Join(root, "docs", "compatibility.md"))
	if err == nil && changed {
		fmt.Println("docs/compatibility.md: written")
	}
	return 0, err
}

func layout(ctx context.Context, _ []string) (int, error) {
	h, err := peer.KafkaHome(ctx)
	if err == nil {
		fmt.Println(h)
	}
	return 0, err
}

// starter returns what starts a broker of that kind.
func starter(ctx context.Context, kind string) (func(context.Context, peer.Options) (*peer.Broker, error), error) {
	switch kind {
	case "kafka":
		h, err := peer.KafkaHome(ctx)
		return func(ctx context.Context, o peer.Options) (*peer.Broker, error) { return peer.StartKafka(ctx, h, o) }, err
	case "dmq":
		bin, err := peer.Binary(ctx)
		return func(ctx context.Context, o peer.Options) (*peer.Broker, error) { return peer.StartDMQ(ctx, bin, o) }, err
	}
	return nil, fmt.Errorf("unknown broker %q: kafka or dmq", kind)
}

// startBroker starts the broker of that kind in a folder of its own; done stops it and removes the folder.
func startBroker(ctx context.Context, kind string, o peer.Options) (b *peer.Broker, done func() error, err error) {
	start, err := starter(ctx, kind)
	if err != nil {
		return nil, nil, err
	}
	if o.Dir, err = os.MkdirTemp("", "compat-"+kind+"-"); err != nil {
		return nil, nil, err
	}
	b, err = start(ctx, o)
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	return b, func() error { return errors.Join(b.Stop(), os.RemoveAll(o.Dir)) }, nil
}

// nodesFlag is the flag of the commands whose broker may be a cluster.
func nodesFlag(fs *flag.FlagSet) *int {
	return fs.Int("nodes", 1, "how many nodes the broker has: with 3, topics have three replicas")
}

// startNodes starts one node, or a cluster of several, in a folder of its own; done ends it and removes the folder.
func startNodes(ctx context.Context, kind string, nodes int, o peer.ClusterOptions) (c *peer.Cluster, done func() error, err error) {
	if nodes < 1 {
		return nil, nil, fmt.Errorf("a cluster of %d nodes", nodes)
	}
	if nodes == 1 {
		b, done, err := startBroker(ctx, kind, o.Options)
		return &peer.Cluster{Kind: kind, Nodes: []*peer.Broker{b}}, done, err
	}
	o.Nodes = nodes
	if c, done, err = layNodes(ctx, kind, o); err != nil {
		return nil, nil, err
	}
	if err = c.Start(ctx); err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return c, done, nil
}

// layNodes lays out a cluster in a folder of its own and does not start it; done ends it and removes the folder.
func layNodes(ctx context.Context, kind string, o peer.ClusterOptions) (c *peer.Cluster, done func() error, err error) {
	if o.Dir, err = os.MkdirTemp("", "compat-"+kind+"-"); err != nil {
		return nil, nil, err
	}
	if c, err = newCluster(ctx, kind, o); err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	return c, func() error { return errors.Join(c.Kill(), os.RemoveAll(o.Dir)) }, nil
}

// newCluster is a cluster of that kind.
func newCluster(ctx context.Context, kind string, o peer.ClusterOptions) (*peer.Cluster, error) {
	switch kind {
	case "kafka":
		h, err := peer.KafkaHome(ctx)
		if err != nil {
			return nil, err
		}
		return peer.NewKafkaCluster(ctx, h, o)
	case "dmq":
		bin, err := peer.Binary(ctx)
		if err != nil {
			return nil, err
		}
		return peer.NewDMQCluster(ctx, bin, o)
	}
	return nil, fmt.Errorf("unknown broker %q: kafka or dmq", kind)
}

// propertyFlag collects repeated key=value flags.
type propertyFlag map[string]string

func (p propertyFlag) String() string { return "" }

func (p propertyFlag) Set(kv string) error {
	k, v, ok := strings.Cut(kv, "=")
	if !ok {
		return fmt.Errorf("want key=value, got %q", kv)
	}
	p[k] = v
	return nil
}

// with starts a broker, runs a command with where it is in the environment, and stops it.
func with(ctx context.Context, args []string) (int, error) {
	properties := propertyFlag{}
	fs := flag.NewFlagSet("with", flag.ContinueOnError)
	fs.Var(properties, "p", "a property of the broker, key=value")
	nodes := nodesFlag(fs)
	dynamic := fs.Bool("dynamic", false, "nodes that know controller.quorum.bootstrap.servers, of which the first is the one voter")
	if len(args) == 0 {
		return 0, errors.New("with needs a broker and a command")
	}
	if err := fs.Parse(args[1:]); err != nil {
		return 2, nil
	}
	if fs.NArg() == 0 {
		return 0, errors.New("with needs a command")
	}
	c, done, err := startNodes(ctx, args[0], *nodes, peer.ClusterOptions{Options: peer.Options{Properties: properties}, Dynamic: *dynamic})
	if err != nil {
		return 0, err
	}
	b := c.Nodes[0]
	fmt.Fprintf(os.Stderr, "%s at %s, ready after %s\n", c.Kind, c.Bootstrap(), b.StartTook)
	cmd := exec.CommandContext(ctx, fs.Arg(0), fs.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "DMQ_BOOTSTRAP="+c.Bootstrap(), "DMQ_CONTROLLER="+b.ControllerAddr, "DMQ_DATA_DIR="+b.DataDir, "DMQ_ADMIN="+b.AdminAddr)
	runErr := cmd.Run()
	err = done()
	var exit *exec.ExitError
	if errors.As(runErr, &exit) {
		return exit.ExitCode(), err
	}
	return 0, errors.Join(runErr, err)
}
