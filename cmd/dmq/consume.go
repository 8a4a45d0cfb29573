package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type consumeOptions struct {
	format     string
	json       bool
	from       string
	follow     bool
	count      int64
	partitions []int32
	committed  bool

	group         string
	groupProtocol string
}

func newConsume(a *app) *cobra.Command {
	var o consumeOptions
	var urls *string
	cmd := &cobra.Command{
		Use: "consume TOPIC...", Short: "Print the records of topics", GroupID: "data",
		Long: `Print records: what is there now, or with --follow also what is to come.

--from is where to begin: start, end, an offset (17), how many before the end (-10), a time (@2026-01-31T12:00:00Z,
@1767225600000) or how long ago (@2h).

In --format %t is the topic, %p the partition, %o the offset, %k the key, %v the value, %d the timestamp, and
%h{%k=%v } the headers; \n and \t are newline and tab.

With --group this is a member of a consumer group: it reads what the group gives it, from where the group has committed
(--from is for partitions where it has committed nothing), and commits what it has printed. Records may be printed again
after a crash, but none is left out.`,
		Example: `  dmq consume greetings
  dmq consume orders --from -10 --follow
  dmq consume orders --from @2h -f '%p/%o %d{strftime[%T]} %k %v\n'
  dmq consume orders --json -n 1
  dmq consume orders --group billing --follow`,
		Args: args(1, -1, "the name of a topic"), ValidArgsFunction: a.topicCompletion(-1),
		RunE: func(cmd *cobra.Command, topics []string) error {
			if *urls != "" {
				return a.consumeREST(cmd.Context(), *urls, topics, o)
			}
			return a.consume(cmd.Context(), topics, o)
		},
	}
	urls = adminFlag(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.format, "format", "f", "", `how a record is printed (default '%v\n')`)
	f.BoolVar(&o.json, "json", false, "print each record as a JSON object on a line of its own")
	f.StringVar(&o.from, "from", "start", "start, end, OFFSET, -N, @TIME or @AGO")
	f.BoolVarP(&o.follow, "follow", "F", false, "wait for new records; --from end implies it")
	f.Int64VarP(&o.count, "num", "n", 0, "stop after this many records; 0 is no limit")
	f.Int32SliceVarP(&o.partitions, "partition", "p", nil, "only these partitions")
	f.BoolVar(&o.committed, "read-committed", false, "leave out records of open and aborted transactions")
	f.StringVarP(&o.group, "group", "g", "", "read as a member of this group, and commit")
	f.StringVar(&o.groupProtocol, "group-protocol", "classic", "how the group is coordinated: classic, or consumer (KIP-848)")
	complete(cmd, "group-protocol", []string{"classic", "consumer"})
	if err := cmd.RegisterFlagCompletionFunc("group", func(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		return a.liveGroups(cmd.Context(), prefix), cobra.ShellCompDirectiveNoFileComp
	}); err != nil {
		panic(err) // the flag does not exist
	}
	complete(cmd, "from", []string{"start", "end", "-10", "@1h"})
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	return cmd
}

// printer appends one record in the form the user asked for.
type printer func(dst []byte, r *kgo.Record) []byte

func (a *app) printer(o consumeOptions) (printer, error) {
	format := o.format
	switch {
	case o.json, a.output == "json":
		return appendJSON, nil
	case a.output == "yaml", a.output == "name":
		return nil, usage("choose table, wide or json", "records cannot be printed as %s", a.output)
	case format == "" && a.output == "wide":
		format = `%t-%p@%o %d{go[2006-01-02T15:04:05.000Z]} %k %v\n`
	case format == "":
		return func(dst []byte, r *kgo.Record) []byte { return append(append(dst, r.Value...), '\n') }, nil
	}
	f, err := kgo.NewRecordFormatter(format)
	if err != nil {
		return nil, usage(`for example '%k %v\n'`, "the format cannot be read: %s", err)
	}
	return f.AppendRecord, nil
}

func appendJSON(dst []byte, r *kgo.Record) []byte {
	j := jsonRecord{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset, Timestamp: r.Timestamp.UTC().Format("2006-01-02T15:04:05.000Z"), Headers: []jsonHeader{}}
	j.Key, j.KeyBase64 = jsonBytes(r.Key)
	j.Value, j.ValueBase64 = jsonBytes(r.Value)
	for _, h := range r.Headers {
		value, encoded := jsonBytes(h.Value)
		j.Headers = append(j.Headers, jsonHeader{Key: strings.ToValidUTF8(h.Key, "\uFFFD"), Value: value, ValueBase64: encoded})
	}
	line, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(append(dst, line...), '\n')
}

// jsonBytes is bytes as text, or in base64 when they are not UTF-8.
func jsonBytes(b []byte) (*string, string) {
	if b == nil {
		return nil, ""
	}
	if utf8.Valid(b) {
		s := string(b)
		return &s, ""
	}
	return nil, base64.StdEncoding.EncodeToString(b)
}

func (a *app) consume(ctx context.Context, topics []string, o consumeOptions) error {
	show, err := a.printer(o)
	if err != nil {
		return err
	}
	begin, err := parseFrom(o.from, time.Now())
	if err != nil {
		return err
	}
	o.follow = o.follow || begin.end && begin.back == 0
	if o.group != "" {
		return a.consumeGroup(ctx, topics, begin, show, o)
	}
	opts := []kgo.Opt{kgo.KeepControlRecords(), kgo.FetchMaxWait(time.Second)}
	if o.committed {
		opts = append(opts, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	cl, err := a.client(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	rest, err := a.resolve(ctx, cl, topics, begin, o)
	if err != nil {
		return err
	}
	if len(rest) == 0 && !o.follow {
		return nil
	}
	return a.follow(ctx, cl, rest, show, o)
}

// ends is the offset each partition is read up to, exclusive.
type ends map[string]map[int32]int64

// resolve turns --from into offsets, hands the partitions to the client, and returns where each ends for now. Without
// --follow, partitions with nothing to read are left out.
func (a *app) resolve(ctx context.Context, cl *kgo.Client, topics []string, begin position, o consumeOptions) (ends, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	adm := kadm.NewClient(cl)
	details, err := existing(ctx, adm, topics)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		for _, p := range o.partitions {
			if _, ok := details[t].Partitions[p]; !ok {
				return nil, noPartition(topicPartition{t, p})
			}
		}
	}
	first, last, timed, err := bounds(ctx, adm, topics, begin)
	if err != nil {
		return nil, err
	}
	rest, assigned := ends{}, map[string]map[int32]kgo.Offset{}
	for _, t := range topics {
		rest[t], assigned[t] = map[int32]int64{}, map[int32]kgo.Offset{}
		for p := range details[t].Partitions {
			if len(o.partitions) > 0 && !slices.Contains(o.partitions, p) {
				continue
			}
			from, to, ok := window(begin, t, p, first, last, timed)
			if !ok {
				return nil, &failure{code: codeUnreachable, what: fmt.Sprintf("the offsets of %s-%d cannot be read now", t, p), next: "See it: dmq topic describe " + t}
			}
			if from < to || o.follow {
				assigned[t][p], rest[t][p] = kgo.NewOffset().At(from), to
			}
		}
		if len(assigned[t]) == 0 {
			delete(assigned, t)
			delete(rest, t)
		}
	}
	cl.AddConsumePartitions(assigned)
	return rest, nil
}

// existing looks topics up.
func existing(ctx context.Context, adm *kadm.Client, topics []string) (kadm.TopicDetails, error) {
	details, err := adm.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		switch d, ok := details[t]; {
		case !ok:
			return nil, topicFailure(ctx, adm, t, kerr.UnknownTopicOrPartition, "")
		case d.Err != nil:
			return nil, topicFailure(ctx, adm, t, d.Err, "")
		}
	}
	return details, nil
}

// bounds are where the partitions of topics begin and end, and where the time to begin at is, if there is one.
func bounds(ctx context.Context, adm *kadm.Client, topics []string, begin position) (first, last, timed kadm.ListedOffsets, err error) {
	if first, err = adm.ListStartOffsets(ctx, topics...); err != nil {
		return nil, nil, nil, err
	}
	if last, err = adm.ListEndOffsets(ctx, topics...); err != nil {
		return nil, nil, nil, err
	}
	if begin.timed {
		timed, err = adm.ListOffsetsAfterMilli(ctx, begin.millis, topics...)
	}
	return first, last, timed, err
}

// window is the range of offsets to read of one partition.
func window(begin position, t string, p int32, first, last, timed kadm.ListedOffsets) (from, to int64, ok bool) {
	f, okFirst := first.Lookup(t, p)
	l, okLast := last.Lookup(t, p)
	if !okFirst || !okLast || f.Err != nil || l.Err != nil {
		return 0, 0, false
	}
	switch {
	case begin.timed:
		at, okTimed := timed.Lookup(t, p)
		if !okTimed || at.Err != nil {
			return 0, 0, false
		}
		from = at.Offset
	case begin.end:
		from = l.Offset - begin.back
	case begin.start:
		from = f.Offset
	default:
		from = begin.offset
	}
	return min(max(from, f.Offset), l.Offset), l.Offset, true
}

// follow prints records until every partition has been read to its end, or for ever.
func (a *app) follow(ctx context.Context, cl *kgo.Client, rest ends, show printer, o consumeOptions) error {
	out := bufio.NewWriterSize(a.out, 64<<10)
	var line []byte
	printed := int64(0)
	for {
		fetches, err := a.poll(ctx, cl, o)
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		for _, e := range fetches.Errors() {
			if !errors.Is(e.Err, context.Canceled) {
				return errors.Join(topicFailure(ctx, kadm.NewClient(cl), e.Topic, e.Err, ""), out.Flush())
			}
		}
		for records := fetches.RecordIter(); !records.Done(); {
			r := records.Next()
			to, open := rest[r.Topic][r.Partition]
			if !o.follow && (!open || r.Offset >= to) {
				continue
			}
			if !r.Attrs.IsControl() {
				line = show(line[:0], r)
				if _, err := out.Write(line); err != nil {
					return err
				}
				if printed++; printed == o.count {
					return out.Flush()
				}
			}
			if !o.follow && r.Offset+1 >= to {
				delete(rest[r.Topic], r.Partition)
				if len(rest[r.Topic]) == 0 {
					delete(rest, r.Topic)
				}
			}
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if !o.follow && len(rest) == 0 {
			return nil
		}
	}
}

// poll waits for records. When everything asked for exists, an answer must come within --timeout.
func (a *app) poll(ctx context.Context, cl *kgo.Client, o consumeOptions) (kgo.Fetches, error) {
	if o.follow {
		return cl.PollFetches(ctx), ctx.Err()
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(a.timeout))
	defer cancel()
	fetches := cl.PollFetches(waiting)
	if ctx.Err() == nil && waiting.Err() != nil && fetches.NumRecords() == 0 {
		return nil, &failure{code: codeUnreachable, what: fmt.Sprintf("no records within %s", time.Duration(a.timeout)), next: "Wait longer: --timeout 5m"}
	}
	return fetches, ctx.Err()
}

// position is where reading begins.
type position struct {
	start  bool
	end    bool
	back   int64 // with end: this many before it
	timed  bool
	millis int64
	offset int64
}

// parseFrom reads --from.
func parseFrom(s string, now time.Time) (position, error) {
	switch s {
	case "start", "beginning", "oldest", "earliest":
		return position{start: true}, nil
	case "end", "newest", "latest":
		return position{end: true}, nil
	}
	if text, ok := strings.CutPrefix(s, "@"); ok {
		if millis, ok := parseTime(text); ok {
			return position{timed: true, millis: millis}, nil
		}
		if d, err := time.ParseDuration(strings.TrimPrefix(text, "-")); err == nil {
			return position{timed: true, millis: now.Add(-d).UnixMilli()}, nil
		}
	} else if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		if n < 0 || strings.HasPrefix(s, "-") {
			return position{end: true, back: -n}, nil
		}
		return position{offset: n}, nil
	}
	return position{}, usage("use start, end, 17, -10, @2h or @2026-01-31T12:00:00Z", "%q is not a place to begin", s)
}

// parseTime reads milliseconds since 1970, or a date with or without a time and a zone. Without a zone it is local.
func parseTime(text string) (millis int64, ok bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, n >= 0
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
