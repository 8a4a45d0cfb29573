package logdir

import (
	"context"
	"log/slog"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
)

// retain removes old segments each RetentionInterval until ctx ends.
func (m *Manager) retain(ctx context.Context) {
	tick := time.NewTicker(m.o.RetentionInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			m.retainOnce(ctx, now)
		}
	}
}

func (m *Manager) retainOnce(ctx context.Context, now time.Time) {
	for _, p := range m.all() {
		if ctx.Err() != nil {
			return
		}
		if err := m.retainPartition(p, now); err != nil && !vfs.IsNoSpace(err) && p.dir.dead() == nil {
			m.logger.Warn("remove old segments", slog.String("topic", p.tp.Topic), slog.Int("partition", int(p.tp.Partition)), slog.Any("err", err))
		}
	}
}

func (m *Manager) retainPartition(p *partition, now time.Time) error {
	if p.dir.failed.Load() != nil {
		return nil
	}
	l := p.log.Load()
	if cfg := m.o.ConfigFor(p.tp.Topic); l == nil && (m.mayHaveOldSegments(p, &cfg, now) || cfg.CleanupCompact && m.mayBeDirty(p, &cfg, now)) {
		l, _, _ = m.Get(p.tp) // what is wrong with it was reported by Get
	}
	if l == nil {
		return nil
	}
	deleted, err := l.DeleteOldSegments(now)
	if deleted > 0 {
		m.logger.Info("removed old segments", slog.String("event", "log.retention"), slog.String("topic", p.tp.Topic),
			slog.Int("partition", int(p.tp.Partition)), slog.Int("segments", deleted), slog.Int64("log_start_offset", l.LogStartOffset()))
	}
	return err
}

// mayHaveOldSegments tells from the files whether opening an idle partition's log for retention is worth it: when it is
// too large, or a segment was last written longer ago than its records are kept. Records may be older than their file,
// in a copied folder; those go when the file is old enough too.
// A folder that cannot be listed was deleted meanwhile, or is reported when it is opened.
func (m *Manager) mayHaveOldSegments(p *partition, cfg *commitlog.Config, now time.Time) bool {
	if !cfg.CleanupDelete {
		return p.marks().logStartOffset > 0 // what DeleteRecords freed goes under every policy
	}
	segments, err := m.segmentFiles(p)
	if err != nil || len(segments) == 0 {
		return false
	}
	var size int64
	for _, s := range segments {
		size += s.Size()
	}
	tooLarge := cfg.RetentionBytes >= 0 && size > cfg.RetentionBytes
	tooOld := cfg.RetentionMs >= 0 && now.Sub(segments[0].ModTime()).Milliseconds() > cfg.RetentionMs && segments[0].Size() > 0
	return tooLarge || tooOld || p.marks().logStartOffset > 0 && len(segments) > 1
}
