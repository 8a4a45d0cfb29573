package vfs

import (
	"io"
	"io/fs"
	"sync/atomic"
	"syscall"
	"time"
)

// memFile is an open file of Mem. Its node lives on after the name is removed.
type memFile struct {
	mem      *Mem
	node     *memNode
	name     string
	writable bool
	closed   atomic.Bool
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// usable tells why the file cannot be read or written, nil when it can.
func (f *memFile) usable(write bool) error {
	switch {
	case f.closed.Load():
		return fs.ErrClosed
	case f.node.dir:
		return syscall.EISDIR
	case write && !f.writable:
		return syscall.EBADF
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.usable(false); err != nil {
		return 0, f.fail("read", err)
	}
	if off < 0 {
		return 0, f.fail("read", syscall.EINVAL)
	}
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	n := f.node.blocks.readAt(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.usable(true); err != nil {
		return 0, f.fail("write", err)
	}
	if off < 0 {
		return 0, f.fail("write", syscall.EINVAL)
	}
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	n, err := f.writeLocked(p, off)
	if err != nil {
		return n, f.fail("write", err)
	}
	return n, nil
}

func (f *memFile) writeLocked(p []byte, off int64) (int, error) {
	m, b := f.mem, &f.node.blocks
	fits := p
	if growth := off + int64(len(p)) - b.size; growth > 0 && m.capacity > 0 && f.node.links > 0 {
		free := int64(m.capacity) - int64(min(m.used, m.capacity))
		if growth > free { // a full disk takes what still fits
			fits = p[:max(0, int64(len(p))-(growth-free))]
		}
	}
	if end := off + int64(len(fits)); end > b.size && len(fits) > 0 {
		m.resize(f.node, end)
	}
	b.writeAt(fits, off)
	f.node.modTime = time.Now()
	if len(fits) < len(p) {
		return len(fits), syscall.ENOSPC
	}
	return len(p), nil
}

func (f *memFile) WritevAt(bufs [][]byte, off int64) (int, error) {
	total := 0
	for _, b := range bufs {
		n, err := f.WriteAt(b, off+int64(total))
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.usable(true); err != nil {
		return f.fail("truncate", err)
	}
	if size < 0 {
		return f.fail("truncate", syscall.EINVAL)
	}
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.mem.resize(f.node, size)
	return nil
}

func (f *memFile) SyncData() error { return f.sync("fdatasync") }
func (f *memFile) Sync() error     { return f.sync("fsync") }

func (f *memFile) sync(op string) error {
	if err := f.usable(false); err != nil {
		return f.fail(op, err)
	}
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.blocks.sync()
	return nil
}

// failSync is called by Inject in place of a sync that fails: like Linux it marks the dirty pages clean without having
// written them, so that a retry succeeds and the bytes are gone after a crash all the same.
func (f *memFile) failSync() {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	f.node.blocks.failSync()
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	if f.closed.Load() {
		return nil, f.fail("stat", fs.ErrClosed)
	}
	f.mem.mu.RLock()
	defer f.mem.mu.RUnlock()
	elems := clean(f.name)
	base := "/"
	if len(elems) > 0 {
		base = elems[len(elems)-1]
	}
	return f.node.info(base), nil
}

func (f *memFile) Close() error {
	if f.closed.Swap(true) {
		return f.fail("close", fs.ErrClosed)
	}
	return nil
}
