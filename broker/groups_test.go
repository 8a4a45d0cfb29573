package broker_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker"
	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// startWith starts a broker with properties.
func startWith(t *testing.T, dir string, set ...string) *broker.Broker {
	t.Helper()
	set = append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "dmq.admin.listen=", "log.dirs=" + dir}, set...)
	props, _, err := config.Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Properties: props})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// eachOnce consumes as a group until the records value-0 to value-<n-1> have come, and commits them.
func eachOnce(t *testing.T, seen map[string]int, n int, members ...*kgo.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var mu sync.Mutex // guards seen
	var running sync.WaitGroup
	done := make(chan struct{})
	for _, cl := range members {
		running.Go(func() {
			for {
				fetches := cl.PollFetches(ctx)
				if ctx.Err() != nil {
					return
				}
				mu.Lock()
				fetches.EachRecord(func(r *kgo.Record) { seen[string(r.Value)]++ })
				all := len(seen) >= n
				mu.Unlock()
				if err := cl.CommitUncommittedOffsets(ctx); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				if all {
					select {
					case <-done:
					default:
						close(done)
						cancel()
					}
					return
				}
			}
		})
	}
	running.Wait()
	if len(seen) != n {
		t.Errorf("got %d records, want %d", len(seen), n)
	}
}

// TestBroker_Groups has a group consume, go on after the broker was restarted, and take in a second member.
func TestBroker_Groups(t *testing.T) {
	for _, how := range []struct {
		name string
		stop func(*broker.Broker) error
	}{
		{"over a clean shutdown", func(b *broker.Broker) error { return b.Shutdown(context.Background()) }},
		{"over a crash", (*broker.Broker).Close},
	} {
		t.Run(how.name, func(t *testing.T) {
			dir := t.TempDir()
			member := func(b *broker.Broker) *kgo.Client {
				return newClient(t, b, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("orders"), kgo.DisableAutoCommit(),
					kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(30*time.Second), kgo.Balancers(kgo.RangeBalancer()))
			}
			b := startWith(t, dir, "group.initial.rebalance.delay.ms=0")
			cl := newClient(t, b)
			produce(t, cl, "orders", 0, 100)
			first := member(b)
			seen := make(map[string]int)
			eachOnce(t, seen, 100, first)
			first.Close()
			cl.Close()
			if err := how.stop(b); err != nil {
				t.Fatal(err)
			}

			b = startWith(t, dir, "group.initial.rebalance.delay.ms=0")
			produce(t, newClient(t, b), "orders", 100, 50)
			eachOnce(t, seen, 150, member(b))
			for i := range 150 {
				if n := seen[fmt.Sprintf("value-%d", i)]; n != 1 {
					t.Errorf("value-%d came %d times, though each was committed", i, n)
				}
			}
		})
	}
}

// A graceful shutdown does not wait for the members of a group that wait for each other.
func TestBroker_ShutdownAnswersMembersThatWait(t *testing.T) {
	b := startWith(t, t.TempDir(), "group.initial.rebalance.delay.ms=60000")
	cl := newClient(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKeys = []string{"g"}
	if _, err := cl.Request(ctx, find); err != nil {
		t.Fatal(err)
	}
	join := func(memberID string) *kmsg.JoinGroupResponse {
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.MemberID, req.ProtocolType = "g", memberID, "consumer"
		req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 60_000, 60_000
		req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0}}}
		resp, err := cl.Broker(1).Request(ctx, req)
		if err != nil {
			t.Error(err)
			return kmsg.NewPtrJoinGroupResponse()
		}
		return resp.(*kmsg.JoinGroupResponse)
	}
	given := join("") // an id to come again with
	answered := make(chan int16, 1)
	go func() { answered <- join(given.MemberID).ErrorCode }()
	list := kmsg.NewPtrListGroupsRequest()
	for { // the initial rebalance delay has begun
		resp, err := cl.Request(ctx, list)
		if err != nil {
			t.Fatal(err)
		}
		if groups := resp.(*kmsg.ListGroupsResponse).Groups; len(groups) == 1 && groups[0].GroupState == "PreparingRebalance" {
			break
		}
	}
	if err := b.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if code := <-answered; code != int16(errcode.KindNotCoordinator) {
		t.Errorf("got %s", errcode.Name(code))
	}
}

func TestBroker_GroupVersion(t *testing.T) {
	b := startBroker(t, t.TempDir())
	if level := b.Image().Features["group.version"]; level != 1 {
		t.Errorf("a new cluster has group.version %d", level)
	}
	cl := newClient(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	describe := func() int16 {
		req := kmsg.NewPtrConsumerGroupDescribeRequest()
		req.Groups = []string{"g"}
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKeys = req.Groups
		if _, err := cl.Request(ctx, find); err != nil {
			t.Fatal(err)
		}
		var code int16
		waitFor(t, func() error { // the coordinator begins to load when it is found
			resp, err := cl.Broker(1).Request(ctx, req)
			if err != nil {
				t.Fatal(err)
			}
			code = resp.(*kmsg.ConsumerGroupDescribeResponse).Groups[0].ErrorCode
			if code == int16(errcode.KindCoordinatorLoadInProgress) {
				return errors.New(errcode.Name(code))
			}
			return nil
		})
		return code
	}
	if code := describe(); code != int16(errcode.KindGroupIDNotFound) {
		t.Errorf("at level 1: got %s", errcode.Name(code))
	}
	set := func(level int16, how int8) {
		req := kmsg.NewPtrUpdateFeaturesRequest()
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "group.version", level, how
		req.FeatureUpdates = append(req.FeatureUpdates, u)
		resp, err := cl.Request(ctx, req)
		if err != nil || resp.(*kmsg.UpdateFeaturesResponse).ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	set(0, 2)
	if code := describe(); code != int16(errcode.KindUnsupportedVersion) {
		t.Errorf("at level 0: got %s", errcode.Name(code))
	}
	set(1, 1)
	if code := describe(); code != int16(errcode.KindGroupIDNotFound) {
		t.Errorf("at level 1 again: got %s", errcode.Name(code))
	}
}
