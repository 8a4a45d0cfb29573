package controller

import (
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// partitionKey names a partition of one incarnation of a topic.
type partitionKey struct {
	topic     protocol.TopicID
	partition int32
}

// overlay collects the changes of a request that names partitions, perhaps one several times: each is decided on what the
// ones before made of it.
type overlay struct {
	changed map[partitionKey]*image.Partition
	records []metadata.Record
}

// partition returns a partition as it is by now, or nil. t may be nil.
func (o *overlay) partition(t *image.Topic, index int32) *image.Partition {
	if t == nil || index < 0 || int(index) >= len(t.Partitions) {
		return nil
	}
	if p := o.changed[partitionKey{t.ID, index}]; p != nil {
		return p
	}
	return &t.Partitions[index]
}

// change adds a change, and returns the partition as it becomes. A nil record changes nothing.
func (o *overlay) change(t *image.Topic, index int32, r *metadata.PartitionChangeRecord) *image.Partition {
	p := o.partition(t, index)
	if r == nil {
		return p
	}
	r.TopicID, r.Partition = t.ID, index
	next := *p
	image.Merge(&next, r)
	if o.changed == nil {
		o.changed = make(map[partitionKey]*image.Partition)
	}
	o.changed[partitionKey{t.ID, index}] = &next
	o.records = append(o.records, r)
	return &next
}
