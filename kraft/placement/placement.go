package placement

import (
	"cmp"
	"maps"
	"slices"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Broker is a broker that may take replicas.
type Broker struct {
	ID      protocol.NodeID
	Rack    string // empty: none
	Fenced  bool
	Leaders int // partitions it leads
}

// Place chooses the replicas of a number of partitions; the first replica of each is to lead it. Errors are
// INVALID_REPLICATION_FACTOR.
func Place(brokers []Broker, partitions int, replicationFactor int16) ([][]protocol.NodeID, error) {
	switch {
	case replicationFactor <= 0:
		return nil, refuse("Invalid replication factor %d: the replication factor must be positive.", replicationFactor)
	case !slices.ContainsFunc(brokers, func(b Broker) bool { return !b.Fenced }):
		return nil, refuse("All brokers are currently fenced, or have all their log directories cordoned.")
	case int(replicationFactor) > len(brokers):
		return nil, refuse("The target replication factor of %d cannot be reached because only %d broker(s) are registered "+
			"or some brokers have all their log directories cordoned.", replicationFactor, len(brokers))
	}
	ring := newRing(brokers)
	placed := make([][]protocol.NodeID, partitions)
	for p := range placed {
		placed[p] = ring.place(int(replicationFactor))
	}
	return placed, nil
}

func refuse(format string, args ...any) error {
	return errcode.New(errcode.KindInvalidReplicationFactor, format, args...)
}

// ring is the brokers in the order in which replicas go around.
type ring []Broker

func newRing(brokers []Broker) ring {
	racks := make(map[string][]Broker)
	for _, b := range brokers {
		racks[b.Rack] = append(racks[b.Rack], b)
	}
	for _, rack := range racks {
		slices.SortFunc(rack, func(a, b Broker) int { return cmp.Compare(a.ID, b.ID) })
	}
	order := slices.SortedFunc(maps.Values(racks), func(a, b []Broker) int { return cmp.Compare(a[0].ID, b[0].ID) })
	r := make(ring, 0, len(brokers))
	for turn := 0; len(r) < len(brokers); turn++ {
		for _, rack := range order {
			if turn < len(rack) {
				r = append(r, rack[turn])
			}
		}
	}
	return r
}

// place chooses the replicas of one partition.
func (r ring) place(replicas int) []protocol.NodeID {
	first := r.leader()
	r[first].Leaders++
	chosen := []protocol.NodeID{r[first].ID}
	used := map[protocol.NodeID]bool{r[first].ID: true}
	racks := map[string]bool{r[first].Rack: true}
	for at := first; len(chosen) < replicas; {
		at = r.next(at, used, racks)
		chosen = append(chosen, r[at].ID)
		used[r[at].ID], racks[r[at].Rack] = true, true
	}
	return chosen
}

// leader finds the unfenced broker with the fewest leaders, the lowest id among equals.
func (r ring) leader() int {
	best := -1
	for i, b := range r {
		if b.Fenced {
			continue
		}
		if best < 0 || cmp.Or(cmp.Compare(b.Leaders, r[best].Leaders), cmp.Compare(b.ID, r[best].ID)) < 0 {
			best = i
		}
	}
	return best
}

// next finds the next broker around the ring: a new rack before a used one, unfenced before fenced.
func (r ring) next(from int, used map[protocol.NodeID]bool, racks map[string]bool) int {
	best, bestRank := -1, 0
	for step := 1; step < len(r); step++ {
		i := (from + step) % len(r)
		if used[r[i].ID] {
			continue
		}
		rank := 0
		if r[i].Fenced {
			rank += 2
		}
		if racks[r[i].Rack] {
			rank++
		}
		if best < 0 || rank < bestRank {
			best, bestRank = i, rank
		}
	}
	return best
}
