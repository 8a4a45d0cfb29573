//go:build race

package records_test

// raceEnabled: sync.Pool drops items at random under the race detector, so allocations cannot be counted.
const raceEnabled = true
