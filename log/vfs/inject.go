package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"
)

// Op labels an operation for Inject.
type Op uint8

// The operations, in the order of FS and File.
const (
	OpOpen   Op = iota // of a file that need not be created
	OpCreate           // OpenFile with the Create flag
	OpMkdirAll
	OpRemove
	OpRemoveAll
	OpRename // labelled with the new name
	OpReadDir
	OpStat
	OpSetModTime
	OpSyncDir
	OpLock
	OpUsage
	OpRead
	OpWrite // WriteAt and WritevAt
	OpTruncate
	OpSyncData
	OpSync
	OpFileStat
	OpClose
)

var opNames = [...]string{
	"open", "create", "mkdirall", "remove", "removeall", "rename", "readdir", "stat", "setmodtime", "syncdir", "lock", "usage",
	"read", "write", "truncate", "syncdata", "sync", "filestat", "close",
}

// String returns the operation's name.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Changes reports whether the operation can change what is on disk or promise that it is there: those are the ones a
// crash test fails one after the other.
func (o Op) Changes() bool {
	switch o {
	case OpCreate, OpMkdirAll, OpRemove, OpRemoveAll, OpRename, OpSetModTime, OpSyncDir, OpWrite, OpTruncate, OpSyncData, OpSync:
		return true
	default:
		return false
	}
}

// Inject wraps a filesystem. Before each operation fn is called with its label, the file name and the count of
// operations so far (from 1, this one included). An error it returns is the operation's result, wrapped in an
// *fs.PathError, and the operation is not carried out, with two exceptions that are as on Linux: a failed Close has closed
// the file, and a failed SyncData or Sync on a Mem has marked the pages clean although they never reach the disk.
// fn is called from many goroutines at once.
func Inject(fsys FS, fn func(op Op, name string, n int) error) FS {
	return &injectFS{fs: fsys, fn: fn}
}

type injectFS struct {
	fs    FS
	fn    func(op Op, name string, n int) error
	count atomic.Int64
}

func (i *injectFS) before(op Op, name string) error {
	if err := i.fn(op, name, int(i.count.Add(1))); err != nil {
		return &fs.PathError{Op: op.String(), Path: name, Err: err}
	}
	return nil
}

func (i *injectFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	op := OpOpen
	if flag&os.O_CREATE != 0 {
		op = OpCreate
	}
	if err := i.before(op, name); err != nil {
		return nil, err
	}
	f, err := i.fs.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &injectFile{File: f, fs: i}, nil
}

func (i *injectFS) MkdirAll(name string, perm fs.FileMode) error {
	if err := i.before(OpMkdirAll, name); err != nil {
		return err
	}
	return i.fs.MkdirAll(name, perm)
}

func (i *injectFS) Remove(name string) error {
	if err := i.before(OpRemove, name); err != nil {
		return err
	}
	return i.fs.Remove(name)
}

func (i *injectFS) RemoveAll(name string) error {
	if err := i.before(OpRemoveAll, name); err != nil {
		return err
	}
	return i.fs.RemoveAll(name)
}

func (i *injectFS) Rename(oldName, newName string) error {
	if err := i.before(OpRename, newName); err != nil {
		return err
	}
	return i.fs.Rename(oldName, newName)
}

func (i *injectFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := i.before(OpReadDir, name); err != nil {
		return nil, err
	}
	return i.fs.ReadDir(name)
}

func (i *injectFS) Stat(name string) (fs.FileInfo, error) {
	if err := i.before(OpStat, name); err != nil {
		return nil, err
	}
	return i.fs.Stat(name)
}

func (i *injectFS) SetModTime(name string, t time.Time) error {
	if err := i.before(OpSetModTime, name); err != nil {
		return err
	}
	return i.fs.SetModTime(name, t)
}

func (i *injectFS) SyncDir(name string) error {
	if err := i.before(OpSyncDir, name); err != nil {
		return err
	}
	return i.fs.SyncDir(name)
}

func (i *injectFS) Lock(name string) (io.Closer, error) {
	if err := i.before(OpLock, name); err != nil {
		return nil, err
	}
	return i.fs.Lock(name)
}

func (i *injectFS) Usage(name string) (Usage, error) {
	if err := i.before(OpUsage, name); err != nil {
		return Usage{}, err
	}
	return i.fs.Usage(name)
}

// injectFile takes Name from the File inside.
type injectFile struct {
	File
	fs *injectFS
}

func (f *injectFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpRead, f.Name()); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *injectFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.before(OpWrite, f.Name()); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *injectFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	if err := f.fs.before(OpWrite, f.Name()); err != nil {
		return 0, err
	}
	return f.File.WritevAt(bufs, off)
}

func (f *injectFile) Truncate(size int64) error {
	if err := f.fs.before(OpTruncate, f.Name()); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *injectFile) SyncData() error {
	if err := f.fs.before(OpSyncData, f.Name()); err != nil {
		f.failSync()
		return err
	}
	return f.File.SyncData()
}

func (f *injectFile) Sync() error {
	if err := f.fs.before(OpSync, f.Name()); err != nil {
		f.failSync()
		return err
	}
	return f.File.Sync()
}

func (f *injectFile) failSync() {
	if mf, ok := f.File.(interface{ failSync() }); ok {
		mf.failSync()
	}
}

func (f *injectFile) Stat() (fs.FileInfo, error) {
	if err := f.fs.before(OpFileStat, f.Name()); err != nil {
		return nil, err
	}
	return f.File.Stat()
}

func (f *injectFile) Close() error {
	if err := f.fs.before(OpClose, f.Name()); err != nil {
		f.File.Close()
		return err
	}
	return f.File.Close()
}
