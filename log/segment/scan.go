package segment

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/distributedmq/dmq/protocol/records"
)

// scanBuffer is how much of a file a Scanner reads at once when it checks every byte.
const scanBuffer = 256 << 10

// hopBuffer is how much it reads when it only looks at headers: as a rule the header and, where batches are small, some
// more headers.
const hopBuffer = 4096

// BadBatchError says that no valid batch begins at Position: it is cut off, damaged or out of order.
type BadBatchError struct {
	Position int64
	Err      error
}

// Error names position and fault.
func (e *BadBatchError) Error() string {
	return fmt.Sprintf("no valid batch at byte %d: %v", e.Position, e.Err)
}

// Unwrap returns the fault.
func (e *BadBatchError) Unwrap() error { return e.Err }

var (
	errTorn    = errors.New("record batch is incomplete")
	errOrder   = errors.New("offsets are out of order")
	errCRC     = errors.New("record batch has a wrong CRC")
	errOffsets = errors.New("last offset is before the base offset")
)

// Scanner walks the batches of a file. It needs a fixed amount of memory, however large a batch is or claims to be.
type Scanner struct {
	r      io.ReaderAt
	size   int64 // where to stop
	verify bool
	next   int64 // position of the next batch

	buf     []byte
	bufAt   int64 // position of buf[0]
	minNext int64 // no offset below this may follow
}

// NewScanner walks r from position on up to size. With verify each batch's CRC is checked; without, only headers are
// looked at. Offsets must rise, beginning at minOffset.
func NewScanner(r io.ReaderAt, position, size, minOffset int64, verify bool) *Scanner {
	n := int64(hopBuffer)
	if verify {
		n = scanBuffer
	}
	return &Scanner{
		r: r, size: size, verify: verify, next: position, minNext: minOffset,
		buf: make([]byte, 0, max(min(n, size-position), headerSize)),
	}
}

// NewVerifyingScanner returns a scanner that checks CRCs, with a buffer of so many bytes: a batch that fits is Whole. Reset
// gives it something to walk.
func NewVerifyingScanner(buffer int) *Scanner {
	return &Scanner{verify: true, buf: make([]byte, 0, max(buffer, headerSize))}
}

// Reset has the scanner walk r, as NewScanner says, in the memory it has.
func (s *Scanner) Reset(r io.ReaderAt, position, size, minOffset int64) {
	*s = Scanner{r: r, size: size, verify: s.verify, next: position, minNext: minOffset, buf: s.buf[:0]}
}

// Next returns the next batch; io.EOF at the end; *BadBatchError where none begins. All other errors are the reader's.
func (s *Scanner) Next() (Batch, error) {
	if s.next >= s.size {
		return Batch{}, io.EOF
	}
	head, err := s.window(s.next, headerSize)
	if err != nil {
		return Batch{}, err
	}
	b, err := describe(head, s.next)
	switch {
	case errors.Is(err, records.ErrShort):
		return Batch{}, s.bad(errTorn)
	case err != nil:
		return Batch{}, s.bad(err)
	case int64(b.Size) > s.size-s.next:
		return Batch{}, s.bad(errTorn)
	case b.LastOffset < b.BaseOffset:
		return Batch{}, s.bad(errOffsets)
	case b.BaseOffset < s.minNext:
		return Batch{}, s.bad(errOrder)
	}
	if s.verify {
		if err := s.check(&b); err != nil {
			return Batch{}, err
		}
	}
	s.next += int64(b.Size)
	s.minNext = b.NextOffset()
	return b, nil
}

// Position is where the next batch begins.
func (s *Scanner) Position() int64 { return s.next }

// NextOffset is the offset after the last batch, at first the least that may come.
func (s *Scanner) NextOffset() int64 { return s.minNext }

func (s *Scanner) bad(err error) error { return &BadBatchError{Position: s.next, Err: err} }

// window returns the bytes at position that are buffered, reading more when they are fewer than want, or than the file has.
func (s *Scanner) window(position int64, want int) ([]byte, error) {
	want = int(min(int64(want), s.size-position))
	at := position - s.bufAt
	if at >= 0 && at <= int64(len(s.buf)) && int64(len(s.buf))-at >= int64(want) {
		return s.buf[at:], nil
	}
	n := min(int64(cap(s.buf)), s.size-position)
	s.buf = s.buf[:n]
	got, err := s.r.ReadAt(s.buf, position)
	s.buf, s.bufAt = s.buf[:got], position
	if got < want {
		if err == nil || errors.Is(err, io.EOF) {
			return s.buf, s.bad(errTorn) // the file is shorter than its size was
		}
		return nil, err
	}
	return s.buf, nil
}

// check verifies the CRC of b, piece by piece where it is larger than the buffer, and leaves its beginning in b.Head.
func (s *Scanner) check(b *Batch) error {
	data, err := s.window(b.Position, min(b.Size, cap(s.buf)))
	if err != nil {
		return err
	}
	if len(data) >= b.Size {
		b.Head, b.Whole = data[:b.Size], true
		return s.checkWhole(b)
	}
	header := append([]byte(nil), data[:headerSize]...) // b.Head may have been overwritten
	sum, stored := newChecksum(header)
	sum.add(data[sum.from:])
	for done := int64(len(data)); done < int64(b.Size); {
		data, err = s.window(b.Position+done, min(b.Size-int(done), cap(s.buf)))
		if err != nil {
			return err
		}
		data = data[:min(int64(len(data)), int64(b.Size)-done)]
		sum.add(data)
		done += int64(len(data))
	}
	b.Head, b.Whole = header, false
	if sum.value != stored {
		return s.bad(errCRC)
	}
	return nil
}

func (s *Scanner) checkWhole(b *Batch) error {
	sum, stored := newChecksum(b.Head)
	sum.add(b.Head[sum.from:])
	if sum.value != stored {
		return s.bad(errCRC)
	}
	return nil
}

// checksum is the CRC of a batch of any format, as far as it was fed.
type checksum struct {
	from  int // first byte that it covers
	table *crc32.Table
	value uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	crcFromV2     = 21
	crcFromLegacy = 16
)

// newChecksum returns an empty checksum for the batch whose header is head, and the one stored in it.
func newChecksum(head []byte) (sum checksum, stored uint32) {
	if head[crcFromLegacy] < records.Magic {
		return checksum{from: crcFromLegacy, table: crc32.IEEETable}, records.Legacy(head).CRC()
	}
	return checksum{from: crcFromV2, table: castagnoli}, records.Batch(head).CRC()
}

func (c *checksum) add(p []byte) { c.value = crc32.Update(c.value, c.table, p) }

// Walk calls fn for the batches from the one with offset on, without checking their CRCs, until fn returns false. Of control
// batches all bytes are in Head.
func (s *Segment) Walk(offset int64, fn func(b *Batch) (bool, error)) error {
	position, err := s.PositionOf(offset)
	if err != nil {
		return err
	}
	return s.walk(position, fn)
}

// WalkTail calls fn for the batches before offset, as far as they lie in the last so many bytes before it.
func (s *Segment) WalkTail(offset, bytes int64, fn func(b *Batch)) error {
	end, err := s.PositionOf(offset)
	if err != nil {
		return err
	}
	position, _, err := s.floorOffset(func(e []byte) bool { return entryPosition(e) > end-bytes })
	if err != nil || end-position > 2*bytes {
		return err // the index has nothing near
	}
	return s.walk(position, func(b *Batch) (bool, error) {
		if b.Position < end {
			fn(b)
		}
		return b.Position < end, nil
	})
}

func (s *Segment) walk(position int64, fn func(b *Batch) (bool, error)) error {
	size := s.size.Load()
	if size == 0 {
		return nil
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
		if b.Magic == records.Magic && b.V2().IsControl() && !b.Whole && b.Size <= hopBuffer {
			if b.Head, err = sc.window(b.Position, b.Size); err != nil {
				return err
			}
			b.Head, b.Whole = b.Head[:b.Size], true
		}
		if more, err := fn(&b); err != nil || !more {
			return err
		}
	}
}
