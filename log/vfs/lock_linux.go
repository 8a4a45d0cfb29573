package vfs

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes a lock of the open file description (fcntl F_OFD_SETLK). It excludes other owners in this process,
// and, unlike flock(2), also the fcntl locks that a JVM takes: Apache Kafka cannot open the directory beside us.
func lockFile(f *os.File) error {
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	for {
		err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &lk)
		switch err {
		case unix.EINTR:
			continue
		case unix.EAGAIN, unix.EACCES:
			return ErrLocked
		}
		return err
	}
}
