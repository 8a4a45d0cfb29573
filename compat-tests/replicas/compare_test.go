package replicas_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/compat-tests/replicas"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// batchOf is a batch of two records at an offset.
func batchOf(t *testing.T, offset int64, leaderEpoch int32, value string) records.Batch {
	t.Helper()
	b := records.NewBuilder(records.BuilderOptions{})
	b.Append(1, nil, []byte(value))
	b.Append(2, nil, []byte(value))
	out, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	batch := records.Batch(out)
	batch.SetBaseOffset(offset)
	batch.SetPartitionLeaderEpoch(leaderEpoch)
	return batch
}

// node is what one holds of t-0: segments of batches.
type node struct {
	segments [][]records.Batch
	epochs   []checkpoint.EpochEntry
	tail     []byte
}

// three are nodes that hold the same, in segments of their own.
func three(t *testing.T) []node {
	all := []records.Batch{batchOf(t, 0, 1, "a"), batchOf(t, 2, 1, "b"), batchOf(t, 4, 3, "c"), batchOf(t, 6, 3, "d")}
	epochs := []checkpoint.EpochEntry{{LeaderEpoch: 1, StartOffset: 0}, {LeaderEpoch: 2, StartOffset: 4}, {LeaderEpoch: 3, StartOffset: 4}}
	deep := func(b []records.Batch) (out []records.Batch) {
		for _, x := range b {
			out = append(out, slices.Clone(x))
		}
		return out
	}
	return []node{
		{segments: [][]records.Batch{deep(all)}, epochs: slices.Clone(epochs)},
		{segments: [][]records.Batch{deep(all[:1]), deep(all[1:])}, epochs: slices.Clone(epochs)},
		{segments: [][]records.Batch{deep(all[:3]), deep(all[3:])}, epochs: slices.Clone(epochs)},
	}
}

func write(t *testing.T, nodes []node) map[int32]string {
	t.Helper()
	dirs := map[int32]string{}
	for i, n := range nodes {
		dir := t.TempDir()
		dirs[int32(i+1)] = dir
		folder := filepath.Join(dir, "t-0")
		if err := os.Mkdir(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for j, s := range n.segments {
			var file bytes.Buffer
			for _, b := range s {
				file.Write(b)
			}
			if j == len(n.segments)-1 {
				file.Write(n.tail)
			}
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%020d.log", s[0].BaseOffset())), file.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := checkpoint.WriteEpochs(vfs.OS(), filepath.Join(folder, checkpoint.LeaderEpochFile), n.epochs); err != nil {
			t.Fatal(err)
		}
	}
	return dirs
}

// Each way in which replicas may not differ is found, and no other.
func TestCompare(t *testing.T) {
	last := func(n *node) *records.Batch {
		s := n.segments[len(n.segments)-1]
		return &s[len(s)-1]
	}
	shorten := func(n *node) {
		s := &n.segments[len(n.segments)-1]
		*s = (*s)[:len(*s)-1]
	}
	tests := []struct {
		name          string
		edit          func(t *testing.T, n []node)
		highWatermark int64
		want          string
	}{
		{"the same in other segments", func(*testing.T, []node) {}, 8, ""},
		{"retention has come further on one", func(_ *testing.T, n []node) { n[1].segments = n[1].segments[1:] }, 8, ""},
		{"a torn batch at the end", func(_ *testing.T, n []node) { n[1].tail = []byte("torn away") }, 8, ""},
		{"one is shorter, above the high watermark", func(_ *testing.T, n []node) { shorten(&n[0]) }, 6, ""},
		{"one is shorter", func(_ *testing.T, n []node) { shorten(&n[0]) }, 8, "node 2 has a batch at offset 6, below the high watermark 8, and node 1 does not"},
		{"all are shorter", func(*testing.T, []node) {}, 9, "the log ends at 8, below the high watermark 9"},
		{"a batch in the middle is missing", func(_ *testing.T, n []node) { n[1].segments[1] = n[1].segments[1][1:] }, 8, "at offset 2, below the high watermark 8, and node 2 does not"},
		{"another batch of the same epoch", func(t *testing.T, n []node) { *last(&n[2]) = batchOf(t, 6, 3, "x") }, 8, "nodes 1 and 3 have different batches at offset 6"},
		{"another batch of the same epoch, above the high watermark", func(t *testing.T, n []node) { *last(&n[2]) = batchOf(t, 6, 3, "x") }, 6, "nodes 1 and 3 have different batches at offset 6"},
		{"another batch of another epoch, above the high watermark", func(t *testing.T, n []node) {
			*last(&n[2]) = batchOf(t, 6, 4, "x")
			n[2].epochs = append(n[2].epochs, checkpoint.EpochEntry{LeaderEpoch: 4, StartOffset: 6})
		}, 6, ""},
		{"another batch of another epoch", func(t *testing.T, n []node) { *last(&n[2]) = batchOf(t, 6, 4, "x") }, 8, "(leader epochs 3 and 4"},
		{"the same batch in another epoch", func(_ *testing.T, n []node) { last(&n[0]).SetPartitionLeaderEpoch(4) }, 8, "different batches at offset 6"},
		{"a bit flipped", func(_ *testing.T, n []node) { (*last(&n[1]))[70] ^= 1 }, 8, "node 2: batch at offset 6"},
		{"an epoch that falls", func(_ *testing.T, n []node) {
			for i := range n {
				last(&n[i]).SetPartitionLeaderEpoch(2)
			}
		}, 8, "leader epoch 2 at offset 6 comes after 3"},
		{"offsets that fall", func(_ *testing.T, n []node) { last(&n[0]).SetBaseOffset(4) }, 8, "a batch at offset 4 comes after offset 5"},
		{"an epoch that the checkpoint does not know", func(_ *testing.T, n []node) { n[1].epochs = n[1].epochs[:1] }, 8, "node 2: leader epoch 3 begins at offset 4"},
		{"an epoch that begins elsewhere", func(_ *testing.T, n []node) { n[1].epochs[2].StartOffset = 5 }, 8, "node 2: leader epoch 3 begins at offset 4, and the checkpoint says 5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nodes := three(t)
			tt.edit(t, nodes)
			res := replicas.Compare(write(t, nodes), []replicas.Partition{{Topic: "t", HighWatermark: tt.highWatermark, Nodes: []int32{1, 2, 3}}})
			switch err := res.Err(); {
			case tt.want == "" && err != nil:
				t.Errorf("Compare: %v", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("Compare: %v, want %q", err, tt.want)
			}
		})
	}
}

// TestCompareMissing: a replica without a folder is one without records.
func TestCompareMissing(t *testing.T) {
	dirs := write(t, three(t))
	res := replicas.Compare(dirs, []replicas.Partition{
		{Topic: "t", HighWatermark: 8, Nodes: []int32{1, 2}}, {Topic: "u", Nodes: []int32{1, 2}}, {Topic: "v", HighWatermark: 1, Nodes: []int32{1, 2}},
	})
	if res.Partitions != 3 || res.Batches != 8 || len(res.Mismatches) != 1 || !strings.Contains(res.Mismatches[0], "v-0: node 1: the log ends at 0, below the high watermark 1") {
		t.Errorf("Compare = %+v", res)
	}
}
