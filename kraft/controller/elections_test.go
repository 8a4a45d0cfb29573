package controller

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

func TestElectionOf(t *testing.T) {
	nodes := func(ids ...protocol.NodeID) []protocol.NodeID { return ids }
	led := image.Partition{Replicas: nodes(1, 2, 3), ISR: nodes(1, 2, 3), Leader: 1}
	by2 := image.Partition{Replicas: nodes(1, 2, 3), ISR: nodes(1, 2, 3), Leader: 2}
	lost := image.Partition{Replicas: nodes(1, 2, 3), ISR: nodes(3), ELR: nodes(2), LastKnownELR: nodes(1), Leader: image.NoLeader}
	lossy, sound := metadata.Recovering, metadata.Recovered
	for _, test := range []struct {
		name   string
		p      *image.Partition
		change metadata.PartitionChangeRecord
		leader protocol.NodeID
		want   string // empty: no election
	}{
		{"the leader left", &led, metadata.PartitionChangeRecord{ISR: nodes(2, 3)}, 2, "clean"},
		{"the first replica comes back to a partition without a leader", &image.Partition{Replicas: nodes(1, 2), ISR: nodes(1), Leader: image.NoLeader}, metadata.PartitionChangeRecord{}, 1, "clean"},
		{"the first replica takes over", &by2, metadata.PartitionChangeRecord{}, 1, "preferred"},
		{"the first replica takes over from one that leaves", &by2, metadata.PartitionChangeRecord{ISR: nodes(1, 3)}, 1, "clean"},
		{"the leader's replica is taken away", &led, metadata.PartitionChangeRecord{Replicas: nodes(2, 3), ISR: nodes(2, 3)}, 2, "reassignment"},
		{"of the ELR", &lost, metadata.PartitionChangeRecord{ISR: nodes(2)}, 2, "eligible"},
		{"of the LastKnownELR", &lost, metadata.PartitionChangeRecord{ISR: nodes(1), LeaderRecoveryState: &sound}, 1, "last_known"},
		{"the last in sync is back", &lost, metadata.PartitionChangeRecord{}, 3, "clean"},
		{"whoever is there", &lost, metadata.PartitionChangeRecord{ISR: nodes(1), LeaderRecoveryState: &lossy}, 1, "unclean"},
		{"nobody", &led, metadata.PartitionChangeRecord{}, image.NoLeader, ""},
		{"the leader goes on in a new leader epoch", &led, metadata.PartitionChangeRecord{}, 1, ""},
	} {
		test.change.Leader = &test.leader
		got := ""
		if kind, ok := electionOf(test.p, &test.change); ok {
			got = kind.String()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Of unclean elections alone it is also said that records may be lost.
func TestController_CountsElections(t *testing.T) {
	var log bytes.Buffer
	c := New(Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c.elected([]heldElection{{ElectionUnclean, "orders", 3, 2}, {ElectionPreferred, "orders", 1, 1}, {ElectionPreferred, "orders", 2, 1}})
	got := c.Elections()
	if len(got) != int(electionKinds) || got[ElectionUnclean] != 1 || got[ElectionPreferred] != 2 || got[ElectionClean] != 0 {
		t.Errorf("%v", got)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "event=partition.unclean topic=orders partition=3 leader=2") {
		t.Error(text)
	}
}

// What is not about the leader of a partition that exists is no election.
func TestElectionsIn(t *testing.T) {
	leader, lossy := protocol.NodeID(2), metadata.Recovering
	got := electionsIn(image.Empty(), []metadata.Record{
		&metadata.PartitionChangeRecord{LeaderRecoveryState: &lossy},
		&metadata.TopicRecord{Name: "orders"},
		&metadata.PartitionChangeRecord{Leader: &leader, LeaderRecoveryState: &lossy}, // of a topic that was deleted
	})
	if len(got) > 0 {
		t.Errorf("%v", got)
	}
}
