package config

import (
	"fmt"
	"strings"
)

// IneffectiveMarkdown lists the properties that are known and accepted but have no effect yet, as a table for
// docs/compatibility.md. Kafka's internal properties are left out.
func (s *Schema) IneffectiveMarkdown(scope Scope) string {
	var b strings.Builder
	b.WriteString("| Key | Default | What it would do |\n|---|---|---|\n")
	for _, p := range s.sorted[scope] {
		if p.Effective || p.Internal {
			continue
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", p.Name, cell(p), strings.ReplaceAll(p.Doc, "|", `\|`))
	}
	return b.String()
}

// Markdown lists all properties of a scope with type, default, accepted values and mode, for the reference.
func (s *Schema) Markdown(scope Scope) string {
	var b strings.Builder
	b.WriteString("| Key | Type | Default | Accepted | Change | Effect | |\n|---|---|---|---|---|---|---|\n")
	for _, p := range s.sorted[scope] {
		if p.Internal {
			continue
		}
		effect := "yes"
		if !p.Effective {
			effect = "not yet"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", p.Name, TypeName(p.Type), cell(p), strings.ReplaceAll(p.Valid, "|", `\|`), p.Mode, effect, strings.ReplaceAll(p.Doc, "|", `\|`))
	}
	return b.String()
}

// cell is a default as a table shows it.
func cell(p *Property) string {
	switch {
	case !p.HasDefault:
		return "none"
	case p.Default == "":
		return "empty"
	}
	return "`" + p.Default + "`"
}
