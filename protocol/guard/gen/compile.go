package main

import (
	"fmt"
	"strings"
)

// table is the layouts of all requests, each distinct one once.
type table struct {
	layouts  []layout
	index    map[string]int // by text of the layout
	requests []request
}

type request struct {
	key      int16
	name     string
	min      int16
	layouts  []int // by version, from min
	flexible int16 // first flexible version; -1: none
}

// layout is a struct or an array element in one version. The first four fields are what goes into the table.
type layout struct {
	min      int // bytes of the smallest value
	mem      int // bytes that a decoded value takes in a slice
	flexible bool
	steps    []step
	tags     []tagStep
	name     string // of the first use
}

type step struct {
	op  string
	arg int
}

type tagStep struct {
	tag int
	step
}

// compiler turns one version of one message into layouts.
type compiler struct {
	t       *table
	m       *message
	version int16
}

func compile(messages []message) (*table, error) {
	t := &table{index: make(map[string]int)}
	for i := range messages {
		m := &messages[i]
		r := request{key: m.APIKey, name: strings.TrimSuffix(m.Name, "Request"), min: m.ValidVersions.min, flexible: -1}
		for v := m.ValidVersions.min; v <= m.ValidVersions.max; v++ {
			c := &compiler{t: t, m: m, version: v}
			n, err := c.structure(r.name, m.Fields, m.FlexibleVersions.has(v))
			if err != nil {
				return nil, fmt.Errorf("%s v%d: %w", m.Name, v, err)
			}
			r.layouts = append(r.layouts, n)
			if r.flexible < 0 && m.FlexibleVersions.has(v) {
				r.flexible = v
			}
		}
		t.requests = append(t.requests, r)
	}
	return t, nil
}

// add returns the number of a layout.
func (t *table) add(l layout) int {
	text := fmt.Sprint(l.min, l.mem, l.flexible, l.steps, l.tags)
	if n, ok := t.index[text]; ok {
		return n
	}
	n := len(t.layouts)
	t.layouts = append(t.layouts, l)
	t.index[text] = n
	return n
}

// structure compiles the fields of a struct and returns the number of its layout.
func (c *compiler) structure(name string, fields []field, flexible bool) (int, error) {
	l := layout{name: name, flexible: flexible}
	size := goSize{}
	for i := range fields {
		f := &fields[i]
		if err := c.count(&size, f); err != nil {
			return 0, err
		}
		if !f.Versions.has(c.version) {
			if f.Tag != nil && flexible {
				l.tags = append(l.tags, tagStep{*f.Tag, step{op: "opRefuse"}})
			}
			continue
		}
		s, least, err := c.field(name, f, flexible)
		if err != nil {
			return 0, err
		}
		if f.TaggedVersions.has(c.version) {
			l.tags = append(l.tags, tagStep{*f.Tag, s})
			continue
		}
		l.min += least
		if last := len(l.steps) - 1; last >= 0 && s.op == "opFixed" && l.steps[last].op == "opFixed" {
			l.steps[last].arg += s.arg
		} else {
			l.steps = append(l.steps, s)
		}
	}
	if flexible {
		l.min++
	}
	size.add(8, 8) // the unknown tags
	l.mem = size.total()
	return c.t.add(l), nil
}

// field compiles one field and says how many bytes the smallest value takes.
func (c *compiler) field(in string, f *field, flexible bool) (step, int, error) {
	if f.FlexibleVersions != nil {
		flexible = f.FlexibleVersions.has(c.version)
	}
	null := f.NullableVersions.has(c.version)
	if elem, ok := strings.CutPrefix(f.Type, "[]"); ok {
		n, err := c.element(in+"."+f.Name, elem, f, flexible)
		return step{op("Array", flexible, null), n}, prefixSize(flexible, 4), err
	}
	if n, ok := fixed[f.Type]; ok {
		return step{"opFixed", n}, n, nil
	}
	switch f.Type {
	case "string":
		return step{op: op("String", flexible, null)}, prefixSize(flexible, 2), nil
	case "bytes", "records":
		return step{op: op("Bytes", flexible, null)}, prefixSize(flexible, 4), nil
	}
	fields, err := c.fieldsOf(f.Type, f.Fields)
	if err != nil {
		return step{}, 0, err
	}
	n, err := c.structure(in+"."+f.Name, fields, c.m.FlexibleVersions.has(c.version))
	switch {
	case err != nil:
		return step{}, 0, err
	case null && f.TaggedVersions.has(c.version):
		return step{}, 0, fmt.Errorf("field %s: a nullable struct as tagged field is not met so far", f.Name)
	case null:
		return step{"opNullStruct", n}, 1, nil
	default:
		return step{"opStruct", n}, c.t.layouts[n].min, nil
	}
}

// element compiles what an array holds.
func (c *compiler) element(name, typ string, f *field, flexible bool) (int, error) {
	if n, ok := fixed[typ]; ok {
		return c.t.add(layout{name: typ, min: n, mem: n, steps: []step{{"opFixed", n}}}), nil
	}
	switch typ {
	case "string":
		return c.t.add(layout{name: typ, min: prefixSize(flexible, 2), mem: 16, steps: []step{{op: op("String", flexible, false)}}}), nil
	case "bytes":
		return c.t.add(layout{name: typ, min: prefixSize(flexible, 4), mem: 24, steps: []step{{op: op("Bytes", flexible, false)}}}), nil
	}
	fields, err := c.fieldsOf(typ, f.Fields)
	if err != nil {
		return 0, err
	}
	return c.structure(name, fields, c.m.FlexibleVersions.has(c.version))
}

// fieldsOf returns the fields of a struct that is defined where it is used or among the common ones.
func (c *compiler) fieldsOf(name string, inline []field) ([]field, error) {
	if len(inline) > 0 {
		return inline, nil
	}
	for _, s := range c.m.CommonStructs {
		if s.Name == name {
			return s.Fields, nil
		}
	}
	return nil, fmt.Errorf("type %q is not known", name)
}

// fixed is the size of the types that have one.
var fixed = map[string]int{
	"bool": 1, "int8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "int64": 8, "float64": 8, "uuid": 16,
}

func op(kind string, flexible, null bool) string {
	name := "op"
	if flexible {
		name += "Compact"
	}
	if null {
		name += "Null"
	}
	return name + kind
}

func prefixSize(flexible bool, plain int) int {
	if flexible {
		return 1
	}
	return plain
}
