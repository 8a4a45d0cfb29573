//go:build darwin || freebsd || openbsd || netbsd || dragonfly

package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
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

func (osFS) Lock(name string) (io.Closer, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
	}
	return f, nil
}

// lockFile takes flock(2), which excludes other owners in this process, and then the fcntl lock, which is what a JVM
// takes: Apache Kafka cannot open the directory beside us.
func lockFile(f *os.File) error {
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrLocked
		}
		return err
	}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lk)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrLocked
	}
	return err
}

func (osFS) Usage(name string) (Usage, error) {
	return usage(name)
}

func usageError(name string, err error) error {
	return &fs.PathError{Op: "statfs", Path: name, Err: err}
}
