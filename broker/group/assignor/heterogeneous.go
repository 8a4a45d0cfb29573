package assignor

import (
	"cmp"
	"slices"
)

// maxBalanceRounds bounds the work when subscriptions overlap without being the same. Where all subscribers of a topic have the
// same subscriptions, two rounds are enough; otherwise each takes away about half of what is out of balance.
const maxBalanceRounds = 16

// assignHeterogeneous gives out what nobody owns, topic by topic, always to the subscriber with the fewest partitions, and
// then moves partitions of each topic from the subscribers with the most to those with the fewest until they differ by at most
// one.
//
// Where subscriptions overlap, that is not the best balance there is: with members a, b and c, and topics of {a, b} and {b, c},
// 9, 10 and 11 partitions is an end, since each topic by itself is in balance.
func assignHeterogeneous(spec Spec, owners owners) {
	b := newBalancer(spec, owners)
	order := b.topicOrder()
	for _, t := range order {
		b.start(b.subscribers[t])
		for p, owner := range owners[t] {
			if owner == nobody {
				to := b.nextLeastLoaded()
				owners[t][p] = to
				b.load[to]++
			}
		}
	}
	order = slices.DeleteFunc(order, func(t int32) bool { return len(b.subscribers[t]) < 2 })
	lastMoved := int32(nobody) // the topic that was changed last; when it comes round again, nothing is left to do
	for range maxBalanceRounds {
		for _, t := range order {
			if t == lastMoved {
				return
			}
			if moved := b.balance(t); moved || lastMoved == nobody {
				lastMoved = t
			}
		}
	}
}

// balancer finds the members with the fewest and those with the most partitions among the subscribers of a topic.
//
// It has them in the order of their load, and two ranges in it: the least loaded, from the left, in which everyone has the same
// load, and the most loaded, from the right. Partitions are given to the least loaded range one by one; when each member in it
// had one, its load is one higher and members to its right that had that much already belong to it. The most loaded range
// shrinks the same way. Members with nothing to give lie to the right of it.
//
//	load ^                #
//	     |              ##|#
//	     |            ##|##|#       [least loaded)  [most loaded)  nothing to give
//	     |    |######|##|##|#
//	     +---------------------->
//	      least          most
type balancer struct {
	spec        Spec
	owners      owners
	subscribers [][]int32 // by topic, members ascending
	load        []int32   // partitions of each member

	sorted    []int32 // members of the topic at hand by load
	least     span    // from the left; next counts up
	most      span    // from the right; next counts down
	givable   []int32 // partitions of the topic by owner, ascending
	giveStart []int32 // by member: where its partitions in givable begin
	giveEnd   []int32 // and end
}

// span is a range of balancer.sorted, all of whose members had the same load when it was last widened.
type span struct {
	start, end int
	next       int
	load       int32
}

func newBalancer(spec Spec, owners owners) *balancer {
	b := &balancer{
		spec: spec, owners: owners,
		subscribers: make([][]int32, len(spec.Topics)),
		load:        make([]int32, len(spec.Members)),
		giveStart:   make([]int32, len(spec.Members)),
		giveEnd:     make([]int32, len(spec.Members)),
	}
	for m := range spec.Members {
		for _, t := range spec.Members[m].Topics {
			b.subscribers[t] = append(b.subscribers[t], int32(m))
		}
	}
	for _, byPartition := range owners {
		for _, m := range byPartition {
			if m != nobody {
				b.load[m]++
			}
		}
	}
	return b
}

// topicOrder returns the topics that have subscribers, those with the most partitions for each first: what is left to choose
// from at the end makes up for them.
func (b *balancer) topicOrder() []int32 {
	var order []int32
	for t := range b.spec.Topics {
		if len(b.subscribers[t]) > 0 {
			order = append(order, int32(t))
		}
	}
	slices.SortFunc(order, func(x, y int32) int {
		px, py := int64(b.spec.Topics[x].Partitions), int64(b.spec.Topics[y].Partitions)
		sx, sy := int64(len(b.subscribers[x])), int64(len(b.subscribers[y]))
		return cmp.Or(cmp.Compare(py*sx, px*sy), cmp.Compare(sx, sy), cmp.Compare(x, y))
	})
	return order
}

// start begins with another topic's subscribers. It returns how far they are out of balance.
func (b *balancer) start(members []int32) (imbalance int32) {
	b.sorted = append(b.sorted[:0], members...)
	slices.SortFunc(b.sorted, func(x, y int32) int { return cmp.Or(cmp.Compare(b.load[x], b.load[y]), cmp.Compare(x, y)) })
	n := len(b.sorted)
	lowest, highest := b.load[b.sorted[0]], b.load[b.sorted[n-1]]
	b.least = span{load: lowest - 1}
	b.most = span{start: n, end: n, next: n - 1, load: highest + 1}
	return highest - lowest
}

// nextLeastLoaded returns whom to give the next partition, and counts on its being given.
func (b *balancer) nextLeastLoaded() int32 {
	if b.least.next >= b.least.end {
		b.least.load++
		for b.least.end < len(b.sorted) && b.load[b.sorted[b.least.end]] == b.least.load {
			b.least.end++
		}
		b.least.next = 0
	}
	b.least.next++
	return b.sorted[b.least.next-1]
}

// nextMostLoaded returns whom to take the next partition from, and counts on its being taken; nobody when no one has any to
// give.
func (b *balancer) nextMostLoaded() int32 {
	if b.most.next < b.most.start {
		if b.most.end <= b.most.start && b.most.start > 0 {
			// Everyone in the range had nothing to give: begin again below it.
			b.most.load = b.load[b.sorted[b.most.start-1]]
		} else {
			b.most.load--
		}
		for b.most.start > 0 && b.load[b.sorted[b.most.start-1]] == b.most.load {
			b.most.start--
		}
		b.most.next = b.most.end - 1
	}
	if b.most.next < 0 {
		return nobody
	}
	b.most.next--
	return b.sorted[b.most.next+1]
}

// excludeMostLoaded takes the member that nextMostLoaded returned last out of the range.
func (b *balancer) excludeMostLoaded() {
	i, last := b.most.next+1, b.most.end-1
	b.sorted[i], b.sorted[last] = b.sorted[last], b.sorted[i]
	b.most.end--
}

func (b *balancer) balanced() bool { return b.most.load-b.least.load <= 1 }

// balance moves partitions of a topic between its subscribers. It reports whether it moved any.
func (b *balancer) balance(topic int32) (moved bool) {
	if b.start(b.subscribers[topic]) <= 1 {
		return false
	}
	b.groupByOwner(topic)
	for {
		from := b.nextMostLoaded()
		for from != nobody && b.giveEnd[from] == b.giveStart[from] {
			b.excludeMostLoaded()
			from = b.nextMostLoaded()
		}
		if from == nobody {
			return moved
		}
		b.giveEnd[from]--
		p := b.givable[b.giveEnd[from]]
		to := b.nextLeastLoaded()
		if b.balanced() {
			return moved
		}
		b.owners[topic][p] = to
		b.load[from]--
		b.load[to]++
		moved = true
	}
}

// groupByOwner fills givable with the partitions of a topic.
func (b *balancer) groupByOwner(topic int32) {
	byPartition := b.owners[topic]
	for _, m := range b.subscribers[topic] {
		b.giveEnd[m] = 0
	}
	for _, m := range byPartition {
		b.giveEnd[m]++
	}
	at := int32(0)
	for _, m := range b.subscribers[topic] {
		b.giveStart[m], at = at, at+b.giveEnd[m]
		b.giveEnd[m] = b.giveStart[m]
	}
	b.givable = slices.Grow(b.givable[:0], len(byPartition))[:len(byPartition)]
	for p, m := range byPartition {
		b.givable[b.giveEnd[m]] = int32(p)
		b.giveEnd[m]++
	}
}
