package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/protocol"
)

// brokerLinks are the connections over which this broker asks others what only they know. They are made when they are first
// needed.
type brokerLinks struct {
	dial func(to protocol.NodeID) *nodelink.Link

	mu     sync.Mutex // guards the fields below
	links  map[protocol.NodeID]*nodelink.Link
	closed bool
}

// request asks another broker. An error means that it has not answered.
func (b *brokerLinks) request(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
	link, err := b.link(to)
	if err != nil {
		return nil, err
	}
	return link.Request(ctx, req)
}

func (b *brokerLinks) link(to protocol.NodeID) (*nodelink.Link, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, fmt.Errorf("ask broker %d: %w", to, nodelink.ErrClosed)
	}
	link := b.links[to]
	if link == nil {
		link = b.dial(to)
		b.links[to] = link
	}
	return link, nil
}

// Close ends the connections and joins their goroutines.
func (b *brokerLinks) Close() error {
	b.mu.Lock()
	b.closed = true
	links := b.links
	b.links = nil
	b.mu.Unlock()
	for _, link := range links {
		_ = link.Close() // it never fails
	}
	return nil
}

func (n *node) newBrokerLinks() *brokerLinks {
	return &brokerLinks{
		links: make(map[protocol.NodeID]*nodelink.Link),
		dial: func(to protocol.NodeID) *nodelink.Link {
			return nodelink.New(n.linkOptions(to, fmt.Sprintf("broker-%d", n.props.NodeID)))
		},
	}
}

// linkOptions are those of a connection to another broker, wherever the metadata say that it listens for brokers.
func (n *node) linkOptions(to protocol.NodeID, clientID string) nodelink.Options {
	return nodelink.Options{
		Dial:     n.cfg.Dial,
		Address:  func() (string, error) { return n.brokerAddress(to) },
		ClientID: clientID,
		Logger:   n.logger,
	}
}

// brokerAddress is where another broker listens for brokers.
func (n *node) brokerAddress(id protocol.NodeID) (string, error) {
	b := n.quorum.Image().Brokers[id]
	if b == nil {
		return "", fmt.Errorf("broker %d is not registered", id)
	}
	e, ok := b.Endpoint(n.props.InterBrokerListener)
	if !ok {
		return "", fmt.Errorf("broker %d has no listener %s", id, n.props.InterBrokerListener)
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))), nil
}
