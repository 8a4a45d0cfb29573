package raftstore

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"log/slog"
	"slices"

	hraft "github.com/hashicorp/raft"
)

const (
	snapshotsKept = 2
	chunkBytes    = 256 << 10
)

// snapshotMeta describes a complete snapshot.
type snapshotMeta struct {
	Seq                uint64                `json:"seq"` // tells apart snapshots of the same position
	Version            hraft.SnapshotVersion `json:"version"`
	Index              uint64                `json:"index"`
	Term               uint64                `json:"term"`
	Configuration      hraft.Configuration   `json:"configuration"`
	ConfigurationIndex uint64                `json:"configuration_index"`
	Size               int64                 `json:"size"`
	Chunks             uint32                `json:"chunks"`
	CRC                uint32                `json:"crc32c"`
}

// id is the part of the keys that names the snapshot. Its order is the order of age.
func (m *snapshotMeta) id() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.Term)
	b = binary.BigEndian.AppendUint64(b, m.Index)
	return binary.BigEndian.AppendUint64(b, m.Seq)
}

func (m *snapshotMeta) key(kind byte) []byte { return append([]byte{kind}, m.id()...) }

func (m *snapshotMeta) chunkKey(n uint32) []byte {
	return binary.BigEndian.AppendUint32(m.key('d'), n)
}

func (m *snapshotMeta) raft() *hraft.SnapshotMeta {
	return &hraft.SnapshotMeta{
		Version: m.Version, ID: hex.EncodeToString(m.id()), Index: m.Index, Term: m.Term,
		Configuration: m.Configuration, ConfigurationIndex: m.ConfigurationIndex, Size: m.Size,
	}
}

// loadSnapshots reads the list and drops the bytes of snapshots that a crash left unfinished.
func (s *Store) loadSnapshots() error {
	complete := map[string]bool{}
	for _, kind := range []byte{'m', 'x'} {
		var bad error
		err := s.engine.scan([]byte{kind}, []byte{kind + 1}, false, func(key, value []byte) bool {
			var m snapshotMeta
			body, err := unseal(value)
			if err == nil {
				err = json.Unmarshal(body, &m)
			}
			if err != nil {
				bad = fmt.Errorf("read snapshot description %x: %w", key, err)
				return false
			}
			complete[string(key[1:])] = true
			s.nextSeq = max(s.nextSeq, m.Seq+1)
			if kind == 'm' {
				s.snapshots = append(s.snapshots, m)
			}
			return true
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
	}
	b := &batch{}
	err := s.engine.scan([]byte{'d'}, []byte{'d' + 1}, false, func(key, _ []byte) bool {
		if id := key[1 : len(key)-4]; !complete[string(id)] {
			prefix := append([]byte{'d'}, id...)
			b.deleteRange(prefix, after(prefix))
			complete[string(id)] = true // one deletion each
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("find unfinished snapshots: %w", err)
	}
	if len(b.ops) == 0 {
		return nil
	}
	return s.engine.commit(b, true)
}

// oldestSnapshotLocked is the index up to which the log may be compacted; 0 while fewer than two snapshots are kept.
func (s *Store) oldestSnapshotLocked() uint64 {
	if len(s.snapshots) < snapshotsKept {
		return 0
	}
	return s.snapshots[len(s.snapshots)-snapshotsKept].Index
}

// Snapshots returns the store's raft SnapshotStore.
func (s *Store) Snapshots() hraft.SnapshotStore { return snapshots{s} }

type snapshots struct{ s *Store }

// Create implements raft's SnapshotStore.
func (sn snapshots) Create(version hraft.SnapshotVersion, index, term uint64, configuration hraft.Configuration,
	configurationIndex uint64, _ hraft.Transport,
) (hraft.SnapshotSink, error) {
	s := sn.s
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	m := snapshotMeta{
		Seq: s.nextSeq, Version: version, Index: index, Term: term,
		Configuration: configuration, ConfigurationIndex: configurationIndex,
	}
	s.nextSeq++
	return &sink{s: s, meta: m, crc: crc32.New(crc32.MakeTable(crc32.Castagnoli))}, nil
}

// List implements raft's SnapshotStore: newest first, without damaged ones.
func (sn snapshots) List() ([]*hraft.SnapshotMeta, error) {
	s := sn.s
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.err != nil {
		return nil, s.err
	}
	list := make([]*hraft.SnapshotMeta, 0, len(s.snapshots))
	for i := len(s.snapshots) - 1; i >= 0; i-- {
		list = append(list, s.snapshots[i].raft())
	}
	return list, nil
}

// Open implements raft's SnapshotStore. A damaged snapshot is set aside and raft goes on to the one before it.
func (sn snapshots) Open(id string) (*hraft.SnapshotMeta, io.ReadCloser, error) {
	s := sn.s
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.err != nil {
		return nil, nil, s.err
	}
	for i := range s.snapshots {
		m := s.snapshots[i]
		if hex.EncodeToString(m.id()) != id {
			continue
		}
		data, err := s.readSnapshotLocked(&m)
		if err != nil {
			if errors.Is(err, ErrDamaged) {
				err = errors.Join(err, s.setAsideLocked(i))
			}
			return nil, nil, fmt.Errorf("open snapshot %s: %w", id, err)
		}
		return m.raft(), io.NopCloser(bytes.NewReader(data)), nil
	}
	return nil, nil, fmt.Errorf("open snapshot %s: %w", id, errNotFound)
}

func (s *Store) readSnapshotLocked(m *snapshotMeta) ([]byte, error) {
	data := make([]byte, 0, m.Size)
	for n := range m.Chunks {
		chunk, err := s.engine.get(m.chunkKey(n))
		if errors.Is(err, errNotFound) {
			return nil, fmt.Errorf("chunk %d is missing: %w", n, ErrDamaged)
		}
		if err != nil {
			return nil, err
		}
		data = append(data, chunk...)
	}
	if int64(len(data)) != m.Size || checksum(data) != m.CRC {
		return nil, ErrDamaged
	}
	return data, nil
}

// setAsideLocked takes a damaged snapshot off the list and keeps its bytes.
func (s *Store) setAsideLocked(i int) error {
	m := s.snapshots[i]
	s.logger.Error("metadata snapshot is damaged; it is set aside and the one before it is used",
		slog.Uint64("index", m.Index), slog.Uint64("term", m.Term))
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	b := &batch{}
	b.set(m.key('x'), seal(body))
	b.deleteRange(m.key('m'), after(m.key('m')))
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() { s.snapshots = slices.Delete(slices.Clone(s.snapshots), i, i+1) })
	return nil
}

// sink writes one snapshot. Not safe for concurrent use.
type sink struct {
	s      *Store
	meta   snapshotMeta
	crc    hash.Hash32
	buf    []byte
	closed bool
	err    error // of Close
}

// ID implements raft's SnapshotSink.
func (k *sink) ID() string { return hex.EncodeToString(k.meta.id()) }

// Write implements raft's SnapshotSink.
func (k *sink) Write(p []byte) (int, error) {
	if k.closed {
		return 0, ErrClosed
	}
	_, _ = k.crc.Write(p)
	k.meta.Size += int64(len(p))
	for rest := p; len(rest) > 0; {
		n := min(len(rest), chunkBytes-len(k.buf))
		k.buf, rest = append(k.buf, rest[:n]...), rest[n:]
		if len(k.buf) < chunkBytes {
			break
		}
		b := &batch{}
		k.chunk(b)
		if err := k.commit(b, true); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (k *sink) chunk(b *batch) {
	if len(k.buf) == 0 {
		return
	}
	b.set(k.meta.chunkKey(k.meta.Chunks), k.buf)
	k.meta.Chunks++
	k.buf = nil
}

func (k *sink) commit(b *batch, lazy bool) error {
	k.s.writing.Lock()
	defer k.s.writing.Unlock()
	return k.s.commitLocked(b, lazy)
}

// Close implements raft's SnapshotSink: the snapshot exists from here on, and the oldest ones go. Calling it again does
// nothing.
func (k *sink) Close() error {
	if !k.closed {
		k.closed = true
		k.err = k.finish()
	}
	return k.err
}

func (k *sink) finish() error {
	b := &batch{}
	k.chunk(b)
	k.meta.CRC = k.crc.Sum32()
	body, err := json.Marshal(k.meta)
	if err != nil {
		return fmt.Errorf("describe snapshot: %w", err)
	}
	b.set(k.meta.key('m'), seal(body))
	s := k.s
	s.writing.Lock()
	defer s.writing.Unlock()
	keep := append(slices.Clip(s.snapshots), k.meta)
	for len(keep) > snapshotsKept {
		old := keep[0]
		keep = keep[1:]
		b.deleteRange(old.key('m'), after(old.key('m')))
		b.deleteRange(old.key('d'), after(old.key('d')))
	}
	if err := s.commitLocked(b, false); err != nil {
		return err
	}
	s.update(func() { s.snapshots = keep })
	return nil
}

// Cancel implements raft's SnapshotSink.
func (k *sink) Cancel() error {
	if k.closed {
		return k.err
	}
	k.closed = true
	if k.meta.Chunks == 0 {
		return nil
	}
	b := &batch{}
	b.deleteRange(k.meta.key('d'), after(k.meta.key('d')))
	return k.commit(b, true)
}
