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

// Create makes the folder of a new partition and opens its log, in the live directory with the fewest partitions. Of a
// partition that is here with the same topic id it returns the log; with another one it fails with INCONSISTENT_TOPIC_ID:
// the old one must be set aside or deleted first. A folder without partition.metadata takes the id.
//
// While a directory could not be read since the start, nothing is created: the partition may be there.
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

// place finds a partition, or puts a new one with opMu held into a directory.
func (m *Manager) place(tp protocol.TopicPartition) (p *partition, fresh bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, false, commitlog.ErrClosed
	}
	if p := m.partitions[tp]; p != nil {
		return p, false, nil
	}
	var best *dir
	better := func(d *dir) bool {
		if best == nil || best.cordoned.Load() != d.cordoned.Load() {
			return best == nil || best.cordoned.Load()
		}
		return d.partitions.Load() < best.partitions.Load()
	}
	for _, d := range m.dirs {
		if err := d.dead(); err != nil {
			if !d.listed {
				return nil, false, err
			}
			continue
		}
		if better(d) {
			best = d
		}
	}
	if best == nil {
		return nil, false, m.firstError()
	}
	p = &partition{tp: tp, dir: best, clean: true}
	p.at.Store(&marks{})
	p.opMu.Lock()
	m.partitions[tp] = p
	best.partitions.Add(1)
	return p, true, nil
}

// createLocked does the work of Create under opMu. gone tells the caller to look again.
func (m *Manager) createLocked(p *partition, id protocol.TopicID, fresh bool) (l *commitlog.Log, gone bool, err error) {
	if p.gone {
		return nil, true, nil
	}
	if fresh {
		if err := m.makeFolder(p, id); err != nil {
			m.drop(p)
			return nil, false, err
		}
	} else if err := m.confirmID(p, id); err != nil {
		return nil, false, err
	}
	l, err = m.openLocked(p)
	if err == nil && fresh {
		m.logger.Info("created partition", slog.String("event", "log.created"), slog.String("topic", p.tp.Topic),
			slog.Int("partition", int(p.tp.Partition)), slog.String("topic_id", id.String()), slog.String("dir", p.dir.path))
	}
	return l, false, err
}

// makeFolder makes a partition's folder. That no checkpoint speaks of a former one of that name is durable when it returns; its
// name and its topic id are before the first record is written (invariant 7 of package commitlog). A folder left half made is
// removed again.
func (m *Manager) makeFolder(p *partition, id protocol.TopicID) error {
	wrap := func(err error) error {
		m.ioError(p.dir, err)
		return storageError(fmt.Errorf("create partition %s: %w", p.tp, err))
	}
	if err := m.forget(p.dir, p.tp); err != nil {
		return wrap(err)
	}
	records, err := m.holdsRecords(p)
	if err != nil {
		return wrap(err)
	}
	if records {
		return errcode.New(errcode.KindKafkaStorageError,
			"folder %s appeared while the broker runs and holds records: restart to have it looked at, or move it away", p.path())
	}
	if err := m.writeFolder(p, id); err != nil {
		m.o.FS.RemoveAll(p.path()) //nolint:errcheck // err is what matters; an empty folder harms nobody
		return wrap(err)
	}
	p.topicID.Store(&id)
	return nil
}

// holdsRecords looks into a folder that should not be there yet.
func (m *Manager) holdsRecords(p *partition) (bool, error) {
	segments, err := m.segmentFiles(p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return slices.ContainsFunc(segments, func(s fs.FileInfo) bool { return s.Size() > 0 }), nil
}

func (m *Manager) writeFolder(p *partition, id protocol.TopicID) error {
	if err := m.o.FS.MkdirAll(p.path(), 0o755); err != nil {
		return err
	}
	return checkpoint.CreatePartitionMetadata(m.o.FS, p.path(), checkpoint.PartitionMetadata{TopicID: id})
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
