package log

import (
	"errors"
	"io"
	"log/slog"

	"github.com/distributedmq/dmq/log/segment"
)

// Slice is whole batches of a log, in a segment file or on the heap. It stays readable until it is closed, whatever
// happens to the log. It is used by one goroutine at a time.
type Slice struct {
	base, bound int64

	// Of a file. size is also the size of parts.
	log      *Log
	segment  *segment.Segment
	file     segment.Handle
	position int64
	size     int
	check    segment.Verifier

	// Of the heap.
	tail  *tail
	parts []tailPart
}

func (l *Log) heapSlice(parts []tailPart) *Slice {
	if len(parts) == 0 {
		return &l.nothing
	}
	s := &Slice{tail: &l.tail, parts: parts, base: parts[0].baseOffset, bound: parts[len(parts)-1].nextOffset}
	for _, p := range parts {
		s.size += len(p.b)
	}
	return s
}

// Size is the number of bytes. 0 means that there is nothing to read yet.
func (s *Slice) Size() int { return s.size }

// BaseOffset is the offset of the first record, as far as compaction has left it. An empty slice has none.
func (s *Slice) BaseOffset() int64 { return s.base }

// Bound is an offset that no record in the slice reaches.
func (s *Slice) Bound() int64 { return s.bound }

// Bytes returns everything where it is on the heap in one piece, else nil. It must not be changed, nor used after Close.
func (s *Slice) Bytes() []byte {
	if len(s.parts) == 1 {
		return s.parts[0].b
	}
	return nil
}

// ReadAt implements io.ReaderAt. Reading a file from the beginning on checks the CRC of every batch before its last byte
// is returned: a damaged one is a *CorruptError then, and Read does not return it again.
func (s *Slice) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= int64(s.size) {
		return 0, io.EOF
	}
	short := int64(len(p)) > int64(s.size)-off
	if short {
		p = p[:int64(s.size)-off]
	}
	if s.parts != nil {
		s.readParts(p, off)
	} else if err := s.readFile(p, off); err != nil {
		return 0, err
	}
	if short {
		return len(p), io.EOF
	}
	return len(p), nil
}

func (s *Slice) readParts(p []byte, off int64) {
	for _, part := range s.parts {
		if off >= int64(len(part.b)) {
			off -= int64(len(part.b))
			continue
		}
		p = p[copy(p, part.b[off:]):]
		off = 0
		if len(p) == 0 {
			return
		}
	}
}

func (s *Slice) readFile(p []byte, off int64) error {
	n, err := s.file.ReadAt(p, s.position+off)
	if n < len(p) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // cut by a truncation
		}
		return err
	}
	if at, fault := s.check.Next(p, off); fault != nil {
		corrupt := s.segment.Damaged(s.position+at, fault)
		s.log.reportDamage(corrupt)
		return corrupt
	}
	return nil
}

// Close gives up what the slice holds open. It may be called once.
func (s *Slice) Close() error {
	if s.size == 0 {
		return nil
	}
	s.size = 0
	for _, p := range s.parts {
		s.tail.cache.release(p.chunk)
	}
	if s.parts == nil {
		s.file.Close()
	}
	s.parts = nil
	return nil
}

// reportDamage tells people, once for each place.
func (l *Log) reportDamage(err *CorruptError) {
	if err.Report() {
		l.logger.Error("found a damaged record batch", slog.String("event", "log.corrupt"), slog.String("path", err.Path),
			slog.Int64("position", err.Position), slog.Any("err", err.Err))
	}
}
