package replicas

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
)

// Partition is what is compared.
type Partition struct {
	Topic         string
	Partition     int32
	HighWatermark int64   // of the cluster at rest
	Nodes         []int32 // that have a replica
}

// Result is what was compared.
type Result struct {
	Partitions, Batches int
	Bytes               int64
	Mismatches          []string // nothing that replicas may differ in
}

// Err describes the mismatches, or is nil.
func (r *Result) Err() error {
	if len(r.Mismatches) == 0 {
		return nil
	}
	return fmt.Errorf("replicas differ in %d of %d partitions\n  %s", len(r.Mismatches), r.Partitions,
		strings.Join(r.Mismatches[:min(5, len(r.Mismatches))], "\n  "))
}

// Compare compares partitions. Dirs are the log directories of the nodes.
func Compare(dirs map[int32]string, partitions []Partition) *Result {
	res := &Result{}
	for _, p := range partitions {
		res.Partitions++
		if err := res.compare(dirs, p); err != nil {
			res.Mismatches = append(res.Mismatches, fmt.Sprintf("%s-%d: %v", p.Topic, p.Partition, err))
		}
	}
	return res
}

// compare walks all replicas of a partition in step.
func (r *Result) compare(dirs map[int32]string, p Partition) error {
	var all []*cursor
	defer func() {
		for _, c := range all {
			c.close()
			r.Batches += c.count
			r.Bytes += c.bytes
		}
	}()
	for _, node := range p.Nodes {
		c, err := open(node, filepath.Join(dirs[node], fmt.Sprintf("%s-%d", p.Topic, p.Partition)))
		if err != nil {
			return err
		}
		all = append(all, c)
	}
	if err := fromOneStart(all); err != nil {
		return err
	}
	for {
		more, err := step(all, p.HighWatermark)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	for _, c := range all {
		if c.end < p.HighWatermark {
			return fmt.Errorf("node %d: the log ends at %d, below the high watermark %d", c.node, c.end, p.HighWatermark)
		}
		if err := c.finish(); err != nil {
			return err
		}
	}
	return nil
}

// fromOneStart brings all to the first offset that every log still has: retention may have come further on one of them.
func fromOneStart(all []*cursor) error {
	start := int64(0)
	for _, c := range all {
		if c.batch != nil {
			start = max(start, c.batch.BaseOffset())
		}
	}
	for _, c := range all {
		for c.batch != nil && c.batch.LastOffset() < start {
			if err := c.next(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step compares the batches at the lowest offset that any replica stands at, and goes on behind them.
func step(all []*cursor, highWatermark int64) (more bool, err error) {
	var first *cursor
	for _, c := range all {
		if c.batch != nil && (first == nil || c.batch.BaseOffset() < first.batch.BaseOffset()) {
			first = c
		}
	}
	if first == nil {
		return false, nil
	}
	offset := first.batch.BaseOffset()
	for _, c := range all {
		if err := same(first, c, highWatermark); err != nil {
			return false, err
		}
	}
	for _, c := range all {
		if c.batch != nil && c.batch.BaseOffset() == offset {
			if err := c.next(); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// same compares the batch where first stands with that of c, which stands there or further on:
//
//	Case A: below the high watermark: c has it, and it is the same
//	Case B: above it: c need not have it, and may have one of another leader epoch
func same(first, c *cursor, highWatermark int64) error {
	b, other := first.batch, c.batch
	there := other != nil && other.BaseOffset() == b.BaseOffset()
	committed := b.BaseOffset() < highWatermark
	switch {
	case !there && committed: // Case A
		return fmt.Errorf("node %d has a batch at offset %d, below the high watermark %d, and node %d does not", first.node, b.BaseOffset(), highWatermark, c.node)
	case !there || !committed && other.PartitionLeaderEpoch() != b.PartitionLeaderEpoch(): // Case B
		return nil
	case !bytes.Equal(b, other):
		return fmt.Errorf("nodes %d and %d have different batches at offset %d (leader epochs %d and %d, last offsets %d and %d; high watermark %d)",
			first.node, c.node, b.BaseOffset(), b.PartitionLeaderEpoch(), other.PartitionLeaderEpoch(), b.LastOffset(), other.LastOffset(), highWatermark)
	default:
		return nil
	}
}

// finish holds the leader epochs of the log against leader-epoch-checkpoint, which may also name epochs without records. The
// first epoch of a log may have begun before what retention left.
func (c *cursor) finish() error {
	entries, err := checkpoint.ReadEpochs(vfs.OS(), filepath.Join(c.dir, checkpoint.LeaderEpochFile))
	if err != nil {
		return fmt.Errorf("node %d: %w", c.node, err)
	}
	begins := map[int32]int64{}
	for _, e := range entries {
		begins[e.LeaderEpoch] = e.StartOffset
	}
	for i, b := range c.begins {
		start, known := begins[b.leaderEpoch]
		if !known || start != b.offset && (i > 0 || start > b.offset) {
			return fmt.Errorf("node %d: leader epoch %d begins at offset %d, and the checkpoint says %d (known: %t)", c.node, b.leaderEpoch, b.offset, start, known)
		}
	}
	return nil
}
