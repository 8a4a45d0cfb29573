package segment

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/distributedmq/dmq/log/vfs"
)

// fileSuffixes are the files of a segment, the batches first: what is left of an index without its log is removed at the
// next start.
var fileSuffixes = [...]string{LogSuffix, IndexSuffix, TimeIndexSuffix, TxnIndexSuffix}

// openFile opens one of the files, wherever a rename leads it meanwhile.
func (s *Segment) openFile(suffix string, flag int) (vfs.File, error) {
	s.file.naming.RLock()
	defer s.file.naming.RUnlock()
	if s.file.isGone() {
		return nil, fs.ErrNotExist
	}
	return s.o.FS.OpenFile(s.currentPath(suffix), flag, 0o644)
}

func (s *Segment) statFile(suffix string) (fs.FileInfo, error) {
	s.file.naming.RLock()
	defer s.file.naming.RUnlock()
	if s.file.isGone() {
		return nil, fs.ErrNotExist
	}
	return s.o.FS.Stat(s.currentPath(suffix))
}

// withFile opens one of the files, calls fn and closes it.
func (s *Segment) withFile(suffix string, flag int, fn func(vfs.File) error) error {
	f, err := s.openFile(suffix, flag)
	if err != nil {
		return err
	}
	err = fn(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// SetDir follows the partition's folder when it is renamed.
func (s *Segment) SetDir(dir string) {
	s.file.naming.Lock()
	defer s.file.naming.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dir = dir
	s.file.rename(s.path(LogSuffix))
}

// MarkDeleted renames the files to .deleted. Readers that have found their batches go on. Called again after an error it
// renames those that are left.
func (s *Segment) MarkDeleted() error { return s.rename(DeletedSuffix, fileSuffixes[:]) }

// Rename makes suffix what stands behind the names of all files. Called again after an error it renames those that are left.
func (s *Segment) Rename(suffix string) error { return s.rename(suffix, fileSuffixes[:]) }

// RenameLog is Rename of the .log file alone.
func (s *Segment) RenameLog(suffix string) error { return s.rename(suffix, fileSuffixes[:1]) }

func (s *Segment) rename(suffix string, files []string) error {
	s.file.naming.Lock()
	defer s.file.naming.Unlock()
	for _, file := range files {
		from, to, same := s.names(file, suffix)
		if same {
			continue
		}
		if err := s.o.FS.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		s.nowNamed(file, suffix)
	}
	return nil
}

// names returns what a file is called and what it would be called with suffix.
func (s *Segment) names(file, suffix string) (from, to string, same bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to = s.path(file), filepath.Join(s.dir, FileName(s.o.BaseOffset, file)+suffix)
	return from, to, from == to
}

func (s *Segment) nowNamed(file, suffix string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renamed[slices.Index(fileSuffixes[:], file)] = suffix
	if file == LogSuffix {
		s.file.rename(s.path(LogSuffix))
	}
}

// Remove closes and removes the files. Their names are free then.
func (s *Segment) Remove() error {
	s.file.naming.Lock()
	defer s.file.naming.Unlock()
	if err := s.file.remove(); err != nil {
		return err
	}
	for _, suffix := range fileSuffixes {
		if err := s.o.FS.Remove(s.currentPath(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
