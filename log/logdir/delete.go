package logdir

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Delete removes a partition by order of a committed deletion of its topic. The folder is renamed durably before Delete
// returns and removed in the background after DeleteDelay. id must be that of the folder, when the folder names one: a
// later incarnation of the topic is not deleted. A partition that is not here is no error.
func (m *Manager) Delete(tp protocol.TopicPartition, id protocol.TopicID) error {
	p, err := m.lookup(tp)
	if p == nil || err != nil {
		return err
	}
	p.opMu.Lock()
	defer p.opMu.Unlock()
	if p.gone {
		return nil
	}
	have, err := m.readTopicID(p)
	if err == nil && !have.IsZero() && have != id {
		return errcode.New(errcode.KindInconsistentTopicID, "delete partition %s of topic id %s: its folder in %s belongs to %s", tp, id, p.dir.path, have)
	}
	path, err := m.setAside(p, deleteSuffix)
	if err != nil {
		return fmt.Errorf("delete partition %s: %w", tp, err)
	}
	if path == "" {
		return nil
	}
	m.deletions.add(deletion{dir: p.dir, path: path, at: time.Now().Add(m.o.DeleteDelay)})
	m.logger.Info("deleted partition", slog.String("event", "log.deleted"), slog.String("topic", tp.Topic), slog.Int("partition", int(tp.Partition)),
		slog.String("folder", path))
	return nil
}

// Quarantine sets a partition aside that the metadata does not know: its folder is renamed and kept for a person to look
// at. It returns the folder's new path, "" when the partition is not here or has no folder.
func (m *Manager) Quarantine(tp protocol.TopicPartition, reason string) (string, error) {
	p, err := m.lookup(tp)
	if p == nil || err != nil {
		return "", err
	}
	p.opMu.Lock()
	defer p.opMu.Unlock()
	if p.gone {
		return "", nil
	}
	path, err := m.setAside(p, straySuffix)
	if err != nil {
		return "", fmt.Errorf("set partition %s aside: %w", tp, err)
	}
	if path == "" {
		return "", nil
	}
	m.logger.Warn("set a partition aside that the metadata does not know; nothing was deleted", slog.String("event", "log.stray"),
		slog.String("topic", tp.Topic), slog.Int("partition", int(tp.Partition)), slog.String("folder", path), slog.String("reason", reason))
	return path, nil
}

// setAside stops a partition's log and renames its folder durably; path is "" when there is none. Under opMu. When the disk is
// too full to rename it, the partition stays, closed, and is opened again when asked for.
func (m *Manager) setAside(p *partition, suffix string) (path string, err error) {
	if err := p.dir.dead(); err != nil {
		return "", err
	}
	name, err := asideName(m.o.Rand, p.tp, suffix)
	if err != nil {
		return "", err
	}
	if l := p.log.Load(); l != nil {
		if err := l.Delete(); err != nil { // closes the files: nothing in the folder changes after this
			m.ioError(p.dir, err)
			return "", storageError(err)
		}
		at := p.marks()
		p.at.Store(&at)
		p.log.Store(nil)
		p.clean = false // it was not flushed
		p.dir.unrecovered.Add(1)
	}
	if !p.marks().folderless || p.made.Load() { // a full disk may have left it half made
		path = filepath.Join(p.dir.path, name)
		if err = m.o.FS.Rename(p.path(), path); err == nil {
			err = p.dir.names.sync(m.o.FS, p.dir.path)
		}
		if err != nil {
			m.ioError(p.dir, err)
			return "", storageError(err)
		}
	}
	if !p.clean && p.err == nil {
		p.dir.unrecovered.Add(-1)
	}
	m.drop(p)
	return path, nil
}

// deletion is a folder to remove.
type deletion struct {
	dir  *dir
	path string
	at   time.Time // not before
}

// deletions is the queue of folders to remove. The zero value is empty.
type deletions struct {
	mu    sync.Mutex // guards the fields below
	queue []deletion
	woken chan struct{} // closed when the queue was added to; nil until somebody waits
}

func (q *deletions) add(d deletion) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.queue = append(q.queue, d)
	if q.woken != nil {
		close(q.woken)
		q.woken = nil
	}
}

// next returns a folder that is due. Otherwise it says how long to wait, at most, and what to wait on meanwhile.
func (q *deletions) next(now time.Time) (d deletion, due bool, wait time.Duration, woken <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = time.Hour
	for i, d := range q.queue {
		left := d.at.Sub(now)
		if left <= 0 {
			q.queue = append(q.queue[:i], q.queue[i+1:]...)
			return d, true, 0, nil
		}
		wait = min(wait, left)
	}
	if q.woken == nil {
		q.woken = make(chan struct{})
	}
	return deletion{}, false, wait, q.woken
}

// remove removes the folders of deleted partitions until ctx ends. What is left then is found again at the next start.
func (m *Manager) remove(ctx context.Context) {
	for ctx.Err() == nil {
		d, due, wait, woken := m.deletions.next(time.Now())
		if due {
			m.removeFolder(d)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (m *Manager) removeFolder(d deletion) {
	if d.dir.dead() != nil {
		return
	}
	if err := m.o.FS.RemoveAll(d.path); err != nil {
		m.logger.Warn("remove the folder of a deleted partition: trying again at the next start", slog.String("folder", d.path), slog.Any("err", err))
		m.ioError(d.dir, err)
	}
}
