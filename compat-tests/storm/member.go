package storm

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// group is one group of the run.
type group struct {
	name    string
	classic bool
	opts    []kgo.Opt
}

func groups() []group {
	return []group{
		{"storm-range", true, []kgo.Opt{kgo.Balancers(kgo.RangeBalancer())}},
		{"storm-cooperative", true, []kgo.Opt{kgo.Balancers(kgo.CooperativeStickyBalancer())}},
		{"storm-consumer", false, []kgo.Opt{kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer())}},
	}
}

// cutter dials connections that can all be cut at once.
type cutter struct {
	mu    sync.Mutex // guards the fields below
	conns []net.Conn
	gone  bool
}

func (c *cutter) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, errors.Join(errors.New("this member has crashed"), conn.Close())
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// cut closes every connection and lets no other come.
func (c *cutter) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for _, conn := range c.conns {
		_ = conn.Close() // many are closed already
	}
}

// member is one client in a group. Its callbacks run one at a time, and never while records are being processed.
type member struct {
	number int
	group  group
	rec    *recorder
	cl     *kgo.Client
	net    cutter
	cancel context.CancelFunc // of the client's own context
	joined chan struct{}      // closed at the first assignment
	once   sync.Once
	held   map[int32]bool // used by the callbacks alone
}

// newMember starts a client that joins g.
func newMember(addr string, g group, session time.Duration, rec *recorder) (*member, error) {
	m := &member{number: int(rec.members.Add(1)), group: g, rec: rec, joined: make(chan struct{}), held: map[int32]bool{}}
	ctx, cancel := context.WithCancel(context.Background()) // its own: a member may outlive the storm until it has left
	m.cancel = cancel
	opts := append([]kgo.Opt{
		kgo.SeedBrokers(addr), kgo.WithContext(ctx), kgo.Dialer(m.net.dial), kgo.ConsumerGroup(g.name), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(session), kgo.RebalanceTimeout(session), kgo.HeartbeatInterval(session / 8), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.dropped), kgo.OnPartitionsLost(m.dropped),
	}, g.opts...)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	m.cl = cl
	return m, nil
}

func (m *member) assigned(ctx context.Context, cl *kgo.Client, added map[string][]int32) {
	for _, p := range added[topic] {
		m.held[p] = true
	}
	if ctx.Err() != nil {
		return // it has crashed, and says nothing more
	}
	_, generation := cl.GroupMetadata()
	o := Ownership{
		Group: m.group.name, Classic: m.group.classic, Member: m.number, Generation: generation, At: m.rec.tick(),
		Partitions: slices.Sorted(maps.Keys(m.held)),
	}
	m.rec.note(func(h *History) { h.Owned = append(h.Owned, o) })
	m.once.Do(func() { m.rec.joined.Add(1); close(m.joined) })
}

func (m *member) dropped(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	for _, p := range gone[topic] {
		delete(m.held, p)
	}
}

// consume reads and commits until ctx ends or the member crashes.
func (m *member) consume(ctx context.Context) {
	for ctx.Err() == nil && m.cl.Context().Err() == nil {
		fs := m.cl.PollRecords(ctx, 500)
		next := map[int32]kgo.EpochOffset{}
		var reads []Read
		fs.EachRecord(func(r *kgo.Record) {
			reads = append(reads, Read{m.group.name, r.Partition, r.Offset, string(r.Value)})
			next[r.Partition] = kgo.EpochOffset{Epoch: r.LeaderEpoch, Offset: r.Offset + 1}
		})
		if len(reads) > 0 {
			m.rec.note(func(h *History) { h.Reads = append(h.Reads, reads...) })
			m.commit(next)
		}
		m.cl.AllowRebalance()
	}
}

// commit commits and notes how each partition fared.
func (m *member) commit(next map[int32]kgo.EpochOffset) {
	ctx, cancel := context.WithTimeout(m.cl.Context(), 5*time.Second)
	defer cancel()
	_, before := m.cl.GroupMetadata()
	done := map[int32]bool{}
	asked := m.rec.tick()
	m.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topic: next}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				done[p.Partition] = p.ErrorCode == 0
			}
		}
	})
	answered := m.rec.tick()
	_, after := m.cl.GroupMetadata()
	if before != after {
		before = 0
	}
	m.rec.note(func(h *History) {
		for p, o := range next {
			h.Commits = append(h.Commits, Commit{
				Group: m.group.name, Classic: m.group.classic, Member: m.number, Generation: before, Partition: p, Offset: o.Offset,
				Asked: asked, Answered: answered, OK: done[p],
			})
			if !done[p] {
				m.rec.refused.Add(1)
			}
		}
	})
}

// leave leaves the group politely and closes the client.
func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	m.cl.AllowRebalance()
	if m.cl.LeaveGroupContext(ctx) == nil {
		m.rec.left.Add(1)
	}
	m.close()
}

// crash cuts the member's connections and stops its client, in the middle of whatever it does.
func (m *member) crash() {
	m.rec.crashed.Add(1)
	m.net.cut()
	m.cancel()
}

// close ends the client's goroutines. The context is cancelled first, so that a client whose broker is gone asks for nothing.
func (m *member) close() {
	m.cancel()
	m.cl.CloseAllowingRebalance()
}
