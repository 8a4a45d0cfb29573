package kraft

import (
	"errors"
	"fmt"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ErrClosed says that the quorum was closed.
var ErrClosed = errors.New("metadata quorum is closed")

// NotLeaderError says that this node does not lead the quorum and that nothing was done.
type NotLeaderError struct {
	Leader protocol.NodeID // -1: unknown
}

// Error implements error.
func (e *NotLeaderError) Error() string {
	if e.Leader < 0 {
		return "no controller appears to be active"
	}
	return fmt.Sprintf("the active controller appears to be node %d", e.Leader)
}

// ErrorKind implements errcode.Kinder.
func (e *NotLeaderError) ErrorKind() errcode.Kind { return errcode.KindNotController }

// OutcomeUnknownError says that a proposal may or may not be committed: leadership was lost, or the wait given up, before
// it was known.
type OutcomeUnknownError struct{ Err error }

// Error implements error.
func (e *OutcomeUnknownError) Error() string {
	return "the outcome of the metadata change is unknown: " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// ErrorKind implements errcode.Kinder.
func (e *OutcomeUnknownError) ErrorKind() errcode.Kind { return errcode.KindRequestTimedOut }

// ClusterIDError says that the store belongs to another cluster.
type ClusterIDError struct{ Configured, Stored string }

// Error implements error.
func (e *ClusterIDError) Error() string {
	return fmt.Sprintf("the metadata log belongs to cluster %s, but this node is configured for cluster %s", e.Stored, e.Configured)
}

// ErrorKind implements errcode.Kinder.
func (e *ClusterIDError) ErrorKind() errcode.Kind { return errcode.KindInconsistentClusterID }

// mapError turns raft's errors into ours.
func (q *Quorum) mapError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hraft.ErrNotLeader), errors.Is(err, hraft.ErrLeadershipTransferInProgress), errors.Is(err, hraft.ErrEnqueueTimeout):
		leader, _, _ := q.Leader()
		if leader == q.o.NodeID { // it was not when it was asked
			leader = noNode
		}
		return &NotLeaderError{Leader: leader}
	case errors.Is(err, hraft.ErrRaftShutdown):
		return ErrClosed
	default:
		return &OutcomeUnknownError{Err: err}
	}
}
