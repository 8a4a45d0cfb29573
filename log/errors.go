package log

import (
	"errors"
	"fmt"

	"github.com/distributedmq/dmq/log/segment"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ErrClosed is returned by every call after Close or Delete.
var ErrClosed error = errcode.New(errcode.KindKafkaStorageError, "log is closed")

// OffsetOutOfRangeError says that an offset lies outside the log.
type OffsetOutOfRangeError struct{ Offset, LogStartOffset, LogEndOffset int64 }

// Error names the offset and the range.
func (e *OffsetOutOfRangeError) Error() string {
	return fmt.Sprintf("offset %d is outside the log's range [%d, %d]", e.Offset, e.LogStartOffset, e.LogEndOffset)
}

// ErrorKind makes it an errcode.Kinder.
func (e *OffsetOutOfRangeError) ErrorKind() errcode.Kind { return errcode.KindOffsetOutOfRange }

// CorruptError says that bytes which had been synced, or which nothing but damage explains, are not a valid record batch.
// They are neither served nor removed.
type CorruptError = segment.CorruptError

// StorageError says that the log's directory has failed: the log accepts nothing until the process starts anew.
type StorageError struct{ Err error }

// Error names the cause.
func (e *StorageError) Error() string { return fmt.Sprintf("log directory has failed: %v", e.Err) }

// Unwrap returns the cause.
func (e *StorageError) Unwrap() error { return e.Err }

// ErrorKind makes it an errcode.Kinder.
func (e *StorageError) ErrorKind() errcode.Kind { return errcode.KindKafkaStorageError }

// storageErr gives an I/O error its kind.
func storageErr(err error) error {
	var k errcode.Kinder
	if err == nil || errors.As(err, &k) {
		return err
	}
	return &StorageError{Err: err}
}

// InvariantError is the panic of a broken invariant: going on would lose or falsify records. Nobody recovers it.
type InvariantError struct{ Msg string }

// Error returns what was broken.
func (e InvariantError) Error() string { return "invariant broken: " + e.Msg }

// InvariantFailure marks the panic for boundaries that recover other ones.
func (e InvariantError) InvariantFailure() {}

func invariant(holds bool, format string, args ...any) {
	if !holds {
		panic(InvariantError{Msg: fmt.Sprintf(format, args...)})
	}
}
