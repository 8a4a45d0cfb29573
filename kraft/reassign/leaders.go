package reassign

import (
	"cmp"
	"maps"
	"slices"
)

// balanceLeaders makes every broker the first replica of as many partitions as every other, as far as the replicas allow.
// Leadership goes along paths: from a broker that leads too much, by a partition it shares, to another, which passes one on
// in turn, until one is reached that leads at least two less. When no such path is left, nothing is better. With settled
// only partitions whose replicas had to move change their first.
func (p *planner) balanceLeaders(settled bool) {
	edges := make([]map[int]map[int]bool, len(p.brokers)) // leader -> other replica -> partitions
	for b := range edges {
		edges[b] = make(map[int]map[int]bool)
	}
	edge := func(i int, there bool) {
		t := &p.parts[i]
		for _, other := range t.replicas[1:] {
			to := edges[t.replicas[0]]
			if to[other] == nil {
				to[other] = make(map[int]bool)
			}
			if there {
				to[other][i] = true
			} else {
				delete(to[other], i)
			}
		}
	}
	for i := range p.parts {
		if len(p.parts[i].replicas) == 0 {
			continue
		}
		p.first[p.parts[i].replicas[0]]++
		if !settled || p.parts[i].settled {
			edge(i, true)
		}
	}
	for {
		path := p.leaderPath(edges)
		if path == nil {
			return
		}
		for n := range len(path) - 1 {
			from, to := path[n], path[n+1]
			i := slices.Min(slices.Collect(maps.Keys(edges[from][to])))
			edge(i, false)
			r := p.parts[i].replicas
			at := slices.Index(r, to)
			r[0], r[at] = r[at], r[0]
			edge(i, true)
		}
		p.first[path[0]]--
		p.first[path[len(path)-1]]++
	}
}

// leaderPath is a shortest way for leadership from a broker to one that leads at least two less; nil without one.
func (p *planner) leaderPath(edges []map[int]map[int]bool) []int {
	for _, start := range p.sorted(func(x, y int) int { return cmp.Compare(p.first[y], p.first[x]) }) {
		came := map[int]int{start: -1}
		for queue := []int{start}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			if p.first[at] <= p.first[start]-2 {
				var path []int
				for b := at; b >= 0; b = came[b] {
					path = append(path, b)
				}
				slices.Reverse(path)
				return path
			}
			for next := range p.brokers {
				if _, seen := came[next]; !seen && len(edges[at][next]) > 0 {
					came[next] = at
					queue = append(queue, next)
				}
			}
		}
	}
	return nil
}
