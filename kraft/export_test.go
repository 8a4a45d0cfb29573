package kraft

import (
	"time"

	hraft "github.com/hashicorp/raft"

	"github.com/distributedmq/dmq/protocol"
)

// AddMember adds a node to the quorum that has no network to be asked on, as AddVoter would.
func (q *Quorum) AddMember(id protocol.NodeID, addr hraft.ServerAddress, voter bool) error {
	if voter {
		return q.raft.AddVoter(raftID(id), addr, 0, time.Second).Error()
	}
	return q.raft.AddNonvoter(raftID(id), addr, 0, time.Second).Error()
}
