package storm

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Check says what a history breaks. ends is the end of each partition, which every group had to reach.
func Check(events []Event, ends []int64) []string {
	groups := map[string]*books{}
	for _, e := range events {
		if groups[e.Group] == nil {
			groups[e.Group] = newBooks(e.Group, len(ends))
		}
		groups[e.Group].take(e)
	}
	var faults []string
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		b := groups[name]
		b.unread(ends)
		faults = append(faults, b.faults...)
	}
	return faults
}

// books are what is known of one group at a point of its history.
type books struct {
	group      string
	partitions []*partitionBooks
	until      map[string]time.Duration // how long each member keeps what it has
	faults     []string
}

type partitionBooks struct {
	owner  string           // "" nobody
	epochs map[int32]string // who owned it in each epoch
	acked  int64            // the highest offset that the broker said is committed
	sent   int64            // the highest offset that anybody wanted committed
	asked  map[int64]int64  // what had been acked when a question was asked
	reads  []span           // what was read, in rising order, without overlaps
}

// span is a range of offsets.
type span struct{ from, to int64 }

func newBooks(group string, partitions int) *books {
	b := &books{group: group, until: map[string]time.Duration{}}
	for range partitions {
		b.partitions = append(b.partitions, &partitionBooks{epochs: map[int32]string{}, asked: map[int64]int64{}})
	}
	return b
}

func (b *books) fault(e Event, format string, args ...any) {
	b.faults = append(b.faults, fmt.Sprintf("%s, partition %d, at %s: ", b.group, e.Partition, e.At)+fmt.Sprintf(format, args...))
}

func (b *books) take(e Event) {
	p := b.partitions[e.Partition]
	switch e.Kind {
	case Owned:
		b.own(p, e)
	case Beat:
		b.until[e.Member] = e.Until
	case Released:
		if p.owner == e.Member {
			p.owner = ""
		}
	case Gone:
		for _, p := range b.partitions {
			if p.owner == e.Member {
				p.owner = ""
			}
		}
		delete(b.until, e.Member)
	case Read:
		p.read(span{e.Offset, e.End})
	case CommitSent:
		p.sent = max(p.sent, e.Offset)
	case CommitOK:
		p.acked = max(p.acked, e.Offset)
	case FetchSent:
		p.asked[e.Op] = p.acked
	case FetchOK:
		switch {
		case max(e.Offset, 0) < p.asked[e.Op]:
			b.fault(e, "%s is told that %d is committed, after %d had been acknowledged", e.Member, e.Offset, p.asked[e.Op])
		case e.Offset > p.sent:
			b.fault(e, "%s is told that %d is committed, and nobody committed more than %d", e.Member, e.Offset, p.sent)
		}
		delete(p.asked, e.Op)
	}
}

// own gives a partition to a member.
func (b *books) own(p *partitionBooks, e Event) {
	if before := p.epochs[e.Epoch]; before != "" && before != e.Member {
		b.fault(e, "two owners in epoch %d: %s and %s", e.Epoch, before, e.Member)
	}
	p.epochs[e.Epoch] = e.Member
	if p.owner != "" && p.owner != e.Member && e.At < b.until[p.owner] {
		b.fault(e, "%s is given it in epoch %d while %s holds it for another %s", e.Member, e.Epoch, p.owner, b.until[p.owner]-e.At)
	}
	p.owner = e.Member
	b.until[e.Member] = e.Until
}

// read adds a range to what was read.
func (p *partitionBooks) read(s span) {
	i, _ := slices.BinarySearchFunc(p.reads, s, func(a, b span) int { return int(a.from - b.from) })
	p.reads = slices.Insert(p.reads, i, s)
	if i > 0 && p.reads[i-1].to >= s.from {
		i--
	}
	j := i + 1
	for ; j < len(p.reads) && p.reads[j].from <= p.reads[i].to; j++ {
		p.reads[i].to = max(p.reads[i].to, p.reads[j].to)
	}
	p.reads = slices.Delete(p.reads, i+1, j)
}

// unread names what was not read, or not committed.
func (b *books) unread(ends []int64) {
	for i, p := range b.partitions {
		at := int64(0)
		for _, s := range p.reads {
			if s.from > at {
				b.faults = append(b.faults, fmt.Sprintf("%s, partition %d: records %d to %d were never read", b.group, i, at, s.from-1))
			}
			at = max(at, s.to)
		}
		if at < ends[i] {
			b.faults = append(b.faults, fmt.Sprintf("%s, partition %d: records %d to %d were never read", b.group, i, at, ends[i]-1))
		}
		if p.acked > 0 && p.acked != ends[i] {
			b.faults = append(b.faults, fmt.Sprintf("%s, partition %d: %d is committed at the end, want %d", b.group, i, p.acked, ends[i]))
		}
	}
}
