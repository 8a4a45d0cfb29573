//go:build !linux

package main

import (
	"context"
	"errors"
	"io"
)

// base needs the CPU time of a thread.
func base(context.Context, *options, io.Writer) error {
	return errors.New("base runs on Linux only")
}
