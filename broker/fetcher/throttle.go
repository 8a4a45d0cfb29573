package fetcher

import (
	"time"

	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
)

// throttledReplicasKey names the replicas of a topic that follow no faster than follower.replication.throttled.rate.
const throttledReplicasKey = "follower.replication.throttled.replicas"

// throttlePause is how long a partition waits that may not be fetched for its rate.
const throttlePause = 100 * time.Millisecond

// throttled says whether this broker's replica of a partition is.
func (f *Fetcher) throttled(img *image.Image, topic string, partition int32) bool {
	return throttle.Names(img.Configs[image.Resource{Type: image.ResourceTopic, Name: topic}][throttledReplicasKey], f.o.NodeID, partition)
}

// throttleLocked brings up to date which partitions are throttled.
func (f *Fetcher) throttleLocked(d *image.Delta) {
	changed := make(map[string]bool)
	for r := range d.ChangedConfigs {
		if r.Type == image.ResourceTopic {
			changed[r.Name] = true
		}
	}
	if len(changed) == 0 {
		return
	}
	for _, p := range f.followed {
		if changed[p.Topic] {
			p.throttled.Store(f.throttled(d.Next, p.Topic, p.Partition))
		}
	}
}

// SetQuota changes what throttled replicas are allowed (follower.replication.throttled.rate).
func (f *Fetcher) SetQuota(q throttle.Quota) { f.meter.Set(q) }
