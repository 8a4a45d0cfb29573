package cleaner

import (
	"context"
	"errors"
	"time"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// compactGroup makes one segment of old, which end at end, and puts it in their place. A single segment of which everything
// stays as it is is left alone: Kafka writes it anew in each pass.
func (p *pass) compactGroup(ctx context.Context, old []*segment.Segment, end int64, legacyHorizon time.Time) error {
	err := p.out.begin(old)
	if err == nil {
		err = p.rewrite(ctx, old, end, legacyHorizon)
	}
	if err == nil && p.out.segment != nil {
		err = p.hold.Replace(p.out.segment, old)
	}
	if err == nil || p.out.segment == nil {
		return err
	}
	return errors.Join(err, p.hold.Discard(p.out.segment))
}

// rewrite fills the new segment.
func (p *pass) rewrite(ctx context.Context, old []*segment.Segment, end int64, legacyHorizon time.Time) error {
	var modified time.Time
	var last segment.Batch // that was read
	for i, s := range old {
		next := end
		if i+1 < len(old) {
			next = old[i+1].BaseOffset()
		}
		var err error
		if modified, err = s.ModTime(); err != nil {
			return p.readFailed(err)
		}
		p.filter.keepLegacy = modified.After(legacyHorizon)
		if err := p.rewriteSegment(ctx, s, next, &last); err != nil {
			return err
		}
	}
	if p.out.segment == nil {
		return nil
	}
	p.reachInto(old[len(old)-1], &last)
	if err := p.out.flush(ctx); err != nil {
		return err
	}
	p.result.BytesWritten += p.out.segment.Size()
	if err := p.out.segment.Seal(modified); err != nil {
		return p.hold.Fail(err)
	}
	return nil
}

func (p *pass) rewriteSegment(ctx context.Context, s *segment.Segment, next int64, last *segment.Batch) error {
	aborted, err := p.hold.AbortedTxns(s.BaseOffset(), next)
	if err != nil {
		return p.readFailed(err)
	}
	p.filter.txns.expect(aborted)
	return p.walk(ctx, s, 0, next, &p.result.BytesRead, func(b *segment.Batch) (bool, error) {
		start := len(p.out.buf)
		var kept *segment.AbortedTxn
		var err error
		if p.out.buf, kept, err = p.filter.apply(p.out.buf, b); err != nil {
			return false, err
		}
		last.LastOffset, last.LeaderEpoch, last.Size = b.LastOffset, b.LeaderEpoch, b.Size
		return true, p.out.add(ctx, start, b, p.filter.unchanged, kept)
	})
}

// reachInto makes the new segment end behind the beginning of the last of the old ones, as Replace wants it, where nothing of
// that one stays. last is the last batch that was read.
func (p *pass) reachInto(old *segment.Segment, last *segment.Batch) {
	if p.out.next > old.BaseOffset() {
		return
	}
	offset, leaderEpoch := old.BaseOffset(), records.NoLeaderEpoch
	if last.Size > 0 && last.LastOffset >= offset {
		offset, leaderEpoch = last.LastOffset, last.LeaderEpoch
	}
	start := len(p.out.buf)
	p.out.buf = records.AppendGap(p.out.buf, offset, leaderEpoch)
	p.out.describe(start)
}
