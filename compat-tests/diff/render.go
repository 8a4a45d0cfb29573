package diff

import (
	"fmt"
	"os"
	"strings"
)

const beginMark, endMark = "<!-- begin:differences -->\n", "<!-- end:differences -->"

// Markdown renders the expected differences as a table, one row for each run of entries with the same reason.
func Markdown(list []*Expectation) string {
	var b strings.Builder
	b.WriteString("\n| requests | fields | Apache Kafka | dmq | why |\n|---|---|---|---|---|\n")
	for i := 0; i < len(list); {
		e, fields := list[i], []string{}
		for ; i < len(list) && list[i].Reason == e.Reason && list[i].Case == e.Case && list[i].Kafka == e.Kafka && list[i].Ours == e.Ours; i++ {
			fields = append(fields, code(list[i].Path))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(e.Case), strings.Join(fields, ", "), code(e.Kafka), code(e.Ours), e.Reason)
	}
	b.WriteString("\n")
	return b.String()
}

func code(pattern string) string {
	switch pattern {
	case "*":
		return "any"
	case "":
		return "empty"
	}
	return "`" + pattern + "`"
}

// UpdateDocument writes the table between the marks of a document, and tells whether that changed it.
func UpdateDocument(path string) (changed bool, err error) {
	list, err := Expectations()
	if err != nil {
		return false, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	head, rest, ok := strings.Cut(string(text), beginMark)
	_, tail, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return false, fmt.Errorf("%s: no %s … %s", path, strings.TrimSpace(beginMark), endMark)
	}
	updated := head + beginMark + Markdown(list) + endMark + tail
	if updated == string(text) {
		return false, nil
	}
	return true, os.WriteFile(path, []byte(updated), 0o644)
}
