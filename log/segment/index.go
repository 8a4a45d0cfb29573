package segment

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// Sizes of the entries; see doc.go.
const (
	offsetEntrySize = 8
	timeEntrySize   = 12
	txnEntrySize    = 34
)

// Fits reports whether an offset can be in the segment: index entries hold 31 bits of it.
func (s *Segment) Fits(offset int64) bool {
	relative := offset - s.o.BaseOffset
	return relative >= 0 && relative <= math.MaxInt32
}

// IndexRoom is how many entries both indexes have room for; of the time index one more is kept for BecomeInactive.
func (s *Segment) IndexRoom() int {
	return min(int(s.o.IndexBytes)/offsetEntrySize-s.offsets.view().entries(),
		int(s.o.IndexBytes)/timeEntrySize-1-s.times.view().entries())
}

func (s *Segment) appendOffsetEntry(lastOffset, position int64) {
	var e [offsetEntrySize]byte
	binary.BigEndian.PutUint32(e[:], uint32(lastOffset-s.o.BaseOffset))
	binary.BigEndian.PutUint32(e[4:], uint32(position))
	s.offsets.append(e[:])
}

// appendTimeEntry adds the largest timestamp so far, if it is larger than the one in the last entry.
func (s *Segment) appendTimeEntry() {
	s.mu.Lock()
	t, last := s.maxTime, s.lastTime
	s.lastTime = max(last, t.timestamp)
	s.mu.Unlock()
	if t.timestamp <= last {
		return
	}
	var e [timeEntrySize]byte
	binary.BigEndian.PutUint64(e[:], uint64(t.timestamp))
	binary.BigEndian.PutUint32(e[8:], uint32(t.offset-s.o.BaseOffset))
	s.times.append(e[:])
}

func entryOffset(e []byte) int64   { return int64(int32(binary.BigEndian.Uint32(e))) }
func entryPosition(e []byte) int64 { return int64(int32(binary.BigEndian.Uint32(e[4:]))) }

func entryTime(e []byte) int64       { return int64(binary.BigEndian.Uint64(e)) }
func entryTimeOffset(e []byte) int64 { return int64(int32(binary.BigEndian.Uint32(e[8:]))) }

// load learns once what the index files hold, and builds those anew that cannot be right. Whoever comes meanwhile waits.
func (s *Segment) load() error {
	s.mu.Lock()
	for s.loading != nil {
		wait := s.loading
		s.mu.Unlock()
		<-wait
		s.mu.Lock()
	}
	if s.loaded && !(s.suspect.Load() && s.inactive.Load()) {
		s.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	s.loading = done
	s.mu.Unlock()

	err := s.loadFiles()

	s.mu.Lock()
	s.loading = nil
	s.loaded = err == nil
	s.mu.Unlock()
	close(done)
	return err
}

func (s *Segment) loadFiles() error {
	if err := s.loadTxns(); err != nil {
		return err
	}
	if s.suspect.Load() {
		return s.rebuild()
	}
	err := s.loadTables()
	if errors.Is(err, errInconsistent) || errors.Is(err, fs.ErrNotExist) {
		s.o.Logger.Warn("build the indexes of a segment anew", slog.String("path", s.currentPath(LogSuffix)), slog.Any("reason", err))
		return s.rebuild()
	}
	return err
}

func (s *Segment) loadTables() error {
	if err := s.loadTable(&s.offsets, IndexSuffix, s.checkOffsets); err != nil {
		return err
	}
	return s.loadTable(&s.times, TimeIndexSuffix, s.checkTimes)
}

// loadTxns takes over the transaction index, which most segments do not have. Half an entry at its end is left out.
func (s *Segment) loadTxns() error {
	info, err := s.statFile(TxnIndexSuffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		s.txns.reset(0, nil)
		return nil
	case err != nil:
		return err
	}
	s.txns.reset(int(info.Size())/txnEntrySize, nil)
	return nil
}

// loadTable takes the size of an index file and has its first and last entry checked.
func (s *Segment) loadTable(t *table, suffix string, check func(first, last []byte, entries int) bool) error {
	info, err := s.statFile(suffix)
	if err != nil {
		return err
	}
	if info.Size()%int64(t.width) != 0 {
		return errInconsistent
	}
	v := view{width: t.width, stored: int(info.Size()) / t.width}
	if v.stored > 0 {
		r := reader{view: v, s: s, suffix: suffix}
		defer r.close()
		e, err := r.entry(0)
		if err != nil {
			return err
		}
		first := append([]byte(nil), e...)
		last, err := r.entry(v.stored - 1)
		if err != nil {
			return err
		}
		if !check(first, last, v.stored) {
			return errInconsistent
		}
	}
	t.reset(v.stored, nil)
	return nil
}

// checkOffsets refuses among others the zeros that Kafka allocates ahead and a crash leaves.
func (s *Segment) checkOffsets(first, last []byte, entries int) bool {
	limit := s.nextOffset.Load() - s.o.BaseOffset
	if entryPosition(first) <= 0 || entryPosition(last) >= s.size.Load() || entryOffset(first) < 0 || entryOffset(last) >= limit {
		return false
	}
	return entries == 1 || entryOffset(last) > entryOffset(first) && entryPosition(last) > entryPosition(first)
}

func (s *Segment) checkTimes(first, last []byte, entries int) bool {
	limit := s.nextOffset.Load() - s.o.BaseOffset
	if entryTimeOffset(first) < 0 || entryTimeOffset(last) >= limit || entryTime(first) < 0 {
		return false
	}
	if entries > 1 && (entryTime(last) <= entryTime(first) || entryTimeOffset(last) < entryTimeOffset(first)) {
		return false
	}
	s.setTimes(timestampOffset{entryTime(last), s.o.BaseOffset + entryTimeOffset(last)}, entryTime(last))
	return true
}

// rebuild makes offset and time index anew from the headers of all batches. It runs under the append lock, or alone in
// load for an inactive segment.
func (s *Segment) rebuild() error {
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	s.resetIndexes()
	sc := NewScanner(h, 0, s.size.Load(), s.o.BaseOffset, false)
	for {
		b, err := sc.Next()
		if err != nil {
			var bad *BadBatchError
			if !errors.Is(err, io.EOF) && !errors.As(err, &bad) {
				return err
			}
			break // what lies behind damage is found by walking, up to the damage
		}
		if !s.Fits(b.LastOffset) {
			break
		}
		s.indexBatch(b.LastOffset, b.MaxTimestamp, b.Position, int64(b.Size))
	}
	if s.inactive.Load() {
		s.appendTimeEntry()
	}
	if err := s.replaceIndexes(); err != nil {
		return err
	}
	s.suspect.Store(false)
	return nil
}

func (s *Segment) resetIndexes() {
	s.offsets.reset(0, nil)
	s.times.reset(0, nil)
	s.setTimes(timestampOffset{records.NoTimestamp, s.o.BaseOffset}, records.NoTimestamp)
	s.bytesSinceEntry = 0
}

// setTimes sets the largest timestamp, and the one in the time index's last entry.
func (s *Segment) setTimes(largest timestampOffset, last int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.maxTime, s.lastTime = largest, last
}

// replaceIndexes writes the tables, which are only in memory, to new files.
func (s *Segment) replaceIndexes() error {
	for _, t := range []struct {
		table  *table
		suffix string
	}{{&s.offsets, IndexSuffix}, {&s.times, TimeIndexSuffix}} {
		tail := t.table.view().tail
		err := s.withFile(t.suffix, vfs.ReadWrite|vfs.Create|vfs.Trunc, func(f vfs.File) error {
			_, err := f.WriteAt(tail, 0)
			return err
		})
		if IsNoSpace(err) {
			continue // the table stays in memory
		}
		if err != nil {
			return err
		}
		t.table.reset(len(tail)/t.table.width, nil)
	}
	return nil
}

// maxTimestamp is the largest timestamp in the segment, and the last offset of the batch that has it.
func (s *Segment) maxTimestamp() (timestampOffset, error) {
	if err := s.load(); err != nil {
		return timestampOffset{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.maxTime, nil
}
