package segment

import (
	"errors"
	"io"
	"io/fs"
	"math"

	"github.com/distributedmq/dmq/log/vfs"
)

// Recovered is what Recover found.
type Recovered struct {
	Size       int64          // bytes of valid batches
	NextOffset int64          // after the last of them
	Bad        *BadBatchError // what follows them, if anything
}

// Recover checks every batch, calls each for the valid ones in order, and builds the indexes anew. The transaction index is
// emptied: each adds to it. Nothing is cut; CutAt does that. The segment then ends after the last valid batch.
func (s *Segment) Recover(each func(b *Batch) error) (Recovered, error) {
	if err := s.removeTxnIndex(); err != nil {
		return Recovered{}, err
	}
	s.resetIndexes()
	s.mu.Lock()
	s.loaded = true
	s.mu.Unlock()
	h, err := s.file.acquire()
	if err != nil {
		return Recovered{}, err
	}
	defer s.file.release()
	info, err := h.Stat()
	if err != nil {
		return Recovered{}, err
	}
	s.size.Store(info.Size())
	s.nextOffset.Store(math.MaxInt64)
	res, err := s.recoverBatches(h, info.Size(), each)
	if err != nil {
		return res, err
	}
	s.nextOffset.Store(res.NextOffset)
	s.size.Store(res.Size)
	s.suspect.Store(false)
	s.appendTimeEntry() // as at the end of any segment that is not appended to
	return res, s.replaceIndexes()
}

func (s *Segment) recoverBatches(h vfs.File, size int64, each func(b *Batch) error) (Recovered, error) {
	sc := NewScanner(h, 0, size, s.o.BaseOffset, true)
	res := Recovered{NextOffset: s.o.BaseOffset}
	for {
		b, err := sc.Next()
		if errors.Is(err, io.EOF) || errors.As(err, &res.Bad) {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		if !s.Fits(b.LastOffset) {
			res.Bad = &BadBatchError{Position: b.Position, Err: errOrder}
			return res, nil
		}
		if b.BaseOffset > res.NextOffset {
			jumped, err := offsetJumped(h, &b, size, res.NextOffset)
			if err != nil {
				return res, err
			}
			if jumped {
				res.Bad = &BadBatchError{Position: b.Position, Err: ErrJumped}
				return res, nil
			}
		}
		s.indexBatch(b.LastOffset, b.MaxTimestamp, b.Position, int64(b.Size))
		if err := each(&b); err != nil {
			return res, err
		}
		res.Size, res.NextOffset = sc.Position(), b.NextOffset()
	}
}

// ErrJumped says that a batch's offset is larger than that of the batch behind it.
var ErrJumped = errors.New("offset is larger than that of the next batch")

// offsetJumped reports whether it is b's offset, which is outside the CRC, that is wrong, when b leaves a gap behind the
// batches before it, the next of which should have had the offset expected: then the batch behind b falls back into the
// gap. Compaction leaves gaps, too, but not that.
func offsetJumped(h vfs.File, b *Batch, size, expected int64) (bool, error) {
	next := b.Position + int64(b.Size)
	if next >= size {
		return false, nil
	}
	following, err := NewScanner(h, next, size, expected, false).Next()
	if _, ok := errors.AsType[*BadBatchError](err); ok {
		return false, nil
	}
	return err == nil && following.BaseOffset < b.NextOffset(), err
}

// CutAt makes position the end of the .log file.
func (s *Segment) CutAt(position, nextOffset int64) error {
	h, err := s.file.acquire()
	if err != nil {
		return err
	}
	defer s.file.release()
	err = h.Truncate(position)
	s.file.wrote()
	if err != nil {
		return err
	}
	s.size.Store(position)
	s.nextOffset.Store(nextOffset)
	return nil
}

func (s *Segment) removeTxnIndex() error {
	s.txns.reset(0, nil)
	err := s.o.FS.Remove(s.currentPath(TxnIndexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
