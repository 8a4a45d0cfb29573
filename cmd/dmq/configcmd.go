package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/distributedmq/dmq/broker/config"
)

func newConfig(a *app) *cobra.Command {
	return parent(&cobra.Command{
		Use: "config", Short: "Check and explain a node's configuration", GroupID: "tools",
		Example: "  dmq config check -c server.properties\n  dmq config explain log.retention.ms",
	}, newConfigCheck(a), newConfigExplain(a))
}

type checkResult struct {
	Valid    bool          `json:"valid"`
	Files    []string      `json:"files"`
	Warnings []checkedItem `json:"warnings"`
	Faults   []checkedItem `json:"faults"`
}

type checkedItem struct {
	Key    string `json:"key"`
	Source string `json:"source"`
	Text   string `json:"text"`
	Hint   string `json:"hint"`
}

func newConfigCheck(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use: "check [FILE...]", Short: "Check a configuration without starting a node",
		Long:    "Check a configuration without starting a node: files, environment and --set as \"dmq serve\" reads them. Exits with 5 when it has faults.",
		Example: "  dmq config check server.properties\n  dmq config check --strict -c dmq.yaml",
		RunE: func(_ *cobra.Command, files []string) error {
			o.files = append(o.files, files...)
			return a.checkConfig(o)
		},
	}
	o.addFlags(cmd)
	o.addTopologyFlags(cmd)
	return cmd
}

func (a *app) checkConfig(o serveOptions) error {
	_, warnings, err := a.load(o)
	out := checkResult{Valid: err == nil, Files: append([]string{}, o.files...), Warnings: []checkedItem{}, Faults: []checkedItem{}}
	g := grid{header: []string{"", "KEY", "WHERE", "WHAT"}}
	for _, w := range warnings {
		out.Warnings = append(out.Warnings, checkedItem{w.Key, w.Source, w.Text, w.Hint})
		g.rows = append(g.rows, []any{"warning", w.Key, w.Source, joined(w.Text, w.Hint)})
	}
	if err != nil {
		for _, f := range config.Faults(explain(err).cause) {
			out.Faults = append(out.Faults, checkedItem{f.Key, f.Source, f.Why, f.Next})
			g.rows = append(g.rows, []any{"fault", f.Key, f.Source, joined(f.Why, f.Next)})
		}
	}
	r := result{value: out, table: []grid{g}}
	for _, item := range slices.Concat(out.Faults, out.Warnings) {
		r.names = append(r.names, item.Key)
	}
	if len(g.rows) > 0 || a.output == "json" || a.output == "yaml" {
		if err := a.print(r); err != nil {
			return err
		}
	}
	if len(out.Faults) > 0 {
		return &failure{code: codeUnhealthy, what: fmt.Sprintf("the configuration has %d faults", len(out.Faults)), next: "More about a key: dmq config explain KEY"}
	}
	if a.output == "table" || a.output == "wide" {
		_, err := fmt.Fprintf(a.out, "The configuration is good (%d warnings).\n", len(out.Warnings))
		return err
	}
	return nil
}

func joined(text, hint string) string {
	if hint == "" {
		return text
	}
	return text + "; " + hint
}

type explained struct {
	Key        string          `json:"key"`
	Scope      string          `json:"scope"`
	Value      *string         `json:"value"` // null when not set
	Source     string          `json:"source"`
	Shadowed   []shadowedValue `json:"shadowed"`
	Applies    string          `json:"applies"` // not set: the key in another unit that applies instead
	Default    *string         `json:"default"`
	Type       string          `json:"type"`
	Valid      string          `json:"valid_values"`
	Change     string          `json:"change"` // read-only: needs a restart
	Effective  bool            `json:"effective"`
	BrokerKey  string          `json:"broker_key"` // of a topic key: where its default comes from
	Importance string          `json:"importance"`
	Doc        string          `json:"doc"`
}

type shadowedValue struct {
	Value  string `json:"value"`
	Source string `json:"source"`
}

func newConfigExplain(a *app) *cobra.Command {
	var o serveOptions
	var topic bool
	cmd := &cobra.Command{
		Use: "explain [KEY...]", Short: "Tell what a setting does, its value and where that comes from",
		Long:    "Tell what a setting does, its value and where that comes from. Without a key, list all.",
		Example: "  dmq config explain log.retention.ms\n  dmq config explain --topic retention.ms\n  dmq config explain -c server.properties listeners",
		RunE: func(_ *cobra.Command, keys []string) error {
			return a.explainConfig(o, topic, keys)
		},
	}
	cmd.ValidArgsFunction = func(_ *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if topic {
			return configKeys(config.ScopeTopic, prefix, false)
		}
		return configKeys(config.ScopeBroker, prefix, false)
	}
	o.addFlags(cmd)
	o.addTopologyFlags(cmd)
	cmd.Flags().BoolVar(&topic, "topic", false, "settings of a topic instead of a node's")
	return cmd
}

func (a *app) explainConfig(o serveOptions, topic bool, keys []string) error {
	c, _, err := a.load(o)
	if err != nil {
		return err
	}
	schema, scope := c.Schema(), config.ScopeBroker
	if topic {
		scope = config.ScopeTopic
	}
	list := len(keys) == 0
	if list {
		for _, p := range schema.Properties(scope) {
			if !p.Internal {
				keys = append(keys, p.Name)
			}
		}
	}
	all := make([]explained, 0, len(keys))
	for _, key := range keys {
		e, err := explainKey(c, key, topic)
		if err != nil {
			return err
		}
		all = append(all, e)
	}
	r := result{value: all, names: keys}
	if list {
		r.table = []grid{explainedList(all)}
	} else {
		for _, e := range all {
			r.table = append(r.table, explainedGrid(e))
		}
	}
	return a.print(r)
}

func explainKey(c *config.Config, key string, topic bool) (explained, error) {
	schema := c.Schema()
	scope, name := config.ScopeBroker, "broker"
	if topic {
		scope, name = config.ScopeTopic, "topic"
	}
	e := explained{Key: key, Scope: name, Shadowed: []shadowedValue{}}
	p, ok := schema.Lookup(scope, key)
	if !topic {
		p, ok = schema.LookupBroker(key)
	}
	if !ok {
		f := &failure{code: codeNotFound, what: fmt.Sprintf("there is no %s setting %q", name, key), next: "List all: dmq config explain"}
		if _, other := schema.Lookup(config.ScopeTopic, key); other && !topic {
			f.next = fmt.Sprintf("It is a topic's: dmq config explain --topic %s   %s", key, f.next)
		} else if near := schema.Suggest(scope, key); near != "" {
			f.next = fmt.Sprintf("Did you mean %q?   %s", near, f.next)
		}
		return e, f
	}
	e.Type, e.Valid, e.Change, e.Effective, e.BrokerKey, e.Importance, e.Doc = config.TypeName(p.Type), p.Valid, p.Mode.String(), p.Effective, p.Synonym, p.Importance.String(), p.Doc
	if p.HasDefault {
		e.Default = &p.Default
	}
	if topic { // what a topic without overrides gets
		for _, d := range c.DescribeTopic(nil, config.Dynamic{}, config.DescribeOptions{Names: []string{key}}) {
			e.Value, e.Source = d.Value, sourceName(d.Source)
		}
		return e, nil
	}
	if found, ok := c.Explain(key); ok {
		e.Source, e.Applies = found.Source, found.Applies
		if !found.Null {
			e.Value = &found.Value
		}
		for _, s := range found.Shadowed {
			e.Shadowed = append(e.Shadowed, shadowedValue{s.Text, s.Source})
		}
	}
	return e, nil
}

func explainedList(all []explained) grid {
	g := grid{header: []string{"KEY", "VALUE", "FROM", "TYPE", "CHANGE", "EFFECT"}, wide: 3}
	for _, e := range all {
		effect := "yes"
		if !e.Effective {
			effect = "not yet"
		}
		g.rows = append(g.rows, []any{e.Key, shortened(e.Value), e.Source, e.Type, e.Change, effect})
	}
	return g
}

func shortened(v *string) string {
	if v == nil {
		return "-"
	}
	if r := []rune(*v); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return *v
}

func explainedGrid(e explained) grid {
	value := "not set"
	if e.Value != nil {
		value = *e.Value
	}
	fallback := "none"
	if e.Default != nil {
		fallback = *e.Default
	}
	g := grid{header: []string{e.Key, ""}}
	add := func(name string, text any) { g.rows = append(g.rows, []any{name, text}) }
	switch {
	case e.Applies != "":
		value = "not set  (" + e.Applies + " applies)"
	case e.BrokerKey != "":
		value += "  (from " + e.BrokerKey + ", " + e.Source + ")"
	case e.Value != nil:
		value += "  (from " + e.Source + ")"
	}
	add("value", value)
	for _, s := range e.Shadowed {
		add("overridden", fmt.Sprintf("%s  (from %s)", s.Value, s.Source))
	}
	add("default", fallback)
	kind := e.Type
	if e.Valid != "" {
		kind += ", " + e.Valid
	}
	add("type", kind)
	change := map[string]string{"read-only": "needs a restart", "per-broker": "while the node runs, for one broker", "cluster-wide": "while the node runs, for one broker or all"}[e.Change]
	if e.Scope == "topic" {
		change = "at any time: dmq topic config set TOPIC " + e.Key + "=..."
	}
	add("change", change)
	if !e.Effective {
		add("effect", "none yet: it is accepted and kept")
	}
	for i, line := range wrap(e.Doc, 90) {
		name := ""
		if i == 0 {
			name = "doc"
		}
		add(name, line)
	}
	return g
}

// wrap breaks text into lines of about width characters.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
