package replica

import (
	"slices"
	"time"

	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// throttledReplicasKey names the replicas of a topic whose followers are sent no more than leader.replication.throttled.rate.
const throttledReplicasKey = "leader.replication.throttled.replicas"

// SetQuota changes what throttled replicas are sent.
func (m *Manager) SetQuota(q throttle.Quota) { m.meter.Set(q) }

// throttle brings up to date which partitions are throttled, in the topics whose configuration has changed.
func (m *Manager) throttle(img *image.Image, topics map[string]bool) {
	if len(topics) == 0 {
		return
	}
	for _, p := range m.hosted() {
		if topics[p.tp.Topic] {
			m.throttlePartition(img, p)
		}
	}
}

func (m *Manager) throttlePartition(img *image.Image, p *Partition) {
	value := img.Configs[image.Resource{Type: image.ResourceTopic, Name: p.tp.Topic}][throttledReplicasKey]
	p.throttled.Store(throttle.Names(value, m.nodeID, p.tp.Partition))
}

// holdsBack says whether a follower is sent nothing now. One that is in sync is never held back: it would leave the in-sync
// replicas.
func (p *Partition) holdsBack(m *Manager, r *role, follower protocol.NodeID, now time.Time) bool {
	return p.throttled.Load() && !slices.Contains(r.isr, follower) && m.meter.Exceeded(now)
}
