package logdir

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"time"

	commitlog "github.com/distributedmq/dmq/log"
	"github.com/distributedmq/dmq/log/cleaner"
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
	// Rand draws directory ids and the names of folders that are set aside; nil is crypto/rand.
	Rand io.Reader
	// Logger is required.
	Logger *slog.Logger
	// ConfigFor returns the configuration of a topic's logs; nil is commitlog.DefaultConfig for all.
	ConfigFor func(topic string) commitlog.Config
	// DirectoryOf returns the directory.id of the directory in which a partition is known to lie: one that has no folder yet is
	// opened there, and of one that has two the other is set aside. Zero, or another node's: not known. nil: never known.
	DirectoryOf func(tp protocol.TopicPartition) protocol.TopicID
	// Synced is called without locks after the synced end of a partition's log moved. Nothing is reported of a dead directory.
	Synced func(tp protocol.TopicPartition, endOffset int64)
	// Appended is called without locks after records were appended.
	Appended func(tp protocol.TopicPartition)
	// Failed is called once for each directory that dies while the manager is open, on a goroutine of its own.
	Failed func(dir string, err error)

	Cleaner *cleaner.Config // how logs are compacted; nil is cleaner.DefaultConfig

	FlushWorkers          int           // syncs and closes at once; 0 is 32
	RecoveryThreads       int           // num.recovery.threads.per.data.dir; 0 is 2
	OpenFiles             int           // segment files kept open; 0 is segment.DefaultOpenFiles
	TailCacheBytes        int64         // memory for the newest batches of all logs; 0 is 64 MiB, negative is none
	CheckpointInterval    time.Duration // of recovery points and log start offsets; 0 is 1 s (Kafka: 60 s)
	HighWatermarkInterval time.Duration // replica.high.watermark.checkpoint.interval.ms; 0 is 5 s
	RetentionInterval     time.Duration // log.retention.check.interval.ms; 0 is 5 min
	DeleteDelay           time.Duration // file.delete.delay.ms of the broker, for folders; 0 is 60 s, negative is at once
	// MinFreeBytes is what must stay free on a directory's disk for appends to be taken. 0 is 64 MiB, or 5 % of a disk below
	// 1.25 GiB; a negative value is no limit.
	MinFreeBytes int64
}

func (o *Options) complete() error {
	if len(o.Dirs) == 0 {
		return errors.New("open log directories: none is configured: set log.dirs")
	}
	if o.FS == nil {
		o.FS = vfs.OS()
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.ConfigFor == nil {
		o.ConfigFor = func(string) commitlog.Config { return commitlog.DefaultConfig() }
	}
	if o.DirectoryOf == nil {
		o.DirectoryOf = func(protocol.TopicPartition) protocol.TopicID { return protocol.TopicID{} }
	}
	if o.Synced == nil {
		o.Synced = func(protocol.TopicPartition, int64) {}
	}
	if o.Appended == nil {
		o.Appended = func(protocol.TopicPartition) {}
	}
	if o.Failed == nil {
		o.Failed = func(string, error) {}
	}
	if o.Cleaner == nil {
		c := cleaner.DefaultConfig()
		o.Cleaner = &c
	}
	o.FlushWorkers = cmp.Or(o.FlushWorkers, 32)
	o.RecoveryThreads = cmp.Or(o.RecoveryThreads, 2)
	o.TailCacheBytes = cmp.Or(o.TailCacheBytes, 64<<20)
	o.CheckpointInterval = cmp.Or(o.CheckpointInterval, time.Second)
	o.HighWatermarkInterval = cmp.Or(o.HighWatermarkInterval, 5*time.Second)
	o.RetentionInterval = cmp.Or(o.RetentionInterval, 5*time.Minute)
	o.DeleteDelay = cmp.Or(o.DeleteDelay, time.Minute)
	return nil
}

// DirInfo describes a log directory.
type DirInfo struct {
	Path        string
	ID          protocol.TopicID // directory.id
	Total, Free uint64           // of the disk, in bytes; 0 where the platform does not say
	Cordoned    bool             // it gets no new partitions while another one may have them
	Full        bool             // less than MinFreeBytes are free: appends are refused
	Offline     bool             // dead: its partitions answer KAFKA_STORAGE_ERROR
	Err         error            // why it is offline
	Clean       bool             // it was stopped cleanly before this start
	Unrecovered int              // partitions that an unclean stop left and that were not recovered yet
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
