package protocol_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// FuzzRequest takes a frame the whole way from bytes to a decoded request and back.
func FuzzRequest(f *testing.F) {
	id := "client"
	for _, api := range protocol.APIs() {
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			req := kmsg.RequestForKey(api.Key)
			req.SetVersion(v)
			f.Add(frame(req, 1, &id))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, body, err := protocol.ParseRequestHeader(raw)
		if err != nil {
			var unsupported *protocol.UnsupportedError
			if !errors.Is(err, protocol.ErrMalformed) && !errors.As(err, &unsupported) {
				t.Fatalf("error of a third kind: %v", err)
			}
			return
		}
		req, err := protocol.DecodeRequest(h, body)
		if err != nil {
			if !errors.Is(err, protocol.ErrMalformed) {
				t.Fatalf("error of a third kind: %v", err)
			}
			return
		}
		if req.Key() != h.Key || req.GetVersion() != h.Version {
			t.Fatalf("decoded key %d v%d of %+v", req.Key(), req.GetVersion(), h)
		}
		protocol.AppendResponseHeader(nil, h)
	})
}
