package storm

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// place is a partition as one group sees it.
type place struct {
	group     string
	partition int32
}

func (p place) String() string { return fmt.Sprintf("%s, partition %d", p.group, p.partition) }

// Violations are what is wrong with a history, by kind. A kind that has none is absent.
type Violations map[string][]string

// The kinds of violations, each judged by one check.
const (
	Skipped   = "every record read by every group"
	WentBack  = "no committed offset goes back or missing"
	Zombie    = "no commit from a generation that has passed"
	TwoOwners = "one owner per partition and generation"
)

// Kinds are all kinds of violations.
func Kinds() []string { return []string{Skipped, WentBack, Zombie, TwoOwners} }

// Check judges a history of these groups.
func Check(h *History, groups []string) Violations {
	v := Violations{}
	for kind, check := range map[string]func(*History) []string{
		Skipped:   func(h *History) []string { return checkReads(h, groups) },
		WentBack:  checkCommitted,
		Zombie:    checkZombies,
		TwoOwners: checkOwners,
	} {
		if found := check(h); len(found) > 0 {
			v[kind] = found
		}
	}
	return v
}

// checkReads demands that each group read each offset below the ends, and that no offset ever showed two values.
func checkReads(h *History, groups []string) (found []string) {
	values := map[int32]map[int64]string{}
	note := func(r Read) {
		if values[r.Partition] == nil {
			values[r.Partition] = map[int64]string{}
		}
		if old, ok := values[r.Partition][r.Offset]; ok && old != r.Value {
			found = append(found, fmt.Sprintf("partition %d at %d: %q and then %q", r.Partition, r.Offset, old, r.Value))
		}
		values[r.Partition][r.Offset] = r.Value
	}
	read := map[place]map[int64]bool{}
	for _, r := range h.Acked {
		note(r)
		if r.Offset >= h.Ends[r.Partition] {
			found = append(found, fmt.Sprintf("partition %d: %d was acknowledged, and the log ends at %d", r.Partition, r.Offset, h.Ends[r.Partition]))
		}
	}
	for _, r := range h.Reads {
		note(r)
		p := place{r.Group, r.Partition}
		if read[p] == nil {
			read[p] = map[int64]bool{}
		}
		read[p][r.Offset] = true
	}
	for _, g := range groups {
		for _, partition := range slices.Sorted(maps.Keys(h.Ends)) {
			p := place{g, partition}
			for offset := range h.Ends[partition] {
				if !read[p][offset] {
					found = append(found, fmt.Sprintf("%s: %d was never read", p, offset))
				}
			}
		}
	}
	return found
}

// write is when a value may have become the committed offset: some moment from asked to settled. One that is sure happened.
type write struct {
	offset         int64
	asked, settled int64
	sure           bool
}

// writesOf lists the commits per place. One without a good answer settles, if at all, before the broker that it was sent to is
// replaced: what a killed process had in its queues is gone.
func writesOf(h *History) map[place][]write {
	writes := map[place][]write{}
	restarts := slices.Sorted(slices.Values(h.Restarts))
	for _, c := range h.Commits {
		w := write{offset: c.Offset, asked: c.Asked, settled: c.Answered, sure: c.OK}
		if !c.OK {
			w.settled = never
			if i, _ := slices.BinarySearch(restarts, c.Answered); i < len(restarts) {
				w.settled = restarts[i]
			}
		}
		p := place{c.Group, c.Partition}
		writes[p] = append(writes[p], w)
	}
	return writes
}

// checkCommitted treats the committed offset of each place as a register. A sample is explained by a write of its value that
// began before the sample ended, and that no other write surely followed before the sample began. A sample that was explained
// shows that its write had happened by then, and so counts as a sure write itself.
func checkCommitted(h *History) (found []string) {
	writes := writesOf(h)
	samples := map[place][]Sample{}
	for _, s := range h.Samples {
		p := place{s.Group, s.Partition}
		samples[p] = append(samples[p], s)
	}
	for _, p := range slices.SortedFunc(maps.Keys(samples), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.partition, b.partition))
	}) {
		found = append(found, checkRegister(p, writes[p], samples[p])...)
	}
	return found
}

func checkRegister(p place, writes []write, samples []Sample) (found []string) {
	slices.SortFunc(samples, func(a, b Sample) int { return cmp.Compare(a.Answered, b.Answered) })
	byOffset := map[int64][]write{-1: {{offset: -1, sure: true}}} // as the group began
	var sure []write
	for _, w := range writes {
		byOffset[w.offset] = append(byOffset[w.offset], w)
		if w.sure {
			sure = append(sure, w)
		}
	}
	for _, s := range samples {
		began := latestSure(sure, s.Asked)
		first := int64(never)
		for _, w := range byOffset[s.Offset] {
			if w.asked < s.Answered && w.settled >= began {
				first = min(first, w.asked)
			}
		}
		if first == never {
			found = append(found, fmt.Sprintf("%s: %d was told at %d to %d, and no commit explains it", p, s.Offset, s.Asked, s.Answered))
			continue
		}
		if s.Offset >= 0 {
			sure = append(sure, write{offset: s.Offset, asked: first, settled: s.Answered, sure: true})
		}
	}
	return found
}

// latestSure is when the last of the sure writes that had settled before a moment began: what settled earlier than that is gone.
func latestSure(sure []write, before int64) (began int64) {
	for _, w := range sure {
		if w.settled < before {
			began = max(began, w.asked)
		}
	}
	return began
}

// checkZombies demands that no commit succeeds in a classic group with a generation below one that a member had been told
// before the commit was asked for.
func checkZombies(h *History) (found []string) {
	told := map[string][]Ownership{}
	for _, o := range h.Owned {
		if o.Classic {
			told[o.Group] = append(told[o.Group], o)
		}
	}
	for _, list := range told { // sorted by moment, with the highest generation so far
		slices.SortFunc(list, func(a, b Ownership) int { return cmp.Compare(a.At, b.At) })
		for i := 1; i < len(list); i++ {
			list[i].Generation = max(list[i].Generation, list[i-1].Generation)
		}
	}
	for _, c := range h.Commits {
		if !c.OK || !c.Classic || c.Generation <= 0 {
			continue
		}
		list := told[c.Group]
		i, _ := slices.BinarySearchFunc(list, c.Asked, func(o Ownership, at int64) int { return cmp.Compare(o.At, at) })
		if i > 0 && list[i-1].Generation > c.Generation {
			found = append(found, fmt.Sprintf("%s, partition %d: member %d committed %d with generation %d when %d was known", c.Group, c.Partition, c.Member, c.Offset, c.Generation, list[i-1].Generation))
		}
	}
	return found
}

// checkOwners demands that no two members hold a partition in one generation or member epoch.
func checkOwners(h *History) (found []string) {
	type held struct {
		place
		generation int32
	}
	owners := map[held]int{}
	for _, o := range h.Owned {
		if o.Generation <= 0 {
			continue
		}
		for _, partition := range o.Partitions {
			k := held{place{o.Group, partition}, o.Generation}
			if other, ok := owners[k]; ok && other != o.Member {
				found = append(found, fmt.Sprintf("%s, generation %d: members %d and %d", k.place, o.Generation, other, o.Member))
			}
			owners[k] = o.Member
		}
	}
	return found
}
