package testport_test

import (
	"testing"

	"github.com/distributedmq/dmq/internal/testport"
)

func TestFree(t *testing.T) {
	seen := map[int]bool{}
	for range 5 {
		ports, err := testport.Free(7)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			if seen[p] || p < 20000 || p >= 32000 {
				t.Errorf("port %d", p)
			}
			seen[p] = true
		}
	}
	if len(seen) != 35 {
		t.Errorf("%d ports", len(seen))
	}
}
