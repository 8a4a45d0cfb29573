// Package errcode is the one place where an error becomes a Kafka error code.
//
// Rooms below the handlers return errors that carry a Kind; handlers ask Of and Message. It imports nothing of ours, owns
// no state and is safe from any goroutine.
package errcode

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Kind says what a failure means to a client, in Kafka's terms.
type Kind int16

// Kinder is an error that knows its kind. Domain errors of log and kraft implement it.
type Kinder interface{ ErrorKind() Kind }

// Error is a failure of a kind, with the text a client may see and the cause.
type Error struct {
	Kind Kind
	Msg  string // for people; empty: Kafka's own description of the kind
	Err  error  // cause; may be nil
}

// New returns an error of a kind. A %w in format becomes its cause.
func New(kind Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: kind, Msg: err.Error(), Err: errors.Unwrap(err)}
}

// Error returns the text, or the kind's description.
func (e *Error) Error() string {
	switch {
	case e.Msg != "":
		return e.Msg
	case e.Err != nil:
		return e.Err.Error()
	default:
		return Description(int16(e.Kind))
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrorKind implements Kinder.
func (e *Error) ErrorKind() Kind { return e.Kind }

// Is matches another *Error of the same kind without a text: errors.Is(err, &errcode.Error{Kind: k}).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Msg == "" && t.Err == nil && t.Kind == e.Kind
}

// KindOf returns the kind of err: KindNone for nil, KindUnknown for what nobody classified.
func KindOf(err error) Kind {
	if err == nil {
		return KindNone
	}
	var k Kinder
	if errors.As(err, &k) {
		return k.ErrorKind()
	}
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return Kind(ke.Code)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return KindRequestTimedOut
	}
	return KindUnknown
}

// Of returns the Kafka code of err: 0 for nil, UNKNOWN_SERVER_ERROR for what nobody classified.
func Of(err error) int16 { return int16(KindOf(err)) }

// Message returns the text for an ErrorMessage field: nil without an error, else what went wrong in the words of whoever
// found it, or Kafka's description of the code.
func Message(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	if ke, ok := err.(*kerr.Error); ok { //nolint:errorlint // only a bare kerr value has nothing of its own to say
		text = ke.Description
	}
	return &text
}

// Name returns Kafka's name of a code, such as NOT_LEADER_OR_FOLLOWER.
func Name(code int16) string {
	if code == 0 {
		return "NONE"
	}
	return kerr.TypedErrorForCode(code).Message
}

// Description returns the sentence that explains a code.
func Description(code int16) string {
	if code == 0 {
		return ""
	}
	return kerr.TypedErrorForCode(code).Description
}
