package cleaner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/records"
)

// output is the segment that a group of segments is compacted into.
type output struct {
	hold  *commitlog.Compaction
	limit int // of buf
	pause func(ctx context.Context, bytes int) error

	// Of the group.
	segment *segment.Segment     // nil: all batches of source so far stay as they are, and nothing was written
	source  *segment.Segment     // of a group of one
	aborted []segment.AbortedTxn // of source, for the transaction index
	buf     []byte               // batches on their way into the segment
	batches []segment.Batch      // what is in buf
	next    int64                // offset after the last batch
}

// errTooLarge says that a segment would need positions that its index cannot hold.
var errTooLarge = errors.New("compacted segment would be larger than 2 GiB")

// errFull says that nothing may be written to the directory now.
var errFull = errors.New("nothing may be written")

// begin begins a group.
func (o *output) begin(old []*segment.Segment) error {
	o.segment, o.source, o.aborted = nil, old[0], o.aborted[:0]
	o.buf, o.batches, o.next = o.buf[:0], o.batches[:0], old[0].BaseOffset()
	if len(old) == 1 {
		return nil
	}
	return o.create()
}

func (o *output) create() (err error) {
	if o.segment, err = o.hold.Create(o.source.BaseOffset()); err != nil {
		return o.hold.Fail(err)
	}
	return nil
}

// add takes what stays of batch b: what was appended to buf from position start on. aborted is a transaction whose entry stays
// in the transaction index.
func (o *output) add(ctx context.Context, start int, b *segment.Batch, unchanged bool, aborted *segment.AbortedTxn) error {
	if o.segment == nil {
		if unchanged {
			o.buf = o.buf[:start]
			if aborted != nil {
				o.aborted = append(o.aborted, *aborted)
			}
			return nil
		}
		if err := o.catchUp(ctx, b.Position); err != nil {
			return err
		}
	}
	o.describe(start)
	if aborted != nil {
		if err := o.segment.AppendAborted(*aborted); err != nil {
			return o.hold.Fail(err)
		}
	}
	if len(o.buf) < o.limit {
		return nil
	}
	return o.flush(ctx)
}

// describe notes the batch that was appended to buf from position start on, if there is one.
func (o *output) describe(start int) {
	if start == len(o.buf) {
		return
	}
	d := segment.Describe(records.Batch(o.buf[start:]))
	d.Head = nil // buf may move
	o.batches = append(o.batches, d)
	o.next = d.NextOffset()
}

// catchUp makes the segment and copies what lies before the first batch that changed. It was read and checked before.
func (o *output) catchUp(ctx context.Context, position int64) error {
	if err := o.create(); err != nil {
		return err
	}
	for _, t := range o.aborted {
		if err := o.segment.AppendAborted(t); err != nil {
			return o.hold.Fail(err)
		}
	}
	h, err := o.source.Acquire()
	if err != nil {
		return o.hold.ReadFailed(err)
	}
	defer h.Close()
	sc := segment.NewScanner(h, 0, position, o.source.BaseOffset(), false)
	var buf []byte
	var batches []segment.Batch
	for copied := int64(0); copied < position; {
		b, err := sc.Next()
		if err != nil {
			return o.hold.ReadFailed(err)
		}
		b.Head = nil
		batches = append(batches, b)
		n := int(sc.Position() - copied)
		if n < o.limit && sc.Position() < position {
			continue
		}
		if buf, err = o.read(ctx, h, buf, copied, n); err != nil {
			return err
		}
		if err := o.write(ctx, buf, batches); err != nil {
			return err
		}
		copied, batches = sc.Position(), batches[:0]
	}
	return nil
}

// read reads n bytes of the source into buf.
func (o *output) read(ctx context.Context, r io.ReaderAt, buf []byte, position int64, n int) ([]byte, error) {
	if err := o.pause(ctx, n); err != nil {
		return buf, err
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if got, err := r.ReadAt(buf, position); got < n {
		return buf, o.hold.Fail(err)
	}
	return buf, nil
}

// flush writes what is in buf.
func (o *output) flush(ctx context.Context) error {
	if len(o.buf) == 0 {
		return nil
	}
	if err := o.write(ctx, o.buf, o.batches); err != nil {
		return err
	}
	o.buf, o.batches = o.buf[:0], o.batches[:0]
	return nil
}

func (o *output) write(ctx context.Context, buf []byte, batches []segment.Batch) error {
	if err := o.pause(ctx, len(buf)); err != nil {
		return err
	}
	if err := o.hold.Admit(); err != nil {
		return fmt.Errorf("%w: %w", errFull, err)
	}
	if o.segment.Size()+int64(len(buf)) > math.MaxInt32 {
		return errTooLarge
	}
	if err := o.segment.Append([][]byte{buf}, batches); err != nil {
		return o.hold.Fail(err)
	}
	o.next = max(o.next, batches[len(batches)-1].NextOffset())
	return nil
}
