package producerstate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/log/vfs"
)

// SnapshotSuffix ends the names of snapshot files.
const SnapshotSuffix = ".snapshot"

const (
	snapshotVersion = 1
	snapshotHeader  = 2 + 4 // version and CRC
	entrySize       = 46
	offsetDigits    = 20
)

// CorruptSnapshotError says why a snapshot was not taken.
type CorruptSnapshotError struct{ Reason string }

func (e *CorruptSnapshotError) Error() string { return "producer snapshot is corrupt: " + e.Reason }

// SnapshotName is the file name of the snapshot at offset.
func SnapshotName(offset int64) string {
	return fmt.Sprintf("%0*d%s", offsetDigits, offset, SnapshotSuffix)
}

func parseSnapshotName(name string) (int64, bool) {
	digits, ok := strings.CutSuffix(name, SnapshotSuffix)
	if !ok || len(digits) != offsetDigits {
		return 0, false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	return offset, err == nil && offset >= 0
}

// encodeSnapshot writes the format of doc.go. Of each entry only the last batch is stored.
func encodeSnapshot(producers map[int64]*entry) []byte {
	b := make([]byte, snapshotHeader, snapshotHeader+4+entrySize*len(producers))
	be := binary.BigEndian
	be.PutUint16(b, snapshotVersion)
	b = be.AppendUint32(b, uint32(len(producers)))
	for _, id := range slices.Sorted(maps.Keys(producers)) {
		e := producers[id]
		last := e.lastBatch()
		b = be.AppendUint64(b, uint64(id))
		b = be.AppendUint16(b, uint16(e.producerEpoch))
		b = be.AppendUint32(b, uint32(last.LastSequence))
		b = be.AppendUint64(b, uint64(last.LastOffset))
		b = be.AppendUint32(b, uint32(last.OffsetDelta))
		b = be.AppendUint64(b, uint64(e.lastTimestamp))
		b = be.AppendUint32(b, uint32(e.coordinatorEpoch))
		b = be.AppendUint64(b, uint64(e.txnFirstOffset))
	}
	be.PutUint32(b[2:], crc32.Checksum(b[snapshotHeader:], castagnoli))
	return b
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// decodeSnapshot reads the format of doc.go. Bytes after the last entry are covered by the CRC and otherwise ignored, as in
// Kafka. Two entries that contradict each other (invariant 4) make the snapshot corrupt.
func decodeSnapshot(b []byte) ([]entry, error) {
	if len(b) < snapshotHeader+4 {
		return nil, &CorruptSnapshotError{Reason: fmt.Sprintf("%d bytes are fewer than its header", len(b))}
	}
	be := binary.BigEndian
	if v := int16(be.Uint16(b)); v != snapshotVersion {
		return nil, &CorruptSnapshotError{Reason: fmt.Sprintf("unknown version %d", v)}
	}
	body := b[snapshotHeader:]
	if stored, computed := be.Uint32(b[2:]), crc32.Checksum(body, castagnoli); stored != computed {
		return nil, &CorruptSnapshotError{Reason: fmt.Sprintf("stored CRC %08x, computed %08x", stored, computed)}
	}
	count, body := int32(be.Uint32(body)), body[4:]
	if count < 0 || int64(count)*entrySize > int64(len(body)) {
		return nil, &CorruptSnapshotError{Reason: fmt.Sprintf("%d entries do not fit into %d bytes", count, len(body))}
	}
	entries := make([]entry, 0, count)
	for range count {
		e := decodeEntry(body)
		body = body[entrySize:]
		entries = append(entries, e)
	}
	if reason := contradiction(entries); reason != "" {
		return nil, &CorruptSnapshotError{Reason: reason}
	}
	return entries, nil
}

func decodeEntry(b []byte) entry {
	be := binary.BigEndian
	e := newEntry(int64(be.Uint64(b)))
	e.producerEpoch = int16(be.Uint16(b[8:]))
	last := BatchMetadata{
		LastSequence: int32(be.Uint32(b[10:])),
		LastOffset:   int64(be.Uint64(b[14:])),
		OffsetDelta:  int32(be.Uint32(b[22:])),
		Timestamp:    int64(be.Uint64(b[26:])),
	}
	e.lastTimestamp = last.Timestamp
	e.coordinatorEpoch = int32(be.Uint32(b[34:]))
	e.txnFirstOffset = max(int64(be.Uint64(b[38:])), NoOffset)
	if last.LastOffset >= 0 {
		e.addBatch(last)
	}
	return e
}

func contradiction(entries []entry) string {
	ids := make(map[int64]struct{}, len(entries))
	txns := make(map[int64]struct{})
	for i := range entries {
		e := &entries[i]
		if _, twice := ids[e.producerID]; twice {
			return fmt.Sprintf("producer %d is there twice", e.producerID)
		}
		ids[e.producerID] = struct{}{}
		if e.txnFirstOffset == NoOffset {
			continue
		}
		if _, twice := txns[e.txnFirstOffset]; twice {
			return fmt.Sprintf("two transactions begin at offset %d", e.txnFirstOffset)
		}
		txns[e.txnFirstOffset] = struct{}{}
	}
	return ""
}

// ReadSnapshot reads a snapshot file, for tools. A file that does not check out is a *CorruptSnapshotError.
func ReadSnapshot(fsys vfs.FS, path string) ([]Entry, error) {
	b, err := vfs.ReadFile(fsys, path)
	if err != nil {
		return nil, fmt.Errorf("read producer snapshot: %w", err)
	}
	entries, err := decodeSnapshot(b)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	out := make([]Entry, len(entries))
	for i := range entries {
		out[i] = entries[i].describe()
	}
	return out, nil
}

// TakeSnapshot writes the state at MapEndOffset unless a snapshot of there was the last one. Without sync a crash may tear
// the file, which loading detects; the path returned ("" when none was written) is for the caller to sync in the
// background.
func (m *Manager) TakeSnapshot(sync bool) (path string, err error) {
	if m.update.open {
		panic("producerstate: snapshot inside an update")
	}
	if m.mapEndOffset <= m.snapshotOffset {
		return "", nil
	}
	path = filepath.Join(m.dir, SnapshotName(m.mapEndOffset))
	if err := writeSnapshot(m.fs, path, encodeSnapshot(m.producers), sync); err != nil {
		return "", fmt.Errorf("write producer snapshot: %w", err)
	}
	if i, found := slices.BinarySearch(m.snapshots, m.mapEndOffset); !found {
		m.snapshots = slices.Insert(m.snapshots, i, m.mapEndOffset)
	}
	m.snapshotOffset = m.mapEndOffset
	return path, nil
}

func writeSnapshot(fsys vfs.FS, path string, b []byte, sync bool) (err error) {
	f, err := fsys.OpenFile(path, vfs.ReadWrite|vfs.Create|vfs.Trunc, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(b, 0); err != nil || !sync {
		return err
	}
	return f.Sync()
}

// loadNewest fills the empty state from the newest snapshot that checks out, and removes those that do not.
func (m *Manager) loadNewest(logStartOffset, nowMs int64) error {
	for len(m.snapshots) > 0 {
		offset := m.snapshots[len(m.snapshots)-1]
		entries, err := m.readSnapshot(offset)
		if _, corrupt := errors.AsType[*CorruptSnapshotError](err); corrupt {
			m.logger.Warn("remove a corrupt producer snapshot", slog.Int64("offset", offset), slog.Any("err", err))
			if err := m.RemoveSnapshot(offset); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		m.install(entries, nowMs)
		m.snapshotOffset, m.mapEndOffset = offset, offset
		return nil
	}
	m.snapshotOffset, m.mapEndOffset = logStartOffset, logStartOffset
	return nil
}

func (m *Manager) readSnapshot(offset int64) ([]entry, error) {
	b, err := vfs.ReadFile(m.fs, filepath.Join(m.dir, SnapshotName(offset)))
	if err != nil {
		return nil, fmt.Errorf("read producer snapshot: %w", err)
	}
	return decodeSnapshot(b)
}

func (m *Manager) install(entries []entry, nowMs int64) {
	for i := range entries {
		e := entries[i] // a copy of its own: the slice must not be kept alive by one producer
		if m.expired(&e, nowMs) {
			continue
		}
		m.producers[e.producerID] = &e
		if e.txnFirstOffset != NoOffset {
			m.ongoing.add(txn{producerID: e.producerID, firstOffset: e.txnFirstOffset, lastOffset: NoOffset})
		}
	}
	m.forgetOldest()
}

// LatestSnapshotOffset is the offset of the newest snapshot.
func (m *Manager) LatestSnapshotOffset() (int64, bool) {
	if len(m.snapshots) == 0 {
		return NoOffset, false
	}
	return m.snapshots[len(m.snapshots)-1], true
}

// OldestSnapshotOffset is the offset of the oldest snapshot.
func (m *Manager) OldestSnapshotOffset() (int64, bool) {
	if len(m.snapshots) == 0 {
		return NoOffset, false
	}
	return m.snapshots[0], true
}

// DeleteSnapshotsBefore removes the snapshots below offset.
func (m *Manager) DeleteSnapshotsBefore(offset int64) error {
	for len(m.snapshots) > 0 && m.snapshots[0] < offset {
		if err := m.RemoveSnapshot(m.snapshots[0]); err != nil {
			return err
		}
	}
	return nil
}

// RemoveSnapshot removes the snapshot at exactly offset, where a deleted segment began; a missing one is no error.
func (m *Manager) RemoveSnapshot(offset int64) error {
	i, found := slices.BinarySearch(m.snapshots, offset)
	if !found {
		return nil
	}
	err := m.fs.Remove(filepath.Join(m.dir, SnapshotName(offset)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove producer snapshot: %w", err)
	}
	m.snapshots = slices.Delete(m.snapshots, i, i+1)
	return nil
}

// removeSnapshots removes the chosen ones durably: one of a log that was cut, come back after a crash, would describe
// other batches than the log then holds.
func (m *Manager) removeSnapshots(chosen func(offset int64) bool) error {
	removed := false
	for _, offset := range slices.Clone(m.snapshots) {
		if !chosen(offset) {
			continue
		}
		removed = true
		if err := m.RemoveSnapshot(offset); err != nil {
			return err
		}
	}
	if !removed {
		return nil
	}
	return m.fs.SyncDir(m.dir)
}

// RemoveStraySnapshots removes the snapshots that belong to no segment, except the newest of them when it lies above all
// segments: that is the one a clean close left.
func (m *Manager) RemoveStraySnapshots(segmentBaseOffsets []int64) error {
	bases := make(map[int64]struct{}, len(segmentBaseOffsets))
	highest := NoOffset
	for _, base := range segmentBaseOffsets {
		bases[base] = struct{}{}
		highest = max(highest, base)
	}
	keep := NoOffset
	for _, offset := range slices.Backward(m.snapshots) {
		if _, ok := bases[offset]; !ok {
			if offset > highest {
				keep = offset
			}
			break
		}
	}
	return m.removeSnapshots(func(offset int64) bool {
		_, ok := bases[offset]
		return !ok && offset != keep
	})
}
