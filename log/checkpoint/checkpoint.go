package checkpoint

import (
	"fmt"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// Names of the files.
const (
	RecoveryPointFile     = "recovery-point-offset-checkpoint"
	LogStartOffsetFile    = "log-start-offset-checkpoint"
	HighWatermarkFile     = "replication-offset-checkpoint"
	CleanerOffsetFile     = "cleaner-offset-checkpoint"
	LeaderEpochFile       = "leader-epoch-checkpoint"
	PartitionMetadataFile = "partition.metadata"
	MetaPropertiesFile    = "meta.properties"
	CleanShutdownFile     = ".kafka_cleanshutdown"
	LockFile              = ".lock"
)

// FormatError says that a file exists but is not what its name promises.
type FormatError struct {
	Path string
	Line int // from 1; 0 when the whole file is meant
	Msg  string
}

// Error names file, line and fault.
func (e *FormatError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("read %s: %s", e.Path, e.Msg)
	}
	return fmt.Sprintf("read %s line %d: %s", e.Path, e.Line, e.Msg)
}

// EpochEntry says that a leader epoch began at an offset.
type EpochEntry struct {
	LeaderEpoch int32
	StartOffset int64
}

// ReadOffsets reads an offset checkpoint.
func ReadOffsets(fsys vfs.FS, path string) (map[protocol.TopicPartition]int64, error) {
	panic("not written yet")
}

// WriteOffsets replaces an offset checkpoint.
func WriteOffsets(fsys vfs.FS, path string, offsets map[protocol.TopicPartition]int64) error {
	panic("not written yet")
}

// ReadEpochs reads a leader-epoch checkpoint.
func ReadEpochs(fsys vfs.FS, path string) ([]EpochEntry, error) { panic("not written yet") }

// WriteEpochs replaces a leader-epoch checkpoint.
func WriteEpochs(fsys vfs.FS, path string, entries []EpochEntry) error { panic("not written yet") }

// PartitionMetadata is a partition.metadata file.
type PartitionMetadata struct {
	Version int
	TopicID protocol.TopicID
}

// ReadPartitionMetadata reads the file in a partition's folder.
func ReadPartitionMetadata(fsys vfs.FS, dir string) (PartitionMetadata, error) {
	panic("not written yet")
}

// WritePartitionMetadata replaces the file in a partition's folder.
func WritePartitionMetadata(fsys vfs.FS, dir string, m PartitionMetadata) error {
	panic("not written yet")
}
