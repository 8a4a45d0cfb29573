package checkpoint

import (
	"cmp"
	"slices"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// ReadOffsets reads an offset checkpoint; a missing one has no entries.
func ReadOffsets(fsys vfs.FS, path string) (map[protocol.TopicPartition]int64, error) {
	offsets := make(map[protocol.TopicPartition]int64)
	var topic string // the lines of one topic mostly follow each other: they share one string
	err := readText(fsys, path, 3, func(f [][]byte) error {
		if string(f[0]) != topic {
			topic = string(f[0])
		}
		partition, err := parseInt32(f[1])
		if err != nil {
			return err
		}
		offset, err := parseInt64(f[2])
		if err != nil {
			return err
		}
		offsets[protocol.TopicPartition{Topic: topic, Partition: partition}] = offset
		return nil
	})
	if err != nil {
		return nil, err
	}
	return offsets, nil
}

// WriteOffsets replaces an offset checkpoint. Its lines are sorted.
func WriteOffsets(fsys vfs.FS, path string, offsets map[protocol.TopicPartition]int64) error {
	tps := make([]protocol.TopicPartition, 0, len(offsets))
	for tp := range offsets {
		tps = append(tps, tp)
	}
	slices.SortFunc(tps, func(a, b protocol.TopicPartition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	t := newTextBuilder(len(tps))
	for _, tp := range tps {
		t.text(tp.Topic, ' ')
		t.int(int64(tp.Partition), ' ')
		t.int(offsets[tp], '\n')
	}
	return vfs.WriteFileAtomic(fsys, path, t.b)
}
