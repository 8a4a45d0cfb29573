package records_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

const limit = 16 << 20

func golden(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// goldenRecords are the records that testdata/java/Golden.java writes.
func goldenRecords(magic int) []records.Record {
	var all []records.Record
	for i := range 200 {
		r := records.Record{
			Offset: 42 + int64(i), OffsetDelta: int32(i),
			Timestamp: 1_700_000_000_000 + int64(i)*10 - int64(i%4)*25,
		}
		if i%5 != 0 {
			r.Key = fmt.Appendf(nil, "key-%d", i)
		}
		if i%7 != 0 {
			r.Value = fmt.Appendf(nil, "value-%d-%s", i, strings.Repeat("x", i*7%500))
		}
		if magic == 2 && i%3 == 0 {
			r.Headers = []records.Header{{Key: fmt.Sprintf("h%d", i)}, {Key: "", Value: []byte{}}}
			if i%2 != 0 {
				r.Headers[0].Value = fmt.Appendf(nil, "hv%d", i)
			}
		}
		if magic == 0 {
			r.Timestamp = records.NoTimestamp
		}
		all = append(all, r)
	}
	return all
}

// collect copies what Iterate yields.
func collect(iterate func(int, func(*records.Record) error) error) ([]records.Record, error) {
	var all []records.Record
	err := iterate(limit, func(r *records.Record) error {
		c := *r
		c.Key, c.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		c.Headers = nil
		for _, h := range r.Headers {
			c.Headers = append(c.Headers, records.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
		all = append(all, c)
		return nil
	})
	return all, err
}

func mustSplit(tb testing.TB, b []byte) records.Batch {
	tb.Helper()
	batch, rest, err := records.Split(b)
	if err != nil || len(rest) != 0 {
		tb.Fatalf("Split: %d bytes left, %v", len(rest), err)
	}
	return batch
}

// TestBatch_ReadsWhatKafkaWrites reads batches of every codec that Apache Kafka's own classes wrote.
func TestBatch_ReadsWhatKafkaWrites(t *testing.T) {
	for name, codec := range map[string]compress.Codec{
		"none": compress.None, "gzip": compress.Gzip, "snappy": compress.Snappy, "lz4": compress.LZ4,
		"lz4-17": compress.LZ4, "zstd": compress.Zstd, "zstd-22": compress.Zstd,
	} {
		t.Run(name, func(t *testing.T) {
			b := mustSplit(t, golden(t, "v2-"+name))
			if err := b.VerifyCRC(); err != nil {
				t.Error(err)
			}
			type header struct {
				Base, Last, Next, PID, MaxTS, BaseTS   int64
				Epoch, BaseSeq, LastSeq, Count, LastOD int32
				PEpoch                                 int16
				Codec                                  compress.Codec
				TS                                     records.TimestampType
				Txn, Control, Horizon                  bool
			}
			got := header{
				b.BaseOffset(), b.LastOffset(), b.NextOffset(), b.ProducerID(), b.MaxTimestamp(), b.BaseTimestamp(),
				b.PartitionLeaderEpoch(), b.BaseSequence(), b.LastSequence(), b.RecordCount(), b.LastOffsetDelta(),
				b.ProducerEpoch(), b.Codec(), b.TimestampType(), b.IsTransactional(), b.IsControl(), b.HasDeleteHorizon(),
			}
			want := header{
				42, 241, 242, 7777, 1_700_000_001_960, 1_700_000_000_000, 5, 2147483600, 151, 200, 199, 3,
				codec, records.CreateTime, false, false, false,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("header (-want +got):\n%s", diff)
			}
			all, err := collect(b.Iterate)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(goldenRecords(2), all); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
		})
	}
}

// TestBuilder_WritesWhatKafkaWrites compares the builder byte for byte with Kafka's.
func TestBuilder_WritesWhatKafkaWrites(t *testing.T) {
	opts := records.BuilderOptions{
		BaseOffset: 42, PartitionLeaderEpoch: 5,
		HasProducer: true, ProducerID: 7777, ProducerEpoch: 3, BaseSequence: 2147483600,
	}
	if got, want := build(t, opts), golden(t, "v2-none"); !bytes.Equal(got, want) {
		t.Errorf("uncompressed batch differs from Kafka's:\n got %x\nwant %x", got[:100], want[:100])
	}
	got := build(t, records.BuilderOptions{
		BaseOffset: 42, PartitionLeaderEpoch: 5,
		TimestampType: records.LogAppendTime, LogAppendTime: 1_800_000_000_000,
	})
	if want := golden(t, "v2-logappendtime"); !bytes.Equal(got, want) {
		t.Errorf("log append time batch differs from Kafka's:\n got %x\nwant %x", got[:100], want[:100])
	}
	marker := records.NewBuilder(records.BuilderOptions{
		BaseOffset: 9, PartitionLeaderEpoch: 5, Transactional: true, Control: true,
		HasProducer: true, ProducerID: 7777, ProducerEpoch: 3, BaseSequence: records.NoSequence,
	})
	marker.Append(1_700_000_000_000, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 11})
	b, err := marker.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if want := golden(t, "v2-commit-marker"); !bytes.Equal(b, want) {
		t.Errorf("control batch differs from Kafka's:\n got %x\nwant %x", []byte(b), want)
	}
}

// build makes a batch of the golden records.
func build(tb testing.TB, o records.BuilderOptions) records.Batch {
	tb.Helper()
	bld := records.NewBuilder(o)
	for _, r := range goldenRecords(2) {
		bld.Append(r.Timestamp, r.Key, r.Value, r.Headers...)
	}
	b, err := bld.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestBatch_IteratesLogAppendTime(t *testing.T) {
	b := mustSplit(t, golden(t, "v2-logappendtime"))
	all, err := collect(b.Iterate)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Timestamp != 1_800_000_000_000 {
			t.Fatalf("record %d has timestamp %d", r.Offset, r.Timestamp)
		}
	}
}

// TestLegacy_ReadsWhatKafkaWrites reads message sets of magic 0 and 1 that Apache Kafka's own classes wrote.
func TestLegacy_ReadsWhatKafkaWrites(t *testing.T) {
	for magic := range 2 {
		for _, codec := range []string{"none", "gzip", "snappy", "lz4"} {
			t.Run(fmt.Sprintf("v%d %s", magic, codec), func(t *testing.T) {
				rest := golden(t, fmt.Sprintf("v%d-%s", magic, codec))
				var all []records.Record
				for len(rest) > 0 {
					if _, _, err := records.Split(rest); !errors.Is(err, records.ErrLegacy) {
						t.Fatalf("Split: %v, want ErrLegacy", err)
					}
					m, next, err := records.SplitLegacy(rest)
					if err != nil {
						t.Fatal(err)
					}
					if err := m.VerifyCRC(); err != nil {
						t.Fatal(err)
					}
					some, err := collect(m.Iterate)
					if err != nil {
						t.Fatal(err)
					}
					if got, want := m.LastOffset(), some[len(some)-1].Offset; got != want {
						t.Errorf("last offset %d, want %d", got, want)
					}
					all, rest = append(all, some...), next
				}
				want := goldenRecords(magic)
				for i := range want {
					want[i].OffsetDelta = 0
				}
				for i := range all {
					all[i].Attributes = 0
				}
				if diff := cmp.Diff(want, all); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}
