package storm

import (
	"slices"
	"testing"
)

// good is a history without fault: two members hand a partition over, a commit goes unanswered, the broker restarts.
func good() *History {
	return &History{
		Acked: []Read{{"", 0, 0, "a"}, {"", 0, 1, "b"}, {"", 0, 2, "c"}},
		Reads: []Read{{"g", 0, 0, "a"}, {"g", 0, 1, "b"}, {"g", 0, 1, "b"}, {"g", 0, 2, "c"}},
		Owned: []Ownership{
			{Group: "g", Classic: true, Member: 1, Generation: 1, At: 1, Partitions: []int32{0, 1}},
			{Group: "g", Classic: true, Member: 2, Generation: 2, At: 10, Partitions: []int32{0}},
			{Group: "g", Classic: true, Member: 1, Generation: 2, At: 11, Partitions: []int32{1}},
		},
		Commits: []Commit{
			{Group: "g", Classic: true, Member: 1, Generation: 1, Offset: 1, Asked: 4, Answered: 5, OK: true},
			{Group: "g", Classic: true, Member: 1, Generation: 1, Offset: 2, Asked: 7, Answered: 9},
			{Group: "g", Classic: true, Member: 2, Generation: 2, Offset: 3, Asked: 24, Answered: 25, OK: true},
		},
		Samples: []Sample{
			{"g", 0, -1, 2, 3},
			{"g", 0, 1, 6, 8},
			{"g", 0, 2, 12, 13}, // the commit without an answer had counted
			{"g", 0, 2, 21, 22},
			{"g", 0, 3, 26, 27},
		},
		Restarts: []int64{20},
		Ends:     map[int32]int64{0: 3},
	}
}

func TestGoodHistory(t *testing.T) {
	if v := Check(good(), []string{"g"}); len(v) > 0 {
		t.Fatalf("a good history has %v", v)
	}
	h := good()
	h.Samples[2].Offset, h.Samples[3].Offset = 1, 1 // or it had not
	if v := Check(h, []string{"g"}); len(v) > 0 {
		t.Fatalf("a good history in which a commit was lost with its answer has %v", v)
	}
}

func TestBadHistories(t *testing.T) {
	for _, tt := range []struct {
		name, kind string
		spoil      func(h *History)
	}{
		{"a record that nobody read", Skipped, func(h *History) { h.Reads = slices.Delete(h.Reads, 3, 4) }},
		{"an offset that nobody acknowledged is skipped", Skipped, func(h *History) { h.Ends[0] = 4 }},
		{"a record with another value", Skipped, func(h *History) { h.Reads[1].Value = "x" }},
		{"an acknowledged record above the end", Skipped, func(h *History) { h.Ends[0] = 2 }},
		{"a group that read nothing", Skipped, func(h *History) { h.Reads = nil }},
		{"an acknowledged commit missing after it", WentBack, func(h *History) { h.Samples[4].Offset = 2 }},
		{"an offset gone altogether", WentBack, func(h *History) { h.Samples[4].Offset = -1 }},
		{"an offset gone while the broker loads", WentBack, func(h *History) { h.Samples[3].Offset = -1 }},
		{"an offset that nobody committed", WentBack, func(h *History) { h.Samples[1].Offset = 7 }},
		{"an offset before its commit", WentBack, func(h *History) { h.Samples[1].Offset = 3 }},
		{"an offset that was seen and went back", WentBack, func(h *History) { h.Samples[3].Offset = 1 }},
		{"a commit without an answer that comes true after a restart", WentBack, func(h *History) {
			h.Samples[2].Offset, h.Samples[3].Offset = 1, 1
			h.Commits[2].Offset, h.Samples[4].Offset = 4, 2
		}},
		{"a commit of the generation before", Zombie, func(h *History) { h.Commits[2].Generation = 1 }},
		{"two owners in a generation", TwoOwners, func(h *History) { h.Owned[2].Partitions = []int32{0, 1} }},
		{"two owners in a generation, the first kept it", TwoOwners, func(h *History) { h.Owned[1].Generation = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := good()
			tt.spoil(h)
			if v := Check(h, []string{"g"}); len(v[tt.kind]) == 0 || len(v) != 1 {
				t.Fatalf("want %q alone, got %v", tt.kind, v)
			}
		})
	}
}

// A consumer group's member may commit with an epoch behind the group's.
func TestEpochsOfConsumerGroupsMayLag(t *testing.T) {
	h := good()
	for i := range h.Owned {
		h.Owned[i].Classic = false
	}
	h.Commits[2].Generation, h.Commits[2].Classic = 1, false
	if v := Check(h, []string{"g"}); len(v) > 0 {
		t.Fatalf("got %v", v)
	}
}
