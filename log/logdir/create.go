package logdir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Create opens the log of a new partition, in the directory where it is known to lie or else in the live one with the fewest
// partitions; its folder is made for its first record. Of a partition that is here with the same topic id it returns the
// log; with another one it fails with INCONSISTENT_TOPIC_ID: the old one must be set aside or deleted first. A folder
// without partition.metadata takes the id.
//
// While a directory could not be read since the start, nothing is created that is not known to lie in another: it may be there.
func (m *Manager) Create(tp protocol.TopicPartition, id protocol.TopicID) (*commitlog.Log, error) {
	if err := protocol.ValidateTopicName(tp.Topic); err != nil {
		return nil, err
	}
	if tp.Partition < 0 || id.IsZero() {
		return nil, errcode.New(errcode.KindInvalidRequest, "create partition %s with topic id %s: neither may be unset", tp, id)
	}
	for {
		p, fresh, err := m.place(tp)
		if err != nil {
			return nil, err
		}
		if !fresh {
			p.opMu.Lock()
		}
		l, gone, err := m.createLocked(p, id, fresh)
		p.opMu.Unlock()
		if !gone {
			return l, err
		}
	}
}

// Expect takes a partition that may come to be in a directory, and opens nothing: Get does. One that is here stays as it is.
func (m *Manager) Expect(tp protocol.TopicPartition, id protocol.TopicID) error {
	p, fresh, err := m.place(tp)
	if err != nil || !fresh {
		return err
	}
	defer p.opMu.Unlock()
	if err := m.begin(p, id); err != nil {
		m.drop(p)
		return err
	}
	return nil
}

// place finds a partition, or puts a new one with opMu held into a directory.
func (m *Manager) place(tp protocol.TopicPartition) (p *partition, fresh bool, err error) {
	known := m.o.DirectoryOf(tp)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, commitlog.ErrClosed
	}
	if p := m.partitions[tp]; p != nil {
		return p, false, nil
	}
	d, err := m.choose(known)
	if err != nil {
		return nil, false, err
	}
	p = &partition{tp: tp, dir: d, clean: true}
	p.at.Store(&marks{})
	p.opMu.Lock()
	m.partitions[tp] = p
	d.partitions.Add(1)
	return p, true, nil
}

// choose returns the directory for a partition without a folder: the one it is known to lie in, where that lives, else the one
// with the fewest partitions.
func (m *Manager) choose(known protocol.TopicID) (best *dir, err error) {
	better := func(d *dir) bool {
		if best == nil || best.cordoned.Load() != d.cordoned.Load() {
			return best == nil || best.cordoned.Load()
		}
		return d.partitions.Load() < best.partitions.Load()
	}
	var unlisted error
	for _, d := range m.dirs {
		switch dead := d.dead(); {
		case dead != nil:
			if !d.listed && unlisted == nil {
				unlisted = dead
			}
		case d.id == known:
			return d, nil
		case better(d):
			best = d
		}
	}
	switch {
	case unlisted != nil:
		return nil, unlisted
	case best == nil:
		return nil, m.firstError()
	default:
		return best, nil
	}
}

// createLocked does the work of Create under opMu. gone tells the caller to look again.
func (m *Manager) createLocked(p *partition, id protocol.TopicID, fresh bool) (l *commitlog.Log, gone bool, err error) {
	if p.gone {
		return nil, true, nil
	}
	if fresh {
		if err := m.begin(p, id); err != nil {
			m.drop(p)
			return nil, false, err
		}
	} else if err := m.confirmID(p, id); err != nil {
		return nil, false, err
	}
	l, err = m.openLocked(p)
	return l, false, err
}

// begin prepares for a new partition: no checkpoint speaks of a former one of that name, and no folder has records of one. Its
// own folder is made when the first record comes (invariant 7 of package commitlog).
func (m *Manager) begin(p *partition, id protocol.TopicID) error {
	records := false
	err := m.forget(p.dir, p.tp)
	if err == nil {
		records, err = m.takeLeftover(p, id)
	}
	if err != nil {
		m.ioError(p.dir, err)
		return storageError(fmt.Errorf("create partition %s: %w", p.tp, err))
	}
	if records {
		return errcode.New(errcode.KindKafkaStorageError,
			"folder %s appeared while the broker runs and holds records: restart to have it looked at, or move it away", p.path())
	}
	p.topicID.Store(&id)
	return nil
}

// takeLeftover makes a folder that should not be there that of a new partition, unless it holds records.
func (m *Manager) takeLeftover(p *partition, id protocol.TopicID) (records bool, err error) {
	segments, err := m.segmentFiles(p)
	if errors.Is(err, fs.ErrNotExist) {
		p.at.Store(&marks{folderless: true})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if holdRecords(segments) {
		return true, nil
	}
	return false, checkpoint.CreatePartitionMetadata(m.o.FS, p.path(), checkpoint.PartitionMetadata{TopicID: id})
}

func holdRecords(segments []fs.FileInfo) bool {
	return slices.ContainsFunc(segments, func(s fs.FileInfo) bool { return s.Size() > 0 })
}

// makeFolder makes a partition's folder for its first record (commitlog.Options.MakeDir).
func (m *Manager) makeFolder(p *partition, id protocol.TopicID) error {
	if err := m.o.FS.MkdirAll(p.path(), 0o755); err != nil {
		return err
	}
	p.made.Store(true)
	if err := checkpoint.CreatePartitionMetadata(m.o.FS, p.path(), checkpoint.PartitionMetadata{TopicID: id}); err != nil {
		return err
	}
	m.logger.Info("created partition", slog.String("event", "log.created"), slog.String("topic", p.tp.Topic),
		slog.Int("partition", int(p.tp.Partition)), slog.String("topic_id", id.String()), slog.String("dir", p.dir.path))
	return nil
}

// confirmID makes sure that a folder belongs to this incarnation of its topic.
func (m *Manager) confirmID(p *partition, id protocol.TopicID) error {
	if err := p.dir.dead(); err != nil {
		return err
	}
	have, err := m.readTopicID(p)
	switch {
	case err != nil:
		return m.openFailed(p, err)
	case have == id:
		return nil
	case !have.IsZero():
		return errcode.New(errcode.KindInconsistentTopicID, "partition %s in %s belongs to topic id %s, not %s", p.tp, p.dir.path, have, id)
	}
	if err := checkpoint.WritePartitionMetadata(m.o.FS, p.path(), checkpoint.PartitionMetadata{TopicID: id}); err != nil {
		m.ioError(p.dir, err)
		return storageError(fmt.Errorf("write topic id of partition %s: %w", p.tp, err))
	}
	p.topicID.Store(&id)
	return nil
}

// drop takes a partition out of the table. Under opMu.
func (m *Manager) drop(p *partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.gone = true
	delete(m.partitions, p.tp)
	p.dir.partitions.Add(-1)
}
