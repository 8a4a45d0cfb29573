package segment

import (
	"bytes"
	"errors"
	"io"
	"sort"
	"sync"

	"github.com/distributedmq/dmq/log/vfs"
)

// searchBlock is how much of an index file is read at once, and how much is collected before it is written.
const searchBlock = 4096

// table is an index file: sorted entries of fixed size, of which the newest may still be in memory only. There is one
// writer at a time; readers take a view.
type table struct {
	width int

	mu     sync.Mutex // guards the fields below; never held across I/O
	stored int        // entries in the file
	tail   []byte     // the entries after those; grows in place, is replaced when cut
}

// view is the table at one moment.
type view struct {
	width  int
	stored int
	tail   []byte
}

func (t *table) view() view {
	t.mu.Lock()
	defer t.mu.Unlock()
	return view{t.width, t.stored, t.tail}
}

func (v view) entries() int { return v.stored + len(v.tail)/v.width }

// reset makes the table hold what is stored in its file, and tail.
func (t *table) reset(stored int, tail []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored, t.tail = stored, tail
}

// append adds an entry.
func (t *table) append(entry []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tail = append(t.tail, entry...)
}

// flush writes the entries that are only in memory.
func (t *table) flush(s *Segment, suffix string) error {
	v := t.view()
	if len(v.tail) == 0 {
		return nil
	}
	err := s.withFile(suffix, vfs.ReadWrite|vfs.Create, func(f vfs.File) error {
		_, err := f.WriteAt(v.tail, int64(v.stored*v.width))
		return err
	})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stored += len(v.tail) / t.width
	t.tail = bytes.Clone(t.tail[len(v.tail):])
	return nil
}

// cut keeps the first n entries.
func (t *table) cut(s *Segment, suffix string, n int) error {
	v := t.view()
	if n >= v.entries() {
		return nil
	}
	if n >= v.stored {
		t.reset(v.stored, bytes.Clone(v.tail[:(n-v.stored)*v.width]))
		return nil
	}
	err := s.withFile(suffix, vfs.ReadWrite|vfs.Create, func(f vfs.File) error {
		return f.Truncate(int64(n * v.width))
	})
	if err != nil {
		return err
	}
	t.reset(n, nil)
	return nil
}

// reader finds entries in a view. The file is opened when a stored entry is needed; close must follow.
type reader struct {
	view
	s      *Segment
	suffix string
	f      vfs.File

	block []byte // the last part of the file read
	first int    // slot of its first entry
}

func (s *Segment) reader(t *table, suffix string) reader {
	return reader{view: t.view(), s: s, suffix: suffix}
}

func (r *reader) close() {
	if r.f != nil {
		r.f.Close()
		r.f = nil
	}
}

// entry returns the entry in a slot; it is good until the next call.
func (r *reader) entry(slot int) ([]byte, error) {
	if slot >= r.stored {
		at := (slot - r.stored) * r.width
		return r.tail[at : at+r.width], nil
	}
	if at := (slot - r.first) * r.width; slot >= r.first && at < len(r.block) {
		return r.block[at : at+r.width], nil
	}
	if err := r.load(slot); err != nil {
		return nil, err
	}
	return r.block[(slot-r.first)*r.width:][:r.width], nil
}

// load reads the block of the file that slot is in.
func (r *reader) load(slot int) error {
	if r.f == nil {
		f, err := r.s.openFile(r.suffix, vfs.ReadOnly)
		if err != nil {
			return err
		}
		r.f = f
	}
	perBlock := searchBlock / r.width
	r.first = slot / perBlock * perBlock
	n := min(perBlock, r.stored-r.first) * r.width
	if cap(r.block) < n {
		r.block = make([]byte, searchBlock)
	}
	r.block = r.block[:n]
	got, err := r.f.ReadAt(r.block, int64(r.first*r.width))
	if got < n {
		r.block = r.block[:0]
		if err == nil || errors.Is(err, io.EOF) {
			err = errInconsistent // the file was cut behind our back
		}
		return err
	}
	return nil
}

// errInconsistent says that an index does not lead where it says.
var errInconsistent = errors.New("index does not fit its log")

// floor returns the last slot whose entry is not past what is looked for, or -1. Entries are sorted: past is false for
// those at the front and true for the rest.
func (r *reader) floor(past func(entry []byte) bool) (slot int, err error) {
	look := func(i int) bool {
		if err != nil {
			return true
		}
		var e []byte
		if e, err = r.entry(i); err != nil {
			return true
		}
		return past(e)
	}
	lo, hi := 0, r.entries()
	if len(r.tail) > 0 { // mostly the end is looked for, and it is in memory
		if look(r.stored) {
			hi = r.stored
		} else {
			lo = r.stored + 1
		}
	}
	// Whole blocks first, so that each probe reads one that may be used again.
	perBlock := searchBlock / r.width
	for hi-lo > perBlock {
		mid := (lo + hi) / 2 / perBlock * perBlock
		if mid <= lo {
			break
		}
		if look(mid) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	n := sort.Search(hi-lo, func(i int) bool { return look(lo + i) })
	return lo + n - 1, err
}
