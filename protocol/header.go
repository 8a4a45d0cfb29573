package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/distributedmq/dmq/protocol/guard"
)

// ErrMalformed is a request that does not follow the protocol: its connection is closed.
var ErrMalformed = errors.New("malformed request")

// UnsupportedError is a request of a key or version that is not served. For ApiVersions it is answered in the v0 format;
// for every other key the connection is closed.
type UnsupportedError struct{ Key, Version int16 }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("api key %d version %d is not served", e.Key, e.Version)
}

// RequestHeader is Kafka's request header, versions 1 and 2.
type RequestHeader struct {
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	HasClientID   bool // false: the client sent null
}

// ParseRequestHeader cuts the header off a frame. Key, version and correlation id are set whenever they could be read,
// also together with an *UnsupportedError. The client id is copied.
func ParseRequestHeader(frame []byte) (h RequestHeader, body []byte, err error) {
	if len(frame) < 8 {
		return h, nil, fmt.Errorf("%w: header of %d bytes", ErrMalformed, len(frame))
	}
	h.Key = int16(binary.BigEndian.Uint16(frame))
	h.Version = int16(binary.BigEndian.Uint16(frame[2:]))
	h.CorrelationID = int32(binary.BigEndian.Uint32(frame[4:]))
	api, ok := LookupAPI(h.Key)
	if !ok || h.Version < api.MinVersion || h.Version > api.MaxVersion {
		return h, nil, &UnsupportedError{Key: h.Key, Version: h.Version}
	}
	body = frame[8:]
	if len(body) < 2 {
		return h, nil, fmt.Errorf("%w: header without client id", ErrMalformed)
	}
	n := int(int16(binary.BigEndian.Uint16(body)))
	body = body[2:]
	switch {
	case n > len(body): // any negative length is null, as in Kafka
		return h, nil, fmt.Errorf("%w: client id of %d bytes", ErrMalformed, n)
	case n >= 0:
		h.ClientID, h.HasClientID = string(body[:n]), true
		body = body[n:]
	}
	if api.Flexible(h.Version) {
		if body, err = guard.Tags(body); err != nil {
			return h, nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
		}
	}
	return h, body, nil
}

// AppendResponseHeader appends the response header for a request: the correlation id, and where the version is flexible
// an empty tag section, but never for ApiVersions, whose clients do not know yet what the broker speaks.
func AppendResponseHeader(dst []byte, h RequestHeader) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.CorrelationID))
	if api, ok := LookupAPI(h.Key); ok && api.Flexible(h.Version) && h.Key != APIVersionsKey {
		dst = append(dst, 0)
	}
	return dst
}
