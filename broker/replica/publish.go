package replica

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Publish takes over a new metadata image (image.Publisher). It does no I/O: folders are made and deleted by workers, and
// earlier by the first request that needs them.
func (m *Manager) Publish(d *image.Delta) {
	m.image.Store(d.Next)
	first := d.Prev == nil || d.Prev.Version == 0
	var deleted, woken, created []*Partition
	m.mu.Lock()
	for _, t := range d.DeletedTopics {
		deleted = append(deleted, m.deleteTopicLocked(t)...)
	}
	for _, t := range d.ChangedTopics {
		for i := range t.Partitions {
			switch p, isNew := m.assignLocked(t, int32(i)); {
			case p == nil:
			case isNew && !first: // what was there at the start is there, or made when needed
				created = append(created, p)
			case !isNew:
				woken = append(woken, p)
			}
		}
	}
	m.mu.Unlock()
	for _, p := range deleted {
		m.notifyClients(p) // followers learn of it as this broker did, and their fetches are of much else
	}
	for _, p := range woken {
		m.advance(p, false) // more may be visible with fewer replicas in sync
		m.notify(p)
	}
	for _, p := range created {
		m.work.add(func() { m.makeFolder(p) })
	}
	m.reconfigure(d)
}

// deleteTopicLocked stops hosting the partitions of a topic and has their folders deleted.
func (m *Manager) deleteTopicLocked(t *image.Topic) []*Partition {
	var gone []*Partition
	for i := range t.Partitions {
		tp := protocol.TopicPartition{Topic: t.Name, Partition: int32(i)}
		p := m.partitions[tp]
		if p == nil || p.id != t.ID {
			continue
		}
		m.dropLocked(p, false)
		gone = append(gone, p)
	}
	return gone
}

// dropLocked stops hosting a partition and has its folder deleted. moved says that it is on other brokers now.
func (m *Manager) dropLocked(p *Partition, moved bool) {
	delete(m.partitions, p.tp)
	m.deleting[p.tp] = p
	p.markDeleted(moved)
	m.work.addLasting(func() { m.deleteFolder(p) })
}

// assignLocked brings a partition's role up to date. It returns nil where nothing changed for this broker. A replica that was
// moved to another broker is deleted here, as in Kafka: the controller takes it out of the assignment when the others have all
// that it has.
func (m *Manager) assignLocked(t *image.Topic, index int32) (p *Partition, isNew bool) {
	tp := protocol.TopicPartition{Topic: t.Name, Partition: index}
	state := &t.Partitions[index]
	p = m.partitions[tp]
	holds := slices.Contains(state.Replicas, m.nodeID)
	if p == nil && !holds {
		return nil, false // nearly all of a large cluster
	}
	now := newRole(m.nodeID, state)
	switch {
	case p != nil && p.id == t.ID && !holds:
		m.dropLocked(p, true)
		return p, false
	case p != nil && p.id == t.ID:
		if p.damaged.Load() != nil && mayRepair(m.nodeID, state) {
			m.work.add(func() { m.repair(p) })
		}
		if !p.assume(now, m.maxLag) {
			return nil, false
		}
		return p, false
	case !holds:
		return nil, false
	}
	p = &Partition{tp: tp, id: t.ID, previous: m.deleting[tp]}
	m.throttlePartition(m.image.Load(), p)
	p.assume(now, m.maxLag)
	m.partitions[tp] = p
	return p, true
}

// expect takes a partition without a folder at the start. There may be many, and they are opened when needed; but where the
// metadata does not know its directory it is opened, which tells.
func (m *Manager) expect(p *Partition) {
	tp := protocol.TopicIDPartition{ID: p.id, Topic: p.tp.Topic, Partition: p.tp.Partition}
	for _, dir := range m.dirIDs() {
		if !m.knowsDirectory(tp, dir) {
			continue
		}
		p.mu.Lock() // remove comes before this or after it
		defer p.mu.Unlock()
		if p.role.Load().deleted || p.previous != nil { // what comes after a deleted one is opened, when that is gone
			return
		}
		if err := m.logs.Expect(p.tp, p.id); err != nil {
			m.logger.Error("expect a partition", p.attrs(slog.Any("err", err))...)
		}
		return
	}
	m.makeFolder(p)
}

// makeFolder opens a new partition, which may make its folder.
func (m *Manager) makeFolder(p *Partition) {
	if p.role.Load().deleted || p.local.Load() != nil {
		return
	}
	if _, err := p.open(m); err != nil && !p.role.Load().deleted {
		m.logger.Error("create a partition", p.attrs(slog.Any("err", err))...)
	}
}

func (m *Manager) deleteFolder(p *Partition) {
	if err := p.remove(m); err != nil {
		m.logger.Error("delete a partition: trying again", p.attrs(slog.Duration("after", m.deletionRetry), slog.Any("err", err))...)
		p.failed.Store(true)
		return
	}
	m.folderGone(p)
}

// retryDeletions tries again every so often, until ctx ends, to delete the folders that could not be deleted: a disk that was
// full may have room again. Only the first failure of each is logged.
func (m *Manager) retryDeletions(ctx context.Context) {
	for pause(ctx, m.deletionRetry); ctx.Err() == nil; pause(ctx, m.deletionRetry) {
		for _, p := range m.undeleted() {
			if p.remove(m) == nil {
				p.failed.Store(false)
				m.folderGone(p)
			}
		}
	}
}

// undeleted returns the deleted partitions whose folders could not be deleted.
func (m *Manager) undeleted() []*Partition {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []*Partition
	for _, p := range m.deleting {
		if p.failed.Load() {
			out = append(out, p)
		}
	}
	return out
}

// folderGone notes that the folder of a deleted partition is gone.
func (m *Manager) folderGone(p *Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deleting[p.tp] == p {
		delete(m.deleting, p.tp)
	}
}

func (p *Partition) attrs(more ...any) []any {
	return append([]any{slog.String("topic", p.tp.Topic), slog.Int("partition", int(p.tp.Partition))}, more...)
}

// reconfigure hands changed configuration to the logs.
func (m *Manager) reconfigure(d *image.Delta) {
	if len(d.ChangedConfigs) == 0 {
		return
	}
	topics, all := make(map[string]bool), false
	for res := range d.ChangedConfigs {
		switch res.Type {
		case image.ResourceTopic:
			topics[res.Name] = true
		case image.ResourceBroker: // what topics inherit
			all = true
		default: // nothing that a log knows
		}
	}
	if all {
		for _, p := range m.hosted() {
			topics[p.tp.Topic] = true
		}
	}
	m.throttle(d.Next, topics)
	for topic := range topics {
		m.work.add(func() { m.logs.Reconfigure(topic) })
	}
}

// Reconcile compares the folders with the metadata, which must have been published completely: folders that no hosted
// partition owns are set aside, never deleted, and partitions without a folder are expected in one. It reads the id of every folder.
func (m *Manager) Reconcile(ctx context.Context) error {
	infos, err := m.logs.Partitions(ctx)
	if err != nil {
		return fmt.Errorf("compare the log directories with the metadata: %w", err)
	}
	there := make(map[protocol.TopicPartition]bool, len(infos))
	for _, info := range infos {
		there[info.TopicPartition] = true
		if why := m.stray(info.TopicPartition, info.TopicID); why != "" {
			moved, err := m.logs.Quarantine(info.TopicPartition, why)
			if err != nil {
				return fmt.Errorf("set %s aside: %w", info.TopicPartition, err)
			}
			m.logger.WarnContext(ctx, "set a folder aside that the metadata does not know", slog.String("event", "logdir.stray"),
				slog.String("topic", info.TopicPartition.Topic), slog.Int("partition", int(info.TopicPartition.Partition)),
				slog.String("reason", why), slog.String("dir", moved))
			there[info.TopicPartition] = false
		} else if p, err := m.find(info.TopicPartition, protocol.TopicID{}); err == nil {
			m.lies(p, info.Dir)
		}
	}
	for _, p := range m.hosted() {
		if !there[p.tp] {
			m.work.add(func() { m.expect(p) })
		}
	}
	return nil
}

// stray says why a folder is not one of ours, or "". One that is being deleted is not touched.
func (m *Manager) stray(tp protocol.TopicPartition, id protocol.TopicID) string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	p := m.partitions[tp]
	switch {
	case m.deleting[tp] != nil:
		return ""
	case p == nil:
		return "no partition of that name is assigned to this broker"
	case !id.IsZero() && id != p.id:
		return fmt.Sprintf("its topic id is %s, the topic's %s", id, p.id)
	default:
		return ""
	}
}
