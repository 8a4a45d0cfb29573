package segment

import (
	"encoding/binary"
	"errors"
	"io/fs"

	"github.com/distributedmq/dmq/log/vfs"
)

// AbortedTxn is an entry of the transaction index.
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64
	LastOffset       int64 // of the abort marker
	LastStableOffset int64 // up to where read_committed could read once the marker was replicated
}

// AppendAborted adds an entry. Under the append lock.
func (s *Segment) AppendAborted(t AbortedTxn) error {
	if err := s.load(); err != nil {
		return err
	}
	var e [txnEntrySize]byte
	for i, v := range [...]int64{t.ProducerID, t.FirstOffset, t.LastOffset, t.LastStableOffset} {
		binary.BigEndian.PutUint64(e[2+8*i:], uint64(v))
	}
	s.txns.append(e[:])
	if err := s.txns.flush(s, TxnIndexSuffix); err != nil && !IsNoSpace(err) {
		return err
	}
	return nil
}

func parseAborted(e []byte) AbortedTxn {
	be := binary.BigEndian
	return AbortedTxn{
		ProducerID: int64(be.Uint64(e[2:])), FirstOffset: int64(be.Uint64(e[10:])),
		LastOffset: int64(be.Uint64(e[18:])), LastStableOffset: int64(be.Uint64(e[26:])),
	}
}

// AbortedTxns calls fn for the aborted transactions that end at or after from and begin before to. complete reports that
// those of later segments need not be looked at.
func (s *Segment) AbortedTxns(from, to int64, fn func(AbortedTxn)) (complete bool, err error) {
	if err := s.load(); err != nil {
		return false, err
	}
	r := s.reader(&s.txns, TxnIndexSuffix)
	defer r.close()
	for slot := range r.entries() {
		e, err := r.entry(slot)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errInconsistent) {
			return false, &CorruptError{Path: s.currentPath(TxnIndexSuffix), Position: int64(slot * txnEntrySize), Err: err}
		}
		if err != nil {
			return false, err
		}
		t := parseAborted(e)
		if t.LastOffset >= from && t.FirstOffset < to {
			fn(t)
		}
		if t.LastStableOffset >= to {
			return true, nil
		}
	}
	return false, nil
}

// CheckTxnIndex reports whether the transaction index, if there is one, can be what was written. One that is not has to be
// built anew by Recover: it takes the state of the producers.
func (s *Segment) CheckTxnIndex() (bool, error) {
	b, err := vfs.ReadFile(s.o.FS, s.currentPath(TxnIndexSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || len(b)%txnEntrySize != 0 {
		return false, err
	}
	limit, last := s.nextOffset.Load(), s.o.BaseOffset-1
	for ; len(b) > 0; b = b[txnEntrySize:] {
		t := parseAborted(b)
		if binary.BigEndian.Uint16(b) != 0 || t.FirstOffset < 0 || t.FirstOffset > t.LastOffset || t.LastOffset <= last || t.LastOffset >= limit {
			return false, nil
		}
		last = t.LastOffset
	}
	return true, nil
}
