package reassign

import (
	"cmp"
	"slices"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Broker is a broker that may hold replicas.
type Broker struct {
	ID   protocol.NodeID
	Rack string // empty: none
}

// Partition is a partition and where it is now.
type Partition struct {
	Topic     string
	Partition int32
	Replicas  []protocol.NodeID // the first is the preferred leader
	Bytes     int64             // of one replica; 0: not known
}

// Move is a partition whose replicas, or their order, change.
type Move struct {
	Partition
	Target []protocol.NodeID
}

// Adding are the brokers that copy the partition.
func (m *Move) Adding() []protocol.NodeID { return without(m.Target, m.Replicas) }

// Removing are the brokers that give their replica up.
func (m *Move) Removing() []protocol.NodeID { return without(m.Replicas, m.Target) }

func without(list, others []protocol.NodeID) []protocol.NodeID {
	return slices.DeleteFunc(slices.Clone(list), func(id protocol.NodeID) bool { return slices.Contains(others, id) })
}

// Options says what is wanted.
type Options struct {
	// Replicas is how many replicas each partition gets; 0 leaves each as it is.
	Replicas int
	// Settle moves only what has to move: replicas on brokers that are not allowed, and leadership of those partitions.
	// Else everything is balanced.
	Settle bool
}

// Plan returns the moves that bring partitions onto brokers, sorted by topic and partition. Replicas on brokers that are
// not among those given leave them. It fails with INVALID_REPLICATION_FACTOR when a partition would need more brokers than
// there are.
func Plan(partitions []Partition, brokers []Broker, o Options) ([]Move, error) {
	p := newPlanner(partitions, brokers)
	for i := range p.parts {
		want := len(p.parts[i].replicas)
		if o.Replicas > 0 {
			want = o.Replicas
		}
		if want > len(p.brokers) {
			return nil, errcode.New(errcode.KindInvalidReplicationFactor, "%s-%d needs %d brokers for its replicas, and there are %d",
				p.parts[i].Topic, p.parts[i].Partition.Partition, want, len(p.brokers))
		}
		p.parts[i].want = want
	}
	p.share()
	for i := range p.parts {
		p.settle(&p.parts[i])
	}
	if !o.Settle {
		for i := range p.parts {
			p.spread(&p.parts[i])
		}
		p.balance()
	}
	p.balanceLeaders(o.Settle)
	return p.moves(), nil
}

// planner works with brokers by their position. Positions from len(brokers) on are brokers that are not allowed.
type planner struct {
	brokers []Broker
	parts   []part
	target  []int            // replicas each broker should have
	count   []int            // replicas each broker has
	topics  []map[string]int // of those, by topic
	first   []int            // how often each broker is the first replica
}

type part struct {
	Partition
	replicas []int
	want     int
	settled  bool // some replica had to move
}

func newPlanner(partitions []Partition, brokers []Broker) *planner {
	p := &planner{brokers: slices.Clone(brokers)}
	slices.SortFunc(p.brokers, func(x, y Broker) int { return cmp.Compare(x.ID, y.ID) })
	positions := make(map[protocol.NodeID]int, len(brokers))
	for i, b := range p.brokers {
		positions[b.ID] = i
	}
	p.count, p.first = make([]int, len(brokers)), make([]int, len(brokers))
	p.topics = make([]map[string]int, len(brokers))
	for i := range p.topics {
		p.topics[i] = make(map[string]int)
	}
	for _, given := range partitions {
		one := part{Partition: given}
		for _, id := range given.Replicas {
			at, ok := positions[id]
			if !ok {
				at = -1
			} else {
				p.add(at, given.Topic, 1)
			}
			one.replicas = append(one.replicas, at)
		}
		p.parts = append(p.parts, one)
	}
	slices.SortFunc(p.parts, func(x, y part) int {
		return cmp.Or(cmp.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition.Partition, y.Partition.Partition))
	})
	return p
}

func (p *planner) add(broker int, topic string, n int) {
	p.count[broker] += n
	p.topics[broker][topic] += n
}

// share gives each broker the same number of replicas; those that have most now get what does not divide.
func (p *planner) share() {
	total := 0
	for i := range p.parts {
		total += p.parts[i].want
	}
	n := len(p.brokers)
	if n == 0 {
		return
	}
	p.target = make([]int, n)
	for i, b := range p.sorted(func(x, y int) int { return cmp.Compare(p.count[y], p.count[x]) }) {
		p.target[b] = total / n
		if i < total%n {
			p.target[b]++
		}
	}
}

// sorted lists the brokers in an order; those that are equal in it by their ids.
func (p *planner) sorted(compare func(x, y int) int) []int {
	order := make([]int, len(p.brokers))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, compare)
	return order
}

// surplus is how many replicas a broker has beyond its share.
func (p *planner) surplus(broker int) int { return p.count[broker] - p.target[broker] }

// settle puts each replica on an allowed broker, and makes them as many as are wanted.
func (p *planner) settle(t *part) {
	for i, at := range t.replicas {
		if at < 0 {
			t.settled = true
			if len(t.replicas) <= t.want {
				t.replicas[i] = p.newcomer(t)
			}
		}
	}
	t.replicas = slices.DeleteFunc(t.replicas, func(at int) bool { return at < 0 })
	for len(t.replicas) < t.want {
		t.replicas = append(t.replicas, p.newcomer(t))
		t.settled = true
	}
	for len(t.replicas) > t.want {
		p.dismiss(t)
		t.settled = true
	}
}

// newcomer chooses the broker that gets another replica: of the racks the partition has least of, the one that lacks most.
func (p *planner) newcomer(t *part) int {
	best := -1
	for b := range p.brokers {
		if slices.Contains(t.replicas, b) {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(p.inRack(t, b), p.inRack(t, best)), cmp.Compare(p.surplus(b), p.surplus(best))) < 0 {
			best = b
		}
	}
	p.add(best, t.Topic, 1)
	return best
}

// dismiss takes a replica away, not the first: of the racks the partition has most of, from the broker that has most.
func (p *planner) dismiss(t *part) {
	worst := 1
	for i := 2; i < len(t.replicas); i++ {
		x, y := t.replicas[i], t.replicas[worst]
		if cmp.Or(cmp.Compare(p.inRack(t, x), p.inRack(t, y)), cmp.Compare(p.surplus(x), p.surplus(y))) > 0 {
			worst = i
		}
	}
	p.add(t.replicas[worst], t.Topic, -1)
	t.replicas = slices.Delete(t.replicas, worst, worst+1)
}

// inRack counts the replicas that a partition has in the rack of a broker.
func (p *planner) inRack(t *part, broker int) int {
	n := 0
	for _, at := range t.replicas {
		if at >= 0 && p.brokers[at].Rack == p.brokers[broker].Rack {
			n++
		}
	}
	return n
}

// spread moves replicas out of racks that have at least two more of the partition than another.
func (p *planner) spread(t *part) {
	for {
		from, to := -1, -1
		for i, at := range t.replicas {
			for b := range p.brokers {
				if slices.Contains(t.replicas, b) || p.inRack(t, b)+2 > p.inRack(t, at) {
					continue
				}
				if from < 0 || cmp.Or(cmp.Compare(p.surplus(b), p.surplus(to)), cmp.Compare(p.surplus(t.replicas[from]), p.surplus(at))) < 0 {
					from, to = i, b
				}
			}
		}
		if from < 0 {
			return
		}
		p.move(t, from, to)
	}
}

func (p *planner) move(t *part, replica, to int) {
	p.add(t.replicas[replica], t.Topic, -1)
	p.add(to, t.Topic, 1)
	t.replicas[replica] = to
}

// balance moves replicas from brokers with more than their share to brokers with less; then, for racks may forbid equal
// shares, from any broker to one that has at least two less.
func (p *planner) balance() {
	held := make([]map[int]bool, len(p.brokers)) // the partitions on each broker
	for b := range held {
		held[b] = make(map[int]bool)
	}
	for i := range p.parts {
		for _, at := range p.parts[i].replicas {
			held[at][i] = true
		}
	}
	shift := func(pairs func(from, to int) bool) bool {
		for _, from := range p.bySurplus(-1) {
			for _, to := range p.bySurplus(1) {
				if !pairs(from, to) {
					continue
				}
				if i, replica := p.candidate(held[from], from, to); i >= 0 {
					p.move(&p.parts[i], replica, to)
					delete(held[from], i)
					held[to][i] = true
					return true
				}
			}
		}
		return false
	}
	for shift(func(from, to int) bool { return p.surplus(from) > 0 && p.surplus(to) < 0 }) {
	}
	for shift(func(from, to int) bool { return p.count[from] >= p.count[to]+2 }) {
	}
}

// bySurplus are the brokers by what they have beyond their share: the least first, or with -1 the most.
func (p *planner) bySurplus(sign int) []int {
	return p.sorted(func(x, y int) int { return sign * cmp.Compare(p.surplus(x), p.surplus(y)) })
}

// candidate chooses the partition whose replica moves between two brokers, or -1.
func (p *planner) candidate(held map[int]bool, from, to int) (partition, replica int) {
	best := -1
	better := func(i int) bool {
		x, y := &p.parts[i], &p.parts[best]
		return cmp.Or(
			cmp.Compare(p.topics[from][y.Topic]-p.topics[to][y.Topic], p.topics[from][x.Topic]-p.topics[to][x.Topic]),
			cmp.Compare(x.Bytes, y.Bytes), cmp.Compare(i, best)) < 0
	}
	sameRack := p.brokers[from].Rack == p.brokers[to].Rack
	for i := range held {
		t := &p.parts[i]
		if slices.Contains(t.replicas, to) || !sameRack && p.inRack(t, to) >= p.inRack(t, from) {
			continue
		}
		if best < 0 || better(i) {
			best = i
		}
	}
	if best < 0 {
		return -1, -1
	}
	return best, slices.Index(p.parts[best].replicas, from)
}

func (p *planner) moves() []Move {
	var out []Move
	for i := range p.parts {
		t := &p.parts[i]
		target := make([]protocol.NodeID, len(t.replicas))
		for j, at := range t.replicas {
			target[j] = p.brokers[at].ID
		}
		if !slices.Equal(target, t.Replicas) {
			out = append(out, Move{t.Partition, target})
		}
	}
	return out
}
