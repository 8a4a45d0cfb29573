package log

import (
	"errors"
	"io/fs"

	"github.com/distributedmq/dmq/log/segment"
)

// Read returns whole batches, beginning with the one that holds offset (or the next one, where compaction removed that),
// as many as fit into maxBytes and lie below maxOffset. With minOne the first batch is returned even if it is larger
// than maxBytes. Where there is nothing the slice is empty. The caller closes the slice.
//
// It fails with *OffsetOutOfRangeError below the log start offset and above the log end offset, and with *CorruptError where
// the batch with offset is damaged.
func (l *Log) Read(offset int64, maxBytes int, maxOffset int64, minOne bool) (*Slice, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	start, end := l.logStart.Load(), l.end.Load()
	if offset < start || offset > end {
		return nil, &OffsetOutOfRangeError{Offset: offset, LogStartOffset: start, LogEndOffset: end}
	}
	maxOffset = min(maxOffset, end)
	if offset >= maxOffset || maxBytes <= 0 && !minOne {
		if offset == end {
			l.tail.want()
		}
		return &l.nothing, nil
	}
	if parts, ok := l.tail.read(offset, maxOffset, maxBytes, minOne); ok {
		return l.heapSlice(parts), nil
	}
	var s *Slice
	err := l.onSegments(func(list []*segment.Segment) (err error) {
		s, err = l.readFile(list, offset, maxBytes, maxOffset, minOne)
		return err
	})
	if err != nil {
		return nil, l.readError(err, offset)
	}
	if s.bound >= end {
		l.tail.want()
	}
	return s, nil
}

// want switches the tail on: the batches appended from now on are kept.
func (t *tail) want() {
	if t.cache != nil && !t.wanted.Load() {
		t.wanted.Store(true)
	}
}

// onSegments calls fn with the segments, and again where that failed while they were replaced: their files may be gone.
func (l *Log) onSegments(fn func(list []*segment.Segment) error) error {
	for {
		list := l.segments.Load()
		if err := fn(*list); err == nil || l.segments.Load() == list {
			return err
		}
	}
}

func (l *Log) readFile(list []*segment.Segment, offset int64, maxBytes int, maxOffset int64, minOne bool) (*Slice, error) {
	known, marked := l.marks.find(maxOffset)
	for i := segmentFor(list, offset); i < len(list); i++ {
		s := list[i]
		if s.BaseOffset() >= maxOffset {
			break
		}
		q := segment.Query{Offset: offset, MaxOffset: maxOffset, MaxBytes: int64(maxBytes), MinOne: minOne}
		q.Hint = l.hints.find(s, offset)
		if marked && known.segment == s {
			q.EndPosition = known.position
		}
		r, ok, err := s.Find(q)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue // all of the segment's batches lie before offset: compaction removed the last
		}
		if r.End == r.Start {
			break
		}
		file, err := s.Acquire()
		if err != nil {
			return nil, err
		}
		l.hints.add(mark{offset: offset, position: r.End, segment: s}, r.Start)
		return &Slice{
			log: l, segment: s, file: file, position: r.Start, size: int(r.End - r.Start), base: r.BaseOffset, bound: r.Bound,
			check: segment.Verifier{Size: r.End - r.Start},
		}, nil
	}
	return &l.nothing, nil
}

// readError explains an error of a segment.
func (l *Log) readError(err error, offset int64) error {
	if cerr := l.usable(); cerr != nil {
		return cerr
	}
	if start := l.logStart.Load(); offset < start { // retention was faster
		return &OffsetOutOfRangeError{Offset: offset, LogStartOffset: start, LogEndOffset: l.end.Load()}
	}
	if corrupt, ok := errors.AsType[*CorruptError](err); ok {
		l.reportDamage(corrupt)
		return err
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed) {
		return storageErr(err)
	}
	return l.fail(err) // a disk that cannot be read
}

// BytesBetween is the number of bytes from the batch that holds offset from to the one that holds offset to: what Read
// has to give there. Offsets outside of the log count as its ends. Where that cannot be found out it is the size of the
// log: who waits for bytes then reads, and is told why.
func (l *Log) BytesBetween(from, to int64) int64 {
	from, to = max(from, l.logStart.Load()), min(to, l.end.Load())
	if from >= to {
		return 0
	}
	if n, ok := l.tail.bytesBetween(from, to); ok {
		return n
	}
	list := l.list()
	first, last := segmentFor(list, from), segmentFor(list, to)
	start, serr := l.positionOf(list[first], from)
	end, eerr := l.positionOf(list[last], to)
	if serr != nil || eerr != nil {
		return l.Size()
	}
	bytes := end - start
	for _, s := range list[first:last] {
		bytes += s.Size()
	}
	return max(bytes, 0)
}

func (l *Log) positionOf(s *segment.Segment, offset int64) (int64, error) {
	if k, ok := l.marks.find(offset); ok && k.segment == s {
		return k.position, nil
	}
	return s.PositionOf(offset)
}

// AbortedTxn is a transaction whose records a read_committed consumer skips, from FirstOffset to its abort marker.
type AbortedTxn struct{ ProducerID, FirstOffset int64 }

// AbortedTxns returns the aborted transactions with records in [from, to), in the order in which they ended.
func (l *Log) AbortedTxns(from, to int64) ([]AbortedTxn, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	txns, err := l.abortedTxns(from, to)
	if err != nil {
		return nil, l.readError(err, from)
	}
	var found []AbortedTxn
	for _, t := range txns {
		found = append(found, AbortedTxn{ProducerID: t.ProducerID, FirstOffset: t.FirstOffset})
	}
	return found, nil
}

func (l *Log) abortedTxns(from, to int64) (found []segment.AbortedTxn, err error) {
	err = l.onSegments(func(list []*segment.Segment) error {
		found = nil
		for i := segmentFor(list, from); i < len(list); i++ {
			complete, err := list[i].AbortedTxns(from, to, func(t segment.AbortedTxn) { found = append(found, t) })
			if err != nil || complete {
				return err
			}
		}
		return nil
	})
	return found, err
}
