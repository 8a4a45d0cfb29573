package logdir_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// kafkaDir holds directories that Apache Kafka wrote; see the README there.
const kafkaDir = "../testdata/kafka-4.4.0"

// copyDir copies a directory that Kafka wrote, so that it can be opened.
func copyDir(t testing.TB, name string) string {
	t.Helper()
	dst := filepath.Join(t.TempDir(), name)
	must(t, os.CopyFS(dst, os.DirFS(filepath.Join(kafkaDir, name))))
	return dst
}

// keepAll is a configuration under which nothing of the sample directory is removed: its records are old.
func keepAll(string) commitlog.Config {
	c := commitlog.DefaultConfig()
	c.RetentionMs, c.SegmentBytes, c.IndexIntervalBytes, c.SegmentIndexBytes = -1, 2048, 256, 1024
	return c
}

// expected reads what a consumer of Kafka's read: the offsets, and where the partition begins and ends.
func expected(t testing.TB, partition string) (start, end int64, offsets []int64) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(kafkaDir, "expected", partition+".read_uncommitted.tsv"))
	must(t, err)
	number := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		must(t, err)
		return n
	}
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if fields[0] == "#" {
			start, end = number(strings.TrimPrefix(fields[1], "start ")), number(strings.TrimPrefix(fields[2], "end "))
			continue
		}
		offsets = append(offsets, number(fields[0]))
	}
	return start, end, offsets
}

var kafkaPartitions = []protocol.TopicPartition{
	tp("appendtime", 0), tp("compacted", 0), tp("deleted.records", 0), tp("empty", 0), tp("idem", 0), tp("idem", 1), tp("plain", 0), tp("txn", 0),
}

// TestKafkaDirectory_IsAdopted opens the directory that Kafka left, after a clean stop and after a kill, twice: everything is
// there, nothing is lost, and what we leave says the same.
func TestKafkaDirectory_IsAdopted(t *testing.T) {
	for _, name := range []string{"clean", "killed"} {
		t.Run(name, func(t *testing.T) {
			dir := copyDir(t, name)
			id, err := logdir.Identify(vfs.OS(), []string{dir})
			if err != nil || id.ClusterID != "peerpeerpeerpeerpeerpA" || id.NodeID != 1 {
				t.Fatalf("identity %+v %v", id, err)
			}
			change := func(o *logdir.Options) {
				o.Dirs, o.ClusterID, o.NodeID, o.ConfigFor = []string{dir}, "", checkpoint.NoNode, keepAll
			}
			meta, err := os.ReadFile(filepath.Join(dir, "meta.properties"))
			must(t, err)
			for start := range 2 {
				m := open(t, vfs.OS(), change)
				checkKafkaPartitions(t, m)
				if epoch := m.PreviousBrokerEpoch(); (name == "clean" || start > 0) != (epoch > 0) {
					t.Errorf("start %d: previous broker epoch %d", start, epoch)
				}
				must(t, m.Close(true, 1000))
			}
			if now, err := os.ReadFile(filepath.Join(dir, "meta.properties")); err != nil || string(now) != string(meta) {
				t.Errorf("meta.properties was changed: %q (%v)", now, err)
			}
			checkCheckpoints(t, dir)
			folders, err := filepath.Glob(filepath.Join(dir, "gone-0.*-delete"))
			if err != nil || len(folders) > 0 {
				t.Errorf("what Kafka was deleting is still there: %q", folders)
			}
		})
	}
}

func checkKafkaPartitions(t *testing.T, m *logdir.Manager) {
	t.Helper()
	infos, err := m.Partitions(t.Context())
	must(t, err)
	var found []protocol.TopicPartition
	for _, info := range infos {
		if info.TopicID.IsZero() || info.Err != nil {
			t.Errorf("%+v", info)
		}
		if !strings.HasPrefix(info.TopicPartition.Topic, "__") {
			found = append(found, info.TopicPartition)
		}
	}
	if diff := cmp.Diff(kafkaPartitions, found); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
	must(t, m.WaitRecovered(t.Context()))
	for _, p := range found {
		l := get(t, m, p)
		start, end, offsets := expected(t, p.String())
		if l.LogStartOffset() != start || l.LogEndOffset() != end {
			t.Errorf("%s: offsets %d to %d, Kafka has %d to %d", p, l.LogStartOffset(), l.LogEndOffset(), start, end)
		}
		if got := len(values(t, l)); got < len(offsets) { // control records are among ours
			t.Errorf("%s: read %d records, Kafka %d", p, got, len(offsets))
		}
	}
}

// checkCheckpoints compares our last checkpoints with Kafka's from the clean stop. Kafka's transaction log went on after the
// copy of the killed one was made.
func checkCheckpoints(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{checkpoint.RecoveryPointFile, checkpoint.LogStartOffsetFile} {
		want, err := checkpoint.ReadOffsets(vfs.OS(), filepath.Join(kafkaDir, "clean", name))
		must(t, err)
		got, err := checkpoint.ReadOffsets(vfs.OS(), filepath.Join(dir, name))
		must(t, err)
		delete(want, tp("__transaction_state", 0))
		delete(got, tp("__transaction_state", 0))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Kafka +ours):\n%s", name, diff)
		}
	}
}

// TestKafkaDirectory_OtherFilesStay: the metadata log is for others to read.
func TestKafkaDirectory_OtherFilesStay(t *testing.T) {
	dir := copyDir(t, "clean")
	list := func() []string {
		var out []string
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, path)
			if strings.HasPrefix(rel, "__cluster_metadata-0") {
				out = append(out, rel)
			}
			return err
		}))
		return out
	}
	before := list()
	m := open(t, vfs.OS(), func(o *logdir.Options) {
		o.Dirs, o.ClusterID, o.NodeID, o.ConfigFor = []string{dir}, "", checkpoint.NoNode, keepAll
	})
	must(t, m.Close(true, 1))
	if after := list(); !slices.Equal(before, after) {
		t.Errorf("the metadata log was touched:\n%q\n%q", before, after)
	}
}
