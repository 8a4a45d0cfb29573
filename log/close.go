package log

import (
	"errors"

	"github.com/distributedmq/dmq/log/segment"
)

// Close makes everything durable, so that the log can be opened with CleanShutdown, and closes its files. Slices stay
// readable. A log that has failed is only closed.
func (l *Log) Close() error { return l.stop(l.finish) }

// Delete stops the log without making anything durable: its folder is to be removed, which is for the owner to do. Slices
// stay readable.
func (l *Log) Delete() error { return l.stop(func() error { return nil }) }

// stop refuses further calls, waits for those under way, and closes what is open.
func (l *Log) stop(finish func() error) error {
	live := l.state.CompareAndSwap(nil, &errClosed)
	if !live && errors.Is(l.usable(), ErrClosed) {
		return nil
	}
	l.sync.wake()
	l.compactions.close()
	l.layout.Lock()
	defer l.layout.Unlock()
	l.lock()
	defer l.unlock()
	l.sync.waitIdle()
	var err error
	if live {
		err = storageErr(finish())
	}
	l.tail.drop()
	for _, r := range l.removals {
		r.timer.stop()
		for _, s := range r.segments {
			err = errors.Join(err, s.Remove())
		}
	}
	l.removals = nil
	for _, s := range l.list() {
		err = errors.Join(err, s.Close())
	}
	l.state.Store(&errClosed)
	return err
}

var errClosed = ErrClosed

// finish makes everything durable. Under mu, with no sync running.
func (l *Log) finish() error {
	if l.unsettled {
		return nil // there is nothing
	}
	end := l.end.Load()
	l.producers.SetMapEndOffset(end)
	if _, err := l.producers.TakeSnapshot(true); err != nil && !segment.IsNoSpace(err) {
		return err
	}
	active := l.active()
	if err := active.BecomeInactive(); err != nil {
		return err
	}
	rolled, snapshots, _ := l.sync.take()
	if err := l.syncFiles(append(rolled, active), snapshots, active, true); err != nil {
		return err
	}
	l.sync.recoveryPoint.Store(end)
	return nil
}
