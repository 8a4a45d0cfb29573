package config

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/protocol"
)

// Listener is one entry of listeners or advertised.listeners.
type Listener struct {
	Name     string // upper case, e.g. PLAINTEXT or CONTROLLER
	Protocol string // PLAINTEXT; SSL, SASL_PLAINTEXT and SASL_SSL cannot be served yet
	Host     string // empty: every interface
	Port     int    // 0: any free port
}

// Addr is host:port as net.Listen and net.Dial take it.
func (l Listener) Addr() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String is the listener as it is written in a configuration.
func (l Listener) String() string { return l.Name + "://" + l.Addr() }

// Loopback reports whether only this machine can reach the listener.
func (l Listener) Loopback() bool { return isLoopback(l.Host) }

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func isWildcard(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// Voter is one entry of controller.quorum.voters.
type Voter struct {
	ID   protocol.NodeID
	Host string
	Port int
}

// Addr is host:port.
func (v Voter) Addr() string { return net.JoinHostPort(v.Host, strconv.Itoa(v.Port)) }

// parseListener reads NAME://host:port; an IPv6 host stands in brackets.
func parseListener(text string) (Listener, error) {
	name, addr, ok := strings.Cut(text, "://")
	if !ok || name == "" {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port", text)
	}
	host, port, err := splitHostPort(addr)
	if err != nil {
		return Listener{}, fmt.Errorf("%q is not NAME://host:port: %w", text, err)
	}
	return Listener{Name: strings.ToUpper(name), Host: host, Port: port}, nil
}

func splitHostPort(addr string) (string, int, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port", addr)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not a port (0 to 65535)", text)
	}
	if strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") != "" {
		return "", 0, fmt.Errorf("%q is not a host", host)
	}
	return host, int(port), nil
}

// listenerPrefix is what the properties of one listener begin with.
func listenerPrefix(name string) string { return "listener.name." + strings.ToLower(name) + "." }

// quorum reads who the controllers are.
func (b *builder) quorum(c *Config) {
	for _, text := range b.list("controller.quorum.voters") {
		id, addr, ok := strings.Cut(text, "@")
		n, err := strconv.ParseUint(id, 10, 31)
		host, port, addrErr := splitHostPort(addr)
		if !ok || err != nil || addrErr != nil || host == "" {
			b.fault("controller.quorum.voters", fmt.Sprintf("%q is not id@host:port", text), "write controller.quorum.voters=1@host:9093")
			continue
		}
		c.QuorumVoters = append(c.QuorumVoters, Voter{ID: protocol.NodeID(n), Host: host, Port: port})
	}
	for _, text := range b.list("controller.quorum.bootstrap.servers") {
		if host, _, err := splitHostPort(text); err != nil || host == "" {
			b.fault("controller.quorum.bootstrap.servers", fmt.Sprintf("%q is not host:port", text), "write controller.quorum.bootstrap.servers=host:9093")
			continue
		}
		c.QuorumBootstrap = append(c.QuorumBootstrap, text)
	}
	c.ConfiguredNodes = max(1, len(c.QuorumVoters), len(c.QuorumBootstrap))
	if b.brokers > 0 {
		c.ConfiguredNodes = b.brokers // they are known, and controllers hold no partitions
	}
	self := slices.ContainsFunc(c.QuorumVoters, func(v Voter) bool { return v.ID == c.NodeID })
	c.Alone = c.IsController && len(c.QuorumBootstrap) == 0 && (len(c.QuorumVoters) == 0 || len(c.QuorumVoters) == 1 && self)
	_, byNode := b.set["node.id"]
	_, byBroker := b.set["broker.id"]
	switch {
	case !byNode && !byBroker: // the data directory may say which node this is
	case c.IsController && len(c.QuorumVoters) > 0 && !self:
		b.fault("controller.quorum.voters", fmt.Sprintf("does not contain this controller, node.id=%d", c.NodeID), "correct node.id, or leave it out to run this node by itself")
	case !c.IsController && self:
		b.fault("controller.quorum.voters", fmt.Sprintf("contains this node, node.id=%d, which is no controller", c.NodeID), "correct node.id, or add controller to process.roles")
	}
	if !c.IsController && len(c.QuorumVoters) == 0 && len(c.QuorumBootstrap) == 0 {
		b.fault("controller.quorum.bootstrap.servers", "names no controller, and this node is none", "set controller.quorum.bootstrap.servers=host:9093, or leave process.roles out")
	}
}

// listeners reads the addresses to listen on and to advertise.
func (b *builder) listeners(c *Config) {
	controllers := upper(b.list("controller.listener.names"))
	if len(controllers) == 0 {
		controllers = []string{"CONTROLLER"}
	}
	protocols := b.protocols(controllers)
	all := b.parseListeners("listeners", protocols)
	_, set := b.set["listeners"]
	for _, l := range all {
		isController := slices.Contains(controllers, l.Name)
		if !set && (isController && !c.IsController || !isController && !c.IsBroker) {
			continue // a default that this node's roles have no use for
		}
		if isController {
			c.ControllerListeners = append(c.ControllerListeners, l)
		} else {
			c.Listeners = append(c.Listeners, l)
		}
	}
	b.distinct(all)
	b.roleListeners(c, len(all) == len(b.list("listeners")))
	b.selfBootstrap(c)
	b.advertised(c, controllers, protocols)
	b.interBroker(c)
}

// roleListeners holds the listeners against the node's roles. complete says that all of them could be read.
func (b *builder) roleListeners(c *Config, complete bool) {
	switch {
	case !complete:
	case c.IsBroker && len(c.Listeners) == 0:
		b.fault("listeners", "leaves no listener for clients", "add one that is not in controller.listener.names, e.g. PLAINTEXT://127.0.0.1:9092")
	case !c.IsBroker && len(c.Listeners) > 0:
		b.fault("listeners", "has a listener for clients, and this node is no broker", "leave it out, or add broker to process.roles")
	case !c.IsController && len(c.ControllerListeners) > 0:
		b.fault("listeners", "has a controller listener, and this node is no controller", "leave it out, or add controller to process.roles")
	case c.IsController && len(c.ControllerListeners) == 0 && !c.Alone:
		b.fault("listeners", "leaves no listener for the other controllers", "add one that is in controller.listener.names, e.g. CONTROLLER://:9093")
	}
	if c.IsController && len(c.ControllerListeners) == 0 {
		names := upper(b.list("controller.listener.names"))
		c.ControllerListeners = []Listener{{Name: append(names, "CONTROLLER")[0], Protocol: "PLAINTEXT", Host: "127.0.0.1"}}
		c.LocalQuorum = true
	}
}

// parseListeners reads one of the two lists and looks up each listener's protocol.
func (b *builder) parseListeners(key string, protocols map[string]string) []Listener {
	var out []Listener
	for _, text := range b.list(key) {
		l, err := parseListener(text)
		if err != nil {
			b.fault(key, err.Error(), "write for example PLAINTEXT://127.0.0.1:9092")
			continue
		}
		switch l.Protocol = protocols[l.Name]; l.Protocol {
		case "":
			b.fault(key, fmt.Sprintf("no protocol is given for the listener %s", l.Name), "add "+l.Name+":PLAINTEXT to listener.security.protocol.map")
			continue
		case "PLAINTEXT":
		default:
			b.fault(key, fmt.Sprintf("%s listeners cannot be served yet", l.Protocol), "use PLAINTEXT on a network you trust")
			continue
		}
		if l.Name == adminListener {
			b.fault(key, adminListener+" is how nodes tell each other of their admin ports", "give the listener another name; the admin port is dmq.admin.listen")
			continue
		}
		if slices.ContainsFunc(out, func(o Listener) bool { return o.Name == l.Name }) {
			b.fault(key, fmt.Sprintf("names the listener %s twice", l.Name), "give each listener a name of its own")
			continue
		}
		out = append(out, l)
	}
	return out
}

// distinct refuses two listeners on one port. IPv4 and IPv6 may share it, and so may different addresses.
func (b *builder) distinct(all []Listener) {
	for i, l := range all {
		for _, o := range all[:i] {
			if l.Port != 0 && l.Port == o.Port && (l.Host == o.Host || isWildcard(l.Host) || isWildcard(o.Host)) && sameFamily(l.Host, o.Host) {
				b.fault("listeners", fmt.Sprintf("%s and %s use the same port", o, l), "give each listener a port of its own")
			}
		}
	}
}

func sameFamily(a, b string) bool {
	v6 := func(h string) bool { return strings.Contains(h, ":") }
	return a == "" || b == "" || v6(a) == v6(b)
}

// protocols reads listener.security.protocol.map. Unset, controller listeners are PLAINTEXT beside Kafka's four names.
func (b *builder) protocols(controllers []string) map[string]string {
	const key = "listener.security.protocol.map"
	out := map[string]string{}
	for _, pair := range listOf(b.text(key)) {
		name, protocol, ok := strings.Cut(pair, ":")
		protocol = strings.ToUpper(strings.TrimSpace(protocol))
		if !ok || !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
			b.fault(key, fmt.Sprintf("%q is not NAME:PROTOCOL", pair), "protocols are PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL")
			continue
		}
		out[strings.ToUpper(strings.TrimSpace(name))] = protocol
	}
	if _, set := b.set[key]; !set {
		for _, name := range controllers {
			if out[name] == "" {
				out[name] = "PLAINTEXT"
			}
		}
	}
	return out
}

// selfBootstrap finds out whether a single bootstrap server is this node's own controller listener: then it is alone.
func (b *builder) selfBootstrap(c *Config) {
	if !c.IsController || len(c.QuorumBootstrap) != 1 || len(c.QuorumVoters) > 0 {
		return
	}
	host, port, _ := splitHostPort(c.QuorumBootstrap[0])
	for _, l := range c.ControllerListeners {
		if l.Port == port && (isLoopback(host) || l.Host == host || isWildcard(l.Host) && (host == b.hostname || b.hostname == "")) {
			c.Alone = true
		}
	}
}

// advertised reads what clients are told. Unset, it is what is listened on, a wildcard replaced by the machine's name.
func (b *builder) advertised(c *Config, controllers []string, protocols map[string]string) {
	const key = "advertised.listeners"
	if len(c.ControllerListeners) > 0 {
		c.AdvertisedController = b.named(c.ControllerListeners[0])
	}
	if _, set := b.set[key]; !set {
		for _, l := range c.Listeners {
			c.AdvertisedListeners = append(c.AdvertisedListeners, b.named(l))
		}
		return
	}
	for _, l := range b.parseListeners(key, protocols) {
		switch {
		case slices.Contains(controllers, l.Name):
			if l.Name == c.AdvertisedController.Name && !isWildcard(l.Host) {
				c.AdvertisedController = l
			}
		case isWildcard(l.Host):
			b.fault(key, fmt.Sprintf("%s tells clients no address they can connect to", l), "name a host")
		case !slices.ContainsFunc(c.Listeners, func(o Listener) bool { return o.Name == l.Name }):
			b.fault(key, fmt.Sprintf("%s is not in listeners", l.Name), "add it there, or leave it out here")
		default:
			c.AdvertisedListeners = append(c.AdvertisedListeners, l)
		}
	}
	if c.IsBroker && len(c.AdvertisedListeners) == 0 && len(b.list(key)) > 0 && len(b.faults) == 0 {
		b.fault(key, "leaves no address for clients", "add one of the listeners")
	}
}

// named is a listener with the machine's name in place of a wildcard.
func (b *builder) named(l Listener) Listener {
	if isWildcard(l.Host) {
		if l.Host = b.hostname; l.Host == "" {
			l.Host = "localhost"
		}
	}
	return l
}

// interBroker finds the listener brokers use among themselves.
func (b *builder) interBroker(c *Config) {
	name, key := strings.ToUpper(b.text("inter.broker.listener.name")), "inter.broker.listener.name"
	_, byName := b.set[key]
	if _, byProtocol := b.set["security.inter.broker.protocol"]; byName && byProtocol {
		b.fault(key, "only one of inter.broker.listener.name and security.inter.broker.protocol may be set", "remove security.inter.broker.protocol")
	}
	if !byName {
		name, key = b.text("security.inter.broker.protocol"), "security.inter.broker.protocol"
	}
	for _, l := range c.AdvertisedListeners {
		if l.Name == name {
			c.InterBrokerListener = name
			return
		}
	}
	if _, set := b.set[key]; set && c.IsBroker {
		b.fault(key, fmt.Sprintf("%s is not one of the advertised listeners", name), "name one of "+names(c.AdvertisedListeners))
	}
	if len(c.AdvertisedListeners) > 0 { // nobody asked for one
		c.InterBrokerListener = c.AdvertisedListeners[0].Name
	}
}

// perIP reads max.connections.per.ip.overrides; constraints reports what cannot be read.
func (b *builder) perIP() map[string]int32 {
	out := map[string]int32{}
	for _, pair := range listOf(b.text("max.connections.per.ip.overrides")) {
		at := strings.LastIndex(pair, ":")
		if at > 0 {
			if n, err := strconv.ParseInt(strings.TrimSpace(pair[at+1:]), 10, 32); err == nil && n >= 0 {
				out[strings.TrimSpace(pair[:at])] = int32(n)
				continue
			}
		}
		b.fault("max.connections.per.ip.overrides", fmt.Sprintf("%q is not host:count", pair), "write for example 10.0.0.7:100")
	}
	return out
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToUpper(s)
	}
	return out
}

func names(list []Listener) string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = l.Name
	}
	return strings.Join(out, ", ")
}
