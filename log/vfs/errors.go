package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace reports whether an operation failed because the disk or the quota is full. Such a failure promises that
// nothing else is wrong: reads, deletes and, once there is space, writes go on.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
