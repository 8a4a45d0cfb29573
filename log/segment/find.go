package segment

import (
	"errors"
	"io"

	"github.com/distributedmq/dmq/log/vfs"
)

// Query asks for the batches from Offset on.
type Query struct {
	Offset    int64
	MaxOffset int64 // only batches that lie below it
	MaxBytes  int64
	MinOne    bool // at least one batch, even if it has more bytes

	Hint        int64 // a position at or before which the batch with Offset probably begins; 0: none
	EndPosition int64 // where the first batch at or above MaxOffset begins, where the caller knows; 0: unknown
}

// Range is whole batches in the file, from Start to End.
type Range struct {
	Start, End int64
	BaseOffset int64 // of the first batch
	Bound      int64 // no offset in the range is as large
}

// Find returns the batches that q asks for, beginning with the one that holds q.Offset or, where compaction has removed
// it, the next one. ok is false when the segment has none such. The range is empty when limits leave nothing.
func (s *Segment) Find(q Query) (r Range, ok bool, err error) {
	size, next := s.size.Load(), s.nextOffset.Load() // in this order: invariant 2
	if size == 0 {
		return Range{}, false, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return Range{}, false, err
	}
	defer s.file.release()

	first, ok, err := s.findStart(h, q, size)
	if err != nil || !ok {
		return Range{}, false, err
	}
	r = Range{Start: first.Position, End: first.Position, BaseOffset: first.BaseOffset, Bound: first.BaseOffset}
	want := q.MaxBytes
	if q.MinOne {
		want = max(want, int64(first.Size))
	}
	if first.LastOffset >= q.MaxOffset || want < int64(first.Size) {
		return r, true, nil
	}
	r.Bound = min(q.MaxOffset, next)
	limit, bounded := size, next > q.MaxOffset
	if bounded && q.EndPosition > r.Start {
		limit, bounded = min(limit, q.EndPosition), false
	}
	if !bounded && limit-r.Start <= want {
		r.End = limit
	} else {
		r.End, err = s.findEnd(h, first, min(limit, r.Start+want), q.MaxOffset)
	}
	if err == nil {
		err = s.cutDamaged(&r)
	}
	return r, err == nil, err
}

// findStart returns the batch with q.Offset or the first one after it.
func (s *Segment) findStart(h vfs.File, q Query, size int64) (Batch, bool, error) {
	if q.Hint > 0 && q.Hint < size {
		b, ok, err := s.walkTo(h, q.Hint, size, q.Offset, func(first Batch) bool { return first.BaseOffset <= q.Offset })
		if !errors.Is(err, errInconsistent) {
			return b, ok, err
		}
	}
	position, entry, err := s.lookup(q.Offset)
	if err != nil {
		return Batch{}, false, err
	}
	if position > 0 {
		b, ok, err := s.walkTo(h, position, size, q.Offset, func(first Batch) bool { return first.LastOffset == entry })
		if !errors.Is(err, errInconsistent) {
			return b, ok, err
		}
		s.suspect.Store(true)
	}
	return s.walkTo(h, 0, size, q.Offset, nil)
}

// walkTo walks from position to the first batch whose last offset is not below offset. When the first batch found there is
// not as it has to be, errInconsistent; of a position that was only guessed the caller takes that as not found.
func (s *Segment) walkTo(h vfs.File, position, size, offset int64, check func(first Batch) bool) (Batch, bool, error) {
	sc := s.scanner(h, position, size)
	defer s.o.Files.putBuffer(sc.buf)
	for {
		b, err := sc.Next()
		if err != nil {
			return s.walkEnd(err, size, check != nil)
		}
		if check != nil && !check(b) {
			return Batch{}, false, errInconsistent
		}
		check = nil
		if b.LastOffset >= offset {
			b.Head = nil // the buffer goes back
			return b, true, nil
		}
	}
}

// walkEnd says what the end of a walk means. unproven: not a single batch was seen yet.
func (s *Segment) walkEnd(err error, size int64, unproven bool) (Batch, bool, error) {
	var bad *BadBatchError
	switch {
	case errors.Is(err, io.EOF) && unproven && s.size.Load() >= size:
		return Batch{}, false, errInconsistent // the position is behind the end
	case errors.Is(err, io.EOF):
		return Batch{}, false, nil
	case !errors.As(err, &bad):
		return Batch{}, false, err
	case s.size.Load() < size: // cut off while we walked
		return Batch{}, false, nil
	case unproven:
		return Batch{}, false, errInconsistent
	default:
		return Batch{}, false, s.Damaged(bad.Position, bad.Err)
	}
}

func (s *Segment) scanner(h vfs.File, position, size int64) Scanner {
	return Scanner{r: h, size: size, next: position, minNext: s.o.BaseOffset, buf: s.o.Files.buffer()}
}

// lookup returns what the offset index knows of offset: where to begin to look, and the last offset of the batch there.
// Position 0 is the beginning of the file.
func (s *Segment) lookup(offset int64) (position, lastOffset int64, err error) {
	if err := s.load(); err != nil {
		return 0, 0, err
	}
	relative := offset - s.o.BaseOffset
	return s.floorOffset(func(e []byte) bool { return entryOffset(e) > relative })
}

// floorOffset returns the last entry of the offset index that is not past what is looked for.
func (s *Segment) floorOffset(past func(entry []byte) bool) (position, lastOffset int64, err error) {
	if s.suspect.Load() {
		return 0, 0, nil
	}
	r := s.reader(&s.offsets, IndexSuffix)
	defer r.close()
	slot, err := r.floor(past)
	if err == nil && slot < 0 {
		return 0, 0, nil
	}
	var e []byte
	if err == nil {
		e, err = r.entry(slot)
	}
	if err != nil {
		if errors.Is(err, errInconsistent) {
			s.suspect.Store(true)
			return 0, 0, nil
		}
		return 0, 0, err
	}
	return entryPosition(e), s.o.BaseOffset + entryOffset(e), nil
}

// findEnd returns the end of the last batch that lies below maxOffset and ends at or before limit. first does.
func (s *Segment) findEnd(h vfs.File, first Batch, limit, maxOffset int64) (int64, error) {
	if err := s.load(); err != nil {
		return 0, err
	}
	end := first.Position + int64(first.Size)
	relative := maxOffset - s.o.BaseOffset
	position, entry, err := s.floorOffset(func(e []byte) bool { return entryPosition(e) > limit || entryOffset(e) >= relative })
	if err != nil {
		return 0, err
	}
	if position > end {
		from, err := s.walkWhile(h, position, limit, maxOffset, func(first Batch) bool { return first.LastOffset == entry })
		if !errors.Is(err, errInconsistent) {
			return from, err
		}
		s.suspect.Store(true)
	}
	return s.walkWhile(h, end, limit, maxOffset, nil)
}

// walkWhile walks from position over the batches that end at or before limit and lie below maxOffset, and returns where
// they end. The batch that check sees need not be one of them.
func (s *Segment) walkWhile(h vfs.File, position, limit, maxOffset int64, check func(first Batch) bool) (int64, error) {
	size := s.size.Load()
	sc := s.scanner(h, position, size)
	defer s.o.Files.putBuffer(sc.buf)
	end := position
	for end < limit || check != nil {
		b, err := sc.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return end, nil
			}
			_, _, err = s.walkEnd(err, size, check != nil)
			if _, ok := errors.AsType[*CorruptError](err); ok {
				return end, nil // what lies before the damage is good
			}
			return end, err
		}
		if check != nil && !check(b) {
			return 0, errInconsistent
		}
		check = nil
		if sc.Position() > limit || b.LastOffset >= maxOffset {
			return end, nil
		}
		end = sc.Position()
	}
	return end, nil
}

// PositionOf returns where the first batch begins that holds offset or a later one; the end when there is none.
func (s *Segment) PositionOf(offset int64) (int64, error) {
	size, next := s.size.Load(), s.nextOffset.Load()
	if offset <= s.o.BaseOffset {
		return 0, nil
	}
	if offset >= next {
		return size, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return 0, err
	}
	defer s.file.release()
	b, ok, err := s.findStart(h, Query{Offset: offset}, size)
	if err != nil || !ok {
		return size, err
	}
	return b.Position, nil
}

// buffer returns an empty buffer for walking.
func (s *Files) buffer() []byte {
	if b, ok := s.buffers.Get().(*[hopBuffer]byte); ok {
		return b[:0]
	}
	return make([]byte, 0, hopBuffer)
}

func (s *Files) putBuffer(b []byte) { s.buffers.Put((*[hopBuffer]byte)(b[:hopBuffer])) }

// Damaged notes that the batch at position is damaged: it is not served from now on. It returns the error to report.
func (s *Segment) Damaged(position int64, cause error) *CorruptError {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.damaged {
		if d.Position == position {
			return d
		}
	}
	d := &CorruptError{Path: s.path(LogSuffix), Position: position, Err: cause}
	s.damaged = append(s.damaged, d)
	return d
}

// DamagedCount counts the batches that were found to be damaged.
func (s *Segment) DamagedCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.damaged)
}

// cutDamaged ends a range before the first batch in it that is known to be damaged; where that is its first, it is an
// error.
func (s *Segment) cutDamaged(r *Range) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.damaged {
		if d.Position == r.Start {
			return d
		}
		if d.Position > r.Start && d.Position < r.End {
			r.End = d.Position
		}
	}
	return nil
}
