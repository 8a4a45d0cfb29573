package records

import (
	"github.com/distributedmq/dmq/protocol/compress"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ValidateOptions say what a leader asks of a batch before it appends it.
type ValidateOptions struct {
	Now                                       int64 // wall clock in ms
	TimestampType                             TimestampType
	TimestampBeforeMaxMs, TimestampAfterMaxMs int64
	Compacted                                 bool           // every record needs a key
	TargetCodec                               compress.Codec // recompress to this codec
	TargetProducer                            bool           // keep the producer's codec
	Level                                     int            // of TargetCodec; 0 means compress.DefaultLevel
	MaxDecompressed                           int
	AllowControl                              bool // the broker's own batches: control records, any base offset
	FromLeader                                bool // replicated: only structure, size and CRC are checked
	MaxMessageBytes                           int32
}

// ValidateResult is what came of it. Batch is the same memory (with its maximum timestamp made true) or a rewritten batch.
type ValidateResult struct {
	Batch                Batch
	MaxTimestamp         int64
	OffsetOfMaxTimestamp int64 // delta from the base offset
	Rewritten            bool
}

// RecordError is what is wrong with one record.
type RecordError struct {
	Index int32
	Msg   string
}

// RecordErrors rejects a batch because of its records: INVALID_RECORD or INVALID_TIMESTAMP, with Produce v8+ record_errors.
type RecordErrors struct {
	Kind    errcode.Kind
	Msg     string
	Records []RecordError
}

func (e *RecordErrors) Error() string           { return e.Msg }
func (e *RecordErrors) ErrorKind() errcode.Kind { return e.Kind }

// Validate checks a batch as Kafka's log does before an append by the leader.
func Validate(b Batch, o ValidateOptions) (ValidateResult, error) { panic("not yet") }
