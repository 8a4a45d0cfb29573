package fetcher

import (
	"maps"
	"sync/atomic"

	"github.com/distributedmq/dmq/protocol"
)

// totals count since the start.
type totals struct{ fetches, bytes, partitionFailures atomic.Int64 }

// Stats describe the whole of what is followed, in the words of Kafka's kafka.server:type=ReplicaFetcherManager.
type Stats struct {
	Partitions       int   // followed
	FailedPartitions int   // FailedPartitionsCount: left alone, since trying again would not help
	MaxLag           int64 // the furthest that a partition is behind its leader's high watermark
	Fetchers         int   // loops

	// Since the start:
	Fetches           int64                     // answers of leaders
	FailedFetches     map[protocol.NodeID]int64 // requests to a leader that came to nothing
	PartitionFailures int64                     // partitions that could not be fetched or appended
	Bytes             int64                     // of records appended
}

// Stats counts.
func (f *Fetcher) Stats() Stats {
	s := Stats{Fetches: f.totals.fetches.Load(), PartitionFailures: f.totals.partitionFailures.Load(), Bytes: f.totals.bytes.Load()}
	f.mu.Lock()
	defer f.mu.Unlock()
	s.FailedFetches = maps.Clone(f.failures)
	s.Partitions, s.Fetchers = len(f.followed), len(f.loops)
	for _, p := range f.followed {
		s.MaxLag = max(s.MaxLag, p.lag.Load())
		if p.failure.Load() != nil {
			s.FailedPartitions++
		}
	}
	return s
}

func (f *Fetcher) countFailure(leader protocol.NodeID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures[leader]++
}

// PartitionStats describe one followed partition.
type PartitionStats struct {
	protocol.TopicPartition
	Leader  protocol.NodeID
	Fetcher int   // of those to the leader
	Lag     int64 // offsets behind the leader's high watermark (ConsumerLag); -1: no answer yet
	Err     error // why it is left alone
}

// Each calls fn for every followed partition, in no order.
func (f *Fetcher) Each(fn func(PartitionStats)) {
	f.mu.Lock()
	all := make([]*followed, 0, len(f.followed))
	for _, p := range f.followed {
		all = append(all, p)
	}
	f.mu.Unlock()
	for _, p := range all {
		s := PartitionStats{TopicPartition: p.TopicPartition(), Leader: p.leader, Fetcher: p.loop.index, Lag: p.lag.Load()}
		if err := p.failure.Load(); err != nil {
			s.Err = *err
		}
		fn(s)
	}
}
