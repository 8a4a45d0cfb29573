package log

import (
	"errors"
	"hash/fnv"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/distributedmq/dmq/log/epoch"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Options of Open.
type Options struct {
	FS             vfs.FS
	Dir            string // the partition's folder; where it is missing it is made for the first record
	TopicPartition protocol.TopicPartition
	TopicID        protocol.TopicID
	Config         Config

	RecoveryPoint  int64 // checkpointed: everything below it was synced
	LogStartOffset int64 // checkpointed
	HighWatermark  int64 // checkpointed
	CleanedOffset  int64 // checkpointed: everything below it was compacted; 0: nothing
	CleanShutdown  bool  // the log was closed before its process ended: nothing has to be checked

	Syncer    *Syncer        // shared by the logs of a process
	Files     *segment.Files // shared bound of open .log files; nil: one of its own
	TailCache *TailCache     // shared bound of memory for the newest batches; nil: none are kept

	// MakeDir makes Dir, with what its owner keeps in it, before the first record is written; SyncName makes its name in its
	// parent durable then. nil: an empty folder is made, and the parent synced.
	MakeDir, SyncName func() error
	// Admit is asked before every append; its error refuses it. nil: all are taken.
	Admit func() error
	// Failed is called once, when the log must not be used any more because its directory failed.
	Failed func(error)
	// Synced is called without locks after the synced end offset has moved. The next sync does not wait for it: calls may
	// overlap and come late.
	Synced func(endOffset int64)
	// Appended is called without locks after batches were written.
	Appended func()
	// RecoveryPointLowered is called after a truncation below the recovery point, or the high watermark, and before anything can
	// be appended: a checkpoint of before would take what comes after the truncation for synced, committed and compacted.
	RecoveryPointLowered func()

	Logger *slog.Logger     // nil: discarded
	Now    func() time.Time // wall clock; nil: time.Now
}

// Log is one partition's log.
type Log struct {
	o      Options
	fs     vfs.FS
	logger *slog.Logger
	config atomic.Pointer[Config]
	epochs *epoch.Cache

	// layout is held by whoever renames or removes files of segments, across that I/O; taken before mu.
	layout sync.Mutex

	// mu is the append lock: it orders everything that changes segments or producer state, and is held across that I/O.
	// Take it with lock, release it with unlock. It guards the fields below.
	mu        sync.Mutex
	producers *producerstate.Manager
	removals  []*removal
	unsettled bool // invariant 7: the log was opened empty, and nothing was written to it since

	scratch round // of whoever writes for the queue

	queueMu sync.Mutex // guards the fields below
	queue   []*request // who waits to be appended
	writing bool       // somebody is writing for the queue

	segments atomic.Pointer[[]*segment.Segment] // in order, at least one; the last is active; replaced under mu

	logStart      atomic.Int64
	end           atomic.Int64 // log end offset; set under mu
	highWatermark atomic.Int64
	folderless    atomic.Bool  // there is no folder yet: unsettled is set, too; written under mu
	unstable      atomic.Int64 // first offset of the oldest open or unreplicated transaction; noOffset: none
	cleaned       atomic.Int64 // everything below it was compacted; written with layout held
	raised        atomic.Bool  // the high watermark grew and the producer state has not been told

	marks marks
	sync  syncState
	tail  tail
	hints hints

	compactions compactions

	nothing  Slice                 // what Read returns where there is nothing; never written to
	state    atomic.Pointer[error] // why the log takes no more calls; nil while it does
	recovery Recovery
}

const noOffset = producerstate.NoOffset

// TopicPartition names the partition.
func (l *Log) TopicPartition() protocol.TopicPartition { return l.o.TopicPartition }

// TopicID is the topic id that the log was opened with.
func (l *Log) TopicID() protocol.TopicID { return l.o.TopicID }

// Dir is the partition's folder.
func (l *Log) Dir() string { return l.o.Dir }

// Folderless reports whether the log has no folder yet, since nothing was ever written to it.
func (l *Log) Folderless() bool { return l.folderless.Load() }

// LogStartOffset is the first offset that may be read.
func (l *Log) LogStartOffset() int64 { return l.logStart.Load() }

// LogEndOffset is the offset the next record gets.
func (l *Log) LogEndOffset() int64 { return l.end.Load() }

// HighWatermark is the offset up to which records are replicated. Who leads the partition moves it. It falls in ForgetHighWatermark
// alone, and where the log begins anew.
func (l *Log) HighWatermark() int64 { return l.highWatermark.Load() }

// Config returns how the log is kept.
func (l *Log) Config() Config { return *l.config.Load() }

// SetConfig changes how the log is kept from now on.
func (l *Log) SetConfig(c Config) {
	l.lock()
	l.config.Store(&c)
	l.producers.SetExpirationMs(c.ProducerIDExpirationMs)
	l.unlock()
	if l.LogEndOffset() > l.RecoveryPoint() {
		l.scheduleSync() // a new mode may promise more than the old one did
	}
}

// Size is the number of bytes in all segments.
func (l *Log) Size() int64 {
	var n int64
	for _, s := range l.list() {
		n += s.Size()
	}
	return n
}

// SegmentCount counts the segments.
func (l *Log) SegmentCount() int { return len(l.list()) }

// UpdateHighWatermark raises the high watermark, at most to the log end offset. A lower one changes nothing.
func (l *Log) UpdateHighWatermark(offset int64) {
	offset = min(offset, l.end.Load())
	for {
		old := l.highWatermark.Load()
		if offset <= old {
			return
		}
		if l.highWatermark.CompareAndSwap(old, offset) {
			break
		}
	}
	if l.unstable.Load() == noOffset {
		return
	}
	// Whoever holds the append lock looks at raised after giving it up.
	l.raised.Store(true)
	if l.mu.TryLock() {
		l.unlock()
	}
}

// LastStableOffset is where read_committed consumers stop: the first offset of the oldest transaction that is open or not
// yet replicated, at most the high watermark.
func (l *Log) LastStableOffset() int64 {
	unstable := l.unstable.Load() // before the high watermark: both grow
	hw := l.highWatermark.Load()
	if unstable != noOffset && unstable < hw {
		return max(unstable, min(l.logStart.Load(), hw))
	}
	return hw
}

// ActiveProducers describes the producers that the log remembers (DescribeProducers).
func (l *Log) ActiveProducers() []producerstate.Entry {
	l.lock()
	defer l.unlock()
	return l.producers.ActiveProducers()
}

// Recovery says what Open found and did.
func (l *Log) Recovery() Recovery { return l.recovery }

func (l *Log) lock() { l.mu.Lock() }

// unlock gives up the append lock, after passing on to the producer state what UpdateHighWatermark could not.
func (l *Log) unlock() {
	for {
		if l.raised.CompareAndSwap(true, false) {
			l.producers.HighWatermarkUpdated(l.highWatermark.Load())
			l.publishUnstable()
		}
		l.mu.Unlock()
		if !l.raised.Load() || !l.mu.TryLock() {
			return
		}
	}
}

// publishUnstable makes the state of transactions visible. Under mu.
func (l *Log) publishUnstable() {
	first, ok := l.producers.FirstUnstableOffset()
	if !ok {
		first = noOffset
	}
	l.unstable.Store(first)
}

func (l *Log) list() []*segment.Segment { return *l.segments.Load() }

// active is the segment that is appended to. Under mu, or for a look.
func (l *Log) active() *segment.Segment {
	list := l.list()
	return list[len(list)-1]
}

// segmentFor returns the index of the last segment in list that begins at or before offset; 0 when none does.
func segmentFor(list []*segment.Segment, offset int64) int {
	lo, hi := 0, len(list)
	for hi-lo > 1 {
		mid := (lo + hi) / 2
		if list[mid].BaseOffset() <= offset {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

func (l *Log) segmentOptions(baseOffset int64) segment.Options {
	cfg := l.config.Load()
	return segment.Options{
		FS: l.fs, Dir: l.o.Dir, BaseOffset: baseOffset, Files: l.o.Files,
		IndexIntervalBytes: cfg.IndexIntervalBytes, IndexBytes: cfg.SegmentIndexBytes,
		Flush: l.scheduleSync, Logger: l.logger, Now: l.o.Now,
	}
}

// usable returns why the log takes no calls, nil when it does.
func (l *Log) usable() error {
	if err := l.state.Load(); err != nil {
		return *err
	}
	return nil
}

// fail ends the log because its directory failed (invariant 5), and returns what callers get from now on.
func (l *Log) fail(cause error) error {
	err := storageErr(cause)
	if !l.state.CompareAndSwap(nil, &err) {
		return l.usable()
	}
	l.sync.wake()
	l.logger.Error("log failed", slog.String("event", "log.failed"), slog.Any("err", cause))
	if l.o.Failed != nil {
		l.o.Failed(err)
	}
	return err
}

// failIO ends the log, unless err is only a full disk, which spares what is there.
func (l *Log) failIO(err error) error {
	var broken *segment.BrokenTailError
	if segment.IsNoSpace(err) && !errors.As(err, &broken) {
		return errcode.New(errcode.KindKafkaStorageError, "the disk is full, nothing was appended: %w", err)
	}
	return l.fail(err)
}

func (l *Log) nowMs() int64 { return l.o.Now().UnixMilli() }

// jitter spreads the rolls of partitions that were created together: a share of segment.jitter.ms that is the same each
// time.
func (l *Log) jitter(cfg *Config, baseOffset int64) int64 {
	limit := min(cfg.SegmentJitterMs, cfg.maxSegmentMs())
	if limit <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(l.o.TopicPartition.String() + "/" + strconv.FormatInt(baseOffset, 10)))
	return int64(h.Sum64() % uint64(limit))
}
