package segment

import (
	"errors"
	"io"
	"time"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol/records"
)

// TimestampOffset is a record that was found by its timestamp.
type TimestampOffset struct {
	Offset, Timestamp int64
	LeaderEpoch       int32 // -1: none
}

// FindTimestamp returns the first record at or above startOffset whose timestamp is at least ts.
func (s *Segment) FindTimestamp(ts, startOffset int64) (TimestampOffset, bool, error) {
	size := s.size.Load()
	if err := s.load(); err != nil {
		return TimestampOffset{}, false, err
	}
	offset, err := s.offsetBefore(ts)
	if err != nil {
		return TimestampOffset{}, false, err
	}
	match := func(b Batch) bool { return b.MaxTimestamp >= ts && b.LastOffset >= startOffset }
	return s.search(max(offset, startOffset), size, match, func(r *records.Record) bool {
		return r.Timestamp >= ts && r.Offset >= startOffset
	})
}

// FindMaxTimestamp returns the first record with the largest timestamp of the segment; none when no record has one.
func (s *Segment) FindMaxTimestamp() (TimestampOffset, bool, error) {
	size := s.size.Load()
	largest, err := s.maxTimestamp()
	if err != nil || largest.timestamp < 0 {
		return TimestampOffset{}, false, err
	}
	match := func(b Batch) bool { return b.MaxTimestamp == largest.timestamp }
	return s.search(largest.offset, size, match, func(r *records.Record) bool { return r.Timestamp == largest.timestamp })
}

// search walks from the batch with offset on to the first batch that matches and has a record that does.
func (s *Segment) search(offset, size int64, match func(Batch) bool, record func(*records.Record) bool) (TimestampOffset, bool, error) {
	if size == 0 {
		return TimestampOffset{}, false, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return TimestampOffset{}, false, err
	}
	defer s.file.release()
	first, ok, err := s.findStart(h, Query{Offset: offset}, size)
	if err != nil || !ok {
		return TimestampOffset{}, false, err
	}
	sc := s.scanner(h, first.Position, size)
	defer s.o.Files.putBuffer(sc.buf)
	for {
		b, err := sc.Next()
		if err != nil {
			_, _, err = s.walkEnd(err, size, false)
			return TimestampOffset{}, false, err
		}
		if !match(b) {
			continue
		}
		found, ok := TimestampOffset{LeaderEpoch: b.LeaderEpoch}, false
		err = s.each(h, b, func(r *records.Record) bool {
			if ok = record(r); ok {
				found.Offset, found.Timestamp = r.Offset, r.Timestamp
			}
			return !ok
		})
		if err != nil || ok {
			return found, ok, err
		}
	}
}

// offsetBefore returns the offset in the last time index entry that is not after ts; the base offset when there is none.
func (s *Segment) offsetBefore(ts int64) (int64, error) {
	r := s.reader(&s.times, TimeIndexSuffix)
	defer r.close()
	slot, err := r.floor(func(e []byte) bool { return entryTime(e) > ts })
	var e []byte
	if err == nil && slot >= 0 {
		e, err = r.entry(slot)
	}
	switch {
	case errors.Is(err, errInconsistent):
		s.suspect.Store(true)
		return s.o.BaseOffset, nil
	case err != nil:
		return 0, err
	case e == nil:
		return s.o.BaseOffset, nil
	default:
		return s.o.BaseOffset + entryTimeOffset(e), nil
	}
}

// LargestTimestamp is the largest timestamp in the segment, or, when its records have none, when the file was last
// written.
func (s *Segment) LargestTimestamp() (int64, error) {
	t, err := s.maxTimestamp()
	if err != nil || t.timestamp >= 0 {
		return t.timestamp, err
	}
	info, err := s.statFile(LogSuffix)
	if err != nil {
		return 0, err
	}
	return info.ModTime().UnixMilli(), nil
}

// MaxTimestamp is the largest timestamp in the segment; -1 when its records have none.
func (s *Segment) MaxTimestamp() (int64, error) {
	t, err := s.maxTimestamp()
	return t.timestamp, err
}

// Age is how long the segment has been written to when a batch with timestamp ts comes: by the records' time, counted
// from the first batch, or by the clock where that batch has no timestamp. Under the append lock.
func (s *Segment) Age(now time.Time, ts int64) (milliseconds int64, err error) {
	first, err := s.FirstTimestamp()
	if err != nil {
		return 0, err
	}
	if first >= 0 {
		return ts - first, nil
	}
	return now.Sub(s.created).Milliseconds(), nil
}

// FirstTimestamp is the largest timestamp of the first batch; -1 when it has none, or there is no batch. It is read once.
func (s *Segment) FirstTimestamp() (int64, error) {
	s.mu.Lock()
	ts, read := s.firstTime, s.firstRead
	s.mu.Unlock()
	if read {
		return ts, nil
	}
	if s.size.Load() == 0 {
		return records.NoTimestamp, nil
	}
	h, err := s.file.acquire()
	if err != nil {
		return 0, err
	}
	defer s.file.release()
	b, ok, err := s.walkTo(h, 0, s.size.Load(), s.o.BaseOffset, nil)
	if err != nil || !ok {
		return records.NoTimestamp, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.firstTime, s.firstRead = b.MaxTimestamp, true
	return b.MaxTimestamp, nil
}

// readBatch reads a whole batch and checks it.
func (s *Segment) readBatch(h vfs.File, b Batch) ([]byte, error) {
	buf := make([]byte, b.Size)
	n, err := h.ReadAt(buf, b.Position)
	if n < len(buf) {
		if err == nil || errors.Is(err, io.EOF) {
			err = s.Damaged(b.Position, errTorn)
		}
		return nil, err
	}
	sum, stored := newChecksum(buf)
	sum.add(buf[sum.from:])
	if sum.value != stored {
		return nil, s.Damaged(b.Position, errCRC)
	}
	return buf, nil
}

// each calls fn for the records of a batch in order, until it returns false.
func (s *Segment) each(h vfs.File, b Batch, fn func(r *records.Record) bool) error {
	data, err := s.readBatch(h, b)
	if err != nil {
		return err
	}
	visit := func(r *records.Record) error {
		if !fn(r) {
			return io.EOF
		}
		return nil
	}
	limit := max(maxDecompressed, len(data))
	if b.Magic < records.Magic {
		err = records.Legacy(data).Iterate(limit, visit)
	} else {
		err = records.Batch(data).Iterate(limit, visit)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// maxDecompressed bounds what a batch that was let into the log is decompressed to.
const maxDecompressed = 100 << 20
