package controller

import (
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// without makes the records that take a broker out of every ISR and leadership. An ISR is never emptied: its last member
// stays, without leading.
func (v *view) without(id protocol.NodeID) []metadata.Record {
	return v.elect(
		func(p *image.Partition) bool { return slices.Contains(p.ISR, id) },
		func(p *image.Partition) []protocol.NodeID { return remove(p.ISR, id) },
		func(n protocol.NodeID) bool { return n != id && v.active(n) },
	)
}

// with makes the records that give leaderless partitions a leader now that a broker is active.
func (v *view) with(id protocol.NodeID) []metadata.Record {
	return v.elect(
		func(p *image.Partition) bool { return p.Leader == image.NoLeader },
		func(p *image.Partition) []protocol.NodeID { return p.ISR },
		func(n protocol.NodeID) bool { return n == id || v.active(n) },
	)
}

// dirsOffline makes the records for directories that failed on a broker: their replicas leave ISRs and leaderships. In a
// heartbeat that changes more (busy) it waits for the next one, so that each decision sees the effect of the one before.
func (v *view) dirsOffline(b *image.Broker, offline [][16]byte, busy bool) []metadata.Record {
	online := slices.DeleteFunc(slices.Clone(b.LogDirs), func(dir protocol.TopicID) bool {
		return slices.Contains(offline, [16]byte(dir))
	})
	if busy || len(online) == len(b.LogDirs) {
		return nil
	}
	failed := func(p *image.Partition) bool {
		dir := directory(p, b.ID)
		return slices.Contains(b.LogDirs, dir) && !slices.Contains(online, dir)
	}
	records := v.elect(
		func(p *image.Partition) bool { return slices.Contains(p.ISR, b.ID) && failed(p) },
		func(p *image.Partition) []protocol.NodeID { return remove(p.ISR, b.ID) },
		func(n protocol.NodeID) bool { return n != b.ID && v.active(n) },
	)
	return append(records, &metadata.BrokerRegistrationChangeRecord{ID: b.ID, Epoch: b.Epoch, LogDirs: append([]protocol.TopicID{}, online...)})
}

// elect changes the ISR and leader of the affected partitions: the leader stays if it can, else the first replica that is in
// the new ISR and may lead takes over, else there is none.
func (v *view) elect(affected func(*image.Partition) bool, isr func(*image.Partition) []protocol.NodeID,
	acceptable func(protocol.NodeID) bool,
) []metadata.Record {
	var records []metadata.Record
	for _, t := range v.sortedTopics() {
		for i := range t.Partitions {
			p := &t.Partitions[i]
			if !affected(p) {
				continue
			}
			if r := changePartition(v, p, isr(p), acceptable); r != nil {
				r.TopicID, r.Partition = t.ID, int32(i)
				records = append(records, r)
			}
		}
	}
	return records
}

// changePartition makes the record for one partition, or nil when nothing changes.
func changePartition(v *view, p *image.Partition, isr []protocol.NodeID, acceptable func(protocol.NodeID) bool) *metadata.PartitionChangeRecord {
	leads := func(id protocol.NodeID) bool {
		return slices.Contains(isr, id) && acceptable(id) && v.dirOnline(p, id)
	}
	leader := image.NoLeader
	if leads(p.Leader) {
		leader = p.Leader
	} else if i := slices.IndexFunc(p.Replicas, leads); i >= 0 {
		leader = p.Replicas[i]
	}
	r := &metadata.PartitionChangeRecord{}
	if leader != p.Leader {
		r.Leader = &leader
	}
	if len(isr) > 0 && !slices.Equal(isr, p.ISR) {
		r.ISR = isr
	}
	if r.Leader == nil && r.ISR == nil {
		return nil
	}
	return r
}

// directory is where a replica lies; zero: not known.
func directory(p *image.Partition, id protocol.NodeID) protocol.TopicID {
	if i := slices.Index(p.Replicas, id); i >= 0 && i < len(p.Directories) {
		return p.Directories[i]
	}
	return protocol.TopicID{}
}

// dirOnline reports whether a replica's directory is not known to be missing. A replica whose directory did not come back
// with its broker must not lead: it is empty.
func (v *view) dirOnline(p *image.Partition, id protocol.NodeID) bool {
	dir := directory(p, id)
	b := v.img.Brokers[id]
	return reserved(dir) || b != nil && slices.Contains(b.LogDirs, dir)
}

func remove(list []protocol.NodeID, id protocol.NodeID) []protocol.NodeID {
	return slices.DeleteFunc(slices.Clone(list), func(n protocol.NodeID) bool { return n == id })
}
