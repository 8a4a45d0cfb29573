package records

import "github.com/distributedmq/dmq/protocol/compress"

// BuilderOptions are the header fields of a batch to build. The zero value is an uncompressed batch of CreateTime at offset 0
// without a producer: NewBuilder takes ProducerID 0 with HasProducer false for none.
type BuilderOptions struct {
	BaseOffset           int64
	PartitionLeaderEpoch int32
	Codec                compress.Codec
	Level                int // 0 means compress.DefaultLevel
	TimestampType        TimestampType
	LogAppendTime        int64 // the timestamp of every record when TimestampType is LogAppendTime
	HasProducer          bool
	ProducerID           int64
	ProducerEpoch        int16
	BaseSequence         int32
	Transactional        bool
	Control              bool
}

// Builder makes one batch of records appended in order.
type Builder struct{ o BuilderOptions }

func NewBuilder(o BuilderOptions) *Builder { return &Builder{o: o} }

func (b *Builder) Append(ts int64, key, value []byte, headers ...Header) { panic("not yet") }
func (b *Builder) Count() int                                            { panic("not yet") }
func (b *Builder) Bytes() (Batch, error)                                 { panic("not yet") }
