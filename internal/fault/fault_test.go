//go:build !faults

package fault_test

import (
	"testing"

	"github.com/distributedmq/dmq/internal/fault"
)

// What is built without the tag has no fault, whatever the environment says.
func TestOn(t *testing.T) {
	for _, name := range fault.All() {
		t.Setenv(fault.Variable, string(name))
		if fault.On(name) {
			t.Errorf("%s is on", name)
		}
	}
}

func TestAll(t *testing.T) {
	seen := map[fault.Name]bool{}
	for _, name := range fault.All() {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	if len(seen) != 10 {
		t.Errorf("%d faults, want 10", len(seen))
	}
}
