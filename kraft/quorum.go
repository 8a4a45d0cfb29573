package kraft

import (
	"context"
	"io"
	"log/slog"
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Store keeps what raft must not forget: the log, the term and vote, and snapshots. raftstore.Open and
// raftstore.Memory make one. The Quorum closes it.
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
	Transport hraft.Transport // nil: a loopback for a quorum of one

	// Bootstrap makes this node the sole voter of a new quorum when its store is empty. Set it only on a node whose
	// configuration names no other controller.
	Bootstrap bool
	// BootstrapRecords supplies the first command of a new cluster; called once, when nothing was ever applied.
	BootstrapRecords func(ctx context.Context) ([]metadata.Record, error)

	Publishers []image.Publisher
	Logger     *slog.Logger
	Rand       io.Reader // source of the cluster id; nil: crypto/rand
	Timeouts   Timeouts
	Fatal      func(error) // the store failed or the log cannot be applied: the process must stop. Must not return in production
}

// Timeouts are raft's; zero values take the defaults of DefaultTimeouts.
type Timeouts struct {
	Heartbeat, Election, Lease, Commit time.Duration
}

// Quorum is this node's member of the metadata quorum.
type Quorum struct{}

// Status describes the quorum as this node sees it.
type Status struct {
	NodeID        protocol.NodeID
	Leader        protocol.NodeID // -1: unknown
	Term          int64
	LastIndex     int64
	CommitIndex   int64
	AppliedIndex  int64
	Voters        []Member
	Observers     []Member
	SnapshotIndex int64
}

// Member is one node of the quorum. Index and times are known to the leader only; otherwise -1.
type Member struct {
	ID             protocol.NodeID
	LastIndex      int64
	LastFetch      int64 // ms since the Unix epoch
	LastCaughtUpAt int64 // ms since the Unix epoch
}

// Open starts the node's member of the quorum. A sole voter leads and has applied its whole log when Open returns.
func Open(ctx context.Context, o Options) (*Quorum, error) { panic("skeleton") }

// Image returns the newest image this node has applied. Never nil.
func (q *Quorum) Image() *image.Image { panic("skeleton") }

// Subscribe adds a publisher. It first receives, on the apply goroutine, a delta from the empty image to the present one.
func (q *Quorum) Subscribe(p image.Publisher) { panic("skeleton") }

// Propose commits records as one command and returns its index once this node has applied it.
func (q *Quorum) Propose(ctx context.Context, records []metadata.Record) (int64, error) {
	panic("skeleton")
}

// IsLeader reports whether this node believes that it leads.
func (q *Quorum) IsLeader() bool { panic("skeleton") }

// VerifyLeader confirms with a majority that this node leads now.
func (q *Quorum) VerifyLeader(ctx context.Context) error { panic("skeleton") }

// Barrier returns when every command committed before it has been applied here. Leader only.
func (q *Quorum) Barrier(ctx context.Context) error { panic("skeleton") }

// Leader returns the leader this node knows, and the term.
func (q *Quorum) Leader() (id protocol.NodeID, term int64, ok bool) { panic("skeleton") }

// WaitLeader returns when a leader is known.
func (q *Quorum) WaitLeader(ctx context.Context) (protocol.NodeID, error) { panic("skeleton") }

// Status describes the quorum.
func (q *Quorum) Status() Status { panic("skeleton") }

// LeadershipChanges returns a channel that receives a value (coalesced) whenever leadership may have changed.
func (q *Quorum) LeadershipChanges() (ch <-chan struct{}, cancel func()) { panic("skeleton") }

// Close hands leadership on where there are peers, stops raft and closes the store.
func (q *Quorum) Close() error { panic("skeleton") }
