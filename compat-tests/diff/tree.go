package diff

import (
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"reflect"
	"sort"
	"strings"
)

// keyed is an array of structs whose elements are told apart by a field (a topic's name, a partition's index) instead of
// by position, so that order does not matter and a missing element is named.
type keyed map[string]any

// identities are the fields that name an element, the first that is there and not empty wins.
var identities = []string{"ApiKey", "ResourceName", "Group", "MemberID", "InstanceID", "Key", "Topic", "TopicID", "ConfigName", "Name", "Partition", "PartitionIndex", "NodeID", "ReplicaID", "LogDir", "Dir", "BatchIndex", "RelativeOffset", "ProducerID", "Feature"}

// unordered arrays of plain values are sorted.
var unordered = map[string]bool{"Partitions": true, "SubscribedTopics": true, "ISR": true, "OfflineReplicas": true, "EligibleLeaderReplicas": true, "LastKnownELR": true}

// tree turns a decoded message into maps, arrays and plain values, normalised on the way.
func (s *Session) tree(v any) any { return s.walk(reflect.ValueOf(v), "") }

func (s *Session) walk(v reflect.Value, field string) any {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return s.walk(v.Elem(), field)
	case reflect.Struct:
		return s.walkStruct(v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return s.walkBytes(v, field)
		}
		return s.walkSlice(v, field)
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return s.uuid(v)
		}
		return s.walkSlice(v, field)
	case reflect.String:
		return s.text(field, v.String())
	case reflect.Bool:
		return v.Bool()
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Int:
		return s.number(field, v.Int())
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return s.number(field, int64(v.Uint()))
	case reflect.Float64:
		return v.Float()
	default:
		return fmt.Sprintf("a %s that the harness does not know", v.Kind())
	}
}

func (s *Session) walkStruct(v reflect.Value) any {
	t := v.Type()
	if t.Name() == "Tags" {
		return nil
	}
	m := map[string]any{}
	for i := range t.NumField() {
		name := t.Field(i).Name
		if !t.Field(i).IsExported() || name == "Version" || name == "UnknownTags" || dropped[name] {
			continue
		}
		m[name] = s.walk(v.Field(i), name)
	}
	s.normaliseStruct(t.Name(), m)
	return m
}

func (s *Session) walkSlice(v reflect.Value, field string) any {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return "null"
	}
	if v.Type().Elem().Kind() != reflect.Struct {
		list := make([]any, v.Len())
		for i := range list {
			list[i] = s.walk(v.Index(i), field)
		}
		if unordered[field] {
			sort.Slice(list, func(i, j int) bool { return fmt.Sprint(list[i]) < fmt.Sprint(list[j]) })
		}
		return list
	}
	m, foreign := keyed{}, false
	for i := range v.Len() {
		element := s.walk(v.Index(i), field)
		key := identity(element, i)
		if s.foreign(v.Type().Elem().Name(), key) {
			foreign = true
			continue
		}
		if merged(m[key], element) {
			continue
		}
		for n := 2; m[key] != nil; n++ {
			key = fmt.Sprintf("%s#%d", strings.SplitN(key, "#", 2)[0], n)
		}
		m[key] = element
	}
	if foreign && len(m) == 0 {
		return "null" // as if the elements of other cases were not there
	}
	return m
}

// merged puts the partitions of an element into another one of the same topic, and tells whether it could: a topic may come in
// several pieces, which says nothing.
func merged(into, element any) bool {
	a, ok := into.(map[string]any)
	if !ok {
		return false
	}
	b, ok := element.(map[string]any)
	if !ok {
		return false
	}
	if b["Partitions"] == "null" {
		return true
	}
	x, ok := a["Partitions"].(keyed)
	if !ok {
		return false
	}
	y, ok := b["Partitions"].(keyed)
	if !ok {
		return false
	}
	for k, v := range y {
		for key, n := k, 2; ; n++ {
			if _, taken := x[key]; !taken {
				x[key] = v
				break
			}
			key = fmt.Sprintf("%s#%d", k, n)
		}
	}
	return true
}

// identity names an element of an array by the first of identities that it has.
func identity(element any, index int) string {
	m, ok := element.(map[string]any)
	if !ok {
		return fmt.Sprint(index)
	}
	empty := ""
	for _, field := range identities {
		v, ok := m[field]
		if ok && v != nil && v != "" && v != "zero" {
			return fmt.Sprintf("%s=%v", field, v)
		}
		if ok && empty == "" {
			empty = field + "="
		}
	}
	if empty != "" {
		return empty
	}
	return fmt.Sprint(index)
}

func (s *Session) walkBytes(v reflect.Value, field string) any {
	if v.IsNil() {
		return "null bytes"
	}
	b := v.Bytes()
	if field == "RecordBatches" {
		return s.batches(b)
	}
	if len(b) > 64 {
		return fmt.Sprintf("%d bytes, crc %08x", len(b), crc32.Checksum(b, castagnoli))
	}
	return hex.EncodeToString(b)
}

func (s *Session) uuid(v reflect.Value) any {
	b := make([]byte, v.Len())
	zero := true
	for i := range b {
		b[i] = byte(v.Index(i).Uint())
		zero = zero && b[i] == 0
	}
	if zero {
		return "zero"
	}
	if l, ok := s.labels["id\x00"+string(b)]; ok {
		return l
	}
	if strings.HasPrefix(string(b), "unknown-") { // ids the cases make up
		return string(b)
	}
	return "<uuid>"
}
