package config

import (
	"maps"
	"strconv"
)

// Dynamic holds the dynamic configuration that applies to one node, from the metadata image.
type Dynamic struct {
	Broker  map[string]string // of this broker
	Cluster map[string]string // the cluster-wide default (resource name "")
}

// merged lays the dynamic configuration over the static one: per broker over cluster-wide over static. What may not be
// set dynamically, or does not parse, is left out. Setting a property removes those that say the same in another unit.
func (c *Config) merged(d Dynamic) map[string]string {
	out := make(map[string]string, len(c.set)+len(d.Broker)+len(d.Cluster))
	for name, v := range c.set {
		out[name] = v.Text
	}
	for i, layer := range []map[string]string{d.Cluster, d.Broker} {
		for name, text := range layer {
			if c.schema.validateDynamic(map[string]string{name: text}, i == 1) != nil {
				continue
			}
			for _, other := range olderUnits(name) {
				delete(out, other)
			}
			out[name] = text
		}
	}
	return out
}

// effective returns the value a broker property has, without regard to other units; false when it is null.
func (c *Config) effective(merged map[string]string, name string) (string, bool) {
	if text, ok := merged[name]; ok {
		return text, true
	}
	return c.defaultOf(name)
}

// defaultOf returns the default of a broker property on this node.
func (c *Config) defaultOf(name string) (string, bool) {
	if text, ok := c.defaults[name]; ok {
		return text, true
	}
	p, ok := c.schema.props[ScopeBroker][name]
	if !ok || !p.HasDefault {
		return "", false
	}
	return p.Default, true
}

// intOf reads a numeric broker property; 0 when it is null. Values in merged have been checked.
func (c *Config) intOf(merged map[string]string, name string) int64 {
	text, ok := c.effective(merged, name)
	if !ok {
		return 0
	}
	v, err := parse(name, text, tLong)
	if err != nil {
		return 0
	}
	return integer(v)
}

// integer is a parsed number; 0 for everything else.
func integer(v any) int64 {
	n, ok := v.(int64)
	if !ok {
		return 0
	}
	return n
}

// topicDefault is the value a topic property has without an override: its broker property in the right unit.
func (c *Config) topicDefault(merged map[string]string, p *Property) string {
	const hour, minute = 3600 * 1000, 60 * 1000
	switch p.Name {
	case "segment.ms":
		return c.firstOf(merged, unit{"log.roll.ms", 1}, unit{"log.roll.hours", hour})
	case "segment.jitter.ms":
		return c.firstOf(merged, unit{"log.roll.jitter.ms", 1}, unit{"log.roll.jitter.hours", hour})
	case "retention.ms":
		text := c.firstOf(merged, unit{"log.retention.ms", 1}, unit{"log.retention.minutes", minute}, unit{"log.retention.hours", hour})
		if text[0] == '-' { // every negative time is "for ever"
			return "-1"
		}
		return text
	case "flush.ms":
		return c.firstOf(merged, unit{"log.flush.interval.ms", 1}, unit{"log.flush.scheduler.interval.ms", 1})
	}
	if p.Synonym == "" {
		return p.Default
	}
	text, ok := c.effective(merged, p.Synonym)
	if !ok {
		return p.Default
	}
	v, err := p.value(text)
	if err != nil { // the broker's rule is never stricter than the topic's but where noted above
		return p.Default
	}
	return canonical(v)
}

// unit is one property of a family and what its value is multiplied by.
type unit struct {
	name   string
	factor int64
}

// firstOf returns the first of a family that is set, the last one's default otherwise, in the base unit.
func (c *Config) firstOf(merged map[string]string, units ...unit) string {
	for _, u := range units {
		if _, ok := c.effective(merged, u.name); ok {
			return strconv.FormatInt(c.intOf(merged, u.name)*u.factor, 10)
		}
	}
	return "0"
}

// topicValues returns every topic property that has a value: overrides over the broker's defaults. An override that no
// longer passes (adopted data may hold one) counts as unset.
func (c *Config) topicValues(overrides map[string]string, merged map[string]string) map[string]any {
	out := make(map[string]any, len(c.schema.sorted[ScopeTopic]))
	for _, p := range c.schema.sorted[ScopeTopic] {
		if text, ok := overrides[p.Name]; ok {
			if v, err := p.value(text); err == nil {
				out[p.Name] = v
				continue
			}
		}
		if p.Internal {
			continue
		}
		v, err := parse(p.Name, c.topicDefault(merged, p), p.Type)
		if err == nil {
			out[p.Name] = v
		}
	}
	return out
}

// WithDynamic returns the configuration the node runs with under a dynamic configuration. Properties that cannot change
// while the node runs keep their value. DescribeConfigs is still asked of the original, which knows the sources.
func (c *Config) WithDynamic(d Dynamic) *Config {
	merged := c.merged(d)
	b := builder{schema: c.schema, set: merged, defaults: maps.Clone(c.defaults)}
	next := *c
	b.dynamic(&next)
	return &next
}
