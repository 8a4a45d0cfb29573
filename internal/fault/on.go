//go:build faults

package fault

import (
	"os"
	"slices"
)

var planted = fromEnvironment()

// On reports whether a fault is on.
func On(name Name) bool { return planted == name }

func fromEnvironment() Name {
	name := Name(os.Getenv(Variable))
	if name != "" && !slices.Contains(All(), name) {
		panic("fault: " + Variable + " names no fault: " + string(name))
	}
	return name
}
