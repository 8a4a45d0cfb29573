package datadir

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// writer fills a broker with topics of many shapes.
type writer struct {
	addr  string
	admin *kadm.Client
	base  time.Time
}

func newWriter(addr string) (*writer, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return nil, err
	}
	// Yesterday, so that retention leaves the records alone.
	return &writer{addr: addr, admin: kadm.NewClient(cl), base: time.Now().Add(-24 * time.Hour).Truncate(time.Hour)}, nil
}

func (w *writer) close() { w.admin.Close() }

func (w *writer) create(ctx context.Context, topic string, partitions int32, configs ...string) error {
	m := map[string]*string{}
	for _, kv := range configs {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = &v
	}
	resp, err := w.admin.CreateTopic(ctx, partitions, 1, m, topic)
	if err != nil {
		return err
	}
	return resp.Err
}

// load is one kind of record to write.
type load struct {
	codec      kgo.CompressionCodec
	idempotent bool
	batches    int // flushed one by one
	records    int // of each batch
	bytes      int // of each value
}

func (w *writer) produce(ctx context.Context, topic string, partition int32, tag string, l load) error {
	opts := []kgo.Opt{kgo.SeedBrokers(w.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(l.codec), kgo.RequiredAcks(kgo.AllISRAcks())}
	if !l.idempotent {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	value := strings.Repeat("all work and no play ", l.bytes/21+1)[:l.bytes]
	for b := range l.batches {
		var list []*kgo.Record
		for i := range l.records {
			r := &kgo.Record{
				Topic: topic, Partition: partition, Key: fmt.Appendf(nil, "%s-%d-%d", tag, b, i), Value: fmt.Appendf(nil, "%s %d %d %s", tag, b, i, value),
				Timestamp: w.base.Add(time.Duration(b*l.records+i) * 10 * time.Millisecond),
				Headers:   []kgo.RecordHeader{{Key: "tag", Value: []byte(tag)}, {Key: "null"}},
			}
			switch i % 10 {
			case 7:
				r.Value = nil
			case 8:
				r.Value, r.Headers = []byte{}, nil
			}
			list = append(list, r)
		}
		if err := cl.ProduceSync(ctx, list...).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

// fill writes the first half of everything; what comes after a restart is more's.
func (w *writer) fill(ctx context.Context) error {
	type topic struct {
		name       string
		partitions int32
		configs    []string
	}
	for _, t := range []topic{
		{"codecs", 1, nil},
		{"segments", 2, []string{"segment.bytes=1048576", "retention.ms=999999999"}},
		{"idempotent", 1, []string{"max.message.bytes=2000000"}},
		{"deleted", 1, []string{"segment.bytes=1048576"}},
		{"compacted", 1, []string{"cleanup.policy=compact", "min.cleanable.dirty.ratio=0.9"}},
		{"empty", 3, nil},
		{"append-time", 1, []string{"message.timestamp.type=LogAppendTime"}},
		{"a.name-with_signs", 1, nil},
	} {
		if err := w.create(ctx, t.name, t.partitions, t.configs...); err != nil {
			return fmt.Errorf("create %s: %w", t.name, err)
		}
	}
	for _, name := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		if err := w.produce(ctx, "codecs", 0, name, load{codec: codecs[name], batches: 4, records: 25, bytes: 200}); err != nil {
			return err
		}
	}
	for p := range int32(2) {
		if err := w.produce(ctx, "segments", p, "seg", load{codec: codecs["none"], idempotent: p == 1, batches: 30, records: 100, bytes: 1000}); err != nil {
			return err
		}
	}
	if err := w.produce(ctx, "idempotent", 0, "first", load{codec: codecs["zstd"], idempotent: true, batches: 10, records: 20, bytes: 100}); err != nil {
		return err
	}
	if err := w.produce(ctx, "deleted", 0, "del", load{codec: codecs["none"], idempotent: true, batches: 30, records: 100, bytes: 1000}); err != nil {
		return err
	}
	if err := w.produce(ctx, "compacted", 0, "key", load{codec: codecs["lz4"], batches: 5, records: 9, bytes: 50}); err != nil {
		return err
	}
	if err := w.produce(ctx, "append-time", 0, "at", load{codec: codecs["gzip"], batches: 3, records: 9, bytes: 50}); err != nil {
		return err
	}
	if err := w.produce(ctx, "a.name-with_signs", 0, "x", load{codec: codecs["snappy"], batches: 1, records: 9, bytes: 50}); err != nil {
		return err
	}
	return w.deleteRecords(ctx, "deleted", 1437)
}

func (w *writer) deleteRecords(ctx context.Context, topic string, before int64) error {
	var offsets kadm.Offsets
	offsets.AddOffset(topic, 0, before, -1)
	resp, err := w.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	r, _ := resp.Lookup(topic, 0)
	return r.Err
}

// more writes on, after a restart has raised the leader epochs.
func (w *writer) more(ctx context.Context) error {
	for _, topic := range []string{"codecs", "idempotent", "segments"} {
		if err := w.produce(ctx, topic, 0, "more", load{codec: codecs["snappy"], idempotent: true, batches: 5, records: 30, bytes: 300}); err != nil {
			return err
		}
	}
	if _, err := w.admin.DeleteTopics(ctx, "a.name-with_signs"); err != nil {
		return err
	}
	if err := w.create(ctx, "created-later", 1, "compression.type=lz4"); err != nil {
		return err
	}
	if err := w.produce(ctx, "created-later", 0, "late", load{codec: codecs["none"], batches: 2, records: 10, bytes: 500}); err != nil {
		return err
	}
	_, err := w.admin.CreatePartitions(ctx, 2, "empty") // to five
	return err
}

// transact writes a committed, an aborted and an empty transaction between plain batches.
func (w *writer) transact(ctx context.Context) error {
	if err := w.create(ctx, "transactional", 1); err != nil {
		return err
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.addr), kgo.TransactionalID("datadir"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.DefaultProduceTopic("transactional"))
	if err != nil {
		return err
	}
	defer cl.Close()
	for i, commit := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := cl.BeginTransaction(); err != nil {
			return err
		}
		for j := range 5 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Value: fmt.Appendf(nil, "transaction %d record %d", i, j)}).FirstErr(); err != nil {
				return err
			}
		}
		if err := cl.EndTransaction(ctx, commit); err != nil {
			return err
		}
	}
	return w.produce(ctx, "transactional", 0, "plain", load{codec: codecs["none"], batches: 1, records: 5, bytes: 20})
}
