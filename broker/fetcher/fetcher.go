package fetcher

import (
	"context"
	"errors"
	"hash/fnv"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// Link is a connection to another broker; see nodelink.Link. A loop is done with an answer when it sends the next request.
type Link interface {
	Request(ctx context.Context, req kmsg.Request) (kmsg.Response, error)
	Close() error
}

// Config is how partitions are fetched. Every field has to be set.
type Config struct {
	Fetchers         int           // num.replica.fetchers, to begin with
	MinBytes         int32         // replica.fetch.min.bytes
	MaxBytes         int32         // replica.fetch.max.bytes: of a partition
	ResponseMaxBytes int32         // replica.fetch.response.max.bytes
	MaxWait          time.Duration // replica.fetch.wait.max.ms
	// Backoff is replica.fetch.backoff.ms: how long it takes at most until what has failed is tried again. It begins
	// with less: most of what fails is a leader that has not seen the newest metadata yet.
	Backoff time.Duration
	Timeout time.Duration // replica.socket.timeout.ms
}

// Options configure a Fetcher. All are required.
type Options struct {
	NodeID   protocol.NodeID
	Replicas *replica.Manager
	// Link makes the link of a loop to a leader. Where that is, the link has to find out.
	Link        func(leader protocol.NodeID, fetcher int) Link
	BrokerEpoch func() protocol.BrokerEpoch
	Config      Config
	Quota       throttle.Quota
	Logger      *slog.Logger
}

var errStopped = errors.New("the fetcher is stopped")

// openers is how many logs are opened at a time.
const openers = 16

// Fetcher follows partitions.
type Fetcher struct {
	o      Options
	logger *slog.Logger
	ctx    func() context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // loops and openers

	mu       sync.Mutex // guards the fields below
	closed   bool
	fetchers int // loops to a leader
	followed map[key]*followed
	loops    map[loopKey]*loop
	opening  []*followed               // their logs are to be opened
	openers  int                       // goroutines that do
	failures map[protocol.NodeID]int64 // requests to a leader that came to nothing; 0 for one of whom none did

	meter  throttle.Meter // of throttled partitions
	totals totals
}

// loopKey names a loop: one of several to a leader.
type loopKey struct {
	leader protocol.NodeID
	index  int
}

// New returns a fetcher that follows nothing yet.
func New(o Options) *Fetcher {
	ctx, cancel := context.WithCancelCause(context.Background())
	f := &Fetcher{
		o: o, fetchers: o.Config.Fetchers, logger: o.Logger.With(slog.String("component", "fetcher")), ctx: func() context.Context { return ctx }, cancel: cancel,
		followed: make(map[key]*followed), loops: make(map[loopKey]*loop), failures: make(map[protocol.NodeID]int64),
	}
	f.meter.Set(o.Quota)
	return f
}

// Close stops following and joins every goroutine. The logs stay as they are.
func (f *Fetcher) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel(errStopped)
	f.wg.Wait()
	return nil
}

// Publish takes over a new metadata image (image.Publisher). It does no I/O.
func (f *Fetcher) Publish(d *image.Delta) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	for _, t := range d.DeletedTopics {
		for i := range t.Partitions {
			f.stopLocked(f.followed[key{t.ID, int32(i)}])
		}
	}
	for _, t := range d.ChangedTopics {
		for i := range t.Partitions {
			f.assignLocked(d.Next, t, int32(i))
		}
	}
	f.throttleLocked(d)
	f.endIdleLocked()
}

// assignLocked brings what is followed of a partition up to date.
func (f *Fetcher) assignLocked(img *image.Image, t *image.Topic, index int32) {
	state := &t.Partitions[index]
	was := f.followed[key{t.ID, index}]
	if !follows(f.o.NodeID, state) {
		f.stopLocked(was)
		return
	}
	if was != nil && was.leader == state.Leader && was.leaderEpoch == protocol.LeaderEpoch(state.LeaderEpoch) {
		failed := was.failure.Load() != nil && was.partitionEpoch != state.PartitionEpoch
		if was.partitionEpoch = state.PartitionEpoch; !failed { // else what was wrong may have been dealt with
			return
		}
	}
	f.stopLocked(was)
	tp := protocol.TopicIDPartition{ID: t.ID, Topic: t.Name, Partition: index}
	p := f.followLocked(tp, state.Leader, protocol.LeaderEpoch(state.LeaderEpoch), f.throttled(img, t.Name, index))
	p.partitionEpoch = state.PartitionEpoch
}

// followLocked begins to follow a partition in a leader epoch.
func (f *Fetcher) followLocked(tp protocol.TopicIDPartition, leader protocol.NodeID, leaderEpoch protocol.LeaderEpoch, throttled bool) *followed {
	p := &followed{TopicIDPartition: tp, leader: leader, leaderEpoch: leaderEpoch}
	p.lag.Store(unknownLag)
	p.throttled.Store(throttled)
	f.followed[p.key()] = p
	p.loop = f.loopLocked(loopKey{p.leader, f.fetcherOf(p.TopicIDPartition)})
	p.loop.assigned++
	f.openLocked(p)
	return p
}

// SetFetchers changes how many loops there are to each leader (num.replica.fetchers): every partition goes to the one that is
// its own then.
func (f *Fetcher) SetFetchers(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || n == f.fetchers {
		return
	}
	f.fetchers = n
	for _, p := range slices.Collect(maps.Values(f.followed)) {
		f.stopLocked(p)
		f.followLocked(p.TopicIDPartition, p.leader, p.leaderEpoch, p.throttled.Load()).partitionEpoch = p.partitionEpoch
	}
	f.endIdleLocked()
}

// fetcherOf spreads the partitions of a leader over its loops, those of one topic evenly.
func (f *Fetcher) fetcherOf(tp protocol.TopicIDPartition) int {
	h := fnv.New32a()
	h.Write([]byte(tp.Topic))
	return int((h.Sum32() + uint32(tp.Partition)) % uint32(f.fetchers))
}

// loopLocked returns a loop, starting it where there is none.
func (f *Fetcher) loopLocked(k loopKey) *loop {
	l := f.loops[k]
	if l == nil {
		l = newLoop(f, k)
		f.loops[k] = l
		f.failures[k.leader] += 0 // it shows from the start
		f.wg.Go(l.run)
	}
	return l
}

// stopLocked ends the following of a partition in its leader epoch. nil is nothing to stop.
func (f *Fetcher) stopLocked(p *followed) {
	if p == nil {
		return
	}
	delete(f.followed, p.key())
	p.stopped.Store(true)
	p.loop.assigned--
	p.loop.post(p)
}

// endIdleLocked ends the loops that have nothing to do any more.
func (f *Fetcher) endIdleLocked() {
	for k, l := range f.loops {
		if l.assigned == 0 {
			delete(f.loops, k)
			l.cancel(errStopped)
		}
	}
}

// openLocked has the log of a partition opened; then the partition joins its loop.
func (f *Fetcher) openLocked(p *followed) {
	f.opening = append(f.opening, p)
	if f.openers < openers {
		f.openers++
		f.wg.Go(f.open)
	}
}

// reopen is openLocked for a partition whose log could not be opened before.
func (f *Fetcher) reopen(p *followed) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.openLocked(p)
}

// open opens logs while there are any to be opened.
func (f *Fetcher) open() {
	for {
		f.mu.Lock()
		if len(f.opening) == 0 || f.closed {
			f.opening = nil
			f.openers--
			f.mu.Unlock()
			return
		}
		p := f.opening[0]
		f.opening[0] = nil
		f.opening = f.opening[1:]
		f.mu.Unlock()
		if p.stopped.Load() {
			continue
		}
		p.follower, p.opened = f.openLog(p)
		p.loop.post(p)
	}
}

// openLog opens a log and makes durable what is there: the first fetch offset says so already.
func (f *Fetcher) openLog(p *followed) (*replica.Follower, error) {
	follower, err := f.o.Replicas.Follow(p.TopicIDPartition, p.leaderEpoch)
	if err != nil {
		return nil, err
	}
	if err := follower.Sync(f.ctx()); err != nil {
		return nil, err
	}
	return follower, nil
}
