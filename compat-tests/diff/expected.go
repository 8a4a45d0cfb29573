package diff

import (
	_ "embed"
	"fmt"
	"regexp"
	"strings"
)

//go:embed expected.txt
var expectedText string

// Expectation is one line of expected.txt: differences that are meant.
type Expectation struct {
	Case, Path  string // patterns: * matches anything
	Kafka, Ours string // what each answers, patterns too
	Reason      string

	line     int
	patterns [4]*regexp.Regexp
	matched  int
}

// Expectations parses expected.txt.
func Expectations() ([]*Expectation, error) { return parseExpectations(expectedText) }

func parseExpectations(text string) ([]*Expectation, error) {
	var out []*Expectation
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " | ", 5)
		for j := range parts {
			parts[j] = strings.TrimSpace(parts[j])
		}
		if len(parts) != 5 || parts[4] == "" {
			return nil, fmt.Errorf("expected.txt:%d: want \"case | field | kafka | ours | reason\"", i+1)
		}
		e := &Expectation{Case: parts[0], Path: parts[1], Kafka: parts[2], Ours: parts[3], Reason: parts[4], line: i + 1}
		for j := range e.patterns {
			e.patterns[j] = glob(parts[j])
		}
		out = append(out, e)
	}
	return out, nil
}

// glob compiles a pattern in which * matches anything.
func glob(pattern string) *regexp.Regexp {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
}

func (e *Expectation) matches(d Difference) bool {
	return e.patterns[0].MatchString(d.Case) && e.patterns[1].MatchString(d.Path) && e.patterns[2].MatchString(d.A) && e.patterns[3].MatchString(d.B)
}
