package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/compat-tests/peer"
)

const (
	topic = "failover"
	// patience is how long anything may take at most.
	patience = 2 * time.Minute
	// interval is how often a client looks whether something has happened: the resolution of the figures.
	interval = 2 * time.Millisecond
)

// Bench measures one cluster.
type Bench struct {
	cluster *peer.Cluster
	admin   *kadm.Client
	client  *kgo.Client
	topics  int // created so far
}

// New takes a cluster that runs and makes a topic of one partition with three replicas in it.
func New(ctx context.Context, c *peer.Cluster) (*Bench, error) {
	b := &Bench{cluster: c}
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	b.client, b.admin = client, kadm.NewClient(client)
	if err := b.create(ctx, topic, 3); err != nil {
		b.Close()
		return nil, err
	}
	return b, b.whole(ctx)
}

// Close ends the client. The cluster stays as it is.
func (b *Bench) Close() { b.client.Close() }

// newClient makes a client that tries again quickly, so that what is measured is the cluster.
func newClient(c *peer.Cluster, opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.Bootstrap(), ",")...),
		kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
		kgo.MetadataMinAge(10 * time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(topic),
		kgo.ProducerLinger(0),
		kgo.DialTimeout(time.Second),
	}, opts...)...)
}

// create creates a topic of one partition, trying again until it is done.
func (b *Bench) create(ctx context.Context, name string, replicas int16) error {
	return until(ctx, "create "+name, func(ctx context.Context) error {
		resp, err := b.admin.CreateTopic(ctx, 1, replicas, nil, name)
		if err = errors.Join(err, resp.Err); errors.Is(err, kerr.TopicAlreadyExists) {
			return nil // by a try whose answer was lost
		}
		return err
	})
}

// until calls do until it succeeds, each time for a second at most.
func until(ctx context.Context, what string, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, time.Second)
		err := do(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-tick.C:
		}
	}
}

// whole waits until all nodes run, and all replicas of all topics are in sync.
func (b *Bench) whole(ctx context.Context) error {
	if err := b.cluster.Formed(ctx); err != nil {
		return err
	}
	return until(ctx, "wait until every replica is in sync", func(ctx context.Context) error {
		topics, err := b.admin.ListTopics(ctx)
		if err != nil {
			return err
		}
		var behind error
		topics.EachPartition(func(p kadm.PartitionDetail) {
			if p.Err != nil || p.Leader < 0 || len(p.ISR) < len(p.Replicas) {
				behind = fmt.Errorf("%s-%d is led by %d with %v of %v in sync: %w", p.Topic, p.Partition, p.Leader, p.ISR, p.Replicas, errNotWhole)
			}
		})
		return behind
	})
}

var errNotWhole = errors.New("not whole yet")

// restart starts a killed node and waits until the cluster is whole.
func (b *Bench) restart(ctx context.Context, n *peer.Broker) error {
	return errors.Join(n.Restart(ctx), b.whole(ctx))
}

// controller is the node that is the active controller.
func (b *Bench) controller(ctx context.Context) (n *peer.Broker, err error) {
	err = until(ctx, "find the controller", func(ctx context.Context) error {
		req := kmsg.NewPtrDescribeQuorumRequest()
		t, p := kmsg.NewDescribeQuorumRequestTopic(), kmsg.NewDescribeQuorumRequestTopicPartition()
		t.Topic, t.Partitions = "__cluster_metadata", append(t.Partitions, p)
		req.Topics = append(req.Topics, t)
		resp, err := req.RequestWith(ctx, b.client)
		if err != nil {
			return err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 || resp.Topics[0].Partitions[0].LeaderID < 1 {
			return fmt.Errorf("no controller in %+v", resp)
		}
		n = b.cluster.Node(resp.Topics[0].Partitions[0].LeaderID)
		return nil
	})
	return n, err
}

// leader is the node that leads the partition.
func (b *Bench) leader(ctx context.Context) (n *peer.Broker, err error) {
	err = until(ctx, "find the leader", func(ctx context.Context) error {
		topics, err := b.admin.ListTopics(ctx, topic)
		if err != nil {
			return err
		}
		p, ok := topics[topic].Partitions[0]
		if !ok || p.Leader < 1 {
			return fmt.Errorf("no leader in %+v", topics)
		}
		n = b.cluster.Node(p.Leader)
		return nil
	})
	return n, err
}

// ControllerKilled kills the active controller: how long until the next topic is created.
func (b *Bench) ControllerKilled(ctx context.Context) (time.Duration, error) {
	n, err := b.controller(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if err := n.Kill(); err != nil {
		return 0, err
	}
	b.topics++
	err = b.create(ctx, fmt.Sprintf("%s-%d", topic, b.topics), 2)
	took := time.Since(began)
	return took, errors.Join(err, b.restart(ctx, n))
}

// LeaderKilled kills the leader of a partition under a client that produces one record after the other with acks=all: how
// long until a record that was handed in after the kill is acknowledged, and until the broker is no longer among those that
// the others show.
func (b *Bench) LeaderKilled(ctx context.Context) (acked, fenced time.Duration, err error) {
	n, err := b.leader(ctx)
	if err != nil {
		return 0, 0, err
	}
	client, err := newClient(b.cluster, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return 0, 0, err
	}
	defer client.Close()
	if err := produce(ctx, client); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := n.Kill(); err != nil {
		return 0, 0, err
	}
	gone := make(chan error, 1)
	go func() { // ends with the wait
		err := b.fenced(ctx, n)
		fenced = time.Since(began)
		gone <- err
	}()
	err = produce(ctx, client)
	acked = time.Since(began)
	err = errors.Join(err, <-gone) // from here on fenced is known
	return acked, fenced, errors.Join(err, b.restart(ctx, n))
}

// produce has one record acknowledged. The client tries again by itself.
func produce(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return client.ProduceSync(ctx, &kgo.Record{Value: []byte("value")}).FirstErr()
}

// fenced waits until no other node shows the broker any more.
func (b *Bench) fenced(ctx context.Context, n *peer.Broker) error {
	return until(ctx, "wait until the broker is fenced", func(ctx context.Context) error {
		resp, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, b.client)
		if err != nil {
			return err
		}
		for _, shown := range resp.Brokers {
			if shown.NodeID == n.ID {
				return fmt.Errorf("broker %d is shown: %w", n.ID, errNotWhole)
			}
		}
		return nil
	})
}

// RollingRestart asks each node in turn to stop, starts it again and waits until the cluster is whole, under a client that
// produces one record after the other with acks=all and consumes: what failed, as the client's user sees it.
func (b *Bench) RollingRestart(ctx context.Context) (r Rolling, err error) {
	client, err := newClient(b.cluster, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.ConsumeTopics(topic))
	if err != nil {
		return r, err
	}
	defer client.Close()
	load, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() { // ends with load
		defer close(done)
		last := time.Now()
		for load.Err() == nil {
			if err := produce(ctx, client); err != nil {
				r.Failed++
				continue
			}
			r.Acked++
			r.Gap, last = max(r.Gap, time.Since(last)), time.Now()
		}
	}()
	consumed := make(chan struct{})
	go func() { // ends with load
		defer close(consumed)
		for load.Err() == nil {
			fetches := client.PollFetches(load)
			fetches.EachError(func(string, int32, error) {
				if load.Err() == nil {
					r.Consumer++
				}
			})
		}
	}()
	began := time.Now()
	for _, n := range b.cluster.Nodes {
		if err = errors.Join(n.Stop(), b.restart(ctx, n)); err != nil {
			break
		}
	}
	r.Took = time.Since(began)
	stop()
	<-done
	<-consumed
	return r, err
}

// Rolling is what a client saw of a rolling restart.
type Rolling struct {
	Acked    int           // records
	Failed   int           // records that the client gave up
	Consumer int           // errors that the consumer was shown
	Gap      time.Duration // the longest between two acknowledgements
	Took     time.Duration
}

// Cold launches the nodes of a cluster that does not run: how long until a record with three replicas is acknowledged by all.
func Cold(ctx context.Context, c *peer.Cluster) (time.Duration, error) {
	client, err := newClient(c, kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	b := &Bench{cluster: c, client: client, admin: kadm.NewClient(client)}
	began := time.Now()
	if err := c.Launch(); err != nil {
		return 0, err
	}
	err = b.create(ctx, topic, 3)
	if err == nil {
		err = produce(ctx, client)
	}
	return time.Since(began), err
}
