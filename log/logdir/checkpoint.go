package logdir

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"time"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/protocol"
)

// The checkpoint files, each with one offset of every partition.
const (
	recoveryPoints = iota
	logStartOffsets
	highWatermarks
	cleanerOffsets
	checkpointCount
)

var checkpointNames = [checkpointCount]string{
	checkpoint.RecoveryPointFile, checkpoint.LogStartOffsetFile, checkpoint.HighWatermarkFile, checkpoint.CleanerOffsetFile,
}

// readCheckpoints reads what the last process left. As in Kafka a malformed file is as good as none: from a recovery point of 0
// everything is checked, which takes longer and finds the same.
func (m *Manager) readCheckpoints(d *dir) error {
	for kind, name := range checkpointNames {
		path := filepath.Join(d.path, name)
		read, err := checkpoint.ReadOffsets(m.o.FS, path)
		var format *checkpoint.FormatError
		switch {
		case errors.As(err, &format):
			m.logger.Warn("ignored a malformed checkpoint file", slog.String("dir", d.path), slog.String("file", name), slog.Any("err", err))
			read = nil
		case err != nil:
			return err
		}
		d.written[kind] = read
	}
	return nil
}

// checkpointed returns what the files say of a partition.
func (d *dir) checkpointed(tp protocol.TopicPartition) *marks {
	return &marks{
		recoveryPoint:  max(0, d.written[recoveryPoints][tp]),
		logStartOffset: max(0, d.written[logStartOffsets][tp]),
		highWatermark:  max(0, d.written[highWatermarks][tp]),
		cleaned:        max(0, d.written[cleanerOffsets][tp]),
	}
}

// marks returns what is to be checkpointed of a partition: what its log says, or, while it is not open, what the last
// process wrote.
func (p *partition) marks() marks {
	if l := p.log.Load(); l != nil {
		if l.Folderless() {
			return marks{folderless: true}
		}
		return marks{recoveryPoint: l.RecoveryPoint(), logStartOffset: l.LogStartOffset(), highWatermark: l.HighWatermark(), cleaned: l.CleanedOffset()}
	}
	return *p.at.Load()
}

// keep writes the checkpoints of a directory and watches its free space until ctx ends.
func (m *Manager) keep(ctx context.Context, d *dir) {
	tick := time.NewTicker(m.o.CheckpointInterval)
	defer tick.Stop()
	slow := time.NewTicker(m.o.HighWatermarkInterval)
	defer slow.Stop()
	space := time.NewTicker(spaceInterval)
	defer space.Stop()
	for d.dead() == nil {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-space.C:
			m.checkSpace(d)
		case <-tick.C:
			err = m.checkpoint(d, recoveryPoints, logStartOffsets)
		case <-slow.C:
			err = m.checkpoint(d, highWatermarks, cleanerOffsets)
		}
		if err != nil { // a full disk: the next round tries again
			m.logger.Warn("write checkpoint", slog.String("dir", d.path), slog.Any("err", err))
		}
	}
}

// Checkpoint writes all checkpoints now.
func (m *Manager) Checkpoint() error {
	var errs []error
	for _, d := range m.dirs {
		errs = append(errs, m.checkpoint(d, recoveryPoints, logStartOffsets, highWatermarks, cleanerOffsets))
	}
	return errors.Join(errs...)
}

// checkpoint writes those of a directory's checkpoints that changed. A failure other than a full disk kills it.
func (m *Manager) checkpoint(d *dir, kinds ...int) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	if err := d.dead(); err != nil {
		return err
	}
	all := m.all()
	for _, kind := range kinds {
		if !d.changed(kind, all) {
			continue
		}
		if err := m.writeCheckpoint(d, kind, d.collect(kind, all)); err != nil {
			return err
		}
	}
	return nil
}

// writeCheckpoint replaces one file. Under checkpointMu.
func (m *Manager) writeCheckpoint(d *dir, kind int, now offsets) error {
	err := checkpoint.WriteOffsets(m.o.FS, filepath.Join(d.path, checkpointNames[kind]), now)
	if err != nil {
		m.ioError(d, err)
		return storageError(err)
	}
	d.written[kind] = now
	return nil
}

// offset is what a file of that kind says of a partition; ok is false when it does not name it.
func (a marks) offset(kind int) (offset int64, ok bool) {
	if a.folderless {
		return 0, false
	}
	switch kind {
	case recoveryPoints:
		return a.recoveryPoint, true
	case logStartOffsets:
		return a.logStartOffset, a.logStartOffset > 0 // else the first segment says it
	case cleanerOffsets:
		return a.cleaned, a.cleaned > 0 // else the log was never compacted
	default:
		return a.highWatermark, true
	}
}

// changed reports whether a file would say something else now than when it was written. It allocates nothing: with many
// idle partitions this is all that happens each second. Under checkpointMu.
func (d *dir) changed(kind int, all []*partition) bool {
	named := 0
	for _, p := range all {
		if p.dir != d {
			continue
		}
		now, ok := p.marks().offset(kind)
		before, had := d.written[kind][p.tp]
		if ok != had || now != before && ok {
			return true
		}
		if ok {
			named++
		}
	}
	return named != len(d.written[kind])
}

// collect takes the offsets of a directory's partitions. Under checkpointMu.
func (d *dir) collect(kind int, all []*partition) offsets {
	now := make(offsets, len(d.written[kind]))
	for _, p := range all {
		if p.dir != d {
			continue
		}
		if offset, ok := p.marks().offset(kind); ok {
			now[p.tp] = offset
		}
	}
	return now
}

// recoveryPointLowered is called by a log that was truncated below its recovery point, its high watermark, or where it was
// compacted to, before it appends again (invariant 3).
func (m *Manager) recoveryPointLowered(d *dir) {
	if err := m.checkpoint(d, recoveryPoints, logStartOffsets, highWatermarks, cleanerOffsets); err != nil {
		m.fail(d, err) // also on a full disk: appending under a stale recovery point would look like corruption after a crash
	}
}

// forget makes sure that no checkpoint of a directory names a partition (invariant 3): a new incarnation is about to begin.
func (m *Manager) forget(d *dir, tp protocol.TopicPartition) error {
	d.checkpointMu.Lock()
	defer d.checkpointMu.Unlock()
	for kind := range checkpointCount {
		if _, named := d.written[kind][tp]; !named {
			continue
		}
		now := maps.Clone(d.written[kind])
		delete(now, tp)
		if err := m.writeCheckpoint(d, kind, now); err != nil {
			return err
		}
	}
	return nil
}
