package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/distributedmq/dmq/broker/config"
	"github.com/distributedmq/dmq/broker/handler"
	"github.com/distributedmq/dmq/broker/listener"
	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/logdir"
	"github.com/distributedmq/dmq/protocol"
)

// identify finds out which node this is: what the data directories say counts, then the configuration.
func (n *node) identify(_, _ context.Context) error {
	identity, err := logdir.Identify(n.cfg.FS, append([]string{n.props.MetadataLogDir}, n.props.LogDirs...))
	if err != nil {
		return err
	}
	if identity.NodeID != checkpoint.NoNode {
		n.props = n.props.WithNodeID(identity.NodeID)
	}
	if n.clusterID = identity.ClusterID; n.clusterID == "" {
		n.clusterID = n.props.ClusterIDHint
	}
	n.identity = raftnet.Identity{NodeID: n.props.NodeID, ClusterID: n.clusterID}
	n.identity.Incarnation, err = protocol.NewTopicID(n.cfg.Rand)
	return err
}

// openQuorum comes before everything that needs the metadata. Other nodes are answered on the controller listener from here
// on; their requests wait until the controller runs.
func (n *node) openQuorum(ctx, _ context.Context) error {
	store := n.cfg.RaftStore
	if store == nil {
		dir := filepath.Join(n.props.MetadataLogDir, metadataDir)
		var err error
		if store, err = openStore(n.cfg.FS, dir, n.logger, n.fatal); err != nil {
			return fmt.Errorf("open the metadata log in %s: %w", dir, err)
		}
	}
	directory, err := n.metadataDirectory() // the open store keeps other processes away
	if err != nil {
		return errors.Join(err, store.Close())
	}
	n.identity.DirectoryID, n.identity.Address = directory, n.quorumAddress()
	n.network = raftnet.New(raftnet.Options{Self: n.identity, Dial: n.cfg.Dial, Logger: n.logger})
	n.openDoor()
	n.quorum, err = kraft.Open(ctx, n.quorumOptions(store))
	if err != nil {
		return fmt.Errorf("start the metadata quorum: %w", err)
	}
	n.controllerLink = n.newControllerLink(controllerConnections)
	n.onClose(n.controllerLink.Close)
	n.asks = n.newAskLinks()
	n.onClose(n.asks.Close)
	n.handOn = func(ctx context.Context) error { return n.quorum.Transfer(ctx, -1) }
	n.onClose(func() error {
		if n.dead.Load() { // the store's goroutine stands still in fatal, so nothing below can be joined
			return nil
		}
		return n.quorum.Close()
	})
	n.opened(n)
	return nil
}

func (n *node) quorumOptions(store kraft.Store) kraft.Options {
	o := kraft.Options{
		NodeID:           n.props.NodeID,
		ClusterID:        n.clusterID,
		Store:            store,
		Network:          n.network,
		Bootstrap:        n.props.Alone,
		Seeds:            n.props.QuorumBootstrap,
		Controller:       n.props.IsController,
		Private:          n.props.LocalQuorum,
		BootstrapRecords: n.bootstrapRecords,
		Logger:           n.logger,
		Rand:             n.cfg.Rand,
		Fatal:            n.fatal,
	}
	if !n.props.Alone {
		for _, v := range n.props.QuorumVoters {
			o.Voters = append(o.Voters, kraft.Voter{ID: v.ID, Address: v.Addr()})
		}
	}
	return o
}

// metadataDirectory is the id of the directory that holds the metadata log. A directory without one gets it now: the quorum
// knows its members by it.
func (n *node) metadataDirectory() (protocol.TopicID, error) {
	meta, err := checkpoint.ReadMetaProperties(n.cfg.FS, n.props.MetadataLogDir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		meta = checkpoint.MetaProperties{NodeID: n.props.NodeID} // version 0, which may do without a cluster id
	case err != nil:
		return protocol.TopicID{}, err
	}
	if !meta.DirectoryID.IsZero() {
		return meta.DirectoryID, nil
	}
	if meta.DirectoryID, err = protocol.NewTopicID(n.cfg.Rand); err != nil {
		return protocol.TopicID{}, err
	}
	if err := n.cfg.FS.MkdirAll(n.props.MetadataLogDir, 0o755); err != nil {
		return protocol.TopicID{}, err
	}
	return meta.DirectoryID, checkpoint.WriteMetaProperties(n.cfg.FS, n.props.MetadataLogDir, meta)
}

// quorumAddress is where other nodes reach this one: where controller.quorum.voters says, else as advertised.
func (n *node) quorumAddress() string {
	for _, v := range n.props.QuorumVoters {
		if v.ID == n.props.NodeID {
			return v.Addr()
		}
	}
	if n.props.IsController {
		return endpointAddress(n.sockets.control[0])
	}
	for i, l := range n.props.Listeners {
		if n.isDoor(l) {
			return endpointAddress(n.sockets.endpoints[i])
		}
	}
	return ""
}

func endpointAddress(e image.Endpoint) string {
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// isDoor reports whether other nodes reach this one on a listener: a controller's, or that of brokers among themselves.
func (n *node) isDoor(l config.Listener) bool {
	if n.props.IsController {
		return l.Name == n.props.ControllerListeners[0].Name
	}
	return l.Name == n.props.InterBrokerListener
}

// openDoor begins to answer other nodes. Kafka's requests wait until their handler exists.
func (n *node) openDoor() {
	n.gate = listener.NewGate(0)
	n.doorHandler.ready = make(chan struct{})
	if n.props.IsController {
		n.controllerServer = n.newServer(n.props.ControllerListeners[0], protocol.ScopeController, &n.doorHandler)
		n.door = n.controllerServer
		n.onClose(n.door.Close)
		n.door.Serve(n.sockets.controller)
		return
	}
	for i, l := range n.props.Listeners {
		if n.isDoor(l) {
			n.door = n.newServer(l, protocol.ScopeBroker, &n.doorHandler)
			n.onClose(n.door.Close)
			n.door.Serve(n.sockets.clients[i])
		}
	}
}

// controllerConnections is how many requests may be on their way to the controller at a time before they share connections:
// a connection answers one after the other.
const controllerConnections = 32

func (n *node) newControllerLink(connections int) *controllerLink {
	l := &controllerLink{
		self: n.props.NodeID, quorum: n.quorum, dial: n.cfg.Dial, client: "dmq-broker-" + strconv.Itoa(int(n.props.NodeID)),
		logger: n.logger, most: connections,
	}
	if n.control != nil {
		l.local = n.control
	}
	return l
}

// catchUp waits until this node knows the cluster's metadata: nothing may be decided by what it knew when it stopped.
func (n *node) catchUp(ctx, _ context.Context) error {
	if err := n.quorum.CatchUp(ctx); err != nil {
		return fmt.Errorf("wait for the cluster's metadata: %w", err)
	}
	if id := n.quorum.Image().ClusterID; n.clusterID != "" && id != n.clusterID {
		return &kraft.ClusterIDError{Configured: n.clusterID, Stored: id}
	}
	if slices.Contains(n.props.LogDirs, n.props.MetadataLogDir) {
		return nil // the log directories complete meta.properties
	}
	meta, err := checkpoint.ReadMetaProperties(n.cfg.FS, n.props.MetadataLogDir)
	if err != nil || meta.Version > 0 {
		return err
	}
	meta.Version, meta.NodeID, meta.ClusterID = 1, n.props.NodeID, n.quorum.Image().ClusterID
	return checkpoint.WriteMetaProperties(n.cfg.FS, n.props.MetadataLogDir, meta)
}

// lateHandler holds requests back until the handler that they are for exists.
type lateHandler struct {
	ready   chan struct{} // closed by set
	handler *handler.Handler
}

func (l *lateHandler) set(h *handler.Handler) {
	l.handler = h
	close(l.ready)
}

// Serve implements listener.Handler.
func (l *lateHandler) Serve(ctx context.Context, r *listener.Request) listener.Response {
	select {
	case <-l.ready:
		return l.handler.Serve(ctx, r)
	case <-ctx.Done():
		return listener.Close{Err: context.Cause(ctx)}
	}
}

// Gathers implements listener.Gatherer.
func (l *lateHandler) Gathers(r *listener.Request) bool {
	select {
	case <-l.ready:
		return l.handler.Gathers(r)
	default:
		return false
	}
}

// ServeAll implements listener.Gatherer.
func (l *lateHandler) ServeAll(ctx context.Context, rs []*listener.Request, out []listener.Response) {
	l.handler.ServeAll(ctx, rs, out)
}
