package protocol_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/protocol"
)

// frame writes a request as clients do, without the length.
func frame(req kmsg.Request, correlationID int32, clientID *string) []byte {
	opts := []kmsg.RequestFormatterOpt(nil)
	if clientID != nil {
		opts = append(opts, kmsg.FormatterClientID(*clientID))
	}
	return kmsg.NewRequestFormatter(opts...).AppendRequest(nil, req, correlationID)[4:]
}

func TestParseRequestHeader_EveryServedVersion(t *testing.T) {
	id := "client"
	for _, api := range protocol.APIs() {
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			for _, client := range []*string{&id, nil} {
				req := kmsg.RequestForKey(api.Key)
				req.SetVersion(v)
				h, body, err := protocol.ParseRequestHeader(frame(req, 77, client))
				if err != nil {
					t.Fatalf("%s v%d: %v", api.Name, v, err)
				}
				want := protocol.RequestHeader{Key: api.Key, Version: v, CorrelationID: 77, HasClientID: client != nil}
				if client != nil {
					want.ClientID = id
				}
				if d := cmp.Diff(want, h); d != "" {
					t.Errorf("%s v%d: header (-want +got)\n%s", api.Name, v, d)
				}
				if !bytes.Equal(body, req.AppendTo(nil)) {
					t.Errorf("%s v%d: got body %x, want %x", api.Name, v, body, req.AppendTo(nil))
				}
				if _, err := protocol.DecodeRequest(h, body); err != nil {
					t.Errorf("%s v%d: %v", api.Name, v, err)
				}
			}
		}
	}
}

func TestParseRequestHeader_Refuses(t *testing.T) {
	const apiVersions3 = "\x00\x12\x00\x03\x00\x00\x00\x07"
	tests := []struct{ name, frame, want string }{
		{"nothing", "", "header of 0 bytes"},
		{"half a correlation id", "\x00\x12\x00\x03\x00\x00", "header of 6 bytes"},
		{"no client id", apiVersions3 + "\x00", "without client id"},
		{"a client id longer than the frame", apiVersions3 + "\x00\x05abc", "client id of 5 bytes"},
		{"no tagged fields", apiVersions3 + "\x00\x00", "tagged fields"},
		{"too many tagged fields", apiVersions3 + "\x00\x00\xff\xff\xff\xff\x07", "too many"},
		{"a tagged field twice", apiVersions3 + "\x00\x00\x02\x01\x00\x01\x00", "do not rise"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := protocol.ParseRequestHeader([]byte(tt.frame))
			if !errors.Is(err, protocol.ErrMalformed) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want ErrMalformed that says %q", err, tt.want)
			}
		})
	}
}

func TestParseRequestHeader_UnservedKeepsWhatItRead(t *testing.T) {
	tests := []struct {
		name  string
		frame string
		want  protocol.RequestHeader
	}{
		{"unknown key", "\x03\xe8\x00\x01\x00\x00\x00\x09", protocol.RequestHeader{Key: 1000, Version: 1, CorrelationID: 9}},
		{"newer ApiVersions", "\x00\x12\x00\x63\x00\x00\x00\x09\x00\x01a\x00", protocol.RequestHeader{Key: 18, Version: 99, CorrelationID: 9}},
		{"older Produce", "\x00\x00\x00\x02\x00\x00\x00\x09", protocol.RequestHeader{Key: 0, Version: 2, CorrelationID: 9}},
		{"negative version", "\x00\x12\xff\xff\x00\x00\x00\x09", protocol.RequestHeader{Key: 18, Version: -1, CorrelationID: 9}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, _, err := protocol.ParseRequestHeader([]byte(tt.frame))
			var unsupported *protocol.UnsupportedError
			if !errors.As(err, &unsupported) || unsupported.Key != tt.want.Key || unsupported.Version != tt.want.Version {
				t.Errorf("got %v, want an UnsupportedError with key and version", err)
			}
			if h != tt.want {
				t.Errorf("got %+v, want %+v", h, tt.want)
			}
		})
	}
}

func TestParseRequestHeader_NegativeClientIDIsNull(t *testing.T) {
	h, body, err := protocol.ParseRequestHeader([]byte("\x00\x12\x00\x00\x00\x00\x00\x07\xff\xfebody"))
	if err != nil || h.HasClientID || string(body) != "body" {
		t.Errorf("got %+v, body %x and %v", h, body, err)
	}
}

func TestParseRequestHeader_SkipsUnknownTags(t *testing.T) {
	h, body, err := protocol.ParseRequestHeader([]byte("\x00\x12\x00\x03\x00\x00\x00\x07\x00\x01c\x02\x00\x02xy\x05\x00\x02a\x02b\x00"))
	if err != nil || h.ClientID != "c" || string(body) != "\x02a\x02b\x00" {
		t.Errorf("got %+v, body %x and %v", h, body, err)
	}
}

func TestAppendResponseHeader(t *testing.T) {
	for _, api := range protocol.APIs() {
		for v := api.MinVersion; v <= api.MaxVersion; v++ {
			want := "\x00\x00\x00\x2a"
			resp := kmsg.ResponseForKey(api.Key)
			resp.SetVersion(v)
			if resp.IsFlexible() && api.Key != protocol.APIVersionsKey {
				want += "\x00"
			}
			if got := string(protocol.AppendResponseHeader(nil, protocol.RequestHeader{Key: api.Key, Version: v, CorrelationID: 42})); got != want {
				t.Errorf("%s v%d: got %x, want %x", api.Name, v, got, want)
			}
		}
	}
}

func TestDecodeRequest_Refuses(t *testing.T) {
	_, err := protocol.DecodeRequest(protocol.RequestHeader{Key: 18, Version: 3}, []byte("\x01\x01\xff\xff\xff\xff\x0f"))
	if !errors.Is(err, protocol.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func BenchmarkParseAndDecode(b *testing.B) {
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(11)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic = "orders"
	for i := range int32(6) {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = i, make([]byte, 16<<10)
		topic.Partitions = append(topic.Partitions, p)
	}
	req.Topics = append(req.Topics, topic)
	id := "client"
	raw := frame(req, 1, &id)
	b.ReportAllocs()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		h, body, err := protocol.ParseRequestHeader(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := protocol.DecodeRequest(h, body); err != nil {
			b.Fatal(err)
		}
	}
}
