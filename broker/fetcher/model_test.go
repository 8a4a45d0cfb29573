package fetcher_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

// model does what may happen to three brokers, in a random order: records, with and without acknowledgement of all, leaders that
// change, brokers that lose power, that are cut off from their leaders, that return, and, in some of the runs, unclean elections.
// The test is a controller that makes no mistakes. Whatever happens, what was acknowledged stays where it is, on every broker that
// is in sync (I1, I2, I5), but for what an unclean election gave up, and in the end the logs are the same, byte for byte (I6), and
// nobody was left behind. That nothing is cut below a high watermark (I8), the logs see to themselves.
type model struct {
	*cluster
	r         *rand.Rand
	crashed   map[protocol.NodeID]*vfs.Mem
	cutOff    map[protocol.NodeID]bool
	unclean   bool             // unclean elections may happen
	committed map[int64]string // values that were acknowledged by all in sync, by offset
	next      int
	steps     []string
}

var everybody = ids(1, 2, 3)

func newModel(t *testing.T, seed uint64) *model {
	t.Helper()
	c := newCluster(t)
	c.config.MaxWait, c.config.Backoff, c.maxLag = 20*time.Millisecond, 20*time.Millisecond, 200*time.Millisecond
	m := &model{
		cluster: c, r: rand.New(rand.NewPCG(seed, 11)), crashed: make(map[protocol.NodeID]*vfs.Mem), cutOff: make(map[protocol.NodeID]bool),
		committed: make(map[int64]string), unclean: seed%2 == 1,
	}
	for _, id := range everybody {
		c.start(id, vfs.NewMem())
	}
	c.create(topic, orders, 1, everybody...)
	m.produceAll() // the logs are there
	return m
}

func (m *model) inSync(id protocol.NodeID) bool { return slices.Contains(m.partition().ISR, id) }

// leads returns the leader, nil when there is none.
func (m *model) leads() *node { return m.nodes[m.partition().Leader] }

// follows reports whether a broker runs and fetches.
func (m *model) follows(id protocol.NodeID) bool { return m.nodes[id] != nil && !m.cutOff[id] }

func (m *model) pick(from []protocol.NodeID, ok func(protocol.NodeID) bool) (protocol.NodeID, bool) {
	var can []protocol.NodeID
	for _, id := range from {
		if ok(id) {
			can = append(can, id)
		}
	}
	if len(can) == 0 {
		return 0, false
	}
	return can[m.r.IntN(len(can))], true
}

func (m *model) note(format string, args ...any) {
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
}

// step does one thing, if it can be done now.
func (m *model) step() {
	switch n := m.r.IntN(100); {
	case n < 35:
		m.produceAll()
	case n < 50:
		m.produceOne()
	case n < 60:
		m.moveLeader()
	case n < 72:
		m.crash()
	case n < 84:
		m.restart()
	case n < 90:
		m.cut()
	case n < 95 && m.unclean:
		m.force()
	default:
		m.expand()
	}
}

func (m *model) values() []string {
	var values []string
	for range 1 + m.r.IntN(3) {
		m.next++
		values = append(values, fmt.Sprintf("%d-%0*d", m.next, m.r.IntN(200), 0))
	}
	return values
}

// produceAll appends records that all in sync acknowledge.
func (m *model) produceAll() {
	n := m.leads()
	if n == nil {
		return
	}
	values := m.values()
	m.note("%v to %d, acks=all of %v", values[0], n.id, m.partition().ISR)
	base := n.mustProduce(tp0, -1, values...)
	for i, v := range values {
		m.committed[base+int64(i)] = v
	}
}

// produceOne appends records that only the leader acknowledges.
func (m *model) produceOne() {
	if n := m.leads(); n != nil {
		values := m.values()
		m.note("%v to %d, acks=1", values[0], n.id)
		n.mustProduce(tp0, 1, values...)
	}
}

// moveLeader elects one of the in-sync replicas.
func (m *model) moveLeader() {
	m.change(func(p *image.Partition) []metadata.Record {
		id, ok := m.pick(p.ISR, m.follows)
		if !ok {
			return nil
		}
		return m.lead(id, p.ISR)
	})
}

// change decides and commits at once.
func (m *model) change(decide func(p *image.Partition) []metadata.Record) {
	m.t.Helper()
	m.mu.Lock()
	was := m.image.Partition(tp0)
	if recs := decide(was); len(recs) > 0 {
		m.publishLocked(recs...)
	}
	now := m.image.Partition(tp0)
	m.mu.Unlock()
	if now.LeaderEpoch > was.LeaderEpoch && now.Leader != image.NoLeader {
		m.check(now.Leader)
	}
}

func (m *model) lead(id protocol.NodeID, isr []protocol.NodeID) []metadata.Record {
	m.note("%d leads, in sync %v", id, isr)
	return []metadata.Record{&metadata.PartitionChangeRecord{TopicID: orders, Leader: &id, ISR: isr}}
}

// force elects a broker uncleanly. What it does not have of what was acknowledged was given up.
func (m *model) force() {
	id, ok := m.pick(everybody, func(id protocol.NodeID) bool { return m.follows(id) && m.partition().Leader != id })
	if !ok {
		return
	}
	m.note("%d is forced to lead", id)
	m.mu.Lock()
	m.publishLocked(forced(id))
	m.mu.Unlock()
	l := m.nodes[id].log(tp0)
	got := valuesOf(m.t, content(m.t, l, l.SyncedEndOffset()))
	for offset, value := range m.committed {
		if got[offset] != value {
			delete(m.committed, offset)
		}
	}
}

// check makes sure that a broker has everything that was acknowledged (I5).
func (m *model) check(id protocol.NodeID) {
	m.t.Helper()
	l := m.nodes[id].log(tp0)
	got := valuesOf(m.t, content(m.t, l, l.LogEndOffset()))
	for offset, want := range m.committed {
		if got[offset] != want {
			m.t.Fatalf("broker %d has %q at offset %d, acknowledged was %q", id, got[offset], offset, want)
		}
	}
}

// leave takes a broker out of the in-sync replicas, of which the last one stays.
func (m *model) leave(id protocol.NodeID, p *image.Partition) []metadata.Record {
	isr := slices.DeleteFunc(slices.Clone(p.ISR), func(x protocol.NodeID) bool { return x == id })
	switch {
	case len(isr) == 0 && p.Leader == id:
		return m.lead(image.NoLeader, p.ISR)
	case len(isr) == 0, len(isr) == len(p.ISR):
		return nil
	case p.Leader != id:
		m.note("in sync %v", isr)
		return []metadata.Record{&metadata.PartitionChangeRecord{TopicID: orders, ISR: isr}}
	default:
		next, ok := m.pick(isr, m.follows)
		if !ok {
			next = image.NoLeader
		}
		return m.lead(next, isr)
	}
}

// crash cuts the power of a broker.
func (m *model) crash() {
	id, ok := m.pick(everybody, func(id protocol.NodeID) bool { return m.nodes[id] != nil })
	if !ok {
		return
	}
	survive := []int{0, 50, 100}[m.r.IntN(3)]
	m.note("%d crashes, %d%% survive", id, survive)
	n := m.nodes[id]
	m.crashed[id] = n.fs.CrashClone(vfs.CrashOptions{Rand: m.r, SurvivePercent: survive})
	n.stop()
	delete(m.cutOff, id)
	m.change(func(p *image.Partition) []metadata.Record {
		return append(m.leave(id, p), &metadata.BrokerRegistrationChangeRecord{ID: id, Epoch: n.epoch, Fenced: new(true)})
	})
}

// restart starts a crashed broker on what its disk holds, or connects one again that was cut off. Where nobody leads, one of
// the last in-sync replicas does.
func (m *model) restart() {
	id, ok := m.pick(everybody, func(id protocol.NodeID) bool { return m.nodes[id] == nil || m.cutOff[id] })
	if !ok {
		return
	}
	m.back(id)
}

func (m *model) back(id protocol.NodeID) {
	m.note("%d is back", id)
	if n := m.nodes[id]; n != nil {
		delete(m.cutOff, id)
		n.startFetcher()
	} else {
		m.start(id, m.crashed[id])
	}
	m.change(func(p *image.Partition) []metadata.Record {
		if p.Leader != image.NoLeader || !slices.Contains(p.ISR, id) {
			return nil
		}
		return m.lead(id, p.ISR)
	})
}

// cut cuts a broker off: it does not fetch, and leaves the in-sync replicas. A leader is deposed, and goes on for all it knows
// until the metadata reach it.
func (m *model) cut() {
	id, ok := m.pick(everybody, func(id protocol.NodeID) bool { return m.follows(id) })
	if !ok {
		return
	}
	m.note("%d is cut off", id)
	n := m.nodes[id]
	if err := n.fetcher.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.cutOff[id] = true
	m.change(func(p *image.Partition) []metadata.Record { return m.leave(id, p) })
}

// expand waits until all that follow are in sync, as the leader finds out.
func (m *model) expand() {
	if m.leads() == nil {
		return
	}
	for _, id := range everybody {
		if m.follows(id) {
			m.wait(fmt.Sprintf("broker %d is in sync", id), func() bool { return m.inSync(id) })
		}
	}
	m.note("in sync %v", m.partition().ISR)
}

// heal brings everybody back, and everything to everybody.
func (m *model) heal() {
	for _, id := range everybody {
		if !m.follows(id) {
			m.back(id)
		}
	}
	m.expand()
	m.produceAll()
	m.alike()
	for _, id := range everybody {
		m.check(id)
		if s := m.nodes[id].fetcher.Stats(); s.FailedPartitions > 0 {
			m.t.Errorf("broker %d: %+v", id, s)
		}
	}
}

func valuesOf(t testing.TB, b []byte) map[int64]string {
	t.Helper()
	got := make(map[int64]string)
	for {
		one, rest, err := records.Split(b)
		if err != nil { // what is left are the leader epochs
			return got
		}
		err = one.Iterate(1<<20, func(r *records.Record) error {
			got[r.Offset] = string(r.Value)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		b = rest
	}
}

func TestFetcher_Model(t *testing.T) {
	seeds := uint64(25)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			m := newModel(t, seed)
			defer func() {
				if t.Failed() {
					for i, s := range m.steps {
						t.Logf("%3d %s", i, s)
					}
				}
			}()
			for range 60 {
				m.step()
			}
			m.heal()
		})
	}
}
