package controller

import (
	"log/slog"
	"testing"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// Only elections whose leaders may lack acknowledged records are counted as unclean.
func TestController_CountsUncleanElections(t *testing.T) {
	c := New(Options{Logger: slog.New(slog.DiscardHandler)})
	leader, lossy, recovered := protocol.NodeID(2), recovering, int8(0)
	c.reportLoss([]metadata.Record{
		&metadata.PartitionChangeRecord{Leader: &leader},
		&metadata.PartitionChangeRecord{Leader: &leader, LeaderRecoveryState: &recovered},
		&metadata.PartitionChangeRecord{LeaderRecoveryState: &lossy},
		&metadata.TopicRecord{Name: "orders"},
		&metadata.PartitionChangeRecord{Leader: &leader, LeaderRecoveryState: &lossy},
	}, image.Empty())
	if got := c.UncleanElections(); got != 1 {
		t.Errorf("%d unclean elections, want 1", got)
	}
}
