package kraft

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/fsm"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/kraft/raftnet"
	"github.com/distributedmq/dmq/protocol"
)

// Store keeps what raft must not forget: the log, the term and vote, and snapshots. raftstore.Open and raftstore.Memory
// make one. The Quorum closes it.
type Store interface {
	hraft.LogStore
	hraft.StableStore
	Snapshots() hraft.SnapshotStore
	Close() error
}

// Options configures a Quorum.
type Options struct {
	NodeID    protocol.NodeID
	ClusterID string // empty: whatever the log says, or a new one at bootstrap
	Store     Store
	// Network is the way to other nodes; nil: there are none. The Quorum closes it.
	Network *raftnet.Net
	// Transport carries raft's calls; nil: that of Network. The Quorum closes it.
	Transport Transport

	// Bootstrap makes this node the sole voter of a new quorum when its store is empty. Set it only on a node whose
	// configuration names no other controller.
	Bootstrap bool
	// Voters are the controllers that the configuration lists. When its store is empty and this node is one of them, they are
	// the first voters. A node that is not listed, and not alone, waits until a leader has added it.
	Voters []Voter
	// Seeds are addresses of controllers, to find the leader by. A controller whose only seed turns out to be itself is alone, as
	// with Bootstrap.
	Seeds      []string
	Controller bool // this node is to be a voter some day
	// Private refuses every other node.
	Private bool
	// BootstrapRecords supplies what a new cluster begins with, beside its id; called once, when nothing was ever applied.
	BootstrapRecords func(ctx context.Context) ([]metadata.Record, error)

	Publishers []image.Publisher
	Logger     *slog.Logger
	Rand       io.Reader // source of the cluster id; nil: crypto/rand
	Timeouts   Timeouts
	// SnapshotEntries and SnapshotBytes are how many commands, and how many bytes of them, there are between snapshots; 0: 8192
	// and 20 MiB.
	SnapshotEntries uint64
	SnapshotBytes   int64
	// Fatal is called when the metadata log cannot be applied: the process must stop. The store has its own hook. It should
	// not return; if it does, nothing more is applied.
	Fatal func(error)
}

// Timeouts are raft's; zero values take the defaults.
type Timeouts struct {
	Heartbeat time.Duration // a follower hears nothing for so long: it asks for an election; 300 ms
	Election  time.Duration // a candidate waits so long for votes; 300 ms
	Lease     time.Duration // a leader that cannot reach a majority for so long steps down; 200 ms
	Commit    time.Duration // followers hear of a commit after at most about so long; 10 ms
}

const noNode protocol.NodeID = -1

// Quorum is this node's member of the metadata quorum.
type Quorum struct {
	o      Options
	logger *slog.Logger
	fsm    *fsm.FSM
	raft   *hraft.Raft
	trans  *selfTransport
	peers  *progressTransport
	events *broadcast
	stops  []func() // end the tasks in the background and join them

	change sync.Mutex // held during a change of the voters

	mu        sync.Mutex // guards the fields below
	closing   bool
	closed    chan struct{}  // closed when Close has finished
	inflight  sync.WaitGroup // calls that wait for raft; raft may forget those that are queued when it shuts down
	pending   int            // proposals not yet committed
	suspected int64          // the term of a leader that is being asked after
	closeErr  error
}

// Open starts the node's member of the quorum. A sole voter leads and has applied its whole log when Open returns. On
// failure everything it was given is closed.
func Open(ctx context.Context, o Options) (*Quorum, error) {
	o = withDefaults(o)
	q := &Quorum{
		o:      o,
		logger: o.Logger.With(slog.String("component", "kraft"), slog.Int("node_id", int(o.NodeID))),
		events: newBroadcast(),
		closed: make(chan struct{}),
	}
	if o.Network != nil {
		q.o.Publishers = append(slices.Clip(o.Publishers), announcer{q})
	}
	q.fsm = fsm.New(q.logger, o.Fatal, q.o.Publishers...)
	q.peers = newProgressTransport(q.transport(), q.logger, func() uint64 { return q.raft.LastIndex() })
	q.trans = newSelfTransport(q.peers)
	due := q.fsm.SnapshotAfter(o.SnapshotBytes)
	if err := q.start(ctx); err != nil {
		return nil, errors.Join(err, q.trans.Close(), q.closeNetwork(), o.Store.Close())
	}
	q.stops = append(q.stops, background(ctx, func(ctx context.Context) { q.keepSnapshots(ctx, due) }))
	if o.Network != nil {
		q.stops = append(q.stops, background(ctx, q.tend))
		o.Network.Attach(q)
		q.compareConfigured()
	}
	if q.isSoleVoter() {
		if err := q.lead(ctx); err != nil {
			return nil, errors.Join(err, q.Close())
		}
	}
	return q, nil
}

func withDefaults(o Options) Options {
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Timeouts.Heartbeat, 300*time.Millisecond)
	def(&o.Timeouts.Election, 300*time.Millisecond)
	def(&o.Timeouts.Lease, 200*time.Millisecond)
	def(&o.Timeouts.Commit, 10*time.Millisecond)
	if o.SnapshotEntries == 0 {
		o.SnapshotEntries = 8192
	}
	if o.SnapshotBytes == 0 {
		o.SnapshotBytes = snapshotBytes
	}
	return o
}

// transport is the one given, the network's, or one that reaches nobody.
func (q *Quorum) transport() Transport {
	switch {
	case q.o.Transport != nil:
		return q.o.Transport
	case q.o.Network != nil:
		return q.o.Network.Transport(newRaftLogger(q.logger))
	default:
		_, t := hraft.NewInmemTransport(raftAddress(q.o.NodeID))
		return t
	}
}

func (q *Quorum) closeNetwork() error {
	if q.o.Network == nil {
		return nil
	}
	return q.o.Network.Close()
}

// raftID names a node to raft: by its node id, never by an address.
func raftID(id protocol.NodeID) hraft.ServerID { return hraft.ServerID(strconv.Itoa(int(id))) }

// raftAddress is the address of a node without transport.
func raftAddress(id protocol.NodeID) hraft.ServerAddress { return hraft.ServerAddress(raftID(id)) }

func nodeID(id hraft.ServerID) protocol.NodeID {
	n, err := strconv.ParseInt(string(id), 10, 32)
	if err != nil {
		return noNode
	}
	return protocol.NodeID(n)
}

func (q *Quorum) raftConfig() *hraft.Config {
	c := hraft.DefaultConfig()
	c.LocalID = raftID(q.o.NodeID)
	c.Logger = newRaftLogger(q.logger)
	c.HeartbeatTimeout = q.o.Timeouts.Heartbeat
	c.ElectionTimeout = q.o.Timeouts.Election
	c.LeaderLeaseTimeout = q.o.Timeouts.Lease
	c.CommitTimeout = q.o.Timeouts.Commit
	c.MaxAppendEntries = 1024
	c.BatchApplyCh = true // proposals that come together are stored together
	c.SnapshotThreshold = q.o.SnapshotEntries
	c.TrailingLogs = max(1, q.o.SnapshotEntries/32) // the store keeps what has come since the older of two snapshots, anyhow
	c.ShutdownOnRemove = false
	c.NoLegacyTelemetry = true
	return c
}

// start checks the store and starts raft.
func (q *Quorum) start(ctx context.Context) (err error) {
	if err := checkReach(q.o.Store); err != nil {
		return err
	}
	c := q.raftConfig()
	if err := q.form(ctx); err != nil {
		return fmt.Errorf("bootstrap the metadata quorum: %w", err)
	}
	defer func() {
		if r := recover(); r != nil { // raft panics when it cannot read its log
			err = fmt.Errorf("start the metadata quorum: %v", r)
		}
	}()
	if q.raft, err = hraft.NewRaft(c, q.fsm, q.o.Store, q.o.Store, q.o.Store.Snapshots(), q.trans); err != nil {
		return fmt.Errorf("start the metadata quorum: %w", err)
	}
	q.raft.RegisterObserver(hraft.NewObserver(nil, false, func(o *hraft.Observation) bool {
		switch o.Data.(type) {
		case hraft.RaftState:
			q.peers.reset()
			q.peers.release()
			q.events.wake()
		case hraft.PeerObservation:
			q.peers.release()
			q.events.wake()
		case hraft.LeaderObservation:
			q.events.wake()
		}
		return false // there is no channel: the filter has done the work
	}))
	return nil
}

// checkReach refuses a log that does not begin where the newest snapshot ends: raft would panic, or begin with nothing.
func checkReach(s Store) error {
	first, err := s.FirstIndex()
	if err != nil {
		return fmt.Errorf("read the metadata log: %w", err)
	}
	list, err := s.Snapshots().List()
	if err != nil {
		return fmt.Errorf("list metadata snapshots: %w", err)
	}
	newest := uint64(0)
	if len(list) > 0 {
		newest = list[0].Index
	}
	if first > newest+1 {
		return fmt.Errorf("the metadata log begins at %d, but the newest usable snapshot ends at %d: the metadata in between is lost; "+
			"restore the directory from a backup, or have this node join the quorum anew with an empty one", first, newest)
	}
	return nil
}

func (q *Quorum) servers() []hraft.Server { return q.raft.GetConfiguration().Configuration().Servers }

func (q *Quorum) isSoleVoter() bool {
	sole := false
	for _, s := range q.servers() {
		if s.Suffrage != hraft.Voter {
			continue
		}
		if s.ID != raftID(q.o.NodeID) {
			return false
		}
		sole = true
	}
	return sole
}

// hasPeers reports whether there are other nodes, and whether some of them vote.
func (q *Quorum) hasPeers() (some, voting bool) {
	for _, s := range q.servers() {
		if s.ID != raftID(q.o.NodeID) {
			some = true
			voting = voting || s.Suffrage == hraft.Voter
		}
	}
	return some, voting
}

// lead makes a sole voter leader without waiting for its election timer, catches up, and begins the cluster if it is new.
func (q *Quorum) lead(ctx context.Context) error {
	q.standForElection()
	if _, err := q.WaitLeader(ctx); err != nil {
		return fmt.Errorf("lead the metadata quorum: %w", err)
	}
	return q.Activate(ctx)
}

// Activate has a leader apply everything that was committed before it, and begins the cluster if it is new. Leader only.
func (q *Quorum) Activate(ctx context.Context) error {
	if err := q.Barrier(ctx); err != nil {
		return fmt.Errorf("catch up with the metadata log: %w", err)
	}
	if err := q.fsm.Err(); err != nil {
		return err
	}
	img := q.Image()
	if img.ClusterID == "" {
		return q.begin(ctx)
	}
	if q.o.ClusterID != "" && q.o.ClusterID != img.ClusterID {
		return &ClusterIDError{Configured: q.o.ClusterID, Stored: img.ClusterID}
	}
	return nil
}

// begin proposes the first command of a cluster.
func (q *Quorum) begin(ctx context.Context) error {
	id := q.o.ClusterID
	if id == "" {
		random, err := protocol.NewTopicID(q.o.Rand)
		if err != nil {
			return fmt.Errorf("choose a cluster id: %w", err)
		}
		id = random.String()
	}
	records := []metadata.Record{&metadata.ClusterRecord{ClusterID: id}}
	if q.o.BootstrapRecords != nil {
		more, err := q.o.BootstrapRecords(ctx)
		if err != nil {
			return fmt.Errorf("begin the cluster: %w", err)
		}
		records = append(records, more...)
	}
	if _, err := q.Propose(ctx, records); err != nil {
		return fmt.Errorf("begin the cluster: %w", err)
	}
	q.logger.Info("cluster begun", slog.String("cluster_id", id), slog.Int("records", len(records)))
	return nil
}

// Image returns the newest image this node has applied. Never nil.
func (q *Quorum) Image() *image.Image { return q.fsm.Image() }

// Subscribe adds a publisher. Before it returns the publisher has been told of the present image as one delta from the empty
// one; every later delta follows on from it.
func (q *Quorum) Subscribe(p image.Publisher) { q.fsm.Subscribe(p) }

// Snapshot takes a snapshot now.
func (q *Quorum) Snapshot(ctx context.Context) error {
	err := q.await(ctx, func() error { return q.raft.Snapshot().Error() })
	if errors.Is(err, hraft.ErrNothingNewToSnapshot) {
		return nil
	}
	return err
}

// Close stops raft and closes the transport and the store, as a crash would: who stops in order calls Transfer before. Proposals
// under way are waited for. Calling it again waits for the first call.
func (q *Quorum) Close() error {
	q.mu.Lock()
	if q.closing {
		q.mu.Unlock()
		<-q.closed
		return q.closeErr
	}
	q.closing = true
	q.mu.Unlock()
	defer close(q.closed)

	for _, stop := range q.stops {
		stop()
	}
	q.peers.stopHolding()
	q.inflight.Wait()
	err := q.raft.Shutdown().Error() // closes the transport
	q.events.wake()
	q.closeErr = errors.Join(err, q.trans.Close(), q.closeNetwork(), q.o.Store.Close())
	return q.closeErr
}
