//go:build unix

package listener

import (
	"errors"
	"io"
	"syscall"
)

// tryReader reads what has come without waiting for more. Only what is a plain socket can.
type tryReader struct {
	raw syscall.RawConn
	p   []byte
	n   int
	err error
	fn  func(fd uintptr) bool // made once, so that a read allocates nothing
}

func newTryReader(nc any) *tryReader {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	t := &tryReader{raw: raw}
	t.fn = func(fd uintptr) bool {
		for {
			t.n, t.err = syscall.Read(int(fd), t.p)
			if !errors.Is(t.err, syscall.EINTR) {
				return true
			}
		}
	}
	return t
}

func (t *tryReader) read(p []byte) (int, error) {
	t.p, t.n = p, 0
	err := t.raw.Read(t.fn)
	t.p = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(t.err, syscall.EAGAIN):
		return 0, errWouldBlock
	case t.err != nil:
		return 0, t.err
	case t.n == 0:
		return 0, io.EOF
	}
	return t.n, nil
}
