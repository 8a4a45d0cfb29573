//go:build !faults

package fault

// On reports whether a fault is on: none is.
func On(Name) bool { return false }
