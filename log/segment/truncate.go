package segment

import (
	"errors"
	"io"
	"math"

	"github.com/distributedmq/dmq/protocol/records"
)

// LoadEnd returns the offset after the last batch of a segment that was closed cleanly, without looking at more than the
// index and the batches behind its last entry. What does not look like a batch there is a *BadBatchError.
func (s *Segment) LoadEnd() (nextOffset int64, err error) {
	size := s.size.Load()
	if size == 0 {
		return s.o.BaseOffset, s.load()
	}
	position, entry, err := s.lookup(s.o.BaseOffset + math.MaxInt32)
	if err != nil {
		return 0, err
	}
	next, err := s.walkEndFrom(position, size, func(first Batch) bool { return position == 0 || first.LastOffset == entry })
	if errors.Is(err, errInconsistent) {
		s.suspect.Store(true)
		if err := s.load(); err != nil {
			return 0, err
		}
		next, err = s.walkEndFrom(0, size, func(Batch) bool { return true })
	}
	return next, err
}

func (s *Segment) walkEndFrom(position, size int64, check func(first Batch) bool) (nextOffset int64, err error) {
	h, err := s.file.acquire()
	if err != nil {
		return 0, err
	}
	defer s.file.release()
	sc := s.scanner(h, position, size)
	defer func() { s.o.Files.putBuffer(sc.buf) }()
	for first := true; ; first = false {
		b, err := sc.Next()
		switch {
		case errors.Is(err, io.EOF):
			return sc.NextOffset(), nil
		case err != nil && first && position > 0, err == nil && first && !check(b):
			return 0, errInconsistent
		case err != nil:
			return 0, err
		}
	}
}

// EndBefore returns the log end offset that Truncate(offset) will leave: offset, or where the batch that holds it begins.
func (s *Segment) EndBefore(offset int64) (int64, error) {
	size := s.size.Load()
	if size == 0 || offset <= s.o.BaseOffset {
		return s.o.BaseOffset, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return 0, err
	}
	defer s.file.release()
	b, ok, err := s.findStart(h, Query{Offset: offset}, size)
	if err != nil || !ok {
		return offset, err
	}
	return min(offset, max(b.BaseOffset, s.o.BaseOffset)), nil
}

// Truncate removes the batches from the one that holds offset on, and what the indexes say of them. The next offset is
// offset then, which the caller has from EndBefore. The segment becomes the active one. Under the append lock.
func (s *Segment) Truncate(offset int64) error {
	if err := s.load(); err != nil {
		return err
	}
	position, err := s.PositionOf(offset)
	if err != nil {
		return err
	}
	relative := offset - s.o.BaseOffset
	cuts := []struct {
		table  *table
		suffix string
		past   func(e []byte) bool
	}{
		{&s.offsets, IndexSuffix, func(e []byte) bool { return entryOffset(e) >= relative }},
		{&s.times, TimeIndexSuffix, func(e []byte) bool { return entryTimeOffset(e) >= relative }},
		{&s.txns, TxnIndexSuffix, func(e []byte) bool { return parseAborted(e).LastOffset >= offset }},
	}
	for _, c := range cuts {
		if err := s.cutTable(c.table, c.suffix, c.past); err != nil {
			return err
		}
	}
	if err := s.CutAt(position, max(s.o.BaseOffset, offset)); err != nil {
		return err
	}
	s.inactive.Store(false)
	return s.truncated(position)
}

func (s *Segment) cutTable(t *table, suffix string, past func(e []byte) bool) error {
	r := s.reader(t, suffix)
	slot, err := r.floor(past)
	r.close()
	if err != nil {
		return err
	}
	return t.cut(s, suffix, slot+1)
}

// truncated works out what Append has to go on from after the end moved to position.
func (s *Segment) truncated(position int64) error {
	s.bytesSinceEntry = 0
	s.mu.Lock()
	if position == 0 {
		s.firstRead, s.created = false, s.o.Now()
	}
	kept := s.damaged[:0]
	for _, d := range s.damaged {
		if d.Position < position {
			kept = append(kept, d)
		}
	}
	s.damaged = kept
	s.mu.Unlock()
	return s.rereadTimes(position)
}

// rereadTimes finds the largest timestamp again: the last time index entry, or a batch behind it.
func (s *Segment) rereadTimes(size int64) error {
	largest := timestampOffset{records.NoTimestamp, s.o.BaseOffset}
	if v := s.times.view(); v.entries() > 0 {
		r := reader{view: v, s: s, suffix: TimeIndexSuffix}
		e, err := r.entry(v.entries() - 1)
		if err == nil {
			largest = timestampOffset{entryTime(e), s.o.BaseOffset + entryTimeOffset(e)}
		}
		r.close()
		if err != nil {
			return err
		}
	}
	s.setTimes(largest, largest.timestamp)
	position, _, err := s.lookup(largest.offset)
	if err != nil {
		return err
	}
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	sc := s.scanner(h, position, size)
	defer s.o.Files.putBuffer(sc.buf)
	for {
		b, err := sc.Next()
		if err != nil {
			_, _, err = s.walkEnd(err, size, false)
			return err
		}
		if b.MaxTimestamp > largest.timestamp {
			largest = timestampOffset{b.MaxTimestamp, b.LastOffset}
			s.setMaxTime(largest)
		}
	}
}
