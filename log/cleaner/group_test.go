package cleaner

import (
	"math"
	"slices"
	"testing"
)

func TestGroups(t *testing.T) {
	seg := func(base, next, size, index int64) part {
		return part{base: base, next: next, size: size, offsets: index, times: index}
	}
	for _, tc := range []struct {
		name  string
		parts []part
		want  []int
	}{
		{"none", nil, nil},
		{"one that is too large by itself", []part{seg(0, 10, 500, 10)}, []int{1}},
		{"all that fit", []part{seg(0, 10, 30, 1), seg(10, 20, 30, 1), seg(20, 30, 40, 1), seg(30, 40, 1, 1)}, []int{3, 1}},
		{"as many as the index takes", []part{seg(0, 10, 1, 40), seg(10, 20, 1, 40), seg(20, 30, 1, 40)}, []int{2, 1}},
		{"a large one between small ones", []part{seg(0, 10, 1, 1), seg(10, 20, 100, 1), seg(20, 30, 1, 1), seg(30, 40, 1, 1)}, []int{1, 1, 2}},
		{"offsets that one index can tell apart", []part{seg(0, 5, 1, 1), seg(5, math.MaxInt32+1, 1, 1), seg(math.MaxInt32+1, math.MaxInt32+9, 1, 1)}, []int{2, 1}},
		{"empty ones", []part{seg(0, 5, 0, 0), seg(5, 9, 0, 0), seg(9, math.MaxInt32+10, 0, 0)}, []int{2, 1}},
	} {
		if got := groups(tc.parts, 100, 100); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}
