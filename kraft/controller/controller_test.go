package controller_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logger() *slog.Logger {
	if os.Getenv("VERBOSE") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// live is a controller over a real quorum of one.
type live struct {
	*controller.Controller
	quorum *kraft.Quorum
	disk   *raftstore.Disk
	stop   func() error
}

func options(q *kraft.Quorum) controller.Options {
	return controller.Options{
		Quorum: q, NodeID: 1, Schema: schema{}, Logger: logger(),
		Features:      map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 33}},
		Endpoints:     []image.Endpoint{{Name: "CONTROLLER", Host: "localhost", Port: 9093}},
		IncarnationID: protocol.TopicID{1},
	}
}

func startLive(tb testing.TB, disk *raftstore.Disk, change func(*controller.Options)) *live {
	tb.Helper()
	store, err := disk.Open(logger(), func(err error) { tb.Errorf("store: %v", err) })
	check(tb, err)
	return startOn(tb, store, disk, change)
}

func startOn(tb testing.TB, store kraft.Store, disk *raftstore.Disk, change func(*controller.Options)) *live {
	tb.Helper()
	q, err := kraft.Open(context.Background(), kraft.Options{
		NodeID: 1, ClusterID: "cluster", Store: store, Bootstrap: true, Logger: logger(), Fatal: func(err error) { tb.Errorf("fatal: %v", err) },
	})
	check(tb, err)
	o := options(q)
	if change != nil {
		change(&o)
	}
	l := &live{Controller: controller.New(o), quorum: q, disk: disk}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	l.stop = func() error {
		cancel()
		return errors.Join(<-done, q.Close())
	}
	return l
}

// register registers and unfences a broker and returns its epoch.
func (l *live) register(tb testing.TB, broker int32, incarnation byte) int64 {
	tb.Helper()
	resp, err := l.Handle(context.Background(), registerRequest(args{
		"id": {fmt.Sprint(broker)}, "incarnation": {fmt.Sprint(incarnation)}, "dir": {fmt.Sprint(100 + broker)},
	}))
	check(tb, err)
	r := resp.(*kmsg.BrokerRegistrationResponse)
	if r.ErrorCode != 0 {
		tb.Fatalf("register broker %d: %s", broker, errcode.Name(r.ErrorCode))
	}
	if hb := l.heartbeat(tb, broker, r.BrokerEpoch); hb.ErrorCode != 0 || hb.IsFenced {
		tb.Fatalf("heartbeat of broker %d: %+v", broker, hb)
	}
	return r.BrokerEpoch
}

func (l *live) heartbeat(tb testing.TB, broker int32, epoch int64) *kmsg.BrokerHeartbeatResponse {
	tb.Helper()
	hb := kmsg.NewPtrBrokerHeartbeatRequest()
	hb.BrokerID, hb.BrokerEpoch, hb.CurrentMetadataOffset = broker, epoch, l.quorum.Image().Version
	resp, err := l.Handle(context.Background(), hb)
	check(tb, err)
	return resp.(*kmsg.BrokerHeartbeatResponse)
}

func (l *live) create(tb testing.TB, name string) kmsg.CreateTopicsResponseTopic {
	tb.Helper()
	resp, err := l.Handle(context.Background(), createRequest("create / "+name, args{}))
	check(tb, err)
	return resp.(*kmsg.CreateTopicsResponse).Topics[0]
}

func TestController_OneNode(t *testing.T) {
	disk := raftstore.NewDisk()
	l := startLive(t, disk, nil)
	epoch := l.register(t, 1, 1)
	if got := l.quorum.Image().Brokers[1].Epoch; int64(got) != epoch || got == 0 {
		t.Errorf("epoch %d, answered %d", got, epoch)
	}
	topic := l.create(t, "t")
	if topic.ErrorCode != 0 || l.quorum.Image().Topics.Get("t").ID != topic.TopicID {
		t.Errorf("created %+v", topic)
	}
	img := l.quorum.Image()
	if img.Features["metadata.version"] != 33 || img.Controllers[1].Endpoints[0].Port != 9093 {
		t.Errorf("features %v, controllers %v", img.Features, img.Controllers)
	}
	if _, err := l.Handle(t.Context(), kmsg.NewPtrProduceRequest()); errcode.KindOf(err) != errcode.KindUnsupportedVersion {
		t.Errorf("produce at the controller: %v", err)
	}
	check(t, l.stop())
	if _, err := l.Handle(t.Context(), createRequest("create / u", args{})); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("a stopped controller: %v", err)
	}

	// The same process id, a new life: the broker of the new process need not wait for the session of the old one.
	l = startLive(t, disk, func(o *controller.Options) { o.IncarnationID = id("9") })
	l.register(t, 1, 9)
	if p := l.quorum.Image().Topics.Get("t").Partitions[0]; p.Leader != 1 || p.LeaderEpoch != 2 {
		t.Errorf("after a restart: %+v", p)
	}
	check(t, l.stop())
}

func TestController_DescribesTheQuorum(t *testing.T) {
	l := startLive(t, raftstore.NewDisk(), nil)
	l.register(t, 1, 1)
	req := kmsg.NewPtrDescribeQuorumRequest()
	req.Version = 2
	topic := kmsg.NewDescribeQuorumRequestTopic()
	topic.Topic = "__cluster_metadata"
	topic.Partitions = []kmsg.DescribeQuorumRequestTopicPartition{{Partition: 0}}
	req.Topics = append(req.Topics, topic)
	resp, err := l.Handle(t.Context(), req)
	check(t, err)
	r := resp.(*kmsg.DescribeQuorumResponse)
	p := r.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LeaderID != 1 || p.LeaderEpoch < 1 || p.HighWatermark <= l.quorum.Image().Version || len(p.CurrentVoters) != 1 ||
		p.CurrentVoters[0].LogEndOffset != p.HighWatermark || len(r.Nodes) != 1 || r.Nodes[0].Listeners[0].Port != 9093 {
		t.Errorf("%+v", r)
	}
	req.Topics[0].Topic = "other"
	resp, err = l.Handle(t.Context(), req)
	check(t, err)
	if c := resp.(*kmsg.DescribeQuorumResponse).Topics[0].Partitions[0].ErrorCode; c != int16(errcode.KindUnknownTopicOrPartition) {
		t.Errorf("quorum of another topic: %d", c)
	}
	check(t, l.stop())
}

// TestController_ConcurrentRequests lets many clients fight for the same names: each name is created once, and everybody
// is told the truth.
func TestController_ConcurrentRequests(t *testing.T) {
	l := startLive(t, raftstore.NewDisk(), nil)
	l.register(t, 1, 1)
	var mu sync.Mutex
	created := map[string]int{}
	answered := make(chan struct{}, 1)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range 40 {
				name := fmt.Sprintf("topic-%d", i)
				topic := l.create(t, name)
				select {
				case answered <- struct{}{}:
				default:
				}
				switch topic.ErrorCode {
				case 0:
					mu.Lock()
					created[name]++
					mu.Unlock()
					if l.quorum.Image().Topics.Get(name) == nil {
						t.Errorf("%s is said to be created, but is not there", name)
					}
				case int16(errcode.KindTopicAlreadyExists):
					if l.quorum.Image().Topics.Get(name) == nil {
						t.Errorf("%s is said to exist, but is not there", name)
					}
				default:
					t.Errorf("%s: %s", name, errcode.Name(topic.ErrorCode))
				}
			}
		})
	}
	// Commands that are not the controller's come between and void its expectations, but not so fast that it gives up.
	done := make(chan struct{})
	go func() {
		defer close(done)
		wg.Wait()
	}()
	for i := range 50 {
		select {
		case <-answered: // of before the last command
		default:
		}
		select {
		case <-answered:
		case <-done:
		}
		value := fmt.Sprint(i)
		_, err := l.quorum.Propose(t.Context(), []metadata.Record{&metadata.ConfigRecord{ResourceType: image.ResourceBroker, Name: "x", Value: &value}})
		check(t, err)
	}
	<-done
	for name, n := range created {
		if n != 1 {
			t.Errorf("%s was created %d times", name, n)
		}
	}
	if len(created) != 40 {
		t.Errorf("%d topics", len(created))
	}
	check(t, l.stop())
}

func TestController_ProducerIDsAreUnique(t *testing.T) {
	disk := raftstore.NewDisk()
	var mu sync.Mutex
	seen := map[int64]bool{}
	for life := range 2 {
		l := startLive(t, disk, func(o *controller.Options) { o.IncarnationID = id(fmt.Sprint(life + 1)) })
		epoch := l.register(t, 1, byte(life+1))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 25 {
					req := kmsg.NewPtrAllocateProducerIDsRequest()
					req.BrokerID, req.BrokerEpoch = 1, epoch
					resp, err := l.Handle(context.Background(), req)
					check(t, err)
					r := resp.(*kmsg.AllocateProducerIDsResponse)
					mu.Lock()
					if seen[r.ProducerIDStart] || r.ErrorCode != 0 || r.ProducerIDLen != 1000 || r.ProducerIDStart%1000 != 0 {
						t.Errorf("%+v", r)
					}
					seen[r.ProducerIDStart] = true
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		check(t, l.stop())
	}
	if len(seen) != 200 || !seen[199_000] {
		t.Errorf("%d blocks", len(seen))
	}
}

func TestController_FencesSilentBrokers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := startLive(t, raftstore.NewDisk(), nil)
		silent, talking := l.register(t, 1, 1), l.register(t, 2, 1)
		for range 5 {
			time.Sleep(2 * time.Second)
			if hb := l.heartbeat(t, 2, talking); hb.ErrorCode != 0 {
				t.Errorf("%+v", hb)
			}
		}
		synctest.Wait()
		if img := l.quorum.Image(); !img.Brokers[1].Fenced || img.Brokers[2].Fenced {
			t.Errorf("after ten seconds of silence: broker 1 fenced %v, broker 2 fenced %v", img.Brokers[1].Fenced, img.Brokers[2].Fenced)
		}
		if hb := l.heartbeat(t, 1, silent); hb.ErrorCode != 0 || hb.IsFenced {
			t.Errorf("the silent broker speaks again: %+v", hb)
		}
		check(t, l.stop())
	})
}

func TestController_ForgivesBrokersWhenItStoodStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const session = 5 * time.Second
		l := startLive(t, raftstore.NewDisk(), func(o *controller.Options) { o.Settings.SessionTimeout = session })
		epoch := l.register(t, 1, 1)
		fenced := make(chan struct{}, 1)
		l.quorum.Subscribe(image.PublisherFunc(func(d *image.Delta) {
			if d.Next.Brokers[1].Fenced {
				fenced <- struct{}{}
			}
		}))
		block := make(chan struct{})
		l.disk.FailWrites(func() error {
			<-block
			return nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { l.create(t, "slow") }) // the controller waits for the disk, nobody speaks for two session timeouts
		time.Sleep(2 * session)
		close(block)
		wg.Wait()
		if hb := l.heartbeat(t, 1, epoch); hb.ErrorCode != 0 || hb.IsFenced || len(fenced) > 0 {
			t.Errorf("the broker was fenced for the controller's silence: %+v", hb)
		}
		<-fenced // its own silence counts
		check(t, l.stop())
	})
}

func TestController_TimesOut(t *testing.T) {
	l := startLive(t, raftstore.NewDisk(), nil)
	l.register(t, 1, 1)
	block := make(chan struct{})
	l.disk.FailWrites(func() error {
		<-block
		return nil
	})
	req := createRequest("create / slow", args{}).(*kmsg.CreateTopicsRequest)
	req.TimeoutMillis = 20
	_, err := l.Handle(t.Context(), req)
	if errcode.KindOf(err) != errcode.KindRequestTimedOut {
		t.Errorf("a request on a disk that hangs: %v", err)
	}
	close(block)
	check(t, l.stop())
}

func TestController_RefusesNewerCluster(t *testing.T) {
	disk := raftstore.NewDisk()
	l := startLive(t, disk, nil)
	l.register(t, 1, 1)
	check(t, l.stop())
	l = startLive(t, disk, func(o *controller.Options) {
		o.Features = map[string]image.FeatureRange{"metadata.version": {Min: 7, Max: 30}}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := l.Handle(ctx, createRequest("create / t", args{})); errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("an old controller answers: %v", err)
	}
	if err := l.stop(); errcode.KindOf(err) != errcode.KindUnsupportedVersion {
		t.Errorf("an old controller runs: %v", err)
	}
}

func TestController_NotLeader(t *testing.T) {
	q, err := kraft.Open(t.Context(), kraft.Options{
		NodeID: 1, Store: raftstore.Memory(), Logger: logger(), Fatal: func(err error) { t.Errorf("fatal: %v", err) },
	})
	check(t, err)
	c := controller.New(options(q))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	_, err = c.Handle(ctx, createRequest("create / t", args{}))
	if errcode.KindOf(err) != errcode.KindNotController {
		t.Errorf("%v", err)
	}
	cancel()
	check(t, errors.Join(<-done, q.Close()))
}
