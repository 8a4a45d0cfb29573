package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/distributedmq/dmq/protocol/errcode"
)

// badConfig is INVALID_CONFIG with Kafka's text.
func badConfig(err error) error {
	return &errcode.Error{Kind: errcode.KindInvalidConfig, Msg: err.Error(), Err: err}
}

// badRequest is INVALID_REQUEST, which is what Kafka answers to a refused change of a broker's configuration.
func badRequest(err error) error {
	return &errcode.Error{Kind: errcode.KindInvalidRequest, Msg: err.Error(), Err: err}
}

// ValidateTopic checks one topic property. The error is INVALID_CONFIG with Kafka's text.
func (s *Schema) ValidateTopic(name, value string) error {
	return s.ValidateTopicConfigs(map[string]string{name: value})
}

// ValidateTopicConfigs checks a topic's whole set of overrides by itself, rules across keys included.
func (s *Schema) ValidateTopicConfigs(overrides map[string]string) error {
	return s.validateTopic(overrides, func(p *Property) string { return p.Default })
}

// ValidateTopic checks a topic's whole set of overrides together with the broker's defaults for what it leaves open.
func (c *Config) ValidateTopic(overrides map[string]string, d Dynamic) error {
	merged := c.merged(d)
	return c.schema.validateTopic(overrides, func(p *Property) string { return c.topicDefault(merged, p) })
}

func (s *Schema) validateTopic(overrides map[string]string, fallback func(*Property) string) error {
	names := slices.Sorted(maps.Keys(overrides))
	for _, name := range names {
		if _, ok := s.props[ScopeTopic][name]; !ok {
			return badConfig(fmt.Errorf("Unknown topic config name: %s", name)) //nolint:staticcheck // Kafka's text
		}
	}
	for _, name := range names {
		if _, err := s.props[ScopeTopic][name].value(overrides[name]); err != nil {
			return badConfig(err)
		}
	}
	get := func(name string) any {
		p := s.props[ScopeTopic][name]
		text, ok := overrides[name]
		if !ok {
			text = fallback(p)
		}
		v, err := p.value(text)
		if err != nil { // a default that does not pass; the override was checked above
			v, _ = p.value(p.Default)
		}
		return v
	}
	shortest, longest := integer(get("min.compaction.lag.ms")), integer(get("max.compaction.lag.ms"))
	if shortest > longest {
		return badConfig(fmt.Errorf("conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", shortest, longest))
	}
	if get("remote.storage.enable") == true {
		return badConfig(fmt.Errorf("Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")) //nolint:staticcheck // Kafka's text
	}
	return nil
}

// ValidateBroker checks the type and value of one dynamic broker property, and whether it may be changed at that level:
// for one broker (perBroker) or as the cluster-wide default. The error is INVALID_REQUEST with Kafka's text.
func (s *Schema) ValidateBroker(name, value string, perBroker bool) error {
	return s.validateDynamic(map[string]string{name: value}, perBroker)
}

// ValidateBroker checks the complete new dynamic configuration of one broker, or of the cluster-wide default: each value
// by itself, then the configuration the node would run with.
func (c *Config) ValidateBroker(configs map[string]string, perBroker bool, current Dynamic) error {
	if err := c.schema.validateDynamic(configs, perBroker); err != nil {
		return err
	}
	next := current
	if perBroker {
		next.Broker = configs
	} else {
		next.Cluster = configs
	}
	b := builder{schema: c.schema, set: c.merged(next), defaults: c.defaults}
	b.constraints()
	if len(b.faults) > 0 {
		f := b.faults[0]
		if f.require {
			return badRequest(fmt.Errorf("requirement failed: %s", f.Why))
		}
		return badRequest(errors.New(f.Why))
	}
	if err := b.dynamicLimits(); err != nil {
		return badRequest(err)
	}
	return c.resizes(c.merged(current), b.set)
}

// dynamicLimits are the rules Kafka applies to dynamic changes only.
func (b *builder) dynamicLimits() error {
	for _, name := range []string{"max.connections", "max.connection.creation.rate"} {
		if b.int(name) == 0 {
			return fmt.Errorf("Invalid %s 0", name) //nolint:staticcheck // Kafka's text
		}
	}
	retention := b.inMillis(unit{"log.retention.ms", 1}, unit{"log.retention.minutes", 60 * 1000}, unit{"log.retention.hours", 3600 * 1000})
	if err := b.tieredLimit("ms", max(retention, -1)); err != nil {
		return err
	}
	return b.tieredLimit("bytes", max(b.int("log.retention.bytes"), -1))
}

// tieredLimit keeps the local retention within the whole, and the copy lag within the local retention.
func (b *builder) tieredLimit(unit string, retention int64) error {
	name, whole := "log.local.retention."+unit, "log.retention."+unit
	local := b.int(name)
	if retention != -1 && local != -2 {
		if local == -1 {
			return invalid(name, local, fmt.Sprintf("Value must not be -1 as %s value is set as %d.", whole, retention))
		}
		if local > retention {
			return invalid(name, local, fmt.Sprintf("Value must not be more than %s property value: %d", whole, retention))
		}
	}
	if local == -2 {
		local = retention
	}
	if lag := b.int("log.remote.copy.lag." + unit); lag > 0 && local >= 0 && lag > local {
		return invalid("log.remote.copy.lag."+unit, lag, fmt.Sprintf("Value must not exceed %s (effective value: %d)", name, local))
	}
	return nil
}

func (s *Schema) validateDynamic(configs map[string]string, perBroker bool) error {
	var static, prefixed, single []string
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		p, known := s.props[ScopeBroker][name]
		switch {
		case known && p.Mode == ReadOnly:
			static = append(static, name)
		case known && perListener(name):
			prefixed = append(prefixed, name)
		case known && p.Mode == PerBroker:
			single = append(single, name)
		case !known:
			if base, ok := listenerBase(name); ok && !clusterWidePerListener(base) {
				single = append(single, name)
			}
		}
	}
	if len(static) > 0 {
		return badRequest(fmt.Errorf("Cannot update these configs dynamically: %s", format(static))) //nolint:staticcheck // Kafka's text
	}
	if len(prefixed) > 0 {
		return badRequest(fmt.Errorf("These security configs can be dynamically updated only per-listener using the listener prefix: %s", format(prefixed))) //nolint:staticcheck // Kafka's text
	}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		p, ok := s.LookupBroker(name)
		if !ok {
			continue // Kafka keeps unknown broker properties for plugins
		}
		v, err := p.value(configs[name])
		if err != nil {
			return badRequest(err)
		}
		if kept, ok := v.([]string); ok && p.Name != "config.providers" && len(kept) != len(listOf(configs[name])) {
			return badRequest(fmt.Errorf("Configuration '%s' values must not be duplicated.", p.Name)) //nolint:staticcheck // Kafka's text
		}
	}
	if !perBroker && len(single) > 0 {
		return badRequest(fmt.Errorf("Cannot update these configs at default cluster level, broker id must be specified: %s", format(single))) //nolint:staticcheck // Kafka's text
	}
	return nil
}

// perListener are the key and trust stores: without a listener prefix they cannot be changed while the node runs.
func perListener(name string) bool {
	return name == "ssl.key.password" || strings.HasPrefix(name, "ssl.keystore.") || strings.HasPrefix(name, "ssl.truststore.")
}

// clusterWidePerListener may carry a listener prefix and still be a cluster-wide default.
func clusterWidePerListener(base string) bool {
	return base == "max.connections" || base == "max.connection.creation.rate" || base == "num.network.threads"
}

// resizes applies Kafka's rule that a pool grows or shrinks by a factor of two at most at a time.
func (c *Config) resizes(before, after map[string]string) error {
	for _, name := range []string{
		"num.io.threads", "num.network.threads", "num.replica.fetchers", "num.recovery.threads.per.data.dir", "background.threads", "remote.log.reader.threads",
		"remote.log.manager.copier.thread.pool.size", "remote.log.manager.expiration.thread.pool.size", "remote.log.manager.follower.thread.pool.size",
	} {
		was, now := c.intOf(before, name), c.intOf(after, name)
		problem := ""
		switch {
		case now == was:
		case now < was/2:
			problem = fmt.Sprintf("value should be at least half the current value %d", was)
		case now > was*2:
			problem = fmt.Sprintf("value should not be greater than double the current value %d", was)
		}
		if problem != "" {
			return badRequest(fmt.Errorf("Dynamic thread count update validation failed for %s=%d, %s", name, now, problem))
		}
	}
	switch was, now := c.intOf(before, "log.cleaner.threads"), c.intOf(after, "log.cleaner.threads"); {
	case now < was/2:
		return badRequest(fmt.Errorf("Log cleaner threads cannot be reduced to less than half the current value %d", was)) //nolint:staticcheck // Kafka's text
	case now > was*2:
		return badRequest(fmt.Errorf("Log cleaner threads cannot be increased to more than double the current value %d", was)) //nolint:staticcheck // Kafka's text
	}
	return nil
}

// ValidateGroup checks the whole set of overrides of one group.
func (c *Config) ValidateGroup(overrides map[string]string, d Dynamic) error {
	if err := c.schema.validateAll(ScopeGroup, "group", overrides); err != nil {
		return err
	}
	merged := c.merged(d)
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if err := c.groupBounds(merged, name, overrides[name]); err != nil {
			return badConfig(err)
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, interval := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if c.groupInt(merged, overrides, session) <= c.groupInt(merged, overrides, interval) {
			return badConfig(fmt.Errorf("%s must be greater than %s", session, interval))
		}
	}
	return nil
}

// groupInt is a number of one group: its own, or the broker's.
func (c *Config) groupInt(merged, overrides map[string]string, name string) int64 {
	if n, ok := c.groupValue(overrides, name).(int64); ok {
		return n
	}
	return c.intOf(merged, groupSynonym(name))
}

// groupBounds holds a group's value against the broker's minimum and maximum for it.
func (c *Config) groupBounds(merged map[string]string, name, text string) error {
	bound := func(which string) (int64, bool) {
		kind, rest, _ := strings.Cut(name, ".")
		key := "group." + kind + "." + which + "." + strings.TrimPrefix(rest, "num.")
		if _, ok := c.schema.props[ScopeBroker][key]; !ok {
			return 0, false
		}
		return c.intOf(merged, key), true
	}
	v, _ := c.schema.props[ScopeGroup][name].value(text)
	switch n := v.(type) {
	case int64:
		lowest, hasLowest := bound("min")
		highest, hasHighest := bound("max")
		switch {
		case hasLowest && hasHighest && (n < lowest || n > highest):
			return fmt.Errorf("%s must be in the range %d to %d inclusive.", name, lowest, highest) //nolint:staticcheck // Kafka's text
		case !hasLowest && hasHighest && n > highest:
			return fmt.Errorf("%s must be less than or equal to %d", name, highest)
		case hasLowest && !hasHighest && n < lowest:
			return fmt.Errorf("%s must be greater than or equal to %d", name, lowest)
		}
	case []string:
		if name == "streams.rack.aware.assignment.tags" && len(n) != len(listOf(text)) {
			return fmt.Errorf("%s must not contain duplicate tag keys.", name) //nolint:staticcheck // Kafka's text
		}
	case string:
		if name == "streams.assignor.name" {
			known, _ := c.effective(merged, "group.streams.assignors")
			if registered := listOf(known); !slices.Contains(registered, n) {
				return fmt.Errorf("%s '%s' is not a registered task assignor. Registered assignors are: %s.", name, n, format(registered)) //nolint:staticcheck // Kafka's text
			}
		}
	}
	return nil
}

// ValidateClientMetrics checks the whole set of overrides of one client-metrics subscription.
func (s *Schema) ValidateClientMetrics(overrides map[string]string) error {
	if err := s.validateAll(ScopeClientMetrics, "client metrics", overrides); err != nil {
		return err
	}
	if text, ok := overrides["interval.ms"]; ok {
		if v, _ := s.props[ScopeClientMetrics]["interval.ms"].value(text); integer(v) < 100 || integer(v) > 3600000 {
			return badRequest(fmt.Errorf("Invalid value %d for interval.ms, interval must be between 100 and 3600000 (1 hour)", v)) //nolint:staticcheck // Kafka's text
		}
	}
	for _, pattern := range listOf(overrides["match"]) {
		if name, _, ok := strings.Cut(pattern, "="); !ok || !slices.Contains(clientMatchers(), strings.TrimSpace(name)) {
			return badConfig(fmt.Errorf("Illegal client matching pattern: %s", pattern)) //nolint:staticcheck // Kafka's text
		}
	}
	return nil
}

func clientMatchers() []string {
	return []string{"client_instance_id", "client_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port"}
}

func (s *Schema) validateAll(scope Scope, kind string, overrides map[string]string) error {
	names := slices.Sorted(maps.Keys(overrides))
	for _, name := range names {
		if _, ok := s.props[scope][name]; !ok {
			return badConfig(fmt.Errorf("Unknown %s config name: %s", kind, name)) //nolint:staticcheck // Kafka's text
		}
	}
	for _, name := range names {
		if _, err := s.props[scope][name].value(overrides[name]); err != nil {
			return badConfig(err)
		}
	}
	return nil
}

// listOf splits a list.
func listOf(text string) []string {
	v, _ := parse("", text, tList)
	list, ok := v.([]string)
	if !ok {
		return nil
	}
	return list
}
