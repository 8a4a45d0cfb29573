package diff

import (
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Cases returns every case, in the order of the files. A topic's name carries the index of its case, so that both brokers get the same bytes.
func Cases() []Case {
	var all []Case
	for _, list := range [][]Case{
		apiVersionsCases(), metadataCases(), createTopicsCases(), deleteTopicsCases(), createPartitionsCases(),
		produceCases(), idempotenceCases(), fetchCases(), fetchSessionCases(), listOffsetsCases(), epochCases(), producerIDCases(), deleteRecordsCases(),
		describeConfigsCases(), alterConfigsCases(), incrementalCases(), clusterCases(), controllerCases(), malformedCases(), frameCases(),
		findCoordinatorCases(), joinGroupCases(), syncGroupCases(), heartbeatCases(), leaveGroupCases(), offsetCommitCases(), offsetFetchCases(), offsetDeleteCases(),
		groupAdminCases(), consumerHeartbeatCases(), replicationCases(),
	} {
		all = append(all, list...)
	}
	return all
}

// served are the keys of the first stage with Kafka 4.4's versions.
type served struct {
	key, low, high int16
	controller     bool // only on the controller listener
	noEmpty        bool // an empty request of it would change the cluster
}

func servedKeys() []served {
	return []served{
		{key: 0, low: 3, high: 13},
		{key: 1, low: 4, high: 18},
		{key: 2, low: 1, high: 11},
		{key: 3, low: 0, high: 13},
		{key: 8, low: 2, high: 10},
		{key: 9, low: 1, high: 10},
		{key: 10, low: 0, high: 6},
		{key: 11, low: 0, high: 9},
		{key: 12, low: 0, high: 4},
		{key: 13, low: 0, high: 5},
		{key: 14, low: 0, high: 5},
		{key: 15, low: 0, high: 6},
		{key: 16, low: 0, high: 5},
		{key: 42, low: 0, high: 3},
		{key: 47, low: 0, high: 0},
		{key: 68, low: 0, high: 1},
		{key: 69, low: 0, high: 1},
		{key: 18, low: 0, high: 5},
		{key: 19, low: 2, high: 7},
		{key: 20, low: 1, high: 6},
		{key: 21, low: 0, high: 2},
		{key: 22, low: 0, high: 5},
		{key: 23, low: 2, high: 4},
		{key: 32, low: 1, high: 4},
		{key: 33, low: 0, high: 2},
		{key: 35, low: 1, high: 5},
		{key: 37, low: 0, high: 3},
		{key: 43, low: 0, high: 2, noEmpty: true},
		{key: 44, low: 0, high: 1},
		{key: 45, low: 0, high: 1},
		{key: 46, low: 0, high: 0},
		{key: 55, low: 0, high: 2},
		{key: 56, low: 2, high: 3, controller: true},
		{key: 57, low: 0, high: 2},
		{key: 60, low: 0, high: 2},
		{key: 61, low: 0, high: 0},
		{key: 62, low: 0, high: 4, controller: true},
		{key: 63, low: 0, high: 2, controller: true},
		{key: 64, low: 0, high: 0},
		{key: 67, low: 0, high: 0, controller: true},
		{key: 73, low: 0, high: 0, controller: true},
		{key: 74, low: 0, high: 1},
		{key: 75, low: 0, high: 0},
	}
}

// each makes one case for every version from low to high.
func each(name string, low, high int16, run func(s *Session, v int16)) []Case {
	var out []Case
	for v := low; v <= high; v++ {
		out = append(out, Case{Name: caseName(name, v), Run: func(s *Session) { run(s, v) }})
	}
	return out
}

func caseName(name string, v int16) string { return fmt.Sprintf("%s v%d", name, v) }

func one(name string, run func(s *Session)) []Case { return []Case{{Name: name, Run: run}} }

func serial(cases []Case) []Case {
	for i := range cases {
		cases[i].Serial = true
	}
	return cases
}

func ptr[T any](v T) *T { return &v }

// unknownID is a topic id that no broker has given out.
func unknownID(n byte) [16]byte {
	id := [16]byte{}
	copy(id[:], "unknown-")
	id[15] = n
	return id
}

func withVersion[R kmsg.Request](req R, v int16) R {
	req.SetVersion(v)
	return req
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
