package checkpoint

import "fmt"

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
