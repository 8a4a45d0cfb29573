package raftstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"sync"

	hraft "github.com/hashicorp/raft"
)

// errNotFound is what raft must see for a missing key, to the letter.
var errNotFound = errors.New("not found")

// ErrClosed says that the store was closed.
var ErrClosed = errors.New("raft store is closed")

// ErrDamaged says that stored bytes do not have their checksum.
var ErrDamaged = errors.New("raft store is damaged")

// Store is a raft LogStore, StableStore and, through Snapshots, SnapshotStore.
type Store struct {
	logger *slog.Logger
	fatal  func(error)

	engine engine
	ahead  readAhead

	writing  sync.Mutex // held by whoever writes, across the sync; taken before mu
	heldTerm *uint64    // LastVoteTerm waiting for LastVoteCand; guarded by writing
	nextSeq  uint64     // of the next snapshot; guarded by writing

	mu          sync.RWMutex // guards the fields below, never held across a sync; they change only with writing held too
	err         error        // why nothing works any more
	first, last uint64
	term        []byte // CurrentTerm as stored, nil: missing
	voted       bool
	vote        vote
	snapshots   []snapshotMeta // complete ones, oldest first
}

var (
	_ hraft.LogStore          = (*Store)(nil)
	_ hraft.MonotonicLogStore = (*Store)(nil)
	_ hraft.StableStore       = (*Store)(nil)
)

const storeFormat = 1

// newStore reads what the engine holds.
func newStore(e engine, logger *slog.Logger, fatal func(error)) (*Store, error) {
	s := &Store{logger: logger, fatal: fatal, engine: e, nextSeq: 1}
	if err := s.loadFormat(); err != nil {
		return nil, err
	}
	if err := s.loadBounds(); err != nil {
		return nil, err
	}
	if err := s.loadStable(); err != nil {
		return nil, err
	}
	if err := s.loadSnapshots(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) loadFormat() error {
	v, err := s.engine.get([]byte{'f'})
	switch {
	case errors.Is(err, errNotFound):
		b := &batch{}
		b.set([]byte{'f'}, []byte{storeFormat})
		return s.engine.commit(b, true) // durable with the first write that matters
	case err != nil:
		return fmt.Errorf("read store format: %w", err)
	case len(v) != 1 || v[0] != storeFormat:
		return fmt.Errorf("raft store has format %v, this program reads %d: it was written by a newer version of dmq; upgrade this node", v, storeFormat)
	}
	return nil
}

// Close releases the store. What was written stays.
func (s *Store) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if errors.Is(s.err, ErrClosed) {
		return nil
	}
	failed := s.err
	s.update(func() { s.err = ErrClosed })
	if failed != nil {
		return nil // what failed may still be held by somebody; the process is on its way out
	}
	if err := s.engine.close(); err != nil {
		return fmt.Errorf("close raft store: %w", err)
	}
	return nil
}

// failed returns why nothing works any more, if so.
func (s *Store) failed() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.err
}

// update changes the fields that mu guards. The caller holds writing.
func (s *Store) update(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// commitLocked writes or kills the store. The caller holds writing.
func (s *Store) commitLocked(b *batch, lazy bool) error {
	if s.err != nil {
		return s.err
	}
	if err := s.engine.commit(b, lazy); err != nil {
		err = fmt.Errorf("raft store failed: %w", err)
		s.update(func() { s.err = err })
		s.logger.Error("raft store failed, this node must stop", slog.Any("err", err))
		s.fatal(err)
		return err
	}
	return nil
}

// seal prepends the checksum.
func seal(body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(body)), checksum(body)), body...)
}

// unseal checks the checksum and returns the body.
func unseal(value []byte) ([]byte, error) {
	if len(value) < 4 || checksum(value[4:]) != binary.BigEndian.Uint32(value) {
		return nil, ErrDamaged
	}
	return value[4:], nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
