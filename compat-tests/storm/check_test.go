package storm_test

import (
	"strings"
	"testing"
	"time"

	"github.com/distributedmq/dmq/compat-tests/storm"
)

const ms = time.Millisecond

// good is a history without a fault: a reads and commits 5 records, gives the partition up, b goes on to 8.
func good() []storm.Event {
	return []storm.Event{
		{At: 1 * ms, Kind: storm.FetchSent, Member: "a", Op: 1},
		{At: 2 * ms, Kind: storm.FetchOK, Member: "a", Op: 1, Offset: -1},
		{At: 3 * ms, Kind: storm.Owned, Member: "a", Epoch: 1, Until: 100 * ms},
		{At: 4 * ms, Kind: storm.Read, Member: "a", Offset: 0, End: 5},
		{At: 5 * ms, Kind: storm.CommitSent, Member: "a", Offset: 5},
		{At: 6 * ms, Kind: storm.CommitOK, Member: "a", Offset: 5},
		{At: 7 * ms, Kind: storm.Released, Member: "a"},
		{At: 8 * ms, Kind: storm.FetchSent, Member: "b", Op: 2},
		{At: 9 * ms, Kind: storm.FetchOK, Member: "b", Op: 2, Offset: 5},
		{At: 10 * ms, Kind: storm.Owned, Member: "b", Epoch: 2, Until: 200 * ms},
		{At: 11 * ms, Kind: storm.Read, Member: "b", Offset: 5, End: 8},
		{At: 12 * ms, Kind: storm.CommitSent, Member: "b", Offset: 8},
		{At: 13 * ms, Kind: storm.CommitOK, Member: "b", Offset: 8},
	}
}

// A checker that finds nothing proves nothing: every kind of fault has to be found in a history that has it.
func TestCheck(t *testing.T) {
	without := func(i int) func([]storm.Event) []storm.Event {
		return func(h []storm.Event) []storm.Event { return append(h[:i:i], h[i+1:]...) }
	}
	change := func(i int, edit func(*storm.Event)) func([]storm.Event) []storm.Event {
		return func(h []storm.Event) []storm.Event { edit(&h[i]); return h }
	}
	tests := []struct {
		name string
		edit func([]storm.Event) []storm.Event
		want string // "" no fault
	}{
		{"a good history", func(h []storm.Event) []storm.Event { return h }, ""},
		{"an acknowledged commit is lost", change(8, func(e *storm.Event) { e.Offset = 4 }), "is told that 4 is committed, after 5 had been acknowledged"},
		{"all commits are lost", change(8, func(e *storm.Event) { e.Offset = -1 }), "is told that -1 is committed, after 5"},
		{"a commit out of nowhere", change(8, func(e *storm.Event) { e.Offset = 6 }), "nobody committed more than 5"},
		{"a commit that was sent may show before it is acknowledged", func(h []storm.Event) []storm.Event {
			h[5], h[6], h[7], h[8] = h[6], h[7], h[8], h[5]
			return h
		}, ""},
		{"a zombie's commit is taken", func(h []storm.Event) []storm.Event {
			return append(h, storm.Event{At: 20 * ms, Kind: storm.FetchSent, Member: "c", Op: 3}, storm.Event{At: 21 * ms, Kind: storm.FetchOK, Member: "c", Op: 3, Offset: 5})
		}, "is told that 5 is committed, after 8"},
		{"given away before it was given up", without(6), "b is given it in epoch 2 while a holds it"},
		{"given away when the owner was silent for long enough", func(h []storm.Event) []storm.Event {
			h = without(6)(h)
			for i := 6; i < len(h); i++ {
				h[i].At += 100 * ms
			}
			return h
		}, ""},
		{"given away although the owner reported", func(h []storm.Event) []storm.Event {
			h[6] = storm.Event{At: 90 * ms, Kind: storm.Beat, Member: "a", Until: 190 * ms}
			for i := 7; i < len(h); i++ {
				h[i].At += 100 * ms
			}
			return h
		}, "while a holds it"},
		{"given away after the owner crashed", change(6, func(e *storm.Event) { e.Kind = storm.Gone }), ""},
		{"two owners in an epoch", change(9, func(e *storm.Event) { e.Epoch = 1 }), "two owners in epoch 1: a and b"},
		{"records in the middle are passed over", change(10, func(e *storm.Event) { e.Offset = 6 }), "records 5 to 5 were never read"},
		{"the first record is passed over", change(3, func(e *storm.Event) { e.Offset = 1 }), "records 0 to 0 were never read"},
		{"the last record is not read", change(10, func(e *storm.Event) { e.End = 7 }), "records 7 to 7 were never read"},
		{"nothing is read", func([]storm.Event) []storm.Event { return []storm.Event{{Kind: storm.Gone, Member: "a"}} }, "records 0 to 7 were never read"},
		{"the end is not committed", without(12), "5 is committed at the end, want 8"},
		{"read twice, overlapping and out of order", func(h []storm.Event) []storm.Event {
			return append(h, storm.Event{Kind: storm.Read, Offset: 2, End: 7}, storm.Event{Kind: storm.Read, Offset: 0, End: 1})
		}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			faults := strings.Join(storm.Check(tt.edit(good()), []int64{8}), "\n")
			if tt.want == "" && faults != "" || !strings.Contains(faults, tt.want) {
				t.Errorf("Check = %q, want %q", faults, tt.want)
			}
		})
	}
}
