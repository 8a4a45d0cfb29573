package logdir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/protocol"
)

// Close stops the background work and closes all logs, FlushWorkers at once. With clean it flushes them first, writes the
// checkpoints and leaves the clean-shutdown mark with the broker epoch in each directory where all went well and nothing is
// left to recover. Without, it stops as a crash would, only tidily. It unlocks the directories in any case. Only the first
// call does anything.
func (m *Manager) Close(clean bool, epoch protocol.BrokerEpoch) error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	m.mu.Unlock()

	began := time.Now()
	m.stop()
	<-m.recovered // nothing is opened after this
	m.cleaner.Close()
	errs := []error{m.closeLogs(clean)}
	m.syncer.Close()
	m.background.Wait()
	if clean {
		for _, d := range m.live() {
			errs = append(errs, m.leave(d, epoch))
		}
	}
	errs = append(errs, m.unlock())
	m.logger.Info("closed log directories", slog.String("event", "log.dirs.closed"), slog.Bool("clean", clean), slog.Duration("dur", time.Since(began)))
	return errors.Join(errs...)
}

// closeLogs closes every open log.
func (m *Manager) closeLogs(clean bool) error {
	all := m.all()
	errs := make([]error, len(all))
	err := m.parallel(context.Background(), m.o.FlushWorkers, len(all), func(i int) {
		p := all[i]
		p.opMu.Lock()
		defer p.opMu.Unlock()
		if errs[i] = m.closeLog(p, clean); errs[i] != nil {
			p.dir.broken.Store(true)
		}
	})
	return errors.Join(append(errs, err)...)
}

// closeLog closes the log of a partition, if it is open. A dead directory's are not flushed (invariant 4). Under opMu.
func (m *Manager) closeLog(p *partition, clean bool) error {
	l := p.log.Load()
	if p.gone || l == nil {
		return nil
	}
	if !clean || p.dir.dead() != nil {
		p.dir.broken.Store(true)
		return l.Delete()
	}
	if err := l.Close(); err != nil {
		m.ioError(p.dir, err)
		return fmt.Errorf("close partition %s: %w", p.tp, err)
	}
	return nil
}

// leave writes the last checkpoints of a directory and, where the next start may trust it, the clean-shutdown mark.
func (m *Manager) leave(d *dir, epoch protocol.BrokerEpoch) error {
	if err := m.checkpoint(d, recoveryPoints, logStartOffsets, highWatermarks, cleanerOffsets); err != nil {
		return err
	}
	if d.broken.Load() || d.unrecovered.Load() > 0 {
		m.logger.Warn("left no clean-shutdown mark: partitions are damaged or were not recovered yet", slog.String("dir", d.path),
			slog.Int64("unrecovered", d.unrecovered.Load()))
		return nil
	}
	if err := checkpoint.WriteCleanShutdown(m.o.FS, d.path, checkpoint.CleanShutdown{BrokerEpoch: epoch}); err != nil {
		m.ioError(d, err)
		return storageError(err)
	}
	return nil
}

// unlock gives the directories up.
func (m *Manager) unlock() error {
	var errs []error
	for _, d := range m.dirs {
		if d.lock != nil {
			errs = append(errs, d.lock.Close())
			d.lock = nil
		}
	}
	return errors.Join(errs...)
}
