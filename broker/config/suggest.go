package config

import "strings"

// Suggest returns the property that was probably meant, or "".
func (s *Schema) Suggest(scope Scope, name string) string {
	plain := strings.NewReplacer("_", ".", "-", ".").Replace(strings.ToLower(strings.TrimSpace(name)))
	if _, ok := s.props[scope][plain]; ok {
		return plain
	}
	if scope == ScopeBroker { // a topic's property in a broker's file, or ours without its prefix
		if p, ok := s.props[ScopeTopic][plain]; ok && p.Synonym != "" {
			return p.Synonym
		}
		if _, ok := s.props[scope]["dmq."+plain]; ok {
			return "dmq." + plain
		}
	} else { // a broker's property on a topic
		for _, p := range s.sorted[scope] {
			if p.Synonym == plain {
				return p.Name
			}
		}
	}
	best, at := "", max(2, len(plain)/4)+1
	for _, p := range s.sorted[scope] {
		if d := Distance(plain, p.Name, at); d < at && !p.Internal {
			best, at = p.Name, d
		}
	}
	return best
}

// Distance counts the edits (insert, delete, replace, swap neighbours) from a to b. From limit on it may return limit.
func Distance(a, b string, limit int) int {
	x, y := []rune(a), []rune(b)
	if len(x)-len(y) >= limit || len(y)-len(x) >= limit {
		return limit
	}
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := range x {
		row[0] = i + 1
		smallest := row[0]
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			d := min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
			smallest = min(smallest, d)
		}
		if smallest >= limit {
			return limit
		}
		before, last, row = last, row, before
	}
	return min(last[len(y)], limit)
}
