package lag

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/group"
	"github.com/distributedmq/dmq/protocol"
)

// EndOffsets tells of the logs of partitions.
type EndOffsets interface {
	// EndOffset is the high watermark; ok is false where it is not known.
	EndOffset(tp protocol.TopicPartition) (offset int64, ok bool)
	// WrittenAt is the timestamp of the first record at or after an offset, or of its batch; ok is false where it is not known.
	WrittenAt(tp protocol.TopicPartition, offset int64) (at time.Time, ok bool)
}

// MaxReads bounds how many batches one measurement reads the header of.
const MaxReads = 10_000

// What stands for a figure that there is not. Both are negative.
const (
	Unknown = -1 // nobody here can tell
	Skipped = -2 // there was no time to ask
)

// Partition is how far a group has come in a partition. What is not known is Unknown or Skipped.
type Partition struct {
	Topic     string
	Partition int32
	Committed int64
	End       int64
	Lag       int64
	Behind    time.Duration
}

// Tracker remembers what was read, from one round to the next.
type Tracker struct {
	ends  EndOffsets
	known atomic.Pointer[map[position]time.Time] // never changed
}

// position is where a group stands in a partition.
type position struct {
	group, topic string
	partition    int32
	offset       int64
}

// NewTracker returns a tracker that knows nothing yet.
func NewTracker(ends EndOffsets) *Tracker {
	t := &Tracker{ends: ends}
	t.known.Store(new(map[position]time.Time))
	return t
}

// Round is one measurement of any number of groups. It is used by one goroutine; of rounds at the same time, the tracker
// remembers what the last one to end has read.
type Round struct {
	t     *Tracker
	now   time.Time
	known map[position]time.Time // from the round before
	next  map[position]time.Time
	reads int
}

// Begin starts a round at a time.
func (t *Tracker) Begin(now time.Time) *Round {
	return &Round{t: t, now: now, known: *t.known.Load(), next: make(map[position]time.Time)}
}

// End ends a round over all groups: what it has not met is forgotten. A round over some is not ended.
func (r *Round) End() { r.t.known.Store(&r.next) }

// Measure returns how far a group has come in the partitions for which it has committed offsets, in their order. When ctx ends
// the rest is skipped: asking may open logs, which takes a while after a restart.
func (r *Round) Measure(ctx context.Context, g *group.Snapshot) []Partition {
	out := make([]Partition, len(g.Offsets))
	for i, o := range g.Offsets {
		p := Partition{Topic: o.Topic, Partition: o.Partition, Committed: o.Offset, End: Unknown, Lag: Unknown, Behind: Unknown}
		tp := protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}
		if ctx.Err() != nil {
			p.End, p.Lag, p.Behind = Skipped, Skipped, Skipped
		} else if end, ok := r.t.ends.EndOffset(tp); ok {
			p.End, p.Lag, p.Behind = end, max(0, end-o.Offset), 0
		}
		if p.Lag > 0 {
			p.Behind = r.behind(g.ID, tp, o.Offset)
		}
		out[i] = p
	}
	return out
}

func (r *Round) behind(groupID string, tp protocol.TopicPartition, offset int64) time.Duration {
	at := position{groupID, tp.Topic, tp.Partition, offset}
	written, ok := r.known[at]
	if !ok {
		if r.reads >= MaxReads {
			return Skipped
		}
		r.reads++
		if written, ok = r.t.ends.WrittenAt(tp, offset); !ok {
			return Unknown
		}
	}
	r.next[at] = written
	return max(0, r.now.Sub(written)) // the clock of a producer may be ahead
}

// Total is the lag of all partitions whose end is known, and how far the one that is furthest behind is, Unknown where no
// partition's is known. A group without offsets is not behind.
func Total(partitions []Partition) (lag int64, behind time.Duration) {
	if len(partitions) == 0 {
		return 0, 0
	}
	behind = Unknown
	for _, p := range partitions {
		lag += max(0, p.Lag)
		behind = max(behind, p.Behind)
	}
	return lag, behind
}
