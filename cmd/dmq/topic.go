package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/admin/client"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/protocol"
)

func newTopic(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "topic", Short: "Create, list, describe, delete and configure topics", GroupID: "data", Aliases: []string{"topics"},
		Example: "  dmq topic create orders -p 12 -c retention.ms=3600000\n  dmq topic list\n  dmq topic describe orders",
	}, newTopicCreate(a), newTopicList(a), newTopicDescribe(a), newTopicDelete(a), newTopicAddPartitions(a), newTopicConfig(a))
}

type createOptions struct {
	partitions  int32
	replicas    int16
	configs     []string
	ifNotExists bool
	dryRun      bool
}

func newTopicCreate(a *app) *cobra.Command {
	var o createOptions
	var urls *string
	cmd := &cobra.Command{
		Use: "create TOPIC...", Short: "Create topics",
		Example: "  dmq topic create orders\n  dmq topic create orders -p 12 -r 3 -c retention.ms=3600000 -c cleanup.policy=compact",
		Args:    args(1, -1, "the name of a topic"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, names []string) error {
			if *urls != "" {
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error { return createTopicsREST(ctx, a, cl, names, o) })
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.createTopics(ctx, adm, names, o) })
		},
	}
	urls = adminFlag(cmd)
	cmd.Flags().Int32VarP(&o.partitions, "partitions", "p", -1, "number of partitions; -1 is the broker's num.partitions")
	cmd.Flags().Int16VarP(&o.replicas, "replicas", "r", -1, "number of replicas of each partition; -1 is the broker's default.replication.factor")
	cmd.Flags().StringArrayVarP(&o.configs, "config", "c", nil, "key=value; may be repeated")
	cmd.Flags().BoolVar(&o.ifNotExists, "if-not-exists", false, "do nothing when the topic exists")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "let the cluster check the request, but create nothing")
	completeTopicConfig(cmd, "config")
	return cmd
}

type createdTopic struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int32  `json:"partitions"`
	Replicas   int16  `json:"replicas"`
	Created    bool   `json:"created"` // false: it existed, or this was a dry run
}

// topicConfigs are the settings given with --config.
func (o *createOptions) topicConfigs() (map[string]*string, error) {
	configs := make(map[string]*string)
	for _, kv := range o.configs {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return nil, usage("write -c retention.ms=3600000", "%q is not key=value", kv)
		}
		configs[k] = &v
	}
	return configs, nil
}

func (a *app) createTopics(ctx context.Context, adm *kadm.Client, names []string, o createOptions) error {
	configs, err := o.topicConfigs()
	if err != nil {
		return err
	}
	create := adm.CreateTopics
	if o.dryRun {
		create = adm.ValidateCreateTopics
	}
	responses, err := create(ctx, o.partitions, o.replicas, configs, names...)
	if err != nil {
		return err
	}
	var done []createdTopic
	var failures []*failure
	for _, name := range names {
		r := responses[name]
		switch {
		case r.Err == nil:
			done = append(done, createdTopic{name, topicID(r.ID), r.NumPartitions, r.ReplicationFactor, !o.dryRun})
		case o.ifNotExists && errors.Is(r.Err, kerr.TopicAlreadyExists):
			done = append(done, createdTopic{Name: name})
		default:
			f := topicFailure(ctx, adm, name, r.Err, r.ErrMessage)
			suggestConfig(f, r.ErrMessage)
			failures = append(failures, f)
		}
	}
	if len(done) > 0 {
		if err := a.print(createdResult(done)); err != nil {
			return err
		}
	}
	return several(len(done), failures)
}

func createdResult(done []createdTopic) result {
	r := result{value: done}
	g := grid{header: []string{"TOPIC", "PARTITIONS", "REPLICAS", "STATE", "ID"}, wide: 4, numeric: []int{1, 2}}
	for _, t := range done {
		row := []any{t.Name, t.Partitions, t.Replicas, "created", t.ID}
		if !t.Created {
			row[3] = "not created"
			if t.Partitions <= 0 {
				row[1], row[2] = "-", "-"
			}
		}
		g.rows = append(g.rows, row)
		r.names = append(r.names, t.Name)
	}
	r.table = []grid{g}
	return r
}

// suggestConfig adds a hint when the cluster does not know a key.
func suggestConfig(f *failure, message string) {
	if name, ok := strings.CutPrefix(message, "Unknown topic config name: "); ok {
		f.next = "List all: dmq config explain --topic"
		if near := config.NewSchema().Suggest(config.ScopeTopic, name); near != "" {
			f.next = fmt.Sprintf("Did you mean %q?   %s", near, f.next)
		}
	}
}

func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return protocol.TopicID(id).String() // Kafka's form; kadm's own is another base64
}

type listedTopic struct {
	Name            string `json:"name"`
	ID              string `json:"id"`
	Internal        bool   `json:"internal"`
	Partitions      int    `json:"partitions"`
	Replicas        int    `json:"replicas"`
	UnderReplicated int    `json:"under_replicated"`
	Leaderless      int    `json:"leaderless"`
}

func newTopicList(a *app) *cobra.Command {
	var internal bool
	var urls *string
	cmd := &cobra.Command{
		Use: "list [PATTERN]", Short: "List topics", Aliases: []string{"ls"},
		Example: "  dmq topic list\n  dmq topic list '^orders' -o name",
		Args:    args(0, 1, "at most one pattern"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			pattern, err := regexp.Compile(strings.Join(given, ""))
			if err != nil {
				return usage("patterns are regular expressions, for example '^orders'", "%s", err)
			}
			if *urls != "" {
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error {
					return listTopicsREST(ctx, a, cl, pattern, internal)
				})
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.listTopics(ctx, adm, pattern, internal) })
		},
	}
	urls = adminFlag(cmd)
	cmd.Flags().BoolVarP(&internal, "internal", "i", false, "also list internal topics")
	return cmd
}

func (a *app) listTopics(ctx context.Context, adm *kadm.Client, pattern *regexp.Regexp, internal bool) error {
	list := adm.ListTopics
	if internal {
		list = adm.ListTopicsWithInternal
	}
	topics, err := list(ctx)
	if err != nil {
		return err
	}
	out := []listedTopic{}
	for _, t := range topics.Sorted() {
		if !pattern.MatchString(t.Topic) {
			continue
		}
		lt := listedTopic{Name: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal, Partitions: len(t.Partitions), Replicas: t.Partitions.NumReplicas()}
		for _, p := range t.Partitions {
			if len(p.ISR) < len(p.Replicas) {
				lt.UnderReplicated++
			}
			if p.Leader < 0 {
				lt.Leaderless++
			}
		}
		out = append(out, lt)
	}
	return a.print(listedResult(out))
}

func listedResult(list []listedTopic) result {
	g := grid{header: []string{"TOPIC", "PARTITIONS", "REPLICAS", "UNDER-REPLICATED", "LEADERLESS", "ID"}, wide: 3, numeric: []int{1, 2, 3, 4}}
	r := result{value: list}
	for _, t := range list {
		r.names = append(r.names, t.Name)
		g.rows = append(g.rows, []any{t.Name, t.Partitions, t.Replicas, t.UnderReplicated, t.Leaderless, t.ID})
	}
	r.table = []grid{g}
	return r
}

func newTopicDelete(a *app) *cobra.Command {
	var yes, ifExists bool
	var urls *string
	cmd := &cobra.Command{
		Use: "delete TOPIC...", Short: "Delete topics and their records", Aliases: []string{"rm"},
		Example: "  dmq topic delete orders\n  dmq topic delete orders payments --yes",
		Args:    args(1, -1, "the name of a topic"), ValidArgsFunction: a.topicCompletion(-1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := a.confirm(yes, "delete "+strings.Join(names, ", ")+" with all records"); err != nil {
				return err
			}
			if *urls != "" {
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error {
					return deleteTopicsREST(ctx, a, cl, names, ifExists)
				})
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.deleteTopics(ctx, adm, names, ifExists) })
		},
	}
	urls = adminFlag(cmd)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "do nothing when the topic does not exist")
	return cmd
}

func (a *app) deleteTopics(ctx context.Context, adm *kadm.Client, names []string, ifExists bool) error {
	responses, err := adm.DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	deleted := []string{}
	var failures []*failure
	succeeded := 0
	for _, name := range names {
		r := responses[name]
		switch {
		case r.Err == nil:
			deleted = append(deleted, name)
			succeeded++
		case ifExists && errors.Is(r.Err, kerr.UnknownTopicOrPartition):
			succeeded++
		default:
			failures = append(failures, topicFailure(ctx, adm, name, r.Err, r.ErrMessage))
		}
	}
	return a.printDeleted(deleted, succeeded, failures)
}

func (a *app) printDeleted(deleted []string, succeeded int, failures []*failure) error {
	g := grid{header: []string{"TOPIC", "STATE"}}
	for _, name := range deleted {
		g.rows = append(g.rows, []any{name, "deleted"})
	}
	if len(deleted) > 0 || a.output == "json" || a.output == "yaml" {
		if err := a.print(result{value: map[string]any{"deleted": deleted}, names: deleted, table: []grid{g}}); err != nil {
			return err
		}
	}
	return several(succeeded, failures)
}

// confirm asks on a terminal, and wants --yes elsewhere.
func (a *app) confirm(yes bool, what string) error {
	if yes {
		return nil
	}
	if !a.terminal(a.in) || !a.terminal(a.err) {
		return usage("Say that you mean it: --yes", "to %s needs a confirmation", what)
	}
	a.say("Really %s? [y/N] ", what)
	var answer string
	if _, err := fmt.Fscanln(a.in, &answer); err != nil || !slices.Contains([]string{"y", "yes"}, strings.ToLower(answer)) {
		return &failure{code: codeFailed, what: "nothing was done"}
	}
	return nil
}

func newTopicAddPartitions(a *app) *cobra.Command {
	var total int
	cmd := &cobra.Command{
		Use: "add-partitions TOPIC --to N", Short: "Give a topic more partitions",
		Example: "  dmq topic add-partitions orders --to 24",
		Args:    args(1, 1, "the name of a topic"), ValidArgsFunction: a.topicCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				responses, err := adm.UpdatePartitions(ctx, total, names...)
				if err != nil {
					return err
				}
				if r := responses[names[0]]; r.Err != nil {
					return topicFailure(ctx, adm, names[0], r.Err, r.ErrMessage)
				}
				return a.print(result{
					value: map[string]any{"name": names[0], "partitions": total}, names: names,
					table: []grid{{header: []string{"TOPIC", "PARTITIONS"}, rows: [][]any{{names[0], total}}, numeric: []int{1}}},
				})
			})
		},
	}
	cmd.Flags().IntVar(&total, "to", 0, "the new number of partitions")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// ids prints node ids as 1,2,3.
func ids(list []int32) string {
	out := make([]string, len(list))
	for i, id := range list {
		out[i] = strconv.Itoa(int(id))
	}
	return strings.Join(out, ",")
}

// sourceName is a config source in words.
func sourceName(s kmsg.ConfigSource) string {
	switch s {
	case kmsg.ConfigSourceDynamicTopicConfig:
		return "topic"
	case kmsg.ConfigSourceDynamicBrokerConfig:
		return "broker, dynamic"
	case kmsg.ConfigSourceDynamicDefaultBrokerConfig:
		return "cluster, dynamic"
	case kmsg.ConfigSourceStaticBrokerConfig:
		return "broker"
	case kmsg.ConfigSourceDefaultConfig:
		return "default"
	default:
		return strings.ToLower(s.String())
	}
}
