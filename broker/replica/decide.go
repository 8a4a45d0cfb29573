package replica

import (
	"slices"

	"github.com/distributedmq/dmq/internal/fault"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// This file holds the decisions, without I/O and locks.

// noLeader is a leader that is not told.
var noLeader = Leader{ID: -1, Epoch: -1}

// role is what the metadata says of a partition, for this broker. It is immutable.
type role struct {
	leader         protocol.NodeID
	leaderEpoch    protocol.LeaderEpoch
	uncleanEpoch   protocol.LeaderEpoch // which the last unclean election began; 0: none
	partitionEpoch int32
	replicas       []protocol.NodeID
	isr            []protocol.NodeID // committed by the controller
	maximalISR     []protocol.NodeID // and those that were proposed to it; never fewer than isr
	leads          bool              // this broker is the leader
	deleted        bool              // the topic was, or this broker's replica
	moved          bool              // the replica only: the partition is on other brokers now
}

func newRole(self protocol.NodeID, p *image.Partition) *role {
	return &role{
		leader: p.Leader, leaderEpoch: protocol.LeaderEpoch(p.LeaderEpoch), uncleanEpoch: protocol.LeaderEpoch(p.UncleanEpoch), partitionEpoch: p.PartitionEpoch,
		replicas: p.Replicas, isr: p.ISR, maximalISR: p.ISR, leads: p.Leader == self,
	}
}

// setISR makes the committed in-sync replicas all that there are.
func (r *role) setISR(isr []protocol.NodeID) { r.isr, r.maximalISR = isr, isr }

// newerThan compares what the metadata says now with what was known. The controller's answers to this broker may be ahead of
// the metadata that it has got: the partition epoch decides. At the same epoch all but the in-sync replicas may be news.
func (r *role) newerThan(was *role) bool {
	return r.partitionEpoch > was.partitionEpoch || r.leaderEpoch > was.leaderEpoch ||
		r.partitionEpoch == was.partitionEpoch && !slices.Equal(r.replicas, was.replicas)
}

func (r *role) hint() Leader { return Leader{ID: r.leader, Epoch: r.leaderEpoch} }

// admit says whether a request that knows the partition's leader epoch as current (-1: does not) may go on, and, with
// onlyLeader, whether this broker is the one to ask. The order is Kafka's: an epoch that does not fit comes first.
func (r *role) admit(tp protocol.TopicPartition, current protocol.LeaderEpoch, onlyLeader bool) error {
	switch {
	case r.deleted:
		return errcode.New(r.absent(), "%s was deleted, or moved to other brokers", tp)
	case current != -1 && current < r.leaderEpoch:
		return errcode.New(errcode.KindFencedLeaderEpoch, "%s is in leader epoch %d, the request in %d", tp, r.leaderEpoch, current)
	case current > r.leaderEpoch:
		return errcode.New(errcode.KindUnknownLeaderEpoch, "%s is in leader epoch %d here, the request in %d", tp, r.leaderEpoch, current)
	case onlyLeader && !r.leads:
		return errcode.New(errcode.KindNotLeaderForPartition, "%s is led by broker %d", tp, r.leader)
	default:
		return nil
	}
}

// absent is what a request is told that finds the partition deleted here: where it has moved to other brokers it is to look
// for them.
func (r *role) absent() errcode.Kind {
	if r.moved {
		return errcode.KindNotLeaderForPartition
	}
	return errcode.KindUnknownTopicOrPartition
}

// underMinISR says whether too few replicas are in sync for acks=all. There cannot be too few while all are.
func (r *role) underMinISR(minISR func(topic string) int, topic string) bool {
	return r.tooFew(len(r.isr), minISR, topic)
}

// shrunkBelowMinISR says the same of the maximal in-sync replicas, which are those that what was appended has waited for.
func (r *role) shrunkBelowMinISR(minISR func(topic string) int, topic string) bool {
	return r.tooFew(len(r.maximalISR), minISR, topic)
}

func (r *role) tooFew(inSync int, minISR func(topic string) int, topic string) bool {
	return inSync < len(r.replicas) && inSync < min(minISR(topic), len(r.replicas))
}

// progress is how far a log has come.
type progress struct {
	durable       bool // acknowledgements wait for syncs
	syncedEnd     int64
	highWatermark int64
}

// acked says whether records up to required, appended in a leader epoch, are acknowledged as acks asks.
//
//	Case A: another leader epoch has begun: NOT_LEADER_OR_FOLLOWER, since the records may yet be cut off
//	Case B: acks=0, or acks=1 where acknowledgements do not wait for syncs: at once
//	Case C: acks=1: when they are synced
//	Case D: acks=all: when they are below the high watermark; then too few in-sync replicas are NOT_ENOUGH_REPLICAS_AFTER_APPEND
func (r *role) acked(acks int16, appended protocol.LeaderEpoch, required int64, at progress, underMinISR func() bool) (bool, errcode.Kind) {
	switch {
	case r.deleted:
		return true, r.absent()
	case !r.leads || r.leaderEpoch != appended: // Case A
		return true, errcode.KindNotLeaderForPartition
	case acks == 0, acks == 1 && !at.durable: // Case B
		return true, errcode.KindNone
	case acks == 1: // Case C
		return at.syncedEnd >= required, errcode.KindNone
	case at.highWatermark < required && !(fault.On(fault.AckBeforeQuorum) && at.syncedEnd >= required):
		return false, errcode.KindNone
	case underMinISR(): // Case D
		return true, errcode.KindNotEnoughReplicasAfterAppend
	default:
		return true, errcode.KindNone
	}
}

// diverging compares what a reader has last fetched with what this log has: the reader's batch before fetchOffset is of
// leader epoch last, and end is where the largest epoch not above last ends here (Epoch -1: there is none).
func diverging(last protocol.LeaderEpoch, fetchOffset, logStartOffset int64, end EpochEnd) (bool, error) {
	switch {
	case end.Epoch < 0 || end.EndOffset < 0:
		return false, errcode.New(errcode.KindOffsetOutOfRange, "where leader epoch %d ends is not known", last)
	case fetchOffset < logStartOffset:
		return false, errcode.New(errcode.KindOffsetOutOfRange, "offset %d is below the log start offset %d", fetchOffset, logStartOffset)
	default:
		return end.Epoch < last || end.EndOffset < fetchOffset, nil
	}
}

// offsets are the bounds of a log at one moment.
type offsets struct {
	logStart, highWatermark, lastStable, logEnd int64
}

// visible is where a reader's view ends.
func (o offsets) visible(i Isolation) int64 {
	switch i {
	case ReadCommitted:
		return o.lastStable
	case ReadLogEnd:
		return o.logEnd
	default:
		return o.highWatermark
	}
}

// inRange says whether a reader may ask for the offset at all; what is not visible yet is.
func (o offsets) inRange(fetchOffset int64) error {
	if fetchOffset < o.logStart || fetchOffset > o.logEnd {
		return errcode.New(errcode.KindOffsetOutOfRange, "offset %d is outside of the log, which holds %d to %d", fetchOffset, o.logStart, o.logEnd)
	}
	return nil
}
