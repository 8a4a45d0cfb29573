package segment

import (
	"io/fs"
	"sync"

	"github.com/distributedmq/dmq/log/vfs"
)

// DefaultOpenFiles is how many .log files Files keeps open when it is not told.
const DefaultOpenFiles = 4096

// Files bounds how many .log files are open at once, over all logs that share it. Files in use and files with unsynced
// writes stay open beyond the bound; of the others those are closed first that were not used lately.
type Files struct {
	fs      vfs.FS
	limit   int
	buffers sync.Pool // of *[hopBuffer]byte, for walking

	mu   sync.Mutex // guards the fields below; taken after File.mu, and a second File.mu only by TryLock
	open []*File
	hand int // of the clock over open
}

// NewFiles returns an empty set; limit 0 is DefaultOpenFiles.
func NewFiles(fsys vfs.FS, limit int) *Files {
	if limit <= 0 {
		limit = DefaultOpenFiles
	}
	return &Files{fs: fsys, limit: limit}
}

// Open counts the open files.
func (s *Files) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// File is a file that is opened when it is needed.
type File struct {
	files *Files

	naming sync.RWMutex // held across opening and across renaming the segment's files; taken before mu

	mu     sync.Mutex // guards the fields below; never held across I/O
	path   string
	f      vfs.File // nil: not open
	refs   int
	recent bool   // used since the clock's hand came by
	writes uint64 // counts writes
	synced uint64 // of those, how many were synced
	retire bool   // close with the last reference
	gone   bool   // removed: there is nothing to sync

	at    int    // index in files.open, while open; guarded by files.mu
	flush func() // begins a sync without waiting for it; nil or constant
}

func (s *Files) file(path string, flush func()) *File {
	return &File{files: s, path: path, flush: flush}
}

// acquire opens the file where it is not and holds it open until release.
func (f *File) acquire() (vfs.File, error) {
	for {
		f.mu.Lock()
		if h := f.f; h != nil {
			f.refs++
			f.recent = true
			f.mu.Unlock()
			return h, nil
		}
		f.mu.Unlock()

		h, err := f.open()
		if err != nil {
			return nil, err
		}
		if f.install(h) {
			return h, nil
		}
		if err := h.Close(); err != nil { // somebody else was faster
			return nil, err
		}
	}
}

func (f *File) open() (vfs.File, error) {
	f.naming.RLock()
	defer f.naming.RUnlock()
	if f.isGone() {
		return nil, fs.ErrNotExist // the name may be another segment's by now
	}
	return f.files.fs.OpenFile(f.name(), vfs.ReadWrite, 0)
}

// install makes h the open file, with one reference, unless another one is.
func (f *File) install(h vfs.File) bool {
	f.mu.Lock()
	if f.f != nil {
		f.mu.Unlock()
		return false
	}
	f.f, f.refs, f.recent = h, f.refs+1, true
	idle, dirty := f.files.admit(f)
	f.mu.Unlock()
	for _, h := range idle {
		closeQuietly(h)
	}
	for _, flush := range dirty {
		flush()
	}
	return true
}

func (f *File) release() {
	f.mu.Lock()
	f.refs--
	var h vfs.File
	if f.retire {
		h = f.closeLocked()
	}
	f.mu.Unlock()
	closeQuietly(h)
}

// Handle holds a segment's .log file open for reading, even while the segment is deleted.
type Handle struct {
	file *File
	h    vfs.File
}

// Acquire opens the .log file where it is not and holds it open.
func (s *Segment) Acquire() (Handle, error) {
	h, err := s.file.acquire()
	return Handle{s.file, h}, err
}

// ReadAt implements io.ReaderAt.
func (h Handle) ReadAt(p []byte, off int64) (int, error) { return h.h.ReadAt(p, off) }

// Close gives the file up. It is called once.
func (h Handle) Close() { h.file.release() }

// closeLocked lets go of the file if nobody uses it and returns what is to be closed.
func (f *File) closeLocked() vfs.File {
	if f.f == nil || f.refs > 0 {
		return nil
	}
	h := f.f
	f.f = nil
	f.files.remove(f)
	return h
}

// close closes the file as soon as nobody uses it. A late reader may open it once more.
func (f *File) close() error {
	f.mu.Lock()
	f.retire = true
	h := f.closeLocked()
	f.mu.Unlock()
	if h == nil {
		return nil
	}
	return h.Close()
}

// rename follows the file to its new name. The caller holds naming.
func (f *File) rename(path string) {
	f.mu.Lock()
	f.path = path
	f.mu.Unlock()
}

func (f *File) name() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.path
}

// wrote notes, after a write, that a sync has to follow. Before it would be wrong: a sync that began in between would take
// the write for done.
func (f *File) wrote() {
	f.mu.Lock()
	f.writes++
	f.mu.Unlock()
}

// sync makes what was written before the call durable.
func (f *File) sync() error {
	f.mu.Lock()
	writes, clean := f.writes, f.writes == f.synced || f.gone
	f.mu.Unlock()
	if clean {
		return nil
	}
	h, err := f.acquire()
	if err != nil {
		if f.isGone() {
			return nil
		}
		return err
	}
	defer f.release()
	if err := h.SyncData(); err != nil {
		return err
	}
	f.mu.Lock()
	f.synced = max(f.synced, writes)
	f.mu.Unlock()
	return nil
}

// remove closes the file as soon as nobody uses it. It is not opened again, and syncs of it do nothing. The caller holds naming.
func (f *File) remove() error {
	f.mu.Lock()
	f.gone = true
	f.mu.Unlock()
	return f.close()
}

func (f *File) isGone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gone
}

// dirty reports whether a write was not synced.
func (f *File) dirty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.writes != f.synced
}

// maxFlushes is how many files are synced at a time to make them closable.
const maxFlushes = 8

// admit adds an open file and returns what is to be closed for it, and, where too much is unsynced, what is to be called
// so that more can be closed next time. The caller holds f.mu.
func (s *Files) admit(f *File) (idle []vfs.File, dirty []func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.at = len(s.open)
	s.open = append(s.open, f)
	for looked := 0; len(s.open) > s.limit && looked < 2*len(s.open); looked++ {
		if s.hand >= len(s.open) {
			s.hand = 0
		}
		candidate := s.open[s.hand]
		if candidate == f || !candidate.mu.TryLock() {
			s.hand++
			continue
		}
		switch {
		case candidate.refs > 0:
			s.hand++
		case candidate.writes != candidate.synced:
			if candidate.flush != nil && len(dirty) < maxFlushes {
				dirty = append(dirty, candidate.flush)
			}
			s.hand++
		case candidate.recent:
			candidate.recent = false
			s.hand++
		default:
			idle = append(idle, candidate.f)
			candidate.f = nil
			s.removeLocked(candidate)
		}
		candidate.mu.Unlock()
	}
	return idle, dirty
}

func (s *Files) remove(f *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removeLocked(f)
}

func (s *Files) removeLocked(f *File) {
	last := s.open[len(s.open)-1]
	s.open[f.at] = last
	last.at = f.at
	s.open[len(s.open)-1] = nil
	s.open = s.open[:len(s.open)-1]
}

func closeQuietly(h vfs.File) {
	if h != nil {
		h.Close()
	}
}
