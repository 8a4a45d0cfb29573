package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"go.yaml.in/yaml/v3"
)

func outputs() []string { return []string{"table", "wide", "json", "yaml", "name"} }

// result is what a command prints, in each of the output forms.
type result struct {
	value any      // for json and yaml
	names []string // for name, one a line
	table []grid   // for table and wide
}

// grid is one table. Columns from wide on are shown with -o wide only; right-aligned columns hold numbers.
type grid struct {
	title   string // a line above; may be empty
	header  []string
	rows    [][]any
	wide    int // 0: none
	numeric []int
}

// print writes a result in the form the user asked for.
func (a *app) print(r result) error {
	switch a.output {
	case "json":
		return writeJSON(a.out, r.value)
	case "yaml":
		return writeYAML(a.out, r.value)
	case "name":
		for _, n := range r.names {
			if _, err := fmt.Fprintln(a.out, n); err != nil {
				return err
			}
		}
		return nil
	}
	for i, g := range r.table {
		if i > 0 {
			if _, err := fmt.Fprintln(a.out); err != nil {
				return err
			}
		}
		if err := a.printGrid(g); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printGrid(g grid) error {
	if g.title != "" {
		if _, err := fmt.Fprintln(a.out, printable(g.title)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(a.out, a.renderGrid(g))
	return err
}

// renderGrid is the table without its title.
func (a *app) renderGrid(g grid) string {
	columns := len(g.header)
	if g.wide > 0 && a.output != "wide" {
		columns = min(columns, g.wide)
	}
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format = table.FormatOptions{} // names stay as they are written
	w.SetStyle(style)
	row := make(table.Row, columns)
	for i := range columns {
		row[i] = g.header[i]
	}
	w.AppendHeader(row)
	for _, r := range g.rows {
		cells := make(table.Row, columns)
		for i, cell := range r[:columns] {
			if s, ok := cell.(string); ok {
				cell = printable(s)
			}
			cells[i] = cell
		}
		w.AppendRow(cells)
	}
	configs := make([]table.ColumnConfig, 0, len(g.numeric))
	for _, n := range g.numeric {
		configs = append(configs, table.ColumnConfig{Number: n + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	w.SetColumnConfigs(configs)
	var b strings.Builder
	for line := range strings.Lines(w.Render()) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteByte('\n')
	}
	return b.String()
}

// printable shows control characters as Go writes them. Names that clients chose may hold any: they must neither break a
// table nor tell the terminal what to do.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeYAML prints what writeJSON prints, as YAML: the same names in the same order.
func writeYAML(w io.Writer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var node yaml.Node
	if err := yaml.Unmarshal(data, &node); err != nil { // JSON is YAML
		return err
	}
	block(&node)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&node); err != nil {
		return err
	}
	return e.Close()
}

// block turns JSON's braces and quotes into YAML's own style; empty collections keep theirs.
func block(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode {
		n.Style = 0
	} else if len(n.Content) > 0 {
		n.Style &^= yaml.FlowStyle
	}
	for _, c := range n.Content {
		block(c)
	}
}

// say writes to standard error. When that is gone there is nobody to tell.
func (a *app) say(format string, args ...any) { _, _ = fmt.Fprintf(a.err, format, args...) }

// The colours used.
const (
	red    = "31"
	yellow = "33"
	bold   = "1"
	faint  = "2"
)

// colorful reports whether a stream gets colours: --color, then NO_COLOR, CLICOLOR_FORCE and TERM, then the terminal.
func (a *app) colorful(stream any) bool {
	switch {
	case a.color == "always":
		return true
	case a.color == "never", a.lookup("NO_COLOR") != "":
		return false
	case a.lookup("CLICOLOR_FORCE") != "" && a.lookup("CLICOLOR_FORCE") != "0":
		return true
	case a.lookup("TERM") == "dumb":
		return false
	}
	return a.terminal(stream)
}

func (a *app) paint(stream any, color, s string) string {
	if !a.colorful(stream) {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

// unicode reports whether the locale can show markers.
func (a *app) unicode() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(a.lookup(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return false
}

// window is the size of the terminal that results are shown on: COLUMNS and LINES, else what it says itself; 0 is not known.
func (a *app) window() (width, height int) {
	width, height = a.size(a.out)
	if n, err := strconv.Atoi(a.lookup("COLUMNS")); err == nil && n > 0 {
		width = n
	}
	if n, err := strconv.Atoi(a.lookup("LINES")); err == nil && n > 0 {
		height = n
	}
	return width, height
}
