package segment

import (
	"errors"
	"syscall"
)

// IsNoSpace reports whether err says that the disk, or the owner's share of it, is full. Nothing is broken then: what was
// written stays, and writing works again when there is room.
func IsNoSpace(err error) bool { return errors.Is(err, syscall.ENOSPC) || isQuota(err) }
