package segment

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/log/vfs"
)

// Options of Create and Open.
type Options struct {
	FS                 vfs.FS
	Dir                string // the partition's folder
	BaseOffset         int64
	Suffix             string // of Create: the files carry it behind their names, CleanedSuffix until Rename takes it away
	Files              *Files
	IndexIntervalBytes int32
	IndexBytes         int32  // size an index may have
	Flush              func() // begins a sync of the log without waiting for it; nil: nobody asks for descriptors back
	Logger             *slog.Logger
	Now                func() time.Time
}

// Segment is one segment of a log.
type Segment struct {
	o    Options
	file *File

	size       atomic.Int64 // invariants 1 and 2; while it is 0 there may be no files
	nextOffset atomic.Int64 // of an inactive segment that was opened: at most this
	inactive   atomic.Bool
	suspect    atomic.Bool // an index misled: it has to be built anew

	offsets, times, txns table

	// Under the append lock.
	created         time.Time
	bytesSinceEntry int64 // bytes appended after the last index entry

	mu        sync.Mutex    // guards the fields below
	dir       string        // follows renames
	renamed   [4]string     // what stands behind the names of the files, in the order of fileSuffixes
	loaded    bool          // the tables and maxTime know what the files hold
	loading   chan struct{} // closed when the goroutine that loads is done
	firstTime int64         // largest timestamp of the first batch, once firstRead
	firstRead bool
	maxTime   timestampOffset // of all batches
	lastTime  int64           // in the time index's last entry; -1: it has none
	damaged   []*CorruptError // in order of position
}

// timestampOffset is a largest timestamp and the last offset of the batch that has it.
type timestampOffset struct {
	timestamp int64
	offset    int64
}

// Create makes the files of a new, empty segment. The caller syncs the folder before it relies on the segment. When it fails,
// nothing is left, as far as that can be seen to.
func Create(o Options) (*Segment, error) {
	s := New(o)
	if err := s.MakeFiles(); err != nil {
		return nil, errors.Join(err, s.Remove())
	}
	return s, nil
}

// New returns a new, empty segment without files. MakeFiles comes before the first Append and before anything that changes
// or syncs files.
func New(o Options) *Segment {
	s := newSegment(o)
	s.loaded = true
	s.nextOffset.Store(o.BaseOffset)
	return s
}

// MakeFiles makes the files of a new segment. Files of the same names from an earlier life are emptied. When it fails it may be
// called again.
func (s *Segment) MakeFiles() error {
	for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, LogSuffix} {
		err := s.withFile(suffix, vfs.ReadWrite|vfs.Create|vfs.Trunc, func(vfs.File) error { return nil })
		if err != nil {
			return err
		}
	}
	err := s.o.FS.Remove(s.currentPath(TxnIndexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Open takes over the files of an existing segment, of which size bytes count. It does no I/O. Offsets in it are below
// limit. The segment is inactive: Activate makes it the one that is appended to.
func Open(o Options, size, limit int64) *Segment {
	s := newSegment(o)
	s.size.Store(size)
	s.nextOffset.Store(limit)
	s.inactive.Store(true)
	return s
}

func newSegment(o Options) *Segment {
	s := &Segment{o: o, dir: o.Dir, created: o.Now(), maxTime: timestampOffset{-1, o.BaseOffset}, lastTime: -1}
	for i := range s.renamed {
		s.renamed[i] = o.Suffix
	}
	s.offsets.width, s.times.width, s.txns.width = offsetEntrySize, timeEntrySize, txnEntrySize
	s.file = o.Files.file(s.path(LogSuffix), o.Flush)
	return s
}

func (s *Segment) path(suffix string) string {
	return filepath.Join(s.dir, FileName(s.o.BaseOffset, suffix)+s.renamed[slices.Index(fileSuffixes[:], suffix)])
}

// currentPath is path for callers that do not hold mu.
func (s *Segment) currentPath(suffix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.path(suffix)
}

// BaseOffset is the first offset the segment may hold.
func (s *Segment) BaseOffset() int64 { return s.o.BaseOffset }

// Size is the number of bytes in the .log file.
func (s *Segment) Size() int64 { return s.size.Load() }

// NextOffset is the offset after the last one, or, of an inactive segment that was opened, where the next segment begins.
func (s *Segment) NextOffset() int64 { return s.nextOffset.Load() }

// Dirty reports whether bytes were written that are not synced.
func (s *Segment) Dirty() bool { return s.file.dirty() }

// LogPath is the name of the .log file.
func (s *Segment) LogPath() string { return s.currentPath(LogSuffix) }

// String names the segment in logs.
func (s *Segment) String() string { return fmt.Sprintf("segment %d", s.o.BaseOffset) }

// Append writes batches, of which bufs are the bytes, at the end. On an error the segment is as before, or the error is
// *BrokenTailError: then bytes may be left behind the end that could not be removed.
func (s *Segment) Append(bufs [][]byte, batches []Batch) error {
	if len(batches) == 0 {
		return nil
	}
	if s.suspect.Load() {
		if err := s.rebuild(); err != nil {
			return err
		}
	}
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	size := s.size.Load()
	n, err := h.WritevAt(bufs, size)
	if err != nil && n > 0 {
		if terr := h.Truncate(size); terr != nil {
			err = &BrokenTailError{Err: errors.Join(err, terr)}
		}
	}
	s.file.wrote()
	if err != nil {
		return err
	}
	s.index(batches, size)
	s.nextOffset.Store(batches[len(batches)-1].NextOffset())
	s.size.Store(size + int64(n))
	return s.flushFull()
}

// BrokenTailError says that a write failed and so did taking it back.
type BrokenTailError struct{ Err error }

// Error names both causes.
func (e *BrokenTailError) Error() string {
	return fmt.Sprintf("remove a half written batch: %v", e.Err)
}

// Unwrap returns the causes.
func (e *BrokenTailError) Unwrap() error { return e.Err }

// index adds the entries for batches that begin at position.
func (s *Segment) index(batches []Batch, position int64) {
	s.mu.Lock()
	if !s.firstRead && position == 0 {
		s.firstTime, s.firstRead = batches[0].MaxTimestamp, true
	}
	s.mu.Unlock()
	for i := range batches {
		b := &batches[i]
		s.indexBatch(b.LastOffset, b.MaxTimestamp, position, int64(b.Size))
		position += int64(b.Size)
	}
}

// indexBatch follows Kafka's LogSegment.append: the batch after more than index.interval.bytes gets an entry.
func (s *Segment) indexBatch(lastOffset, maxTimestamp, position, size int64) {
	if maxTimestamp > s.maxTime.timestamp {
		s.setMaxTime(timestampOffset{maxTimestamp, lastOffset})
	}
	if s.bytesSinceEntry > int64(s.o.IndexIntervalBytes) {
		s.appendOffsetEntry(lastOffset, position)
		s.appendTimeEntry()
		s.bytesSinceEntry = 0
	}
	s.bytesSinceEntry += size
}

func (s *Segment) setMaxTime(t timestampOffset) {
	s.mu.Lock()
	s.maxTime = t
	s.mu.Unlock()
}

// flushFull writes index entries where enough have gathered. A full disk is no error here: the entries stay in memory
// until there is room.
func (s *Segment) flushFull() error {
	if len(s.offsets.view().tail) < searchBlock && len(s.times.view().tail) < searchBlock {
		return nil
	}
	return s.flushIndexes()
}

func (s *Segment) flushIndexes() error {
	for _, t := range []struct {
		table  *table
		suffix string
	}{{&s.offsets, IndexSuffix}, {&s.times, TimeIndexSuffix}} {
		if err := t.table.flush(s, t.suffix); err != nil && !IsNoSpace(err) {
			return err
		}
	}
	return nil
}

// BecomeInactive finishes the indexes when the segment is rolled or closed.
func (s *Segment) BecomeInactive() error {
	if s.suspect.Load() {
		if err := s.rebuild(); err != nil {
			return err
		}
	}
	if err := s.load(); err != nil {
		return err
	}
	s.appendTimeEntry()
	if err := s.flushIndexes(); err != nil {
		return err
	}
	s.inactive.Store(true)
	return nil
}

// Activate makes an opened segment the one that is appended to: nextOffset is what follows its last batch.
func (s *Segment) Activate(nextOffset int64) error {
	if err := s.load(); err != nil {
		return err
	}
	s.nextOffset.Store(nextOffset)
	s.inactive.Store(false)
	return nil
}

// MarkDirty has the next sync include everything: the writes were another process's, which may not have synced them.
func (s *Segment) MarkDirty() { s.file.wrote() }

// SetLimit says below which offset an opened segment ends.
func (s *Segment) SetLimit(offset int64) { s.nextOffset.Store(offset) }

// SyncLog makes the batches appended before the call durable.
func (s *Segment) SyncLog() error { return s.file.sync() }

// SyncAll makes batches and indexes durable. The folder is the caller's.
func (s *Segment) SyncAll() error {
	if err := s.file.sync(); err != nil {
		return err
	}
	for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix} {
		err := s.withFile(suffix, vfs.ReadWrite, vfs.File.SyncData)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close closes the .log file as soon as nobody reads it any more. It writes nothing.
func (s *Segment) Close() error { return s.file.close() }
