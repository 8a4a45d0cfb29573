package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type produceOptions struct {
	format    string
	json      bool
	key       string
	keySet    bool
	headers   []string
	partition int32
	codec     string
	acks      string
	tombstone bool
	keep      bool
	maxBytes  int32
}

func newProduce(a *app) *cobra.Command {
	var o produceOptions
	var urls *string
	cmd := &cobra.Command{
		Use: "produce TOPIC", Short: "Write records from standard input", GroupID: "data",
		Long: `Write records from standard input, a record for each line unless --format says otherwise.

In --format %k is the key, %v the value, %p the partition, %h{...} headers; \n, \t and other text separate them. Sizes may
be given instead: %V{big32}%v reads a value behind its length. With --json each line is an object with key, value and
headers, as "dmq consume --json" prints them; partitions are chosen anew unless --keep-partitions is given.`,
		Example: `  echo hello | dmq produce greetings
  printf 'k1 v1\nk2 v2\n' | dmq produce orders -f '%k %v\n' -H source=cli
  dmq consume orders --json | dmq produce copy --json`,
		Args: args(1, 1, "the name of a topic"), ValidArgsFunction: a.topicCompletion(1),
		RunE: func(cmd *cobra.Command, given []string) error {
			o.keySet = cmd.Flags().Changed("key")
			if *urls != "" {
				return a.produceREST(cmd.Context(), *urls, given[0], o)
			}
			return a.produce(cmd.Context(), given[0], o)
		},
	}
	urls = adminFlag(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.format, "format", "f", `%v\n`, "how a record is read")
	f.BoolVar(&o.json, "json", false, "each line is a JSON object")
	f.StringVarP(&o.key, "key", "k", "", "the key of every record")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "key=value, a header of every record; may be repeated")
	f.Int32VarP(&o.partition, "partition", "p", -1, "write to this partition; -1 chooses by key")
	f.BoolVar(&o.keep, "keep-partitions", false, "with --json: write to the partition each record names")
	f.StringVarP(&o.codec, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&o.acks, "acks", "all", "wait for all in-sync replicas, for the leader (1), or not at all (0)")
	f.BoolVar(&o.tombstone, "tombstone", false, "an empty value is null and deletes its key in a compacted topic")
	f.Int32Var(&o.maxBytes, "max-bytes", 1000012, "the largest batch to send")
	complete(cmd, "compression", []string{"none", "gzip", "snappy", "lz4", "zstd"})
	complete(cmd, "acks", []string{"all", "1", "0"})
	cmd.MarkFlagsMutuallyExclusive("format", "json")
	return cmd
}

// options turns flags into what the client wants.
func (o produceOptions) options(topic string) ([]kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	codec, ok := codecs[o.codec]
	if !ok {
		return nil, usage("choose one of none, gzip, snappy, lz4, zstd", "unknown codec %q", o.codec)
	}
	opts := []kgo.Opt{kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(codec), kgo.AllowAutoTopicCreation(), kgo.ProducerBatchMaxBytes(o.maxBytes)}
	switch o.acks {
	case "all", "-1":
	case "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usage("choose one of all, 1, 0", "unknown acks %q", o.acks)
	}
	if o.partition >= 0 || o.keep || strings.Contains(o.format, "%p") {
		opts = append(opts, kgo.RecordPartitioner(givenPartition{kgo.StickyKeyPartitioner(nil)}))
	}
	return opts, nil
}

// givenPartition sends a record to the partition it names, and one that names none (-1) wherever the other would.
type givenPartition struct{ otherwise kgo.Partitioner }

func (g givenPartition) ForTopic(topic string) kgo.TopicPartitioner {
	return givenTopicPartition{g.otherwise.ForTopic(topic)}
}

type givenTopicPartition struct{ otherwise kgo.TopicPartitioner }

func (g givenTopicPartition) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition >= 0 || g.otherwise.RequiresConsistency(r)
}

func (g givenTopicPartition) Partition(r *kgo.Record, n int) int {
	if r.Partition >= 0 {
		return int(r.Partition)
	}
	return g.otherwise.Partition(r, n)
}

func (a *app) produce(ctx context.Context, topic string, o produceOptions) error {
	opts, err := o.options(topic)
	if err != nil {
		return err
	}
	read, err := o.reader(a.in)
	if err != nil {
		return err
	}
	headers, err := parseHeaders(o.headers)
	if err != nil {
		return err
	}
	cl, err := a.client(ctx, append(opts, o.patience(time.Duration(a.timeout)))...)
	if err != nil {
		return err
	}
	defer cl.Close()

	p := &production{partitions: map[int32]*producedPartition{}}
	finished := make(chan error, 1)
	go func() { finished <- p.run(ctx, cl, read, headers, o) }() // reading may block for ever: it is left behind on a signal
	select {
	case err = <-finished:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(a.timeout))
	defer cancel()
	if flushErr := cl.Flush(flushCtx); err == nil && flushErr != nil {
		err = flushErr
	}
	sum, failed := p.result(topic)
	if err == nil {
		err = failed
	}
	if sum.Records > 0 || err == nil {
		if printErr := a.print(sum.result()); err == nil {
			err = printErr
		}
	}
	if err != nil {
		return a.produceFailure(ctx, cl, topic, sum.Records, err)
	}
	return nil
}

// recordTries is about as long as the default of --timeout, with the client's pauses between tries.
const recordTries = 15

// patience bounds how long a record is tried. The client counts its age from its timestamp, which is old where records bring
// their own.
func (o produceOptions) patience(timeout time.Duration) kgo.Opt {
	if o.json || strings.Contains(o.format, "%d") {
		return kgo.RecordRetries(recordTries)
	}
	return kgo.RecordDeliveryTimeout(timeout)
}

func (a *app) produceFailure(ctx context.Context, cl *kgo.Client, topic string, delivered int64, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrRecordTimeout) {
		return &failure{
			code: codeUnreachable, what: fmt.Sprintf("topic %q: records were not acknowledged within %s", topic, time.Duration(a.timeout)),
			next: "The node says why in its log: a full disk, too few replicas, no leader   Wait longer: --timeout 5m", cause: err,
		}
	}
	if _, ok := errors.AsType[*kerr.Error](err); !ok {
		return err
	}
	f := topicFailure(ctx, kadm.NewClient(cl), topic, err, "")
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		f.next = "Create it: dmq topic create " + topic
	case errors.Is(err, kerr.MessageTooLarge):
		f.next = "Allow larger ones: dmq topic config set " + topic + " max.message.bytes=N"
	}
	if delivered > 0 {
		f.code = codePartly
	}
	return f
}

// production is what came of the records so far.
type production struct {
	mu         sync.Mutex // guards the fields below
	partitions map[int32]*producedPartition
	err        error
	failed     int64
}

type producedPartition struct {
	Partition   int32 `json:"partition"`
	Records     int64 `json:"records"`
	FirstOffset int64 `json:"first_offset"` // -1 with acks=0
	LastOffset  int64 `json:"last_offset"`
}

// run reads and sends until the input ends or a record fails.
func (p *production) run(ctx context.Context, cl *kgo.Client, read func() (*kgo.Record, error), headers []kgo.RecordHeader, o produceOptions) error {
	for {
		r, err := read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return usage("see: dmq produce --help", "the input does not have the expected form: %s", err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		if p.hasFailed() {
			return nil // result tells the failure
		}
		o.complete(r, headers)
		cl.Produce(ctx, r, p.delivered)
	}
}

// complete gives a record what was read of none: what all records have.
func (o *produceOptions) complete(r *kgo.Record, headers []kgo.RecordHeader) {
	if o.keySet {
		r.Key = []byte(o.key)
	}
	if o.tombstone && len(r.Value) == 0 {
		r.Value = nil
	}
	if o.partition >= 0 {
		r.Partition = o.partition
	}
	r.Headers = append(r.Headers, headers...)
}

func (p *production) hasFailed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

func (p *production) delivered(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.failed++
		if p.err == nil {
			p.err = err
		}
		return
	}
	d := p.partitions[r.Partition]
	if d == nil {
		d = &producedPartition{Partition: r.Partition, FirstOffset: r.Offset, LastOffset: r.Offset}
		p.partitions[r.Partition] = d
	}
	d.Records++
	d.FirstOffset, d.LastOffset = min(d.FirstOffset, r.Offset), max(d.LastOffset, r.Offset)
}

type produced struct {
	Topic      string              `json:"topic"`
	Records    int64               `json:"records"`
	Failed     int64               `json:"failed"`
	Partitions []producedPartition `json:"partitions"`
}

func (p *production) result(topic string) (produced, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := produced{Topic: topic, Failed: p.failed, Partitions: []producedPartition{}}
	for _, d := range p.partitions {
		out.Records += d.Records
		out.Partitions = append(out.Partitions, *d)
	}
	slices.SortFunc(out.Partitions, func(x, y producedPartition) int { return int(x.Partition - y.Partition) })
	return out, p.err
}

func (p produced) result() result {
	g := grid{header: []string{"TOPIC", "PARTITION", "RECORDS", "FIRST", "LAST"}, numeric: []int{1, 2, 3, 4}}
	for _, d := range p.Partitions {
		g.rows = append(g.rows, []any{p.Topic, d.Partition, d.Records, known(d.FirstOffset), known(d.LastOffset)})
	}
	return result{value: p, names: []string{p.Topic}, table: []grid{g}}
}

// reader returns a function that reads the next record of the input.
func (o produceOptions) reader(in io.Reader) (func() (*kgo.Record, error), error) {
	if o.json {
		return jsonReader(in, o.keep), nil
	}
	if o.format == `%v\n` { // the plain case; also takes a last line without its newline
		return lineReader(in), nil
	}
	r, err := kgo.NewRecordReader(in, o.format)
	if err != nil {
		return nil, usage(`for example '%k %v\n'`, "the format cannot be read: %s", err)
	}
	return func() (*kgo.Record, error) {
		rec, err := r.ReadRecord()
		if rec != nil && !strings.Contains(o.format, "%p") {
			rec.Partition = -1
		}
		return rec, err
	}, nil
}

func lineReader(in io.Reader) func() (*kgo.Record, error) {
	buffered := bufio.NewReaderSize(in, 64<<10)
	return func() (*kgo.Record, error) {
		line, err := buffered.ReadBytes('\n')
		if len(line) == 0 {
			return nil, err
		}
		if n := len(line) - 1; line[n] == '\n' {
			line = line[:n]
		}
		return &kgo.Record{Value: line, Partition: -1}, nil
	}
}

// jsonRecord is a record as --json reads and prints it. Bytes that are not UTF-8 are in the base64 fields.
type jsonRecord struct {
	Topic       string       `json:"topic,omitempty"`
	Partition   *int32       `json:"partition,omitempty"`
	Offset      *int64       `json:"offset,omitempty"`
	Timestamp   string       `json:"timestamp,omitempty"` // RFC 3339; as text, since a producer may send any year
	Key         *string      `json:"key"`
	KeyBase64   string       `json:"key_base64,omitempty"`
	Value       *string      `json:"value"`
	ValueBase64 string       `json:"value_base64,omitempty"`
	Headers     []jsonHeader `json:"headers"`
}

type jsonHeader struct {
	Key         string  `json:"key"`
	Value       *string `json:"value"`
	ValueBase64 string  `json:"value_base64,omitempty"`
}

func jsonReader(in io.Reader, keepPartition bool) func() (*kgo.Record, error) {
	d := json.NewDecoder(in)
	return func() (*kgo.Record, error) {
		var j jsonRecord
		if err := d.Decode(&j); err != nil {
			return nil, err
		}
		r := &kgo.Record{Partition: -1}
		if j.Partition != nil && keepPartition {
			r.Partition = *j.Partition
		}
		var err error
		if j.Timestamp != "" {
			if r.Timestamp, err = time.Parse(time.RFC3339Nano, j.Timestamp); err != nil {
				return nil, err
			}
		}
		if r.Key, err = unjson(j.Key, j.KeyBase64); err != nil {
			return nil, err
		}
		if r.Value, err = unjson(j.Value, j.ValueBase64); err != nil {
			return nil, err
		}
		for _, h := range j.Headers {
			value, err := unjson(h.Value, h.ValueBase64)
			if err != nil {
				return nil, err
			}
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: value})
		}
		return r, nil
	}
}

func unjson(text *string, encoded string) ([]byte, error) {
	if encoded != "" {
		return base64.StdEncoding.DecodeString(encoded)
	}
	if text == nil {
		return nil, nil
	}
	return []byte(*text), nil
}

func parseHeaders(list []string) ([]kgo.RecordHeader, error) {
	var out []kgo.RecordHeader
	for _, kv := range list {
		k, v, ok := strings.Cut(kv, "=")
		if !ok || k == "" {
			return nil, usage("write -H source=cli", "%q is not key=value", kv)
		}
		out = append(out, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return out, nil
}
