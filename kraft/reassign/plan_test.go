package reassign_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/distributedmq/dmq/kraft/reassign"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

func ids(list ...protocol.NodeID) []protocol.NodeID { return list }

func brokers(racks ...string) []reassign.Broker {
	out := make([]reassign.Broker, len(racks))
	for i, rack := range racks {
		out[i] = reassign.Broker{ID: protocol.NodeID(i + 1), Rack: rack}
	}
	return out
}

// topic has its partitions on brokers in turn.
func topic(name string, partitions, replicas int, on ...protocol.NodeID) []reassign.Partition {
	out := make([]reassign.Partition, partitions)
	for p := range out {
		out[p] = reassign.Partition{Topic: name, Partition: int32(p), Bytes: 100}
		for r := range replicas {
			out[p].Replicas = append(out[p].Replicas, on[(p+r)%len(on)])
		}
	}
	return out
}

func text(moves []reassign.Move) string {
	var b strings.Builder
	for _, m := range moves {
		fmt.Fprintf(&b, "%s-%d %v>%v\n", m.Topic, m.Partition.Partition, m.Replicas, m.Target)
	}
	return b.String()
}

func TestPlan(t *testing.T) {
	for _, test := range []struct {
		name       string
		partitions []reassign.Partition
		brokers    []reassign.Broker
		o          reassign.Options
		want       string
	}{
		{"balanced already", topic("t", 3, 2, 1, 2, 3), brokers("", "", ""), reassign.Options{}, ""},
		{"nothing at all", nil, nil, reassign.Options{}, ""},
		{"a broker more takes its share", topic("t", 4, 1, 1, 2), brokers("", "", ""), reassign.Options{}, "t-1 [2]>[3]\n"},
		{
			"a broker less", topic("t", 3, 2, 1, 2, 3), brokers("", ""),
			reassign.Options{},
			"t-1 [2 3]>[2 1]\nt-2 [3 1]>[2 1]\n",
		},
		{
			"only what has to move", append(topic("t", 2, 2, 1, 3), topic("u", 3, 1, 1)...), brokers("", ""),
			reassign.Options{Settle: true},
			"t-0 [1 3]>[2 1]\nt-1 [3 1]>[2 1]\n",
		},
		{"a rack of its own for each", topic("t", 1, 2, 1, 2), brokers("a", "a", "b"), reassign.Options{}, "t-0 [1 2]>[3 2]\n"},
		{
			"more replicas", topic("t", 3, 1, 1, 2, 3), brokers("a", "b", "c"),
			reassign.Options{Replicas: 3},
			"t-0 [1]>[1 2 3]\nt-1 [2]>[2 1 3]\nt-2 [3]>[3 1 2]\n",
		},
		{"fewer replicas", topic("t", 3, 3, 1, 2, 3), brokers("", "", ""), reassign.Options{Replicas: 1}, "t-0 [1 2 3]>[1]\nt-1 [2 3 1]>[2]\nt-2 [3 1 2]>[3]\n"},
		{"only the order", []reassign.Partition{{Topic: "t", Replicas: ids(1, 2)}, {Topic: "u", Replicas: ids(1, 2)}}, brokers("", ""), reassign.Options{}, "t-0 [1 2]>[2 1]\n"},
	} {
		moves, err := reassign.Plan(test.partitions, test.brokers, test.o)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := text(moves); got != test.want {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, test.want)
		}
	}
}

func TestPlan_TooFewBrokers(t *testing.T) {
	_, err := reassign.Plan(topic("t", 3, 3, 1, 2, 3), brokers("", ""), reassign.Options{})
	if errcode.Of(err) != int16(errcode.KindInvalidReplicationFactor) || err.Error() != "t-0 needs 3 brokers for its replicas, and there are 2" {
		t.Error(err)
	}
	if _, err := reassign.Plan(topic("t", 1, 1, 1), nil, reassign.Options{}); err == nil {
		t.Error("no broker at all is enough")
	}
}

func TestMove_AddingAndRemoving(t *testing.T) {
	m := reassign.Move{Partition: reassign.Partition{Replicas: ids(1, 2, 3)}, Target: ids(4, 1, 3)}
	if !slices.Equal(m.Adding(), ids(4)) || !slices.Equal(m.Removing(), ids(2)) {
		t.Errorf("adding %v, removing %v", m.Adding(), m.Removing())
	}
}

// TestPlan_Random holds plans of random clusters to what doc.go promises.
func TestPlan_Random(t *testing.T) {
	for seed := range uint64(400) {
		if err := tryRandom(rand.New(rand.NewPCG(seed, 5))); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

func tryRandom(r *rand.Rand) error {
	before := 2 + r.IntN(8)
	racks := 1 + r.IntN(4)
	var all []reassign.Broker
	for id := 1; id <= before+r.IntN(3); id++ {
		all = append(all, reassign.Broker{ID: protocol.NodeID(id), Rack: fmt.Sprint(id % racks)})
	}
	replicas := 1 + r.IntN(min(3, before))
	var parts []reassign.Partition
	for n := range 1 + r.IntN(40) {
		order := r.Perm(before)
		p := reassign.Partition{Topic: fmt.Sprintf("t%d", n%3), Partition: int32(n / 3), Bytes: r.Int64N(1000)}
		for _, at := range order[:replicas] {
			p.Replicas = append(p.Replicas, all[at].ID)
		}
		parts = append(parts, p)
	}
	allowed := all
	if gone := r.IntN(3); len(all)-gone >= replicas { // some brokers leave
		allowed = all[gone:]
	}
	o := reassign.Options{Settle: r.IntN(4) == 0}
	moves, err := reassign.Plan(parts, allowed, o)
	if err != nil {
		return err
	}
	again, _ := reassign.Plan(parts, allowed, o)
	if text(again) != text(moves) {
		return errors.New("another plan for the same cluster")
	}
	after := applied(parts, moves)
	if err := sane(after, allowed, replicas); err != nil {
		return err
	}
	if o.Settle {
		return onlyForced(moves, allowed)
	}
	if further, err := reassign.Plan(after, allowed, o); err != nil || len(further) != 0 {
		return fmt.Errorf("a second plan still moves: %s: %w", text(further), err)
	}
	return balanced(parts, after, allowed, racks)
}

func applied(parts []reassign.Partition, moves []reassign.Move) []reassign.Partition {
	after := slices.Clone(parts)
	for i := range after {
		for _, m := range moves {
			if m.Topic == after[i].Topic && m.Partition.Partition == after[i].Partition {
				after[i].Replicas = m.Target
			}
		}
	}
	return after
}

func sane(parts []reassign.Partition, allowed []reassign.Broker, replicas int) error {
	for _, p := range parts {
		sorted := slices.Sorted(slices.Values(p.Replicas))
		if len(p.Replicas) != replicas || len(slices.Compact(sorted)) != replicas {
			return fmt.Errorf("%s-%d has the replicas %v", p.Topic, p.Partition, p.Replicas)
		}
		for _, id := range p.Replicas {
			if !slices.ContainsFunc(allowed, func(b reassign.Broker) bool { return b.ID == id }) {
				return fmt.Errorf("%s-%d is on %d, which is not allowed", p.Topic, p.Partition, id)
			}
		}
	}
	return nil
}

func onlyForced(moves []reassign.Move, allowed []reassign.Broker) error {
	for _, m := range moves {
		gone := 0
		for _, id := range m.Replicas {
			if !slices.ContainsFunc(allowed, func(b reassign.Broker) bool { return b.ID == id }) {
				gone++
			}
		}
		if gone == 0 || len(m.Adding()) != gone {
			return fmt.Errorf("more than it has to: %s", text([]reassign.Move{m}))
		}
	}
	return nil
}

func balanced(before, after []reassign.Partition, allowed []reassign.Broker, racks int) error {
	rack := make(map[protocol.NodeID]string)
	count, first := make(map[protocol.NodeID]int), make(map[protocol.NodeID]int)
	for _, b := range allowed {
		rack[b.ID], count[b.ID], first[b.ID] = b.Rack, 0, 0
	}
	kept, total := 0, 0
	for i, p := range after {
		perRack := make(map[string]int)
		for _, id := range p.Replicas {
			count[id]++
			perRack[rack[id]]++
			total++
			if slices.Contains(before[i].Replicas, id) {
				kept++
			}
		}
		first[p.Replicas[0]]++
		for _, b := range allowed { // a rack with two less and a broker to spare would have been used
			if !slices.Contains(p.Replicas, b.ID) && slices.ContainsFunc(p.Replicas, func(id protocol.NodeID) bool { return perRack[rack[id]] >= perRack[b.Rack]+2 }) {
				return fmt.Errorf("%s-%d %v could use the rack of %d", p.Topic, p.Partition, p.Replicas, b.ID)
			}
		}
	}
	if racks > 1 {
		return nil // they may forbid equal shares
	}
	if spread(count) > 1 {
		return fmt.Errorf("replicas: %v", count)
	}
	if len(after[0].Replicas) > 1 && len(after[0].Replicas) == len(allowed) && spread(first) > 1 {
		return fmt.Errorf("leaders: %v", first)
	}
	return minimal(before, allowed, kept, total)
}

func spread(m map[protocol.NodeID]int) int {
	low, high := 1<<30, 0
	for _, n := range m {
		low, high = min(low, n), max(high, n)
	}
	return high - low
}

// minimal: what stays is what the shares allow to stay.
func minimal(before []reassign.Partition, allowed []reassign.Broker, kept, total int) error {
	had := make([]int, len(allowed))
	for i, b := range allowed {
		for _, p := range before {
			if slices.Contains(p.Replicas, b.ID) {
				had[i]++
			}
		}
	}
	slices.SortFunc(had, func(x, y int) int { return y - x })
	most := 0
	for i, n := range had {
		share := total / len(allowed)
		if i < total%len(allowed) {
			share++
		}
		most += min(n, share)
	}
	slack := 0
	if slices.ContainsFunc(before, func(p reassign.Partition) bool {
		return slices.ContainsFunc(p.Replicas, func(id protocol.NodeID) bool { return id < allowed[0].ID })
	}) {
		slack = 2 // what has to leave a broker is placed one partition after the other
	}
	if kept < most-slack {
		return fmt.Errorf("%d replicas stay where they are, and %d could", kept, most)
	}
	return nil
}
