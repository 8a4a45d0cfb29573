//go:build freebsd || openbsd || netbsd || dragonfly

package vfs

import "errors"

// The statfs structures of the BSDs differ in every name; nothing but a gauge needs them.
func usage(name string) (Usage, error) { return Usage{}, usageError(name, errors.ErrUnsupported) }
