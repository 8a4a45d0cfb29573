package controller

import (
	"log/slog"
	"slices"
	"sync/atomic"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/kraft/metadata"
	"github.com/distributedmq/dmq/protocol"
)

// ElectionKind is how a partition got another leader.
type ElectionKind int

// The kinds of elections.
const (
	ElectionClean        ElectionKind = iota // a replica in sync took over from one that left, or came back to lead
	ElectionPreferred                        // the first replica took over from one that could have gone on
	ElectionReassignment                     // the leader's replica was taken away
	ElectionEligible                         // one of the ELR leads: it left the in-sync replicas, and nothing was acknowledged since
	ElectionLastKnown                        // one of the LastKnownELR leads, where records are synced before they count
	ElectionUnclean                          // the leader may lack records that were acknowledged
	electionKinds
)

func (k ElectionKind) String() string {
	return [...]string{"clean", "preferred", "reassignment", "eligible", "last_known", "unclean"}[k]
}

// elections counts elections by kind.
type elections [electionKinds]atomic.Int64

// Elections counts the elections that this controller has committed since it was made.
func (c *Controller) Elections() map[ElectionKind]int64 {
	out := make(map[ElectionKind]int64, electionKinds)
	for kind := range electionKinds {
		out[kind] = c.elections[kind].Load()
	}
	return out
}

// heldElection is an election that a decision holds.
type heldElection struct {
	kind      ElectionKind
	topic     string
	partition int32
	leader    protocol.NodeID
}

// electionsIn lists the elections among records that change an image.
func electionsIn(before *image.Image, records []metadata.Record) []heldElection {
	var out []heldElection
	for _, r := range records {
		change, ok := r.(*metadata.PartitionChangeRecord)
		if !ok || change.Leader == nil {
			continue
		}
		t := before.TopicByID(change.TopicID)
		if t == nil || int(change.Partition) >= len(t.Partitions) {
			continue
		}
		if kind, ok := electionOf(&t.Partitions[change.Partition], change); ok {
			out = append(out, heldElection{kind, t.Name, change.Partition, *change.Leader})
		}
	}
	return out
}

// electionOf says which kind of election a change of a partition is; ok is false when the same replica goes on, or none leads.
func electionOf(p *image.Partition, change *metadata.PartitionChangeRecord) (kind ElectionKind, ok bool) {
	leader, replicas, isr := *change.Leader, p.Replicas, p.ISR
	if change.Replicas != nil {
		replicas = change.Replicas
	}
	if change.ISR != nil {
		isr = change.ISR
	}
	switch {
	case leader == image.NoLeader:
		return 0, false
	case change.LeaderRecoveryState != nil && *change.LeaderRecoveryState == metadata.Recovering:
		return ElectionUnclean, true
	case leader == p.Leader:
		return 0, false
	case slices.Contains(p.ELR, leader):
		return ElectionEligible, true
	case slices.Contains(p.LastKnownELR, leader) && !slices.Contains(p.ISR, leader):
		return ElectionLastKnown, true
	case p.Leader != image.NoLeader && !slices.Contains(replicas, p.Leader):
		return ElectionReassignment, true
	case leader == replicas[0] && slices.Contains(isr, p.Leader):
		return ElectionPreferred, true
	}
	return ElectionClean, true
}

// elected counts what was committed, and says of unclean elections that records may be lost.
func (c *Controller) elected(list []heldElection) {
	for _, e := range list {
		c.elections[e.kind].Add(1)
		if e.kind == ElectionUnclean {
			c.logger.Warn("unclean leader election: records that were acknowledged may be lost", slog.String("event", "partition.unclean"),
				slog.String("topic", e.topic), slog.Int("partition", int(e.partition)), slog.Int("leader", int(e.leader)))
		}
	}
}
