package api

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object of the document.
type object map[string]any

// document is the OpenAPI 3.1 document of the API. It is made of the table of routes and of the very types that are decoded and
// encoded.
func (a *API) document() object {
	s := schemas{}
	paths := object{}
	for _, rt := range a.routes() {
		path, _ := paths[Prefix+rt.path].(object)
		if path == nil {
			path = object{}
			paths[Prefix+rt.path] = path
		}
		path[strings.ToLower(rt.method)] = s.operation(&rt)
	}
	s.of(reflect.TypeFor[Error](), false)
	return object{
		"openapi": "3.1.0",
		"info": object{
			"title": "DistributedMQ", "version": cmp.Or(a.o.Version, "dev"),
			"summary":     "The REST admin side-port of every node",
			"description": "What only the active controller may answer is answered with 503 elsewhere, with the headers " + HeaderLeader + " and " + HeaderURL + ". Times are milliseconds since the Unix epoch, -1 when not known.",
			"license":     object{"name": "Apache 2.0", "identifier": "Apache-2.0"},
		},
		"paths":      paths,
		"components": object{"schemas": object(s)},
	}
}

// schemas are the types of the document by name.
type schemas object

func (s schemas) operation(rt *route) object {
	op := object{"operationId": rt.id, "summary": rt.summary}
	if parameters := parametersOf(rt); len(parameters) > 0 {
		op["parameters"] = parameters
	}
	if rt.body != nil {
		op["requestBody"] = object{"required": !rt.optional, "content": s.content(rt.body, true)}
	}
	responses := object{}
	if rt.status < 400 {
		ok := object{"description": "done"}
		if rt.answer != nil {
			ok["content"] = s.content(rt.answer, false)
		}
		responses[strconv.Itoa(cmp.Or(rt.status, http.StatusOK))] = ok
	}
	failures := []int{http.StatusInternalServerError, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	if rt.body != nil {
		failures = append(failures, http.StatusRequestEntityTooLarge, http.StatusRequestTimeout)
	}
	if rt.body != nil || strings.Contains(rt.path, "{") {
		failures = append(failures, http.StatusBadRequest)
	}
	if rt.method != http.MethodGet {
		failures = append(failures, http.StatusForbidden)
	}
	for _, status := range append(failures, rt.failures...) {
		responses[strconv.Itoa(status)] = s.failure(rt, status)
	}
	op["responses"] = responses
	return op
}

func parametersOf(rt *route) []object {
	var out []object
	for part := range strings.SplitSeq(rt.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			kind := object{"type": "string"}
			if name == "brokerId" || name == "partition" {
				kind = object{"type": "integer", "format": "int32"}
			}
			out = append(out, object{"name": name, "in": "path", "required": true, "schema": kind})
		}
	}
	for _, p := range rt.query {
		out = append(out, object{"name": p.name, "in": "query", "description": p.doc, "schema": object{"type": jsonType(reflect.TypeOf(p.kind))}})
	}
	return out
}

// failure describes an answer that is no success. That to a push has a form of its own.
func (s schemas) failure(rt *route, status int) object {
	body := any(Error{})
	if _, push := rt.answer.(PushAnswer); push && status == http.StatusConflict {
		body = PushAnswer{}
	}
	out := object{"description": http.StatusText(status), "content": s.content(body, false)}
	header := func(name, doc string, kind object) {
		headers, _ := out["headers"].(object)
		if headers == nil {
			headers = object{}
			out["headers"] = headers
		}
		headers[name] = object{"description": doc, "schema": kind}
	}
	header(HeaderMessage, "what went wrong", object{"type": "string"})
	switch status {
	case http.StatusServiceUnavailable:
		header("Retry-After", "seconds; while no controller is known, or the node has too much to do", object{"type": "integer"})
		header(HeaderLeader, "the id of the active controller, when another node is", object{"type": "integer"})
		header(HeaderURL, "the admin port of that node", object{"type": "string"})
	case http.StatusTemporaryRedirect:
		header("Location", "where the leader of the partition answers", object{"type": "string"})
	}
	return out
}

func (s schemas) content(v any, request bool) object {
	return object{"application/json": object{"schema": s.of(reflect.TypeOf(v), request)}}
}

// of returns the schema of a type, and adds it to the document if it has a name.
func (s schemas) of(t reflect.Type, request bool) object {
	switch t.Kind() {
	case reflect.Pointer:
		inner := s.of(t.Elem(), request)
		if kind, ok := inner["type"].(string); ok && request {
			inner["type"] = []string{kind, "null"}
		}
		return inner
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{"type": []string{"string", "null"}, "contentEncoding": "base64"}
		}
		return object{"type": "array", "items": s.of(t.Elem(), request)}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem(), request)}
	case reflect.Struct:
		if _, ok := s[t.Name()]; !ok {
			s[t.Name()] = nil // it may contain itself
			s[t.Name()] = s.structure(t, request)
		}
		return object{"$ref": "#/components/schemas/" + t.Name()}
	case reflect.Int32:
		return object{"type": "integer", "format": "int32"}
	case reflect.Int64:
		return object{"type": "integer", "format": "int64"}
	default:
		return object{"type": jsonType(t)}
	}
}

func (s schemas) structure(t reflect.Type, request bool) object {
	properties, required := object{}, []string{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		schema := s.of(f.Type, request)
		if doc := f.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			schema["enum"] = strings.Split(enum, ",")
		}
		properties[name] = schema
		if f.Tag.Get("required") != "" || !request && options != "omitempty" {
			required = append(required, name)
		}
	}
	out := object{"type": "object", "properties": properties}
	if slices.Sort(required); len(required) > 0 {
		out["required"] = required
	}
	return out
}

// jsonType is JSON's name of a type.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return jsonType(t.Elem())
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return "string"
		}
		return "array"
	default:
		return "integer"
	}
}
