//go:build !wasip1

package kraft_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/internal/testport"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// mesh is members that talk over loopback sockets. Members are numbered from 1.
type mesh struct {
	t     *testing.T
	addrs map[int]string

	mu    sync.Mutex // guards the fields below
	cut   map[int]bool
	nodes map[int]*meshNode
}

// meshNode is a running member.
type meshNode struct {
	*node
	m        *mesh
	id       int
	net      *raftnet.Net
	listener net.Listener
	wg       sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	conns map[net.Conn]struct{}
	lost  []error // why dials were given up whose packets were lost
}

func newMesh(t *testing.T, n int) *mesh {
	t.Helper()
	m := &mesh{t: t, addrs: make(map[int]string), cut: make(map[int]bool), nodes: make(map[int]*meshNode)}
	for i, port := range must(testport.Free(n)) {
		m.addrs[i+1] = fmt.Sprintf("127.0.0.1:%d", port)
	}
	t.Cleanup(m.closeAll)
	return m
}

func (m *mesh) voters(ids ...int) []kraft.Voter {
	var out []kraft.Voter
	for _, id := range ids {
		out = append(out, kraft.Voter{ID: protocol.NodeID(id), Address: m.addrs[id]})
	}
	return out
}

// directoryOf is the directory id of a member's disk: another one for another disk.
func directoryOf(id, disk int) protocol.TopicID {
	return protocol.TopicID{15: byte(id), 0: byte(disk), 7: 200}
}

// start runs a member on a disk.
func (m *mesh) start(id, diskNo int, disk *raftstore.Disk, change func(o *kraft.Options)) *meshNode {
	m.t.Helper()
	l, err := new(net.ListenConfig).Listen(m.t.Context(), "tcp", m.addrs[id])
	check(m.t, err)
	n := &meshNode{m: m, id: id, listener: l, conns: make(map[net.Conn]struct{})}
	self := raftnet.Identity{NodeID: protocol.NodeID(id), DirectoryID: directoryOf(id, diskNo), Address: m.addrs[id]}
	self.Incarnation = must(protocol.NewTopicID(randReader{}))
	n.net = raftnet.New(raftnet.Options{Self: self, Dial: n.dial, Logger: quiet()})
	n.wg.Go(n.accept)
	n.node = open(m.t, disk, func(o *kraft.Options) {
		o.NodeID, o.Network, o.Bootstrap = protocol.NodeID(id), n.net, false
		if change != nil {
			change(o)
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.nodes[id] = n
	return n
}

func (n *meshNode) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to := 0
	for id, a := range n.m.addrs {
		if a == address {
			to = id
		}
	}
	if n.m.isCut(n.id) || n.m.isCut(to) {
		<-ctx.Done() // packets are lost
		n.mu.Lock()
		defer n.mu.Unlock()
		n.lost = append(n.lost, ctx.Err())
		return nil, context.Cause(ctx)
	}
	return n.track(new(net.Dialer).DialContext(ctx, network, address))
}

func (n *meshNode) accept() {
	for {
		nc, err := n.track(n.listener.Accept())
		if err != nil {
			return
		}
		n.wg.Go(func() { n.net.Serve(context.Background(), nc) })
	}
}

// track notes a connection, for partition to break. One that was on its way when its end was cut off is broken here.
func (n *meshNode) track(nc net.Conn, err error) (net.Conn, error) {
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.conns[nc] = struct{}{}
	n.mu.Unlock()
	if n.m.isCut(n.id) {
		nc.Close()
	}
	return nc, nil
}

// close ends a member like a crash.
func (n *meshNode) close() {
	n.m.mu.Lock()
	delete(n.m.nodes, n.id)
	n.m.mu.Unlock()
	n.listener.Close()
	if err := n.Close(); err != nil {
		n.m.t.Errorf("close %d: %v", n.id, err)
	}
	n.wg.Wait()
	await(n.m.t, fmt.Sprintf("node %d has no connection left", n.id), n.alone)
}

// alone reports whether no connection of a closed member is open. A call that raft does not wait for may have one for a while.
func (n *meshNode) alone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if rc, err := c.(*net.TCPConn).SyscallConn(); err == nil && rc.Control(func(uintptr) {}) == nil {
			return false
		}
	}
	return true
}

func (m *mesh) closeAll() {
	m.mu.Lock()
	nodes := make([]*meshNode, 0, len(m.nodes))
	for _, n := range m.nodes {
		nodes = append(nodes, n)
	}
	m.mu.Unlock()
	for _, n := range nodes {
		n.close()
	}
}

func (m *mesh) isCut(id int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cut[id]
}

// partition cuts a member off: its connections break without its peers being refused when they dial.
func (m *mesh) partition(id int, cut bool) {
	m.mu.Lock()
	m.cut[id] = cut
	n := m.nodes[id]
	m.mu.Unlock()
	if !cut {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		c.Close()
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// leader waits until the members that run agree on a leader among them, and begins the cluster if it is new.
func (m *mesh) leader(among ...*meshNode) *meshNode {
	m.t.Helper()
	var leader *meshNode
	await(m.t, "one leader", func() bool {
		leader = nil
		for _, n := range among {
			id, _, ok := n.Leader()
			if !ok || leader != nil && leader.id != int(id) {
				return false
			}
			i := slices.IndexFunc(among, func(o *meshNode) bool { return o.id == int(id) })
			if i < 0 {
				return false
			}
			leader = among[i]
		}
		return leader.IsLeader() && leader.Activate(m.t.Context()) == nil
	})
	return leader
}

func threeVoters(t *testing.T) (*mesh, []*meshNode, []*raftstore.Disk) {
	t.Helper()
	m := newMesh(t, 3)
	var nodes []*meshNode
	var disks []*raftstore.Disk
	for id := 1; id <= 3; id++ {
		disks = append(disks, raftstore.NewDisk())
		nodes = append(nodes, m.start(id, 1, disks[id-1], func(o *kraft.Options) { o.Voters = m.voters(1, 2, 3) }))
	}
	return m, nodes, disks
}

// complete registers every member with its directory, once the leader has met them all.
func (m *mesh) complete(leader *meshNode) {
	m.t.Helper()
	await(m.t, "directories known", func() bool {
		return !slices.ContainsFunc(leader.Status().Members, func(m kraft.Member) bool { return m.DirectoryID.IsZero() })
	})
	var records []metadata.Record
	for _, member := range leader.Status().Members {
		records = append(records, &metadata.RegisterControllerRecord{ID: member.ID, DirectoryID: member.DirectoryID})
	}
	must(leader.Propose(m.t.Context(), records))
}

func others(nodes []*meshNode, but *meshNode) []*meshNode {
	return slices.DeleteFunc(slices.Clone(nodes), func(n *meshNode) bool { return n == but })
}

func TestNet_LeaderKilledAndBack(t *testing.T) {
	m, nodes, disks := threeVoters(t)
	leader := m.leader(nodes...)
	must(leader.Propose(t.Context(), config("a", "1")))
	leader.close()
	rest := others(nodes, leader)
	next := m.leader(rest...)
	version := must(next.Propose(t.Context(), config("b", "2")))
	back := m.start(leader.id, 1, disks[leader.id-1], func(o *kraft.Options) { o.Voters = m.voters(1, 2, 3) })
	waitFor(t, back.node, version)
	check(t, catchUp(t, back))
	if diff := cmp.Diff(next.Image(), back.Image()); diff != "" {
		t.Error(diff)
	}
}

// TestNet_OtherDirectory: a voter whose disk was replaced may neither vote nor be counted, until it was removed and added again.
func TestNet_OtherDirectory(t *testing.T) {
	m, nodes, _ := threeVoters(t)
	leader := m.leader(nodes...)
	must(leader.Propose(t.Context(), config("a", "1")))
	m.complete(leader)
	lost := others(nodes, leader)[0]
	lost.close()
	empty := m.start(lost.id, 2, raftstore.NewDisk(), func(o *kraft.Options) { o.Voters = m.voters(1, 2, 3) })
	// The others belong to a cluster, so it does not begin one.
	if s := empty.Status(); s.LastIndex != 0 {
		t.Fatalf("it has bootstrapped: %+v", s)
	}
	nc, _, err := empty.net.Dial(t.Context(), raftnet.KindRaft, m.addrs[leader.id], protocol.NodeID(leader.id))
	var refused *raftnet.RefusedError
	if !errors.As(err, &refused) || refused.Reply.Status != raftnet.StatusDirectory {
		t.Fatalf("raft stream of another directory: %v, %v", nc, err)
	}
	if _, _, err := empty.net.Dial(t.Context(), raftnet.KindJoin, m.addrs[leader.id], -1); !errors.As(err, &refused) || refused.Reply.Status != raftnet.StatusDirectory {
		t.Fatalf("join with another directory: %v", err)
	}
	must(leader.Propose(t.Context(), config("b", "2"))) // two of three are enough
	if v := empty.Image().Version; v != 0 {
		t.Errorf("it was sent the metadata, up to %d", v)
	}
	wrong := kraft.VoterKey{ID: protocol.NodeID(lost.id), DirectoryID: directoryOf(lost.id, 2)}
	if err := leader.RemoveVoter(t.Context(), wrong); errcode.KindOf(err) != errcode.KindVoterNotFound {
		t.Errorf("remove by the wrong directory: %v", err)
	}
	// It does not answer for long enough to be forgotten rather than kept as an observer.
	await(t, "forgotten", func() bool {
		return time.Since(leader.Status().Members[lost.id-1].Contact) > 3*time.Second
	})
	await(t, "removed", func() bool {
		leader = m.leader(others(nodes, lost)...) // on a busy machine the one before may have lost its lease
		err := leader.RemoveVoter(t.Context(), kraft.VoterKey{ID: protocol.NodeID(lost.id), DirectoryID: directoryOf(lost.id, 1)})
		if _, deposed := errors.AsType[*kraft.NotLeaderError](err); deposed {
			return false
		}
		check(t, err)
		return true
	})
	await(t, "follows", func() bool { return empty.Image().Version == leader.Image().Version })
	check(t, leader.AddVoter(t.Context(), wrong, m.addrs[lost.id]))
	if err := leader.AddVoter(t.Context(), wrong, m.addrs[lost.id]); errcode.KindOf(err) != errcode.KindDuplicateVoter {
		t.Errorf("add twice: %v", err)
	}
	if got := leader.Status().Voters; len(got) != 3 {
		t.Errorf("voters %v", got)
	}
}

// TestNet_NobodyBegins: nodes that are neither alone nor listed wait, also for each other.
func TestNet_NobodyBegins(t *testing.T) {
	m := newMesh(t, 3)
	seeds := func(o *kraft.Options) { o.Seeds = []string{m.addrs[1], m.addrs[2], m.addrs[3]} }
	one := m.start(1, 1, raftstore.NewDisk(), seeds)
	two := m.start(2, 1, raftstore.NewDisk(), seeds)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := one.CatchUp(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("caught up with nobody: %v", err)
	}
	for _, n := range []*meshNode{one, two} {
		if s := n.Status(); s.LastIndex != 0 || s.Leader >= 0 {
			t.Errorf("node %d: %+v", n.id, s)
		}
	}
	// The third may begin.
	three := m.start(3, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap = true })
	for _, n := range []*meshNode{one, two} {
		check(t, catchUp(t, n))
		if n.Image().ClusterID != three.Image().ClusterID {
			t.Errorf("node %d belongs to cluster %q, want %q", n.id, n.Image().ClusterID, three.Image().ClusterID)
		}
	}
	if s := three.Status(); len(s.Voters) != 1 || len(s.Observers) != 2 {
		t.Errorf("%+v", s)
	}
}

// TestNet_Partition: a leader without majority does not answer from what it last knew, and follows when it is back.
func TestNet_Partition(t *testing.T) {
	m, nodes, _ := threeVoters(t)
	leader := m.leader(nodes...)
	m.complete(leader)
	m.partition(leader.id, true)
	next := m.leader(others(nodes, leader)...)
	version := must(next.Propose(t.Context(), config("b", "2")))
	if err := leader.VerifyLeader(t.Context()); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("the leader that was cut off: %v", err)
	}
	_, err := leader.Propose(t.Context(), config("c", "3"))
	if k := errcode.KindOf(err); k != errcode.KindNotController && k != errcode.KindRequestTimedOut {
		t.Errorf("proposal to the leader that was cut off: %v", err)
	}
	m.partition(leader.id, false)
	waitFor(t, leader.node, version)
	if id, _, _ := leader.Leader(); id != protocol.NodeID(next.id) {
		t.Logf("node %d leads", id) // pre-vote keeps it from disturbing the others, but a slow machine may hold an election all the same
	}
}

func TestNet_LateMemberIsSentASnapshot(t *testing.T) {
	m := newMesh(t, 2)
	first := m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap, o.SnapshotEntries = true, 5 })
	for i := range 60 {
		must(first.Propose(t.Context(), config(fmt.Sprint(i), strings.Repeat("v", 1000))))
		if i%10 == 9 {
			check(t, first.Snapshot(t.Context()))
		}
	}
	late := m.start(2, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds, o.SnapshotEntries = []string{m.addrs[1]}, 5 })
	check(t, catchUp(t, late))
	if diff := cmp.Diff(first.Image(), late.Image()); diff != "" {
		t.Error(diff)
	}
	version := must(first.Propose(t.Context(), config("last", "v")))
	waitFor(t, late.node, version)
}

// TestNet_MovedAddress: a member that comes back at another address says so itself.
func TestNet_MovedAddress(t *testing.T) {
	m := newMesh(t, 3)
	disk := raftstore.NewDisk()
	first := m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap = true })
	second := m.start(2, 1, disk, func(o *kraft.Options) { o.Seeds = []string{m.addrs[1]} })
	check(t, catchUp(t, second))
	second.close()
	m.addrs[2] = m.addrs[3]
	second = m.start(2, 1, disk, func(o *kraft.Options) { o.Seeds = []string{m.addrs[1]} })
	version := must(first.Propose(t.Context(), config("k", "v")))
	waitFor(t, second.node, version)
	if got := first.Address(2); got != m.addrs[2] {
		t.Errorf("address %s, want %s", got, m.addrs[2])
	}
}

// TestNet_FromBeforeTheNetwork: a node that stood alone when there was no network yet notes where it is reached now.
func TestNet_FromBeforeTheNetwork(t *testing.T) {
	disk := raftstore.NewDisk()
	alone := open(t, disk, nil)
	version := must(alone.Propose(t.Context(), config("k", "v")))
	check(t, alone.Close())
	m := newMesh(t, 2)
	first := m.start(1, 1, disk, nil)
	if first.Image().Version != version {
		t.Fatalf("version %d, want %d", first.Image().Version, version)
	}
	await(t, "its address is noted", func() bool { return first.Address(1) == m.addrs[1] })
	second := m.start(2, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds = []string{m.addrs[1]} })
	check(t, catchUp(t, second))
}

// A node that looks for its quorum asks all controllers at once: those that do not answer are not waited for.
func TestNet_DiscoveryDoesNotWait(t *testing.T) {
	m := newMesh(t, 4)
	leader := m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Voters = m.voters(1) })
	m.leader(leader)
	m.mu.Lock()
	m.cut[2], m.cut[3] = true, true
	m.mu.Unlock()
	late := m.start(4, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds = []string{m.addrs[2], m.addrs[3], m.addrs[1]} })
	await(t, "the node is a member", func() bool {
		_, _, led := late.Leader()
		return led
	})
	lost := func() []error {
		late.mu.Lock()
		defer late.mu.Unlock()
		return slices.Clone(late.lost)
	}
	await(t, "the others are given up", func() bool { return len(lost()) >= 2 })
	if ends := lost(); len(ends) != 2 || !errors.Is(ends[0], context.Canceled) || !errors.Is(ends[1], context.Canceled) {
		t.Errorf("questions to the others ended with %v, want given up at once", ends)
	}
}

// TestNet_SameNodeTwice: the second process with a node id is refused while the first one is there.
func TestNet_SameNodeTwice(t *testing.T) {
	m := newMesh(t, 3)
	first := m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap = true })
	second := m.start(2, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds = []string{m.addrs[1]} })
	check(t, catchUp(t, second))
	twin := raftnet.New(raftnet.Options{
		Self: raftnet.Identity{NodeID: 2, DirectoryID: directoryOf(2, 2), Address: m.addrs[3]},
		Dial: new(net.Dialer).DialContext, Logger: quiet(),
	})
	defer twin.Close()
	var refused *raftnet.RefusedError
	if _, _, err := twin.Dial(t.Context(), raftnet.KindJoin, m.addrs[1], -1); !errors.As(err, &refused) || refused.Reply.Status != raftnet.StatusRefused {
		t.Errorf("a second node 2: %v", err)
	}
	if got := first.Address(2); got != m.addrs[2] {
		t.Errorf("address %s, want %s", got, m.addrs[2])
	}
}

// TestNet_OwnSeed: a controller that is told to find the quorum at its own address, however that is written, is alone.
func TestNet_OwnSeed(t *testing.T) {
	m := newMesh(t, 1)
	seed := strings.Replace(m.addrs[1], "127.0.0.1", "localhost", 1)
	n := m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds, o.Controller = []string{seed}, true })
	if !n.IsLeader() || n.Image().ClusterID == "" {
		t.Errorf("%+v", n.Status())
	}
}

// TestNet_Private: a node that is its whole quorum by configuration takes nobody in.
func TestNet_Private(t *testing.T) {
	m := newMesh(t, 2)
	m.start(1, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Bootstrap, o.Private = true, true })
	other := m.start(2, 1, raftstore.NewDisk(), func(o *kraft.Options) { o.Seeds = []string{m.addrs[1]} })
	var refused *raftnet.RefusedError
	if _, _, err := other.net.Dial(t.Context(), raftnet.KindJoin, m.addrs[1], 1); !errors.As(err, &refused) || refused.Reply.Status != raftnet.StatusRefused {
		t.Errorf("join a private quorum: %v", err)
	}
}

// TestNet_HandOver: leadership goes to the voter that was named.
func TestNet_HandOver(t *testing.T) {
	m, nodes, _ := threeVoters(t)
	leader := m.leader(nodes...)
	to := others(nodes, leader)[1]
	check(t, leader.HandOver(t.Context(), protocol.NodeID(to.id)))
	await(t, "the named voter leads", to.IsLeader)
	if err := to.HandOver(t.Context(), 9); errcode.KindOf(err) != errcode.KindInvalidRequest {
		t.Errorf("hand over to nobody: %v", err)
	}
	if err := leader.HandOver(t.Context(), 1); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("hand over from a follower: %v", err)
	}
}

// randReader makes ids that differ.
type randReader struct{}

var randCount atomic.Uint64

func (randReader) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(randCount.Add(1) >> (8 * (i % 4)))
	}
	p[0] = 77
	return len(p), nil
}

func catchUp(t *testing.T, n *meshNode) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return n.CatchUp(ctx)
}
