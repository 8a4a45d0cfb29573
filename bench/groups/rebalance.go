package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// heartbeatEvery is how often members report; how soon they hear of a rebalance hangs on it.
const heartbeatEvery = 500 * time.Millisecond

// crowd is the members of one group that all come at the same time.
type crowd struct {
	o       *options
	group   string
	n       int
	settled atomic.Int64 // members that have what they get in the end
	done    chan struct{}
	once    sync.Once
	target  atomic.Int32 // the generation that all members are in, once it is known
}

// settle counts members in or out; with all of them in, the rebalance is over.
func (w *crowd) settle(by int64) {
	if w.settled.Add(by) == int64(w.n) {
		w.once.Do(func() { close(w.done) })
	}
}

// rebalance measures how long -conns members take, all together, from nothing to an assignment for each.
func rebalance(ctx context.Context, o *options, out io.Writer, name string, member func(ctx context.Context, w *crowd, c *raw.Client) error) error {
	clients := make([]*raw.Client, o.conns)
	for i := range clients {
		c, err := raw.Connect(ctx, o.addr)
		if err != nil {
			return err
		}
		clients[i] = c
	}
	w := &crowd{o: o, group: fmt.Sprintf("%s-%d", name, time.Now().UnixNano()), n: o.conns, done: make(chan struct{})}
	if err := find(ctx, clients[0], w.group); err != nil {
		return err
	}
	before, err := raw.CPUOf(o.pid)
	if err != nil {
		return err
	}
	start := time.Now()
	errs := make(chan error, len(clients))
	for _, c := range clients {
		go func() { errs <- member(ctx, w, c) }()
	}
	select {
	case <-w.done:
	case err := <-errs:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	took := time.Since(start)
	after, err := raw.CPUOf(o.pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d members in %v", name, o.conns, took.Round(time.Millisecond))
	if o.pid != 0 {
		fmt.Fprintf(out, ", broker %v of CPU", after-before)
	}
	fmt.Fprintln(out)
	return nil
}

// joinClassic is a member of a classic group until the rebalance is over.
func joinClassic(ctx context.Context, w *crowd, c *raw.Client) error {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Version, req.Group, req.ProtocolType, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = joinVersion, w.group, "consumer", 45_000, 60_000
	req.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255}}}
	for {
		got, err := c.Call(req)
		if err != nil {
			return err
		}
		joined := got.(*kmsg.JoinGroupResponse)
		req.MemberID = joined.MemberID
		switch err := kerr.ErrorForCode(joined.ErrorCode); {
		case errors.Is(err, kerr.MemberIDRequired), errors.Is(err, kerr.RebalanceInProgress):
			continue
		case err != nil:
			return err
		}
		if err := w.stayIn(ctx, c, joined); err != nil {
			return err
		}
		select {
		case <-w.done:
			return nil
		default:
		}
	}
}

// stayIn syncs and beats until the next rebalance.
func (w *crowd) stayIn(ctx context.Context, c *raw.Client, joined *kmsg.JoinGroupResponse) error {
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Version, sync.Group, sync.MemberID, sync.Generation = syncVersion, w.group, joined.MemberID, joined.Generation
	for _, m := range joined.Members {
		sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: []byte{0, 0, 0, 0, 0, 0, 255, 255, 255, 255}})
	}
	if len(joined.Members) == w.n {
		w.target.Store(joined.Generation)
	}
	got, err := c.Call(sync)
	if err != nil || got.(*kmsg.SyncGroupResponse).ErrorCode != 0 {
		return err // whatever it is, joining again tells
	}
	if w.target.Load() == joined.Generation {
		w.settle(1)
	}
	beat := kmsg.NewPtrHeartbeatRequest()
	beat.Version, beat.Group, beat.MemberID, beat.Generation = heartbeatVersion, w.group, joined.MemberID, joined.Generation
	for ctx.Err() == nil {
		select {
		case <-w.done:
			return nil
		case <-time.After(heartbeatEvery):
		}
		got, err := c.Call(beat)
		if err != nil || got.(*kmsg.HeartbeatResponse).ErrorCode != 0 {
			return err
		}
	}
	return ctx.Err()
}

// joinConsumer is a member of a consumer group until each has a partition. The topic has as many as there are members.
func joinConsumer(ctx context.Context, w *crowd, c *raw.Client) error {
	req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
	req.Group, req.RebalanceTimeoutMillis, req.SubscribedTopicNames = w.group, 60_000, []string{w.o.topic}
	req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	settled := false
	for ctx.Err() == nil {
		got, err := c.Call(req)
		if err != nil {
			return err
		}
		resp := got.(*kmsg.ConsumerGroupHeartbeatResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return err
		}
		req.MemberID, req.MemberEpoch = *resp.MemberID, resp.MemberEpoch
		req.RebalanceTimeoutMillis, req.SubscribedTopicNames, req.Topics = -1, nil, nil
		pause := heartbeatEvery
		if a := resp.Assignment; a != nil {
			req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			owns := 0
			for _, t := range a.Topics {
				owns += len(t.Partitions)
				req.Topics = append(req.Topics, kmsg.ConsumerGroupHeartbeatRequestTopic{TopicID: t.TopicID, Partitions: t.Partitions})
			}
			if (owns == 1) != settled {
				settled = owns == 1
				w.settle(map[bool]int64{true: 1, false: -1}[settled])
			}
			pause = 0 // as consumers do, it says at once what it has given up
		}
		select {
		case <-w.done:
			return nil
		case <-time.After(pause):
		}
	}
	return ctx.Err()
}
