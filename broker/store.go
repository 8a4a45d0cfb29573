//go:build !wasip1

package broker

import (
	"log/slog"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/log/vfs"
)

// openStore opens the metadata log on pebble, which brings its own filesystem seam: fsys is used to make the folder.
func openStore(fsys vfs.FS, dir string, logger *slog.Logger, fatal func(error)) (kraft.Store, error) {
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return raftstore.Open(raftstore.Options{Dir: dir, Logger: logger, Fatal: fatal})
}
