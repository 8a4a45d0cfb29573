package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// partitionLag is how far a group has come in one partition. What is not known, or does not exist, is null.
type partitionLag struct {
	Topic         string   `json:"topic"`
	Partition     int32    `json:"partition"`
	Committed     *int64   `json:"committed"` // the next offset to consume
	Start         *int64   `json:"start"`
	End           *int64   `json:"end"` // the high watermark
	Lag           *int64   `json:"lag"`
	BehindSeconds *float64 `json:"behind_seconds,omitempty"` // the age of the first record that is not consumed; 0 with no lag
	MemberID      *string  `json:"member_id"`                // who consumes it now
	ClientID      *string  `json:"client_id"`
	Metadata      string   `json:"metadata"`
	Error         string   `json:"error,omitempty"` // why the end is not known

	member *describedMember
}

func (p partitionLag) topicPartition() topicPartition {
	return topicPartition{p.Topic, p.Partition}
}

// owner is the member's name in tables.
func (p partitionLag) owner() string {
	if p.member == nil {
		return "-"
	}
	return p.member.label
}

// end is the end in tables, or in short why there is none.
func (p partitionLag) end() any {
	if p.End == nil && p.Error != "" {
		return "(" + p.Error + ")"
	}
	return orUnknown(p.End)
}

// lagOf finds how far a group has come in everything that it has committed or is consuming, sorted.
func lagOf(ctx context.Context, adm *kadm.Client, g describedGroup) ([]partitionLag, error) {
	committed, err := adm.FetchOffsets(ctx, g.Name)
	if err != nil {
		return nil, err
	}
	owners := make(map[topicPartition]*describedMember)
	all := committed.Partitions()
	for i := range g.Members {
		for _, t := range g.Members[i].Assignment {
			all.Add(t.Topic, t.Partitions...)
			for _, p := range t.Partitions {
				owners[topicPartition{t.Topic, p}] = &g.Members[i]
			}
		}
	}
	out := []partitionLag{}
	if len(all) == 0 {
		return out, nil
	}
	starts, _ := adm.ListStartOffsets(ctx, all.Topics()...) // what could not be listed is shown as not known
	ends, _ := adm.ListEndOffsets(ctx, all.Topics()...)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, tp := range sortedPartitions(all) {
		p := partitionLag{Topic: tp.topic, Partition: tp.partition, member: owners[tp]}
		if p.member != nil {
			p.MemberID, p.ClientID = &p.member.MemberID, &p.member.ClientID
		}
		if c, ok := committed.Lookup(tp.topic, tp.partition); ok && c.Err == nil && c.At >= 0 {
			p.Committed, p.Metadata = &c.At, c.Metadata
		}
		p.Start, _ = listed(starts, tp)
		p.End, p.Error = listed(ends, tp)
		if p.Committed != nil && p.End != nil {
			lag := max(0, *p.End-*p.Committed)
			p.Lag = &lag
		}
		out = append(out, p)
	}
	return out, nil
}

// listed is an offset that was asked for, or why it is not known.
func listed(offsets kadm.ListedOffsets, tp topicPartition) (*int64, string) {
	o, ok := offsets.Lookup(tp.topic, tp.partition)
	if !ok {
		if o, ok = offsets.Lookup(tp.topic, -1); !ok { // a topic that does not exist is listed so
			return nil, "no answer"
		}
		if o.Err == nil {
			o.Err = kerr.UnknownTopicOrPartition
		}
	}
	if o.Err != nil {
		return nil, shortly(o.Err)
	}
	return &o.Offset, ""
}

// shortly is an error in a word or two.
func shortly(err error) string {
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		return "deleted"
	case errors.Is(err, kerr.LeaderNotAvailable), errors.Is(err, kerr.NotLeaderForPartition):
		return "no leader"
	}
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke.Message
	}
	return "no answer"
}

func totalLag(lag []partitionLag) int64 {
	var n int64
	for _, p := range lag {
		if p.Lag != nil {
			n += *p.Lag
		}
	}
	return n
}

type lagOptions struct {
	watch    bool
	interval timeoutFlag
	count    int
}

func newGroupLag(a *app) *cobra.Command {
	o := lagOptions{interval: timeoutFlag(time.Second)}
	cmd := &cobra.Command{
		Use: "lag GROUP", Short: "Show how far a group is behind, in records and in time",
		Long: `Show how far a group is behind in each partition. BEHIND is the age of the first record that the group has not consumed, by
the record's own timestamp; it is 0 when there is none.

--watch repeats it: on a terminal the table is redrawn in place with the trend of the lag, elsewhere there is a line for
each partition, or with -o json one object a line.`,
		Example: "  dmq group lag billing\n  dmq group lag billing --watch --interval 5s\n  dmq group lag billing --watch -o json | jq .total_lag",
		Args:    args(1, 1, "the name of a group"), ValidArgsFunction: a.groupCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if o.watch && (a.output == "yaml" || a.output == "name") {
				return usage("choose table, wide or json", "--watch cannot print %s", a.output)
			}
			cl, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			l := &lagView{a: a, cl: cl, adm: kadm.NewClient(cl), group: names[0], times: newUnreadTimes(), history: make(map[topicPartition][]int64)}
			if o.watch {
				return l.watch(cmd.Context(), o)
			}
			s, err := l.sample(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(s.result())
		},
	}
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "repeat until interrupted")
	cmd.Flags().Var(&o.interval, "interval", "with --watch: how often")
	cmd.Flags().IntVarP(&o.count, "num", "n", 0, "with --watch: stop after this many times; 0 is no limit")
	return cmd
}

// lagView samples one group again and again.
type lagView struct {
	a       *app
	cl      *kgo.Client
	adm     *kadm.Client
	group   string
	times   *unreadTimes
	history map[topicPartition][]int64 // the latest lags, for the trend
}

// lagSample is how far a group was at one time.
type lagSample struct {
	Time          time.Time      `json:"time"`
	Group         string         `json:"group"`
	State         string         `json:"state"`
	Members       int            `json:"members"`
	TotalLag      int64          `json:"total_lag"`
	BehindSeconds *float64       `json:"behind_seconds"` // of the partition that is furthest behind; null: not known
	Partitions    []partitionLag `json:"partitions"`
}

// sample takes no longer than --timeout.
func (l *lagView) sample(ctx context.Context) (lagSample, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(l.a.timeout))
	defer cancel()
	g, err := l.a.oneGroup(ctx, l.adm, l.group)
	if err != nil {
		return lagSample{}, err
	}
	lag, err := lagOf(ctx, l.adm, g)
	if err != nil {
		return lagSample{}, groupFailure(ctx, l.adm, l.group, err, "")
	}
	l.times.find(ctx, l.cl, l.adm, lag)
	now := time.Now()
	s := lagSample{Time: now.UTC().Truncate(time.Millisecond), Group: g.Name, State: g.State, Members: len(g.Members), TotalLag: totalLag(lag), Partitions: lag}
	for i := range lag {
		p := &lag[i]
		p.BehindSeconds = l.times.behind(*p, now)
		if p.BehindSeconds != nil && (s.BehindSeconds == nil || *p.BehindSeconds > *s.BehindSeconds) {
			s.BehindSeconds = p.BehindSeconds
		}
	}
	return s, nil
}

func (s lagSample) result() result {
	r := result{value: s, table: []grid{s.grid(nil)}}
	for _, p := range s.Partitions {
		r.names = append(r.names, fmt.Sprintf("%s:%d", p.Topic, p.Partition))
	}
	return r
}

// grid is the sample as a table; with trend it has one more column.
func (s lagSample) grid(trend func(topicPartition) string) grid {
	g := grid{header: []string{"TOPIC", "PART", "COMMITTED", "END", "LAG", "BEHIND", "MEMBER"}, numeric: []int{1, 2, 3, 4, 5}}
	if trend != nil {
		g.header = append(g.header, "TREND")
	}
	for _, p := range s.Partitions {
		end := p.end()
		if p.End != nil {
			end = grouped(p.End)
		}
		row := []any{p.Topic, p.Partition, grouped(p.Committed), end, grouped(p.Lag), behindText(p.BehindSeconds), p.owner()}
		if trend != nil {
			row = append(row, trend(p.topicPartition()))
		}
		g.rows = append(g.rows, row)
	}
	return g
}

// grouped is a number with commas, or "-".
func grouped(n *int64) string {
	if n == nil {
		return "-"
	}
	return humanize.Comma(*n)
}

// behindText is a duration as people say it: 0s, 1.4s, 42s, 3m12s, 5h02m, 3d04h.
func behindText(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d == 0:
		return "0s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// trendLength is how many samples a trend shows.
const trendLength = 8

// remember adds a sample to the trends, and forgets partitions that are gone.
func (l *lagView) remember(s lagSample) {
	next := make(map[topicPartition][]int64, len(s.Partitions))
	for _, p := range s.Partitions {
		h := l.history[p.topicPartition()]
		if p.Lag != nil {
			h = append(h, *p.Lag)
		}
		next[p.topicPartition()] = h[max(0, len(h)-trendLength):]
	}
	l.history = next
}

// sparkline draws numbers from 0 to the greatest of them.
func sparkline(values []int64, unicode bool) string {
	steps := []rune("_.-=+*%#")
	if unicode {
		steps = []rune("▁▂▃▄▅▆▇█")
	}
	if len(values) == 0 {
		return ""
	}
	top := slices.Max(values)
	var b strings.Builder
	for _, v := range values {
		i := 0
		if top > 0 {
			i = int(float64(v) / float64(top) * float64(len(steps)-1))
		}
		b.WriteRune(steps[i])
	}
	return b.String()
}
