package protocol

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol/guard"
)

// DecodeRequest decodes a request body. The guard walks the body first, so that decoding takes time and memory in
// proportion to its size. The result may alias body (record bytes do).
func DecodeRequest(h RequestHeader, body []byte) (kmsg.Request, error) {
	if err := guard.Check(h.Key, h.Version, body); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	req := kmsg.RequestForKey(h.Key)
	if req == nil {
		return nil, &UnsupportedError{Key: h.Key, Version: h.Version}
	}
	req.SetVersion(h.Version)
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrMalformed, kmsg.NameForKey(h.Key), err)
	}
	return req, nil
}
