package datadir

import (
	"fmt"
	"maps"
	"slices"
)

// Aspects say which parts of two states have to be the same.
type Aspects struct {
	IDs, Configs, LeaderEpochs, EpochEnds bool
}

// Same returns an error that names the first few differences of two states.
func Same(want, got *State, a Aspects) error {
	var diffs []string
	add := func(format string, args ...any) { diffs = append(diffs, fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(want.Topics)) {
		w, g := want.Topics[name], got.Topics[name]
		if g == nil {
			add("topic %s is missing", name)
			continue
		}
		if a.IDs && w.ID != g.ID {
			add("topic %s has id %x, want %x", name, g.ID, w.ID)
		}
		if a.Configs && !maps.Equal(w.Configs, g.Configs) {
			add("topic %s has configs %v, want %v", name, g.Configs, w.Configs)
		}
		for _, p := range slices.Sorted(maps.Keys(w.Partitions)) {
			if g.Partitions[p] == nil {
				add("partition %s-%d is missing", name, p)
				continue
			}
			for _, d := range w.Partitions[p].differences(g.Partitions[p], a) {
				add("partition %s-%d: %s", name, p, d)
			}
		}
		if len(g.Partitions) != len(w.Partitions) {
			add("topic %s has %d partitions, want %d", name, len(g.Partitions), len(w.Partitions))
		}
	}
	for name := range got.Topics {
		if want.Topics[name] == nil {
			add("topic %s came out of nowhere", name)
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d differences", len(diffs))
	for _, d := range diffs[:min(len(diffs), 10)] {
		text += "\n  " + d
	}
	return fmt.Errorf("%s", text)
}

func (p *Partition) differences(g *Partition, a Aspects) []string {
	var out []string
	if p.Start != g.Start || p.End != g.End {
		out = append(out, fmt.Sprintf("offsets %d to %d, want %d to %d", g.Start, g.End, p.Start, p.End))
	}
	if a.LeaderEpochs && g.LeaderEpoch < p.LeaderEpoch {
		out = append(out, fmt.Sprintf("leader epoch %d, want at least %d", g.LeaderEpoch, p.LeaderEpoch))
	}
	lists := [][3]any{{"batches", p.Batches, g.Batches}, {"times", p.Times, g.Times}}
	if a.EpochEnds {
		lists = append(lists, [3]any{"epochs", p.Epochs, g.Epochs})
	}
	for _, l := range lists {
		w, h := l[1].([]string), l[2].([]string)
		if slices.Equal(w, h) {
			continue
		}
		for i := range max(len(w), len(h)) {
			if i >= len(w) || i >= len(h) || w[i] != h[i] {
				out = append(out, fmt.Sprintf("%s differ at %d of %d: %s, want %s", l[0], i, len(w), at(h, i), at(w, i)))
				break
			}
		}
	}
	return out
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return "nothing"
}

// Count is how many records and batches a state holds.
func (s *State) Count() (records, batches int) {
	for _, t := range s.Topics {
		for _, p := range t.Partitions {
			records, batches = records+p.Records, batches+len(p.Batches)
		}
	}
	return records, batches
}
