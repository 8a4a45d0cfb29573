package logdir

import (
	"context"
	"io"
	"log/slog"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Options of Open. Zero values are Kafka's defaults unless noted.
type Options struct {
	// FS is the filesystem; nil is the real one.
	FS vfs.FS
	// Dirs are log.dirs, at least one.
	Dirs []string
	// NodeID is the configured node id; checkpoint.NoNode takes the one that the directories name.
	NodeID protocol.NodeID
	// ClusterID is the cluster's id where it is known already. "" takes the one that the directories name; on a first start
	// there is none until SetClusterID.
	ClusterID string
	// Rand draws directory ids and the names of folders to delete; nil is crypto/rand.
	Rand io.Reader
	// Logger is required.
	Logger *slog.Logger
	// ConfigFor returns the configuration of a topic's logs; nil is commitlog.DefaultConfig for all.
	ConfigFor func(topic string) commitlog.Config
	// Synced is called without locks after the synced end of a partition's log moved. Nothing is reported of a directory
	// that has failed.
	Synced func(tp protocol.TopicPartition, endOffset int64)
	// Appended is called without locks after records were appended.
	Appended func(tp protocol.TopicPartition)
	// Failed is called once for each directory that fails while the manager is open.
	Failed func(dir string, err error)

	FlushWorkers          int           // syncs and closes at once; 0 is 32
	RecoveryThreads       int           // num.recovery.threads.per.data.dir; 0 is 2
	CheckpointInterval    time.Duration // of recovery points and log start offsets; 0 is 1 s (Kafka: 60 s)
	HighWatermarkInterval time.Duration // replica.high.watermark.checkpoint.interval.ms; 0 is 5 s
	RetentionInterval     time.Duration // log.retention.check.interval.ms; 0 is 5 min
	// MinFreeBytes is what must stay free on a directory's disk for appends to be taken, so that deletes, checkpoints and
	// metadata still find room. 0 is 64 MiB, or 5 % of a disk below 1.25 GiB; a negative value is no limit.
	MinFreeBytes int64
}

// Manager holds the partition logs of all directories. All methods are safe from any goroutine.
type Manager struct{}

// DirInfo describes a log directory.
type DirInfo struct {
	Path        string
	ID          protocol.TopicID // directory.id
	Total, Free uint64           // of the disk, in bytes; 0 where the platform does not say
	Offline     bool             // failed: its partitions answer KAFKA_STORAGE_ERROR
	Full        bool             // less than MinFreeBytes are free: appends are refused
	Err         error            // why it is offline
}

// Info describes a partition that a directory holds.
type Info struct {
	TopicPartition protocol.TopicPartition
	TopicID        protocol.TopicID // zero when the folder does not say
	Dir            string           // the log directory
	Open           bool
	Err            error // why it cannot be opened, where that is known
}

// Identity is what the directories' meta.properties say.
type Identity struct {
	ClusterID string          // "" when none says
	NodeID    protocol.NodeID // checkpoint.NoNode when none says
}

// Identify reads the identity without opening or changing anything. Directories that contradict each other are an error.
func Identify(fsys vfs.FS, dirs []string) (Identity, error) { panic("not written yet") }

// Open locks the directories, checks whom they belong to, and lists the partitions. Logs are opened when first asked for;
// after an unclean stop all are recovered in the background.
func Open(ctx context.Context, o Options) (*Manager, error) { panic("not written yet") }

// Identity returns the cluster and node id of the directories.
func (m *Manager) Identity() Identity { panic("not written yet") }

// SetClusterID writes meta.properties into every directory that has none or names no cluster. The id must be the one
// that the directories name, if they do.
func (m *Manager) SetClusterID(id string) error { panic("not written yet") }

// PreviousBrokerEpoch is the broker epoch of the last clean stop, for the registration with the controller; -1 unless
// every directory was stopped cleanly in the same epoch.
func (m *Manager) PreviousBrokerEpoch() protocol.BrokerEpoch { panic("not written yet") }

// Dirs describes the directories in the order of Options.Dirs.
func (m *Manager) Dirs() []DirInfo { panic("not written yet") }

// Get returns the log of a partition, opening it where needed. found is false when no directory holds the partition.
func (m *Manager) Get(tp protocol.TopicPartition) (l *commitlog.Log, found bool, err error) {
	panic("not written yet")
}

// Create makes the folder of a new partition and opens its log, in the live directory with the fewest partitions. Of a
// partition that exists with the same topic id it returns the log.
func (m *Manager) Create(tp protocol.TopicPartition, id protocol.TopicID) (*commitlog.Log, error) {
	panic("not written yet")
}

// Delete removes a partition by order of a committed deletion of its topic. The folder is renamed durably before Delete
// returns and removed in the background. id must be that of the folder, when that names one.
func (m *Manager) Delete(tp protocol.TopicPartition, id protocol.TopicID) error {
	panic("not written yet")
}

// Quarantine sets a partition aside that the metadata does not know: its folder is renamed and kept. It returns the
// folder's new path.
func (m *Manager) Quarantine(tp protocol.TopicPartition, reason string) (string, error) {
	panic("not written yet")
}

// Partitions describes all partitions, sorted. TopicID is filled by reading partition.metadata where that was not read
// yet, in parallel.
func (m *Manager) Partitions(ctx context.Context) ([]Info, error) { panic("not written yet") }

// Size is the size of a partition's segments in bytes, without opening its log.
func (m *Manager) Size(tp protocol.TopicPartition) (int64, error) { panic("not written yet") }

// Reconfigure hands the configuration of a topic to its open logs again.
func (m *Manager) Reconfigure(topic string) { panic("not written yet") }

// WaitRecovered returns when every partition that an unclean stop left was recovered or failed.
func (m *Manager) WaitRecovered(ctx context.Context) error { panic("not written yet") }

// Checkpoint writes all checkpoints now.
func (m *Manager) Checkpoint() error { panic("not written yet") }

// Close stops the background work, flushes and closes all logs in parallel and writes the checkpoints. With clean it
// leaves the clean-shutdown mark with the broker epoch in each directory where all went well and nothing is left to
// recover. It unlocks the directories in any case.
func (m *Manager) Close(clean bool, epoch protocol.BrokerEpoch) error { panic("not written yet") }
