package history

import (
	"fmt"
	"time"
)

// Kind says what an operation is.
type Kind string

// The kinds.
const (
	// Producer introduces Proc as a producer; Idempotent says whether each of its values may be in the log only once.
	Producer Kind = "producer"
	// Send is one record: ok has its Offset.
	Send Kind = "send"
	// Assign gives Proc a partition to read, from Offset on when that is not -1. What it read of it before counts no more.
	// Group is set for members of a group.
	Assign Kind = "assign"
	// Poll is what Proc was shown of a partition, in order. Final polls read the whole log from its start when all is healed.
	Poll Kind = "poll"
	// End is the end of a partition that Proc was told, in LeaderEpoch.
	End Kind = "end"
	// Commit is a group's offset for a partition that Proc committed.
	Commit Kind = "commit"
	// Committed is a group's offset for a partition that Proc was told: -1 is none.
	Committed Kind = "committed"
	// Drained says that the group was shown everything of a partition below Offset, as far as the cluster says.
	Drained Kind = "drained"
	// Finished says that a final read through Node came to the end of a partition, which it was told is Offset.
	Finished Kind = "finished"
	// DataLoss says that Proc was told that records it had read are gone.
	DataLoss Kind = "data_loss"
)

// Outcome says how an operation ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Fail    Outcome = "fail"    // it had no effect, and never will
	Unknown Outcome = "unknown" // it had, or had not, or will have
)

// Value is what a record holds: the producer and a number that rises with each of its records. No two records of a history that
// were sent as two have the same.
type Value int64

const sequenceBits = 36

// NewValue returns the value of a producer's record: producers are below 2^26, sequences below 2^36.
func NewValue(producer int32, sequence int64) Value {
	return Value(int64(producer)<<sequenceBits | sequence)
}

// Producer is who sent it.
func (v Value) Producer() int32 { return int32(v >> sequenceBits) }

// Sequence is its number among the records of its producer.
func (v Value) Sequence() int64 { return int64(v) & (1<<sequenceBits - 1) }

// String implements fmt.Stringer.
func (v Value) String() string { return fmt.Sprintf("%d/%d", v.Producer(), v.Sequence()) }

// Partition names a partition.
type Partition struct {
	Topic     string `json:"topic,omitempty"`
	Partition int32  `json:"partition,omitempty"`
}

// String implements fmt.Stringer.
func (p Partition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Partition) }

// Record is a value at its offset.
type Record struct {
	Offset int64 `json:"o"`
	Value  Value `json:"v"`
}

// Op is one operation. Kind says which fields it has.
type Op struct {
	Kind    Kind          `json:"kind"`
	Proc    int32         `json:"proc"`
	Start   time.Duration `json:"start"` // since the history began
	End     time.Duration `json:"end"`
	Outcome Outcome       `json:"outcome"`
	Partition
	Offset      int64    `json:"offset,omitempty"`
	LeaderEpoch int32    `json:"leader_epoch,omitempty"`
	Value       Value    `json:"value,omitempty"`
	Records     []Record `json:"records,omitempty"`
	Group       string   `json:"group,omitempty"`
	Idempotent  bool     `json:"idempotent,omitempty"`
	Final       bool     `json:"final,omitempty"`
	Node        int32    `json:"node,omitempty"` // who was asked, where one was chosen
	Err         string   `json:"err,omitempty"`
}
