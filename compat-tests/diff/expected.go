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
	Case, Path string // patterns: * matches anything
	Reason     string

	line    int
	casePat *regexp.Regexp
	pathPat *regexp.Regexp
	matched int
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
		parts := strings.SplitN(line, " | ", 3)
		if len(parts) != 3 || strings.TrimSpace(parts[2]) == "" {
			return nil, fmt.Errorf("expected.txt:%d: want \"case | field | reason\"", i+1)
		}
		e := &Expectation{Case: strings.TrimSpace(parts[0]), Path: strings.TrimSpace(parts[1]), Reason: strings.TrimSpace(parts[2]), line: i + 1}
		e.casePat, e.pathPat = glob(e.Case), glob(e.Path)
		out = append(out, e)
	}
	return out, nil
}

// glob compiles a pattern in which * matches anything.
func glob(pattern string) *regexp.Regexp {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$")
}

func (e *Expectation) matches(d Difference) bool {
	return e.casePat.MatchString(d.Case) && e.pathPat.MatchString(d.Path)
}
