package segment

import "time"

// Seal finishes a segment that a cleaner has written: indexes and batches are durable when it returns, and the .log file is as
// old as modTime says, as the segments were that it is to replace. Unlike BecomeInactive it fails on a full disk: nothing
// may be missing.
func (s *Segment) Seal(modTime time.Time) error {
	if err := s.BecomeInactive(); err != nil {
		return err
	}
	for _, t := range []struct {
		table  *table
		suffix string
	}{{&s.offsets, IndexSuffix}, {&s.times, TimeIndexSuffix}, {&s.txns, TxnIndexSuffix}} {
		if err := t.table.flush(s, t.suffix); err != nil {
			return err
		}
	}
	if err := s.SyncAll(); err != nil {
		return err
	}
	return s.o.FS.SetModTime(s.LogPath(), modTime)
}

// ModTime is when the .log file was last written to.
func (s *Segment) ModTime() (time.Time, error) {
	info, err := s.statFile(LogSuffix)
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// IndexSizes are the bytes of the offset and the time index.
func (s *Segment) IndexSizes() (offsets, times int64, err error) {
	if err := s.load(); err != nil {
		return 0, 0, err
	}
	return int64(s.offsets.view().entries() * offsetEntrySize), int64(s.times.view().entries() * timeEntrySize), nil
}
