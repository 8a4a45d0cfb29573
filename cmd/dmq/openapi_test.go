package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// openAPI checks answers against the document that a node serves at /api/v1/openapi.json.
type openAPI struct {
	doc map[string]any

	mu   sync.Mutex // guards seen
	seen map[string]bool
}

func fetchOpenAPI(t *testing.T, url string) *openAPI {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/openapi.json", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	o := &openAPI{seen: make(map[string]bool)}
	if err := json.Unmarshal(text, &o.doc); err != nil {
		t.Fatal(err)
	}
	return o
}

// at walks the document.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// operation finds the template of a path, one without a parameter before one with.
func (o *openAPI) operation(method, path string) (template string, op any) {
	paths := at(o.doc, "paths").(map[string]any)
	for _, template := range slices.Backward(slices.Sorted(maps.Keys(paths))) { // '{' is after letters, so reversed: literal last wins below
		if op := at(paths, template, strings.ToLower(method)); op != nil && fits(template, path) {
			if !strings.Contains(template, "{") || !o.literal(method, path) {
				return template, op
			}
		}
	}
	return "", nil
}

func (o *openAPI) literal(method, path string) bool {
	return at(o.doc, "paths", path, strings.ToLower(method)) != nil
}

func fits(template, path string) bool {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return false
	}
	for i := range want {
		if want[i] != have[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}

// check holds an answer against the document.
func (o *openAPI) check(t *testing.T, method, path string, resp *http.Response, body []byte) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	template, op := o.operation(method, path)
	if op == nil {
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s is answered with %d and not in the document", method, path, resp.StatusCode)
		}
		return
	}
	described := at(op, "responses", strconv.Itoa(resp.StatusCode))
	if described == nil {
		t.Errorf("%s %s: status %d is not in the document", method, template, resp.StatusCode)
		return
	}
	o.mu.Lock()
	if resp.StatusCode < 300 {
		o.seen[method+" "+template] = true
	}
	o.mu.Unlock()
	schema := at(described, "content", "application/json", "schema")
	if schema == nil {
		if len(body) > 0 {
			t.Errorf("%s %s: status %d has a body, which is not in the document: %.200s", method, template, resp.StatusCode, body)
		}
		return
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		t.Errorf("%s %s: status %d: %v: %.200s", method, template, resp.StatusCode, err, body)
		return
	}
	for _, problem := range o.problems(schema, value, "answer") {
		t.Errorf("%s %s: status %d: %s in %.500s", method, template, resp.StatusCode, problem, body)
	}
}

// problems lists where a value does not match its schema. Members that the schema does not have are problems, too.
func (o *openAPI) problems(schema, value any, where string) []string {
	if ref, ok := at(schema, "$ref").(string); ok {
		schema = at(o.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	var types []string
	switch kind := at(schema, "type").(type) {
	case string:
		types = []string{kind}
	case []any:
		for _, k := range kind {
			types = append(types, fmt.Sprint(k))
		}
	}
	if !slices.Contains(types, typeOf(value)) && !(typeOf(value) == "integer" && slices.Contains(types, "number")) {
		return []string{fmt.Sprintf("%s is a %s, want %v", where, typeOf(value), types)}
	}
	if enum, ok := at(schema, "enum").([]any); ok && !slices.Contains(enum, value) {
		return []string{fmt.Sprintf("%s is %v, want one of %v", where, value, enum)}
	}
	switch v := value.(type) {
	case map[string]any:
		return o.members(schema, v, where)
	case []any:
		var out []string
		for i, item := range v {
			out = append(out, o.problems(at(schema, "items"), item, fmt.Sprintf("%s[%d]", where, i))...)
		}
		return out
	case string:
		if at(schema, "contentEncoding") == "base64" {
			if _, err := base64.StdEncoding.DecodeString(v); err != nil {
				return []string{where + " is not base64"}
			}
		}
	case json.Number:
		if n, err := v.Int64(); err != nil || at(schema, "format") == "int32" && (n < math.MinInt32 || n > math.MaxInt32) {
			return []string{where + " is not in the range of its type"}
		}
	}
	return nil
}

func (o *openAPI) members(schema any, v map[string]any, where string) (out []string) {
	required, _ := at(schema, "required").([]any)
	for _, name := range required {
		if _, ok := v[fmt.Sprint(name)]; !ok {
			out = append(out, fmt.Sprintf("%s has no %v", where, name))
		}
	}
	for name, member := range v {
		inner := at(schema, "properties", name)
		if inner == nil {
			inner = at(schema, "additionalProperties")
		}
		if inner == nil {
			out = append(out, fmt.Sprintf("%s has %s, which is not in the document", where, name))
			continue
		}
		out = append(out, o.problems(inner, member, where+"."+name)...)
	}
	return out
}

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if strings.ContainsAny(v.String(), ".eE") {
			return "number"
		}
		return "integer"
	case []any:
		return "array"
	default:
		return "object"
	}
}

// unseen lists the operations that were never answered with success.
func (o *openAPI) unseen() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for template, methods := range at(o.doc, "paths").(map[string]any) {
		for method, op := range methods.(map[string]any) {
			name := strings.ToUpper(method) + " " + template
			if at(op, "operationId") != "raftCall" && !o.seen[name] { // which never succeeds
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}
