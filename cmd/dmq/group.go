package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newGroup(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "group", Short: "List, describe, reset and delete consumer groups", GroupID: "data", Aliases: []string{"groups"},
		Example: "  dmq group list\n  dmq group lag billing --watch\n  dmq group reset billing --topic orders --to-earliest --execute",
	}, newGroupList(a), newGroupDescribe(a), newGroupLag(a), newGroupMembers(a), newGroupReset(a), newGroupDelete(a), newGroupDeleteOffsets(a), newGroupTimeline(a))
}

type listedGroup struct {
	Name         string `json:"name"`
	Type         string `json:"type"`          // classic or consumer; "" from brokers that do not tell
	ProtocolType string `json:"protocol_type"` // "" for a group that only keeps offsets
	State        string `json:"state"`
	Coordinator  int32  `json:"coordinator"`
}

func newGroupList(a *app) *cobra.Command {
	var states, types []string
	cmd := &cobra.Command{
		Use: "list [PATTERN]", Short: "List groups", Aliases: []string{"ls"},
		Example: "  dmq group list\n  dmq group list '^billing' --state Empty,Stable -o name",
		Args:    args(0, 1, "at most one pattern"), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, given []string) error {
			pattern, err := regexp.Compile(strings.Join(given, ""))
			if err != nil {
				return usage("patterns are regular expressions, for example '^billing'", "%s", err)
			}
			return a.withClient(cmd.Context(), func(ctx context.Context, cl *kgo.Client) error {
				groups, err := listGroups(ctx, cl, states, types)
				if err != nil && len(groups) == 0 {
					return err
				}
				groups = slices.DeleteFunc(groups, func(g listedGroup) bool { return !pattern.MatchString(g.Name) })
				return errors.Join(a.print(listedGroups(groups)), incomplete(err))
			})
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only groups in these states: "+strings.Join(groupStates(), ", "))
	cmd.Flags().StringSliceVar(&types, "type", nil, "only groups of these types: classic, consumer")
	complete(cmd, "state", groupStates())
	complete(cmd, "type", []string{"classic", "consumer"})
	return cmd
}

func groupStates() []string {
	return []string{"Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "Stable", "Dead"}
}

// listPause is how long a coordinator that loads is left alone.
const listPause = 200 * time.Millisecond

// listGroups asks every broker for the groups it coordinates, again while one says that it is still loading them. With an
// error, the groups are those of the brokers that answered.
func listGroups(ctx context.Context, cl *kgo.Client, states, types []string) ([]listedGroup, error) {
	for {
		groups, err := listGroupsOnce(ctx, cl, states, types)
		if !errors.Is(err, kerr.CoordinatorLoadInProgress) && !errors.Is(err, kerr.CoordinatorNotAvailable) {
			return groups, err
		}
		select {
		case <-time.After(listPause):
		case <-ctx.Done():
			return groups, err
		}
	}
}

func listGroupsOnce(ctx context.Context, cl *kgo.Client, states, types []string) ([]listedGroup, error) {
	req := kmsg.NewPtrListGroupsRequest()
	req.StatesFilter, req.TypesFilter = states, types
	groups := []listedGroup{}
	var errs []error
	for _, shard := range cl.RequestSharded(ctx, req) {
		if shard.Err != nil {
			errs = append(errs, shard.Err)
			continue
		}
		resp := shard.Resp.(*kmsg.ListGroupsResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, g := range resp.Groups {
			groups = append(groups, listedGroup{g.Group, strings.ToLower(g.GroupType), g.ProtocolType, g.GroupState, shard.Meta.NodeID})
		}
	}
	slices.SortFunc(groups, func(x, y listedGroup) int { return strings.Compare(x.Name, y.Name) })
	return groups, errors.Join(errs...)
}

// incomplete words that some brokers did not answer.
func incomplete(err error) error {
	if err == nil {
		return nil
	}
	return &failure{code: codePartly, what: "not every broker answered: groups may be missing", why: err.Error(), next: "See the brokers: dmq list-brokers", cause: err}
}

func listedGroups(groups []listedGroup) result {
	r := result{value: groups}
	g := grid{header: []string{"GROUP", "TYPE", "STATE", "COORDINATOR", "PROTOCOL-TYPE"}, wide: 4, numeric: []int{3}}
	for _, l := range groups {
		r.names = append(r.names, l.Name)
		g.rows = append(g.rows, []any{l.Name, orDash(l.Type), l.State, l.Coordinator, orDash(l.ProtocolType)})
	}
	r.table = []grid{g}
	return r
}

// orDash is text for a cell that must not be empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func newGroupDelete(a *app) *cobra.Command {
	var yes, ifExists bool
	cmd := &cobra.Command{
		Use: "delete GROUP...", Short: "Delete groups and their committed offsets", Aliases: []string{"rm"},
		Example: "  dmq group delete billing\n  dmq group delete billing audit --yes",
		Args:    args(1, -1, "the name of a group"), ValidArgsFunction: a.groupCompletion(-1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := a.confirm(yes, "delete "+strings.Join(names, ", ")+" with all committed offsets"); err != nil {
				return err
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.deleteGroups(ctx, adm, names, ifExists) })
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&ifExists, "if-exists", false, "do nothing when the group does not exist")
	return cmd
}

func (a *app) deleteGroups(ctx context.Context, adm *kadm.Client, names []string, ifExists bool) error {
	responses, err := adm.DeleteGroups(ctx, names...)
	if err != nil && len(responses) == 0 {
		return shardCause(err)
	}
	deleted := []string{}
	var failures []*failure
	succeeded := 0
	for _, name := range names {
		r, answered := responses[name]
		switch {
		case !answered:
			failures = append(failures, groupFailure(ctx, adm, name, shardCause(err), ""))
		case r.Err == nil:
			deleted = append(deleted, name)
			succeeded++
		case ifExists && errors.Is(r.Err, kerr.GroupIDNotFound):
			succeeded++
		default:
			failures = append(failures, groupFailure(ctx, adm, name, r.Err, r.ErrMessage))
		}
	}
	g := grid{header: []string{"GROUP", "STATE"}}
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

// shardCause is the first of the errors of a request that went to several brokers.
func shardCause(err error) error {
	if se, ok := errors.AsType[*kadm.ShardErrors](err); ok && len(se.Errs) > 0 {
		return se.Errs[0].Err
	}
	if err == nil {
		return errors.New("the broker did not answer for it")
	}
	return err
}

func newGroupDeleteOffsets(a *app) *cobra.Command {
	var yes bool
	var topics []string
	cmd := &cobra.Command{
		Use: "delete-offsets GROUP --topic TOPIC[:0,1]...", Short: "Forget what a group has committed for topics",
		Long: `Delete committed offsets of a group. A group may go on consuming meanwhile, but not from these topics: what it is
subscribed to is refused.`,
		Example: "  dmq group delete-offsets billing --topic orders\n  dmq group delete-offsets billing --topic orders:0,1 --topic refunds --yes",
		Args:    args(1, 1, "the name of a group"), ValidArgsFunction: a.groupCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			selected, err := parseSelections(topics)
			if err != nil {
				return err
			}
			if len(selected) == 0 {
				return usage("for example --topic orders, or --topic orders:0,1", "no topic is given")
			}
			if err := a.confirm(yes, "delete the offsets that "+names[0]+" committed for "+strings.Join(topics, ", ")); err != nil {
				return err
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				return a.deleteOffsets(ctx, adm, names[0], selected)
			})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	a.addTopicFlag(cmd, &topics)
	return cmd
}

type deletedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"` // what it was
}

func (a *app) deleteOffsets(ctx context.Context, adm *kadm.Client, group string, selected []selection) error {
	if _, err := a.oneGroup(ctx, adm, group); err != nil {
		return err
	}
	committed, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return groupFailure(ctx, adm, group, err, "")
	}
	gone := make(kadm.TopicsSet)
	for _, s := range selected {
		found := false
		for p, o := range committed[s.topic] {
			if s.has(p) && o.At >= 0 {
				gone.Add(s.topic, p)
				found = true
			}
		}
		if !found {
			return &failure{code: codeNotFound, what: fmt.Sprintf("group %q has committed nothing for %s", group, s), next: "See what it has: dmq group describe " + group}
		}
	}
	responses, err := adm.DeleteOffsets(ctx, group, gone)
	if err != nil {
		return groupFailure(ctx, adm, group, err, "")
	}
	deleted := []deletedOffset{}
	var failures []*failure
	for _, tp := range sortedPartitions(gone) {
		if err, ok := responses.Lookup(tp.topic, tp.partition); !ok || err != nil {
			failures = append(failures, offsetFailure(group, tp, err))
			continue
		}
		deleted = append(deleted, deletedOffset{tp.topic, tp.partition, committed[tp.topic][tp.partition].At})
	}
	r := result{value: map[string]any{"group": group, "deleted": deleted}}
	g := grid{header: []string{"TOPIC", "PARTITION", "COMMITTED", "STATE"}, numeric: []int{1, 2}}
	for _, d := range deleted {
		r.names = append(r.names, fmt.Sprintf("%s:%d", d.Topic, d.Partition))
		g.rows = append(g.rows, []any{d.Topic, d.Partition, d.Committed, "deleted"})
	}
	r.table = []grid{g}
	if len(deleted) > 0 || a.output == "json" || a.output == "yaml" {
		if err := a.print(r); err != nil {
			return err
		}
	}
	return several(len(deleted), failures)
}

// topicPartition names a partition.
type topicPartition struct {
	topic     string
	partition int32
}

func (tp topicPartition) String() string { return fmt.Sprintf("%s-%d", tp.topic, tp.partition) }

func compareTopicPartitions(x, y topicPartition) int {
	if c := strings.Compare(x.topic, y.topic); c != 0 {
		return c
	}
	return int(x.partition) - int(y.partition)
}

func sortedPartitions(set kadm.TopicsSet) []topicPartition {
	var out []topicPartition
	for t, partitions := range set {
		for p := range partitions {
			out = append(out, topicPartition{t, p})
		}
	}
	slices.SortFunc(out, compareTopicPartitions)
	return out
}

// offsetFailure words what went wrong with the offset of one partition. A nil cause is no answer.
func offsetFailure(group string, tp topicPartition, cause error) *failure {
	if cause == nil {
		return &failure{code: codeFailed, what: tp.String() + ": the broker did not answer for it"}
	}
	f := explain(cause)
	out := &failure{code: f.code, kafka: f.kafka, what: tp.String() + ": " + f.what, cause: cause}
	if errors.Is(cause, kerr.GroupSubscribedToTopic) {
		out.what = fmt.Sprintf("%s: group %q consumes it now", tp, group)
		out.next = "See who: dmq group members " + group + "   Stop them first"
	}
	return out
}

// groupFailure words what went wrong with one group; for a missing one it looks for a name like it.
func groupFailure(ctx context.Context, adm *kadm.Client, group string, err error, message string) *failure {
	f := explain(err)
	out := &failure{code: f.code, kafka: f.kafka, what: fmt.Sprintf("group %q: %s", group, f.what), why: message, next: f.next, cause: err}
	switch {
	case errors.Is(err, kerr.GroupIDNotFound):
		out.what, out.why = fmt.Sprintf("group %q not found", group), ""
		out.next = groupHint(ctx, adm, group)
	case errors.Is(err, kerr.NonEmptyGroup):
		out.what, out.why = fmt.Sprintf("group %q has members", group), "only a group without members can be deleted"
		out.next = "See them: dmq group members " + group + "   Stop them first"
	case errors.Is(err, kerr.UnknownMemberID), errors.Is(err, kerr.RebalanceInProgress):
		out.what, out.why = fmt.Sprintf("group %q has members", group), "offsets of a group that is consuming can only be committed by its members"
		out.next = "See them: dmq group members " + group + "   Stop them first"
	case errors.Is(err, kerr.InvalidGroupID):
		out.what = fmt.Sprintf("%q cannot be a group's name", group)
	}
	return out
}

// groupHint says where to look for a group that does not exist, and which one may be meant.
func groupHint(ctx context.Context, adm *kadm.Client, group string) string {
	next := "List all: dmq group list"
	if near := nearest(group, groupNames(ctx, adm)); near != "" {
		return fmt.Sprintf("Did you mean %q?   %s", near, next)
	}
	return next
}

// groupNames lists the groups as far as it can be done at once; it is for hints and completion.
func groupNames(ctx context.Context, adm *kadm.Client) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	groups, err := adm.ListGroups(ctx)
	if err != nil && len(groups) == 0 {
		return nil
	}
	return groups.Groups()
}
