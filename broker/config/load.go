package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sources is where a configuration comes from, the strongest first.
type Sources struct {
	Set    []string // key=value of --set and of flags; later wins
	Env    []string // as os.Environ; DMQ_* beats KAFKA_*
	Files  []string // server.properties, or YAML by its ending (.yaml, .yml); later wins
	Strict bool     // an unknown key is a fault, not a warning

	Services *ServicesFile // the weakest source; nil: none

	ReadFile func(name string) ([]byte, error) // needed with Files, Services, ${file:...} and ${dir:...}
	Hostname string                            // what a wildcard listener is advertised as; "" is localhost
}

// WarningKind groups warnings, so that the many of one kind can be told in one line.
type WarningKind uint8

// The kinds of warnings.
const (
	WarnUnknown     WarningKind = iota // nobody knows the key
	WarnIneffective                    // the key is known, but does nothing yet
	WarnOther
)

// Warning is something the operator should know that does not stop the node.
type Warning struct {
	Kind   WarningKind
	Key    string // the property
	Source string // where it is set
	Text   string // what about it
	Hint   string // what to do; may be empty
}

// String is the warning in one line.
func (w Warning) String() string {
	s := w.Key
	if w.Source != "" {
		s += " (" + w.Source + ")"
	}
	s += ": " + w.Text
	if w.Hint != "" {
		s += "; " + w.Hint
	}
	return s
}

// FaultError is one thing that is wrong with a configuration.
type FaultError struct {
	Key    string // the property; "" when it is about a whole file
	Value  string // what it was set to; never a secret
	Source string // file, environment variable or --set
	Why    string
	Next   string // what to do; may be empty

	require bool // Kafka words it "requirement failed: ..."
}

// Error is the fault in one line: what, where, why, and what to do.
func (f *FaultError) Error() string {
	var b strings.Builder
	if f.Key != "" {
		b.WriteString(f.Key)
		if f.Value != "" {
			b.WriteString("=" + f.Value)
		}
		if f.Source != "" {
			fmt.Fprintf(&b, " (%s)", f.Source)
		}
		b.WriteString(": ")
	} else if f.Source != "" {
		b.WriteString(f.Source + ": ")
	}
	b.WriteString(f.Why)
	if f.Next != "" {
		b.WriteString("; " + f.Next)
	}
	return b.String()
}

// Faults unpacks the error of Load.
func Faults(err error) []*FaultError {
	var out []*FaultError
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, e := range joined.Unwrap() {
			out = append(out, Faults(e)...)
		}
		return out
	}
	if f := (*FaultError)(nil); errors.As(err, &f) {
		return []*FaultError{f}
	}
	return nil
}

// setting is one line of one source.
type setting struct{ key, text, source string }

// Load merges all sources, checks every value and returns the configuration. All faults are reported together: the error
// is their join, see Faults.
func Load(s Sources) (*Config, []Warning, error) {
	b := &builder{schema: NewSchema(), set: map[string]string{}, sources: map[string]string{}, hostname: s.Hostname}
	settings := b.read(s)
	c := &Config{schema: b.schema, set: map[string]Value{}, shadowed: map[string][]Value{}}
	for _, st := range settings { // weakest first
		if old, ok := c.set[st.key]; ok {
			c.shadowed[st.key] = append([]Value{old}, c.shadowed[st.key]...)
		}
		c.set[st.key] = Value{Text: st.text, Source: st.source}
	}
	b.expand(c.set, s)
	b.sameNodeID(c.set)
	for _, name := range slices.Sorted(maps.Keys(c.set)) {
		b.check(name, c.set[name], s.Strict)
	}
	b.node(c)
	c.defaults = b.defaults
	b.constraints()
	slices.SortStableFunc(b.warnings, func(x, y Warning) int { return compare(x.Key, y.Key) })
	if len(b.faults) > 0 {
		errs := make([]error, len(b.faults))
		for i, f := range b.faults {
			errs[i] = f
		}
		return nil, b.warnings, errors.Join(errs...)
	}
	return c, b.warnings, nil
}

// builder collects what Load finds; set holds the values that passed.
type builder struct {
	schema   *Schema
	set      map[string]string
	sources  map[string]string
	defaults map[string]string
	hostname string
	brokers  int // that the topology has; 0: there is none
	faults   []*FaultError
	warnings []Warning
}

// fault notes that a property's value cannot be used.
func (b *builder) fault(key, why, next string) {
	b.faults = append(b.faults, &FaultError{Key: key, Value: b.shown(key, b.set[key]), Source: b.sources[key], Why: why, Next: next, require: true})
}

// shown is a value as it may be printed.
func (b *builder) shown(key, text string) string {
	if p, ok := b.schema.LookupBroker(key); ok && p.Sensitive() {
		return "[hidden]"
	}
	return text
}

// read collects the settings of all sources, the weakest first.
func (b *builder) read(s Sources) []setting {
	out := b.readServices(s)
	for _, name := range s.Files {
		data, err := readFile(s, name)
		if err != nil {
			b.faults = append(b.faults, &FaultError{Source: name, Why: "cannot be read: " + err.Error(), Next: "check the path given to --config"})
			continue
		}
		settings, err := parseFile(name, data)
		if err != nil {
			b.faults = append(b.faults, &FaultError{Source: name, Why: err.Error()})
		}
		out = append(out, settings...)
	}
	out = append(out, kafkaEnv(s.Env)...)
	out = append(out, b.dmqEnv(s.Env)...)
	for _, kv := range s.Set {
		key, text, ok := strings.Cut(kv, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			b.faults = append(b.faults, &FaultError{Source: "--set " + kv, Why: "is not key=value", Next: "write --set log.dirs=/var/lib/dmq"})
			continue
		}
		out = append(out, setting{key, text, "--set"})
	}
	return out
}

func readFile(s Sources, name string) ([]byte, error) {
	if s.ReadFile == nil {
		return nil, errors.New("no files can be read here")
	}
	return s.ReadFile(name)
}

// check parses one value and says what is odd about its key.
func (b *builder) check(name string, v Value, strict bool) {
	b.sources[name] = v.Source
	p, known := b.schema.LookupBroker(name)
	if !known {
		b.unknown(name, v, strict)
		b.set[name] = v.Text
		return
	}
	value, err := p.value(v.Text)
	if err != nil && v.Source == "" {
		return // told of where it comes from
	}
	if err != nil {
		b.faults = append(b.faults, &FaultError{Key: name, Value: b.shown(name, v.Text), Source: v.Source, Why: b.why(p, err), Next: accepted(p)})
		return
	}
	b.set[name] = v.Text
	switch {
	case !p.Effective:
		b.warnings = append(b.warnings, Warning{Kind: WarnIneffective, Key: name, Source: v.Source, Text: "is accepted but has no effect yet", Hint: risk(p, value)})
	case name == "broker.id" && v.Source != "":
		b.warnings = append(b.warnings, Warning{Kind: WarnOther, Key: name, Source: v.Source, Text: "is the old name of node.id", Hint: "use node.id"})
	}
}

// risk says what an operator may wrongly rely on.
func risk(p *Property, value any) string {
	switch {
	case p.Name == "authorizer.class.name" && value != "":
		return "nobody is refused anything: do not open this node to a network you do not trust"
	case p.Name == "remote.log.storage.system.enable" && value == true:
		return "everything stays on local disk"
	}
	return ""
}

// why is the reason without the words that repeat key and value.
func (b *builder) why(p *Property, err error) string {
	text := err.Error()
	if p.Sensitive() {
		return "the value cannot be used"
	}
	if _, reason, ok := strings.Cut(text, " for configuration "+p.Name+": "); ok {
		return lowerFirst(reason)
	}
	return lowerFirst(text)
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// accepted tells which values a property takes.
func accepted(p *Property) string {
	if p.Valid != "" {
		return "accepted is " + p.Valid
	}
	return "accepted is any " + TypeName(p.Type)
}

// unknown keys are warned of: Kafka hands them to plugins. The prefixes of such plugins are left alone.
func (b *builder) unknown(name string, v Value, strict bool) {
	for _, prefix := range []string{"config.providers.", "rlmm.config.", "rsm.config."} {
		if strings.HasPrefix(name, prefix) {
			return
		}
	}
	hint := ""
	if s := b.schema.Suggest(ScopeBroker, name); s != "" {
		hint = "did you mean " + s + "?"
	}
	// The environment holds much that is not meant for us (KAFKA_HOME), so it is never a fault.
	if strict && !strings.HasPrefix(v.Source, "environment") {
		b.faults = append(b.faults, &FaultError{Key: name, Source: v.Source, Why: "is not a known property", Next: hint})
		return
	}
	b.warnings = append(b.warnings, Warning{Kind: WarnUnknown, Key: name, Source: v.Source, Text: "is not a known property and is ignored", Hint: hint})
}

// sameNodeID lets broker.id stand for node.id and the other way round, as Kafka does.
func (b *builder) sameNodeID(set map[string]Value) {
	node, hasNode := set["node.id"]
	broker, hasBroker := set["broker.id"]
	switch {
	case hasBroker && !hasNode:
		set["node.id"] = Value{Text: broker.Text}
	case hasNode && !hasBroker:
		set["broker.id"] = Value{Text: node.Text}
	case hasNode && strings.TrimSpace(node.Text) != strings.TrimSpace(broker.Text):
		b.faults = append(b.faults, &FaultError{Key: "broker.id", Value: broker.Text, Source: broker.Source, Why: "differs from node.id=" + node.Text, Next: "remove broker.id"})
	}
}
