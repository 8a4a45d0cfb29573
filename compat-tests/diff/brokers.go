package diff

import (
	"errors"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// groupMaxSize is how many members a group may have on the brokers of the cases.
const groupMaxSize = 4

// Properties are what the brokers of the cases are started with: groups act at once, and are full soon.
func Properties() map[string]string {
	return map[string]string{
		"group.initial.rebalance.delay.ms":          "0",
		"group.min.session.timeout.ms":              "1000",
		"group.max.size":                            fmt.Sprint(groupMaxSize),
		"group.consumer.max.size":                   fmt.Sprint(groupMaxSize),
		"group.consumer.assignment.interval.ms":     "0",
		"group.consumer.assignor.offload.enable":    "false",
		"group.consumer.min.assignment.interval.ms": "0",
	}
}

// ready waits until the coordinator of every partition of __consumer_offsets answers, which comes some time after the topic was
// made, which is when somebody asked for the first coordinator.
func ready(t Target) (err error) {
	if len(t.Nodes) > 0 {
		return nil // the cases of clusters wait for what they need
	}
	s := newSession(t, casePrefix)
	defer s.close()
	defer func() {
		if b, ok := recover().(broken); ok {
			err = fmt.Errorf("wait for the group coordinators of %s: %w", t.Name, b.err)
		}
	}()
	done := false
	find := withVersion(kmsg.NewPtrFindCoordinatorRequest(), 4)
	find.CoordinatorKeys = []string{"ready"}
	s.must(s.until(func() (bool, error) {
		resp, err := s.ask(find)
		done = err == nil && resp.(*kmsg.FindCoordinatorResponse).Coordinators[0].ErrorCode == noError
		return done, err
	}))
	every := describeGroups(6, oneGroupEach(offsetsPartitions)...)
	s.must(s.until(func() (bool, error) {
		resp, err := s.ask(every)
		if err != nil {
			return false, err
		}
		for _, g := range resp.(*kmsg.DescribeGroupsResponse).Groups {
			switch g.ErrorCode {
			case coordinatorLoading, coordinatorNone, notCoordinator:
				done = false
				return false, nil
			}
		}
		done = true
		return true, nil
	}))
	if !done {
		return errors.New("the group coordinators of " + t.Name + " do not answer")
	}
	return nil
}

// oneGroupEach returns a group id for every partition of the offsets topic.
func oneGroupEach(partitions int) []string {
	out := make([]string, partitions)
	for i, missing := 0, partitions; missing > 0; i++ {
		id := fmt.Sprintf("ready-%d", i)
		if p := PartitionOf(id, partitions); out[p] == "" {
			out[p] = id
			missing--
		}
	}
	return out
}

// PartitionOf is the partition of __consumer_offsets that a group with an id in ASCII belongs to: Java's hash of the string.
func PartitionOf(group string, partitions int) int {
	var h int32
	for _, c := range []byte(group) {
		h = 31*h + int32(c)
	}
	if h == math.MinInt32 {
		return 0
	}
	return int(max(h, -h)) % partitions
}
