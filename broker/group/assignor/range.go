package assignor

import (
	"cmp"
	"slices"
	"strings"
)

// Range gives each subscriber of a topic one range of its partitions. Topics with the same number of partitions and the same
// subscribers are split alike, so that partitions of the same number come together.
type Range struct{}

// Name implements Assignor.
func (Range) Name() string { return "range" }

// Assign implements Assignor.
func (Range) Assign(spec Spec) []Assignment {
	subscribers := make([]int32, len(spec.Topics))
	largest := int32(0)
	for t, topic := range spec.Topics {
		largest = max(largest, topic.Partitions)
		if spec.Homogeneous {
			subscribers[t] = int32(len(spec.Members))
		}
	}
	every := make([]int32, len(spec.Topics)) // in a homogeneous group: what everybody is subscribed to
	for t := range every {
		every[t] = int32(t)
	}
	if !spec.Homogeneous {
		for _, m := range spec.Members {
			for _, t := range m.Topics {
				subscribers[t]++
			}
		}
	}
	numbers := make([]int32, largest) // ranges are cut out of it
	for i := range numbers {
		numbers[i] = int32(i)
	}

	out := make([]Assignment, len(spec.Members))
	var assignment Assignment
	turn := make([]int32, len(spec.Topics)) // how many subscribers had theirs
	for _, m := range rangeOrder(spec.Members) {
		topics := every
		if !spec.Homogeneous {
			topics = spec.Members[m].Topics
		}
		assignment = assignment[:0]
		for _, t := range topics {
			quota, extra := spec.Topics[t].Partitions/subscribers[t], spec.Topics[t].Partitions%subscribers[t]
			start := turn[t]*quota + min(turn[t], extra)
			end := start + quota
			if turn[t] < extra {
				end++
			}
			turn[t]++
			if start < end {
				assignment = append(assignment, TopicPartitions{spec.Topics[t].ID, numbers[start:end:end]})
			}
		}
		if out[m] = spec.Members[m].Target; !assignment.Equal(out[m]) {
			out[m] = slices.Clone(assignment)
		}
	}
	return out
}

// rangeOrder returns the members' indexes in the order in which ranges are given out: static members by instance id, so that
// they get the same again when they come back with another member id, then the others by member id.
func rangeOrder(members []Member) []int {
	order := make([]int, len(members))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &members[i], &members[j]
		switch {
		case a.InstanceID != "" && b.InstanceID != "":
			return cmp.Or(strings.Compare(a.InstanceID, b.InstanceID), i-j)
		case a.InstanceID != "":
			return -1
		case b.InstanceID != "":
			return 1
		default:
			return strings.Compare(a.ID, b.ID)
		}
	})
	return order
}
