package coordlog

import (
	"cmp"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
)

// Replicas is what a runtime needs of the replica manager; see the methods of replica.Manager.
type Replicas interface {
	Append(o replica.AppendOptions, parts []replica.Append, done func()) bool
	Read(dst []replica.ReadResult, o replica.ReadOptions, parts []replica.ReadPartition) []replica.ReadResult
	AwaitRead(o replica.ReadOptions, parts []replica.ReadPartition, deadline time.Time, done func()) replica.Wait
	ListOffset(q replica.ListOffset) (replica.FoundOffset, error)
}

// Options configure a Runtime. What has no default is required.
type Options[M Machine] struct {
	Topic    string
	NodeID   protocol.NodeID
	Replicas Replicas
	Logger   *slog.Logger
	New      func(partition int32) M // an empty machine

	MaxBatchBytes func() int     // the largest record batch that the topic takes; asked often
	Codec         compress.Codec // of the batches
	AppendTimeout time.Duration  // how long an append waits for its commit
	KeepBytes     func() int     // batch buffers up to that size are kept for reuse; nil: 1 MiB
	LoadBytes     int            // read at a time while loading; 0: 1 MiB
	Loads         int            // partitions that load at the same time; 0: 4
	Patience      time.Duration  // how long operations wait for a partition that begins to load, before they are refused
	Background    int            // goroutines for the work of Effects.Go; 0: 2
}

// Runtime runs the shards of the partitions that this broker leads.
type Runtime[M Machine] struct{ core }

// core is what the shards of a runtime have in common.
type core struct {
	topic         string
	nodeID        protocol.NodeID
	replicas      Replicas
	logger        *slog.Logger
	newMachine    func(partition int32) Machine
	maxBatchBytes func() int
	keepBytes     func() int
	codec         compress.Codec
	appendTimeout time.Duration
	loadBytes     int
	patience      time.Duration

	loads      chan struct{} // holds a token for each partition that loads
	background chan struct{} // holds a token for each work of Effects.Go that runs
	buffers    sync.Pool     // of *[]byte, for loading
	builders   sync.Pool     // of *records.Builder
	counters   counters

	running sync.WaitGroup // shards and their background work
	quit    chan struct{}  // closed by Close

	led atomic.Pointer[map[int32]*shard] // replaced with mu held, never changed

	mu       sync.Mutex // guards the fields below
	known    *image.Topic
	resigned bool
	closed   bool
}

// New returns a runtime that leads nothing yet.
func New[M Machine](o Options[M]) *Runtime[M] {
	r := &Runtime[M]{core{
		topic: o.Topic, nodeID: o.NodeID, replicas: o.Replicas,
		logger:        o.Logger.With(slog.String("component", "coordinator"), slog.String("topic", o.Topic)),
		newMachine:    func(partition int32) Machine { return o.New(partition) },
		maxBatchBytes: o.MaxBatchBytes, keepBytes: o.KeepBytes, codec: o.Codec, appendTimeout: o.AppendTimeout,
		loadBytes:  cmp.Or(o.LoadBytes, 1<<20),
		patience:   o.Patience,
		loads:      make(chan struct{}, cmp.Or(o.Loads, 4)),
		background: make(chan struct{}, cmp.Or(o.Background, 2)),
		quit:       make(chan struct{}),
	}}
	if r.keepBytes == nil {
		r.keepBytes = func() int { return 1 << 20 }
	}
	r.led.Store(&map[int32]*shard{})
	return r
}

// Publish begins and ends shards as the metadata says (image.Publisher). It waits for nothing.
func (c *core) Publish(d *image.Delta) {
	topic := d.Next.Topic(c.topic)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == topic || c.resigned {
		return
	}
	c.known = topic
	was := *c.led.Load()
	now := make(map[int32]*shard)
	if topic != nil {
		for i := range topic.Partitions {
			p := &topic.Partitions[i]
			if p.Leader != c.nodeID {
				continue
			}
			id := protocol.TopicIDPartition{ID: topic.ID, Topic: topic.Name, Partition: int32(i)}
			s := was[id.Partition]
			if s == nil || s.id != id || s.epoch != protocol.LeaderEpoch(p.LeaderEpoch) {
				s = newShard(c, id, protocol.LeaderEpoch(p.LeaderEpoch))
			}
			now[id.Partition] = s
		}
	}
	for partition, s := range was {
		if now[partition] != s {
			s.stop()
		}
	}
	c.led.Store(&now)
	for partition, s := range now {
		if was[partition] != s {
			c.running.Go(s.loop)
		}
	}
}

// Resign stops taking operations, so that a broker that stops can answer what it was asked: what is parked is answered
// with NOT_COORDINATOR at once, and answers that wait for their commit leave when they have it.
func (c *core) Resign() {
	c.mu.Lock()
	c.resigned = true
	c.mu.Unlock()
	for _, s := range *c.led.Load() {
		s.resign()
	}
}

// Close ends all shards and returns when their goroutines are gone.
func (c *core) Close() error {
	c.mu.Lock()
	c.resigned = true
	if !c.closed {
		c.closed = true
		close(c.quit)
	}
	was := *c.led.Swap(&map[int32]*shard{})
	c.mu.Unlock()
	for _, s := range was {
		s.stop()
	}
	c.running.Wait()
	return nil
}

// Partitions lists the partitions that this broker leads, sorted, whether they are loaded or not.
func (c *core) Partitions() []int32 { return slices.Sorted(maps.Keys(*c.led.Load())) }

// inBackground runs work on another goroutine, when its turn has come.
func (c *core) inBackground(work func()) {
	c.running.Go(func() {
		select {
		case c.background <- struct{}{}:
			defer func() { <-c.background }()
			work()
		case <-c.quit:
		}
	})
}

func (c *core) shard(partition int32) *shard { return (*c.led.Load())[partition] }

// Post has op run on every shard, on those that load when they are done. It waits for nothing.
func (r *Runtime[M]) Post(op func(fx Effects, m M)) {
	for _, s := range *r.led.Load() {
		s.post(func(fx Effects) { op(fx, s.machine.(M)) })
	}
}

// counters are what Stats shows beside the shards.
type counters struct {
	loads, loadFailures      atomic.Int64
	loadNanos, maxLoadNanos  atomic.Int64
	loadedRecords            atomic.Int64
	batches, records, bytes  atomic.Int64
	operations, appendErrors atomic.Int64
}

// Stats describe a runtime, for metrics. Counters count since it was made.
type Stats struct {
	Loading, Active, Failed int   // shards
	Waiting                 int   // operations that are not answered yet
	Uncommitted             int64 // bytes of records

	Operations    int64
	Loads         int64 // that succeeded
	LoadFailures  int64
	LoadTime      time.Duration // of all
	MaxLoadTime   time.Duration
	LoadedRecords int64

	Batches, Records, Bytes int64 // appended
	AppendErrors            int64
}

// Stats counts.
func (c *core) Stats() Stats {
	n := &c.counters
	out := Stats{
		Operations: n.operations.Load(),
		Loads:      n.loads.Load(), LoadFailures: n.loadFailures.Load(), LoadedRecords: n.loadedRecords.Load(),
		LoadTime: time.Duration(n.loadNanos.Load()), MaxLoadTime: time.Duration(n.maxLoadNanos.Load()),
		Batches: n.batches.Load(), Records: n.records.Load(), Bytes: n.bytes.Load(), AppendErrors: n.appendErrors.Load(),
	}
	for _, s := range *c.led.Load() {
		s.count(&out)
	}
	return out
}
