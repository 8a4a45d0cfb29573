package handler_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/fetchsession"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/broker/metrics"
	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/log/producerstate"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/records"
)

// The topics of testImage.
var (
	ordersID  = protocol.TopicID{1}
	othersID  = protocol.TopicID{2}
	unknownID = protocol.TopicID{9}
)

// testImage is a cluster of brokers 1 and 2 with the topics orders (3 partitions), others and __consumer_offsets
// (1 partition each), all led by 1.
func testImage() *image.Image {
	rack := "r2"
	img := &image.Image{
		ClusterID: "cluster",
		Brokers: map[protocol.NodeID]*image.Broker{
			1: {ID: 1, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "one", Port: 9092}}},
			2: {ID: 2, Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "two", Port: 9093}}, Rack: &rack},
		},
	}
	add := func(name string, id protocol.TopicID, n int) {
		t := &image.Topic{Name: name, ID: id}
		for range n {
			t.Partitions = append(t.Partitions, image.Partition{Replicas: []protocol.NodeID{1}, ISR: []protocol.NodeID{1}, Leader: 1, LeaderEpoch: 5})
		}
		img.Topics, img.TopicNames = img.Topics.With(name, t), img.TopicNames.With(id, name)
	}
	add("orders", ordersID, 3)
	add("others", othersID, 1)
	add("__consumer_offsets", protocol.TopicID{3}, 1)
	return img
}

// images holds the image of a test.
type images struct{ atomic.Pointer[image.Image] }

func (i *images) Image() *image.Image { return i.Load() }

// controllerFunc is a Controller made of a function.
type controllerFunc func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)

func (f controllerFunc) Handle(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	return f(ctx, req)
}

// replicas is a Replicas made of functions; a missing one fails the test.
type replicas struct {
	t             testing.TB
	together      int // most requests of one AppendAll
	append        func(replica.AppendOptions, []replica.Append, func()) bool
	read          func(replica.ReadOptions, replica.ReadPartition) replica.ReadResult
	enough        func(replica.ReadOptions, []replica.ReadResult) bool
	await         func(o replica.ReadOptions, parts []replica.ReadPartition, deadline time.Time, done func()) replica.Wait
	listOffset    func(replica.ListOffset) (replica.FoundOffset, error)
	epochEnd      func(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (replica.EpochEnd, error)
	deleteRecords func(protocol.TopicPartition, int64) (int64, error)
	lowWatermark  func(context.Context, protocol.TopicPartition, int64) (int64, error)
	producers     func(protocol.TopicPartition) ([]producerstate.Entry, error)
}

func (r *replicas) Append(o replica.AppendOptions, parts []replica.Append, done func()) bool {
	return r.append(o, parts, done)
}

func (r *replicas) AppendAll(requests []replica.AppendRequest) {
	r.together = max(r.together, len(requests))
	for i := range requests {
		q := &requests[i]
		q.Final = r.append(q.AppendOptions, q.Parts, q.Done)
	}
}

func (r *replicas) Read(dst []replica.ReadResult, o replica.ReadOptions, parts []replica.ReadPartition) []replica.ReadResult {
	for i := range parts {
		dst = append(dst, r.read(o, parts[i]))
	}
	return dst
}

func (r *replicas) Enough(o replica.ReadOptions, results []replica.ReadResult) bool {
	if r.enough == nil {
		return true
	}
	return r.enough(o, results)
}

func (r *replicas) AwaitRead(o replica.ReadOptions, parts []replica.ReadPartition, deadline time.Time, done func()) replica.Wait {
	return r.await(o, parts, deadline, done)
}

func (r *replicas) ListOffset(q replica.ListOffset) (replica.FoundOffset, error) {
	return r.listOffset(q)
}

func (r *replicas) EndOffsetForEpoch(tp protocol.TopicPartition, current, requested protocol.LeaderEpoch) (replica.EpochEnd, error) {
	return r.epochEnd(tp, current, requested)
}

func (r *replicas) DeleteRecords(tp protocol.TopicPartition, offset int64) (int64, error) {
	return r.deleteRecords(tp, offset)
}

func (r *replicas) AwaitLowWatermark(ctx context.Context, tp protocol.TopicPartition, offset int64) (int64, error) {
	return r.lowWatermark(ctx, tp, offset)
}

func (r *replicas) Producers(tp protocol.TopicPartition) ([]producerstate.Entry, error) {
	return r.producers(tp)
}

// logDirs is a LogDirs with fixed content.
type logDirs struct {
	dirs  []logdir.DirInfo
	parts []logdir.Info
	sizes map[protocol.TopicPartition]int64
}

func (l *logDirs) Dirs() []logdir.DirInfo                            { return l.dirs }
func (l *logDirs) Partitions(context.Context) ([]logdir.Info, error) { return l.parts, nil }

func (l *logDirs) Size(tp protocol.TopicPartition) (int64, error) {
	size, ok := l.sizes[tp]
	if !ok {
		return 0, errors.New("gone")
	}
	return size, nil
}

// stack is a handler behind a listener.
type stack struct {
	t        testing.TB
	images   images
	replicas replicas
	logDirs  logDirs
	topics   metrics.Topics
	control  controllerFunc
	groups   groups
	handler  *handler.Handler
	server   *listener.Server
}

func newStack(tb testing.TB) *stack {
	tb.Helper()
	s := &stack{t: tb, replicas: replicas{t: tb}}
	s.images.Store(testImage())
	cfg, _, err := config.Load(config.Sources{Set: []string{"log.dirs=/data"}})
	if err != nil {
		tb.Fatal(err)
	}
	s.handler = handler.New(handler.Deps{
		NodeID: 1, Config: cfg, Images: &s.images, Logger: slog.New(slog.DiscardHandler),
		Controller: controllerFunc(func(ctx context.Context, req kmsg.Request) (kmsg.Response, error) { return s.control(ctx, req) }),
		Data: handler.Data{
			Replicas: &s.replicas, LogDirs: &s.logDirs, Topics: &s.topics,
			Sessions:    fetchsession.New(fetchsession.Options{Rand: rand.New(rand.NewPCG(1, 2))}),
			BrokerEpoch: func() protocol.BrokerEpoch { return 77 },
		},
		Groups: &s.groups, AwaitConfirmed: s.groups.awaitConfirmed,
	})
	s.server = listener.New(listener.Options{
		Name: "PLAINTEXT", Scope: protocol.ScopeBroker, Handler: s.handler, Logger: slog.New(slog.DiscardHandler),
	})
	tb.Cleanup(func() { s.server.Close() })
	return s
}

// client is a connection that speaks in requests.
type client struct {
	t      testing.TB
	nc     net.Conn
	format *kmsg.RequestFormatter
	next   int32
}

func (s *stack) dial(clientID string) *client {
	s.t.Helper()
	ours, theirs := net.Pipe()
	s.server.ServeConn(theirs)
	s.t.Cleanup(func() { ours.Close() })
	return &client{t: s.t, nc: ours, format: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}
}

// send writes a request.
func (c *client) send(req kmsg.Request) {
	c.t.Helper()
	c.next++
	if _, err := c.nc.Write(c.format.AppendRequest(nil, req, c.next)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the response to the request sent as the id-th.
func (c *client) receive(req kmsg.Request, id int32) kmsg.Response {
	c.t.Helper()
	if err := c.nc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(c.nc, size); err != nil {
		c.t.Fatalf("read a response to %T: %v", req, err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(c.nc, b); err != nil {
		c.t.Fatal(err)
	}
	if got := int32(binary.BigEndian.Uint32(b)); got != id {
		c.t.Fatalf("response to request %d, want %d", got, id)
	}
	b = b[4:]
	resp := req.ResponseKind()
	resp.SetVersion(req.GetVersion())
	if resp.IsFlexible() {
		b = b[1:]
	}
	if err := resp.ReadFrom(b); err != nil {
		c.t.Fatalf("decode %T v%d: %v", resp, req.GetVersion(), err)
	}
	if again := resp.AppendTo(nil); string(again) != string(b) {
		c.t.Fatalf("%T v%d is not as kmsg writes it:\n got %x\nwant %x", resp, req.GetVersion(), b, again)
	}
	return resp
}

// do sends a request and reads the response.
func (c *client) do(req kmsg.Request) kmsg.Response {
	c.t.Helper()
	c.send(req)
	return c.receive(req, c.next)
}

// closed waits until the server has closed the connection and returns what it said before.
func (c *client) closed() []byte {
	c.t.Helper()
	// A pipe whose other end is closed already takes no deadline and needs none.
	if err := c.nc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.t.Fatal(err)
	}
	b, err := io.ReadAll(c.nc)
	if err != nil {
		c.t.Fatalf("the connection was not closed: %v", err)
	}
	return b
}

// ask sends one request on a connection of its own.
func (s *stack) ask(req kmsg.Request) kmsg.Response {
	s.t.Helper()
	return s.dial("test").do(req)
}

// batch builds a record batch of n records as a producer sends it.
func batch(tb testing.TB, n int, edit ...func(*records.BuilderOptions)) []byte {
	tb.Helper()
	o := records.BuilderOptions{PartitionLeaderEpoch: -1}
	for _, e := range edit {
		e(&o)
	}
	b := records.NewBuilder(o)
	for range n {
		b.Append(1_700_000_000_000, []byte("key"), []byte("value"))
	}
	out, err := b.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func withCodec(c compress.Codec) func(*records.BuilderOptions) {
	return func(o *records.BuilderOptions) { o.Codec = c }
}

func transactional(o *records.BuilderOptions) {
	o.HasProducer, o.ProducerID, o.Transactional = true, 7, true
}

// region is records in memory.
type region struct {
	b      []byte
	closed *atomic.Int32
}

func (r *region) Size() int     { return len(r.b) }
func (r *region) Bytes() []byte { return r.b }

func (r *region) ReadAt(p []byte, off int64) (int, error) { return copy(p, r.b[off:]), nil }

func (r *region) Close() error {
	r.closed.Add(1)
	return nil
}

// likeKmsg compares kmsg values by what is encoded of them.
var likeKmsg = cmp.Options{
	cmp.Comparer(func(a, b kmsg.Tags) bool { return a.Len() == 0 && b.Len() == 0 }),
	cmpopts.EquateEmpty(),
}
