package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// registerPause is the time between attempts of a controller to register.
const registerPause = 500 * time.Millisecond

// announceController has this controller registered while the node goes on to start.
func (n *node) announceController(_, run context.Context) error {
	if !n.controllerRegistered() {
		n.onClose(spawn(run, n.registerController))
	}
	return nil
}

// registerController registers this controller with the active one, once in the life of the process (Kafka's
// ControllerRegistrationManager). The active controller has registered itself.
func (n *node) registerController(ctx context.Context) {
	for wait := registerPause / 10; pause(ctx, wait) == nil; wait = registerPause { // a leader is about to register itself
		if n.controllerRegistered() {
			return
		}
		err := n.tryRegisterController(ctx)
		if errors.Is(err, kerr.UnsupportedVersion) {
			return // the cluster's metadata has no place for it
		}
		if err != nil && ctx.Err() == nil {
			n.logger.DebugContext(ctx, "register the controller", slog.Any("err", err))
		}
	}
}

func (n *node) controllerRegistered() bool {
	c := n.quorum.Image().Controllers[n.props.NodeID]
	return c != nil && c.IncarnationID == n.identity.Incarnation
}

func (n *node) tryRegisterController(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req := kmsg.NewPtrControllerRegistrationRequest()
	req.ControllerID, req.IncarnationID = int32(n.props.NodeID), n.identity.Incarnation
	for _, e := range n.sockets.control {
		l := kmsg.NewControllerRegistrationRequestListener()
		l.Name, l.Host, l.Port, l.SecurityProtocol = e.Name, e.Host, e.Port, e.SecurityProtocol
		req.Listeners = append(req.Listeners, l)
	}
	supported := features()
	for _, name := range slices.Sorted(maps.Keys(supported)) {
		f := kmsg.NewControllerRegistrationRequestFeature()
		f.Name, f.MinSupportedVersion, f.MaxSupportedVersion = name, supported[name].Min, supported[name].Max
		req.Features = append(req.Features, f)
	}
	resp, err := n.controllerLink.Request(ctx, req)
	if err != nil {
		return err
	}
	r, ok := resp.(*kmsg.ControllerRegistrationResponse)
	if !ok {
		return fmt.Errorf("controller answered a registration with %T", resp)
	}
	return kerr.ErrorForCode(r.ErrorCode)
}
