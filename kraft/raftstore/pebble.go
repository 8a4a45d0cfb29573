//go:build !wasip1

package raftstore

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures Open.
type Options struct {
	Dir    string
	FS     vfs.FS // nil: the operating system's
	Logger *slog.Logger
	// Fatal is called once, when a write or sync failed: what is on disk is unknown and the process must stop. It must not
	// return; if it does, the goroutine panics.
	Fatal func(error)
}

// Sizes that keep the whole store at a few MB: it holds some ten thousand small entries and two snapshots.
const (
	memTableBytes  = 1 << 20
	cacheBytes     = 4 << 20 // pebble takes its memtables out of it
	walBufferBytes = 0       // bytes are synced when asked for, not in the background
	openFilesLimit = 100
)

// Open opens the store in a directory, or makes a new one. Only one process can have it open.
func Open(o Options) (*Store, error) {
	var once sync.Once
	fatal := func(err error) { once.Do(func() { o.Fatal(err) }) }
	if o.FS == nil {
		o.FS = vfs.Default
	}
	options := &pebble.Options{
		FS:                          syncGuard{o.FS, fatal},
		Logger:                      pebbleLogger{o.Logger, fatal},
		FormatMajorVersion:          pebble.FormatValueSeparation,
		MemTableSize:                memTableBytes,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   cacheBytes,
		WALBytesPerSync:             walBufferBytes,
		MaxOpenFiles:                openFilesLimit,
		DisableTableStats:           true, // it would read tables in the background to steer compactions we hardly have
	}
	db, err := pebble.Open(o.Dir, options)
	if err != nil {
		return nil, fmt.Errorf("open raft store in %s: %w", o.Dir, err)
	}
	s, err := newStore(&pebbleEngine{db}, o.Logger, fatal)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open raft store in %s: %w", o.Dir, err), db.Close())
	}
	return s, nil
}

// pebbleEngine is the engine on disk.
type pebbleEngine struct{ db *pebble.DB }

func (e *pebbleEngine) get(key []byte) ([]byte, error) {
	value, closer, err := e.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, errNotFound
	}
	if err != nil {
		return nil, err
	}
	value = append([]byte(nil), value...)
	return value, closer.Close()
}

func (e *pebbleEngine) scan(low, high []byte, reverse bool, fn func(key, value []byte) bool) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: low, UpperBound: high})
	if err != nil {
		return err
	}
	start, step := it.First, it.Next
	if reverse {
		start, step = it.Last, it.Prev
	}
	for ok := start(); ok; ok = step() {
		value, err := it.ValueAndErr()
		if err != nil {
			return errors.Join(err, it.Close())
		}
		if !fn(it.Key(), value) {
			break
		}
	}
	return it.Close()
}

func (e *pebbleEngine) commit(b *batch, lazy bool) error {
	size := 64
	for _, o := range b.ops {
		size += len(o.key) + len(o.value) + len(o.end) + 16
	}
	pb := e.db.NewBatchWithSize(size)
	for _, o := range b.ops {
		var err error
		if o.end != nil {
			err = pb.DeleteRange(o.key, o.end, nil)
		} else {
			err = pb.Set(o.key, o.value, nil)
		}
		if err != nil {
			return err
		}
	}
	if lazy {
		return pb.Commit(pebble.NoSync)
	}
	return pb.Commit(pebble.Sync)
}

func (e *pebbleEngine) close() error { return e.db.Close() }

// pebbleLogger is pebble's log, and its way to say that it cannot go on.
type pebbleLogger struct {
	logger *slog.Logger
	fatal  func(error)
}

// Infof implements pebble's Logger.
func (l pebbleLogger) Infof(format string, args ...any) {
	l.logger.Debug("pebble", slog.String("text", fmt.Sprintf(format, args...)))
}

// Errorf implements pebble's Logger.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.logger.Error("pebble", slog.String("text", fmt.Sprintf(format, args...)))
}

// Fatalf implements pebble's Logger. It does not return: pebble's state is undefined after it.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	err := fmt.Errorf("raft store failed: "+format, args...)
	l.fatal(err)
	panic(err)
}

// syncGuard calls the fatal hook at the first failed sync of any file, before pebble sees the error: pebble would panic at
// some, and try others again, which after a failed fsync proves nothing.
type syncGuard struct {
	vfs.FS
	fatal func(error)
}

func (g syncGuard) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return guardedFile{f, g.fatal}, nil
}

// Create implements vfs.FS.
func (g syncGuard) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(g.FS.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (g syncGuard) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return g.wrap(g.FS.OpenReadWrite(name, c, o...))
}

// OpenDir implements vfs.FS.
func (g syncGuard) OpenDir(name string) (vfs.File, error) { return g.wrap(g.FS.OpenDir(name)) }

// ReuseForWrite implements vfs.FS.
func (g syncGuard) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return g.wrap(g.FS.ReuseForWrite(from, to, c))
}

// Unwrap implements vfs.FS.
func (g syncGuard) Unwrap() vfs.FS { return g.FS }

type guardedFile struct {
	vfs.File
	fatal func(error)
}

func (f guardedFile) check(err error) error {
	if err != nil {
		f.fatal(fmt.Errorf("raft store failed: sync: %w", err))
	}
	return err
}

// Sync implements vfs.File.
func (f guardedFile) Sync() error { return f.check(f.File.Sync()) }

// SyncData implements vfs.File.
func (f guardedFile) SyncData() error { return f.check(f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f guardedFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.check(err)
}
