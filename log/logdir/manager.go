package logdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/cleaner"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Manager holds the partition logs of all directories. All methods are safe from any goroutine.
type Manager struct {
	o      Options
	logger *slog.Logger
	dirs   []*dir
	syncer *commitlog.Syncer
	files  *segment.Files
	tail   *commitlog.TailCache

	cleaner    *cleaner.Cleaner
	began      time.Time
	started    bool // Open has begun the background work; constant from then on
	background sync.WaitGroup
	stop       context.CancelFunc // ends the background work
	deletions  deletions
	twins      []twin         // set aside by Open
	recoveries sync.WaitGroup // of the directories that were not stopped cleanly
	recovered  chan struct{}  // closed when those are done

	mu         sync.Mutex // guards the fields below
	closed     bool
	identity   Identity
	partitions map[protocol.TopicPartition]*partition
}

// Open locks the directories, checks whom they belong to, and lists the partitions. Logs are opened when first asked for;
// after an unclean stop all are recovered in the background. A directory with an I/O error is offline from the start; when
// all are, or when one belongs to somebody else, Open fails and leaves everything as it was.
func Open(ctx context.Context, o Options) (*Manager, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	m := &Manager{
		o: o, began: time.Now(), logger: o.Logger.With(slog.String("component", "logdir")),
		identity:   Identity{ClusterID: o.ClusterID, NodeID: o.NodeID},
		partitions: make(map[protocol.TopicPartition]*partition),
	}
	if err := m.openDirs(); err != nil {
		return nil, errors.Join(err, m.unlock())
	}
	if m.identity.ClusterID != "" && m.identity.NodeID != checkpoint.NoNode {
		if err := m.SetClusterID(m.identity.ClusterID); err != nil && len(m.live()) == 0 {
			return nil, errors.Join(err, m.unlock())
		}
	}
	for _, d := range m.live() {
		m.takeMark(d)
	}
	m.setTwinsAside()
	if err := m.firstError(); len(m.live()) == 0 {
		return nil, errors.Join(err, m.unlock())
	}
	m.start(ctx)
	return m, nil
}

// openDirs does what Open does and can undo: everything but writing.
func (m *Manager) openDirs() error {
	for _, path := range m.o.Dirs {
		m.dirs = append(m.dirs, &dir{path: filepath.Clean(path)})
	}
	for i, d := range m.dirs {
		if slices.ContainsFunc(m.dirs[:i], func(other *dir) bool { return other.path == d.path }) {
			return fmt.Errorf("open log directories: %s is named twice in log.dirs", d.path)
		}
	}
	for _, d := range m.dirs {
		err := m.openDir(d)
		var other *identityError
		var format *checkpoint.FormatError
		switch {
		case err == nil:
		case errors.As(err, &other), errors.As(err, &format), errors.Is(err, vfs.ErrLocked):
			return err
		default:
			m.fail(d, err)
		}
	}
	if len(m.live()) == 0 {
		return m.firstError()
	}
	return nil
}

func (m *Manager) openDir(d *dir) error {
	if err := m.makeDir(d.path); err != nil {
		return err
	}
	lock, err := m.o.FS.Lock(filepath.Join(d.path, checkpoint.LockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("log directory %s is in use by another broker: stop that one, or give this one another log.dirs: %w", d.path, err)
	}
	if err != nil {
		return err
	}
	d.lock = lock
	if err := m.adopt(d); err != nil {
		return err
	}
	mark, clean, err := checkpoint.ReadCleanShutdown(m.o.FS, d.path)
	if err != nil {
		return err
	}
	d.clean, d.epoch = clean, mark.BrokerEpoch
	return m.list(d)
}

// makeDir makes a log directory where it is missing, and its name durable: also when it was there, for a process killed
// right after making it may not have come so far. Whoever else made it may have left us no right to its parent.
func (m *Manager) makeDir(path string) error {
	made := []string{path}
	for parent := path; ; {
		if _, err := m.o.FS.Stat(parent); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		parent = filepath.Dir(parent)
		made = append(made, parent)
	}
	if len(made) == 1 {
		m.o.FS.SyncDir(filepath.Dir(path)) //nolint:errcheck // see above
		return nil
	}
	if err := m.o.FS.MkdirAll(path, 0o755); err != nil {
		return err
	}
	for _, parent := range made[1:] {
		if err := m.o.FS.SyncDir(parent); err != nil {
			return err
		}
	}
	return nil
}

// list finds the directory's partitions and what its checkpoints say of them.
func (m *Manager) list(d *dir) error {
	entries, err := m.o.FS.ReadDir(d.path)
	if err != nil {
		return err
	}
	if err := m.readCheckpoints(d); err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		kind, tp := classify(e.Name())
		switch kind {
		case folderPartition:
			if err := m.add(d, tp); err != nil {
				return err
			}
		case folderDeleted:
			m.deletions.add(deletion{dir: d, path: filepath.Join(d.path, e.Name())})
		case folderMetadata:
		case folderStray, folderFuture:
			m.logger.Info("left a folder alone", slog.String("dir", d.path), slog.String("folder", e.Name()))
		case folderUnknown:
			m.logger.Warn("left a folder alone whose name is not that of a partition", slog.String("dir", d.path), slog.String("folder", e.Name()))
		}
	}
	d.listed = true
	return nil
}

func (m *Manager) add(d *dir, tp protocol.TopicPartition) error {
	m.mu.Lock()
	other := m.partitions[tp]
	m.mu.Unlock()
	if other != nil {
		stays, err := m.resolve(other, d)
		if err != nil || stays == other.dir {
			return err
		}
	}
	p := &partition{tp: tp, dir: d, clean: d.clean}
	p.at.Store(d.checkpointed(tp))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.partitions[tp] = p
	d.partitions.Add(1)
	if !d.clean {
		d.unrecovered.Add(1)
	}
	return nil
}

// takeMark removes the clean-shutdown mark: from here on the directory may change (invariant 2). It also makes the names
// in the directory durable: those that a killed process left may be in memory only.
func (m *Manager) takeMark(d *dir) {
	if err := checkpoint.RemoveCleanShutdown(m.o.FS, d.path); err != nil {
		m.fail(d, err)
		return
	}
	m.logger.Info("opened log directory", slog.String("event", "log.dir.opened"), slog.String("dir", d.path), slog.String("directory_id", d.id.String()),
		slog.Int64("partitions", d.partitions.Load()), slog.Bool("clean", d.clean))
}

// start begins the background work.
func (m *Manager) start(ctx context.Context) {
	m.syncer = commitlog.NewSyncer(m.o.FlushWorkers)
	m.files = segment.NewFiles(m.o.FS, m.o.OpenFiles)
	if m.o.TailCacheBytes > 0 {
		m.tail = commitlog.NewTailCache(m.o.TailCacheBytes)
	}
	m.started = true
	ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx)) // Close ends it, not the end of starting
	for _, d := range m.live() {
		m.checkSpace(d)
		m.background.Go(func() { m.keep(ctx, d) })
		if !d.clean {
			m.recover(ctx, d)
		}
	}
	m.recovered = make(chan struct{})
	m.background.Go(func() {
		defer close(m.recovered)
		m.recoveries.Wait()
	})
	m.background.Go(func() { m.retain(ctx) })
	m.cleaner = cleaner.New(cleaner.Options{Config: *m.o.Cleaner, Logs: m.compacted, Cleaned: m.cleaned, Logger: m.o.Logger})
	m.cleaner.Start()
	m.background.Go(func() { m.remove(ctx) })
}

// live returns the directories that are not dead.
func (m *Manager) live() []*dir {
	return slices.DeleteFunc(slices.Clone(m.dirs), func(d *dir) bool { return d.dead() != nil })
}

// firstError returns why a directory is dead, if one is.
func (m *Manager) firstError() error {
	for _, d := range m.dirs {
		if err := d.dead(); err != nil {
			return err
		}
	}
	return nil
}

// all returns the partitions in no order.
func (m *Manager) all() []*partition {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]*partition, 0, len(m.partitions))
	for _, p := range m.partitions {
		out = append(out, p)
	}
	return out
}

func (m *Manager) sorted() []*partition {
	all := m.all()
	slices.SortFunc(all, func(a, b *partition) int {
		return cmp.Or(cmp.Compare(a.tp.Topic, b.tp.Topic), cmp.Compare(a.tp.Partition, b.tp.Partition))
	})
	return all
}

// parallel calls fn for 0 to n-1 with so many goroutines, until ctx ends.
func (m *Manager) parallel(ctx context.Context, workers, n int, fn func(i int)) error {
	var wg sync.WaitGroup
	work := make(chan int)
	for range min(n, workers) {
		wg.Go(func() {
			for i := range work {
				fn(i)
			}
		})
	}
	var err error
	for i := range n {
		if err = context.Cause(ctx); err != nil {
			break
		}
		work <- i
	}
	close(work)
	wg.Wait()
	return err
}

// PreviousBrokerEpoch is the broker epoch of the last clean stop, for the registration with the controller: -1 unless every
// directory was stopped cleanly, in the same epoch.
func (m *Manager) PreviousBrokerEpoch() protocol.BrokerEpoch {
	for _, d := range m.dirs {
		if !d.clean || d.dead() != nil || d.epoch != m.dirs[0].epoch {
			return checkpoint.NoBrokerEpoch
		}
	}
	return m.dirs[0].epoch
}
