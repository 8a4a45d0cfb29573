package replica

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// The model is one partition on three brokers, a controller, and messages between them that are late, lost or overtaken:
// metadata, fetches, AlterPartition and its answers. Brokers are fenced, come back, and lose the end of their log. The
// leaders are driven as Partition drives them.
//
// After every step: the high watermark has not fallen in the leader epoch (I7); everything below it is on all members of the
// ISR that the controller has committed (I9); it is the same whoever led (I1, I11); who is elected has it all (I5).
type model struct {
	t      *testing.T
	r      *rand.Rand
	now    time.Time
	minISR int

	history   []image.Partition // of the controller's partition, the last is the present one
	fenced    map[protocol.NodeID]bool
	epochs    map[protocol.NodeID]protocol.BrokerEpoch
	brokers   map[protocol.NodeID]*modelBroker
	committed []int32 // the leader epochs of what was ever below a high watermark
	requests  []modelRequest
	fetches   []modelFetch
	seen      map[string]int // what has happened, to know that the model is not idle
}

type modelBroker struct {
	id      protocol.NodeID
	epoch   protocol.BrokerEpoch
	applied int // of the history
	role    *role
	lead    *leadership
	log     []int32 // leader epochs
	start   int64   // of the leader epoch
	hw      int64
	fetch   int                                      // the last one sent, whose answer is waited for
	told    map[protocol.NodeID]protocol.BrokerEpoch // the broker epochs as of its metadata; 0: fenced
}

type modelRequest struct {
	from        protocol.NodeID
	brokerEpoch protocol.BrokerEpoch
	proposal    *proposal
	decision    *decision // nil: on its way to the controller
}

type modelFetch struct {
	from, to    protocol.NodeID
	brokerEpoch protocol.BrokerEpoch
	leaderEpoch protocol.LeaderEpoch
	end         int64
	last        int32 // epoch
	number      int
}

const modelLag = 30 * time.Second

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, r: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1000, 0), seen: make(map[string]int),
		fenced: make(map[protocol.NodeID]bool), epochs: make(map[protocol.NodeID]protocol.BrokerEpoch), brokers: make(map[protocol.NodeID]*modelBroker),
	}
	m.minISR = 1 + m.r.IntN(2)
	m.history = []image.Partition{{Replicas: nodes(1, 2, 3), ISR: nodes(1, 2, 3), Leader: 1}}
	for _, id := range nodes(1, 2, 3) {
		m.epochs[id] = protocol.BrokerEpoch(id)
		m.brokers[id] = &modelBroker{id: id, epoch: protocol.BrokerEpoch(id), applied: -1}
		m.apply(m.brokers[id], 0)
	}
	return m
}

func (m *model) state() *image.Partition { return &m.history[len(m.history)-1] }

func (m *model) any() *modelBroker { return m.brokers[protocol.NodeID(1+m.r.IntN(3))] }

// apply brings a broker's metadata to a place in the history, by Partition.assume's rules.
func (m *model) apply(b *modelBroker, to int) {
	b.applied = to
	b.told = make(map[protocol.NodeID]protocol.BrokerEpoch)
	for id, e := range m.epochs {
		if !m.fenced[id] {
			b.told[id] = e
		}
	}
	p := m.history[to]
	now := newRole(b.id, &p)
	was := b.role
	if was != nil && !now.newerThan(was) {
		return
	}
	b.role = now
	switch {
	case !now.leads:
		b.lead = nil
	case b.lead == nil || now.leaderEpoch != was.leaderEpoch:
		b.lead, b.start = takeLead(now, modelLag, m.now), int64(len(b.log))
	default:
		b.lead.update(now)
	}
	m.raise(b)
}

func (m *model) checkElected(b *modelBroker) {
	m.t.Helper()
	m.seen["elected"]++
	if len(b.log) < len(m.committed) || !slices.Equal(b.log[:len(m.committed)], m.committed) {
		m.t.Fatalf("broker %d leads without what is committed: %v, committed %v", b.id, b.log, m.committed)
	}
}

// knows implements brokers for a broker's metadata.
func (b *modelBroker) knows(id protocol.NodeID) (protocol.BrokerEpoch, bool) {
	e, ok := b.told[id]
	return e, ok
}

func (m *model) raise(b *modelBroker) {
	if b.lead == nil {
		return
	}
	r := b.lead.role
	end := int64(len(b.log))
	hw := b.lead.highWatermark(b.hw, end, end, r.underMinISR(atLeast(m.minISR), "t"), m.now, b.knows)
	if hw < b.hw {
		m.t.Fatalf("broker %d: high watermark falls from %d to %d", b.id, b.hw, hw)
	}
	if hw == b.hw {
		return
	}
	b.hw = hw
	m.seen["raised"]++
	if r.leaderEpoch != protocol.LeaderEpoch(m.state().LeaderEpoch) {
		m.seen["raised by who no longer leads"]++
	}
	m.commit(b)
}

func (m *model) commit(b *modelBroker) {
	n := min(len(m.committed), int(b.hw))
	if !slices.Equal(b.log[:n], m.committed[:n]) {
		m.t.Fatalf("broker %d commits %v, committed were %v", b.id, b.log[:b.hw], m.committed)
	}
	if int(b.hw) > len(m.committed) {
		m.committed = slices.Clone(b.log[:b.hw])
	}
	for _, id := range m.state().ISR {
		if other := m.brokers[id]; len(other.log) < len(m.committed) || !slices.Equal(other.log[:len(m.committed)], m.committed) {
			m.t.Fatalf("broker %d raises the high watermark to %d, broker %d in the ISR %v has %v", b.id, b.hw, id, m.state().ISR, other.log)
		}
	}
}

func (m *model) step() {
	switch n := m.r.IntN(1000); {
	case n < 120:
		if b := m.any(); b.lead != nil {
			b.log = append(b.log, int32(b.role.leaderEpoch))
			m.raise(b)
		}
	case n < 400:
		m.send(m.any())
	case n < 680:
		m.deliverFetch()
	case n < 840:
		if b := m.any(); b.applied < len(m.history)-1 { // maybe several at once
			m.apply(b, b.applied+1+m.r.IntN(len(m.history)-1-b.applied))
		}
	case n < 930:
		m.deliverRequest()
	case n < 950:
		m.pass()
	case n < 955:
		m.fence(m.any())
	case n < 990:
		m.fenced[m.any().id] = false
	case n < 997:
		m.elect(m.state().ISR[m.r.IntN(len(m.state().ISR))])
	default:
		m.crash(m.any())
	}
}

// pass lets time pass.
func (m *model) pass() {
	m.now = m.now.Add(time.Duration(m.r.Int64N(int64(modelLag))))
	for _, id := range nodes(1, 2, 3) {
		if b := m.brokers[id]; b.lead != nil {
			m.propose(b, b.lead.shrink(b.epoch, int64(len(b.log)), m.now))
			m.raise(b)
		}
	}
}

// send has a follower fetch from whom it takes for the leader.
func (m *model) send(b *modelBroker) {
	if b.lead != nil || b.role.leader < 0 {
		return
	}
	f := modelFetch{from: b.id, to: b.role.leader, brokerEpoch: b.epoch, leaderEpoch: b.role.leaderEpoch, end: int64(len(b.log)), last: -1}
	if f.end > 0 {
		f.last = b.log[f.end-1]
	}
	b.fetch++
	f.number = b.fetch
	m.fetches = append(m.fetches, f)
}

// endOf is where the largest epoch not above e ends in a log.
func endOf(log []int32, e int32) (int32, int64) {
	end := int64(len(log))
	for end > 0 && log[end-1] > e {
		end--
	}
	if end == 0 {
		return -1, 0
	}
	return log[end-1], end
}

func (m *model) deliverFetch() {
	if len(m.fetches) == 0 {
		return
	}
	i := m.r.IntN(len(m.fetches))
	q := m.fetches[i]
	m.fetches = slices.Delete(m.fetches, i, i+1)
	leader, from := m.brokers[q.to], m.brokers[q.from]
	if leader.lead == nil || leader.role.leaderEpoch != q.leaderEpoch {
		return
	}
	// One that was given up, or is of an earlier life of the broker, may come late: its answer reaches nobody.
	answered := q.number == from.fetch && from.role.leaderEpoch == q.leaderEpoch
	if found, end := endOf(leader.log, q.last); q.end > 0 && (found != q.last || end < q.end) {
		if answered {
			m.seen["truncated"]++
			_, own := endOf(from.log, found)
			from.log = from.log[:min(end, own)]
			if int64(len(from.log)) < from.hw {
				m.t.Fatalf("broker %d truncates to %d, below its high watermark %d", from.id, len(from.log), from.hw)
			}
		}
		return
	}
	known := leader.told[q.from]
	f := leader.lead.follower(q.from)
	s := fetchState{brokerEpoch: q.brokerEpoch, end: q.end, leaderEnd: int64(len(leader.log)), at: m.now}
	if err := f.note(s, known); err != nil {
		m.seen["stale fetch"]++
		return
	}
	m.propose(leader, leader.lead.expand(f, leader.epoch, leader.hw, leader.start, leader.knows))
	m.raise(leader)
	if answered {
		more := leader.log[q.end:]
		from.log = append(from.log, more[:m.r.IntN(len(more)+1)]...)
		from.hw = max(from.hw, min(leader.hw, int64(len(from.log))))
	}
}

func (m *model) propose(b *modelBroker, p *proposal) {
	if p == nil {
		return
	}
	b.role = b.lead.role
	m.requests = append(m.requests, modelRequest{from: b.id, brokerEpoch: b.epoch, proposal: p})
}

// deliverRequest takes one AlterPartition a step further: to the controller, or its answer to the broker.
func (m *model) deliverRequest() {
	if len(m.requests) == 0 {
		return
	}
	i := m.r.IntN(len(m.requests))
	q := m.requests[i]
	lost := m.r.IntN(4) == 0
	if q.decision == nil && !lost {
		d := m.decide(q)
		m.requests[i].decision = &d
		return
	}
	m.requests = slices.Delete(m.requests, i, i+1)
	d := decision{kind: errcode.KindNetworkException}
	if q.decision != nil && !lost {
		d = *q.decision
	}
	b := m.brokers[q.from]
	if b.lead == nil || b.epoch != q.brokerEpoch {
		return
	}
	if b.lead.answered(q.proposal, d) {
		m.seen["asked again"]++
		m.requests = append(m.requests, modelRequest{from: b.id, brokerEpoch: b.epoch, proposal: q.proposal})
	}
	b.role = b.lead.role
	m.raise(b)
}

// decide is the controller's side of AlterPartition.
func (m *model) decide(q modelRequest) decision {
	s := m.state()
	switch {
	case int32(q.proposal.leaderEpoch) != s.LeaderEpoch:
		return decision{kind: errcode.KindFencedLeaderEpoch}
	case q.proposal.partitionEpoch != s.PartitionEpoch:
		return decision{kind: errcode.KindInvalidUpdateVersion}
	}
	next := *s
	next.ISR = nil
	for _, member := range q.proposal.isr {
		if m.fenced[member.id] || member.brokerEpoch != -1 && member.brokerEpoch != m.epochs[member.id] {
			m.seen["ineligible"]++
			return decision{kind: errcode.KindIneligibleReplica}
		}
		next.ISR = append(next.ISR, member.id)
	}
	m.seen["altered"]++
	m.change(next)
	return decision{leader: next.Leader, leaderEpoch: protocol.LeaderEpoch(next.LeaderEpoch), partitionEpoch: m.state().PartitionEpoch, isr: next.ISR}
}

func (m *model) change(next image.Partition) {
	if next.LeaderEpoch != m.state().LeaderEpoch {
		m.checkElected(m.brokers[next.Leader])
	}
	next.PartitionEpoch++
	m.history = append(m.history, next)
}

func without(ids []protocol.NodeID, id protocol.NodeID) []protocol.NodeID {
	return slices.DeleteFunc(slices.Clone(ids), func(i protocol.NodeID) bool { return i == id })
}

// fence takes a broker out of the ISR and away from the leadership, unless nobody else is left.
func (m *model) fence(b *modelBroker) {
	next := *m.state()
	if len(next.ISR) == 1 && next.ISR[0] == b.id {
		return
	}
	m.fenced[b.id] = true
	if !slices.Contains(next.ISR, b.id) {
		return
	}
	next.ISR = without(next.ISR, b.id)
	if next.Leader == b.id {
		next.Leader, next.LeaderEpoch = next.ISR[m.r.IntN(len(next.ISR))], next.LeaderEpoch+1
	}
	m.change(next)
}

func (m *model) elect(id protocol.NodeID) {
	next := *m.state()
	next.Leader, next.LeaderEpoch = id, next.LeaderEpoch+1
	m.change(next)
}

// crash is an unclean stop that loses the end of the log, and a new registration, which takes the broker out of the ISR.
func (m *model) crash(b *modelBroker) {
	if s := m.state(); len(s.ISR) == 1 && s.ISR[0] == b.id {
		return
	}
	m.seen["crash"]++
	m.fence(b)
	m.epochs[b.id] += 10
	b.epoch = m.epochs[b.id]
	b.log = b.log[:m.r.IntN(len(b.log)+1)]
	b.hw = min(b.hw, int64(len(b.log)))
	b.lead, b.role = nil, nil
	b.fetch++
	m.apply(b, len(m.history)-1) // a broker catches up with the metadata before it is unfenced
}

func TestLeadership_Model(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(2000) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			m := newModel(t, seed)
			for range 1500 {
				m.step()
			}
			for what, n := range m.seen {
				seen[what] += n
			}
		})
		if t.Failed() {
			return
		}
	}
	for _, what := range []string{"elected", "raised", "truncated", "stale fetch", "altered", "ineligible", "asked again", "crash"} {
		if seen[what] == 0 {
			t.Errorf("the model never came to %q: %v", what, seen)
		}
	}
	t.Log(seen)
}
