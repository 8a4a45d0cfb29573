package logdir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// partition is a partition's folder, and its log once that was opened.
type partition struct {
	tp  protocol.TopicPartition
	dir *dir

	log atomic.Pointer[commitlog.Log] // nil: not open; set and cleared under opMu
	at  atomic.Pointer[marks]         // the offsets to checkpoint while the log is not open; set under opMu

	// opMu serialises opening, deleting and closing, and is held across their I/O. It guards the fields below.
	opMu  sync.Mutex
	gone  bool  // deleted, set aside or closed
	err   error // why it cannot be opened, where trying again would not help
	clean bool  // the log was closed and nothing has to be checked

	made    atomic.Bool                      // its log made the folder, as far as it came
	topicID atomic.Pointer[protocol.TopicID] // as its folder says; nil: not read yet, zero: the folder does not say
}

// marks are the offsets that checkpoints keep of a partition.
type marks struct {
	recoveryPoint, logStartOffset, highWatermark, cleaned int64
	folderless                                            bool // there is nothing to keep yet
}

// path is the partition's folder.
func (p *partition) path() string { return filepath.Join(p.dir.path, p.tp.String()) }

// Get returns the log of a partition, opening it where needed. found is false when no directory holds the partition.
func (m *Manager) Get(tp protocol.TopicPartition) (l *commitlog.Log, found bool, err error) {
	p, err := m.lookup(tp)
	if p == nil || err != nil {
		return nil, false, err
	}
	if err := p.dir.dead(); err != nil {
		return nil, true, err
	}
	if l := p.log.Load(); l != nil {
		return l, true, nil
	}
	p.opMu.Lock()
	defer p.opMu.Unlock()
	if p.gone {
		return nil, false, nil
	}
	l, err = m.openLocked(p)
	return l, true, err
}

// lookup finds a partition; nil when there is none.
func (m *Manager) lookup(tp protocol.TopicPartition) (*partition, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, commitlog.ErrClosed
	}
	return m.partitions[tp], nil
}

// openLocked opens a partition's log, recovering it where that is needed. Under opMu.
func (m *Manager) openLocked(p *partition) (*commitlog.Log, error) {
	if l := p.log.Load(); l != nil {
		return l, nil
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := p.dir.dead(); err != nil {
		return nil, err
	}
	id, err := m.readTopicID(p)
	if err != nil {
		return nil, m.openFailed(p, err)
	}
	l, err := commitlog.Open(m.logOptions(p, id))
	if err != nil {
		return nil, m.openFailed(p, err)
	}
	p.log.Store(l)
	if l.CleanedOffset() < p.at.Load().cleaned { // its end was lost
		m.recoveryPointLowered(p.dir)
	}
	if !p.clean {
		p.dir.unrecovered.Add(-1)
		p.clean = true
	}
	return l, nil
}

// openFailed keeps what is wrong with a partition. Damage stays until the process ends; what a full disk prevented may be
// tried again; anything else kills the directory.
func (m *Manager) openFailed(p *partition, err error) error {
	var corrupt *commitlog.CorruptError
	var format *checkpoint.FormatError
	damaged := errors.As(err, &corrupt) || errors.As(err, &format)
	if !damaged {
		m.ioError(p.dir, err)
		return storageError(fmt.Errorf("open partition %s: %w", p.tp, err))
	}
	p.err = storageError(fmt.Errorf("open partition %s: %w", p.tp, err))
	p.dir.broken.Store(true)
	if !p.clean {
		p.dir.unrecovered.Add(-1)
	}
	m.logger.Error("partition cannot be opened: its records are damaged; nothing was changed", slog.String("event", "log.corrupt"),
		slog.String("topic", p.tp.Topic), slog.Int("partition", int(p.tp.Partition)), slog.String("dir", p.dir.path), slog.Any("err", err))
	return p.err
}

// storageError gives an error that has no kind of its own the kind KAFKA_STORAGE_ERROR.
func storageError(err error) error {
	var kinder errcode.Kinder
	if errors.As(err, &kinder) {
		return err
	}
	return &commitlog.StorageError{Err: err}
}

func (m *Manager) logOptions(p *partition, id protocol.TopicID) commitlog.Options {
	d, tp, at := p.dir, p.tp, p.at.Load()
	return commitlog.Options{
		FS: m.o.FS, Dir: p.path(), TopicPartition: tp, TopicID: id, Config: m.o.ConfigFor(tp.Topic),
		RecoveryPoint: at.recoveryPoint, LogStartOffset: at.logStartOffset, HighWatermark: at.highWatermark, CleanedOffset: at.cleaned,
		CleanShutdown: p.clean,
		Syncer:        m.syncer, Files: m.files, TailCache: m.tail,
		MakeDir:  func() error { return m.makeFolder(p, id) },
		SyncName: func() error { return d.names.sync(m.o.FS, d.path) },
		Admit:    func() error { return m.admit(d) },
		Failed:   func(err error) { m.fail(d, err) },
		Synced: func(endOffset int64) {
			if d.failed.Load() == nil { // invariant 4: the log tells of a failure before it tells of a sync
				m.o.Synced(tp, endOffset)
			}
		},
		Appended:             func() { m.o.Appended(tp) },
		RecoveryPointLowered: func() { m.recoveryPointLowered(d) },
		Logger:               m.o.Logger,
	}
}

// readTopicID reads partition.metadata unless that was done. A malformed one in a folder without records is what a crash
// left of a creation, and is as good as none.
func (m *Manager) readTopicID(p *partition) (protocol.TopicID, error) {
	if id := p.topicID.Load(); id != nil {
		return *id, nil
	}
	meta, err := checkpoint.ReadPartitionMetadata(m.o.FS, p.path())
	if _, malformed := errors.AsType[*checkpoint.FormatError](err); malformed {
		if segments, serr := m.segmentFiles(p); serr == nil && !holdRecords(segments) {
			err = nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return protocol.TopicID{}, err
	}
	p.topicID.CompareAndSwap(nil, &meta.TopicID) // who creates the partition meanwhile knows better
	return *p.topicID.Load(), nil
}

// Partitions describes all partitions, sorted. TopicID is filled by reading partition.metadata where that was not read yet,
// in parallel.
func (m *Manager) Partitions(ctx context.Context) ([]Info, error) {
	all := m.sorted()
	out := make([]Info, len(all))
	err := m.parallel(ctx, m.o.FlushWorkers, len(all), func(i int) {
		p := all[i]
		out[i] = Info{TopicPartition: p.tp, Dir: p.dir.path, Open: p.log.Load() != nil}
		id, err := m.readTopicID(p)
		out[i].TopicID = id
		switch {
		case p.dir.dead() != nil:
			out[i].Err = p.dir.dead()
		case err != nil:
			out[i].Err = storageError(err)
		case p.opMu.TryLock(): // who is being opened has no verdict yet
			out[i].Err = p.err
			p.opMu.Unlock()
		}
	})
	return out, err
}

// Size is the size of a partition's segments in bytes, without opening its log.
func (m *Manager) Size(tp protocol.TopicPartition) (int64, error) {
	p, err := m.lookup(tp)
	if err != nil {
		return 0, err
	}
	if p == nil {
		return 0, errcode.New(errcode.KindUnknownTopicOrPartition, "partition %s is not here", tp)
	}
	if l := p.log.Load(); l != nil {
		return l.Size(), nil
	}
	if p.marks().folderless {
		return 0, nil
	}
	segments, err := m.segmentFiles(p)
	if err != nil {
		return 0, storageError(err)
	}
	var size int64
	for _, s := range segments {
		size += s.Size()
	}
	return size, nil
}

// segmentFiles lists a partition's segments, oldest first.
func (m *Manager) segmentFiles(p *partition) ([]fs.FileInfo, error) {
	entries, err := m.o.FS.ReadDir(p.path())
	if err != nil {
		return nil, err
	}
	var out []fs.FileInfo
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), segmentSuffix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		out = append(out, info)
	}
	return out, nil
}

const segmentSuffix = ".log"

// Reconfigure hands the configuration of a topic to its open logs again.
func (m *Manager) Reconfigure(topic string) {
	for _, p := range m.all() {
		if p.tp.Topic != topic {
			continue
		}
		p.opMu.Lock() // a log that is being opened has the old configuration, maybe
		if l := p.log.Load(); l != nil {
			l.SetConfig(m.o.ConfigFor(topic))
		}
		p.opMu.Unlock()
	}
}
