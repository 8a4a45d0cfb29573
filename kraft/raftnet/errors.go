package raftnet

import (
	"errors"
	"fmt"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// ErrClosed is the failure of what is tried on a closed Net.
var ErrClosed = errors.New("the quorum's network is closed")

// RefusedError says that the other side answered a hello and did not agree.
type RefusedError struct {
	Kind    Kind
	Address string // that was dialled
	Reply   Reply
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("node %d at %s refuses a %s stream: %s", e.Reply.NodeID, e.Address, e.Kind, e.reason())
}

func (e *RefusedError) reason() string {
	if e.Reply.Reason != "" {
		return e.Reply.Reason
	}
	switch e.Reply.Status {
	case StatusVersion:
		return "it speaks another version of the preamble"
	case StatusCluster:
		return fmt.Sprintf("it belongs to cluster %s", e.Reply.ClusterID)
	case StatusDirectory:
		return "the quorum knows this node with another directory"
	case StatusNotLeader:
		return "it does not lead the quorum"
	case StatusNotReady:
		return "it is not ready"
	default:
		return fmt.Sprintf("status %d", e.Reply.Status)
	}
}

// ErrorKind implements errcode.Kinder.
func (e *RefusedError) ErrorKind() errcode.Kind {
	switch e.Reply.Status {
	case StatusCluster:
		return errcode.KindInconsistentClusterID
	case StatusNotLeader, StatusNotReady:
		return errcode.KindNotController
	case StatusVersion:
		return errcode.KindUnsupportedVersion
	default:
		return errcode.KindInvalidRequest
	}
}

// WrongNodeError says that another node answered than the one that was meant.
type WrongNodeError struct {
	Address string
	Want    string
	Got     string
}

// Error implements error.
func (e *WrongNodeError) Error() string {
	return fmt.Sprintf("%s is not %s, but %s", e.Address, e.Want, e.Got)
}
