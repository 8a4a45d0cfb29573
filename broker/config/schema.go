package config

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Schema answers questions about the table: what exists, what a value may be, and what DescribeConfigs says.
type Schema struct{ props [4]map[string]*Property }

// NewSchema builds the table.
func NewSchema() *Schema { panic("to be filled") }

// Dynamic holds the dynamic configuration that applies to one node, from the metadata image.
type Dynamic struct {
	Broker  map[string]string // of this broker
	Cluster map[string]string // the cluster-wide default (resource name "")
}

// DescribeOptions selects what DescribeConfigs returns.
type DescribeOptions struct {
	Names    []string // nil: all
	Synonyms bool
	Docs     bool
}

// Lookup finds a property.
func (s *Schema) Lookup(scope Scope, name string) (*Property, bool) {
	p, ok := s.props[scope][name]
	return p, ok
}

// Properties lists the table of one scope, sorted by name.
func (s *Schema) Properties(scope Scope) []*Property { panic("to be filled") }

// ValidateTopic checks one topic property; the error text is Kafka's for INVALID_CONFIG.
func (s *Schema) ValidateTopic(name, value string) error { panic("to be filled") }

// ValidateTopicConfigs checks a topic's whole override map, rules across keys included.
func (s *Schema) ValidateTopicConfigs(overrides map[string]string) error { panic("to be filled") }

// ValidateBroker checks one dynamic broker property for one broker (perBroker) or for the cluster-wide default.
func (s *Schema) ValidateBroker(name, value string, perBroker bool) error { panic("to be filled") }

// DescribeTopic returns the entries of one topic.
func (c *Config) DescribeTopic(overrides map[string]string, d Dynamic, o DescribeOptions) []kmsg.DescribeConfigsResponseResourceConfig {
	panic("to be filled")
}

// DescribeBroker returns the entries of this broker.
func (c *Config) DescribeBroker(d Dynamic, o DescribeOptions) []kmsg.DescribeConfigsResponseResourceConfig {
	panic("to be filled")
}

// DescribeClusterDefault returns the entries of the cluster-wide default (resource name "").
func (c *Config) DescribeClusterDefault(d Dynamic, o DescribeOptions) []kmsg.DescribeConfigsResponseResourceConfig {
	panic("to be filled")
}
