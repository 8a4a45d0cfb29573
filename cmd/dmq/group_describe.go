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
)

// describedGroup is a group of either protocol as its coordinator shows it.
type describedGroup struct {
	Name            string            `json:"name"`
	Type            string            `json:"type"` // classic or consumer
	State           string            `json:"state"`
	ProtocolType    string            `json:"protocol_type"` // what its members say they are; "" for a group that only keeps offsets
	Assignor        string            `json:"assignor"`
	Epoch           *int32            `json:"epoch"`            // of a consumer group; null: classic
	AssignmentEpoch *int32            `json:"assignment_epoch"` // likewise
	Coordinator     int32             `json:"coordinator"`
	Members         []describedMember `json:"members"`
}

type describedMember struct {
	MemberID        string          `json:"member_id"`
	InstanceID      *string         `json:"instance_id"` // of a static member
	ClientID        string          `json:"client_id"`
	Host            string          `json:"host"`
	Rack            *string         `json:"rack"`
	Epoch           *int32          `json:"epoch"` // in a consumer group
	Subscribed      []string        `json:"subscribed_topics"`
	SubscribedRegex *string         `json:"subscribed_regex"`
	Assignment      []assignedTopic `json:"assignment"`
	Target          []assignedTopic `json:"target_assignment"` // what it is to have; in a classic group the same

	label string // what tables call it: short, and unique in the group
}

type assignedTopic struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// describeGroups describes groups of both protocols. As Kafka's own tools do, it asks for consumer groups first and, where
// there is none of a name, for a classic one.
func describeGroups(ctx context.Context, adm *kadm.Client, names []string) (map[string]describedGroup, map[string]error) {
	groups, errs := make(map[string]describedGroup), make(map[string]error)
	var classic []string
	consumers, _ := adm.DescribeConsumerGroups(ctx, names...) // brokers that do not know of consumer groups have classic ones only
	for _, name := range names {
		if g, ok := consumers[name]; ok && g.Err == nil {
			groups[name] = fromConsumerGroup(g)
			continue
		}
		classic = append(classic, name)
	}
	if len(classic) == 0 {
		return groups, errs
	}
	described, err := adm.DescribeGroups(ctx, classic...)
	for _, name := range classic {
		g, ok := described[name]
		switch {
		case !ok:
			errs[name] = shardCause(err)
		case g.Err != nil:
			errs[name] = g.Err
			if g.ErrMessage != "" && !errors.Is(g.Err, kerr.GroupIDNotFound) {
				errs[name] = fmt.Errorf("%s: %w", g.ErrMessage, g.Err)
			}
		case g.State == "Dead": // how brokers before 4.0 say that there is none
			errs[name] = kerr.GroupIDNotFound
		default:
			groups[name] = fromClassicGroup(g)
		}
	}
	return groups, errs
}

// oneGroup describes a group, or words why that cannot be done.
func (a *app) oneGroup(ctx context.Context, adm *kadm.Client, name string) (describedGroup, error) {
	groups, errs := describeGroups(ctx, adm, []string{name})
	if err := errs[name]; err != nil {
		return describedGroup{}, groupFailure(ctx, adm, name, err, "")
	}
	return groups[name], nil
}

func fromConsumerGroup(g kadm.DescribedConsumerGroup) describedGroup {
	out := describedGroup{
		Name: g.Group, Type: "consumer", State: g.State, ProtocolType: "consumer", Assignor: g.AssignorName, Epoch: &g.Epoch, AssignmentEpoch: &g.AssignmentEpoch,
		Coordinator: g.Coordinator.NodeID, Members: []describedMember{},
	}
	for _, m := range g.Members {
		out.Members = append(out.Members, describedMember{
			MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost, Rack: m.RackID, Epoch: &m.MemberEpoch,
			Subscribed: sortedOrEmpty(m.SubscribedTopics), SubscribedRegex: orNull(m.SubscribedTopicRegex),
			Assignment: assignedTopics(m.Assignment), Target: assignedTopics(m.TargetAssignment),
		})
	}
	label(out.Members)
	return out
}

func fromClassicGroup(g kadm.DescribedGroup) describedGroup {
	out := describedGroup{
		Name: g.Group, Type: "classic", State: g.State, ProtocolType: g.ProtocolType, Assignor: g.Protocol, Coordinator: g.Coordinator.NodeID, Members: []describedMember{},
	}
	for _, m := range g.Members {
		assigned := make(kadm.TopicsSet)
		if c, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range c.Topics {
				assigned.Add(t.Topic, t.Partitions...)
			}
		}
		var subscribed []string
		if c, ok := m.Join.AsConsumer(); ok {
			subscribed = c.Topics
		}
		topics := assignedTopics(assigned)
		out.Members = append(out.Members, describedMember{
			MemberID: m.MemberID, InstanceID: m.InstanceID, ClientID: m.ClientID, Host: m.ClientHost,
			Subscribed: sortedOrEmpty(subscribed), Assignment: topics, Target: topics,
		})
	}
	label(out.Members)
	return out
}

// orNull makes an empty text null: an empty regular expression is none.
func orNull(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}

func sortedOrEmpty(list []string) []string {
	out := slices.Concat([]string{}, list)
	slices.Sort(out)
	return out
}

func assignedTopics(set kadm.TopicsSet) []assignedTopic {
	out := []assignedTopic{}
	for _, tp := range sortedPartitions(set) {
		if n := len(out); n == 0 || out[n-1].Topic != tp.topic {
			out = append(out, assignedTopic{Topic: tp.topic})
		}
		last := &out[len(out)-1]
		last.Partitions = append(last.Partitions, tp.partition)
	}
	return out
}

// idDigits is how much of a member id is enough to tell members of one client id apart.
const idDigits = 8

// label gives the members short names: the instance id of a static one, else the client id, and where that is not unique
// also the beginning of what is unique in the member id.
func label(members []describedMember) {
	count := make(map[string]int)
	for i := range members {
		m := &members[i]
		m.label = m.ClientID
		if m.InstanceID != nil && *m.InstanceID != "" {
			m.label = *m.InstanceID
		}
		count[m.label]++
	}
	for i := range members {
		m := &members[i]
		if count[m.label] == 1 && m.label != "" {
			continue
		}
		id := strings.TrimPrefix(strings.TrimPrefix(m.MemberID, m.label), "-")
		m.label = strings.TrimPrefix(m.label+"/"+id[:min(idDigits, len(id))], "/")
	}
}

// partitions counts what a member consumes.
func (m describedMember) partitions() int {
	n := 0
	for _, t := range m.Assignment {
		n += len(t.Partitions)
	}
	return n
}

// assignment is in words what a member consumes: orders:0,1 refunds:2.
func assignment(topics []assignedTopic) string {
	out := make([]string, len(topics))
	for i, t := range topics {
		out[i] = t.Topic + ":" + ids(t.Partitions)
	}
	return strings.Join(out, " ")
}

func newGroupMembers(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "members GROUP", Short: "Show who is in a group and what each consumes",
		Example: "  dmq group members billing\n  dmq group members billing -o wide",
		Args:    args(1, 1, "the name of a group"), ValidArgsFunction: a.groupCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				g, err := a.oneGroup(ctx, adm, names[0])
				if err != nil {
					return err
				}
				return a.print(memberResult(g))
			})
		},
	}
}

func memberResult(g describedGroup) result {
	r := result{value: g.Members}
	table := grid{header: []string{"MEMBER", "CLIENT", "HOST", "PARTITIONS", "ASSIGNMENT", "MEMBER-ID", "EPOCH", "SUBSCRIBED", "TARGET"}, wide: 5, numeric: []int{3, 6}}
	for _, m := range g.Members {
		r.names = append(r.names, m.MemberID)
		epoch := any("-")
		if m.Epoch != nil {
			epoch = *m.Epoch
		}
		subscribed := strings.Join(m.Subscribed, ",")
		if m.SubscribedRegex != nil {
			subscribed = strings.TrimPrefix(subscribed+",/"+*m.SubscribedRegex+"/", ",")
		}
		table.rows = append(table.rows, []any{
			m.label, m.ClientID, strings.TrimPrefix(m.Host, "/"), m.partitions(), orDash(assignment(m.Assignment)),
			m.MemberID, epoch, orDash(subscribed), orDash(assignment(m.Target)),
		})
	}
	r.table = []grid{table}
	return r
}

// groupWithLag is a group and how far it has come.
type groupWithLag struct {
	describedGroup

	TotalLag   int64          `json:"total_lag"` // of what has a committed offset
	Partitions []partitionLag `json:"partitions"`
}

func newGroupDescribe(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "describe GROUP...", Short: "Show state, members, committed offsets and lag of groups",
		Example: "  dmq group describe billing\n  dmq group describe billing -o json",
		Args:    args(1, -1, "the name of a group"), ValidArgsFunction: a.groupCompletion(-1),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error { return a.showGroups(ctx, adm, names) })
		},
	}
}

func (a *app) showGroups(ctx context.Context, adm *kadm.Client, names []string) error {
	groups, errs := describeGroups(ctx, adm, names)
	r := result{}
	shown := []groupWithLag{}
	var failures []*failure
	for _, name := range names {
		g, ok := groups[name]
		if !ok {
			failures = append(failures, groupFailure(ctx, adm, name, errs[name], ""))
			continue
		}
		lag, err := lagOf(ctx, adm, g)
		if err != nil {
			failures = append(failures, groupFailure(ctx, adm, name, err, ""))
			continue
		}
		shown = append(shown, groupWithLag{describedGroup: g, TotalLag: totalLag(lag), Partitions: lag})
		r.names = append(r.names, name)
		r.table = append(r.table, groupGrid(g, lag))
	}
	if len(shown) > 0 {
		r.value = shown
		if err := a.print(r); err != nil {
			return err
		}
	}
	return several(len(shown), failures)
}

func groupGrid(g describedGroup, lag []partitionLag) grid {
	facts := []string{g.Type, g.State, count(len(g.Members), "member")}
	if g.Assignor != "" {
		facts = append(facts, "assignor "+g.Assignor)
	}
	if g.Epoch != nil {
		facts = append(facts, fmt.Sprintf("epoch %d", *g.Epoch))
	}
	facts = append(facts, lagText(lag), fmt.Sprintf("coordinator %d", g.Coordinator))
	t := grid{
		title:  fmt.Sprintf("%s  (%s)", g.Name, strings.Join(facts, ", ")),
		header: []string{"TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER", "START", "HOST", "METADATA"}, wide: 6, numeric: []int{1, 2, 3, 4, 6},
	}
	for _, p := range lag {
		host := ""
		if p.member != nil {
			host = strings.TrimPrefix(p.member.Host, "/")
		}
		t.rows = append(t.rows, []any{p.Topic, p.Partition, orUnknown(p.Committed), p.end(), orUnknown(p.Lag), p.owner(), orUnknown(p.Start), orDash(host), orDash(p.Metadata)})
	}
	return t
}

// lagText is the lag of a group in words. A partition without a committed offset has none: where its consumers begin is theirs
// to say.
func lagText(lag []partitionLag) string {
	text, without := fmt.Sprintf("lag %d", totalLag(lag)), 0
	for _, p := range lag {
		if p.Committed == nil {
			without++
		}
	}
	if without > 0 {
		text += fmt.Sprintf(" and %s without a commit", count(without, "partition"))
	}
	return text
}

// orUnknown is a number, or "-" where there is none.
func orUnknown(n *int64) any {
	if n == nil {
		return "-"
	}
	return *n
}

// count is a number of things in words.
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
