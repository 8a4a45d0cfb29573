package fetcher

import (
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// key names an incarnation of a partition.
type key struct {
	topic     protocol.TopicID
	partition int32
}

// followed is a partition that is followed in one leader epoch.
type followed struct {
	protocol.TopicIDPartition
	leader      protocol.NodeID
	leaderEpoch protocol.LeaderEpoch
	loop        *loop

	partitionEpoch int32 // of the newest metadata; guarded by Fetcher.mu

	stopped   atomic.Bool           // there is nothing more to fetch in this epoch
	failure   atomic.Pointer[error] // why it is left alone, until the metadata change or a long while has passed
	lag       atomic.Int64          // offsets behind the leader's high watermark
	throttled atomic.Bool           // it is fetched no faster than the quota allows, unless it has caught up

	// Of whoever opens the log, then of the loop's goroutine.
	follower *replica.Follower
	opened   error // why there is no follower

	// Of the loop's goroutine.
	at       replica.Position // what is fetched next
	sent     replica.Position // what the leader's session holds
	session  bool             // it is in the leader's session
	queued   bool             // it is in session.changed
	failures int              // in a row
	until    time.Time        // not to be fetched before
	came     fetchedPartition // in this round
}

// fetchedPartition is what a round brings of one partition beside records.
type fetchedPartition struct {
	highWatermark, logStartOffset int64
	records                       bool
}

// unknownLag is the lag before the first answer.
const unknownLag = -1

func (p *followed) key() key { return key{p.ID, p.Partition} }

// follows says whether a broker is to follow a partition.
func follows(self protocol.NodeID, p *image.Partition) bool {
	return p.Leader != image.NoLeader && p.Leader != self && slices.Contains(p.Replicas, self)
}

// firstBackoff is how long a partition waits after its first failure.
const firstBackoff = 10 * time.Millisecond

// backoff is how long to wait after so many failures in a row.
func backoff(failures int, most time.Duration) time.Duration {
	return min(firstBackoff<<min(max(failures-1, 0), 20), most)
}

func (p *followed) attrs(more ...any) []any {
	return append([]any{
		slog.String("topic", p.Topic), slog.Int("partition", int(p.Partition)),
		slog.Int("leader", int(p.leader)), slog.Int("leader_epoch", int(p.leaderEpoch)),
	}, more...)
}
