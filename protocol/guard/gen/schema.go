package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// message is one request definition.
type message struct {
	APIKey           int16      `json:"apiKey"`
	Type             string     `json:"type"`
	Name             string     `json:"name"`
	ValidVersions    versions   `json:"validVersions"`
	FlexibleVersions versions   `json:"flexibleVersions"`
	Fields           []field    `json:"fields"`
	CommonStructs    []structOf `json:"commonStructs"`
}

type structOf struct {
	Name   string  `json:"name"`
	Fields []field `json:"fields"`
}

type field struct {
	Name             string    `json:"name"`
	Type             string    `json:"type"`
	Versions         versions  `json:"versions"`
	NullableVersions versions  `json:"nullableVersions"`
	TaggedVersions   versions  `json:"taggedVersions"`
	FlexibleVersions *versions `json:"flexibleVersions"`
	Tag              *int      `json:"tag"`
	Fields           []field   `json:"fields"`
}

// versions is a range; the zero value is empty.
type versions struct {
	some     bool
	min, max int16
}

func (v versions) has(version int16) bool { return v.some && v.min <= version && version <= v.max }

// UnmarshalJSON reads "none", "3", "3+" and "3-5".
func (v *versions) UnmarshalJSON(raw []byte) error {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	*v = versions{}
	if s == "none" || s == "" {
		return nil
	}
	v.some = true
	lo, hi, ranged := strings.Cut(s, "-")
	if open, ok := strings.CutSuffix(lo, "+"); ok {
		lo, hi, ranged = open, strconv.Itoa(math.MaxInt16), true
	}
	if !ranged {
		hi = lo
	}
	for _, part := range []struct {
		text string
		to   *int16
	}{{lo, &v.min}, {hi, &v.max}} {
		n, err := strconv.ParseInt(part.text, 10, 16)
		if err != nil {
			return fmt.Errorf("versions %q: %w", s, err)
		}
		*part.to = int16(n)
	}
	return nil
}

func parse(raw []byte) (message, error) {
	var m message
	if err := json.Unmarshal(stripComments(raw), &m); err != nil {
		return m, err
	}
	if m.Type != "request" {
		return m, fmt.Errorf("type is %q, not request", m.Type)
	}
	return m, nil
}

// stripComments blanks // comments outside of strings, which the definitions have and JSON has not.
func stripComments(raw []byte) []byte {
	var out bytes.Buffer
	quoted, escaped := false, false
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch {
		case quoted:
			quoted = escaped || c != '"'
			escaped = !escaped && c == '\\'
		case c == '"':
			quoted = true
		case c == '/' && i+1 < len(raw) && raw[i+1] == '/':
			for i < len(raw) && raw[i] != '\n' {
				i++
			}
			c = '\n'
		}
		out.WriteByte(c)
	}
	return out.Bytes()
}
