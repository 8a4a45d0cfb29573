package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/internal/testport"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// testCluster is a number of nodes in this process that listen on loopback. Nodes are numbered from 1.
type testCluster struct {
	t    *testing.T
	opts clusterOptions
	dir  string

	ports []int // of the controller listener and of clients, two for each node

	mu    sync.Mutex // guards nodes
	nodes map[int]*broker.Broker
}

// clusterOptions says what a test cluster is like. The zero value is three nodes with both roles that list each other.
type clusterOptions struct {
	Nodes int                            // 0: 3
	Set   []string                       // properties of every node, over those of the cluster
	Node  func(id int) []string          // properties of one node, over all others
	Alter func(id int, c *broker.Config) // may be nil
}

// startCluster starts all nodes at once and waits until each serves. They are closed with the test.
func startCluster(t *testing.T, o clusterOptions) *testCluster {
	t.Helper()
	c := newCluster(t, o)
	var ids []int
	for id := range c.opts.Nodes {
		ids = append(ids, id+1)
	}
	c.Start(ids...)
	return c
}

// newCluster makes a cluster of which no node runs yet.
func newCluster(t *testing.T, o clusterOptions) *testCluster {
	t.Helper()
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	c := &testCluster{t: t, opts: o, dir: t.TempDir(), ports: freePorts(t, 2*o.Nodes), nodes: make(map[int]*broker.Broker)}
	t.Cleanup(c.closeAll)
	return c
}

func freePorts(t *testing.T, n int) []int {
	t.Helper()
	ports, err := testport.Free(n)
	if err != nil {
		t.Fatal(err)
	}
	return ports
}

// ControllerAddr is where a node's controller listens, whether it runs or not.
func (c *testCluster) ControllerAddr(id int) string {
	return fmt.Sprintf("127.0.0.1:%d", c.ports[2*(id-1)])
}

// Addr is where a node's broker listens, whether it runs or not.
func (c *testCluster) Addr(id int) string { return fmt.Sprintf("127.0.0.1:%d", c.ports[2*(id-1)+1]) }

// Dir is a node's data directory.
func (c *testCluster) Dir(id int) string { return filepath.Join(c.dir, fmt.Sprint(id)) }

// Voters is controller.quorum.voters of all nodes.
func (c *testCluster) Voters() string {
	var voters []string
	for id := 1; id <= c.opts.Nodes; id++ {
		voters = append(voters, fmt.Sprintf("%d@%s", id, c.ControllerAddr(id)))
	}
	return strings.Join(voters, ",")
}

func (c *testCluster) properties(id int) (*config.Config, error) {
	set := []string{
		fmt.Sprintf("node.id=%d", id),
		"controller.quorum.voters=" + c.Voters(),
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", c.Addr(id), c.ControllerAddr(id)),
		"log.dirs=" + c.Dir(id),
		"dmq.admin.listen=",
	}
	set = append(set, c.opts.Set...)
	if c.opts.Node != nil {
		set = append(set, c.opts.Node(id)...)
	}
	props, _, err := config.Load(config.Sources{Set: set})
	return props, err
}

func (c *testCluster) make(id int) (*broker.Broker, error) {
	props, err := c.properties(id)
	if err != nil {
		return nil, err
	}
	cfg := broker.Config{Properties: props}
	if c.opts.Alter != nil {
		c.opts.Alter(id, &cfg)
	}
	return broker.New(cfg)
}

// Start starts nodes on their directories, all at once, and waits until each serves.
func (c *testCluster) Start(ids ...int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	errs := make(chan error, len(ids))
	for _, id := range ids {
		go func() { errs <- c.start(ctx, id) }()
	}
	for range ids {
		if err := <-errs; err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *testCluster) start(ctx context.Context, id int) error {
	b, err := c.make(id)
	if err != nil {
		return err
	}
	if err := b.Start(ctx); err != nil {
		return fmt.Errorf("start node %d: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes[id] = b
	return nil
}

// Node is a node that runs.
func (c *testCluster) Node(id int) *broker.Broker {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.nodes[id]
	if b == nil {
		c.t.Fatalf("node %d does not run", id)
	}
	return b
}

// Kill stops a node like a crash does.
func (c *testCluster) Kill(id int) {
	c.t.Helper()
	b := c.forget(id)
	if err := b.Close(); err != nil {
		c.t.Errorf("close node %d: %v", id, err)
	}
}

// Stop stops a node gracefully.
func (c *testCluster) Stop(id int) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	b := c.forget(id)
	if err := b.Shutdown(ctx); err != nil {
		c.t.Errorf("stop node %d: %v", id, err)
	}
}

func (c *testCluster) forget(id int) *broker.Broker {
	b := c.Node(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.nodes, id)
	return b
}

func (c *testCluster) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var wg sync.WaitGroup
	for id, b := range c.nodes {
		wg.Go(func() {
			if err := b.Close(); err != nil {
				c.t.Errorf("close node %d: %v", id, err)
			}
		})
	}
	wg.Wait()
}

// Client returns a client that knows the addresses of all nodes, or only of those given.
func (c *testCluster) Client(ids []int, opts ...kgo.Opt) *kgo.Client {
	c.t.Helper()
	var seeds []string
	for id := 1; id <= c.opts.Nodes; id++ {
		if len(ids) == 0 {
			seeds = append(seeds, c.Addr(id))
		}
	}
	for _, id := range ids {
		seeds = append(seeds, c.Addr(id))
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(seeds...)}, opts...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(cl.Close)
	return cl
}

// Await waits until the metadata of every node that runs is as wanted.
func (c *testCluster) Await(what string, ok func(img *image.Image) bool) {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		missing := c.lagging(ok)
		if missing == 0 {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("node %d: not %s within a minute", missing, what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func (c *testCluster) lagging(ok func(img *image.Image) bool) (id int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, b := range c.nodes {
		if img := b.Image(); img == nil || !ok(img) {
			return id
		}
	}
	return 0
}

// unfenced reports whether exactly these brokers are unfenced.
func unfenced(ids ...int) func(*image.Image) bool {
	return func(img *image.Image) bool {
		n := 0
		for _, b := range img.Brokers {
			if !b.Fenced {
				n++
			}
		}
		for _, id := range ids {
			if b := img.Brokers[protocol.NodeID(id)]; b == nil || b.Fenced {
				return false
			}
		}
		return n == len(ids)
	}
}

func createTopic(t *testing.T, cl *kgo.Client, name string, partitions, replicas int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for unknown := false; ; unknown = true {
		resp, err := kadm.NewClient(cl).CreateTopic(ctx, int32(partitions), int16(replicas), nil, name)
		if err == nil {
			err = resp.Err
		}
		switch {
		case errors.Is(err, kerr.RequestTimedOut): // the controller was deposed while it decided: whether the topic exists is not known
			continue
		case err == nil, unknown && errors.Is(err, kerr.TopicAlreadyExists):
			return
		default:
			t.Fatalf("create topic %s: %v", name, err)
		}
	}
}

func TestCluster_ThreeNodesFormOneQuorum(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	c.Await("all unfenced", unfenced(1, 2, 3))
	ids := map[string]bool{}
	for id := 1; id <= 3; id++ {
		ids[c.Node(id).Image().ClusterID] = true
	}
	if len(ids) != 1 {
		t.Errorf("cluster ids %v", ids)
	}
	for id := 1; id <= 3; id++ {
		createTopic(t, c.Client([]int{id}), fmt.Sprintf("from-%d", id), 3, 3)
	}
	c.Await("three topics", func(img *image.Image) bool { return img.Topics.Len() == 3 })

	c.Await("all controllers registered", func(img *image.Image) bool { return len(img.Controllers) == 3 })
	q := c.DescribeQuorum(2)
	if len(q.CurrentVoters) != 3 || len(q.Observers) != 0 || q.LeaderID < 1 {
		t.Errorf("DescribeQuorum: %+v", q)
	}
	directories := map[[16]byte]bool{}
	for _, v := range q.CurrentVoters {
		directories[v.ReplicaDirectoryID] = true
		if v.LogEndOffset < 1 || v.LastFetchTimestamp < 1 || v.LastCaughtUpTimestamp < 1 {
			t.Errorf("voter %+v", v)
		}
	}
	if len(directories) != 3 || directories[[16]byte{}] {
		t.Errorf("directories %v", directories)
	}
}

// Controller waits until the nodes that run agree on an active controller among them.
func (c *testCluster) Controller() int {
	c.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if id := c.agreed(); id > 0 {
			return id
		}
		<-time.After(time.Millisecond)
	}
	c.t.Fatal("no controller within a minute")
	return 0
}

func (c *testCluster) agreed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	leader := 0
	for _, b := range c.nodes {
		s, ok := b.Quorum()
		if !ok || s.Leader < 1 || c.nodes[int(s.Leader)] == nil || leader != 0 && leader != int(s.Leader) {
			return 0
		}
		leader = int(s.Leader)
	}
	return leader
}

func TestCluster_ControllerKilled(t *testing.T) {
	c := startCluster(t, clusterOptions{Set: []string{"broker.session.timeout.ms=60000"}})
	c.Await("all unfenced", unfenced(1, 2, 3))
	for round := range 3 {
		dead := c.Controller()
		c.Kill(dead)
		began := time.Now()
		next := c.Controller()
		elected := time.Since(began)
		createTopic(t, c.Client([]int{next}), fmt.Sprintf("round-%d", round), 1, 1)
		created := time.Since(began)
		var left []int
		for id := 1; id <= 3; id++ {
			if id != dead {
				left = append(left, id)
			}
		}
		// The session timeout is far away: the new controller has asked whether the process lives.
		c.Await("the killed broker fenced", unfenced(left...))
		t.Logf("controller %d killed: %d leads after %v, a topic after %v, fenced after %v", dead, next, elected, created, time.Since(began))
		c.Start(dead)
		c.Await("all unfenced", unfenced(1, 2, 3))
		t.Logf("back after %v", time.Since(began))
	}
}

// DescribeQuorum asks a node about the quorum, and waits until the directories of all its voters are known.
func (c *testCluster) DescribeQuorum(id int) kmsg.DescribeQuorumResponseTopicPartition {
	c.t.Helper()
	cl := c.Client([]int{id})
	deadline := time.Now().Add(time.Minute)
	for {
		req := kmsg.NewPtrDescribeQuorumRequest()
		rt := kmsg.NewDescribeQuorumRequestTopic()
		rt.Topic = "__cluster_metadata"
		rt.Partitions = []kmsg.DescribeQuorumRequestTopicPartition{kmsg.NewDescribeQuorumRequestTopicPartition()}
		req.Topics = append(req.Topics, rt)
		resp, err := req.RequestWith(c.t.Context(), cl)
		if err != nil {
			c.t.Fatal(err)
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode == 0 && !slices.ContainsFunc(p.CurrentVoters, func(v kmsg.DescribeQuorumResponseTopicPartitionReplicaState) bool {
			return v.ReplicaDirectoryID == [16]byte{} || v.LastCaughtUpTimestamp < 1
		}) {
			return p
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the quorum is not complete within a minute: %+v", p)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestCluster_SingleNodeGrows: a node that was alone takes two in, which become voters, and gives its own vote up.
func TestCluster_SingleNodeGrows(t *testing.T) {
	c := newCluster(t, clusterOptions{})
	c.opts.Set = []string{"controller.quorum.voters=", "controller.quorum.bootstrap.servers=" + c.ControllerAddr(1)}
	c.Start(1)
	createTopic(t, c.Client([]int{1}), "before", 1, 1)
	c.Start(2, 3)
	c.Await("all unfenced", unfenced(1, 2, 3))
	q := c.DescribeQuorum(3)
	if len(q.CurrentVoters) != 1 || len(q.Observers) != 2 {
		t.Fatalf("before: %+v", q)
	}
	directory := map[int32][16]byte{1: q.CurrentVoters[0].ReplicaDirectoryID}
	for _, o := range q.Observers {
		directory[o.ReplicaID] = o.ReplicaDirectoryID
		c.addVoter(o.ReplicaID, o.ReplicaDirectoryID, 0)
	}
	c.addVoter(2, directory[2], kerr.DuplicateVoter.Code)
	if q = c.DescribeQuorum(2); len(q.CurrentVoters) != 3 || len(q.Observers) != 0 {
		t.Fatalf("grown: %+v", q)
	}
	c.removeVoter(1, [16]byte{9}, kerr.VoterNotFound.Code)
	c.removeVoter(1, directory[1], 0) // the leader
	if leader := c.Controller(); leader == 1 {
		t.Error("node 1 leads, and has no vote")
	}
	if q = c.DescribeQuorum(1); len(q.CurrentVoters) != 2 || len(q.Observers) != 1 {
		t.Errorf("without node 1: %+v", q)
	}
	createTopic(t, c.Client([]int{1}), "after", 1, 1)
	c.Await("both topics", func(img *image.Image) bool { return img.Topics.Len() == 2 })

	to := 5 - c.Controller() // 2 and 3 vote
	req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
	rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
	rt.Topic = "__cluster_metadata"
	rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
	rp.Replicas = []int32{int32(to)}
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	resp, err := req.RequestWith(t.Context(), c.Client([]int{1}))
	if err != nil || resp.ErrorCode != 0 || resp.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("hand over: %s %v, %v", *resp.Topics[0].Partitions[0].ErrorMessage, resp.ErrorCode, err)
	}
	if got := c.Controller(); got != to {
		t.Errorf("node %d leads, want %d", got, to)
	}
}

func (c *testCluster) addVoter(id int32, directory [16]byte, want int16) {
	c.t.Helper()
	req := kmsg.NewPtrAddRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID, req.TimeoutMillis = id, directory, 30000
	l := kmsg.NewAddRaftVoterRequestListener()
	l.Name, l.Host, l.Port = "CONTROLLER", "127.0.0.1", uint16(c.ports[2*(id-1)])
	req.Listeners = append(req.Listeners, l)
	resp, err := req.RequestWith(c.t.Context(), c.Client(nil))
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.ErrorCode != want {
		c.t.Fatalf("add voter %d: code %d, want %d: %+v", id, resp.ErrorCode, want, resp)
	}
}

func (c *testCluster) removeVoter(id int32, directory [16]byte, want int16) {
	c.t.Helper()
	req := kmsg.NewPtrRemoveRaftVoterRequest()
	req.VoterID, req.VoterDirectoryID = id, directory
	resp, err := req.RequestWith(c.t.Context(), c.Client(nil))
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.ErrorCode != want {
		c.t.Fatalf("remove voter %d: code %d, want %d: %+v", id, resp.ErrorCode, want, resp)
	}
}

// TestCluster_SeparateRoles: controllers that are no brokers, and brokers that are no controllers and are found by the bootstrap
// servers alone.
func TestCluster_SeparateRoles(t *testing.T) {
	c := newCluster(t, clusterOptions{Nodes: 5})
	voters := strings.Join(strings.Split(c.Voters(), ",")[:3], ",")
	c.opts.Node = func(id int) []string {
		if id <= 3 {
			return []string{"process.roles=controller", "controller.quorum.voters=" + voters, "listeners=CONTROLLER://" + c.ControllerAddr(id)}
		}
		return []string{
			"process.roles=broker", "controller.quorum.voters=", "controller.quorum.bootstrap.servers=" + c.ControllerAddr(2) + "," + c.ControllerAddr(1),
			"listeners=PLAINTEXT://" + c.Addr(id),
		}
	}
	c.Start(1, 2, 3, 4, 5)
	c.Await("both unfenced", unfenced(4, 5))
	createTopic(t, c.Client([]int{4}), "a", 2, 2)
	q := c.DescribeQuorum(5)
	if len(q.CurrentVoters) != 3 || len(q.Observers) != 2 {
		t.Errorf("quorum: %+v", q)
	}
	c.Kill(5)
	c.Await("the killed broker fenced", unfenced(4))
	c.Kill(c.Controller())
	c.Controller()
	createTopic(t, c.Client([]int{4}), "b", 2, 1)
	c.Start(5)
	c.Await("both unfenced again", unfenced(4, 5))
	c.Stop(5)
	c.Await("the stopped broker fenced", unfenced(4))
}

// TestCluster_EachNodeRestarts: every node in turn is killed and started again, then all three at once.
func TestCluster_EachNodeRestarts(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	for id := 1; id <= 3; id++ {
		c.Await("all unfenced", unfenced(1, 2, 3))
		createTopic(t, c.Client(nil), fmt.Sprintf("before-%d", id), 1, 3)
		c.Kill(id)
		c.Controller()
		c.Start(id)
	}
	c.Await("all unfenced", unfenced(1, 2, 3))
	clusterID := c.Node(1).Image().ClusterID
	for id := 1; id <= 3; id++ {
		c.Kill(id)
	}
	c.Start(1, 2, 3)
	c.Await("all unfenced, with all topics", func(img *image.Image) bool {
		return unfenced(1, 2, 3)(img) && img.Topics.Len() == 3 && img.ClusterID == clusterID
	})
}

// TestCluster_AllStopAtOnce: with nobody left to take over, a graceful stop ends all the same.
func TestCluster_AllStopAtOnce(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	c.Await("all unfenced", unfenced(1, 2, 3))
	createTopic(t, c.Client(nil), "t", 6, 3)
	began := time.Now()
	var wg sync.WaitGroup
	for id := 1; id <= 3; id++ {
		wg.Go(func() { c.Stop(id) })
	}
	wg.Wait()
	t.Logf("stopped after %v", time.Since(began))
	c.Start(1, 2, 3)
	c.Await("all unfenced", unfenced(1, 2, 3))
}

// TestCluster_StopsWithoutAQuorum: requests that wait for the others do not hold up the stop of the last node, which is a clean one.
func TestCluster_StopsWithoutAQuorum(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	c.Await("all unfenced", unfenced(1, 2, 3))
	cl := c.Client(nil, kgo.DefaultProduceTopic("orders"), kgo.ProduceRequestTimeout(10*time.Minute))
	createTopic(t, cl, "orders", 1, 3)
	c.Await("full ISR", fullISR("orders", 3))
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("acknowledged")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	last := c.leader("orders", 0)
	var killing sync.WaitGroup
	for id := 1; id <= 3; id++ {
		if id != last {
			killing.Go(func() { c.Kill(id) })
		}
	}
	killing.Wait()
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "late", 1, 1
	create.Topics, create.TimeoutMillis = append(create.Topics, topic), int32(10*time.Minute/time.Millisecond)
	other := c.Client([]int{last})
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = create.RequestWith(ctx, other) })
	defer waiting.Wait()
	defer cancel()
	cl.Produce(t.Context(), kgo.StringRecord("waits"), nil)
	waitFor(t, func() error {
		if n := scrape(t, c.Node(last))["kafka_server_delayedoperationpurgatory_purgatorysize,Produce"]; n != 1 {
			return fmt.Errorf("%v produces wait", n)
		}
		return nil
	})
	began := time.Now()
	c.Stop(last)
	t.Logf("stopped after %v", time.Since(began))
}

// format prepares the directories of a node of the cluster.
func (c *testCluster) format(id int, change func(f *broker.Format)) {
	c.t.Helper()
	props, err := c.properties(id)
	if err != nil {
		c.t.Fatal(err)
	}
	f := broker.Format{Properties: props, ClusterID: "kxu-4CYxQGOWmtBTJqDTMg"}
	change(&f)
	if _, err := f.Run(); err != nil {
		c.t.Fatal(err)
	}
}

// TestCluster_Formatted: nodes that know each other by bootstrap servers alone begin when one is formatted to, or when all are
// formatted with the same voters.
func TestCluster_Formatted(t *testing.T) {
	for _, standalone := range []bool{true, false} {
		t.Run(fmt.Sprintf("standalone=%v", standalone), func(t *testing.T) {
			c := newCluster(t, clusterOptions{})
			c.opts.Set = []string{"controller.quorum.voters=", "controller.quorum.bootstrap.servers=" + strings.Join([]string{c.ControllerAddr(1), c.ControllerAddr(2), c.ControllerAddr(3)}, ",")}
			var voters []kraft.Voter
			for id := 1; id <= 3; id++ {
				voters = append(voters, kraft.Voter{ID: protocol.NodeID(id), Address: c.ControllerAddr(id), DirectoryID: protocol.TopicID{5, byte(id)}})
			}
			for id := 1; id <= 3; id++ {
				c.format(id, func(f *broker.Format) {
					if f.Standalone = standalone && id == 2; !standalone {
						f.Voters = voters
					}
				})
			}
			c.Start(1, 2, 3)
			c.Await("all unfenced", func(img *image.Image) bool {
				return unfenced(1, 2, 3)(img) && img.ClusterID == "kxu-4CYxQGOWmtBTJqDTMg"
			})
			want := 3
			if standalone {
				want = 1
			}
			if q := c.DescribeQuorum(1); len(q.CurrentVoters) != want || len(q.Observers) != 3-want {
				t.Errorf("%+v", q)
			}
		})
	}
}

// TestCluster_OneOfThreeWaits: a node without a majority waits, answers no client, and can be stopped.
func TestCluster_OneOfThreeWaits(t *testing.T) {
	c := newCluster(t, clusterOptions{})
	b, err := c.make(1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if err := b.Start(ctx); err == nil || ctx.Err() == nil {
		t.Errorf("start: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	c.Start(1, 2, 3) // on the same directory
	c.Await("all unfenced", unfenced(1, 2, 3))
}

// TestCluster_ControllersStopInTurn: a graceful stop of the active controller is not noticed by who creates topics.
func TestCluster_ControllersStopInTurn(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	for round := range 3 {
		c.Await("all unfenced", unfenced(1, 2, 3))
		id := c.Controller()
		c.Stop(id)
		createTopic(t, c.Client([]int{1 + id%3}), fmt.Sprintf("round-%d", round), 1, 2)
		c.Start(id)
	}
}

// controllerRequest sends a request to a node's controller listener.
func (c *testCluster) controllerRequest(id int, req kmsg.Request) kmsg.Response {
	c.t.Helper()
	l := nodelink.New(nodelink.Options{
		Dial: new(net.Dialer).DialContext, Address: func() (string, error) { return c.ControllerAddr(id), nil }, Logger: slog.New(slog.DiscardHandler),
	})
	defer l.Close()
	resp, err := l.Request(c.t.Context(), req)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func TestCluster_UpdateRaftVoter(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	q := c.DescribeQuorum(1)
	leader := int(q.LeaderID)
	v := q.CurrentVoters[0]
	ask := func(id int, change func(r *kmsg.UpdateRaftVoterRequest)) *kmsg.UpdateRaftVoterResponse {
		r := kmsg.NewPtrUpdateRaftVoterRequest()
		r.CurrentLeaderEpoch, r.VoterID, r.VoterDirectoryID, r.KRaftVersionFeature.MaxSupportedVersion = q.LeaderEpoch, v.ReplicaID, v.ReplicaDirectoryID, 1
		l := kmsg.NewUpdateRaftVoterRequestListener()
		l.Name, l.Host, l.Port = "CONTROLLER", "127.0.0.1", uint16(c.ports[2*(v.ReplicaID-1)])
		r.Listeners = append(r.Listeners, l)
		change(r)
		return c.controllerRequest(id, r).(*kmsg.UpdateRaftVoterResponse)
	}
	for name, tt := range map[string]struct {
		at     int
		change func(r *kmsg.UpdateRaftVoterRequest)
		want   int16
	}{
		"as it is":            {leader, func(*kmsg.UpdateRaftVoterRequest) {}, 0},
		"not the leader":      {1 + leader%3, func(*kmsg.UpdateRaftVoterRequest) {}, kerr.NotLeaderForPartition.Code},
		"an epoch gone by":    {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.CurrentLeaderEpoch-- }, kerr.FencedLeaderEpoch.Code},
		"an epoch to come":    {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.CurrentLeaderEpoch++ }, kerr.UnknownLeaderEpoch.Code},
		"another cluster":     {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.ClusterID = new("other") }, kerr.InconsistentClusterID.Code},
		"another directory":   {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.VoterDirectoryID[0]++ }, kerr.VoterNotFound.Code},
		"no directory":        {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.VoterDirectoryID = [16]byte{} }, kerr.InvalidRequest.Code},
		"no listener":         {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.Listeners = nil }, kerr.InvalidRequest.Code},
		"versions not enough": {leader, func(r *kmsg.UpdateRaftVoterRequest) { r.KRaftVersionFeature.MaxSupportedVersion = 0 }, kerr.InvalidRequest.Code},
	} {
		resp := ask(tt.at, tt.change)
		if resp.ErrorCode != tt.want {
			t.Errorf("%s: code %d, want %d", name, resp.ErrorCode, tt.want)
		}
		if resp.CurrentLeader.LeaderID != q.LeaderID || resp.CurrentLeader.LeaderEpoch != q.LeaderEpoch {
			t.Errorf("%s: leader %+v", name, resp.CurrentLeader)
		}
	}
}
