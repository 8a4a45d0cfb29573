package fetcher

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// throttledReplicasKey names the replicas of a topic that follow no faster than follower.replication.throttled.rate.
const throttledReplicasKey = "follower.replication.throttled.replicas"

// throttlePause is how long a partition waits that may not be fetched for its rate.
const throttlePause = 100 * time.Millisecond

// throttledIn says whether a broker's replica of a partition is among those that a topic's configuration names: all (*), or
// partition:broker pairs.
func throttledIn(value string, self protocol.NodeID, partition int32) bool {
	if value == "" {
		return false
	}
	pair := strconv.Itoa(int(partition)) + ":" + strconv.Itoa(int(self))
	return value == "*" || slices.ContainsFunc(strings.Split(value, ","), func(s string) bool { return strings.TrimSpace(s) == pair })
}

// throttled says the same by an image.
func (f *Fetcher) throttled(img *image.Image, topic string, partition int32) bool {
	return throttledIn(img.Configs[image.Resource{Type: image.ResourceTopic, Name: topic}][throttledReplicasKey], f.o.NodeID, partition)
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

// Quota is what throttled replicas are allowed, all of them together.
type Quota struct {
	BytesPerSec int64         // follower.replication.throttled.rate
	Windows     int           // replication.quota.window.num
	Window      time.Duration // replication.quota.window.size.seconds
}

// SetQuota changes it.
func (f *Fetcher) SetQuota(q Quota) { f.meter.set(q) }

// meter measures a rate as Kafka does: over a number of windows, of which the last is not complete.
type meter struct {
	mu      sync.Mutex // guards the fields below
	quota   Quota
	windows []window // the oldest first
}

type window struct {
	begin time.Time
	bytes int64
}

func (m *meter) set(q Quota) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quota = q
}

// record counts bytes.
func (m *meter) record(bytes int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.windows); n == 0 || now.Sub(m.windows[n-1].begin) >= m.quota.Window {
		m.windows = append(m.windows, window{begin: now})
	}
	m.windows[len(m.windows)-1].bytes += int64(bytes)
	m.forget(now)
}

// exceeded reports whether more came than is allowed.
func (m *meter) exceeded(now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(now)
	if len(m.windows) == 0 {
		return false
	}
	bytes := int64(0)
	for _, w := range m.windows {
		bytes += w.bytes
	}
	// Of less than all windows but one, a burst would count in full: Kafka takes them for empty ones.
	over := max(now.Sub(m.windows[0].begin), time.Duration(m.quota.Windows-1)*m.quota.Window, m.quota.Window)
	return float64(bytes) > float64(m.quota.BytesPerSec)*over.Seconds()
}

// forget drops the windows that are over. Under mu.
func (m *meter) forget(now time.Time) {
	all := time.Duration(m.quota.Windows) * m.quota.Window
	m.windows = slices.DeleteFunc(m.windows, func(w window) bool { return now.Sub(w.begin) >= all })
}
