package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
)

// jsonNode is a value of a JSON file that knows where it stands.
type jsonNode struct {
	line    int
	path    string // such as services.storage-services[0].port; "" for the whole
	members map[string]*jsonNode
	items   []*jsonNode
	value   any // string, json.Number, bool or nil, unless it is an object or an array
	kind    string
}

const (
	kindObject = "object"
	kindArray  = "array"
)

// jsonDepth bounds how deeply a file may be nested.
const jsonDepth = 32

// jsonError is something that is wrong at one place of a JSON file.
type jsonError struct {
	line int
	path string
	why  string
}

// Error implements error.
func (e *jsonError) Error() string {
	if e.path == "" {
		return fmt.Sprintf("line %d: %s", e.line, e.why)
	}
	return fmt.Sprintf("line %d: %s %s", e.line, e.path, e.why)
}

// parseJSON reads a JSON file with the lines of its values. A member that stands there twice is an error.
func parseJSON(data []byte) (*jsonNode, error) {
	p := &jsonParser{data: data, d: json.NewDecoder(bytes.NewReader(data))}
	p.d.UseNumber()
	n, err := p.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := p.d.Token(); !errors.Is(err, io.EOF) {
		return nil, &jsonError{line: p.line(), why: "there is more behind the JSON object"}
	}
	return n, nil
}

type jsonParser struct {
	data []byte
	d    *json.Decoder
}

// line is where the token read last ends.
func (p *jsonParser) line() int {
	return 1 + bytes.Count(p.data[:p.d.InputOffset()], []byte("\n"))
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.d.Token()
	if err == nil {
		return t, nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at := min(max(syntax.Offset-1, 0), int64(len(p.data)))
		return nil, &jsonError{line: 1 + bytes.Count(p.data[:at], []byte("\n")), why: "is not JSON: " + syntax.Error()}
	}
	return nil, &jsonError{line: 1 + bytes.Count(bytes.TrimRight(p.data, "\n"), []byte("\n")), why: "the JSON ends too early"}
}

func (p *jsonParser) value(path string, depth int) (*jsonNode, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &jsonNode{line: p.line(), path: path}
	if depth > jsonDepth {
		return nil, &jsonError{n.line, path, fmt.Sprintf("is nested more than %d levels deep", jsonDepth)}
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '{' {
			n.kind = kindObject
			return n, p.object(n, depth)
		}
		n.kind = kindArray
		return n, p.array(n, depth)
	case string:
		n.kind, n.value = "string", v
	case json.Number:
		n.kind, n.value = "number", v
	case bool:
		n.kind, n.value = "boolean", v
	default:
		n.kind = "null"
	}
	return n, nil
}

func (p *jsonParser) object(n *jsonNode, depth int) error {
	n.members = make(map[string]*jsonNode)
	for p.d.More() {
		t, err := p.token()
		if err != nil {
			return err
		}
		name, _ := t.(string)
		path := name
		if n.path != "" {
			path = n.path + "." + name
		}
		if n.members[name] != nil {
			return &jsonError{p.line(), path, "is there twice"}
		}
		if n.members[name], err = p.value(path, depth+1); err != nil {
			return err
		}
	}
	_, err := p.token()
	return err
}

func (p *jsonParser) array(n *jsonNode, depth int) error {
	for p.d.More() {
		item, err := p.value(n.path+"["+strconv.Itoa(len(n.items))+"]", depth+1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := p.token()
	return err
}

// jsonReader reads members of a file and collects what is wrong with them.
type jsonReader struct {
	errs    []*jsonError
	unknown []string // members that nobody asked for
}

func (r *jsonReader) fault(n *jsonNode, format string, args ...any) {
	r.errs = append(r.errs, &jsonError{n.line, n.path, fmt.Sprintf(format, args...)})
}

// member returns a member of an object; nil when it is not there or null.
func (*jsonReader) member(n *jsonNode, name string) *jsonNode {
	if m := n.members[name]; m != nil && m.kind != "null" {
		return m
	}
	return nil
}

// object reads a member that is an object; needed says that it must be there.
func (r *jsonReader) object(n *jsonNode, name string, needed bool) *jsonNode {
	return r.of(n, name, kindObject, needed)
}

func (r *jsonReader) of(n *jsonNode, name, kind string, needed bool) *jsonNode {
	m := r.member(n, name)
	switch {
	case m == nil && needed:
		r.fault(n, "%s", r.lacks(n, name))
		return nil
	case m != nil && m.kind != kind:
		r.fault(m, "is a JSON %s, want %s", m.kind, kind)
		return nil
	}
	return m
}

func (*jsonReader) lacks(n *jsonNode, name string) string {
	if n.path == "" {
		return "the member " + name + " is missing"
	}
	return "has no member " + name
}

func (r *jsonReader) text(n *jsonNode, name string, needed bool) string {
	m := r.of(n, name, "string", needed)
	if m == nil {
		return ""
	}
	return m.value.(string)
}

// integer reads a number; ok is false when it is not there, or wrong.
func (r *jsonReader) integer(n *jsonNode, name string, lowest, highest int64, needed bool) (v int64, ok bool) {
	m := r.of(n, name, "number", needed)
	if m == nil {
		return 0, false
	}
	v, err := m.value.(json.Number).Int64()
	if err != nil || v < lowest || v > highest {
		r.fault(m, "is %s, want a whole number from %d to %d", m.value, lowest, highest)
		return 0, false
	}
	return v, true
}

// only notes the members of an object that are not among names.
func (r *jsonReader) only(n *jsonNode, names ...string) {
	if n == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(n.members)) {
		if !slices.Contains(names, name) {
			r.unknown = append(r.unknown, n.members[name].path)
		}
	}
}
