package replica

import (
	"errors"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/distributedmq/dmq/kraft/image"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol"
)

// This file is about replicas whose log has a damaged batch. Such a batch is never served (package log); here the replica
// is replaced by a copy of its leader's, where that is safe:
//
//	1 the damage is found, by opening the log or by reading it, and others are in sync
//	2 the controller is told that the replica lies in a lost directory, as Kafka calls one that failed: it leaves the in-sync and
//	  the eligible leader replicas, and another one leads
//	3 when the metadata say so, and there is a leader, the folder is set aside, never deleted, and the replica begins empty
//	4 the controller is told the directory of the new folder, and begins another leader epoch, in which the replica is an
//	  ordinary follower again
//
// Between 1 and 4 it is not followed, and must not join: what the leader has noted of the damaged log is not true of the empty one
// (I5). So the controller refuses an in-sync replica in a lost directory, and the next leader epoch forgets what was noted.
//
// Where nobody else is in sync nothing of this happens: all but the damaged batch may still be served, and it is for people
// to decide what is lost.

// lostDirectory is Kafka's DirectoryId.LOST.
var lostDirectory = protocol.TopicID{15: 2}

// noteDamage looks whether an error is about a damaged batch, and begins the repair.
func (m *Manager) noteDamage(p *Partition, err error) {
	corrupt, ok := errors.AsType[*commitlog.CorruptError](err)
	if !ok || m.controller == nil {
		return
	}
	r := p.role.Load()
	if r.deleted || !slices.ContainsFunc(r.isr, func(id protocol.NodeID) bool { return id != m.nodeID }) {
		return
	}
	if !p.damaged.CompareAndSwap(nil, &err) {
		return
	}
	m.logger.Error("a replica is damaged: it gives up its place in the in-sync replicas and will be copied from its leader",
		p.attrs(slog.String("event", "replica.damaged"), slog.String("path", corrupt.Path), slog.Int64("position", corrupt.Position), slog.Any("err", err))...)
	m.assigns.add(protocol.TopicIDPartition{ID: p.id, Topic: p.tp.Topic, Partition: p.tp.Partition}, lostDirectory)
}

// mayRepair says whether the metadata show that nothing depends on the damaged replica of a broker any more.
func mayRepair(self protocol.NodeID, p *image.Partition) bool {
	return p.Directory(self) == lostDirectory && p.Leader != image.NoLeader && p.Leader != self && !slices.Contains(p.ISR, self)
}

// repair sets the folder of a damaged replica aside and begins with an empty one.
func (m *Manager) repair(p *Partition) {
	dir, err := p.renew(m)
	if err != nil {
		m.logger.Error("replace a damaged replica", p.attrs(slog.Any("err", err))...)
		return
	}
	if dir != "" {
		m.lies(p, dir)
	}
}

// renew returns the log directory of the new folder; "" where there is nothing to be done any more.
func (p *Partition) renew(m *Manager) (dir string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, state := p.role.Load(), m.image.Load().Partition(p.tp)
	if p.damaged.Load() == nil || r.deleted || r.leads || state == nil || !mayRepair(m.nodeID, state) {
		return "", nil
	}
	aside, err := m.logs.Quarantine(p.tp, "a record batch is damaged, and it is copied anew")
	if err != nil {
		return "", err
	}
	plog, err := m.logs.Create(p.tp, p.id)
	if err != nil {
		return "", err
	}
	p.local.Store(&local{log: plog, leaderEpoch: r.leaderEpoch})
	p.damaged.Store(nil)
	m.logger.Warn("set a damaged replica aside and begin anew", p.attrs(slog.String("event", "replica.renewed"), slog.String("dir", aside))...)
	return filepath.Dir(plog.Dir()), nil
}
