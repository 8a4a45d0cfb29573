package vfs

import (
	"io"
	"io/fs"
)

// Op labels an operation for Inject.
type Op uint8

// The operations, in the order of FS and File.
const (
	OpOpen Op = iota
	OpCreate
	OpMkdirAll
	OpRemove
	OpRemoveAll
	OpRename
	OpReadDir
	OpStat
	OpSyncDir
	OpLock
	OpUsage
	OpRead
	OpWrite
	OpTruncate
	OpSyncData
	OpSync
	OpFileStat
	OpClose
)

// Inject wraps a filesystem. Before each operation fn is called with its label, the file name and the count of
// operations so far (from 1); an error it returns is the operation's result, and the operation is not carried out.
func Inject(fsys FS, fn func(op Op, name string, n int) error) FS {
	return &injectFS{fs: fsys, fn: fn}
}

type injectFS struct {
	fs FS
	fn func(op Op, name string, n int) error
}

func (i *injectFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	panic("not written yet")
}
func (i *injectFS) MkdirAll(name string, perm fs.FileMode) error { panic("not written yet") }
func (i *injectFS) Remove(name string) error                     { panic("not written yet") }
func (i *injectFS) RemoveAll(name string) error                  { panic("not written yet") }
func (i *injectFS) Rename(oldName, newName string) error         { panic("not written yet") }
func (i *injectFS) ReadDir(name string) ([]fs.DirEntry, error)   { panic("not written yet") }
func (i *injectFS) Stat(name string) (fs.FileInfo, error)        { panic("not written yet") }
func (i *injectFS) SyncDir(name string) error                    { panic("not written yet") }
func (i *injectFS) Lock(name string) (io.Closer, error)          { panic("not written yet") }
func (i *injectFS) Usage(name string) (Usage, error)             { panic("not written yet") }
