package replica

import (
	"cmp"
	"slices"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// replicaView is a replica that a consumer may read from.
type replicaView struct {
	id       protocol.NodeID
	rack     string // empty: not known
	end      int64
	caughtUp time.Time
}

// preferred chooses among replicas, of which the first is the leader, as Kafka's RackAwareReplicaSelector: the leader if it
// is in the reader's rack or nobody is, else who has most, was caught up last, or has the highest id.
func preferred(rack string, replicas []replicaView) protocol.NodeID {
	near := slices.DeleteFunc(slices.Clone(replicas), func(r replicaView) bool { return rack == "" || r.rack != rack })
	if len(near) == 0 || near[0].id == replicas[0].id {
		return replicas[0].id
	}
	return slices.MaxFunc(near, func(a, b replicaView) int {
		return cmp.Or(cmp.Compare(a.end, b.end), a.caughtUp.Compare(b.caughtUp), cmp.Compare(a.id, b.id))
	}).id
}

// preferredFor returns the follower that a consumer had better read an offset from; -1: none, or this broker does not lead.
// Followers that are not in sync are left out, since a consumer would fall behind with them.
func (p *Partition) preferredFor(m *Manager, o *ReadOptions, offset int64) protocol.NodeID {
	if !m.rackAware || o.Rack == "" || !o.AnyReplica {
		return Unset
	}
	img := m.image.Load()
	p.leadMu.Lock()
	defer p.leadMu.Unlock()
	if p.lead == nil {
		return Unset
	}
	r := p.lead.role
	views := []replicaView{{id: r.leader, rack: rackOf(img.Brokers[r.leader], o.Listener)}}
	for i := range p.lead.followers {
		f := &p.lead.followers[i]
		if slices.Contains(r.isr, f.id) && f.end >= offset && f.logStart <= offset {
			views = append(views, replicaView{id: f.id, rack: rackOf(img.Brokers[f.id], o.Listener), end: f.end, caughtUp: f.caughtUp})
		}
	}
	if id := preferred(o.Rack, views); id != r.leader {
		return id
	}
	return Unset
}

// rackOf is where a broker is, unless a client cannot reach it.
func rackOf(b *image.Broker, listener string) string {
	if b == nil || b.Fenced || b.Rack == nil {
		return ""
	}
	if _, ok := b.Endpoint(listener); !ok {
		return ""
	}
	return *b.Rack
}
