package main

import (
	"context"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/distributedmq/dmq/broker/config"
)

type serveOptions struct {
	files    []string
	set      []string
	strict   bool
	services string
	id       int32 // -1 none
}

// addFlags adds what all commands that read a node's configuration have.
func (o *serveOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "config", "c", nil, "server.properties or YAML with Kafka's keys; may be repeated, later files win (environment: DMQ_CONFIG)")
	f.StringArrayVar(&o.set, "set", nil, "key=value over everything else; may be repeated")
	f.BoolVar(&o.strict, "strict", false, "refuse keys that are not known")
	completeBrokerConfig(cmd, "set")
	if err := cmd.MarkFlagFilename("config", "properties", "yaml", "yml"); err != nil {
		panic(err) // the flag does not exist
	}
}

// addTopologyFlags adds what says which node of a topology this is.
func (o *serveOptions) addTopologyFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.services, "services", "", "services.json: a topology of metadata and storage services, of which --id is this node")
	cmd.Flags().Int32Var(&o.id, "id", -1, "which service of --services this node is")
	if err := cmd.MarkFlagFilename("services", "json"); err != nil {
		panic(err) // the flag does not exist
	}
}

// load reads the configuration and words its faults.
func (a *app) load(o serveOptions) (*config.Config, []config.Warning, error) {
	files := o.files
	if env := a.lookup("DMQ_CONFIG"); len(files) == 0 && env != "" {
		files = []string{env}
	}
	hostname, _ := os.Hostname() // without one, localhost is advertised
	sources := config.Sources{Set: o.set, Env: a.env, Files: files, Strict: o.strict, ReadFile: a.files, Hostname: hostname}
	switch {
	case o.services != "":
		sources.Services = &config.ServicesFile{Name: o.services, ID: o.id}
	case o.id >= 0:
		return nil, nil, usage("name the file: --services services.json", "--id says which service of a file this node is, and there is no file")
	}
	c, warnings, err := config.Load(sources)
	if err != nil {
		return nil, warnings, configFailure(err)
	}
	return c, warnings, nil
}

// configFailure lists all faults of a configuration.
func configFailure(err error) *failure {
	faults := config.Faults(err)
	if len(faults) == 0 {
		return explain(err)
	}
	if len(faults) == 1 {
		f := faults[0]
		next := f.Next
		if f.Key != "" {
			next = strings.TrimPrefix(next+"\nMore: dmq config explain "+f.Key, "\n")
		}
		whole := *f
		whole.Next = ""
		return &failure{code: codeUsage, what: whole.Error(), next: next, cause: err}
	}
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return &failure{code: codeUsage, what: "the configuration has faults", why: strings.Join(lines, "\n"), next: "Check it: dmq config check", cause: err}
}

func newServe(a *app) *cobra.Command {
	var o serveOptions
	var quiet bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run a node", GroupID: "run",
		Long: `Run a node. Without any configuration it serves Kafka's protocol on 127.0.0.1:9092, health and metrics on
127.0.0.1:9091, and keeps its data in ./data.

Settings come, the strongest first, from --set, DMQ_* and KAFKA_* environment variables, --config files and the defaults.
KAFKA_NUM_PARTITIONS and DMQ_NUM_PARTITIONS are num.partitions; DMQ_ADMIN_LISTEN is dmq.admin.listen. ${env:NAME},
${file:path:key} and ${dir:path:file} in a value read secrets from elsewhere.

SIGTERM and SIGINT stop the node gracefully; a second one cuts the stop short.`,
		Example: `  dmq serve
  dmq serve -c server.properties
  dmq serve --services services.json --id 1
  dmq serve --set listeners=PLAINTEXT://:9092 --set log.dirs=/var/lib/dmq`,
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, warnings, err := a.load(o)
			if err != nil {
				return err
			}
			return a.runNode(cmd.Context(), c, warnings, nodeOptions{quiet: quiet, listen: new(net.ListenConfig).Listen})
		},
	}
	o.addFlags(cmd)
	o.addTopologyFlags(cmd)
	cmd.Flags().BoolVar(&quiet, "no-banner", false, "log only")
	hide(cmd, "no-banner") // for the nodes of dmq dev --nodes
	return cmd
}

// hide keeps a flag out of the help.
func hide(cmd *cobra.Command, flag string) {
	if err := cmd.Flags().MarkHidden(flag); err != nil {
		panic(err) // the flag does not exist
	}
}

type devOptions struct {
	serveOptions
	keep  string
	nodes int
}

func newDev(a *app) *cobra.Command {
	var o devOptions
	cmd := &cobra.Command{
		Use: "dev", Short: "Run a throw-away node", GroupID: "run",
		Long: `Run a node on loopback whose data is deleted when it stops. It takes the usual ports when they are free, others when they
are not, and ignores the environment's configuration.

With --nodes it runs a cluster: that many nodes, each a process of its own in a rack of its own, whose logs are shown with the
node in front. Kill one to see what happens. Its data are in the folders 1, 2, 3 of the directory.`,
		Example: "  dmq dev\n  dmq dev --keep ./dev-data\n  dmq dev --nodes 3",
		Args:    cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.dev(cmd, o) },
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.keep, "keep", "", "keep the data in this directory")
	cmd.Flags().IntVar(&o.nodes, "nodes", 1, "how many nodes")
	return cmd
}

func (a *app) dev(cmd *cobra.Command, o devOptions) (err error) {
	dir := o.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "dmq-dev-"); err != nil {
			return err
		}
		defer func() {
			if removeErr := os.RemoveAll(dir); err == nil {
				err = removeErr
			}
		}()
	}
	if o.nodes != 1 {
		return a.devCluster(cmd.Context(), o, dir)
	}
	var ports heldPorts
	defer ports.release()
	kafka, err := ports.hold(cmd.Context(), 9092)
	if err != nil {
		return err
	}
	admin, err := ports.hold(cmd.Context(), 9091)
	if err != nil {
		return err
	}
	set := slices.Concat([]string{"listeners=PLAINTEXT://" + kafka, "dmq.admin.listen=" + admin, "log.dirs=" + dir}, o.set)
	quiet := *a
	quiet.env = a.plainEnv()
	c, warnings, err := quiet.load(serveOptions{files: o.files, set: set, strict: o.strict, id: -1})
	if err != nil {
		return err
	}
	return a.runNode(cmd.Context(), c, warnings, nodeOptions{throwAway: o.keep == "", listen: ports.listen})
}

// plainEnv is the environment without what configures nodes.
func (a *app) plainEnv() []string {
	return slices.DeleteFunc(slices.Clone(a.env), func(kv string) bool { return strings.HasPrefix(kv, "KAFKA_") || strings.HasPrefix(kv, "DMQ_") })
}

// nodeOptions is what differs between serve and dev.
type nodeOptions struct {
	quiet     bool // no banner
	throwAway bool // the data directory is deleted afterwards
	listen    listenFunc
}

// listenFunc is net.ListenConfig.Listen, or what stands in for it.
type listenFunc func(ctx context.Context, network, address string) (net.Listener, error)
