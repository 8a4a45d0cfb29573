package cleaner

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
)

// Config is how the cleaner works: Kafka's log.cleaner.* properties.
type Config struct {
	Threads     int           // log.cleaner.threads: logs compacted at a time; 0: none is, as with log.cleaner.enable=false
	KeyBytes    int64         // log.cleaner.dedupe.buffer.size: memory for the key maps of all threads together, at most
	LoadFactor  float64       // log.cleaner.io.buffer.load.factor: how full a key map may become before a pass ends
	IOBytes     int           // log.cleaner.io.buffer.size: memory for the buffers of all threads together
	BytesPerSec float64       // log.cleaner.io.max.bytes.per.second: of reading and writing together
	Backoff     time.Duration // log.cleaner.backoff.ms: how long to wait when there was nothing to do
}

// DefaultConfig returns Kafka's defaults.
func DefaultConfig() Config {
	return Config{
		Threads: 1, KeyBytes: 128 << 20, LoadFactor: 0.9, IOBytes: 512 << 10, BytesPerSec: float64(rate.Inf), Backoff: 15 * time.Second,
	}
}

// Log is a log whose topic is compacted.
type Log struct {
	*commitlog.Log
	Dir string // its log directory
}

// Options of New.
type Options struct {
	Config Config
	// Logs returns the open logs in live directories whose cleanup.policy contains compact.
	Logs func() []Log
	// Cleaned is called after a pass moved the log's cleaned offset, which is to be checkpointed.
	Cleaned func(l Log)
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
}

// Cleaner compacts logs on goroutines of its own, the one with the largest share of dirty bytes first.
type Cleaner struct {
	o       Options
	logger  *slog.Logger
	limiter *rate.Limiter

	stop    context.CancelFunc // nil before Start
	running sync.WaitGroup
	changed chan struct{} // of one place: config is another one

	chooseMu sync.Mutex // held while a thread looks for a log, across that I/O; taken before mu

	mu       sync.Mutex // guards the fields below
	config   Config
	working  map[*commitlog.Log]bool
	failed   map[*commitlog.Log]failure   // logs that cannot be compacted
	deferred map[*commitlog.Log]time.Time // logs that are left alone until then: their disk is full
	stats    counters
}

// failure is a log that cannot be compacted until the process starts anew.
type failure struct {
	log Log
	err error
}

// New returns a cleaner that does nothing until Start.
func New(o Options) *Cleaner {
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cleaner{
		o: o, changed: make(chan struct{}, 1), logger: o.Logger.With(slog.String("component", "cleaner")), limiter: rate.NewLimiter(rate.Inf, burst), config: o.Config,
		working: make(map[*commitlog.Log]bool), failed: make(map[*commitlog.Log]failure), deferred: make(map[*commitlog.Log]time.Time),
	}
	c.stats.lastRun = o.Now()
	return c
}

// burst is how many bytes may be moved at once: more are paid for in pieces.
const burst = 1 << 20

// Start begins the threads. It is called once.
func (c *Cleaner) Start() {
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	c.running.Go(func() {
		for ctx.Err() == nil {
			c.runThreads(ctx)
		}
	})
}

// runThreads runs the threads until the configuration changes or ctx ends.
func (c *Cleaner) runThreads(ctx context.Context) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c.mu.Lock()
	cfg := c.config
	c.stats.threads = make([]threadStats, cfg.Threads)
	c.mu.Unlock()
	c.limiter.SetLimit(rate.Limit(max(0, cfg.BytesPerSec)))
	var threads sync.WaitGroup
	for i := range cfg.Threads {
		threads.Go(func() { c.work(ctx, i, cfg) })
	}
	select {
	case <-ctx.Done():
	case <-c.changed:
	}
	stop()
	threads.Wait()
}

// Reconfigure has the threads begin anew with another configuration, as Kafka does. What they are at is dropped. It does not
// wait for that.
func (c *Cleaner) Reconfigure(cfg Config) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.config == cfg {
		return
	}
	c.config = cfg
	select {
	case c.changed <- struct{}{}:
	default: // they will find this one, too
	}
}

// Close ends the threads and waits for them.
func (c *Cleaner) Close() {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
}

// leastBackoff keeps idle threads from spinning where log.cleaner.backoff.ms is 0.
const leastBackoff = 10 * time.Millisecond

// work is one thread.
func (c *Cleaner) work(ctx context.Context, id int, cfg Config) {
	timer := time.NewTimer(cfg.Backoff)
	defer timer.Stop()
	for ctx.Err() == nil {
		if c.cleanFilthiest(ctx, id, cfg) {
			continue
		}
		timer.Reset(max(cfg.Backoff, leastBackoff))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// cleanFilthiest compacts the log that needs it most and reports whether there may be more to do.
func (c *Cleaner) cleanFilthiest(ctx context.Context, id int, cfg Config) bool {
	l, r, ok := c.choose()
	if !ok {
		return false
	}
	result, err := Compact(ctx, l.Log, r, Limits{
		KeyBytes: cfg.KeyBytes / int64(cfg.Threads), LoadFactor: cfg.LoadFactor, IOBytes: cfg.IOBytes / cfg.Threads / 2, Pause: c.pause,
	}, c.o.Now())
	c.finished(id, l, r, &result, err)
	if err == nil && c.o.Cleaned != nil {
		c.o.Cleaned(l)
	}
	return err == nil
}

// pause waits until so many bytes may be moved.
func (c *Cleaner) pause(ctx context.Context, bytes int) error {
	for bytes > 0 {
		n := min(bytes, burst)
		if err := c.limiter.WaitN(ctx, n); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
		bytes -= n
	}
	return nil
}

// candidate is a log that may be compacted.
type candidate struct {
	log Log
	r   Range
}

// choose takes the dirtiest of the logs that are due.
func (c *Cleaner) choose() (Log, Range, bool) {
	c.chooseMu.Lock()
	defer c.chooseMu.Unlock()
	logs := c.o.Logs()
	now := c.o.Now()
	c.forget(logs)
	var due []candidate
	dirtiest := 0.0
	var delay time.Duration
	for _, l := range logs {
		if c.skipped(l, now) {
			continue
		}
		r, err := c.look(l, now)
		if err != nil {
			c.fail(l, err)
			continue
		}
		dirtiest, delay = max(dirtiest, r.Ratio()), max(delay, r.Delay)
		cfg := l.Config()
		if r.due(&cfg) {
			due = append(due, candidate{l, r})
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.lastRun, c.stats.dirtiest, c.stats.delay = now, dirtiest, delay
	if len(due) == 0 {
		return Log{}, Range{}, false
	}
	filthiest := slices.MaxFunc(due, func(a, b candidate) int { return cmp.Compare(a.r.Ratio(), b.r.Ratio()) })
	c.working[filthiest.log.Log] = true
	return filthiest.log, filthiest.r, true
}

// look works out what of a log can be compacted. An active segment that has waited for max.compaction.lag.ms is rolled
// first: Kafka does so only with the next append, which may never come.
func (c *Cleaner) look(l Log, now time.Time) (Range, error) {
	lag := l.Config().MaxCompactionLagMs
	list := l.Segments()
	if active := list[len(list)-1]; lag > 0 && active.Size() > 0 {
		first, err := active.FirstTimestamp()
		if err != nil {
			return Range{}, err
		}
		if first > 0 && now.UnixMilli()-first > lag {
			if err := l.Roll(); err != nil {
				return Range{}, err
			}
		}
	}
	return Cleanable(l.Log, now)
}

// skipped reports whether a log is to be left alone.
func (c *Cleaner) skipped(l Log, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, failed := c.failed[l.Log]
	return failed || c.working[l.Log] || now.Before(c.deferred[l.Log])
}

// forget drops what is noted of logs that are not there any more.
func (c *Cleaner) forget(logs []Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed)+len(c.deferred) == 0 {
		return
	}
	there := make(map[*commitlog.Log]bool, len(logs))
	for _, l := range logs {
		there[l.Log] = true
	}
	for l := range c.failed {
		if !there[l] {
			delete(c.failed, l)
		}
	}
	for l := range c.deferred {
		if !there[l] {
			delete(c.deferred, l)
		}
	}
}

// finished notes how a pass ended.
func (c *Cleaner) finished(id int, l Log, r Range, result *Result, err error) {
	tp := l.TopicPartition()
	logger := c.logger.With(slog.String("topic", tp.Topic), slog.Int("partition", int(tp.Partition)))
	c.mu.Lock()
	delete(c.working, l.Log)
	c.stats.add(id, r, result, err)
	c.mu.Unlock()
	switch {
	case err == nil:
		logger.Info("compacted", slog.String("event", "log.compacted"), slog.Int64("from", result.FirstDirty), slog.Int64("to", result.EndOffset),
			slog.Int64("bytes_before", result.BytesRead), slog.Int64("bytes_after", result.BytesWritten),
			slog.Int64("records_before", result.RecordsRead), slog.Int64("records_after", result.RecordsWritten),
			slog.Int("segments_before", result.SegmentsBefore), slog.Int("segments_after", result.SegmentsAfter), slog.Duration("dur", result.Duration))
		if result.RecordsInvalid > 0 {
			logger.Warn("records without a key were removed by compaction", slog.Int64("records", result.RecordsInvalid))
		}
	case harmless(err):
		logger.Debug("compaction was broken off", slog.Any("err", err))
	case errors.Is(err, errFull), segment.IsNoSpace(err):
		logger.Warn("compaction was broken off: the disk is full", slog.Any("err", err))
		c.postpone(l)
	default:
		c.fail(l, err)
	}
}

// harmless are the ends of a pass that say nothing about the log: it was closed, or retention was faster.
func harmless(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, commitlog.ErrClosed) || errors.Is(err, commitlog.ErrReplaced) ||
		errors.Is(err, commitlog.ErrCompacting) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrClosed)
}

// postpone leaves a log alone for a while.
func (c *Cleaner) postpone(l Log) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deferred[l.Log] = c.o.Now().Add(max(c.config.Backoff, time.Minute))
}

// fail leaves a log alone until the process starts anew, unless its directory failed: then it is gone the next time.
func (c *Cleaner) fail(l Log, err error) {
	if harmless(err) {
		return
	}
	if l.Err() != nil {
		c.logger.Debug("compaction was broken off: the directory failed", slog.Any("err", err))
		return
	}
	tp := l.TopicPartition()
	c.mu.Lock()
	c.failed[l.Log] = failure{l, err}
	c.mu.Unlock()
	c.logger.Error("partition cannot be compacted: it grows until the broker is restarted", slog.String("event", "log.uncleanable"),
		slog.String("topic", tp.Topic), slog.Int("partition", int(tp.Partition)), slog.String("dir", l.Dir), slog.Any("err", err))
}
