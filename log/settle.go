package log

import (
	"path/filepath"

	"github.com/distributedmq/dmq/log/checkpoint"
)

// settle keeps invariant 7: before the first record is written to a log that was opened empty, its folder is made, if it is not
// there, and made durable with all that it holds. To do so earlier would cost each new partition five files and four syncs for
// nothing: what a crash leaves of a folder without records, if anything, is as good as none, and a leader epoch that began in an
// empty log ends where the next one begins. Kafka, too, syncs partition.metadata before the first append only. Under mu.
func (l *Log) settle() error {
	if !l.unsettled {
		return nil
	}
	err := l.makeFolder()
	if err == nil {
		err = l.epochs.Flush()
	}
	if err != nil {
		return l.failIO(err) // where the disk is full it is tried again with the next append
	}
	if err := l.syncFolder(); err != nil {
		return l.fail(err) // also on a full disk: a sync is never tried again
	}
	l.unsettled = false
	return nil
}

// MakeFolder makes the folder of a log that has none yet, for the sake of what its name tells. It is not durable before the first
// record is.
func (l *Log) MakeFolder() error {
	l.lock()
	defer l.unlock()
	if err := l.usable(); err != nil {
		return err
	}
	return l.ioError(l.makeFolder())
}

// makeFolder makes the folder and the files that an empty log has. Under mu.
func (l *Log) makeFolder() error {
	if !l.folderless.Load() {
		return nil
	}
	if err := l.makeDir(); err != nil {
		return err
	}
	if err := l.active().MakeFiles(); err != nil {
		return err
	}
	l.folderless.Store(false)
	return nil
}

func (l *Log) makeDir() error {
	if l.o.MakeDir != nil {
		return l.o.MakeDir()
	}
	return l.fs.MkdirAll(l.o.Dir, 0o755)
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
