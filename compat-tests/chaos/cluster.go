package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/disk"
	"github.com/distributedmq/dmq/compat-tests/history"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

const nodeCount = 3

// cluster is three nodes. It is used from one goroutine, and what asks through the client from reassignments as well; the clients
// of the load have nothing but its addresses.
type cluster struct {
	net    network
	nodes  []*node // from 1 on
	client *kgo.Client
	admin  *kadm.Client
}

// properties are those of every node: failures are noticed sooner than by default, so that a short run has many.
func properties(more map[string]string) map[string]string {
	base := map[string]string{
		"default.replication.factor": "3", "min.insync.replicas": "2", "offsets.topic.num.partitions": "4", "offsets.topic.replication.factor": "3",
		"broker.session.timeout.ms": "3000", "broker.heartbeat.interval.ms": "500", "replica.lag.time.max.ms": "3000",
		"group.initial.rebalance.delay.ms": "0", "auto.create.topics.enable": "false", "dmq.admin.listen": "127.0.0.1:0",
	}
	maps.Copy(base, more)
	return base
}

// newCluster makes the nodes and does not start them. Where isolated, each has a network namespace and a disk of its own.
func newCluster(ctx context.Context, o Options, isolated bool) (*cluster, error) {
	c := &cluster{nodes: make([]*node, 1, nodeCount+1)}
	var err error
	if isolated {
		c.net, err = newNamespaces(ctx, nodeCount)
	} else {
		c.net, err = newPlain(ctx, nodeCount)
	}
	if err != nil {
		return nil, err
	}
	var voters []string
	for id := 1; id <= nodeCount; id++ {
		voters = append(voters, fmt.Sprintf("%d@%s", id, c.net.advertises(id).controller))
	}
	base := properties(o.Properties)
	base["controller.quorum.voters"] = strings.Join(voters, ",")
	for id := 1; id <= nodeCount; id++ {
		n := &node{id: id, dir: filepath.Join(o.Dir, fmt.Sprintf("node-%d", id)), bin: o.Binary, env: o.Env, net: c.net}
		n.Process = peer.Process{Name: fmt.Sprintf("node %d", id), LogFile: filepath.Join(n.dir, "dmq.log"), Command: n.command}
		c.nodes = append(c.nodes, n)
		if err := os.Mkdir(n.dir, 0o755); err != nil {
			return nil, errors.Join(err, c.close())
		}
		n.data = filepath.Join(n.dir, "data")
		if isolated {
			if n.disk, err = disk.New(ctx, n.dir); err != nil {
				return nil, errors.Join(err, c.close())
			}
			n.data = filepath.Join(n.disk.Mount, "data")
		}
		if err := n.configure(base); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	c.client, err = kgo.NewClient(kgo.SeedBrokers(c.seeds()...), kgo.MetadataMinAge(100*time.Millisecond), kgo.MetadataMaxAge(time.Second),
		kgo.DialTimeout(2*time.Second), kgo.RequestTimeoutOverhead(2*time.Second), kgo.RetryTimeout(10*time.Second))
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	c.admin = kadm.NewClient(c.client)
	return c, nil
}

// seeds are where clients find the nodes.
func (c *cluster) seeds() (addrs []string) {
	for id := 1; id <= nodeCount; id++ {
		addrs = append(addrs, c.net.advertises(id).client)
	}
	return addrs
}

// each calls fn for the nodes of the ids, or for all.
func (c *cluster) each(ids []int, fn func(n *node) error) error {
	var errs []error
	for _, n := range c.nodes[1:] {
		if ids == nil || slices.Contains(ids, n.id) {
			errs = append(errs, fn(n))
		}
	}
	return errors.Join(errs...)
}

// start starts the nodes and returns when each has said that it serves.
func (c *cluster) start(ctx context.Context) error {
	if err := c.each(nil, (*node).start); err != nil {
		return err
	}
	return c.ready(ctx, 60*time.Second, nil)
}

// ready waits until every node, or those of the ids, answers clients and the metadata name it as alive.
func (c *cluster) ready(ctx context.Context, within time.Duration, ids []int) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return await(ctx, "wait for the nodes", func() error {
		return c.each(ids, func(n *node) error {
			if !n.Running() {
				return fmt.Errorf("node %d has ended\n%s", n.id, n.LogTail(20))
			}
			rctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			conn, err := new(net.Dialer).DialContext(rctx, "tcp4", n.net.listens(n.id).client)
			if err != nil {
				return err
			}
			_ = conn.Close()
			req := kmsg.NewPtrMetadataRequest()
			req.Topics = []kmsg.MetadataRequestTopic{}
			for _, seed := range c.client.SeedBrokers() {
				resp, err := seed.Request(rctx, req)
				if err != nil {
					continue
				}
				if slices.ContainsFunc(resp.(*kmsg.MetadataResponse).Brokers, func(b kmsg.MetadataResponseBroker) bool { return int(b.NodeID) == n.id }) {
					return nil
				}
			}
			return fmt.Errorf("node %d is not among the brokers", n.id)
		})
	})
}

// state is one partition as the metadata say.
type state struct {
	history.Partition
	leader   int32
	replicas []int32
	isr      []int32
}

// states are those of all partitions of the topics.
func (c *cluster) states(ctx context.Context, topics ...string) ([]state, error) {
	m, err := c.admin.Metadata(ctx, topics...)
	if err != nil {
		return nil, err
	}
	var all []state
	for _, t := range m.Topics.Sorted() {
		if t.Err != nil {
			return nil, fmt.Errorf("%s: %w", t.Topic, t.Err)
		}
		for _, p := range t.Partitions.Sorted() {
			all = append(all, state{history.Partition{Topic: t.Topic, Partition: p.Partition}, p.Leader, p.Replicas, p.ISR})
		}
	}
	return all, nil
}

// controller is the leader of the quorum.
func (c *cluster) controller(ctx context.Context) (int, error) {
	req := kmsg.NewPtrDescribeQuorumRequest()
	t := kmsg.NewDescribeQuorumRequestTopic()
	t.Topic = "__cluster_metadata"
	t.Partitions = append(t.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return 0, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("DescribeQuorum names no partition")
	}
	p := resp.Topics[0].Partitions[0]
	return int(p.LeaderID), kerr.ErrorForCode(p.ErrorCode)
}

// led waits until every partition has a leader that is there.
func (c *cluster) led(ctx context.Context, within time.Duration) error {
	return c.partitions(ctx, within, "wait for leaders", func(s state) error {
		if s.leader < 0 {
			return fmt.Errorf("%s has no leader; replicas %v, in sync %v", s.Partition, s.replicas, s.isr)
		}
		return nil
	})
}

// inSync waits until every replica is in sync.
func (c *cluster) inSync(ctx context.Context, within time.Duration) error {
	return c.partitions(ctx, within, "wait for replicas", func(s state) error {
		if len(s.isr) < len(s.replicas) || s.leader < 0 {
			return fmt.Errorf("%s has replicas %v, in sync %v, leader %d", s.Partition, s.replicas, s.isr, s.leader)
		}
		return nil
	})
}

func (c *cluster) partitions(ctx context.Context, within time.Duration, what string, check func(state) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("after "+within.String()))
	defer cancel()
	return await(ctx, what, func() error {
		rctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		all, err := c.states(rctx)
		if err != nil {
			return err
		}
		for _, s := range all {
			if err := check(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// createTopics creates the topics of the load.
func (c *cluster) createTopics(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for i, name := range loadTopics {
		configs := map[string]*string{}
		if i == 1 {
			segment := strconv.Itoa(1 << 20)
			configs["segment.bytes"] = &segment // rolls while it runs
		}
		if err := await(ctx, "create "+name, func() error {
			resp, err := c.admin.CreateTopic(ctx, loadPartitions, nodeCount, configs, name)
			if err == nil {
				err = resp.Err
			}
			if errors.Is(err, kerr.TopicAlreadyExists) { // by a try whose answer was lost
				return nil
			}
			return err
		}); err != nil {
			return err
		}
	}
	return c.inSync(ctx, 60*time.Second)
}

// alive says which node has ended although nobody ended it.
func (c *cluster) alive() error {
	return c.each(nil, func(n *node) error {
		if !n.Running() {
			return fmt.Errorf("node %d has ended by itself\n%s", n.id, n.LogTail(30))
		}
		return nil
	})
}

// heal undoes every fault and starts what is not running, which is an error all the same.
func (c *cluster) heal(ctx context.Context) error {
	dead := c.alive()
	return errors.Join(dead, c.net.apply(ctx, nil), c.each(nil, func(n *node) error {
		switch {
		case !n.Running():
			return n.start()
		case n.paused:
			return n.thaw()
		}
		return nil
	}))
}

// panicked says which node's log tells of a panic.
func (c *cluster) panicked() error {
	return c.each(nil, func(n *node) error {
		text, err := os.ReadFile(n.LogFile)
		if err != nil {
			return err
		}
		for _, word := range []string{"panic:", "panic=", "goroutine ", "fatal error:"} {
			if i := bytes.Index(text, []byte(word)); i >= 0 {
				return fmt.Errorf("node %d: %s", n.id, text[max(0, i-300):min(len(text), i+2000)])
			}
		}
		return nil
	})
}

// close ends the processes and leaves nothing of the nodes but their folders.
func (c *cluster) close() error {
	if c.client != nil {
		c.client.Close()
	}
	var errs []error
	for _, n := range c.nodes[1:] {
		errs = append(errs, n.Kill())
		if n.disk != nil {
			errs = append(errs, n.disk.Close())
		}
	}
	return errors.Join(append(errs, c.net.close())...)
}
