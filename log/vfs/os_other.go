//go:build !linux && !darwin && !freebsd && !openbsd && !netbsd && !dragonfly && !windows

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

func (f *osFile) SyncData() error { return f.Sync() }

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	return writevSerial(f.File, bufs, off)
}

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only read
	return d.Sync()
}

// Lock only creates the file: this platform (wasip1) has one process.
func (osFS) Lock(name string) (io.Closer, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
}

func (osFS) Usage(name string) (Usage, error) {
	return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: errors.ErrUnsupported}
}
