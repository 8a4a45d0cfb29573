package kraft

import (
	"context"
	"log/slog"
)

// snapshotBytes is how many bytes of commands there are between snapshots, as in Kafka (metadata.log.max.record.bytes.between.snapshots).
// One command may change every partition of a broker, so that their number says little about how long a start takes.
const snapshotBytes = 20 << 20

// keepSnapshots takes a snapshot whenever that many bytes were applied since the last one. raft by itself counts commands.
func (q *Quorum) keepSnapshots(ctx context.Context, due <-chan struct{}) {
	for {
		select {
		case <-due:
		case <-ctx.Done():
			return
		}
		if err := q.Snapshot(ctx); err != nil && ctx.Err() == nil { // such as a change of the voters under way: the next command asks again
			q.logger.Warn("take a metadata snapshot", slog.Any("err", err))
		}
	}
}

// background runs a task until the returned function is called.
func background(ctx context.Context, task func(ctx context.Context)) (stop func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		task(ctx)
	}()
	return func() {
		cancel(ErrClosed)
		<-done
	}
}
