package groups

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/bench/raw"
)

// heartbeatInterval is how often members report: how soon they hear of a rebalance hangs on it.
const heartbeatInterval = 500 * time.Millisecond

// Sizes are how many members the group of Rebalance has, one after the other.
var Sizes = []int{1, 100, 1000}

// The topic of Rebalance: each of 1, 100 and 1,000 members gets an equal share.
const (
	crowdTopic      = "crowd"
	crowdPartitions = 1000
)

// Rebalanced is how long a group took to grow to its size.
type Rebalanced struct {
	Members   int
	Took, CPU time.Duration // CPU of the broker
}

// Rebalance lets a group of the classic protocol, or of that of KIP-848, grow to one size after the other. All new members of a
// size come at once; it is over when each member was told what is its share in the end.
func Rebalance(ctx context.Context, b Broker, protocol Protocol) ([]Rebalanced, error) {
	if err := createTopic(ctx, b.Addr, crowdTopic, crowdPartitions); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	w := &crowd{group: fmt.Sprintf("%s-%d", protocol, time.Now().UnixNano()), shares: map[*raw.Client]int{}, fail: cancel}
	var members sync.WaitGroup
	defer members.Wait()
	defer cancel(nil)
	var all []Rebalanced
	for _, size := range Sizes {
		clients, err := connect(ctx, b.Addr, size-len(w.shares))
		if err != nil {
			return nil, err
		}
		if err := find(ctx, clients[0], w.group); err != nil {
			return nil, err
		}
		before, err := raw.CPUOf(b.PID)
		if err != nil {
			return nil, err
		}
		began, settled := time.Now(), w.grow(clients)
		for _, c := range clients {
			members.Go(func() { w.belong(ctx, c, protocol) })
		}
		select {
		case <-settled:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		took := time.Since(began)
		after, err := raw.CPUOf(b.PID)
		if err != nil {
			return nil, err
		}
		all = append(all, Rebalanced{size, took, after - before})
	}
	return all, nil
}

// Protocol is that of a group.
type Protocol string

// The protocols of consumer groups.
const (
	Classic  Protocol = "classic"
	Consumer Protocol = "consumer"
)

func connect(ctx context.Context, addr string, n int) ([]*raw.Client, error) {
	clients := make([]*raw.Client, n)
	for i := range clients {
		c, err := raw.Connect(ctx, addr)
		if err != nil {
			return nil, err
		}
		clients[i] = c
	}
	return clients, nil
}

// crowd is the members of a group, each with a connection.
type crowd struct {
	group string
	fail  func(error)

	mu      sync.Mutex // guards the fields below
	size    int
	shares  map[*raw.Client]int // how many partitions each member has
	content int                 // members whose share is what it is in the end
	settled chan struct{}       // closed when all are content
}

// grow adds members. The channel is closed when each has its share.
func (w *crowd) grow(clients []*raw.Client) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range clients {
		w.shares[c] = 0
	}
	w.size, w.content, w.settled = len(w.shares), 0, make(chan struct{})
	return w.settled
}

// has notes the share of a member.
func (w *crowd) has(c *raw.Client, partitions int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	share := crowdPartitions / w.size
	if w.shares[c] == share {
		w.content--
	}
	if w.shares[c] = partitions; partitions == share {
		w.content++
	}
	if w.content == w.size {
		select {
		case <-w.settled: // they were before
		default:
			close(w.settled)
		}
	}
}

// belong is a member until ctx ends.
func (w *crowd) belong(ctx context.Context, c *raw.Client, protocol Protocol) {
	stop := context.AfterFunc(ctx, c.Close)
	defer stop()
	be := w.classic
	if protocol == Consumer {
		be = w.consumer
	}
	if err := be(ctx, c); err != nil && ctx.Err() == nil {
		w.fail(err)
	}
	c.Close()
}

// classic joins again and again.
func (w *crowd) classic(ctx context.Context, c *raw.Client) error {
	req := joinRequest(w.group, crowdTopic)
	for {
		got, err := c.Call(req)
		if err != nil {
			return err
		}
		resp := got.(*kmsg.JoinGroupResponse)
		req.MemberID = resp.MemberID
		switch err := kerr.ErrorForCode(resp.ErrorCode); {
		case errors.Is(err, kerr.MemberIDRequired), errors.Is(err, kerr.RebalanceInProgress), kerr.IsRetriable(err):
		case err != nil:
			return err
		default:
			err := w.generation(ctx, c, resp)
			if !errors.Is(err, kerr.RebalanceInProgress) {
				return err
			}
			w.has(c, 0) // it gives up everything before it joins again
		}
	}
}

// generation is a member in a generation of a classic group, until there is another.
func (w *crowd) generation(ctx context.Context, c *raw.Client, joined *kmsg.JoinGroupResponse) error {
	m := &member{group: w.group, id: joined.MemberID, epoch: joined.Generation}
	got, err := c.Call(syncRequest(m, crowdTopic, crowdPartitions, joined.Members))
	if err != nil {
		return err
	}
	synced := got.(*kmsg.SyncGroupResponse)
	if err := kerr.ErrorForCode(synced.ErrorCode); err != nil {
		return err
	}
	a := kmsg.NewConsumerMemberAssignment()
	if err := a.ReadFrom(synced.MemberAssignment); err != nil {
		return err
	}
	w.has(c, len(a.Topics[0].Partitions))
	for {
		if err := pause(ctx); err != nil {
			return err
		}
		got, err := c.Call(heartbeatOf(m))
		if err != nil {
			return err
		}
		if err := kerr.ErrorForCode(heartbeatCode(got.(*kmsg.HeartbeatResponse))); err != nil {
			return err
		}
	}
}

// consumer reports, at once when its assignment has changed.
func (w *crowd) consumer(ctx context.Context, c *raw.Client) error {
	req := subscribe(w.group, fmt.Sprintf("member-%p", c), crowdTopic)
	for {
		resp, err := insist(ctx, c, req, consumerCode)
		if err != nil {
			return err
		}
		if n, changed := report(req, resp); changed {
			w.has(c, n)
			continue
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(heartbeatInterval):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
