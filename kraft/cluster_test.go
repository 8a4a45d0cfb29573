//go:build !wasip1

package kraft_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// cluster starts n members connected in memory; the first leads.
func cluster(t *testing.T, n, voters int, change func(o *kraft.Options)) (nodes []*node, transports []*hraft.InmemTransport) {
	t.Helper()
	for i := range n {
		_, tr := hraft.NewInmemTransportWithTimeout(hraft.ServerAddress(fmt.Sprint(i+1)), time.Second)
		transports = append(transports, tr)
	}
	for _, a := range transports {
		for _, b := range transports {
			if a != b {
				a.Connect(b.LocalAddr(), b)
			}
		}
	}
	for i, tr := range transports {
		nodes = append(nodes, open(t, raftstore.NewDisk(), func(o *kraft.Options) {
			o.NodeID = protocol.NodeID(i + 1)
			o.Transport = tr
			o.Bootstrap = i == 0
			if change != nil {
				change(o)
			}
		}))
	}
	for i, tr := range transports[1:] {
		check(t, nodes[0].AddMember(protocol.NodeID(i+2), tr.LocalAddr(), i+1 < voters))
	}
	return nodes, transports
}

// reached waits until a node has applied a version.
type reached struct {
	mu      sync.Mutex
	version int64
	wake    chan struct{}
}

func (r *reached) Publish(d *image.Delta) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version = d.Next.Version
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func waitFor(t *testing.T, n *node, version int64) {
	t.Helper()
	r := &reached{wake: make(chan struct{}, 1)}
	n.Subscribe(r)
	for n.Image().Version < version {
		select {
		case <-r.wake:
		case <-time.After(time.Minute):
			t.Fatalf("node %d is at %d, want %d", n.o.NodeID, n.Image().Version, version)
		}
	}
}

func TestCluster_FollowersLearnOfAnIsolatedCommit(t *testing.T) {
	// With a commit timeout of an hour only the nudge can tell the followers.
	nodes, _ := cluster(t, 3, 2, func(o *kraft.Options) { o.Timeouts.Commit = time.Hour })
	for i := range 5 {
		version := must(nodes[0].Propose(t.Context(), config("k", fmt.Sprint(i))))
		for _, n := range nodes[1:] {
			waitFor(t, n, version)
		}
	}
	version := nodes[0].Image().Version
	if s := nodes[0].Status(); s.LastIndex <= version || len(s.Voters) != 2 || len(s.Observers) != 1 {
		t.Errorf("status %+v at version %d", s, version)
	}
	for _, n := range nodes {
		if diff := cmp.Diff(nodes[0].Image(), n.Image()); diff != "" || n.Image().Version != version {
			t.Errorf("node %d: %s", n.o.NodeID, diff)
		}
	}
	for _, n := range nodes {
		check(t, n.Close())
	}
}

func TestCluster_HandsLeadershipOnWhenStopped(t *testing.T) {
	const unnoticed = 20 * time.Second // before that nobody holds an election because the leader is gone
	nodes, transports := cluster(t, 3, 3, func(o *kraft.Options) { o.Timeouts.Heartbeat, o.Timeouts.Election = unnoticed, unnoticed })
	version := must(nodes[0].Propose(t.Context(), config("k", "v")))
	changes, cancel := nodes[1].LeadershipChanges()
	defer cancel()
	start := time.Now()
	check(t, nodes[0].Transfer(t.Context(), -1))
	check(t, nodes[0].Close())
	for {
		if id, _, ok := nodes[1].Leader(); ok && id != 1 {
			break
		}
		select {
		case <-changes:
		case <-time.After(time.Minute):
			t.Fatal("no new leader")
		}
	}
	if d := time.Since(start); d > unnoticed {
		t.Errorf("the new leader came after %v: by election, not by transfer", d)
	}
	leader := nodes[1]
	if !leader.IsLeader() {
		leader = nodes[2]
	}
	check(t, leader.Barrier(t.Context()))
	if leader.Image().Version != version {
		t.Errorf("version %d, want %d", leader.Image().Version, version)
	}
	must(leader.Propose(t.Context(), config("k", "w")))
	for _, tr := range transports { // so that no leader waits for one that is gone
		tr.DisconnectAll()
	}
	check(t, nodes[1].Close())
	check(t, nodes[2].Close())
}

func TestCluster_LeaderWithoutMajority(t *testing.T) {
	nodes, transports := cluster(t, 3, 3, nil)
	for _, tr := range transports {
		tr.DisconnectAll()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := nodes[0].Propose(ctx, config("k", "v"))
	if errcode.KindOf(err) != errcode.KindRequestTimedOut || ctx.Err() != nil {
		t.Errorf("proposal without a majority: %v", err)
	}
	if err := nodes[0].VerifyLeader(ctx); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("verify without a majority: %v", err)
	}
	for _, n := range nodes {
		check(t, n.Close())
	}
}

func TestCluster_LateMemberIsSentASnapshot(t *testing.T) {
	nodes, _ := cluster(t, 1, 1, func(o *kraft.Options) { o.SnapshotEntries = 5 })
	for i := range 40 {
		must(nodes[0].Propose(t.Context(), config(fmt.Sprint(i), "v")))
		if i%10 == 9 {
			check(t, nodes[0].Snapshot(t.Context()))
		}
	}
	check(t, nodes[0].Snapshot(t.Context()))
	// The store keeps the log back to the older snapshot; what is before it a new member can only get as a snapshot.
	rec := &recorder{}
	check(t, nodes[0].Close())
	_, first := hraft.NewInmemTransport("1")
	_, second := hraft.NewInmemTransport("2")
	first.Connect("2", second)
	second.Connect("1", first)
	a := open(t, nodes[0].disk, func(o *kraft.Options) { o.Transport = first })
	b := open(t, raftstore.NewDisk(), func(o *kraft.Options) {
		o.NodeID, o.Transport, o.Bootstrap, o.Publishers = 2, second, false, []image.Publisher{rec}
	})
	check(t, a.AddMember(2, "2", false))
	version := must(a.Propose(t.Context(), config("last", "v")))
	waitFor(t, b, version)
	if diff := cmp.Diff(a.Image(), b.Image()); diff != "" {
		t.Error(diff)
	}
	if len(rec.errs) > 0 {
		t.Error(rec.errs)
	}
	check(t, a.Close())
	check(t, b.Close())
}
