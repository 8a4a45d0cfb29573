package cleaner

import (
	"context"
	"errors"
	"fmt"
	"math"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// output is the segment that a group of segments is compacted into.
type output struct {
	hold    *commitlog.Compaction
	segment *segment.Segment
	limit   int // of buf

	buf     []byte // batches on their way into the segment
	batches []segment.Batch
	next    int64 // offset after the last batch
}

// errTooLarge says that a segment would need positions that its index cannot hold.
var errTooLarge = errors.New("compacted segment would be larger than 2 GiB")

// errFull says that nothing may be written to the directory now.
var errFull = errors.New("nothing may be written")

// begin makes the segment.
func (o *output) begin(base int64) (err error) {
	o.segment, err = o.hold.Create(base)
	o.buf, o.batches, o.next = o.buf[:0], o.batches[:0], base
	return err
}

// add takes the batch that was appended to buf from position start on, if there is one.
func (o *output) add(start int) {
	if start == len(o.buf) {
		return
	}
	d := segment.Describe(records.Batch(o.buf[start:]))
	d.Head = nil // buf may move
	o.batches = append(o.batches, d)
	o.next = d.NextOffset()
}

// flush writes what is in buf. pause is asked before, with the number of bytes.
func (o *output) flush(ctx context.Context, pause func(ctx context.Context, n int) error) error {
	if len(o.buf) == 0 {
		return nil
	}
	if err := pause(ctx, len(o.buf)); err != nil {
		return err
	}
	if err := o.hold.Admit(); err != nil {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	if o.segment.Size()+int64(len(o.buf)) > math.MaxInt32 {
		return errTooLarge
	}
	if err := o.segment.Append([][]byte{o.buf}, o.batches); err != nil {
		return o.hold.Fail(err)
	}
	o.buf, o.batches = o.buf[:0], o.batches[:0]
	return nil
}
