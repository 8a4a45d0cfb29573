package placement_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/distributedmq/dmq/kraft/placement"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

type ids = []protocol.NodeID

func TestPlace(t *testing.T) {
	two := []placement.Broker{{ID: 102}, {ID: 101}}
	racks := []placement.Broker{{ID: 1, Rack: "a"}, {ID: 2, Rack: "a"}, {ID: 3, Rack: "b"}, {ID: 4, Rack: "b"}}
	for _, tc := range []struct {
		name       string
		brokers    []placement.Broker
		partitions int
		factor     int16
		want       []ids
		err        string
	}{
		{"one broker", []placement.Broker{{ID: 7}}, 2, 1, []ids{{7}, {7}}, ""},
		{"empty cluster", two, 3, 2, []ids{{101, 102}, {102, 101}, {101, 102}}, ""},
		{"fewest leaders first", []placement.Broker{{ID: 1, Leaders: 5}, {ID: 2, Leaders: 3}, {ID: 3, Leaders: 4}}, 4, 1, []ids{{2}, {2}, {3}, {1}}, ""},
		{"around the ring", []placement.Broker{{ID: 1}, {ID: 2}, {ID: 3}}, 3, 3, []ids{{1, 2, 3}, {2, 3, 1}, {3, 1, 2}}, ""},
		{"racks take turns", racks, 4, 2, []ids{{1, 3}, {2, 4}, {3, 2}, {4, 1}}, ""},
		{"racks run out", racks, 1, 3, []ids{{1, 3, 2}}, ""},
		{"uneven racks", []placement.Broker{{ID: 1, Rack: "a"}, {ID: 2, Rack: "a"}, {ID: 3, Rack: "a"}, {ID: 4, Rack: "b"}}, 2, 2, []ids{{1, 4}, {2, 4}}, ""},
		{"fenced ones follow", []placement.Broker{{ID: 1, Fenced: true}, {ID: 2}}, 2, 2, []ids{{2, 1}, {2, 1}}, ""},
		{"fenced ones come last", []placement.Broker{{ID: 1}, {ID: 2, Fenced: true}, {ID: 3}}, 1, 3, []ids{{1, 3, 2}}, ""},
		{"all fenced", []placement.Broker{{ID: 1, Fenced: true}}, 1, 1, nil, "All brokers are currently fenced, or have all their log directories cordoned."},
		{"too few", two, 1, 3, nil, "The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some brokers have all their log directories cordoned."},
		{"none", two, 1, 0, nil, "Invalid replication factor 0: the replication factor must be positive."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := placement.Place(tc.brokers, tc.partitions, tc.factor)
			if tc.err != "" {
				if err == nil || err.Error() != tc.err || errcode.KindOf(err) != errcode.KindInvalidReplicationFactor {
					t.Fatalf("error %v, want %s", err, tc.err)
				}
				return
			}
			if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
		})
	}
}

// TestPlace_Rules checks what must hold for every cluster.
func TestPlace_Rules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "brokers")
		var brokers []placement.Broker
		active, racks := 0, map[string]bool{}
		for i := range n {
			b := placement.Broker{
				ID: protocol.NodeID(i * 3), Rack: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "rack"),
				Fenced: rapid.Bool().Draw(t, "fenced"),
			}
			if !b.Fenced {
				active++
				racks[b.Rack] = true
			}
			brokers = append(brokers, b)
		}
		factor := rapid.IntRange(1, n).Draw(t, "factor")
		partitions := rapid.IntRange(1, 40).Draw(t, "partitions")
		placed, err := placement.Place(brokers, partitions, int16(factor))
		if active == 0 {
			if err == nil {
				t.Fatal("placed on fenced brokers only")
			}
			return
		}
		leaders := map[protocol.NodeID]int{}
		for _, replicas := range placed {
			leaders[replicas[0]]++
			seen, seenRacks := map[protocol.NodeID]bool{}, map[string]bool{}
			for _, id := range replicas {
				b := brokers[id/3]
				if seen[id] {
					t.Fatalf("%v names a broker twice", replicas)
				}
				seen[id] = true
				if !b.Fenced {
					seenRacks[b.Rack] = true
				}
			}
			if brokers[replicas[0]/3].Fenced {
				t.Fatalf("%v is led by a fenced broker", replicas)
			}
			if len(replicas) != factor || len(seenRacks) < min(len(racks), factor) && factor <= active {
				t.Fatalf("%v uses %d of %d racks", replicas, len(seenRacks), len(racks))
			}
		}
		for id, n := range leaders {
			if most := (partitions + active - 1) / active; n > most {
				t.Fatalf("broker %d leads %d of %d partitions, %d brokers are active", id, n, partitions, active)
			}
		}
	})
}
