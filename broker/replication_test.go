package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

// fullISR reports whether every partition of a topic has a leader and so many replicas in sync.
func fullISR(topic string, n int) func(*image.Image) bool {
	return func(img *image.Image) bool {
		t := img.Topic(topic)
		return t != nil && !slices.ContainsFunc(t.Partitions, func(p image.Partition) bool { return p.Leader < 0 || len(p.ISR) != n })
	}
}

// leader is the leader of a partition, as the metadata of a node that runs says.
func (c *testCluster) leader(topic string, partition int32) int {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.nodes {
		if p := b.Image().Partition(protocol.TopicPartition{Topic: topic, Partition: partition}); p != nil {
			return int(p.Leader)
		}
	}
	return -1
}

// produced is what a producer was told: the value acknowledged at each offset of partition 0.
type produced struct {
	mu    sync.Mutex // guards the fields below
	acked map[int64]string
	errs  []error
}

func (p *produced) add(r *kgo.Record, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	p.acked[r.Offset] = string(r.Value)
}

func (p *produced) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.acked)
}

// readAll reads partition 0 of a topic until all that was acknowledged is there, and compares.
func (p *produced) readAll(t *testing.T, cl *kgo.Client, topic string) {
	t.Helper()
	cl.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got := make(map[int64]string)
	missing := len(p.acked)
	for missing > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			t.Fatalf("%d of %d acknowledged records are not there after a minute", missing, len(p.acked))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Offset] = string(r.Value)
			if want, ok := p.acked[r.Offset]; ok {
				missing--
				if want != string(r.Value) {
					t.Errorf("offset %d: got %q, acknowledged was %q", r.Offset, r.Value, want)
				}
			}
		})
	}
	seen := make(map[string]int64)
	for offset, v := range got {
		if other, ok := seen[v]; ok {
			t.Errorf("%q is at offset %d and at %d", v, offset, other)
		}
		seen[v] = offset
	}
}

// A producer with acks=all goes on while the leader of its partition is killed, comes back and catches up: nothing that was
// acknowledged is lost, nothing is there twice.
func TestCluster_LeaderKilledWhileProducing(t *testing.T) {
	c := startCluster(t, clusterOptions{})
	c.Await("all unfenced", unfenced(1, 2, 3))
	cl := c.Client(nil, kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(0), kgo.MetadataMinAge(20*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }))
	createTopic(t, cl, "orders", 1, 3)
	c.Await("full ISR", fullISR("orders", 3))

	p := &produced{acked: make(map[int64]string)}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			var wg sync.WaitGroup
			for j := range 10 {
				wg.Add(1)
				cl.Produce(context.Background(), kgo.StringRecord(strconv.Itoa(10*i+j)), func(r *kgo.Record, err error) { p.add(r, err); wg.Done() })
			}
			wg.Wait()
		}
	}()
	for round := range 3 {
		more := p.count() + 200
		awaitCount(t, p, more)
		dead := c.leader("orders", 0)
		began := time.Now()
		c.Kill(dead)
		c.Await("another leader", func(img *image.Image) bool {
			q := img.Partition(protocol.TopicPartition{Topic: "orders"})
			return q.Leader >= 0 && int(q.Leader) != dead
		})
		elected := time.Since(began)
		awaitCount(t, p, p.count()+1)
		t.Logf("round %d: leader %d killed, another after %v, acknowledged after %v", round, dead, elected, time.Since(began))
		awaitCount(t, p, p.count()+200)
		c.awaitMetrics(dead)
		c.Start(dead)
		c.Await("all in sync", fullISR("orders", 3))
	}
	close(stop)
	<-stopped
	for _, err := range p.errs {
		t.Errorf("produce: %v", err)
	}
	p.readAll(t, c.Client(nil), "orders")
}

// awaitMetrics waits until the metrics of the others tell that a broker was lost that led the only partition.
func (c *testCluster) awaitMetrics(dead int) {
	c.t.Helper()
	waitFor(c.t, func() error {
		sums := make(map[string]float64)
		for id := 1; id <= c.opts.Nodes; id++ {
			if id == dead {
				continue
			}
			for name, v := range scrape(c.t, c.Node(id)) {
				sums[name] += v
			}
		}
		elected, outOfSync := sums["dmq_controller_leader_elections_total,clean"], sums[fmt.Sprintf("dmq_follower_out_of_sync_partitions,%d", dead)]
		if elected < 1 || outOfSync != 1 || sums["dmq_controller_leader_elections_total,unclean"] > 0 {
			return fmt.Errorf("%v clean elections, %v partitions of broker %d out of sync", elected, outOfSync, dead)
		}
		return nil
	})
}

func awaitCount(t *testing.T, p *produced, n int) {
	t.Helper()
	tick, late := time.NewTicker(time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for p.count() < n {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%d records acknowledged, want %d within a minute", p.count(), n)
		}
	}
}

// A consumer group goes on when its coordinator, which leads what it reads as well, is killed: it misses nothing that was
// acknowledged, and what it has committed does not go back.
func TestCluster_CoordinatorKilledWhileConsuming(t *testing.T) {
	c := startCluster(t, clusterOptions{Set: []string{"offsets.topic.num.partitions=1", "group.initial.rebalance.delay.ms=0"}})
	c.Await("all unfenced", unfenced(1, 2, 3))
	quick := []kgo.Opt{kgo.MetadataMinAge(20 * time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond })}
	cl := c.Client(nil, append(quick, kgo.DefaultProduceTopic("orders"), kgo.ProducerLinger(0))...)
	createTopic(t, cl, "orders", 1, 3)
	reader := c.Client(nil, append(quick, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	next, committed := 0, int64(0)
	step := func(n int) {
		t.Helper()
		for i := range n {
			if err := cl.ProduceSync(ctx, kgo.StringRecord(strconv.Itoa(next+i))).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		for end := next + n; next < end; {
			fetches := reader.PollFetches(ctx)
			if ctx.Err() != nil {
				t.Fatalf("%d of %d records were consumed", next, end)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if v, _ := strconv.Atoi(string(r.Value)); v > next {
					t.Errorf("consumed %d, expected %d", v, next)
				} else if v == next {
					next++
				}
			})
			if err := reader.CommitUncommittedOffsets(ctx); err != nil {
				t.Logf("commit: %v", err) // the group may be rebalancing
			}
		}
		adm := kadm.NewClient(c.Client(nil)) // which does not know the coordinator that is gone
		offsets, err := adm.FetchOffsets(ctx, "g")
		for ; err != nil && ctx.Err() == nil; offsets, err = adm.FetchOffsets(ctx, "g") {
			t.Logf("fetch offsets: %v", err)
			<-time.After(20 * time.Millisecond)
		}
		o, _ := offsets.Lookup("orders", 0)
		if o.At < committed {
			t.Errorf("the committed offset goes back from %d to %d", committed, o.At)
		}
		committed = max(committed, o.At)
	}
	step(20)
	for round := range 3 {
		c.Await("all in sync", func(img *image.Image) bool { return fullISR("orders", 3)(img) && fullISR("__consumer_offsets", 3)(img) })
		dead := c.leader("__consumer_offsets", 0)
		began := time.Now()
		c.Kill(dead)
		step(20)
		t.Logf("round %d: coordinator %d killed, 20 records later after %v, %d committed", round, dead, time.Since(began), committed)
		c.Start(dead)
	}
	if committed != int64(next) {
		t.Errorf("committed %d of %d", committed, next)
	}
}

// A broker with several log directories tells the controller where its replicas are.
func TestCluster_DirectoriesAreKnown(t *testing.T) {
	c := newCluster(t, clusterOptions{})
	c.opts.Node = func(id int) []string { return []string{fmt.Sprintf("log.dirs=%s/a,%s/b", c.Dir(id), c.Dir(id))} }
	c.Start(1, 2, 3)
	c.Await("all unfenced", unfenced(1, 2, 3))
	createTopic(t, c.Client(nil), "orders", 4, 3)
	c.Await("every directory known", func(img *image.Image) bool {
		topic := img.Topic("orders")
		return topic != nil && !slices.ContainsFunc(topic.Partitions, func(p image.Partition) bool {
			return len(p.Directories) != 3 || slices.Contains(p.Directories, protocol.TopicID{})
		})
	})
}

// The coordinator of a group knows how far it is behind in partitions that others lead.
func TestCluster_LagOfPartitionsLedElsewhere(t *testing.T) {
	c := startCluster(t, clusterOptions{Set: []string{"offsets.topic.num.partitions=1"}})
	c.Await("all unfenced", unfenced(1, 2, 3))
	cl := c.Client(nil, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	createTopic(t, cl, "orders", 3, 3)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var offsets kadm.Offsets
	for p := range int32(3) {
		for range p + 2 {
			if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "orders", Partition: p, Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		offsets.AddOffset("orders", p, 1, -1)
	}
	if err := kadm.NewClient(cl).CommitAllOffsets(ctx, "g", offsets); err != nil {
		t.Fatal(err)
	}
	c.Await("a coordinator", func(img *image.Image) bool { return img.Topic("__consumer_offsets") != nil })
	_, lags, err := c.Node(c.leader("__consumer_offsets", 0)).Groups().Describe(ctx, "g")
	if err != nil || len(lags) != 3 {
		t.Fatalf("got %+v and %v, want three partitions", lags, err)
	}
	for _, l := range lags {
		if l.End != int64(l.Partition)+2 || l.Lag != int64(l.Partition)+1 || l.Behind < 0 {
			t.Errorf("got %+v", l)
		}
	}
}
