package broker

import (
	"errors"
	"log/slog"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/log/vfs"
)

// openStore has no pebble on this platform: whoever simulates a cluster injects a store.
func openStore(vfs.FS, string, *slog.Logger, func(error)) (kraft.Store, error) {
	return nil, errors.New("no metadata store on this platform: set Config.RaftStore")
}
