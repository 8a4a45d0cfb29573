package segment

import (
	"github.com/distributedmq/dmq/protocol/records"
)

// Batch describes a record batch in a segment, or a message of one of the older formats.
type Batch struct {
	Position     int64
	Size         int
	BaseOffset   int64 // of an old compressed message, whose inner offsets are not looked at: LastOffset
	LastOffset   int64
	MaxTimestamp int64 // -1: none
	LeaderEpoch  int32 // -1: none
	Magic        int8

	// Head is the beginning of the batch, at least its header, valid until the scanner's next step.
	Head []byte
	// Whole reports whether Head is all of it.
	Whole bool
}

// NextOffset is the offset that follows the batch.
func (b *Batch) NextOffset() int64 { return b.LastOffset + 1 }

// V2 is the batch's header as a view, and the whole batch when Whole. Only for Magic 2.
func (b *Batch) V2() records.Batch { return records.Batch(b.Head) }

// headerSize is enough of any batch to describe it.
const headerSize = records.HeaderSize

// describe reads the header of the batch or message that begins with head, which holds at least headerSize bytes or the
// whole batch.
func describe(head []byte, position int64) (Batch, error) {
	size, err := records.SizeOf(head)
	if err != nil {
		return Batch{}, err
	}
	b := Batch{Position: position, Size: size, Head: head[:min(size, len(head))], LeaderEpoch: records.NoLeaderEpoch}
	b.Whole = len(b.Head) == size
	if len(b.Head) < min(size, headerSize) {
		return Batch{}, records.ErrShort
	}
	b.Magic = int8(b.Head[records.LogOverhead+4])
	if b.Magic < records.Magic {
		legacy := records.Legacy(b.Head)
		b.LastOffset, b.MaxTimestamp = legacy.LastOffset(), legacy.MaxTimestamp()
		b.BaseOffset = b.LastOffset
		return b, nil
	}
	v2 := b.V2()
	b.BaseOffset, b.LastOffset = v2.BaseOffset(), v2.LastOffset()
	b.MaxTimestamp, b.LeaderEpoch = v2.MaxTimestamp(), v2.PartitionLeaderEpoch()
	return b, nil
}

// Describe describes a batch that is about to be appended.
func Describe(b records.Batch) Batch {
	return Batch{
		Size: len(b), BaseOffset: b.BaseOffset(), LastOffset: b.LastOffset(), MaxTimestamp: b.MaxTimestamp(),
		LeaderEpoch: b.PartitionLeaderEpoch(), Magic: records.Magic, Head: b, Whole: true,
	}
}
