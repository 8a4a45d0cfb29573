package config

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ServicesFile is a topology in the form of the system that dmq re-creates:
//
//	{"services": {"metadata-services": [{"id": 1, "host": "h", "port": 9091, "url": "http://h:9091"}],
//	              "storage-services": [{"id": 101, "host": "b", "port": 8081, "url": "http://b:8081"}]},
//	 "controller": {"electionTimeoutMs": 5000},
//	 "metadata": {"sync": {"heartbeatIntervalMs": 5000, "syncTimeoutMs": 30000}}}
//
// Metadata services are controllers, storage services are brokers, and nobody is both. port is the admin port; controllerPort is
// port+10000 and kafkaPort is port+11000 unless they are there. The node keeps its data in ./data-ID. All of it gives way to
// every other source.
type ServicesFile struct {
	Name string // of the file
	ID   int32  // which of the services this node is; negative: not said
}

const (
	controllerPortOffset = 10000
	kafkaPortOffset      = 11000
	// servicesMost bounds such a file.
	servicesMost = 1 << 20
)

// service is one entry.
type service struct {
	at             *jsonNode
	id             int64
	host           string
	port           int64
	url            string
	controllerPort int64 // of a controller
	kafkaPort      int64 // of a broker
}

// services is what such a file says.
type services struct {
	controllers, brokers                []service
	election, heartbeat, sessionTimeout *jsonNode
}

// readServices adds the settings of a topology.
func (b *builder) readServices(s Sources) []setting {
	f := s.Services
	if f == nil {
		return nil
	}
	data, err := readFile(s, f.Name)
	if err != nil {
		b.faults = append(b.faults, &FaultError{Source: f.Name, Why: "cannot be read: " + err.Error(), Next: "check the path given to --services"})
		return nil
	}
	if len(data) > servicesMost {
		b.faults = append(b.faults, &FaultError{Source: f.Name, Why: fmt.Sprintf("has more than %d bytes", servicesMost)})
		return nil
	}
	root, err := parseJSON(data)
	if err != nil {
		b.faults = append(b.faults, &FaultError{Source: f.Name, Why: err.Error()})
		return nil
	}
	r := &jsonReader{}
	topology := r.topology(root)
	if len(r.errs) == 0 {
		r.distinctServices(topology)
	}
	for _, e := range r.errs {
		b.faults = append(b.faults, &FaultError{Source: f.Name, Why: e.Error()})
	}
	if len(r.errs) > 0 {
		return nil
	}
	if len(r.unknown) > 0 {
		b.warnings = append(b.warnings, Warning{Kind: WarnOther, Key: f.Name, Text: "has members that are not known and are ignored: " + strings.Join(r.unknown, ", ")})
	}
	b.brokers = len(topology.brokers)
	return b.serviceSettings(f, topology)
}

func (r *jsonReader) topology(root *jsonNode) services {
	var out services
	if root.kind != kindObject {
		r.fault(root, "is a JSON %s, want an object", root.kind)
		return out
	}
	r.only(root, "services", "controller", "metadata")
	if s := r.object(root, "services", true); s != nil {
		r.only(s, "metadata-services", "storage-services")
		out.controllers = r.list(s, "metadata-services", true)
		out.brokers = r.list(s, "storage-services", false)
	}
	number := func(n *jsonNode, name string) *jsonNode {
		if _, ok := r.integer(n, name, 1, math.MaxInt32, false); !ok {
			return nil
		}
		return n.members[name]
	}
	if c := r.object(root, "controller", false); c != nil {
		r.only(c, "electionTimeoutMs")
		out.election = number(c, "electionTimeoutMs")
	}
	if m := r.object(root, "metadata", false); m != nil {
		r.only(m, "sync")
		if s := r.object(m, "sync", false); s != nil {
			r.only(s, "heartbeatIntervalMs", "syncTimeoutMs")
			out.heartbeat, out.sessionTimeout = number(s, "heartbeatIntervalMs"), number(s, "syncTimeoutMs")
		}
	}
	return out
}

// list reads the services of a kind.
func (r *jsonReader) list(n *jsonNode, name string, controllers bool) []service {
	list := r.of(n, name, kindArray, controllers)
	if list == nil {
		return nil
	}
	if controllers && len(list.items) == 0 {
		r.fault(list, "is empty, want at least one")
	}
	var out []service
	for _, item := range list.items {
		if item.kind != kindObject {
			r.fault(item, "is a JSON %s, want an object", item.kind)
			continue
		}
		out = append(out, r.service(item, controllers))
	}
	return out
}

func (r *jsonReader) service(n *jsonNode, controller bool) service {
	own, offset := "kafkaPort", int64(kafkaPortOffset)
	if controller {
		own, offset = "controllerPort", controllerPortOffset
	}
	r.only(n, "id", "host", "port", "url", own)
	s := service{at: n}
	var ok bool
	s.id, _ = r.integer(n, "id", 0, math.MaxInt32, true)
	s.host = r.text(n, "host", true)
	if m := r.member(n, "host"); m != nil && m.kind == "string" {
		if _, _, err := splitHostPort(net.JoinHostPort(s.host, "1")); err != nil || isWildcard(s.host) {
			r.fault(m, "is %q, which is no host that others can connect to", s.host)
		}
	}
	s.port, ok = r.integer(n, "port", 1, math.MaxUint16, true)
	second, given := r.integer(n, own, 1, math.MaxUint16, false)
	if ok && !given && r.member(n, own) == nil {
		if second = s.port + offset; second > math.MaxUint16 {
			r.fault(n.members["port"], "is %d, and %d more is not a port: add %s", s.port, offset, own)
		}
	}
	if controller {
		s.controllerPort = second
	} else {
		s.kafkaPort = second
	}
	s.url = cmp.Or(r.text(n, "url", false), "http://"+net.JoinHostPort(s.host, strconv.FormatInt(s.port, 10)))
	if m := r.member(n, "url"); m != nil && m.kind == "string" {
		if u, err := url.Parse(s.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
			r.fault(m, "is %q, want http://host:port", s.url)
		}
	}
	return s
}

// distinctServices refuses two services with one id or one address.
func (r *jsonReader) distinctServices(t services) {
	ids, addresses := make(map[int64]*jsonNode), make(map[string]*jsonNode)
	take := func(s service, port int64, member string) {
		address := net.JoinHostPort(s.host, strconv.FormatInt(port, 10))
		if other := addresses[address]; other != nil {
			at := s.at.members[member]
			if at == nil {
				at = s.at
			}
			r.fault(at, "%s is used by %s (line %d), too", address, other.path, other.line)
		}
		addresses[address] = s.at
	}
	for _, s := range slices.Concat(t.controllers, t.brokers) {
		if other := ids[s.id]; other != nil {
			r.fault(s.at.members["id"], "is %d, as that of %s (line %d)", s.id, other.path, other.line)
		}
		ids[s.id] = s.at
		take(s, s.port, "port")
		if s.controllerPort > 0 {
			take(s, s.controllerPort, "controllerPort")
		}
		if s.kafkaPort > 0 {
			take(s, s.kafkaPort, "kafkaPort")
		}
	}
}

// serviceSettings are the properties of this node.
func (b *builder) serviceSettings(f *ServicesFile, t services) []setting {
	var known, voters []string
	for _, s := range slices.Concat(t.controllers, t.brokers) {
		known = append(known, strconv.FormatInt(s.id, 10))
	}
	for _, s := range t.controllers {
		voters = append(voters, fmt.Sprintf("%d@%s", s.id, net.JoinHostPort(s.host, strconv.FormatInt(s.controllerPort, 10))))
	}
	is := func(s service) bool { return s.id == int64(f.ID) }
	var out []setting
	set := func(at *jsonNode, key, text string) {
		out = append(out, setting{key, text, fmt.Sprintf("%s:%d", f.Name, at.line)})
	}
	i, j := slices.IndexFunc(t.controllers, is), slices.IndexFunc(t.brokers, is)
	var self service
	switch {
	case i >= 0:
		self = t.controllers[i]
		set(self.at, "process.roles", "controller")
		set(self.at, "listeners", listenAt("CONTROLLER", self.host, self.controllerPort))
		set(self.at, "advertised.listeners", "CONTROLLER://"+net.JoinHostPort(self.host, strconv.FormatInt(self.controllerPort, 10)))
	case j >= 0:
		self = t.brokers[j]
		set(self.at, "process.roles", "broker")
		set(self.at, "listeners", listenAt("PLAINTEXT", self.host, self.kafkaPort))
		set(self.at, "advertised.listeners", "PLAINTEXT://"+net.JoinHostPort(self.host, strconv.FormatInt(self.kafkaPort, 10)))
	default:
		why := fmt.Sprintf("has no service with id %d", f.ID)
		if f.ID < 0 {
			why = "does not say which of its services this node is"
		}
		b.faults = append(b.faults, &FaultError{Source: f.Name, Why: why, Next: "give one of its ids: --id " + strings.Join(known, ", --id ")})
		return nil
	}
	set(self.at, "node.id", strconv.FormatInt(self.id, 10))
	set(self.at, "dmq.admin.listen", strings.TrimPrefix(listenAt("", self.host, self.port), "://"))
	set(self.at, "dmq.admin.advertised", self.url)
	set(self.at, "log.dirs", "./data-"+strconv.FormatInt(self.id, 10))
	set(t.controllers[0].at, "controller.quorum.voters", strings.Join(voters, ","))
	for key, n := range map[string]*jsonNode{
		"controller.quorum.election.timeout.ms": t.election, "broker.heartbeat.interval.ms": t.heartbeat, "broker.session.timeout.ms": t.sessionTimeout,
	} {
		if n != nil {
			set(n, key, fmt.Sprint(n.value))
		}
	}
	return out
}

// listenAt is a listener for a host's port: on every interface, unless the host is this machine to itself.
func listenAt(name, host string, port int64) string {
	if !isLoopback(host) {
		host = ""
	}
	return name + "://" + net.JoinHostPort(host, strconv.FormatInt(port, 10))
}
