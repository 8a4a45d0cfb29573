package checkpoint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, fsys vfs.FS, name, content string) {
	t.Helper()
	must(t, vfs.WriteFileAtomic(fsys, name, []byte(content)))
}

func text(t testing.TB, fsys vfs.FS, name string) string {
	t.Helper()
	b, err := vfs.ReadFile(fsys, name)
	must(t, err)
	return string(b)
}

func wantFormatError(t *testing.T, err error, line int) {
	t.Helper()
	var format *checkpoint.FormatError
	if !errors.As(err, &format) {
		t.Fatalf("got %v, want a format error", err)
	}
	if format.Line != line {
		t.Errorf("got line %d (%v), want %d", format.Line, err, line)
	}
	if !strings.Contains(err.Error(), format.Path) || format.Path == "" {
		t.Errorf("%q does not name the file", err)
	}
}

func tp(topic string, partition int32) protocol.TopicPartition {
	return protocol.TopicPartition{Topic: topic, Partition: partition}
}

func TestOffsets(t *testing.T) {
	type offsets = map[protocol.TopicPartition]int64
	cases := []struct {
		name, text string
		want       offsets
		errLine    int // -1: no error
	}{
		{"empty file", "", offsets{}, -1},
		{"version only", "0\n", offsets{}, -1},
		{"version without line end", "0", offsets{}, -1},
		{"no entries", "0\n0\n", offsets{}, -1},
		{"entries", "0\n2\na-b.c_d 0 5\nx 12 9223372036854775807\n", offsets{tp("a-b.c_d", 0): 5, tp("x", 12): math.MaxInt64}, -1},
		{"without the last line end", "0\n1\na 0 5", offsets{tp("a", 0): 5}, -1},
		{"other line ends", "0\r\n2\ra 0 5\r\nb 1 -1\r\n", offsets{tp("a", 0): 5, tp("b", 1): -1}, -1},
		{"more space between and after", "0\n1\na \t 0   5  \n", offsets{tp("a", 0): 5}, -1},
		{"a partition twice", "0\n2\na 0 5\na 0 6\n", offsets{tp("a", 0): 6}, -1},
		{"unknown version", "1\n0\n", nil, 1},
		{"no version", "x\n0\n", nil, 1},
		{"no count", "0\nx\n", nil, 2},
		{"too few entries", "0\n2\na 0 5\n", nil, 0},
		{"too many entries", "0\n0\na 0 5\n", nil, 0},
		{"empty line", "0\n1\na 0 5\n\n", nil, 4},
		{"space in front", "0\n1\n a 0 5\n", nil, 3},
		{"a field too few", "0\n1\na 0\n", nil, 3},
		{"a field too many", "0\n1\na 0 5 6\n", nil, 3},
		{"partition is no number", "0\n1\na x 5\n", nil, 3},
		{"partition is too large", "0\n1\na 2147483648 5\n", nil, 3},
		{"offset is too large", "0\n1\na 0 9223372036854775808\n", nil, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			put(t, fsys, "/f", c.text)
			got, err := checkpoint.ReadOffsets(fsys, "/f")
			if c.errLine >= 0 {
				wantFormatError(t, err, c.errLine)
				return
			}
			must(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			must(t, checkpoint.WriteOffsets(fsys, "/f", got))
			again, err := checkpoint.ReadOffsets(fsys, "/f")
			must(t, err)
			if diff := cmp.Diff(c.want, again); diff != "" {
				t.Errorf("written and read back (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOffsets_Bytes(t *testing.T) {
	fsys := vfs.NewMem()
	must(t, checkpoint.WriteOffsets(fsys, "/f", map[protocol.TopicPartition]int64{tp("b", 1): 7, tp("b", 0): 0, tp("a", 10): 5, tp("a", 9): 6}))
	if got, want := text(t, fsys, "/f"), "0\n4\na 9 6\na 10 5\nb 0 0\nb 1 7\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got, err := checkpoint.ReadOffsets(fsys, "/missing")
	if err != nil || got == nil || len(got) != 0 {
		t.Errorf("a missing file: got %v %v, want an empty map", got, err)
	}
	if _, err := checkpoint.ReadOffsets(fsys, "/"); err == nil {
		t.Error("read a folder")
	}
}

func TestEpochs(t *testing.T) {
	cases := []struct {
		name, text string
		want       []checkpoint.EpochEntry
		errLine    int
	}{
		{"empty", "", nil, -1},
		{"entries in file order", "0\n3\n0 0\n7 4211\n5 9\n", []checkpoint.EpochEntry{{LeaderEpoch: 0, StartOffset: 0}, {LeaderEpoch: 7, StartOffset: 4211}, {LeaderEpoch: 5, StartOffset: 9}}, -1},
		{"three fields", "0\n1\n0 0 0\n", nil, 3},
		{"epoch is no int32", "0\n1\n2147483648 0\n", nil, 3},
		{"offset is no number", "0\n1\n0 x\n", nil, 3},
		{"count", "0\n2\n0 0\n", nil, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			put(t, fsys, "/f", c.text)
			got, err := checkpoint.ReadEpochs(fsys, "/f")
			if c.errLine >= 0 {
				wantFormatError(t, err, c.errLine)
				return
			}
			must(t, err)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	fsys := vfs.NewMem()
	must(t, checkpoint.WriteEpochs(fsys, "/f", []checkpoint.EpochEntry{{LeaderEpoch: 0, StartOffset: 0}, {LeaderEpoch: 7, StartOffset: 4211}}))
	if got, want := text(t, fsys, "/f"), "0\n2\n0 0\n7 4211\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const someID = "0RbDfu3GR2mVVVNHN6cZrw"

func parseID(t testing.TB, s string) protocol.TopicID {
	t.Helper()
	id, err := protocol.ParseTopicID(s)
	must(t, err)
	return id
}

func TestPartitionMetadata(t *testing.T) {
	cases := []struct {
		name, text string
		wantVer    int32
		errLine    int
	}{
		{"as Kafka writes it", "version: 0\ntopic_id: " + someID, 0, -1},
		{"with a line end", "version: 0\ntopic_id: " + someID + "\n", 0, -1},
		{"a later version", "version: 3\ntopic_id: " + someID + "\nmore: x", 3, -1},
		{"more space", "version:   0\ntopic_id:\t" + someID, 0, -1},
		{"other keys", "v: 0\nid: " + someID, 0, -1},
		{"empty", "", 0, 0},
		{"one line", "version: 0", 0, 1},
		{"no space", "version:0\ntopic_id: " + someID, 0, 1},
		{"no value", "version: \ntopic_id: " + someID, 0, 1},
		{"no key", ": 0\ntopic_id: " + someID, 0, 1},
		{"negative version", "version: -1\ntopic_id: " + someID, 0, 1},
		{"version is no number", "version: x\ntopic_id: " + someID, 0, 1},
		{"short id", "version: 0\ntopic_id: " + someID[1:], 0, 2},
		{"zero id", "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", 0, 2},
		{"no id", "version: 0\ntopic_id", 0, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			put(t, fsys, "/"+checkpoint.PartitionMetadataFile, c.text)
			got, err := checkpoint.ReadPartitionMetadata(fsys, "/")
			if c.errLine >= 0 {
				wantFormatError(t, err, c.errLine)
				return
			}
			must(t, err)
			if want := (checkpoint.PartitionMetadata{Version: c.wantVer, TopicID: parseID(t, someID)}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
	fsys := vfs.NewMem()
	if _, err := checkpoint.ReadPartitionMetadata(fsys, "/"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	must(t, checkpoint.WritePartitionMetadata(fsys, "/", checkpoint.PartitionMetadata{TopicID: parseID(t, someID)}))
	want := "version: 0\ntopic_id: " + someID
	if got := text(t, fsys, "/partition.metadata"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	must(t, fsys.MkdirAll("/new", 0o755))
	must(t, fsys.SyncDir("/"))
	must(t, checkpoint.CreatePartitionMetadata(fsys, "/new", checkpoint.PartitionMetadata{TopicID: parseID(t, someID)}))
	if got := text(t, fsys, "/new/partition.metadata"); got != want {
		t.Errorf("created: got %q, want %q", got, want)
	}
}

func TestMetaProperties(t *testing.T) {
	kafka := "#\n#Sun Nov 22 10:00:00 UTC 2026\nnode.id=1\ndirectory.id=" + someID + "\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n"
	full := checkpoint.MetaProperties{Version: 1, ClusterID: "MkU3OEVBNTcwNTJENDM2Qg", NodeID: 1, DirectoryID: parseID(t, someID)}
	cases := []struct {
		name, text string
		want       checkpoint.MetaProperties
		ok         bool
	}{
		{"as Kafka writes it", kafka, full, true},
		{"spaces and colons", "version : 1\n  node.id = 1\ncluster.id:MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id " + someID, full, true},
		{"version in spaces", strings.Replace(kafka, "version=1", "version=1 ", 1), full, true},
		{"unknown keys", kafka + "x=y\n", full, true},
		{"no directory id", "version=1\nnode.id=2\ncluster.id=c\n", checkpoint.MetaProperties{Version: 1, ClusterID: "c", NodeID: 2}, true},
		{"version 0", "version=0\nbroker.id=7\ncluster.id=c\n", checkpoint.MetaProperties{ClusterID: "c", NodeID: 7}, true},
		{"no version is version 0", "broker.id=7\n", checkpoint.MetaProperties{NodeID: 7}, true},
		{"empty is version 0", "", checkpoint.MetaProperties{NodeID: checkpoint.NoNode}, true},
		{"version 0 does not know node.id", "node.id=7\n", checkpoint.MetaProperties{NodeID: checkpoint.NoNode}, true},
		{"expressions are not expanded", "version=1\nnode.id=1\ncluster.id=${HOME}\n", checkpoint.MetaProperties{Version: 1, ClusterID: "${HOME}", NodeID: 1}, true},
		{"version 2", "version=2\nnode.id=1\ncluster.id=c\n", checkpoint.MetaProperties{}, false},
		{"version is no number", "version=x\n", checkpoint.MetaProperties{}, false},
		{"version 1 without a node", "version=1\ncluster.id=c\nbroker.id=1\n", checkpoint.MetaProperties{}, false},
		{"version 1 without a cluster", "version=1\nnode.id=1\n", checkpoint.MetaProperties{}, false},
		{"node is no number", "version=1\nnode.id=a\ncluster.id=c\n", checkpoint.MetaProperties{}, false},
		{"node is negative", "version=1\nnode.id=-4\ncluster.id=c\n", checkpoint.MetaProperties{}, false},
		{"directory id is none", strings.Replace(kafka, someID, "abc", 1), checkpoint.MetaProperties{}, false},
		{"directory id is reserved", strings.Replace(kafka, someID, "AAAAAAAAAAAAAAAAAAAAAQ", 1), checkpoint.MetaProperties{}, false},
		{"bad escape", "version=1\nnode.id=1\ncluster.id=\\uXXXX\n", checkpoint.MetaProperties{}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			fsys := vfs.NewMem()
			put(t, fsys, "/"+checkpoint.MetaPropertiesFile, c.text)
			got, err := checkpoint.ReadMetaProperties(fsys, "/")
			if !c.ok {
				wantFormatError(t, err, 0)
				return
			}
			must(t, err)
			if got != c.want {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
			must(t, checkpoint.WriteMetaProperties(fsys, "/", got))
			again, err := checkpoint.ReadMetaProperties(fsys, "/")
			if err != nil || again != c.want {
				t.Errorf("written and read back: %+v %v", again, err)
			}
		})
	}
	fsys := vfs.NewMem()
	if _, err := checkpoint.ReadMetaProperties(fsys, "/"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: got %v", err)
	}
	must(t, checkpoint.WriteMetaProperties(fsys, "/", full))
	if got, want := text(t, fsys, "/meta.properties"), "#\nnode.id=1\ndirectory.id="+someID+"\nversion=1\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []checkpoint.MetaProperties{
		{Version: 1, ClusterID: "a\nnode.id=9", NodeID: 1},
		{Version: 1, ClusterID: `a\`, NodeID: 1},
		{Version: 1, NodeID: 1},
		{Version: 1, ClusterID: "c", NodeID: checkpoint.NoNode},
		{Version: 2, ClusterID: "c", NodeID: 1},
	} {
		if err := checkpoint.WriteMetaProperties(fsys, "/", bad); err == nil {
			t.Errorf("%+v was written although it does not read back", bad)
		}
	}
}

func TestCleanShutdown(t *testing.T) {
	fsys := vfs.NewMem()
	if _, found, err := checkpoint.ReadCleanShutdown(fsys, "/"); found || err != nil {
		t.Errorf("no mark: got %v %v", found, err)
	}
	must(t, checkpoint.RemoveCleanShutdown(fsys, "/"))
	must(t, checkpoint.WriteCleanShutdown(fsys, "/", checkpoint.CleanShutdown{BrokerEpoch: 42}))
	if got, want := text(t, fsys, "/.kafka_cleanshutdown"), `{"version":0,"brokerEpoch":42}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	cases := []struct {
		text string
		want protocol.BrokerEpoch
	}{
		{`{"version":0,"brokerEpoch":42}`, 42},
		{`{"brokerEpoch": 7, "version": 5, "more": [1]}`, 7},
		{`{"version":0}`, -1},
		{`{"version":0,"brokerEpoch":null}`, -1},
		{`{"version":0,"brokerEpoch":"x"}`, -1},
		{"", -1},
		{"rubbish", -1},
	}
	for _, c := range cases {
		put(t, fsys, "/.kafka_cleanshutdown", c.text)
		got, found, err := checkpoint.ReadCleanShutdown(fsys, "/")
		if err != nil || !found || got.BrokerEpoch != c.want {
			t.Errorf("%q: got %+v %v %v, want epoch %d", c.text, got, found, err, c.want)
		}
	}
	must(t, checkpoint.RemoveCleanShutdown(fsys, "/"))
	if _, found, _ := checkpoint.ReadCleanShutdown(fsys.CrashClone(vfs.CrashOptions{}), "/"); found {
		t.Error("the mark came back after a crash: a directory would be trusted that was written to since")
	}
}

// TestWriters_AreAtomic crashes at every operation of every writer: the old content or the new, never anything else, and
// the new one once the writer has returned.
func TestWriters_AreAtomic(t *testing.T) {
	id := parseID(t, someID)
	writers := []struct {
		name, file string
		old, new   func(fsys vfs.FS) error
	}{
		{
			"offsets", "f",
			func(fsys vfs.FS) error {
				return checkpoint.WriteOffsets(fsys, "/f", map[protocol.TopicPartition]int64{tp("a", 0): 1})
			},
			func(fsys vfs.FS) error {
				return checkpoint.WriteOffsets(fsys, "/f", map[protocol.TopicPartition]int64{tp("a", 0): 2})
			},
		},
		{
			"epochs", "f",
			func(fsys vfs.FS) error { return checkpoint.WriteEpochs(fsys, "/f", nil) },
			func(fsys vfs.FS) error {
				return checkpoint.WriteEpochs(fsys, "/f", []checkpoint.EpochEntry{{LeaderEpoch: 1, StartOffset: 2}})
			},
		},
		{
			"partition metadata", checkpoint.PartitionMetadataFile,
			func(fsys vfs.FS) error {
				return checkpoint.WritePartitionMetadata(fsys, "/", checkpoint.PartitionMetadata{TopicID: id})
			},
			func(fsys vfs.FS) error {
				return checkpoint.WritePartitionMetadata(fsys, "/", checkpoint.PartitionMetadata{Version: 1, TopicID: id})
			},
		},
		{
			"meta properties", checkpoint.MetaPropertiesFile,
			func(fsys vfs.FS) error {
				return checkpoint.WriteMetaProperties(fsys, "/", checkpoint.MetaProperties{NodeID: 1})
			},
			func(fsys vfs.FS) error {
				return checkpoint.WriteMetaProperties(fsys, "/", checkpoint.MetaProperties{NodeID: 2})
			},
		},
		{
			"clean shutdown", checkpoint.CleanShutdownFile,
			func(fsys vfs.FS) error {
				return checkpoint.WriteCleanShutdown(fsys, "/", checkpoint.CleanShutdown{BrokerEpoch: 1})
			},
			func(fsys vfs.FS) error {
				return checkpoint.WriteCleanShutdown(fsys, "/", checkpoint.CleanShutdown{BrokerEpoch: 2})
			},
		},
	}
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			base := vfs.NewMem()
			must(t, w.new(base))
			want := text(t, base, "/"+w.file)
			must(t, w.old(base))
			old := text(t, base, "/"+w.file)
			for n := 1; ; n++ {
				m := base.CrashClone(vfs.CrashOptions{})
				failing := vfs.Inject(m, func(_ vfs.Op, _ string, i int) error {
					if i >= n {
						return fmt.Errorf("operation %d fails", i)
					}
					return nil
				})
				err := w.new(failing)
				for seed := range uint64(20) {
					after := m.CrashClone(vfs.CrashOptions{Rand: rand.New(rand.NewPCG(seed, uint64(n))), SurvivePercent: int(seed) * 5})
					got := text(t, after, filepath.Join("/", w.file))
					if got != want && (err == nil || got != old) {
						t.Fatalf("operation %d failed (%v), seed %d: got %q, want %q or, with the error, %q", n, err, seed, got, want, old)
					}
				}
				if err == nil {
					break
				}
			}
		})
	}
}
