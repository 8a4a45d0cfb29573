package storm

import "math"

// History is what happened in a run. Moments are ticks of one counter; a tick is never used twice.
type History struct {
	Acked    []Read // what the producer was told, Group empty
	Reads    []Read
	Owned    []Ownership
	Commits  []Commit
	Samples  []Sample
	Restarts []int64         // the moments at which a restarted broker had replaced the one before it
	Ends     map[int32]int64 // log end offset per partition, after the producer stopped
}

// Read is a record as a member was shown it.
type Read struct {
	Group     string
	Partition int32
	Offset    int64
	Value     string
}

// Ownership is what a member held right after an assignment.
type Ownership struct {
	Group      string
	Classic    bool
	Member     int   // number of the client, unique over the run
	Generation int32 // or member epoch; 0 or less: the client did not know
	At         int64
	Partitions []int32
}

// Commit is one partition of one OffsetCommit.
type Commit struct {
	Group      string
	Classic    bool
	Member     int
	Generation int32 // 0 or less where it changed while the commit was under way
	Partition  int32
	Offset     int64
	Asked      int64
	Answered   int64 // when the client gave up, if OK is false
	OK         bool
}

// Sample is a committed offset that the broker told, -1 for none.
type Sample struct {
	Group     string
	Partition int32
	Offset    int64
	Asked     int64
	Answered  int64
}

// never is a moment after all others.
const never = math.MaxInt64
