package metrics

import (
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/protocol"
)

// maxVersions bounds the version label; every API of Kafka has fewer.
const maxVersions = 32

// durationBuckets reach from a cached answer to a long poll, in seconds.
var durationBuckets = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30}

// Requests counts answered requests by API and version. It is the listener's Observer.
type Requests struct {
	apis map[int16]*apiCounters // fixed after NewRequests
	idle idle
}

type apiCounters struct {
	name     string
	versions [maxVersions]atomic.Int64
	count    atomic.Int64
	total    durations
	stages   [3]atomic.Int64 // nanoseconds: local, remote, send
}

// durations is a histogram without locks: a scrape may see a request in the count before its bucket.
type durations struct {
	buckets [len(durationBuckets) + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

func (d *durations) observe(t time.Duration) {
	s := t.Seconds()
	i := 0
	for i < len(durationBuckets) && s > durationBuckets[i] {
		i++
	}
	d.buckets[i].Add(1)
	d.sum.Add(int64(t))
}

// idleWindow is over how long idleness is averaged at least, however often it is asked for.
const idleWindow = 10 * time.Second

// idle tells which share of the processors' time was not spent on requests, from one scrape to another.
type idle struct {
	mu    sync.Mutex // guards the fields below
	since time.Time
	busy  [2]time.Duration // at since: in handlers, sending
	share [2]float64
}

// update returns the idleness of handlers and of sending.
func (d *idle) update(now time.Time, busy [2]time.Duration) [2]float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if took := now.Sub(d.since); took >= idleWindow {
		for i := range busy {
			used := float64(busy[i]-d.busy[i]) / float64(took) / float64(runtime.GOMAXPROCS(0))
			d.share[i] = min(max(1-used, 0), 1)
		}
		d.since, d.busy = now, busy
	}
	return d.share
}

// NewRequests returns counters for every served API.
func NewRequests() *Requests {
	r := &Requests{apis: make(map[int16]*apiCounters), idle: idle{since: time.Now(), share: [2]float64{1, 1}}}
	for _, api := range protocol.APIs() {
		r.apis[api.Key] = &apiCounters{name: api.Name}
	}
	return r
}

// RequestDone implements listener.Observer.
func (r *Requests) RequestDone(d *listener.RequestDone) {
	c := r.apis[d.Request.Header.Key]
	if c == nil {
		return
	}
	if v := d.Request.Header.Version; v >= 0 && v < maxVersions {
		c.versions[v].Add(1)
	}
	c.count.Add(1)
	c.total.observe(d.Local + d.Remote + d.Send)
	c.stages[0].Add(int64(d.Local))
	c.stages[1].Add(int64(d.Remote))
	c.stages[2].Add(int64(d.Send))
}

var (
	requestsDesc  = prometheus.NewDesc("kafka_network_requestmetrics_requests_total", "Requests answered.", []string{"request", "version"}, nil)
	durationDesc  = prometheus.NewDesc("dmq_request_duration_seconds", "Time from a request's last byte to its answer's.", []string{"request"}, nil)
	totalTimeDesc = prometheus.NewDesc("kafka_network_requestmetrics_totaltimems", "Milliseconds from a request's last byte to its answer's, since the start; quantiles are as fine as the buckets of dmq_request_duration_seconds.", []string{"request"}, nil)
	stageDesc     = prometheus.NewDesc("dmq_request_stage_seconds_total", "Time spent by stage: local (in the handler), remote (waiting for acknowledgement or data), send.", []string{"request", "stage"}, nil)
	stageNames    = [3]string{"local", "remote", "send"}
	nanosInSecond = float64(time.Second)
)

func (r *Requests) collect(ch chan<- prometheus.Metric) {
	for _, c := range r.apis {
		n := c.count.Load()
		if n == 0 {
			continue
		}
		for v := range c.versions {
			if k := c.versions[v].Load(); k > 0 {
				ch <- prometheus.MustNewConstMetric(requestsDesc, prometheus.CounterValue, float64(k), c.name, strconv.Itoa(v))
			}
		}
		ch <- c.total.metric(durationDesc, c.name)
		ch <- c.total.summary(totalTimeDesc, c.name)
		for i := range c.stages {
			ch <- prometheus.MustNewConstMetric(stageDesc, prometheus.CounterValue, float64(c.stages[i].Load())/nanosInSecond, c.name, stageNames[i])
		}
	}
}

// quantiles are those of Kafka's request metrics.
var quantiles = [...]float64{.5, .75, .95, .98, .99, .999}

// summary is the histogram under Kafka's name, in milliseconds.
func (d *durations) summary(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	var counts [len(durationBuckets) + 1]float64
	total := 0.
	for i := range counts {
		counts[i] = float64(d.buckets[i].Load())
		total += counts[i]
	}
	out := make(map[float64]float64, len(quantiles))
	for _, q := range quantiles {
		out[q] = quantile(q*total, counts[:]) * 1000
	}
	return prometheus.MustNewConstSummary(desc, uint64(total), float64(d.sum.Load())/float64(time.Millisecond), out, labels...)
}

// quantile is the time in seconds within which rank of the requests were answered, as if those of a bucket were spread evenly
// over it. What is above the last bound counts as that bound.
func quantile(rank float64, counts []float64) float64 {
	lower := 0.
	for i, bound := range durationBuckets {
		if counts[i] > 0 && rank <= counts[i] {
			return lower + (bound-lower)*rank/counts[i]
		}
		rank -= counts[i]
		lower = bound
	}
	return lower
}

func (d *durations) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(durationBuckets))
	var cumulative uint64
	for i, bound := range durationBuckets {
		cumulative += uint64(d.buckets[i].Load())
		buckets[bound] = cumulative
	}
	cumulative += uint64(d.buckets[len(durationBuckets)].Load())
	sum := float64(d.sum.Load()) / nanosInSecond
	return prometheus.MustNewConstHistogram(desc, cumulative, sum, buckets, labels...)
}
