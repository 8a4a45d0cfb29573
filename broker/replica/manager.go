package replica

import (
	"context"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol"
)

// Manager hosts partitions.
type Manager struct{}

// Publish takes over a new metadata image (image.Publisher).
func (m *Manager) Publish(d *image.Delta) { panic("not built yet") }

// Append appends to partitions that this broker leads. When it returns true, every Result is final and done is not
// called. Otherwise done is called exactly once, on any goroutine and maybe before Append returns, when the records are
// acknowledged as Acks asks or the time is up; the Results are final then. done must be quick: it may run on the
// goroutine that syncs the log. Records may be reused as soon as Append has returned.
func (m *Manager) Append(o AppendOptions, parts []Append, done func()) bool { panic("not built yet") }

// Read reads from partitions in order, as many bytes as the options allow, appending a result for each to dst. The first
// partition that has anything gives at least one batch, however large.
func (m *Manager) Read(dst []ReadResult, o ReadOptions, parts []ReadPartition) []ReadResult {
	panic("not built yet")
}

// Enough reports whether results, which Read gave for the options, are to be answered at once: enough bytes, an error or
// a diverging epoch, or nothing asked for.
func (m *Manager) Enough(o ReadOptions, results []ReadResult) bool { panic("not built yet") }

// Wait is a fetch that waits.
type Wait interface {
	// Cancel ends it; done is called unless it was.
	Cancel()
}

// AwaitRead calls done exactly once, on any goroutine and maybe before AwaitRead returns, when a Read of the same would be
// Enough, the deadline has passed or the wait was cancelled. The caller then reads again. It returns nil when done was
// called already.
func (m *Manager) AwaitRead(o ReadOptions, parts []ReadPartition, deadline time.Time, done func()) Wait {
	panic("not built yet")
}

// ListOffset looks an offset up by time. The error carries a kind of errcode.
func (m *Manager) ListOffset(q ListOffset) (FoundOffset, error) { panic("not built yet") }

// EndOffsetForEpoch returns the largest leader epoch not above the requested one that has records, and where it ends.
func (m *Manager) EndOffsetForEpoch(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (EpochEnd, error) {
	panic("not built yet")
}

// DeleteRecords moves the log start offset up to offset, or to the high watermark if it is -1, and returns the low
// watermark: the log start offset of the replica that is furthest behind. Other replicas are waited for until ctx ends.
func (m *Manager) DeleteRecords(ctx context.Context, tp protocol.TopicPartition, offset int64) (int64, error) {
	panic("not built yet")
}

// Producers returns the producers that the partition remembers (DescribeProducers).
func (m *Manager) Producers(tp protocol.TopicPartition) ([]producerstate.Entry, error) {
	panic("not built yet")
}

// Stats counts what is hosted.
func (m *Manager) Stats() Stats { panic("not built yet") }

// Synced notes that the log of a partition is durable up to endOffset (logdir.Options.Synced).
func (m *Manager) Synced(tp protocol.TopicPartition, endOffset int64) { panic("not built yet") }

// DirFailed takes the partitions of a log directory offline (logdir.Options.Failed).
func (m *Manager) DirFailed(dir string, err error) { panic("not built yet") }

// Close completes every wait and joins the workers. It leaves the logs to their owner.
func (m *Manager) Close() error { panic("not built yet") }
