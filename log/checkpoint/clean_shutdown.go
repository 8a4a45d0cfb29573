package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/distributedmq/dmq/log/vfs"
	"github.com/distributedmq/dmq/protocol"
)

// CleanShutdown is the mark that the last stop of this directory was clean, with the broker epoch of that time (KIP-966:
// the controller lets only a broker whose last epoch is the registered one keep its place in ISR and ELR).
type CleanShutdown struct {
	// BrokerEpoch is -1 when the mark does not say: old Kafka versions wrote an empty file.
	BrokerEpoch protocol.BrokerEpoch
}

// NoBrokerEpoch is the epoch of a mark that names none.
const NoBrokerEpoch protocol.BrokerEpoch = -1

type cleanShutdownJSON struct {
	Version     int32  `json:"version"`
	BrokerEpoch *int64 `json:"brokerEpoch"`
}

// ReadCleanShutdown reports whether the directory holds the mark. As in Kafka its presence is what counts: content that
// cannot be read only costs the broker epoch.
func ReadCleanShutdown(fsys vfs.FS, dir string) (mark CleanShutdown, found bool, err error) {
	b, err := vfs.ReadFile(fsys, filepath.Join(dir, CleanShutdownFile))
	if errors.Is(err, fs.ErrNotExist) {
		return CleanShutdown{}, false, nil
	}
	if err != nil {
		return CleanShutdown{}, false, fmt.Errorf("read clean shutdown mark: %w", err)
	}
	var content cleanShutdownJSON
	mark.BrokerEpoch = NoBrokerEpoch
	if json.Unmarshal(b, &content) == nil && content.BrokerEpoch != nil {
		mark.BrokerEpoch = protocol.BrokerEpoch(*content.BrokerEpoch)
	}
	return mark, true, nil
}

// WriteCleanShutdown sets the mark: the last thing written to a directory before its lock is released.
func WriteCleanShutdown(fsys vfs.FS, dir string, mark CleanShutdown) error {
	epoch := int64(mark.BrokerEpoch)
	b, err := json.Marshal(cleanShutdownJSON{BrokerEpoch: &epoch})
	if err != nil {
		return fmt.Errorf("encode clean shutdown mark: %w", err)
	}
	return vfs.WriteFileAtomic(fsys, filepath.Join(dir, CleanShutdownFile), b)
}

// RemoveCleanShutdown removes the mark durably; a missing one is no error.
func RemoveCleanShutdown(fsys vfs.FS, dir string) error {
	err := fsys.Remove(filepath.Join(dir, CleanShutdownFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsys.SyncDir(dir)
}
