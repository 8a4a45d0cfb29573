package coordlog

import "time"

// Machine is the state of a coordinator partition. Only records change what has to survive: Replay is the one place where
// they take effect, whether they come from the log or from an operation, so that a restarted coordinator is in the state
// of the one before.
//
// All methods run on the shard's loop: by one goroutine at a time.
type Machine interface {
	// Replay applies one record, whose bytes are only good during the call. An error means that the record cannot be
	// understood: the partition is then not served, since answering without it could contradict what a client was told.
	Replay(r Record) error
	// ReplayMarker ends the transaction of a producer in this partition.
	ReplayMarker(m Marker) error
	// Loaded is called once, when everything is replayed: the place to start timers.
	Loaded(fx Effects)
}

// Record is a record of a coordinator's partition.
type Record struct {
	Offset     int64 // where it lies in the log; given by Append
	Timestamp  int64 // milliseconds
	ProducerID int64 // of the transaction that it is part of; -1: none
	Epoch      int16 // of the producer

	Key   []byte
	Value []byte // nil: a tombstone
}

// NewRecord returns a record outside of any transaction. A nil value is a tombstone.
func NewRecord(key, value []byte) Record {
	return Record{ProducerID: -1, Epoch: -1, Key: key, Value: value}
}

// Marker ends a transaction.
type Marker struct {
	Offset     int64
	ProducerID int64
	Epoch      int16
	Commit     bool // else it is aborted
}

// Effects is how an operation acts on the world. It is only good while the operation runs.
type Effects interface {
	// Now is the time of the operation. It does not change while it runs.
	Now() time.Time

	// Append appends records, all or none, and has the machine replay them before it returns; it keeps none of their
	// bytes. It fails with MESSAGE_TOO_LARGE, and nothing happens, when they do not fit into one batch. When writing them
	// to the log fails later, the operation and all after it are answered with an error, and the machine is built anew
	// from the log: no operation sees that.
	Append(records ...Record) error

	// Reply calls send, on the loop, when everything that was appended so far is committed. When it never will be, send is
	// not called: the shard answers the callers of its operations itself. Those need no Reply: the reply that Submit gives
	// to an operation waits by itself.
	Reply(send func())

	// SetTimer has f run on the loop at a time, in place of an older timer of that name.
	SetTimer(name string, at time.Time, f func(fx Effects))
	// CancelTimer ends a timer, if it is set.
	CancelTimer(name string)

	// Go runs work on another goroutine and then the function that it returned on the loop, if that is not nil. work must
	// not touch the machine.
	Go(work func() func(fx Effects))
}
