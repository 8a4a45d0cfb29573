package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
)

func newTopicConfig(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "config", Short: "Get, set and unset a topic's settings",
		Example: "  dmq topic config get orders\n  dmq topic config set orders retention.ms=3600000\n  dmq topic config unset orders retention.ms",
	}, newTopicConfigGet(a), newTopicConfigSet(a), newTopicConfigUnset(a))
}

func newTopicConfigGet(a *app) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "get TOPIC [KEY...]", Short: "Show a topic's settings and where they come from",
		Example: "  dmq topic config get orders\n  dmq topic config get orders --all\n  dmq topic config get orders retention.ms",
		Args:    args(1, -1, "the name of a topic"), ValidArgsFunction: a.topicKeyCompletion(false),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				return a.getTopicConfig(ctx, adm, given[0], given[1:], all)
			})
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also what the topic takes from the broker and the defaults")
	return cmd
}

func (a *app) getTopicConfig(ctx context.Context, adm *kadm.Client, topic string, keys []string, all bool) error {
	configs, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	rc, err := configs.On(topic, nil)
	if err == nil {
		err = rc.Err
	}
	if err != nil {
		return topicFailure(ctx, adm, topic, err, "")
	}
	entries := []configEntry{}
	for _, c := range rc.Configs {
		switch {
		case len(keys) > 0 && !slices.Contains(keys, c.Key):
			continue
		case len(keys) == 0 && !all && c.Source != kmsg.ConfigSourceDynamicTopicConfig:
			continue
		}
		entries = append(entries, newConfigEntry(c))
	}
	for _, key := range keys {
		if !slices.ContainsFunc(entries, func(e configEntry) bool { return e.Key == key }) {
			return unknownKey(key)
		}
	}
	slices.SortFunc(entries, func(x, y configEntry) int { return strings.Compare(x.Key, y.Key) })
	g := grid{header: []string{"CONFIG", "VALUE", "SET BY"}}
	r := result{value: entries}
	for _, e := range entries {
		g.rows = append(g.rows, []any{e.Key, orHidden(e.Value), e.Source})
		r.names = append(r.names, e.Key)
	}
	r.table = []grid{g}
	return a.print(r)
}

func unknownKey(key string) error {
	f := &failure{code: codeNotFound, what: fmt.Sprintf("there is no topic setting %q", key)}
	suggestConfig(f, "Unknown topic config name: "+key)
	return f
}

func newTopicConfigSet(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "set TOPIC KEY=VALUE...", Short: "Set a topic's settings; the others stay",
		Example: "  dmq topic config set orders retention.ms=3600000 max.message.bytes=2097152",
		Args:    args(2, -1, "a topic and key=value"), ValidArgsFunction: a.topicKeyCompletion(true),
		RunE: func(cmd *cobra.Command, given []string) error {
			var changes []kadm.AlterConfig
			for _, kv := range given[1:] {
				key, value, ok := strings.Cut(kv, "=")
				if !ok || key == "" {
					return usage("write retention.ms=3600000", "%q is not key=value", kv)
				}
				changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
			}
			return a.alterTopicConfig(cmd.Context(), given[0], changes, dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "let the cluster check the values, but change nothing")
	return cmd
}

func newTopicConfigUnset(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "unset TOPIC KEY...", Short: "Go back to the broker's value", Aliases: []string{"reset"},
		Example: "  dmq topic config unset orders retention.ms",
		Args:    args(2, -1, "a topic and keys"), ValidArgsFunction: a.topicKeyCompletion(false),
		RunE: func(cmd *cobra.Command, given []string) error {
			var changes []kadm.AlterConfig
			schema := config.NewSchema()
			for _, key := range given[1:] {
				if _, ok := schema.Lookup(config.ScopeTopic, key); !ok && schema.Suggest(config.ScopeTopic, key) != "" {
					return unknownKey(key) // the cluster would not complain
				}
				changes = append(changes, kadm.AlterConfig{Op: kadm.DeleteConfig, Name: key})
			}
			return a.alterTopicConfig(cmd.Context(), given[0], changes, false)
		},
	}
}

func (a *app) alterTopicConfig(ctx context.Context, topic string, changes []kadm.AlterConfig, dryRun bool) error {
	return a.admin(ctx, func(ctx context.Context, adm *kadm.Client) error {
		alter := adm.AlterTopicConfigs
		if dryRun {
			alter = adm.ValidateAlterTopicConfigs
		}
		responses, err := alter(ctx, changes, topic)
		if err != nil {
			return err
		}
		if r, err := responses.On(topic, nil); err != nil || r.Err != nil {
			f := topicFailure(ctx, adm, topic, errors.Join(err, r.Err), r.ErrMessage)
			if errors.Is(r.Err, kerr.InvalidConfig) {
				f.what = r.ErrMessage
			}
			suggestConfig(f, r.ErrMessage)
			return f
		}
		keys := make([]string, len(changes))
		changed := []configEntry{}
		g := grid{header: []string{"CONFIG", "VALUE"}}
		for i, c := range changes {
			keys[i] = c.Name
			changed = append(changed, configEntry{Key: c.Name, Value: c.Value, Source: "topic"})
			value := "(unset)"
			if c.Value != nil {
				value = *c.Value
			}
			g.rows = append(g.rows, []any{c.Name, value})
		}
		return a.print(result{value: changed, names: keys, table: []grid{g}})
	})
}
