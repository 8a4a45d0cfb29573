package diff

import (
	"fmt"
	"maps"
	"slices"
)

// Difference is one field that the two brokers answered differently.
type Difference struct {
	Case string
	Path string // step, then field names and element names, joined with dots
	A, B string
}

func (d Difference) String() string {
	return fmt.Sprintf("%s | %s | %s | %s", d.Case, d.Path, d.A, d.B)
}

// Compare returns the differences of two transcripts of one case.
func Compare(name string, a, b []Entry) []Difference {
	c := comparison{name: name}
	for i := range max(len(a), len(b)) {
		switch {
		case i >= len(a):
			c.add(b[i].Step, "no such step", "was reached")
		case i >= len(b):
			c.add(a[i].Step, "was reached", "no such step")
		case a[i].Step != b[i].Step:
			c.add(a[i].Step, fmt.Sprint(a[i].Step, ": ", short(a[i].Tree)), fmt.Sprint(b[i].Step, ": ", short(b[i].Tree)))
			return c.out
		default:
			c.walk(a[i].Step, a[i].Tree, b[i].Tree)
		}
	}
	return c.out
}

type comparison struct {
	name string
	out  []Difference
}

func (c *comparison) add(path string, a, b any) {
	c.out = append(c.out, Difference{Case: c.name, Path: path, A: short(a), B: short(b)})
}

// short renders a value for a report; a struct is not written out.
func short(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "an answer"
	case keyed:
		return fmt.Sprintf("%d elements", len(v))
	}
	text := fmt.Sprint(v)
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return text
}

func (c *comparison) walk(path string, a, b any) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			c.fields(path, x, y)
			return
		}
	case keyed:
		if y, ok := b.(keyed); ok {
			c.elements(path, x, y)
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				c.walk(fmt.Sprintf("%s[%d]", path, i), x[i], y[i])
			}
			return
		}
	}
	if short(a) != short(b) || fmt.Sprintf("%T", a) != fmt.Sprintf("%T", b) {
		c.add(path, a, b)
	}
}

func (c *comparison) fields(path string, a, b map[string]any) {
	for _, k := range slices.Sorted(maps.Keys(a)) {
		c.walk(path+"."+k, a[k], b[k])
	}
}

func (c *comparison) elements(path string, a, b keyed) {
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if _, ok := b[k]; !ok {
			c.add(path+"["+k+"]", "is there", "is missing")
			continue
		}
		c.walk(path+"["+k+"]", a[k], b[k])
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			c.add(path+"["+k+"]", "is missing", "is there")
		}
	}
}
