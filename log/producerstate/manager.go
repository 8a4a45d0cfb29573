package producerstate

import (
	"cmp"
	"log/slog"
	"slices"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

const (
	// DefaultExpirationMs is Kafka's producer.id.expiration.ms.
	DefaultExpirationMs = 24 * 60 * 60 * 1000
	// DefaultMaxProducers bounds a partition's producers at about 10 MB. Kafka has no such bound, and any client that may
	// write can make up producer ids.
	DefaultMaxProducers = 50_000
)

// Options of Open.
type Options struct {
	FS             vfs.FS
	Dir            string // the partition's folder
	TopicPartition protocol.TopicPartition
	// Names are the file names in Dir when the caller has listed it already; nil lists it.
	Names []string
	// ExpirationMs is producer.id.expiration.ms; 0 is DefaultExpirationMs.
	ExpirationMs int64
	// MaxProducers bounds the producers remembered: above it an eighth is forgotten, those whose last batch is oldest.
	// A forgotten producer may go on with any sequence, as an expired one; only its retries are no longer recognised.
	// 0 is DefaultMaxProducers.
	MaxProducers int
	Logger       *slog.Logger
}

// Manager holds the producers of one partition.
type Manager struct {
	fs           vfs.FS
	dir          string
	logger       *slog.Logger
	expirationMs int64
	maxProducers int
	forgetAbove  int // see forgetOldest

	producers    map[int64]*entry
	ongoing      txnList // open transactions
	unreplicated txnList // decided ones whose markers are above the high watermark

	snapshots      []int64 // offsets of the snapshot files, sorted
	mapEndOffset   int64
	snapshotOffset int64 // of the last snapshot taken or loaded

	update Update
}

// Open lists the snapshots of the partition; it loads none (TruncateAndReload does).
func Open(o Options) (*Manager, error) {
	m := &Manager{
		fs: o.FS, dir: o.Dir, expirationMs: o.ExpirationMs, maxProducers: o.MaxProducers,
		producers: make(map[int64]*entry),
		logger: o.Logger.With(slog.String("component", "producerstate"),
			slog.String("topic", o.TopicPartition.Topic), slog.Int("partition", int(o.TopicPartition.Partition))),
	}
	m.update.m = m
	if m.expirationMs <= 0 {
		m.expirationMs = DefaultExpirationMs
	}
	if m.maxProducers <= 0 {
		m.maxProducers = DefaultMaxProducers
	}
	names := o.Names
	if names == nil {
		entries, err := o.FS.ReadDir(o.Dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
	}
	for _, name := range names {
		if offset, ok := parseSnapshotName(name); ok {
			m.snapshots = append(m.snapshots, offset)
		}
	}
	slices.Sort(m.snapshots)
	return m, nil
}

// SetDir follows the partition's folder when it is renamed.
func (m *Manager) SetDir(dir string) { m.dir = dir }

// SetExpirationMs changes producer.id.expiration.ms.
func (m *Manager) SetExpirationMs(ms int64) { m.expirationMs = ms }

// MapEndOffset is the offset up to which the state is complete.
func (m *Manager) MapEndOffset() int64 { return m.mapEndOffset }

// SetMapEndOffset moves it: past batches without producer ids, or at a roll to the new segment's base offset.
func (m *Manager) SetMapEndOffset(offset int64) { m.mapEndOffset = offset }

// IsEmpty reports whether neither producers nor decided but unreplicated transactions are known.
func (m *Manager) IsEmpty() bool { return len(m.producers) == 0 && len(m.unreplicated) == 0 }

// ProducerCount counts the producers.
func (m *Manager) ProducerCount() int { return len(m.producers) }

// LastEntry describes one producer.
func (m *Manager) LastEntry(producerID int64) (Entry, bool) {
	e := m.producers[producerID]
	if e == nil {
		return Entry{}, false
	}
	return e.describe(), true
}

// ActiveProducers describes all producers, sorted by id.
func (m *Manager) ActiveProducers() []Entry {
	out := make([]Entry, 0, len(m.producers))
	for _, e := range m.producers {
		out = append(out, e.describe())
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.ProducerID, b.ProducerID) })
	return out
}

// LastBatch says which batch the state of a producer rests on: compaction keeps it, if only its header.
type LastBatch struct {
	Offset        int64 // last offset of the newest data batch; NoOffset: what is known comes from an end marker
	ProducerEpoch int16
}

// LastBatches returns the last batch of each producer.
func (m *Manager) LastBatches() map[int64]LastBatch {
	out := make(map[int64]LastBatch, len(m.producers))
	for id, e := range m.producers {
		out[id] = LastBatch{Offset: e.lastBatch().LastOffset, ProducerEpoch: e.producerEpoch}
	}
	return out
}

// RemoveExpired forgets the producers whose last timestamp is older than the expiration (invariant 5 aside).
func (m *Manager) RemoveExpired(nowMs int64) {
	for id, e := range m.producers {
		if m.expired(e, nowMs) {
			delete(m.producers, id)
		}
	}
}

func (m *Manager) expired(e *entry, nowMs int64) bool {
	return e.txnFirstOffset == NoOffset && nowMs-e.lastTimestamp >= m.expirationMs
}

// forgetOldest makes room when there are too many producers. Log order, not the clients' timestamps, says who is oldest.
// An eighth goes at once, so that sorting costs little for each producer.
func (m *Manager) forgetOldest() {
	if len(m.producers) <= max(m.maxProducers, m.forgetAbove) {
		return
	}
	candidates := make([]*entry, 0, len(m.producers))
	for _, e := range m.producers {
		if e.txnFirstOffset == NoOffset {
			candidates = append(candidates, e)
		}
	}
	slices.SortFunc(candidates, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.lastBatch().LastOffset, b.lastBatch().LastOffset), cmp.Compare(a.producerID, b.producerID))
	})
	excess := len(m.producers) - m.maxProducers + m.maxProducers/8
	for _, e := range candidates[:min(excess, len(candidates))] {
		delete(m.producers, e.producerID)
	}
	m.forgetAbove = len(m.producers) + m.maxProducers/8 // more than the maximum only where transactions hold producers
}

// LogStartOffsetIncremented follows the log's new start. Producers are kept, although their records may be gone.
func (m *Manager) LogStartOffsetIncremented(logStartOffset int64) {
	m.unreplicated.removeEndedBelow(logStartOffset)
	m.mapEndOffset = max(m.mapEndOffset, logStartOffset)
	m.snapshotOffset = logStartOffset
	if latest, ok := m.LatestSnapshotOffset(); ok {
		m.snapshotOffset = latest
	}
}

// TruncateAndReload removes the snapshots outside (logStartOffset, logEndOffset] and, when the state does not end at
// logEndOffset, reloads it from the newest valid snapshot left. The caller then replays from MapEndOffset. It assumes, as
// Kafka does, that the log was never truncated below the high watermark.
func (m *Manager) TruncateAndReload(logStartOffset, logEndOffset, nowMs int64) error {
	err := m.removeSnapshots(func(offset int64) bool { return offset > logEndOffset || offset <= logStartOffset })
	if err != nil {
		return err
	}
	if logEndOffset == m.mapEndOffset {
		m.LogStartOffsetIncremented(logStartOffset)
		return nil
	}
	m.clear()
	return m.loadNewest(logStartOffset, nowMs)
}

// TruncateFullyAndStartAt forgets everything and removes all snapshots.
func (m *Manager) TruncateFullyAndStartAt(offset int64) error {
	m.clear()
	m.snapshotOffset, m.mapEndOffset = 0, offset
	return m.removeSnapshots(func(int64) bool { return true })
}

func (m *Manager) clear() {
	clear(m.producers)
	m.ongoing, m.unreplicated = nil, nil
}

// Backfill widens the windows after a snapshot was loaded, which knows one batch of each producer: a retry of the batches
// before would be refused as out of order. batches are data batches from the log just below the snapshot's offset, in
// offset order; those that precede a known batch without a gap in the same producer epoch are added.
func (m *Manager) Backfill(batches []Batch) {
	for _, b := range slices.Backward(batches) {
		e := m.producers[b.ProducerID]
		if e == nil || e.producerEpoch != b.ProducerEpoch || e.count == 0 || e.count == WindowBatches || b.BaseSequence < 0 {
			continue
		}
		first := e.batches[0]
		if b.LastOffset >= first.BaseOffset() || !follows(b.LastSequence, first.BaseSequence()) {
			continue
		}
		copy(e.batches[1:], e.batches[:e.count])
		e.batches[0] = metadataOf(b)
		e.count++
	}
}

func metadataOf(b Batch) BatchMetadata {
	return BatchMetadata{
		LastOffset: b.LastOffset, Timestamp: b.MaxTimestamp,
		LastSequence: b.LastSequence, OffsetDelta: int32(b.LastOffset - b.BaseOffset),
	}
}
