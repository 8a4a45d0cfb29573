package main

import "strings"

// goSize adds up the size of a Go struct as the compiler lays it out.
type goSize struct{ n, align int }

func (g *goSize) add(size, align int) {
	g.n = (g.n+align-1)/align*align + size
	g.align = max(g.align, align)
}

func (g *goSize) total() int {
	if g.align == 0 {
		return g.n
	}
	return (g.n + g.align - 1) / g.align * g.align
}

// count adds a field as the decoder declares it: whatever version it came with, a pointer where it can be null in any.
func (c *compiler) count(g *goSize, f *field) error {
	switch {
	case strings.HasPrefix(f.Type, "[]"), f.Type == "bytes", f.Type == "records":
		g.add(24, 8)
	case f.Type == "string" && f.NullableVersions.some:
		g.add(8, 8)
	case f.Type == "string":
		g.add(16, 8)
	case f.Type == "uuid":
		g.add(16, 1)
	case fixed[f.Type] != 0:
		g.add(fixed[f.Type], fixed[f.Type])
	case f.NullableVersions.some:
		g.add(8, 8)
	default:
		return c.countStruct(g, f)
	}
	return nil
}

func (c *compiler) countStruct(g *goSize, f *field) error {
	fields, err := c.fieldsOf(f.Type, f.Fields)
	if err != nil {
		return err
	}
	inner := goSize{}
	for i := range fields {
		if err := c.count(&inner, &fields[i]); err != nil {
			return err
		}
	}
	inner.add(8, 8)
	g.add(inner.total(), inner.align)
	return nil
}
