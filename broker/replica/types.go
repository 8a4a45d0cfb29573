package replica

import (
	"time"

	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/records"
)

// Unset is what requests send for an offset or epoch they do not know.
const Unset = -1

// Leader names a partition's leader; both fields are -1 when it is not to be told (KIP-951).
type Leader struct {
	ID    protocol.NodeID
	Epoch protocol.LeaderEpoch
}

// EpochEnd is the end of a leader epoch; Epoch -1 is none.
type EpochEnd struct {
	Epoch     protocol.LeaderEpoch
	EndOffset int64
}

// Origin says who appends.
type Origin uint8

// The origins.
const (
	FromClient      Origin = iota // checked in full
	FromCoordinator               // records of this broker's own coordinators
)

// Append is the records for one partition and, once appended, what became of them.
type Append struct {
	protocol.TopicIDPartition        // a zero ID is not compared
	Records                   []byte // exactly one batch, which is restamped in place
	// LeaderEpoch is the one in which an append FromCoordinator is made: in any other it is NOT_LEADER_OR_FOLLOWER, since
	// what the coordinator knows may not be what the log has. Clients name none.
	LeaderEpoch protocol.LeaderEpoch

	Result AppendResult
}

// AppendResult is the answer for one partition.
type AppendResult struct {
	Err            error // carries a kind of errcode
	BaseOffset     int64 // -1 when nothing was appended
	LogAppendTime  int64 // -1 unless the topic says LogAppendTime
	LogStartOffset int64
	RecordErrors   *records.RecordErrors // which records were bad, when Err says so
	CurrentLeader  Leader                // with KindNotLeaderForPartition

	// Of an append whose acknowledgement is waited for:
	wait        bool
	partition   *Partition
	leaderEpoch protocol.LeaderEpoch
	required    int64 // acknowledged when everything below this offset is synced, or below the high watermark
}

// AppendOptions are common to all partitions of one produce request.
type AppendOptions struct {
	Acks    int16 // -1, 0 or 1
	Timeout time.Duration
	Origin  Origin
}

// Isolation is up to where a reader sees.
type Isolation uint8

// The isolations.
const (
	ReadUncommitted Isolation = iota // up to the high watermark
	ReadCommitted                    // up to the last stable offset
	ReadLogEnd                       // everything: followers
)

// ReadPartition is what is wanted of one partition.
type ReadPartition struct {
	protocol.TopicIDPartition // a zero ID is not compared
	FetchOffset               int64
	MaxBytes                  int
	CurrentLeaderEpoch        protocol.LeaderEpoch // as the client knows it; -1: unknown
	LastFetchedEpoch          protocol.LeaderEpoch // of the batch before FetchOffset; -1: not to be compared
	LogStartOffset            int64                // of a follower: of its log
}

// ReadOptions are common to all partitions of one fetch request.
type ReadOptions struct {
	ReplicaID protocol.NodeID // of a follower; -1: a consumer
	// BrokerEpoch is the follower's; -1: not told. FetchOffset is where its log ends, in durable mode up to where it is
	// synced: what the leader notes of it, but for a read Again after a wait, which says nothing new.
	BrokerEpoch protocol.BrokerEpoch
	Again       bool
	// AnyReplica says that a follower may be read from, up to its own high watermark. Rack is where the reader is and
	// Listener where it can reach other brokers; empty: not told.
	AnyReplica     bool
	Rack, Listener string
	Isolation      Isolation
	MinBytes       int
	MaxBytes       int

	at time.Time // of a follower's read
}

// Records are whole batches as they lie in the log. They are closed once, by whoever got them.
type Records interface {
	Size() int
	// Bytes is everything where it is in memory, else nil.
	Bytes() []byte
	ReadAt(p []byte, off int64) (int, error)
	Close() error
}

// AbortedTxn is a transaction whose records a read_committed consumer skips from FirstOffset on.
type AbortedTxn struct {
	ProducerID  protocol.ProducerID
	FirstOffset int64
}

// ReadResult is the answer for one partition.
type ReadResult struct {
	Err              error // carries a kind of errcode
	HighWatermark    int64 // -1 with an error
	LastStableOffset int64
	LogStartOffset   int64
	Records          Records         // nil: none
	Aborted          []AbortedTxn    // with ReadCommitted, not nil then
	Diverging        EpochEnd        // the log went another way than the reader's: no records
	Preferred        protocol.NodeID // the replica to read from instead of the leader: no records; -1: none
	CurrentLeader    Leader          // with KindNotLeaderForPartition and KindFencedLeaderEpoch
}

// Timestamps of ListOffsets that stand for a place in the log.
const (
	Latest                int64 = -1
	Earliest              int64 = -2
	MaxTimestamp          int64 = -3
	EarliestLocal         int64 = -4
	LatestTiered          int64 = -5
	EarliestPendingUpload int64 = -6
)

// ListOffset is a look-up by time.
type ListOffset struct {
	protocol.TopicPartition
	CurrentLeaderEpoch protocol.LeaderEpoch
	Timestamp          int64 // or one of the constants
	Isolation          Isolation
	FromAnyReplica     bool // of a debugging client (replica id -2): the leader need not answer
}

// FoundOffset is what ListOffset found: all three are -1 when there is nothing.
type FoundOffset struct {
	Offset, Timestamp int64
	LeaderEpoch       protocol.LeaderEpoch
}

// LeaderStats describes one partition that this broker leads.
type LeaderStats struct {
	protocol.TopicPartition
	Replicas, ISR int
	Preferred     bool // the leader is the first replica
	UnderMinISR   bool
	AtMinISR      bool

	Open                                        bool // the log is open: the fields below are known
	LogStartOffset, LogEndOffset, HighWatermark int64
	Size                                        int64
	Segments                                    int
}

// FollowerStats describes a broker that follows partitions which this broker leads.
type FollowerStats struct {
	ID        protocol.NodeID
	OutOfSync int   // partitions whose replica there is not in sync
	MaxLag    int64 // offsets that the one furthest behind is behind the end of the log here; -1: it has not fetched any yet
}

// Stats counts what is hosted, for metrics.
type Stats struct {
	Partitions, Leaders          int
	UnderReplicated, UnderMinISR int
	AtMinISR, OfflineReplicas    int
	DelayedProduces              int
	DelayedFetches               int

	ISRShrinks, ISRExpands, FailedISRUpdates int64 // since the start
	Lost                                     int64 // committed records that followers gave up after unclean elections, since the start
}
