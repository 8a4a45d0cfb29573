package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/records"
)

// Timeouts of the storm's groups. A member reports every beatEvery.
const (
	sessionTimeout   = 5 * time.Second
	rebalanceTimeout = 15 * time.Second
	beatEvery        = 400 * time.Millisecond
	// keeps is how long a member that reported keeps what it has, whatever happens to the group.
	keeps = sessionTimeout
)

// Error codes that members act on.
const (
	noError          = 0
	notCoordinator   = 16
	unknownMember    = 25
	memberIDRequired = 79
	fencedInstance   = 82
	fencedEpoch      = 110
)

// errMoved says that the group has another coordinator.
var errMoved = errors.New("not the coordinator of the group")

// raw is a member whose requests are its own. One goroutine runs it.
type raw struct {
	group    string
	topic    string
	name     string // in the history: the instance id of a static member, else one of its own
	instance *string
	h        *History
	rng      *rand.Rand
	nodes    []string // addresses of the cluster
	// coordinator is the connection to the group's coordinator, reads that to any node: each has every partition, and a follower
	// answers a consumer, too (KIP-392).
	coordinator, reads conn

	id        string
	epoch     int32           // generation or member epoch
	positions map[int32]int64 // of the partitions that it owns
	committed map[int32]int64 // what it knows to be committed
	lastBeat  time.Time
	plant     bool
	silentAt  time.Time // when it falls silent for longer than its session, zero never
}

func newRaw(nodes []string, group, topic, name string, seed uint64, h *History) *raw {
	m := &raw{
		nodes: nodes, group: group, topic: topic, name: name, h: h,
		rng: rand.New(rand.NewPCG(seed, uint64(len(name)))), positions: map[int32]int64{}, committed: map[int32]int64{},
	}
	m.coordinator = conn{where: m.findCoordinator, clientID: name}
	m.reads = conn{where: m.anyNode, clientID: name}
	return m
}

// anyNode chooses a node.
func (m *raw) anyNode(context.Context) (string, error) { return m.nodes[m.rng.IntN(len(m.nodes))], nil }

// findCoordinator asks a node where the group's coordinator is.
func (m *raw) findCoordinator(ctx context.Context) (string, error) {
	c := conn{where: m.anyNode, clientID: m.name}
	defer c.cut()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.Version, req.CoordinatorKeys = 4, []string{m.group}
	resp, err := c.ask(ctx, req)
	if err != nil {
		return "", err
	}
	found := resp.(*kmsg.FindCoordinatorResponse).Coordinators[0]
	if found.ErrorCode != noError {
		return "", fmt.Errorf("find the coordinator: error %d", found.ErrorCode)
	}
	return net.JoinHostPort(found.Host, strconv.Itoa(int(found.Port))), nil
}

// ask asks the group's coordinator, which the next question looks for when it is another.
func (m *raw) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, err := m.coordinator.ask(ctx, req)
	if err == nil && errorOf(resp) == notCoordinator {
		m.coordinator.cut()
		return nil, errMoved
	}
	return resp, err
}

// errorOf is the error code that an answer of a coordinator has for all of its request.
func errorOf(resp kmsg.Response) int16 {
	switch r := resp.(type) {
	case *kmsg.JoinGroupResponse:
		return r.ErrorCode
	case *kmsg.SyncGroupResponse:
		return r.ErrorCode
	case *kmsg.HeartbeatResponse:
		return r.ErrorCode
	case *kmsg.ConsumerGroupHeartbeatResponse:
		return r.ErrorCode
	case *kmsg.LeaveGroupResponse:
		return r.ErrorCode
	case *kmsg.OffsetFetchResponse:
		return r.Groups[0].ErrorCode
	case *kmsg.OffsetCommitResponse:
		return r.Topics[0].Partitions[0].ErrorCode
	}
	return noError
}

// cut ends the connections at once, as a crash does.
func (m *raw) cut() {
	m.coordinator.cut()
	m.reads.cut()
}

func (m *raw) note(kind Kind, partition int32, offset int64) {
	m.h.Add(Event{Group: m.group, Member: m.name, Kind: kind, Partition: partition, Epoch: m.epoch, Offset: offset})
}

// beaten notes a report that was sent at a time and taken.
func (m *raw) beaten(sent time.Time) {
	m.lastBeat = sent
	m.h.Add(Event{Group: m.group, Member: m.name, Kind: Beat, Until: sent.Sub(m.h.began) + keeps})
}

// gain takes partitions over: where to read from is asked first.
func (m *raw) gain(ctx context.Context, partitions []int32, sent time.Time) error {
	if len(partitions) == 0 {
		return nil
	}
	at, err := m.fetchOffsets(ctx, partitions)
	if err != nil {
		return err
	}
	if time.Since(sent) > keeps-time.Second {
		return errNotIn // the broker may have given them to somebody else by now: report first
	}
	for _, p := range partitions {
		m.h.Add(Event{Group: m.group, Member: m.name, Kind: Owned, Partition: p, Epoch: m.epoch, Until: sent.Sub(m.h.began) + keeps})
		m.positions[p] = max(at[p], 0)
		m.committed[p] = at[p]
	}
	return nil
}

// lose gives partitions up.
func (m *raw) lose(partitions ...int32) {
	for _, p := range partitions {
		m.note(Released, p, 0)
		delete(m.positions, p)
		delete(m.committed, p)
	}
}

func (m *raw) loseAll() {
	for p := range m.positions {
		m.lose(p)
	}
}

// gone leaves nothing behind in the books.
func (m *raw) gone() {
	m.note(Gone, 0, 0)
	clear(m.positions)
	clear(m.committed)
}

// fetchOffsets asks what is committed. It asks again while the coordinator is loading.
func (m *raw) fetchOffsets(ctx context.Context, partitions []int32) (map[int32]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = m.group
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: m.topic, Partitions: partitions}}
	req.Groups = append(req.Groups, g)
	for {
		op := m.h.op()
		for _, p := range partitions {
			m.h.Add(Event{Group: m.group, Member: m.name, Kind: FetchSent, Partition: p, Op: op})
		}
		resp, err := m.ask(ctx, req)
		if err != nil {
			return nil, err
		}
		got := resp.(*kmsg.OffsetFetchResponse).Groups[0]
		if got.ErrorCode != noError {
			if err := pause(ctx, 50*time.Millisecond); err != nil {
				return nil, err
			}
			continue
		}
		out := map[int32]int64{}
		for _, t := range got.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode != noError {
					return nil, fmt.Errorf("offset of partition %d: error %d", p.Partition, p.ErrorCode)
				}
				m.h.Add(Event{Group: m.group, Member: m.name, Kind: FetchOK, Partition: p.Partition, Offset: p.Offset, Op: op})
				out[p.Partition] = p.Offset
			}
		}
		return out, nil
	}
}

// read reads what there is of all partitions that the member owns, and commits it.
func (m *raw) read(ctx context.Context) error {
	if len(m.positions) == 0 {
		return pause(ctx, 100*time.Millisecond)
	}
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.ReplicaID, req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 11, -1, 200, 1, 1<<20, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic = m.topic
	for p, at := range m.positions {
		fp := kmsg.NewFetchRequestTopicPartition()
		fp.Partition, fp.FetchOffset, fp.PartitionMaxBytes, fp.CurrentLeaderEpoch = p, at, 64<<10, -1
		t.Partitions = append(t.Partitions, fp)
	}
	req.Topics = append(req.Topics, t)
	resp, err := m.reads.ask(ctx, req)
	if err != nil {
		return pause(ctx, 50*time.Millisecond) // the next read is from another node
	}
	refused := false
	for _, t := range resp.(*kmsg.FetchResponse).Topics {
		for _, p := range t.Partitions {
			refused = refused || p.ErrorCode != noError
			from := m.positions[p.Partition]
			if to := behind(p.RecordBatches, from); to > from {
				m.h.Add(Event{Group: m.group, Member: m.name, Kind: Read, Partition: p.Partition, Offset: from, End: to})
				m.positions[p.Partition] = to
			}
		}
	}
	if refused {
		m.reads.cut() // the node is new, or behind
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return m.commit(ctx)
}

// behind is the offset behind the last whole batch.
func behind(b []byte, at int64) int64 {
	for {
		batch, rest, err := records.Split(b)
		if err != nil {
			return at
		}
		at, b = batch.NextOffset(), rest
	}
}

// commit commits the positions that are not committed yet. A refusal says that the member is not what it was; the next report
// tells it more.
func (m *raw) commit(ctx context.Context) error {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation, req.MemberID, req.InstanceID = 9, m.group, m.epoch, m.id, m.instance
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = m.topic
	for p, at := range m.positions {
		if at == m.committed[p] || at == 0 {
			continue
		}
		cp := kmsg.NewOffsetCommitRequestTopicPartition()
		cp.Partition, cp.Offset = p, at
		t.Partitions = append(t.Partitions, cp)
		m.note(CommitSent, p, at)
	}
	if len(t.Partitions) == 0 {
		return nil
	}
	req.Topics = append(req.Topics, t)
	sent := map[int32]int64{}
	for _, p := range t.Partitions {
		sent[p.Partition] = p.Offset
	}
	resp, err := m.ask(ctx, req)
	if err != nil {
		return err
	}
	for _, t := range resp.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == noError {
				m.note(CommitOK, p.Partition, sent[p.Partition])
				m.committed[p.Partition] = sent[p.Partition]
			}
		}
	}
	if m.plant {
		for i := range t.Partitions {
			t.Partitions[i].Offset--
		}
		_, err = m.ask(ctx, req)
	}
	return err
}

// silence has a member say nothing for longer than its session, when its time has come, and then read on and commit as if nothing
// had happened: a zombie, whose commits must change nothing.
func (m *raw) silence(ctx context.Context) error {
	if m.silentAt.IsZero() || time.Now().Before(m.silentAt) {
		return nil
	}
	m.silentAt = time.Time{}
	if err := pause(ctx, sessionTimeout+time.Duration(m.rng.IntN(2000))*time.Millisecond); err != nil {
		return err
	}
	return m.read(ctx)
}

// changes compares what a member has with what it is to have.
func (m *raw) changes(want []int32) (gained, lost []int32) {
	for _, p := range want {
		if _, has := m.positions[p]; !has {
			gained = append(gained, p)
		}
	}
	for p := range m.positions {
		if !slices.Contains(want, p) {
			lost = append(lost, p)
		}
	}
	return gained, lost
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
