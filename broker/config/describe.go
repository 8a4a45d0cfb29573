package config

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DescribeOptions selects what DescribeConfigs returns.
type DescribeOptions struct {
	Names    []string // nil or empty: all
	Synonyms bool
	Docs     bool
}

func (o DescribeOptions) wants(name string) bool {
	return len(o.Names) == 0 || slices.Contains(o.Names, name)
}

type described = kmsg.DescribeConfigsResponseResourceConfig

type synonym = kmsg.DescribeConfigsResponseResourceConfigConfigSynonym

// DescribeTopic returns the entries of one topic, sorted by name.
func (c *Config) DescribeTopic(overrides map[string]string, d Dynamic, o DescribeOptions) []described {
	merged := c.merged(d)
	var out []described
	for _, p := range c.schema.sorted[ScopeTopic] {
		text, set := overrides[p.Name]
		if !o.wants(p.Name) || p.Internal && !set {
			continue
		}
		value := c.topicDefault(merged, p)
		var synonyms []synonym
		if set {
			value = asStored(p, text)
			synonyms = append(synonyms, newSynonym(p.Name, &value, kmsg.ConfigSourceDynamicTopicConfig))
		}
		if p.Synonym != "" {
			synonyms = append(synonyms, c.brokerSynonymValues(p.Synonym, d, p.Sensitive())...)
		}
		out = append(out, entry(p, p.Name, &value, synonyms, false, o))
	}
	return appendUnknown(out, c.schema, ScopeTopic, overrides, kmsg.ConfigSourceDynamicTopicConfig, o)
}

// asStored prints a stored override as Kafka does: parsed and printed again; as it is when it does not parse.
func asStored(p *Property, text string) string {
	v, err := p.value(text)
	if err != nil {
		return text
	}
	return canonical(v)
}

// appendUnknown adds overrides that are not in the table (adopted from another version): without a value, since nobody
// knows whether they are secret.
func appendUnknown(out []described, s *Schema, scope Scope, overrides map[string]string, source kmsg.ConfigSource, o DescribeOptions) []described {
	for name := range overrides {
		if _, ok := s.props[scope][name]; !ok && o.wants(name) {
			e := kmsg.NewDescribeConfigsResponseResourceConfig()
			e.Name, e.Source, e.IsSensitive = name, source, true
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b described) int { return compare(a.Name, b.Name) })
	return out
}

// DescribeBroker returns the entries of this broker, sorted by name.
func (c *Config) DescribeBroker(d Dynamic, o DescribeOptions) []described {
	merged := c.merged(d)
	var out []described
	for _, p := range c.schema.sorted[ScopeBroker] {
		if _, set := merged[p.Name]; !o.wants(p.Name) || p.Internal && !set {
			continue
		}
		out = append(out, c.brokerEntry(p, p.Name, merged, d, o))
	}
	for name := range merged { // listener prefixes and keys nobody knows
		if _, ok := c.schema.props[ScopeBroker][name]; ok || !o.wants(name) {
			continue
		}
		p, _ := c.schema.LookupBroker(name)
		out = append(out, c.brokerEntry(p, name, merged, d, o))
	}
	slices.SortFunc(out, func(a, b described) int { return compare(a.Name, b.Name) })
	return out
}

func (c *Config) brokerEntry(p *Property, name string, merged map[string]string, d Dynamic, o DescribeOptions) described {
	sensitive := p == nil || p.Sensitive()
	var value *string
	if text, ok := c.effective(merged, name); ok && !sensitive {
		if p.Name == name {
			text = asStored(p, text)
		}
		value = &text
	}
	readOnly := p == nil || p.Name != name || p.Mode == ReadOnly
	return entry(p, name, value, c.brokerSynonymValues(name, d, sensitive), readOnly, o)
}

// DescribeClusterDefault returns what is set as the cluster-wide default (resource name ""), sorted by name.
func (c *Config) DescribeClusterDefault(d Dynamic, o DescribeOptions) []described {
	var out []described
	for name, text := range d.Cluster {
		if !o.wants(name) {
			continue
		}
		p, _ := c.schema.LookupBroker(name)
		sensitive := p == nil || p.Sensitive()
		value := &text
		if sensitive {
			value = nil
		}
		synonyms := slices.DeleteFunc(c.brokerSynonymValues(name, d, sensitive), func(s synonym) bool {
			return s.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig
		})
		out = append(out, entry(p, name, value, synonyms, p == nil || p.Name != name || p.Mode == ReadOnly, o))
	}
	slices.SortFunc(out, func(a, b described) int { return compare(a.Name, b.Name) })
	return out
}

// DescribeGroup returns the entries of one group, sorted by name.
func (c *Config) DescribeGroup(overrides map[string]string, d Dynamic, o DescribeOptions) []described {
	merged := c.merged(d)
	var out []described
	for _, p := range c.schema.sorted[ScopeGroup] {
		text, set := overrides[p.Name]
		_, brokerSet := merged[p.Synonym]
		if !o.wants(p.Name) || p.Internal && !set && !brokerSet {
			continue
		}
		value := p.Default
		var synonyms []synonym
		if p.Synonym != "" {
			value, _ = c.effective(merged, p.Synonym)
			if p.Name == "streams.assignor.name" { // the first of the broker's list
				value = append(listOf(value), "")[0]
			}
			synonyms = c.brokerSynonymValues(p.Synonym, d, false)
		} else {
			synonyms = []synonym{newSynonym(p.Name, &p.Default, kmsg.ConfigSourceDefaultConfig)}
		}
		if set {
			value = asStored(p, text)
			synonyms = append([]synonym{newSynonym(p.Name, &value, kmsg.ConfigSourceGroupConfig)}, synonyms...)
		}
		out = append(out, entry(p, p.Name, &value, synonyms, false, o))
	}
	return appendUnknown(out, c.schema, ScopeGroup, overrides, kmsg.ConfigSourceGroupConfig, o)
}

// DescribeClientMetrics returns the entries of one client-metrics subscription, sorted by name.
func (c *Config) DescribeClientMetrics(overrides map[string]string, o DescribeOptions) []described {
	var out []described
	for _, p := range c.schema.sorted[ScopeClientMetrics] {
		if !o.wants(p.Name) {
			continue
		}
		value := p.Default
		var synonyms []synonym
		if text, ok := overrides[p.Name]; ok {
			value = asStored(p, text)
			synonyms = []synonym{newSynonym(p.Name, &value, kmsg.ConfigSourceClientMetricsConfig)}
		}
		out = append(out, entry(p, p.Name, &value, synonyms, false, o))
	}
	return appendUnknown(out, c.schema, ScopeClientMetrics, overrides, kmsg.ConfigSourceClientMetricsConfig, o)
}

// brokerSynonymValues lists where a broker property is set, the strongest first: per broker, cluster-wide, static,
// default, and at each level its names from the most to the least specific. As in Kafka the list begins where the
// property's own name first occurs, and is empty when it never does.
func (c *Config) brokerSynonymValues(name string, d Dynamic, sensitive bool) []synonym {
	names := brokerSynonyms(name)
	var out []synonym
	add := func(source kmsg.ConfigSource, get func(string) (string, bool)) {
		for _, n := range names {
			text, ok := get(n)
			if !ok || n != name && len(out) == 0 {
				continue
			}
			value := &text
			if sensitive {
				value = nil
			}
			out = append(out, newSynonym(n, value, source))
		}
	}
	from := func(m map[string]string) func(string) (string, bool) {
		return func(n string) (string, bool) { text, ok := m[n]; return text, ok }
	}
	add(kmsg.ConfigSourceDynamicBrokerConfig, from(d.Broker))
	add(kmsg.ConfigSourceDynamicDefaultBrokerConfig, from(d.Cluster))
	add(kmsg.ConfigSourceStaticBrokerConfig, func(n string) (string, bool) { v, ok := c.set[n]; return v.Text, ok })
	add(kmsg.ConfigSourceDefaultConfig, c.defaultOf)
	return out
}

func newSynonym(name string, value *string, source kmsg.ConfigSource) synonym {
	s := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
	s.Name, s.Value, s.Source = name, value, source
	return s
}

// entry assembles one answer; p is nil for a property nobody knows.
func entry(p *Property, name string, value *string, synonyms []synonym, readOnly bool, o DescribeOptions) described {
	e := kmsg.NewDescribeConfigsResponseResourceConfig()
	e.Name, e.Value, e.ReadOnly = name, value, readOnly
	e.Source = kmsg.ConfigSourceDefaultConfig
	if len(synonyms) > 0 {
		e.Source = synonyms[0].Source
	}
	e.IsDefault = e.Source == kmsg.ConfigSourceDefaultConfig
	if o.Synonyms {
		e.ConfigSynonyms = synonyms
	}
	e.IsSensitive = true
	if p != nil {
		e.IsSensitive, e.ConfigType = p.Sensitive(), p.Type
		if o.Docs && p.Doc != "" {
			e.Documentation = &p.Doc
		}
	}
	return e
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
