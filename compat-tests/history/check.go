package history

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sort"
	"time"
)

// Checker takes a history operation by operation, in the order of their ends.
type Checker struct {
	res        Result
	partitions map[Partition]*partition
	order      []*partition // by index
	producers  map[int32]*producer
	readers    map[readerKey]*reader
	groups     map[groupKey]*group
	told       map[readerKey]toldEnd
	reported   map[report]bool
}

// partition is what is known of one.
type partition struct {
	Partition
	index   int32
	values  pages[Value] // by offset; 0: nobody was shown it
	end     int64        // above all offsets in values
	reached int64        // up to where all final reads came; -1: there was none
}

// producer is what one has sent.
type producer struct {
	idempotent bool
	sends      pages[send] // by sequence
}

// send is what became of one value. Offsets are kept plus one, so that 0 is none.
type send struct {
	acked, read int64
	partition   int32 // it was sent to, plus one
	readIn      int32 // partition, plus one
	outcome     outcome
}

type outcome uint8

const (
	never outcome = iota
	acked
	refused
	unknown
)

type readerKey struct {
	proc      int32
	partition int32
}

// reader is where a consumer is in a partition.
type reader struct {
	proc  int32
	next  int64 // the offset after the last that it was shown; -1: it may be shown any
	final bool
	node  int32
	group string
	gaps  []gap
	done  []gap // what a final read never got to, below the end that it was told
}

// gap is what a reader was not shown, between two records that it was.
type gap struct{ from, to int64 }

type groupKey struct {
	group     string
	partition int32
}

// group is what a group did in a partition.
type group struct {
	acks    []mark        // commits, both fields rising
	sent    int64         // the highest commit
	told    int64         // the highest that somebody was told
	shown   pages[uint64] // a bit an offset
	drained int64
}

// mark says that by a time an offset had been acknowledged.
type mark struct {
	at     time.Duration
	offset int64
}

type toldEnd struct {
	leaderEpoch int32
	offset      int64
}

// report is one anomaly that is counted once however often it shows.
type report struct {
	kind      AnomalyKind
	partition int32
	number    int64
}

// NewChecker returns a checker of an empty history.
func NewChecker() *Checker {
	return &Checker{
		res:        Result{Anomalies: map[AnomalyKind]int64{}, Examples: map[AnomalyKind][]string{}},
		partitions: map[Partition]*partition{}, producers: map[int32]*producer{}, readers: map[readerKey]*reader{},
		groups: map[groupKey]*group{}, told: map[readerKey]toldEnd{}, reported: map[report]bool{},
	}
}

// Check checks a whole history.
func Check(ops []Op) *Result {
	c := NewChecker()
	for _, op := range ops {
		c.Add(op)
	}
	return c.Finish()
}

// maxOffset is above every offset that a log could come to.
const maxOffset = 1 << 60

// Add takes the next operation.
func (c *Checker) Add(op Op) {
	if op.Offset < -1 || op.Offset > maxOffset {
		c.res.found(Corrupted, "proc %d was told offset %d of %s (%s)", op.Proc, op.Offset, op.Partition, op.Kind)
		return
	}
	switch op.Kind {
	case Producer:
		c.producer(op.Proc).idempotent = op.Idempotent
	case Send:
		c.send(op)
	case Assign:
		r := c.reader(op)
		r.next, r.group = op.Offset, op.Group
	case Poll:
		c.poll(op)
	case End:
		c.endTold(op)
	case Commit:
		c.commit(op)
	case Committed:
		c.committed(op)
	case Drained:
		g := c.group(op)
		g.drained = max(g.drained, op.Offset)
	case Finished:
		c.finished(op)
	case DataLoss:
		c.res.found(Lost, "proc %d was told that records of %s from offset %d on are gone: %s", op.Proc, op.Partition, op.Offset, op.Err)
	}
}

func (c *Checker) partition(p Partition) *partition {
	known := c.partitions[p]
	if known == nil {
		known = &partition{Partition: p, index: int32(len(c.order)), values: pages[Value]{}, reached: -1}
		c.partitions[p] = known
		c.order = append(c.order, known)
	}
	return known
}

func (c *Checker) producer(proc int32) *producer {
	p := c.producers[proc]
	if p == nil {
		p = &producer{sends: pages[send]{}}
		c.producers[proc] = p
	}
	return p
}

func (c *Checker) reader(op Op) *reader {
	key := readerKey{op.Proc, c.partition(op.Partition).index}
	r := c.readers[key]
	if r == nil {
		r = &reader{proc: op.Proc, next: -1}
		c.readers[key] = r
	}
	return r
}

func (c *Checker) group(op Op) *group {
	key := groupKey{op.Group, c.partition(op.Partition).index}
	g := c.groups[key]
	if g == nil {
		g = &group{shown: pages[uint64]{}}
		c.groups[key] = g
	}
	return g
}

// once reports whether an anomaly is new.
func (c *Checker) once(kind AnomalyKind, p *partition, number int64) bool {
	key := report{kind, p.index, number}
	if c.reported[key] {
		return false
	}
	c.reported[key] = true
	return true
}

func (c *Checker) send(op Op) {
	s := c.producer(op.Value.Producer()).sends.at(op.Value.Sequence())
	s.partition = c.partition(op.Partition).index + 1
	switch op.Outcome {
	case OK:
		c.res.Acked++
		s.outcome, s.acked = acked, op.Offset+1
	case Fail:
		c.res.Refused++
		s.outcome = refused
	case Unknown:
		c.res.Unknown++
		s.outcome = unknown
	}
}

// poll notes what a consumer was shown.
func (c *Checker) poll(op Op) {
	p, r := c.partition(op.Partition), c.reader(op)
	if op.Final && !r.final { // it reads from the start
		r.final, r.node, r.next = true, op.Node, 0
	}
	var g *group
	if r.group != "" {
		g = c.group(Op{Group: r.group, Partition: op.Partition})
	}
	for _, rec := range op.Records {
		if rec.Offset < 0 || rec.Offset > maxOffset {
			c.res.found(Corrupted, "proc %d was shown offset %d of %s", op.Proc, rec.Offset, p)
			continue
		}
		if op.Final {
			c.res.Final++
		}
		switch {
		case r.next >= 0 && rec.Offset < r.next:
			c.res.found(Reordered, "proc %d was shown offset %d of %s after %d", op.Proc, rec.Offset, p, r.next-1)
		case r.next >= 0 && rec.Offset > r.next:
			r.gaps = append(r.gaps, gap{r.next, rec.Offset})
		}
		r.next = rec.Offset + 1
		if g != nil {
			*g.shown.at(rec.Offset / 64) |= 1 << (rec.Offset % 64)
		}
		c.shown(p, rec, op)
	}
}

// shown notes that a value lies at an offset.
func (c *Checker) shown(p *partition, rec Record, op Op) {
	if rec.Value <= 0 {
		if c.once(Corrupted, p, rec.Offset) {
			c.res.found(Corrupted, "%s at %d does not hold what was sent (proc %d, node %d)", p, rec.Offset, op.Proc, op.Node)
		}
		return
	}
	p.end = max(p.end, rec.Offset+1)
	switch at := p.values.at(rec.Offset); {
	case *at == 0:
		*at = rec.Value
		c.res.Read++
	case *at != rec.Value:
		if c.once(Disagreeing, p, rec.Offset) {
			c.res.found(Disagreeing, "%s at %d holds %s and %s (the latter to proc %d, node %d)", p, rec.Offset, *at, rec.Value, op.Proc, op.Node)
		}
		return
	}
	from := c.producer(rec.Value.Producer())
	switch s := from.sends.at(rec.Value.Sequence()); {
	case s.read == 0:
		s.read, s.readIn = rec.Offset+1, p.index+1
	case from.idempotent && (s.read != rec.Offset+1 || s.readIn != p.index+1):
		if c.once(Duplicated, p, int64(rec.Value)) {
			c.res.found(Duplicated, "%s is in %s at %d and in %s at %d", rec.Value, c.order[s.readIn-1], s.read-1, p, rec.Offset)
		}
	}
}

// endTold notes the end that a client was told. A leader that was deposed without knowing it may be behind: what counts is that
// nothing goes back from one leader epoch to the same or a later one.
func (c *Checker) endTold(op Op) {
	if op.Outcome != OK {
		return
	}
	p := c.partition(op.Partition)
	key := readerKey{op.Proc, p.index}
	last, asked := c.told[key]
	switch {
	case asked && op.LeaderEpoch < last.leaderEpoch:
		return
	case asked && op.Offset < last.offset:
		c.res.found(WatermarkBack, "proc %d was told that %s ends at %d in leader epoch %d, after %d in %d", op.Proc, p, op.Offset, op.LeaderEpoch, last.offset, last.leaderEpoch)
	}
	c.told[key] = toldEnd{op.LeaderEpoch, op.Offset}
}

func (c *Checker) commit(op Op) {
	g := c.group(op)
	if op.Outcome != Fail {
		g.sent = max(g.sent, op.Offset)
	}
	if op.Outcome != OK {
		return
	}
	c.res.Commits++
	if n := len(g.acks); n == 0 || g.acks[n-1].offset < op.Offset {
		g.acks = append(g.acks, mark{op.End, op.Offset})
	}
}

// committed holds what a client was told against what had been acknowledged before it asked. Members commit what rises.
func (c *Checker) committed(op Op) {
	if op.Outcome != OK {
		return
	}
	g := c.group(op)
	g.told = max(g.told, op.Offset)
	before := sort.Search(len(g.acks), func(i int) bool { return g.acks[i].at > op.Start })
	if before > 0 && op.Offset < g.acks[before-1].offset {
		c.res.found(CommitBack, "proc %d was told that %s committed %d for %s, after %d had been acknowledged", op.Proc, op.Group, op.Offset, op.Partition, g.acks[before-1].offset)
	}
}

// finished notes that a final read is over.
func (c *Checker) finished(op Op) {
	p, r := c.partition(op.Partition), c.reader(op)
	r.final, r.node = true, op.Node
	if at := max(r.next, 0); at < op.Offset {
		r.done = append(r.done, gap{at, op.Offset})
	}
	if p.reached < 0 || op.Offset < p.reached {
		p.reached = op.Offset
	}
}

// Finish says what was found. The checker is of no use after it.
func (c *Checker) Finish() *Result {
	for _, id := range slices.Sorted(maps.Keys(c.producers)) {
		c.finishProducer(id, c.producers[id])
	}
	byKey := func(a, b readerKey) int {
		return cmp.Or(cmp.Compare(a.proc, b.proc), cmp.Compare(a.partition, b.partition))
	}
	for _, key := range slices.SortedFunc(maps.Keys(c.readers), byKey) {
		c.finishReader(c.order[key.partition], c.readers[key])
	}
	for _, p := range c.order {
		if p.reached < 0 {
			c.res.found(Unread, "nobody read %s to its end", p)
			continue
		}
		p.values.each(p.reached, p.end, func(o int64, v *Value) bool {
			if *v != 0 && c.once(Unseen, p, o) {
				c.res.found(Unseen, "%s at %d was shown, and the final reads of %s ended at %d", *v, o, p, p.reached)
			}
			return true
		})
	}
	for key, g := range c.groups {
		c.finishGroup(c.order[key.partition], key.group, g)
	}
	return &c.res
}

// finishProducer holds what a producer was told against what was read.
func (c *Checker) finishProducer(id int32, from *producer) {
	last := map[int32]int64{}
	from.sends.each(0, math.MaxInt64, func(seq int64, s *send) bool {
		v := NewValue(id, seq)
		if s.read != 0 && (s.outcome == never || s.outcome == refused) {
			c.res.found(Unsent, "%s is in %s at %d, and was never sent or refused", v, c.order[s.readIn-1], s.read-1)
		}
		if s.outcome != acked {
			return true
		}
		p := c.order[s.partition-1]
		if from.idempotent && s.acked <= last[s.partition] {
			c.res.found(Reordered, "%s of %s was acknowledged at %d, and an earlier record of the producer at %d", v, p, s.acked-1, last[s.partition]-1)
		}
		last[s.partition] = max(last[s.partition], s.acked)
		c.finishSend(v, p, s)
		return true
	})
}

// finishSend looks where an acknowledged record is:
//
//	Case A: where it was acknowledged: good
//	Case B: elsewhere: two places for one record
//	Case C: nowhere, and the final reads came past its place: lost
//	Case D: nowhere, and they did not, or there were none: unseen, or not known
func (c *Checker) finishSend(v Value, p *partition, s *send) {
	offset := s.acked - 1
	there := p.values.get(offset)
	switch {
	case there == v: // Case A
	case s.read != 0: // Case B
		if c.once(Disagreeing, p, offset) {
			c.res.found(Disagreeing, "%s was acknowledged in %s at %d, and is in %s at %d", v, p, offset, c.order[s.readIn-1], s.read-1)
		}
	case offset < p.reached: // Case C
		if c.once(Lost, p, offset) {
			c.res.found(Lost, "%s was acknowledged in %s at %d, where now is %s", v, p, offset, orNothing(there))
		}
	case p.reached >= 0: // Case D
		if c.once(Unseen, p, offset) {
			c.res.found(Unseen, "%s was acknowledged in %s at %d, and the final reads ended at %d", v, p, offset, p.reached)
		}
	}
}

func orNothing(v Value) string {
	if v == 0 {
		return "nothing"
	}
	return v.String()
}

// finishReader looks whether there are records in what a reader was not shown.
func (c *Checker) finishReader(p *partition, r *reader) {
	for _, g := range append(r.gaps, r.done...) {
		p.values.each(g.from, g.to, func(o int64, v *Value) bool {
			switch {
			case *v == 0:
				return true
			case !r.final:
				c.res.found(Skipped, "proc %d was not shown %s of %s, at %d, between %d and %d", r.proc, *v, p, o, g.from-1, g.to)
				return false
			case c.once(Lost, p, o):
				c.res.found(Lost, "%s was shown in %s at %d, and is gone on node %d", *v, p, o, r.node)
			}
			return true
		})
	}
}

// finishGroup looks for what no member of a group was shown, and for what none of them committed.
func (c *Checker) finishGroup(p *partition, name string, g *group) {
	if g.told > g.sent {
		c.res.found(Unsent, "%s was told that it committed %d for %s, and committed at most %d", name, g.told, p, g.sent)
	}
	p.values.each(0, g.drained, func(o int64, v *Value) bool {
		if *v != 0 && g.shown.get(o/64)&(1<<(o%64)) == 0 {
			c.res.found(Skipped, "%s was never shown %s of %s, at %d", name, *v, p, o)
		}
		return true
	})
}
