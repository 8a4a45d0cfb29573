package logdir

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// dir is one log directory.
type dir struct {
	path string
	lock io.Closer // nil when it could not be taken

	// Set by Open, constant afterwards, except meta, which SetClusterID alone changes.
	id    protocol.TopicID
	meta  checkpoint.MetaProperties
	clean bool                 // the last stop was clean
	epoch protocol.BrokerEpoch // that the clean mark names

	failed      atomic.Pointer[error] // why it is dead; nil while it lives
	full        atomic.Bool           // less than MinFreeBytes are free
	scarce      atomic.Bool           // so little is free that appends look for themselves
	checked     atomic.Int64          // when the free space was last looked at, in nanoseconds since Manager.began
	partitions  atomic.Int64          // how many it holds
	unrecovered atomic.Int64          // of those that an unclean stop left, how many were not opened yet
	cordoned    atomic.Bool           // it gets no new partitions
	listed      bool                  // all its partitions are known; set by Open
	broken      atomic.Bool           // a partition could not be opened: no clean mark may be left

	names groupSync // makes the names in the directory durable

	checkpointMu sync.Mutex               // one writer of the checkpoint files; guards the field below
	written      [checkpointCount]offsets // what the files hold
}

type offsets map[protocol.TopicPartition]int64

// dead returns why the directory must not be used any more, nil when it may be. The error carries KAFKA_STORAGE_ERROR.
func (d *dir) dead() error {
	if err := d.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// admit is asked before each append (invariants 4 and 6). Where space is scarce it looks itself: between two rounds of
// the keeper more than what is held back could be written.
func (m *Manager) admit(d *dir) error {
	if err := d.dead(); err != nil {
		return err
	}
	if d.scarce.Load() {
		last := d.checked.Load()
		if now := int64(time.Since(m.began)); now-last > int64(scarceInterval) && d.checked.CompareAndSwap(last, now) {
			m.checkSpace(d)
		}
	}
	if d.full.Load() {
		return errcode.New(errcode.KindKafkaStorageError, "log directory %s is full: delete records or topics, or make room on the disk", d.path)
	}
	return nil
}

// ioError looks at an error of an operation on the directory and kills it where that is called for: for everything but a
// full disk.
func (m *Manager) ioError(d *dir, err error) {
	if err != nil && !vfs.IsNoSpace(err) {
		m.fail(d, err)
	}
}

// fail kills a directory for good. It may be called under a log's lock, so the news goes out on a goroutine of its own.
func (m *Manager) fail(d *dir, cause error) {
	err := error(&commitlog.StorageError{Err: fmt.Errorf("log directory %s: %w", d.path, cause)})
	if !d.failed.CompareAndSwap(nil, &err) {
		return
	}
	m.logger.Error("log directory failed", slog.String("event", "log.dir.failed"), slog.String("dir", d.path), slog.Any("err", cause))
	if m.started {
		m.background.Go(func() { m.o.Failed(d.path, err) })
	}
}

// Cordon names the directories that get no new partitions, while others may have them; those not named get some again.
func (m *Manager) Cordon(paths []string) {
	for _, d := range m.dirs {
		d.cordoned.Store(slices.Contains(paths, d.path))
	}
}

// Dirs describes the directories in the order of Options.Dirs.
func (m *Manager) Dirs() []DirInfo {
	out := make([]DirInfo, 0, len(m.dirs))
	for _, d := range m.dirs {
		info := DirInfo{
			Path: d.path, ID: d.id, Cordoned: d.cordoned.Load(), Full: d.full.Load(), Clean: d.clean, Unrecovered: int(d.unrecovered.Load()), Err: d.dead(),
		}
		info.Offline = info.Err != nil
		if usage, err := m.o.FS.Usage(d.path); err == nil {
			info.Total, info.Free = usage.Total, usage.Free
		}
		out = append(out, info)
	}
	return out
}

// checkSpace finds out whether the directory's disk is full. Where the platform does not say, it never is.
func (m *Manager) checkSpace(d *dir) {
	if m.o.MinFreeBytes < 0 || d.dead() != nil {
		return
	}
	usage, err := m.o.FS.Usage(d.path)
	if err != nil || usage.Total == 0 {
		return
	}
	least := uint64(m.o.MinFreeBytes)
	if least == 0 {
		least = min(defaultMinFree, usage.Total/20)
	}
	d.checked.Store(int64(time.Since(m.began)))
	d.scarce.Store(usage.Free < least+scarceBytes)
	full := usage.Free < least
	if d.full.Swap(full) == full {
		return
	}
	attrs := []any{slog.String("dir", d.path), slog.Uint64("free", usage.Free), slog.Uint64("min_free", least)}
	if full {
		m.logger.Error("log directory is full: appends are refused", append(attrs, slog.String("event", "log.dir.full"))...)
	} else {
		m.logger.Info("log directory has room again", attrs...)
	}
}

const (
	defaultMinFree = 64 << 20

	// spaceInterval is how often a keeper looks; scarceBytes are more than can be written meanwhile.
	spaceInterval = 100 * time.Millisecond
	scarceBytes   = 2 << 30
	// scarceInterval is how often appends look for themselves then. Looking takes a microsecond.
	scarceInterval = time.Millisecond
)

// groupSync lets many callers share the syncs of one folder: a sync serves everybody who asked before it began.
type groupSync struct {
	asked atomic.Uint64

	mu   sync.Mutex // held across the sync; guards the fields below
	done uint64     // of those asked, how many are served
	err  error      // of the sync that failed: there is no other after it
}

func (g *groupSync) sync(fsys vfs.FS, path string) error {
	ticket := g.asked.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.done >= ticket {
		return nil
	}
	if g.err != nil {
		return g.err
	}
	upTo := g.asked.Load()
	if g.err = fsys.SyncDir(path); g.err == nil {
		g.done = upTo
	}
	return g.err
}
