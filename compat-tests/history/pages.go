package history

import (
	"maps"
	"slices"
)

const pageSize = 256

// pages is a slice that may have holes: what was never written takes no room.
type pages[T any] map[int64]*[pageSize]T

// at returns the place of an index, which is not negative, and makes it when it is not there.
func (p pages[T]) at(i int64) *T {
	page := p[i/pageSize]
	if page == nil {
		page = new([pageSize]T)
		p[i/pageSize] = page
	}
	return &page[i%pageSize]
}

// get returns what is at an index, the zero value when nothing was ever put there.
func (p pages[T]) get(i int64) (v T) {
	if page := p[i/pageSize]; page != nil {
		v = page[i%pageSize]
	}
	return v
}

// each calls fn for every place from one index up to another that has a page, in order, until it returns false.
func (p pages[T]) each(from, to int64, fn func(i int64, v *T) bool) {
	if from >= to {
		return
	}
	first, last := from/pageSize, (to-1)/pageSize
	visit := func(n int64) bool {
		page := p[n]
		if page == nil {
			return true
		}
		for i := max(from, n*pageSize); i < min(to, n*pageSize+pageSize); i++ {
			if !fn(i, &page[i%pageSize]) {
				return false
			}
		}
		return true
	}
	if last-first <= int64(len(p)) {
		for n := first; n <= last && visit(n); n++ {
		}
		return
	}
	for _, n := range slices.Sorted(maps.Keys(p)) {
		if n >= first && n <= last && !visit(n) {
			return
		}
	}
}
