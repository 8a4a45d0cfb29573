package errcode_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/distributedmq/dmq/protocol/errcode"
)

const highest = 136 // in Kafka 4.4: CONTROLLER_ID_NOT_REGISTERED

func TestOf_EveryCode(t *testing.T) {
	for code := int16(-1); code <= highest; code++ {
		if code == 0 {
			continue
		}
		kind := errcode.Kind(code)
		want := kerr.TypedErrorForCode(code)
		if code > 0 && want.Code != code {
			t.Fatalf("kerr does not know code %d", code)
		}
		err := errcode.New(kind, "append to %s: %w", "topic-0", errors.New("cause"))
		for name, e := range map[string]error{
			"a kind":            err,
			"a wrapped kind":    fmt.Errorf("handler: %w", err),
			"a kerr value":      want,
			"a wrapped kerr":    fmt.Errorf("handler: %w", want),
			"a joined kind":     errors.Join(errors.New("other"), err),
			"a kind by pointer": &errcode.Error{Kind: kind},
		} {
			if got := errcode.Of(e); got != code {
				t.Errorf("%s of %s: got %d, want %d", name, errcode.Name(code), got, code)
			}
		}
		if !errors.Is(fmt.Errorf("x: %w", err), &errcode.Error{Kind: kind}) {
			t.Errorf("%s: errors.Is does not find the kind", errcode.Name(code))
		}
		if errors.Is(err, &errcode.Error{Kind: kind + 1}) {
			t.Errorf("%s: errors.Is finds another kind", errcode.Name(code))
		}
		if name := errcode.Name(code); name != want.Message || strings.ToUpper(name) != name {
			t.Errorf("code %d: got name %q, want %q", code, name, want.Message)
		}
		if errcode.Description(code) == "" {
			t.Errorf("%s has no description", errcode.Name(code))
		}
		if got := (&errcode.Error{Kind: kind}).Error(); got != errcode.Description(code) {
			t.Errorf("%s without text: got %q, want its description", errcode.Name(code), got)
		}
	}
}

func TestOf_Others(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want int16
	}{
		{"nil", nil, 0},
		{"a deadline", fmt.Errorf("wait: %w", context.DeadlineExceeded), int16(errcode.KindRequestTimedOut)},
		{"an error nobody classified", errors.New("boom"), -1},
		{"a cancelled context", context.Canceled, -1},
	}
	for _, tt := range tests {
		if got := errcode.Of(tt.err); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
	if errcode.Name(0) != "NONE" || errcode.Description(0) != "" {
		t.Error("code 0 is NONE and needs no description")
	}
}

func TestMessage(t *testing.T) {
	if got := errcode.Message(nil); got != nil {
		t.Errorf("nil: got %q", *got)
	}
	tests := []struct {
		err  error
		want string
	}{
		{errcode.New(errcode.KindInvalidConfig, "value %d is too low", 3), "value 3 is too low"},
		{kerr.NotController, kerr.NotController.Description},
		{fmt.Errorf("topic x: %w", kerr.NotController), "topic x: " + kerr.NotController.Error()},
		{&errcode.Error{Kind: errcode.KindNotController, Err: errors.New("cause")}, "cause"},
	}
	for _, tt := range tests {
		if got := errcode.Message(tt.err); got == nil || *got != tt.want {
			t.Errorf("%v: got %v, want %q", tt.err, got, tt.want)
		}
	}
}

func TestError_Unwraps(t *testing.T) {
	cause := errors.New("cause")
	if err := errcode.New(errcode.KindKafkaStorageError, "sync: %w", cause); !errors.Is(err, cause) || err.Error() != "sync: cause" {
		t.Errorf("got %v, want the cause inside", err)
	}
}
