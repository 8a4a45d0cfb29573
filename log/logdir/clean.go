package logdir

import (
	"log/slog"
	"time"

	"github.com/distributedmq/dmq/log/cleaner"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
)

// ReconfigureCleaner changes how logs are compacted from now on.
func (m *Manager) ReconfigureCleaner(c cleaner.Config) { m.cleaner.Reconfigure(c) }

// CleanerStats says what compaction does, of every directory.
func (m *Manager) CleanerStats() cleaner.Stats {
	s := m.cleaner.Stats()
	for _, d := range m.dirs {
		if _, some := s.Uncleanable[d.path]; !some {
			s.Uncleanable[d.path] = cleaner.Uncleanable{}
		}
	}
	return s
}

// compacted returns the open logs that the cleaner may work on. Those that are not open are opened by retention when there is
// something to do.
func (m *Manager) compacted() []cleaner.Log {
	var out []cleaner.Log
	for _, p := range m.all() {
		if l := p.log.Load(); l != nil && p.dir.dead() == nil && l.Config().CleanupCompact {
			out = append(out, cleaner.Log{Log: l, Dir: p.dir.path})
		}
	}
	return out
}

// cleaned writes down how far a log was compacted. When that fails the keeper tries again; without, more is looked at again
// after the next start.
func (m *Manager) cleaned(l cleaner.Log) {
	p, err := m.lookup(l.TopicPartition())
	if p == nil || err != nil {
		return
	}
	if err := m.checkpoint(p.dir, cleanerOffsets); err != nil && p.dir.dead() == nil {
		m.logger.Warn("write checkpoint", slog.String("dir", p.dir.path), slog.Any("err", err))
	}
}

// mayBeDirty tells from the files whether opening an idle partition's log for compaction is worth it, by the rules of
// cleaner.Range as far as files say.
func (m *Manager) mayBeDirty(p *partition, cfg *commitlog.Config, now time.Time) bool {
	segments, err := m.segmentFiles(p)
	if err != nil || len(segments) == 0 {
		return false
	}
	cleaned := p.marks().cleaned
	var clean, dirty int64
	overdue := false
	for i, s := range segments {
		base, _, ok := segment.ParseFileName(s.Name())
		if !ok {
			continue
		}
		if base < cleaned {
			clean += s.Size()
			continue
		}
		if i < len(segments)-1 { // the active one is never compacted, but it may be rolled for it
			dirty += s.Size()
		}
		overdue = overdue || s.Size() > 0 && now.Sub(s.ModTime()).Milliseconds() > cfg.MaxCompactionLagMs
	}
	return overdue || dirty > 0 && float64(dirty)/float64(clean+dirty) > cfg.MinCleanableRatio
}
