package failover

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
	"github.com/distributedmq/dmq/compat-tests/peer"
)

// Large is a cluster with so many partitions that three nodes of a test machine could not hold their records: they are those of brokers
// that stand in, which are registered and have no process. What controllers keep and decide of them is what they would of others.
type Large struct {
	*Bench
	standIns []*standIn
}

// standIn is a registered broker without a process.
type standIn struct {
	id    int32
	epoch int64
}

// standInID is the id of the first of three.
const standInID = 101

// topicPartitions is how many partitions each topic of a Large has, topicsAtOnce how many topics are created with a request.
const topicPartitions, topicsAtOnce = 100, 10

// LargeProperties are what the nodes of a Large need: brokers that stand in send no heartbeats.
func LargeProperties() map[string]string {
	return map[string]string{"broker.session.timeout.ms": "600000"}
}

// NewLarge registers the brokers that stand in and creates topics on them, each partition with three replicas.
func NewLarge(ctx context.Context, c *peer.Cluster, partitions int) (*Large, error) {
	b, err := New(ctx, c)
	if err != nil {
		return nil, err
	}
	l := &Large{Bench: b}
	if err = l.register(ctx); err == nil {
		err = l.fill(ctx, partitions/topicPartitions)
	}
	if err != nil {
		b.Close()
		return nil, err
	}
	return l, nil
}

func (l *Large) register(ctx context.Context) error {
	described, err := kmsg.NewPtrDescribeClusterRequest().RequestWith(ctx, l.client)
	if err != nil {
		return err
	}
	for i := range int32(3) {
		s := &standIn{id: standInID + i}
		req := kmsg.NewPtrBrokerRegistrationRequest()
		req.Version, req.BrokerID, req.ClusterID, req.IncarnationID = 3, s.id, described.ClusterID, [16]byte{15: byte(s.id)}
		req.LogDirs = [][16]byte{{0: 1, 15: byte(s.id)}}
		at := kmsg.NewBrokerRegistrationRequestListener()
		at.Name, at.Host, at.Port = "PLAINTEXT", "127.0.0.1", 1
		req.Listeners = append(req.Listeners, at)
		for _, name := range []string{"metadata.version", "group.version", "transaction.version", "eligible.leader.replicas.version", "share.version", "streams.version", "kraft.version"} {
			f := kmsg.NewBrokerRegistrationRequestFeature()
			f.Name, f.MaxSupportedVersion = name, 1000
			req.Features = append(req.Features, f)
		}
		err := l.decided(ctx, req, func(resp kmsg.Response) int16 {
			r := resp.(*kmsg.BrokerRegistrationResponse)
			s.epoch = r.BrokerEpoch
			return r.ErrorCode
		})
		if err == nil {
			err = l.fence(ctx, s, false)
		}
		if err != nil {
			return err
		}
		l.standIns = append(l.standIns, s)
	}
	return nil
}

// fence has a broker that stands in fenced, or unfenced.
func (l *Large) fence(ctx context.Context, s *standIn, fenced bool) error {
	req := kmsg.NewPtrBrokerHeartbeatRequest()
	req.Version, req.BrokerID, req.BrokerEpoch, req.CurrentMetadataOffset, req.WantFence = 1, s.id, s.epoch, s.epoch, fenced
	return l.decided(ctx, req, func(resp kmsg.Response) int16 {
		r := resp.(*kmsg.BrokerHeartbeatResponse)
		if r.ErrorCode == 0 && r.IsFenced != fenced {
			return kerr.NotController.Code // it was not decided yet
		}
		return r.ErrorCode
	})
}

// decided asks one node after the other until the active controller has decided.
func (l *Large) decided(ctx context.Context, req kmsg.Request, codeOf func(kmsg.Response) int16) error {
	return until(ctx, kmsg.NameForKey(req.Key()), func(ctx context.Context) error {
		var errs []error
		for _, n := range l.cluster.Nodes {
			resp, err := call(ctx, n.ControllerAddr, req)
			if err == nil {
				err = kerr.ErrorForCode(codeOf(resp))
			}
			if err == nil {
				return nil
			}
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	})
}

func call(ctx context.Context, addr string, req kmsg.Request) (resp kmsg.Response, err error) {
	client, err := raw.Connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	err = client.Within(ctx, func() (err error) {
		resp, err = client.Call(req)
		return err
	})
	return resp, err
}

// fill creates topics on the brokers that stand in.
func (l *Large) fill(ctx context.Context, topics int) error {
	for done := 0; done < topics; done += topicsAtOnce {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = int32(patience.Milliseconds())
		for i := range min(topicsAtOnce, topics-done) {
			req.Topics = append(req.Topics, onStandIns(fmt.Sprintf("large-%05d", done+i), topicPartitions, l.standIns))
		}
		if err := until(ctx, "create topics", func(ctx context.Context) error { return l.createAll(ctx, req) }); err != nil {
			return err
		}
	}
	return nil
}

// createAll creates topics. One that is there already was created by a try whose answer was lost.
func (l *Large) createAll(ctx context.Context, req *kmsg.CreateTopicsRequest) error {
	resp, err := req.RequestWith(ctx, l.client)
	if err != nil {
		return err
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create %s: %w", t.Topic, err)
		}
	}
	return nil
}

// onStandIns is a topic with its partitions led by each of the brokers in turn.
func onStandIns(name string, partitions int, brokers []*standIn) kmsg.CreateTopicsRequestTopic {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, -1, -1
	for i := range partitions {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition = int32(i)
		for j := range brokers {
			a.Replicas = append(a.Replicas, brokers[(i+j)%len(brokers)].id)
		}
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
	return t
}

// LargeFailover is what the death of a node of a Large took.
type LargeFailover struct {
	Topic   time.Duration // from the kill to the next topic created
	Fenced  time.Duration // from the kill until a third of the partitions has another leader
	Restart time.Duration // from the start of the killed node until it has caught up
	RSS     int64         // of the controller's node, before
	Stored  int64         // what the killed node had on its disk of the metadata
}

// ControllerKilled kills the active controller, and with it, as far as the controllers can tell, a broker that leads a third of
// the partitions.
func (l *Large) ControllerKilled(ctx context.Context) (f LargeFailover, err error) {
	n, err := l.controller(ctx)
	if err != nil {
		return f, err
	}
	if f.RSS, err = raw.RSSOf(n.PID()); err != nil {
		return f, err
	}
	began := time.Now()
	if err := n.Kill(); err != nil {
		return f, err
	}
	fenced := make(chan error, 1)
	go func() { // ends with the wait
		err := l.fence(ctx, l.standIns[0], true)
		f.Fenced = time.Since(began)
		fenced <- err
	}()
	err = until(ctx, "create a topic", func(ctx context.Context) error {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Topics = append(req.Topics, onStandIns("next", 1, l.standIns[1:]))
		return l.createAll(ctx, req)
	})
	took := time.Since(began)
	if err := errors.Join(err, <-fenced); err != nil {
		return f, err
	}
	f.Topic = took
	if f.Stored, err = stored(n.DataDir); err != nil {
		return f, err
	}
	began = time.Now()
	err = errors.Join(n.Restart(ctx), l.serves(ctx, n))
	f.Restart = time.Since(began)
	return f, err
}

// stored is the size of the folder of the metadata in a log directory.
func stored(dataDir string) (sum int64, err error) {
	for _, name := range []string{"__dmq_metadata-0", "__cluster_metadata-0"} {
		err := filepath.WalkDir(filepath.Join(dataDir, name), func(_ string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of the other kind of broker
			}
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				sum += info.Size()
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// serves waits until a node shows itself among the brokers: it has caught up with the metadata then.
func (l *Large) serves(ctx context.Context, n *peer.Broker) error {
	return until(ctx, "wait until the node has caught up", func(ctx context.Context) error {
		req := kmsg.NewPtrMetadataRequest()
		req.Version, req.Topics = 12, []kmsg.MetadataRequestTopic{}
		resp, err := call(ctx, n.Addr, req)
		if err != nil {
			return err
		}
		for _, b := range resp.(*kmsg.MetadataResponse).Brokers {
			if b.NodeID == n.ID {
				return nil
			}
		}
		return errNotWhole
	})
}
