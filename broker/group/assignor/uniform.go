package assignor

// Uniform gives all members the same number of partitions, give or take one, and moves as few as it can for that.
type Uniform struct{}

// Name implements Assignor.
func (Uniform) Name() string { return "uniform" }

// Assign implements Assignor.
func (Uniform) Assign(spec Spec) []Assignment {
	if len(spec.Members) == 0 {
		return nil
	}
	owners := newOwners(spec.Topics)
	owners.claim(spec)
	if spec.Homogeneous {
		assignHomogeneous(spec, owners)
	} else {
		assignHeterogeneous(spec, owners)
	}
	return owners.assignments(spec)
}

// partition is a partition of a Spec's topic.
type partition struct{ topic, index int32 }

// assignHomogeneous lets each member keep what it has up to its quota, and shares out the rest. The first members in order
// that have more than the minimum keep one more than it while there are such to give away.
func assignHomogeneous(spec Spec, owners owners) {
	var unassigned []partition
	total := 0
	for t, byPartition := range owners {
		total += len(byPartition)
		for p, owner := range byPartition {
			if owner == nobody {
				unassigned = append(unassigned, partition{int32(t), int32(p)})
			}
		}
	}
	members := len(spec.Members)
	minimum, extra := total/members, total%members

	missing := make([]int, members) // what each member may still get
	for m := range spec.Members {
		quota, hasExtra := minimum, extra > 0
		if hasExtra {
			quota++
		}
		spec.eachTarget(m, func(topic int, partitions []int32) {
			for _, p := range partitions {
				switch {
				case int(p) >= len(owners[topic]) || p < 0 || owners[topic][p] != int32(m):
					// Not its own: see claim.
				case quota > 0:
					quota--
				default:
					owners[topic][p] = nobody
					unassigned = append(unassigned, partition{int32(topic), p})
				}
			}
		})
		if quota > 0 && hasExtra && members-m > extra {
			// It does not need the extra partition to keep what it has, and enough members come after it to take one.
			quota--
			hasExtra = false
		}
		missing[m] = quota
		if hasExtra {
			extra--
		}
	}
	for m := range missing {
		for ; missing[m] > 0 && len(unassigned) > 0; missing[m]-- {
			owners[unassigned[0].topic][unassigned[0].index] = int32(m)
			unassigned = unassigned[1:]
		}
	}
}
