//go:build !wasip1

package raftstore

import (
	"log/slog"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options configures Open.
type Options struct {
	Dir    string
	FS     vfs.FS // nil: the operating system's
	Logger *slog.Logger
	Fatal  func(error) // the store cannot be trusted any more: stop the process
}

// Pebble is a Store on disk.
type Pebble struct{ Store }

// Open opens or creates the store in a directory.
func Open(o Options) (*Pebble, error) { panic("skeleton") }
