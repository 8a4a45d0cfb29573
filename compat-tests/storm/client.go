package storm

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// client is a franz-go member. When it reports is its own affair, so that it is given no time in the books.
type client struct {
	group, name string
	h           *History
	cl          *kgo.Client

	mu    sync.Mutex // guards the fields below
	dead  bool       // it may not dial any more
	conns []net.Conn
}

// newClient makes a client of a protocol: classic among raw members, classic with cooperative-sticky, or consumer.
func newClient(nodes []string, group, name, protocol string, h *History) (*client, error) {
	c := &client{group: group, name: name, h: h}
	opts := []kgo.Opt{
		kgo.SeedBrokers(nodes...), kgo.ClientID(name), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.Dialer(c.dial),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(200 * time.Millisecond),
		kgo.OnPartitionsAssigned(c.told(Owned)), kgo.OnPartitionsRevoked(c.told(Released)), kgo.OnPartitionsLost(c.told(Released)),
		kgo.SessionTimeout(sessionTimeout), kgo.RebalanceTimeout(rebalanceTimeout), kgo.HeartbeatInterval(beatEvery),
	}
	switch protocol {
	case "consumer":
		opts = append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	case "cooperative":
		opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	default:
		opts = append(opts, kgo.Balancers(kgo.RoundRobinBalancer()))
	}
	var err error
	c.cl, err = kgo.NewClient(opts...)
	return c, err
}

// told notes what the group gave the client, or took from it.
func (c *client) told(kind Kind) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, cl *kgo.Client, m map[string][]int32) {
		_, generation := cl.GroupMetadata()
		for _, p := range m[topic] {
			c.h.Add(Event{Group: c.group, Member: c.name, Kind: kind, Partition: p, Epoch: generation})
		}
	}
}

func (c *client) dial(ctx context.Context, network, host string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

// live polls and commits until ctx ends.
func (c *client) live(ctx context.Context) {
	for ctx.Err() == nil {
		fetches := c.cl.PollFetches(ctx)
		next := map[int32]kgo.EpochOffset{}
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				end := p.Records[n-1].Offset + 1
				c.h.Add(Event{Group: c.group, Member: c.name, Kind: Read, Partition: p.Partition, Offset: p.Records[0].Offset, End: end})
				c.h.Add(Event{Group: c.group, Member: c.name, Kind: CommitSent, Partition: p.Partition, Offset: end})
				next[p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: end}
			}
		})
		if len(next) > 0 {
			c.cl.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{topic: next}, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, _ error) {
				took(c.h, c.group, c.name, resp, next)
			})
		}
		c.cl.AllowRebalance()
	}
}

// leave closes the client, which says good-bye.
func (c *client) leave(context.Context) {
	c.cl.CloseAllowingRebalance()
	c.gone()
}

func (c *client) gone() { c.h.Add(Event{Group: c.group, Member: c.name, Kind: Gone}) }

// cut ends the client's connections and lets it open no more: what it still wants to say nobody hears. Nobody waits until it has
// given up saying it, either, which takes up to twenty seconds.
func (c *client) cut() {
	c.mu.Lock()
	c.dead = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	go c.cl.CloseAllowingRebalance()
}

// took notes the commits that the broker took.
func took(h *History, group, name string, resp *kmsg.OffsetCommitResponse, next map[int32]kgo.EpochOffset) {
	if resp == nil {
		return
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode == noError {
				h.Add(Event{Group: group, Member: name, Kind: CommitOK, Partition: p.Partition, Offset: next[p.Partition].Offset})
			}
		}
	}
}
