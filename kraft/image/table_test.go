package image_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/distributedmq/dmq/kraft/image"
)

// A table behaves as a map, and no version of it ever changes.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same run each time
	type version struct {
		table image.Table[string, int]
		want  map[string]int
	}
	var versions []version
	table, want := image.Table[string, int]{}, map[string]int{}
	for i := range 3000 {
		k := fmt.Sprint(r.IntN(600))
		if r.IntN(3) == 0 {
			table = table.Without(k)
			delete(want, k)
		} else {
			table = table.With(k, i)
			want[k] = i
		}
		if i%100 == 0 {
			versions = append(versions, version{table, maps.Clone(want)})
		}
	}
	for i, v := range versions {
		if got := maps.Collect(v.table.All()); !maps.Equal(got, v.want) || v.table.Len() != len(v.want) {
			t.Errorf("version %d: %d keys, want %d", i, v.table.Len(), len(v.want))
		}
		for k, want := range v.want {
			if got, ok := v.table.Lookup(k); !ok || got != want {
				t.Errorf("version %d: %s is %d, want %d", i, k, got, want)
			}
		}
		if v.table.Get("none") != 0 {
			t.Error("a key that was never there")
		}
	}
	if a, b := versions[3].table, versions[4].table; a.Equal(b) || !a.Equal(a.With("x", 1).Without("x")) {
		t.Error("equality")
	}
}

// BenchmarkTable changes one key of a table of 100,000.
func BenchmarkTable(b *testing.B) {
	table := image.Table[string, int]{}
	for i := range 100_000 {
		table = table.With(fmt.Sprintf("topic-%d", i), i)
	}
	b.Run("with", func(b *testing.B) {
		for i := range b.N {
			table = table.With("topic-77", i)
		}
	})
	b.Run("get", func(b *testing.B) {
		for range b.N {
			table.Get("topic-77")
		}
	})
}
