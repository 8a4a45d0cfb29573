package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magiconair/properties"
	"go.yaml.in/yaml/v3"
)

// maxSettings bounds what one file may hold, so that a YAML file whose aliases multiply ends in an error.
const maxSettings = 10_000

// parseFile reads the settings of one file: YAML by its ending, server.properties otherwise. What could be read is
// returned beside an error.
func parseFile(name string, data []byte) ([]setting, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".yaml", ".yml":
		return parseYAML(name, data)
	}
	return parseProperties(name, data)
}

// parseProperties reads Java's properties format: continuation lines, \uXXXX, ':' or white space instead of '='. The text
// is UTF-8. ${...} is left for the providers.
func parseProperties(name string, data []byte) ([]setting, error) {
	loader := properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}
	p, err := loader.LoadBytes(data)
	if err != nil {
		return nil, fmt.Errorf("is not in properties format: %w", err)
	}
	keys := p.Keys()
	out := make([]setting, 0, len(keys))
	for _, key := range keys {
		text, _ := p.Get(key)
		if key == "" {
			return out, errors.New("has a line without a key")
		}
		out = append(out, setting{key, strings.TrimSpace(text), name})
	}
	return out, nil
}

// parseYAML reads dotted and nested keys alike; lists become comma-separated values.
func parseYAML(name string, data []byte) ([]setting, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("is not YAML: %w", err)
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	w := yamlWalker{file: name, seen: map[string]int{}}
	err := w.mapping("", doc.Content[0], 0)
	return w.out, err
}

type yamlWalker struct {
	file string
	out  []setting
	seen map[string]int // key → line
}

func (w *yamlWalker) mapping(prefix string, n *yaml.Node, depth int) error {
	n, err := dereference(n, depth)
	if err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: expected key: value", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Value == "" || key.Value == "<<" {
			return fmt.Errorf("line %d: a key must be plain text", key.Line)
		}
		full := key.Value
		if prefix != "" {
			full = prefix + "." + key.Value
		}
		if err := w.value(full, value, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *yamlWalker) value(key string, n *yaml.Node, depth int) error {
	n, err := dereference(n, depth)
	if err != nil {
		return err
	}
	var text string
	switch n.Kind {
	case yaml.MappingNode:
		return w.mapping(key, n, depth)
	case yaml.SequenceNode:
		if text, err = sequence(key, n, depth); err != nil {
			return err
		}
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return nil // "key:" leaves the property unset
		}
		text = n.Value
	default:
		return fmt.Errorf("line %d: %s has no value", n.Line, key)
	}
	if first, twice := w.seen[key]; twice {
		return fmt.Errorf("line %d: %s is set a second time (first in line %d)", n.Line, key, first)
	}
	if len(w.out) == maxSettings {
		return fmt.Errorf("holds more than %d settings", maxSettings)
	}
	w.seen[key] = n.Line
	w.out = append(w.out, setting{key, strings.TrimSpace(text), fmt.Sprintf("%s:%d", w.file, n.Line)})
	return nil
}

func sequence(key string, n *yaml.Node, depth int) (string, error) {
	if len(n.Content) > maxSettings {
		return "", fmt.Errorf("line %d: %s has more than %d entries", n.Line, key, maxSettings)
	}
	parts := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		item, err := dereference(item, depth)
		if err != nil {
			return "", err
		}
		if item.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("line %d: the entries of %s must be plain values", item.Line, key)
		}
		parts = append(parts, item.Value)
	}
	return strings.Join(parts, ","), nil
}

// dereference follows an alias, and bounds how deep a document may nest.
func dereference(n *yaml.Node, depth int) (*yaml.Node, error) {
	if depth > 32 {
		return nil, fmt.Errorf("line %d: nests too deep", n.Line)
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, nil
}

// kafkaExcluded are the KAFKA_* variables that steer Kafka's scripts and image, not the broker.
func kafkaExcluded() []string {
	return []string{
		"KAFKA_VERSION", "KAFKA_HEAP_OPTS", "KAFKA_LOG4J_OPTS", "KAFKA_OPTS", "KAFKA_JMX_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS",
		"KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS", "KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_HOSTNAME",
	}
}

// dmqExcluded are the DMQ_* variables that steer the command line as a client.
func dmqExcluded() []string {
	return []string{"DMQ_CONTEXT", "DMQ_BROKERS", "DMQ_ADMIN_URL", "DMQ_USER", "DMQ_PASSWORD", "DMQ_PASSWORD_FILE", "DMQ_CONFIG"}
}

// kafkaEnv reads KAFKA_* as Kafka's image does.
func kafkaEnv(env []string) []setting {
	var out []setting
	for _, kv := range slices.Sorted(slices.Values(env)) {
		name, text, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(name, "KAFKA_")
		if !ok || rest == "" || slices.Contains(kafkaExcluded(), name) {
			continue
		}
		out = append(out, setting{envKey(rest), text, "environment " + name})
	}
	return out
}

// envKey turns a variable's name into a property's: one underscore is a dot, two are an underscore, three a dash.
func envKey(name string) string {
	key := strings.ReplaceAll(strings.ToLower(name), "_", ".")
	return strings.ReplaceAll(strings.ReplaceAll(key, "...", "-"), "..", "_")
}

// dmqEnv reads DMQ_*: Kafka's keys as KAFKA_* does, and our own without their "dmq." (DMQ_ADMIN_LISTEN).
func (b *builder) dmqEnv(env []string) []setting {
	var out []setting
	for _, kv := range slices.Sorted(slices.Values(env)) {
		name, text, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(name, "DMQ_")
		if !ok || rest == "" || slices.Contains(dmqExcluded(), name) {
			continue
		}
		key := envKey(rest)
		if _, known := b.schema.LookupBroker(key); !known {
			if _, own := b.schema.LookupBroker("dmq." + key); own {
				key = "dmq." + key
			}
		}
		out = append(out, setting{key, text, "environment " + name})
	}
	return out
}
