package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// errNotSameFolder is what Mem.Rename answers when the two names are in different folders: nothing here does that, and
// whether such a rename is atomic after a crash depends on the filesystem.
var errNotSameFolder = errors.New("rename stays within one folder")

// Mem is a filesystem in memory. The zero value is not usable, NewMem makes one. Relative names are taken from the root.
//
// Beside what a reader sees now (live), each folder and file remembers what the disk is sure to hold (synced) and what has
// been done since. CrashClone decides from that what a power cut leaves.
type Mem struct {
	mu       sync.RWMutex // guards everything below, the nodes included
	root     *memNode
	locks    map[string]bool
	capacity uint64 // 0: no limit
	used     uint64 // bytes of all live files
}

// memNode is a file or a folder.
type memNode struct {
	dir     bool
	modTime time.Time
	perm    fs.FileMode
	links   int // names that lead here

	// Of a folder.
	live, synced map[string]*memNode
	pending      []nameChange // since the last SyncDir, in order

	// Of a file.
	blocks blocks
}

// nameChange is one change of a folder's names: remove (node nil), create (oldName "") or rename.
type nameChange struct {
	name, oldName string
	node          *memNode
}

func (c nameChange) apply(names map[string]*memNode) {
	if c.oldName != "" && names[c.oldName] == c.node {
		delete(names, c.oldName)
	}
	if c.node == nil {
		delete(names, c.name)
		return
	}
	names[c.name] = c.node
}

// NewMem returns an empty filesystem of no size limit.
func NewMem() *Mem {
	return &Mem{root: newMemDir(0o755), locks: make(map[string]bool)}
}

func newMemDir(perm fs.FileMode) *memNode {
	return &memNode{
		dir: true, perm: perm | fs.ModeDir, modTime: time.Now(), links: 1,
		live: make(map[string]*memNode), synced: make(map[string]*memNode),
	}
}

// SetCapacity limits the bytes of all files together; writes beyond it fail with ENOSPC. 0 lifts the limit.
func (m *Mem) SetCapacity(bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// clean turns a platform path into the elements below the root.
func clean(name string) []string {
	p := path.Clean("/" + filepath.ToSlash(name))
	if p == "/" {
		return nil
	}
	return strings.Split(p[1:], "/")
}

func (m *Mem) find(name string) (*memNode, error) {
	n := m.root
	for _, elem := range clean(name) {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		next := n.live[elem]
		if next == nil {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parent finds the folder that holds name.
func (m *Mem) parent(name string) (dir *memNode, base string, err error) {
	elems := clean(name)
	if len(elems) == 0 {
		return nil, "", fs.ErrInvalid
	}
	dir, err = m.find(strings.Join(elems[:len(elems)-1], "/"))
	if err == nil && !dir.dir {
		err = syscall.ENOTDIR
	}
	return dir, elems[len(elems)-1], err
}

func (n *memNode) change(c nameChange) {
	c.apply(n.live)
	n.pending = append(n.pending, c)
	n.modTime = time.Now()
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, err := m.openLocked(name, flag, perm)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return f, nil
}

func (m *Mem) openLocked(name string, flag int, perm fs.FileMode) (*memFile, error) {
	dir, base, err := m.parent(name)
	if errors.Is(err, fs.ErrInvalid) {
		return &memFile{mem: m, node: m.root, name: name}, nil
	}
	if err != nil {
		return nil, err
	}
	n := dir.live[base]
	writable := flag&(os.O_WRONLY|os.O_RDWR) != 0
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case n == nil:
		n = &memNode{perm: perm.Perm(), modTime: time.Now(), links: 1}
		dir.change(nameChange{name: base, node: n})
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case n.dir && writable:
		return nil, syscall.EISDIR
	}
	if flag&os.O_TRUNC != 0 && writable {
		m.resize(n, 0)
	}
	return &memFile{mem: m, node: n, name: name, writable: writable}, nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.root
	for _, elem := range clean(name) {
		next := n.live[elem]
		if next == nil {
			next = newMemDir(perm.Perm())
			n.change(nameChange{name: elem, node: next})
		}
		if !next.dir {
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		n = next
	}
	return nil
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err == nil {
		n := dir.live[base]
		switch {
		case n == nil:
			err = fs.ErrNotExist
		case n.dir && len(n.live) > 0:
			err = syscall.ENOTEMPTY
		default:
			m.unlink(dir, base, n)
		}
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

func (m *Mem) unlink(dir *memNode, base string, n *memNode) {
	dir.change(nameChange{name: base})
	m.dropLink(n)
}

func (m *Mem) dropLink(n *memNode) {
	if n.links--; n.links == 0 && !n.dir {
		m.used -= uint64(n.blocks.size)
	}
}

// RemoveAll implements FS. The files inside go one by one, as with the OS: a crash leaves any subset.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.parent(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return &fs.PathError{Op: "removeall", Path: name, Err: err}
	}
	if n := dir.live[base]; n != nil {
		m.removeTree(dir, base, n)
	}
	return nil
}

func (m *Mem) removeTree(dir *memNode, base string, n *memNode) {
	for name, child := range n.live {
		m.removeTree(n, name, child)
	}
	m.unlink(dir, base, n)
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.renameLocked(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (m *Mem) renameLocked(oldName, newName string) error {
	dir, oldBase, err := m.parent(oldName)
	if err != nil {
		return err
	}
	newDir, newBase, err := m.parent(newName)
	if err != nil {
		return err
	}
	if dir != newDir {
		return errNotSameFolder
	}
	n := dir.live[oldBase]
	if n == nil {
		return fs.ErrNotExist
	}
	if oldBase == newBase {
		return nil
	}
	if target := dir.live[newBase]; target != nil {
		switch {
		case target.dir && !n.dir:
			return syscall.EISDIR
		case !target.dir && n.dir:
			return syscall.ENOTDIR
		case target.dir && len(target.live) > 0:
			return syscall.ENOTEMPTY
		}
		m.dropLink(target)
	}
	dir.change(nameChange{name: newBase, oldName: oldBase, node: n})
	return nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	entries := make([]fs.DirEntry, 0, len(n.live))
	for base, child := range n.live {
		entries = append(entries, fs.FileInfoToDirEntry(child.info(base)))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	n, err := m.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return n.info(path.Base(filepath.ToSlash(name))), nil
}

// SetModTime implements FS.
func (m *Mem) SetModTime(name string, t time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return &fs.PathError{Op: "chtimes", Path: name, Err: err}
	}
	n.modTime = t
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err == nil && !n.dir {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return &fs.PathError{Op: "syncdir", Path: name, Err: err}
	}
	for _, c := range n.pending {
		c.apply(n.synced)
	}
	n.pending = nil
	return nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(clean(name), "/")
	if m.locks[key] {
		return nil, fmt.Errorf("lock %s: %w", name, ErrLocked)
	}
	if _, err := m.openLocked(name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return nil, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	m.locks[key] = true
	return &memLock{mem: m, key: key}, nil
}

type memLock struct {
	mem *Mem
	key string
}

func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if !l.mem.locks[l.key] {
		return fs.ErrClosed
	}
	delete(l.mem.locks, l.key)
	return nil
}

// Usage implements FS. Without a capacity the total is 1 TiB.
func (m *Mem) Usage(name string) (Usage, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if _, err := m.find(name); err != nil {
		return Usage{}, &fs.PathError{Op: "statfs", Path: name, Err: err}
	}
	total := m.capacity
	if total == 0 {
		total = 1 << 40
	}
	return Usage{Total: total, Free: total - min(total, m.used)}, nil
}

// resize sets a file's size and keeps count of the space. Growing by Truncate makes a hole and needs no space on a real
// disk, but is counted all the same.
func (m *Mem) resize(n *memNode, size int64) {
	if n.links > 0 {
		m.used = m.used - uint64(n.blocks.size) + uint64(size)
	}
	n.blocks.truncate(size)
	n.modTime = time.Now()
}

func (n *memNode) info(name string) fs.FileInfo {
	return memInfo{name: name, size: n.blocks.size, mode: n.perm, modTime: n.modTime}
}

type memInfo struct {
	name    string
	size    int64
	mode    fs.FileMode
	modTime time.Time
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.modTime }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
