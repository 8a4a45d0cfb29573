package cleaner

import (
	"math"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
)

// Range is what of a log can be compacted now.
type Range struct {
	FirstDirty       int64         // everything below it was compacted
	FirstUncleanable int64         // where a segment begins, at or above FirstDirty: nothing from there on is touched
	CleanBytes       int64         // of the segments below FirstDirty
	DirtyBytes       int64         // of those up to FirstUncleanable
	Delay            time.Duration // how much longer than max.compaction.lag.ms dirty records have waited; 0 when they have not
}

// Ratio is the share of dirty bytes.
func (r Range) Ratio() float64 {
	if r.DirtyBytes == 0 {
		return 0
	}
	return float64(r.DirtyBytes) / float64(r.CleanBytes+r.DirtyBytes)
}

// due reports whether the log is to be compacted.
func (r Range) due(cfg *commitlog.Config) bool {
	return r.DirtyBytes > 0 && (r.Delay > 0 || r.Ratio() > cfg.MinCleanableRatio)
}

// Cleanable looks at a log. Never compacted are the active segment, what lies above the last stable offset (and so above the
// high watermark), and, with min.compaction.lag.ms, the segments from the first on that has a younger record.
func Cleanable(l *commitlog.Log, now time.Time) (Range, error) {
	cfg := l.Config()
	list := l.Segments() // before the offsets: what is stable then is stable in these segments
	active := list[len(list)-1].BaseOffset()
	r := Range{FirstDirty: min(l.FirstDirtyOffset(), l.LogEndOffset())}
	limit := min(active, l.LastStableOffset())
	oldest := int64(math.MaxInt64)
	r.FirstUncleanable = list[0].BaseOffset()
	for i, s := range list[:len(list)-1] {
		next := list[i+1].BaseOffset()
		if next > limit {
			break
		}
		if next <= r.FirstDirty {
			r.CleanBytes += s.Size()
			r.FirstUncleanable = next
			continue
		}
		first, largest, err := times(s)
		if err != nil {
			return Range{}, err
		}
		if cfg.MinCompactionLagMs > 0 && largest > now.UnixMilli()-cfg.MinCompactionLagMs {
			break
		}
		if first > 0 {
			oldest = min(oldest, first)
		}
		r.DirtyBytes += s.Size()
		r.FirstUncleanable = next
	}
	r.FirstUncleanable = max(r.FirstUncleanable, r.FirstDirty)
	if until := now.UnixMilli() - max(cfg.MaxCompactionLagMs, 0); oldest < until {
		r.Delay = time.Duration(min(until-oldest, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
	}
	return r, nil
}

func times(s *segment.Segment) (first, largest int64, err error) {
	if first, err = s.FirstTimestamp(); err == nil {
		largest, err = s.LargestTimestamp()
	}
	return first, largest, err
}

// part is what grouping needs to know of a segment.
type part struct {
	base, next     int64 // next: where the following segment begins
	size           int64
	offsets, times int64 // bytes of its indexes
}

// groups puts neighbours together as long as one segment can hold them, and returns how many each group takes. It follows
// Kafka's Cleaner.groupSegmentsBySize, which looks at the sizes before compaction.
func groups(parts []part, segmentBytes, indexBytes int64) []int {
	var counts []int
	for len(parts) > 0 {
		sum, n := parts[0], 1
		for ; n < len(parts); n++ {
			p := parts[n]
			if sum.size+p.size > segmentBytes || sum.offsets+p.offsets > indexBytes || sum.times+p.times > indexBytes ||
				p.next-1-sum.base > math.MaxInt32 {
				break
			}
			sum.size, sum.offsets, sum.times = sum.size+p.size, sum.offsets+p.offsets, sum.times+p.times
		}
		counts = append(counts, n)
		parts = parts[n:]
	}
	return counts
}

func parts(list []*segment.Segment, end int64) ([]part, error) {
	out := make([]part, len(list))
	for i, s := range list {
		p := part{base: s.BaseOffset(), next: end, size: s.Size()}
		if i+1 < len(list) {
			p.next = list[i+1].BaseOffset()
		}
		var err error
		if p.offsets, p.times, err = s.IndexSizes(); err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}
