package cleaner

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// Limits are the resources of one pass.
type Limits struct {
	KeyBytes   int64   // memory for the map of keys, at most; a pass ends where it is full
	LoadFactor float64 // how full that may become
	IOBytes    int     // of a buffer; there is one to read and one to write. A larger batch gets a larger one.
	// Pause is called with every number of bytes that is about to be read or written; nil: nobody is asked.
	Pause func(ctx context.Context, bytes int) error
}

// Result is what a pass did.
type Result struct {
	FirstDirty, EndOffset         int64 // what was dirty and is compacted now
	KeyBytesRead                  int64 // to collect keys
	BytesRead, BytesWritten       int64 // to compact
	RecordsRead, RecordsWritten   int64
	RecordsInvalid                int64   // without a key: written before the topic was compacted
	Utilization                   float64 // of the map of keys
	KeyMapBytes                   int64
	SegmentsBefore, SegmentsAfter int
	Duration                      time.Duration
}

// pass is one compaction of one log.
type pass struct {
	log     *commitlog.Log
	hold    *commitlog.Compaction
	r       Range
	limits  Limits
	now     time.Time
	scanner *segment.Scanner
	large   []byte // the current batch, where it is larger than the scanner's buffer
	filter  filter
	out     output
	result  Result
}

// least is how much a buffer holds at least.
const least = 16 << 10

// Compact compacts the range of a log: of each key only the newest record stays, of those of a removed key the tombstone, until
// its delete horizon. The log notes how far it came. now is what delete horizons are counted from.
//
// Errors: commitlog.ErrCompacting, ErrReplaced and ErrClosed, the cause of ctx; *commitlog.CorruptError and others that say
// that this log cannot be compacted; those of the directory, of which a full disk spares the log. After any of them the log
// holds what it held, some of its segments compacted, maybe.
// Where nothing is dirty it does nothing.
func Compact(ctx context.Context, l *commitlog.Log, r Range, limits Limits, now time.Time) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hold, err := l.BeginCompaction(cancel)
	if err != nil {
		return Result{}, err
	}
	defer hold.End()
	if limits.Pause == nil {
		limits.Pause = func(context.Context, int) error { return nil }
	}
	limits.IOBytes = max(limits.IOBytes, least)
	p := &pass{log: l, hold: hold, r: r, limits: limits, now: now, scanner: segment.NewVerifyingScanner(limits.IOBytes)}
	p.out = output{hold: hold, limit: limits.IOBytes, pause: p.pause}
	began := time.Now()
	err = p.run(ctx)
	p.result.Duration = time.Since(began)
	return p.result, err
}

func (p *pass) run(ctx context.Context) error {
	list, err := p.segments()
	if err != nil || p.r.FirstDirty == p.r.FirstUncleanable {
		return err
	}
	cfg := p.log.Config()
	p.filter = filter{
		keys: newKeyMap(p.limits.KeyBytes, p.limits.LoadFactor), txns: newTransactions(), last: p.log.LastBatches(),
		nowMs: p.now.UnixMilli(), horizonMs: p.now.UnixMilli() + cfg.DeleteRetentionMs, highWater: p.log.HighWatermark(), stats: &p.result,
	}
	if err := p.collectKeys(ctx, list); err != nil {
		return err
	}
	p.result.Utilization, p.result.KeyMapBytes = p.filter.keys.utilization(), p.filter.keys.bytes()
	end := p.filter.cleanUpTo + 1
	if err := p.compact(ctx, below(list, end), &cfg); err != nil {
		return err
	}
	p.result.EndOffset = end
	return p.hold.Done(end)
}

// segments are those that are compacted. The log may have begun anew since the range was taken; from now on that would cancel
// the compaction.
func (p *pass) segments() ([]*segment.Segment, error) {
	list := p.log.Segments()
	active := list[len(list)-1].BaseOffset()
	p.r.FirstDirty = min(p.log.FirstDirtyOffset(), p.r.FirstUncleanable)
	p.result.FirstDirty, p.result.EndOffset = p.r.FirstDirty, p.r.FirstDirty
	if p.r.FirstUncleanable > p.r.FirstDirty && p.r.FirstUncleanable > min(active, p.log.LastStableOffset()) {
		return nil, commitlog.ErrReplaced
	}
	return below(list, p.r.FirstUncleanable), nil
}

// below are the segments that begin below offset.
func below(list []*segment.Segment, offset int64) []*segment.Segment {
	n := 0
	for n < len(list) && list[n].BaseOffset() < offset {
		n++
	}
	return list[:n]
}

// collectKeys fills the key map from the dirty records. list are the segments below the first uncleanable offset.
func (p *pass) collectKeys(ctx context.Context, list []*segment.Segment) error {
	p.filter.cleanUpTo = p.r.FirstDirty - 1
	txns := newTransactions()
	for i, s := range list {
		next := p.r.FirstUncleanable
		if i+1 < len(list) {
			next = list[i+1].BaseOffset()
		}
		if next <= p.r.FirstDirty {
			continue
		}
		full, err := p.collectKeysOf(ctx, s, next, txns)
		if err != nil || full {
			return err
		}
		p.filter.cleanUpTo = next - 1
	}
	return nil
}

// collectKeysOf adds the keys of a segment that ends at next. full reports that there were more than fit.
func (p *pass) collectKeysOf(ctx context.Context, s *segment.Segment, next int64, txns *transactions) (full bool, err error) {
	aborted, err := p.hold.AbortedTxns(max(s.BaseOffset(), p.r.FirstDirty), next)
	if err != nil {
		return false, p.readFailed(err)
	}
	txns.expect(aborted)
	position, err := s.PositionOf(p.r.FirstDirty)
	if err != nil {
		return false, p.readFailed(err)
	}
	collect := func(group []records.Keyed) {
		located := p.filter.keys.locate(group)
		for i, r := range group {
			if full || r.Key == nil || r.Offset < p.r.FirstDirty {
				continue
			}
			if full = !p.filter.keys.put(&located[i], r.Offset); !full {
				p.filter.cleanUpTo = r.Offset
			}
		}
	}
	err = p.walk(ctx, s, position, next, &p.result.KeyBytesRead, func(b *segment.Batch) (bool, error) {
		if err := p.collectKeysOfBatch(b, txns, collect); err != nil || full {
			return false, err
		}
		p.filter.cleanUpTo = max(p.filter.cleanUpTo, b.LastOffset)
		return true, nil
	})
	return full, err
}

func (p *pass) collectKeysOfBatch(b *segment.Batch, txns *transactions, collect func([]records.Keyed)) error {
	if b.Magic < records.Magic {
		_, err := p.filter.editor.ScanLegacy(records.Legacy(b.Head), maxDecompressed, collect)
		return err
	}
	v2 := b.V2()
	if v2.IsControl() {
		_, _, err := txns.control(v2)
		return err
	}
	if txns.data(v2) {
		return nil
	}
	_, err := p.filter.editor.Scan(v2, maxDecompressed, collect)
	return err
}

// compact rewrites the segments, group by group, oldest first: a marker never goes before the records it decides about.
func (p *pass) compact(ctx context.Context, list []*segment.Segment, cfg *commitlog.Config) error {
	all, err := parts(list, p.r.FirstUncleanable)
	if err != nil {
		return p.readFailed(err)
	}
	legacyHorizon, err := p.legacyHorizon(list, cfg)
	if err != nil {
		return p.readFailed(err)
	}
	p.result.SegmentsBefore = len(list)
	for _, n := range groups(all, int64(cfg.SegmentBytes), int64(cfg.SegmentIndexBytes)) {
		if err := p.compactGroup(ctx, list[:n], all[n-1].next, legacyHorizon); err != nil {
			return err
		}
		p.result.SegmentsAfter++
		list, all = list[n:], all[n:]
	}
	return nil
}

// legacyHorizon is the time that a segment must have been modified after for tombstones of older formats in it to stay: so long
// before the newest compacted segment was.
func (p *pass) legacyHorizon(list []*segment.Segment, cfg *commitlog.Config) (time.Time, error) {
	var horizon time.Time
	for _, s := range list {
		if s.BaseOffset() >= p.r.FirstDirty {
			break
		}
		modified, err := s.ModTime()
		if err != nil {
			return time.Time{}, err
		}
		horizon = modified.Add(-milliseconds(cfg.DeleteRetentionMs))
	}
	return horizon, nil
}

// walk calls fn for the batches of a segment from position on, all their bytes in Head, until fn returns false. Every batch
// is checked first. Bytes are counted in read.
func (p *pass) walk(ctx context.Context, s *segment.Segment, position, next int64, read *int64, fn func(b *segment.Batch) (bool, error)) error {
	h, err := s.Acquire()
	if err != nil {
		return p.readFailed(err)
	}
	defer h.Close()
	p.scanner.Reset(h, position, s.Size(), s.BaseOffset())
	var b segment.Batch // one for all: fn lets it escape
	var bad *segment.BadBatchError
	for paid := position; ; {
		b, err = p.scanner.Next()
		if done := p.scanner.Position() - paid; done >= int64(p.limits.IOBytes) || err != nil {
			paid += done
			*read += done
			if err := p.pause(ctx, int(done)); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &bad):
			return p.hold.Corrupt(s, bad.Position, bad.Err)
		case err != nil:
			return p.hold.Fail(err)
		case b.LastOffset >= next:
			return p.hold.Corrupt(s, b.Position, errBeyond)
		}
		if !b.Whole {
			if err := p.readWhole(h, &b); err != nil {
				return err
			}
		}
		if more, err := fn(&b); err != nil || !more {
			return err
		}
	}
}

var errBeyond = errors.New("offset is at or above that of the next segment")

// readWhole reads a batch that does not fit into the scanner's buffer. Its CRC is right, and so is its size.
func (p *pass) readWhole(r io.ReaderAt, b *segment.Batch) error {
	if cap(p.large) < b.Size {
		p.large = make([]byte, b.Size)
	}
	p.large = p.large[:b.Size]
	if _, err := r.ReadAt(p.large, b.Position); err != nil && !errors.Is(err, io.EOF) {
		return p.hold.Fail(err)
	}
	b.Head, b.Whole = p.large, true
	return nil
}

// pause lets others go first, and says whether to go on.
func (p *pass) pause(ctx context.Context, bytes int) error {
	runtime.Gosched()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := p.hold.Usable(); err != nil {
		return err
	}
	return p.limits.Pause(ctx, bytes)
}

// readFailed explains an error of a segment that was looked at: one that retention removed meanwhile is no fault.
func (p *pass) readFailed(err error) error { return p.hold.ReadFailed(err) }

func milliseconds(ms int64) time.Duration {
	const most = int64(1<<63-1) / int64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}
