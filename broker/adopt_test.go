package broker_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/kraft/image"
)

const kafkaData = "../log/testdata/kafka-4.4.0"

// copyKafka copies a directory that Apache Kafka wrote.
func copyKafka(t *testing.T, which string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(kafkaData, which))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// line is a record as testdata's expected/ has it, without the headers.
type line struct {
	Offset     int64
	Epoch      int32
	Timestamp  int64
	Key, Value string
}

// expected reads what a Java consumer read of a partition.
func expected(t *testing.T, partition, isolation string) (lines []line, end int64) {
	t.Helper()
	f, err := os.Open(filepath.Join(kafkaData, "expected", partition+"."+isolation+".tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		fields := strings.Split(in.Text(), "\t")
		if fields[0] == "#" {
			if _, err := fmt.Sscanf(fields[2], "end %d", &end); err != nil {
				t.Fatal(err)
			}
			continue
		}
		number := func(i int) int64 {
			n, err := strconv.ParseInt(fields[i], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		lines = append(lines, line{number(0), int32(number(1)), number(3), fields[4], fields[5]})
	}
	return lines, end
}

func quoted(b []byte) string {
	if b == nil {
		return "null"
	}
	return `"` + string(b) + `"`
}

// read reads a partition from its start up to end.
func read(t *testing.T, b *broker.Broker, topic string, partition int32, end int64, isolation kgo.IsolationLevel) []line {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := newClient(t, b, kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().AtStart()}}))
	defer cl.Close()
	var got []line
	for at := int64(0); at < end; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%s-%d at %d of %d: %v", topic, partition, at, end, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if !r.Attrs.IsControl() {
				got = append(got, line{r.Offset, r.LeaderEpoch, r.Timestamp.UnixMilli(), quoted(r.Key), quoted(r.Value)})
			}
		})
	}
	return got
}

func TestAdopt_KafkaDirectoryReadsBackCompletely(t *testing.T) {
	for _, which := range []string{"clean", "killed"} {
		for _, metadata := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, metadata log %t", which, metadata), func(t *testing.T) {
				dir := copyKafka(t, which)
				if !metadata {
					if err := os.RemoveAll(filepath.Join(dir, "__cluster_metadata-0")); err != nil {
						t.Fatal(err)
					}
				}
				b := startBroker(t, dir)
				if got := b.Image().ClusterID; got != "peerpeerpeerpeerpeerpA" {
					t.Errorf("cluster id is %q", got)
				}
				if got := b.Image().Features["group.version"]; got != 1 {
					t.Errorf("group.version is %d, want Kafka's, which is also that of a new cluster: 1", got)
				}
				for _, p := range []struct {
					topic     string
					partition int32
				}{{"plain", 0}, {"idem", 0}, {"idem", 1}, {"appendtime", 0}, {"deleted.records", 0}} {
					name := fmt.Sprintf("%s-%d", p.topic, p.partition)
					want, end := expected(t, name, "read_uncommitted")
					if diff := cmp.Diff(want, read(t, b, p.topic, p.partition, end, kgo.ReadUncommitted())); diff != "" {
						t.Errorf("%s (-Kafka +dmq):\n%.2000s", name, diff)
					}
				}
				if metadata != (b.Image().Topic("empty") != nil && b.Image().Configs[image.Resource{Type: image.ResourceTopic, Name: "appendtime"}]["message.timestamp.type"] == "LogAppendTime") {
					t.Error("topic configs come from the metadata log, and from nowhere else")
				}
				retention, kept := b.Image().Configs[image.Resource{Type: image.ResourceTopic, Name: "plain"}]["retention.ms"]
				if !metadata && (!kept || retention != "-1") {
					t.Errorf("without metadata retention.ms is %q: records could be deleted", retention)
				}
				if _, err := os.Stat(filepath.Join(dir, "plain-0")); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestAdopt_GoesOnAfterKafka(t *testing.T) {
	dir := copyKafka(t, "clean")
	b := startBroker(t, dir)
	before := b.Image().Topic("plain")
	want, end := expected(t, "plain-0", "read_uncommitted")
	cl := newClient(t, b)
	produce(t, cl, "plain", 0, 10)
	cl.Close()
	if err := b.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}

	b = startBroker(t, dir) // a second start adopts nothing again
	after := b.Image().Topic("plain")
	if after.ID != before.ID {
		t.Errorf("topic id changed from %s to %s", before.ID, after.ID)
	}
	got := read(t, b, "plain", 0, end+10, kgo.ReadUncommitted())
	if len(got) != len(want)+10 {
		t.Fatalf("got %d records, want %d", len(got), len(want)+10)
	}
	last, newest := want[len(want)-1], got[len(got)-1]
	if newest.Offset != end+9 || newest.Epoch <= last.Epoch {
		t.Errorf("after Kafka's %+v our last record is %+v: offsets go on and the leader epoch rises", last, newest)
	}
}

func TestAdopt_NodeID(t *testing.T) {
	dir := copyKafka(t, "clean")
	props := filepath.Join(dir, "meta.properties")
	text, err := os.ReadFile(props)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "__cluster_metadata-0")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(props, []byte(strings.Replace(string(text), "node.id=1", "node.id=7", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	b := startBroker(t, dir)
	if b.Image().Brokers[7] == nil {
		t.Errorf("brokers are %v, want node 7", b.Image().Brokers)
	}
}
