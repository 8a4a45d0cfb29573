package raftstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	hraft "github.com/hashicorp/raft"
)

const entryFormat = 1

func logKey(index uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'l'}, index) }

func encodeEntry(l *hraft.Log) []byte {
	b := make([]byte, 4, 4+1+8+1+8+binary.MaxVarintLen64+len(l.Extensions)+len(l.Data))
	b = append(b, entryFormat)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Type))
	var appended int64
	if !l.AppendedAt.IsZero() {
		appended = l.AppendedAt.UnixNano()
	}
	b = binary.BigEndian.AppendUint64(b, uint64(appended))
	b = binary.AppendUvarint(b, uint64(len(l.Extensions)))
	b = append(b, l.Extensions...)
	b = append(b, l.Data...)
	binary.BigEndian.PutUint32(b, checksum(b[4:]))
	return b
}

func decodeEntry(value []byte, l *hraft.Log) error {
	b, err := unseal(value)
	if err != nil {
		return err
	}
	if len(b) < 18 || b[0] != entryFormat {
		return fmt.Errorf("entry of %d bytes: unknown format", len(b))
	}
	l.Term = binary.BigEndian.Uint64(b[1:])
	l.Type = hraft.LogType(b[9])
	l.AppendedAt = time.Time{}
	if appended := int64(binary.BigEndian.Uint64(b[10:])); appended != 0 {
		l.AppendedAt = time.Unix(0, appended)
	}
	b = b[18:]
	n, size := binary.Uvarint(b)
	if size <= 0 || n > uint64(len(b)-size) {
		return fmt.Errorf("entry claims %d bytes of extensions: %w", n, ErrDamaged)
	}
	b = b[size:]
	l.Extensions, l.Data = nil, nil
	if n > 0 {
		l.Extensions = b[:n:n]
	}
	if len(b[n:]) > 0 {
		l.Data = b[n:]
	}
	return nil
}

func (s *Store) loadBounds() error {
	bound := func(reverse bool) (index uint64, err error) {
		err = s.engine.scan([]byte{'l'}, []byte{'l' + 1}, reverse, func(key, _ []byte) bool {
			index = binary.BigEndian.Uint64(key[1:])
			return false
		})
		if err != nil {
			return 0, fmt.Errorf("find the ends of the raft log: %w", err)
		}
		return index, nil
	}
	var err error
	if s.first, err = bound(false); err != nil {
		return err
	}
	s.last, err = bound(true)
	return err
}

// FirstIndex implements raft's LogStore.
func (s *Store) FirstIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.first, s.err
}

// LastIndex implements raft's LogStore.
func (s *Store) LastIndex() (uint64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.last, s.err
}

// IsMonotonic tells raft that the log may have no gaps.
func (s *Store) IsMonotonic() bool { return true }

// GetLog implements raft's LogStore.
func (s *Store) GetLog(index uint64, l *hraft.Log) error {
	if err := s.failed(); err != nil {
		return err
	}
	value, err := s.ahead.get(s.engine, index)
	if errors.Is(err, errNotFound) {
		return hraft.ErrLogNotFound
	}
	if err == nil {
		l.Index = index
		err = decodeEntry(value, l)
	}
	if err != nil {
		return fmt.Errorf("read raft log at %d: %w", index, err)
	}
	return nil
}

const (
	aheadEntries = 256
	aheadBytes   = 256 << 10
)

// readAhead keeps the raw entries that follow the one read last: raft reads its log in order, one entry a call.
type readAhead struct {
	mu         sync.Mutex // guards the fields below
	from       uint64
	values     [][]byte
	generation int // changes with every deletion
}

func (r *readAhead) get(e engine, index uint64) ([]byte, error) {
	r.mu.Lock()
	if n := index - r.from; index >= r.from && n < uint64(len(r.values)) {
		value := r.values[n]
		r.mu.Unlock()
		return value, nil
	}
	generation := r.generation
	r.mu.Unlock()

	var values [][]byte
	size, next := 0, index
	err := e.scan(logKey(index), []byte{'l' + 1}, false, func(key, value []byte) bool {
		if binary.BigEndian.Uint64(key[1:]) != next {
			return false
		}
		values = append(values, bytes.Clone(value))
		next++
		size += len(value)
		return len(values) < aheadEntries && size < aheadBytes
	})
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, errNotFound
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.generation == generation {
		r.from, r.values = index, values
	}
	return values[0], nil
}

func (r *readAhead) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.generation++
	r.from, r.values = 0, nil
}

// StoreLog implements raft's LogStore.
func (s *Store) StoreLog(l *hraft.Log) error { return s.StoreLogs([]*hraft.Log{l}) }

// StoreLogs implements raft's LogStore: one atomic, synced write.
func (s *Store) StoreLogs(logs []*hraft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	b := &batch{ops: make([]op, 0, len(logs))}
	for i, l := range logs {
		if l.Index != logs[0].Index+uint64(i) {
			return fmt.Errorf("append raft log at %d: entry %d follows %d", logs[0].Index, l.Index, logs[i-1].Index)
		}
		b.set(logKey(l.Index), encodeEntry(l))
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.last != 0 && logs[0].Index != s.last+1 {
		return fmt.Errorf("append raft log at %d: the log ends at %d", logs[0].Index, s.last)
	}
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() {
		if s.first == 0 {
			s.first = logs[0].Index
		}
		s.last = logs[len(logs)-1].Index
	})
	return nil
}

// DeleteRange implements raft's LogStore: it drops a prefix (compaction), a suffix (entries another leader overruled) or
// everything. Compaction stops short of the older snapshot kept.
func (s *Store) DeleteRange(low, high uint64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.last == 0 || high < low {
		return nil
	}
	low, high = max(low, s.first), min(high, s.last)
	if low > s.first && high < s.last {
		return fmt.Errorf("delete raft log %d to %d: it would leave a gap in %d to %d", low, high, s.first, s.last)
	}
	if compaction := low == s.first && high < s.last; compaction {
		high = min(high, s.oldestSnapshotLocked())
	}
	if high < low {
		return nil
	}
	b := &batch{}
	b.deleteRange(logKey(low), logKey(high+1))
	defer s.ahead.drop() // after the write: what is read before it must not be kept either
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() {
		switch {
		case low == s.first && high == s.last:
			s.first, s.last = 0, 0
		case low == s.first:
			s.first = high + 1
		default:
			s.last = low - 1
		}
	})
	return nil
}
