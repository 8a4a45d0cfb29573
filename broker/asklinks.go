package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/nodelink"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

const (
	// asksMost bounds the requests of the admin port that are on their way to brokers; more wait.
	asksMost = 256
	// asksIdle is how many connections to one broker are kept for the next requests.
	asksIdle = 8
)

// askLinks are the connections over which the admin port's requests reach brokers as any client's would: to this node's own
// broker without a socket. Each carries one request at a time, since a fetch may wait long.
type askLinks struct {
	dial  func(to protocol.NodeID) *nodelink.Link
	slots chan struct{}

	mu     sync.Mutex // guards the fields below
	idle   map[protocol.NodeID][]*nodelink.Link
	used   map[*nodelink.Link]struct{}
	closed bool
}

func (n *node) newAskLinks() *askLinks {
	return &askLinks{
		slots: make(chan struct{}, asksMost), idle: make(map[protocol.NodeID][]*nodelink.Link), used: make(map[*nodelink.Link]struct{}),
		dial: func(to protocol.NodeID) *nodelink.Link {
			o := n.linkOptions(to, "dmq-admin")
			switch {
			case to == n.props.NodeID:
				o.Address = func() (string, error) { return "in this process", nil }
				o.Dial = func(context.Context, string, string) (net.Conn, error) { return n.inProcessConn() }
			case n.props.InterBrokerListener == "":
				o.Address = func() (string, error) { return n.firstAddress(to) }
			}
			return nodelink.New(o)
		},
	}
}

// firstAddress is where a broker answers a controller, whose configuration does not name the listener of brokers: on its first one.
func (n *node) firstAddress(to protocol.NodeID) (string, error) {
	b := n.quorum.Image().Brokers[to]
	if b == nil {
		return "", fmt.Errorf("broker %d is not registered", to)
	}
	listeners := image.Listeners(b.Endpoints)
	if len(listeners) == 0 || b.ByREST() {
		return "", fmt.Errorf("broker %d has no listener for Kafka's protocol", to)
	}
	return net.JoinHostPort(listeners[0].Host, strconv.Itoa(int(listeners[0].Port))), nil
}

// Ask sends a request and waits for the answer.
func (a *askLinks) Ask(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return nil, errcode.New(errcode.KindRequestTimedOut, "more requests are on their way than this node sends at a time: %w", context.Cause(ctx))
	}
	link, err := a.take(to)
	if err != nil {
		return nil, err
	}
	resp, err := link.Request(ctx, req)
	if err != nil {
		_ = link.Close() // it never fails
		a.drop(link)
		return nil, errcode.New(errcode.KindBrokerNotAvailable, "broker %d: %w", to, err)
	}
	if !a.keep(to, link) {
		_ = link.Close()
	}
	return resp, nil
}

func (a *askLinks) take(to protocol.NodeID) (*nodelink.Link, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return nil, nodelink.ErrClosed
	}
	var link *nodelink.Link
	if idle := a.idle[to]; len(idle) > 0 {
		link, a.idle[to] = idle[len(idle)-1], idle[:len(idle)-1]
	} else {
		link = a.dial(to)
	}
	a.used[link] = struct{}{}
	return link, nil
}

func (a *askLinks) drop(link *nodelink.Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, link)
}

// keep puts a link back; false: there are enough.
func (a *askLinks) keep(to protocol.NodeID, link *nodelink.Link) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, link)
	if a.closed || len(a.idle[to]) >= asksIdle {
		return false
	}
	a.idle[to] = append(a.idle[to], link)
	return true
}

// Close fails what is under way and joins the connections' goroutines.
func (a *askLinks) Close() error {
	a.mu.Lock()
	a.closed = true
	var all []*nodelink.Link
	for _, idle := range a.idle {
		all = append(all, idle...)
	}
	for link := range a.used {
		all = append(all, link)
	}
	a.idle = nil
	a.mu.Unlock()
	for _, link := range all {
		_ = link.Close() // it never fails
	}
	return nil
}
