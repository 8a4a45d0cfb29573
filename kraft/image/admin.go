package image

import (
	"net"
	"strconv"
)

// AdminListener names the endpoint of a node's admin port among its endpoints, where it comes last. Kafka's clients never see it:
// what they are told is chosen by the name of a listener, and no listener may have this one.
const AdminListener = "ADMIN"

// Security protocols of endpoints, Kafka's ids.
const (
	ProtocolPlaintext int16 = 0
	ProtocolSSL       int16 = 1
)

// AdminURL is the address of the admin port among a node's endpoints; "" when there is none.
func AdminURL(endpoints []Endpoint) string {
	for _, e := range endpoints {
		if e.Name != AdminListener {
			continue
		}
		scheme := "http://"
		if e.SecurityProtocol == ProtocolSSL {
			scheme = "https://"
		}
		return scheme + net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
	}
	return ""
}

// Listeners are the endpoints without that of the admin port: those that speak Kafka's protocol.
func Listeners(endpoints []Endpoint) []Endpoint {
	out := make([]Endpoint, 0, len(endpoints))
	for _, e := range endpoints {
		if e.Name != AdminListener {
			out = append(out, e)
		}
	}
	return out
}

// RESTRegistration is the feature that marks a broker registered over REST: a process that is kept in the metadata by HTTP alone
// and has neither a log directory nor the metadata of a dmq broker.
const RESTRegistration = "dmq.rest.registration"

// ByREST reports whether the broker was registered over REST.
func (b *Broker) ByREST() bool {
	_, ok := b.Features[RESTRegistration]
	return ok
}

// HasNativeBrokers reports whether a broker is registered that is a process of ours. Others get replicas only while there is
// none.
func (i *Image) HasNativeBrokers() bool {
	for _, b := range i.Brokers {
		if !b.ByREST() {
			return true
		}
	}
	return false
}
