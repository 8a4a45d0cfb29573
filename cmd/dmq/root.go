package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// timeoutFlag is a duration that has to be positive.
type timeoutFlag time.Duration

func (t *timeoutFlag) String() string { return time.Duration(*t).String() }

func (t *timeoutFlag) Type() string { return "duration" }

// Set parses a duration such as 10s.
func (t *timeoutFlag) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("want a duration such as 10s")
	}
	*t = timeoutFlag(d)
	return nil
}

// lookup reads an environment variable.
func (a *app) lookup(name string) string {
	for _, kv := range slices.Backward(a.env) {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			return v
		}
	}
	return ""
}

func newRoot(a *app) *cobra.Command {
	a.timeout = timeoutFlag(30 * time.Second)
	brokers := a.lookup("DMQ_BROKERS")
	if brokers == "" {
		brokers = "127.0.0.1:9092"
	}
	root := &cobra.Command{
		Use:   "dmq",
		Short: "A broker that Kafka clients use as it is, and its command line",
		Long: `dmq is one static binary: a broker that speaks Kafka's protocol and keeps Kafka's files, and the command line for any such
broker. Data goes to standard output, everything else to standard error.`,
		Example: `  dmq serve                              a node with its data in ./data
  dmq dev                                a throw-away node
  echo hello | dmq produce greetings     a record for each line
  dmq consume greetings                  what is there`,
		SilenceErrors: true, SilenceUsage: true,
		Version: versionInfo().Version,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(outputs(), a.output) {
				return usage("choose one of "+strings.Join(outputs(), ", "), "unknown output %q", a.output)
			}
			if !slices.Contains([]string{"auto", "always", "never"}, a.color) {
				return usage("choose one of auto, always, never", "unknown colour mode %q", a.color)
			}
			return nil
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &failure{code: codeUsage, what: err.Error(), next: "see: " + cmd.CommandPath() + " --help", cause: err}
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&a.brokers, "brokers", "b", brokers, "addresses of brokers, host:port, comma-separated (environment: DMQ_BROKERS)")
	flags.StringVarP(&a.output, "output", "o", "table", "how results are printed: "+strings.Join(outputs(), ", "))
	flags.Var(&a.timeout, "timeout", "how long the cluster may take to answer")
	flags.StringVar(&a.color, "color", "auto", "colours and markers: auto, always, never")
	complete(root, "output", outputs())
	complete(root, "color", []string{"auto", "always", "never"})

	root.AddGroup(&cobra.Group{ID: "run", Title: "Run a node:"}, &cobra.Group{ID: "data", Title: "Topics and records:"}, &cobra.Group{ID: "ops", Title: "Operate a cluster:"}, &cobra.Group{ID: "tools", Title: "Tools:"})
	root.AddCommand(
		newServe(a), newDev(a),
		newTopic(a), newProduce(a), newConsume(a), newGroup(a),
		newCluster(a), newBroker(a), newPartition(a),
		newStorage(a), newConfig(a), newVersion(a),
	)
	root.AddCommand(newAliases(a)...)
	parent(root)
	root.SetHelpCommandGroupID("tools")
	root.SetCompletionCommandGroupID("tools")
	return root
}

// complete offers fixed values for a flag.
func complete(cmd *cobra.Command, flag string, values []string) {
	err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// parent is a command that only has children: without one it shows its help.
func parent(cmd *cobra.Command, children ...*cobra.Command) *cobra.Command {
	cmd.SuggestionsMinimumDistance = 2
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		next := "see: " + c.CommandPath() + " --help"
		if s := c.SuggestionsFor(args[0]); len(s) > 0 {
			next = fmt.Sprintf("Did you mean %q?   %s", c.CommandPath()+" "+s[0], next)
		}
		return usage(next, "unknown command %q for %q", args[0], c.CommandPath())
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	cmd.AddCommand(children...)
	return cmd
}

// args checks the number of arguments and says what they are.
func args(minimum, maximum int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		next := "see: " + cmd.CommandPath() + " --help"
		switch {
		case len(given) < minimum:
			return usage(next, "%s needs %s", cmd.CommandPath(), what)
		case maximum >= 0 && len(given) > maximum:
			return usage(next, "%s takes %s, got %d arguments", cmd.CommandPath(), what, len(given))
		}
		return nil
	}
}
