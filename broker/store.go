//go:build !wasip1

package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/distributedmq/dmq/kraft"
	"github.com/distributedmq/dmq/kraft/raftstore"
	"github.com/distributedmq/dmq/log/vfs"
)

// openStore opens the metadata log on pebble, which brings its own filesystem seam: fsys is used to make the folder.
func openStore(fsys vfs.FS, dir string, logger *slog.Logger, fatal func(error)) (kraft.Store, error) {
	if err := fsys.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := raftstore.Open(raftstore.Options{Dir: dir, Logger: logger, Fatal: fatal})
	if errors.Is(err, syscall.EAGAIN) { // pebble's file lock
		err = fmt.Errorf("%w: %w", vfs.ErrLocked, err)
	}
	return s, err
}
