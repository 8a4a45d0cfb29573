package replica

import (
	"testing"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

const self protocol.NodeID = 1

func nodes(ids ...protocol.NodeID) []protocol.NodeID { return ids }

func roleOf(leader protocol.NodeID, epoch int32, replicas, isr []protocol.NodeID) *role {
	return newRole(self, &image.Partition{Leader: leader, LeaderEpoch: epoch, Replicas: replicas, ISR: isr})
}

func atLeast(n int) func(string) int { return func(string) int { return n } }

func TestRole_Admit(t *testing.T) {
	leads := roleOf(self, 5, nodes(1, 2), nodes(1))
	follows := roleOf(2, 5, nodes(1, 2), nodes(1, 2))
	nobody := roleOf(image.NoLeader, 5, nodes(1, 2), nodes(2))
	deleted := *leads
	deleted.deleted = true
	tests := []struct {
		name       string
		role       *role
		current    protocol.LeaderEpoch
		onlyLeader bool
		want       errcode.Kind
	}{
		{"leader, epoch unknown to the client", leads, -1, true, 0},
		{"leader, same epoch", leads, 5, true, 0},
		{"leader, older epoch", leads, 4, true, errcode.KindFencedLeaderEpoch},
		{"leader, an epoch that never was", leads, -2, true, errcode.KindFencedLeaderEpoch},
		{"leader, newer epoch", leads, 6, true, errcode.KindUnknownLeaderEpoch},
		{"follower, same epoch", follows, 5, true, errcode.KindNotLeaderForPartition},
		{"follower, older epoch: the epoch comes first", follows, 4, true, errcode.KindFencedLeaderEpoch},
		{"follower, newer epoch: the epoch comes first", follows, 6, true, errcode.KindUnknownLeaderEpoch},
		{"follower, any replica will do", follows, -1, false, 0},
		{"no leader", nobody, -1, true, errcode.KindNotLeaderForPartition},
		{"deleted", &deleted, 5, true, errcode.KindUnknownTopicOrPartition},
		{"deleted, any replica will do", &deleted, -1, false, errcode.KindUnknownTopicOrPartition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := errcode.KindOf(tt.role.admit(protocol.TopicPartition{Topic: "t"}, tt.current, tt.onlyLeader))
			if got != tt.want {
				t.Errorf("got %s, want %s", errcode.Name(int16(got)), errcode.Name(int16(tt.want)))
			}
		})
	}
}

func TestRole_Acked(t *testing.T) {
	leads := roleOf(1, 5, nodes(1, 2), nodes(1))
	written := progress{syncedEnd: 10, highWatermark: 10}
	durable := func(synced, hw int64) progress { return progress{durable: true, syncedEnd: synced, highWatermark: hw} }
	deleted := *leads
	deleted.deleted = true
	tests := []struct {
		name   string
		role   *role
		acks   int16
		epoch  protocol.LeaderEpoch
		at     progress
		minISR int
		done   bool
		want   errcode.Kind
	}{
		{"acks=0 waits for nothing", leads, 0, 5, durable(0, 0), 1, true, 0},
		{"acks=1 without syncs", leads, 1, 5, progress{}, 1, true, 0},
		{"acks=1 before the sync", leads, 1, 5, durable(9, 9), 1, false, 0},
		{"acks=1 after the sync", leads, 1, 5, durable(10, 9), 1, true, 0},
		{"acks=all below the high watermark", leads, -1, 5, written, 1, true, 0},
		{"acks=all synced but above the high watermark", leads, -1, 5, durable(10, 9), 1, false, 0},
		{"acks=all without syncs, above the high watermark", leads, -1, 5, progress{syncedEnd: 10, highWatermark: 9}, 1, false, 0},
		{"acks=all, in-sync replicas shrank", leads, -1, 5, written, 2, true, errcode.KindNotEnoughReplicasAfterAppend},
		{"acks=1 does not care for min.insync.replicas", leads, 1, 5, durable(10, 10), 2, true, 0},
		{"another epoch has begun", leads, -1, 4, written, 1, true, errcode.KindNotLeaderForPartition},
		{"another leader", roleOf(2, 6, nodes(1, 2), nodes(2)), 1, 5, durable(10, 10), 1, true, errcode.KindNotLeaderForPartition},
		{"deleted", &deleted, -1, 5, written, 1, true, errcode.KindUnknownTopicOrPartition},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			done, kind := tt.role.acked(tt.acks, tt.epoch, 10, tt.at, func() bool { return tt.role.underMinISR(atLeast(tt.minISR), "t") })
			if done != tt.done || kind != tt.want {
				t.Errorf("got %v and %s, want %v and %s", done, errcode.Name(int16(kind)), tt.done, errcode.Name(int16(tt.want)))
			}
		})
	}
}

func TestDiverging(t *testing.T) {
	tests := []struct {
		name     string
		last     protocol.LeaderEpoch
		offset   int64
		logStart int64
		end      EpochEnd
		want     bool
		err      errcode.Kind
	}{
		{"the epoch goes on", 3, 10, 0, EpochEnd{3, 20}, false, 0},
		{"the reader is at its end", 3, 20, 0, EpochEnd{3, 20}, false, 0},
		{"the reader is beyond its end", 3, 21, 0, EpochEnd{3, 20}, true, 0},
		{"the epoch is not there, an older one is", 3, 10, 0, EpochEnd{2, 20}, true, 0},
		{"nothing is known", 3, 10, 0, EpochEnd{-1, -1}, false, errcode.KindOffsetOutOfRange},
		{"below the log start, diverging or not", 3, 4, 5, EpochEnd{2, 3}, false, errcode.KindOffsetOutOfRange},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := diverging(tt.last, tt.offset, tt.logStart, tt.end)
			if got != tt.want || errcode.KindOf(err) != tt.err {
				t.Errorf("got %v and %v, want %v and %s", got, err, tt.want, errcode.Name(int16(tt.err)))
			}
		})
	}
}

func TestOffsets(t *testing.T) {
	o := offsets{logStart: 5, lastStable: 7, highWatermark: 8, logEnd: 10}
	for i, want := range map[Isolation]int64{ReadUncommitted: 8, ReadCommitted: 7, ReadLogEnd: 10} {
		if got := o.visible(i); got != want {
			t.Errorf("isolation %d: got %d, want %d", i, got, want)
		}
	}
	for offset, ok := range map[int64]bool{4: false, 5: true, 9: true, 10: true, 11: false, -1: false} {
		if got := o.inRange(offset) == nil; got != ok {
			t.Errorf("offset %d: got in range %v, want %v", offset, got, ok)
		}
	}
}
