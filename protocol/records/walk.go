package records

import (
	"errors"
	"io"
	"sync"

	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// windowSize is how much decompressed data a walker holds at a time.
const windowSize = 64 << 10

// walker parses compressed records while they are decompressed, in a window of fixed size. A record that fits into it is
// parsed there; of a larger one only the fields are read and key, value and headers are skipped. So a batch that decompresses
// to the limit takes no more memory than a small one.
type walker struct {
	r       *compress.Reader
	pos     int // the window's bytes not yet parsed are buf[pos:end]
	end     int
	err     error // what ended the decompression: io.EOF or a fault
	skipped int   // bytes of the current large record that were read
	buf     [windowSize]byte
}

var walkers = sync.Pool{New: func() any { return new(walker) }}

// newWalker begins to walk compressed records; close must follow. While it is open it may wait for nothing.
func newWalker(c compress.Codec, payload []byte, limit int) (*walker, error) {
	r, err := compress.NewReader(c, payload, limit)
	if err != nil {
		return nil, err
	}
	w := walkers.Get().(*walker)
	w.r, w.pos, w.end, w.err = r, 0, 0, nil
	return w, nil
}

func (w *walker) close() {
	w.r.Close()
	w.r = nil
	walkers.Put(w)
}

// fill reads until n bytes are in the window or the data ends.
func (w *walker) fill(n int) {
	if w.end-w.pos >= n || w.err != nil {
		return
	}
	w.end = copy(w.buf[:], w.buf[w.pos:w.end])
	w.pos = 0
	for w.end < n && w.err == nil {
		var read int
		read, w.err = w.r.Read(w.buf[w.end:])
		w.end += read
	}
}

// fault is the error for data that ended too early.
func (w *walker) fault(short error) error {
	if errors.Is(w.err, io.EOF) || w.err == nil {
		return short
	}
	return decompressError(w.err)
}

// next parses the next record. Positions in f are only good until the next call, and not set for a large record.
func (w *walker) next(f *fields) error {
	if at := quickRecord(w.buf[:w.end], w.pos, f); at >= 0 {
		w.pos = at
		return nil
	}
	w.fill(5)
	size, at := varint(w.buf[:w.end], w.pos)
	if at < 0 {
		return w.fault(errRecordsEnd)
	}
	if size < 0 {
		return errRecordSize
	}
	head := at - w.pos
	if head+int(size) > windowSize {
		w.pos = at
		return w.large(int(size), f)
	}
	w.fill(head + int(size))
	if w.end-w.pos < head+int(size) {
		return w.fault(errRecordSize)
	}
	at = w.pos + head
	w.pos = at + int(size)
	return parseBody(w.buf[:w.pos], at, f)
}

// finish checks that nothing follows the last record.
func (w *walker) finish() error {
	w.fill(1)
	if w.end > w.pos {
		return errRecordsLeft
	}
	return w.fault(nil)
}

// large reads the fields of a record that is larger than the window.
func (w *walker) large(size int, f *fields) error {
	w.skipped = 0
	if !w.take(1) {
		return w.fault(errRecordSize)
	}
	f.attributes = int8(w.buf[w.pos-1])
	var ok bool
	if f.timestampDelta, ok = w.varlong(); !ok {
		return w.fault(errRecordField)
	}
	if f.offsetDelta, ok = w.varint(); !ok {
		return w.fault(errRecordField)
	}
	if f.keySize, ok = w.skipField(); !ok {
		return w.fault(errRecordField)
	}
	if f.valueSize, ok = w.skipField(); !ok {
		return w.fault(errRecordField)
	}
	if f.headers, ok = w.varint(); !ok || f.headers < 0 || int(f.headers) > size-w.skipped {
		return w.fault(errRecordHeaders)
	}
	for range f.headers {
		if n, ok := w.skipField(); !ok || n < 0 {
			return w.fault(errRecordHeaders)
		}
		if _, ok := w.skipField(); !ok {
			return w.fault(errRecordHeaders)
		}
	}
	if w.skipped != size {
		return errRecordSize
	}
	return nil
}

// take moves over n bytes.
func (w *walker) take(n int) bool {
	w.skipped += n
	for n > w.end-w.pos {
		n -= w.end - w.pos
		w.pos = w.end
		w.fill(1)
		if w.end == w.pos {
			return false
		}
	}
	w.pos += n
	return true
}

func (w *walker) varint() (int32, bool) {
	w.fill(5)
	v, at := varint(w.buf[:w.end], w.pos)
	return v, w.moveTo(at)
}

func (w *walker) varlong() (int64, bool) {
	w.fill(10)
	v, at := varlong(w.buf[:w.end], w.pos)
	return v, w.moveTo(at)
}

func (w *walker) moveTo(at int) bool {
	if at < 0 {
		return false
	}
	w.skipped += at - w.pos
	w.pos = at
	return true
}

// skipField moves over a length and the bytes it counts.
func (w *walker) skipField() (size int32, ok bool) {
	if size, ok = w.varint(); !ok || size < 0 {
		return size, ok
	}
	return size, w.take(int(size))
}

// decompressError gives what went wrong in a codec the kind the client is told. A batch that decompresses to more than the
// limit is too large: producers split those. Everything else no retry can heal.
func decompressError(err error) error {
	kind := errcode.KindInvalidRecord
	switch {
	case errors.Is(err, compress.ErrTooLarge):
		kind = errcode.KindMessageTooLarge
	case errors.Is(err, compress.ErrUnknownCodec):
		kind = errcode.KindUnsupportedCompressionType
	}
	return errcode.New(kind, "read compressed records: %w", err)
}
