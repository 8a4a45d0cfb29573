package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

type resetOptions struct {
	toEarliest, toLatest, toCurrent bool
	toDatetime, byDuration          string
	toOffset, shiftBy               int64
	fromFile                        string

	topics    []string
	allTopics bool
	execute   bool
	export    bool
}

// resetModes are the flags of which there has to be one.
func resetModes() []string {
	return []string{"to-earliest", "to-latest", "to-current", "to-datetime", "to-offset", "by-duration", "shift-by", "from-file"}
}

func newGroupReset(a *app) *cobra.Command {
	var o resetOptions
	cmd := &cobra.Command{
		Use: "reset GROUP (--topic TOPIC[:0,1]... | --all-topics) --to-… [--execute]", Short: "Set where a group continues: a plan, unless --execute",
		Long: `Set the committed offsets of a group that has no members. Without --execute the plan is shown and nothing changes.

Offsets outside of a partition's log become its start or its end. A time means the first record that is not older; where
there is none, the end. Times without a zone are local. A group that does not exist yet is created by its offsets.

--from-file reads lines of topic,partition,offset (or group,topic,partition,offset), as --export and Kafka's tool write
them; "-" is standard input.`,
		Example: `  dmq group reset billing --all-topics --to-earliest
  dmq group reset billing --topic orders:0,1 --to-offset 1200 --execute
  dmq group reset billing --topic orders --to-datetime 2026-01-31T12:00:00Z --execute
  dmq group reset billing --all-topics --by-duration 2h
  dmq group reset billing --all-topics --to-current --export > before.csv`,
		Args: args(1, 1, "the name of a group"), ValidArgsFunction: a.groupCompletion(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			mode, err := chosenMode(cmd, o)
			if err != nil {
				return err
			}
			return a.admin(cmd.Context(), func(ctx context.Context, adm *kadm.Client) error {
				r := &reset{a: a, adm: adm, group: names[0], mode: mode, o: o}
				return r.run(ctx)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.toEarliest, "to-earliest", false, "to the start of the log")
	f.BoolVar(&o.toLatest, "to-latest", false, "to the end of the log")
	f.BoolVar(&o.toCurrent, "to-current", false, "to what is committed, and the end where nothing is")
	f.StringVar(&o.toDatetime, "to-datetime", "", "to a time: 2026-01-31T12:00:00Z, or milliseconds since 1970")
	f.Int64Var(&o.toOffset, "to-offset", 0, "to an offset")
	f.StringVar(&o.byDuration, "by-duration", "", "to a time before now: 2h, 7d, PT2H")
	f.Int64Var(&o.shiftBy, "shift-by", 0, "forward by this many offsets, back with a negative number")
	f.StringVar(&o.fromFile, "from-file", "", "to the offsets in a file")
	a.addTopicFlag(cmd, &o.topics)
	f.BoolVar(&o.allTopics, "all-topics", false, "everything that the group has committed")
	f.BoolVarP(&o.execute, "execute", "x", false, "do it")
	f.BoolVar(&o.export, "export", false, "print the plan as topic,partition,offset, for --from-file")
	if err := cmd.MarkFlagFilename("from-file", "csv"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// chosenMode checks what belongs together.
func chosenMode(cmd *cobra.Command, o resetOptions) (string, error) {
	var modes []string
	for _, m := range resetModes() {
		if cmd.Flags().Changed(m) {
			modes = append(modes, m)
		}
	}
	list := "--" + strings.Join(resetModes(), ", --")
	switch {
	case len(modes) == 0:
		return "", usage("choose one of "+list, "where to is not said")
	case len(modes) > 1:
		return "", usage("choose one of "+list, "--%s cannot be used together", strings.Join(modes, " and --"))
	case modes[0] == "from-file" && (o.allTopics || len(o.topics) > 0):
		return "", usage("leave out --topic and --all-topics: the file says it", "--from-file names the partitions itself")
	case modes[0] == "from-file":
	case o.allTopics && len(o.topics) > 0:
		return "", usage("choose one of them", "--topic and --all-topics cannot be used together")
	case !o.allTopics && len(o.topics) == 0:
		return "", usage("for example --topic orders, --topic orders:0,1 or --all-topics", "which topics is not said")
	}
	return modes[0], nil
}

// reset is one run of the command.
type reset struct {
	a     *app
	adm   *kadm.Client
	group string
	mode  string
	o     resetOptions

	committed    kadm.OffsetResponses
	starts, ends kadm.ListedOffsets
	timed        kadm.ListedOffsets       // with a time
	file         map[topicPartition]int64 // with a file
}

type plannedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Current   *int64 `json:"current"` // null: nothing is committed
	New       int64  `json:"new"`
	Note      string `json:"note,omitempty"` // when it is not quite what was asked for
}

func (r *reset) run(ctx context.Context) error {
	exists, err := r.checkGroup(ctx)
	if err != nil {
		return err
	}
	partitions, err := r.partitions(ctx)
	if err != nil {
		return err
	}
	if !exists && len(partitions) == 0 {
		return groupFailure(ctx, r.adm, r.group, kerr.GroupIDNotFound, "")
	}
	if len(partitions) == 0 {
		return &failure{code: codeNotFound, what: fmt.Sprintf("group %q has committed nothing", r.group), next: "Name the topics: --topic orders"}
	}
	if err := r.list(ctx, partitions); err != nil {
		return err
	}
	var plan []plannedOffset
	for _, tp := range partitions {
		p, err := r.plan(tp)
		if err != nil {
			return err
		}
		plan = append(plan, p)
	}
	if !r.o.execute {
		if err := r.print(plan); err != nil {
			return err
		}
		if !exists {
			r.a.say("There is no group %q: its offsets would create it. %s\n", r.group, groupHint(ctx, r.adm, r.group))
		}
		if !r.o.export {
			r.a.say("Nothing was changed. Do it: --execute\n")
		}
		return nil
	}
	done, err := r.commit(ctx, plan)
	if len(done) > 0 || err == nil {
		err = errors.Join(r.print(done), err)
	}
	return err
}

// checkGroup refuses a group with members: their next commit would undo the reset.
func (r *reset) checkGroup(ctx context.Context) (exists bool, err error) {
	groups, errs := describeGroups(ctx, r.adm, []string{r.group})
	switch err := errs[r.group]; {
	case errors.Is(err, kerr.GroupIDNotFound):
		return false, nil
	case err != nil:
		return false, groupFailure(ctx, r.adm, r.group, err, "")
	}
	g := groups[r.group]
	if g.State == "Empty" || g.State == "Dead" {
		return true, nil
	}
	return true, &failure{
		code: codeConflict, what: fmt.Sprintf("group %q is in use: it is %s with %s", r.group, g.State, count(len(g.Members), "member")),
		why:  "their next commit would undo the reset, so it is only done for a group without members",
		next: "See them: dmq group members " + r.group + "   Stop them first",
	}
}

// partitions are those that are to be reset, sorted.
func (r *reset) partitions(ctx context.Context) ([]topicPartition, error) {
	var err error
	if r.committed, err = r.adm.FetchOffsets(ctx, r.group); err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return nil, groupFailure(ctx, r.adm, r.group, err, "")
	}
	var out []topicPartition
	switch {
	case r.mode == "from-file":
		if r.file, err = r.readFile(); err != nil {
			return nil, err
		}
		for tp := range r.file {
			out = append(out, tp)
		}
	case r.o.allTopics:
		for _, o := range r.committed.Sorted() {
			if o.At >= 0 {
				out = append(out, topicPartition{o.Topic, o.Partition})
			}
		}
	default:
		selected, err := parseSelections(r.o.topics)
		if err != nil {
			return nil, err
		}
		if out, err = r.selected(ctx, selected); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, compareTopicPartitions)
	return slices.Compact(out), nil
}

// selected looks the partitions of topics up.
func (r *reset) selected(ctx context.Context, selected []selection) ([]topicPartition, error) {
	var names []string
	for _, s := range selected {
		names = append(names, s.topic)
	}
	topics, err := r.adm.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return nil, err
	}
	var out []topicPartition
	for _, s := range selected {
		d, ok := topics[s.topic]
		switch {
		case !ok:
			return nil, topicFailure(ctx, r.adm, s.topic, kerr.UnknownTopicOrPartition, "")
		case d.Err != nil:
			return nil, topicFailure(ctx, r.adm, s.topic, d.Err, "")
		}
		for _, p := range s.partitions {
			if _, ok := d.Partitions[p]; !ok {
				return nil, noPartition(topicPartition{s.topic, p})
			}
		}
		for p := range d.Partitions {
			if s.has(p) {
				out = append(out, topicPartition{s.topic, p})
			}
		}
	}
	return out, nil
}

func noPartition(tp topicPartition) error {
	return &failure{code: codeNotFound, what: fmt.Sprintf("topic %q has no partition %d", tp.topic, tp.partition), next: "See them: dmq topic describe " + tp.topic}
}

// readFile reads lines of topic,partition,offset or group,topic,partition,offset; those of other groups are left out.
func (r *reset) readFile() (map[topicPartition]int64, error) {
	data, err := r.a.readFile(r.o.fromFile)
	if err != nil {
		return nil, err
	}
	in := csv.NewReader(bytes.NewReader(data))
	in.FieldsPerRecord, in.Comment, in.TrimLeadingSpace = -1, '#', true
	out := make(map[topicPartition]int64)
	for {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usage("a line is for example orders,0,1200", "%s: %s", r.o.fromFile, err)
		}
		line, _ := in.FieldPos(0)
		if len(fields) == 4 {
			if fields[0] != r.group {
				continue
			}
			fields = fields[1:]
		}
		tp, offset, ok := planLine(fields)
		if !ok {
			return nil, usage("a line is for example orders,0,1200", "%s: line %d is not topic,partition,offset", r.o.fromFile, line)
		}
		if _, twice := out[tp]; twice {
			return nil, usage("leave one of them out", "%s: line %d names %s a second time", r.o.fromFile, line, tp)
		}
		out[tp] = offset
	}
	if len(out) == 0 {
		return nil, usage("a line is for example orders,0,1200", "%s has no offsets for group %q", r.o.fromFile, r.group)
	}
	return out, nil
}

func planLine(fields []string) (tp topicPartition, offset int64, ok bool) {
	if len(fields) != 3 {
		return tp, 0, false
	}
	partition, err := strconv.ParseInt(strings.TrimSpace(fields[1]), 10, 32)
	if err != nil || partition < 0 {
		return tp, 0, false
	}
	offset, err = strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
	if err != nil || offset < 0 || fields[0] == "" {
		return tp, 0, false
	}
	return topicPartition{strings.TrimSpace(fields[0]), int32(partition)}, offset, true
}

// readFile reads a file; "-" is standard input.
func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.in)
	}
	data, err := a.files(name)
	if err != nil {
		return nil, usage("", "%s", err)
	}
	return data, nil
}

// list finds the bounds of the partitions, and where a time is.
func (r *reset) list(ctx context.Context, partitions []topicPartition) error {
	set := make(kadm.TopicsSet)
	for _, tp := range partitions {
		set.Add(tp.topic, tp.partition)
	}
	topics := set.Topics()
	var err error
	if r.starts, err = r.adm.ListStartOffsets(ctx, topics...); err != nil && len(r.starts) == 0 {
		return shardCause(err)
	}
	if r.ends, err = r.adm.ListEndOffsets(ctx, topics...); err != nil && len(r.ends) == 0 {
		return shardCause(err)
	}
	millis, ok, err := r.time(time.Now())
	if err != nil || !ok {
		return err
	}
	r.a.say("Records since %s\n", time.UnixMilli(millis).UTC().Format(time.RFC3339))
	if r.timed, err = r.adm.ListOffsetsAfterMilli(ctx, millis, topics...); err != nil && len(r.timed) == 0 {
		return shardCause(err)
	}
	return nil
}

// time is the time to reset to, if it is a time.
func (r *reset) time(now time.Time) (millis int64, ok bool, err error) {
	switch r.mode {
	case "to-datetime":
		if millis, ok = parseTime(r.o.toDatetime); !ok {
			return 0, false, usage("for example 2026-01-31T12:00:00Z", "%q is not a time", r.o.toDatetime)
		}
		return millis, true, nil
	case "by-duration":
		d, err := parseDuration(r.o.byDuration)
		if err != nil {
			return 0, false, err
		}
		return now.Add(-d).UnixMilli(), true, nil
	}
	return 0, false, nil
}

// plan finds the new offset of a partition.
func (r *reset) plan(tp topicPartition) (plannedOffset, error) {
	start, why := listed(r.starts, tp)
	end, whyEnd := listed(r.ends, tp)
	if start == nil || end == nil {
		why = max(why, whyEnd)
		if why == "deleted" {
			return plannedOffset{}, noPartition(tp)
		}
		return plannedOffset{}, &failure{code: codeUnreachable, what: fmt.Sprintf("the offsets of %s cannot be read now: %s", tp, why), next: "See it: dmq topic describe " + tp.topic}
	}
	p := plannedOffset{Topic: tp.topic, Partition: tp.partition}
	if c, ok := r.committed.Lookup(tp.topic, tp.partition); ok && c.At >= 0 {
		p.Current = &c.At
	}
	var err error
	if p.New, p.Note, err = r.target(tp, p.Current, *start, *end); err != nil {
		return p, err
	}
	switch {
	case p.New < *start:
		p.New, p.Note = *start, fmt.Sprintf("%d is before the start", p.New)
	case p.New > *end:
		p.New, p.Note = *end, fmt.Sprintf("%d is beyond the end", p.New)
	}
	return p, nil
}

// target is what is asked for, before it is kept within the log.
func (r *reset) target(tp topicPartition, current *int64, start, end int64) (offset int64, note string, err error) {
	switch r.mode {
	case "to-earliest":
		return start, "", nil
	case "to-latest":
		return end, "", nil
	case "to-offset":
		return r.o.toOffset, "", nil
	case "from-file":
		return r.file[tp], "", nil
	case "to-current":
		if current == nil {
			return end, "nothing is committed", nil
		}
		return *current, "", nil
	case "shift-by":
		if current == nil {
			return 0, "", &failure{code: codeConflict, what: fmt.Sprintf("%s has no committed offset to shift", tp), next: "Leave it out, or say where to: --to-offset, --to-earliest, --to-latest"}
		}
		return shifted(*current, r.o.shiftBy), "", nil
	}
	at, ok := r.timed.Lookup(tp.topic, tp.partition)
	if !ok || at.Err != nil {
		return 0, "", &failure{code: codeUnreachable, what: fmt.Sprintf("the time cannot be looked up in %s now", tp), next: "See it: dmq topic describe " + tp.topic}
	}
	if at.Offset >= end {
		note = "no record since then"
	}
	return at.Offset, note, nil
}

// shifted adds without running over.
func shifted(offset, by int64) int64 {
	if sum := offset + by; by < 0 || sum >= offset {
		return sum
	}
	return 1<<63 - 1
}

// commit commits the plan and returns what of it was done.
func (r *reset) commit(ctx context.Context, plan []plannedOffset) ([]plannedOffset, error) {
	offsets := make(kadm.Offsets)
	for _, p := range plan {
		offsets.AddOffset(p.Topic, p.Partition, p.New, -1)
	}
	responses, err := r.adm.CommitOffsets(ctx, r.group, offsets)
	if err != nil {
		return nil, groupFailure(ctx, r.adm, r.group, err, "")
	}
	done := []plannedOffset{}
	var failures []*failure
	for _, p := range plan {
		c, ok := responses.Lookup(p.Topic, p.Partition)
		switch {
		case ok && c.Err == nil:
			done = append(done, p)
		case ok && (errors.Is(c.Err, kerr.UnknownMemberID) || errors.Is(c.Err, kerr.RebalanceInProgress)):
			return done, groupFailure(ctx, r.adm, r.group, c.Err, "") // a member has come meanwhile: the same for all partitions
		default:
			failures = append(failures, offsetFailure(r.group, topicPartition{p.Topic, p.Partition}, c.Err))
		}
	}
	return done, several(len(done), failures)
}

func (r *reset) print(plan []plannedOffset) error {
	if r.o.export {
		w := csv.NewWriter(r.a.out)
		for _, p := range plan {
			if err := w.Write([]string{p.Topic, strconv.Itoa(int(p.Partition)), strconv.FormatInt(p.New, 10)}); err != nil {
				return err
			}
		}
		w.Flush()
		return w.Error()
	}
	out := result{value: map[string]any{"group": r.group, "executed": r.o.execute, "partitions": plan}}
	g := grid{header: []string{"TOPIC", "PARTITION", "CURRENT", "NEW", "CHANGE"}, numeric: []int{1, 2, 3, 4}}
	if slices.ContainsFunc(plan, func(p plannedOffset) bool { return p.Note != "" }) {
		g.header = append(g.header, "NOTE")
	}
	for _, p := range plan {
		change := "-"
		if p.Current != nil {
			change = fmt.Sprintf("%+d", p.New-*p.Current)
		}
		g.rows = append(g.rows, []any{p.Topic, p.Partition, orUnknown(p.Current), p.New, change, p.Note}[:len(g.header)])
		out.names = append(out.names, fmt.Sprintf("%s:%d", p.Topic, p.Partition))
	}
	out.table = []grid{g}
	return r.a.print(out)
}

// selection is a topic, or some of its partitions.
type selection struct {
	topic      string
	partitions []int32 // empty: all
}

func (s selection) has(partition int32) bool {
	return len(s.partitions) == 0 || slices.Contains(s.partitions, partition)
}

func (s selection) String() string {
	if len(s.partitions) == 0 {
		return s.topic
	}
	return s.topic + ":" + ids(s.partitions)
}

// parseSelections reads TOPIC or TOPIC:0,1.
func parseSelections(list []string) ([]selection, error) {
	var out []selection
	for _, text := range list {
		topic, partitions, some := strings.Cut(text, ":")
		s := selection{topic: topic}
		for part := range strings.SplitSeq(partitions, ",") {
			if !some {
				break
			}
			n, err := strconv.ParseInt(part, 10, 32)
			if err != nil || n < 0 {
				return nil, usage("write --topic orders, or --topic orders:0,1", "%q is not a topic with partitions", text)
			}
			s.partitions = append(s.partitions, int32(n))
		}
		if topic == "" {
			return nil, usage("write --topic orders, or --topic orders:0,1", "%q names no topic", text)
		}
		out = append(out, s)
	}
	return out, nil
}

// addTopicFlag adds --topic, which may be repeated.
func (a *app) addTopicFlag(cmd *cobra.Command, topics *[]string) {
	cmd.Flags().StringArrayVar(topics, "topic", nil, "a topic, or some of its partitions: orders, orders:0,1; may be repeated")
	err := cmd.RegisterFlagCompletionFunc("topic", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.liveTopics(cmd.Context(), prefix), cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag does not exist
	}
}

var (
	isoDuration = regexp.MustCompile(`^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$`)
	days        = regexp.MustCompile(`^(\d{1,6})d`)
)

// parseDuration reads 2h30m, 7d, 1d12h, or Kafka's form of ISO 8601: P1DT2H30M.
func parseDuration(s string) (time.Duration, error) {
	text, long := s, time.Duration(0)
	if m := isoDuration.FindStringSubmatch(s); m != nil && s != "P" && !strings.HasSuffix(s, "T") {
		text = ""
		if m[1] != "" {
			text = m[1] + "d"
		}
		for i, unit := range []string{"h", "m", "s"} {
			if m[2+i] != "" {
				text += m[2+i] + unit
			}
		}
	}
	if m := days.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil || n > 36500 {
			return 0, usage("for example 2h, 7d or PT2H", "%q is not a duration", s)
		}
		long, text = time.Duration(n)*24*time.Hour, strings.TrimPrefix(text, m[0])
		if text == "" {
			return long, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || d > 36500*24*time.Hour {
		return 0, usage("for example 2h, 7d or PT2H", "%q is not a duration", s)
	}
	return long + d, nil
}
