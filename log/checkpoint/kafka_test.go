package checkpoint_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
)

// kafkaDir holds directories that Apache Kafka wrote; see the README there.
const kafkaDir = "../testdata/kafka-4.4.0"

func kafkaFiles(t *testing.T, pattern string, atLeast int) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(kafkaDir, pattern))
	must(t, err)
	if len(files) < atLeast {
		t.Fatalf("%s: found %d files, want at least %d", pattern, len(files), atLeast)
	}
	return files
}

// wantSame compares what was written with Kafka's file, byte for byte, or line by line where sorted is set: a hash map
// orders the lines there.
func wantSame(t *testing.T, fsys vfs.FS, name, kafkaFile string, sorted bool) {
	t.Helper()
	b, err := os.ReadFile(kafkaFile)
	must(t, err)
	got, want := text(t, fsys, name), string(b)
	if sorted {
		got, want = sortLines(got), sortLines(want)
	}
	if got != want {
		t.Errorf("%s\n got %q\nwant %q", kafkaFile, got, want)
	}
}

func sortLines(s string) string {
	lines := strings.Split(s, "\n")
	slices.Sort(lines[min(2, len(lines)):])
	return strings.Join(lines, "\n")
}

func TestKafkaFiles_ReadAndWrittenBackAlike(t *testing.T) {
	fsys := vfs.NewMem()
	for _, file := range kafkaFiles(t, "*/*-offset-checkpoint", 8) {
		offsets, err := checkpoint.ReadOffsets(vfs.OS(), file)
		must(t, err)
		must(t, checkpoint.WriteOffsets(fsys, "/f", offsets))
		wantSame(t, fsys, "/f", file, true)
	}
	for _, file := range kafkaFiles(t, "*/*/leader-epoch-checkpoint", 20) {
		entries, err := checkpoint.ReadEpochs(vfs.OS(), file)
		must(t, err)
		must(t, checkpoint.WriteEpochs(fsys, "/f", entries))
		wantSame(t, fsys, "/f", file, false)
	}
	for _, file := range kafkaFiles(t, "*/*/partition.metadata", 20) {
		m, err := checkpoint.ReadPartitionMetadata(vfs.OS(), filepath.Dir(file))
		must(t, err)
		must(t, checkpoint.WritePartitionMetadata(fsys, "/", m))
		wantSame(t, fsys, "/partition.metadata", file, false)
	}
	for _, file := range kafkaFiles(t, "*/meta.properties", 2) {
		m, err := checkpoint.ReadMetaProperties(vfs.OS(), filepath.Dir(file))
		must(t, err)
		if m.Version != 1 || m.NodeID != 1 || m.ClusterID != "peerpeerpeerpeerpeerpA" || m.DirectoryID.IsZero() {
			t.Errorf("%s: got %+v", file, m)
		}
		must(t, checkpoint.WriteMetaProperties(fsys, "/", m))
		kafka, err := os.ReadFile(file)
		must(t, err)
		lines := strings.SplitAfter(string(kafka), "\n") // the second line is the date
		if got, want := text(t, fsys, "/meta.properties"), strings.Join(slices.Delete(lines, 1, 2), ""); got != want {
			t.Errorf("%s\n got %q\nwant %q", file, got, want)
		}
	}
	for _, file := range kafkaFiles(t, "clean/.kafka_cleanshutdown", 1) {
		mark, found, err := checkpoint.ReadCleanShutdown(vfs.OS(), filepath.Dir(file))
		if err != nil || !found || mark.BrokerEpoch <= 0 {
			t.Fatalf("%s: got %+v %v %v", file, mark, found, err)
		}
		must(t, checkpoint.WriteCleanShutdown(fsys, "/", mark))
		wantSame(t, fsys, "/.kafka_cleanshutdown", file, false)
	}
}
