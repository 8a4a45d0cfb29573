package logdir

import (
	"context"
	"log/slog"
	"time"
)

// recover opens, in the background, every partition of a directory that was not stopped cleanly. Whoever asks for one of
// them meanwhile gets it at once, or waits for this one only.
func (m *Manager) recover(ctx context.Context, d *dir) {
	var todo []*partition
	for _, p := range m.sorted() {
		if p.dir == d {
			todo = append(todo, p)
		}
	}
	if len(todo) == 0 {
		return
	}
	m.recoveries.Go(func() {
		began := time.Now()
		m.logger.Info("recover partitions after an unclean stop", slog.String("event", "log.recovery.started"), slog.String("dir", d.path), slog.Int("partitions", len(todo)))
		err := m.parallel(ctx, m.o.RecoveryThreads, len(todo), func(i int) { m.recoverOne(todo[i]) })
		m.logger.Info("recovered partitions", slog.String("event", "log.recovery.finished"), slog.String("dir", d.path),
			slog.Int64("left", d.unrecovered.Load()), slog.Duration("dur", time.Since(began)), slog.Any("err", err))
	})
}

func (m *Manager) recoverOne(p *partition) {
	p.opMu.Lock()
	defer p.opMu.Unlock()
	if p.gone || p.dir.dead() != nil {
		return
	}
	if _, err := m.openLocked(p); err != nil && p.err == nil { // damage was logged with the partition
		m.logger.Error("recover partition", slog.String("topic", p.tp.Topic), slog.Int("partition", int(p.tp.Partition)), slog.Any("err", err))
	}
}

// WaitRecovered returns when every partition that an unclean stop left was recovered or failed.
func (m *Manager) WaitRecovered(ctx context.Context) error {
	select {
	case <-m.recovered:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
