package throttle

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distributedmq/dmq/protocol"
)

// Names says whether a broker's replica of a partition is among those that a topic's configuration names: all (*), or
// partition:broker pairs.
func Names(value string, self protocol.NodeID, partition int32) bool {
	if value == "" {
		return false
	}
	pair := strconv.Itoa(int(partition)) + ":" + strconv.Itoa(int(self))
	return value == "*" || slices.ContainsFunc(strings.Split(value, ","), func(s string) bool { return strings.TrimSpace(s) == pair })
}

// Quota is what throttled replicas are allowed, all of them together.
type Quota struct {
	BytesPerSec int64         // leader. or follower.replication.throttled.rate
	Windows     int           // replication.quota.window.num
	Window      time.Duration // replication.quota.window.size.seconds
}

// Meter measures a rate as Kafka does: over a number of windows, of which the last is not complete.
type Meter struct {
	mu      sync.Mutex // guards the fields below
	quota   Quota
	windows []window // the oldest first
}

type window struct {
	begin time.Time
	bytes int64
}

// Set changes what is allowed.
func (m *Meter) Set(q Quota) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quota = q
}

// Record counts bytes.
func (m *Meter) Record(bytes int, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.windows); n == 0 || now.Sub(m.windows[n-1].begin) >= m.quota.Window {
		m.windows = append(m.windows, window{begin: now})
	}
	m.windows[len(m.windows)-1].bytes += int64(bytes)
	m.forget(now)
}

// Exceeded reports whether more was counted than is allowed.
func (m *Meter) Exceeded(now time.Time) bool {
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
func (m *Meter) forget(now time.Time) {
	all := time.Duration(m.quota.Windows) * m.quota.Window
	m.windows = slices.DeleteFunc(m.windows, func(w window) bool { return now.Sub(w.begin) >= all })
}
