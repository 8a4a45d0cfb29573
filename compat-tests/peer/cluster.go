package peer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// Cluster is the nodes of one cluster, each broker and controller in one, with the ids 1, 2, 3 and so on.
type Cluster struct {
	Kind  string
	Nodes []*Broker
}

// ClusterOptions are what a cluster is started with. Dir is a folder of its own with one for each node in it; Properties,
// Heap and JVM are those of every node.
type ClusterOptions struct {
	Options
	Nodes int
	// Dynamic nodes know controller.quorum.bootstrap.servers instead of controller.quorum.voters: node 1 is formatted as
	// the one voter, and the others wait to be added.
	Dynamic bool
	Racks   bool // node 1 is in rack r1, node 2 in r2, and so on
}

// each returns the options of a node.
func (o ClusterOptions) each(id int32) Options {
	n := o.Options
	n.Dir, n.DataDir = filepath.Join(o.Dir, fmt.Sprint(id)), ""
	n.Properties = map[string]string{}
	maps.Copy(n.Properties, o.Properties)
	if o.Racks {
		n.Properties["broker.rack"] = fmt.Sprintf("r%d", id)
	}
	return n
}

// newCluster makes the nodes, none of which was started yet, and has prepare lay what each is started with.
func newCluster(kind string, o ClusterOptions, prepare func(b *Broker, o Options, q quorum) error) (*Cluster, error) {
	c := &Cluster{Kind: kind}
	var options []Options
	for i := range o.Nodes {
		id := int32(i + 1)
		n := o.each(id)
		b, err := newBroker(kind, id, &n)
		if err != nil {
			return nil, err
		}
		c.Nodes, options = append(c.Nodes, b), append(options, n)
	}
	q := quorumOf(c.Nodes, o.Dynamic)
	for i, b := range c.Nodes {
		if err := prepare(b, options[i], q); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// NewKafkaCluster lays out a cluster of Apache Kafka 4.4: Start starts it.
func NewKafkaCluster(ctx context.Context, h Home, o ClusterOptions) (*Cluster, error) {
	o.Unformatted = o.Unformatted || o.Dynamic
	c, err := newCluster("kafka", o, h.prepare)
	if err != nil || !o.Dynamic {
		return c, err
	}
	return c, c.each(func(b *Broker) error {
		role := "--no-initial-controllers"
		if b.ID == 1 {
			role = "--standalone"
		}
		out, err := exec.CommandContext(ctx, "java", "-cp", h.BrokerClasspath(), "kafka.tools.StorageTool", "format",
			"-t", clusterID, "-c", filepath.Join(b.Dir, "kafka.properties"), role).CombinedOutput()
		if err != nil {
			return fmt.Errorf("format node %d: %w\n%s", b.ID, err, out)
		}
		return nil
	})
}

// NewDMQCluster lays out a cluster of dmq: Start starts it.
func NewDMQCluster(ctx context.Context, bin string, o ClusterOptions) (*Cluster, error) {
	c, err := newCluster("dmq", o, func(b *Broker, o Options, q quorum) error { return prepareDMQ(bin, b, o, q) })
	if err != nil || !o.Dynamic {
		return c, err
	}
	first := c.Nodes[0]
	out, err := dmqCommand(bin, first.Dir, append([]string{"storage", "format", "--standalone"}, first.Command().Args[2:]...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("format node 1: %w\n%s", err, out)
	}
	return c, nil
}

// each does something for all nodes at once.
func (c *Cluster) each(do func(b *Broker) error) error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, b := range c.Nodes {
		wg.Go(func() { errs[i] = do(b) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Node returns the node of that id.
func (c *Cluster) Node(id int32) *Broker { return c.Nodes[id-1] }

// CPU is the CPU time that the nodes have used.
func (c *Cluster) CPU() (sum time.Duration, err error) {
	for _, b := range c.Nodes {
		used, err := raw.CPUOf(b.PID())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// RSS is the resident memory of the nodes, in bytes.
func (c *Cluster) RSS() (sum int64, err error) {
	for _, b := range c.Nodes {
		size, err := raw.RSSOf(b.PID())
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

// Bootstrap is the addresses of the client listeners, joined with commas.
func (c *Cluster) Bootstrap() string {
	var list []string
	for _, b := range c.Nodes {
		list = append(list, b.Addr)
	}
	return strings.Join(list, ",")
}

// Launch runs the processes of all nodes that do not run, without waiting for anything.
func (c *Cluster) Launch() error {
	for _, b := range c.Nodes {
		if b.Running() {
			continue
		}
		if err := b.Launch(); err != nil {
			return err
		}
	}
	return nil
}

// Start launches all nodes that do not run, and waits until every one answers and sees all others.
func (c *Cluster) Start(ctx context.Context) error {
	began := time.Now()
	err := c.Launch()
	if err == nil {
		err = c.each(func(b *Broker) error { return b.Await(ctx) })
	}
	if err == nil {
		err = c.Formed(ctx)
	}
	if err != nil {
		return errors.Join(err, c.Kill())
	}
	for _, b := range c.Nodes {
		b.StartTook = time.Since(began)
	}
	return nil
}

// Formed waits until every node that runs shows all nodes that run, unfenced, in its metadata.
func (c *Cluster) Formed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		last := c.whole(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %d nodes of %s to form a cluster: %w\n%s", len(c.Nodes), c.Kind, last, c.LogTails(10))
		case <-tick.C:
		}
	}
}

// whole returns what a node lacks to see all others.
func (c *Cluster) whole(ctx context.Context) error {
	running := 0
	for _, b := range c.Nodes {
		if b.Running() {
			running++
		}
	}
	for _, b := range c.Nodes {
		if !b.Running() {
			continue
		}
		seen, err := b.brokers(ctx)
		if err != nil {
			return fmt.Errorf("ask node %d: %w", b.ID, err)
		}
		if seen != running {
			return fmt.Errorf("node %d sees %d brokers of %d", b.ID, seen, running)
		}
	}
	return nil
}

// brokers is how many brokers the node shows in its metadata.
func (b *Broker) brokers(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client, err := raw.Connect(ctx, b.Addr)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.Version, req.Topics = 12, []kmsg.MetadataRequestTopic{}
	var resp kmsg.Response
	err = client.Within(ctx, func() (err error) {
		resp, err = client.Call(req)
		return err
	})
	if err != nil {
		return 0, err
	}
	return len(resp.(*kmsg.MetadataResponse).Brokers), nil
}

// Restart kills a node as kill -9 does, starts it again and waits until the cluster is whole.
func (c *Cluster) Restart(ctx context.Context, id int32) error {
	b := c.Node(id)
	return errors.Join(b.Kill(), b.Restart(ctx), c.Formed(ctx))
}

// RestartEach does that to each node, one after the other.
func (c *Cluster) RestartEach(ctx context.Context) error {
	for _, b := range c.Nodes {
		if err := c.Restart(ctx, b.ID); err != nil {
			return err
		}
	}
	return nil
}

// Kill ends all processes at once.
func (c *Cluster) Kill() error { return c.each((*Broker).Kill) }

// Stop asks all nodes to end, and kills what is still there after a minute: the last voters of a quorum may wait for each other.
func (c *Cluster) Stop() error { return c.each((*Broker).Stop) }

// LogTails returns the last n lines of the log of every node.
func (c *Cluster) LogTails(n int) string {
	var text strings.Builder
	for _, b := range c.Nodes {
		fmt.Fprintf(&text, "node %d:\n%s\n", b.ID, b.LogTail(n))
	}
	return text.String()
}
