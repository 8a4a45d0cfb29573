package producerstate

import (
	"log/slog"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// WindowBatches is how many batches of a producer are remembered for duplicates.
const WindowBatches = 5

// Values that mean "none".
const (
	NoEpoch     int16 = -1
	NoSequence  int32 = -1
	NoTimestamp int64 = -1
	NoOffset    int64 = -1
)

// Origin says where records come from, and so how far they are checked.
type Origin uint8

const (
	// OriginReplication: copied from a leader or read back from disk; taken as it is.
	OriginReplication Origin = iota
	// OriginCoordinator: written by a coordinator of this broker; producer epochs are checked, sequences are not.
	OriginCoordinator
	// OriginClient: sent by a client; everything is checked.
	OriginClient
)

// Batch is what the manager needs to know of a data batch with a producer id.
type Batch struct {
	ProducerID                 int64
	ProducerEpoch              int16
	Transactional              bool
	BaseSequence, LastSequence int32
	BaseOffset, LastOffset     int64
	MaxTimestamp               int64
}

// Marker is what the manager needs to know of a control batch that ends a transaction.
type Marker struct {
	ProducerID         int64
	ProducerEpoch      int16
	CoordinatorEpoch   int32
	Abort              bool
	Offset             int64 // of the control record
	Timestamp          int64 // of the control record
	TransactionVersion int16 // 0 or 1: legacy; 2: the producer epoch must have been bumped (KIP-890). Replication: 0
}

// BatchMetadata is a remembered batch.
type BatchMetadata struct {
	LastOffset   int64
	Timestamp    int64
	LastSequence int32
	OffsetDelta  int32
}

// Entry describes one producer, as DescribeProducers shows it.
type Entry struct {
	ProducerID            int64
	ProducerEpoch         int16
	CoordinatorEpoch      int32
	LastSequence          int32
	LastOffset            int64
	LastTimestamp         int64
	CurrentTxnFirstOffset int64 // NoOffset when none is open
}

// CompletedTxn is a transaction whose marker was appended.
type CompletedTxn struct {
	ProducerID  int64
	FirstOffset int64
	LastOffset  int64 // of the marker
	Aborted     bool
}

// Options of Open.
type Options struct {
	FS             vfs.FS
	Dir            string // the partition's folder
	TopicPartition protocol.TopicPartition
	// Names are the file names in Dir when the caller has listed it already; nil lists it.
	Names []string
	// ExpirationMs is producer.id.expiration.ms; 0 is Kafka's default, one day.
	ExpirationMs int64
	// MaxProducers bounds the producers remembered; above it those idle longest are forgotten. 0 is DefaultMaxProducers.
	MaxProducers int
	Logger       *slog.Logger
}

// Manager holds the producers of one partition.
type Manager struct{}

// Open lists the snapshots of the partition; it loads none (TruncateAndReload does).
func Open(o Options) (*Manager, error) { panic("not written yet") }

// Update collects the effects of batches that are about to be written. Nothing of it is visible before Commit.
type Update struct{}

// Begin starts an update. One at a time: it ends with Commit or Discard.
func (m *Manager) Begin() *Update { panic("not written yet") }

// FindDuplicate looks for a batch with the same producer epoch and sequence range among the last five of its producer,
// those of this update included. The log answers a duplicate with the original's offsets and writes nothing.
func (u *Update) FindDuplicate(b Batch) (BatchMetadata, bool) { panic("not written yet") }

// Append checks a data batch and stages it. On error the update is as before.
func (u *Update) Append(b Batch, o Origin) error { panic("not written yet") }

// AppendMarker checks an end marker and stages it. On error the update is as before.
func (u *Update) AppendMarker(mk Marker, o Origin) error { panic("not written yet") }

// Commit makes the update visible, after its batches were written up to endOffset. For each transaction returned the
// caller writes the transaction index (when aborted, with LastStableOffset) and then calls CompleteTxn, in order.
// The slice is valid until the next Begin.
func (u *Update) Commit(endOffset int64) []CompletedTxn { panic("not written yet") }

// Discard drops the update.
func (u *Update) Discard() { panic("not written yet") }

// LastStableOffset is the one to store in the transaction index for a completed transaction.
func (m *Manager) LastStableOffset(t CompletedTxn) int64 { panic("not written yet") }

// CompleteTxn moves a transaction from open to decided, and unstable until the high watermark passes its marker.
func (m *Manager) CompleteTxn(t CompletedTxn) { panic("not written yet") }

// FirstUnstableOffset is the first offset of the oldest transaction that is open, or decided above the high watermark.
func (m *Manager) FirstUnstableOffset() (int64, bool) { panic("not written yet") }

// FirstUndecidedOffset is the first offset of the oldest open transaction.
func (m *Manager) FirstUndecidedOffset() (int64, bool) { panic("not written yet") }

// HighWatermarkUpdated forgets decided transactions whose markers lie below the high watermark.
func (m *Manager) HighWatermarkUpdated(highWatermark int64) { panic("not written yet") }

// LogStartOffsetIncremented follows the log's new start. Producers are kept.
func (m *Manager) LogStartOffsetIncremented(logStartOffset int64) { panic("not written yet") }

// MapEndOffset is the offset up to which the state is complete.
func (m *Manager) MapEndOffset() int64 { panic("not written yet") }

// SetMapEndOffset moves it, past batches without producer ids or at a roll.
func (m *Manager) SetMapEndOffset(offset int64) { panic("not written yet") }

// TruncateAndReload removes snapshots outside (logStartOffset, logEndOffset] and, when the state does not end at
// logEndOffset, reloads it from the newest valid snapshot left. The caller then replays from MapEndOffset.
func (m *Manager) TruncateAndReload(logStartOffset, logEndOffset, nowMs int64) error {
	panic("not written yet")
}

// TruncateFullyAndStartAt forgets everything and removes all snapshots.
func (m *Manager) TruncateFullyAndStartAt(offset int64) error { panic("not written yet") }

// TakeSnapshot writes the state at MapEndOffset unless the last snapshot is of there already. Without sync the file may be
// torn by a crash, which loading detects; the returned path is for the caller to sync in the background ("" if none).
func (m *Manager) TakeSnapshot(sync bool) (path string, err error) { panic("not written yet") }

// LatestSnapshotOffset is the offset of the newest snapshot.
func (m *Manager) LatestSnapshotOffset() (int64, bool) { panic("not written yet") }

// OldestSnapshotOffset is the offset of the oldest snapshot.
func (m *Manager) OldestSnapshotOffset() (int64, bool) { panic("not written yet") }

// DeleteSnapshotsBefore removes the snapshots below offset.
func (m *Manager) DeleteSnapshotsBefore(offset int64) error { panic("not written yet") }

// RemoveSnapshot removes the snapshot at exactly offset, where a deleted segment began; a missing one is no error.
func (m *Manager) RemoveSnapshot(offset int64) error { panic("not written yet") }

// RemoveStraySnapshots removes snapshots that belong to no segment, except the newest when it lies above all segments.
func (m *Manager) RemoveStraySnapshots(segmentBaseOffsets []int64) error { panic("not written yet") }

// RemoveExpired forgets producers idle longer than the expiration, unless a transaction of theirs is open.
func (m *Manager) RemoveExpired(nowMs int64) { panic("not written yet") }

// ActiveProducers describes all producers, sorted by id.
func (m *Manager) ActiveProducers() []Entry { panic("not written yet") }

// ProducerCount counts them.
func (m *Manager) ProducerCount() int { panic("not written yet") }

// IsEmpty reports whether neither producers nor unstable transactions are known.
func (m *Manager) IsEmpty() bool { panic("not written yet") }

// SetDir follows the partition's folder when it is renamed.
func (m *Manager) SetDir(dir string) { panic("not written yet") }

// Backfill adds, after a snapshot was loaded (which keeps only one batch of each producer), older batches found in the
// log below the snapshot, so that the window is five again. batches are in offset order.
func (m *Manager) Backfill(batches []Batch) { panic("not written yet") }

// ParseEndTxn reads the key and value of a control record. ok is false when it is no end-of-transaction marker.
func ParseEndTxn(key, value []byte) (abort bool, coordinatorEpoch int32, ok bool, err error) {
	panic("not written yet")
}
