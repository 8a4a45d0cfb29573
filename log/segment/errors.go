package segment

import (
	"fmt"
	"sync/atomic"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// CorruptError says where a file holds bytes that are not what was written.
type CorruptError struct {
	Path     string
	Position int64
	Err      error

	reported atomic.Bool
}

// Report reports whether it is called for the first time: whoever logs the error logs it once.
func (e *CorruptError) Report() bool { return !e.reported.Swap(true) }

// Error names file, position and fault.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s is corrupt at byte %d: %v", e.Path, e.Position, e.Err)
}

// Unwrap returns the fault.
func (e *CorruptError) Unwrap() error { return e.Err }

// ErrorKind makes it an errcode.Kinder. It is KAFKA_STORAGE_ERROR, not CORRUPT_MESSAGE: the records are lost here, and a
// client that is told the former looks for another replica.
func (e *CorruptError) ErrorKind() errcode.Kind { return errcode.KindKafkaStorageError }
