package group

import "github.com/distributedmq/dmq/broker/coordlog"

// openOffsets counts the open transactions that have an offset of a partition, and the partitions of a group that have any.
type openOffsets struct {
	partitions map[groupPartition]int
	groups     map[string]int
}

func (o *openOffsets) add(p groupPartition) {
	o.partitions[p]++
	if o.partitions[p] == 1 {
		o.groups[p.group]++
	}
}

func (o *openOffsets) end(p groupPartition) {
	o.partitions[p]--
	if o.partitions[p] > 0 {
		return
	}
	delete(o.partitions, p)
	o.groups[p.group]--
	if o.groups[p.group] == 0 {
		delete(o.groups, p.group)
	}
}

func (o *openOffsets) has(group, topic string, partition int32) bool {
	return len(o.partitions) > 0 && o.partitions[groupPartition{group, topic, partition}] > 0
}

// putPending keeps an offset until the transaction of its producer ends.
func (o *offsets) putPending(producerID int64, group, topic string, c committedOffset) {
	store := o.pending[producerID]
	if store == nil {
		store = make(offsetStore)
		o.pending[producerID] = store
	}
	if store[group].in(topic).of(c.partition) == nil {
		o.open.add(groupPartition{group, topic, c.partition})
	}
	store.put(group, topic, c)
}

// removeAll ends an offset: the committed one and those of open transactions.
func (o *offsets) removeAll(group, topic string, partition int32) {
	o.groups.remove(group, topic, partition)
	if !o.open.has(group, topic, partition) {
		return
	}
	for _, store := range o.pending {
		if store[group].in(topic).of(partition) != nil {
			store.remove(group, topic, partition)
			o.open.end(groupPartition{group, topic, partition})
		}
	}
}

// ReplayMarker implements coordlog.Machine: the offsets of the producer's transaction are committed or forgotten.
func (s *State) ReplayMarker(m coordlog.Marker) error {
	ended := s.offsets.pending[m.ProducerID]
	delete(s.offsets.pending, m.ProducerID)
	for group, g := range ended {
		for _, t := range g.topics {
			for c := range t.all() {
				s.offsets.open.end(groupPartition{group, t.topic, c.partition})
				if m.Commit {
					s.offsets.materialise(group, t.topic, *c)
				}
			}
		}
	}
	return nil
}

// materialise commits an offset of a transaction. A plain commit that lies behind it in the log is newer and stays: else the
// result would change when compaction has removed the older record.
func (o *offsets) materialise(group, topic string, c committedOffset) {
	if old := o.groups[group].in(topic).of(c.partition); old == nil || c.recordOffset > old.recordOffset {
		o.groups.put(group, topic, c)
	}
}
