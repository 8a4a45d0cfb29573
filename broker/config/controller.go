package config

import (
	"strconv"
	"strings"

	"github.com/distributedmq/dmq/kraft/controller"
	"github.com/distributedmq/dmq/kraft/image"
	"github.com/distributedmq/dmq/protocol"
	"github.com/distributedmq/dmq/protocol/errcode"
)

// ControllerSchema answers the controller's questions about configuration keys.
func (c *Config) ControllerSchema() controller.ConfigSchema {
	unclean, _ := c.effective(c.merged(Dynamic{}), "unclean.leader.election.enable")
	return controllerSchema{c: c, unclean: isTrue(unclean), durable: c.Durable()}
}

type controllerSchema struct {
	c                *Config
	unclean, durable bool // the static properties
}

// Validate implements controller.ConfigSchema. As in Kafka, values of a broker's properties are checked by the broker
// that took the request; the controller only checks the resource's name.
func (s controllerSchema) Validate(r image.Resource, configs map[string]string, _ []string) error {
	switch r.Type {
	case image.ResourceTopic:
		if r.Name == "" {
			return errcode.New(errcode.KindInvalidRequest, "Default topic resources are not allowed.")
		}
		if err := protocol.ValidateTopicName(r.Name); err != nil {
			return err
		}
		return s.c.ValidateTopic(configs, Dynamic{})
	case image.ResourceBroker:
		if r.Name == "" {
			return nil
		}
		switch id, err := strconv.ParseInt(r.Name, 10, 32); {
		case err != nil:
			return errcode.New(errcode.KindInvalidRequest, "Unable to parse broker name as a base 10 number.")
		case id < 0:
			return errcode.New(errcode.KindInvalidRequest, "Invalid negative broker ID.")
		}
		return nil
	case image.ResourceClientMetrics:
		return s.c.schema.ValidateClientMetrics(configs)
	case image.ResourceGroup:
		if r.Name == "" {
			return errcode.New(errcode.KindInvalidRequest, "Default group resources are not allowed.")
		}
		return s.c.ValidateGroup(configs, Dynamic{})
	}
	return errcode.New(errcode.KindInvalidRequest, "Unknown resource type %d", r.Type)
}

// property finds a key of any resource type.
func (s controllerSchema) property(r image.Resource, key string) (*Property, bool) {
	switch r.Type {
	case image.ResourceTopic:
		return s.c.schema.Lookup(ScopeTopic, key)
	case image.ResourceBroker:
		return s.c.schema.Lookup(ScopeBroker, key)
	case image.ResourceClientMetrics:
		return s.c.schema.Lookup(ScopeClientMetrics, key)
	case image.ResourceGroup:
		return s.c.schema.Lookup(ScopeGroup, key)
	}
	return nil, false
}

// IsList implements controller.ConfigSchema.
func (s controllerSchema) IsList(r image.Resource, key string) bool {
	p, ok := s.property(r, key)
	return ok && p.Type == tList
}

// Default implements controller.ConfigSchema. Kafka appends to the table's default, whatever the cluster's is.
func (s controllerSchema) Default(r image.Resource, key string, _ map[string]string) (string, bool) {
	p, ok := s.property(r, key)
	if !ok || !p.HasDefault {
		return "", false
	}
	return p.Default, true
}

// TopicConfigs implements controller.ConfigSchema.
func (s controllerSchema) TopicConfigs(overrides, cluster map[string]string) []controller.TopicConfig {
	entries := s.c.DescribeTopic(overrides, Dynamic{Cluster: cluster}, DescribeOptions{})
	out := make([]controller.TopicConfig, len(entries))
	for i, e := range entries {
		out[i] = controller.TopicConfig{Name: e.Name, Value: e.Value, ReadOnly: e.ReadOnly, Source: int8(e.Source), Sensitive: e.IsSensitive}
	}
	return out
}

// TopicPolicy implements controller.ConfigSchema. It is asked for with every partition that changes, so it reads only what it
// needs.
func (s controllerSchema) TopicPolicy(topic, broker, cluster map[string]string) controller.TopicPolicy {
	p := controller.TopicPolicy{
		MinISR:          int(s.c.TopicMinISR(topic, Dynamic{Broker: broker, Cluster: cluster})),
		UncleanElection: s.unclean,
		Durable:         s.durable,
	}
	for _, layer := range [...]map[string]string{cluster, broker} {
		if text, ok := layer["unclean.leader.election.enable"]; ok {
			p.UncleanElection = isTrue(text)
		}
		if text, ok := layer["log.flush.interval.messages"]; ok {
			p.Durable = strings.TrimSpace(text) == "1"
		}
	}
	if text, ok := topic["unclean.leader.election.enable"]; ok {
		p.UncleanElection = isTrue(text)
	}
	if text, ok := topic["flush.messages"]; ok {
		p.Durable = strings.TrimSpace(text) == "1"
	}
	return p
}

// isTrue reads a boolean property as Kafka does, in any case.
func isTrue(text string) bool { return strings.EqualFold(strings.TrimSpace(text), "true") }
