package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxVectors is the kernel's limit of buffers per call (UIO_MAXIOV).
const maxVectors = 1024

func (f *osFile) SyncData() error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	err = raw.Control(func(fd uintptr) {
		for {
			if serr = unix.Fdatasync(int(fd)); serr != unix.EINTR {
				return
			}
		}
	})
	if err != nil {
		serr = fs.ErrClosed // all that Control can say
	}
	if serr != nil {
		return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: serr}
	}
	return nil
}

func (f *osFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	if len(bufs) == 1 {
		return f.WriteAt(bufs[0], off)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	total := 0
	rest := bufs
	for len(rest) > 0 {
		chunk := rest[:min(len(rest), maxVectors)]
		n, err := pwritev(raw, chunk, off+int64(total))
		total += n
		if err != nil {
			return total, &fs.PathError{Op: "pwritev", Path: f.Name(), Err: err}
		}
		done, left := skip(rest, n)
		rest = done
		if left > 0 { // a short write inside a buffer: finish that buffer alone, then go on with vectors
			n, err := f.WriteAt(rest[0][left:], off+int64(total))
			total += n
			if err != nil {
				return total, err
			}
			rest = rest[1:]
		}
	}
	return total, nil
}

// skip drops the buffers that n bytes cover and says how many bytes of the first one left are written too.
func skip(bufs [][]byte, n int) (rest [][]byte, partial int) {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	return bufs, n
}

func pwritev(raw syscall.RawConn, bufs [][]byte, off int64) (n int, err error) {
	cerr := raw.Control(func(fd uintptr) {
		for {
			if n, err = unix.Pwritev(int(fd), bufs, off); err != unix.EINTR {
				break
			}
		}
	})
	n = max(n, 0)
	if cerr != nil {
		return n, fs.ErrClosed // all that Control can say
	}
	if err == nil && n == 0 {
		for _, b := range bufs {
			if len(b) > 0 {
				return 0, io.ErrShortWrite
			}
		}
	}
	return n, err
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

func (osFS) Usage(name string) (Usage, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(name, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
		}
		size := uint64(st.Bsize)
		return Usage{Total: st.Blocks * size, Free: st.Bavail * size}, nil
	}
}
