package broker

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/broker/replica"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Control is a node's part in the cluster as its admin port shows and uses it. It may be used at any time, from any goroutine;
// errors carry an errcode.Kind.
type Control struct{ b *Broker }

// Control returns this node's part in the cluster.
func (b *Broker) Control() Control { return Control{b} }

func (c Control) node() (*node, error) {
	n := c.b.running.Load()
	if n == nil {
		return nil, errcode.New(errcode.KindBrokerNotAvailable, "the node is not running")
	}
	return n, nil
}

// NodeID is the id of this node; before it has looked at its directories, the configured one.
func (c Control) NodeID() protocol.NodeID {
	if n := c.b.opened.Load(); n != nil {
		return n.props.NodeID
	}
	return c.b.props.NodeID
}

// Applied is the metadata that this node has applied so far, which is not all there is while the node starts; nil before it has any.
func (c Control) Applied() *image.Image {
	if n := c.b.opened.Load(); n != nil {
		return n.quorum.Image()
	}
	return nil
}

// Quorum describes the metadata quorum as this node sees it, be it that the node is still starting; ok is false before it sees any.
func (c Control) Quorum() (s kraft.Status, ok bool) {
	if n := c.b.opened.Load(); n != nil {
		return n.quorum.Status(), true
	}
	return kraft.Status{}, false
}

// VerifyLeader confirms with the quorum that this node is the active controller. Its image is then as new as any decision that was
// committed before.
func (c Control) VerifyLeader(ctx context.Context) error {
	n, err := c.node()
	switch {
	case err != nil:
		return err
	case n.control == nil:
		return &kraft.NotLeaderError{Leader: -1}
	case !n.control.Active(): // it has not caught up yet with what the controllers before it decided
		return &kraft.NotLeaderError{Leader: -1}
	default:
		return n.quorum.VerifyLeader(ctx)
	}
}

// Decide has the controller of this node answer one of the requests that brokers and clients send the active controller. It
// refuses when this node is not that controller.
func (c Control) Decide(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	n, err := c.node()
	switch {
	case err != nil:
		return nil, err
	case n.control == nil:
		return nil, &kraft.NotLeaderError{Leader: -1}
	}
	if api, ok := protocol.LookupAPI(req.Key()); ok {
		req.SetVersion(api.MaxVersion)
	}
	return n.control.Handle(ctx, req)
}

// LastContact is when a broker was last heard of; zero: not known, as on a node that is not the active controller.
func (c Control) LastContact(id protocol.NodeID) time.Time {
	n, err := c.node()
	if err != nil || n.control == nil {
		return time.Time{}
	}
	return n.control.LastContact(id)
}

// Ask sends a request to a broker of the cluster, this one included, as a client would.
func (c Control) Ask(ctx context.Context, to protocol.NodeID, req kmsg.Request) (kmsg.Response, error) {
	n, err := c.node()
	if err != nil {
		return nil, err
	}
	return n.asks.Ask(ctx, to, req)
}

// Session says whether the last heartbeat of this broker was answered, and when one was; zero: never.
func (c Control) Session() (connected bool, lastBeat time.Time) {
	n, err := c.node()
	if err != nil || n.life == nil {
		return false, time.Time{}
	}
	if at := n.life.lastBeat.Load(); at > 0 {
		lastBeat = time.UnixMilli(at)
	}
	return n.life.connected.Load(), lastBeat
}

// BeatSoon has this broker send a heartbeat at once, to whoever is the active controller now.
func (c Control) BeatSoon() {
	if n, err := c.node(); err == nil && n.life != nil {
		n.life.beatSoon()
	}
}

// HighWatermark is that of this broker's own replica, whether it leads the partition or follows.
func (c Control) HighWatermark(tp protocol.TopicPartition) (int64, error) {
	n, err := c.node()
	if err != nil {
		return 0, err
	}
	replicas := n.replicas.Load()
	if replicas == nil {
		return 0, errcode.New(errcode.KindBrokerNotAvailable, "this node is no broker")
	}
	found, err := replicas.ListOffset(replica.ListOffset{TopicPartition: tp, CurrentLeaderEpoch: replica.Unset, Timestamp: replica.Latest, FromAnyReplica: true})
	return found.Offset, err
}

// Watch has a publisher told of every change of the metadata, beginning with all there is. It works once the node runs.
func (c Control) Watch(p image.Publisher) error {
	n, err := c.node()
	if err != nil {
		return err
	}
	n.quorum.Subscribe(p)
	return nil
}

// LeadershipChanges returns a channel that receives a value whenever the leader of the quorum, or what this node is in it, may
// have changed. It works once the node runs.
func (c Control) LeadershipChanges() (ch <-chan struct{}, cancel func(), err error) {
	n, err := c.node()
	if err != nil {
		return nil, nil, err
	}
	ch, cancel = n.quorum.LeadershipChanges()
	return ch, cancel, nil
}

// inProcessConn is a connection to the first client listener without a socket.
func (n *node) inProcessConn() (net.Conn, error) {
	if len(n.clients) == 0 {
		return nil, errors.New("this node is no broker")
	}
	client, server := net.Pipe()
	n.clients[0].ServeConn(server)
	return client, nil
}
