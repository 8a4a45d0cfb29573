package raftstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// The names of raft's stable values that need care.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

const voteFormat = 1

// vote is the last vote this node gave.
type vote struct {
	term      uint64
	candidate []byte
}

func (v vote) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{voteFormat}, v.term)
	return seal(append(b, v.candidate...))
}

func decodeVote(value []byte) (vote, error) {
	b, err := unseal(value)
	if err != nil {
		return vote{}, err
	}
	if len(b) < 9 || b[0] != voteFormat {
		return vote{}, fmt.Errorf("vote record of %d bytes: unknown format", len(b))
	}
	return vote{term: binary.BigEndian.Uint64(b[1:]), candidate: b[9:]}, nil
}

func stableKey(name string) []byte { return append([]byte{'k'}, name...) }

func (s *Store) loadStable() error {
	value, err := s.engine.get([]byte{'v'})
	switch {
	case err == nil:
		if s.vote, err = decodeVote(value); err != nil {
			return fmt.Errorf("read vote: %w", err)
		}
		s.voted = true
	case !errors.Is(err, errNotFound):
		return fmt.Errorf("read vote: %w", err)
	}
	if s.term, err = s.read(keyCurrentTerm); err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}

// Get implements raft's StableStore.
func (s *Store) Get(key []byte) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.err != nil {
		return nil, s.err
	}
	switch string(key) {
	case keyLastVoteCand:
		if !s.voted {
			return nil, errNotFound
		}
		return bytes.Clone(s.vote.candidate), nil
	case keyLastVoteTerm:
		if !s.voted {
			return nil, errNotFound
		}
		return binary.BigEndian.AppendUint64(nil, s.vote.term), nil
	case keyCurrentTerm:
		if s.term == nil {
			return nil, errNotFound
		}
		return bytes.Clone(s.term), nil
	default:
		return s.read(string(key))
	}
}

// read reads a plain stable value. A missing one is errNotFound itself.
func (s *Store) read(name string) ([]byte, error) {
	value, err := s.engine.get(stableKey(name))
	if errors.Is(err, errNotFound) {
		return nil, errNotFound
	}
	if err == nil {
		value, err = unseal(value)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return value, nil
}

// GetUint64 implements raft's StableStore.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("read %s: %d bytes are no number", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}

// SetUint64 implements raft's StableStore. LastVoteTerm is held back until LastVoteCand comes.
func (s *Store) SetUint64(key []byte, v uint64) error {
	if string(key) == keyLastVoteTerm {
		s.writing.Lock()
		defer s.writing.Unlock()
		if s.err != nil {
			return s.err
		}
		s.heldTerm = &v
		return nil
	}
	return s.Set(key, binary.BigEndian.AppendUint64(nil, v))
}

// Set implements raft's StableStore.
func (s *Store) Set(key, value []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.err != nil {
		return s.err
	}
	switch string(key) {
	case keyLastVoteTerm:
		if len(value) != 8 {
			return fmt.Errorf("write %s: %d bytes are no number", key, len(value))
		}
		v := binary.BigEndian.Uint64(value)
		s.heldTerm = &v
		return nil
	case keyLastVoteCand:
		return s.setVoteLocked(value)
	case keyCurrentTerm:
		return s.setTermLocked(value)
	default:
		b := &batch{}
		b.set(stableKey(string(key)), seal(value))
		return s.commitLocked(b, false)
	}
}

func (s *Store) setVoteLocked(candidate []byte) error {
	if s.heldTerm == nil {
		return fmt.Errorf("write %s: the term of the vote was not given", keyLastVoteCand)
	}
	v := vote{term: *s.heldTerm, candidate: bytes.Clone(candidate)}
	s.heldTerm = nil
	b := &batch{}
	b.set([]byte{'v'}, v.encode())
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() { s.vote, s.voted = v, true })
	return nil
}

// setTermLocked skips the write that raft does at every start: the value it has just read, or 0 for none.
func (s *Store) setTermLocked(value []byte) error {
	if bytes.Equal(value, s.term) || (s.term == nil && bytes.Equal(value, make([]byte, 8))) {
		return nil
	}
	b := &batch{}
	b.set(stableKey(keyCurrentTerm), seal(value))
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() { s.term = bytes.Clone(value) })
	return nil
}
