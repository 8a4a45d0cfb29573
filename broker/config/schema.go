package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Schema answers questions about the table: what exists and what a value may be. It is built once and never changed.
type Schema struct {
	props  [4]map[string]*Property
	sorted [4][]*Property
}

// NewSchema builds the table.
func NewSchema() *Schema {
	s := &Schema{}
	s.add(ScopeTopic, topicRows())
	for _, rows := range brokerTable() {
		s.add(ScopeBroker, rows)
	}
	s.add(ScopeGroup, groupRows())
	s.add(ScopeClientMetrics, clientMetricsRows())
	for name, synonym := range topicSynonyms() {
		s.props[ScopeTopic][name].Synonym = synonym
	}
	for name, p := range s.props[ScopeGroup] {
		p.Synonym = groupSynonym(name)
	}
	for scope := range s.props {
		s.sorted[scope] = slices.SortedFunc(maps.Values(s.props[scope]), func(a, b *Property) int { return strings.Compare(a.Name, b.Name) })
	}
	return s
}

func (s *Schema) add(scope Scope, rows []row) {
	if s.props[scope] == nil {
		s.props[scope] = make(map[string]*Property, 64)
	}
	for _, r := range rows {
		s.props[scope][r.name] = r.property(scope)
	}
}

// Lookup finds a property by its exact name.
func (s *Schema) Lookup(scope Scope, name string) (*Property, bool) {
	p, ok := s.props[scope][name]
	return p, ok
}

// LookupBroker finds a broker property, also under a listener prefix: listener.name.internal.max.connections is
// max.connections of the listener INTERNAL.
func (s *Schema) LookupBroker(name string) (*Property, bool) {
	if p, ok := s.props[ScopeBroker][name]; ok {
		return p, true
	}
	base, ok := listenerBase(name)
	if !ok {
		return nil, false
	}
	return s.Lookup(ScopeBroker, base)
}

// Properties lists the table of one scope, sorted by name. The list is shared: do not change it.
func (s *Schema) Properties(scope Scope) []*Property { return s.sorted[scope] }

// Ineffective filters the names of properties that are known but have no effect yet.
func (s *Schema) Ineffective(scope Scope, names []string) []string {
	var out []string
	for _, name := range names {
		p, ok := s.props[scope][name]
		if scope == ScopeBroker {
			p, ok = s.LookupBroker(name)
		}
		if ok && !p.Effective {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// listenerBase splits "listener.name.<listener>.<property>" and drops a SASL mechanism before the properties that may
// have one: listener.name.x.plain.sasl.jaas.config is sasl.jaas.config.
func listenerBase(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, "listener.name.")
	if !ok {
		return "", false
	}
	_, base, ok := strings.Cut(rest, ".")
	if !ok {
		return "", false
	}
	for _, mechanism := range []string{
		"sasl.jaas.config", "sasl.login.callback.handler.class", "sasl.login.class", "sasl.server.callback.handler.class", "connections.max.reauth.ms",
	} {
		if strings.HasSuffix(base, mechanism) {
			return mechanism, true
		}
	}
	return base, true
}

// brokerSynonyms lists the names a broker property may be set by, the strongest first.
func brokerSynonyms(name string) []string {
	if base, ok := listenerBase(name); ok {
		return []string{name, base}
	}
	return olderUnits(name)
}

// TypeName is a type as Kafka's documentation spells it.
func TypeName(t Type) string {
	switch t {
	case kmsg.ConfigTypeBoolean:
		return "boolean"
	case kmsg.ConfigTypeString:
		return "string"
	case kmsg.ConfigTypeInt:
		return "int"
	case kmsg.ConfigTypeShort:
		return "short"
	case kmsg.ConfigTypeLong:
		return "long"
	case kmsg.ConfigTypeDouble:
		return "double"
	case kmsg.ConfigTypeList:
		return "list"
	case kmsg.ConfigTypeClass:
		return "class"
	case kmsg.ConfigTypePassword:
		return "password"
	default:
		return "unknown"
	}
}

// String is the mode as Kafka's documentation spells it.
func (m Mode) String() string {
	switch m {
	case PerBroker:
		return "per-broker"
	case ClusterWide:
		return "cluster-wide"
	default:
		return "read-only"
	}
}

// String is the importance as Kafka's documentation spells it.
func (i Importance) String() string {
	switch i {
	case High:
		return "high"
	case Medium:
		return "medium"
	default:
		return "low"
	}
}
