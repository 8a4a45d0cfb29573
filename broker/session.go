package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

// prober asks for the controller who is at a broker's address (controller.Prober).
type prober struct{ quorum *kraft.Quorum }

// prober is nil when nobody is to be asked.
func (n *node) prober() controller.Prober {
	if !n.props.BrokerDialback {
		return nil
	}
	return prober{n.quorum}
}

// Probe implements controller.Prober.
func (p prober) Probe(ctx context.Context, id protocol.NodeID) (protocol.TopicID, error) {
	who, err := p.quorum.Probe(ctx, id)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return protocol.TopicID{}, fmt.Errorf("%w: %w", controller.ErrNobodyThere, err)
	case err != nil:
		return protocol.TopicID{}, err
	case who.NodeID != id:
		return protocol.TopicID{}, nil // another node has taken the address over
	}
	return who.Incarnation, nil
}

// acceptSession is what a controller does with a broker's session (raftnet.SessionFunc).
func (n *node) acceptSession(peer raftnet.Identity) (ended func(bool), refused *raftnet.Reply) {
	if !n.quorum.IsLeader() {
		return nil, &raftnet.Reply{Status: raftnet.StatusNotLeader, Leader: -1}
	}
	return n.control.SessionOpened(peer.NodeID, peer.Incarnation), nil
}

const (
	sessionPause     = 5 * time.Millisecond // before a session that broke is opened anew; it doubles up to sessionPauseMost
	sessionPauseMost = 500 * time.Millisecond
)

// keepSession holds a session with whoever is the active controller, so that it notices at once when this process dies. A broker
// in the controller's own process needs none.
func (n *node) keepSession(ctx context.Context) {
	changes, cancel := n.quorum.LeadershipChanges()
	defer cancel()
	pause := sessionPause
	for ctx.Err() == nil {
		leader, _, ok := n.quorum.Leader()
		if !ok || leader == n.props.NodeID {
			select {
			case <-changes:
			case <-ctx.Done():
			}
			continue
		}
		err := n.holdSession(ctx, leader, changes, func() { pause = sessionPause })
		switch {
		case errors.Is(err, errLeaderChanged), ctx.Err() != nil:
			continue
		case errors.Is(err, syscall.ECONNREFUSED):
			n.quorum.Suspect(leader, protocol.TopicID{})
		}
		n.logger.DebugContext(ctx, "no session with the controller", slog.Any("err", err))
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-changes:
		case <-ctx.Done():
		}
		timer.Stop()
		pause = min(2*pause, sessionPauseMost)
	}
}

// holdSession holds a session with this controller until it breaks or another one leads.
func (n *node) holdSession(ctx context.Context, leader protocol.NodeID, changes <-chan struct{}, opened func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var err error
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		err = n.network.Session(ctx, n.quorum.Address(leader), leader, opened)
	}()
	for {
		select {
		case <-done:
			return err
		case <-changes:
			if now, _, ok := n.quorum.Leader(); ok && now != leader {
				cancel(errLeaderChanged)
				<-done
				return errLeaderChanged
			}
		}
	}
}
