package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker/config"
)

// completionTimeout is how long a shell waits for names from the cluster.
const completionTimeout = 500 * time.Millisecond

// topicCompletion offers the cluster's topics for the first n arguments (-1: all).
func (a *app) topicCompletion(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if n >= 0 && len(given) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.liveTopics(cmd.Context(), prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

// groupCompletion offers the cluster's groups for the first n arguments (-1: all).
func (a *app) groupCompletion(n int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if n >= 0 && len(given) >= n {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.liveGroups(cmd.Context(), prefix), cobra.ShellCompDirectiveNoFileComp
	}
}

func (a *app) liveTopics(ctx context.Context, prefix string) []string {
	return a.live(ctx, prefix, func(ctx context.Context, cl *kgo.Client) []string { return topicNames(ctx, kadm.NewClient(cl)) })
}

func (a *app) liveGroups(ctx context.Context, prefix string) []string {
	return a.live(ctx, prefix, func(ctx context.Context, cl *kgo.Client) []string { return groupNames(ctx, kadm.NewClient(cl)) })
}

// live asks the cluster for names, briefly.
func (a *app) live(ctx context.Context, prefix string, names func(context.Context, *kgo.Client) []string) []string {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	a.timeout = timeoutFlag(completionTimeout)
	cl, err := a.client(ctx)
	if err != nil {
		return nil
	}
	defer cl.Close()
	var out []string
	for _, name := range names(ctx, cl) {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}

// topicKeyCompletion offers topics for the first argument and topic settings for the others; assign adds a "=".
func (a *app) topicKeyCompletion(assign bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, given []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(given) == 0 {
			return a.liveTopics(cmd.Context(), prefix), cobra.ShellCompDirectiveNoFileComp
		}
		return configKeys(config.ScopeTopic, prefix, assign)
	}
}

// completeTopicConfig offers topic settings for a key=value flag.
func completeTopicConfig(cmd *cobra.Command, flag string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return configKeys(config.ScopeTopic, prefix, true)
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
}

// completeBrokerConfig offers broker settings for a key=value flag.
func completeBrokerConfig(cmd *cobra.Command, flag string) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return configKeys(config.ScopeBroker, prefix, true)
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
}

func configKeys(scope config.Scope, prefix string, assign bool) ([]string, cobra.ShellCompDirective) {
	directive := cobra.ShellCompDirectiveNoFileComp
	suffix := ""
	if assign {
		directive |= cobra.ShellCompDirectiveNoSpace
		suffix = "="
	}
	var out []string
	for _, p := range config.NewSchema().Properties(scope) {
		if !p.Internal && strings.HasPrefix(p.Name, prefix) {
			out = append(out, cobra.CompletionWithDesc(p.Name+suffix, p.Doc))
		}
	}
	return out, directive
}
