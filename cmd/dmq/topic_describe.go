package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/admin/client"
)

type describedTopic struct {
	Name       string               `json:"name"`
	ID         string               `json:"id"`
	Internal   bool                 `json:"internal"`
	Replicas   int                  `json:"replicas"`
	Partitions []describedPartition `json:"partitions"`
	Configs    []configEntry        `json:"configs"` // those set for the topic
}

type describedPartition struct {
	Partition      int32   `json:"partition"`
	Leader         int32   `json:"leader"` // -1: none
	LeaderEpoch    int32   `json:"leader_epoch"`
	Replicas       []int32 `json:"replicas"`
	InSync         []int32 `json:"in_sync_replicas"`
	Offline        []int32 `json:"offline_replicas"`
	LogStartOffset int64   `json:"log_start_offset"` // -1: not known
	HighWatermark  int64   `json:"high_watermark"`   // -1: not known
	Error          string  `json:"error,omitempty"`
}

type configEntry struct {
	Key    string  `json:"key"`
	Value  *string `json:"value"`
	Source string  `json:"source"`
}

func newTopicDescribe(a *app) *cobra.Command {
	var urls *string
	cmd := &cobra.Command{
		Use: "describe TOPIC...", Short: "Show partitions, replicas, offsets and settings of topics",
		Example: "  dmq topic describe orders\n  dmq topic describe orders -o json",
		Args:    args(1, -1, "the name of a topic"), ValidArgsFunction: a.topicCompletion(-1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if *urls != "" {
				return a.rest(cmd.Context(), *urls, func(ctx context.Context, cl *client.Client) error { return describeTopicsREST(ctx, a, cl, names) })
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.describeTopics(ctx, adm, names) })
		},
	}
	urls = adminFlag(cmd)
	return cmd
}

func (a *app) describeTopics(ctx context.Context, adm *kadm.Client, names []string) error {
	topics, err := adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return err
	}
	var found []string
	var failures []*failure
	for _, name := range names {
		if t, ok := topics[name]; !ok || t.Err != nil {
			cause := t.Err
			if !ok {
				cause = kerr.UnknownTopicOrPartition
			}
			failures = append(failures, topicFailure(ctx, adm, name, cause, ""))
			continue
		}
		found = append(found, name)
	}
	if len(found) == 0 {
		return several(0, failures)
	}
	starts, err := adm.ListStartOffsets(ctx, found...)
	if err != nil && len(starts) == 0 {
		return err
	}
	ends, err := adm.ListEndOffsets(ctx, found...)
	if err != nil && len(ends) == 0 {
		return err
	}
	configs, err := adm.DescribeTopicConfigs(ctx, found...)
	if err != nil {
		return err
	}
	r := result{names: found}
	described := []describedTopic{}
	for _, name := range found {
		t := describeTopic(topics[name], starts, ends, configs)
		described = append(described, t)
		r.table = append(r.table, topicGrids(t)...)
	}
	r.value = described
	if err := a.print(r); err != nil {
		return err
	}
	return several(len(found), failures)
}

func describeTopic(t kadm.TopicDetail, starts, ends kadm.ListedOffsets, configs kadm.ResourceConfigs) describedTopic {
	out := describedTopic{Name: t.Topic, ID: topicID(t.ID), Internal: t.IsInternal, Replicas: t.Partitions.NumReplicas(), Partitions: []describedPartition{}, Configs: []configEntry{}}
	offset := func(list kadm.ListedOffsets, partition int32) int64 {
		if o, ok := list.Lookup(t.Topic, partition); ok && o.Err == nil {
			return o.Offset
		}
		return -1
	}
	for _, p := range t.Partitions.Sorted() {
		d := describedPartition{
			Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: orEmpty(p.Replicas), InSync: orEmpty(p.ISR), Offline: orEmpty(p.OfflineReplicas),
			LogStartOffset: offset(starts, p.Partition), HighWatermark: offset(ends, p.Partition),
		}
		if p.Err != nil {
			d.Error = p.Err.Error()
		}
		out.Partitions = append(out.Partitions, d)
	}
	if rc, err := configs.On(t.Topic, nil); err == nil {
		for _, c := range rc.Configs {
			if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
				out.Configs = append(out.Configs, newConfigEntry(c))
			}
		}
	}
	return out
}

func newConfigEntry(c kadm.Config) configEntry {
	return configEntry{Key: c.Key, Value: c.Value, Source: sourceName(c.Source)}
}

func orEmpty(list []int32) []int32 {
	if list == nil {
		return []int32{}
	}
	return list
}

func topicGrids(t describedTopic) []grid {
	title := fmt.Sprintf("%s  (%d partitions, %d replicas, id %s)", t.Name, len(t.Partitions), t.Replicas, t.ID)
	if t.ID == "" {
		title = strings.Replace(title, ", id )", ")", 1)
	}
	g := grid{
		title: title, header: []string{"PARTITION", "LEADER", "REPLICAS", "IN-SYNC", "START", "END", "LEADER-EPOCH", "OFFLINE"}, wide: 6,
		numeric: []int{0, 1, 4, 5, 6},
	}
	for _, p := range t.Partitions {
		leader := any(p.Leader)
		if p.Leader < 0 {
			leader = "none"
		}
		g.rows = append(g.rows, []any{p.Partition, leader, ids(p.Replicas), ids(p.InSync), known(p.LogStartOffset), known(p.HighWatermark), p.LeaderEpoch, ids(p.Offline)})
	}
	if len(t.Configs) == 0 {
		return []grid{g}
	}
	c := grid{header: []string{"CONFIG", "VALUE"}}
	for _, e := range t.Configs {
		c.rows = append(c.rows, []any{e.Key, orHidden(e.Value)})
	}
	return []grid{g, c}
}

// known is an offset, or "-" when nobody could tell it.
func known(offset int64) any {
	if offset < 0 {
		return "-"
	}
	return offset
}

// orHidden is a value, or what stands for null.
func orHidden(v *string) string {
	if v == nil {
		return "(hidden or not set)"
	}
	return *v
}
