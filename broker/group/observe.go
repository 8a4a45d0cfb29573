package group

import (
	"maps"
	"slices"
	"sync/atomic"
)

// Counters count what happens to the groups of a broker, as Kafka's group-coordinator-metrics do. The zero value is ready, and
// all shards of a broker share one.
type Counters struct {
	OffsetCommits     atomic.Int64 // offsets, not requests
	OffsetExpirations atomic.Int64
	OffsetDeletions   atomic.Int64 // by OffsetDelete
	ClassicRebalances atomic.Int64 // that completed
	ConsumerEpochs    atomic.Int64 // group epochs that began: each is a rebalance
}

// Snapshot is a group as operators see it, at one time.
type Snapshot struct {
	ID           string
	Type         string // classic or consumer
	State        string // Kafka's name
	ProtocolType string
	Members      int
	Offsets      []SnapshotOffset // sorted by topic and partition
}

// SnapshotOffset is what a group has committed for a partition.
type SnapshotOffset struct {
	Topic     string
	Partition int32
	Offset    int64
}

// Snapshots returns all groups of the shard, sorted by id.
func (s *State) Snapshots() []Snapshot {
	out := make([]Snapshot, 0, len(s.groups))
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		out = append(out, s.snapshot(s.groups[id]))
	}
	return out
}

// Summaries returns all groups of the shard without their offsets, sorted by id.
func (s *State) Summaries() []Snapshot {
	out := make([]Snapshot, 0, len(s.groups))
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		out = append(out, summary(s.groups[id]))
	}
	return out
}

// Exists reports whether there is such a group.
func (s *State) Exists(groupID string) bool { return s.groups[groupID] != nil }

// Snapshot returns one group; nil when there is none.
func (s *State) Snapshot(groupID string) *Snapshot {
	g := s.groups[groupID]
	if g == nil {
		return nil
	}
	out := s.snapshot(g)
	return &out
}

func summary(g group) Snapshot {
	return Snapshot{ID: g.id(), Type: string(g.kind()), State: g.state(), ProtocolType: g.protocolType(), Members: g.memberCount()}
}

func (s *State) snapshot(g group) Snapshot {
	out := summary(g)
	committed := s.offsets.groups[g.id()]
	if committed == nil {
		return out
	}
	n := 0
	for _, t := range committed.topics {
		n += t.count
	}
	out.Offsets = make([]SnapshotOffset, 0, n)
	for _, t := range committed.topics {
		for c := range t.all() {
			out.Offsets = append(out.Offsets, SnapshotOffset{Topic: t.topic, Partition: c.partition, Offset: c.offset})
		}
	}
	return out
}
