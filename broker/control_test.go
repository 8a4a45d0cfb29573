package broker_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func TestControl_WithoutARunningNode(t *testing.T) {
	b, err := broker.New(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	check := func(when string) {
		t.Helper()
		c := b.Control()
		_, decided := c.Decide(ctx, kmsg.NewPtrCreateTopicsRequest())
		_, asked := c.Ask(ctx, 1, kmsg.NewPtrMetadataRequest())
		_, hw := c.HighWatermark(protocol.TopicPartition{Topic: "t"})
		_, _, changes := c.LeadershipChanges()
		watched := c.Watch(image.PublisherFunc(func(*image.Delta) {}))
		for name, err := range map[string]error{"VerifyLeader": c.VerifyLeader(ctx), "Decide": decided, "Ask": asked, "HighWatermark": hw, "LeadershipChanges": changes, "Watch": watched} {
			if errcode.KindOf(err) != errcode.KindBrokerNotAvailable {
				t.Errorf("%s, %s: got %v, want BROKER_NOT_AVAILABLE", when, name, err)
			}
		}
		if connected, _ := c.Session(); connected || !c.LastContact(1).IsZero() || c.NodeID() != 1 {
			t.Errorf("%s: a session, or another node id", when)
		}
		c.BeatSoon() // does nothing
	}
	check("before the start")
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.Control().VerifyLeader(ctx); err != nil {
		t.Error(err)
	}
	if connected, at := b.Control().Session(); !connected || at.IsZero() || b.Control().LastContact(1).IsZero() {
		t.Errorf("got connected %v since %v", connected, at)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	check("after the end")
}

// A node that starts shows what it sees of the quorum before it has caught up, and nothing once its start has failed.
func TestControl_Starting(t *testing.T) {
	props, _, err := config.Load(config.Sources{Set: []string{
		"listeners=PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0", "dmq.admin.listen=", "log.dirs=" + t.TempDir(), "node.id=7",
		"controller.quorum.voters=7@127.0.0.1:1,8@127.0.0.1:1,9@127.0.0.1:1", // two of which are never there
	}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- b.Start(ctx) }()
	c := b.Control()
	for seen := false; !seen; {
		select {
		case err := <-failed:
			t.Fatal(err)
		case <-time.After(time.Millisecond):
			_, seen = c.Quorum()
		}
	}
	if s, _ := c.Quorum(); c.Applied() == nil || b.Image() != nil || s.NodeID != 7 || s.Leader != -1 || c.NodeID() != 7 {
		t.Errorf("got %+v, applied %v, image %v", s, c.Applied(), b.Image())
	}
	cancel()
	if err := <-failed; err == nil {
		t.Error("it has started without a quorum")
	}
	if _, ok := c.Quorum(); ok || c.Applied() != nil {
		t.Error("a quorum is shown after the start has failed")
	}
}

// Requests that wait long, such as fetches, hold up no others, and end with the node.
func TestControl_Ask(t *testing.T) {
	b, err := broker.New(broker.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatal(err)
	}
	c := b.Control()
	create := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = "t", 1, 1
	create.Topics = append(create.Topics, topic)
	if _, err := c.Decide(ctx, create); err != nil {
		t.Fatal(err)
	}
	fetch := func() *kmsg.FetchRequest {
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 50_000, 1, 1<<20
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rp.PartitionMaxBytes = 1 << 20
		rt.Topic, rt.TopicID, rt.Partitions = "t", b.Image().Topic("t").ID, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		return req
	}
	var waiting sync.WaitGroup
	failures := make(chan error, 40)
	for range 40 {
		waiting.Go(func() {
			_, err := c.Ask(ctx, 1, fetch())
			failures <- err
		})
	}
	for range 100 {
		if _, err := c.Ask(ctx, 1, kmsg.NewPtrMetadataRequest()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Ask(ctx, 9, kmsg.NewPtrMetadataRequest()); errcode.KindOf(err) != errcode.KindBrokerNotAvailable {
		t.Errorf("a broker that is not there: got %v", err)
	}
	gone, giveUp := context.WithCancel(ctx)
	giveUp()
	if _, err := c.Ask(gone, 1, fetch()); err == nil {
		t.Error("a request whose client has gone was answered")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	close(failures)
	for err := range failures {
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fetch ended with %v, want that the node has", err)
		}
	}
}
