package image_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
)

func TestAdminURL(t *testing.T) {
	kafka := image.Endpoint{Name: "PLAINTEXT", Host: "a", Port: 9092}
	for _, tt := range []struct {
		name      string
		endpoints []image.Endpoint
		want      string
	}{
		{"none", []image.Endpoint{kafka}, ""},
		{"plain", []image.Endpoint{kafka, {Name: "ADMIN", Host: "a", Port: 9091}}, "http://a:9091"},
		{"IPv6", []image.Endpoint{{Name: "ADMIN", Host: "::1", Port: 9091}}, "http://[::1]:9091"},
		{"TLS", []image.Endpoint{{Name: "ADMIN", Host: "a", Port: 443, SecurityProtocol: image.ProtocolSSL}}, "https://a:443"},
	} {
		if got := image.AdminURL(tt.endpoints); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	got := image.Listeners([]image.Endpoint{kafka, {Name: "ADMIN", Host: "a", Port: 9091}})
	if diff := cmp.Diff([]image.Endpoint{kafka}, got); diff != "" {
		t.Errorf("listeners differ: %s", diff)
	}
}

// What a broker registered over REST is not where Kafka's clients reach it.
func TestBroker_EndpointByREST(t *testing.T) {
	b := &image.Broker{Endpoints: []image.Endpoint{{Name: "PLAINTEXT", Host: "a", Port: 8081}}}
	if _, ok := b.Endpoint("PLAINTEXT"); !ok {
		t.Error("a broker's listener is not found")
	}
	b.Features = map[string]image.FeatureRange{image.RESTRegistration: {Max: 1}}
	if e, ok := b.Endpoint("PLAINTEXT"); ok {
		t.Errorf("got %+v of a broker registered over REST", e)
	}
}

func TestImage_HasNativeBrokers(t *testing.T) {
	rest := &image.Broker{Features: map[string]image.FeatureRange{image.RESTRegistration: {Max: 1}}}
	native := &image.Broker{Features: map[string]image.FeatureRange{"metadata.version": {Max: 1}}}
	for name, tt := range map[string]struct {
		brokers map[protocol.NodeID]*image.Broker
		want    bool
	}{
		"nobody":       {nil, false},
		"only by REST": {map[protocol.NodeID]*image.Broker{1: rest}, false},
		"both":         {map[protocol.NodeID]*image.Broker{1: rest, 2: native}, true},
	} {
		if got := (&image.Image{Brokers: tt.brokers}).HasNativeBrokers(); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
