package fetcher_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/fetcher"
	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/broker/throttle"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
	"github.com/distributedmq/dmq/protocol/records"
)

const (
	soon  = time.Minute // for what is bound to happen
	topic = "orders"
)

var (
	orders = protocol.TopicID{0: 1, 15: 1}
	tp0    = protocol.TopicPartition{Topic: topic}
)

// cluster is brokers that hold logs in memory, serve them on real sockets and follow each other. The test is the controller,
// but for the in-sync replicas, which leaders ask it to change.
type cluster struct {
	t      testing.TB
	config fetcher.Config
	quota  throttle.Quota
	logs   func(*commitlog.Config)
	maxLag time.Duration // replica.lag.time.max.ms

	nodes map[protocol.NodeID]*node // written by the test with mu held

	mu      sync.Mutex // guards the fields below
	builder *image.Builder
	version int64
	image   *image.Image
}

func newCluster(t testing.TB, ids ...protocol.NodeID) *cluster {
	t.Helper()
	c := &cluster{
		t: t, builder: image.NewBuilder(image.Empty()), image: image.Empty(), nodes: make(map[protocol.NodeID]*node), maxLag: soon,
		config: fetcher.Config{
			Fetchers: 1, MinBytes: 1, MaxBytes: 1 << 20, ResponseMaxBytes: 10 << 20,
			MaxWait: 500 * time.Millisecond, Backoff: 200 * time.Millisecond, Timeout: soon,
		},
	}
	for _, id := range ids {
		c.start(id, vfs.NewMem())
	}
	t.Cleanup(func() {
		for _, n := range c.nodes {
			n.stop()
		}
	})
	return c
}

// node is one broker.
type node struct {
	c        *cluster
	id       protocol.NodeID
	epoch    protocol.BrokerEpoch
	fs       *vfs.Mem
	image    atomic.Pointer[image.Image]
	logs     *logdir.Manager
	replicas *replica.Manager
	fetcher  *fetcher.Fetcher
	server   *listener.Server
	socket   net.Listener
	logger   *slog.Logger
}

// Image implements handler.Images.
func (n *node) Image() *image.Image { return n.image.Load() }

// start starts a broker on a filesystem and tells all of them.
func (c *cluster) start(id protocol.NodeID, fs *vfs.Mem) *node {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &node{c: c, id: id, epoch: protocol.BrokerEpoch(c.version + 1), fs: fs}
	n.image.Store(image.Empty())
	logger := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With(slog.Int("node", int(id)))
	}
	n.openLogs(logger)
	n.serve(logger)
	n.logger = logger
	n.fetcher = n.newFetcher()
	c.nodes[id] = n
	n.publish(image.Diff(image.Empty(), c.image))
	host, port, err := net.SplitHostPort(n.socket.Addr().String())
	if err != nil {
		c.t.Fatal(err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		c.t.Fatal(err)
	}
	c.publishLocked(&metadata.RegisterBrokerRecord{
		ID: id, Epoch: n.epoch, LogDirs: []protocol.TopicID{n.logs.Dirs()[0].ID}, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: host, Port: uint16(number)}},
	})
	return n
}

func (n *node) newFetcher() *fetcher.Fetcher {
	return fetcher.New(fetcher.Options{
		NodeID: n.id, Replicas: n.replicas, Config: n.c.config, Quota: n.c.quota, Logger: n.logger,
		BrokerEpoch: func() protocol.BrokerEpoch { return n.epoch },
		Link: func(leader protocol.NodeID, _ int) fetcher.Link {
			return nodelink.New(nodelink.Options{
				Dial: new(net.Dialer).DialContext, Logger: n.logger, ClientID: "broker-" + strconv.Itoa(int(n.id)),
				Address:        func() (string, error) { return n.addressOf(leader) },
				ReuseResponses: true,
			})
		},
	})
}

// startFetcher has a broker follow again whose fetcher was closed.
func (n *node) startFetcher() {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.fetcher = n.newFetcher()
	n.fetcher.Publish(image.Diff(image.Empty(), n.Image()))
}

func (n *node) openLogs(logger *slog.Logger) {
	t := n.c.t
	t.Helper()
	if err := n.fs.MkdirAll("/data", 0o755); err != nil {
		t.Fatal(err)
	}
	var manager atomic.Pointer[replica.Manager]
	logs, err := logdir.Open(context.Background(), logdir.Options{
		FS: n.fs, Dirs: []string{"/data"}, NodeID: n.id, ClusterID: "cluster", Logger: logger, MinFreeBytes: -1, DeleteDelay: -1,
		ConfigFor: func(string) commitlog.Config {
			cfg := commitlog.DefaultConfig()
			if n.c.logs != nil {
				n.c.logs(&cfg)
			}
			return cfg
		},
		Synced: func(tp protocol.TopicPartition, end int64) {
			if m := manager.Load(); m != nil {
				m.Synced(tp, end)
			}
		},
		Failed: func(dir string, err error) {
			if m := manager.Load(); m != nil {
				m.DirFailed(dir, err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.logs = logs
	n.replicas = replica.New(replica.Options{
		NodeID: n.id, Logs: logs, Logger: logger, MaxLag: n.c.maxLag,
		Controller: n.c, BrokerEpoch: func() protocol.BrokerEpoch { return n.epoch },
	})
	manager.Store(n.replicas)
}

func (n *node) serve(logger *slog.Logger) {
	t := n.c.t
	t.Helper()
	cfg, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/data"}})
	if err != nil {
		t.Fatal(err)
	}
	h := handler.New(handler.Deps{
		NodeID: n.id, Config: cfg, Images: n, Logger: logger,
		Data: handler.Data{
			Replicas: n.replicas, LogDirs: n.logs,
			Sessions:    fetchsession.New(fetchsession.Options{Rand: rand.New(rand.NewPCG(1, uint64(n.id)))}),
			BrokerEpoch: func() protocol.BrokerEpoch { return n.epoch },
		},
	})
	n.server = listener.New(listener.Options{Name: "PLAINTEXT", Scope: protocol.ScopeBroker, Handler: h, Logger: logger})
	if n.socket, err = new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	n.server.Serve(n.socket)
}

var errNoBroker = errors.New("no such broker")

func (n *node) addressOf(id protocol.NodeID) (string, error) {
	if b := n.Image().Brokers[id]; b != nil && len(b.Endpoints) > 0 {
		return net.JoinHostPort(b.Endpoints[0].Host, strconv.Itoa(int(b.Endpoints[0].Port))), nil
	}
	return "", errNoBroker
}

func (n *node) publish(d *image.Delta) {
	n.image.Store(d.Next)
	n.replicas.Publish(d)
	n.fetcher.Publish(d)
}

// halt ends everything but the logs.
func (n *node) halt() {
	t := n.c.t
	t.Helper()
	if err := n.fetcher.Close(); err != nil {
		t.Error(err)
	}
	if err := n.server.Close(); err != nil {
		t.Error(err)
	}
	if err := n.replicas.Close(); err != nil {
		t.Error(err)
	}
	n.socket.Close()
}

// stop stops the broker cleanly.
func (n *node) stop() {
	n.c.t.Helper()
	n.c.mu.Lock()
	delete(n.c.nodes, n.id)
	n.c.mu.Unlock()
	n.halt()
	if err := n.logs.Close(true, n.epoch); err != nil {
		n.c.t.Error(err)
	}
}

// publish commits records and tells every broker, in no particular order.
func (c *cluster) publish(recs ...metadata.Record) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.publishLocked(recs...)
}

func (c *cluster) publishLocked(recs ...metadata.Record) {
	c.t.Helper()
	c.version++
	if err := c.builder.Apply(c.version, &metadata.Command{Records: recs}); err != nil {
		c.t.Fatal(err)
	}
	img, d := c.builder.Build()
	c.image = img
	for _, n := range c.nodes {
		n.publish(d)
	}
}

// partition is what the metadata say of orders-0.
func (c *cluster) partition() *image.Partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image.Partition(tp0)
}

// Request implements replica.Controller: it decides what leaders ask for.
func (c *cluster) Request(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch req := req.(type) {
	case *kmsg.AlterPartitionRequest:
		return c.alterAllLocked(req), nil
	case *kmsg.AssignReplicasToDirsRequest:
		c.assignLocked(req)
		return kmsg.NewPtrAssignReplicasToDirsResponse(), nil
	default:
		return nil, errors.New("the test does not answer that")
	}
}

// lostLocked says whether a replica lies in a directory that its broker does not have.
func (c *cluster) lostLocked(p *image.Partition, at int) bool {
	return at < len(p.Directories) && !p.Directories[at].IsZero() && !slices.Contains(c.image.Brokers[p.Replicas[at]].LogDirs, p.Directories[at])
}

// assignLocked notes where replicas lie. One in a directory that its broker does not have is in sync no more, and does not lead.
func (c *cluster) assignLocked(req *kmsg.AssignReplicasToDirsRequest) {
	id := protocol.NodeID(req.BrokerID)
	var recs []metadata.Record
	for _, d := range req.Directories {
		for _, t := range d.Topics {
			for _, q := range t.Partitions {
				topic := c.image.TopicByID(t.TopicID)
				if topic == nil {
					continue
				}
				p := &topic.Partitions[q.Partition]
				r := &metadata.PartitionChangeRecord{TopicID: t.TopicID, Partition: q.Partition, Directories: make([]protocol.TopicID, len(p.Replicas))}
				copy(r.Directories, p.Directories)
				at := slices.Index(p.Replicas, id)
				lost := c.lostLocked(p, at)
				r.Directories[at] = d.ID
				if b := c.image.Brokers[id]; slices.Contains(b.LogDirs, d.ID) {
					if lost {
						r.Leader = &p.Leader // the copy begins in another leader epoch
					}
				} else {
					r.ISR = slices.DeleteFunc(slices.Clone(p.ISR), func(x protocol.NodeID) bool { return x == id })
					if p.Leader == id {
						r.Leader = &r.ISR[0]
					}
				}
				recs = append(recs, r)
			}
		}
	}
	c.publishLocked(recs...)
}

func (c *cluster) alterAllLocked(alter *kmsg.AlterPartitionRequest) kmsg.Response {
	resp := kmsg.NewPtrAlterPartitionResponse()
	for i := range alter.Topics {
		t := kmsg.NewAlterPartitionResponseTopic()
		t.TopidID = alter.Topics[i].TopicID
		for j := range alter.Topics[i].Partitions {
			t.Partitions = append(t.Partitions, c.alterLocked(t.TopidID, protocol.NodeID(alter.BrokerID), &alter.Topics[i].Partitions[j]))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func (c *cluster) alterLocked(id protocol.TopicID, leader protocol.NodeID, q *kmsg.AlterPartitionRequestTopicPartition) kmsg.AlterPartitionResponseTopicPartition {
	out := kmsg.NewAlterPartitionResponseTopicPartition()
	out.Partition = q.Partition
	t := c.image.TopicByID(id)
	if t == nil {
		out.ErrorCode = int16(errcode.KindUnknownTopicID)
		return out
	}
	p := &t.Partitions[q.Partition]
	if p.Leader != leader || p.LeaderEpoch != q.LeaderEpoch || p.PartitionEpoch != q.PartitionEpoch {
		out.ErrorCode = int16(errcode.KindInvalidUpdateVersion)
		return out
	}
	var isr []protocol.NodeID
	for _, member := range q.NewEpochISR {
		b := c.image.Brokers[protocol.NodeID(member.BrokerID)]
		if b == nil || b.Fenced || b.Epoch != protocol.BrokerEpoch(member.BrokerEpoch) || !slices.Contains(p.ISR, b.ID) && c.lostLocked(p, slices.Index(p.Replicas, b.ID)) {
			out.ErrorCode = int16(errcode.KindIneligibleReplica)
			return out
		}
		isr = append(isr, b.ID)
		out.ISR = append(out.ISR, int32(b.ID))
	}
	out.LeaderID, out.LeaderEpoch, out.PartitionEpoch = int32(leader), p.LeaderEpoch, p.PartitionEpoch+1
	c.publishLocked(&metadata.PartitionChangeRecord{TopicID: id, Partition: q.Partition, ISR: isr})
	return out
}

func ids(ids ...protocol.NodeID) []protocol.NodeID { return ids }

// create makes a topic; its partitions have these replicas, all in sync, and the first one leads.
func (c *cluster) create(name string, id protocol.TopicID, partitions int, replicas ...protocol.NodeID) {
	c.t.Helper()
	recs := []metadata.Record{&metadata.TopicRecord{Name: name, ID: id}}
	for i := range partitions {
		recs = append(recs, &metadata.PartitionRecord{TopicID: id, Partition: int32(i), PartitionState: image.Partition{
			Replicas: replicas, ISR: replicas, Leader: replicas[0],
		}})
	}
	c.publish(recs...)
}

// elect makes a broker the leader of orders-0 and gives it in-sync replicas, in the next leader epoch.
func (c *cluster) elect(leader protocol.NodeID, isr ...protocol.NodeID) {
	c.t.Helper()
	c.publish(&metadata.PartitionChangeRecord{TopicID: orders, Leader: &leader, ISR: isr})
}

// force makes a broker the leader of orders-0 that was not in sync: an unclean election.
func (c *cluster) force(leader protocol.NodeID) {
	c.t.Helper()
	c.publish(forced(leader))
}

func forced(leader protocol.NodeID) *metadata.PartitionChangeRecord {
	return &metadata.PartitionChangeRecord{TopicID: orders, Leader: &leader, ISR: ids(leader), LeaderRecoveryState: new(metadata.Recovering)}
}

// fence has a broker not counted on any more.
func (c *cluster) fence(id protocol.NodeID) {
	c.t.Helper()
	c.publish(&metadata.BrokerRegistrationChangeRecord{ID: id, Epoch: c.nodes[id].epoch, Fenced: new(true)})
}

func batch(values ...string) []byte {
	b := records.NewBuilder(records.BuilderOptions{})
	for i, v := range values {
		b.Append(1000+int64(i), nil, []byte(v))
	}
	out, err := b.Bytes()
	if err != nil {
		panic(err)
	}
	return out
}

// produce appends to a leader and waits for the acknowledgement.
func (n *node) produce(tp protocol.TopicPartition, acks int16, values ...string) replica.AppendResult {
	parts := []replica.Append{{TopicIDPartition: protocol.TopicIDPartition{Topic: tp.Topic, Partition: tp.Partition}, Records: batch(values...)}}
	done := make(chan struct{})
	if !n.replicas.Append(replica.AppendOptions{Acks: acks, Timeout: soon}, parts, func() { close(done) }) {
		<-done
	}
	return parts[0].Result
}

// mustProduce returns the offset of the first record.
func (n *node) mustProduce(tp protocol.TopicPartition, acks int16, values ...string) int64 {
	n.c.t.Helper()
	res := n.produce(tp, acks, values...)
	if res.Err != nil {
		n.c.t.Fatal(res.Err)
	}
	return res.BaseOffset
}

// log returns the log of a partition. A broker that has just started may only be about to open one that has no records.
func (n *node) log(tp protocol.TopicPartition) (l *commitlog.Log) {
	n.c.t.Helper()
	n.c.wait(fmt.Sprintf("broker %d has the log of %s", n.id, tp), func() bool {
		var found bool
		var err error
		l, found, err = n.logs.Get(tp)
		return found && err == nil
	})
	return l
}

// end is where the log of a partition ends; 0 while there is none.
func (n *node) end(tp protocol.TopicPartition) int64 {
	if l, found, err := n.logs.Get(tp); found && err == nil {
		return l.LogEndOffset()
	}
	return 0
}

// content is the bytes of a log between its first offset and an offset, and the leader epochs.
func content(t testing.TB, l *commitlog.Log, end int64) []byte {
	t.Helper()
	var out bytes.Buffer
	for at := l.LogStartOffset(); at < end; {
		s, err := l.Read(at, 1<<20, end, true)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, s.Size())
		if _, err := s.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		at = s.Bound()
		out.Write(b)
		s.Close()
	}
	fmt.Fprint(&out, l.EpochEntries())
	return out.Bytes()
}

// wait waits for a condition.
func (c *cluster) wait(what string, holds func() bool) {
	c.t.Helper()
	eventually(c.t, what, holds)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(soon)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// alike waits until the logs of orders-0 are the same on all brokers, up to the same high watermark.
func (c *cluster) alike() {
	c.t.Helper()
	leader := c.nodes[c.partition().Leader].log(tp0)
	for _, n := range c.nodes {
		l := n.log(tp0)
		c.wait(fmt.Sprintf("broker %d has all that its leader has", n.id), func() bool {
			return l.LogEndOffset() == leader.LogEndOffset() && l.HighWatermark() == leader.LogEndOffset() &&
				bytes.Equal(content(c.t, l, l.LogEndOffset()), content(c.t, leader, leader.LogEndOffset()))
		})
	}
}
