package log_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// TestKafkaDirectory_ReadsBack reads every record of a directory that Apache Kafka wrote, as a Kafka consumer read it: after
// a clean stop and as kill -9 left it, with the indexes as they are and without any.
func TestKafkaDirectory_ReadsBack(t *testing.T) {
	partitions := []string{
		"plain-0", "idem-0", "idem-1", "txn-0", "compacted-0", "appendtime-0", "deleted.records-0", "empty-0",
	}
	for _, state := range []string{"clean", "killed", "clean without indexes", "clean with torn transaction indexes"} {
		for _, partition := range partitions {
			t.Run(state+"/"+partition, func(t *testing.T) {
				l := openKafka(t, state, partition)
				for _, isolation := range []string{"read_uncommitted", "read_committed"} {
					want, err := os.ReadFile(filepath.Join("testdata/kafka-4.4.0/expected", partition+"."+isolation+".tsv"))
					if err != nil {
						t.Fatal(err)
					}
					got := consume(t, l, isolation == "read_committed")
					if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
						t.Fatalf("%s: %s", isolation, diff)
					}
				}
			})
		}
	}
}

func openKafka(t *testing.T, state, partition string) *commitlog.Log {
	t.Helper()
	source, change, _ := strings.Cut(state, " ")
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata/kafka-4.4.0", source))); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, partition)
	each := func(pattern string, fn func(name string) error) {
		names, err := filepath.Glob(filepath.Join(folder, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if err := fn(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	switch change {
	case "without indexes":
		each("*.index", os.Remove)
		each("*.timeindex", os.Remove)
	case "with torn transaction indexes":
		each("*.txnindex", func(name string) error { return os.Truncate(name, 30) })
	}
	topic, _, _ := strings.Cut(partition, "-")
	tp := protocol.TopicPartition{Topic: topic}
	if partition == "idem-1" {
		tp.Partition = 1
	}
	point := func(file string) int64 {
		offsets, err := checkpoint.ReadOffsets(vfs.OS(), filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		return offsets[tp]
	}
	syncer := commitlog.NewSyncer(0)
	l, err := commitlog.Open(commitlog.Options{
		FS: vfs.OS(), Dir: folder, TopicPartition: tp, Config: commitlog.DefaultConfig(), Syncer: syncer,
		RecoveryPoint: point(checkpoint.RecoveryPointFile), LogStartOffset: point(checkpoint.LogStartOffsetFile),
		HighWatermark: point(checkpoint.HighWatermarkFile), CleanShutdown: source == "clean",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		syncer.Close()
	})
	l.UpdateHighWatermark(l.LogEndOffset())
	return l
}

// consume reads a log as a Java consumer does, in the form of testdata's expected files.
func consume(t *testing.T, l *commitlog.Log, committed bool) string {
	t.Helper()
	end := l.HighWatermark()
	if committed {
		end = l.LastStableOffset()
	}
	var out strings.Builder
	fmt.Fprintf(&out, "#\tstart %d\tend %d\n", l.LogStartOffset(), end)
	aborted := map[int64][]int64{} // producer: first offsets
	if committed {
		txns, err := l.AbortedTxns(l.LogStartOffset(), end)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range txns {
			aborted[a.ProducerID] = append(aborted[a.ProducerID], a.FirstOffset)
		}
	}
	for offset := l.LogStartOffset(); offset < end; {
		s, err := l.Read(offset, 3000, end, true)
		if err != nil {
			t.Fatal(err)
		}
		data, err := sliceBytes(s)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) == 0 {
			break // compaction has taken the rest
		}
		for len(data) > 0 {
			b, rest, err := records.Split(data)
			if err != nil {
				t.Fatal(err)
			}
			data = rest
			first := aborted[b.ProducerID()]
			skip := b.IsControl() || b.IsTransactional() && len(first) > 0 && first[0] <= b.BaseOffset()
			if b.IsControl() && len(first) > 0 && first[0] < b.BaseOffset() {
				aborted[b.ProducerID()] = first[1:]
			}
			if !skip {
				writeRecords(t, &out, b, offset)
			}
			offset = b.NextOffset()
		}
	}
	return out.String()
}

func writeRecords(t *testing.T, out *strings.Builder, b records.Batch, from int64) {
	t.Helper()
	quote := func(p []byte) string {
		if p == nil {
			return "null"
		}
		return `"` + string(p) + `"`
	}
	err := b.Iterate(math.MaxInt32, func(r *records.Record) error {
		if r.Offset < from {
			return nil
		}
		var headers []string
		for _, h := range r.Headers {
			headers = append(headers, quote([]byte(h.Key))+"="+quote(h.Value))
		}
		_, err := fmt.Fprintf(out, "%d\t%d\t%d\t%d\t%s\t%s\t%s\n", r.Offset, b.PartitionLeaderEpoch(), b.TimestampType(), r.Timestamp,
			quote(r.Key), quote(r.Value), strings.Join(headers, ","))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dumpTool runs Kafka's DumpLogSegments.
func dumpTool(t *testing.T) func(args ...string) (stdout, stderr string) {
	t.Helper()
	home := cmp.Or(os.Getenv("KAFKA_HOME_CACHE"), "../.cache/kafka")
	jars, err := filepath.Glob(filepath.Join(home, "tools", "*.jar"))
	if err != nil || len(jars) == 0 {
		t.Skipf("no Kafka jars in %s: make test runs the tool in any case", filepath.Join(home, "tools"))
	}
	return func(args ...string) (string, string) {
		cmd := exec.CommandContext(t.Context(), "java", append([]string{
			"-Xmx256m", "-cp", filepath.Join(home, "tools", "*"), "org.apache.kafka.tools.DumpLogSegments",
		}, args...)...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("DumpLogSegments: %v\n%s", err, stderr.String())
		}
		return stdout.String(), stderr.String()
	}
}

// TestDumpLogSegments_AcceptsWhatWeWrite has Kafka's own tool look at a log with several segments, all codecs, producers and
// transactions, while it is written, after it was closed, and after it was killed and recovered.
func TestDumpLogSegments_AcceptsWhatWeWrite(t *testing.T) {
	dump := dumpTool(t)
	dir := filepath.Join(t.TempDir(), "topic-0")
	open := func(clean bool, recoveryPoint int64) *testLog {
		return newTestLog(t, vfs.OS(), func(o *commitlog.Options) {
			o.Dir, o.CleanShutdown, o.RecoveryPoint = dir, clean, recoveryPoint
			o.Config.SegmentBytes, o.Config.IndexIntervalBytes = 20_000, 512
		})
	}
	l := open(false, 0)
	end := l.fillForDump(t)
	checkDump(t, dump, dir, end)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	checkDump(t, dump, dir, end)

	l = open(true, end)
	end = l.fillForDump(t)
	if err := l.Delete(); err != nil { // as if it had been killed
		t.Fatal(err)
	}
	l = open(false, end-20)
	if got := l.LogEndOffset(); got != end {
		t.Fatalf("log end offset %d after recovery, want %d", got, end)
	}
	checkDump(t, dump, dir, end)
}

// fillForDump appends batches of every kind and returns the log end offset.
func (l *testLog) fillForDump(t *testing.T) int64 {
	t.Helper()
	start := l.LogEndOffset()
	seq := map[int64]int32{}
	for _, p := range l.ActiveProducers() {
		seq[p.ProducerID] = p.LastSequence + 1
	}
	for i := range 400 {
		ts := start*10 + int64(i*10+i%7*20) // not always rising
		o := records.BuilderOptions{Codec: codecs[i%len(codecs)], Level: compress.DefaultLevel}
		switch i % 4 {
		case 1:
			o.HasProducer, o.ProducerID = true, 5
		case 2:
			o.HasProducer, o.ProducerID, o.Transactional = true, 6, true
		}
		o.BaseSequence = seq[o.ProducerID]
		seq[o.ProducerID] += 3
		l.mustAppendBatch(t, batchAt(t, o, ts, "value", strings.Repeat(fmt.Sprint(i), 100), ""))
		if i%40 == 39 {
			if _, err := l.AppendAsLeader(markerBatch(t, 6, i%80 == 79), 0, commitlog.FromCoordinator); err != nil {
				t.Fatal(err)
			}
		}
	}
	l.sync(t)
	return l.LogEndOffset()
}

// checkDump expects that the tool finds no fault and every offset.
func checkDump(t *testing.T, dump func(args ...string) (string, string), dir string, end int64) {
	t.Helper()
	var files []string
	logs := 0
	for _, suffix := range []string{segment.LogSuffix, segment.IndexSuffix, segment.TimeIndexSuffix, segment.TxnIndexSuffix, ".snapshot"} {
		names, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if suffix == segment.LogSuffix {
			logs = len(names)
		}
		files = append(files, names...)
	}
	if logs < 3 {
		t.Fatalf("%d segments, want several", logs)
	}
	for _, mode := range [][]string{{"--deep-iteration"}, {"--deep-iteration", "--verify-index-only"}, {"--index-sanity-check"}} {
		stdout, stderr := dump(append(mode, "--files", strings.Join(files, ","))...)
		if !onlyFirstOffsets(stderr) {
			t.Fatalf("%v: the tool complains:\n%s", mode, stderr)
		}
		if !slices.Contains(mode, "--index-sanity-check") && !strings.Contains(stdout, fmt.Sprintf("lastOffset: %d ", end-1)) {
			t.Fatalf("%v: the tool does not show offset %d", mode, end-1)
		}
		if strings.Contains(stdout, "isvalid: false") {
			t.Fatalf("%v: the tool finds an invalid batch", mode)
		}
	}
}

// onlyFirstOffsets reports whether the tool finds nothing but that segments do not begin at offset 0, of which it complains
// with Kafka's own logs, too.
func onlyFirstOffsets(stderr string) bool {
	for line := range strings.Lines(stderr) {
		if !strings.HasPrefix(line, "Non-consecutive offsets in ") && !strings.HasPrefix(line, "  -1 is followed by ") {
			return false
		}
	}
	return true
}
