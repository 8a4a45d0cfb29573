package replica

import (
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Partition is one incarnation of a partition that this broker holds a replica of.
//
// Its log is opened by the first request that needs it. The role changes at any time, by Publish, which waits for nobody;
// what has to be done to the log in a new leader epoch is done by the first request of that epoch.
type Partition struct {
	tp protocol.TopicPartition
	id protocol.TopicID

	role    atomic.Pointer[role]  // written with leadMu held
	local   atomic.Pointer[local] // nil until the log is open; written with mu held
	offline atomic.Pointer[error] // why the log cannot be used, for good
	damaged atomic.Pointer[error] // what is wrong with the log, while it waits to be replaced

	throttled atomic.Bool // leader.replication.throttled.replicas names it

	// mu is held shared by appends and exclusively by who opens the log or begins a leader epoch, so that no append in one
	// epoch comes after the next one began in the log.
	mu       sync.RWMutex
	previous *Partition // the deleted incarnation whose folder must go first; guarded by mu
	// Of a follower, since the start; guarded by mu.
	agreed    protocol.LeaderEpoch // the newest in which its leader had all that this log has
	forgotten int64                // the high watermark that an unclean election made void; 0: none, or the log agrees since

	// leadMu is held for changes of the role, of what is known of the followers and of the high watermark, and never while
	// anything is waited for.
	leadMu sync.Mutex
	lead   *leadership // nil while this broker does not lead; guarded by leadMu

	// removal is held while the folder is deleted, across I/O: who comes second learns how it ended. It is taken before mu, and
	// before the removal of previous.
	removal sync.Mutex
	removed bool        // the folder is gone; guarded by removal
	failed  atomic.Bool // its deletion has to be tried again
}

// local is the open log. It is immutable.
type local struct {
	log         *commitlog.Log
	leaderEpoch protocol.LeaderEpoch // the newest that the log was told of
	epochStart  int64                // where that began
}

// offsets reads the bounds so that the log start offset is at most, and the log end offset at least, the others.
func (l *local) offsets() offsets {
	var o offsets
	o.logStart = l.log.LogStartOffset()
	o.lastStable = l.log.LastStableOffset()
	o.highWatermark = l.log.HighWatermark()
	o.logEnd = l.log.LogEndOffset()
	o.lastStable = min(o.lastStable, o.highWatermark)
	return o
}

func (l *local) progress() progress {
	return progress{durable: l.log.Config().FlushMessages == 1, syncedEnd: l.log.SyncedEndOffset(), highWatermark: l.log.HighWatermark()}
}

// use admits a request and returns the open log, in the leader epoch of the role.
func (p *Partition) use(m *Manager, current protocol.LeaderEpoch, onlyLeader bool) (*local, *role, error) {
	r := p.role.Load()
	if err := r.admit(p.tp, current, onlyLeader); err != nil {
		return nil, r, err
	}
	if err := p.offline.Load(); err != nil {
		return nil, r, *err
	}
	if l := p.local.Load(); l != nil && l.leaderEpoch >= r.leaderEpoch {
		return l, r, nil
	}
	l, err := p.open(m)
	if err != nil {
		m.noteDamage(p, err)
		return nil, r, p.explain(err)
	}
	return l, r, nil
}

// open opens the log, if it is not, and begins the leader epoch of the role in it.
func (p *Partition) open(m *Manager) (*local, error) {
	p.mu.Lock()
	was := p.local.Load()
	l, err := p.openLocked(m)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if was == nil {
		m.lies(p, filepath.Dir(l.log.Dir()))
	}
	m.advance(p, false)
	return l, nil
}

func (p *Partition) openLocked(m *Manager) (*local, error) {
	r := p.role.Load()
	if r.deleted {
		return nil, r.admit(p.tp, Unset, false)
	}
	was := p.local.Load()
	if was != nil && was.leaderEpoch >= r.leaderEpoch {
		return was, nil
	}
	var plog *commitlog.Log
	if was != nil {
		plog = was.log
	} else {
		var err error
		if plog, err = p.create(m); err != nil {
			return nil, err
		}
	}
	now := &local{log: plog, leaderEpoch: r.leaderEpoch}
	if r.leads {
		now.epochStart = plog.LogEndOffset()
		if err := plog.AssignEpoch(int32(r.leaderEpoch), now.epochStart); err != nil {
			return nil, err
		}
	}
	p.local.Store(now)
	return now, nil
}

// create opens the log of the partition. Its folder is made for its first record, but at once where it tells how many partitions
// its topic has: of a node that loses its metadata, topics are made anew of folders.
func (p *Partition) create(m *Manager) (*commitlog.Log, error) {
	plog, err := p.place(m)
	if err != nil {
		return nil, err
	}
	if t := m.image.Load().Topic(p.tp.Topic); t != nil && t.ID == p.id && p.tp.Partition > 0 && int(p.tp.Partition) == len(t.Partitions)-1 {
		err = plog.MakeFolder()
	}
	return plog, err
}

// place has a log directory take the partition. A folder of the same name that belongs to another topic id goes first: the one
// of the incarnation before, which was to be deleted anyhow, or a stray.
func (p *Partition) place(m *Manager) (*commitlog.Log, error) {
	if p.previous != nil {
		if err := p.previous.remove(m); err != nil {
			return nil, err
		}
		p.previous = nil
	}
	plog, err := m.logs.Create(p.tp, p.id)
	if errcode.KindOf(err) != errcode.KindInconsistentTopicID {
		return plog, err
	}
	moved, qerr := m.logs.Quarantine(p.tp, "its topic id is not "+p.id.String())
	if qerr != nil {
		return nil, errors.Join(err, qerr)
	}
	m.logger.Warn("set a folder of another topic aside", slog.String("event", "logdir.stray"), slog.String("topic", p.tp.Topic),
		slog.Int("partition", int(p.tp.Partition)), slog.String("dir", moved))
	return m.logs.Create(p.tp, p.id)
}

// remove deletes the folder of a deleted partition, and before it those of deleted incarnations. What failed is tried again by
// the next call.
func (p *Partition) remove(m *Manager) error {
	p.removal.Lock()
	defer p.removal.Unlock()
	if p.removed {
		return nil
	}
	p.mu.Lock()
	previous := p.previous
	p.mu.Unlock()
	if previous != nil {
		if err := previous.remove(m); err != nil {
			return err
		}
	}
	err := m.logs.Delete(p.tp, p.id)
	p.removed = err == nil
	return err
}

// explain makes a log's error one that fits what has become of the partition meanwhile.
func (p *Partition) explain(err error) error {
	if r := p.role.Load(); r.deleted {
		return r.admit(p.tp, Unset, false)
	}
	if failure := p.offline.Load(); failure != nil {
		return *failure
	}
	return err
}

// logDied says whether the log directories no longer give out a log that was open.
func (p *Partition) logDied(logs Logs) bool {
	if p.local.Load() == nil {
		return false
	}
	_, _, err := logs.Get(p.tp)
	return errcode.KindOf(err) == errcode.KindKafkaStorageError
}
