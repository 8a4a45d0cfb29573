package log

import (
	"path/filepath"

	"github.com/distributedmq/dmq/log/checkpoint"
	"github.com/distributedmq/dmq/log/segment"
)

// settle keeps invariant 7: before the first record is written to a log that was opened empty, its folder is made durable
// with all that it holds. To do so earlier would cost each new partition four syncs for nothing: what a crash leaves of a
// folder without records, if anything, is as good as none, and a leader epoch that began in an empty log ends where the
// next one begins. Kafka, too, writes partition.metadata before the first append only. Under mu.
func (l *Log) settle() error {
	if !l.unsettled {
		return nil
	}
	if err := l.epochs.Flush(); segment.IsNoSpace(err) {
		return l.failIO(err) // tried again with the next append
	} else if err != nil {
		return l.fail(err)
	}
	if err := l.syncFolder(); err != nil {
		return l.fail(err) // also on a full disk: a sync is never tried again
	}
	l.unsettled = false
	return nil
}

// syncFolder makes durable to which topic the folder belongs, the names in it, and its own.
func (l *Log) syncFolder() error {
	if err := syncFile(l.fs, l.path(checkpoint.PartitionMetadataFile)); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.o.Dir); err != nil {
		return err
	}
	if l.o.SyncName != nil {
		return l.o.SyncName()
	}
	return l.fs.SyncDir(filepath.Dir(l.o.Dir))
}
