// Package matrix is what every Go client library is put through: create, produce with every codec and acks, idempotence,
// headers, nulls, empty and large records, timestamps, reading from an offset and from a time, and errors.
//
// The same list is written out in the programs of the other languages (java, node, python, rust, kcat).
package matrix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/distributedmq/dmq/compat-tests/report"
)

// Header is a record header; a nil value is null.
type Header struct {
	Key   string
	Value []byte
}

// Record is one record; nil keys and values are null.
type Record struct {
	Key, Value []byte
	Headers    []Header
	Timestamp  time.Time // zero leaves it to the client
	Offset     int64
}

// ProduceOptions say how records are sent.
type ProduceOptions struct {
	Codec      string // none, gzip, snappy, lz4, zstd
	Acks       int    // 0, 1, -1
	Idempotent bool
	MaxBytes   int // largest message the client lets through
}

// Replicas is how many replicas topics have: $DMQ_TEST_REPLICAS, or 1.
func Replicas() int {
	n, err := strconv.Atoi(os.Getenv("DMQ_TEST_REPLICAS"))
	if err != nil {
		return 1
	}
	return n
}

// Client is one client library.
type Client interface {
	CreateTopic(ctx context.Context, topic string, partitions int, configs map[string]string) error
	// Produce sends the records in order to partition 0 and returns the first error.
	Produce(ctx context.Context, topic string, o ProduceOptions, records []Record) error
	// Consume reads n records of partition 0 from an offset.
	Consume(ctx context.Context, topic string, offset int64, n int) ([]Record, error)
	// OffsetAt is the offset of the first record of partition 0 at or after a time.
	OffsetAt(ctx context.Context, topic string, at time.Time) (int64, error)
	// Offsets are the first offset of partition 0 and the next to be written.
	Offsets(ctx context.Context, topic string, partition int32) (low, high int64, err error)
	// Code is Kafka's error code in err, or -1 when it holds none.
	Code(err error) int16
	Close() error
}

// Limits name what a library cannot do, with the reason; everything else is run.
type Limits struct {
	NoIdempotence   string
	NoNullHeaders   string // header values that are null arrive as empty
	NoNulls         string // null keys and values arrive as empty
	NoAppendTime    string // shows the producer's time whatever the topic says
	UnknownMayBeAny bool   // a partition that is not there is found by the library itself
}

// base is the time of the first record: yesterday, so that retention leaves the records alone.
var base = time.Now().Add(-24 * time.Hour).Truncate(time.Hour)

// Run puts a client through the matrix. Topics start with prefix.
func Run(ctx context.Context, r *report.Report, c Client, prefix string, limits Limits) {
	m := &matrix{ctx: ctx, c: c, prefix: prefix, limits: limits}
	r.Check("create topic", m.create)
	r.Check("every codec with acks 0, 1 and all", m.codecs)
	if limits.NoIdempotence == "" {
		r.Check("idempotent produce", m.idempotent)
	}
	r.Check("headers, nulls, empty records", m.shapes)
	r.Check("1 MiB records", m.large)
	r.Check("timestamps, from a time", m.times)
	r.Check("from any offset", m.offsets)
	if limits.NoAppendTime == "" {
		r.Check("log append time", m.appendTime)
	}
	r.Check("error: topic exists", func() error { return m.wantCode(c.CreateTopic(ctx, prefix+"create", 1, nil), 36) })
	r.Check("error: invalid config", func() error {
		return m.wantCode(c.CreateTopic(ctx, prefix+"bad", 1, map[string]string{"retention.ms": "soon"}), 40)
	})
	r.Check("error: invalid name", func() error { return m.wantCode(c.CreateTopic(ctx, prefix+"a/b", 1, nil), 17) })
	r.Check("error: no partitions", func() error { return m.wantCode(c.CreateTopic(ctx, prefix+"none", 0, nil), 37) })
	r.Check("error: record too large", m.tooLarge)
	r.Check("error: unknown partition", m.unknown)
}

type matrix struct {
	ctx    context.Context
	c      Client
	prefix string
	limits Limits
}

func (m *matrix) wantCode(err error, code int16) error {
	if err == nil {
		return fmt.Errorf("no error, want code %d", code)
	}
	if got := m.c.Code(err); got != code {
		return fmt.Errorf("error code %d (%w), want %d", got, err, code)
	}
	return nil
}

func (m *matrix) topic(name string, configs map[string]string) (string, error) {
	topic := m.prefix + name
	if err := m.c.CreateTopic(m.ctx, topic, 1, configs); err != nil {
		return topic, err
	}
	return topic, m.usable(topic, 0)
}

// usable waits until a new partition answers: the broker opens it some milliseconds after CreateTopics was answered.
func (m *matrix) usable(topic string, partition int32) (err error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		var low, high int64
		if low, high, err = m.c.Offsets(m.ctx, topic, partition); err == nil {
			if low != 0 || high != 0 {
				return fmt.Errorf("new partition %d has offsets %d to %d", partition, low, high)
			}
			return nil
		}
	}
	return fmt.Errorf("partition %d cannot be used: %w", partition, err)
}

func (m *matrix) create() error {
	if err := m.c.CreateTopic(m.ctx, m.prefix+"create", 2, map[string]string{"retention.ms": "3600000"}); err != nil {
		return err
	}
	for p := range int32(2) {
		if err := m.usable(m.prefix+"create", p); err != nil {
			return err
		}
	}
	return nil
}

// some makes n records with values that compress.
func some(tag string, n int) []Record {
	out := make([]Record, n)
	for i := range out {
		out[i] = Record{Key: fmt.Appendf(nil, "%s-%d", tag, i), Value: []byte(fmt.Sprintf("%s %d ", tag, i) + strings.Repeat("value ", 20)), Timestamp: base.Add(time.Duration(i) * time.Second)}
	}
	return out
}

func (m *matrix) codecs() error {
	topic, err := m.topic("codecs", nil)
	if err != nil {
		return err
	}
	var sent []Record
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, acks := range []int{0, 1, -1} {
			records := some(fmt.Sprintf("%s%d", codec, acks), 10)
			if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: codec, Acks: acks}, records); err != nil {
				return fmt.Errorf("codec %s, acks %d: %w", codec, acks, err)
			}
			sent = append(sent, records...)
			if err := m.reached(topic, int64(len(sent))); err != nil {
				return fmt.Errorf("codec %s, acks %d: %w", codec, acks, err)
			}
		}
	}
	return m.reads(topic, 0, sent)
}

// reached waits until the partition ends at an offset, which acks=0 does not wait for.
func (m *matrix) reached(topic string, want int64) error {
	var high int64
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		var err error
		if _, high, err = m.c.Offsets(m.ctx, topic, 0); err != nil {
			return err
		}
		if high >= want {
			break
		}
	}
	if high != want {
		return fmt.Errorf("the partition ends at %d, want %d", high, want)
	}
	return nil
}

// reads consumes from an offset and compares.
func (m *matrix) reads(topic string, from int64, want []Record) error {
	got, err := m.c.Consume(m.ctx, topic, from, len(want))
	if err != nil {
		return err
	}
	if len(got) != len(want) {
		return fmt.Errorf("read %d records, want %d", len(got), len(want))
	}
	for i := range want {
		if err := m.same(got[i], want[i]); err != nil {
			return fmt.Errorf("record %d: %w", i, err)
		}
		if got[i].Offset != from+int64(i) {
			return fmt.Errorf("record %d has offset %d, want %d", i, got[i].Offset, from+int64(i))
		}
	}
	return nil
}

func (m *matrix) same(got, want Record) error {
	sameBytes := func(a, b []byte) bool {
		return bytes.Equal(a, b) && ((a == nil) == (b == nil) || m.limits.NoNulls != "")
	}
	switch {
	case !sameBytes(got.Key, want.Key):
		return fmt.Errorf("key %s, want %s", show(got.Key), show(want.Key))
	case !sameBytes(got.Value, want.Value):
		return fmt.Errorf("value %s, want %s", show(got.Value), show(want.Value))
	case len(got.Headers) != len(want.Headers):
		return fmt.Errorf("%d headers, want %d", len(got.Headers), len(want.Headers))
	case !want.Timestamp.IsZero() && got.Timestamp.UnixMilli() != want.Timestamp.UnixMilli():
		return fmt.Errorf("timestamp %d, want %d", got.Timestamp.UnixMilli(), want.Timestamp.UnixMilli())
	}
	for i, h := range want.Headers {
		g := got.Headers[i]
		if g.Key != h.Key || !bytes.Equal(g.Value, h.Value) || (g.Value == nil) != (h.Value == nil) && m.limits.NoNullHeaders == "" {
			return fmt.Errorf("header %d is %s=%s, want %s=%s", i, g.Key, show(g.Value), h.Key, show(h.Value))
		}
	}
	return nil
}

func show(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case len(b) > 50:
		return fmt.Sprintf("%q… (%d bytes)", b[:50], len(b))
	}
	return fmt.Sprintf("%q", b)
}

func (m *matrix) idempotent() error {
	topic, err := m.topic("idempotent", nil)
	if err != nil {
		return err
	}
	var sent []Record
	for i := range 5 {
		records := some(fmt.Sprintf("idem%d", i), 40)
		if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "lz4", Acks: -1, Idempotent: true}, records); err != nil {
			return err
		}
		sent = append(sent, records...)
	}
	if err := m.reached(topic, int64(len(sent))); err != nil {
		return err
	}
	return m.reads(topic, 0, sent)
}

func (m *matrix) shapes() error {
	topic, err := m.topic("shapes", nil)
	if err != nil {
		return err
	}
	want := []Record{
		{Key: nil, Value: []byte("no key")},
		{Key: []byte("no value"), Value: nil},
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("headers"), Value: []byte("v"), Headers: []Header{{"a", []byte("1")}, {"a", []byte("2")}, {"empty", []byte{}}, {"null", nil}, {"ü", []byte{0, 255}}}},
		{Key: []byte{0, 1, 2, 255}, Value: []byte{0xff, 0, 0xfe}},
	}
	if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "none", Acks: -1}, want); err != nil {
		return err
	}
	if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "zstd", Acks: -1}, want); err != nil {
		return err
	}
	return m.reads(topic, 0, append(append([]Record{}, want...), want...))
}

// noise is data that does not compress.
func noise(n int, seed uint32) []byte {
	b := make([]byte, n)
	for i := range b {
		seed = seed*1664525 + 1013904223
		b[i] = byte(seed >> 24)
	}
	return b
}

func (m *matrix) large() error {
	topic, err := m.topic("large", map[string]string{"max.message.bytes": "3145728"})
	if err != nil {
		return err
	}
	var want []Record
	for i, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		rec := Record{Key: []byte(codec), Value: noise(1<<20, uint32(i))}
		if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: codec, Acks: -1, MaxBytes: 3 << 20}, []Record{rec}); err != nil {
			return fmt.Errorf("codec %s: %w", codec, err)
		}
		want = append(want, rec)
	}
	return m.reads(topic, 0, want)
}

func (m *matrix) times() error {
	topic, err := m.topic("times", nil)
	if err != nil {
		return err
	}
	sent := some("t", 30)
	for i := 0; i < 30; i += 10 {
		if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "none", Acks: -1}, sent[i:i+10]); err != nil {
			return err
		}
	}
	for _, i := range []int{0, 7, 10, 29} {
		offset, err := m.c.OffsetAt(m.ctx, topic, base.Add(time.Duration(i)*time.Second))
		if err != nil || offset != int64(i) {
			return fmt.Errorf("offset at second %d is %d, %w", i, offset, err)
		}
		if err := m.reads(topic, offset, sent[i:]); err != nil {
			return err
		}
	}
	offset, err := m.c.OffsetAt(m.ctx, topic, base.Add(time.Hour))
	if err != nil || offset != -1 && offset != 30 {
		return fmt.Errorf("offset after the last record is %d, %w, want -1 or the end", offset, err)
	}
	return nil
}

func (m *matrix) offsets() error {
	topic, err := m.topic("offsets", nil)
	if err != nil {
		return err
	}
	sent := some("o", 50)
	for i := 0; i < 50; i += 10 {
		if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "snappy", Acks: -1}, sent[i:i+10]); err != nil {
			return err
		}
	}
	for _, from := range []int{0, 1, 9, 10, 25, 49} {
		if err := m.reads(topic, int64(from), sent[from:]); err != nil {
			return fmt.Errorf("from %d: %w", from, err)
		}
	}
	low, high, err := m.c.Offsets(m.ctx, topic, 0)
	if err != nil || low != 0 || high != 50 {
		return fmt.Errorf("offsets %d to %d, %w, want 0 to 50", low, high, err)
	}
	return nil
}

func (m *matrix) appendTime() error {
	topic, err := m.topic("append-time", map[string]string{"message.timestamp.type": "LogAppendTime"})
	if err != nil {
		return err
	}
	before := time.Now().Add(-time.Minute)
	if err := m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "none", Acks: -1}, some("x", 3)); err != nil {
		return err
	}
	got, err := m.c.Consume(m.ctx, topic, 0, 3)
	if err != nil {
		return err
	}
	for i, rec := range got {
		if rec.Timestamp.Before(before) {
			return fmt.Errorf("record %d carries %s, want the time of the append", i, rec.Timestamp)
		}
	}
	return nil
}

func (m *matrix) tooLarge() error {
	topic, err := m.topic("small", map[string]string{"max.message.bytes": "2000"})
	if err != nil {
		return err
	}
	err = m.c.Produce(m.ctx, topic, ProduceOptions{Codec: "none", Acks: -1, MaxBytes: 2 << 20}, []Record{{Value: noise(5000, 9)}})
	return m.wantCode(err, 10)
}

func (m *matrix) unknown() error {
	_, _, err := m.c.Offsets(m.ctx, m.prefix+"create", 77)
	if err == nil {
		return errors.New("no error for a partition that is not there")
	}
	if m.limits.UnknownMayBeAny {
		return nil
	}
	return m.wantCode(err, 3)
}
