package api

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// Registration registers a broker that is kept in the metadata over REST.
type Registration struct {
	ID       *int32 `json:"id" doc:"or brokerId"`
	BrokerID *int32 `json:"brokerId"`
	Host     string `json:"host" required:"true"`
	Port     int64  `json:"port" required:"true" doc:"1 to 65535"`
	Rack     string `json:"rack,omitempty"`
	AdminURL string `json:"adminUrl,omitempty" doc:"where CONTROLLER_CHANGED is pushed to, if the request comes from there; http://host:port when left out"`
}

// BrokerInfo is a registered broker.
type BrokerInfo struct {
	ID            int32  `json:"id"`
	BrokerID      int32  `json:"brokerId" doc:"the same"`
	Host          string `json:"host" doc:"of its first listener"`
	Port          int32  `json:"port"`
	Address       string `json:"address" doc:"host:port"`
	Status        string `json:"status" enum:"ONLINE,OFFLINE"`
	Rack          string `json:"rack"`
	AdminURL      string `json:"adminUrl" doc:"where CONTROLLER_CHANGED is pushed to; empty: nothing is"`
	Native        bool   `json:"native" doc:"whether it is a dmq broker, which keeps its own session, or was registered over REST"`
	BrokerEpoch   int64  `json:"brokerEpoch"`
	RegisteredAt  int64  `json:"registeredAt" doc:"-1: not known"`
	LastHeartbeat int64  `json:"lastHeartbeat" doc:"-1: not known here; the active controller knows"`
}

func (a *API) brokerRoutes() []route {
	return []route{
		{
			method: http.MethodPost, path: "/metadata/brokers", id: "registerBroker", leader: true, timeout: writeTimeout,
			summary: "Registers a broker, which is ONLINE from then on for as long as it beats. The same id and address again change nothing",
			body:    Registration{}, answer: BrokerInfo{}, failures: []int{http.StatusConflict}, serve: typed(a.registerBroker),
		},
		{
			method: http.MethodGet, path: "/metadata/brokers", id: "listBrokers", summary: "The registered brokers",
			answer: []BrokerInfo{}, serve: get(func(context.Context, *http.Request) (any, error) {
				img, err := a.image()
				if err != nil {
					return nil, err
				}
				return a.brokers(img), nil
			}),
		},
		{
			method: http.MethodGet, path: "/metadata/brokers/{brokerId}", id: "getBroker", summary: "One broker",
			answer: BrokerInfo{}, failures: []int{http.StatusNotFound}, serve: get(func(_ context.Context, r *http.Request) (any, error) {
				b, err := a.findBroker(r)
				if err != nil {
					return nil, err
				}
				return a.broker(b), nil
			}),
		},
		{
			method: http.MethodDelete, path: "/metadata/brokers/{brokerId}", id: "unregisterBroker", leader: true, timeout: writeTimeout,
			summary: "Forgets a broker", status: http.StatusNoContent, failures: []int{http.StatusNotFound}, serve: get(a.unregisterBroker),
		},
	}
}

// findBroker returns the broker of a path.
func (a *API) findBroker(r *http.Request) (*image.Broker, error) {
	text := r.PathValue("brokerId")
	id, err := strconv.ParseInt(text, 10, 32)
	if err != nil || id < 0 {
		return nil, invalid("%q is not a broker's id", short(text))
	}
	_, b, err := a.registeredBroker(protocol.NodeID(id))
	return b, err
}

// registeredBroker returns a broker, and the metadata that hold it.
func (a *API) registeredBroker(id protocol.NodeID) (*image.Image, *image.Broker, error) {
	img, err := a.image()
	if err != nil {
		return nil, nil, err
	}
	if b := img.Brokers[id]; b != nil {
		return img, b, nil
	}
	return nil, nil, errcode.New(errcode.KindBrokerIDNotRegistered, "broker %d is not registered", id)
}

func (a *API) brokers(img *image.Image) []BrokerInfo {
	out := make([]BrokerInfo, 0, len(img.Brokers))
	for _, id := range slices.Sorted(maps.Keys(img.Brokers)) {
		out = append(out, a.broker(img.Brokers[id]))
	}
	return out
}

func (a *API) broker(b *image.Broker) BrokerInfo {
	host, port := clientAddress(b)
	out := BrokerInfo{
		ID: int32(b.ID), BrokerID: int32(b.ID), Host: host, Port: port, Address: address(b),
		Status: status(b), AdminURL: image.AdminURL(b.Endpoints), Native: !b.ByREST(), BrokerEpoch: int64(b.Epoch),
		RegisteredAt: cmp.Or(b.RegisteredAt, -1), LastHeartbeat: millis(a.o.Cluster.LastContact(b.ID)),
	}
	if b.Rack != nil {
		out.Rack = *b.Rack
	}
	return out
}

// clientAddress is where clients reach a broker: at its first listener.
func clientAddress(b *image.Broker) (host string, port int32) {
	if listeners := image.Listeners(b.Endpoints); len(listeners) > 0 {
		return listeners[0].Host, int32(listeners[0].Port)
	}
	return "", 0
}

func address(b *image.Broker) string {
	host, port := clientAddress(b)
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// registeredMost bounds the brokers that are registered over REST, but for those that register at the same time.
const registeredMost = 1000

func (a *API) registerBroker(ctx context.Context, r *http.Request, q *Registration) (any, error) {
	img, err := a.image()
	if err != nil {
		return nil, err
	}
	req, err := registration(img, q)
	if err != nil {
		return nil, err
	}
	id := protocol.NodeID(req.BrokerID)
	known := img.Brokers[id]
	if known == nil && registered(img) >= registeredMost {
		return nil, errcode.New(errcode.KindPolicyViolation, "%d brokers are registered over REST, and no more are taken: unregister those that are gone", registeredMost)
	}
	if known != nil {
		host, port := clientAddress(known)
		same := host == req.Listeners[0].Host && port == int32(req.Listeners[0].Port)
		switch {
		case same && (!known.ByREST() || !known.Fenced):
			return a.broker(known), nil
		case !known.ByREST():
			return nil, errcode.New(errcode.KindDuplicateBrokerRegistration, "broker %d is a dmq broker at %s: its registration is its own", id, address(known))
		case !same && !known.Fenced:
			return nil, errcode.New(errcode.KindDuplicateBrokerRegistration, "broker %d is registered at %s and ONLINE", id, address(known))
		}
	}
	push, err := a.pushEndpoint(ctx, r, q)
	if err != nil {
		return nil, err
	}
	if push != nil {
		req.Listeners = append(req.Listeners, listenerOf(*push))
	}
	resp, err := a.o.Cluster.Decide(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := kafkaError(resp.(*kmsg.BrokerRegistrationResponse).ErrorCode, nil); err != nil {
		return nil, err
	}
	a.o.Logger.InfoContext(ctx, "broker registered over REST", slog.String("event", "broker.register"), slog.Int("broker", int(id)),
		slog.String("host", short(req.Listeners[0].Host)), slog.Int("port", int(req.Listeners[0].Port)))
	return a.unfence(ctx, id)
}

// registered counts the brokers that are registered over REST.
func registered(img *image.Image) int {
	n := 0
	for _, b := range img.Brokers {
		if b.ByREST() {
			n++
		}
	}
	return n
}

// unfence beats for a broker that has just registered: whoever can ask is alive.
func (a *API) unfence(ctx context.Context, id protocol.NodeID) (any, error) {
	for range 2 { // with another registration in between
		_, b, err := a.registeredBroker(id)
		if err != nil {
			return nil, err
		}
		if err = a.beat(ctx, b); err != nil && errcode.KindOf(err) != errcode.KindStaleBrokerEpoch {
			return nil, err
		}
		if err == nil {
			break
		}
	}
	_, b, err := a.registeredBroker(id)
	if err != nil {
		return nil, err
	}
	return a.broker(b), nil
}

// registration makes Kafka's request of a registration: with an incarnation and a log directory of which nobody has heard, since
// the broker may have any or none, one PLAINTEXT listener, and every feature.
func registration(img *image.Image, q *Registration) (*kmsg.BrokerRegistrationRequest, error) {
	id, err := q.brokerID()
	if err != nil {
		return nil, err
	}
	if err := checkHost(q.Host); err != nil {
		return nil, err
	}
	if q.Port < 1 || q.Port > math.MaxUint16 {
		return nil, invalid("port %d is not one of 1 to 65535", q.Port)
	}
	if len(q.Rack) > hostMost {
		return nil, invalid("the rack has more than %d characters", hostMost)
	}
	req := kmsg.NewPtrBrokerRegistrationRequest()
	req.BrokerID, req.ClusterID, req.PreviousBrokerEpoch = id, img.ClusterID, -1
	if q.Rack != "" {
		req.Rack = &q.Rack
	}
	incarnation, err := protocol.NewTopicID(rand.Reader)
	if err != nil {
		return nil, err
	}
	dir, err := protocol.NewTopicID(rand.Reader)
	if err != nil {
		return nil, err
	}
	req.IncarnationID, req.LogDirs = incarnation, [][16]byte{dir}
	req.Listeners = append(req.Listeners, listenerOf(image.Endpoint{Name: "PLAINTEXT", Host: q.Host, Port: uint16(q.Port)}))
	names := slices.Sorted(maps.Keys(img.Features))
	if !slices.Contains(names, metadataVersion) {
		names = append(names, metadataVersion)
	}
	for _, name := range append(names, image.RESTRegistration) {
		f := kmsg.NewBrokerRegistrationRequestFeature()
		f.Name, f.MinSupportedVersion, f.MaxSupportedVersion = name, 0, math.MaxInt16
		req.Features = append(req.Features, f)
	}
	return req, nil
}

func listenerOf(e image.Endpoint) kmsg.BrokerRegistrationRequestListener {
	l := kmsg.NewBrokerRegistrationRequestListener()
	l.Name, l.Host, l.Port, l.SecurityProtocol = e.Name, e.Host, e.Port, e.SecurityProtocol
	return l
}

// metadataVersion is a feature that every broker has to support.
const metadataVersion = "metadata.version"

func (q *Registration) brokerID() (int32, error) {
	switch {
	case q.ID == nil && q.BrokerID == nil:
		return 0, invalid("id is missing")
	case q.ID != nil && q.BrokerID != nil && *q.ID != *q.BrokerID:
		return 0, invalid("id %d and brokerId %d differ", *q.ID, *q.BrokerID)
	}
	id := cmp.Or(q.ID, q.BrokerID)
	if *id < 0 {
		return 0, invalid("id %d is negative", *id)
	}
	return *id, nil
}

// hostMost is the longest name of a host, as in DNS.
const hostMost = 255

// checkHost refuses what cannot be the name or address of a host.
func checkHost(host string) error {
	switch {
	case host == "":
		return invalid("host is missing")
	case len(host) > hostMost:
		return invalid("the host has more than %d characters", hostMost)
	case strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") != "":
		return invalid("%q is not a host", short(host))
	}
	return nil
}

// pushEndpoint is where a broker that registers is told of elections; nil: nowhere. Whoever may register could otherwise have the
// controller send requests to any address that it can reach, so there has to be the host that the registration comes from. What
// is stored is that address rather than its name, which may stand for another one later; only TLS needs the name, and
// checks it.
func (a *API) pushEndpoint(ctx context.Context, r *http.Request, q *Registration) (*image.Endpoint, error) {
	e, err := adminEndpoint(q)
	if err != nil {
		return nil, err
	}
	from, ok := origin(r)
	if !ok || !a.isHost(ctx, e.Host, from) {
		a.o.Logger.InfoContext(ctx, "a broker that registers will not be told of elections: the request does not come from the host of its admin port",
			slog.String("event", "broker.register"), slog.String("host", short(e.Host)), slog.String("from", r.RemoteAddr))
		return nil, nil //nolint:nilnil // nowhere
	}
	if e.SecurityProtocol == image.ProtocolPlaintext {
		e.Host = from.String()
	}
	return &e, nil
}

// origin is the address that a request comes from; ok is false when a proxy says that it is another's.
func origin(r *http.Request) (from netip.Addr, ok bool) {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "Via"} {
		if len(r.Header.Values(name)) > 0 {
			return netip.Addr{}, false
		}
	}
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return at.Addr().Unmap(), err == nil
}

// lookupWithin is how long the addresses of a host may take.
const lookupWithin = 2 * time.Second

// isHost reports whether a host has an address.
func (a *API) isHost(ctx context.Context, host string, addr netip.Addr) bool {
	if literal, err := netip.ParseAddr(host); err == nil {
		return literal.Unmap() == addr
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	found, err := a.o.Lookup(ctx, host)
	return err == nil && slices.ContainsFunc(found, func(f netip.Addr) bool { return f.Unmap() == addr })
}

// adminEndpoint is where a registration wants pushes to go.
func adminEndpoint(q *Registration) (image.Endpoint, error) {
	e := image.Endpoint{Name: image.AdminListener, Host: q.Host, Port: uint16(q.Port)}
	if q.AdminURL == "" {
		return e, nil
	}
	bad := func(why string) (image.Endpoint, error) {
		return e, invalid("adminUrl %q %s; write http://host:port", short(q.AdminURL), why)
	}
	u, err := url.Parse(q.AdminURL)
	if err != nil {
		return bad("is not a URL")
	}
	port := u.Port()
	switch {
	case u.Scheme == "https":
		e.SecurityProtocol, port = image.ProtocolSSL, cmp.Or(port, "443")
	case u.Scheme == "http":
		port = cmp.Or(port, "80")
	default:
		return bad("is not of http or https")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return bad("has more than host and port")
	}
	if e.Host = u.Hostname(); checkHost(e.Host) != nil {
		return bad("has no host")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return bad(fmt.Sprintf("has the port %q", short(port)))
	}
	e.Port = uint16(n)
	return e, nil
}

func (a *API) unregisterBroker(ctx context.Context, r *http.Request) (any, error) {
	b, err := a.findBroker(r)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrUnregisterBrokerRequest()
	req.BrokerID = int32(b.ID)
	resp, err := a.o.Cluster.Decide(ctx, req)
	if err != nil {
		return nil, err
	}
	u := resp.(*kmsg.UnregisterBrokerResponse)
	return nil, kafkaError(u.ErrorCode, u.ErrorMessage)
}
