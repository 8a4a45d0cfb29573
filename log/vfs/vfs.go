package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/distributedmq/dmq/internal/fault"
)

// Flags of OpenFile, those of package os under a name that needs no import of it.
const (
	ReadOnly  = os.O_RDONLY
	ReadWrite = os.O_RDWR
	Create    = os.O_CREATE
	Excl      = os.O_EXCL
	Trunc     = os.O_TRUNC
)

// ErrLocked is returned by Lock when another process, or another owner in this one, holds the lock.
var ErrLocked = errors.New("lock is held by another process")

// FS is a filesystem.
type FS interface {
	// OpenFile opens a file as os.OpenFile does; O_APPEND is not supported.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// MkdirAll makes a folder and its parents. Durable after SyncDir of each parent.
	MkdirAll(name string, perm fs.FileMode) error
	// Remove removes a file or an empty folder.
	Remove(name string) error
	// RemoveAll removes a tree; a missing one is no error.
	RemoveAll(name string) error
	// Rename replaces newName by oldName.
	Rename(oldName, newName string) error
	// ReadDir lists a folder, sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat describes a file or folder.
	Stat(name string) (fs.FileInfo, error)
	// SetModTime says when a file was last modified. A crash may undo it.
	SetModTime(name string, t time.Time) error
	// SyncDir makes the names in a folder durable.
	SyncDir(name string) error
	// Lock takes an exclusive lock for this process on the file name, creating it where needed, until the returned
	// Closer is closed or the process ends. It fails with ErrLocked at once when somebody else holds it.
	Lock(name string) (io.Closer, error)
	// Usage says how full the filesystem below name is.
	Usage(name string) (Usage, error)
}

// File is an open file. Reads and writes carry their position, so that no cursor is shared.
type File interface {
	io.ReaderAt
	io.WriterAt
	// WritevAt writes the buffers one after the other from off on, in as few system calls as possible.
	// It returns how many bytes were written in all. bufs itself is not changed.
	WritevAt(bufs [][]byte, off int64) (int, error)
	// Truncate sets the size.
	Truncate(size int64) error
	// SyncData makes the bytes and the size durable (fdatasync).
	SyncData() error
	// Sync makes bytes and all attributes durable (fsync).
	Sync() error
	// Stat describes the file.
	Stat() (fs.FileInfo, error)
	io.Closer
	// Name is the name the file was opened with.
	Name() string
}

// Usage is the size of a filesystem and what is free of it to this process, in bytes.
type Usage struct{ Total, Free uint64 }

// ReadFile reads a whole file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, ReadOnly, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	b := make([]byte, info.Size())
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// WriteFileAtomic replaces a file so that after any crash the name leads to the whole old or the whole new content:
// it writes name.tmp, syncs it, renames it and syncs the folder.
func WriteFileAtomic(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeSynced(fsys, tmp, data); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil || fault.On(fault.NoSyncAfterRename) {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func writeSynced(fsys FS, name string, data []byte) (err error) {
	f, err := fsys.OpenFile(name, ReadWrite|Create|Trunc, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
	}()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Sync()
}
