package replica

import (
	"testing"

	"github.com/distributedmq/dmq/protocol"
)

func TestOvertaken(t *testing.T) {
	for _, tt := range []struct {
		name           string
		known, unclean protocol.LeaderEpoch
		want           bool
	}{
		{"there was no unclean election", 3, 0, false},
		{"nor for an empty log", -1, 0, false},
		{"it knows nothing so new", 3, 4, true},
		{"it knows nothing at all", -1, 4, true},
		{"it has followed who was elected", 4, 4, false},
		{"or who came after", 6, 4, false},
	} {
		if got := overtaken(tt.known, tt.unclean); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestTruncationOffset(t *testing.T) {
	for _, tt := range []struct {
		name        string
		leader, own EpochEnd
		logEnd      int64
		want        int64
	}{
		{"the leader's epoch ends before", EpochEnd{3, 10}, EpochEnd{3, 20}, 25, 10},
		{"ours ends before", EpochEnd{3, 20}, EpochEnd{3, 10}, 25, 10},
		{"both reach the log end", EpochEnd{3, 20}, EpochEnd{3, 20}, 20, 20},
		{"the leader has an epoch that we do not: ours of before, to the end", EpochEnd{4, 30}, EpochEnd{2, 12}, 25, 12},
		{"and never beyond the log end", EpochEnd{4, 30}, EpochEnd{2, 12}, 11, 11},
		{"we know no epoch so old", EpochEnd{1, 7}, EpochEnd{-1, -1}, 25, 7},
		{"nor beyond the log end then", EpochEnd{1, 70}, EpochEnd{-1, -1}, 25, 25},
	} {
		if got := truncationOffset(tt.leader, tt.own, tt.logEnd); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}
